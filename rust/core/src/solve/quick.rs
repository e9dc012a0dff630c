//! The first attempt: chains that mix fast are solved before a strong preconditioner would be built.
//!
//! BiCGSTAB between sweeps ([`super::sweeps`]), all systems side by side. Along with them goes the mean
//! number `m` of jumps until the chain is absorbed, and with it a bound of the error: where `m > 0` and
//! `A m >= d > 0`, `A` is a non-singular M-matrix whose inverse has no row sum above `max m / d` (Berman &
//! Plemmons, *Nonnegative Matrices in the Mathematical Sciences*, chapter 6), so no error is larger than
//! that times the largest residual. It also proves that every state reaches a target.

use rayon::prelude::*;

use super::chain::{Chain, Rows};
use super::sweeps::Sweeps;
use super::vectors::norms;
use super::{Info, Kind, Method, Params};
use crate::error::Result;
use crate::run::Run;

/// Smallest chain worth the trouble; the thorough methods are fast enough on smaller ones.
const SMALLEST: usize = 2000;
/// Times a residual is formed anew from the solution.
const CYCLES: usize = 3;
/// Largest number of steps of a cycle.
const STEPS: usize = 100;
/// After how many steps how much of a residual may be left, or it will take too many. Where chains mix
/// fast, residuals stay large for some thirty steps and then fall ever faster.
const LOOKS: [(usize, f64); 4] = [(12, 1.5), (25, 1.2), (40, 0.2), (60, 0.01)];
/// Residuals aimed at in the first cycle, when the bound is not yet known: in units of the error wanted,
/// and for `m`, in units of its right-hand side.
const FIRST_GOAL: f64 = 0.01;
const ROUGH: f64 = 1e-3;

/// Whether [`solve`] may be tried: a chain of `n` states, nobody insisting on another way.
pub(crate) fn worthwhile(n: usize, params: &Params) -> bool {
    n >= SMALLEST && params.method != Method::Direct && params.preconditioner.is_none()
}

/// Solves `A X = B` as [`super::solve`] does, with no error above `wanted`, if that takes few steps. The
/// states may be in any order; sweeps work best if those that jump to each other are near each other.
///
/// # Errors
/// [`crate::Error::Cancelled`].
pub(crate) fn solve(
    chain: &Chain,
    b: &[f64],
    k: usize,
    wanted: f64,
    params: &Params,
    run: &Run,
) -> Result<Option<(Vec<f64>, Info)>> {
    let work = || match k + 1 {
        ..=4 => side_by_side::<4>(chain, b, k, wanted, params, run),
        _ => side_by_side::<8>(chain, b, k, wanted, params, run),
    };
    if run.threads() > 1 {
        return run.install(work);
    }
    work()
}

/// Up to `W` systems that share every pass over the matrix.
struct Group<const W: usize> {
    /// The system of each lane; number `k` is that of `m`.
    columns: Vec<usize>,
    b: Vec<[f64; W]>,
    x: Vec<[f64; W]>,
    r: Vec<[f64; W]>,
    goal: [f64; W],
    steps: [usize; W],
}

fn side_by_side<const W: usize>(
    chain: &Chain,
    b: &[f64],
    k: usize,
    wanted: f64,
    params: &Params,
    run: &Run,
) -> Result<Option<(Vec<f64>, Info)>> {
    let n = chain.n();
    let sweeps = Sweeps::new(chain);
    run.tick(0)?;
    let columns: Vec<usize> = (0..=k).collect();
    let n_groups = columns.len().div_ceil(W);
    let mut groups: Vec<Group<W>> =
        columns.chunks(columns.len().div_ceil(n_groups)).map(|c| Group::new(n, b, k, wanted, c)).collect();
    let mut factor = None;
    for cycle in 0..CYCLES {
        let limit = STEPS.min(params.max_iterations);
        let one = |group: &mut Group<W>| group.cycle(chain, &sweeps, limit, cycle == 0, run);
        let went: Vec<bool> = if run.threads() > 1 {
            groups.par_iter_mut().map(one).collect::<Result<_>>()?
        } else {
            groups.iter_mut().map(one).collect::<Result<_>>()?
        };
        if went.contains(&false) {
            return Ok(None);
        }
        factor = factor.or_else(|| groups.iter().find_map(|group| group.bound(k)));
        let Some(factor) = factor else { return Ok(None) };
        let (mut error, mut residual) = (0.0_f64, 0.0_f64);
        let mut done = true;
        for group in &mut groups {
            let (lengths, sizes) = (norms(&group.r), norms(&group.b));
            for (c, &column) in group.columns.iter().enumerate() {
                if column == k {
                    group.goal[c] = f64::INFINITY;
                    continue;
                }
                // The residual itself is rounded.
                let bound = factor * (largest(&group.r, c) + f64::EPSILON);
                let relative = if sizes[c] > 0.0 { lengths[c] / sizes[c] } else { lengths[c] };
                let small = bound <= wanted && relative <= params.tol; // false for NaN
                done &= small;
                let more = (wanted / bound).min(params.tol / relative);
                group.goal[c] = if small { f64::INFINITY } else { 0.3 * more * lengths[c] };
                (error, residual) = (error.max(bound), residual.max(relative));
            }
        }
        if done {
            let iterations = groups.iter().flat_map(|group| group.steps).max().unwrap_or(0);
            let info =
                Info { method: Method::Bicgstab, preconditioner: Kind::Ilu, iterations, residual, error };
            return Ok(Some((together(&groups, n, k), info)));
        }
    }
    Ok(None)
}

/// The solutions, row after row.
fn together<const W: usize>(groups: &[Group<W>], n: usize, k: usize) -> Vec<f64> {
    let mut out = vec![0.0; n * k];
    for group in groups {
        for (out, x) in out.chunks_exact_mut(k).zip(&group.x) {
            group.columns.iter().zip(x).filter(|(&c, _)| c < k).for_each(|(&c, &x)| out[c] = x);
        }
    }
    out
}

/// The largest size in column `c`; NaN if there is one.
fn largest<const W: usize>(r: &Rows<W>, c: usize) -> f64 {
    r.iter().map(|r| r[c].abs()).fold(0.0, |a, b| if b <= a { a } else { b })
}

impl<const W: usize> Group<W> {
    fn new(n: usize, b: &[f64], k: usize, wanted: f64, columns: &[usize]) -> Self {
        let mut right = vec![[0.0; W]; n];
        let mut goal = [f64::INFINITY; W];
        for (lane, &column) in columns.iter().enumerate() {
            goal[lane] = if column == k { ROUGH * (n as f64).sqrt() } else { FIRST_GOAL * wanted };
            for (right, row) in right.iter_mut().zip(b.chunks_exact(k)) {
                right[lane] = row.get(column).copied().unwrap_or(1.0);
            }
        }
        let x = vec![[0.0; W]; n];
        Self { columns: columns.to_vec(), r: right.clone(), b: right, x, goal, steps: [0; W] }
    }

    /// `max m / d`, if `m` is in this group and good enough.
    fn bound(&self, k: usize) -> Option<f64> {
        let lane = self.columns.iter().position(|&c| c == k)?;
        let d = 1.0 - largest(&self.r, lane);
        let positive = self.x.iter().all(|x| x[lane] > 0.0);
        (positive && d >= 0.5).then(|| largest(&self.x, lane) / d)
    }

    /// Steps until every system has reached its goal; then the residual of what that gave. Returns false
    /// if it would take too many.
    ///
    /// # Errors
    /// [`crate::Error::Cancelled`].
    fn cycle(
        &mut self,
        chain: &Chain,
        sweeps: &Sweeps<'_>,
        limit: usize,
        first: bool,
        run: &Run,
    ) -> Result<bool> {
        let n = chain.n();
        let zeros = || vec![[0.0; W]; n];
        let (mut r, mut dx, mut t, mut scratch) = (zeros(), zeros(), zeros(), zeros());
        let (mut v, mut w) = (zeros(), zeros());
        sweeps.enter(&self.r, &mut r);
        let shadow = r.clone();
        let mut p = zeros();
        let start = norms(&r);
        let mut rho = start.map(|s| s * s);
        let mut active: [bool; W] = std::array::from_fn(|c| start[c] > self.goal[c]);
        let (mut beta, mut omega) = ([0.0; W], [0.0; W]);
        for step in 1..=limit {
            if !active.contains(&true) {
                break;
            }
            run.tick(0)?;
            let back = std::array::from_fn(|c| -beta[c] * omega[c]);
            sweeps.down(Some(&r), beta, back, &v, &mut p, &mut t);
            let [below, _] = sweeps.up(&p, &t, &shadow, &mut v, &mut scratch);
            let alpha = quotient(rho, below, active);
            run.tick(0)?;
            sweeps.down(None, [1.0; W], alpha.map(|a| -a), &v, &mut r, &mut t);
            let [along, square] = sweeps.up(&r, &t, &r, &mut w, &mut scratch);
            omega = quotient(along, square, active);
            let [next, square] = advance(alpha, omega, &p, &w, &shadow, &mut r, &mut dx);
            let ratio = quotient(next, rho, active);
            let turn = quotient(alpha, omega, active);
            for c in 0..W {
                if active[c] {
                    self.steps[c] += 1;
                    beta[c] = ratio[c] * turn[c];
                    active[c] = square[c].sqrt() > self.goal[c] && beta[c].is_finite() && beta[c] != 0.0;
                } else {
                    beta[c] = 0.0;
                }
            }
            rho = next;
            let slow = |c: usize, most: f64| active[c] && square[c].sqrt() > most * start[c];
            if first && LOOKS.iter().any(|&(at, most)| at == step && (0..W).any(|c| slow(c, most))) {
                return Ok(false);
            }
        }
        if first && active.contains(&true) {
            return Ok(false);
        }
        sweeps.leave(&mut dx, &mut t);
        for (x, t) in self.x.iter_mut().zip(&t) {
            for c in 0..W {
                x[c] += t[c];
            }
        }
        chain.residual(&self.b, &self.x, &mut self.r);
        Ok(true)
    }
}

/// `a / b`, and 0 for systems at rest.
fn quotient<const W: usize>(a: [f64; W], b: [f64; W], active: [bool; W]) -> [f64; W] {
    std::array::from_fn(|c| if active[c] && b[c] != 0.0 { a[c] / b[c] } else { 0.0 })
}

/// `dx += alpha p + omega r`, `r -= omega w`; returns `shadow . r` and `r . r`.
fn advance<const W: usize>(
    alpha: [f64; W],
    omega: [f64; W],
    p: &Rows<W>,
    w: &Rows<W>,
    shadow: &Rows<W>,
    r: &mut Rows<W>,
    dx: &mut Rows<W>,
) -> [[f64; W]; 2] {
    crate::simd::dispatch(Advance { alpha, omega, p, w, shadow, r, dx })
}

struct Advance<'a, const W: usize> {
    alpha: [f64; W],
    omega: [f64; W],
    p: &'a Rows<W>,
    w: &'a Rows<W>,
    shadow: &'a Rows<W>,
    r: &'a mut Rows<W>,
    dx: &'a mut Rows<W>,
}

impl<const W: usize> pulp::WithSimd for Advance<'_, W> {
    type Output = [[f64; W]; 2];
    #[inline(always)]
    fn with_simd<S: pulp::Simd>(self, _: S) -> [[f64; W]; 2] {
        let Self { alpha, omega, p, w, shadow, r, dx } = self;
        let (mut product, mut square) = ([0.0; W], [0.0; W]);
        for (((r, dx), (p, w)), shadow) in r.iter_mut().zip(dx).zip(p.iter().zip(w)).zip(shadow) {
            let (mut here, mut sum) = (*r, *dx);
            for c in 0..W {
                sum[c] += alpha[c] * p[c] + omega[c] * here[c];
                here[c] -= omega[c] * w[c];
                product[c] += shadow[c] * here[c];
                square[c] += here[c] * here[c];
            }
            (*r, *dx) = (here, sum);
        }
        [product, square]
    }
}
