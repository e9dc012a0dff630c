//! Eigenvalues, invariant subspaces and stationary distributions of Markov chains.
//!
//! [`krylov_schur`] finds a dominant invariant subspace of a sparse matrix, [`real_schur`] and
//! [`ordered_schur`] solve the small projected problems, [`eigen`] makes eigenvectors of either side from
//! the result. [`stationary`] finds the left eigenvector of eigenvalue 1 in a way of its own, which a nearly
//! reducible chain does not slow down.

mod aggregate;
mod aligned;
mod basis;
pub mod dense;
pub mod eigen;
pub mod krylov_schur;
mod operator;
pub mod ordered_schur;
mod panel;
pub mod real_schur;
pub mod stationary;
