//! Penalised, iteratively reweighted least squares at one smoothing parameter.

use super::dense::{dot, Cholesky};
use super::family::{Distribution, Link, Unfit};
use super::sums::{Response, Sums, Weighting};

/// After so many steps with expected second derivatives, the observed ones are tried.
const FISHER_STEPS: usize = 4;
const HALVINGS: usize = 40;

/// What all genes of a lineage share.
#[derive(Debug)]
pub(crate) struct Shared<'a> {
    /// Penalty for `lam` 1, `(n, n)`.
    pub(crate) penalty: &'a [f64],
    /// Its rank.
    pub(crate) rank: usize,
    /// Whether equal coefficients are not penalised.
    pub(crate) centered: bool,
    /// `B^T W B` for the prior weights.
    pub(crate) prior: &'a [f64],
    pub(crate) max_iter: usize,
    pub(crate) tol: f64,
}

impl Shared<'_> {
    /// `S gamma` and `gamma^T S gamma`, from the differences to the first coefficient where these are all that
    /// counts: under strong penalties, the rounding of equal parts would hide the rest.
    fn rough(&self, gamma: &[f64]) -> (Vec<f64>, f64) {
        let shift = if self.centered { gamma[0] } else { 0.0 };
        let gamma: Vec<f64> = gamma.iter().map(|g| g - shift).collect();
        let product: Vec<f64> = self.penalty.chunks_exact(gamma.len()).map(|row| dot(row, &gamma)).collect();
        let value = dot(&product, &gamma);
        (product, value)
    }
}

/// A fit at one smoothing parameter.
#[derive(Debug, Clone)]
pub(crate) struct Fit {
    pub(crate) lam: f64,
    pub(crate) gamma: Vec<f64>,
    /// `B^T W B + lam S` with expected weights at `gamma`.
    pub(crate) factor: Cholesky,
    /// Effective degrees of freedom, the trace of `(B^T W B + lam S)^-1 B^T W B`.
    pub(crate) edf: f64,
    pub(crate) deviance: f64,
    pub(crate) pearson: f64,
    /// `gamma^T S gamma`
    pub(crate) roughness: f64,
    pub(crate) iterations: usize,
    pub(crate) converged: bool,
}

/// Coefficients to start from: the link of the mean response under each function.
pub(crate) fn start(response: &Response<'_>) -> Vec<f64> {
    let (design, family) = (response.design, response.family);
    let n = design.basis.n_splines();
    let flat = vec![family.link.eta(response.mean); n];
    if family.link == Link::Identity && family.distribution == Distribution::Normal {
        return flat; // one step leads to the answer
    }
    let (mut weight, mut total) = (vec![0.0; n], vec![0.0; n]);
    for (first, range) in &design.segments {
        for (t, values) in design.values.iter().enumerate() {
            for i in range.clone() {
                let w = design.weights[i] * values[i];
                weight[first + t] += w;
                total[first + t] += w * response.y[i];
            }
        }
    }
    let mean = response.mean;
    let near = |j: usize| {
        // halfway to the overall mean at the most: where all is 0, there is no logarithm
        let local = if weight[j] > 0.0 { total[j] / weight[j] } else { mean };
        let local = if local.is_finite() { local } else { mean };
        let inner = 0.1 * mean + 0.9 * local;
        if family.allows(inner, mean.signum()) {
            family.link.eta(inner)
        } else {
            family.link.eta(mean)
        }
    };
    let local: Vec<f64> = (0..n).map(near).collect();
    if local.iter().all(|g| g.is_finite()) {
        local
    } else {
        flat
    }
}

/// Fits at `lam`, starting from `gamma`.
pub(crate) fn fit(
    response: &Response<'_>,
    shared: &Shared<'_>,
    lam: f64,
    gamma: Vec<f64>,
) -> Result<Fit, Unfit> {
    let n = gamma.len();
    let constant = response.family.constant_weights();
    // On the scale of a logarithm, coefficients near 0 need no relative accuracy.
    let unit = f64::from(matches!(response.family.link, Link::Log | Link::Logit));
    let penalised =
        |gram: &[f64]| -> Vec<f64> { gram.iter().zip(shared.penalty).map(|(h, s)| h + lam * s).collect() };
    let objective = |sums: &Sums, gamma: &[f64]| 0.5 * (sums.deviance + lam * shared.rough(gamma).1);
    // What rounding may add to the objective: its terms are of the size of the weights or larger.
    let total: f64 = response.design.weights.iter().sum();
    let noise = |value: f64| 1e-12 * (value.abs() + total);
    let weighting = |iteration: usize| match iteration {
        i if i >= FISHER_STEPS => Some(Weighting::Newton),
        _ if constant => None,
        _ => Some(Weighting::Fisher),
    };

    let mut gamma = gamma;
    let mut sums = Sums::new(response, &gamma, weighting(0));
    if !sums.valid {
        gamma = vec![response.family.link.eta(response.mean); n];
        sums = Sums::new(response, &gamma, weighting(0));
    }
    if !sums.valid {
        return Err(Unfit::Diverged);
    }
    let mut value = objective(&sums, &gamma);
    let (mut converged, mut iterations) = (false, 0);
    let prior = if constant { Cholesky::new(n, &penalised(shared.prior)) } else { None };
    while iterations < shared.max_iter {
        let own = if sums.gram.is_empty() { None } else { Cholesky::new(n, &penalised(&sums.gram)) };
        let factor = match own.or_else(|| prior.clone()) {
            Some(factor) => factor,
            None => {
                // observed second derivatives need not be positive; expected ones are
                let expected = Sums::new(response, &gamma, Some(Weighting::Fisher));
                Cholesky::new(n, &penalised(&expected.gram)).ok_or(Unfit::Diverged)?
            }
        };
        let penalty = shared.rough(&gamma).0;
        let slope: Vec<f64> =
            sums.score.iter().zip(&penalty).map(|(score, penalty)| score - lam * penalty).collect();
        let mut step = slope.clone();
        factor.solve(&mut step);
        let largest = |v: &[f64]| v.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
        if largest(&step) <= shared.tol * largest(&gamma).max(unit) {
            converged = true;
            break;
        }
        iterations += 1;
        let mut length = 1.0;
        let mut found = None;
        for _ in 0..HALVINGS {
            let trial: Vec<f64> = gamma.iter().zip(&step).map(|(g, s)| g + length * s).collect();
            let at = Sums::new(response, &trial, weighting(iterations));
            let trial_value = objective(&at, &trial);
            // A full step may raise the objective by rounding; a shorter one has to lower it.
            let slack = if length == 1.0 { noise(value) } else { 0.0 };
            if at.valid && (trial_value < value || trial_value - value <= slack && slack > 0.0) {
                found = Some((trial, at, trial_value));
                break;
            }
            length *= 0.5;
        }
        let Some((trial, at, trial_value)) = found else {
            // No lower point along a descent direction: the bottom, as far as rounding lets us see it.
            converged = dot(&slope, &step) <= 1e-9 * (value.abs() + total);
            break;
        };
        (gamma, sums, value) = (trial, at, trial_value);
    }
    let gram = if constant {
        shared.prior.to_vec()
    } else {
        sums = Sums::new(response, &gamma, Some(Weighting::Fisher));
        std::mem::take(&mut sums.gram)
    };
    let factor = Cholesky::new(n, &penalised(&gram)).ok_or(Unfit::Diverged)?;
    let edf = dot(&factor.inverse(), &gram);
    let roughness = shared.rough(&gamma).1;
    if !(gamma.iter().all(|g| g.is_finite()) && edf.is_finite()) {
        return Err(Unfit::Diverged);
    }
    Ok(Fit {
        lam,
        gamma,
        factor,
        edf,
        deviance: sums.deviance,
        pearson: sums.pearson,
        roughness,
        iterations,
        converged,
    })
}

#[cfg(test)]
mod tests {
    use super::super::family::Family;
    use super::super::sums::prior_gram;
    use super::super::{Basis, Design, Penalty};
    use super::*;

    #[test]
    fn strong_penalties_converge_from_afar() {
        let x: Vec<f64> = (0..300).map(|i| f64::from(i) / 299.0).collect();
        let w: Vec<f64> = (0..300).map(|i| f64::from(i * 37 % 100) / 100.0 + 0.01).collect();
        let y: Vec<f64> =
            x.iter().zip(&w).map(|(x, w)| (3.0 + 2.0 * (9.0 * x).sin() + 2.0 * w).round()).collect();
        let design = Design::new(Basis::new(12, 3, 0.0, 1.0).unwrap(), &x, &w).unwrap();
        let y: Vec<f64> = design.cells.iter().map(|&i| y[i]).collect();
        let penalty = Penalty::default().matrix(12).unwrap();
        let prior = prior_gram(&design);
        let shared =
            Shared { penalty: &penalty, rank: 11, centered: true, prior: &prior, max_iter: 2000, tol: 1e-8 };
        for distribution in [Distribution::Poisson, Distribution::Gamma] {
            let family = Family { distribution, link: Link::Log, expectile: None };
            let response = Response { design: &design, family, y: &y, mean: 4.0 };
            let rough = fit(&response, &shared, 1e-3, start(&response)).unwrap();
            for lam in [1e4, 1e6, 2.6e7, 1e9] {
                let flat = fit(&response, &shared, lam, rough.gamma.clone()).unwrap();
                assert!(flat.converged && flat.iterations < 25, "{lam:e}: {} steps", flat.iterations);
                let spread = flat.gamma.iter().map(|g| (g - flat.gamma[0]).abs()).fold(0.0, f64::max);
                assert!(spread < 1e3 / lam);
            }
        }
    }
}
