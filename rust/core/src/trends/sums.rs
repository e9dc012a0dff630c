//! One look at all cells: everything a step of a fit needs to know about them.

use pulp::{Simd, WithSimd};

use super::basis::Design;
use super::exp::exp_in_place;
use super::family::{Distribution, Family, Link};
use crate::simd::{dispatch, dot};

/// Cells that are worked on while they are in the first cache.
const CHUNK: usize = 512;

/// Weights of the cells in a Gram matrix `B^T W B`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weighting {
    /// Expected second derivatives of the deviance: `w / (g'^2 V)`.
    Fisher,
    /// The second derivatives themselves (Wood, *Generalized Additive Models*, 2017, section 3.1.2).
    Newton,
    /// Squared scores, for the variance of an estimate that is not efficient.
    Squared,
}

/// The response of one gene in the order of a [`Design`].
#[derive(Debug)]
pub(crate) struct Response<'a> {
    pub(crate) design: &'a Design,
    pub(crate) family: Family,
    pub(crate) y: &'a [f64],
    /// Weighted mean.
    pub(crate) mean: f64,
}

/// Sums over cells at some coefficients.
#[derive(Debug, Clone)]
pub(crate) struct Sums {
    /// Less half the derivative of the deviance, `(n_splines,)`.
    pub(crate) score: Vec<f64>,
    /// [`Family`]'s deviance without what does not depend on the fit.
    pub(crate) deviance: f64,
    /// `sum w (y - mu)^2 / V(mu)`
    pub(crate) pearson: f64,
    /// Full `B^T W B`, `(n_splines, n_splines)`, when it was asked for.
    pub(crate) gram: Vec<f64>,
    /// Whether every mean can be.
    pub(crate) valid: bool,
}

impl Sums {
    /// Looks at all cells, with the coefficients `gamma`.
    pub(crate) fn new(response: &Response<'_>, gamma: &[f64], weighting: Option<Weighting>) -> Self {
        let mut out = dispatch(Look { response, gamma, weighting });
        mirror(&mut out.gram, gamma.len());
        out
    }
}

/// `B^T W B` for the prior weights.
pub(crate) fn prior_gram(design: &Design) -> Vec<f64> {
    struct Prior<'a>(&'a Design);
    impl WithSimd for Prior<'_> {
        type Output = Vec<f64>;
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Vec<f64> {
            let n = self.0.basis.n_splines();
            let (mut gram, mut product) = (vec![0.0; n * n], [0.0; CHUNK]);
            for (first, range) in &self.0.segments {
                let mut start = range.start;
                while start < range.end {
                    let end = (start + CHUNK).min(range.end);
                    add_gram(
                        simd,
                        self.0,
                        *first,
                        (start, end),
                        &self.0.weights[start..end],
                        &mut product,
                        &mut gram,
                    );
                    start = end;
                }
            }
            gram
        }
    }
    let mut gram = dispatch(Prior(design));
    mirror(&mut gram, design.basis.n_splines());
    gram
}

fn mirror(gram: &mut [f64], n: usize) {
    if gram.is_empty() {
        return;
    }
    for i in 0..n {
        for j in 0..i {
            gram[j * n + i] = gram[i * n + j];
        }
    }
}

/// Adds the cells `start..end`, all of the segment that begins with function `first`, to the lower triangle.
#[inline(always)]
fn add_gram<S: Simd>(
    simd: S,
    design: &Design,
    first: usize,
    (start, end): (usize, usize),
    weights: &[f64],
    product: &mut [f64; CHUNK],
    gram: &mut [f64],
) {
    let n = design.basis.n_splines();
    let product = &mut product[..end - start];
    for (t, values) in design.values.iter().enumerate() {
        for ((p, v), w) in product.iter_mut().zip(&values[start..end]).zip(weights) {
            *p = v * w;
        }
        for (s, others) in design.values[..=t].iter().enumerate() {
            gram[(first + t) * n + first + s] += dot(simd, product, &others[start..end]);
        }
    }
}

struct Look<'a> {
    response: &'a Response<'a>,
    gamma: &'a [f64],
    weighting: Option<Weighting>,
}

impl WithSimd for Look<'_> {
    type Output = Sums;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Sums {
        let Self { response, gamma, weighting } = self;
        let (design, n) = (response.design, gamma.len());
        let mut out = Sums {
            score: vec![0.0; n],
            deviance: 0.0,
            pearson: 0.0,
            gram: vec![0.0; if weighting.is_some() { n * n } else { 0 }],
            valid: true,
        };
        let (mut eta, mut score, mut weights, mut product) =
            ([0.0; CHUNK], [0.0; CHUNK], [0.0; CHUNK], [0.0; CHUNK]);
        let family = response.family;
        for (first, range) in &design.segments {
            let mut start = range.start;
            while start < range.end {
                let end = (start + CHUNK).min(range.end);
                let cells = end - start;
                let (eta, score) = (&mut eta[..cells], &mut score[..cells]);
                eta.fill(0.0);
                for (values, &g) in design.values.iter().zip(&gamma[*first..]) {
                    for (e, v) in eta.iter_mut().zip(&values[start..end]) {
                        *e += g * v;
                    }
                }
                let (y, w) = (&response.y[start..end], &design.weights[start..end]);
                let chunk = Chunk { y, w, eta, score, weights: &mut weights[..cells] };
                match (family.distribution, family.link, family.expectile) {
                    (Distribution::Normal, Link::Identity, None) => normal(simd, chunk, weighting, &mut out),
                    (Distribution::Gamma, Link::Log, None) => gamma_log(simd, chunk, weighting, &mut out),
                    _ => any_family(response, chunk, weighting, &mut out),
                }
                if !out.valid {
                    return out;
                }
                for (values, total) in design.values.iter().zip(&mut out.score[*first..]) {
                    *total += dot(simd, &values[start..end], &score[..]);
                }
                if weighting.is_some() {
                    let weights = &weights[..cells];
                    add_gram(simd, design, *first, (start, end), weights, &mut product, &mut out.gram);
                }
                start = end;
            }
        }
        out.valid = out.deviance.is_finite() && out.score.iter().all(|s| s.is_finite());
        out
    }
}

struct Chunk<'a> {
    y: &'a [f64],
    w: &'a [f64],
    eta: &'a mut [f64],
    score: &'a mut [f64],
    weights: &'a mut [f64],
}

#[inline(always)]
fn normal<S: Simd>(simd: S, chunk: Chunk<'_>, weighting: Option<Weighting>, out: &mut Sums) {
    let Chunk { y, w, eta, score, weights } = chunk;
    for i in 0..eta.len() {
        eta[i] = y[i] - eta[i];
        score[i] = w[i] * eta[i];
    }
    let squares = dot(simd, score, eta);
    out.deviance += squares;
    out.pearson += squares;
    match weighting {
        Some(Weighting::Squared) => (0..w.len()).for_each(|i| weights[i] = score[i] * score[i]),
        Some(_) => weights.copy_from_slice(w),
        None => {}
    }
}

#[inline(always)]
fn gamma_log<S: Simd>(simd: S, chunk: Chunk<'_>, weighting: Option<Weighting>, out: &mut Sums) {
    let Chunk { y, w, eta, score, weights } = chunk;
    // half the deviance is sum w (y / mu + eta), the score of eta is w (y / mu - 1)
    let linear = dot(simd, w, eta);
    for e in eta.iter_mut() {
        *e = -*e;
    }
    exp_in_place(eta);
    for i in 0..y.len() {
        eta[i] = y[i] * eta[i] - 1.0;
        score[i] = w[i] * eta[i];
    }
    out.pearson += dot(simd, score, eta);
    for e in eta.iter_mut() {
        *e += 1.0;
    }
    out.deviance += 2.0 * (dot(simd, w, eta) + linear);
    match weighting {
        Some(Weighting::Fisher) => weights.copy_from_slice(w),
        Some(Weighting::Newton) => (0..w.len()).for_each(|i| weights[i] = w[i] * eta[i]),
        Some(Weighting::Squared) => (0..w.len()).for_each(|i| weights[i] = score[i] * score[i]),
        None => {}
    }
}

fn any_family(response: &Response<'_>, chunk: Chunk<'_>, weighting: Option<Weighting>, out: &mut Sums) {
    let Chunk { y, w, eta, score, weights } = chunk;
    let Family { distribution, link, expectile } = response.family;
    let sign = response.mean.signum();
    for i in 0..eta.len() {
        let mu = link.mu(eta[i]);
        if !response.family.allows(mu, sign) {
            out.valid = false;
            return;
        }
        let (residual, slope, variance) = (y[i] - mu, link.slope(mu), distribution.variance(mu));
        let w = w[i]
            * match expectile {
                Some(tau) if residual > 0.0 => tau,
                Some(tau) => 1.0 - tau,
                None => 1.0,
            };
        score[i] = w * residual * slope / variance;
        out.deviance += w * distribution.deviance(y[i], mu);
        out.pearson += w * residual * residual / variance;
        let fisher = w * slope * slope / variance;
        match weighting {
            Some(Weighting::Fisher) => weights[i] = fisher,
            Some(Weighting::Newton) => {
                weights[i] = fisher * (1.0 + residual * (distribution.growth(mu) + link.curvature(mu)));
            }
            Some(Weighting::Squared) => weights[i] = score[i] * score[i],
            None => {}
        }
    }
}
