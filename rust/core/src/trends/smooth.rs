//! How smooth: the smoothing parameter given, from a grid, or where a criterion has its minimum.

use super::dense::Cholesky;
use super::family::{least, Distribution, Unfit};
use super::pirls::{fit, start, Fit, Shared};
use super::sums::{Response, Sums};

/// What a good smoothing parameter makes small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Criterion {
    /// Generalised cross-validation `n D / (n - edf)^2` with the deviance `D` (Wood, *Generalized Additive
    /// Models*, 2017, section 6.2.5). Where the scale is known, the unbiased risk estimate `D + 2 scale edf`
    /// (section 6.2.1).
    Gcv,
    /// Restricted likelihood, with Laplace's approximation (Wood, *J. R. Stat. Soc. B* 73 (2011), section 2):
    /// `(D + lam g^T S g) / scale + log |H + lam S| - log |lam S|`. For the normal distribution with identity
    /// link the scale is profiled out, which is exact; else, where it is unknown, it is Pearson's estimate
    /// where generalised cross-validation has its minimum.
    Reml,
}

/// How the smoothing parameter is found.
#[derive(Debug, Clone, PartialEq)]
pub enum Smoothing {
    /// It is given.
    Fixed(f64),
    /// The best of these.
    Grid(Vec<f64>, Criterion),
    /// The best of all, to 0.1 %.
    Search(Criterion),
}

/// Range of a search: from so much below to so much above the parameter that weighs penalty and data equally.
const RANGE: f64 = 1e7;
const POINTS: usize = 15;
/// Golden sections after the grid: 0.618^18 of two of its steps is 0.1 %.
const SECTIONS: usize = 18;

/// Cells, and what they weigh, behind an estimate of scale.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cells {
    /// Kish's effective number.
    pub(crate) effective: f64,
    /// `sum w^2 / sum w`, 1 for weights 1: the scale of a distribution whose scale is known.
    pub(crate) unit: f64,
}

/// The scale `phi` in `var y = phi V(mu) / w`.
pub(crate) fn scale(response: &Response<'_>, fit: &Fit, cells: Cells) -> Result<f64, Unfit> {
    if response.family.distribution.known_scale() {
        return Ok(cells.unit);
    }
    let left = cells.effective - fit.edf;
    // A basis that follows every cell leaves nothing to estimate a scale from.
    if left > 1e-8 * cells.effective {
        Ok(fit.pearson / left)
    } else {
        Err(Unfit::TooFewCells)
    }
}

/// The deviance that criteria judge a fit by: 0 for a perfect one.
///
/// The gamma distribution takes a response of 0 for infinitely unlikely, at any mean but 0: a fit that follows
/// a run of zeros would always win. Here, responses below 1 % of the mean of the positive ones count as that.
struct Judge<'a> {
    response: &'a Response<'a>,
    /// The responses, if some had to be raised.
    raised: Option<Vec<f64>>,
    /// The deviance of a perfect fit, without what [`Distribution::deviance`] leaves out.
    saturated: f64,
}

impl<'a> Judge<'a> {
    fn new(response: &'a Response<'a>) -> Self {
        let (distribution, w) = (response.family.distribution, &response.design.weights);
        let floor =
            if distribution == Distribution::Gamma { least(response.y, w) } else { f64::NEG_INFINITY };
        let raised = response
            .y
            .iter()
            .any(|y| *y < floor)
            .then(|| response.y.iter().map(|y| y.max(floor)).collect::<Vec<_>>());
        let y = raised.as_deref().unwrap_or(response.y);
        let saturated = y.iter().zip(w).map(|(&y, w)| w * distribution.deviance(y, y)).sum();
        Self { response, raised, saturated }
    }

    fn deviance(&self, fit: &Fit) -> f64 {
        let found = match &self.raised {
            Some(y) => Sums::new(&Response { y, ..*self.response }, &fit.gamma, None).deviance,
            None => fit.deviance,
        };
        (found - self.saturated).max(0.0)
    }

    /// Value of a criterion; `pilot` is the scale that [`Criterion::Reml`] takes where it is not profiled.
    fn value(&self, criterion: Criterion, shared: &Shared<'_>, fit: &Fit, cells: Cells, pilot: f64) -> f64 {
        let family = self.response.family;
        let deviance = self.deviance(fit);
        match criterion {
            Criterion::Gcv if family.distribution.known_scale() => deviance + 2.0 * cells.unit * fit.edf,
            Criterion::Gcv => cells.effective * deviance / (cells.effective - fit.edf).powi(2),
            Criterion::Reml => {
                let penalised = deviance + fit.lam * fit.roughness;
                let free = (fit.gamma.len() - shared.rank) as f64;
                let volume = fit.factor.log_det() - shared.rank as f64 * fit.lam.ln();
                if family.constant_weights() && family.link == super::Link::Identity {
                    (cells.effective - free) * penalised.ln() + volume
                } else {
                    penalised / pilot + volume
                }
            }
        }
    }
}

/// Fits with the smoothing parameter that is given or found; also the value of the criterion there, NaN without one.
pub(crate) fn smooth(
    response: &Response<'_>,
    shared: &Shared<'_>,
    smoothing: &Smoothing,
    cells: Cells,
) -> Result<(Fit, f64), Unfit> {
    let begin = start(response);
    let (mut lams, criterion, refine) = match smoothing {
        Smoothing::Fixed(lam) => {
            return Ok((fit(response, shared, *lam, begin)?, f64::NAN));
        }
        Smoothing::Grid(lams, criterion) => (lams.clone(), *criterion, false),
        Smoothing::Search(criterion) => (range(response, shared)?, *criterion, true),
    };
    lams.sort_by(|a, b| b.total_cmp(a)); // from smooth to rough: each fit starts from a smoother one
    let mut fits: Vec<Fit> = Vec::with_capacity(lams.len());
    let mut trouble = None;
    for &lam in &lams {
        let from = fits.last().map_or_else(|| begin.clone(), |f| f.gamma.clone());
        match fit(response, shared, lam, from) {
            Ok(fit) => fits.push(fit),
            Err(unfit) => trouble = Some(unfit), // others on the grid may do
        }
    }
    let judge = Judge::new(response);
    let score = |f: &Fit, criterion, pilot| {
        let usable = f.edf < cells.effective * (1.0 - 1e-8);
        let v = if usable { judge.value(criterion, shared, f, cells, pilot) } else { f64::INFINITY };
        // a perfect fit has a logarithm of -inf, and is the best there is
        if v.is_nan() {
            f64::INFINITY
        } else {
            v
        }
    };
    let pilot = match criterion {
        Criterion::Gcv => f64::NAN,
        Criterion::Reml => {
            let gcv = |f: &&Fit| score(f, Criterion::Gcv, f64::NAN);
            let sound = fits.iter().filter(|f| f.converged && scale(response, f, cells).is_ok());
            let best = sound.min_by(|a, b| gcv(a).total_cmp(&gcv(b)));
            let pilot = best.and_then(|f| scale(response, f, cells).ok()).filter(|p| *p > 0.0);
            pilot.unwrap_or(f64::MIN_POSITIVE)
        }
    };
    let score = |f: &Fit| score(f, criterion, pilot);
    let mut scored: Vec<(f64, Fit)> = fits.into_iter().map(|f| (score(&f), f)).collect();
    let Some(at) = (0..scored.len()).min_by(|&a, &b| scored[a].0.total_cmp(&scored[b].0)) else {
        return Err(trouble.unwrap_or(Unfit::Diverged));
    };
    let neighbors = (at > 0).then(|| scored[at - 1].1.lam).zip(scored.get(at + 1).map(|s| s.1.lam));
    let (mut best_value, mut best) = scored.swap_remove(at);
    if let (true, Some((high, low))) = (refine, neighbors) {
        let evaluate = |log_lam: f64, from: &Fit| {
            fit(response, shared, log_lam.exp(), from.gamma.clone()).map(|f| (score(&f), f))
        };
        let golden = 0.5 * (5.0_f64.sqrt() - 1.0);
        let (mut a, mut b) = (low.ln(), high.ln());
        let mut left = evaluate(b - golden * (b - a), &best)?;
        let mut right = evaluate(a + golden * (b - a), &best)?;
        for _ in 0..SECTIONS {
            for tried in [&left, &right] {
                if tried.0 < best_value {
                    (best_value, best) = tried.clone();
                }
            }
            if left.0 <= right.0 {
                b = right.1.lam.ln();
                right = left;
                left = evaluate(b - golden * (b - a), &best)?;
            } else {
                a = left.1.lam.ln();
                left = right;
                right = evaluate(a + golden * (b - a), &best)?;
            }
        }
    }
    Ok((best, best_value))
}

/// Smoothing parameters for a search, equally spaced in the logarithm.
fn range(response: &Response<'_>, shared: &Shared<'_>) -> Result<Vec<f64>, Unfit> {
    let n = response.design.basis.n_splines();
    let trace = |m: &[f64]| (0..n).map(|i| m[i * n + i]).sum::<f64>();
    // How much the data say on the scale of eta: for the mean response, if that differs from the weights.
    let (mean, family) = (response.mean, response.family);
    let information = if family.constant_weights() {
        1.0
    } else {
        family.link.slope(mean).powi(2) / family.distribution.variance(mean)
    };
    let balance = information * trace(shared.prior) / trace(shared.penalty);
    if !(balance.is_finite() && balance > 0.0) {
        return Err(Unfit::Diverged);
    }
    let step = 2.0 * RANGE.ln() / (POINTS - 1) as f64;
    Ok((0..POINTS).map(|i| balance * (i as f64 * step - RANGE.ln()).exp()).collect())
}

/// Posterior covariance of the coefficients, `scale (B^T W B + lam S)^-1` (Wood 2017, section 6.10), or for
/// expectiles `A^-1 B^T diag(score^2) B A^-1` (Sobotka et al., *Comput. Stat. Data Anal.* 67 (2013)).
pub(crate) fn covariance(factor: &Cholesky, scale: f64, squared: Option<&[f64]>, n: usize) -> Vec<f64> {
    let inverse = factor.inverse();
    let Some(middle) = squared else {
        return inverse.iter().map(|v| scale * v).collect();
    };
    let mut out = vec![0.0; n * n];
    for (i, a) in inverse.chunks_exact(n).enumerate() {
        for (j, b) in inverse.chunks_exact(n).enumerate() {
            out[i * n + j] = super::dense::form(middle, a, b);
        }
    }
    out
}
