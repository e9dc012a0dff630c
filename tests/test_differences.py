"""Where CellRank is wrong and no other test shows that we are not; see `docs/differences.md`."""

from __future__ import annotations

import anndata as ad
import ferrocyte as fc
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

# Cell 0 has neighbors 1 and 2, which have no other neighbor.
STAR = np.array([[0, 1, 1], [1, 0, 0], [1, 0, 0]], dtype=float)


def cells(x, v, graph=STAR):
    adata = ad.AnnData(np.zeros(np.shape(x), dtype=np.float32))
    adata.layers["Ms"], adata.layers["velocity"] = np.array(x, dtype=float), np.array(v, dtype=float)
    adata.obsp["connectivities"] = sp.csr_matrix(graph)
    return adata


def velocity(adata, **kwargs):
    kernel = fc.kernels.VelocityKernel(adata, check_symmetric=False)
    return kernel.compute_transition_matrix(show_progress_bar=False, **kwargs)


@pytest.mark.parametrize("model", ["deterministic", "stochastic", "monte_carlo"])
@pytest.mark.parametrize("similarity", ["cosine", "correlation"])
def test_where_no_neighbor_has_a_direction_all_are_equal(model, similarity):
    """All cells at one place: a velocity points to none of them, so cell 0 goes to 1 and 2 with 1/2 each."""
    adata = cells(np.ones((3, 3)), [[1, 0, 3], [0, 2, 1], [4, 0, 0]])
    kernel = velocity(adata, model=model, similarity=similarity, softmax_scale=1.0)
    assert_array_equal(kernel.transition_matrix.toarray(), [[0, 0.5, 0.5], [1, 0, 0], [1, 0, 0]])


def test_a_stored_zero_is_no_neighbor():
    """Weights 1 and a stored 0: only cell 1 is a neighbor of cell 0, and gets all."""
    graph = sp.csr_matrix(([1.0, 0.0, 1.0, 1.0], [1, 2, 0, 0], [0, 2, 3, 4]), shape=(3, 3))
    adata = cells([[0, 0], [1, 0], [0, 1]], [[0, 1]] * 3)
    adata.obsp["connectivities"] = graph
    kernel = velocity(adata, similarity="cosine", softmax_scale=1.0)
    assert_array_equal(kernel.transition_matrix.toarray(), [[0, 1, 0], [1, 0, 0], [1, 0, 0]])


def test_negative_weights_are_refused_though_velocities_do_not_use_them():
    adata = cells(np.eye(3), np.eye(3), [[0, 1, -1], [1, 0, 0], [-1, 0, 0]])
    with pytest.raises(ValueError, match="negative weights for '0', '2'"):
        fc.kernels.VelocityKernel(adata)


def test_samples_come_in_pairs_around_the_mean():
    """A dot product is linear in the velocity: over pairs m + e, m - e it is that of the mean, exactly.

    Velocities 3, -1, 1 over cell 0 and its neighbors have mean 1; displacements are 1 and 2.
    """
    adata = cells([[0], [1], [2]], [[3], [-1], [1]])
    kernel = velocity(
        adata, model="monte_carlo", similarity="dot_product", softmax_scale=1.0, n_samples=2, seed=0
    )
    assert_allclose(kernel.logits.toarray()[0], [0, 1, 2], atol=1e-12)


@pytest.mark.parametrize("wrong", [{"cluster": "nobody"}, {"cluster": "OL", "min_flow": 0.99}])
def test_a_flow_that_fails_leaves_the_time_column_alone(wrong):
    adata = fc.datasets.dentate_gyrus()
    adata.obs["day"] = adata.obs["age(days)"].astype(float)
    kernel = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    with pytest.raises(ValueError, match=r"nobody|none remain"):
        kernel.plot_single_flow(cluster_key="clusters", time_key="day", show=False, **wrong)
    assert adata.obs["day"].dtype == float


def test_a_cell_without_coordinates_spoils_only_the_scores_that_need_it():
    """One row per boundary cell, NaN where the target without coordinates is a neighbor."""
    adata = fc.datasets.dentate_gyrus()
    kernel = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    whole = kernel.cbc("Neuroblast", "Granule immature", cluster_key="clusters", rep="X_pca")
    lost = np.flatnonzero(adata.obs["clusters"] == "Granule immature")[0]
    adata.obsm["X_pca"][lost] = np.nan
    scores = kernel.cbc("Neuroblast", "Granule immature", cluster_key="clusters", rep="X_pca")
    assert scores.shape == whole.shape
    missing = np.isnan(scores)
    assert 0 < missing.sum() < len(scores)
    assert_array_equal(scores[~missing], whole[~missing])
