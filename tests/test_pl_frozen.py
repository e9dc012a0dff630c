"""The numbers behind the figures, on real cells, are those of CellRank 2.0.7 (frozen)."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from ferrocyte.pl.flow import compute_flow
from ferrocyte.pl.projection import quiver_scale
from numpy.testing import assert_allclose

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def frozen():
    with np.load(ROOT / "tests/data/frozen/dentate_gyrus.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def cells():
    return ad.read_h5ad(ROOT / "python/ferrocyte/data/dentate_gyrus.h5ad")


def matrix(cells, values):
    """The frozen matrices are values on the pattern of the graph."""
    graph = sp.csr_matrix(cells.obsp["connectivities"])
    graph.sort_indices()
    return sp.csr_matrix((values, graph.indices, graph.indptr), shape=graph.shape)


@pytest.mark.parametrize(
    ("name", "key"),
    [("velocity", "velocity/correlation/fwd_scale4/T"), ("connectivity", "connectivity/density/T")],
)
def test_scale_of_the_projection(frozen, cells, name, key):
    """Slow obvious projection, cell by cell; the frozen vectors are these over three times the scale."""
    T, xy = matrix(cells, frozen[key]), np.asarray(cells.obsm["X_umap"], dtype=float)
    vectors = np.zeros_like(xy)
    for i in range(len(xy)):
        j = T.indices[T.indptr[i] : T.indptr[i + 1]]
        step = xy[j] - xy[i]
        length = np.linalg.norm(step, axis=1, keepdims=True)
        unit = np.divide(step, length, out=np.zeros_like(step), where=length > 0)
        vectors[i] = T.data[T.indptr[i] : T.indptr[i + 1]] @ unit - unit.mean(axis=0)
    assert_allclose(vectors / (3 * quiver_scale(xy, vectors)), frozen[f"projection/{name}/umap"], rtol=1e-9)


@pytest.mark.parametrize("cluster", ["Neuroblast", "Granule immature", "Granule mature"])
def test_flow(frozen, cells, cluster):
    T = matrix(cells, frozen["velocity/correlation/fwd_scale4/T"])
    tables = compute_flow(T, cells.obs, cluster, "clusters", "age(days)")
    names = list(frozen["flow/clusters"])
    assert tables.flow.index.tolist() == [(12, 35)]
    assert_allclose(tables.flow[names], frozen[f"flow/{cluster}"], atol=1e-12)
    assert_allclose(tables.contingency[names].T, frozen["flow/contingency"], atol=1e-12)
