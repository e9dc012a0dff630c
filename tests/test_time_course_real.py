"""Time courses of real cells: published transport maps, and a worm whose lineage is known."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import ferrocyte as fc
import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata

DATA = Path(__file__).parent / "data"
# Sulston lineage: amphid neurons and the cells they come from (Packer et al. 2019).
TERMINAL = ("ADL", "ASG", "AWA", "AWB", "AWC")
MOTHERS = {"ADL_parent": ["ADL"], "ASG_AWA": ["ASG", "AWA"], "Neuroblast_ASG_AWA": ["ASG", "AWA"]}


@pytest.mark.parametrize("days", ["10_105", "105_11", "10_11"])
def test_maps_of_waddington_ot(days):
    """Same costs, marginals and penalties; theirs is of single precision and another total."""
    frozen = np.load(DATA / "frozen" / "wot.npz")
    tmap = fc.kernels.utils.transport_map(
        cost=frozen[f"cost_{days}"],
        epsilon=float(frozen["eps"]),
        lambda1=float(frozen["lam1"]),
        lambda2=float(frozen["lam2"]),
    )
    ours, theirs = np.asarray(tmap), frozen[f"tmap_{days}"]
    np.testing.assert_allclose(ours / ours.max(), theirs / theirs.max(), atol=1e-5)
    np.testing.assert_allclose(ours, theirs, atol=1e-4 * theirs.max())


def couplings_of_the_worm():
    adata = ad.read_h5ad(DATA / "celegans_amphid.h5ad")
    return fc.kernels.RealTimeKernel.from_representation(adata, "minutes", show_progress_bar=False)


@pytest.fixture(scope="module")
def worm():
    kernel = couplings_of_the_worm()
    adata = kernel.adata
    kernel.compute_transition_matrix()
    g = fc.estimators.GPCCA(kernel)
    late = adata.obs["minutes"] == "500"
    g.set_terminal_states({t: adata.obs_names[late & (adata.obs["cell_type"] == t)] for t in TERMINAL})
    g.compute_fate_probabilities(show_progress_bar=False)
    fates = pd.DataFrame(g.fate_probabilities.X, columns=g.fate_probabilities.names, index=adata.obs_names)
    return adata, fates


def test_neurons_stay_what_they_are(worm):
    """Cells that are neurons of a kind before the last time point become neurons of that kind."""
    adata, fates = worm
    early = (adata.obs["minutes"] != "500").to_numpy()
    for kind in TERMINAL:
        chosen = fates[early & (adata.obs["cell_type"] == kind).to_numpy()]
        assert (chosen.idxmax(axis=1) == kind).mean() > 0.8, kind


def test_mothers_have_the_daughters_of_the_lineage(worm):
    """On average, and well above chance, mothers go where the lineage says."""
    adata, fates = worm
    early = (adata.obs["minutes"] != "500").to_numpy()
    for mother, daughters in MOTHERS.items():
        mean = fates[early & (adata.obs["cell_type"] == mother).to_numpy()].mean()
        assert mean.idxmax() in daughters
        assert mean[daughters].sum() > 0.5


@pytest.mark.parametrize("minutes", [("300", "400"), ("400", "500")])
def test_ancestors_are_those_of_the_lineage(minutes):
    """A Sulston name begins with those of its ancestors; where two sides are alike, it is two names.

    Nothing of it goes into the couplings, and yet, of two cells, the one that can be an ancestor has more of
    the mass in 82 and 83 % of the cases. The likeliest ancestor can be one for 78 and 87 % of the cells: by
    chance, it would be for 34 and 25 %.
    """
    kernel = couplings_of_the_worm()
    lineage = kernel.adata.obs["lineage"].astype(str)
    sides = [(kernel.time == t).to_numpy() for t in minutes]
    known = [(lineage[side] != "None").to_numpy() for side in sides]
    mothers, daughters = (
        [name.split("/") for name in lineage[s][k]] for s, k in zip(sides, known, strict=True)
    )
    mass = np.asarray(kernel.couplings[minutes])[np.ix_(*known)]
    truth = np.array([[any(d.startswith(m) for m in a for d in b) for b in daughters] for a in mothers])
    share = (mass * truth).sum(axis=0) / mass.sum(axis=0)
    assert share.mean() > 2 * truth.mean()
    assert truth[mass.argmax(axis=0), np.arange(mass.shape[1])].mean() > 0.75
    areas = []
    for given, can_be in zip(mass.T, truth.T, strict=True):
        n = can_be.sum()
        if 0 < n < len(can_be):  # one kind was not sampled before
            ranks = rankdata(given)[can_be].sum()
            areas.append((ranks - n * (n + 1) / 2) / (n * (len(can_be) - n)))
    assert np.mean(areas) > 0.8
