"""Estimators made from anything, copied, as annotated data and as files."""

from __future__ import annotations

import warnings
from importlib.metadata import version

import anndata as ad
import ferrocyte as fc
import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from ferrocyte.errors import FerrocyteError, FerrocyteWarning, FileFormatError, MissingDataError
from ferrocyte.estimators import GPCCA, BaseEstimator, TermStatesEstimator
from numpy.testing import assert_allclose, assert_array_equal
from reference.chains import THREE, kernel_over, lumped

SIZES = (12, 10, 14)
NAMES = (
    "eigendecomposition", "schur_vectors", "schur_matrix", "macrostates", "macrostates_memberships",
    "coarse_T", "coarse_initial_distribution", "coarse_stationary_distribution", "terminal_states",
    "terminal_states_probabilities", "terminal_states_memberships", "initial_states",
    "initial_states_probabilities", "initial_states_memberships", "fate_probabilities", "absorption_times",
    "priming_degree", "lineage_drivers",
)  # fmt: skip


def full(**kwargs):
    kernel = kernel_over(lumped(THREE, SIZES), SIZES, **kwargs)
    kernel.adata.X = np.random.default_rng(0).normal(size=(36, 3)).astype(np.float32)
    kernel.adata.layers["L"] = kernel.adata.X.copy()
    kernel.adata.obsm["X_umap"] = np.zeros((36, 2))
    g = GPCCA(kernel).compute_schur(3).compute_macrostates(3, n_cells=5, cluster_key="clusters")
    g.predict_terminal_states(n_cells=5).predict_initial_states(n_cells=5)
    g.compute_fate_probabilities()
    g.compute_absorption_times()
    g.compute_lineage_priming()
    g.compute_lineage_drivers()
    return g


def assert_same(a, b, names=NAMES):
    for name in names:
        x, y = getattr(a, name), getattr(b, name)
        assert (x is None) == (y is None), name
        if x is None:
            continue
        if isinstance(x, pd.DataFrame):
            pd.testing.assert_frame_equal(x, y, check_column_type=False)
        elif isinstance(x, pd.Series):
            pd.testing.assert_series_equal(x, y, check_names=False)
        elif isinstance(x, fc.Lineage):
            assert (x.X == y.X).all(), name
            assert x.names.tolist() == y.names.tolist(), name
            assert x.colors.tolist() == y.colors.tolist(), name
        elif isinstance(x, dict):
            assert x.keys() == y.keys()
            assert_allclose(x["D"], y["D"])
            assert int(x["eigengap"]) == int(y["eigengap"])
        else:
            assert_allclose(x, y)


# Made from ------------------------------------------------------------------------------------------------


def test_everything_an_estimator_is_made_from():
    kernel = kernel_over(lumped(THREE, SIZES), SIZES)
    adata, T = kernel.adata, kernel.transition_matrix
    adata.obsp["T_bwd"] = T
    adata.obsp["mine"] = T
    assert GPCCA(kernel).kernel is kernel
    expression = 0.5 * kernel + 0.5 * kernel
    assert GPCCA(expression).kernel is expression
    assert GPCCA(adata).backward is True
    assert GPCCA(adata, obsp_key="mine").backward is None
    assert GPCCA("mine", adata=adata, backward=False).backward is False
    assert GPCCA(True, adata=adata).backward is True
    for matrix in (T, T.toarray(), pd.DataFrame(T.toarray())):
        g = GPCCA(matrix)
        assert g.shape == (36, 36)
        assert len(g) == 36
        assert g.backward is None
        assert abs(g.transition_matrix - T).max() < 1e-12
    assert (
        repr(GPCCA(kernel))
        == str(GPCCA(kernel))
        == ("GPCCA[kernel=PrecomputedKernel[n=36], initial_states=None, terminal_states=None]")
    )
    assert GPCCA(kernel).params == {}
    assert issubclass(GPCCA, TermStatesEstimator)
    assert issubclass(TermStatesEstimator, BaseEstimator)


def test_what_can_not_be_used():
    adata = fc.datasets.dentate_gyrus()
    with pytest.raises(RuntimeError, match="Compute transition matrix first"):
        GPCCA(fc.kernels.ConnectivityKernel(adata))
    v, c = fc.kernels.VelocityKernel(adata), fc.kernels.ConnectivityKernel(adata)
    with pytest.raises(RuntimeError, match="Compute transition matrix first"):
        GPCCA(v + c)
    with pytest.raises(TypeError, match="Expected `object`"):
        GPCCA([1, 2])
    with pytest.raises(ValueError, match="Unable to find a transition matrix"):
        GPCCA(adata)
    with pytest.raises(KeyError, match="nope"):
        GPCCA(adata, obsp_key="nope")
    with pytest.raises(ValueError, match="NaN"):
        GPCCA(np.full((3, 3), np.nan))
    with pytest.raises(TypeError):
        BaseEstimator(np.eye(3))
    with pytest.raises(TypeError):
        TermStatesEstimator(np.eye(3))


def test_a_view_becomes_actual_when_written_to():
    kernel = kernel_over(lumped(THREE, SIZES), SIZES)
    view = kernel.adata[np.arange(36)]
    assert view.is_view
    g = GPCCA(fc.kernels.PrecomputedKernel(kernel.transition_matrix, adata=view)).compute_schur(3)
    g.compute_macrostates(3, n_cells=5)
    assert "macrostates_fwd" in view.obs
    assert "macrostates_fwd" not in kernel.adata.obs


def test_cells_that_are_removed_in_place():
    g = full()
    g.adata._inplace_subset_obs(np.arange(30))
    before = sorted(g.adata.obsm)
    for step in (g.compute_fate_probabilities, g.compute_absorption_times, g.compute_schur):
        with pytest.raises(ValueError, match=r"have 36 cells, as the transition matrix, found 30.*anew"):
            step()
    assert sorted(g.adata.obsm) == before


def test_parameters_that_are_none():
    """A damaged entry takes no result along."""
    g = full()
    adata = g.to_adata()
    for damaged in ("x", {"lineages_fwd": 3}):
        adata.uns["fwd_estimator_params"] = damaged
        found = GPCCA.from_adata(adata, "T_fwd")
        assert found.params == {}
        assert_array_equal(found.fate_probabilities, g.fate_probabilities)


def test_a_kernel_that_is_computed_anew():
    adata = fc.datasets.dentate_gyrus()
    kernel = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    g = GPCCA(kernel).compute_schur(6)
    kernel.compute_transition_matrix(density_normalize=False)
    with pytest.warns(FerrocyteWarning, match="computed anew"):
        g.compute_macrostates(3, n_cells=5)
    fresh = GPCCA(kernel)
    kernel.compute_transition_matrix(density_normalize=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fresh.compute_schur(6)


def test_another_adata():
    g = full()
    other = AnnData(np.zeros((36, 1), dtype=np.float32))
    g.adata = other
    assert g.kernel.adata is other
    with pytest.raises(ValueError, match="Expected new `AnnData`"):
        g.adata = AnnData(np.zeros((3, 1), dtype=np.float32))


# Copies ----------------------------------------------------------------------------------------------------


def test_copy():
    g = full()
    g.tsi(3, ["b", "c"], "clusters", n_cells=5)
    for deep in (False, True):
        h = g.copy(deep=deep)
        assert type(h) is GPCCA
        assert (h.adata is g.adata) is (not deep)
        assert h.kernel is not g.kernel
        assert h.params == g.params
        assert h.params["macrostates_fwd"] is not g.params["macrostates_fwd"]
        assert_same(g, h)
        assert h.fate_probabilities is not g.fate_probabilities
        assert h._tsi.equals(g._tsi)
    h = g.copy(deep=True)
    h.compute_macrostates(2, n_cells=5)
    assert g.terminal_states is not None
    assert "term_states_fwd" in g.adata.obs
    assert "term_states_fwd" not in h.adata.obs
    assert g.copy().adata.obs["term_states_fwd"].equals(g.adata.obs["term_states_fwd"])


# Annotated data --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backward", [False, True])
def test_to_adata_and_back(backward, tmp_path):
    g = full(backward=backward)
    X = "bwd" if backward else "fwd"
    out = g.to_adata()
    assert set(out.obsp) == {f"T_{X}"}
    assert set(out.obs) == {
        f"macrostates_{X}", f"term_states_{X}", f"term_states_{X}_probs", f"init_states_{X}",
        f"init_states_{X}_probs", f"priming_degree_{X}",
    }  # fmt: skip
    assert set(out.obsm) == {
        f"schur_vectors_{X}", f"macrostates_{X}_memberships", f"term_states_{X}_memberships",
        f"init_states_{X}_memberships", f"lineages_{X}", f"absorption_times_{X}",
    }  # fmt: skip
    assert set(out.varm) == {"initial_lineage_drivers" if backward else "terminal_lineage_drivers"}
    assert {f"{X}_estimator_params", f"T_{X}_params", f"coarse_{X}"} <= set(out.uns)
    assert out.uns[f"{X}_estimator_params"] == g.params
    h = GPCCA.from_adata(out, f"T_{X}")
    assert h.backward is backward
    assert_same(g, h)
    assert h.params == g.params
    out.write_h5ad(tmp_path / "x.h5ad")
    again = GPCCA.from_adata(ad.read_h5ad(tmp_path / "x.h5ad"), f"T_{X}")
    assert_same(g, again)
    # further from there: the same Schur basis, the same states
    again.compute_macrostates(3, n_cells=5, cluster_key=None)
    assert_allclose(again.macrostates_memberships.X, g.macrostates_memberships.X, atol=1e-8)


def test_merged_fates_keep_their_names(tmp_path):
    g = full()
    g.set_terminal_states(["a", "b", "c"], n_cells=5, allow_overlap=True)
    g.compute_fate_probabilities(keys=["a, c", "b"])
    out = g.to_adata()
    out.write_h5ad(tmp_path / "x.h5ad")
    h = GPCCA.from_adata(ad.read_h5ad(tmp_path / "x.h5ad"), "T_fwd")
    assert h.fate_probabilities.names.tolist() == g.fate_probabilities.names.tolist() == ["b", "a, c"]
    assert h.fate_probabilities.colors.tolist() == g.fate_probabilities.colors.tolist()


def test_parameters_survive_h5ad(tmp_path):
    g = full()
    g.compute_macrostates((3, 4), n_cells=5, cluster_key={"obs": "clusters"})
    g.set_terminal_states({"x": ["c13", "c14"], "y": [30]}).set_initial_states({"clusters": "a"})
    g.compute_fate_probabilities(keys=["x", "y"])
    g.to_adata().write_h5ad(tmp_path / "x.h5ad")
    h = GPCCA.from_adata(ad.read_h5ad(tmp_path / "x.h5ad"), "T_fwd")
    kept = g.params
    if version("anndata").startswith("0.11."):  # which leaves each None out of the file
        kept = {name: {k: v for k, v in of.items() if v is not None} for name, of in kept.items()}
    assert h.params == kept
    assert g.params["macrostates_fwd"]["n_states"] == [3, 4]


def test_states_set_by_hand_come_back():
    g = GPCCA(kernel_over(lumped(THREE, SIZES), SIZES)).set_terminal_states({"clusters": ["b", "c"]})
    g.compute_fate_probabilities()
    h = GPCCA.from_adata(g.to_adata(), "T_fwd")
    assert_same(g, h)
    assert h.terminal_states.value_counts().to_dict() == {"b": 10, "c": 14}


GROUPS = {
    "schur": (["obsm/schur_vectors_fwd", "uns/schur_matrix_fwd"], {"schur_vectors", "schur_matrix"}),
    "macrostates": (
        ["obs/macrostates_fwd", "uns/macrostates_fwd_colors", "obsm/macrostates_fwd_memberships",
         "uns/coarse_fwd"],
        set(NAMES) - {"eigendecomposition", "schur_vectors", "schur_matrix"},
    ),
    "terminal": (
        ["obs/term_states_fwd", "obs/term_states_fwd_probs", "uns/term_states_fwd_colors"],
        {n for n in NAMES if n.startswith(("terminal", "fate", "absorption", "priming", "lineage"))},
    ),
    "fates": (["obsm/lineages_fwd"], {"fate_probabilities", "priming_degree", "lineage_drivers"}),
    "times": (["obsm/absorption_times_fwd"], {"absorption_times"}),
    "priming": (["obs/priming_degree_fwd"], {"priming_degree"}),
    "drivers": (["varm/terminal_lineage_drivers"], {"lineage_drivers"}),
}  # fmt: skip


@pytest.mark.parametrize("group", GROUPS)
def test_steps_stand_or_fall_together(group):
    g = full()
    places, gone = GROUPS[group]
    for place in places:
        adata = g.to_adata()
        attr, key = place.split("/")
        del getattr(adata, attr)[key]
        h = GPCCA.from_adata(adata, "T_fwd")
        assert {n for n in NAMES if getattr(h, n) is None} == gone, place
        assert_same(g, h, [n for n in NAMES if n not in gone])


def test_keep_and_copy():
    g = full()
    g.adata.raw = g.adata.copy()
    g.adata.varm["v"] = np.zeros((3, 2))
    plain = g.to_adata()
    assert (plain.X == g.adata.X).all()
    assert plain.raw.shape == (36, 3)
    assert "X_umap" not in plain.obsm
    assert "clusters" not in plain.obs
    everything = g.to_adata(keep="all")
    assert {"clusters"} <= set(everything.obs)
    assert {"X_umap"} <= set(everything.obsm)
    assert {"L"} <= set(everything.layers)
    assert not np.shares_memory(everything.X, g.adata.X)
    shared = g.to_adata(keep=("X", "layers", "obsm", "varm"), copy=False)
    assert np.shares_memory(shared.X, g.adata.X)
    assert np.shares_memory(shared.layers["L"], g.adata.layers["L"])
    assert np.shares_memory(shared.obsm["X_umap"], g.adata.obsm["X_umap"])
    some = g.to_adata(keep=("X", "layers"), copy=["layers"])
    assert np.shares_memory(some.X, g.adata.X)
    assert not np.shares_memory(some.layers["L"], g.adata.layers["L"])
    picked = g.to_adata(keep={"obsm": "X_umap", "obs": ["clusters"], "layers": True, "uns": "all"})
    assert picked.X is None
    assert "X_umap" in picked.obsm
    assert "clusters" in picked.obs
    assert "clusters_colors" in picked.uns
    assert "v" not in picked.varm
    assert g.to_adata(keep=[]).X is None
    assert g.to_adata(keep="obsm").obsm["X_umap"].shape == (36, 2)
    with pytest.raises(KeyError, match="Unable to find 'nope'"):
        g.to_adata(keep={"obsm": ["nope"]})
    with pytest.raises(ValueError, match="Invalid option"):
        g.to_adata(keep=["nope"])
    with pytest.raises(ValueError, match="Invalid option"):
        g.to_adata(copy=["nope"])
    with pytest.raises(TypeError, match="keep"):
        g.to_adata(keep=3)
    with pytest.raises(TypeError, match="has no keys"):
        g.to_adata(keep={"X": ["a"]})


def test_from_adata_errors():
    with pytest.raises(TypeError, match="AnnData"):
        GPCCA.from_adata("x", "T_fwd")
    with pytest.raises(MissingDataError, match="T_fwd"):
        GPCCA.from_adata(full().adata, "T_fwd")


def test_drivers_of_raw_are_found_there():
    g = full()
    g.adata.raw = g.adata.copy()
    g.compute_lineage_drivers(use_raw=True)
    assert "terminal_lineage_drivers" in g.adata.raw.varm
    assert "terminal_lineage_drivers" not in g.adata.varm
    h = GPCCA.from_adata(g.to_adata(), "T_fwd")
    pd.testing.assert_frame_equal(h.lineage_drivers, g.lineage_drivers)
    g.compute_fate_probabilities()
    assert "terminal_lineage_drivers" not in g.adata.raw.varm


# Files -----------------------------------------------------------------------------------------------------


def test_write_and_read(tmp_path):
    g = full()
    g.tsi(3, ["b", "c"], "clusters", n_cells=5)
    path = tmp_path / "estimator"
    g.write(path)
    assert g.adata is not None
    h = GPCCA.read(path)
    assert type(h) is GPCCA
    assert_same(g, h)
    assert h.params == g.params
    assert h._tsi.equals(g._tsi)
    assert h._tsi.attrs == g._tsi.attrs
    assert h.tsi(2) == g.tsi(2)
    assert (h.adata.obs["clusters"] == g.adata.obs["clusters"]).all()
    with pytest.warns(FerrocyteWarning, match="ignored"):
        GPCCA.read(path, adata=g.adata)


def test_names_that_are_no_file_names(tmp_path):
    kernel = kernel_over(lumped(THREE, SIZES), SIZES)
    kernel.adata.obs["type"] = kernel.adata.obs["clusters"].cat.rename_categories(["T/NK", "a.b", "c d"])
    g = GPCCA(kernel).compute_schur(3).compute_macrostates(3, n_cells=5, cluster_key="type")
    g.predict_terminal_states(n_cells=5)
    g.compute_fate_probabilities()
    g.write(tmp_path / "x", write_adata=False)
    h = GPCCA.read(tmp_path / "x", adata=kernel.adata)
    assert_same(g, h)


def test_without_adata(tmp_path):
    g = full()
    g.write(tmp_path / "x", write_adata=False)
    with pytest.raises(TypeError, match="This object was saved without"):
        GPCCA.read(tmp_path / "x")
    with pytest.raises(ValueError, match="Expected `adata` to be of length"):
        GPCCA.read(tmp_path / "x", adata=g.adata[:5].copy())
    h = GPCCA.read(tmp_path / "x", adata=g.adata)
    assert h.adata is g.adata
    assert GPCCA.read(tmp_path / "x", adata=g.adata, copy=True).adata is not g.adata
    assert_same(g, h)


def test_an_expression_with_its_kernels(tmp_path):
    adata = fc.datasets.dentate_gyrus()
    v = fc.kernels.VelocityKernel(adata).compute_transition_matrix()
    c = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    g = GPCCA(0.8 * v + 0.2 * c).compute_schur(6)
    g.write(tmp_path / "x")
    h = GPCCA.read(tmp_path / "x")
    assert repr(h) == repr(g)
    assert abs(h.transition_matrix - g.transition_matrix).max() == 0
    assert_same(g, h)


def test_files_of_other_kinds(tmp_path):
    kernel = kernel_over(lumped(THREE, SIZES), SIZES)
    kernel.write(tmp_path / "kernel")
    GPCCA(kernel).write(tmp_path / "estimator")
    with pytest.raises(FileFormatError, match="found a kernel"):
        GPCCA.read(tmp_path / "kernel")
    with pytest.raises(FileFormatError, match="found a estimator"):
        fc.kernels.PrecomputedKernel.read(tmp_path / "estimator")
    (tmp_path / "pickle").write_bytes(b"\x80\x04")
    with pytest.raises(FileFormatError, match="not HDF5"):
        GPCCA.read(tmp_path / "pickle")


@pytest.mark.parametrize("damage", ["class", "kernel", "results", "value", "params"])
def test_damaged_files(tmp_path, damage):
    from ferrocyte._container import Container, read_container, write_container

    GPCCA(kernel_over(lumped(THREE, SIZES), SIZES)).compute_schur(3).write(tmp_path / "x")
    file = read_container(tmp_path / "x", "estimator")
    if damage == "class":
        file.content["class"] = "Nope"
    elif damage == "value":
        file.content["results"]["schur_vectors"] = {"as": "what", "values": 1}
    elif damage == "results":
        file.content["results"]["nope"] = {"as": "plain", "values": 1}
    else:
        del file.content[damage]
    write_container(tmp_path / "y", Container("estimator", file.content, file.adatas))
    with pytest.raises(FileFormatError) as caught:
        GPCCA.read(tmp_path / "y")
    assert isinstance(caught.value, FerrocyteError)


@pytest.mark.parametrize("backward", [False, True])
def test_estimators_of_combinations_come_back_in_either_direction(backward, tmp_path):
    adata = fc.datasets.dentate_gyrus()
    vk = fc.kernels.VelocityKernel(adata, backward=backward).compute_transition_matrix(softmax_scale=4)
    ck = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    g = GPCCA(0.8 * vk + 0.2 * ck)
    g.compute_schur(6).compute_macrostates(2).set_terminal_states().compute_fate_probabilities()
    key = "T_bwd" if backward else "T_fwd"
    stored = g.to_adata()
    stored.write_h5ad(tmp_path / "x.h5ad")
    for there in (stored, ad.read_h5ad(tmp_path / "x.h5ad")):
        again = GPCCA.from_adata(there, obsp_key=key)
        assert again.kernel.backward is backward
        assert_array_equal(again.fate_probabilities.X, g.fate_probabilities.X)
        assert_array_equal(again.macrostates_memberships.names, g.macrostates_memberships.names)
