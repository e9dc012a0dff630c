//! Cells named by their nearest neighbors in a reference: embedding, search and scores.

pub mod embed;
pub mod nearest;
pub mod ontology;
pub mod summary;

use crate::error::{Error, Result};

/// Vectors of one length, one after another.
#[derive(Debug, Clone, Copy)]
pub struct Vectors<'a> {
    data: &'a [f32],
    n: usize,
    dim: usize,
}

impl<'a> Vectors<'a> {
    /// `n` vectors of `dim` numbers.
    ///
    /// # Errors
    /// [`Error::Shape`] when `data` does not hold `n * dim` values or `dim` is 0.
    pub fn new(n: usize, dim: usize, data: &'a [f32]) -> Result<Self> {
        if dim == 0 || n.checked_mul(dim) != Some(data.len()) {
            return Err(Error::shape("the vectors", format!("{n} x {dim} values"), data.len()));
        }
        Ok(Self { data, n, dim })
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.n
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.n == 0
    }

    /// Their length.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.dim
    }

    /// Vector `i`.
    #[must_use]
    pub fn row(&self, i: usize) -> &'a [f32] {
        &self.data[i * self.dim..(i + 1) * self.dim]
    }

    fn rows(&self, range: std::ops::Range<usize>) -> &'a [f32] {
        &self.data[range.start * self.dim..range.end * self.dim]
    }
}

/// What is kept for each of `n` queries about its `k` neighbors, query after query.
fn check_table(what: &str, found: usize, n: usize, k: usize) -> Result<()> {
    if n.checked_mul(k) == Some(found) {
        return Ok(());
    }
    Err(Error::shape(what, format!("{n} x {k} values"), found))
}

/// Distances of one query must be numbers.
fn check_finite(distances: &[f64], k: usize) -> Result<()> {
    match distances.iter().position(|d| !d.is_finite()) {
        Some(at) => Err(Error::NotFinite { what: "the distance".into(), row: at / k }),
        None => Ok(()),
    }
}

/// Quantile `q` of sorted values, by linear interpolation between the two that enclose it (type 7 of
/// Hyndman & Fan 1996, numpy's default).
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let (low, t) = (at.floor() as usize, at.fract());
    let (a, b) = (sorted[low], sorted[(low + 1).min(sorted.len() - 1)]);
    // From the nearer end, so that both ends are hit exactly.
    if t < 0.5 {
        a + (b - a) * t
    } else {
        b - (b - a) * (1.0 - t)
    }
}
