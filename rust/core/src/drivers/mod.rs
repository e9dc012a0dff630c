//! Genes whose expression goes along with a fate: Pearson correlations, and how sure they are.

mod packed;
mod permutation;
mod random;

pub use permutation::{permutation_test, Params, PermutationTest};

use crate::error::{Error, Result};
use crate::features::Features;
use crate::run::Run;
use crate::stats::{check_targets, deviations, moments, Moments};
use crate::with_matrix;

/// Pearson correlation of columns with targets, from rows that come piece by piece.
///
/// For matrices that are never in memory as a whole. Each piece is read once; memory is that of the targets
/// and of `n_cols * (n_targets + 2)` sums. The sums are those of [`crate::stats::column_correlations`], which
/// is the same for a matrix in one piece; cutting differently changes no more than round-off.
#[derive(Debug, Clone)]
pub struct Correlations {
    n_cols: usize,
    n_targets: usize,
    targets: Vec<f64>,
    /// Rows that have been added.
    rows: usize,
    total: Moments,
}

/// Sums over some rows, which belong behind those that were added so far.
#[derive(Debug)]
pub struct Piece {
    after: usize,
    rows: usize,
    sums: Moments,
}

impl Correlations {
    /// Waits for the rows of a matrix with `n_cols` columns.
    ///
    /// * `targets`: `(n_rows, n_targets)`, row after row.
    ///
    /// # Errors
    /// [`Error::Shape`] when `targets` are no whole rows, [`Error::NotFinite`] for NaN or infinite targets.
    pub fn new(n_cols: usize, targets: Vec<f64>, n_targets: usize) -> Result<Self> {
        let rows = targets.len() / n_targets.max(1);
        check_targets(&targets, rows, n_targets)?;
        let total = Moments::new(n_cols, n_targets);
        Ok(Self { n_cols, n_targets, targets, rows: 0, total })
    }

    /// Number of columns and targets.
    #[must_use]
    pub fn shape(&self) -> (usize, usize) {
        (self.n_cols, self.n_targets)
    }

    /// Reads the next rows, for [`Correlations::accept`]: a caller may still change its mind in between.
    ///
    /// # Errors
    /// [`Error::Shape`] when `x` has another number of columns, or more rows than there are targets left;
    /// [`Error::Cancelled`].
    pub fn read(&self, x: &Features<'_>, run: &Run) -> Result<Piece> {
        let (rows, n_cols) = with_matrix!(x, m => (m.n_rows(), m.n_cols()));
        if n_cols != self.n_cols {
            return Err(Error::shape("the rows", format!("{} columns", self.n_cols), n_cols));
        }
        let k = self.n_targets;
        let left = self.targets.len() / k.max(1) - self.rows;
        if k > 0 && rows > left {
            return Err(Error::shape("the matrix", format!("at most {left} more rows"), rows));
        }
        let targets = &self.targets[self.rows * k..(self.rows + rows) * k];
        let sums = with_matrix!(x, m => moments(m, targets, k, run))?;
        Ok(Piece { after: self.rows, rows, sums })
    }

    /// Adds rows that were read; not twice, and not out of order.
    ///
    /// # Errors
    /// [`Error::Shape`] when others were added since.
    pub fn accept(&mut self, piece: &Piece) -> Result<()> {
        if piece.after != self.rows {
            return Err(Error::shape("the piece", format!("{} rows before it", self.rows), piece.after));
        }
        if piece.rows > 0 {
            self.total.merge(&piece.sums);
            self.rows += if self.n_targets > 0 { piece.rows } else { 0 };
        }
        Ok(())
    }

    /// The correlations, `(n_cols, n_targets)`, row after row; NaN where a column or target is constant, and
    /// for columns with a value that is NaN or infinite.
    ///
    /// # Errors
    /// [`Error::Shape`] when rows are missing.
    pub fn finish(&self) -> Result<Vec<f64>> {
        check_targets(&self.targets, self.rows, self.n_targets)?;
        Ok(self.total.correlations(&deviations(&self.targets, self.n_targets)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Matrix;
    use crate::stats::column_correlations;

    #[test]
    fn pieces_give_what_the_whole_gives() {
        let n = 700;
        let value = |i: usize, j: usize| ((i * 31 + j * 17) % 23) as f64 + 1e6 * j as f64;
        let x: Vec<f64> = (0..n).flat_map(|i| (0..3).map(move |j| value(i, j))).collect();
        let y: Vec<f64> = (0..2 * n).map(|i| ((i * 7) % 13) as f64).collect();
        let run = Run::new(2);
        let whole = Features::F64(Matrix::dense(n, 3, &x).unwrap());
        let expected = column_correlations(&whole, &y, 2, &run).unwrap();
        let mut sums = Correlations::new(3, y, 2).unwrap();
        for (start, end) in [(0, 1), (1, 300), (300, 300), (300, 700)] {
            assert!(sums.finish().is_err());
            let part = Matrix::dense(end - start, 3, &x[3 * start..3 * end]).unwrap();
            let piece = sums.read(&Features::F64(part), &run).unwrap();
            sums.accept(&piece).unwrap();
            assert_eq!(sums.accept(&piece).is_err(), end > start);
        }
        for (a, b) in sums.finish().unwrap().iter().zip(&expected) {
            assert!((a - b).abs() < 1e-12, "{a} {b}");
        }
        assert!(sums.read(&whole, &run).is_err());
    }

    #[test]
    fn pieces_must_fit() {
        let x = [1.0, 2.0];
        let run = Run::new(1);
        let sums = Correlations::new(2, vec![0.0; 3], 1).unwrap();
        let narrow = Features::F64(Matrix::dense(2, 1, &x).unwrap());
        assert!(matches!(sums.read(&narrow, &run), Err(Error::Shape { .. })));
        assert!(Correlations::new(2, vec![0.0; 3], 2).is_err());
        assert!(Correlations::new(2, vec![f64::NAN; 2], 2).is_err());
    }
}
