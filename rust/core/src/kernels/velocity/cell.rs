//! One cell at a time: displacements to the neighbors, and the velocity's mean and variance around it.

use pulp::Simd;

use super::logits::prepare;
use super::Similarity;
use crate::csr::Csr;
use crate::error::{Error, Result};
use crate::features::Features;
use crate::simd;

/// Rows of a cell's neighborhood as float64, one after the other; reused from cell to cell.
#[derive(Debug, Default)]
pub(super) struct Panel {
    values: Vec<f64>,
    genes: usize,
}

impl Panel {
    /// Reads `rows` of `features`.
    #[inline(always)]
    pub fn load(&mut self, features: &Features<'_>, rows: impl Iterator<Item = usize>) {
        self.genes = features.width();
        let mut n = 0;
        for i in rows {
            let end = (n + 1) * self.genes;
            if self.values.len() < end {
                self.values.resize(end, 0.0);
            }
            let out = &mut self.values[n * self.genes..end];
            match features {
                Features::F32(m) if m.in_place(i).is_some() => simd::widen(m.in_place(i).unwrap_or(&[]), out),
                _ => features.copy_row(i, out),
            }
            n += 1;
        }
        self.values.truncate(n * self.genes);
    }

    pub fn rows(&self) -> std::slice::ChunksExact<'_, f64> {
        self.values.chunks_exact(self.genes)
    }

    pub fn rows_mut(&mut self) -> std::slice::ChunksExactMut<'_, f64> {
        self.values.chunks_exact_mut(self.genes)
    }
}

/// The cell and its neighbors, each once.
pub(super) fn neighborhood<'g>(graph: &'g Csr<'_>, i: usize) -> impl Iterator<Item = usize> + 'g {
    let cols = graph.cols(i);
    let own = cols.binary_search(&(i as i32)).is_err().then_some(i);
    cols.iter().map(|&j| j as usize).chain(own)
}

/// Mean and (population) variance of the velocities in `panel`, those around cell `i`, gene by gene.
#[inline(always)]
pub(super) fn mean_and_variance<S: Simd>(
    simd: S,
    panel: &Panel,
    mean: &mut [f64],
    variance: &mut [f64],
    i: usize,
) -> Result<()> {
    let share = 1.0 / panel.rows().len() as f64;
    mean.fill(0.0);
    for row in panel.rows() {
        for (m, &v) in mean.iter_mut().zip(row) {
            *m += v;
        }
    }
    for m in mean.iter_mut() {
        *m *= share;
    }
    variance.fill(0.0);
    for row in panel.rows() {
        for ((s, &v), &m) in variance.iter_mut().zip(row).zip(mean.iter()) {
            *s += (v - m) * (v - m);
        }
    }
    for s in variance.iter_mut() {
        *s *= share;
    }
    // A value that is not finite makes the mean not finite, and with it the variance.
    if !simd::sum(simd, variance).is_finite() {
        return Err(Error::NotFinite { what: "the velocity in the neighborhood".into(), row: i });
    }
    Ok(())
}

/// Turns rows `x_j` into directions: displacements from `origin`, centered for the correlation and of
/// length 1 unless the similarity is the dot product. Says which rows have no direction; `i` is the cell.
#[inline(always)]
pub(super) fn directions<S: Simd>(
    simd: S,
    panel: &mut Panel,
    origin: &[f64],
    similarity: Similarity,
    undefined: &mut Vec<bool>,
    i: usize,
) -> Result<()> {
    undefined.clear();
    for row in panel.rows_mut() {
        let mut size = 0.0_f64;
        for (d, &x) in row.iter_mut().zip(origin) {
            size = size.max(x.abs());
            *d -= x;
        }
        let n = row.len() as f64;
        let mut norm = prepare(simd, row, similarity);
        if !norm.is_finite() {
            return Err(Error::NotFinite { what: "the expression in the neighborhood".into(), row: i });
        }
        // See `logits::from_displacement`: what is left of a constant displacement is only round-off.
        if similarity == Similarity::Correlation && norm * norm <= n * (4.0 * f64::EPSILON * size).powi(2) {
            norm = 0.0;
        }
        undefined.push(norm == 0.0);
        if norm > 0.0 && similarity != Similarity::DotProduct {
            let scale = 1.0 / norm;
            for d in row {
                *d *= scale;
            }
        }
    }
    Ok(())
}
