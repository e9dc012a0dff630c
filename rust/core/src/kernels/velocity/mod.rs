//! Transition probabilities from RNA velocity.
//!
//! For cell `i` with neighbors `j`, displacements `d_ij = x_j - x_i` and velocity `v_i`, a similarity
//! `l_ij` of `d_ij` and `v_i` is turned into probabilities by a softmax over the neighbors,
//! `p_ij ~ exp(s l_ij)` (La Manno et al., Nature 2018; Li et al., BMC Genomics 2021, eqs. 4.7-4.9).

mod cell;
pub mod deterministic;
mod logits;
pub mod monte_carlo;
pub mod single;
mod softmax;
pub mod stochastic;

use crate::csr::{Csr, Graph};
use crate::error::{Error, Result};
use crate::features::Features;

/// How displacement and velocity are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Similarity {
    /// `d . v / (|d| |v|)`
    Cosine,
    /// Cosine after subtracting from each vector its mean over genes.
    Correlation,
    /// `d . v`
    DotProduct,
}

/// Which way the process is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// `l_ij` compares `x_j - x_i` with `v_i`.
    Forward,
    /// Backward: `l_ij` compares `x_i - x_j` with the neighbor's velocity `v_j`.
    Transpose,
    /// Backward: `l_ij` compares `x_j - x_i` with `-v_i`.
    Negate,
}

/// What a velocity model works on; sizes are checked once, here.
#[derive(Debug, Clone, Copy)]
pub struct Inputs<'a> {
    graph: &'a Graph<'a>,
    x: &'a Features<'a>,
    v: &'a Features<'a>,
}

impl<'a> Inputs<'a> {
    /// * `graph`: neighbors of each cell; the weights are not used.
    /// * `x`, `v`: expression and velocity, cells x genes.
    ///
    /// # Errors
    /// [`Error::Shape`] when sizes differ or there are no genes, [`Error::ZeroRows`] for cells without
    /// neighbors.
    pub fn new(graph: &'a Graph<'a>, x: &'a Features<'a>, v: &'a Features<'a>) -> Result<Self> {
        let n = graph.n_rows();
        if x.n_rows() != n {
            return Err(Error::shape("the expression matrix", format!("{n} rows, as the graph"), x.n_rows()));
        }
        if (v.n_rows(), v.width()) != (n, x.width()) {
            let (expected, found) = (format!("shape ({n}, {})", x.width()), (v.n_rows(), v.width()));
            return Err(Error::shape("the velocity matrix", expected, format!("{found:?}")));
        }
        if x.width() == 0 {
            return Err(Error::shape("the expression matrix", "at least one gene", "none"));
        }
        let lonely: Vec<usize> = (0..n).filter(|&i| graph.cols(i).is_empty()).collect();
        if !lonely.is_empty() {
            return Err(Error::ZeroRows { rows: lonely });
        }
        Ok(Self { graph, x, v })
    }
}

/// A transition matrix with what it was made of.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Transitions {
    /// Rows sum to 1; exact zeros are not stored.
    pub probabilities: Csr<'static>,
    /// Similarities before scaling; exact zeros are not stored.
    pub logits: Csr<'static>,
    /// The scale `s` of the softmax.
    pub softmax_scale: f64,
}

/// # Errors
/// [`Error::Parameter`] unless the scale is a finite number or `None`.
fn check_scale(scale: Option<f64>) -> Result<()> {
    match scale {
        Some(s) if !s.is_finite() => Err(Error::parameter("softmax_scale", "a finite number", s)),
        _ => Ok(()),
    }
}
