//! Linear systems of absorbing chains, `A X = B` with `A = I - P`, solved to full accuracy.
//!
//! `A` is an M-matrix whose row sums, the probabilities of leaving to a target, are known without
//! subtraction. Everything here rests on that: residuals are formed from differences of neighbors
//! (`chain`), preconditioners are eliminations of states in which nothing cancels (`ilu`,
//! `multilevel`), and a solution is accepted not when its residual is small, which on a slowly mixing
//! chain says little, but when the preconditioner's estimate of its error is. Where a chain mixes fast
//! a bound of the error is cheap, and so is the solution (`quick`).

mod bicgstab;
mod chain;
mod direct;
mod gmres;
mod ilu;
mod multilevel;
mod precondition;
mod quick;
mod refine;
mod sweeps;
mod vectors;

pub(crate) use chain::Chain;
pub(crate) use quick::{solve as solve_quickly, worthwhile};
pub(crate) use refine::solve;

/// How the linear systems are solved.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Params {
    /// The iteration.
    pub method: Method,
    /// What speeds it up. `None`: for probabilities on a large chain first BiCGSTAB with an elimination of
    /// the simplest kind, which is soon done with if the chain mixes fast; else aggregation, which takes
    /// about as many iterations for a chain of any size, however slowly it mixes.
    pub preconditioner: Option<Kind>,
    /// Largest accepted residual of a system, relative to its right-hand side; in (0, 1).
    pub tol: f64,
    /// Iterations after which a method gives way to the next stronger one.
    pub max_iterations: usize,
}

impl Default for Params {
    fn default() -> Self {
        Self { method: Method::Gmres, preconditioner: None, tol: 1e-8, max_iterations: 1000 }
    }
}

/// The iteration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Restarted GMRES: a residual that never grows, at the price of some 30 vectors per system.
    Gmres,
    /// BiCGSTAB: eight vectors per system.
    Bicgstab,
    /// Sparse LU factors and iterative refinement.
    Direct,
}

/// Preconditioners, from weak to strong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Division by the diagonal.
    Jacobi,
    /// Incomplete elimination of states.
    Ilu,
    /// Aggregation multigrid around it.
    Multilevel,
    /// Complete sparse factors.
    Direct,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Info {
    /// The iteration that succeeded.
    pub method: Method,
    /// The preconditioner it used.
    pub preconditioner: Kind,
    /// Iterations of the system that took most, over all methods tried.
    pub iterations: usize,
    /// Largest residual of a system, relative to its right-hand side (2-norms).
    pub residual: f64,
    /// Estimate of the largest error: of a probability, or of a time in units of that time.
    pub error: f64,
}

/// In which sense a solution must be accurate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Accuracy {
    /// Largest error of a value, in units of that value or of `floor` times the scale if that is larger.
    pub(crate) wanted: f64,
    /// Largest error in units of the scale that is put up with when no progress is made any more.
    pub(crate) accepted: f64,
    /// Smallest unit.
    pub(crate) floor: f64,
    /// Whether the scale is the largest value of the system, or else 1.
    pub(crate) relative: bool,
    /// Whether the preconditioner's estimate of the error is not enough: one more cycle, as deep as can
    /// be, must then confirm it by its correction.
    pub(crate) confirmed: bool,
}

/// What one cycle of a solver reports for each system.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cycle<const W: usize> {
    pub(crate) steps: [usize; W],
}
