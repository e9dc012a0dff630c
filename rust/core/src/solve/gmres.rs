//! Restarted GMRES with a preconditioner on the right (Saad & Schultz, *SIAM J. Sci. Stat. Comput.* 7,
//! 1986), for several systems side by side.
//!
//! The systems share every pass over the matrix and the preconditioner, nothing else: each has its own
//! Krylov space and stops on its own, so its bits do not depend on its neighbors.

use super::chain::{Chain, Rows};
use super::precondition::Preconditioner;
use super::vectors::{add, combine, dots, norms};
use super::Cycle;
use crate::error::Result;
use crate::run::Run;

/// Basis vectors and their coefficients.
#[derive(Debug)]
pub(crate) struct Work<const W: usize> {
    basis: Vec<Vec<[f64; W]>>,
    factors: Vec<[f64; W]>,
    scratch: Vec<[f64; W]>,
}

impl<const W: usize> Work<W> {
    pub(crate) fn new(n: usize) -> Self {
        Self { basis: Vec::new(), factors: Vec::new(), scratch: vec![[0.0; W]; n] }
    }
}

/// The least-squares problem of one system: its Hessenberg matrix, kept triangular by rotations.
#[derive(Debug, Default)]
struct Projected {
    /// Columns of the triangle, one after another.
    triangle: Vec<f64>,
    rotations: Vec<(f64, f64)>,
    /// Right-hand side, rotated; the last entry is the residual.
    g: Vec<f64>,
    /// Number of steps taken.
    steps: usize,
    finished: bool,
}

impl Projected {
    fn new(norm: f64) -> Self {
        Self { g: vec![norm], finished: norm == 0.0, ..Self::default() }
    }

    /// Adds column `h` of the Hessenberg matrix with `below` under its diagonal.
    fn push(&mut self, mut h: Vec<f64>, below: f64) {
        for (k, &(c, s)) in self.rotations.iter().enumerate() {
            (h[k], h[k + 1]) = (c * h[k] + s * h[k + 1], c * h[k + 1] - s * h[k]);
        }
        let last = h.len() - 1;
        let length = h[last].hypot(below);
        let (c, s) = if length > 0.0 { (h[last] / length, below / length) } else { (1.0, 0.0) };
        h[last] = length;
        self.triangle.extend(h);
        self.rotations.push((c, s));
        let g = self.g[self.steps];
        self.g[self.steps] = c * g;
        self.g.push(-s * g);
        self.steps += 1;
    }

    fn residual(&self) -> f64 {
        self.g[self.steps].abs()
    }

    fn diagonal(&self, k: usize) -> f64 {
        self.triangle[k * (k + 1) / 2 + k]
    }

    /// Coefficients of the solution in the basis.
    fn solve(&self) -> Vec<f64> {
        let mut y = self.g[..self.steps].to_vec();
        self.back_substitute(&mut y);
        y
    }

    fn back_substitute(&self, y: &mut [f64]) {
        for k in (0..self.steps).rev() {
            // A zero on the diagonal means that the direction adds nothing.
            y[k] = if self.diagonal(k) > 0.0 { y[k] / self.diagonal(k) } else { 0.0 };
            for i in 0..k {
                y[i] -= self.triangle[k * (k + 1) / 2 + i] * y[k];
            }
        }
    }
}

/// One cycle of at most `limits[c]` steps for system `c` of `A dx = r`; `dx` is overwritten.
///
/// System `c` stops once its residual is below `goal[c]`.
///
/// # Errors
/// [`crate::Error::Cancelled`].
#[expect(clippy::too_many_arguments, reason = "all of them belong to the cycle")]
pub(crate) fn cycle<const W: usize>(
    chain: &Chain,
    preconditioner: &Preconditioner,
    r: &Rows<W>,
    dx: &mut Rows<W>,
    goal: [f64; W],
    limits: [usize; W],
    work: &mut Work<W>,
    run: &Run,
) -> Result<Cycle<W>> {
    let n = r.len();
    let lengths = norms(r);
    let mut systems = lengths.map(Projected::new);
    for c in 0..W {
        systems[c].finished |= lengths[c] <= goal[c];
    }
    let Work { basis, factors, scratch } = work;
    let vector = |basis: &mut Vec<Vec<[f64; W]>>, k: usize| {
        if basis.len() <= k {
            basis.push(vec![[0.0; W]; n]);
        }
    };
    vector(basis, 0);
    scale_into(r, lengths, &mut basis[0]);
    for step in 0..limits.into_iter().max().unwrap_or(0) {
        if systems.iter().all(|s| s.finished) {
            break;
        }
        run.tick(0)?;
        vector(basis, step + 1);
        scratch.copy_from_slice(&basis[step]);
        preconditioner.solve(chain, scratch);
        run.tick(0)?;
        let (old, new) = basis.split_at_mut(step + 1);
        let w = &mut new[0];
        chain.apply(scratch, w);
        // The preconditioned operator is near the identity. Without that part, which adds nothing to the
        // space, little of `w` cancels below.
        add([-1.0; W], &old[step], w);
        let (mut h, below) = orthogonalize(old, w, factors);
        h[step].iter_mut().for_each(|h| *h += 1.0);
        let copy = &mut *scratch;
        copy.copy_from_slice(w);
        scale_into(copy, below, w);
        for c in 0..W {
            if !systems[c].finished {
                systems[c].push(h.iter().map(|h| h[c]).collect(), below[c]);
                let residual = systems[c].residual();
                systems[c].finished = residual <= goal[c] || below[c] == 0.0 || systems[c].steps >= limits[c];
            }
        }
    }
    let steps = systems.iter().map(|s| s.steps).max().unwrap_or(0);
    let mut y = vec![[0.0; W]; steps];
    for (c, system) in systems.iter().enumerate() {
        for (y, value) in y.iter_mut().zip(system.solve()) {
            y[c] = value;
        }
    }
    dx.fill([0.0; W]);
    combine(&basis[..steps], &y, dx);
    preconditioner.solve(chain, dx);
    Ok(Cycle { steps: std::array::from_fn(|c| systems[c].steps) })
}

/// `out = x / length`, zero where the length is.
fn scale_into<const W: usize>(x: &Rows<W>, length: [f64; W], out: &mut Rows<W>) {
    let factor = length.map(|l| if l > 0.0 { 1.0 / l } else { 0.0 });
    for (out, x) in out.iter_mut().zip(x) {
        for c in 0..W {
            out[c] = x[c] * factor[c];
        }
    }
}

/// Classical Gram-Schmidt of `w` against the basis, a second time where much of `w` was taken away
/// (Daniel et al., *Math. Comp.* 30, 1976). Returns the coefficients and the length of what is left.
fn orthogonalize<const W: usize>(
    basis: &[Vec<[f64; W]>],
    w: &mut Rows<W>,
    factors: &mut Vec<[f64; W]>,
) -> (Vec<[f64; W]>, [f64; W]) {
    let before = norms(w);
    factors.resize(basis.len(), [0.0; W]);
    dots(basis, w, factors);
    let mut h = factors.clone();
    factors.iter_mut().flatten().for_each(|f| *f = -*f);
    combine(basis, factors, w);
    let mut after = norms(w);
    let again: [bool; W] = std::array::from_fn(|c| after[c] < 0.3 * before[c]);
    if again.contains(&true) {
        dots(basis, w, factors);
        for (f, h) in factors.iter_mut().zip(&mut h) {
            for c in 0..W {
                // Adding an exact zero leaves the other systems as they are.
                f[c] = if again[c] { -f[c] } else { 0.0 };
                h[c] -= f[c];
            }
        }
        combine(basis, factors, w);
        after = norms(w);
    }
    for c in 0..W {
        // What is left after two passes is round-off: the space is exhausted.
        if after[c] <= 1e-15 * before[c] {
            after[c] = 0.0;
        }
    }
    (h, after)
}
