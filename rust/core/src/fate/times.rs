//! Mean and variance of the number of steps until a chain reaches a target set.

use super::absorbing::{Absorbing, Order};
use super::probabilities;
use crate::csr::TransitionMatrix;
use crate::error::Result;
use crate::run::Run;
use crate::solve::{self, Accuracy, Info, Params};

/// A state that reaches a set with less than this probability is treated as one that never does.
const POSSIBLE: f64 = 1e-14;
/// Probabilities that are divided by: errors in units of the value, down to [`POSSIBLE`].
const PROBABILITIES: Accuracy =
    Accuracy { wanted: 1e-10, accepted: 5e-13, floor: POSSIBLE, relative: false, confirmed: true };
/// Errors in units of the value, down to what stems from [`POSSIBLE`]; put up with are errors in units of
/// the largest value.
const ACCURACY: Accuracy =
    Accuracy { wanted: 1e-10, accepted: 1e-12, floor: POSSIBLE, relative: true, confirmed: true };

/// Absorption times, in steps.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Times {
    /// Mean, `(n, k)`, row after row.
    pub mean: Vec<f64>,
    /// Variance, in the same shape, if it was asked for.
    pub variance: Option<Vec<f64>>,
    /// Number of target sets `k`.
    pub n_targets: usize,
    /// The solver's report on the system that took most.
    pub info: Info,
}

/// Number of steps until absorption in each target set, for walks that end there.
///
/// With `h` the probability of ending in the set (1 if there is one set only), the walks that do form a
/// chain with probabilities `q_ij h_j / h_i`. Its mean `m` and variance `v` solve
///
/// `(I - Q) (h m) = h` and `(I - Q) (h v) = g`, `g_i = sum_j q_ij h_j (m_j + 1 - m_i)^2`,
///
/// the second sum also over the states of the set, where `h = 1` and `m = 0` (Kemeny & Snell, *Finite
/// Markov Chains*, theorems 3.3.5 and 3.3.8; the law of total variance puts the right-hand side in a form
/// in which nothing cancels). States of a set have mean and variance 0 for it; for states of other sets
/// and states that reach it with probability below 1e-14 the mean is infinite and the variance NaN. Such
/// walks are so rare that other values in double precision could not tell them from none.
///
/// * `t`: transition matrix, `(n, n)`.
/// * `target`: for each state the index of its target set, or `None`; length `n`.
///
/// # Errors
/// As [`super::absorption_probabilities`].
pub fn absorption_times(
    t: &TransitionMatrix<'_>,
    target: &[Option<usize>],
    variance: bool,
    params: &Params,
    run: &Run,
) -> Result<Times> {
    let problem = Absorbing::new(t, target, Order::Links, run)?;
    let (k, n) = (problem.k, problem.n());
    let (h, mut info) = probabilities(&problem, PROBABILITIES, params, run)?;
    let steps: Vec<f64> = (0..n * k).map(|at| h[at] * (1.0 + problem.stay[at / k])).collect();
    let (mut mean, report) = solve::solve(&problem.chain, &steps, k, ACCURACY, params, run)?;
    info = worse(info, report);
    mean.iter_mut().zip(&h).for_each(|(m, &h)| *m = if h < POSSIBLE { f64::INFINITY } else { *m / h });
    let mut spread = None;
    if variance {
        let g = jumps(&problem, &h, &mean);
        let (mut v, report) = solve::solve(&problem.chain, &g, k, ACCURACY, params, run)?;
        info = worse(info, report);
        // A variance of zero may come out as a negative round-off.
        v.iter_mut().zip(&h).for_each(|(v, &h)| *v = if h < POSSIBLE { f64::NAN } else { (*v / h).max(0.0) });
        spread = Some(spread_out(&v, &problem, target, f64::NAN));
    }
    let mean = spread_out(&mean, &problem, target, f64::INFINITY);
    Ok(Times { mean, variance: spread, n_targets: k, info })
}

/// `g` over the steps that make up one jump.
fn jumps(problem: &Absorbing, h: &[f64], mean: &[f64]) -> Vec<f64> {
    let Absorbing { k, chain, hits, stay, .. } = problem;
    let k = *k;
    let mut g = vec![0.0; h.len()];
    for i in 0..problem.n() {
        let (cols, p) = chain.row(i);
        for c in 0..k {
            let here = mean[i * k + c];
            if here.is_infinite() {
                continue;
            }
            let mut sum = hits[i * k + c] * (1.0 - here).powi(2) + stay[i] * h[i * k + c];
            for (&j, &p) in cols.iter().zip(p) {
                let at = j as usize * k + c;
                if mean[at].is_finite() {
                    sum += p * h[at] * (mean[at] + 1.0 - here).powi(2);
                }
            }
            g[i * k + c] = sum;
        }
    }
    g
}

/// From the transient states to all: 0 in a set, `elsewhere` in the others.
fn spread_out(values: &[f64], problem: &Absorbing, target: &[Option<usize>], elsewhere: f64) -> Vec<f64> {
    let k = problem.k;
    let mut out = vec![elsewhere; target.len() * k];
    for (&i, values) in problem.states.iter().zip(values.chunks_exact(k)) {
        out[i as usize * k..(i as usize + 1) * k].copy_from_slice(values);
    }
    for (row, &c) in out.chunks_exact_mut(k).zip(target) {
        if let Some(c) = c {
            row[c] = 0.0;
        }
    }
    out
}

/// Of two reports the one to worry about, with all iterations.
fn worse(a: Info, b: Info) -> Info {
    let (weak, other) = if b.preconditioner > a.preconditioner { (b, a) } else { (a, b) };
    Info {
        iterations: a.iterations + b.iterations,
        residual: weak.residual.max(other.residual),
        error: weak.error.max(other.error),
        ..weak
    }
}
