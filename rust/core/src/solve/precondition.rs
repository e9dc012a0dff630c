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
    /// What `weaker` has computed is used again.
    ///
    /// # Errors
    /// [`crate::Error::Cancelled`]; [`crate::Error::TooLarge`] when complete factors are too large.
    pub(crate) fn new(kind: Kind, chain: &Chain, weaker: Option<Self>, run: &Run) -> Result<Self> {
        Ok(match kind {
            Kind::Jacobi => Self::Jacobi,
            Kind::Ilu => Self::Ilu(Ilu::new(chain, run)?),
            Kind::Multilevel => {
                let first = match weaker {
                    Some(Self::Ilu(first)) => first,
                    _ => Ilu::new(chain, run)?,
                };
                Self::Multilevel(Multilevel::new(chain, first, run)?)
            }
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
