"""Holds the answers of the two sides against each other, before any time is reported.

Every function takes the two answers as dicts of arrays, the case and the path of the data, and returns the
largest difference with a word on what was compared; it raises `WrongAnswerError` when the case has failed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import scipy.sparse as sp

Answer = dict[str, np.ndarray]
ROWS_SUM = 1e-12


class WrongAnswerError(Exception):
    """The two sides disagree, or an answer breaks a rule that it must obey."""


def load(path: Path) -> Answer:
    """Read what a worker wrote."""
    with np.load(path) as f:
        return {key: f[key] for key in f.files}


def matrix(answer: Answer, key: str) -> sp.csr_matrix:
    """The CSR matrix stored under `key`."""
    data, indices, indptr = (answer[f"{key}.{part}"] for part in ("data", "indices", "indptr"))
    n = indptr.size - 1
    return sp.csr_matrix((data, indices, indptr), shape=(n, n))


def group(data: Path, name: str) -> Any:
    """An array or CSR matrix of an h5ad file, without reading the rest."""
    with h5py.File(data) as f:
        item = f[name]
        if isinstance(item, h5py.Dataset):
            return item[()]
        parts = [item[part][()] for part in ("data", "indices", "indptr")]
        return sp.csr_matrix(tuple(parts), shape=tuple(item.attrs["shape"]))


def _need(condition: bool, message: str) -> None:
    if not condition:
        raise WrongAnswerError(message)


def _row_stochastic(t: sp.csr_matrix) -> None:
    off = np.abs(np.asarray(t.sum(axis=1)).ravel() - 1.0).max()
    _need(bool(off <= ROWS_SUM), f"rows of our matrix sum to 1 within {off:.2g} only")
    _need(bool((t.data >= 0).all()), "our matrix has a negative entry")


def _tied_rows(graph: sp.csr_matrix, frac_to_keep: float = 0.3) -> np.ndarray:
    """Rows in which the hard scheme chooses among equal weights, as the sorting algorithm pleases."""
    tied = np.zeros(graph.shape[0], dtype=bool)
    for i in range(graph.shape[0]):
        c = np.sort(graph.data[graph.indptr[i] : graph.indptr[i + 1]])[::-1]
        k = min(30, int(frac_to_keep * c.size))
        tied[i] = 0 < k < c.size and c[k - 1] == c[k]
    return tied


def matrices(ours: Answer, peer: Answer, case: dict[str, Any], data: Path) -> tuple[float, str]:
    """Transition matrices entry by entry; logits relative to the largest; the softmax scale."""
    atol, t = case["atol"], matrix(ours, "T")
    _row_stochastic(t)
    diff, note = abs(t - matrix(peer, "T")), "entries of T"
    if case["args"].get("threshold_scheme") == "hard":
        tied = _tied_rows(group(data, "obsp/connectivities"))
        _need(
            bool(tied.mean() < 0.01), f"{tied.sum()} rows with ties: this data cannot prove the hard scheme"
        )
        diff, note = diff[~tied], f"entries of T; {tied.sum()} rows with ties left out"
    worst = float(diff.max())
    _need(worst <= atol, f"T differs by {worst:.3g}, more than {atol:g}")
    if "logits.data" in ours:
        a, b = matrix(ours, "logits"), matrix(peer, "logits")
        off = float(abs(a - b).max() / max(1.0, abs(b).max()))
        _need(off <= atol, f"logits differ by {off:.3g}, more than {atol:g}")
        scale = float(abs(ours["softmax_scale"] / peer["softmax_scale"] - 1))
        _need(scale <= atol, f"softmax scales differ by {scale:.3g} relative, more than {atol:g}")
        note += ", logits and scale"
    return worst, note


def arrays(ours: Answer, peer: Answer, case: dict[str, Any], data: Path) -> tuple[float, str]:
    """One dense array of each side; NaN must be in the same places."""
    (key,) = ours
    a, b = ours[key], peer[key]
    _need(a.shape == b.shape, f"{key} has shape {a.shape}, the peer's {b.shape}")
    _need(bool((np.isnan(a) == np.isnan(b)).all()), f"{key} has NaN where the peer has not, or the reverse")
    _need(a.size > 0, f"{key} is empty: the case proves nothing")
    worst = float(np.nanmax(np.abs(a - b)))
    _need(worst <= case["atol"], f"{key} differs by {worst:.3g}, more than {case['atol']:g}")
    return worst, f"{a.size} values"


def walks(ours: Answer, peer: Answer, case: dict[str, Any], data: Path) -> tuple[float, str]:
    """Random streams differ, so each side is held against the exact law of the chain.

    Steps must be edges; where walks are at the end, by cell type, must agree with `p0 T^n`; the mean surprise
    of a step (`-log T`) with its expectation. Limits are five standard errors.
    """
    t = group(data, "obsp/T_walk")
    codes = group(data, "obs/cell_type/codes")
    n_steps, n_walks, n = case["args"]["max_iter"], case["args"]["n_sims"], t.shape[0]
    p, mean_visits = np.full(n, 1.0 / n), np.zeros(n)
    for _ in range(n_steps):
        mean_visits += p / n_steps
        p = t.T @ p
    law = np.bincount(codes, weights=p)
    surprise = sp.csr_matrix((-np.log(t.data), t.indices, t.indptr), shape=t.shape)
    expected = float(mean_visits @ np.asarray(t.multiply(surprise).sum(axis=1)).ravel())
    worst = 0.0
    for side, answer in (("ours", ours), ("the peer", peer)):
        w = answer["walks"]
        _need(w.shape == (n_walks, n_steps + 1), f"walks of {side} have shape {w.shape}")
        steps = np.asarray(t[w[:, :-1].ravel(), w[:, 1:].ravel()]).reshape(n_walks, n_steps)
        _need(bool((steps > 0).all()), f"{side} took a step that is not an edge")
        share = np.bincount(codes[w[:, -1]], minlength=law.size) / n_walks
        z_end = np.abs(share - law) / np.sqrt(np.maximum(law * (1 - law), 1e-12) / n_walks)
        per_walk = -np.log(steps).mean(axis=1)
        z_step = abs(per_walk.mean() - expected) / (per_walk.std(ddof=1) / np.sqrt(n_walks))
        z = float(max(z_end.max(), z_step))
        _need(z < 5.0, f"walks of {side} are {z:.1f} standard errors from the law of the chain")
        worst = max(worst, z)
    return worst, "standard errors from the exact law, both sides (random streams differ)"


def monte_carlo(ours: Answer, peer: Answer, case: dict[str, Any], data: Path) -> tuple[float, str]:
    """Each side against a numpy estimate with the deviation it means to use, on 25 rows, within six errors.

    Ours draws velocities with the variance of the neighbourhood as variance; the peer passes it as deviation.
    """
    _row_stochastic(matrix(ours, "T"))
    x, v = group(data, "layers/Ms"), group(data, "layers/velocity")
    graph = group(data, "obsp/connectivities")
    args, rng = case["args"], np.random.default_rng(1)
    rows = np.linspace(0, graph.shape[0] - 1, 25).astype(int)
    worst = 0.0
    for side, answer, power in (("ours", ours, 0.5), ("the peer", peer, 1.0)):
        t = matrix(answer, "T")
        for i in rows:
            nbrs = graph.indices[graph.indptr[i] : graph.indptr[i + 1]]
            mean, var = _moments(v, np.union1d(nbrs, i))
            draws = rng.normal(mean, var**power, size=(4_000, mean.size))
            p = _correlation_softmax(draws, x[nbrs].astype(float) - x[i].astype(float), args["softmax_scale"])
            error = p.std(axis=0) * np.sqrt(1 / args["n_samples"] + 1 / len(draws)) + 1e-9
            found = np.asarray(t[i, nbrs].todense()).ravel()
            z = float((np.abs(found - p.mean(axis=0)) / error).max())
            _need(z < 6.0, f"row {i} of {side} is {z:.1f} standard errors from a numpy estimate")
            worst = max(worst, z)
    return worst, "standard errors from a numpy estimate, both sides (their distributions differ by design)"


def _moments(v: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of the velocity over a neighbourhood that includes the cell itself."""
    block = v[cells].astype(float)
    mean = block.mean(axis=0)
    return mean, np.maximum((block**2).mean(axis=0) - mean**2, 0.0)


def _correlation_softmax(draws: np.ndarray, d: np.ndarray, scale: float) -> np.ndarray:
    """Transition probabilities of each drawn velocity, shape `(n_draws, n_neighbours)`."""
    a = draws - draws.mean(axis=1, keepdims=True)
    b = d - d.mean(axis=1, keepdims=True)
    logits = (a @ b.T) / (np.linalg.norm(a, axis=1)[:, None] * np.linalg.norm(b, axis=1))
    p = np.exp(scale * (logits - logits.max(axis=1, keepdims=True)))
    return p / p.sum(axis=1, keepdims=True)


COMPARE: dict[str, Callable[[Answer, Answer, dict[str, Any], Path], tuple[float, str]]] = {
    "matrices": matrices,
    "arrays": arrays,
    "walks": walks,
    "monte_carlo": monte_carlo,
}
