//! One cell by itself: a similarity as a function, its Hessian, and the spread of velocities.

use pulp::{Simd, WithSimd};

use super::cell::{mean_and_variance, neighborhood, Panel};
use super::logits::prepare;
use super::{check_scale, softmax, Similarity};
use crate::csr::Graph;
use crate::error::{Error, Result};
use crate::features::Features;
use crate::run::Run;
use crate::simd;

/// Probabilities and logits of the neighbors of one cell.
///
/// * `v`: one velocity, or one for each neighbor, row after row.
/// * `d`: displacements to the neighbors, row after row, `genes` values each.
///
/// # Errors
/// [`Error::Shape`] when sizes do not fit, [`Error::NotFinite`], [`Error::Parameter`] for the scale.
pub fn probabilities(
    similarity: Similarity,
    v: &[f64],
    d: &[f64],
    genes: usize,
    scale: f64,
) -> Result<(Vec<f64>, Vec<f64>)> {
    let k = check(v, d, genes, scale)?;
    if v.len() != genes && v.len() != d.len() {
        return Err(Error::shape(
            "`v`",
            format!("1 or {k} rows of {genes} genes"),
            format!("{} values", v.len()),
        ));
    }
    let mut logits = simd::dispatch(Logits { similarity, v, d, genes });
    let mut out = vec![0.0; k];
    softmax::of_one(&logits, scale, &mut out);
    logits.iter_mut().filter(|l| l.is_nan()).for_each(|l| *l = 0.0);
    Ok((out, logits))
}

fn check(v: &[f64], d: &[f64], genes: usize, scale: f64) -> Result<usize> {
    check_scale(Some(scale))?;
    if genes == 0 || d.is_empty() || !d.len().is_multiple_of(genes) {
        return Err(Error::shape("`D`", "at least one neighbor and one gene", format!("{} values", d.len())));
    }
    for (what, values) in [("`v`", v), ("`D`", d)] {
        if let Some(at) = values.iter().position(|x| !x.is_finite()) {
            return Err(Error::NotFinite { what: what.into(), row: at / genes });
        }
    }
    Ok(d.len() / genes)
}

struct Logits<'b> {
    similarity: Similarity,
    v: &'b [f64],
    d: &'b [f64],
    genes: usize,
}

impl WithSimd for Logits<'_> {
    type Output = Vec<f64>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Vec<f64> {
        let mut v = self.v.to_vec();
        let norms: Vec<f64> =
            v.chunks_exact_mut(self.genes).map(|v| prepare(simd, v, self.similarity)).collect();
        let mut d = self.d.to_vec();
        let mut out = Vec::with_capacity(d.len() / self.genes);
        for (j, d) in d.chunks_exact_mut(self.genes).enumerate() {
            let at = if norms.len() == 1 { 0 } else { j };
            let norm = norms[at] * prepare(simd, d, self.similarity);
            let dot = simd::dot(simd, d, &v[at * self.genes..(at + 1) * self.genes]);
            out.push(match self.similarity {
                Similarity::DotProduct => dot,
                _ if norm == 0.0 => f64::NAN,
                _ => (dot / norm).clamp(-1.0, 1.0),
            });
        }
        out
    }
}

/// Second derivatives of the probabilities with respect to the velocity, `(neighbors, genes, genes)`.
///
/// For logits `l` and scale `s`, with `<.>` the mean under `p`,
/// `H_jgh = s p_j [l_jgh - <l_gh> + s ((l_jg - <l_g>)(l_jh - <l_h>) - <l_g l_h> + <l_g><l_h>)]`; the
/// derivatives of the logits are those of the module [`super::stochastic`]. Neighbors without a
/// direction have probability 0 whatever the velocity, and derivatives 0.
///
/// # Errors
/// As [`probabilities`]; `v` must be a single velocity.
pub fn hessian(similarity: Similarity, v: &[f64], d: &[f64], genes: usize, scale: f64) -> Result<Vec<f64>> {
    let k = check(v, d, genes, scale)?;
    if v.len() != genes {
        return Err(Error::shape("`v`", format!("{genes} values, as `D` has genes"), v.len()));
    }
    let curved = similarity != Similarity::DotProduct;
    let (mut u, mut a) = (v.to_vec(), d.to_vec());
    let norm = unit(&mut u, similarity);
    let defined: Vec<bool> =
        a.chunks_exact_mut(genes).map(|a| unit(a, similarity) > 0.0 && norm > 0.0).collect();
    let logits: Vec<f64> = a
        .chunks_exact(genes)
        .zip(&defined)
        .map(|(a, &ok)| match (ok, curved) {
            (false, _) => f64::NAN,
            (true, true) => a.iter().zip(&u).map(|(a, u)| a * u).sum(),
            (true, false) => a.iter().zip(v).map(|(a, v)| a * v).sum(),
        })
        .collect();
    let mut p = vec![0.0; k];
    softmax::of_one(&logits, scale, &mut p);
    let mut out = vec![0.0; k * genes * genes];
    if !defined.contains(&true) {
        return Ok(out);
    }
    // Slopes l_jg, in place of the directions.
    for (j, a) in a.chunks_exact_mut(genes).enumerate() {
        if !defined[j] {
            a.fill(0.0);
        } else if curved {
            a.iter_mut().zip(&u).for_each(|(a, u)| *a = (*a - logits[j] * u) / norm);
        }
    }
    let slopes = a;
    let slope = |j: usize, g: usize| slopes[j * genes + g];
    let center = if similarity == Similarity::Correlation { 1.0 / genes as f64 } else { 0.0 };
    // l_jgh = (l u_g u_h - l_jg |v| u_h - l_jh |v| u_g - l (delta_gh - center)) / |v|^2
    let curvature = |j: usize, g: usize, h: usize| {
        if !curved || !defined[j] {
            return 0.0;
        }
        let l = logits[j];
        let own = if g == h { 1.0 - center } else { -center };
        (l * u[g] * u[h] - norm * (slope(j, g) * u[h] + slope(j, h) * u[g]) - l * own) / (norm * norm)
    };
    for g in 0..genes {
        for h in g..genes {
            let mean = |f: &dyn Fn(usize) -> f64| (0..k).map(|j| p[j] * f(j)).sum::<f64>();
            let (mean_g, mean_h) = (mean(&|j| slope(j, g)), mean(&|j| slope(j, h)));
            let covariance = mean(&|j| (slope(j, g) - mean_g) * (slope(j, h) - mean_h));
            let mean_curvature = mean(&|j| curvature(j, g, h));
            for j in (0..k).filter(|&j| defined[j]) {
                let spread = (slope(j, g) - mean_g) * (slope(j, h) - mean_h) - covariance;
                let value = scale * p[j] * (curvature(j, g, h) - mean_curvature + scale * spread);
                out[(j * genes + g) * genes + h] = value;
                out[(j * genes + h) * genes + g] = value;
            }
        }
    }
    Ok(out)
}

/// Centers and scales to length 1 as the similarity asks; returns the length before (1 for the dot
/// product, which does neither).
fn unit(values: &mut [f64], similarity: Similarity) -> f64 {
    struct Prepare<'b>(&'b mut [f64], Similarity);
    impl WithSimd for Prepare<'_> {
        type Output = f64;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> f64 {
            prepare(simd, self.0, self.1)
        }
    }
    let norm = simd::dispatch(Prepare(values, similarity));
    if norm > 0.0 && similarity != Similarity::DotProduct {
        values.iter_mut().for_each(|x| *x /= norm);
    }
    norm
}

/// Mean and variance of the velocity over each cell and its neighbors, two `(cells, genes)` arrays.
///
/// # Errors
/// [`Error::Shape`] when sizes differ, [`Error::Cancelled`].
pub fn moments(graph: &Graph<'_>, v: &Features<'_>, run: &Run) -> Result<(Vec<f64>, Vec<f64>)> {
    let (n, genes) = (graph.n_rows(), v.width());
    if v.n_rows() != n {
        return Err(Error::shape("the velocity matrix", format!("{n} rows, as the graph"), v.n_rows()));
    }
    run.expect_steps(n);
    let (mut mean, mut variance) = (vec![0.0; n * genes], vec![0.0; n * genes]);
    run.blocks(
        n,
        1,
        || (Panel::default(), vec![0.0; genes], vec![0.0; genes]),
        |(panel, mean, variance), range| {
            panel.load(v, neighborhood(graph, range.start));
            simd::dispatch(Moments { panel, mean, variance, i: range.start })
        },
        |(_, m, w), range| {
            mean[range.start * genes..range.end * genes].copy_from_slice(m);
            variance[range.start * genes..range.end * genes].copy_from_slice(w);
        },
    )?;
    Ok((mean, variance))
}

struct Moments<'b> {
    panel: &'b Panel,
    mean: &'b mut [f64],
    variance: &'b mut [f64],
    i: usize,
}

impl WithSimd for Moments<'_> {
    type Output = Result<()>;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Result<()> {
        mean_and_variance(simd, self.panel, self.mean, self.variance, self.i)
    }
}
