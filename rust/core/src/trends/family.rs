//! Distributions and link functions: what generalised models know of their responses.
//!
//! A fit uses two moments only, the mean `mu` and the variance function `V(mu)` (quasi-likelihood;
//! McCullagh & Nelder, *Generalized Linear Models*, chapter 9), so a response of 0 needs no logarithm.

/// How the variance depends on the mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Distribution {
    /// `V = 1`
    Normal,
    /// `V = mu (1 - mu)`, responses in `[0, 1]`; the scale is 1.
    Binomial,
    /// `V = mu`; the scale is 1.
    Poisson,
    /// `V = mu^2`
    Gamma,
    /// `V = mu^3`
    InverseGaussian,
}

/// `g` in `g(mu) = eta`, where `eta` is a sum of splines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// `eta = mu`
    Identity,
    /// `eta = log mu`
    Log,
    /// `eta = log(mu / (1 - mu))`
    Logit,
    /// `eta = 1 / mu`
    Inverse,
    /// `eta = 1 / mu^2`
    InverseSquared,
}

impl Link {
    /// `g(mu)`
    #[must_use]
    pub fn eta(self, mu: f64) -> f64 {
        match self {
            Self::Identity => mu,
            Self::Log => mu.ln(),
            Self::Logit => (mu / (1.0 - mu)).ln(),
            Self::Inverse => mu.recip(),
            Self::InverseSquared => (mu * mu).recip(),
        }
    }

    /// The inverse of `g`.
    #[must_use]
    pub fn mu(self, eta: f64) -> f64 {
        match self {
            Self::Identity => eta,
            Self::Log => eta.exp(),
            Self::Logit => (1.0 + (-eta).exp()).recip(),
            Self::Inverse => eta.recip(),
            Self::InverseSquared => eta.sqrt().recip(),
        }
    }

    /// `1 / g'(mu)`, which is `d mu / d eta`.
    #[must_use]
    pub fn slope(self, mu: f64) -> f64 {
        match self {
            Self::Identity => 1.0,
            Self::Log => mu,
            Self::Logit => mu * (1.0 - mu),
            Self::Inverse => -mu * mu,
            Self::InverseSquared => -0.5 * mu * mu * mu,
        }
    }

    /// `g''(mu) / g'(mu)`
    #[must_use]
    pub fn curvature(self, mu: f64) -> f64 {
        match self {
            Self::Identity => 0.0,
            Self::Log => -1.0 / mu,
            Self::Logit => (2.0 * mu - 1.0) / (mu * (1.0 - mu)),
            Self::Inverse => -2.0 / mu,
            Self::InverseSquared => -3.0 / mu,
        }
    }
}

impl Distribution {
    /// `V(mu)`
    #[must_use]
    pub fn variance(self, mu: f64) -> f64 {
        match self {
            Self::Normal => 1.0,
            Self::Binomial => mu * (1.0 - mu),
            Self::Poisson => mu,
            Self::Gamma => mu * mu,
            Self::InverseGaussian => mu * mu * mu,
        }
    }

    /// `V'(mu) / V(mu)`
    #[must_use]
    pub fn growth(self, mu: f64) -> f64 {
        match self {
            Self::Normal => 0.0,
            Self::Binomial => (1.0 - 2.0 * mu) / (mu * (1.0 - mu)),
            Self::Poisson => 1.0 / mu,
            Self::Gamma => 2.0 / mu,
            Self::InverseGaussian => 3.0 / mu,
        }
    }

    /// The deviance without what depends on `y` alone: `-2 int^mu (y - t) / V(t) dt`.
    #[must_use]
    pub fn deviance(self, y: f64, mu: f64) -> f64 {
        // 0 log 0 = 0
        let times_log = |a: f64, b: f64| if a == 0.0 { 0.0 } else { a * b.ln() };
        match self {
            Self::Normal => (y - mu) * (y - mu),
            Self::Binomial => -2.0 * (times_log(y, mu) + times_log(1.0 - y, 1.0 - mu)),
            Self::Poisson => 2.0 * (mu - times_log(y, mu)),
            Self::Gamma => 2.0 * (y / mu + mu.ln()),
            Self::InverseGaussian => y / (mu * mu) - 2.0 / mu,
        }
    }

    /// Whether the scale is 1, not estimated.
    #[must_use]
    pub fn known_scale(self) -> bool {
        matches!(self, Self::Binomial | Self::Poisson)
    }
}

/// A distribution with a link.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Family {
    /// The variance function.
    pub distribution: Distribution,
    /// The link function.
    pub link: Link,
    /// Weight of positive residuals over that of all, in (0, 1): expectiles (Newey & Powell,
    /// *Econometrica* 55 (1987)). Only for [`Distribution::Normal`] with [`Link::Identity`].
    pub expectile: Option<f64>,
}

/// Why there is no fit of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// NaN or infinity at this cell.
    NotFinite(usize),
    /// A value that the distribution does not have, at this cell.
    OutOfRange(usize),
    /// The mean is where the link has no finite value: all zero with a log link.
    NoMean,
    /// No step led to a better fit.
    Diverged,
    /// Fewer effective cells than degrees of freedom.
    TooFewCells,
}

impl Family {
    /// Whether the working weights are the prior weights, whatever the response.
    #[must_use]
    pub fn constant_weights(&self) -> bool {
        use {Distribution as D, Link as L};
        let pair = (self.distribution, self.link);
        self.expectile.is_none() && (pair == (D::Normal, L::Identity) || pair == (D::Gamma, L::Log))
    }

    /// Whether a mean of this value can be, for a response whose overall mean has the sign `sign`.
    #[must_use]
    pub fn allows(&self, mu: f64, sign: f64) -> bool {
        let positive = match self.link {
            Link::Log | Link::InverseSquared => mu > 0.0,
            Link::Logit => mu > 0.0 && mu < 1.0,
            Link::Inverse => mu * sign > 0.0,
            Link::Identity => true,
        };
        let inside = match self.distribution {
            Distribution::Normal => true,
            Distribution::Binomial => mu > 0.0 && mu < 1.0,
            _ => mu > 0.0,
        };
        mu.is_finite() && positive && inside
    }

    /// Puts a response into the range of the distribution.
    ///
    /// Negative values, which imputation leaves, count as 0 for Poisson and gamma. The inverse Gaussian
    /// gives a value near 0 a weight beyond all others, so there what is below 1 % of the mean of the
    /// positive values is raised to it. A binomial response must be in `[0, 1]`.
    ///
    /// Returns the weighted mean.
    ///
    /// # Errors
    /// [`Unfit`] with the position among `y`.
    pub fn admit(&self, y: &mut [f64], w: &[f64]) -> Result<f64, Unfit> {
        if let Some(i) = y.iter().position(|y| !y.is_finite()) {
            return Err(Unfit::NotFinite(i));
        }
        match self.distribution {
            Distribution::Normal => {}
            Distribution::Binomial => {
                if let Some(i) = y.iter().position(|y| !(0.0..=1.0).contains(y)) {
                    return Err(Unfit::OutOfRange(i));
                }
            }
            Distribution::Poisson | Distribution::Gamma => y.iter_mut().for_each(|y| *y = y.max(0.0)),
            Distribution::InverseGaussian => {
                let least = least(y, w);
                if !least.is_finite() {
                    return Err(Unfit::NoMean);
                }
                y.iter_mut().for_each(|y| *y = y.max(least));
            }
        }
        let mean = y.iter().zip(w).map(|(y, w)| w * y).sum::<f64>() / w.iter().sum::<f64>();
        if self.allows(mean, mean.signum()) && self.link.eta(mean).is_finite() {
            Ok(mean)
        } else {
            Err(Unfit::NoMean)
        }
    }
}

/// 1 % of the weighted mean of the positive values; not finite without any.
pub(crate) fn least(y: &[f64], w: &[f64]) -> f64 {
    let positive = || y.iter().zip(w).filter(|(&y, _)| y > 0.0);
    0.01 * positive().map(|(y, w)| w * y).sum::<f64>() / positive().map(|(_, w)| w).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINKS: [Link; 5] = [Link::Identity, Link::Log, Link::Logit, Link::Inverse, Link::InverseSquared];
    const DISTRIBUTIONS: [Distribution; 5] = [
        Distribution::Normal,
        Distribution::Binomial,
        Distribution::Poisson,
        Distribution::Gamma,
        Distribution::InverseGaussian,
    ];

    #[test]
    fn links_by_hand_and_by_differences() {
        // at mu = 1/4: eta, d mu / d eta, g''/g'
        let by_hand = [
            (0.25, 1.0, 0.0),
            (-(4.0_f64.ln()), 0.25, -4.0),
            (-(3.0_f64.ln()), 3.0 / 16.0, -8.0 / 3.0),
            (4.0, -1.0 / 16.0, -8.0),
            (16.0, -1.0 / 128.0, -12.0),
        ];
        for (link, (eta, slope, curvature)) in LINKS.into_iter().zip(by_hand) {
            assert!((link.eta(0.25) - eta).abs() < 1e-14);
            assert!((link.mu(eta) - 0.25).abs() < 1e-15);
            assert!((link.slope(0.25) - slope).abs() < 1e-15);
            assert!((link.curvature(0.25) - curvature).abs() < 1e-14);
            let h = 1e-5;
            let numeric = (link.mu(eta + h) - link.mu(eta - h)) / (2.0 * h);
            assert!((numeric - slope).abs() < 1e-8, "{link:?}");
            let first = |mu: f64| link.slope(mu).recip();
            let second = (first(0.25 + h) - first(0.25 - h)) / (2.0 * h);
            assert!((second / first(0.25) - curvature).abs() < 1e-6, "{link:?}");
        }
    }

    #[test]
    fn deviances_have_the_quasi_score_as_slope() {
        for distribution in DISTRIBUTIONS {
            let (y, mu, h) = (0.3, 0.6, 1e-5);
            let slope = (distribution.deviance(y, mu + h) - distribution.deviance(y, mu - h)) / (2.0 * h);
            let expected = -2.0 * (y - mu) / distribution.variance(mu);
            assert!((slope - expected).abs() < 1e-6, "{distribution:?}");
            let growth = (distribution.variance(mu + h) - distribution.variance(mu - h)) / (2.0 * h);
            let expected = distribution.growth(mu) * distribution.variance(mu);
            assert!((growth - expected).abs() < 1e-8, "{distribution:?}");
        }
    }

    #[test]
    fn what_is_out_of_range() {
        let family = |distribution, link| Family { distribution, link, expectile: None };
        let w = [1.0, 1.0, 2.0];
        let mut y = [-1.0, 0.0, 4.0];
        assert_eq!(family(Distribution::Gamma, Link::Log).admit(&mut y, &w), Ok(2.0));
        assert_eq!(y, [0.0, 0.0, 4.0]);
        let mut y = [-1.0, 0.0, 4.0];
        assert_eq!(family(Distribution::InverseGaussian, Link::Log).admit(&mut y, &w), Ok(2.02));
        assert_eq!(y, [0.04, 0.04, 4.0]);
        let logit = family(Distribution::Binomial, Link::Logit);
        assert_eq!(logit.admit(&mut [0.0, 1.5, 1.0], &w), Err(Unfit::OutOfRange(1)));
        assert_eq!(logit.admit(&mut [1.0, 1.0, 1.0], &w), Err(Unfit::NoMean));
        for distribution in [Distribution::Gamma, Distribution::InverseGaussian, Distribution::Poisson] {
            assert_eq!(family(distribution, Link::Log).admit(&mut [0.0, -2.0, 0.0], &w), Err(Unfit::NoMean));
        }
        let normal = family(Distribution::Normal, Link::Identity);
        assert_eq!(normal.admit(&mut [0.0, 0.0, f64::NAN], &w), Err(Unfit::NotFinite(2)));
        assert_eq!(normal.admit(&mut [0.0, 0.0, 0.0], &w), Ok(0.0));
    }
}
