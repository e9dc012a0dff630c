//! Markov-chain fate mapping of single cells: the numerics of ferrocyte, without Python.
//!
//! Plain data in, plain data out: graphs and transition matrices are checked compressed-row views
//! ([`csr`]), cell-by-gene matrices are read where they lie ([`features`]), and every long function
//! takes a [`run::Run`], which carries the number of threads, a cancel flag and a progress counter.
//! Nothing here touches files, prints, or changes the process's global thread pool.
//!
//! ```
//! use ferrocyte_core::csr::{Csr, TransitionMatrix};
//! use ferrocyte_core::run::Run;
//! use ferrocyte_core::spectral::krylov_schur;
//! use ferrocyte_core::{fate, gpcca, solve, walk, Error, Result};
//!
//! # fn main() -> Result<()> {
//! // A gambler with 1 to 3 coins who plays a fair game until they have none or 4: rows 0 to 4.
//! let indptr = vec![0, 1, 3, 5, 7, 8];
//! let indices = vec![0, 0, 2, 1, 3, 2, 4, 4];
//! let values = vec![1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 1.0];
//! let t = TransitionMatrix::new(Csr::new(5, indptr, indices, values)?)?;
//! let run = Run::new(2);
//!
//! // With i coins they win with probability i / 4, and play 3, 4 or 3 rounds.
//! let targets = [Some(0), None, None, None, Some(1)];
//! let fates = fate::absorption_probabilities(&t, &targets, &solve::Params::default(), &run)?;
//! assert!(fates.x.chunks(2).zip([0.0, 0.25, 0.5, 0.75, 1.0]).all(|(x, won)| (x[1] - won).abs() < 1e-10));
//!
//! let stops = [true, false, false, false, true];
//! let params = walk::Params {
//!     starts: &[2],
//!     stops: Some(&stops),
//!     n_sims: 100,
//!     max_steps: 1000,
//!     successive_hits: 0,
//!     seed: 0,
//! };
//! let walks = walk::simulate(&t, &params, &run)?;
//! assert_eq!(walks.offsets.len(), 101);
//!
//! // The two ends are what the chain falls into: memberships in them are the same probabilities.
//! let params = krylov_schur::Params { n_components: 2, ..Default::default() };
//! let schur = krylov_schur::schur(&t, None, &params, &run)?;
//! let states = gpcca::macrostates(&schur.vectors, 2, 2, &gpcca::Params::default(), &run)?;
//! assert!((states.memberships[2 * 2] - 0.5).abs() < 1e-6);
//!
//! // Errors say what is wrong as data, too: from state 1 nothing leads to the only target.
//! let apart = TransitionMatrix::new(Csr::new(2, vec![0, 1, 2], vec![0, 1], vec![1.0, 1.0])?)?;
//! match fate::absorption_probabilities(&apart, &[Some(0), None], &solve::Params::default(), &run) {
//!     Err(Error::Unreachable { rows }) => assert_eq!(rows, [1]),
//!     other => panic!("{other:?}"),
//! }
//! # Ok(())
//! # }
//! ```
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod algebra;
pub mod annotation;
pub mod csr;
pub mod deflate;
pub mod drivers;
pub mod error;
pub mod fate;
pub mod features;
pub mod gpcca;
pub mod graph;
mod in_order;
pub mod kernels;
pub mod order;
mod rows;
pub mod run;
pub mod schema;
pub mod scores;
mod simd;
pub mod solve;
pub mod spectral;
pub mod stats;
pub mod transport;
pub mod trends;
pub mod walk;

pub use error::{Error, Result};
