"""Signals, and which cells a model is prepared with."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata as ad
import ferrocyte as fc
import numpy as np
import pytest
from ferrocyte.models import GAM, Gene, Obs, Obsm
from numpy.testing import assert_allclose, assert_array_equal
from reference.trend_cells import cells

FROZEN = np.load(Path(__file__).parent / "data" / "frozen" / "models.npz")
# As in tests/reference/freeze_models.py.
CASES = {
    "default": {},
    "end": {"time_range": 0.6},
    "window": {"time_range": (0.2, 0.7)},
    "swapped": {"time_range": (0.7, 0.2)},
    "beyond": {"time_range": (-3.0, 9.0)},
    "threshold": {"threshold": 0.5},
    "weights": {"weight_threshold": (0.3, 0.05)},
    "one_weight": {"weight_threshold": 0.2},
    "filter": {"filter_cells": 0.4},
    "points": {"n_test_points": 51},
    "cells": {"n_test_points": 60, "time_range": (0.1, None)},
    "no_lineage": {"lineage": None},
}


def tiny(t, y, w=None):
    adata = ad.AnnData(np.array(y, dtype=float)[:, None])
    adata.var_names = ["g"]
    adata.obs["t"] = np.array(t, dtype=float)
    if w is not None:
        w = np.array(w, dtype=float)
        adata.obsm["lineages_fwd"] = fc.Lineage(np.c_[w, 1 - w], names=["a", "b"])
    return adata


class TestSignals:
    def test_names(self):
        assert (Gene("g").name, Gene("g").ylabel, Gene("g").layer, Gene("g").use_raw) == (
            "g",
            "expression",
            None,
            False,
        )
        assert (Obs("t").name, Obs("t").ylabel, Obs("t").layer, Obs("t").use_raw) == (
            "t",
            "value",
            None,
            False,
        )
        assert Obsm("points", 1).name == "points[1]"
        assert len({Gene("g"), Gene("g"), Gene("g", layer="half"), Obs("g"), Obsm("g", 0)}) == 4
        with pytest.raises(AttributeError):
            Gene("g").gene = "h"

    @pytest.mark.parametrize("sparse", [False, True])
    def test_values(self, sparse):
        adata = cells(sparse=sparse)
        x = adata.X.toarray() if sparse else adata.X
        assert_array_equal(Gene("g2").fetch(adata), x[:, 2])
        assert_array_equal(Gene("g2", layer="half").fetch(adata), x[:, 2] / 2)
        assert_array_equal(Gene("g2", use_raw=True).fetch(adata), x[:, 2])
        assert_array_equal(Obs("t").fetch(adata), adata.obs["t"])
        assert_array_equal(Obsm("points", 1).fetch(adata), x[:, 0])
        assert_array_equal(Obsm("points", -1).fetch(adata), x[:, 0])
        assert_array_equal(Obsm("table", "one").fetch(adata), adata.obs["t"])
        assert Obs("t").fetch(adata, np.float32).dtype == np.float32
        assert_array_equal(Gene("g1").fetch(adata[10:20]), x[10:20, 1])

    @pytest.mark.parametrize(
        ("signal", "error"),
        [
            (Gene("gg"), KeyError),
            (Gene("g1", layer="no"), KeyError),
            (Obs("no"), KeyError),
            (Obsm("no", 0), KeyError),
            (Obsm("table", "two"), KeyError),
            (Gene("gg", use_raw=True), KeyError),
            (Gene("g1", layer="half", use_raw=True), ValueError),
            (Obs("group"), TypeError),
            (Obsm("points", "one"), TypeError),
            (Obsm("points", 1.0), TypeError),
            (Obsm("points", 2), IndexError),
            (Obsm("table", "name"), TypeError),
        ],
    )
    def test_errors(self, signal, error):
        with pytest.raises(error):
            signal.validate(cells())
        with pytest.raises(error, match="Fatal model"):
            GAM(cells()).prepare(signal, "a", "t")

    def test_no_raw(self):
        adata = cells()
        del adata.raw
        with pytest.raises(AttributeError, match="raw"):
            Gene("g1", use_raw=True).validate(adata)


@pytest.mark.parametrize("case", CASES)
def test_cells_are_those_of_cellrank(case):
    adata = tiny(FROZEN["prepare/x"], FROZEN["prepare/y"], FROZEN["prepare/w"])
    model = GAM(adata).prepare("g", **{"lineage": "a", "time_key": "t", **CASES[case]})
    for name in ("x", "y", "w", "x_test"):
        found, expected = getattr(model, name), FROZEN[f"prepare/{case}/{name}"]
        assert found.dtype == np.float64
        assert found.shape == expected.shape, name
        assert_allclose(found, expected, atol=1e-15)


def test_by_hand():
    """Cells 1 and 3 share a pseudotime, so 3 is left out; the window [0.2, 0.8] leaves out 0 and 5."""
    adata = tiny([0.0, 0.5, 0.2, 0.5, 0.8, 1.0], [1, 2, 3, 4, 5, 6], [0.1, 0.9, 0.5, 0.3, 0.005, 1.0])
    model = GAM(adata)
    assert (model.prepared, model.x, model.signal, model.lineage) == (False, None, None, None)
    assert model.prepare("g", "a", "t", time_range=(0.2, 0.8), n_test_points=4) is model
    assert model.prepared is True
    assert model.signal == Gene("g")
    assert model.shape == (6,)
    assert_array_equal(model.x_all, adata.obs["t"].to_numpy()[:, None])
    assert_array_equal(model.y_all, adata.X)
    assert_allclose(model.w_all, [0.1, 0.9, 0.5, 0.3, 0.01, 1.0])
    assert_array_equal(model.x, [[0.2], [0.5], [0.8]])
    assert_array_equal(model.y, [[3], [2], [5]])
    assert_allclose(model.w, [0.5, 0.9, 0.01])
    assert_allclose(model.x_test, [[0.2], [0.4], [0.6], [0.8]])
    model.prepare("g", "a", "t", filter_cells=2)
    assert_array_equal(model.y, [[3], [5], [6]])


def test_the_window_ends_where_smoothed_weights_are_largest():
    """20 test points smooth over one cell: the end is the largest weight among those above the median."""
    adata = tiny([0, 1, 2, 3, 4], [1, 1, 1, 1, 1], [0.1, 0.2, 0.9, 0.5, 0.4])
    assert_allclose(GAM(adata).prepare("g", "a", "t", n_test_points=20).x_test[[0, -1], 0], [0, 2])
    # 60 points smooth over three cells: 0.9, 0.5, 0.4 become (0.9 + 0.9 + 0.5) / 3 and less
    assert_allclose(GAM(adata).prepare("g", "a", "t", n_test_points=60).x_test[[0, -1], 0], [0, 2])


def test_equal_weights_use_everything_or_the_window_asked_for():
    adata = tiny(np.linspace(0, 50, 11), np.arange(11))
    model = GAM(adata).prepare("g", None, "t")
    assert_array_equal(model.w, np.ones(11))
    assert_allclose(model.x_test[[0, -1], 0], [0, 50])
    assert_allclose(model.prepare("g", None, "t", time_range=(10, 20)).x[:, 0], [10, 15, 20])
    assert len(model.prepare("g", None, "t", n_test_points=None).x_test) == 11


def test_preparing_again_forgets_what_was_predicted():
    model = GAM(cells()).prepare("g0", "a", "t").fit()
    model.predict()
    model.confidence_interval()
    model.prepare("g1", "b", "t")
    for name in ("y_test", "x_hat", "y_hat", "conf_int"):
        assert getattr(model, name) is None


def test_old_arguments_warn():
    adata = cells()
    model = GAM(adata)
    for kwargs, signal in (
        ({"data_key": "half"}, Gene("g1", layer="half")),
        ({"data_key": "X"}, Gene("g1")),
        ({"use_raw": True}, Gene("g1", use_raw=True)),
        ({"use_raw": True, "data_key": "half"}, Gene("g1", use_raw=True)),
    ):
        with pytest.warns(DeprecationWarning, match="deprecated"):
            model.prepare("g1", "a", "t", **kwargs)
        assert model.signal == signal
    with pytest.warns(DeprecationWarning, match="deprecated"):
        assert model.prepare(gene="g1", lineage="a", time_key="t").signal == Gene("g1")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        assert model.prepare("t", "a", "t", data_key="obs").signal == Obs("t")
    with pytest.raises(TypeError, match="Fatal model"):
        model.prepare(Gene("g1"), "a", "t", data_key="half")


def test_a_bare_name_does_not_warn():
    model = GAM(cells())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.prepare("g1", "a", "t")


@pytest.mark.parametrize(
    ("kwargs", "error", "says"),
    [
        ({"signal": "gg"}, KeyError, "gg"),
        ({"lineage": "d"}, KeyError, "d"),
        ({"time_key": "no"}, KeyError, "no"),
        ({"time_range": (1, 2, 3)}, ValueError, "pair"),
        ({"time_range": "0.5"}, TypeError, "time_range"),
        ({"time_range": (5.0, 6.0)}, ValueError, "No cell has"),
        ({"time_range": (0, np.nan)}, ValueError, "finite"),
        ({"filter_cells": 1e9}, ValueError, "g0"),
        ({"threshold": 2.0}, ValueError, "threshold"),
        ({"weight_threshold": (1, 2, 3)}, ValueError, "pair"),
        ({"weight_threshold": (2.0, 0.0)}, ValueError, "All weights"),
        ({"weight_threshold": -1}, ValueError, "weight_threshold"),
        ({"n_test_points": 0}, ValueError, "positive"),
        ({"lineage": 3}, TypeError, "lineage"),
        ({"signal": 3}, TypeError, "signal"),
        ({"backward": True}, KeyError, "lineages_bwd"),
    ],
)
def test_errors_say_so_and_change_nothing(kwargs, error, says):
    model = GAM(cells()).prepare("g1", "b", "t")
    before = dict(model.__dict__)
    with pytest.raises(error, match="Fatal model") as caught:
        model.prepare(**{"signal": "g0", "lineage": "a", "time_key": "t", **kwargs})
    assert says in str(caught.value)
    assert caught.value.__cause__ is not None
    assert model.__dict__ == before


def test_no_fates_are_needed_without_a_lineage():
    adata = cells()
    del adata.obsm["lineages_fwd"]
    GAM(adata).prepare("g0", None, "t")
    with pytest.raises(KeyError, match="Fatal model"):
        GAM(adata).prepare("g0", "a", "t")


def test_pseudotime_and_weights_that_are_not_finite_name_cells():
    adata = cells()
    adata.obs.loc["cell7", "t"] = np.inf
    with pytest.raises(ValueError, match="cell7"):
        GAM(adata).prepare("g0", "a", "t")
    adata = cells()
    fates = adata.obsm["lineages_fwd"].X.copy()
    fates[9, 0] = np.nan
    adata.obsm["lineages_fwd"] = fc.Lineage(fates, names=["a", "b", "c"])
    with pytest.raises(ValueError, match="cell9"):
        GAM(adata).prepare("g0", "a", "t")
