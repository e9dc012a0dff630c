"""Log odds of two fates over experimental time."""

from __future__ import annotations

import anndata as ad
import ferrocyte as fc
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from ferrocyte._errors import InvalidDataError, InvalidOptionError, InvalidTypeError, MissingDataError
from ferrocyte.pl import log_odds, log_odds_frame
from matplotlib.colors import to_rgba
from numpy.testing import assert_allclose, assert_array_equal

FATES = np.array([[0.5, 0.25, 0.25], [0.8, 0.2, 0.0], [0.1, 0.6, 0.3], [1.0, 0.0, 0.0], [0.25, 0.5, 0.25]])


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def adata():
    out = ad.AnnData(np.arange(10.0).reshape(5, 2))
    out.var_names = ["g", "h"]
    out.obs["exp_time"] = pd.Categorical(["2", "2", "10", "10", "4"])
    out.obs["day"] = [2.0, 2, 10, 10, 4]
    out.obs["kind"] = pd.Categorical(list("aabba"))
    out.obsm["lineages_fwd"] = fc.Lineage(FATES, names=["A", "B", "C"], colors=["red", "green", "blue"])
    return out


def test_on_paper(adata):
    """p = (1/2, 1/4): ln 2; (4/5, 1/5): ln 4; (1/10, 3/5): -ln 6; (1, 0): left out; (1/4, 1/2): -ln 2."""
    table = log_odds_frame(adata, "A", "B")
    assert_allclose(table["log_odds"], np.log([2, 4, 1 / 6, 1 / 2]), atol=1e-11)
    assert table.index.tolist() == ["0", "1", "2", "4"]
    assert_array_equal(table["time"], [2, 2, 10, 4])
    # Without a second one: against all the rest, which for the fourth cell is nothing.
    rest = log_odds_frame(adata, "A")
    assert_allclose(rest["log_odds"], np.log([1, 4, 1 / 9, 1 / 3]), atol=1e-11)
    # Joined lineages count together.
    assert_allclose(log_odds_frame(adata, "A", "B, C")["log_odds"], rest["log_odds"])
    assert_array_equal(log_odds_frame(adata, "A", time_key="day")["time"], [2, 2, 10, 4])


def test_points(adata):
    """Times stand side by side in numerical order, though "10" comes before "2" among names."""
    ax = log_odds(adata, "A", "B", jitter=False, show=False)
    (points,) = ax.collections
    assert_allclose(points.get_offsets(), np.column_stack([[0, 0, 2, 1], np.log([2, 4, 1 / 6, 1 / 2])]))
    assert [t.get_text() for t in ax.get_xticklabels()] == ["2", "4", "10"]
    assert ax.get_xlabel() == "exp_time"
    assert "A" in ax.get_ylabel()
    assert "B" in ax.get_ylabel()
    ax = log_odds(adata, "A", jitter=False, xticks_step_size=2, show=False)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["2", "10"]
    assert not len(log_odds(adata, "A", xticks_step_size=None, show=False).get_xticks())


def test_jitter_is_repeated_by_its_seed(adata):
    def x(**kwargs):
        return log_odds(adata, "A", "B", show=False, **kwargs).collections[0].get_offsets()[:, 0]

    assert_array_equal(x(seed=3), x(seed=3))
    assert_array_equal(x(), x())
    assert not np.allclose(x(seed=3), x(seed=4))
    away = np.abs(x(seed=3, jitter=0.1) - [0, 0, 2, 1])
    assert (away <= 0.1).all()
    assert (away > 0).all()


def test_outlines(adata):
    (points,) = log_odds(adata, "A", "B", edgecolor="red", linewidth=5, show=False).collections
    assert_array_equal(points.get_edgecolor()[:, :3], [[1, 0, 0]])
    assert_array_equal(points.get_linewidth(), [5])


def test_threshold(adata):
    """Gene g is 0, 2, 4, 8 in the cells that are drawn: above 3 are the last two, twice as wide, in red."""
    ax = log_odds(adata, "A", "B", keys="g", threshold=3, size=3, jitter=False, show=False)
    below, above = ax.collections
    assert len(below.get_offsets()) == len(above.get_offsets()) == 2
    assert_array_equal(np.asarray(above.get_offsets())[:, 0], [2, 1])
    assert_allclose(above.get_sizes()[0], 4 * below.get_sizes()[0])
    assert_allclose(above.get_facecolor()[0], to_rgba("red", 0.8))


def test_keys(adata):
    axes = log_odds(adata, "A", "B", keys=["kind", "h", "h"], threshold=[0, 5], show=False)
    assert isinstance(axes, np.ndarray)
    assert [ax.get_title() for ax in axes] == ["kind", "h"]
    assert [t.get_text() for t in axes[0].get_legend().get_texts()] == ["a", "b"]
    for limits in ([1.0], [1.0, 2.0, 3.0]):
        with pytest.raises(InvalidOptionError, match="2 entries"):
            log_odds(adata, "A", keys=["g", "h"], threshold=limits)
    plain = log_odds(adata, "A", keys="g", show=False)
    assert len(plain.figure.axes) == 2, "numbers have a colour bar"
    bare = log_odds(adata, "A", keys="g", show=False, colorbar=False, vmin=0, vmax=100, marker="s")
    assert len(bare.figure.axes) == 1
    assert [c.get_clim() for c in bare.collections if c.get_array() is not None][-1] == (0, 100)
    with pytest.raises(InvalidTypeError, match="no_word"):
        log_odds(adata, "A", no_word=1)


def test_saved(adata, tmp_path):
    log_odds(adata, "A", save=tmp_path / "new" / "odds")
    assert (tmp_path / "new" / "odds.png").stat().st_size > 1000


def test_what_can_not_be_drawn(adata):
    with pytest.raises(MissingDataError, match="Z"):
        log_odds(adata, "Z")
    with pytest.raises(MissingDataError, match="no_time"):
        log_odds(adata, "A", time_key="no_time")
    with pytest.raises(InvalidTypeError, match="Unable to convert"):
        log_odds(adata, "A", time_key="kind")
    with pytest.raises(MissingDataError, match="no_key"):
        log_odds(adata, "A", keys="no_key")
    with pytest.raises(InvalidOptionError, match="xticks_step_size"):
        log_odds(adata, "A", xticks_step_size=0)
    adata.obs.loc["0", "day"] = np.nan
    with pytest.raises(InvalidDataError, match="finite"):
        log_odds(adata, "A", time_key="day")
    adata.obsm["lineages_fwd"] = fc.Lineage(np.eye(2)[[0, 0, 1, 1, 0]], names=["A", "B"])
    with pytest.raises(InvalidDataError, match="found none"):
        log_odds(adata, "A", "B")
    del adata.obsm["lineages_fwd"]
    with pytest.raises(MissingDataError, match="lineages_fwd"):
        log_odds(adata, "A")
    assert not plt.get_fignums()
