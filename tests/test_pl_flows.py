"""Flows between all clusters of a time course."""

from __future__ import annotations

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from ferrocyte._errors import InvalidOptionError, InvalidTypeError, MissingDataError
from ferrocyte.pl import compute_flow, compute_flows, plot_flow
from matplotlib.colors import to_rgba
from matplotlib.patches import Rectangle
from numpy.testing import assert_allclose


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def obs():
    """Day 0: a a a b; day 1: a b b b."""
    return pd.DataFrame(
        {"day": [0, 0, 0, 0, 1, 1, 1, 1], "kind": pd.Categorical(list("aaababbb"))},
        index=[f"c{i}" for i in range(8)],
    )


@pytest.fixture
def matrix():
    """The three a of day 0 stay a (once) or become b (twice); the b of day 0 stays b."""
    out = np.zeros((8, 8))
    out[0, 4] = out[1, 5] = out[2, 6] = out[3, 7] = 1.0
    out[np.arange(4, 8), np.arange(4, 8)] = 1.0
    return out


def test_on_paper(obs, matrix):
    """a (3/4 of the cells): 1/3 stays, 2/3 goes to b; b (1/4) stays.

    Starts are 1/4, 1/2 and 1/4 wide. The a of day 1 (1/4) comes from a; its b (3/4) is 2/3 from a and 1/3
    from b.
    """
    flows = compute_flows(matrix, obs, "kind", "day")
    edges = flows.edges
    assert edges[["source", "target"]].to_numpy().tolist() == [["a", "a"], ["a", "b"], ["b", "b"]]
    assert_allclose(edges["flow"], [1 / 3, 2 / 3, 1])
    assert_allclose(edges["width_start"], [1 / 4, 1 / 2, 1 / 4])
    assert_allclose(edges["width_end"], [1 / 4, 1 / 2, 1 / 4])
    assert_allclose(flows.shares.to_numpy(), [[3 / 4, 1 / 4], [1 / 4, 3 / 4]])


def test_it_is_each_flow_by_itself():
    rng = np.random.default_rng(0)
    n = 90
    obs = pd.DataFrame(
        {"day": rng.integers(0, 4, n), "kind": pd.Categorical(rng.choice(list("pqrs"), n))},
        index=[f"c{i}" for i in range(n)],
    )
    matrix = rng.random((n, n))
    matrix = sp.csr_matrix(matrix / matrix.sum(axis=1, keepdims=True))
    flows = compute_flows(matrix, obs, "kind", "day", clusters=["s", "q", "p"], time_points=[0, 1, 3])
    assert flows.shares.columns.tolist() == ["s", "q", "p"]
    for name in "sqp":
        single = compute_flow(matrix, obs, name, "kind", "day", ["s", "q", "p"], [0, 1, 3])
        part = flows.edges[flows.edges["source"] == name]
        wide = part.pivot(index=["t1", "t2"], columns="target", values="flow")
        assert_allclose(wide[["s", "q", "p"]], single.flow[["s", "q", "p"]])
    # Blocks are divided without rest, at both ends.
    for (time, name), part in flows.edges.groupby(["t1", "source"]):
        assert_allclose(part["width_start"].sum(), flows.shares.at[time, name])
    for (time, name), part in flows.edges.groupby(["t2", "target"]):
        assert_allclose(part["width_end"].sum(), flows.shares.at[time, name])


def test_figure(obs, matrix):
    """The first cluster is on top; with a gap of 0.1, a of day 0 reaches from 0.35 to 1.1."""
    adata = ad.AnnData(np.zeros((8, 1)), obs=obs)
    adata.uns["kind_colors"] = ["#ff0000", "#0000ff"]
    ax = plot_flow(compute_flows(matrix, obs, "kind", "day"), adata, gap=0.1, show=False)
    blocks = [p for p in ax.patches if isinstance(p, Rectangle)]
    expected = [(0.35, 0.75), (0, 0.25), (0.85, 0.25), (0, 0.75)]
    assert_allclose([(b.get_y(), b.get_height()) for b in blocks], expected, atol=1e-12)
    (bands,) = ax.collections
    assert len(bands.get_paths()) == 3
    shades = [to_rgba(c, 0.5) for c in ("#ff0000", "#ff0000", "#0000ff")]
    assert_allclose(bands.get_facecolor(), shades)
    starts = [p.vertices[p.vertices[:, 0] < 0.1, 1] for p in bands.get_paths()]
    assert_allclose([s.max() for s in starts], [1.1, 0.85, 0.25], atol=0.02)
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["a", "b"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["0", "1"]
    assert ax.get_xlabel() == "day"
    few = plot_flow(compute_flows(matrix, obs, "kind", "day"), min_flow=0.5, legend_loc=None, show=False)
    assert len(few.collections[0].get_paths()) == 2
    assert few.get_legend() is None


def test_own_axes_and_file(obs, matrix, tmp_path):
    _, ax = plt.subplots()
    made = plot_flow(
        compute_flows(matrix, obs, "kind", "day"), ax=ax, save=tmp_path / "flow", colors={"a": "k"}
    )
    assert made is ax
    assert (tmp_path / "flow.png").stat().st_size > 1000


def test_what_can_not_be_drawn(obs, matrix):
    for wrong, error, says in (
        ({"cluster_key": "no_key"}, MissingDataError, "Unable to find clusters in"),
        ({"time_key": "no_key"}, MissingDataError, "Unable to find data in"),
        ({"clusters": ["a", "z"]}, InvalidOptionError, "'z'"),
        ({"clusters": ["a"]}, InvalidOptionError, "Expected at least `2` clusters"),
        ({"clusters": []}, InvalidOptionError, "Expected at least `2` clusters"),
        ({"time_points": [0]}, InvalidOptionError, "Expected at least `2` time points"),
        ({"cluster_key": "day"}, InvalidTypeError, "categorical"),
    ):
        with pytest.raises(error, match=says):
            compute_flows(matrix, obs, **{"cluster_key": "kind", "time_key": "day", **wrong})
    flows = compute_flows(matrix, obs, "kind", "day")
    for wrong in ({"min_flow": 2}, {"gap": -1}, {"xticks_step_size": 0}, {"legend_loc": "nowhere"}):
        with pytest.raises(InvalidOptionError):
            plot_flow(flows, **wrong)
    assert not plt.get_fignums()
