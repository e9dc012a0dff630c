//! Graphs biased along a pseudotime, so that a walk on them moves forward.

use pulp::{Simd, WithSimd};

use crate::csr::{Csr, Graph};
use crate::error::{Error, Result};
use crate::rows::assemble;
use crate::run::Run;
use crate::simd;

/// The hard scheme protects at most this many neighbors of a cell.
const MOST_KEPT: usize = 30;
/// Up to this many neighbors our own selection is the faster one.
const FEW: usize = 128;
/// Bins that weights are counted in.
const BINS: u32 = 64;

/// How edges into the past are treated. Holding one is the proof that its parameters are in range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scheme(Kind);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Hard { frac_to_keep: f64 },
    Soft { b: f64, power: f64 },
}

impl Scheme {
    /// Edges into the past are removed, except to the closest neighbors (Setty et al., Nature
    /// Biotechnology 2019, Palantir).
    ///
    /// Of a cell with `n` neighbors, the `min(30, floor(frac_to_keep * n))` of largest weight are kept
    /// whatever their time; among equal weights the one that is stored later goes first.
    ///
    /// # Errors
    /// [`Error::Parameter`] when `frac_to_keep` is not in `[0, 1]`.
    pub fn hard(frac_to_keep: f64) -> Result<Self> {
        if (0.0..=1.0).contains(&frac_to_keep) {
            return Ok(Self(Kind::Hard { frac_to_keep }));
        }
        Err(Error::parameter("frac_to_keep", "in [0, 1]", frac_to_keep))
    }

    /// Edges that go back in time by `d > 0` are multiplied by `2 / (1 + exp(b d))^(1 / nu)`, a
    /// generalised logistic function (Stassen et al., Nature Communications 2021, VIA).
    ///
    /// # Errors
    /// [`Error::Parameter`] when `b` is negative or `nu` not positive, or one of them not finite.
    pub fn soft(b: f64, nu: f64) -> Result<Self> {
        if !(b.is_finite() && b >= 0.0) {
            return Err(Error::parameter("b", "finite and not negative", b));
        }
        if !(nu.is_finite() && nu > 0.0) {
            return Err(Error::parameter("nu", "finite and positive", nu));
        }
        Ok(Self(Kind::Soft { b, power: 1.0 / nu }))
    }

    /// Replaces the weights of one cell at time `t` by the biased ones.
    ///
    /// `times` and `weights` are those of its neighbors and of the same length; `scratch` is overwritten.
    fn bias(self, t: f64, times: &[f64], weights: &mut [f64], scratch: &mut Vec<f64>) {
        match self.0 {
            Kind::Hard { frac_to_keep } => keep_closest(t, times, weights, frac_to_keep, scratch),
            Kind::Soft { b, power } => {
                scratch.clear();
                // Times may lie so far apart that their distance is infinite; with b = 0 that is NaN, which
                // `min` turns into the 0 that is meant.
                scratch.extend(times.iter().map(|&tj| (b * (tj - t)).min(0.0)));
                simd::dispatch(Exponentials(scratch));
                // e^-x -> 2 / (1 + e^x)^power: from the inverse, nothing can overflow. The default power is 2;
                // the choice stands outside of the loop, where the compiler would make both.
                scratch.iter_mut().for_each(|e| *e /= 1.0 + *e);
                if power == 2.0 {
                    scratch.iter_mut().for_each(|e| *e *= *e);
                } else {
                    scratch.iter_mut().for_each(|e| *e = e.powf(power));
                }
                for ((w, &tj), &e) in weights.iter_mut().zip(times).zip(scratch.iter()) {
                    // A factor above 1, as of a large nu, must not lift a huge weight to infinity.
                    let biased = (*w * (2.0 * e)).clamp(f64::MIN, f64::MAX);
                    *w = if tj < t { biased } else { *w };
                }
            }
        }
    }

    /// The scheme for one cell: the biased weights of its neighbors, zeros included.
    ///
    /// # Errors
    /// [`Error::Shape`] when `times` and `weights` differ in length, [`Error::NotFinite`] for NaN or
    /// infinite input (its `row` is the neighbor; a bad `t` is reported as row 0 of `t`).
    pub fn one_cell(self, t: f64, times: &[f64], weights: &[f64]) -> Result<Vec<f64>> {
        if times.len() != weights.len() {
            let expected = format!("one value per neighbor ({})", weights.len());
            return Err(Error::shape("the pseudotime of the neighbors", expected, times.len()));
        }
        for (what, values) in
            [("`t`", &[t][..]), ("the pseudotime of the neighbors", times), ("`weights`", weights)]
        {
            finite(what, values)?;
        }
        let mut out = weights.to_vec();
        self.bias(t, times, &mut out, &mut Vec::new());
        Ok(out)
    }
}

fn finite(what: &str, values: &[f64]) -> Result<()> {
    match values.iter().position(|x| !x.is_finite()) {
        Some(row) => Err(Error::NotFinite { what: what.into(), row }),
        None => Ok(()),
    }
}

struct Exponentials<'s>(&'s mut [f64]);

impl WithSimd for Exponentials<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        simd::exp_in_place(simd, self.0);
    }
}

fn keep_closest(t: f64, times: &[f64], weights: &mut [f64], frac_to_keep: f64, scratch: &mut Vec<f64>) {
    let n = weights.len();
    // Non-negative and at most n, so the cast is exact.
    let k = MOST_KEPT.min((n as f64 * frac_to_keep).floor() as usize);
    if k >= n {
        return;
    }
    let (cut, mut at_cut) = if k == 0 { (f64::INFINITY, 0) } else { cut(weights, k, scratch) };
    for (w, &tj) in weights.iter_mut().zip(times).rev() {
        let tie = *w == cut && at_cut > 0;
        at_cut -= usize::from(tie);
        let keep = (t <= tj) | (*w > cut) | tie;
        *w = if keep { *w } else { 0.0 };
    }
}

/// The `k`-th largest weight, and how many of those that equal it belong to the `k` largest.
///
/// Counts how many weights fall into each of some bins of equal width; then only the weights of the bin
/// with the `k`-th are looked at one by one. Rounding can not put a larger weight into a lower bin.
fn cut(weights: &[f64], k: usize, scratch: &mut Vec<f64>) -> (f64, usize) {
    let low = weights.iter().copied().fold(f64::INFINITY, f64::min);
    let high = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let scale = (BINS - 1) as f64 / (high - low);
    // The cast saturates and turns NaN into 0: a scale that is infinite or zero does no harm.
    let bin = |w: f64| (((w - low) * scale) as u32).min(BINS - 1) as usize;
    let mut counts = [0_u32; BINS as usize];
    weights.iter().for_each(|&w| counts[bin(w)] += 1);
    let (mut with, mut rank) = (BINS as usize - 1, k);
    while counts[with] < rank as u32 {
        rank -= counts[with] as usize;
        with -= 1;
    }
    scratch.clear();
    scratch.resize(weights.len(), 0.0);
    let mut n = 0;
    for &w in weights {
        scratch[n] = w;
        n += usize::from(bin(w) == with);
    }
    let same = &mut scratch[..n];
    let cut = if n > FEW {
        *same.select_nth_unstable_by(rank - 1, |a, b| b.total_cmp(a)).1
    } else {
        select(same, rank)
    };
    (cut, rank - same.iter().map(|&w| usize::from(w > cut)).sum::<usize>())
}

/// The `k`-th largest of a few values, `1 <= k <= values.len()`.
///
/// Quickselect whose partition has no branch: with this few values, mispredicted branches are most of
/// what the standard library's selection costs.
fn select(mut values: &mut [f64], mut k: usize) -> f64 {
    loop {
        let pivot = values[values.len() / 2];
        let above = to_front(values, |v| v > pivot);
        if k <= above {
            values = &mut values[..above];
            continue;
        }
        let level = to_front(&mut values[above..], |v| v == pivot);
        if k <= above + level {
            return pivot;
        }
        k -= above + level;
        values = &mut values[above + level..];
    }
}

/// Moves the values that `belongs` accepts to the front and counts them.
fn to_front(values: &mut [f64], belongs: impl Fn(f64) -> bool) -> usize {
    let mut n = 0;
    for i in 0..values.len() {
        let v = values[i];
        values.swap(i, n);
        n += usize::from(belongs(v));
    }
    n
}

/// Biases every row of `graph` by `scheme` along `pseudotime`; entries that become zero are dropped.
///
/// * `graph`: weights between cells, `(n, n)`.
/// * `pseudotime`: time of each cell, any unit, length `n`.
///
/// Rows are not normalised, and may become empty.
///
/// # Errors
/// [`Error::Shape`] when the lengths differ, [`Error::NotFinite`] for NaN or infinite pseudotime,
/// [`Error::Cancelled`].
pub fn bias_knn(graph: &Graph<'_>, pseudotime: &[f64], scheme: Scheme, run: &Run) -> Result<Csr<'static>> {
    let n = graph.n_rows();
    if pseudotime.len() != n {
        return Err(Error::shape("the pseudotime", format!("one value per cell ({n})"), pseudotime.len()));
    }
    finite("the pseudotime", pseudotime)?;
    assemble((n, n), graph.nnz(), run, <(Vec<f64>, Vec<f64>, Vec<f64>)>::default, |scratch, i, out| {
        let (times, biased, scratch) = scratch;
        let (cols, weights) = graph.row(i);
        times.clear();
        times.extend(cols.iter().map(|&j| pseudotime[j as usize]));
        biased.clear();
        biased.extend_from_slice(weights);
        scheme.bias(pseudotime[i], times, biased, scratch);
        let (out_cols, out_weights) = out.space(cols.len());
        let mut kept = 0;
        for (&col, &w) in cols.iter().zip(&*biased) {
            out_cols[kept] = col;
            out_weights[kept] = w;
            kept += usize::from(w != 0.0);
        }
        out.close(kept);
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// At time 2 with neighbors at 1, 3, 0, 2 and half of four kept: the weights 4 and 3 survive in the
    /// past (times 1 and 0), the others only because their times 3 and 2 are not before 2.
    #[test]
    fn hard_keeps_the_closest_and_the_future() {
        let half = Scheme::hard(0.5).unwrap();
        let out = half.one_cell(2.0, &[1.0, 3.0, 0.0, 2.0], &[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(out, [4.0, 1.0, 3.0, 2.0]);
        let quarter = Scheme::hard(0.25).unwrap();
        let out = quarter.one_cell(2.0, &[1.0, 3.0, 0.0, 2.0], &[4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!(out, [4.0, 1.0, 0.0, 2.0]);
    }

    #[test]
    fn among_equal_weights_the_later_neighbor_is_kept() {
        let scheme = Scheme::hard(0.5).unwrap();
        let out = scheme.one_cell(1.0, &[0.0; 4], &[2.0, 1.0, 1.0, 1.0]).unwrap();
        assert_eq!(out, [2.0, 0.0, 0.0, 1.0]);
        let out = scheme.one_cell(1.0, &[0.0; 4], &[1.0; 4]).unwrap();
        assert_eq!(out, [0.0, 0.0, 1.0, 1.0]);
    }

    #[test]
    fn hard_protects_nobody_at_zero_and_at_most_thirty_at_one() {
        let (times, weights) = ([0.0; 40], [1.0; 40]);
        let count = |frac| {
            let out = Scheme::hard(frac).unwrap().one_cell(1.0, &times, &weights).unwrap();
            out.iter().filter(|&&w| w > 0.0).count()
        };
        assert_eq!((count(0.0), count(0.5), count(1.0)), (0, 20, 30));
    }

    /// Few and many neighbors, with ties, over many orders of magnitude and at the ends of what a number
    /// can be, against sorting by weight and position.
    #[test]
    fn the_closest_are_those_of_a_stable_sort() {
        let spreads: [fn(f64) -> f64; 5] = [
            |w| w,
            |w| 1.0 + w * f64::EPSILON,
            |w| 10_f64.powf(w * 19.0 - 300.0),
            |w| (w - 15.0) * 1e307,
            |w| w * f64::MIN_POSITIVE * f64::EPSILON,
        ];
        for n in [1, 2, 3, 10, 43, 128, 129, 500] {
            let times = vec![0.0; n as usize];
            for (spread, frac) in spreads.iter().flat_map(|s| [0.1, 0.3, 0.5, 0.9].map(|f| (s, f))) {
                let weights: Vec<f64> = (0..n).map(|i| spread(f64::from(i * 7919 % 31))).collect();
                let mut order: Vec<usize> = (0..n as usize).collect();
                order.sort_by(|&a, &b| (weights[b], b).partial_cmp(&(weights[a], a)).unwrap());
                let k = MOST_KEPT.min((f64::from(n) * frac) as usize);
                let mut expected = vec![0.0; n as usize];
                order[..k].iter().for_each(|&i| expected[i] = weights[i]);
                let out = Scheme::hard(frac).unwrap().one_cell(1.0, &times, &weights).unwrap();
                assert_eq!(out, expected, "{n} {frac}");
            }
        }
    }

    /// b = ln 3, nu = 0.5: one step back divides by (1 + 3)^2 = 16 and multiplies by 2.
    #[test]
    fn soft_halves_and_more() {
        let scheme = Scheme::soft(3.0_f64.ln(), 0.5).unwrap();
        let out = scheme.one_cell(1.0, &[0.0, 1.0, 2.0], &[8.0, 1.0, 1.0]).unwrap();
        assert!((out[0] - 1.0).abs() < 1e-15);
        assert_eq!(out[1..], [1.0, 1.0]);
        // nu = 1: 2 / (1 + 3) = 1/2.
        let scheme = Scheme::soft(3.0_f64.ln(), 1.0).unwrap();
        assert!((scheme.one_cell(1.0, &[0.0], &[8.0]).unwrap()[0] - 4.0).abs() < 1e-14);
    }

    #[test]
    fn a_steep_soft_scheme_removes_and_does_not_overflow() {
        let scheme = Scheme::soft(1e300, 0.1).unwrap();
        assert_eq!(scheme.one_cell(1e10, &[-1e10, 1e10], &[1.0, 1.0]).unwrap(), [0.0, 1.0]);
        // b = 0, nu = 1 has no effect at all: 2 / (1 + 1), also at an infinite distance.
        let scheme = Scheme::soft(0.0, 1.0).unwrap();
        assert_eq!(scheme.one_cell(f64::MAX, &[f64::MIN], &[3.0]).unwrap(), [3.0]);
        let scheme = Scheme::soft(0.0, 1e300).unwrap();
        assert_eq!(scheme.one_cell(1.0, &[0.0], &[f64::MAX]).unwrap(), [f64::MAX]);
    }

    /// 0 - 1 - 2 on a line with times 0, 1, 2: nothing protected, so only forward edges are left.
    #[test]
    fn a_line_becomes_one_way() {
        let csr = Csr::new(3, vec![0, 1, 3, 4], vec![1, 0, 2, 1], vec![1.0, 1.0, 3.0, 3.0]).unwrap();
        let graph = Graph::new(csr).unwrap();
        let scheme = Scheme::hard(0.0).unwrap();
        let out = bias_knn(&graph, &[0.0, 1.0, 2.0], scheme, &Run::new(2)).unwrap();
        assert_eq!(out.into_parts(), (vec![0, 1, 2, 2], vec![1, 2], vec![1.0, 3.0]));
        assert!(matches!(
            bias_knn(&graph, &[0.0, f64::NAN, 2.0], scheme, &Run::new(1)),
            Err(Error::NotFinite { row: 1, .. })
        ));
        assert!(matches!(bias_knn(&graph, &[0.0], scheme, &Run::new(1)), Err(Error::Shape { .. })));
    }

    #[test]
    fn parameters_out_of_range_are_named() {
        for frac in [-0.1, 1.1, f64::NAN] {
            assert!(Scheme::hard(frac).unwrap_err().to_string().contains("frac_to_keep"));
        }
        for (b, nu) in [(-1.0, 0.5), (f64::NAN, 0.5), (1.0, 0.0), (1.0, f64::INFINITY)] {
            assert!(Scheme::soft(b, nu).is_err());
        }
        let scheme = Scheme::hard(0.3).unwrap();
        assert!(matches!(scheme.one_cell(0.0, &[1.0], &[1.0, 2.0]), Err(Error::Shape { .. })));
        assert!(matches!(scheme.one_cell(f64::NAN, &[1.0], &[1.0]), Err(Error::NotFinite { .. })));
    }
}
