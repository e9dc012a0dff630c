"""Fate probabilities of clusters."""

from __future__ import annotations

import anndata as ad
import ferrocyte as fc
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from ferrocyte._errors import InvalidDataError, InvalidOptionError, InvalidTypeError, MissingDataError
from ferrocyte.pl import aggregate_fate_probabilities, aggregated_frame
from ferrocyte.pl._paga import _draw_pie, stress_layout
from ferrocyte.pl._trees import grow_tree
from matplotlib.colors import to_rgba
from numpy.testing import assert_allclose, assert_array_equal

FATES = np.array([[0.2, 0.8], [0.4, 0.6], [0.9, 0.1], [0.9, 0.1], [0.3, 0.7], [0.6, 0.4]])
WEIGHTS = np.array([[0, 0.5, 0.01], [0.5, 0, 1.0], [0.01, 1.0, 0]])
MODES = ("bar", "violin", "heatmap", "clustermap", "paga", "paga_pie")


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


@pytest.fixture
def adata():
    out = ad.AnnData(np.zeros((6, 1)))
    out.obs["clusters"] = pd.Categorical(list("bbaacc"), categories=["b", "a", "c"])
    out.uns["clusters_colors"] = ["#ff0000", "#00ff00", "#0000ff"]
    out.obsm["lineages_fwd"] = fc.Lineage(FATES, names=["L", "M"], colors=["orange", "purple"])
    out.obsm["X_umap"] = np.array([[0, 0], [2, 0], [4, 4], [4, 4], [8, 0], [8, 2.0]])
    out.uns["paga"] = {"connectivities": sp.csr_matrix(WEIGHTS), "groups": "clusters"}
    return out


def test_legend_of_pies(adata):
    def legend(**kwargs):
        return aggregate_fate_probabilities(adata, "paga_pie", show=False, **kwargs).get_legend()

    assert [t.get_text() for t in legend().get_texts()] == ["L", "M"]
    assert legend(legend_kwargs={"loc": None}) is None
    for mode in ("paga", "paga_pie"):  # names of clusters are another thing
        for place, names in (("on data", set("abc")), (None, set())):
            drawn = np.ravel(aggregate_fate_probabilities(adata, mode, legend_loc=place, show=False))[0]
            assert {t.get_text() for t in drawn.texts} == names


def test_means_on_paper(adata):
    """b: (0.2 + 0.4) / 2 = 0.3, deviation 0.1, error 0.1 / sqrt 2; a: equal, 0; c: 0.45, deviation 0.15."""
    table = aggregated_frame(adata)
    assert table["cluster"].tolist() == list("bbaacc")
    assert table["lineage"].tolist() == ["L", "M"] * 3
    assert_allclose(table["mean"], [0.3, 0.7, 0.9, 0.1, 0.45, 0.55])
    assert_allclose(table["sem"], np.array([0.1, 0.1, 0, 0, 0.15, 0.15]) / np.sqrt(2), atol=1e-16)
    assert (table["n_cells"] == 2).all()
    every = aggregated_frame(adata, cluster_key=None)
    assert_allclose(every["mean"], FATES.mean(axis=0))
    assert_allclose(every["sem"], FATES.std(axis=0) / np.sqrt(6))
    part = aggregated_frame(adata, clusters=["c", "b"], lineages="M")
    assert part[["cluster", "lineage"]].to_numpy().tolist() == [["c", "M"], ["b", "M"]]


def test_missing_values_do_not_count(adata):
    values = FATES.copy()
    values[0, 0] = np.nan
    adata.obsm["lineages_fwd"] = fc.Lineage(values, names=["L", "M"])
    table = aggregated_frame(adata, clusters="b")
    assert_allclose(table["mean"], [0.4, 0.7])
    assert_array_equal(table["n_cells"], [1, 2])
    assert_allclose(table["sem"], [0, 0.1 / np.sqrt(2)], atol=1e-16)
    for mode in ("bar", "violin", "heatmap"):
        aggregate_fate_probabilities(adata, mode=mode, show=False)


def test_bars(adata):
    axes = aggregate_fate_probabilities(adata, "bar", show=False, sharey=True)
    assert [ax.get_title() for ax in axes] == ["b", "a", "c"]
    assert_allclose([p.get_height() for p in axes[2].patches], [0.45, 0.55])
    assert [p.get_facecolor() for p in axes[0].patches] == [to_rgba("orange"), to_rgba("purple")]
    (errors,) = axes[0].collections
    ends = np.array([segment[:, 1] for segment in errors.get_segments()])
    assert_allclose(ends.mean(axis=1), [0.3, 0.7])
    assert_allclose(np.ptp(ends, axis=1), 2 * 0.1 / np.sqrt(2))
    assert len({ax.get_ylim() for ax in axes}) == 1
    ax = aggregate_fate_probabilities(adata, "bar", clusters="a", show=False, title="mine", xrot=30)
    assert ax.get_title() == "mine"
    assert [(t.get_text(), t.get_rotation()) for t in ax.get_xticklabels()] == [("L", 30), ("M", 30)]
    one = aggregate_fate_probabilities(adata, "bar", cluster_key=None, show=False)
    assert one.get_title() == "all cells"


def test_violins(adata):
    axes = aggregate_fate_probabilities(adata, "violin", show=False)
    assert [ax.get_title() for ax in axes] == ["L", "M"]
    assert [t.get_text() for t in axes[0].get_xticklabels()] == ["b", "a", "c"]
    medians = [line.get_ydata()[0] for line in axes[0].lines]
    assert_allclose(medians, [0.3, 0.9, 0.45])
    bodies = [c for c in axes[0].collections if type(c).__name__ != "LineCollection"]
    assert len(bodies) == 2, "all cells of a have the same value"
    assert_allclose(bodies[0].get_facecolor()[0], to_rgba("#ff0000", 0.85))
    assert_allclose(bodies[1].get_facecolor()[0], to_rgba("#0000ff", 0.85))
    ax = aggregate_fate_probabilities(adata, "violin", cluster_key=None, show=False)
    assert [t.get_text() for t in ax.get_xticklabels()] == ["L", "M"]


def test_table(adata):
    ax = aggregate_fate_probabilities(adata, "heatmap", show=False)
    assert_allclose(np.asarray(ax.images[0].get_array()), [[0.3, 0.9, 0.45], [0.7, 0.1, 0.55]])
    assert [t.get_text() for t in ax.texts] == ["0.30", "0.90", "0.45", "0.70", "0.10", "0.55"]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["b", "a", "c"]
    assert len(ax.figure.axes) == 2
    bare = aggregate_fate_probabilities(adata, "heatmap", cbar=False, annot=False, show=False)
    assert not bare.texts
    assert len(bare.figure.axes) == 1
    rough = aggregate_fate_probabilities(adata, "heatmap", fmt=".1f", show=False)
    assert rough.texts[1].get_text() == "0.9"


def test_trees(adata):
    """b (0.3, 0.7) and c (0.45, 0.55) are near, a (0.9, 0.1) is far: b and c end up side by side."""
    main, left, top = aggregate_fate_probabilities(adata, "clustermap", show=False)
    columns = [t.get_text() for t in main.get_xticklabels()]
    assert abs(columns.index("b") - columns.index("c")) == 1
    means = aggregated_frame(adata).pivot(index="lineage", columns="cluster", values="mean")
    rows = [t.get_text() for t in main.get_yticklabels()]
    assert_allclose(np.asarray(main.images[0].get_array()), means.loc[rows, columns])
    assert len(top.collections[0].get_segments()) == 2, "two joins of three clusters"
    assert len(left.collections[0].get_segments()) == 1
    distance = np.linalg.norm([0.15, 0.15])
    lowest = min(segment[:, 1].max() for segment in top.collections[0].get_segments())
    assert_allclose(lowest, distance)
    aggregate_fate_probabilities(adata, "clustermap", lineages="L", show=False)
    with pytest.raises(InvalidOptionError, match="linkage"):
        aggregate_fate_probabilities(adata, "clustermap", method="nothing")
    with pytest.raises(InvalidDataError, match="not finite"):
        grow_tree(np.array([[1.0, 1.0, 1.0], [1.0, 2.0, 3.0]]), metric="correlation")
    with pytest.raises(InvalidOptionError, match="three axes"):
        aggregate_fate_probabilities(adata, "clustermap", ax=plt.figure().gca())


def test_graph_in_an_embedding(adata):
    """Nodes in the middle of their cells; the edge of weight 0.01 is below the threshold."""
    axes = aggregate_fate_probabilities(adata, "paga", basis="umap", show=False)
    assert [ax.get_title() for ax in axes] == ["L", "M"]
    cells, edges, nodes = axes[0].collections
    assert len(cells.get_offsets()) == 6
    assert_allclose(edges.get_segments(), [[[1, 0], [4, 4]], [[4, 4], [8, 1]]])
    assert_allclose(edges.get_linewidths(), [2.25, 4.5])
    assert_allclose(nodes.get_offsets(), [[1, 0], [4, 4], [8, 1]])
    assert_allclose(nodes.get_array(), [0.3, 0.9, 0.45])
    all_edges = aggregate_fate_probabilities(adata, "paga", threshold=0, lineages="M", show=False)
    assert len(all_edges.collections[0].get_segments()) == 3


def test_pies(adata):
    adata.uns["paga"]["pos"] = np.array([[0, 0], [1, 0], [0, 1.0]])
    ax = aggregate_fate_probabilities(adata, show=False)
    assert ax.get_title() == "clusters"
    wedges = [c for c in ax.collections if c.get_zorder() == 4]
    assert len(wedges) == 3 * 2
    assert_allclose(wedges[0].get_facecolor()[0], to_rgba("orange"))
    # The first slice of the first pie has 0.3 of a turn.
    outline = wedges[0].get_paths()[0].vertices[1:]
    turn = np.arctan2(outline[:, 1], outline[:, 0]) % (2 * np.pi)
    assert_allclose([turn.min(), turn.max()], [0, 0.3 * 2 * np.pi], atol=1e-12)
    assert_allclose([c.get_offsets()[0] for c in wedges[::2]], adata.uns["paga"]["pos"])
    # All wedges have the radius of their node: matplotlib scales a marker to its largest coordinate.
    rims = [c for c in ax.collections if c.get_zorder() == 3]
    for rim, wedge in zip(np.repeat(rims, 2), wedges, strict=True):
        radius = np.hypot(*wedge.get_paths()[0].vertices.T).max() * np.sqrt(wedge.get_sizes()[0])
        assert_allclose(radius, 0.5 * np.sqrt(rim.get_sizes()[0]))
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["L", "M"]
    none = aggregate_fate_probabilities(adata, show=False, legend_kwargs={"loc": None}, title="x")
    assert none.get_legend() is None
    assert none.get_title() == "x"


def test_slices_have_one_radius():
    """Also the one from 36 to 72 degrees, which reaches no axis: markers grow to their largest coordinate."""
    _, ax = plt.subplots()
    shares = pd.Series([0.1, 0.1, 0.8], index=["a", "b", "c"])
    _draw_pie(ax, np.zeros(2), shares, dict.fromkeys("abc", "red"), 400.0)
    _, *slices = ax.collections
    radii = [np.hypot(*s.get_paths()[0].vertices.T).max() * np.sqrt(s.get_sizes()[0]) for s in slices]
    assert_allclose(radii, 10.0, rtol=1e-6)


def test_layout_of_a_chain():
    """Nodes of a chain lie along a line, in their order, apart by the root of their distance."""
    chain = np.diag(np.ones(3), 1) + np.diag(np.ones(3), -1)
    place = stress_layout(chain)
    ends = np.linalg.norm(place[0] - place, axis=1)
    assert (np.diff(ends) > 0).all()
    assert_array_equal(place, stress_layout(chain))
    two = np.zeros((4, 4))
    two[0, 1] = two[1, 0] = two[2, 3] = two[3, 2] = 1.0
    assert np.isfinite(stress_layout(two)).all()


def test_files(adata, tmp_path):
    for mode in MODES:
        aggregate_fate_probabilities(adata, mode, save=tmp_path / mode)
        assert (tmp_path / f"{mode}.png").stat().st_size > 1000
    assert set(adata.obs) == {"clusters"}
    assert set(adata.uns["paga"]) == {"connectivities", "groups"}


def test_what_can_not_be_drawn(adata):
    with pytest.raises(InvalidOptionError, match="Invalid option 'pie'"):
        aggregate_fate_probabilities(adata, "pie")
    for mode in MODES[2:]:
        with pytest.raises(InvalidOptionError, match="cluster_key"):
            aggregate_fate_probabilities(adata, mode, cluster_key=None)
    for mode in MODES:
        with pytest.raises(MissingDataError, match="no_key"):
            aggregate_fate_probabilities(adata, mode, cluster_key="no_key")
        with pytest.raises(MissingDataError, match="Z"):
            aggregate_fate_probabilities(adata, mode, lineages=["Z"])
        with pytest.raises(InvalidTypeError, match="no_word"):
            aggregate_fate_probabilities(adata, mode, no_word=1)
        with pytest.raises(InvalidDataError, match="No lineages have been selected"):
            aggregate_fate_probabilities(adata, mode, lineages=[])
    for mode in MODES[:4]:
        with pytest.raises(MissingDataError, match="'d'"):
            aggregate_fate_probabilities(adata, mode, clusters=["a", "d"])
    with pytest.raises(InvalidOptionError, match="fmt"):
        aggregate_fate_probabilities(adata, "heatmap", fmt="?")
    adata.obs["other"] = adata.obs["clusters"]
    with pytest.raises(InvalidDataError, match="found 3 of `clusters`"):
        aggregate_fate_probabilities(adata, "paga", cluster_key="other")
    del adata.uns["paga"]
    for mode in ("paga", "paga_pie"):
        with pytest.raises(MissingDataError, match="paga"):
            aggregate_fate_probabilities(adata, mode)
    assert not plt.get_fignums()
