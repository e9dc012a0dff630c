"""Numbers behind `Lineage.reduce` and `Lineage.priming_degree`, on plain arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ferrocyte._errors import InvalidDataError
from ferrocyte._options import check_number, check_option

__all__ = [
    "DISTANCES",
    "MODES",
    "NORMS",
    "DistanceMeasure",
    "PrimingMethod",
    "check_probabilities",
    "priming_degree",
    "projection_weights",
    "rescaled",
]

DistanceMeasure: TypeAlias = Literal[
    "cosine_sim", "wasserstein_dist", "kl_div", "js_div", "mutual_info", "equal"
]
PrimingMethod: TypeAlias = Literal["kl_divergence", "entropy"]
MODES = ("dist", "scale")
NORMS = ("scale", "softmax")
# What may be left below zero of a probability of 0.
ROUND_OFF = 1e-8

Matrix: TypeAlias = NDArray[np.float64]


def check_probabilities(values: NDArray[Any]) -> None:
    """Refuse rows that do not sum to 1 within 1e-5, which is what float32 can hold.

    Raises
    ------
    InvalidDataError
        Says ``do not sum to one``.
    """
    sums = values.sum(axis=1, dtype=np.float64)
    bad = np.flatnonzero(~(np.abs(sums - 1) <= 1e-5))
    if len(bad):
        raise InvalidDataError(
            f"Memberships do not sum to one for {len(bad)} of {len(sums)} cells, the first being cell "
            f"{bad[0]} with {sums[bad[0]]:.6g}. Divide by the row sums first, or take all lineages.",
            cells=bad.tolist(),
        )


def projection_weights(
    reference: Matrix, query: Matrix, measure: str, normalize: str, softmax_scale: float
) -> Matrix:
    """How the mass of each left-out lineage is shared among those that stay.

    Parameters
    ----------
    reference : ndarray, shape (n_cells, n_reference)
        Lineages that stay.
    query : ndarray, shape (n_cells, n_query)
        Lineages whose mass is shared.
    measure : str
        See `Lineage.reduce`.
    normalize : {"softmax", "scale"}
        How rows are made to sum to 1.
    softmax_scale : float
        Factor `s` in ``exp(s w) / sum exp(s w)``.

    Returns
    -------
    ndarray of float64, shape (n_query, n_reference)
        Rows sum to 1.

    Raises
    ------
    InvalidDataError
        If a measure can not tell the lineages apart: no cell without zeros, or no information at all.
    """
    weights = DISTANCES[measure](reference, query)
    sums = weights.sum(axis=1, keepdims=True)
    if not np.all(np.isfinite(sums)) or not np.all(sums > 0):
        raise InvalidDataError(
            f"The weights of `dist_measure={measure!r}` can not be normalized: for a lineage they are all "
            "zero or not finite. Use `dist_measure='equal'` or another one."
        )
    weights = weights / sums
    if normalize == "scale":
        return weights
    scaled = check_number(softmax_scale, "softmax_scale") * weights
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def rescaled(values: Matrix) -> Matrix:
    """Rows divided by their sums.

    Raises
    ------
    InvalidDataError
        If a row sums to zero.
    """
    sums = values.sum(axis=1, keepdims=True)
    bad = np.flatnonzero(~(sums[:, 0] > 0))
    if len(bad):
        raise InvalidDataError(
            f"{len(bad)} cells have no probability for any of the kept lineages, the first being cell "
            f"{bad[0]}. Use `mode='dist'`, or keep another lineage.",
            cells=bad.tolist(),
        )
    return values / sums


def _cosine(reference: Matrix, query: Matrix) -> Matrix:
    def unit(x: Matrix) -> Matrix:
        norms = np.linalg.norm(x, axis=0)
        return x / np.where(norms > 0, norms, 1.0)

    return np.asarray(unit(query).T @ unit(reference))


def _mutual_information(reference: Matrix, query: Matrix) -> Matrix:
    """Kraskov, Stögbauer & Grassberger (2004), as estimated by scikit-learn from 3 nearest neighbors.

    It breaks ties by a noise of 1e-10; the seed is fixed, so that the same lineages give the same weights.
    """
    from sklearn.feature_selection import mutual_info_regression

    return np.array([mutual_info_regression(reference, q, random_state=0) for q in query.T])


def _equal(reference: Matrix, query: Matrix) -> Matrix:
    return np.ones((query.shape[1], reference.shape[1]))


def _inverse_distance(distance: Callable[[Matrix, Matrix], float]) -> Callable[[Matrix, Matrix], Matrix]:
    """Weights 1 / d of columns divided by their sums, over the cells in which nothing is zero."""

    def weights(reference: Matrix, query: Matrix) -> Matrix:
        kept = (reference > 0).all(axis=1) & (query > 0).all(axis=1)
        if not kept.any():
            raise InvalidDataError(
                "Expected some cells to have probabilities above zero for all lineages, found none. "
                "Use `dist_measure='cosine_sim'` or another one."
            )
        r, q = (x[kept] / x[kept].sum(axis=0) for x in (reference, query))
        d = np.array([[distance(a, b) for b in r.T] for a in q.T])
        # lineages that are the same get all of it
        same = d <= 0
        with np.errstate(divide="ignore"):
            return np.where(same.any(axis=1, keepdims=True), same.astype(np.float64), 1 / d)

    return weights


def _wasserstein(q: Matrix, r: Matrix) -> float:
    from scipy.stats import wasserstein_distance

    return float(wasserstein_distance(q, r))


def _kullback_leibler(q: Matrix, r: Matrix) -> float:
    return max(float(np.sum(q * np.log(q / r))), 0.0)


def _jensen_shannon(q: Matrix, r: Matrix) -> float:
    """Square root of the Jensen-Shannon divergence, natural logarithm."""
    middle = (q + r) / 2
    return float(np.sqrt((_kullback_leibler(q, middle) + _kullback_leibler(r, middle)) / 2))


DISTANCES: dict[str, Callable[[Matrix, Matrix], Matrix]] = {
    "cosine_sim": _cosine,
    "wasserstein_dist": _inverse_distance(_wasserstein),
    "kl_div": _inverse_distance(_kullback_leibler),
    "js_div": _inverse_distance(_jensen_shannon),
    "mutual_info": _mutual_information,
    "equal": _equal,
}


def priming_degree(
    values: Matrix, method: str, early_cells: ArrayLike | None, names: Sequence[str]
) -> Matrix:
    """Degree of priming of each cell; see `Lineage.priming_degree`."""
    method = check_option(method, "method", ("kl_divergence", "entropy"))
    strange = ~np.isfinite(values).all(axis=1) | (values < -ROUND_OFF).any(axis=1)
    if strange.any():
        raise InvalidDataError(
            f"Expected probabilities, finite and not negative, found others for {int(strange.sum())} of "
            f"{len(values)} cells, the first being cell {int(np.argmax(strange))}.",
            cells=np.flatnonzero(strange).tolist(),
        )
    if method == "entropy":
        totals = values.sum(axis=1, keepdims=True)
        with np.errstate(divide="ignore", invalid="ignore"):
            p = values / totals
            terms = np.where(p > 0, -p * np.log(p), 0.0)
        entropy = terms.sum(axis=1)
        score = entropy.max() - entropy
    else:
        early = values if early_cells is None else values[_early(early_cells)]
        if not len(early):
            raise InvalidDataError("No early cells have been specified. Select at least one, or pass `None`.")
        usual = early.mean(axis=0)
        new = np.flatnonzero((usual == 0) & (values > 0).any(axis=0))
        if len(new):
            fates = [names[int(i)] for i in new]
            raise InvalidDataError(
                f"No early cell has a probability above 0 for {fates}, but other cells do: they "
                "would be infinitely far from the early cells. Choose other early cells, or use "
                "`method='entropy'`."
            )
        with np.errstate(divide="ignore", invalid="ignore"):
            score = (values * np.log2(values / usual)).sum(axis=1)
        # 0 log 0 and 0 / 0: cells and lineages without any doubt
        score = np.where(np.isnan(score), 1.0, score)
    low, high = score.min(), score.max()
    return (score - low) / (high - low) if high > low else np.zeros_like(score)


def _early(cells: ArrayLike) -> NDArray[Any]:
    ixs = np.asarray(cells)
    return ixs if ixs.size else ixs.astype(np.intp)
