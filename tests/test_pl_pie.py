"""Pies of lineages: the numbers, then what is drawn of them."""

from __future__ import annotations

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from ferrocyte._errors import InvalidDataError, InvalidOptionError, InvalidTypeError
from ferrocyte.lineage import Lineage
from ferrocyte.pl.pie import pie_values, plot_pie
from matplotlib.colors import to_hex
from numpy.testing import assert_allclose

NAMES = ["Alpha", "Beta", "Epsilon"]
COLORS = ["#1f77b4", "#ffff00", "#000080"]


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def x():
    values = np.array([[0.5, 0.25, 0.25], [0.75, 0.25, 0.0], [0.25, 0.25, 0.5], [0.5, 0.25, 0.25]])
    return Lineage(values, names=NAMES, colors=COLORS)


def texts(ax):
    return [t.get_text() for t in ax.texts if t.get_text()]


@pytest.mark.parametrize("reduction", [np.mean, np.sum, np.max, np.median, lambda v, axis: v.std(axis=axis)])
def test_values(x, reduction):
    table = pie_values(x, reduction)
    assert table.index.tolist() == NAMES
    assert table["color"].tolist() == COLORS
    assert_allclose(table["value"], reduction(x.X, axis=0))
    assert_allclose(pie_values(x.T, reduction)["value"], table["value"])


def test_slices(x):
    """Means 1/2, 1/4, 1/4: half a circle and two quarters."""
    ax = x.plot_pie(np.mean, show=False)
    assert_allclose([abs(w.theta2 - w.theta1) for w in ax.patches], [180, 90, 90], atol=1e-4)
    assert [to_hex(w.get_facecolor()) for w in ax.patches] == COLORS
    assert sorted(texts(ax)) == ["0.2500", "0.2500", "0.5000", *NAMES]
    assert ax.get_title() == "mean"
    assert ax.get_legend() is None


def test_numbers_can_be_read_on_their_slices(x):
    ax = x.plot_pie(np.mean)
    numbers = [t for t in ax.texts if t.get_text().startswith("0.")]
    assert [to_hex(t.get_color()) for t in numbers] == ["#ffffff", "#000000", "#ffffff"]


def test_values_are_those_of_the_reduction_not_shares(x):
    ax = x.plot_pie(np.max)
    assert sorted(texts(ax)) == ["0.2500", "0.5000", "0.7500", *NAMES]
    assert ax.get_title() == "max"


def test_transposed(x):
    assert texts(x.T.plot_pie(np.mean)) == texts(x.plot_pie(np.mean))


def test_autopct_and_title(x):
    assert texts(x.plot_pie(np.mean, autopct=None)) == NAMES
    assert "50.0" in texts(x.plot_pie(np.mean, autopct="%.1f"))
    assert x.plot_pie(np.mean, title="fates").get_title() == "fates"
    assert x.plot_pie(lambda v, axis: v.mean(axis=axis)).get_title() == "<lambda>"


@pytest.mark.parametrize("loc", ["best", "upper right out", "lower left", "center right out"])
def test_legend(x, loc):
    ax = x.plot_pie(np.mean, legend_loc=loc, legend_kwargs={"title": "fate"})
    legend = ax.get_legend()
    assert [t.get_text() for t in legend.get_texts()] == NAMES
    assert [to_hex(h.get_facecolor()) for h in legend.legend_handles] == COLORS
    assert legend.get_title().get_text() == "fate"
    assert texts(ax) == ["0.5000", "0.2500", "0.2500"]


@pytest.mark.parametrize("loc", [None, "none"])
def test_no_names(x, loc):
    ax = x.plot_pie(np.mean, legend_loc=loc)
    assert ax.get_legend() is None
    assert texts(ax) == ["0.5000", "0.2500", "0.2500"]


def test_given_axes_and_keywords(x):
    _, axes = plt.subplots(1, 2)
    ax = x.plot_pie(np.mean, ax=axes[1], explode=(0.1, 0, 0), radius=0.5)
    assert ax is axes[1]
    assert ax.patches[0].r == 0.5
    assert not axes[0].patches
    assert plot_pie(pie_values(x, np.mean), ax=axes[0]) is axes[0]
    assert axes[0].get_title() == ""


def test_save(x, tmp_path):
    x.plot_pie(np.mean, save=tmp_path / "deep" / "pie", dpi=50, figsize=(3, 3))
    image = plt.imread(tmp_path / "deep" / "pie.png")
    assert image.shape[0] < 160
    assert image[..., 3].min() == 0  # transparent
    x.plot_pie(np.mean, save=tmp_path / "pie.svg")
    assert (tmp_path / "pie.svg").stat().st_size > 1000


def test_errors(x):
    with pytest.raises(ValueError, match="only 1 lineage"):
        x["Alpha"].plot_pie(np.mean)
    with pytest.raises(InvalidOptionError, match="Invalid legend position"):
        x.plot_pie(np.mean, legend_loc="nowhere")
    with pytest.raises(InvalidTypeError, match="to be a function"):
        x.plot_pie("mean")
    with pytest.raises(InvalidDataError, match="one per lineage"):
        x.plot_pie(lambda v, axis: v)
    with pytest.raises(InvalidDataError, match="not negative"):
        x.plot_pie(lambda v, axis: -v.mean(axis=axis))
    with pytest.raises(InvalidDataError, match="not all zero"):
        x.plot_pie(lambda v, axis: 0 * v.mean(axis=axis))
    assert not plt.get_fignums()
