//! Entropic, possibly unbalanced optimal transport between two sets of cells.
//!
//! The plan `P` minimises `<P, C> + e KL(P | 1) + l1 KL(P 1 | a) + l2 KL(P' 1 | b)` (Chizat et al., *Math.
//! Comp.* 87, 2018; for cells of a time course, Schiebinger et al., *Cell* 176, 2019). It is
//! `P_ij = exp((f_i + g_j - C_ij) / e)` for two vectors of potentials, so it need never exist whole: the
//! potentials are computed, and rows are made from them when somebody wants them.

mod cost;

pub use cost::Cost;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::error::{Error, Result};
use crate::run::Run;
use crate::simd::{dispatch, dot};

/// Potentials are taken into the kernel when a scaling leaves `exp(-50) .. exp(50)`.
const ABSORB: f64 = 50.0;
/// Column sums are added up from at most this many parts, whatever the number of threads.
const PARTS: usize = 64;
/// Look at the cancel flag after this many rows.
const PATIENCE: usize = 32;

/// How the problem is posed and how well it is solved.
#[derive(Debug, Clone, Copy)]
pub struct Params {
    /// Strength of the entropy, in units of the cost.
    pub epsilon: f64,
    /// How strongly rows must sum to `a`; infinity for exactly.
    pub lambda_source: f64,
    /// How strongly columns must sum to `b`; infinity for exactly.
    pub lambda_target: f64,
    /// Stop when the row sums miss their optimal value by this share of the mass, in all.
    pub tol: f64,
    /// Give up after so many iterations.
    pub max_iter: usize,
    /// Keep the kernel in memory if it has at most so many entries; otherwise it is made anew every time.
    pub max_stored: usize,
}

impl Params {
    fn check(&self) -> Result<()> {
        let positive = [
            ("epsilon", self.epsilon, false),
            ("lambda_source", self.lambda_source, true),
            ("lambda_target", self.lambda_target, true),
            ("tol", self.tol, false),
        ];
        for (name, value, or_infinite) in positive {
            let sensible = value > 0.0 && (or_infinite || value.is_finite());
            if !sensible {
                return Err(Error::parameter(name, "positive", value));
            }
        }
        if self.max_iter == 0 {
            return Err(Error::parameter("max_iter", "at least 1", 0));
        }
        Ok(())
    }
}

/// Potentials of the optimal plan, and how they were found.
#[derive(Debug, Clone)]
pub struct Potentials {
    /// `f`, one per source cell.
    pub source: Vec<f64>,
    /// `g`, one per target cell.
    pub target: Vec<f64>,
    /// Iterations that were made.
    pub iterations: usize,
    /// Distance of the row sums from their optimal values, as a share of the mass.
    pub residual: f64,
}

/// Solves the problem by scaling rows and columns in turn (Sinkhorn), in logarithms where need be.
///
/// * `cost`: from source to target cells.
/// * `a`, `b`: marginals, positive.
///
/// The kernel `exp((F_i + G_j - C_ij) / e)` is taken relative to potentials that are renewed whenever
/// scalings grow large (Schmitzer, *SIAM J. Sci. Comput.* 41, 2019): nothing over- or underflows. Each
/// iteration reads the kernel once: a row's scaling is known as soon as the row was read, and goes into
/// the column sums at once.
///
/// # Errors
/// [`Error::Shape`], [`Error::NotFinite`], [`Error::Parameter`] for bad input, [`Error::NotConverged`],
/// [`Error::Cancelled`].
pub fn solve(cost: &Cost<'_>, a: &[f64], b: &[f64], params: &Params, run: &Run) -> Result<Potentials> {
    params.check()?;
    let (n, m) = cost.shape()?;
    for (what, name, marginal, size) in [("`a`", "a", a, n), ("`b`", "b", b, m)] {
        if marginal.len() != size {
            return Err(Error::shape(what, format!("one entry per cell ({size})"), marginal.len()));
        }
        if let Some(bad) = marginal.iter().find(|x| !(x.is_finite() && **x > 0.0)) {
            return Err(Error::parameter(name, "finite and positive everywhere", bad));
        }
    }
    let mut state = State::new(cost, n, m, params, run)?;
    let mut residual = f64::INFINITY;
    for iteration in 1..=params.max_iter {
        residual = state.step(a, b, run)?;
        if residual <= params.tol {
            return Ok(Potentials { source: state.f, target: state.g, iterations: iteration, residual });
        }
        state.absorb_if_large(run)?;
    }
    Err(Error::NotConverged {
        what: "the coupling",
        iterations: params.max_iter,
        residual,
        tol: params.tol,
        remedy: "raise `epsilon`, `max_iter` or `tol`",
    })
}

struct State<'a> {
    cost: &'a Cost<'a>,
    params: &'a Params,
    /// The kernel relative to the absorbed potentials, if it is kept.
    kernel: Option<Vec<f64>>,
    absorbed_f: Vec<f64>,
    absorbed_g: Vec<f64>,
    f: Vec<f64>,
    g: Vec<f64>,
    /// `exp((g - absorbed_g) / e)`
    v: Vec<f64>,
}

impl<'a> State<'a> {
    /// Starts from potentials with which the largest entry of each row and each column is 1.
    fn new(cost: &'a Cost<'a>, n: usize, m: usize, params: &'a Params, run: &Run) -> Result<Self> {
        let (mut f, mut g) = (vec![0.0; n], vec![f64::INFINITY; m]);
        let block = n.div_ceil(PARTS).max(1);
        run.blocks(
            n,
            block,
            || (vec![0.0; m], vec![0.0; m], Vec::new()),
            |(row, least, lows), range| {
                least.fill(f64::INFINITY);
                lows.clear();
                for i in range {
                    if i % PATIENCE == 0 {
                        run.tick(0)?;
                    }
                    cost.row(i, row);
                    let low = row.iter().copied().fold(f64::INFINITY, f64::min);
                    lows.push(low);
                    least.iter_mut().zip(&*row).for_each(|(a, c)| *a = a.min(c - low));
                }
                Ok(())
            },
            |(_, least, lows), range| {
                f[range].copy_from_slice(lows);
                g.iter_mut().zip(&*least).for_each(|(a, b)| *a = a.min(*b));
            },
        )?;
        let kernel = (n.saturating_mul(m) <= params.max_stored).then(|| vec![0.0; n * m]);
        let (absorbed_f, absorbed_g) = (f.clone(), g.clone());
        let mut out = Self { cost, params, kernel, absorbed_f, absorbed_g, f, g, v: vec![1.0; m] };
        out.fill(run)?;
        Ok(out)
    }

    fn fill(&mut self, run: &Run) -> Result<()> {
        let Some(mut kernel) = self.kernel.take() else { return Ok(()) };
        let m = self.g.len();
        run.install(|| {
            kernel.par_chunks_mut(m).enumerate().try_for_each(|(i, row)| {
                if i % PATIENCE == 0 {
                    run.tick(0)?;
                }
                self.entries(i, row);
                Ok(())
            })
        })?;
        self.kernel = Some(kernel);
        Ok(())
    }

    /// Row `i` of the kernel relative to the absorbed potentials.
    fn entries(&self, i: usize, out: &mut [f64]) {
        plan_row(self.cost, self.absorbed_f[i], &self.absorbed_g, self.params.epsilon, i, out);
    }

    /// New `f` for the present `g`, then new `g`; returns how far the old `f` was from its fixed point.
    fn step(&mut self, a: &[f64], b: &[f64], run: &Run) -> Result<f64> {
        let (n, m) = (self.f.len(), self.g.len());
        let epsilon = self.params.epsilon;
        let soft = |lambda: f64| if lambda.is_infinite() { 1.0 } else { lambda / (lambda + epsilon) };
        let (alpha, beta) = (soft(self.params.lambda_source), soft(self.params.lambda_target));
        let block = n.div_ceil(PARTS).max(1);
        let mut f = vec![0.0; n];
        let mut misses = vec![0.0; n.div_ceil(block)];
        let mut sums = vec![Vec::new(); misses.len()];
        let this = &*self;
        run.blocks(
            n,
            block,
            || (vec![0.0; m], vec![0.0; m], Vec::new(), 0.0),
            |(made, column_sums, new_f, missed), range| {
                column_sums.fill(0.0);
                new_f.clear();
                *missed = 0.0;
                for i in range {
                    if i % PATIENCE == 0 {
                        run.tick(0)?;
                    }
                    let row = match &this.kernel {
                        Some(kernel) => &kernel[i * m..(i + 1) * m],
                        None => {
                            this.entries(i, made);
                            &*made
                        }
                    };
                    let sum = dispatch(Dot { row, v: &this.v });
                    let mass = ((this.f[i] - this.absorbed_f[i]) / epsilon).exp() * sum;
                    let wanted = a[i] * (-this.f[i] / this.params.lambda_source).exp();
                    *missed += (mass - wanted).abs();
                    let f = alpha * (epsilon * (a[i].ln() - sum.ln()) + this.absorbed_f[i]);
                    let u = ((f - this.absorbed_f[i]) / epsilon).exp();
                    new_f.push(f);
                    dispatch(AddScaled { row, by: u, to: column_sums });
                }
                Ok(())
            },
            |(_, column_sums, new_f, missed), range| {
                let part = range.start / block;
                misses[part] = *missed;
                sums[part].clone_from(column_sums);
                f[range].copy_from_slice(new_f);
            },
        )?;
        for j in 0..m {
            let sum: f64 = sums.iter().map(|part| part[j]).sum();
            let g = beta * (epsilon * (b[j].ln() - sum.ln()) + self.absorbed_g[j]);
            self.g[j] = g;
            self.v[j] = ((g - self.absorbed_g[j]) / epsilon).exp();
        }
        self.f = f;
        Ok(misses.iter().sum::<f64>() / a.iter().sum::<f64>())
    }

    fn absorb_if_large(&mut self, run: &Run) -> Result<()> {
        let far = |new: &[f64], old: &[f64]| {
            new.iter().zip(old).any(|(a, b)| (a - b).abs() > ABSORB * self.params.epsilon)
        };
        if !far(&self.f, &self.absorbed_f) && !far(&self.g, &self.absorbed_g) {
            return Ok(());
        }
        self.absorbed_f.clone_from(&self.f);
        self.absorbed_g.clone_from(&self.g);
        self.v.fill(1.0);
        self.fill(run)
    }
}

struct Dot<'a> {
    row: &'a [f64],
    v: &'a [f64],
}

impl WithSimd for Dot<'_> {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        dot(simd, self.row, self.v)
    }
}

struct AddScaled<'a> {
    row: &'a [f64],
    by: f64,
    to: &'a mut [f64],
}

impl WithSimd for AddScaled<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        for (to, x) in self.to.iter_mut().zip(self.row) {
            *to += self.by * x;
        }
    }
}

fn plan_row(cost: &Cost<'_>, f: f64, g: &[f64], epsilon: f64, i: usize, out: &mut [f64]) {
    cost.row(i, out);
    for (c, g) in out.iter_mut().zip(g) {
        *c = ((f + g - *c) / epsilon).exp();
    }
}

/// Rows `rows` of the plan that belongs to two vectors of potentials, row after row.
///
/// # Errors
/// [`Error::Shape`] when sizes contradict each other or rows are out of range, [`Error::Parameter`] for
/// an `epsilon` that is not positive, [`Error::Cancelled`].
pub fn plan(
    cost: &Cost<'_>,
    potentials: (&[f64], &[f64]),
    epsilon: f64,
    rows: std::ops::Range<usize>,
    run: &Run,
) -> Result<Vec<f64>> {
    let (n, m) = cost.shape()?;
    let (f, g) = potentials;
    if (f.len(), g.len()) != (n, m) {
        let found = format!("{} and {}", f.len(), g.len());
        return Err(Error::shape("the potentials", format!("{n} and {m} entries"), found));
    }
    if rows.start > rows.end || rows.end > n {
        return Err(Error::shape("the rows", format!("an end of at most {n}"), rows.end));
    }
    if !(epsilon.is_finite() && epsilon > 0.0) {
        return Err(Error::parameter("epsilon", "finite and positive", epsilon));
    }
    let mut out = vec![0.0; rows.len() * m];
    run.install(|| {
        out.par_chunks_mut(m).enumerate().try_for_each(|(k, row)| {
            if k % PATIENCE == 0 {
                run.tick(0)?;
            }
            plan_row(cost, f[rows.start + k], g, epsilon, rows.start + k, row);
            Ok(())
        })
    })?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params() -> Params {
        Params {
            epsilon: 0.1,
            lambda_source: f64::INFINITY,
            lambda_target: f64::INFINITY,
            tol: 1e-12,
            max_iter: 10_000,
            max_stored: usize::MAX,
        }
    }

    fn sums(plan: &[f64], m: usize) -> (Vec<f64>, Vec<f64>) {
        let rows = plan.chunks(m).map(|r| r.iter().sum()).collect();
        let cols = (0..m).map(|j| plan.iter().skip(j).step_by(m).sum()).collect();
        (rows, cols)
    }

    /// Two by two: with `P = [[p, 1/2 - p], [1/2 - p, p]]` and cost 1 off the diagonal, the optimum has
    /// `p / (1/2 - p) = exp(1 / e)`.
    #[test]
    fn two_cells_on_paper() {
        let cost = Cost::Given { values: &[0.0, 1.0, 1.0, 0.0], n_target: 2 };
        let p = params();
        let run = Run::default();
        let found = solve(&cost, &[0.5, 0.5], &[0.5, 0.5], &p, &run).unwrap();
        let plan = plan(&cost, (&found.source, &found.target), p.epsilon, 0..2, &run).unwrap();
        let ratio = (1.0 / p.epsilon).exp();
        let expected = 0.5 * ratio / (1.0 + ratio);
        assert!((plan[0] - expected).abs() < 1e-12 && (plan[3] - expected).abs() < 1e-12);
        assert!((plan[1] - (0.5 - expected)).abs() < 1e-12);
    }

    /// One cell to one cell, unbalanced: mass `p` minimises
    /// `p c + e (p ln p - p) + l1 (p ln(p / a) - p) + l2 (p ln(p / b) - p)`.
    #[test]
    fn one_cell_on_paper() {
        let (c, a, b) = (0.7, 2.0, 0.5);
        let cost = Cost::Given { values: &[c], n_target: 1 };
        let p = Params { lambda_source: 1.0, lambda_target: 3.0, ..params() };
        let run = Run::default();
        let found = solve(&cost, &[a], &[b], &p, &run).unwrap();
        let mass = plan(&cost, (&found.source, &found.target), p.epsilon, 0..1, &run).unwrap()[0];
        let expected = ((-c + f64::ln(a) + 3.0 * f64::ln(b)) / (p.epsilon + 4.0)).exp();
        assert!((mass - expected).abs() < 1e-12, "{mass} {expected}");
    }

    fn line(n: usize) -> Vec<f64> {
        (0..n).map(|i| (i as f64 * 0.7).sin() * 3.0 + i as f64 / n as f64).collect()
    }

    #[test]
    fn marginals_hold_for_small_epsilon_and_any_threads() {
        let (x, y) = (line(150), line(90));
        let cost = Cost::SquaredEuclidean { x: &x, y_transposed: &y, d: 1, scale: 1.0 };
        let (a, b) = (vec![1.0 / 150.0; 150], vec![1.0 / 90.0; 90]);
        let p = Params { epsilon: 0.02, tol: 1e-10, max_iter: 100_000, ..params() };
        let one = solve(&cost, &a, &b, &p, &Run::new(1)).unwrap();
        let made = plan(&cost, (&one.source, &one.target), p.epsilon, 0..150, &Run::new(2)).unwrap();
        let (rows, cols) = sums(&made, 90);
        let miss = |s: &[f64], m: &[f64]| s.iter().zip(m).map(|(a, b)| (a - b).abs()).sum::<f64>();
        assert!(miss(&rows, &a) < 1e-9 && miss(&cols, &b) < 1e-9);
        for max_stored in [usize::MAX, 0] {
            let two = solve(&cost, &a, &b, &Params { max_stored, ..p }, &Run::new(3)).unwrap();
            assert_eq!(two.source, one.source);
            assert_eq!(two.target, one.target);
        }
    }

    #[test]
    fn bad_input_is_refused() {
        let run = Run::default();
        let cost = Cost::Given { values: &[0.0, f64::NAN], n_target: 2 };
        assert!(matches!(solve(&cost, &[1.0], &[0.5, 0.5], &params(), &run), Err(Error::NotFinite { .. })));
        let cost = Cost::Given { values: &[0.0, 1.0], n_target: 2 };
        assert!(matches!(solve(&cost, &[1.0], &[0.5, 0.0], &params(), &run), Err(Error::Parameter { .. })));
        assert!(matches!(solve(&cost, &[1.0], &[0.5], &params(), &run), Err(Error::Shape { .. })));
        let p = Params { max_iter: 1, tol: 1e-300, ..params() };
        assert!(matches!(solve(&cost, &[1.0], &[0.9, 0.1], &p, &run), Err(Error::NotConverged { .. })));
    }
}
