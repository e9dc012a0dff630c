//! Velocities with uncertainty, to second order.
//!
//! The expectation of the probabilities over velocities with mean `m` and variances `w` is
//! `p(m) + 1/2 sum_g w_g d^2 p / d v_g^2` to second order (Lange et al., Nature Methods 2022, Methods).
//! The contraction of the Hessian with the variances is worked out on paper: with `l_jg` the derivative
//! of logit `j` in gene `g`, `l_jgg` the second one, and `<.>` the mean under `p`,
//!
//! `d^2 p_j / d v_g^2 = s p_j [l_jgg - <l_gg> + s (l_jg - <l_g>)^2 - s (<l_g^2> - <l_g>^2)]`,
//!
//! so that one pass over the displacements per term suffices: O(neighbors x genes) time and memory.

use pulp::{Simd, WithSimd};

use super::cell::{directions, mean_and_variance, neighborhood, Panel};
use super::logits::prepare;
use super::{check_scale, deterministic, softmax, Direction, Inputs, Similarity, Transitions};
use crate::error::Result;
use crate::order::by_locality;
use crate::run::Run;
use crate::simd;

/// Transition probabilities of the forward process, corrected for the spread of velocities.
///
/// Mean and variance are those of the velocities of the cell and its neighbors. Corrected
/// probabilities are clipped to `[0, 1]` and divided by their sum.
///
/// # Errors
/// [`crate::Error::Parameter`] for a scale that is not finite, [`crate::Error::Cancelled`].
pub fn transitions(
    inputs: &Inputs<'_>,
    similarity: Similarity,
    softmax_scale: Option<f64>,
    run: &Run,
) -> Result<Transitions> {
    check_scale(softmax_scale)?;
    let scale = match softmax_scale {
        Some(scale) => scale,
        None => deterministic::default_scale(inputs, similarity, Direction::Forward, run)?,
    };
    per_cell(inputs, scale, run, Scratch::default, |scratch, i| {
        simd::dispatch(Cell { inputs, similarity, scale, i, scratch })
    })
}

/// What a model computes for one cell at a time leaves in its scratch.
pub(super) trait Answer {
    fn probabilities(&self) -> &[f64];
    fn logits(&self) -> &[f64];
}

/// Runs a model cell by cell, neighbors close together, and collects both matrices.
pub(super) fn per_cell<T: Answer + Send>(
    inputs: &Inputs<'_>,
    scale: f64,
    run: &Run,
    init: impl Fn() -> T + Send + Sync,
    work: impl Fn(&mut T, usize) -> Result<()> + Send + Sync,
) -> Result<Transitions> {
    let graph = inputs.graph;
    let n = graph.n_rows();
    run.expect_steps(n);
    let order = by_locality(graph);
    let (mut probabilities, mut logits) = (vec![0.0; graph.nnz()], vec![0.0; graph.nnz()]);
    run.blocks(
        n,
        1,
        init,
        |scratch, range| work(scratch, order[range.start] as usize),
        |scratch, range| {
            let row = graph.range(order[range.start] as usize);
            probabilities[row.clone()].copy_from_slice(scratch.probabilities());
            logits[row].copy_from_slice(scratch.logits());
        },
    )?;
    Ok(Transitions {
        probabilities: graph.with_values_without_zeros(probabilities),
        logits: graph.with_values_without_zeros(logits),
        softmax_scale: scale,
    })
}

#[derive(Debug, Default)]
struct Scratch {
    panel: Panel,
    undefined: Vec<bool>,
    origin: Vec<f64>,
    mean: Vec<f64>,
    variance: Vec<f64>,
    average: Vec<f64>,
    logits: Vec<f64>,
    first: Vec<f64>,
    second: Vec<f64>,
    probabilities: Vec<f64>,
}

impl Answer for Scratch {
    fn probabilities(&self) -> &[f64] {
        &self.probabilities
    }
    fn logits(&self) -> &[f64] {
        &self.logits
    }
}

struct Cell<'b> {
    inputs: &'b Inputs<'b>,
    similarity: Similarity,
    scale: f64,
    i: usize,
    scratch: &'b mut Scratch,
}

impl WithSimd for Cell<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Result<()> {
        let Self { inputs, similarity, scale, i, scratch } = self;
        let Scratch {
            panel,
            undefined,
            origin,
            mean,
            variance,
            average,
            logits,
            first,
            second,
            probabilities,
        } = scratch;
        let genes = inputs.x.width();
        for buffer in [&mut *origin, mean, variance, average] {
            buffer.resize(genes, 0.0);
        }
        panel.load(inputs.v, neighborhood(inputs.graph, i));
        mean_and_variance(simd, panel, mean, variance, i)?;
        panel.load(inputs.x, inputs.graph.cols(i).iter().map(|&j| j as usize));
        inputs.x.copy_row(i, origin);
        directions(simd, panel, origin, similarity, undefined, i)?;

        // Logits at the mean velocity; from here on `mean` is the unit vector u of the (centered) mean.
        let norm = prepare(simd, mean, similarity);
        logits.clear();
        for (row, &undefined) in panel.rows().zip(undefined.iter()) {
            let direction = undefined || norm == 0.0;
            logits.push(if direction { f64::NAN } else { simd::dot(simd, row, mean) / norm });
        }
        probabilities.resize(logits.len(), 0.0);
        softmax::probabilities(simd, logits, scale, probabilities);
        if norm > 0.0 {
            for m in mean.iter_mut() {
                *m /= norm;
            }
            average.fill(0.0);
            for (row, &p) in panel.rows().zip(probabilities.iter()) {
                for (a, &d) in average.iter_mut().zip(row) {
                    *a += p * d;
                }
            }
            contract(simd, similarity, panel, mean, variance, average, logits, probabilities, first, second);
            correct(scale, norm, first, second, probabilities);
        }
        for l in logits.iter_mut() {
            if l.is_nan() {
                *l = 0.0;
            }
        }
        Ok(())
    }
}

/// `first_j = |m|^2 sum_g w_g l_jgg` and `second_j = |m|^2 sum_g w_g (l_jg - <l_g>)^2`.
///
/// With unit displacements `a` and unit velocity `u`, `|m| l_jg = a_jg - l_j u_g` and
/// `|m|^2 l_jgg = 3 l_j u_g^2 - 2 a_jg u_g - l_j` (for the correlation, whose centering is linear, the
/// last term is `l_j (1 - 1/G)`); for the dot product `l_jg = d_jg` and `l_jgg = 0`, with `|m|` read as 1.
#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn contract<S: Simd>(
    simd: S,
    similarity: Similarity,
    panel: &Panel,
    u: &[f64],
    variance: &[f64],
    average: &mut [f64],
    logits: &[f64],
    probabilities: &[f64],
    first: &mut Vec<f64>,
    second: &mut Vec<f64>,
) {
    first.clear();
    second.clear();
    let curved = similarity != Similarity::DotProduct;
    let mean_logit: f64 =
        logits.iter().zip(probabilities).filter(|(l, _)| !l.is_nan()).map(|(l, p)| l * p).sum();
    let (mut own, mut along) = (0.0, 0.0);
    if curved {
        let share = if similarity == Similarity::Correlation { 1.0 - 1.0 / u.len() as f64 } else { 1.0 };
        for (&w, &u) in variance.iter().zip(u) {
            own += share * w;
            along += w * u * u;
        }
    }
    for (row, &l) in panel.rows().zip(logits) {
        if l.is_nan() {
            first.push(0.0);
            second.push(0.0);
            continue;
        }
        let slope = if curved { l - mean_logit } else { 0.0 };
        let (cross, square) = simd::weighted_deviation(simd, row, u, variance, average, slope);
        first.push(if curved { l * (3.0 * along - own) - 2.0 * cross } else { 0.0 });
        second.push(square);
    }
}

/// Adds half the contraction to the probabilities, clips and divides by the sum.
#[inline(always)]
fn correct(scale: f64, norm: f64, first: &[f64], second: &[f64], probabilities: &mut [f64]) {
    let mean = |values: &[f64], p: &[f64]| -> f64 { values.iter().zip(p).map(|(x, p)| x * p).sum() };
    let (mean_first, mean_second) = (mean(first, probabilities), mean(second, probabilities));
    let factor = 0.5 * scale / (norm * norm);
    let mut sum = 0.0;
    for ((p, &a), &b) in probabilities.iter_mut().zip(first).zip(second) {
        let change = factor * ((a - mean_first) + scale * (b - mean_second));
        *p = (*p * (1.0 + change)).clamp(0.0, 1.0);
        if p.is_nan() {
            *p = 0.0;
        }
        sum += *p;
    }
    let (uniform, n) = (sum == 0.0, probabilities.len() as f64);
    for p in probabilities {
        *p = if uniform { 1.0 / n } else { *p / sum };
    }
}
