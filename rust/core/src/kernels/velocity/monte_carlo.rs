//! Velocities with uncertainty, by sampling.

use pulp::{Simd, WithSimd};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::cell::{directions, mean_and_variance, neighborhood, Panel};
use super::logits::center;
use super::stochastic::{per_cell, Answer};
use super::{check_scale, deterministic, softmax, Direction, Inputs, Similarity, Transitions};
use crate::error::{Error, Result};
use crate::run::Run;
use crate::simd;

/// Mean transition probabilities over velocities drawn from a normal distribution.
///
/// Gene by gene, velocities have the mean and the variance of the cell and its neighbors. Samples come
/// in antithetic pairs `m + e`, `m - e`: each is normal, and what is odd in `e` cancels exactly. Cell
/// `i` draws from stream `i` of a ChaCha8 generator seeded with `seed`.
///
/// # Errors
/// [`crate::Error::Parameter`] for a scale that is not finite or no samples,
/// [`crate::Error::Cancelled`].
pub fn transitions(
    inputs: &Inputs<'_>,
    similarity: Similarity,
    softmax_scale: Option<f64>,
    n_samples: usize,
    seed: u64,
    run: &Run,
) -> Result<Transitions> {
    check_scale(softmax_scale)?;
    if n_samples == 0 {
        return Err(Error::parameter("n_samples", "at least 1", n_samples));
    }
    let scale = match softmax_scale {
        Some(scale) => scale,
        None => deterministic::default_scale(inputs, similarity, Direction::Forward, run)?,
    };
    let rng = ChaCha8Rng::seed_from_u64(seed);
    per_cell(inputs, scale, run, Scratch::default, |scratch, i| {
        let mut rng = rng.clone();
        rng.set_stream(i as u64);
        simd::dispatch(Cell { inputs, similarity, scale, n_samples, rng, i, run, scratch })
    })
}

#[derive(Debug, Default)]
struct Scratch {
    panel: Panel,
    undefined: Vec<bool>,
    origin: Vec<f64>,
    mean: Vec<f64>,
    deviation: Vec<f64>,
    sample: Vec<f64>,
    along_mean: Vec<f64>,
    along_sample: Vec<f64>,
    /// Logits and probabilities of one sample.
    l: Vec<f64>,
    p: Vec<f64>,
    /// Their sums, in the end means.
    logits: Vec<f64>,
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
    n_samples: usize,
    rng: ChaCha8Rng,
    i: usize,
    run: &'b Run,
    scratch: &'b mut Scratch,
}

impl WithSimd for Cell<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Result<()> {
        let Self { inputs, similarity, scale, n_samples, mut rng, i, run, scratch: s } = self;
        let genes = inputs.x.width();
        for buffer in [&mut s.origin, &mut s.mean, &mut s.deviation, &mut s.sample] {
            buffer.resize(genes, 0.0);
        }
        s.panel.load(inputs.v, neighborhood(inputs.graph, i));
        mean_and_variance(simd, &s.panel, &mut s.mean, &mut s.deviation, i)?;
        for w in &mut s.deviation {
            *w = w.sqrt();
        }
        s.panel.load(inputs.x, inputs.graph.cols(i).iter().map(|&j| j as usize));
        inputs.x.copy_row(i, &mut s.origin);
        directions(simd, &mut s.panel, &s.origin, similarity, &mut s.undefined, i)?;
        if similarity == Similarity::Correlation {
            center(simd, &mut s.mean);
        }
        let mean_square = simd::dot(simd, &s.mean, &s.mean);
        multiply(simd, &s.panel, &s.mean, &mut s.along_mean);

        let k = s.undefined.len();
        for buffer in [&mut s.l, &mut s.p] {
            buffer.resize(k, 0.0);
        }
        for sums in [&mut s.logits, &mut s.probabilities] {
            sums.clear();
            sums.resize(k, 0.0);
        }
        for pair in 0..n_samples.div_ceil(2) {
            run.tick(0)?; // many samples take long for a single cell
            for (e, &deviation) in s.sample.iter_mut().zip(&s.deviation) {
                let normal: f64 = StandardNormal.sample(&mut rng);
                *e = deviation * normal;
            }
            if similarity == Similarity::Correlation {
                center(simd, &mut s.sample);
            }
            let square = mean_square + simd::dot(simd, &s.sample, &s.sample);
            let cross = simd::dot(simd, &s.mean, &s.sample);
            multiply(simd, &s.panel, &s.sample, &mut s.along_sample);
            let signs = if 2 * pair + 1 < n_samples { &[1.0, -1.0][..] } else { &[1.0][..] };
            for sign in signs {
                let norm = match similarity {
                    Similarity::DotProduct => 1.0,
                    // Round-off must not leave a tiny negative number.
                    _ => (square + 2.0 * sign * cross).max(0.0).sqrt(),
                };
                for j in 0..k {
                    let dot = s.along_mean[j] + sign * s.along_sample[j];
                    s.l[j] = if s.undefined[j] || norm == 0.0 { f64::NAN } else { dot / norm };
                }
                softmax::probabilities(simd, &s.l, scale, &mut s.p);
                for j in 0..k {
                    s.probabilities[j] += s.p[j];
                    s.logits[j] += if s.l[j].is_nan() { 0.0 } else { s.l[j] };
                }
            }
        }
        let total: f64 = s.probabilities.iter().sum();
        for j in 0..k {
            s.probabilities[j] /= total;
            s.logits[j] /= n_samples as f64;
        }
        Ok(())
    }
}

/// `out_j = row_j . b`, four rows at a time.
#[inline(always)]
fn multiply<S: Simd>(simd: S, panel: &Panel, b: &[f64], out: &mut Vec<f64>) {
    out.clear();
    let mut rows = panel.rows();
    while rows.len() >= 4 {
        let mut four: [&[f64]; 4] = [&[]; 4];
        for slot in &mut four {
            *slot = rows.next().unwrap_or(&[]);
        }
        for (dot, _) in simd::products::<S, f64, 4, false>(simd, four, b, b) {
            out.push(dot);
        }
    }
    for row in rows {
        out.push(simd::dot(simd, row, b));
    }
}
