"""CFLARE: terminal states from eigenvectors."""

from __future__ import annotations

import builtins
import importlib.util
import warnings

import anndata as ad
import ferrocyte as fc
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from ferrocyte._errors import InvalidDataError, MissingPackageError
from ferrocyte.estimators import cflare
from ferrocyte.estimators.cflare import CFLARE
from numpy.testing import assert_allclose, assert_array_equal
from reference.estimators import snapshot

pytestmark = pytest.mark.filterwarnings("ignore:`CFLARE:DeprecationWarning")
HAS_IGRAPH = importlib.util.find_spec("igraph") is not None


def three_basins(n=20, leak=1e-3):
    """A chain of two basins of `n` cells that hardly any leave, and `n` cells that run into either."""
    rng = np.random.default_rng(0)
    T = rng.random((3 * n, 3 * n))
    T[:n, n:] *= leak
    T[n : 2 * n, :n] *= leak
    T[n : 2 * n, 2 * n :] *= leak
    return T / T.sum(axis=1, keepdims=True)


@pytest.fixture
def estimator():
    adata = ad.AnnData(np.zeros((60, 3)))
    adata.obs["clusters"] = pd.Categorical(np.repeat(["alpha", "beta", "gamma"], 20))
    adata.uns["clusters_colors"] = ["#111111", "#222222", "#333333"]
    adata.obsm["X_umap"] = np.repeat([[0.0, 0], [5, 5], [0, 9]], 20, axis=0)
    kernel = fc.kernels.PrecomputedKernel(sp.csr_matrix(three_basins()), adata=adata)
    return CFLARE(kernel).fit(k=5)


def test_it_is_deprecated():
    kernel = fc.kernels.PrecomputedKernel(three_basins())
    with pytest.warns(DeprecationWarning, match="GPCCA"):
        est = CFLARE(kernel)
    with pytest.warns(DeprecationWarning, match="fit"):
        assert est.fit(k=4) is est
    with pytest.warns(DeprecationWarning, match="predict"):
        assert est.predict(use=2, method="kmeans") is est
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        est.copy()


def test_two_basins_are_found(estimator):
    """Left eigenvectors to the two eigenvalues near 1 live on the basins, right ones are constant on
    each."""
    estimator.predict(use=2, percentile=50, method="kmeans", cluster_key="clusters")
    states = estimator.terminal_states
    assert sorted(states.cat.categories) == ["alpha", "beta"]
    there = states.notna().to_numpy()
    assert there[:40].sum() >= 20
    assert not there[40:].any()
    assert_array_equal(states[there], estimator.adata.obs["clusters"][there])
    assert estimator._results.get("terminal_states_colors") == [
        {"alpha": "#111111", "beta": "#222222"}[c] for c in states.cat.categories
    ]
    p = estimator.terminal_states_probabilities
    assert p.max() == 1
    assert p.min() >= 0
    assert p[40:].max() < 0.05
    pd.testing.assert_series_equal(estimator.adata.obs["term_states_fwd"], states, check_names=False)
    assert estimator.params["term_states_fwd"]["method"] == "kmeans"
    estimator.compute_fate_probabilities()
    assert_allclose(estimator.fate_probabilities.X.sum(axis=1), 1, atol=1e-11)
    estimator.predict(use=2, percentile=60, method="kmeans")
    assert estimator.fate_probabilities is None
    assert "lineages_fwd" not in estimator.adata.obsm


def test_labels_without_a_key_and_all_cells(estimator):
    estimator.predict(use=[0, 1], percentile=None, method="kmeans")
    states = estimator.terminal_states
    assert list(states.cat.categories) == ["0", "1", "2"]
    assert states.notna().all()
    assert states.nunique() == 3
    once = states.copy()
    again = estimator.predict(use=[0, 1], percentile=None, method="kmeans").terminal_states
    pd.testing.assert_series_equal(again, once)
    estimator.predict(use=2, percentile=None, method="kmeans", basis="umap", n_clusters_kmeans=3)
    expected = estimator.adata.obs["clusters"]
    assert pd.crosstab(estimator.terminal_states, expected).gt(0).sum().eq(1).all()


def test_confidence_on_paper():
    """Columns |(0, -1, 2)| and |(3, 3, 1)| scaled: (0, 1/2, 1), (1, 1, 0); over 1 and 1/2: 2, 2.5, 1."""
    left = np.array([[0.0, 3], [1, 3], [2, 1]])
    assert_allclose(cflare.confidence(left, np.array([1.0, 0.5])), [0.8, 1, 0.4])
    assert_allclose(cflare.confidence(np.ones((2, 1)) * [[1], [3]], np.ones(1)), [0, 1])


def test_lonely_cells():
    """0 - 1 - 2 in a row and 3 by itself near 0, which is of another cluster."""
    distances = np.array([[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 0], [1.0, 0, 0, 0]])
    labels = np.array([0, 0, 0, 1])
    found = cflare.without_lonely(labels, sp.csr_matrix(distances), 1, 5)
    assert_array_equal(found, [0, 0, 0, -1])
    with pytest.warns(UserWarning, match="More than half"):
        found = cflare.without_lonely(labels, sp.csr_matrix(distances), 2, 5)
    assert_array_equal(found, [-1, 0, -1, -1])
    with pytest.raises(InvalidDataError, match="n_matches_min"):
        cflare.without_lonely(labels, sp.csr_matrix(distances), 2, 1)


def test_filtering_by_neighbors(estimator):
    """Cell 0 has its neighbors in another basin."""
    distances = sp.lil_matrix((60, 60))
    for i in range(60):
        block = i // 20 * 20
        near = [block + (i + d) % 20 for d in (1, 2, 3)] if i else [21, 22, 23]
        distances[i, near] = 1.0
    estimator.adata.obsp["distances"] = distances.tocsr()
    options = {"use": 2, "percentile": None, "method": "kmeans", "n_clusters_kmeans": 2}
    estimator.predict(**options, cluster_key="clusters")
    whole = estimator.terminal_states.copy()
    estimator.predict(**options, n_matches_min=2, cluster_key="clusters")
    left_out = whole.notna() & estimator.terminal_states.isna()
    assert left_out.iloc[0]


@pytest.mark.skipif(not HAS_IGRAPH, reason="igraph is not installed")
def test_leiden(estimator):
    estimator.predict(use=2, percentile=40, cluster_key="clusters", n_neighbors=10)
    there = estimator.terminal_states.notna()
    names = estimator.terminal_states[there].astype(str).str.split("_").str[0]
    assert_array_equal(names, estimator.adata.obs["clusters"][there])


def test_leiden_without_igraph(estimator, monkeypatch):
    original = builtins.__import__

    def missing(name, *args, **kwargs):
        if name.split(".")[0] == "igraph":
            raise ImportError(name)
        return original(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", missing)
    before = snapshot(estimator)
    with pytest.raises(MissingPackageError, match=r"ferrocyte\[leiden\]"):
        estimator.predict(use=2, percentile=50)
    assert snapshot(estimator) == before


WRONG = {
    "method": ({"method": "louvain"}, ValueError, "louvain"),
    "too many": ({"use": 9}, ValueError, "Maximum specified eigenvector"),
    "too large": ({"use": [0, 7]}, ValueError, "Maximum specified eigenvector"),
    "none": ({"use": []}, ValueError, "No eigenvectors"),
    "zero": ({"use": 0}, ValueError, "use"),
    "negative": ({"use": [-1]}, ValueError, "use"),
    "type": ({"use": "2"}, TypeError, "use"),
    "percentile": ({"percentile": 101}, ValueError, "percentile"),
    "few cells": ({"use": 2, "percentile": 100, "n_clusters_kmeans": 40}, ValueError, "too few"),
    "cluster_key": ({"cluster_key": "nothing"}, KeyError, "Unable to find clusters"),
    "basis": ({"basis": "tsne"}, KeyError, "Unable to find a basis in"),
    "graph": ({"n_matches_min": 1}, KeyError, "distances"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_change_nothing(estimator, case):
    estimator.predict(use=2, method="kmeans", percentile=60)
    before = snapshot(estimator)
    options, error, match = WRONG[case]
    with pytest.raises(error, match=match):
        estimator.predict(**{"use": 2, "method": "kmeans", **options})
    assert snapshot(estimator) == before


def test_without_eigenvectors():
    est = CFLARE(fc.kernels.PrecomputedKernel(three_basins()))
    with pytest.raises(RuntimeError, match="Compute eigendecomposition"):
        est.predict()
    est._results.set(eigendecomposition={"D": np.ones(2), "eigengap": 0})
    with pytest.raises(RuntimeError, match="Compute eigendecomposition"):
        est.predict()
