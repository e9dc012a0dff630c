"""Where couplings come from: optimal transport of our own, moscot, files of Waddington-OT."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData, read_h5ad
from numpy.typing import NDArray

from ferrocyte import _adata
from ferrocyte._errors import (
    FerrocyteError,
    FileFormatError,
    InvalidDataError,
    InvalidTypeError,
    MissingDataError,
    NotComputedError,
    suggest,
)
from ferrocyte._options import check_count
from ferrocyte._sparse import is_sparse, name_cells
from ferrocyte.kernels._couplings import Key
from ferrocyte.kernels.utils._transport import TransportMap, transport_map

__all__ = ["by_transport", "of_moscot", "of_wot"]


def by_transport(
    adata: AnnData,
    cells: dict[Any, NDArray[np.int64]],
    pairs: list[Key],
    rep: str,
    growth_key: str | None,
    growth_iters: int,
    options: dict[str, Any],
) -> dict[Key, TransportMap]:
    """Couple each pair of times on a representation."""
    check_count(growth_iters, "growth_iters")
    if rep not in adata.obsm:
        raise MissingDataError(f"Unable to find `adata.obsm[{rep!r}]`.{suggest(rep, adata.obsm.keys())}")
    points = _coordinates(adata, rep)
    if points.ndim != 2 or not np.isfinite(points).all():
        bad = np.flatnonzero(~np.isfinite(points.reshape(len(points), -1)).all(axis=1))
        raise InvalidDataError(
            f"Expected `adata.obsm[{rep!r}]` to be a matrix of finite numbers, found others for "
            f"{name_cells(adata.obs_names, bad) if len(bad) else f'shape {points.shape}'}."
        )
    growth = None if growth_key is None else _growth(adata, growth_key)
    out = {}
    for source, target in pairs:
        x, y = points[cells[source]], points[cells[target]]
        mass = None
        if growth is not None:
            mass = growth[cells[source]] ** _elapsed(source, target)
            mass /= mass.sum()
        try:
            found = transport_map(x, y, a=mass, **options)
            for _ in range(growth_iters - 1):
                sent, _received = found.mass()
                found = transport_map(x, y, a=sent / sent.sum(), **options)
        except FerrocyteError as err:
            err.add_note(f"This was the coupling of times {source} and {target}.")
            raise
        found.source_names = adata.obs_names[cells[source]]
        found.target_names = adata.obs_names[cells[target]]
        out[source, target] = found
    return out


def _coordinates(adata: AnnData, rep: str) -> NDArray[np.float64]:
    given: Any = adata.obsm[rep]
    try:
        return np.asarray(given.toarray() if is_sparse(given) else given, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidDataError(f"Expected `adata.obsm[{rep!r}]` to hold numbers, found others.") from None


def _growth(adata: AnnData, key: str) -> NDArray[np.float64]:
    growth = _adata.numeric_column(adata, key, "growth", "growth_key")
    bad = np.flatnonzero(growth <= 0)
    if len(bad):
        raise InvalidDataError(
            f"Expected positive growth factors in `adata.obs[{key!r}]`, found others for "
            f"{name_cells(adata.obs_names, bad)}. Rates of growth become factors by `numpy.exp`."
        )
    return growth


def _elapsed(source: Any, target: Any) -> float:
    try:
        return float(target) - float(source)
    except (TypeError, ValueError):
        raise InvalidDataError(
            f"Expected times that are numbers, as growth is per unit of time, found {source!r} and "
            f"{target!r}."
        ) from None


def of_moscot(
    problem: Any, sparse_mode: str | None, sparsify_kwargs: dict[str, Any]
) -> tuple[AnnData, str, dict[Key, AnnData]]:
    """`(adata, time key, couplings)` of a solved temporal problem; nothing of moscot is imported."""
    for name in ("adata", "temporal_key", "solutions", "problems"):
        if not hasattr(problem, name):
            raise InvalidTypeError(
                f"Expected a temporal problem of moscot, found `{type(problem).__name__}` without `.{name}`."
            )
    if not problem.solutions:
        raise NotComputedError("The problem has no solutions. Run `.prepare(...)` and `.solve(...)` first.")
    couplings = {}
    for key, solution in problem.solutions.items():
        if solution is None:
            raise NotComputedError(f"The problem {key} is not solved. Run `.solve(...)` first.")
        if sparse_mode is not None:
            solution = solution.sparsify(mode=sparse_mode, **sparsify_kwargs)
        matrix = solution.transport_matrix
        if not is_sparse(matrix):
            # Arrays of JAX can not be written to; a copy can.
            matrix = np.array(matrix)
        part = problem.problems[key]
        couplings[key] = AnnData(X=matrix, obs=part.adata_src.obs.copy(), var=part.adata_tgt.obs.copy())
    return problem.adata, problem.temporal_key, couplings


def of_wot(path: str | os.PathLike[str], times: list[Any]) -> dict[Key, AnnData]:
    """Couplings from the files of a folder, by the two last parts of their names."""
    files = sorted(Path(path).glob("*h5ad"))
    if not files:
        raise FileNotFoundError(f"There are no `.h5ad` files in {str(path)!r}.")
    out = {}
    for file in files:
        parts = file.stem.split("_")[-2:]
        if len(parts) < 2:
            raise InvalidDataError(
                f"Expected a name like `tmap_<source>_<target>.h5ad`, found {file.name!r}."
            )
        key = _time(parts[0], times), _time(parts[1], times)
        if key in out:
            raise InvalidDataError(f"Expected one file for the times {key}, found another: {file.name!r}.")
        try:
            out[key] = read_h5ad(file)
        except OSError as err:
            raise FileFormatError(f"Unable to read {str(file)!r} as an `.h5ad` file: {err}") from err
    return out


def _time(text: str, times: list[Any]) -> Any:
    """The time that is written so, or has this value; the text itself if there is none."""
    for time in times:
        if str(time) == text:
            return time
    for time in times:
        try:
            if float(time) == float(text):
                return time
        except (TypeError, ValueError):
            continue
    return text
