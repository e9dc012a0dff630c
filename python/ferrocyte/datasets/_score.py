"""How far estimated fates are from the known ones."""

from __future__ import annotations

from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

from ferrocyte._errors import InvalidDataError, MissingDataError, suggest

__all__ = ["fate_error"]


def fate_error(adata: ad.AnnData, fate: Any, *, cells: Any = None) -> pd.DataFrame:
    """Compare estimated fate probabilities with those a simulation gave the cells.

    Parameters
    ----------
    adata : AnnData
        Simulated cells, from `simulate`.
    fate : array-like, DataFrame or Lineage, (n_cells, n_fates)
        Estimated probabilities. Columns with names (a DataFrame, a Lineage) are matched by name;
        otherwise they must be in the order of ``adata.uns["fate_names"]``.
    cells : array-like of bool or None, default None
        Cells to compare; None takes those that are not ``terminal``, as the fate of the others is given.

    Returns
    -------
    DataFrame
        A row per fate and ``"all"``, with the columns ``mae`` and ``rmse`` (mean absolute and root mean
        squared error of the probabilities), ``pearson`` (correlation with the truth; NaN in ``"all"``
        and where one of the two is constant), ``brier`` and ``brier_truth`` (mean squared distance of
        the estimate, and of the truth, to the fate that came; the latter is the least that can be had
        in expectation; summed over fates in ``"all"``), and ``agreement`` (part of the cells with the
        same most probable fate; for one fate, among the cells for which the truth has it).

    Raises
    ------
    MissingDataError
        If `adata` does not come from `simulate`, or a fate has no column.
    InvalidDataError
        If shapes do not match, values are not finite, or no cell is selected.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=300, n_genes=20, tree="trifurcation", seed=0)
    >>> errors = fc.datasets.fate_error(adata, adata.obsm["true_fate"])
    >>> float(errors.loc["all", "mae"])
    0.0
    """
    for where, key in (("obsm", "true_fate"), ("uns", "fate_names"), ("obs", "leaf"), ("obs", "terminal")):
        if key not in getattr(adata, where):
            raise MissingDataError(
                f"No known fates in adata.{where}[{key!r}].{suggest(key, getattr(adata, where))} "
                "Pass an object made by ferrocyte.datasets.simulate()."
            )
    names = [str(n) for n in adata.uns["fate_names"]]
    rows = _select(adata, cells)
    truth = np.asarray(adata.obsm["true_fate"], dtype=np.float64)[rows]
    estimate = _columns(fate, names, adata.n_obs)[rows]
    came = np.asarray(adata.obs["leaf"].astype(str))[rows][:, None] == np.array(names)

    off = estimate - truth
    brier, brier_truth = ((estimate - came) ** 2).mean(0), ((truth - came) ** 2).mean(0)
    same = estimate.argmax(1) == truth.argmax(1)
    best = truth.argmax(1)
    table = pd.DataFrame(
        {
            "mae": np.abs(off).mean(0),
            "rmse": np.sqrt((off**2).mean(0)),
            "pearson": [_pearson(estimate[:, j], truth[:, j]) for j in range(len(names))],
            "brier": brier,
            "brier_truth": brier_truth,
            "agreement": [same[best == j].mean() if (best == j).any() else np.nan for j in range(len(names))],
        },
        index=names,
    )
    table.loc["all"] = [
        np.abs(off).mean(),
        np.sqrt((off**2).mean()),
        np.nan,
        brier.sum(),
        brier_truth.sum(),
        same.mean(),
    ]
    return table


def _select(adata: ad.AnnData, cells: Any) -> np.ndarray:
    if cells is None:
        rows = ~np.asarray(adata.obs["terminal"], dtype=bool)
    else:
        rows = np.asarray(cells)
        if rows.dtype != bool or rows.shape != (adata.n_obs,):
            raise InvalidDataError(
                f"Expected `cells` to be a boolean mask of shape ({adata.n_obs},), found "
                f"{rows.dtype} of shape {rows.shape}."
            )
    if not rows.any():
        raise InvalidDataError("Expected `cells` to select at least one cell, found none.")
    return rows


def _columns(fate: Any, names: list[str], n_cells: int) -> np.ndarray:
    """Values of `fate` with the columns in the order of `names`."""
    given = fate.columns if isinstance(fate, pd.DataFrame) else getattr(fate, "names", None)
    values = np.asarray(fate, dtype=np.float64)
    if given is not None:
        given = [str(g) for g in given]
        for name in names:
            if name not in given:
                raise MissingDataError(f"No fate {name!r} among the columns of `fate`.{suggest(name, given)}")
        values = values[:, [given.index(name) for name in names]]
    if values.shape != (n_cells, len(names)):
        raise InvalidDataError(
            f"Expected `fate` to be of shape ({n_cells}, {len(names)}), a column per fate {names}, "
            f"found {values.shape}."
        )
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).any(axis=1).sum())
        raise InvalidDataError(
            f"Expected finite probabilities in `fate`, found NaN or infinity in {bad} cells."
        )
    return values


def _pearson(x: np.ndarray, y: np.ndarray) -> float:
    x, y = x - x.mean(), y - y.mean()
    norm = float(np.sqrt((x @ x) * (y @ y)))
    # one column that does not vary has no correlation; round-off must not make one up
    return float(x @ y) / norm if norm > 1e-12 * x.size else float("nan")
