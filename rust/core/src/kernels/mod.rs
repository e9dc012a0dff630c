//! One file per kernel: from data on cells to a transition matrix.

pub mod connectivity;
pub mod pseudotime;
pub mod real_time;
pub mod velocity;
