//! Exact nearest neighbors: products of blocks in single precision, then what can still be among the
//! nearest once more in double precision.
//!
//! A product in single precision is off by no more than a bound that follows from its length and the norms
//! of its factors (Higham, *Accuracy and Stability of Numerical Algorithms*, section 3.1). Each candidate
//! carries an interval, and is dropped only if `k` others are nearer for certain. The answer is therefore
//! the exact one, bit by bit, whatever the matrix product does: it depends neither on threads, nor on which
//! queries are asked together.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

use super::Vectors;
use crate::error::{Error, Result};
use crate::run::Run;
use crate::simd::dispatch;

/// Queries per block of work.
const QUERIES: usize = 64;
/// Reference vectors per product: 64 queries by 2048 vectors of 128 numbers stay in the cache.
const ROWS: usize = 2048;
/// Values that are looked at together before one of them is.
const LANES: usize = 32;

/// How far apart two vectors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metric {
    /// `1 - q.x / (|q| |x|)`; 1 if either vector is 0.
    Cosine,
    /// `|q - x|`
    L2,
    /// `-q.x`, which is smallest for the largest product.
    Dot,
}

impl Metric {
    /// From its name.
    ///
    /// # Errors
    /// [`Error::Parameter`]
    pub fn parse(name: &str) -> Result<Self> {
        match name {
            "cosine" => Ok(Self::Cosine),
            "l2" => Ok(Self::L2),
            "dot" => Ok(Self::Dot),
            _ => Err(Error::parameter("metric", "one of 'cosine', 'l2' and 'dot'", format!("{name:?}"))),
        }
    }

    /// The distance in double precision, terms added up in a fixed order.
    fn distance(self, q: &[f32], q_norm: f64, x: &[f32]) -> f64 {
        match self {
            Self::Cosine => {
                let norms = q_norm * dot(x, x).sqrt();
                if norms == 0.0 {
                    1.0
                } else {
                    1.0 - dot(q, x) / norms
                }
            }
            Self::L2 => {
                let mut sums = [0.0; 4];
                for (k, (&q, &x)) in q.iter().zip(x).enumerate() {
                    let d = f64::from(q) - f64::from(x);
                    sums[k % 4] += d * d;
                }
                ((sums[0] + sums[1]) + (sums[2] + sums[3])).sqrt()
            }
            Self::Dot => -dot(q, x),
        }
    }
}

fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0; 4];
    for (k, (&a, &b)) in a.iter().zip(b).enumerate() {
        sums[k % 4] += f64::from(a) * f64::from(b);
    }
    (sums[0] + sums[1]) + (sums[2] + sums[3])
}

/// Neighbors of each query, nearest first, `k` of each query after another.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Neighbors {
    /// Rows of the reference.
    pub rows: Vec<i64>,
    /// Distances, rounded to 9 decimals.
    pub distances: Vec<f64>,
}

/// Between which bounds the closeness of a row lies; larger is nearer.
#[derive(Debug, Clone, Copy)]
struct Candidate {
    least: f32,
    most: f32,
    row: u32,
}

/// Rows that can be among the `k` nearest of one query.
#[derive(Debug, Clone)]
struct Candidates {
    k: usize,
    /// `k` rows are at least this close.
    threshold: f32,
    limit: usize,
    found: Vec<Candidate>,
}

impl Candidates {
    fn new(k: usize) -> Self {
        Self { k, threshold: f32::NEG_INFINITY, limit: 4 * k + LANES, found: Vec::new() }
    }

    fn clear(&mut self) {
        self.threshold = f32::NEG_INFINITY;
        self.limit = 4 * self.k + LANES;
        self.found.clear();
    }

    /// Takes rows from `start` on, whose closeness is known within `slack`.
    fn extend(&mut self, start: usize, closeness: &[f32], slack: &[f32]) {
        for (part, (values, slack)) in closeness.chunks(LANES).zip(slack.chunks(LANES)).enumerate() {
            let mut any = false;
            for (&c, &s) in values.iter().zip(slack) {
                any |= c + s >= self.threshold;
            }
            if !any {
                continue;
            }
            for (at, (&c, &s)) in values.iter().zip(slack).enumerate() {
                if c + s >= self.threshold {
                    let row = (start + part * LANES + at) as u32;
                    self.found.push(Candidate { least: c - s, most: c + s, row });
                }
            }
            if self.found.len() >= self.limit {
                self.prune();
            }
        }
    }

    fn prune(&mut self) {
        if self.found.len() <= self.k {
            return;
        }
        let (_, kth, _) = self.found.select_nth_unstable_by(self.k - 1, |a, b| b.least.total_cmp(&a.least));
        self.threshold = kth.least;
        self.found.retain(|c| c.most >= self.threshold);
        // Many rows at one place can not be told apart: do not try again at every step.
        self.limit = self.limit.max(2 * self.found.len());
    }
}

struct Scratch {
    /// Closeness of one block of rows to one block of queries, query after query.
    products: Vec<f32>,
    norms: Vec<f32>,
    slack: Vec<f32>,
    candidates: Vec<Candidates>,
    out: Neighbors,
}

/// The `k` nearest of `reference` to each of `queries`; of rows at one distance the first.
///
/// Time is that of `queries.len() * reference.len() * dim` products; memory beyond the answer is some
/// hundred kilobytes a thread.
///
/// # Errors
/// [`Error::Shape`] for vectors of another length, [`Error::Parameter`] unless `1 <= k <=
/// reference.len() < 2^32`, [`Error::NotFinite`] for queries that are not, or a reference with fewer than `k`
/// vectors that are; [`Error::Cancelled`].
pub fn exact(
    reference: &Vectors<'_>,
    queries: &Vectors<'_>,
    k: usize,
    metric: Metric,
    run: &Run,
) -> Result<Neighbors> {
    check(reference, queries, k)?;
    let (n, dim) = (queries.len(), queries.dim());
    run.expect_steps(n);
    let mut out = Neighbors { rows: vec![0; n * k], distances: vec![0.0; n * k] };
    run.blocks(
        n,
        QUERIES,
        || Scratch {
            products: vec![0.0; QUERIES * ROWS],
            norms: vec![0.0; ROWS],
            slack: vec![0.0; ROWS],
            candidates: vec![Candidates::new(k); QUERIES],
            out: Neighbors::default(),
        },
        |s, range| {
            let m = range.len();
            let q = MatRef::from_row_major_slice(queries.rows(range.clone()), m, dim);
            let q_norms: Vec<f64> = range.clone().map(|i| norm(queries.row(i))).collect();
            s.candidates.iter_mut().for_each(Candidates::clear);
            for start in (0..reference.len()).step_by(ROWS) {
                run.tick(0)?;
                let stop = (start + ROWS).min(reference.len());
                let height = stop - start;
                let rows = reference.rows(start..stop);
                let x = MatRef::from_row_major_slice(rows, height, dim);
                let products = &mut s.products[..height * m];
                let dst = MatMut::from_column_major_slice_mut(&mut *products, height, m);
                matmul(dst, Accum::Replace, x, q.transpose(), 1.0, Par::Seq);
                dispatch(
                    #[inline(always)]
                    || {
                        for (norm, x) in s.norms.iter_mut().zip(rows.chunks_exact(dim)) {
                            *norm = square_norm(x);
                        }
                        for (i, found) in s.candidates[..m].iter_mut().enumerate() {
                            let c = &mut products[i * height..(i + 1) * height];
                            let slack = &mut s.slack[..height];
                            closeness(metric, dim, q_norms[i] as f32, &s.norms[..height], c, slack);
                            found.extend(start, c, slack);
                        }
                    },
                );
            }
            s.out.rows.clear();
            s.out.distances.clear();
            for (i, found) in range.clone().zip(&mut s.candidates) {
                found.prune();
                let rows = found.found.iter().map(|c| c.row as usize);
                nearest_of(reference, queries.row(i), rows, k, metric, &mut s.out)
                    .ok_or_else(|| Error::NotFinite { what: "the reference, or a query,".into(), row: i })?;
            }
            Ok(())
        },
        |s, range| store(&mut out, &s.out, range, k),
    )?;
    Ok(out)
}

/// The `k` nearest of some rows that somebody else found, by their exact distance.
///
/// * `candidates`: for each query `width` rows of the reference, -1 for none; repeated ones count once.
///
/// # Errors
/// As [`exact`]; [`Error::Parameter`] for a row that does not exist, [`Error::Shape`] for a table of another
/// size, [`Error::NotFinite`] where fewer than `k` candidates are left.
pub fn refine(
    reference: &Vectors<'_>,
    queries: &Vectors<'_>,
    candidates: &[i64],
    k: usize,
    metric: Metric,
    run: &Run,
) -> Result<Neighbors> {
    check(reference, queries, k)?;
    let n = queries.len();
    let width = candidates.len().checked_div(n).unwrap_or(0);
    super::check_table("`candidates`", candidates.len(), n, width)?;
    if let Some(row) = candidates.iter().find(|&&row| row >= reference.len() as i64) {
        return Err(Error::parameter("candidates", format!("below {}", reference.len()), row));
    }
    let mut out = Neighbors { rows: vec![0; n * k], distances: vec![0.0; n * k] };
    run.expect_steps(n);
    run.blocks(
        n,
        QUERIES,
        || (Neighbors::default(), Vec::new()),
        |(part, rows), range| {
            part.rows.clear();
            part.distances.clear();
            for i in range {
                rows.clear();
                let found = &candidates[i * width..(i + 1) * width];
                rows.extend(found.iter().filter_map(|&row| usize::try_from(row).ok()));
                rows.sort_unstable();
                rows.dedup();
                nearest_of(reference, queries.row(i), rows.iter().copied(), k, metric, part)
                    .ok_or_else(|| Error::NotFinite { what: "one of the candidates".into(), row: i })?;
            }
            Ok(())
        },
        |(part, _), range| store(&mut out, part, range, k),
    )?;
    Ok(out)
}

fn check(reference: &Vectors<'_>, queries: &Vectors<'_>, k: usize) -> Result<()> {
    if reference.dim() != queries.dim() {
        let expected = format!("length {}, as the reference has", reference.dim());
        return Err(Error::shape("the queries", expected, queries.dim()));
    }
    if k == 0 || k > reference.len() || u32::try_from(reference.len()).is_err() {
        return Err(Error::parameter("k", format!("between 1 and {}", reference.len()), k));
    }
    let bad = |i: &usize| queries.row(*i).iter().any(|x| !x.is_finite());
    match (0..queries.len()).find(bad) {
        Some(row) => Err(Error::NotFinite { what: "the query".into(), row }),
        None => Ok(()),
    }
}

fn store(out: &mut Neighbors, part: &Neighbors, range: std::ops::Range<usize>, k: usize) {
    out.rows[range.start * k..range.end * k].copy_from_slice(&part.rows);
    out.distances[range.start * k..range.end * k].copy_from_slice(&part.distances);
}

fn norm(x: &[f32]) -> f64 {
    dot(x, x).sqrt()
}

#[inline(always)]
fn square_norm(x: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 8];
    let (chunks, rest) = x.as_chunks::<8>();
    for chunk in chunks {
        for k in 0..8 {
            sums[k] += chunk[k] * chunk[k];
        }
    }
    for &x in rest {
        sums[0] += x * x;
    }
    sums.iter().sum()
}

/// From products to what grows as the distance falls, and how far off it may be.
///
/// A product of length `dim` is off by at most `dim u |q| |x|`, with u = 2^-24; the factors below leave room
/// for norms that were rounded too, and for the few operations here.
#[inline(always)]
fn closeness(metric: Metric, dim: usize, q_norm: f32, squares: &[f32], c: &mut [f32], slack: &mut [f32]) {
    let bound = (4 * dim + 32) as f32 * (0.5 * f32::EPSILON);
    match metric {
        Metric::Cosine => {
            for ((c, slack), &square) in c.iter_mut().zip(slack).zip(squares) {
                let norms = q_norm * square.sqrt();
                *c = if norms == 0.0 { 0.0 } else { *c / norms };
                *slack = bound;
            }
        }
        Metric::L2 => {
            for ((c, slack), &square) in c.iter_mut().zip(slack).zip(squares) {
                *c = 2.0 * *c - square;
                *slack = bound * (2.0 * q_norm * square.sqrt() + square);
            }
        }
        Metric::Dot => {
            for (slack, &square) in slack.iter_mut().zip(squares) {
                *slack = bound * q_norm * square.sqrt();
            }
        }
    }
}

/// Appends the `k` nearest of `rows`, which must differ; `None` if there are not `k` at a finite distance.
fn nearest_of(
    reference: &Vectors<'_>,
    query: &[f32],
    rows: impl Iterator<Item = usize>,
    k: usize,
    metric: Metric,
    out: &mut Neighbors,
) -> Option<()> {
    let q_norm = norm(query);
    let mut found: Vec<(f64, usize)> =
        rows.map(|row| (metric.distance(query, q_norm, reference.row(row)), row)).collect();
    found.retain(|(d, _)| d.is_finite());
    if found.len() < k {
        return None;
    }
    found.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    for &(distance, row) in &found[..k] {
        let rounded = (distance * 1e9).round_ties_even() / 1e9;
        // Equal directions are a bit below 0 before they are rounded, and -0 after.
        out.distances.push(if rounded == 0.0 { 0.0 } else { rounded });
        out.rows.push(row as i64);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All distances, sorted.
    fn slow(x: &Vectors<'_>, q: &[f32], k: usize, metric: Metric) -> Vec<(i64, f64)> {
        let mut all: Vec<(f64, i64)> =
            (0..x.len()).map(|i| (metric.distance(q, norm(q), x.row(i)), i as i64)).collect();
        all.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        all[..k].iter().map(|&(d, i)| (i, ((d * 1e9).round_ties_even() / 1e9).abs())).collect()
    }

    /// Numbers that repeat often, so that many distances are equal or nearly so.
    fn numbers(n: usize, coarse: bool, seed: u64) -> Vec<f32> {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        (0..n)
            .map(|_| {
                let x = (next() % 2001) as f32 / 1000.0 - 1.0;
                if coarse {
                    x.round()
                } else {
                    x
                }
            })
            .collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(60))]
        #[test]
        fn the_nearest_are_found(
            n in 1_usize..5000, m in 1_usize..80, dim in 1_usize..20, k in 1_usize..40, coarse: bool, seed: u64,
        ) {
            let k = k.min(n);
            let (x, q) = (numbers(n * dim, coarse, seed), numbers(m * dim, coarse, seed ^ 7));
            let (x, q) = (Vectors::new(n, dim, &x).unwrap(), Vectors::new(m, dim, &q).unwrap());
            for metric in [Metric::Cosine, Metric::L2, Metric::Dot] {
                let found = exact(&x, &q, k, metric, &Run::new(1)).unwrap();
                prop_assert_eq!(&exact(&x, &q, k, metric, &Run::new(3)).unwrap(), &found);
                for i in (0..m).step_by(9) {
                    for (at, (row, d)) in slow(&x, q.row(i), k, metric).into_iter().enumerate() {
                        prop_assert_eq!(found.rows[i * k + at], row);
                        prop_assert_eq!(found.distances[i * k + at].abs(), d);
                    }
                }
                // What is found among all rows is what is found at once, and alone.
                let all: Vec<i64> = (0..m).flat_map(|_| (0..n as i64).rev().chain([-1, 0])).collect();
                prop_assert_eq!(&refine(&x, &q, &all, k, metric, &Run::new(2)).unwrap(), &found);
                let alone = Vectors::new(1, dim, q.row(m - 1)).unwrap();
                let alone = exact(&x, &alone, k, metric, &Run::new(1)).unwrap();
                prop_assert_eq!(&alone.rows[..], &found.rows[(m - 1) * k..]);
            }
        }
    }

    #[test]
    fn far_from_the_origin_l2_is_exact() {
        // Differences of 0.001 at 1000: far below what single precision keeps of the squares.
        let x: Vec<f32> = (0..3000).flat_map(|i| [1000.0 + (i % 1500) as f32 * 0.001, 1000.0]).collect();
        let (x, q) = (Vectors::new(3000, 2, &x).unwrap(), [1000.0_f32, 1000.0]);
        let found = exact(&x, &Vectors::new(1, 2, &q).unwrap(), 4, Metric::L2, &Run::new(1)).unwrap();
        assert_eq!(found.rows, [0, 1500, 1, 1501]);
        assert_eq!(found.distances[..2], [0.0, 0.0]);
    }

    #[test]
    fn vectors_of_zero_are_at_distance_1() {
        let x = [0.0_f32, 0.0, 1.0, 0.0, -1.0, 0.0];
        let x = Vectors::new(3, 2, &x).unwrap();
        let find = |q: &[f32]| exact(&x, &Vectors::new(1, 2, q).unwrap(), 3, Metric::Cosine, &Run::new(1));
        assert_eq!(find(&[3.0, 0.0]).unwrap().rows, [1, 0, 2]);
        assert_eq!(find(&[3.0, 0.0]).unwrap().distances, [0.0, 1.0, 2.0]);
        assert_eq!(find(&[0.0, 0.0]).unwrap().rows, [0, 1, 2]);
        assert_eq!(find(&[0.0, 0.0]).unwrap().distances, [1.0; 3]);
    }

    #[test]
    fn what_can_not_be_searched_is_refused() {
        let x = [1.0_f32, 0.0, f32::NAN, 0.0];
        let x = Vectors::new(2, 2, &x).unwrap();
        let run = Run::new(1);
        let q = |q: &'static [f32]| Vectors::new(1, q.len(), q).unwrap();
        let find = |q, k| exact(&x, &q, k, Metric::Cosine, &run);
        assert_eq!(find(q(&[1.0, 0.0]), 1).unwrap().rows, [0]);
        assert!(matches!(find(q(&[1.0, 0.0]), 2), Err(Error::NotFinite { .. })));
        assert!(matches!(find(q(&[f32::INFINITY, 0.0]), 1), Err(Error::NotFinite { .. })));
        assert!(matches!(find(q(&[1.0, 0.0]), 3), Err(Error::Parameter { .. })));
        assert!(matches!(find(q(&[1.0, 0.0]), 0), Err(Error::Parameter { .. })));
        assert!(matches!(find(q(&[1.0]), 1), Err(Error::Shape { .. })));
        let refined = |rows: &[i64]| refine(&x, &q(&[1.0, 0.0]), rows, 1, Metric::L2, &run);
        assert!(matches!(refined(&[2]), Err(Error::Parameter { .. })));
        assert!(matches!(refined(&[-1]), Err(Error::NotFinite { .. })));
        run.cancel();
        assert_eq!(find(q(&[1.0, 0.0]), 1), Err(Error::Cancelled));
        assert!(Metric::parse("manhattan").is_err());
    }
}
