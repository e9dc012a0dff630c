//! Stationary distributions, one for each recurrent class.
//!
//! Small chains are eliminated state by state (Grassmann, Taksar & Heyman 1985): no subtraction, so every
//! entry is accurate to rounding, however small. Large ones by multilevel aggregation (Horton & Leutenegger
//! 1994; De Sterck et al. 2010): states that exchange much probability are merged with their current
//! weights, the smaller chain is solved in the same way, and its answer scales the states of each group.
//! What is slow for a power or Krylov iteration, the exchange between groups that hardly communicate, is
//! what the smaller chains solve directly.

use super::aggregate::{Rates, Workspace};
use crate::csr::TransitionMatrix;
use crate::error::{Error, Result};
use crate::graph::components;
use crate::order::by_locality;
use crate::run::Run;

/// How accurately.
#[derive(Debug, Clone, Copy)]
pub struct Params {
    /// Largest sum over states of `|(pi T - pi)_i|` accepted for a class. No state's in- and outflow may
    /// differ by more than a tenth of its square root times the outflow, so that rare states are right, too.
    pub tol: f64,
    /// Cycles after which to give up.
    pub max_cycles: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self { tol: 1e-12, max_cycles: 1000 }
    }
}

/// The recurrent classes and how the chain is distributed in them in the long run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Stationary {
    /// Distribution of each state within its class; 0 for transient states. Each class sums to 1.
    pub distribution: Vec<f64>,
    /// Class of each state, `None` if it is transient; classes are numbered by their first state.
    pub classes: Vec<Option<usize>>,
    /// Sum over the states of each class of `|(pi T - pi)_i|`.
    pub residuals: Vec<f64>,
    /// Cycles of the iteration, the most of any class; 0 if all were solved directly.
    pub cycles: usize,
}

/// Stationary distribution of every recurrent class of a chain.
///
/// A chain that is irreducible has one class, all states. Where there are several, every mixture of the
/// distributions is stationary.
///
/// # Errors
/// [`Error::Parameter`] for a tolerance that is not positive, [`Error::NotConverged`], [`Error::Cancelled`].
pub fn distribution(t: &TransitionMatrix<'_>, params: &Params, run: &Run) -> Result<Stationary> {
    if params.tol.is_nan() || params.tol <= 0.0 {
        return Err(Error::parameter("tol", "positive", params.tol));
    }
    let n = t.n_rows();
    let found = components(t);
    let mut members: Vec<Vec<usize>> = vec![vec![]; found.closed.len()];
    // Neighbors close to one another: the sweeps read less from afar.
    for state in by_locality(t).into_iter().map(|state| state as usize) {
        let label = found.labels[state];
        if found.closed[label] {
            members[label].push(state);
        }
    }
    members.retain(|class| !class.is_empty());
    let mut out =
        Stationary { distribution: vec![0.0; n], classes: vec![None; n], residuals: vec![], cycles: 0 };
    let mut place = vec![usize::MAX; n];
    for (class, states) in members.iter().enumerate() {
        for (k, &state) in states.iter().enumerate() {
            place[state] = k;
            out.classes[state] = Some(class);
        }
        let rates = Rates::of_class(t, states, &place);
        let (pi, residual, cycles) = solve(&rates, params, run)?;
        states.iter().zip(&pi).for_each(|(&state, &p)| out.distribution[state] = p);
        out.residuals.push(residual);
        out.cycles = out.cycles.max(cycles);
    }
    Ok(out)
}

/// Iterates combined to speed up the last of them.
const WINDOW: usize = 6;

fn solve(rates: &Rates, params: &Params, run: &Run) -> Result<(Vec<f64>, f64, usize)> {
    let n = rates.len();
    if n <= super::aggregate::DIRECT {
        let x = rates.eliminate();
        let residual = rates.residual(&x).iter().map(|r| r.abs()).sum();
        run.tick(1)?;
        return Ok((x, residual, 0));
    }
    let mut x = vec![1.0 / n as f64; n];
    let mut workspace = Workspace::default();
    let mut recent: Vec<(Vec<f64>, Vec<f64>)> = vec![];
    let mut residual = f64::INFINITY;
    for cycle in 1..=params.max_cycles {
        workspace.cycle(rates, &mut x, cycle <= 4, run)?;
        let r = rates.residual(&x);
        recent.push((x.clone(), r));
        if recent.len() > WINDOW {
            recent.remove(0);
        }
        if let Some(better) = combine(&recent, rates) {
            x = better;
        }
        let r = rates.residual(&x);
        residual = r.iter().map(|r| r.abs()).sum();
        if residual <= params.tol && rates.balanced(&x, &r, 0.1 * params.tol.sqrt()) {
            return Ok((x, residual, cycle));
        }
        run.tick(1)?;
    }
    Err(Error::NotConverged {
        what: "the stationary distribution",
        iterations: params.max_cycles,
        residual,
        tol: params.tol,
        remedy: "raise the tolerance",
    })
}

/// The combination of recent iterates with the smallest residual, if it is positive and better than the
/// last of them.
fn combine(recent: &[(Vec<f64>, Vec<f64>)], rates: &Rates) -> Option<Vec<f64>> {
    let (last, others) = recent.split_last()?;
    if others.is_empty() {
        return None;
    }
    let k = others.len();
    let differences: Vec<Vec<f64>> =
        others.iter().map(|(_, r)| r.iter().zip(&last.1).map(|(a, b)| a - b).collect()).collect();
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let mut gram = super::dense::Mat::from_fn(k, k, |i, j| dot(&differences[i], &differences[j]));
    let trace: f64 = (0..k).map(|i| gram[(i, i)]).sum();
    (0..k).for_each(|i| gram[(i, i)] += 1e-14 * trace);
    let rhs = super::dense::Mat::from_fn(k, 1, |i, _| -dot(&differences[i], &last.1));
    let c = gram.solve(&rhs)?;
    let mut x = last.0.clone();
    for (j, (other, _)) in others.iter().enumerate() {
        for ((x, o), l) in x.iter_mut().zip(other).zip(&last.0) {
            *x += c[(j, 0)] * (o - l);
        }
    }
    let sum: f64 = x.iter().sum();
    if !x.iter().all(|&x| x.is_finite() && x > 0.0) {
        return None;
    }
    x.iter_mut().for_each(|x| *x /= sum);
    let size = |r: &[f64]| r.iter().map(|r| r.abs()).sum::<f64>();
    (size(&rates.residual(&x)) < size(&last.1)).then_some(x)
}
