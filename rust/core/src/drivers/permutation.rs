//! Permutation test of correlations, and their intervals from bootstraps of the cells.

use super::packed::{Packed, CHUNK, PAD};
use super::random::Draws;
use crate::error::{Error, Result};
use crate::features::Features;
use crate::run::Run;
use crate::stats::{check_targets, deviations, moments};
use crate::with_matrix;

/// Targets that one pass over the matrix is made with: their sums stay in the cache.
const WIDTH: usize = 64;
/// Round-off in a correlation: one that is smaller by no more counts as equal, so that permutations which
/// change nothing do not depend on it.
const EQUAL: f64 = 1e-12;
/// Share of the sum of squares below which what is left after subtracting the mean is round-off.
const NOTHING: f64 = 1e-13;

/// How to test.
#[derive(Debug, Clone, Copy)]
pub struct Params {
    /// Number of permutations, and of bootstraps.
    pub n_perms: usize,
    /// Draw `d` is made from streams `2 d` and `2 d + 1` of this seed, whoever makes it.
    pub seed: u64,
    /// Ends of the interval, as quantiles in `[0, 1]`.
    pub quantiles: [f64; 2],
}

/// Correlations of columns with targets, `(n_cols, n_targets)` each, row after row.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PermutationTest {
    /// Pearson correlation.
    pub correlations: Vec<f64>,
    /// Share of the permutations whose correlation is at least as far from 0.
    pub p_values: Vec<f64>,
    /// Lower end of the interval.
    pub low: Vec<f64>,
    /// Upper end of the interval.
    pub high: Vec<f64>,
}

/// Tests the correlation of every column of `x` with every target.
///
/// * `x`: `(n_rows, n_cols)`; columns that are masked out are included.
/// * `targets`: `(n_rows, n_targets)`, row after row. A draw permutes, or draws with replacement, the rows of
///   all targets alike.
///
/// Everything is NaN where a column or target is constant and for columns that are not finite. The interval is
/// made of the quantiles (linear between order statistics) over the bootstraps in which neither column nor
/// target is constant.
///
/// Many draws are made per pass over the matrix, which is laid out anew for that: memory is 9 bytes for each
/// value that is not zero, `8 * n_cols * n_targets * n_perms` for the bootstraps, and less than `300 * n_rows`
/// per thread. Give some of the columns at a time to bound the former; results do not depend on it.
///
/// # Errors
/// [`Error::Parameter`] without permutations, for quantiles outside of `[0, 1]`, and when the bootstraps could
/// not be held in memory; [`Error::Shape`], [`Error::NotFinite`] as
/// [`crate::stats::column_correlations`]; [`Error::Cancelled`].
pub fn permutation_test(
    x: &Features<'_>,
    targets: &[f64],
    n_targets: usize,
    params: &Params,
    run: &Run,
) -> Result<PermutationTest> {
    let (n, n_cols) = with_matrix!(x, m => (m.n_rows(), m.n_cols()));
    check_targets(targets, n, n_targets)?;
    let mut boots = check(params, n, n_cols, n_targets)?;
    let quiet = Run::new(run.threads());
    let deviations = deviations(targets, n_targets);
    let total = with_matrix!(x, m => moments(m, targets, n_targets, &quiet))?;
    run.tick(0)?;
    let correlations = total.correlations(&deviations);
    let undefined = || vec![f64::NAN; correlations.len()];
    if correlations.iter().all(|r| r.is_nan()) {
        let [p_values, low, high] = [undefined(), undefined(), undefined()];
        return Ok(PermutationTest { correlations, p_values, low, high });
    }
    let alive: Vec<bool> = total.m2.iter().map(|&m2| m2 > 0.0 && m2.is_finite()).collect();
    let packed = with_matrix!(x, m => Packed::new(m, &alive, &total.mean, run))?;
    let y = centered(targets, n_targets);
    let job = Job { packed: &packed, y: &y, n, n_cols, k: n_targets, params, draws: Draws::new(params.seed) };

    run.expect_steps(2 * params.n_perms);
    // As sums of products, so that nothing is divided in the loops.
    let mut least = correlations.clone();
    for (row, &m2) in least.chunks_mut(n_targets).zip(&total.m2) {
        row.iter_mut().zip(&deviations).for_each(|(r, y)| *r = (r.abs() - EQUAL) * m2.sqrt() * y);
    }
    let hits = job.permute(&least, run)?;
    let n_perms = params.n_perms as f64;
    let share = |(&r, &hits): (&f64, &u32)| if r.is_nan() { r } else { f64::from(hits) / n_perms };
    let p_values = correlations.iter().zip(&hits).map(share).collect();

    boots.resize(n_cols * n_targets * params.n_perms, f64::NAN);
    job.bootstrap(&mut boots, run)?;
    let (mut low, mut high) = (undefined(), undefined());
    run.blocks(
        correlations.len(),
        64,
        Vec::new,
        |found: &mut Vec<[f64; 2]>, range| {
            let all = &boots[range.start * params.n_perms..range.end * params.n_perms];
            let rows = all.chunks_exact(params.n_perms).zip(&correlations[range]);
            found.clear();
            found.extend(rows.map(
                |(row, r)| {
                    if r.is_nan() {
                        [f64::NAN; 2]
                    } else {
                        quantiles(row, params.quantiles)
                    }
                },
            ));
            Ok(())
        },
        |found, range| {
            low[range.clone()].iter_mut().zip(&*found).for_each(|(low, f)| *low = f[0]);
            high[range].iter_mut().zip(&*found).for_each(|(high, f)| *high = f[1]);
        },
    )?;
    Ok(PermutationTest { correlations, p_values, low, high })
}

/// Checks the parameters; gives room for the correlations of all bootstraps.
fn check(params: &Params, n: usize, n_cols: usize, n_targets: usize) -> Result<Vec<f64>> {
    if params.n_perms == 0 {
        return Err(Error::parameter("n_perms", "positive", 0));
    }
    if let Some(q) = params.quantiles.iter().find(|q| !(0.0..=1.0).contains(*q)) {
        return Err(Error::parameter("quantiles", "in [0, 1]", q));
    }
    if u32::try_from(n).is_err() {
        return Err(Error::shape("the matrix", "less than 2^32 rows", n));
    }
    let size = n_cols.checked_mul(n_targets).and_then(|s| s.checked_mul(params.n_perms));
    let mut room = Vec::new();
    match size.map(|size| room.try_reserve_exact(size)) {
        Some(Ok(())) => Ok(room),
        _ => Err(Error::parameter("n_perms", "few enough to be held in memory", params.n_perms)),
    }
}

/// Targets less their means.
fn centered(targets: &[f64], k: usize) -> Vec<f64> {
    let mut out = targets.to_vec();
    let n = (targets.len() / k.max(1)).max(1) as f64;
    for t in 0..k {
        let first = targets.get(t).copied().unwrap_or(0.0);
        let column = || targets.iter().skip(t).step_by(k);
        let mean = column().map(|y| y - first).sum::<f64>() / n;
        out.iter_mut().skip(t).step_by(k).for_each(|y| *y = (*y - first) - mean);
    }
    out
}

/// Linear between order statistics (definition 7 of Hyndman & Fan, The American Statistician 1996), of the
/// numbers among `values`.
fn quantiles(values: &[f64], at: [f64; 2]) -> [f64; 2] {
    let mut sorted: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
    sorted.sort_unstable_by(f64::total_cmp);
    at.map(|q| {
        let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
        let place = q * last as f64;
        let below = (place as usize).min(last);
        let above = (below + 1).min(last);
        sorted[below] + (sorted[above] - sorted[below]) * (place - below as f64)
    })
}

struct Job<'a> {
    packed: &'a Packed,
    /// Centered targets.
    y: &'a [f64],
    n: usize,
    n_cols: usize,
    k: usize,
    params: &'a Params,
    draws: Draws,
}

/// What one thread holds for one block of draws.
#[derive(Debug, Default)]
struct Scratch {
    /// Draw after draw: where the target of each row comes from, or how often the row was drawn.
    drawn: Vec<u32>,
    /// Targets of one chunk of rows.
    y: Vec<f64>,
    sums: Vec<f64>,
    squares: Vec<f64>,
    /// Per draw and target: its sum and sum of squares.
    target: Vec<(f64, f64)>,
    hits: Vec<u32>,
    /// Correlations, `(n_draws, n_cols, k)`.
    found: Vec<f64>,
}

impl Job<'_> {
    /// How many permutations reach `least` in absolute value, per column and target.
    fn permute(&self, least: &[f64], run: &Run) -> Result<Vec<u32>> {
        let (n, k) = (self.n, self.k);
        let block = (WIDTH / k).max(1);
        let width = (block * k).next_multiple_of(PAD);
        let mut hits = vec![0; least.len()];
        run.blocks(
            self.params.n_perms,
            block,
            Scratch::default,
            |s, draws| {
                s.drawn.resize(n * block, 0);
                for (draw, out) in draws.clone().zip(s.drawn.chunks_exact_mut(n)) {
                    run.tick(0)?;
                    self.draws.permutation(draw, out);
                }
                s.sums.clear();
                s.sums.resize(self.n_cols * width, 0.0);
                s.y.clear();
                s.y.resize(CHUNK * width, 0.0);
                for (c, rows) in self.packed.chunks().enumerate() {
                    run.tick(0)?;
                    for (i, y) in rows.zip(s.y.chunks_exact_mut(width)) {
                        for b in 0..draws.len() {
                            let from = s.drawn[b * n + i] as usize;
                            y[b * k..(b + 1) * k].copy_from_slice(&self.y[from * k..(from + 1) * k]);
                        }
                    }
                    self.packed.accumulate(c, &s.y, width, &mut s.sums, None);
                }
                s.hits.clear();
                s.hits.resize(least.len(), 0);
                for (j, sums) in s.sums.chunks_exact(width).enumerate() {
                    for drawn in sums[..draws.len() * k].chunks_exact(k) {
                        let reach = drawn.iter().zip(&least[j * k..(j + 1) * k]);
                        let hits = s.hits[j * k..(j + 1) * k].iter_mut();
                        hits.zip(reach).for_each(|(h, (sum, least))| *h += u32::from(sum.abs() >= *least));
                    }
                }
                Ok(())
            },
            |s, _| hits.iter_mut().zip(&s.hits).for_each(|(all, some)| *all += some),
        )?;
        Ok(hits)
    }

    /// Correlations in bootstraps; `out` is `(n_cols, k, n_perms)`.
    fn bootstrap(&self, out: &mut [f64], run: &Run) -> Result<()> {
        let (n, k, n_perms) = (self.n, self.k, self.params.n_perms);
        let block = (WIDTH / (k + 1)).max(1);
        // A row is the weights of all draws, then the targets times the weights, draw after draw. Squares are
        // summed with the weights, and for the sake of whole registers with some more that nobody reads.
        let first = block.next_multiple_of(PAD);
        let width = (block * (k + 1)).next_multiple_of(PAD);
        run.blocks(
            n_perms,
            block,
            Scratch::default,
            |s, draws| {
                s.drawn.resize(n * block, 0);
                for (draw, out) in draws.clone().zip(s.drawn.chunks_exact_mut(n)) {
                    run.tick(0)?;
                    self.draws.bootstrap(draw, out);
                }
                s.sums.clear();
                s.sums.resize(self.n_cols * width, 0.0);
                s.squares.clear();
                s.squares.resize(self.n_cols * first, 0.0);
                s.y.clear();
                s.y.resize(CHUNK * width, 0.0);
                s.target.clear();
                s.target.resize(block * k, (0.0, 0.0));
                for (c, rows) in self.packed.chunks().enumerate() {
                    run.tick(0)?;
                    for (i, row) in rows.zip(s.y.chunks_exact_mut(width)) {
                        let y = &self.y[i * k..(i + 1) * k];
                        for b in 0..draws.len() {
                            let weight = f64::from(s.drawn[b * n + i]);
                            row[b] = weight;
                            let weighted = &mut row[block + b * k..block + (b + 1) * k];
                            let target = &mut s.target[b * k..(b + 1) * k];
                            for ((out, t), &y) in weighted.iter_mut().zip(target).zip(y) {
                                *out = weight * y;
                                t.0 += weight * y;
                                t.1 += weight * y * y;
                            }
                        }
                    }
                    let squares = Some((&mut s.squares[..], first));
                    self.packed.accumulate(c, &s.y, width, &mut s.sums, squares);
                }
                s.found.clear();
                for b in 0..draws.len() {
                    for j in 0..self.n_cols {
                        let sums = &s.sums[j * width..(j + 1) * width];
                        let (x, xx) = (sums[b], s.squares[j * first + b]);
                        let xy = &sums[block + b * k..block + (b + 1) * k];
                        let target = &s.target[b * k..(b + 1) * k];
                        let n = n as f64;
                        s.found.extend(xy.iter().zip(target).map(|(&xy, &(y, yy))| {
                            (xy - x * y / n) / (spread(x, xx, n) * spread(y, yy, n)).sqrt()
                        }));
                    }
                }
                Ok(())
            },
            |s, draws| {
                let per_draw = self.n_cols * k;
                for (draw, found) in draws.zip(s.found.chunks_exact(per_draw)) {
                    let places = out.iter_mut().skip(draw).step_by(n_perms);
                    places.zip(found).for_each(|(out, r)| *out = r.clamp(-1.0, 1.0));
                }
            },
        )
    }
}

/// Sum of squares about the mean; NaN when that is round-off.
fn spread(sum: f64, squares: f64, n: f64) -> f64 {
    let left = squares - sum * sum / n;
    if left > NOTHING * squares {
        left
    } else {
        f64::NAN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::features::Matrix;

    fn params(n_perms: usize) -> Params {
        Params { n_perms, seed: 1, quantiles: [0.025, 0.975] }
    }

    fn test(
        x: &[f64],
        n_cols: usize,
        y: &[f64],
        k: usize,
        threads: usize,
        n_perms: usize,
    ) -> PermutationTest {
        let x = Features::F64(Matrix::dense(x.len() / n_cols, n_cols, x).unwrap());
        permutation_test(&x, y, k, &params(n_perms), &Run::new(threads)).unwrap()
    }

    /// y = (0, 1, 2) has r = 1 with itself. Of the 6 orders, (0, 1, 2) and (2, 1, 0) have |r| = 1: p = 1/3.
    /// x = (0, 1, 0) has r = 0 with y, so every order reaches it: p = 1.
    #[test]
    fn three_cells_on_paper() {
        let x = [0., 0., 5., 1., 1., 5., 2., 0., 5.];
        let found = test(&x, 3, &[0., 1., 2.], 1, 1, 30_000);
        assert!((found.correlations[0] - 1.0).abs() < 1e-15);
        assert!((found.p_values[0] - 1.0 / 3.0).abs() < 0.01, "{found:?}");
        assert_eq!(found.p_values[1], 1.0);
        assert!([found.p_values[2], found.low[2], found.high[2]].iter().all(|v| v.is_nan()));
        // A bootstrap of a line is a line, or a point, which has no correlation.
        assert!((found.low[0] - 1.0).abs() < 1e-12 && (found.high[0] - 1.0).abs() < 1e-12);
    }

    #[test]
    fn quantiles_lie_between_order_statistics() {
        let found = quantiles(&[3.0, f64::NAN, 1.0, 2.0, 0.0], [0.5, 0.9]);
        assert!((found[0] - 1.5).abs() < 1e-15 && (found[1] - 2.7).abs() < 1e-15);
        assert!(quantiles(&[f64::NAN], [0.0, 1.0])[0].is_nan());
    }

    #[test]
    fn threads_and_neighboring_columns_change_no_bit() {
        let n = 600;
        let x: Vec<f64> = (0..2 * n).map(|i| ((i * 31 + i * i % 97) % 19) as f64).collect();
        let y: Vec<f64> = (0..5 * n).map(|i| ((i * 17 + i * i % 89) % 23) as f64).collect();
        let one = test(&x, 2, &y, 5, 1, 50);
        assert_eq!(test(&x, 2, &y, 5, 2, 50), one);
        let second: Vec<f64> = x.iter().skip(1).step_by(2).copied().collect();
        let alone = test(&second, 1, &y, 5, 3, 50);
        assert_eq!(alone.p_values, one.p_values[5..]);
        assert_eq!(alone.low, one.low[5..]);
        assert_eq!(alone.high, one.high[5..]);
    }

    #[test]
    fn wrong_parameters_are_refused_and_nothing_to_do_is_fine() {
        let x = Features::F64(Matrix::dense(2, 1, &[0.0, 1.0]).unwrap());
        let run = Run::new(1);
        assert!(permutation_test(&x, &[0.0, 1.0], 1, &params(0), &run).is_err());
        assert!(permutation_test(&x, &[0.0], 1, &params(1), &run).is_err());
        assert!(permutation_test(&x, &[0.0, f64::NAN], 1, &params(1), &run).is_err());
        assert!(permutation_test(&x, &[0.0, 1.0], 1, &params(usize::MAX), &run).is_err());
        let wrong = Params { quantiles: [-0.1, 0.5], ..params(1) };
        assert!(permutation_test(&x, &[0.0, 1.0], 1, &wrong, &run).is_err());
        assert!(permutation_test(&x, &[], 0, &params(3), &run).unwrap().low.is_empty());
        let none = Features::F64(Matrix::dense(0, 2, &[]).unwrap());
        assert!(permutation_test(&none, &[], 1, &params(3), &run).unwrap().p_values[0].is_nan());
        run.cancel();
        assert_eq!(permutation_test(&x, &[0.0, 1.0], 1, &params(3), &run), Err(Error::Cancelled));
    }
}
