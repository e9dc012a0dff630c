"""Schur decompositions and macrostates of GPCCA, on chains that can be solved on paper."""

from __future__ import annotations

import ferrocyte as fc
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from ferrocyte.errors import (
    FerrocyteWarning,
    InvalidDataError,
    InvalidOptionError,
    MissingDataError,
    NotComputedError,
)
from ferrocyte.estimators import GPCCA
from numpy.testing import assert_allclose
from reference.chains import CYCLE, THREE, kernel_over, lumped

SIZES = (12, 10, 14)
STATIONARY = np.array([3, 5, 30]) / 38


def three(**kwargs):
    return GPCCA(kernel_over(lumped(THREE, SIZES), SIZES, **kwargs))


def ordered(g):
    """Positions of the macrostates by block: the membership of the first cell of each says which."""
    firsts = np.cumsum((0, *SIZES[:-1]))
    return g.macrostates_memberships.X[firsts].argmax(axis=1)


# Spectrum -----------------------------------------------------------------------------------------------


def test_schur_vectors_span_what_is_constant_on_blocks():
    g = three().compute_schur(3)
    X, R = g.schur_vectors, g.schur_matrix
    assert X.shape == (36, 3)
    assert R.shape == (3, 3)
    assert_allclose(X[:, 0], 1, atol=1e-12)
    assert_allclose(X.T @ X / 36, np.eye(3), atol=1e-10)
    assert_allclose(g.transition_matrix @ X, X @ R, atol=1e-10)
    block = np.repeat(np.arange(3), SIZES)
    for b in range(3):
        assert np.ptp(X[block == b], axis=0).max() < 1e-10
    assert_allclose(g.eigendecomposition["D"], np.sort(np.linalg.eigvals(THREE))[::-1], atol=1e-10)
    assert set(g.eigendecomposition) == {"D", "eigengap", "params"}


def test_schur_vectors_are_orthogonal_in_the_initial_distribution():
    d = np.arange(1.0, 37.0)
    g = three().compute_schur(3, initial_distribution=d)
    assert_allclose(g.schur_vectors.T @ np.diag(d / d.sum()) @ g.schur_vectors, np.eye(3), atol=1e-10)


def test_a_complex_pair_stays_together():
    g = GPCCA(lumped(CYCLE, SIZES))
    g.compute_schur(2)
    assert g.schur_vectors.shape == (36, 3)
    pair = 0.8 + 0.2 * np.exp(2j * np.pi / 3)
    assert_allclose(sorted(g.eigendecomposition["D"], key=np.imag)[2], pair, atol=1e-10)
    with pytest.warns(FerrocyteWarning, match="would split a pair"):
        g.compute_macrostates(2, n_cells=5)
    assert len(g.macrostates.cat.categories) == 3
    assert g.params["macrostates_fwd"]["n_states"] == 2
    order = ordered(g)
    assert_allclose(g.coarse_T.to_numpy()[np.ix_(order, order)], CYCLE, atol=1e-8)


def test_eigendecomposition():
    g = three()
    assert g.compute_eigendecomposition(3) is g
    found = g.eigendecomposition
    T = g.transition_matrix.toarray()
    for i in range(3):
        assert_allclose(T @ found["V_r"][:, i], found["D"][i] * found["V_r"][:, i], atol=1e-9)
        assert_allclose(T.T @ found["V_l"][:, i], found["D"][i] * found["V_l"][:, i], atol=1e-9)
    assert_allclose(found["stationary_dist"], np.repeat(STATIONARY / SIZES, SIZES), atol=1e-10)
    assert found["params"] == {"which": "LR", "k": 3, "alpha": 1.0}
    assert g.compute_eigendecomposition(3, only_evals=True).eigendecomposition.keys() == {
        "D", "eigengap", "params",
    }  # fmt: skip
    assert g.adata.uns["eigendecomposition_fwd"]["eigengap"] == g.eigendecomposition["eigengap"]


def test_the_stationary_distribution_is_computed_once(monkeypatch):
    from ferrocyte import _core

    g = three().compute_macrostates(1, n_cells=5)
    monkeypatch.setattr(_core, "stationary_distribution", lambda *a, **k: pytest.fail("computed again"))
    g.compute_macrostates(1, n_cells=6).compute_eigendecomposition(3)


def test_visits_of_macrostates_need_no_distribution_over_cells(monkeypatch):
    """The chain between macrostates settles them, unless it hardly mixes or has several closed classes."""
    from ferrocyte import _core
    from ferrocyte.estimators._macrostates import coarse_stationary

    g = three().compute_schur(3)
    pi = g.compute_eigendecomposition(3).eigendecomposition["stationary_dist"]
    fresh = three().compute_schur(3)
    with monkeypatch.context() as patch:
        patch.setattr(_core, "stationary_distribution", lambda *a, **k: pytest.fail("not needed"))
        for n_states in (2, 3):
            fresh.compute_macrostates(n_states, n_cells=5)
            chi = fresh.macrostates_memberships.X
            assert_allclose(fresh.coarse_stationary_distribution, chi.T @ pi, atol=1e-9)
    chi = np.repeat(np.eye(2), 2, axis=0)
    for leak, settled in ((0.1, True), (1e-6, True), (1e-14, False), (0.0, False)):
        P = np.array([[1 - leak, leak], [2 * leak, 1 - 2 * leak]])
        found = coarse_stationary(lumped(P, [2, 2]), chi, P)
        assert (found is not None) is settled
        if settled:
            assert_allclose(found, [2 / 3, 1 / 3], atol=1e-8)


def test_complex_eigenvectors():
    g = GPCCA(lumped(CYCLE, SIZES)).compute_eigendecomposition(3)
    found, T = g.eigendecomposition, g.transition_matrix
    assert_allclose(T @ found["V_r"], found["V_r"] * found["D"], atol=1e-9)
    assert_allclose(T.T @ found["V_l"], found["V_l"] * found["D"], atol=1e-9)
    assert np.abs(found["D"].imag).max() > 0.1


def test_all_eigenvalues_of_a_dense_matrix():
    g = GPCCA(lumped(THREE, SIZES).toarray()).compute_eigendecomposition(2)
    assert len(g.eigendecomposition["D"]) == 36
    T, left = g.transition_matrix, g.eigendecomposition["V_l"]
    assert_allclose(T.T @ left, left * g.eigendecomposition["D"], atol=1e-8)


def test_eigengap_by_hand():
    """Gaps 0.02, 0.38, 0.1 less alpha times 0, 0.02, 0.4: the second is the largest, or the first."""
    from ferrocyte.estimators._eigen import eigengap

    values = np.array([0.6, 1.0, 0.5, 0.98])
    assert eigengap(values, alpha=1) == 1
    assert eigengap(values, alpha=100) == 0
    assert eigengap(np.array([1.0]), alpha=1) == 0


def test_eigenvalues_of_a_chain_that_is_far_from_reversible():
    """A drift to one side: eigenvalues 2 sqrt(pq) cos(k pi / n) (Feller 1968, XVI.3), and 1.

    Left and right eigenvectors point to opposite ends, so that eigenvalues may be off by 1e4 residuals.
    """
    n, p, q = 300, 0.52, 0.48
    T = np.diag(np.full(n - 1, p), 1) + np.diag(np.full(n - 1, q), -1)
    T[0, 0], T[-1, -1] = q, p
    g = GPCCA(fc.kernels.PrecomputedKernel(sp.csr_matrix(T))).compute_schur(8)
    exact = 2 * np.sqrt(p * q) * np.cos(np.arange(1, 8) * np.pi / n)
    assert_allclose(g.eigendecomposition["D"].real, [1, *exact], rtol=0, atol=1e-9)


def test_spectrum_errors():
    g = three()
    with pytest.raises(ValueError, match="Invalid method"):
        g.compute_schur(3, method="lanczos")
    with pytest.raises(ValueError, match="sorting criterion"):
        g.compute_schur(3, which="SM")
    with pytest.raises(InvalidDataError, match="positive in each cell"):
        g.compute_schur(3, initial_distribution=np.r_[0, np.ones(35)])
    with pytest.raises(InvalidDataError, match="36 entries"):
        g.compute_schur(3, initial_distribution=np.ones(35))
    with pytest.warns(FerrocyteWarning, match="Computing 2"):
        assert g.compute_schur(1).schur_vectors.shape == (36, 2)
    with pytest.warns(FerrocyteWarning, match="becomes 36"):
        assert g.compute_schur(50).schur_vectors.shape == (36, 36)


# Macrostates --------------------------------------------------------------------------------------------


def test_three_blocks_are_found_exactly():
    g = three().compute_schur(3).compute_macrostates(3, n_cells=5, cluster_key="clusters")
    order = ordered(g)
    block = np.repeat(np.arange(3), SIZES)
    assert_allclose(g.macrostates_memberships.X[:, order], block[:, None] == np.arange(3), atol=1e-8)
    names = [g.coarse_T.index[i] for i in order]
    assert names == ["a", "b", "c"]
    assert list(g.coarse_T.columns) == list(g.coarse_T.index)
    assert_allclose(g.coarse_T.loc[names, names], THREE, atol=1e-8)
    assert_allclose(g.coarse_initial_distribution[names], np.array(SIZES) / 36, atol=1e-8)
    assert_allclose(g.coarse_stationary_distribution[names], STATIONARY, atol=1e-8)
    assigned = g.macrostates.dropna()
    assert assigned.value_counts().to_dict() == {"a": 5, "b": 5, "c": 5}
    assert (assigned.astype(str) == g.adata.obs["clusters"].astype(str)[assigned.index]).all()
    colors = dict(zip(g.macrostates.cat.categories, g.adata.uns["macrostates_fwd_colors"], strict=True))
    assert colors == {"a": "#ff0000", "b": "#00ff00", "c": "#0000ff"}
    assert g.params["macrostates_fwd"] == {
        "n_states": 3, "n_cells": 5, "cluster_key": "clusters", "weight_key": None,
    }  # fmt: skip


def test_what_is_written_to_adata():
    g = three().compute_schur(3).compute_macrostates(3, n_cells=5)
    adata = g.adata
    assert adata.obs["macrostates_fwd"].isna().sum() == 21
    assert adata.obsm["macrostates_fwd_memberships"].names.tolist() == ["0", "1", "2"]
    coarse = adata.uns["coarse_fwd"]
    assert_allclose(coarse.X, g.coarse_T)
    assert list(coarse.obs.columns) == ["coarse_init_dist", "coarse_stat_dist"]
    assert_allclose(coarse.obs["coarse_stat_dist"], g.coarse_stationary_distribution)
    assert adata.obsm["schur_vectors_fwd"].shape == (36, 3)
    assert adata.uns["schur_matrix_fwd"].shape == (3, 3)


def test_backward_keys():
    g = three(backward=True).compute_schur(3).compute_macrostates(3, n_cells=5)
    assert "macrostates_bwd" in g.adata.obs
    assert "coarse_bwd" in g.adata.uns
    assert "macrostates_bwd" in g.params


def test_an_initial_distribution_reaches_the_coarse_chain():
    d = np.repeat([1.0, 2.0, 3.0], SIZES)
    g = three().compute_macrostates(3, n_cells=5, cluster_key="clusters", initial_distribution=d)
    weights = np.array([12, 20, 42]) / 74
    assert_allclose(g.coarse_initial_distribution[["a", "b", "c"]], weights, atol=1e-8)
    # ... and is kept when the same basis is used again
    g.compute_macrostates(3, n_cells=4, cluster_key="clusters")
    assert_allclose(g.coarse_initial_distribution[["a", "b", "c"]], weights, atol=1e-8)


def test_one_state_is_the_stationary_distribution():
    g = three().compute_schur(3).compute_macrostates(3, n_cells=5)
    g.compute_macrostates(1, n_cells=6)
    pi = np.repeat(STATIONARY / SIZES, SIZES)
    assert_allclose(g.macrostates_memberships.X[:, 0], pi, atol=1e-10)
    assert g.macrostates_memberships.X.sum() == pytest.approx(1)
    assert g.coarse_T is None
    assert g.schur_vectors is None
    assert g.coarse_stationary_distribution is None
    assert not {"coarse_fwd", "schur_matrix_fwd"} & set(g.adata.uns)
    assert "schur_vectors_fwd" not in g.adata.obsm
    assert "schur_decomposition_fwd" not in g.params
    # 30/38 over 14 cells of c is the most a cell has
    assert g.adata.obs["clusters"][g.macrostates.notna()].tolist() == ["c"] * 6
    with pytest.warns(FerrocyteWarning, match="There is one macrostate"):
        g.predict_terminal_states(n_cells=6)
    assert g.terminal_states.cat.categories.tolist() == ["0"]


def test_every_cell_to_its_most_likely_state():
    g = three().compute_schur(3).compute_macrostates(3, n_cells=None, cluster_key="clusters")
    assert (g.macrostates.astype(str) == g.adata.obs["clusters"].astype(str)).all()
    assert g.macrostates.index.equals(g.adata.obs_names)


def test_how_many_states():
    g = three()
    with pytest.raises(NotComputedError, match="Compute eigendecomposition"):
        g.compute_macrostates()
    with pytest.raises(NotComputedError, match="Compute Schur"):
        g.compute_macrostates((2, 4))
    g.compute_schur(6)
    # 1, 0.9688.., 0.8911.., 0: the gap is after the third
    assert len(g.compute_macrostates(n_cells=5).macrostates.cat.categories) == 3
    vectors = g.schur_vectors
    for pair in ((2, 3), (4, 3), [2, 4]):
        g.compute_macrostates(pair, n_cells=5)
        assert len(g.macrostates.cat.categories) == 3
    assert g.schur_vectors is vectors
    g.compute_macrostates(2, n_cells=5)
    assert g.schur_vectors is vectors
    assert len(g.macrostates.cat.categories) == 2
    for bad, message in ((0, "positive"), (-1, "positive"), (37, "at most 36"), ((1, 2, 3), "pair")):
        with pytest.raises(InvalidOptionError, match=message):
            g.compute_macrostates(bad)
    with pytest.raises(TypeError):
        g.compute_macrostates(2.5)


def test_more_states_than_schur_vectors_recompute_them():
    g = three().compute_schur(2)
    g.compute_macrostates(3, n_cells=5)
    assert g.schur_vectors.shape == (36, 3)
    assert g.params["schur_decomposition_fwd"]["n_components"] == 3
    assert g.adata.obsm["schur_vectors_fwd"].shape == (36, 3)
    g.compute_macrostates(2, n_cells=5, n_components=4, alpha=0.5)
    assert g.schur_vectors.shape[1] >= 4
    assert g.params["schur_decomposition_fwd"]["alpha"] == 0.5


def test_scans_reuse_one_basis(monkeypatch):
    """All numbers of a range are compared on the vectors that are there."""
    from ferrocyte.estimators import _gpcca_macrostates as module

    g = three().compute_schur(6)
    monkeypatch.setattr(module, "schur", lambda *a, **k: pytest.fail("computed anew"))
    g.compute_macrostates((3, 5), n_cells=5)
    g.suggest_n_states(2, 5, n_cells=5)
    g.tsi(3, ["a", "c"], "clusters", n_cells=5)


def test_identification_of_nothing_and_with_unknown_keywords():
    g = three().compute_schur(3)
    with pytest.raises(InvalidOptionError, match="at least one terminal state"):
        g.tsi(3, [], "clusters")
    with pytest.raises(TypeError, match=r"no keyword 'colour'.*`compute_schur`: n_components"):
        g.tsi(3, ["a"], "clusters", colour=1)
    assert g._tsi is None


def test_cells_of_states():
    from ferrocyte.estimators._states import assign_cells, warn_of_small

    chi = np.array([[0.9, 0.1], [0.8, 0.2], [0.6, 0.4], [0.45, 0.55], [0.3, 0.7], [0.7, 0.3]])
    assert assign_cells(chi, 2).tolist() == [0, 0, -1, 1, 1, -1]
    assert assign_cells(chi, None).tolist() == [0, 0, 0, 1, 1, 0]
    # With 3 each: rows 0, 1, 5 and 4, 3, 2.
    assert assign_cells(chi, 3).tolist() == [0, 0, 1, 1, 1, 0]
    with pytest.raises(ValueError, match="decrease this to at most 3"):
        assign_cells(chi, 4)
    # Both ask for rows 0 and 1, which belong to the first: nothing is left.
    with pytest.raises(InvalidDataError, match="0 of 2 cells"):
        assign_cells(np.array([[0.9, 0.5], [0.8, 0.5], [0.1, 0.05], [0.0, 0.0]]), 2)
    # One of two is left: enough, with a warning.
    found = assign_cells(np.array([[0.9, 0.5], [0.8, 0.1], [0.1, 0.4], [0.0, 0.0]]), 2)
    with pytest.warns(FerrocyteWarning, match="'y' has 1"):
        warn_of_small(found, ["x", "y"], 2)
    assert found.tolist() == [0, 0, 1, -1]


def test_names_of_states_that_share_a_cluster():
    from ferrocyte.estimators._states import Reference, name_states

    ref = Reference(["x", "y", "z"], ["#ff0000"] * 3, codes=np.array([0, 0, 0, 1, 1, 2]))
    names, colors = name_states(np.array([0, 2, 2, 1, 1, -1]), 3, ref)
    assert names == ["x_1", "y", "x_2"]
    assert len(set(colors)) == 3
    # a tie goes to the first category; a category that is called like a suffixed one does not collide
    ref = Reference(["x", "x_1"], ["#ff0000"] * 2, shares=np.eye(2)[[0, 0, 1, 1]])
    assert (
        name_states(np.array([0, 1, 1, 0]), 2, ref)[0][0] != name_states(np.array([0, 1, 1, 0]), 2, ref)[0][1]
    )
    assert len(set(name_states(np.array([0, 1, 2, 2]), 3, ref)[0])) == 3


def test_a_state_outside_of_all_clusters_is_not_called_by_one():
    """Cells of "b" have no cluster; "a", the first one, has nothing to do with them."""
    g = three()
    clusters = g.adata.obs["clusters"]
    g.adata.obs["some"] = clusters.where(clusters != "b").cat.set_categories(["a", "b", "c"])
    with pytest.warns(FerrocyteWarning, match="No cell of 1 of the 3 states.*'unassigned'") as caught:
        g.compute_macrostates(3, n_cells=5, cluster_key="some")
    assert caught[0].filename == __file__
    assert sorted(g.macrostates.cat.categories) == ["a", "c", "unassigned"]
    assert set(clusters[g.macrostates == "unassigned"]) == {"b"}


def test_proportions_name_states_like_the_column():
    g = three().compute_schur(3)
    by_column = g.compute_macrostates(3, n_cells=5, cluster_key={"obs": "clusters"})
    names, colors = list(by_column.macrostates.cat.categories), list(g.adata.uns["macrostates_fwd_colors"])
    one_hot = pd.get_dummies(g.adata.obs["clusters"]).astype(float)
    g.adata.obsm["props"] = one_hot
    g.adata.uns["props_colors"] = g.adata.uns["clusters_colors"]
    g.compute_macrostates(3, n_cells=5, cluster_key={"obsm": "props"})
    assert list(g.macrostates.cat.categories) == names
    assert list(g.adata.uns["macrostates_fwd_colors"]) == colors
    # Half of each cell is c: a tie goes to the first of the two categories.
    half = one_hot / 2
    half["c"] += 0.5
    g.adata.obsm["props"] = half
    g.adata.obs["weight"] = 1.0
    g.compute_macrostates(3, n_cells=5, cluster_key={"obsm": "props"}, weight_key="weight")
    assert sorted(g.macrostates.cat.categories) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("kwargs", "error", "message"),
    [
        ({"cluster_key": "nope"}, KeyError, "Unable to find clusters"),
        ({"cluster_key": {"obsm": "nope"}}, KeyError, r"adata.obsm\['nope'\]"),
        ({"cluster_key": {"obsm": "array"}}, TypeError, "pandas.DataFrame"),
        ({"cluster_key": {"obsm": "bad"}}, ValueError, "proportions summing to"),
        ({"cluster_key": {"obsm": "nan"}}, ValueError, "proportions summing to"),
        ({"cluster_key": {"obsm": "good"}, "weight_key": "nope"}, KeyError, "Weights not found"),
        ({"cluster_key": "clusters", "weight_key": "w"}, ValueError, "`weight_key` is only supported"),
        ({"weight_key": "w"}, ValueError, "`weight_key` is only supported"),
        ({"cluster_key": {"var": "x"}}, ValueError, "'obs'.*or.*'obsm'"),
        ({"cluster_key": 3}, TypeError, "Expected `key`"),
        ({"cluster_key": {"obs": "a", "obsm": "b"}}, TypeError, "Expected `key`"),
        ({"cluster_key": "number"}, TypeError, "categorical"),
        (
            {"cluster_key": {"obsm": "good"}, "weight_key": "below"},
            ValueError,
            "at least 0, found -1 for 'c2'",
        ),
        ({"colour": 1}, TypeError, "no keyword 'colour'.*`compute_schur`: n_components"),
        ({"n_cells": 0}, ValueError, "to be positive"),
        ({"n_cells": 13}, ValueError, "decrease this to at most 12"),
    ],
)
def test_macrostate_errors_change_nothing(kwargs, error, message):
    g = three().compute_schur(3)
    good = pd.DataFrame(np.full((36, 2), 0.5), index=g.adata.obs_names, columns=["x", "y"])
    g.adata.obs["number"] = 1.0
    g.adata.obs["below"] = np.where(np.arange(36) == 2, -1.0, 1.0)
    g.adata.obsm.update({"array": good.to_numpy(), "good": good, "bad": good * 1.1, "nan": good * np.nan})
    before = sorted(g.adata.obs), sorted(g.adata.obsm), sorted(g.adata.uns)
    with pytest.raises(error, match=message) as caught:
        g.compute_macrostates(3, **kwargs)
    assert isinstance(caught.value, fc.errors.FerrocyteError)
    assert (sorted(g.adata.obs), sorted(g.adata.obsm), sorted(g.adata.uns)) == before
    assert g.macrostates is None


# Chains that fall apart -------------------------------------------------------------------------------------


def test_two_closed_classes():
    """Two blocks without a way between them and one that leads into both, 1 : 3."""
    coarse = np.array([[1, 0, 0], [0, 1, 0], [0.05, 0.15, 0.8]])
    sizes = (8, 8, 8)
    g = GPCCA(kernel_over(lumped(coarse, sizes), sizes)).compute_schur(3)
    g.compute_macrostates(2, n_cells=4, cluster_key="clusters")
    assert sorted(g.macrostates.cat.categories) == ["a", "b"]
    fate = g.macrostates_memberships["a"].X[:, 0]
    assert_allclose(fate, np.repeat([1, 0, 0.25], 8), atol=1e-8)
    assert_allclose(g.coarse_T, np.eye(2), atol=1e-8)
    # In the long run, from a uniform start: (1 + 1/4) / 3 in a.
    assert g.coarse_stationary_distribution["a"] == pytest.approx(1.25 / 3)
    assert g.coarse_stationary_distribution["b"] == pytest.approx(1.75 / 3)
    g.predict_terminal_states(n_cells=4)
    assert sorted(g.terminal_states.cat.categories) == ["a", "b"]


def test_nearly_reducible():
    coarse = np.array([[1 - 1e-9, 1e-9, 0], [0, 1 - 1e-9, 1e-9], [1e-9, 0, 1 - 1e-9]])
    g = GPCCA(kernel_over(lumped(coarse, SIZES), SIZES)).compute_schur(3)
    g.compute_macrostates(3, n_cells=5, cluster_key="clusters")
    order = ordered(g)
    block = np.repeat(np.arange(3), SIZES)
    assert_allclose(g.macrostates_memberships.X[:, order], block[:, None] == np.arange(3), atol=1e-6)
    assert_allclose(np.diag(g.coarse_T), 1, atol=1e-8)
    assert_allclose(g.coarse_stationary_distribution, 1 / 3, atol=1e-4)


def test_cells_that_never_leave():
    g = GPCCA(sp.eye(6, format="csr"))
    g.compute_macrostates(6, n_cells=1)
    assert_allclose(g.coarse_T, np.eye(6), atol=1e-8)


def test_threads_and_repeats_change_nothing():
    adata = fc.datasets.simulate(600, 50, "trifurcation", seed=3)
    found = []
    before = fc.settings.n_jobs
    try:
        for threads in (1, 2, 1):
            fc.settings.n_jobs = threads
            k = fc.kernels.PseudotimeKernel(adata, time_key="pseudotime").compute_transition_matrix()
            g = GPCCA(k).compute_schur(6).compute_macrostates(3)
            found.append((g.schur_vectors.copy(), g.macrostates_memberships.X.copy(), g.coarse_T.to_numpy()))
    finally:
        fc.settings.n_jobs = before
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            assert (a == b).all()


def test_missing_cluster_suggests():
    with pytest.raises(MissingDataError, match="Did you mean 'clusters'"):
        three().compute_schur(3).compute_macrostates(3, cluster_key="cluster")
