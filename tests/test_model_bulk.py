"""Many signals and lineages at once are each as alone; figures of trends and their numbers."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from ferrocyte.models import GAM, FailedModel, FittedModel, Gene, Obs, Obsm, SKLearnModel
from ferrocyte.models._bulk import fit_many
from ferrocyte.pl import plot_model, trend_frame
from numpy.testing import assert_allclose, assert_array_equal
from reference.trend_cells import cells
from sklearn.linear_model import LinearRegression

SIGNALS = ["g3", Gene("g1", layer="half"), Gene("g0", use_raw=True), Obs("t"), Obsm("points", 1), "g2"]


@pytest.fixture(autouse=True)
def close():
    yield
    plt.close("all")


def alone(model, adata, signal, lineage, **kwargs):
    one = model.copy()
    one._adata = adata
    one.prepare(signal, lineage, "t", **kwargs).fit()
    one.predict()
    one.confidence_interval()
    return one


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    "kwargs",
    [{}, {"filter_cells": 0.1, "time_range": (0, 1)}, {"n_test_points": 30, "time_range": (0.1, 0.8)}],
)
def test_many_are_each_as_alone(kwargs, sparse):
    adata = cells(sparse=sparse)
    model = GAM(adata, distribution="normal", link="identity")
    out = fit_many(model, adata, SIGNALS, ["b", "a", None], time_key="t", conf_int=True, n_jobs=2, **kwargs)
    assert list(out) == ["g3", "g1", "g0", "t", "points[1]", "g2"]
    for signal, found in zip(SIGNALS, out.values(), strict=True):
        assert list(found) == ["b", "a", None]
        for lineage, one in found.items():
            expected = alone(model, adata, signal, lineage, **kwargs)
            assert repr(one) == repr(expected)
            for name in ("x_all", "y_all", "w_all", "x", "y", "w", "x_test", "y_test", "conf_int"):
                assert_allclose(
                    getattr(one, name), getattr(expected, name), rtol=1e-9, atol=1e-11, err_msg=name
                )
    assert not model.prepared


def test_a_model_from_many_works_on():
    adata = cells()
    model = fit_many(GAM(adata), adata, ["g0"], ["a"], time_key="t")["g0"]["a"]
    assert model.conf_int is None
    assert model.confidence_interval().shape == (200, 2)
    before = model.y_test
    assert_allclose(model.fit().predict(), before)
    assert model.default_confidence_interval().shape == (200, 2)


def test_failures_are_collected():
    adata = cells()
    adata.X[4, 1], adata.X[:, 2] = np.nan, 0.0
    signals = ["g0", "g1", "g2", "nothing", Obs("group"), "g3"]
    out = fit_many(GAM(adata), adata, signals, ["a", "b"], time_key="t", conf_int=True)
    assert [bool(out[s]["a"]) for s in ("g0", "g1", "g2", "nothing", "group", "g3")] == [
        True,
        False,
        False,
        False,
        False,
        True,
    ]
    for name, error, says in (
        ("g1", RuntimeError, "'g1'.*'cell4' is NaN"),
        ("g2", RuntimeError, "'g2'"),
        ("nothing", KeyError, "nothing"),
        ("group", TypeError, "group"),
    ):
        failed = out[name]["b"]
        assert isinstance(failed, FailedModel)
        assert failed.predict() is None
        assert failed.fit() is failed
        with pytest.raises(error, match=f"(?s)Fatal model.*{says}"):
            failed.reraise()


def test_a_reason_is_told_once():
    adata = cells()
    failed = fit_many(GAM(adata), adata, ["g0"], ["a"], time_key="t", filter_cells=1e9)["g0"]["a"]
    with pytest.raises(ValueError, match="filter_cells") as found:
        failed.reraise()
    assert str(found.value).count("Fatal model") == 1


def test_a_copy_has_to_be_a_model():
    class Own(GAM):
        def copy(self):
            return None

    adata = cells()
    with pytest.raises(TypeError, match=r"`Own\.copy` to return a model"):
        fit_many(Own(adata), adata, ["g0"], ["a"], time_key="t")


def test_other_models_and_models_by_name():
    adata = cells()
    line = SKLearnModel(adata, LinearRegression())
    models = {"g0": line, "g1": {"a": line, "*": GAM(adata)}, "*": GAM(adata, n_knots=9)}
    out = fit_many(models, adata, ["g0", "g1", "g2"], ["a", "b"], time_key="t", time_range=1.0, conf_int=0.9)
    kinds = [[type(m).__name__ for m in found.values()] for found in out.values()]
    assert kinds == [["SKLearnModel"] * 2, ["SKLearnModel", "GAM"], ["GAM"] * 2]
    assert len(out["g2"]["a"].model.coef_) == 9
    assert all(m.conf_int.shape == (200, 2) for found in out.values() for m in found.values())


def test_callback_prepares():
    adata = cells()
    seen = []

    def prepare(model, signal, lineage, **kwargs):
        seen.append((signal.name, lineage))
        return model.prepare(signal, lineage, time_key="t", n_test_points=5)

    out = fit_many(GAM(adata), adata, ["g0", "g1"], ["a"], time_key="t", callback=prepare)
    assert seen == [("g0", "a"), ("g1", "a")]
    assert out["g1"]["a"].y_test.shape == (5,)


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        ({"lineages": ["d"]}, KeyError),
        ({"time_key": "no"}, KeyError),
        ({"signals": []}, ValueError),
        ({"signals": ["g0", "g0"]}, ValueError),
        ({"lineages": []}, ValueError),
        ({"foo": 1}, TypeError),
        ({"time_range": [0.5, 0.6, 0.7]}, ValueError),
        ({"conf_int": 1.5}, ValueError),
        ({"model": {}}, KeyError),
        ({"model": 3}, TypeError),
        ({"n_jobs": 0}, ValueError),
    ],
)
def test_what_is_wrong_for_all_is_raised(kwargs, error):
    adata = cells()
    options = {
        "model": GAM(adata),
        "adata": adata,
        "signals": ["g0"],
        "lineages": ["a", "b"],
        "time_key": "t",
    }
    with pytest.raises(error):
        fit_many(**{**options, **kwargs})


def test_threads_change_no_bit():
    adata = cells(genes=40)
    outs = [fit_many(GAM(adata), adata, list(adata.var_names), ["a"], time_key="t", n_jobs=n) for n in (1, 2)]
    for name in adata.var_names:
        assert_array_equal(outs[0][name]["a"].y_test, outs[1][name]["a"].y_test)


class TestPlot:
    def model(self, **kwargs):
        model = GAM(cells(), **kwargs).prepare("g0", "a", "t").fit()
        model.predict()
        model.confidence_interval()
        return model

    def test_what_is_drawn(self):
        model = self.model()
        (axes, bar) = model.plot(return_fig=True).axes
        assert_array_equal(axes.collections[0].get_offsets(), np.c_[model.x_all[:, 0], model.y_all[:, 0]])
        assert_allclose(axes.collections[0].get_array(), model.w_all)
        (line,) = axes.lines
        assert_array_equal(line.get_xydata(), np.c_[model.x_test[:, 0], model.y_test])
        assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == (
            "g0 @ a",
            "pseudotime",
            "expression",
        )
        assert bar.get_ylabel() == "fate probability"
        assert len(axes.collections) == 2
        assert model.plot() is None

    def test_parts_left_out(self):
        (axes,) = self.model().plot(hide_cells=True, conf_int=False, return_fig=True).axes
        assert len(axes.collections) == 0
        assert len(self.model().plot(cbar=False, return_fig=True).axes) == 1
        assert len(self.model().plot(same_plot=True, return_fig=True).axes) == 1

    def test_colors_of_cells(self):
        model = self.model()
        by_group = model.plot(cell_color="group", return_fig=True).axes[0]
        assert [t.get_text() for t in by_group.get_legend().get_texts()] == ["early", "late"]
        gene = model.plot(cell_color="g1", return_fig=True).axes[0].collections[0]
        assert_array_equal(gene.get_array(), model.adata[:, "g1"].X[:, 0])
        cut = model.plot(perc=(10, 90), return_fig=True).axes[0].collections[0]
        assert_allclose(cut.get_clim(), np.percentile(model.w_all, [10, 90]))
        assert len(model.plot(cell_color="red", return_fig=True).axes) == 1
        with pytest.raises(KeyError, match="nothing"):
            model.plot(cell_color="nothing")

    def test_lineage_probability(self):
        model = self.model()
        table = trend_frame(model, lineage_probability=True, lineage_probability_conf_int=0.5)
        low, high = min(model.y_all.min(), model.conf_int.min()), max(model.y_all.max(), model.conf_int.max())
        assert_allclose(table["y"], (model.y_test - low) / (high - low))
        again = GAM(cells()).prepare("g0", "a", "t")
        assert_allclose(table["probability"], again.fit(y=again.w).predict())
        assert_allclose(table["probability_upper"], again.confidence_interval(level=0.5)[:, 1])
        axes = model.plot(lineage_probability=True, return_fig=True).axes[0]
        assert len(axes.lines) == 2
        assert axes.get_ylabel() == "scaled expression"
        assert axes.get_legend() is not None
        assert model.plot(lineage_probability=True, loc=None, return_fig=True).axes[0].get_legend() is None
        assert (
            len(FittedModel.from_model(model).plot(lineage_probability=True, return_fig=True).axes[0].lines)
            == 1
        )

    @pytest.mark.parametrize("scaled", [False, True])
    def test_an_endless_interval_leaves_the_trend_to_see(self, scaled):
        """Cells from 0 to 4: the interval is drawn from -4 to 8, the numbers stay as they are."""
        x = np.linspace(0, 1, 5)
        model = FittedModel(x, x, np.c_[np.full(5, -1e40), [1, 1, 2, 1e70, np.inf]], x, 4 * x)
        axes = model.plot(lineage_probability=scaled, return_fig=True).axes[0]
        ends = axes.collections[-1].get_paths()[0].get_extents()
        assert_allclose([ends.y0, ends.y1], [0, 1] if scaled else [-4, 8])
        assert trend_frame(model)["upper"].max() == np.inf
        if scaled:
            assert_allclose(axes.lines[0].get_ydata(), (x + 4) / 12)

    def test_own_axes_and_file(self, tmp_path):
        figure, axes = plt.subplots()
        assert plot_model(self.model(), ax=axes, save=tmp_path / "trend") is figure
        assert (tmp_path / "trend.png").stat().st_size > 5000

    def test_before_predict(self):
        with pytest.raises(RuntimeError, match=r"\.predict\(\)"):
            GAM(cells()).prepare("g0", "a", "t").plot()
