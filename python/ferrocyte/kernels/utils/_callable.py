"""Velocity models with a similarity that is a Python function: one call for each cell."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ferrocyte._errors import InvalidDataError
from ferrocyte.kernels.utils._chunks import for_chunks
from ferrocyte.kernels.utils._rows import RowReader

__all__ = ["callable_transitions", "scale_from_logits"]

Array = NDArray[np.float64]
# How far a row of probabilities may be from summing to 1; it is scaled to 1 exactly afterwards.
TOLERANCE = 1e-5


def scale_from_logits(logits: Array) -> float:
    """Default softmax scale: 1 / median of the absolute nonzero logits; 1 if there is none."""
    nonzero = np.abs(logits[logits != 0])
    return float(1 / np.median(nonzero)) if len(nonzero) else 1.0


def callable_transitions(
    graph: sp.csr_matrix,
    x: Any,
    v: Any,
    genes: NDArray[np.bool_] | None,
    similarity: Callable[..., Any],
    *,
    model: str,
    direction: str,
    softmax_scale: float | None,
    n_samples: int,
    seed: int,
    threads: int,
    show_progress_bar: bool,
) -> tuple[sp.csr_matrix, sp.csr_matrix, float]:
    """What ``_core.velocity_transitions`` does, for a function `(v, D, softmax_scale) -> (p, logits)`.

    Each cell's rows are gathered once; Monte Carlo has a random stream for each cell. The function is called
    from `threads` threads; results do not depend on their number.

    Returns
    -------
    (probabilities, logits, softmax scale used)

    Raises
    ------
    InvalidDataError
        If the function returns other lengths (says ``Expected row of shape``), or probabilities that do not
        sum to 1 (says ``Matrix is not row-stochastic.``).
    """
    columns = None if genes is None else np.flatnonzero(genes)
    indptr, indices = graph.indptr.tolist(), graph.indices
    widest = int(np.diff(graph.indptr).max(initial=0)) + 1
    p_all, l_all = np.empty_like(graph.data), np.empty_like(graph.data)

    def run(kind: str, scale: float) -> None:
        def work(cells: range, stop: threading.Event) -> None:
            x_rows, v_rows = RowReader(x, columns, widest), RowReader(v, columns, widest)
            for i in cells:
                if stop.is_set():
                    return
                start, end = indptr[i], indptr[i + 1]
                with_self = np.append(indices[start:end], i)
                rows = x_rows.read(with_self)
                D, own = rows[:-1], rows[-1]
                D -= own
                p, logits = _one_cell(
                    i, D, v_rows, with_self, similarity, kind, direction, scale, n_samples, seed
                )
                p_all[start:end], l_all[start:end] = p, logits

        for_chunks(graph.shape[0], work, threads=threads, show_progress_bar=show_progress_bar)

    if softmax_scale is None:
        run("deterministic", 1.0)
        softmax_scale = scale_from_logits(l_all)
    run(model, softmax_scale)
    return _sparse(graph, p_all), _sparse(graph, l_all), softmax_scale


def _one_cell(
    i: int,
    D: Array,
    v_rows: RowReader,
    with_self: NDArray[Any],
    similarity: Any,
    model: str,
    direction: str,
    scale: float,
    n_samples: int,
    seed: int,
) -> tuple[Array, Array]:
    k = len(D)
    if model == "deterministic":
        if direction == "transpose":
            np.negative(D, out=D)
            return _checked(similarity(v_rows.read(with_self[:-1]), D, scale), k, i, similarity)
        velocity = v_rows.read(with_self[-1:])
        if not velocity.any():
            return np.full(k, 1 / k), np.zeros(k)
        if direction == "negate":
            np.negative(velocity, out=velocity)
        return _checked(similarity(velocity, D, scale), k, i, similarity)

    # Moments over the cell and its neighbors; a stored self-loop counts once.
    rows = v_rows.read(np.unique(with_self))
    mean = rows.mean(axis=0)
    variance = np.maximum((rows**2).mean(axis=0) - mean**2, 0.0)
    if model == "stochastic":
        p, logits = _checked(similarity(mean[None, :], D.copy(), scale), k, i, similarity)
        curvature = _diagonal(similarity.hessian(mean.copy(), D, scale), D.shape)
        p = np.nan_to_num(np.clip(p + 0.5 * curvature @ variance, 0.0, 1.0), nan=0.0)
        total = p.sum()
        return (p / total if total > 0 else np.full(k, 1 / k)), logits

    rng = np.random.Generator(np.random.Philox(key=np.array([seed, i], dtype=np.uint64)))
    deviation = np.sqrt(variance)
    p_sum, l_sum = np.zeros(k), np.zeros(k)
    scratch = np.empty_like(D)
    for _ in range(n_samples):
        scratch[...] = D  # the function may work in place
        drawn = mean + deviation * rng.standard_normal(len(mean))
        p, logits = _checked(similarity(drawn[None, :], scratch, scale), k, i, similarity)
        p_sum += p
        l_sum += logits
    return p_sum / n_samples, l_sum / n_samples


def _checked(result: Any, k: int, i: int, similarity: Any) -> tuple[Array, Array]:
    try:
        p, logits = result
    except (TypeError, ValueError):
        raise InvalidDataError(
            f"Expected {similarity} to return (probabilities, logits), found `{type(result).__name__}`."
        ) from None
    p, logits = np.asarray(p, dtype=np.float64), np.asarray(logits, dtype=np.float64)
    for name, row in (("probabilities", p), ("logits", logits)):
        if row.shape != (k,):
            raise InvalidDataError(
                f"Expected row of shape `{(k,)}`, found {name} of shape `{row.shape}` from {similarity}.",
                cells=[i],
            )
    total = p.sum()
    if not (abs(total - 1) <= TOLERANCE and p.min() >= 0):
        raise InvalidDataError(
            f"Matrix is not row-stochastic. {similarity} returned probabilities that sum to {total:g}; "
            "they must be at least 0 and sum to 1.",
            cells=[i],
        )
    if not np.isfinite(logits).all():
        raise InvalidDataError(f"Expected finite logits from {similarity}, found NaN or infinity.", cells=[i])
    return p, logits


def _diagonal(hessian: Any, shape: tuple[int, ...]) -> Array:
    hessian = np.asarray(hessian, dtype=np.float64)
    if hessian.shape == shape:
        return hessian
    if hessian.shape == (*shape, shape[1]):
        return np.einsum("kaa->ka", hessian)
    raise InvalidDataError(
        f"Expected full Hessian matrix of shape `{(*shape, shape[1])}` or its diagonal of shape `{shape}`, "
        f"found "
        f"`{hessian.shape}`."
    )


def _sparse(graph: sp.csr_matrix, data: Array) -> sp.csr_matrix:
    out = sp.csr_matrix((data, graph.indices.copy(), graph.indptr.copy()), shape=graph.shape)
    out.eliminate_zeros()
    return out
