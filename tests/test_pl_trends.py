"""Trends along lineages: which model fits what, what is reused, what fails, and what is drawn."""

from __future__ import annotations

import warnings

import anndata as ad
import ferrocyte as fc
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from ferrocyte._errors import (
    FerrocyteWarning,
    FitError,
    InvalidOptionError,
    InvalidTypeError,
    MissingDataError,
)
from ferrocyte.models import GAM, FailedModel, FittedModel, Gene, Obs, Obsm, SKLearnModel
from ferrocyte.pl import fit_trends, gene_trends, trends_frame
from matplotlib.colors import to_hex
from matplotlib.legend import Legend
from numpy.testing import assert_allclose, assert_array_equal

N = 300
TIME = np.linspace(0, 1, N)
CURVES = {"up": 1 + 4 * TIME, "down": 5 - 4 * TIME, "bump": 1 + 3 * np.exp(-(((TIME - 0.5) / 0.15) ** 2))}
OFF = {"show_progress_bar": False}


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def adata():
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.05, size=(N, 3))
    out = ad.AnnData(np.column_stack(list(CURVES.values())) + noise)
    out.var_names = list(CURVES)
    out.var["symbol"] = ["U", "D", "B"]
    out.layers["twice"] = 2 * out.X
    out.raw = out[:, ["up"]].copy()
    out.obs["t"] = TIME
    out.obs["score"] = TIME**2
    out.obs["kind"] = pd.Categorical(np.where(TIME < 0.5, "early", "late"))
    out.obsm["X_pca"] = np.column_stack([TIME, 1 - TIME])
    fate = 0.5 + 0.4 * TIME * np.where(np.arange(N) % 2, 1, -1)  # two branches of the same cells
    out.obsm["lineages_fwd"] = fc.Lineage(
        np.column_stack([fate, 1 - fate]), names=["A", "B"], colors=["#aa0000", "#0000aa"]
    )
    return out


@pytest.fixture
def gam(adata):
    return GAM(adata, n_knots=12, distribution="normal", link="identity", spline_kwargs={"lam": 1e-3})


def test_known_curves_are_found(adata, gam):
    models = fit_trends(adata, gam, list(CURVES), "t", time_range=(0, 1), **OFF)
    table = trends_frame(models)
    assert table.columns.tolist() == ["signal", "lineage", "x", "y", "lower", "upper"]
    assert len(table) == 3 * 2 * 200
    for (signal, _), part in table.groupby(["signal", "lineage"]):
        truth = np.interp(part["x"], TIME, CURVES[signal])
        assert_allclose(part["y"], truth, atol=0.1)
        assert (part["lower"] < part["y"]).all()
        assert (part["y"] < part["upper"]).all()
    plain = trends_frame(fit_trends(adata, gam, "up", "t", [None], conf_int=False, **OFF))
    assert plain["lower"].isna().all()
    assert plain["lineage"].isna().all()


def test_models_by_signal_and_lineage(adata, gam):
    """Each pair gets the model that is given for it; "*" stands for the others."""
    other = GAM(adata, n_knots=15, distribution="normal", link="identity")
    spec = {"up": {"A": other, "*": gam}, "*": gam}
    models = fit_trends(adata, spec, ["up", "down"], "t", **OFF)
    splines = {(s, k): m.model.settings.n_splines for s, row in models.items() for k, m in row.items()}
    assert (
        splines["up", "A"] == splines["up", "B"] + 3 == splines["down", "A"] + 3 == splines["down", "B"] + 3
    )
    assert gam.y_test is None, "what is given is copied"
    for wrong in ({"up": gam}, {"up": gam, "down": {"A": gam}}):
        with pytest.raises(InvalidOptionError, match="to be complete"):
            fit_trends(adata, wrong, ["up", "down"], "t", **OFF)
    for wrong in (1, {"*": 1}, {"*": {"*": 1}}, {"*": {"*": {"*": gam}}}):
        with pytest.raises(InvalidTypeError, match="Expected `model` to be a model"):
            fit_trends(adata, wrong, ["up"], "t", **OFF)


def test_what_is_fitted_is_not_fitted_again(adata, gam):
    first = fit_trends(adata, gam, ["up", "down"], "t", **OFF)
    adata.X = adata.X + 100.0  # what would be seen by another fit
    again = fit_trends(adata, {**first, "bump": gam}, ["up", "bump", "down"], "t", **OFF)
    assert list(again) == ["up", "bump", "down"]
    for signal in ("up", "down"):
        for lineage in "AB":
            old, new = first[signal][lineage], again[signal][lineage]
            assert isinstance(new, FittedModel)
            assert_array_equal(new.x_test, old.x_test)
            assert_array_equal(new.y_test, old.y_test)
            assert_array_equal(new.conf_int, old.conf_int)
    assert again["bump"]["A"].y_test.mean() > 100
    third = fit_trends(adata, again, ["down"], "t", **OFF)
    assert_array_equal(third["down"]["B"].y_test, first["down"]["B"].y_test)
    # A model for several fits is not taken as it is: it would be the trend of another gene or lineage.
    for model in (first["up"]["A"], {"*": first["up"]["A"]}):
        assert fit_trends(adata, model, "up", "t", **OFF)["up"]["B"].y_test.mean() > 100


def test_signals_of_all_kinds(adata, gam):
    signals = [Gene("up", layer="twice"), Obs("score"), Obsm("X_pca", 1), "down"]
    models = fit_trends(adata, gam, signals, "t", "A", time_range=(0, 1), **OFF)
    assert list(models) == ["up", "score", "X_pca[1]", "down"]
    x = models["up"]["A"].x_test[:, 0]
    assert_allclose(models["up"]["A"].y_test, 2 + 8 * x, atol=0.1)
    assert_allclose(models["score"]["A"].y_test, x**2, atol=0.01)
    assert_allclose(models["X_pca[1]"]["A"].y_test, 1 - x, atol=0.01)
    for signals in (["up", Gene("up", layer="twice")], [Gene("t"), Obs("t")]):
        with pytest.raises(InvalidOptionError, match="different names"):
            fit_trends(adata, gam, signals, "t", **OFF)
    assert list(fit_trends(adata, gam, ["up", "up"], "t", **OFF)) == ["up"]


def test_gene_symbols(adata, gam):
    by_symbol = fit_trends(adata, gam, ["U", "B"], "t", gene_symbols="symbol", **OFF)
    by_name = fit_trends(adata, gam, ["up", "bump"], "t", **OFF)
    assert list(by_symbol) == ["U", "B"]
    assert_array_equal(by_symbol["B"]["A"].y_test, by_name["bump"]["A"].y_test)
    with pytest.raises(MissingDataError, match="symbol"):
        fit_trends(adata, gam, ["V"], "t", gene_symbols="symbol")
    with pytest.raises(MissingDataError, match="no_column"):
        fit_trends(adata, gam, ["U"], "t", gene_symbols="no_column")
    adata.var["symbol"] = ["U", "U", "B"]
    with pytest.raises(InvalidOptionError, match="found 2"):
        fit_trends(adata, gam, ["U"], "t", gene_symbols="symbol")


def test_deprecated_forms(adata, gam):
    with pytest.warns(DeprecationWarning, match="`genes` will be deprecated"):
        models = gene_trends(adata, gam, genes=["up"], time_key="t", return_models=True, **OFF)
    assert list(models) == ["up"]
    with pytest.warns(DeprecationWarning, match="`data_key`/`use_raw` will be deprecated") as seen:
        models = gene_trends(adata, gam, "up", "t", data_key="twice", return_models=True, **OFF)
    assert seen[0].filename == __file__
    assert models["up"]["A"].signal == Gene("up", layer="twice")
    with pytest.warns(DeprecationWarning, match="use_raw"):
        models = gene_trends(adata, gam, "up", "t", use_raw=True, return_models=True, **OFF)
    assert models["up"]["A"].signal == Gene("up", use_raw=True)
    with pytest.warns(DeprecationWarning, match="use_raw"):
        models = fit_trends(adata, gam, "score", "t", data_key="obs", **OFF)
    assert models["score"]["A"].signal == Obs("score")
    with pytest.raises(InvalidTypeError, match="can not be combined"):
        gene_trends(adata, gam, Gene("up"), "t", data_key="twice")
    with pytest.raises(InvalidTypeError, match="found both"):
        gene_trends(adata, gam, "up", "t", genes="up")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gene_trends(adata, gam, Gene("up", layer="twice"), "t", **OFF)


def test_callbacks(adata, gam):
    calls = []

    def prepare(model, signal, lineage, **kwargs):
        calls.append((signal.name, lineage))
        return model.prepare(signal, lineage=lineage, **{**kwargs, "time_range": (0.2, 0.8)})

    models = fit_trends(adata, gam, ["up", "down"], "t", callback=prepare, **OFF)
    assert calls[0] == ("up", "A"), "tried out first"
    assert sorted(calls[1:]) == [("down", "A"), ("down", "B"), ("up", "A"), ("up", "B")]
    for row in models.values():
        for model in row.values():
            assert model.x_test[[0, -1], 0] == pytest.approx([0.2, 0.8])

    def by_gene(model, gene, lineage, time_range, **kwargs):
        return model.prepare(gene, lineage=lineage, time_range=(0, 0.5), **kwargs)

    spec = {"up": {"A": by_gene, "*": prepare}, "*": prepare}
    models = fit_trends(adata, gam, ["up", "down"], "t", callback=spec, **OFF)
    assert models["up"]["A"].x_test[-1, 0] == pytest.approx(0.5)
    assert models["up"]["B"].x_test[-1, 0] == pytest.approx(0.8)
    with pytest.warns(DeprecationWarning, match="data_key"):  # in the way of the past, as the callback has it
        models = fit_trends(adata, gam, Gene("up", layer="twice"), "t", "A", callback=by_gene, **OFF)
    assert models["up"]["A"].y_all[-1, 0] == adata.layers["twice"][-1, 0]
    with pytest.raises(InvalidTypeError, match="signal"):
        fit_trends(adata, gam, Obs("score"), "t", callback=by_gene, **OFF)
    with pytest.raises(InvalidOptionError, match="to be complete"):
        fit_trends(adata, gam, "up", "t", callback={"down": prepare}, **OFF)
    with pytest.raises(InvalidTypeError, match="a function"):
        fit_trends(adata, gam, "up", "t", callback="prepare", **OFF)


def test_callbacks_that_do_not_do_their_work(adata, gam):
    wrong = {
        "to return": lambda model, signal, **kwargs: model.copy().prepare(signal, **kwargs),
        "found `NoneType`": lambda model, signal, **kwargs: None,
        "to prepare the model of": lambda model, signal, **kwargs: model,
        "found 'down'": lambda model, signal, **kwargs: model.prepare("down", **kwargs),
        "in 'B'": lambda model, signal, lineage, **kwargs: model.prepare(signal, lineage="B", **kwargs),
    }
    for says, callback in wrong.items():
        with pytest.raises(FitError, match=says) as caught:
            fit_trends(adata, gam, "up", "t", "A", callback=callback, **OFF)
        assert isinstance(caught.value, RuntimeError)


def test_failures(adata, gam):
    with pytest.raises(KeyError, match="Fatal model"):
        fit_trends(adata, gam, ["nothing", "nowhere"], "t", **OFF)
    with pytest.warns(FerrocyteWarning, match=r"2 of 4 models failed: 'nothing' in 'A'") as seen:
        models = gene_trends(adata, gam, ["up", "nothing"], "t", return_models=True, **OFF)
    assert seen[0].filename == __file__
    failed = models["nothing"]["A"]
    assert isinstance(failed, FailedModel)
    assert not failed
    assert failed.predict() is None, "it does nothing"
    with pytest.raises(KeyError, match="Fatal model"):
        failed.reraise()
    assert set(trends_frame(models)["signal"]) == {"up"}
    adata.X[5, 1] = np.nan
    with pytest.warns(FerrocyteWarning, match="'down'"):
        models = fit_trends(adata, gam, ["up", "down"], "t", **OFF)
    assert models["up"]["A"]
    assert not models["down"]["A"]
    # What failed comes back as it is, and does not stop the others.
    with pytest.warns(FerrocyteWarning, match="2 of 4"):
        again = fit_trends(adata, models, ["up", "down"], "t", **OFF)
    assert not again["down"]["A"]


def test_backward_views_and_unknown_keywords(adata, gam):
    forward = fit_trends(adata, gam, "up", "t", **OFF)
    adata.obsm["lineages_bwd"] = adata.obsm.pop("lineages_fwd")
    backward = fit_trends(adata, gam, "up", "t", backward=True, **OFF)
    assert_array_equal(backward["up"]["B"].y_test, forward["up"]["B"].y_test)
    part = adata[N // 2 :]
    assert fit_trends(part, gam, "up", "t", backward=True, **OFF)["up"]["A"].shape == (N // 2,)
    gene_trends(part, gam, "up", "t", backward=True, cell_color="kind", **OFF)
    assert part.is_view
    for place, says in (
        ("center center out", "Invalid legend position"),
        ("upper left up", "Invalid modifier"),
    ):
        with pytest.raises(InvalidOptionError, match=says):
            gene_trends(adata, gam, "up", "t", backward=True, legend_loc=place, **OFF)
    with pytest.raises(InvalidTypeError, match="n_knots"):
        fit_trends(adata, gam, "up", "t", backward=True, n_knots=3, **OFF)


@pytest.mark.parametrize("sparse", [False, True])
def test_values_of_reused_models_are_read_together(adata, gam, sparse):
    """What comes back holds the values that it was fitted to, of genes in any form and of others."""
    if sparse:
        adata.X = sp.csr_matrix(adata.X)
    signals = ["up", Obs("score"), "bump", Gene("down", layer="twice")]
    first = fit_trends(adata, gam, signals, "t", **OFF)
    again = fit_trends(adata, first, signals, "t", **OFF)
    for signal in signals:
        signal = Gene(signal) if isinstance(signal, str) else signal
        for lineage in "AB":
            assert_array_equal(again[signal.name][lineage].y_all[:, 0], signal.fetch(adata))
            assert_array_equal(
                first[signal.name][lineage].y[:, 0], signal.fetch(adata)[: len(first[signal.name][lineage].y)]
            )


def test_other_models(adata):
    from sklearn.svm import SVR

    models = fit_trends(adata, SKLearnModel(adata, SVR()), ["up"], "t", time_range=(0, 1), **OFF)
    assert_allclose(models["up"]["A"].y_test, 1 + 4 * models["up"]["A"].x_test[:, 0], atol=0.3)
    assert models["up"]["A"].conf_int.shape == (200, 2)


def test_windows_by_lineage(adata, gam):
    models = fit_trends(adata, gam, "up", "t", time_range=[(0, 0.5), 0.7], **OFF)
    assert models["up"]["A"].x_test[-1, 0] == pytest.approx(0.5)
    assert models["up"]["B"].x_test[-1, 0] == pytest.approx(0.7)
    with pytest.raises(InvalidOptionError, match="2 entries"):
        fit_trends(adata, gam, "up", "t", time_range=[0.5], **OFF)
    for wrong in (["A", "A"], []):
        with pytest.raises(InvalidOptionError, match="different lineages"):
            fit_trends(adata, gam, "up", "t", wrong, **OFF)
    with pytest.raises(MissingDataError, match="Invalid lineage name 'C'"):
        fit_trends(adata, gam, "up", "t", "C", **OFF)
    with pytest.raises(InvalidTypeError, match="time_key"):
        gene_trends(adata, gam, "up")
    with pytest.raises(InvalidOptionError, match="at least one signal"):
        gene_trends(adata, gam, time_key="t")


# Figures --------------------------------------------------------------------------------------------


def draw(adata, model, signals, **kwargs):
    return gene_trends(adata, model, signals, "t", return_figure=True, **OFF, **kwargs)


def lines(ax):
    return {to_hex(line.get_color()): line for line in ax.lines}


def test_a_panel_for_each_pair(adata, gam):
    models = fit_trends(adata, gam, ["up", "down"], "t", time_range=(0, 1), **OFF)
    figure = draw(adata, models, ["up", "down"], cbar=False)
    axes = np.array(figure.axes).reshape(2, 2)
    assert [ax.get_title() for ax in axes[0]] == ["A", "B"]
    assert [ax.get_title() for ax in axes[1]] == ["", ""]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["up", "down"]
    assert [ax.get_ylabel() for ax in axes[:, 1]] == ["", ""]
    assert [ax.get_xlabel() for ax in axes.ravel()] == ["", "", "t", "t"]
    line = lines(axes[1, 1])["#0000aa"]
    assert_array_equal(line.get_ydata(), models["down"]["B"].y_test)
    cells, band = axes[0, 0].collections
    assert len(cells.get_offsets()) == N
    assert_allclose(cells.get_array(), adata.obsm["lineages_fwd"].X[:, 0])
    assert band.get_paths()[0].vertices[:, 1].max() == models["up"]["A"].conf_int.max()
    with_bars = draw(adata, models, ["up", "down"])
    assert len(with_bars.axes) == 4 + 2, "one colour bar per row"
    turned = draw(adata, models, ["up", "down"], transpose=True, cbar=False, hide_cells=True)
    axes = np.array(turned.axes).reshape(2, 2)
    assert [ax.get_title() for ax in axes[0]] == ["up", "down"]
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["A", "B"]
    titled = draw(adata, models, "up", gene_as_title=True, cbar=False)
    assert [ax.get_title() for ax in titled.axes] == ["up @ A", "up @ B"]
    assert titled.axes[0].get_ylabel() == "expression"


def test_lineages_in_the_same_panel(adata, gam):
    models = fit_trends(adata, gam, ["up", "down", "score"][:2], "t", **OFF)
    figure = draw(adata, models, ["up", "down"], same_plot=True, suptitle="all", figsize=(5, 2))
    assert [ax.get_title() for ax in figure.axes] == ["up", "down"]
    assert {ax.get_ylabel() for ax in figure.axes} == {"expression"}
    assert set(lines(figure.axes[0])) == {"#aa0000", "#0000aa"}
    assert [t.get_text() for t in figure.axes[0].get_legend().get_texts()] == ["A", "B"]
    assert figure.get_suptitle() == "all"
    assert figure.get_size_inches().tolist() == [5, 2]
    points = [c for c in figure.axes[0].collections if len(c.get_offsets()) == N]
    assert len(points) == 1, "cells once, not once per lineage"
    mixed = draw(adata, gam, ["up", Obs("score")], same_plot=True, legend_loc=None, ncols=1)
    assert {ax.get_ylabel() for ax in mixed.axes} == {"value"}
    assert all(ax.get_legend() is None for ax in mixed.axes)
    colored = draw(adata, models, "up", same_plot=True, lineage_cmap=["red", "lime"], hide_cells=True)
    assert set(lines(colored.axes[0])) == {"#ff0000", "#00ff00"}
    turned = draw(adata, models, ["up", "down"], same_plot=True, transpose=True)
    assert [ax.get_title() for ax in turned.axes] == ["A", "B"]
    assert [t.get_text() for t in turned.axes[1].get_legend().get_texts()] == ["up", "down"]


def test_without_lineages(adata, gam):
    del adata.obsm["lineages_fwd"]
    figure = draw(adata, gam, ["up", "down"], lineages=[None])
    assert len(figure.axes) == 2
    assert [ax.get_ylabel() for ax in figure.axes] == ["up", "down"]
    with pytest.raises(MissingDataError, match="lineages_fwd"):
        draw(adata, gam, "up")


def test_colors_of_cells(adata, gam):
    models = fit_trends(adata, gam, ["up", "down"], "t", **OFF)
    named = draw(adata, models, ["up", "down"], cell_color="kind")
    legends = [ax.get_legend() is not None for ax in named.axes]
    assert legends == [False, True, False, False], "once, in the upper right panel"
    together = draw(adata, gam, ["up", "down", "bump"], cell_color="kind", same_plot=True)
    legends = [[c for c in ax.get_children() if isinstance(c, Legend)] for ax in together.axes]
    assert [len(found) for found in legends] == [1, 2, 1], "of cells: once, beside the first row"
    (of_cells,) = (c for c in legends[1] if c.get_title().get_text() == "kind")
    together.draw_without_rendering()
    place, ax = of_cells.get_window_extent(), together.axes[1]
    assert ax.get_window_extent().x1 < place.x0 < place.x1 < together.bbox.x1
    # A gene colours reused trends, too, though these do not know their data.
    gene = draw(adata, models, ["up"], cell_color="bump")
    cells = gene.axes[0].collections[0]
    assert_allclose(cells.get_array(), adata.X[:, 2])
    both = draw(adata, models, ["up"], cbar=False)
    assert len({ax.collections[0].get_clim() for ax in both.axes}) == 1, (
        "a colour means the same in all panels"
    )
    hidden = draw(adata, models, ["up"], hide_cells=True, conf_int=False)
    assert not any(len(ax.collections) for ax in hidden.axes)


def test_colors_of_trends_and_cuts_of_cells_by_lineage(adata, gam):
    figure = draw(adata, gam, "up", lineage_cmap=mpl.colormaps["Set2"], perc=[(0, 50), (20, 100)])
    for i, cut in enumerate([(0, 50), (20, 100)]):
        assert list(lines(figure.axes[i])) == [to_hex(mpl.colormaps["Set2"].colors[i])]
        cells = next(c for c in figure.axes[i].collections if c.get_array() is not None)
        assert_allclose(cells.get_clim(), np.percentile(cells.get_array(), cut))
    for wrong in ([(0, 50)], [(50, 0), (0, 50)], (0, 101), 5):
        with pytest.raises(ValueError, match="`perc`"):
            draw(adata, gam, "up", perc=wrong)


def test_a_pseudotime_that_is_not_there_is_fatal(adata, gam):
    with pytest.raises(KeyError, match=r"Fatal model.*`adata.obs\['nothing'\]`"):
        gene_trends(adata, gam, "up", "nothing", **OFF)


def test_failed_fits_leave_their_panel_empty(adata, gam):
    bad = GAM(adata, n_knots=6, distribution="binomial", link="logit")  # 1 + 4 t is no probability
    with pytest.warns(FerrocyteWarning, match="1 of 4"):
        figure = draw(adata, {"up": {"A": bad, "*": gam}, "*": gam}, ["up", "down"], cbar=False)
    assert [t.get_text() for t in figure.axes[0].texts] == ["no fit"]
    with pytest.warns(FerrocyteWarning, match="2 of 4"):
        figure = draw(adata, {"up": bad, "*": gam}, ["up", "down"], cbar=False)
    assert len(figure.axes) == 2, "a signal without any fit is left out"


def test_what_is_returned(adata, gam, tmp_path):
    assert gene_trends(adata, gam, "up", "t", save=tmp_path / "x", **OFF) is None
    assert (tmp_path / "x.png").stat().st_size > 1000
    models, figure = gene_trends(adata, gam, "up", "t", return_models=True, return_figure=True, **OFF)
    assert set(models["up"]) == {"A", "B"}
    assert len(figure.axes) == 3
    probable = draw(adata, gam, "up", plot_kwargs={"lineage_probability": True}, cbar=False)
    assert len(probable.axes[0].lines) == 2


# Real cells -----------------------------------------------------------------------------------------


def test_markers_of_the_bone_marrow():
    """Erythroid genes rise along Ery alone, MPO along Mono, CD34 falls everywhere (Setty et al. 2019)."""
    adata = fc.datasets.bone_marrow()
    fates = np.asarray(adata.obsm["palantir_fate_probabilities"], dtype=float)
    names = list(adata.uns["palantir_fate_names"])
    adata.obsm["lineages_fwd"] = fc.Lineage(fates / fates.sum(axis=1, keepdims=True), names=names)
    genes = ["GATA1", "KLF1", "MPO", "CD34"]
    signals = [Gene(g, layer="log_normalized") for g in genes]
    gam = GAM(adata, distribution="normal", link="identity")
    models = fit_trends(adata, gam, signals, "palantir_pseudotime", conf_int=False, time_range=(0, 1), **OFF)
    ends = trends_frame(models).groupby(["signal", "lineage"])["y"].agg(["first", "last"])
    for gene in ("GATA1", "KLF1"):
        assert ends.loc[(gene, "Ery"), "last"] > ends.loc[(gene, "Ery"), "first"] + 0.3
        assert ends.loc[(gene, "Mono"), "last"] < 0.1
    assert ends.loc[("MPO", "Mono"), "last"] > ends.loc[("MPO", "Mono"), "first"] + 2
    assert ends.loc[("MPO", "Ery"), "last"] < 0.5
    for lineage in names:
        assert ends.loc[("CD34", lineage), "last"] < ends.loc[("CD34", lineage), "first"] / 2
