//! Statistics of cell-by-gene matrices in one pass over their rows, dense or compressed.

mod chunk;

use crate::error::{Error, Result};
use crate::features::{Element, Features, Matrix};
use crate::in_order::InOrder;
use crate::run::Run;
use crate::with_matrix;

use self::chunk::Chunk;

/// Rows per block when rows are looked at one by one.
const SCAN: usize = 256;
/// Rows whose sums are taken about a common shift: of dense matrices, and of sparse ones, whose columns have
/// fewer values each.
const CHUNK: usize = 256;
const SPARSE_CHUNK: usize = 4 * CHUNK;
/// A matrix is cut into at most this many blocks, which bounds the memory for their partial sums.
const MOST_BLOCKS: usize = 64;

/// Number of values `> 0` in each row of `x`; repeated entries of a sparse row add up first.
///
/// # Errors
/// [`Error::Cancelled`].
pub fn count_positive(x: &Features<'_>, run: &Run) -> Result<Vec<i64>> {
    with_matrix!(x, m => {
        let mut out = vec![0; m.n_rows()];
        run.expect_steps(m.n_rows());
        run.blocks(
            m.n_rows(),
            SCAN,
            || (Vec::new(), Vec::new()),
            |(counts, entries), rows| {
                counts.clear();
                counts.extend(rows.map(|i| match m.row_slices(i) {
                    (Some(cols), values) if !increasing(cols) => {
                        add_repeats(cols, values, entries);
                        entries.iter().filter(|&&(_, v)| v > 0.0).count() as i64
                    }
                    (_, values) => values.iter().filter(|&&v| Into::<f64>::into(v) > 0.0).count() as i64,
                }));
                Ok(())
            },
            |(counts, _), rows| out[rows].copy_from_slice(counts),
        )?;
        Ok(out)
    })
}

/// Pearson correlation of every column of `x` with every target.
///
/// * `x`: `(n_rows, n_cols)`; columns that are masked out are included.
/// * `targets`: `(n_rows, n_targets)`, row after row.
///
/// Returns `(n_cols, n_targets)`, row after row. NaN where a column or target is constant, and for
/// columns with a value that is NaN, infinite, or so large that its square is.
///
/// Rows are read once. Chunks of rows are summed about a value of their own column, which loses no more
/// than a factor of the chunk's length to cancellation, and combined by the update of Chan, Golub &
/// LeVeque (The American Statistician 1983, equations 1.5). What is a chunk depends on `n_rows` alone, so
/// the number of threads changes no bit.
///
/// # Errors
/// [`Error::Shape`] when `targets` does not hold `n_rows * n_targets` values, [`Error::NotFinite`] for NaN
/// or infinite targets, [`Error::Cancelled`].
pub fn column_correlations(
    x: &Features<'_>,
    targets: &[f64],
    n_targets: usize,
    run: &Run,
) -> Result<Vec<f64>> {
    check_targets(targets, x.n_rows(), n_targets)?;
    let total = with_matrix!(x, m => moments(m, targets, n_targets, run))?;
    Ok(total.correlations(&deviations(targets, n_targets)))
}

/// Refuses targets of another number than `n * n_targets`, and values that are not finite.
pub(crate) fn check_targets(targets: &[f64], n: usize, n_targets: usize) -> Result<()> {
    if n.checked_mul(n_targets) != Some(targets.len()) {
        let expected = format!("one value per row ({n}) and target ({n_targets})");
        return Err(Error::shape("the targets", expected, targets.len()));
    }
    match targets.iter().position(|y| !y.is_finite()) {
        Some(at) => Err(Error::NotFinite { what: "the target".into(), row: at / n_targets }),
        None => Ok(()),
    }
}

/// [`deviation`] of each target.
pub(crate) fn deviations(targets: &[f64], n_targets: usize) -> Vec<f64> {
    (0..n_targets).map(|t| deviation(targets, n_targets, t)).collect()
}

/// Root of the sum of squared deviations of one target from its mean; 0 exactly when it is constant.
fn deviation(targets: &[f64], n_targets: usize, t: usize) -> f64 {
    let column = || targets.iter().skip(t).step_by(n_targets);
    let first = column().next().copied().unwrap_or(0.0);
    let n = column().count().max(1) as f64;
    let mean = column().map(|y| y - first).sum::<f64>() / n;
    column().map(|y| (y - first - mean).powi(2)).sum::<f64>().sqrt()
}

/// Means, sums of squares and of products about the means, of some rows.
#[derive(Debug, Default, Clone)]
pub(crate) struct Moments {
    n: f64,
    /// Of the columns.
    pub(crate) mean: Vec<f64>,
    pub(crate) m2: Vec<f64>,
    /// Of the targets.
    target_mean: Vec<f64>,
    /// Column after column, `n_targets` each.
    products: Vec<f64>,
}

impl Moments {
    /// Of no rows yet.
    pub(crate) fn new(n_cols: usize, n_targets: usize) -> Self {
        Self {
            n: 0.0,
            mean: vec![0.0; n_cols],
            m2: vec![0.0; n_cols],
            target_mean: vec![0.0; n_targets],
            products: vec![0.0; n_cols * n_targets],
        }
    }

    /// Pearson correlations, `(n_cols, n_targets)`, with targets of these deviations; NaN where either is
    /// constant or a column is not finite.
    pub(crate) fn correlations(&self, deviations: &[f64]) -> Vec<f64> {
        let mut out = self.products.clone();
        for (row, &m2) in out.chunks_mut(deviations.len().max(1)).zip(&self.m2) {
            for (r, &y) in row.iter_mut().zip(deviations) {
                let x = m2.sqrt();
                *r = if x > 0.0 && x.is_finite() && y > 0.0 {
                    (*r / x / y).clamp(-1.0, 1.0)
                } else {
                    f64::NAN
                };
            }
        }
        out
    }

    /// Adds the rows of `other`, which come after ours.
    pub(crate) fn merge(&mut self, other: &Self) {
        if self.n == 0.0 {
            self.clone_from(other);
            return;
        }
        let n = self.n + other.n;
        let (share, weight) = (other.n / n, self.n * other.n / n);
        let dy: Vec<f64> = other.target_mean.iter().zip(&self.target_mean).map(|(b, a)| b - a).collect();
        let n_targets = dy.len();
        for j in 0..self.mean.len() {
            let dx = other.mean[j] - self.mean[j];
            self.mean[j] += dx * share;
            self.m2[j] += other.m2[j] + dx * dx * weight;
            let theirs = &other.products[j * n_targets..(j + 1) * n_targets];
            let ours = &mut self.products[j * n_targets..(j + 1) * n_targets];
            for ((p, q), dy) in ours.iter_mut().zip(theirs).zip(&dy) {
                *p += q + dx * dy * weight;
            }
        }
        self.target_mean.iter_mut().zip(&dy).for_each(|(m, d)| *m += d * share);
        self.n = n;
    }
}

pub(crate) fn moments<E: Element>(
    m: &Matrix<'_, E>,
    targets: &[f64],
    n_targets: usize,
    run: &Run,
) -> Result<Moments> {
    let n = m.n_rows();
    let mut total = Moments::new(m.n_cols(), n_targets);
    run.expect_steps(n);
    // Whole chunks, so that chunks do not depend on where blocks end.
    let dense = n == 0 || m.row_slices(0).0.is_none();
    let step = if dense { CHUNK } else { SPARSE_CHUNK };
    let block = n.div_ceil(MOST_BLOCKS).next_multiple_of(step);
    let mut parts = InOrder::new(|part: &mut Moments| total.merge(part));
    run.blocks(
        n,
        block,
        || (Moments::default(), Chunk::new(m.n_cols(), n_targets, dense)),
        |(sum, chunk), rows| {
            sum.n = 0.0;
            for start in rows.clone().step_by(step) {
                run.tick(0)?;
                let rows = start..(start + step).min(rows.end);
                chunk.sums(m, &targets[rows.start * n_targets..rows.end * n_targets], rows);
                sum.merge(&chunk.out);
            }
            Ok(())
        },
        |(sum, _), rows| parts.put(rows, sum),
    )?;
    Ok(total)
}

/// Whether columns are sorted and none is repeated; not stopping at the first that is not is faster.
#[inline]
pub(crate) fn increasing(cols: &[i32]) -> bool {
    cols.iter().zip(cols.iter().skip(1)).fold(true, |yes, (a, b)| yes & (a < b))
}

/// The entries of a row with columns sorted and repeated ones added up in the order they are stored.
pub(crate) fn add_repeats<E: Element>(cols: &[i32], values: &[E], entries: &mut Vec<(i32, f64)>) {
    entries.clear();
    entries.extend(cols.iter().zip(values).map(|(&j, &v)| (j, v.into())));
    entries.sort_by_key(|e| e.0);
    entries.dedup_by(|next, kept| {
        let same = next.0 == kept.0;
        if same {
            kept.1 += next.1;
        }
        same
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns: y itself, its negative, a constant, (0, 0, 1, 0), and one with a NaN.
    const DENSE: [f64; 20] = [
        1.,
        -1.,
        7.,
        0.,
        0., //
        2.,
        -2.,
        7.,
        0.,
        f64::NAN, //
        3.,
        -3.,
        7.,
        1.,
        0., //
        4.,
        -4.,
        7.,
        0.,
        0.,
    ];
    const Y: [f64; 4] = [1., 2., 3., 4.];

    fn dense() -> Features<'static> {
        Features::F64(Matrix::dense(4, 5, &DENSE).unwrap())
    }

    /// The same without its zeros, columns unsorted and the first value split in two.
    fn sparse() -> Features<'static> {
        const DATA: [f64; 15] = [7., 0.5, 0.5, -1., 2., -2., 7., f64::NAN, 3., -3., 7., 1., 4., -4., 7.];
        let indices = vec![2, 0, 0, 1, 0, 1, 2, 4, 0, 1, 2, 3, 0, 1, 2];
        Features::F64(Matrix::sparse(5, vec![0, 4, 8, 12, 15], indices, &DATA).unwrap())
    }

    #[test]
    fn positive_values_are_counted() {
        for x in [dense(), sparse()] {
            assert_eq!(count_positive(&x, &Run::new(2)).unwrap(), [2, 2, 3, 2]);
        }
    }

    /// y = (1, 2, 3, 4) deviates by (-1.5, -0.5, 0.5, 1.5), squares sum to 5; column 3 deviates by
    /// (-1, -1, 3, -1) / 4, squares sum to 3/4, products to 1/2: r = 0.5 / sqrt(3.75).
    /// With the second target (1, 0, 0, 0), whose squares sum to 3/4: y has -1.5 / sqrt(3.75), column 3
    /// has products -1/4, so -1/3.
    #[test]
    fn correlations_are_as_on_paper() {
        let r = 0.5 / 3.75_f64.sqrt();
        for x in [dense(), sparse()] {
            let out = column_correlations(&x, &Y, 1, &Run::new(1)).unwrap();
            let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-15, "{out:?}");
            near(out[0], 1.0);
            near(out[1], -1.0);
            assert!(out[2].is_nan() && out[4].is_nan());
            near(out[3], r);
            let two = [1., 1., 2., 0., 3., 0., 4., 0.];
            let out = column_correlations(&x, &two, 2, &Run::new(2)).unwrap();
            let near = |a: f64, b: f64| assert!((a - b).abs() < 1e-15, "{out:?}");
            near(out[0], 1.0);
            near(out[1], -3.0 * r);
            near(out[6], r);
            near(out[7], -1.0 / 3.0);
        }
    }

    /// A spread of 1 on a level of 1e9, first stored densely, then as a sparse column without zeros.
    #[test]
    fn a_high_level_does_not_drown_the_spread() {
        let n = 1000;
        let y: Vec<f64> = (0..n).map(|i| f64::from(i * 37 % 101)).collect();
        let x: Vec<f64> = y.iter().map(|y| 1e9 - y).collect();
        let dense = Features::F64(Matrix::dense(n as usize, 1, &x).unwrap());
        let indptr: Vec<i64> = (0..=i64::from(n)).collect();
        let sparse = Features::F64(Matrix::sparse(1, indptr, vec![0; n as usize], &x).unwrap());
        for x in [dense, sparse] {
            let r = column_correlations(&x, &y, 1, &Run::new(1)).unwrap()[0];
            assert!((r + 1.0).abs() < 1e-12, "{r}");
        }
    }

    #[test]
    fn a_constant_target_and_a_single_row_give_nan() {
        let out = column_correlations(&dense(), &[0.1; 4], 1, &Run::new(1)).unwrap();
        assert!(out.iter().all(|r| r.is_nan()));
        let one = Features::F64(Matrix::dense(1, 5, &DENSE[..5]).unwrap());
        assert!(column_correlations(&one, &[1.0], 1, &Run::new(1)).unwrap()[0].is_nan());
        let none = Features::F64(Matrix::dense(0, 2, &[]).unwrap());
        assert!(column_correlations(&none, &[], 1, &Run::new(1)).unwrap().iter().all(|r| r.is_nan()));
    }

    #[test]
    fn wrong_targets_are_refused() {
        let run = Run::new(1);
        assert!(matches!(column_correlations(&dense(), &Y[1..], 1, &run), Err(Error::Shape { .. })));
        let y = [1., 2., f64::NAN, 4.];
        assert!(matches!(column_correlations(&dense(), &y, 1, &run), Err(Error::NotFinite { row: 2, .. })));
    }
}
