//! BiCGSTAB with a preconditioner on the right (van der Vorst, *SIAM J. Sci. Stat. Comput.* 13, 1992),
//! for several systems side by side: eight vectors of memory however many steps it takes.

use super::chain::{Chain, Rows};
use super::precondition::Preconditioner;
use super::vectors::{add, dot, norms};
use super::Cycle;
use crate::error::Result;
use crate::run::Run;

/// The vectors of the recurrence, by the letters of the paper.
#[derive(Debug)]
pub(crate) struct Work<const W: usize> {
    r: Vec<[f64; W]>,
    shadow: Vec<[f64; W]>,
    p: Vec<[f64; W]>,
    v: Vec<[f64; W]>,
    t: Vec<[f64; W]>,
    scratch: Vec<[f64; W]>,
}

impl<const W: usize> Work<W> {
    pub(crate) fn new(n: usize) -> Self {
        let zeros = || vec![[0.0; W]; n];
        Self { r: zeros(), shadow: zeros(), p: zeros(), v: zeros(), t: zeros(), scratch: zeros() }
    }
}

/// At most `limits[c]` steps for system `c` of `A dx = r`; `dx` is overwritten.
///
/// System `c` stops once its residual is below `goal[c]`, or when the recurrence breaks down; the caller
/// starts it anew from the true residual.
///
/// # Errors
/// [`crate::Error::Cancelled`].
#[expect(clippy::too_many_arguments, reason = "the two solvers share this signature")]
pub(crate) fn cycle<const W: usize>(
    chain: &Chain,
    preconditioner: &Preconditioner,
    right: &Rows<W>,
    dx: &mut Rows<W>,
    goal: [f64; W],
    limits: [usize; W],
    work: &mut Work<W>,
    run: &Run,
) -> Result<Cycle<W>> {
    let Work { r, shadow, p, v, t, scratch } = work;
    r.copy_from_slice(right);
    shadow.copy_from_slice(right);
    p.copy_from_slice(right);
    dx.fill([0.0; W]);
    let mut rho = dot(shadow, r);
    let start = norms(r);
    let mut active: [bool; W] = std::array::from_fn(|c| start[c] > goal[c]);
    let mut out = Cycle { steps: [0; W] };
    for _ in 0..limits.into_iter().max().unwrap_or(0) {
        if !active.contains(&true) {
            break;
        }
        run.tick(0)?;
        scratch.copy_from_slice(p);
        preconditioner.solve(chain, scratch);
        chain.apply(scratch, v);
        let below = dot(shadow, v);
        for c in 0..W {
            active[c] &= below[c] != 0.0 && rho[c].is_finite();
        }
        let alpha = quotient(rho, below, active);
        add(alpha, scratch, dx);
        add(alpha.map(|a| -a), v, r);
        run.tick(0)?;
        scratch.copy_from_slice(r);
        preconditioner.solve(chain, scratch);
        chain.apply(scratch, t);
        let omega = quotient(dot(t, r), dot(t, t), active);
        add(omega, scratch, dx);
        add(omega.map(|o| -o), t, r);
        let next = dot(shadow, r);
        let length = norms(r);
        let mut beta = [0.0; W];
        for c in 0..W {
            if !active[c] {
                continue;
            }
            out.steps[c] += 1;
            beta[c] = next[c] / rho[c] * (alpha[c] / omega[c]);
            let more = out.steps[c] < limits[c] && length[c] > goal[c];
            active[c] = more && beta[c].is_finite() && next[c] != 0.0;
        }
        for ((p, r), v) in p.iter_mut().zip(&*r).zip(&*v) {
            for c in 0..W {
                p[c] = if active[c] { r[c] + beta[c] * (p[c] - omega[c] * v[c]) } else { 0.0 };
            }
        }
        rho = next;
    }
    Ok(out)
}

/// `a / b`, and 0 for systems at rest.
fn quotient<const W: usize>(a: [f64; W], b: [f64; W], active: [bool; W]) -> [f64; W] {
    std::array::from_fn(|c| if active[c] && b[c] != 0.0 { a[c] / b[c] } else { 0.0 })
}
