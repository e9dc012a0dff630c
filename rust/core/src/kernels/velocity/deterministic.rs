//! Velocities taken as they are.

use super::{check_scale, logits, softmax, Direction, Inputs, Similarity, Transitions};
use crate::csr::Csr;
use crate::error::Result;
use crate::run::Run;

/// Transition probabilities of the velocity model without uncertainty.
///
/// * `softmax_scale`: the scale `s`; `None` for `1 / median |l|` over the nonzero logits.
///
/// A cell for which no neighbor has a direction (zero velocity, or no displacement) moves to each
/// neighbor with the same probability.
///
/// # Errors
/// [`crate::Error::Parameter`] for a scale that is not finite, [`crate::Error::Cancelled`].
pub fn transitions(
    inputs: &Inputs<'_>,
    similarity: Similarity,
    direction: Direction,
    softmax_scale: Option<f64>,
    run: &Run,
) -> Result<Transitions> {
    check_scale(softmax_scale)?;
    run.expect_steps(inputs.graph.n_rows()); // for the softmax; the logits announce themselves
    let logits = logits_of_edges(inputs, similarity, direction, run)?;
    let scale = softmax_scale.unwrap_or_else(|| softmax::default_scale(&logits));
    from_logits(inputs.graph, logits, scale, run)
}

/// The scale that [`transitions`] chooses by itself.
///
/// # Errors
/// [`crate::Error::Cancelled`].
pub fn default_scale(
    inputs: &Inputs<'_>,
    similarity: Similarity,
    direction: Direction,
    run: &Run,
) -> Result<f64> {
    Ok(softmax::default_scale(&logits_of_edges(inputs, similarity, direction, run)?))
}

fn logits_of_edges(
    inputs: &Inputs<'_>,
    similarity: Similarity,
    direction: Direction,
    run: &Run,
) -> Result<Vec<f64>> {
    let graph = inputs.graph;
    match direction {
        Direction::Forward => logits::forward(graph, inputs, similarity, run),
        Direction::Negate => {
            let mut out = logits::forward(graph, inputs, similarity, run)?;
            out.iter_mut().for_each(|l| *l = -*l);
            Ok(out)
        }
        // v_j against x_i - x_j is the forward similarity of the edge j -> i. The transpose holds the edges
        // into a cell in the order of the cells they come from, which is the order they are met in here.
        Direction::Transpose => {
            let reversed = graph.transpose();
            let found = logits::forward(&reversed, inputs, similarity, run)?;
            let mut next: Vec<usize> = (0..graph.n_rows()).map(|j| reversed.range(j).start).collect();
            let mut out = Vec::with_capacity(graph.nnz());
            for i in 0..graph.n_rows() {
                for &j in graph.cols(i) {
                    out.push(found[next[j as usize]]);
                    next[j as usize] += 1;
                }
            }
            Ok(out)
        }
    }
}

fn from_logits(graph: &Csr<'_>, mut logits: Vec<f64>, scale: f64, run: &Run) -> Result<Transitions> {
    let probabilities = softmax::of_rows(graph, &logits, scale, run)?;
    for l in &mut logits {
        *l = if l.is_nan() { 0.0 } else { *l };
    }
    let (probabilities, logits) = run.both(
        || graph.with_values_without_zeros(probabilities),
        || graph.with_values_without_zeros(logits),
    )?;
    Ok(Transitions { probabilities, logits, softmax_scale: scale })
}
