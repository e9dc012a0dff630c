//! The choice of preconditioner.

use super::chain::{Chain, Rows};
use super::direct::Factors;
use super::ilu::Ilu;
use super::multilevel::Multilevel;
use super::Kind;
use crate::error::Result;
use crate::run::Run;

/// A cheap approximation of `A^-1`.
#[derive(Debug)]
pub(crate) enum Preconditioner {
    /// The chain has no holding probabilities: its diagonal is 1 and this is the identity.
    Jacobi,
    Ilu(Ilu),
    Multilevel(Multilevel),
    Direct(Factors),
}

impl Preconditioner {
    /// # Errors
    /// [`crate::Error::Cancelled`]; [`crate::Error::Unsolved`] when complete factors are too large.
    pub(crate) fn new(kind: Kind, chain: &Chain, run: &Run) -> Result<Self> {
        Ok(match kind {
            Kind::Jacobi => Self::Jacobi,
            Kind::Ilu => Self::Ilu(Ilu::new(chain, run)?),
            Kind::Multilevel => Self::Multilevel(Multilevel::new(chain, run)?),
            Kind::Direct => Self::Direct(Factors::new(chain)?),
        })
    }

    /// Replaces `x` by `A^-1 x`, approximately.
    pub(crate) fn solve<const W: usize>(&self, chain: &Chain, x: &mut Rows<W>) {
        match self {
            Self::Jacobi => {}
            Self::Ilu(ilu) => ilu.solve(x),
            Self::Multilevel(levels) => levels.solve(chain, x),
            Self::Direct(factors) => factors.solve(x),
        }
    }
}
