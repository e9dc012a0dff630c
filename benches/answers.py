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


def schur(ours: Answer, peer: Answer, case: dict[str, Any], data: Path) -> tuple[float, str]:
    """Eigenvalues of the two, and of each side what is left of `T X = X R`."""
    note = own_schur(ours, case, data)
    a, b = ours["eigenvalues"], peer["eigenvalues"]
    m = min(len(a), len(b))
    worst = float(np.abs(a[:m].real - b[:m].real).max() + np.abs(abs(a[:m].imag) - abs(b[:m].imag)).max())
    _need(worst <= case["atol"], f"eigenvalues differ by {worst:.3g}, more than {case['atol']:g}")
    return worst, f"eigenvalues; {note}, the peer's {_schur_residual(peer, case, data):.1e}"


def _schur_residual(answer: Answer, case: dict[str, Any], data: Path) -> float:
    """Largest norm of a column of `T X - X R`, columns of `X` scaled to norm 1."""
    t = group(data, f"obsp/{case['args'].get('key', 'T_fwd')}")
    X, R = answer["X"], answer["R"]
    norms = np.linalg.norm(X, axis=0)
    return float((np.linalg.norm(t @ X - X @ R, axis=0) / norms).max())


def own_schur(ours: Answer, case: dict[str, Any], data: Path) -> str:
    """Ours alone: residual at most 1e-10, orthonormal, the first vector constant."""
    off, X = _schur_residual(ours, case, data), ours["X"]
    _need(off <= 1e-10, f"our Schur vectors have a residual of {off:.3g}, more than 1e-10")
    skew = float(np.abs(X.T @ X / len(X) - np.eye(X.shape[1])).max())
    _need(skew <= 1e-8, f"our Schur vectors are orthonormal within {skew:.3g} only")
    _need(bool(np.abs(X[:, 0] - 1).max() <= 1e-8), "our first Schur vector is not 1")
    return f"residual {off:.1e}"


def _crispness(chi: np.ndarray) -> float:
    """Mean over states of <chi, chi> / <chi, 1>."""
    return float(np.mean((chi**2).sum(axis=0) / chi.sum(axis=0)))


def _memberships(chi: np.ndarray, data: Path) -> None:
    """Rows sum to 1, nothing is negative, and all lies in the span of the Schur vectors."""
    _need(bool(np.abs(chi.sum(axis=1) - 1).max() <= 1e-8), "rows of our memberships do not sum to 1")
    _need(bool(chi.min() >= -1e-12), f"our memberships go down to {chi.min():.3g}")
    X = group(data, "obsm/schur")[:, : chi.shape[1]]
    off = float(np.abs(chi - X @ (X.T @ chi) / len(X)).max())
    _need(off <= 1e-7, f"our memberships leave the span of the Schur vectors by {off:.3g}")


def crispness(ours: Answer, peer: Answer, case: dict[str, Any], data: Path) -> tuple[float, str]:
    """Ours must be memberships, and not less crisp; reported is by how much crisper ours are."""
    _memberships(ours["memberships"], data)
    a, b = (_crispness(side["memberships"]) for side in (ours, peer))
    _need(a >= b - 1e-9, f"our crispness is {a:.6f}, below the peer's {b:.6f}")
    return a - b, f"crispness {a:.4f} against {b:.4f}"


def own_crispness(ours: Answer, case: dict[str, Any], data: Path) -> str:
    """Ours alone."""
    _memberships(ours["memberships"], data)
    return f"crispness {_crispness(ours['memberships']):.4f}"


def _fate_residual(x: np.ndarray, data: Path) -> float:
    """Largest relative residual of `(I - Q) x = R 1` over the targets."""
    t, target = group(data, "obsp/T_fwd"), group(data, "obs/target/codes")
    free = target < 0
    right = t[free] @ (target[:, None] == np.arange(x.shape[1]))
    left = x[free] - t[free] @ np.where(free[:, None], x, 0)
    return float((np.linalg.norm(right - left, axis=0) / np.linalg.norm(right, axis=0)).max())


def own_fates(ours: Answer, case: dict[str, Any], data: Path) -> str:
    """Ours alone: probabilities whose rows sum to 1 within 1e-10, at a residual of at most 1e-8."""
    x = ours["fates"]
    _need(bool(x.min() >= 0 and x.max() <= 1), "our fates leave [0, 1]")
    off = float(np.abs(x.sum(axis=1) - 1).max())
    _need(off <= 1e-10, f"rows of our fates sum to 1 within {off:.3g} only")
    residual = _fate_residual(x, data)
    _need(residual <= 1e-8, f"our fates have a residual of {residual:.3g}, more than 1e-8")
    return f"residual {residual:.1e}"


def fates(ours: Answer, peer: Answer, case: dict[str, Any], data: Path) -> tuple[float, str]:
    """Ours at a residual 100 times smaller, unless both are at rounding; the peer's answer near ours."""
    note = own_fates(ours, case, data)
    a, b = (_fate_residual(side["fates"], data) for side in (ours, peer))
    _need(a <= max(b / 100, 1e-13), f"our residual {a:.3g} is not 100 times below the peer's {b:.3g}")
    worst = float(np.abs(ours["fates"] - peer["fates"]).max())
    _need(worst <= case["atol"], f"fates differ by {worst:.3g}, more than {case['atol']:g}")
    return worst, f"fates; {note}, the peer's {b:.1e}"


def components(ours: Answer, peer: Answer, case: dict[str, Any], data: Path) -> tuple[float, str]:
    """The same partition, whatever the numbers of its parts."""
    a, b = ours["component"], peer["component"]
    pairs = len(np.unique(np.stack([a, b]), axis=1).T)
    same = pairs == len(np.unique(a)) == len(np.unique(b))
    _need(bool(same), f"the partitions differ: {len(np.unique(a))} and {len(np.unique(b))} parts")
    return 0.0, f"{len(np.unique(a))} components"


def drivers(ours: Answer, peer: Answer, case: dict[str, Any], data: Path) -> tuple[float, str]:
    """Correlations; the peer's are too large by n / (n - 1), and computed from fates of its own accuracy."""
    n = len(ours["fates"])
    a, b = ours["corr"], peer["corr"] * (n - 1) / n
    _need(bool((np.isnan(a) == np.isnan(b)).all()), "NaN in other places than the peer")
    worst = float(np.nanmax(np.abs(a - b)))
    _need(worst <= case["atol"], f"correlations differ by {worst:.3g}, more than {case['atol']:g}")
    return worst, f"{a.size} correlations"


CHECK: dict[str, Callable[[Answer, dict[str, Any], Path], str]] = {
    "schur": own_schur,
    "crispness": own_crispness,
    "fates": own_fates,
}
COMPARE: dict[str, Callable[[Answer, Answer, dict[str, Any], Path], tuple[float, str]]] = {
    "matrices": matrices,
    "arrays": arrays,
    "walks": walks,
    "monte_carlo": monte_carlo,
    "schur": schur,
    "crispness": crispness,
    "fates": fates,
    "components": components,
    "drivers": drivers,
}
