//! Markov-chain fate mapping of single cells: the numerics of ferrocyte, without Python.
//!
//! Plain data in, plain data out: graphs and transition matrices are checked compressed-row views
//! ([`csr`]), cell-by-gene matrices are read where they lie ([`features`]), and every long function
//! takes a [`run::Run`], which carries the number of threads, a cancel flag and a progress counter.
//! Nothing here touches files, prints, or changes the process's global thread pool.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic))]

pub mod algebra;
pub mod annotation;
pub mod csr;
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
