"""The whole flow on simulated cells, whose fates are known by construction.

Bounds are a little below what CellRank 2.0.7 and ours both reach on these cells; `benches/truth.py` compares
the two on more.
"""

from __future__ import annotations

import ferrocyte as fc
import numpy as np
import pytest

QUIET = {"show_progress_bar": False}
SETS = {
    "bifurcation": {"n_cells": 800, "n_genes": 150, "tree": "bifurcation", "seed": 1},
    "nested": {"n_cells": 1000, "n_genes": 200, "tree": "nested", "seed": 3},
}
# set, kernel: least correlation of a fate with the truth, largest mean absolute error
BOUNDS = {
    ("bifurcation", "velocity"): (0.90, 0.13),
    ("bifurcation", "pseudotime"): (0.86, 0.14),
    ("nested", "velocity"): (0.89, 0.07),
    ("nested", "pseudotime"): (0.83, 0.09),
}


@pytest.fixture(scope="module", params=sorted(BOUNDS), ids="-".join)
def case(request):
    """Cells, an estimator on 0.8 of a kernel + 0.2 connectivity, and the bounds."""
    name, kind = request.param
    adata = fc.datasets.simulate(**SETS[name])
    if kind == "velocity":
        first = fc.kernels.VelocityKernel(adata)
    else:
        first = fc.kernels.PseudotimeKernel(adata, time_key="pseudotime")
    first.compute_transition_matrix(**QUIET)
    kernel = 0.8 * first + 0.2 * fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    kernel.compute_transition_matrix()
    return adata, fc.estimators.GPCCA(kernel), BOUNDS[request.param]


def check(adata, g, bounds):
    least, most = bounds
    table = fc.datasets.fate_error(adata, g.fate_probabilities)
    assert table["pearson"].min() > least
    assert table.loc["all", "mae"] < most


def with_given_cells(adata, g):
    """The estimator with fates towards the cells whose last branch is over."""
    done, leaf = adata.obs["terminal"].to_numpy(), adata.obs["leaf"].astype(str)
    g.set_terminal_states(
        {name: list(adata.obs_names[done & (leaf == name)]) for name in adata.uns["fate_names"]}
    )
    g.compute_fate_probabilities(**QUIET)
    return g


def test_fates_of_given_terminal_cells(case):
    adata, g, bounds = case
    check(adata, with_given_cells(adata, g), bounds)


def test_fates_of_terminal_states_that_were_found(case):
    """As many macrostates as fates are the fates, by name, and the fates towards them are no worse."""
    adata, g, bounds = case
    names = [str(name) for name in adata.uns["fate_names"]]
    g.compute_schur(n_components=11)
    assert g.tsi(n_macrostates=len(names) + 3, terminal_states=names, cluster_key="cell_type") == 1.0
    g.compute_macrostates(n_states=len(names), cluster_key="cell_type")
    assert sorted(g.macrostates.cat.categories) == sorted(names)
    g.set_terminal_states(names)
    g.compute_fate_probabilities(**QUIET)
    check(adata, g, bounds)


def test_early_cells_are_not_primed_and_drivers_are_those_of_the_fate(case):
    adata, g, _ = case
    priming = with_given_cells(adata, g).compute_lineage_priming().to_numpy()
    time = adata.obs["pseudotime"].to_numpy()
    early, late = time < np.quantile(time, 0.2), time > np.quantile(time, 0.8)
    assert priming[early].mean() < 0.5 * priming[late].mean()
    table = g.compute_lineage_drivers()
    for name in adata.uns["fate_names"]:
        best = table.sort_values(f"{name}_corr", ascending=False).index[:5]
        assert (adata.var.loc[best, "driver_of"] == name).mean() >= 0.8
        assert (table.loc[best, f"{name}_qval"] < 1e-6).all()
