//! What it costs to move cells.

use pulp::{Simd, WithSimd};

use crate::error::{Error, Result};
use crate::simd::dispatch;

/// What it costs to move a cell to each other cell.
#[derive(Debug, Clone, Copy)]
pub enum Cost<'a> {
    /// All costs, row after row.
    Given {
        /// `(n_source, n_target)`, not negative.
        values: &'a [f64],
        /// Columns.
        n_target: usize,
    },
    /// `|x_i - y_j|^2 / scale`.
    SquaredEuclidean {
        /// Coordinates of source cells, `(n_source, d)`, row after row.
        x: &'a [f64],
        /// Coordinates of target cells, **transposed**: `(d, n_target)`.
        y_transposed: &'a [f64],
        /// Number of coordinates.
        d: usize,
        /// Divides the distances.
        scale: f64,
    },
}

impl Cost<'_> {
    /// `(n_source, n_target)`, after a look at the sizes.
    ///
    /// # Errors
    /// [`Error::Shape`] when they contradict each other or there are no cells, [`Error::NotFinite`] for NaN
    /// or infinity, [`Error::Parameter`] for a scale that is not positive.
    pub fn shape(&self) -> Result<(usize, usize)> {
        let empty = |what| Error::shape(what, "at least one cell", 0);
        match *self {
            Self::Given { values, n_target } => {
                if n_target == 0 || values.is_empty() {
                    return Err(empty("the costs"));
                }
                if values.len() % n_target != 0 {
                    return Err(Error::shape("the costs", format!("rows of {n_target}"), values.len()));
                }
                finite("the costs", values, n_target)?;
                Ok((values.len() / n_target, n_target))
            }
            Self::SquaredEuclidean { x, y_transposed, d, scale } => {
                if d == 0 || x.is_empty() || y_transposed.is_empty() {
                    return Err(empty("the coordinates"));
                }
                if x.len() % d != 0 || y_transposed.len() % d != 0 {
                    return Err(Error::shape("the coordinates", format!("{d} per cell"), x.len()));
                }
                if !(scale.is_finite() && scale > 0.0) {
                    return Err(Error::parameter("scale", "finite and positive", scale));
                }
                finite("the coordinates", x, d)?;
                finite("the coordinates", y_transposed, y_transposed.len() / d)?;
                Ok((x.len() / d, y_transposed.len() / d))
            }
        }
    }

    /// The costs of source cell `i`.
    pub(super) fn row(&self, i: usize, out: &mut [f64]) {
        match *self {
            Self::Given { values, n_target } => {
                out.copy_from_slice(&values[i * n_target..(i + 1) * n_target]);
            }
            Self::SquaredEuclidean { x, y_transposed, d, scale } => {
                dispatch(Distances { x: &x[i * d..(i + 1) * d], y: y_transposed, scale, out });
            }
        }
    }
}

fn finite(what: &str, values: &[f64], width: usize) -> Result<()> {
    match values.iter().position(|x| !x.is_finite()) {
        Some(at) => Err(Error::NotFinite { what: what.into(), row: at / width }),
        None => Ok(()),
    }
}

struct Distances<'a> {
    x: &'a [f64],
    y: &'a [f64],
    scale: f64,
    out: &'a mut [f64],
}

impl WithSimd for Distances<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let m = self.out.len();
        self.out.fill(0.0);
        for (x, y) in self.x.iter().zip(self.y.chunks_exact(m)) {
            for (out, y) in self.out.iter_mut().zip(y) {
                *out += (x - y) * (x - y);
            }
        }
        self.out.iter_mut().for_each(|out| *out /= self.scale);
    }
}
