//! Counts to vectors: normalised, logarithms taken, projected.

use crate::error::{Error, Result};
use crate::features::{Element, Features, Matrix};
use crate::run::Run;
use crate::simd::dispatch;
use crate::with_matrix;

/// Cells per block of work.
const BLOCK: usize = 32;

/// A projection of log-normalised counts, `y = W^T ln(1 + scale x / (total + eps)) - offset`.
#[derive(Debug, Clone, Copy)]
pub struct Projection<'a, W: Element> {
    /// `W`, gene after gene, `(n_genes, dim)`.
    pub weights: &'a [W],
    /// Length `dim`.
    pub offset: &'a [f64],
    /// Molecules that each cell is brought to.
    pub scale: f64,
    /// Keeps the division defined for cells without molecules.
    pub eps: f64,
}

impl<W: Element> Projection<'_, W> {
    /// Projects all cells; returns `(n_cells, dim)`, cell after cell.
    ///
    /// Sums are formed in float64, over the genes of a cell in the order in which they are stored, so that
    /// a cell has the same vector whatever cells are next to it.
    ///
    /// # Errors
    /// [`Error::Shape`] when sizes do not fit together, [`Error::NotFinite`] for a cell whose counts are
    /// not, [`Error::Cancelled`].
    pub fn apply(&self, counts: &Features, totals: &[f32], run: &Run) -> Result<Vec<f64>> {
        with_matrix!(counts, m => self.project(m, totals, run))
    }

    fn project<E: Element>(&self, m: &Matrix<'_, E>, totals: &[f32], run: &Run) -> Result<Vec<f64>> {
        let (n, dim) = (m.n_rows(), self.offset.len());
        if m.n_cols().checked_mul(dim) != Some(self.weights.len()) || dim == 0 {
            let expected = format!("{} x {dim} values", m.n_cols());
            return Err(Error::shape("the weights", expected, self.weights.len()));
        }
        if totals.len() != n {
            return Err(Error::shape("`totals`", format!("one value per cell ({n})"), totals.len()));
        }
        run.expect_steps(n);
        let mut out = vec![0.0; n * dim];
        run.blocks(
            n,
            BLOCK,
            Vec::new,
            |scratch: &mut Vec<f64>, range| {
                scratch.clear();
                scratch.resize(range.len() * dim, 0.0);
                let start = range.start;
                // In the closure, so that the loops are compiled for the machine's vectors.
                dispatch(
                    #[inline(always)]
                    || {
                        for i in range.clone() {
                            let y = &mut scratch[(i - start) * dim..(i - start + 1) * dim];
                            let factor = self.scale / (f64::from(totals[i]) + self.eps);
                            let (columns, values) = m.row_slices(i);
                            for (at, &x) in values.iter().enumerate() {
                                let x: f64 = x.into();
                                if x != 0.0 {
                                    let gene = columns.map_or(at, |c| c[at] as usize);
                                    let x = (x * factor).ln_1p();
                                    let w = &self.weights[gene * dim..(gene + 1) * dim];
                                    for (y, &w) in y.iter_mut().zip(w) {
                                        *y += x * w.into();
                                    }
                                }
                            }
                            for (y, offset) in y.iter_mut().zip(self.offset) {
                                *y -= offset;
                            }
                        }
                    },
                );
                match scratch.iter().position(|y| !y.is_finite()) {
                    Some(at) => Err(Error::NotFinite { what: "the embedding".into(), row: start + at / dim }),
                    None => Ok(()),
                }
            },
            |scratch, range| out[range.start * dim..range.end * dim].copy_from_slice(scratch),
        )?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_on_paper() {
        // Two cells, three genes, two dimensions; 1 molecule in 4 brought to 12 is 3, ln(1 + 3) = 2 ln 2.
        let dense = [1.0_f32, 0.0, 3.0, 0.0, 0.0, 0.0];
        let counts = Features::F32(Matrix::dense(2, 3, &dense).unwrap());
        let weights = [1.0_f32, 0.0, 5.0, 5.0, 0.0, -1.0];
        let p = Projection { weights: &weights, offset: &[0.5, 0.25], scale: 12.0, eps: 0.0 };
        let ln2 = std::f64::consts::LN_2;
        for threads in [1, 2] {
            let y = p.apply(&counts, &[4.0, 1.0], &Run::new(threads)).unwrap();
            let expected = [2.0 * ln2 - 0.5, -10.0_f64.ln() - 0.25, -0.5, -0.25];
            assert!(y.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-14), "{y:?}");
        }
        let sparse = Matrix::sparse(3, vec![0, 2, 2], vec![0, 2], &[1.0_f64, 3.0]).unwrap();
        let same = p.apply(&Features::F64(sparse), &[4.0, 1.0], &Run::new(1)).unwrap();
        assert_eq!(same, p.apply(&counts, &[4.0, 1.0], &Run::new(1)).unwrap());
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let counts = Features::F32(Matrix::dense(1, 2, &[1.0_f32, f32::NAN]).unwrap());
        let p = Projection { weights: &[1.0_f64, 1.0], offset: &[0.0], scale: 1e4, eps: 1e-6 };
        let run = Run::new(1);
        assert!(matches!(p.apply(&counts, &[1.0], &run), Err(Error::NotFinite { row: 0, .. })));
        assert!(matches!(p.apply(&counts, &[], &run), Err(Error::Shape { .. })));
        let p = Projection { weights: &[1.0_f64], ..p };
        assert!(matches!(p.apply(&counts, &[1.0], &run), Err(Error::Shape { .. })));
    }
}
