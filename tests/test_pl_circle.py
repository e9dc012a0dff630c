"""Fate probabilities on a circle, and the shortest way round it."""

from __future__ import annotations

from itertools import permutations

import anndata as ad
import ferrocyte as fc
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from ferrocyte._errors import InvalidDataError, InvalidOptionError, MissingDataError
from ferrocyte.pl import circular_projection, simplex_frame
from ferrocyte.pl._circle_order import shortest_tour, tour_distances
from numpy.testing import assert_allclose, assert_array_equal


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def fates_of(values, names="ABCDEFGH"):
    values = np.asarray(values, dtype=float)
    return fc.Lineage(values, names=list(names[: values.shape[1]]))


@pytest.fixture
def adata():
    rng = np.random.default_rng(0)
    out = ad.AnnData(rng.random((40, 2)))
    out.var_names = ["g", "h"]
    out.raw = out[:, ["g"]].copy()
    out.obs["kind"] = pd.Categorical(["x", "y"] * 20)
    out.obsm["lineages_fwd"] = fates_of(rng.dirichlet(np.ones(4), 40))
    return out


def test_three_lineages_on_paper():
    """Corners at 0, 120 and 240 degrees. Pure cells stand on them, even ones in the middle."""
    values = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1 / 3, 1 / 3, 1 / 3], [0.5, 0.5, 0], [0.5, 0, 0.5]]
    cells, rim = simplex_frame(fates_of(values), normalize_by_mean=False)
    half, high = 0.5, np.sqrt(3) / 2
    corners = [[1, 0], [-half, high], [-half, -high]]
    assert_allclose(rim[["x", "y"]], corners, atol=1e-15)
    assert_allclose(rim["angle"], [0, 2 * np.pi / 3, 4 * np.pi / 3])
    assert rim.index.tolist() == ["A", "B", "C"]
    expected = [*corners, [0, 0], [0.25, high / 2], [0.25, -high / 2]]
    assert_allclose(cells, expected, atol=1e-15)


def test_normalizing_by_the_mean_on_paper():
    """Means 1/2, 1/4, 1/4: the first cell (1/2, 1/4, 1/4) becomes (1, 1, 1) / 3, in the middle.

    The second, (1/2, 1/2, 0), becomes (1, 2, 0) / 3: x = (1 - 2 / 2) / 3 = 0, y = 2 / 3 * sqrt(3) / 2.
    """
    cells, _ = simplex_frame(fates_of([[0.5, 0.25, 0.25], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5]]))
    up = np.sqrt(3) / 3
    assert_allclose(cells, [[0, 0], [0, up], [0, -up]], atol=1e-15)


def test_a_lineage_that_no_cell_has_leaves_cells_in_the_middle():
    cells, _ = simplex_frame(fates_of([[1, 0, 0], [0.5, 0.5, 0]]))
    assert_allclose(cells, 0, atol=1e-15)


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7])
def test_the_tour_is_the_best_of_all(n):
    rng = np.random.default_rng(n)
    for _ in range(5):
        half = np.triu(rng.random((n, n)), 1)
        distances = half + half.T

        def length(order, d=distances):
            return sum(d[a, b] for a, b in zip(order, [*order[1:], order[0]], strict=True))

        best = min(length((0, *rest)) for rest in permutations(range(1, n)))
        tour = shortest_tour(distances)
        assert sorted(tour) == list(range(n))
        assert tour[0] == 0
        assert_allclose(length(tour), best)


def test_a_circle_is_found_again():
    """Points on a circle in a random order: the shortest tour goes round, from the first to the lower one."""
    angles = 2 * np.pi * np.array([0, 3, 6, 1, 5, 2, 4, 7]) / 8
    points = np.stack([np.cos(angles), np.sin(angles)])
    assert shortest_tour(tour_distances(points, "euclidean")) == [0, 3, 5, 1, 6, 4, 2, 7]


def test_neighbours_on_the_rim_are_near():
    """B goes with D and A with C: at 4 lineages, B must not stand between A and C."""
    rng = np.random.default_rng(1)
    a, b = rng.random(50), rng.random(50)
    values = np.stack([a, b, a + 0.05 * rng.random(50), b + 0.05 * rng.random(50)], axis=1)
    fates = fates_of(values / values.sum(axis=1, keepdims=True))
    _, rim = simplex_frame(fates)
    place = {name: k for k, name in enumerate(rim.index)}
    assert abs(place["A"] - place["C"]) in (1, 3)
    assert abs(place["B"] - place["D"]) in (1, 3)
    assert simplex_frame(fates, lineage_order="default")[1].index.tolist() == list("ABCD")


def test_what_it_writes(adata):
    axes = circular_projection(adata, ["kind", "g", "kl_divergence", "entropy", "kind"], show=False)
    assert len(axes) == 4
    cells, _ = simplex_frame(adata.obsm["lineages_fwd"])
    assert_array_equal(adata.obsm["X_fate_simplex_fwd"], cells)
    assert [ax.get_title() for ax in axes] == ["kind", "g", "kl_divergence", "entropy"]
    for key in ("kl_divergence", "entropy"):
        expected = adata.obsm["lineages_fwd"].priming_degree(key)
        assert_array_equal(adata.obs[f"lineages_fwd_{key}"], expected)
    circular_projection(adata, "kind", key_added="mine", show=False)
    assert_array_equal(adata.obsm["mine"], cells)


def test_early_cells(adata):
    first = adata.obs["kind"] == "x"
    expected = adata.obsm["lineages_fwd"].priming_degree("kl_divergence", first.to_numpy())
    for early in ({"kind": ["x"]}, first.to_numpy(), adata.obs_names[first]):
        circular_projection(adata, "kl_divergence", early_cells=early, show=False)
        assert_array_equal(adata.obs["lineages_fwd_kl_divergence"], expected)


def test_artists(adata):
    ax = circular_projection(adata, "g", label_rot=0, text_kwargs={"fontsize": 5}, show=False)
    assert [t.get_text() for t in ax.texts] == simplex_frame(adata.obsm["lineages_fwd"])[1].index.tolist()
    assert {(t.get_rotation(), t.get_fontsize()) for t in ax.texts} == {(0, 5)}
    assert_allclose([np.hypot(*t.get_position()) for t in ax.texts], 1.25)
    assert len(ax.lines) == 1 + 4 + 4, "the circle, its sides, its spokes"
    assert len(ax.figure.axes) == 2, "a colour bar"
    bare = circular_projection(adata, "g", show_edges=False, colorbar=False, show=False)
    assert len(bare.lines) == 0
    assert len(bare.figure.axes) == 1


def test_parts(adata, tmp_path):
    ax = circular_projection(adata, "kind", lineages=["C", "A", "B, D"], show=False, save=tmp_path / "x")
    assert [t.get_text() for t in ax.texts] == ["C", "A", "B, D"]
    assert (tmp_path / "x.png").exists()
    circular_projection(adata, ["g", "h"], use_raw=True, show=False)  # h is not in raw, and left out
    assert len(plt.gcf().axes) == 2


def test_errors_write_nothing(adata):
    before = (set(adata.obsm), set(adata.obs))
    with pytest.raises(InvalidDataError, match="Expected at least `3` lineages"):
        circular_projection(adata, "kind", lineages=["A", "B"])
    with pytest.raises(InvalidOptionError, match="found none of"):
        circular_projection(adata, ["kindd", "nothing"])
    with pytest.raises(InvalidOptionError, match="Did you mean 'optimal'"):
        circular_projection(adata, "kind", lineage_order="optimall")
    with pytest.raises(InvalidOptionError, match="metric"):
        circular_projection(adata, "kind", metric="nothing")
    with pytest.raises(InvalidOptionError, match="Invalid option"):
        circular_projection(adata, "kind", label_rot="up")
    with pytest.raises(InvalidOptionError, match="1 titles"):
        circular_projection(adata, "kind", title=["a", "b"])
    with pytest.raises(InvalidDataError, match="mask"):
        circular_projection(adata, "kind", early_cells=[True])
    constant = fates_of(np.full((5, 4), 0.25))
    with pytest.raises(InvalidDataError, match="not finite"):
        simplex_frame(constant)
    del adata.obsm["lineages_fwd"]
    with pytest.raises(MissingDataError, match="lineages_fwd"):
        circular_projection(adata, "kind")
    assert (set(adata.obsm) | {"lineages_fwd"}, set(adata.obs)) == before
    assert not plt.get_fignums()


def test_twenty_lineages_at_most():
    rng = np.random.default_rng(0)
    values = rng.dirichlet(np.ones(21), 30)
    names = [f"l{k}" for k in range(21)]
    with pytest.raises(InvalidOptionError, match="at most 20"):
        simplex_frame(fc.Lineage(values, names=names), lineage_order="optimal")
    _, rim = simplex_frame(fc.Lineage(values, names=names))
    assert rim.index.tolist() == names
