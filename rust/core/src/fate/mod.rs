//! Where a chain ends, and when: absorption probabilities and absorption times.

mod absorbing;
mod times;

use absorbing::{Absorbing, Order};
pub use times::{absorption_times, Times};

use crate::csr::TransitionMatrix;
use crate::error::{Error, Result};
use crate::run::Run;
use crate::solve::{self, Accuracy, Info, Params};

/// Round-off beyond [0, 1] that is clipped; more than this is an error.
const ROUND_OFF: f64 = 1e-12;
/// How far the sum of a row may be from 1.
const SUM: f64 = 1e-11;
/// Bound of the errors of absorption probabilities on chains that mix fast.
const BOUND: f64 = 1e-11;
/// Errors of absorption probabilities aimed at on other chains, and put up with.
const ACCURACY: Accuracy =
    Accuracy { wanted: 1e-13, accepted: 5e-13, floor: 1.0, relative: false, confirmed: false };

/// Absorption probabilities and how they were found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
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
/// summed over the states of each set (Kemeny & Snell, *Finite Markov Chains*, section 3.3). The systems are
/// solved on their own: that their solutions sum to 1 is the test of their accuracy.
///
/// * `t`: transition matrix, `(n, n)`.
/// * `target`: for each state the index of its target set, or `None`; length `n`.
///
/// Returns `x` of shape `(n, n_targets)` with the solver's report. Rows sum to 1 within 1e-11, and values
/// are accurate to about 1e-11, however slowly the chain mixes; rows of target states are one-hot.
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
    let (problem, transient, info) = match quickly(t, target, params, run)? {
        Some(solved) => solved,
        None => {
            let problem = Absorbing::new(t, target, Order::Links, run)?;
            let (transient, info) = probabilities(&problem, ACCURACY, params, run)?;
            (problem, transient, info)
        }
    };
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

/// Problem, probabilities of the transient states and report, if the chain mixes fast.
fn quickly(
    t: &TransitionMatrix<'_>,
    target: &[Option<usize>],
    params: &Params,
    run: &Run,
) -> Result<Option<(Absorbing, Vec<f64>, Info)>> {
    let several = target.iter().flatten().any(|&c| c > 0);
    if !several || !solve::worthwhile(t.n_rows(), params) {
        return Ok(None);
    }
    let problem = Absorbing::new(t, target, Order::Jumps, run)?;
    let Absorbing { k, chain, hits, .. } = &problem;
    let found = solve::solve_quickly(chain, hits, *k, BOUND, params, run)?;
    Ok(found.filter(|(x, _)| !unsound(x, *k)).map(|(x, info)| (problem, clipped(x), info)))
}

/// Without the round-off beyond [0, 1].
fn clipped(mut x: Vec<f64>) -> Vec<f64> {
    x.iter_mut().for_each(|x| *x = x.clamp(0.0, 1.0));
    x
}

/// The same for the transient states only, in the order of `problem`, as accurate as `accuracy` says.
fn probabilities(
    problem: &Absorbing,
    accuracy: Accuracy,
    params: &Params,
    run: &Run,
) -> Result<(Vec<f64>, Info)> {
    let Absorbing { k, chain, hits, .. } = problem;
    let k = *k;
    if k == 1 {
        // Reached with certainty.
        let info = solve::solve(chain, &[], 0, accuracy, params, run)?.1;
        return Ok((vec![1.0; hits.len()], info));
    }
    let (mut x, mut info) = solve::solve(chain, hits, k, accuracy, params, run)?;
    if unsound(&x, k) {
        let strict = Accuracy { confirmed: true, ..accuracy };
        (x, info) = solve::solve(chain, hits, k, strict, params, run)?;
    }
    if unsound(&x, k) {
        let direct = Params { method: solve::Method::Direct, ..*params };
        (x, info) = solve::solve(chain, hits, k, accuracy, &direct, run)?;
    }
    if unsound(&x, k) {
        return Err(Error::Unsolved { residual: info.residual, systems: k, iterations: info.iterations });
    }
    Ok((clipped(x), info))
}

/// Whether a row does not sum to 1 or a value is out of [0, 1], by more than round-off.
fn unsound(x: &[f64], k: usize) -> bool {
    x.chunks_exact(k).any(|row| {
        (row.iter().sum::<f64>() - 1.0).abs() > SUM
            || row.iter().any(|x| !(-ROUND_OFF..=1.0 + ROUND_OFF).contains(x))
    })
}
