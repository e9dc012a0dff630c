//! Eigenvalues, invariant subspaces and stationary distributions of Markov chains.
//!
//! [`krylov_schur`] finds a dominant invariant subspace of a sparse matrix, [`real_schur`] and
//! [`ordered_schur`] solve the small projected problems.

mod basis;
pub mod dense;
pub mod krylov_schur;
mod operator;
pub mod ordered_schur;
pub mod real_schur;
