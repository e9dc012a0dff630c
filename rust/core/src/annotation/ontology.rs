//! Scores of the terms of an ontology: a term collects the weight of the neighbors at or below it.

use super::{check_finite, check_table, quantile};
use crate::error::{Error, Result};
use crate::run::Run;

/// Queries per block of work.
const BLOCK: usize = 64;

/// For each term itself and all terms above it.
#[derive(Debug, Clone, Copy)]
pub struct Upward<'a> {
    indptr: &'a [i64],
    terms: &'a [i32],
}

impl<'a> Upward<'a> {
    /// Compressed rows: `terms[indptr[t]..indptr[t + 1]]` are term `t` and those above it, each once.
    ///
    /// # Errors
    /// [`Error::Structure`] when the arrays contradict each other.
    pub fn new(indptr: &'a [i64], terms: &'a [i32]) -> Result<Self> {
        let ends = indptr.first() == Some(&0) && indptr.last().copied() == i64::try_from(terms.len()).ok();
        if !ends || indptr.windows(2).any(|w| w[1] < w[0]) {
            return Err(Error::Structure("pointers and terms do not fit together".into()));
        }
        let n = indptr.len() - 1;
        if let Some(t) = terms.iter().find(|&&t| usize::try_from(t).map_or(true, |t| t >= n)) {
            return Err(Error::Structure(format!("term {t} is outside of 0..{n}")));
        }
        Ok(Self { indptr, terms })
    }

    /// Number of terms.
    #[must_use]
    pub fn n_terms(&self) -> usize {
        self.indptr.len() - 1
    }

    fn of(&self, term: usize) -> &'a [i32] {
        &self.terms[self.indptr[term] as usize..self.indptr[term + 1] as usize]
    }
}

/// Scores of all queries.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Scores {
    /// Where the terms of each query begin, and the end.
    pub indptr: Vec<i64>,
    /// Terms in increasing order.
    pub terms: Vec<i32>,
    /// Share of the weight that each collects, from 0 to 1.
    pub scores: Vec<f64>,
    /// Sum of the weights of each query.
    pub weights: Vec<f64>,
    /// Neighbors of each query that have no term.
    pub unrecognized: Vec<i64>,
}

impl Scores {
    fn clear(&mut self) {
        self.indptr.clear();
        self.terms.clear();
        self.scores.clear();
        self.weights.clear();
        self.unrecognized.clear();
    }
}

/// Scores terms by the neighbors of each query.
///
/// A neighbor at distance `d` weighs `exp(-prefactor d / m)`, where `m` is the median of the distances of the
/// query; all weigh 1 if `m` is 0. It adds its weight to its term and to each term above, and a score is
/// that sum over the weight of all neighbors, with or without a term.
///
/// * `neighbors`: terms of the neighbors, `k` of each query after another; negative for none.
/// * `distances`: likewise.
/// * `prune`: terms with a lower score are left out; if it is not positive, all terms are given.
///
/// # Errors
/// [`Error::Shape`], [`Error::Parameter`] for a term that does not exist or parameters that are not finite,
/// [`Error::NotFinite`], [`Error::Cancelled`].
pub fn scores(
    neighbors: &[i32],
    distances: &[f64],
    k: usize,
    upward: &Upward<'_>,
    prune: f64,
    prefactor: f64,
    run: &Run,
) -> Result<Scores> {
    let n = neighbors.len().checked_div(k).unwrap_or(0);
    check_table("the terms of neighbors", neighbors.len(), n, k)?;
    check_table("the distances", distances.len(), n, k)?;
    check_finite(distances, k)?;
    for (name, value) in [("prune", prune), ("prefactor", prefactor)] {
        if !value.is_finite() {
            return Err(Error::parameter(name, "finite", value));
        }
    }
    let outside = |t: &&i32| usize::try_from(**t).is_ok_and(|t| t >= upward.n_terms());
    if let Some(term) = neighbors.iter().find(outside) {
        return Err(Error::parameter("terms", format!("below {}", upward.n_terms()), term));
    }
    run.expect_steps(n);
    let mut parts: Vec<Scores> = vec![Scores::default(); n.div_ceil(BLOCK)];
    run.blocks(
        n,
        BLOCK,
        || (Scores::default(), vec![0.0; upward.n_terms()], Vec::new()),
        |(out, sums, sorted), range| {
            out.clear();
            for i in range {
                let at = i * k..(i + 1) * k;
                query(&neighbors[at.clone()], &distances[at], upward, prune, prefactor, sums, sorted, out);
            }
            Ok(())
        },
        |(out, _, _), range| parts[range.start / BLOCK] = out.clone(),
    )?;
    let mut all = Scores { indptr: vec![0], ..Scores::default() };
    for part in parts {
        let before = all.terms.len() as i64;
        all.indptr.extend(part.indptr.iter().map(|end| before + end));
        all.terms.extend(part.terms);
        all.scores.extend(part.scores);
        all.weights.extend(part.weights);
        all.unrecognized.extend(part.unrecognized);
    }
    Ok(all)
}

#[expect(clippy::too_many_arguments, reason = "the inner loop of one function")]
fn query(
    neighbors: &[i32],
    distances: &[f64],
    upward: &Upward<'_>,
    prune: f64,
    prefactor: f64,
    sums: &mut [f64],
    sorted: &mut Vec<f64>,
    out: &mut Scores,
) {
    sorted.clear();
    sorted.extend_from_slice(distances);
    sorted.sort_unstable_by(f64::total_cmp);
    let median = quantile(sorted, 0.5);
    let gamma = if median == 0.0 { 0.0 } else { -prefactor / median };
    // Shares do not change when all weights are multiplied; so scaled, the largest is 1 and none overflows.
    let highest = distances.iter().fold(f64::NEG_INFINITY, |a, d| a.max(gamma * d));
    let (mut total, mut scaled, mut unrecognized) = (0.0, 0.0, 0);
    sums.fill(0.0);
    for (&term, d) in neighbors.iter().zip(distances) {
        total += (gamma * d).exp();
        let weight = (gamma * d - highest).exp();
        scaled += weight;
        match usize::try_from(term) {
            Ok(term) => {
                for &t in upward.of(term) {
                    sums[t as usize] += weight;
                }
            }
            Err(_) => unrecognized += 1,
        }
    }
    for (t, &sum) in sums.iter().enumerate() {
        let score = (sum / scaled).min(1.0);
        if prune <= 0.0 || score >= prune {
            out.terms.push(t as i32);
            out.scores.push(score);
        }
    }
    out.indptr.push(out.terms.len() as i64);
    out.weights.push(total.min(f64::MAX));
    out.unrecognized.push(unrecognized);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 is above 1 and 2, both are above 3; 4 stands alone.
    const INDPTR: [i64; 6] = [0, 1, 3, 5, 9, 10];
    const TERMS: [i32; 10] = [0, 0, 1, 0, 2, 0, 1, 2, 3, 4];

    fn run(terms: &[i32], distances: &[f64], prune: f64) -> Scores {
        let upward = Upward::new(&INDPTR, &TERMS).unwrap();
        let one = scores(terms, distances, terms.len(), &upward, prune, 1.0, &Run::new(1)).unwrap();
        let many = |v: &[i32]| v.repeat(200);
        let two =
            scores(&many(terms), &distances.repeat(200), terms.len(), &upward, prune, 1.0, &Run::new(2));
        let two = two.unwrap();
        assert_eq!(two.scores, one.scores.repeat(200));
        assert_eq!(two.indptr.len(), 201);
        one
    }

    #[test]
    fn a_term_collects_what_is_below_it() {
        // Distances 1 and 3, median 2: weights exp(-1/2) and exp(-3/2).
        let (a, b) = ((-0.5_f64).exp(), (-1.5_f64).exp());
        let out = run(&[3, 1], &[1.0, 3.0], 0.1);
        assert_eq!(out.terms, [0, 1, 2, 3]);
        let expected = [1.0, 1.0, a / (a + b), a / (a + b)];
        assert!(out.scores.iter().zip(expected).all(|(x, y)| (x - y).abs() < 1e-15));
        assert!((out.weights[0] - (a + b)).abs() < 1e-15);
        assert_eq!(run(&[3, 1], &[1.0, 3.0], 0.9).terms, [0, 1]);
        assert_eq!(run(&[3, 1], &[1.0, 3.0], 0.0).terms, [0, 1, 2, 3, 4]);
    }

    #[test]
    fn equal_weights_where_the_median_is_0() {
        let out = run(&[1, 2, -1], &[0.0, 0.0, 5.0], 0.0);
        assert_eq!(out.weights, [3.0]);
        assert_eq!(out.unrecognized, [1]);
        assert!((out.scores[0] - 2.0 / 3.0).abs() < 1e-15 && (out.scores[1] - 1.0 / 3.0).abs() < 1e-15);
    }

    #[test]
    fn steep_weights_neither_vanish_nor_overflow() {
        let upward = Upward::new(&INDPTR, &TERMS).unwrap();
        for (prefactor, winner) in [(1e6, 1), (-1e6, 2)] {
            let s = scores(&[1, 2], &[1.0, 2.0], 2, &upward, 0.5, prefactor, &Run::new(1)).unwrap();
            assert_eq!(s.terms, [0, winner]);
            assert_eq!(s.scores, [1.0, 1.0]);
            assert!(s.weights[0].is_finite());
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        assert!(Upward::new(&[0, 1], &[1]).is_err());
        assert!(Upward::new(&[0, 2], &[0]).is_err());
        assert!(Upward::new(&[], &[]).is_err());
        let upward = Upward::new(&INDPTR, &TERMS).unwrap();
        let go = |t: &[i32], d: &[f64], k, prune| scores(t, d, k, &upward, prune, 1.0, &Run::new(1));
        assert!(go(&[5], &[1.0], 1, 0.0).is_err());
        assert!(go(&[0], &[1.0, 2.0], 1, 0.0).is_err());
        assert!(go(&[0], &[1.0], 0, 0.0).is_err());
        assert!(go(&[0], &[f64::NAN], 1, 0.0).is_err());
        assert!(go(&[0], &[1.0], 1, f64::NAN).is_err());
    }
}
