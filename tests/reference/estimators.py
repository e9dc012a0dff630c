"""Estimators over chains that are solved on paper, and what to compare before and after."""

from __future__ import annotations

import copy

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
from ferrocyte.estimators import GPCCA
from ferrocyte.kernels import PrecomputedKernel


def fair_coin(n):
    """Random walk on 0, ..., n - 1 that ends at either end; from i it ends right with i / (n - 1)."""
    T = sp.lil_matrix((n, n))
    T[0, 0] = T[n - 1, n - 1] = 1
    for i in range(1, n - 1):
        T[i, i - 1] = T[i, i + 1] = 0.5
    return T.tocsr()


def with_states(estimator, states, colors=("#ff0000", "#00ff00", "#0000ff", "#ffff00")):
    """Set terminal states, `{name: positions}`, without the checks of the estimator."""
    codes = np.full(len(estimator), -1)
    for i, cells in enumerate(states.values()):
        codes[cells] = i
    index = estimator.adata.obs_names
    series = pd.Series(pd.Categorical.from_codes(codes, categories=list(states)), index=index)
    estimator._results.set(terminal_states=series, terminal_states_colors=list(colors[: len(states)]))
    return estimator


def estimator_of(T, states, adata=None):
    n = T.shape[0]
    if adata is None:
        adata = ad.AnnData(np.zeros((n, 8)))
    kernel = PrecomputedKernel(sp.csr_matrix(T), adata=adata)
    return with_states(GPCCA(kernel), states)


def chain_estimator(n, adata=None):
    """Gambler's ruin: terminal states `left` and `right`."""
    return estimator_of(fair_coin(n), {"left": [0], "right": [n - 1]}, adata)


def snapshot(estimator):
    """Everything that a failing method must leave alone, in a form that compares."""
    adata = estimator.adata
    values = {k: _plain(v) for k, v in estimator._results.values.items()}
    stores = {
        name: {key: _plain(getattr(adata, name)[key]) for key in getattr(adata, name)}
        for name in ("obs", "obsm", "varm", "obsp", "layers", "var")
    }
    if adata.raw is not None:
        stores["raw"] = {key: _plain(adata.raw.varm[key]) for key in adata.raw.varm}
    return repr((values, copy.deepcopy(estimator.params), stores, sorted(adata.uns)))


def _plain(value):
    if sp.issparse(value):
        value = value.toarray()
    if isinstance(value, pd.Series):
        return value.astype(str).tolist(), str(value.dtype)
    if isinstance(value, pd.DataFrame):
        return list(value.columns), value.to_numpy().tolist()
    return np.asarray(value).tolist() if isinstance(value, np.ndarray) else value
