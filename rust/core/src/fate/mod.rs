//! Where a chain ends, and when: absorption probabilities and absorption times.

mod absorbing;
mod times;

use absorbing::Absorbing;
pub use times::{absorption_times, Times};

use crate::csr::TransitionMatrix;
use crate::error::{Error, Result};
use crate::run::Run;
use crate::solve::{self, Accuracy, Chain, Info, Params};

/// Round-off beyond [0, 1] that is clipped; more than this is an error.
const ROUND_OFF: f64 = 1e-12;
/// Errors of absorption probabilities aimed at, and put up with.
const ACCURACY: Accuracy = Accuracy { wanted: 1e-13, accepted: 5e-13, floor: 1.0, relative: false };

/// Absorption probabilities and how they were found.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// `(n, k)`, row after row.
    pub x: Vec<f64>,
    /// Number of target sets `k`.
    pub n_targets: usize,
    /// The solver's report.
    pub info: Info,
}

/// Probability that a chain started in each state ends in each target set.
///
/// Solves `(I - Q) X = R`, where `Q` is the transient-transient and `R` the transient-target block of `t`,
/// summed over the states of each set (Kemeny & Snell, *Finite Markov Chains*, section 3.3). One system
/// is not solved: the sets are reached with certainty, so its solution is what the others leave of 1.
///
/// * `t`: transition matrix, `(n, n)`.
/// * `target`: for each state the index of its target set, or `None`; length `n`.
///
/// Returns `x` of shape `(n, n_targets)` with the solver's report. Rows sum to 1 and values are accurate
/// to 1e-12 absolutely, however slowly the chain mixes; rows of target states are one-hot.
///
/// # Errors
/// [`Error::NoTarget`] without targets, [`Error::Unreachable`] when a state reaches none,
/// [`Error::Unsolved`] with the residual reached, [`Error::Shape`], [`Error::Parameter`],
/// [`Error::Cancelled`].
pub fn absorption_probabilities(
    t: &TransitionMatrix<'_>,
    target: &[Option<usize>],
    params: &Params,
    run: &Run,
) -> Result<Solution> {
    let problem = Absorbing::new(t, target, run)?;
    let (transient, info) = probabilities(&problem, params, run)?;
    let k = problem.k;
    let mut x = vec![0.0; target.len() * k];
    for (row, values) in problem.states.iter().zip(transient.chunks_exact(k)) {
        let start = *row as usize * k;
        x[start..start + k].copy_from_slice(values);
    }
    for (row, &c) in x.chunks_exact_mut(k).zip(target) {
        if let Some(c) = c {
            row[c] = 1.0;
        }
    }
    Ok(Solution { x, n_targets: k, info })
}

/// The same for the transient states only, in the order of `problem`.
fn probabilities(problem: &Absorbing, params: &Params, run: &Run) -> Result<(Vec<f64>, Info)> {
    let Absorbing { k, chain, hits, .. } = problem;
    let k = *k;
    let last = largest(hits, k);
    let others: Vec<usize> = (0..k).filter(|&c| c != last).collect();
    let b: Vec<f64> = hits.chunks_exact(k).flat_map(|row| others.iter().map(|&c| row[c])).collect();
    let (solved, mut info) = solve::solve(chain, &b, k - 1, ACCURACY, params, run)?;
    let mut x = vec![0.0; hits.len()];
    for (at, row) in x.chunks_exact_mut(k).enumerate() {
        let mut rest = 1.0;
        for (&value, &c) in solved[at * (k - 1)..].iter().zip(&others) {
            row[c] = value;
            rest -= value;
        }
        row[last] = rest;
    }
    info.residual = info.residual.max(residual(chain, hits, &x, k, last));
    let worst = x.iter().map(|&x| (-x).max(x - 1.0)).fold(0.0, f64::max);
    if worst > ROUND_OFF {
        return Err(Error::Unsolved { residual: info.residual, systems: k, iterations: info.iterations });
    }
    x.iter_mut().for_each(|x| *x = x.clamp(0.0, 1.0));
    Ok((x, info))
}

/// The column with the largest sum.
fn largest(hits: &[f64], k: usize) -> usize {
    let mut sums = vec![0.0; k];
    for row in hits.chunks_exact(k) {
        sums.iter_mut().zip(row).for_each(|(sum, h)| *sum += h);
    }
    (0..k).fold(0, |best, c| if sums[c] > sums[best] { c } else { best })
}

/// Relative residual of column `c`, which was not solved for.
fn residual(chain: &Chain, hits: &[f64], x: &[f64], k: usize, c: usize) -> f64 {
    let column = |from: &[f64]| -> Vec<[f64; 1]> { from.chunks_exact(k).map(|row| [row[c]]).collect() };
    let (b, x) = (column(hits), column(x));
    let mut r = vec![[0.0]; b.len()];
    chain.residual(&b, &x, &mut r);
    let norm = |v: &[[f64; 1]]| v.iter().map(|v| v[0] * v[0]).sum::<f64>().sqrt();
    match norm(&b) {
        0.0 => norm(&r),
        length => norm(&r) / length,
    }
}
