"""B-splines, penalties and penalised fits with dense matrices, as the textbooks write them."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import BSpline

# link, its inverse, its derivative
LINKS = {
    "identity": (lambda mu: mu, lambda eta: eta, lambda mu: np.ones_like(mu)),
    "log": (np.log, np.exp, lambda mu: 1 / mu),
    "logit": (
        lambda mu: np.log(mu / (1 - mu)),
        lambda eta: 1 / (1 + np.exp(-eta)),
        lambda mu: 1 / (mu * (1 - mu)),
    ),
    "inverse": (lambda mu: 1 / mu, lambda eta: 1 / eta, lambda mu: -1 / mu**2),
    "inv_squared": (lambda mu: mu**-2.0, lambda eta: eta**-0.5, lambda mu: -2 * mu**-3.0),
}
VARIANCES = {
    "normal": lambda mu: np.ones_like(mu),
    "binomial": lambda mu: mu * (1 - mu),
    "poisson": lambda mu: mu,
    "gamma": lambda mu: mu**2,
    "inv_gauss": lambda mu: mu**3,
}


def basis(x, n_splines, order, low, high):
    """Columns are scipy's B-splines on equally spaced knots; only between the edges."""
    step = (high - low) / (n_splines - order)
    knots = low + step * np.arange(-order, n_splines + 1)
    at = np.clip(x, low, np.nextafter(high, low))  # scipy's last interval is open
    return BSpline.design_matrix(at, knots, order).toarray()


def penalty(n, derivative=1.0, ridge=1.0, intercept=True):
    """`c -> derivative |D c|^2 + ridge |c - mean|^2` as a matrix."""
    D = np.diff(np.eye(n), 2, axis=0)
    center = np.eye(n) - (np.full((n, n), 1 / n) if intercept else 0)
    return derivative * D.T @ D + ridge * center.T @ center


def pirls(X, y, w, S, distribution, link, mu=None, steps=400):
    """Penalised, iteratively reweighted least squares by solving normal equations, `(X'WX + S) c = X'Wz`.

    Nothing keeps it from diverging but a start `mu` near the answer.
    """
    eta_of, mu_of, slope = LINKS[link]
    variance = VARIANCES[distribution]
    mu = np.full(len(y), np.average(y, weights=w)) if mu is None else mu
    c = None
    for _ in range(steps):
        W = w / (slope(mu) ** 2 * variance(mu))
        z = eta_of(mu) + (y - mu) * slope(mu)
        new = np.linalg.solve(X.T @ (W[:, None] * X) + S, X.T @ (W * z))
        done = c is not None and np.allclose(new, c, rtol=1e-13, atol=1e-13)
        c, mu = new, mu_of(X @ new)
        if done:
            break
    W = w / (slope(mu) ** 2 * variance(mu))
    return c, mu, W


def summary(X, y, w, S, c, mu, W, distribution):
    """(posterior covariance, effective degrees of freedom, scale)."""
    H = X.T @ (W[:, None] * X)
    inverse = np.linalg.inv(H + S)
    edf = np.trace(inverse @ H)
    n = w.sum() ** 2 / (w**2).sum()
    pearson = (w * (y - mu) ** 2 / VARIANCES[distribution](mu)).sum()
    known = distribution in ("binomial", "poisson")
    scale = (w**2).sum() / w.sum() if known else pearson / (n - edf)
    return scale * inverse, edf, scale


def expectile(X, y, w, S, tau, steps=500):
    """Asymmetric least squares: weights `tau` above the fit, `1 - tau` below."""
    a = np.full(len(y), 0.5)
    for _ in range(steps):
        W = w * a
        c = np.linalg.solve(X.T @ (W[:, None] * X) + S, X.T @ (W * y))
        new = np.where(y > X @ c, tau, 1 - tau)
        if np.array_equal(new, a):
            break
        a = new
    return c


def log_restricted_likelihood(X, y, w, S, lam):
    """-2 log of it for the normal distribution, without constants; the scale profiled out.

    From the marginal density of `y` with `c ~ N(0, phi (lam S)^-)` (Wood 2017, section 6.2.6), over the
    effective number of cells.
    """
    n = w.sum() ** 2 / (w**2).sum()
    H = X.T @ (w[:, None] * X)
    c = np.linalg.solve(H + lam * S, X.T @ (w * y))
    penalised = (w * (y - X @ c) ** 2).sum() + lam * c @ S @ c
    values = np.linalg.eigvalsh(S)
    positive = values > values.max() * 1e-10
    free = (~positive).sum()
    logs = np.linalg.slogdet(H + lam * S)[1] - np.log(lam * values[positive]).sum()
    return (n - free) * np.log(penalised) + logs


def gcv(X, y, w, S, lam):
    """Generalised cross-validation for the normal distribution."""
    n = w.sum() ** 2 / (w**2).sum()
    H = X.T @ (w[:, None] * X)
    inverse = np.linalg.inv(H + lam * S)
    c = inverse @ (X.T @ (w * y))
    return n * (w * (y - X @ c) ** 2).sum() / (n - np.trace(inverse @ H)) ** 2
