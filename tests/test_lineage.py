"""Lineage: construction, names and colours, indexing, mixtures, views, text and AnnData."""

from __future__ import annotations

import copy
import pickle
import re
import subprocess
import sys
import warnings

import anndata as ad
import ferrocyte as fc
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from ferrocyte import _colors
from ferrocyte._errors import (
    FerrocyteWarning,
    InvalidDataError,
    InvalidIndexError,
    InvalidOptionError,
    InvalidTypeError,
    MissingDataError,
)
from ferrocyte.lineage import Lineage, LineageView
from numpy.testing import assert_allclose, assert_array_equal

NAMES = ["a", "b", "c"]
COLORS = ["#ff0000", "#00ff00", "#0000ff"]


@pytest.fixture
def plain():
    x = np.random.default_rng(0).random((6, 3))
    return x / x.sum(axis=1, keepdims=True)


@pytest.fixture
def x(plain):
    return Lineage(plain, names=NAMES, colors=COLORS)


def check(lineage, values, names, colors=None):
    assert type(lineage) is Lineage
    assert_array_equal(lineage.X, values)
    assert lineage.names.tolist() == names
    if colors is not None:
        assert lineage.colors.tolist() == colors


# Construction ---------------------------------------------------------------------------------------


def test_construction(plain):
    x = Lineage(plain, names=NAMES)
    assert isinstance(x, np.ndarray)
    assert fc.Lineage is Lineage
    check(x, plain, NAMES, ["#1f77b4", "#ff7f0e", "#279e68"])
    x[0, 0] = 5
    assert plain[0, 0] != 5
    assert x.nlin == 3


def test_one_dimension_is_one_column():
    check(Lineage(np.arange(4.0), names=["a"]), np.arange(4.0)[:, None], ["a"])


def test_a_lineage_is_accepted(x, plain):
    y = Lineage(x, names=["u", "v", "w"])
    check(y, plain, ["u", "v", "w"])
    assert not np.shares_memory(x, y)


@pytest.mark.parametrize("given", [[[0.5, 0.5]], 1.0, None, pd.DataFrame({"a": [1.0]})])
def test_only_arrays_are_accepted(given):
    with pytest.raises(TypeError, match=r"Expected a `numpy\.ndarray`") as error:
        Lineage(given, names=["a"])
    assert isinstance(error.value, InvalidTypeError)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 2, 2), "must be 2-dimensional"),
        ((), "must be 2-dimensional"),
        ((0, 3), "cells to be at least"),
        ((3, 0), "lineages to be at least"),
    ],
)
def test_wrong_shapes(shape, message):
    with pytest.raises(ValueError, match=message):
        Lineage(np.zeros(shape), names=NAMES)


@pytest.mark.parametrize(
    ("names", "kind", "message"),
    [
        (["a", "b"], ValueError, "`names` to be of size 3, found 2"),
        (["a", "a", "b"], ValueError, "Not all lineage names are unique"),
        (["1", 1, "b"], ValueError, "Not all lineage names are unique"),
        (3, TypeError, "`names` to be iterable"),
    ],
)
def test_wrong_names(x, plain, names, kind, message):
    with pytest.raises(kind, match=message):
        Lineage(plain, names=names)
    with pytest.raises(kind, match=message):
        x.names = names
    assert x.names.tolist() == NAMES


@pytest.mark.parametrize(
    ("colors", "kind", "message"),
    [
        (["red"], ValueError, "`colors` to be of size 3, found 1"),
        (["red", "green", "nothing"], ValueError, "is not a valid color"),
        (["red", "green", 7], ValueError, "is not a valid color"),
        (3, TypeError, "`colors` to be iterable"),
    ],
)
def test_wrong_colors(x, plain, colors, kind, message):
    with pytest.raises(kind, match=message):
        Lineage(plain, names=NAMES, colors=colors)
    with pytest.raises(kind, match=message):
        x.colors = colors
    assert x.colors.tolist() == COLORS


def test_names_and_colors_are_any_iterable(plain):
    x = Lineage(plain, names=(n for n in (1, "b", 2.5)), colors=iter(["red", (0, 1, 0), "#0000FF80"]))
    assert x.names.tolist() == ["1", "b", "2.5"]
    assert x.names.dtype.kind == x.colors.dtype.kind == "U"
    assert x.colors.tolist() == COLORS
    x.names = pd.Index(["u", "v", "w"])
    x.colors = None
    check(x, plain, ["u", "v", "w"], ["#1f77b4", "#ff7f0e", "#279e68"])
    x.names = ["long enough for any array", "b", "c"]
    assert x["long enough for any array"].names[0] == "long enough for any array"


def test_names_can_not_be_changed_behind_our_back(x):
    with pytest.raises(ValueError, match="read-only"):
        x.names[0] = "b"


def test_default_colors_are_those_of_the_field():
    colors = _colors.default_colors(62)
    assert len(set(colors)) == 62
    assert colors[:3] == ["#1f77b4", "#ff7f0e", "#279e68"]
    assert colors[20:22] == ["#7fc97f", "#beaed4"]  # Accent
    assert colors[28:33] == ["#d95f02", "#7570b3", "#66a61e", "#e6ab02", "#a6761d"]  # of Dark2
    assert colors[33] == "#e41a1c"  # Set1
    assert colors[-1] == "#ffed6f"  # Set3
    assert _colors.default_colors(21)[:20] == _colors.default_colors(20)
    with pytest.raises(ValueError, match="at most 62"):
        Lineage(np.zeros((2, 63)), names=range(63))
    assert Lineage(np.zeros((2, 63)), names=range(63), colors=["red"] * 63).nlin == 63


def test_mean_color_is_the_mean_of_hue_saturation_and_value():
    # hues 0 and 2/3: the mean is 1/3
    assert _colors.mean_color(["#ff0000", "#0000ff"]) == "#00ff00"
    assert _colors.mean_color(["#ff0000"]) == "#ff0000"
    # values 1 and 0, saturations 1 and 0, hues 0 and 0: (0, 1/2, 1/2)
    assert _colors.mean_color(["#ff0000", "#000000"]) == "#804040"


def test_shades_around_a_color():
    """Hue 0, value 1: hues 0, 1/30, 2/30, 3/30 and values 0.7, 0.8, 0.9, 1, of which two are taken."""
    dark, bright = _colors.shades("#ff0000", 2)
    assert dark == "#b20000"
    assert bright == "#e65c00"  # value 0.9; hue 2/30: green is 0.9 * 6 * 2/30
    # from a run of CellRank
    assert _colors.shades("#1f77b4", 3) == ["#126857", "#1c7da4", "#2752e1"]
    assert _colors.shades("#ff7f0e", 2) == ["#b20a0a", "#e6a70d"]


def test_text_stands_out_from_its_background():
    assert _colors.text_color("#ffffff") == _colors.text_color("#ffff00") == "#000000"
    assert _colors.text_color("#000000") == _colors.text_color("#0000ff") == "#ffffff"


def test_transposed(x, plain):
    t = x.T
    assert type(t) is Lineage
    assert np.shares_memory(t, x)
    assert t.shape == (3, 6)
    assert_array_equal(t.X, plain.T)
    assert t.names.tolist() == NAMES
    assert t.nlin == 6
    check(t.T, plain, NAMES, COLORS)
    t.names = ["u", "v", "w"]
    assert t["v"].shape == (1, 6)


def test_plain_values_share_memory(x):
    assert type(x.X) is np.ndarray
    assert np.shares_memory(x.X, x)


# Copies ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "how",
    [
        lambda x: x.copy(),
        copy.copy,
        copy.deepcopy,
        lambda x: pickle.loads(pickle.dumps(x)),
        lambda x: pickle.loads(pickle.dumps(x, protocol=5)),
        lambda x: x.view().copy(),
        lambda x: pickle.loads(pickle.dumps(x.view())),
    ],
)
@pytest.mark.parametrize("transposed", [False, True])
def test_copies(x, plain, how, transposed):
    source = x.T if transposed else x
    y = how(source)
    assert type(y) is Lineage
    assert y.shape == source.shape
    assert not np.shares_memory(x, y)
    check(y.T if transposed else y, plain, NAMES, COLORS)
    y.names, y.colors = ["u", "v", "w"], ["red"] * 3
    y[:] = 0
    check(x, plain, NAMES, COLORS)


# Indexing -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "columns"),
    [
        ("b", [1]),
        (["b"], [1]),
        (["b", "a"], [1, 0]),
        (("a", "c"), [0, 2]),
        (("c", "a"), [2, 0]),
        (["c", "a", "c"], [2, 0]),
        (("a", "a"), [0]),
        (["a", 2], [0, 2]),
        (["a", 0], [0]),
        (["a", -1], [0, 2]),
        (("a", 2), [0, 2]),
        (np.array(["b", "c"]), [1, 2]),
        (pd.Index(["b", "c"]), [1, 2]),
        ((slice(None), "b"), [1]),
        ((slice(None), ["c", "b"]), [2, 1]),
        ((None, ["c", "b"]), [2, 1]),
        ((..., "c"), [2]),
        ((..., ...), [0, 1, 2]),
        ((None, None), [0, 1, 2]),
        (None, [0, 1, 2]),
        (..., [0, 1, 2]),
        (slice(None), [0, 1, 2]),
        ((slice(None), 1), [1]),
        ((slice(None), -1), [2]),
        ((slice(None), [2, 0, 2]), [2, 0]),
        ((slice(None), slice(1, None)), [1, 2]),
        ((slice(None), slice(None, None, -1)), [2, 1, 0]),
        ((slice(None), range(2)), [0, 1]),
        ((slice(None), np.array([2, 1])), [2, 1]),
        ((slice(None), [True, False, True]), [0, 2]),
        ((slice(None), np.array([False, False, True])), [2]),
        ((slice(None), pd.Series([True, True, False])), [0, 1]),
    ],
)
def test_columns(x, plain, key, columns):
    check(x[key], plain[:, columns], [NAMES[i] for i in columns], [COLORS[i] for i in columns])
    if not isinstance(key, tuple):
        transposed = x.T[key]
        assert_array_equal(transposed.X, plain[:, columns].T)
        assert transposed.names.tolist() == [NAMES[i] for i in columns]


MASK = np.array([True, False, True, False, False, True])


@pytest.mark.parametrize(
    ("key", "rows"),
    [
        (3, [3]),
        (-1, [5]),
        (np.int64(2), [2]),
        ([1, 2], [1, 2]),
        ([2, 1, 2], [2, 1, 2]),
        (slice(1, 4), [1, 2, 3]),
        (slice(None, None, -2), [5, 3, 1]),
        (range(2, 4), [2, 3]),
        (np.array([4, 0]), [4, 0]),
        (MASK, [0, 2, 5]),
        (MASK.tolist(), [0, 2, 5]),
        (pd.Series(MASK), [0, 2, 5]),
        ([], []),
        (np.zeros(6, bool), []),
    ],
)
def test_rows(x, plain, key, rows):
    check(x[key], plain[rows], NAMES, COLORS)
    check(x[key, :], plain[rows], NAMES, COLORS)
    check(x[key, "b"], plain[rows][:, [1]], ["b"])
    check(x[key, ["c", "a"]], plain[rows][:, [2, 0]], ["c", "a"])
    check(x[key, [True, False, True]], plain[rows][:, [0, 2]], ["a", "c"])
    check(x[key, ["b, a", "c"]], np.c_[plain[rows][:, :2].sum(1), plain[rows][:, 2]], ["a, b", "c"])
    swapped = x.T[["c", "a"], key]
    assert_array_equal(swapped.X, plain[rows][:, [2, 0]].T)
    assert swapped.names.tolist() == ["c", "a"]


def test_nothing_is_ever_dropped(x):
    assert x[0, 0].shape == (1, 1)
    assert x[0].shape == (1, 3)
    assert x["a"].shape == (6, 1)


def test_a_column_of_truth_selects_cells(x, plain):
    check(x[x["a"] > 0.4], plain[plain[:, 0] > 0.4], NAMES)
    check(x[x["a"] > 0.4, "b"], plain[plain[:, 0] > 0.4][:, [1]], ["b"])
    single = x["a"]
    check(single[single > 0.4], plain[plain[:, 0] > 0.4][:, [0]], ["a"])


def test_a_mask_of_values_gives_plain_values(x, plain):
    picked = x[x > 0.3]
    assert type(picked) is np.ndarray
    assert_array_equal(picked, plain[plain > 0.3])


def test_open_meshes(x, plain):
    check(x[np.ix_([2, 0], [1, 2])], plain[[2, 0]][:, [1, 2]], ["b", "c"])
    check(x[np.ix_(MASK, [1])], plain[MASK][:, [1]], ["b"])
    turned = x.T[np.ix_([1, 2], [2, 0])]
    assert_array_equal(turned.X, plain[[2, 0]][:, [1, 2]].T)
    square = Lineage(plain[:3], names=NAMES)
    check(square[np.ix_([0, 1, 2], [2, 1, 0])], plain[:3, ::-1], ["c", "b", "a"])


def test_slices_share_memory(x):
    assert np.shares_memory(x[1:3], x)
    assert np.shares_memory(x[1:3, :], x)


def test_unknown_names(x):
    for key in ("z", ["a", "z"], (0, "z"), ["a, z"], ("a", "z"), (slice(None), "z"), ","):
        with pytest.raises(KeyError, match="Invalid lineage name") as error:
            x[key]
        assert isinstance(error.value, MissingDataError)
    with pytest.raises(KeyError, match="Did you mean 'beta'"):
        Lineage(np.ones((2, 2)), names=["alpha", "beta"])["betta"]


def test_too_many_keys(x):
    for key in ((0, 0, 0), (0, "a", "b"), ("a", "b", "c")):
        with pytest.raises(ValueError, match="Expected key to be") as error:
            x[key]
        assert isinstance(error.value, InvalidDataError)


@pytest.mark.parametrize(
    "key",
    [(slice(None), [True, False]), (slice(None), np.ones(4, bool)), [True, False], np.ones(7, bool)],
)
def test_masks_of_the_wrong_length(x, key):
    with pytest.raises(IndexError, match="boolean index did not match"):
        x[key]


@pytest.mark.parametrize(
    "key",
    [6, -7, (0, 3), [0, 6], ["a", 3], (["a", "b"], "c"), (["a"], 0), ("a", [0, 1]), 0.5, [0.5], True,
     (0, True), (0, [[0, 1]]), np.zeros((2, 2), int), b"a"],
)  # fmt: skip
def test_what_is_no_position(x, key):
    with pytest.raises(IndexError):
        x[key]


def test_slices_of_names_are_refused(x):
    with pytest.raises(TypeError):
        x["a":"b"]


# Mixtures -------------------------------------------------------------------------------------------


def test_mixtures(x, plain):
    y = x[["a, b", "c"]]
    assert_allclose(y.X, np.c_[plain[:, 0] + plain[:, 1], plain[:, 2]])
    assert y.names.tolist() == ["a, b", "c"]
    # hues 0 and 1/3
    assert y.colors.tolist() == ["#ffff00", "#0000ff"]
    assert_allclose(y.X.sum(axis=1), 1)


@pytest.mark.parametrize("key", ["b,a", " b ,a", "a, b, a", "a, b,"])
def test_parts_are_sorted_and_counted_once(x, plain, key):
    y = x[["c", key]]
    assert y.names.tolist() == ["c", "a, b"]
    assert_allclose(y.X[:, 1], plain[:, :2].sum(axis=1))


def test_mixtures_with_rows_positions_and_transposed(x, plain):
    check(x[[4, 0], "a, c"], plain[[4, 0]][:, [0, 2]].sum(axis=1, keepdims=True), ["a, c"])
    assert x[["a, b", 2]].names.tolist() == ["a, b", "c"]
    assert x["c", "a, b"].names.tolist() == ["c", "a, b"]
    assert x[["b, a", "a, b"]].names.tolist() == ["a, b"]
    turned = x.T[["a, b", "c"], 0]
    assert turned.shape == (2, 1)
    assert turned.names.tolist() == ["a, b", "c"]
    assert_allclose(turned.X[:, 0], [plain[0, :2].sum(), plain[0, 2]])


def test_the_rest_is_what_no_other_key_names():
    x = Lineage(np.arange(8.0).reshape(2, 4), names=list("abcd"), colors=["red", "blue", "red", "blue"])
    mixed = x[["rest", "b"]]
    assert mixed.names.tolist() == ["rest", "b"]
    assert_array_equal(mixed.X, [[0 + 2 + 3, 1], [4 + 6 + 7, 5]])
    assert_array_equal(x[["a, b", "rest"]].X, [[1, 5], [9, 13]])
    assert_array_equal(x[0, ["a", "rest"]].X, [[0, 6]])
    assert_array_equal(x["rest"].X[:, 0], [6, 22])
    assert x[["a", "rest"]].colors[0] == "#ff0000"
    with pytest.raises(ValueError, match="nothing is left for 'rest'"):
        x[["a, b", "c", "d", "rest"]]
    named = Lineage(x.X, names=["a", "rest", "c", "d"])
    assert_array_equal(named[["a", "rest"]].X, x.X[:, :2])


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("T, CD4, B", [3, 0]),
        ("B,T, CD4", [3, 0]),
        ("naive, x, y, T, CD4", [0, 2]),
        ("T, CD8, B", None),
        ("T, CD4, naive", None),
    ],
)
def test_mixtures_of_names_with_commas(key, parts):
    """Types of cells are called "naive, alpha-beta T cell": the longest name that fits counts."""
    names = ["T, CD4", "T", "naive, x, y", "B"]
    values = np.arange(8.0).reshape(2, 4)
    x = Lineage(values, names=names)
    if parts is None:
        with pytest.raises(KeyError, match="Invalid lineage name"):
            x[[key, "T"]]
        return
    mixed = x[[key, "T"]]
    assert_array_equal(mixed.X, np.column_stack([values[:, parts].sum(axis=1), values[:, 1]]))
    assert set(mixed.names) == {", ".join(sorted(names[i] for i in parts)), "T"}


@pytest.mark.parametrize("key", [["a, b", "b, c"], ["a, b", "a"], ["a, b", 0], [1, "a, b"], ["c", "a, b, c"]])
def test_mixtures_must_not_overlap(x, key):
    with pytest.raises(ValueError, match="Found overlapping keys"):
        x[key]
    with pytest.raises(ValueError, match="Found overlapping keys"):
        x[:2, key]


def test_a_mixed_lineage_can_be_indexed_by_its_name(x):
    y = x[["a, b", "c"]]
    assert_array_equal(y["a, b"].X, y.X[:, [0]])
    assert y[["c", "a, b"]].names.tolist() == ["c", "a, b"]


# Same length ----------------------------------------------------------------------------------------


def test_one_lineage_per_cell(x, plain):
    rows, columns = [0, 1, 2, 3, 4, 5], [0, 2, 1, 1, 0, 2]
    expected = plain[rows, columns][:, None]
    for key in (
        (rows, columns),
        (np.array(rows), np.array(columns)),
        (range(6), [NAMES[i] for i in columns]),
        (tuple(rows), tuple(columns)),
        (rows, [NAMES[columns[0]], *columns[1:]]),
    ):
        check(x[key], expected, ["mixture"], ["#000000"])
    shuffled = [3, 1, 0, 2, 5, 4]
    check(x[shuffled, columns], plain[shuffled, columns][:, None], ["mixture"])
    turned = x.T[columns, rows]
    assert turned.shape == (1, 6)
    assert_array_equal(turned.X, expected.T)


def test_other_lengths_are_an_outer_product(x, plain):
    check(x[[0, 1, 2], [0, 1, 2]], plain[:3], NAMES)
    check(x[[4, 1], [2, 0, 1, 2, 0, 1]], plain[[4, 1]][:, [2, 0, 1]], ["c", "a", "b"])
    check(x[[4], ["b"] * 6], plain[[4]][:, [1]], ["b"])
    square = Lineage(plain[:3], names=NAMES)
    for key in (
        (slice(None), NAMES), (..., NAMES), (None, [0, 1, 2]), ([True] * 3, [0, 1, 2]),
        ([0, 1, 2], [True] * 3),
    ):  # fmt: skip
        check(square[key], plain[:3], NAMES)
    check(square[[0, 1, 2], ["c", "b", "a"]], plain[[0, 1, 2], [2, 1, 0]][:, None], ["mixture"])
    two = Lineage(plain[:2], names=NAMES)
    check(two[[0, 1], ["a, b", "c"]], np.c_[plain[:2, :2].sum(axis=1), plain[:2, 2]], ["a, b", "c"])
    one = Lineage(plain[:1], names=NAMES)
    check(one[[0], ["b"]], plain[:1, [1]], ["b"])


# Transposed -----------------------------------------------------------------------------------------


def test_transposed_indices_swap(x, plain):
    for result, values, names in (
        (x.T["a"], plain[:, [0]].T, ["a"]),
        (x.T["a", 0], plain[:1, :1], ["a"]),
        (x.T[["b", "a"], MASK], plain[MASK][:, [1, 0]].T, ["b", "a"]),
        (x.T[["b", "a"]], plain[:, [1, 0]].T, ["b", "a"]),
        (x.T["b", "a"], plain[:, [0, 1]].T, ["a", "b"]),
        (x.T[:, [3, 1]], plain[[3, 1]].T, NAMES),
        (x.T[0], plain[:, [0]].T, ["a"]),
        (x.T[-1, -1], plain[-1:, -1:], ["c"]),
        (x.T[[True, False, True]], plain[:, [0, 2]].T, ["a", "c"]),
        (x.T["a, b"], plain[:, :2].sum(axis=1)[None], ["a, b"]),
    ):
        assert_array_equal(result.X, values)
        assert result.names.tolist() == names
        assert result.T.names.tolist() == names
        assert result.T.shape == values.T.shape


def test_transposed_cells_have_no_names(x):
    for key in ((slice(None), "a"), (0, "a"), (["a"], "b"), (slice(None), ["a"])):
        with pytest.raises((IndexError, TypeError)):
            x.T[key]
    with pytest.raises(InvalidIndexError, match=r"After `\.T` lineages come first"):
        x.T[:, "a"]


# Views ----------------------------------------------------------------------------------------------


def test_views(x, plain):
    view = x.view()
    assert type(view) is LineageView
    assert isinstance(view, Lineage)
    assert view.owner is x
    assert view.view().owner is x
    assert type(view.T) is LineageView
    assert view.T.owner is x
    assert x.T.view()["b"].shape == (1, 6)
    assert np.shares_memory(view, x)
    view[0, 0] = 9
    assert x.X[0, 0] == 9
    assert LineageView(x).owner is x
    with pytest.raises(TypeError, match="Expected a `Lineage`"):
        LineageView(plain)


def test_views_share_names_and_can_not_set_them(x):
    view = x.view()
    with pytest.raises(RuntimeError, match="Unable to set names"):
        view.names = ["u", "v", "w"]
    with pytest.raises(RuntimeError, match="Unable to set colors"):
        view.colors = None
    x.names = ["u", "v", "w"]
    x.colors = ["red"] * 3
    assert view.names.tolist() == ["u", "v", "w"]
    assert view.colors.tolist() == ["#ff0000"] * 3
    assert view["v"].names.tolist() == ["v"]
    assert view.sum(axis=0).names[0] == "sum of u"


def test_a_copy_of_a_view_is_free(x):
    y = x.view().copy()
    y.names = ["u", "v", "w"]
    assert x.names.tolist() == NAMES


# Text -----------------------------------------------------------------------------------------------


def test_text():
    x = Lineage(np.array([[0.25, 0.75], [1.0, 0.0]]), names=["a", "b"])
    assert repr(x) == "Lineage([[0.25, 0.75],\n         [1.  , 0.  ]],\n  names([a, b]))"
    assert str(x) == "[[0.25 0.75]\n [1.   0.  ]]\n names=[a, b]"
    assert repr(x.T).startswith("Lineage([[0.25, 1.  ],")
    assert repr(x.view()).startswith("LineageView([[0.25,")
    assert f"{x}" == str(x)
    assert len(repr(Lineage(np.zeros((10_000, 2)), names="ab"))) < 400


def test_single_values_can_be_formatted(x, plain):
    assert format(x[0, 0], "{:.2f}") == format(x[0, 0], ".2f") == f"{plain[0, 0]:.2f}"
    assert f"{x[0, 0]:.3e}" == f"{plain[0, 0]:.3e}"
    assert float(x[0, 0]) == plain[0, 0]
    assert int(x.argmax()) == int(plain.argmax())
    assert complex(x[0, 0]) == plain[0, 0]
    with pytest.raises(TypeError, match="single value"):
        format(x, ".2f")


def rows_of(page):
    assert page.startswith("<div")
    assert page.endswith("</div>")
    assert set(re.findall(r"<(\w+)", page)) <= {"div", "table", "tr", "th", "td", "p"}
    assert page.count("<table") == 1
    return [re.findall(r"<(t[hd])[^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>(.*?)</tr>", page)]


def test_html(x, plain):
    page = x._repr_html_()
    head, *rows = rows_of(page)
    assert head == [("th", n) for n in NAMES]
    assert [re.search(f"background-color: {c}", page) is not None for c in COLORS] == [True] * 3
    assert len(rows) == 6
    assert rows[0] == [("td", f"{v:.6f}") for v in plain[0]]
    assert "<p>6 cells x 3 lineages</p>" in page


def test_html_of_many_cells():
    x = Lineage(np.arange(303.0).reshape(101, 3), names=["<a>", "b", "c"])
    head, *rows = rows_of(x._repr_html_())
    assert head[0][1] == "&lt;a&gt;"
    assert len(rows) == 21
    assert rows[10] == [("td", "...")] * 3
    assert [float(r[0][1]) for r in rows[:10] + rows[11:]] == [*range(0, 30, 3), *range(273, 303, 3)]
    assert len(rows_of(x[:100]._repr_html_())) == 101


def test_html_transposed():
    x = Lineage(np.arange(303.0).reshape(101, 3), names=NAMES)
    rows = rows_of(x.T._repr_html_())
    assert [r[0] for r in rows] == [("th", n) for n in NAMES]
    assert [len(r) for r in rows] == [22] * 3
    assert rows[0][11] == ("td", "...")
    assert [len(r) for r in rows_of(x[:100].T._repr_html_())] == [101] * 3


def test_html_of_integers_and_no_cells(x):
    assert ("td", "2") in rows_of(Lineage(np.full((2, 1), 2), names="a")._repr_html_())[1]
    assert "0 cells" in x[[]]._repr_html_()
    assert "names([a, b, c])" in repr(x[[]])


# AnnData --------------------------------------------------------------------------------------------


@pytest.fixture
def adata(x):
    adata = ad.AnnData(np.ones((6, 2)), obs=pd.DataFrame(index=[f"c{i}" for i in range(6)]))
    adata.obs["term_states_fwd"] = pd.Categorical(["a", None, "b", None, "c", None], categories=NAMES)
    adata.uns["term_states_fwd_colors"] = np.array(COLORS)
    adata.obsm["lineages_fwd"] = x
    return adata


def test_anndata_keeps_it(adata, x):
    assert adata.obsm["lineages_fwd"] is x
    check(adata.copy().obsm["lineages_fwd"], x.X, NAMES, COLORS)
    check(copy.deepcopy(adata).obsm["lineages_fwd"], x.X, NAMES, COLORS)
    assert pickle.loads(pickle.dumps(adata)).obsm["lineages_fwd"].names.tolist() == NAMES


@pytest.mark.parametrize("which", [MASK, slice(1, 4), [4, 0], ["c2", "c1"], [3]])
def test_anndata_can_be_subset(adata, plain, which):
    view = adata[which]
    rows = adata.obs_names.get_indexer(view.obs_names)
    taken = view.obsm["lineages_fwd"]
    assert isinstance(taken, Lineage)
    assert_array_equal(taken.X, plain[rows])
    assert taken.names.tolist() == NAMES
    check(view.copy().obsm["lineages_fwd"], plain[rows], NAMES, COLORS)
    nested = view[::-1].copy()
    check(nested.obsm["lineages_fwd"], plain[rows][::-1], NAMES, COLORS)
    with pytest.raises(ValueError, match="read-only"):
        taken[0, 0] = 1  # would be lost
    assert_array_equal(adata.obsm["lineages_fwd"].X, plain)
    loaded = Lineage.from_adata(view)
    assert loaded.names.tolist() == NAMES


def test_genes_of_anndata_can_be_subset(adata, plain):
    check(adata[:, :1].copy().obsm["lineages_fwd"], plain, NAMES)


def test_layers_of_anndata_can_be_subset(adata):
    adata.layers["x"] = Lineage(np.arange(12.0).reshape(6, 2), names=["0", "1"])
    check(adata[:3, ["1"]].copy().layers["x"], [[1.0], [3.0], [5.0]], ["1"])
    check(adata[[4, 0], ["1", "0"]].copy().layers["x"], [[9.0, 8.0], [1.0, 0.0]], ["1", "0"])


def test_anndata_makes_tables_of_it(adata, plain, tmp_path):
    table = adata.obsm.to_df()
    assert_array_equal(table.to_numpy(), plain)
    adata.write_csvs(tmp_path / "csv")
    assert_allclose(pd.read_csv(tmp_path / "csv" / "obsm.csv").to_numpy(), plain)


def test_anndata_can_be_joined(adata, plain):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # obs names are not unique
        both = ad.concat([adata, adata])
    assert_array_equal(both.obsm["lineages_fwd"], np.vstack([plain, plain]))


@pytest.mark.parametrize("kind", ["h5ad", "zarr"])
@pytest.mark.parametrize("subset", [False, True])
def test_files_hold_a_plain_array(adata, plain, tmp_path, kind, subset):
    if kind == "zarr":
        pytest.importorskip("zarr")
        warnings.simplefilter("ignore", UserWarning)  # about the format, on its way
    written = adata[MASK] if subset else adata
    plain = plain[MASK] if subset else plain
    path = tmp_path / f"cells.{kind}"
    getattr(written, "write_h5ad" if kind == "h5ad" else "write_zarr")(path)
    back = ad.read_h5ad(path) if kind == "h5ad" else ad.read_zarr(path)
    stored = back.obsm["lineages_fwd"]
    assert type(stored) is np.ndarray
    assert_array_equal(stored, plain)
    if not subset:  # the state of a cell that is gone is gone, too
        check(Lineage.from_adata(back), plain, NAMES, COLORS)


def test_transposed_and_views_can_be_written(x, plain, tmp_path):
    adata = ad.AnnData(np.ones((3, 6)))
    adata.obsm["t"] = x.T
    adata.varm["v"] = x.view()
    adata.uns["u"] = x
    adata.write_h5ad(tmp_path / "x.h5ad")
    back = ad.read_h5ad(tmp_path / "x.h5ad")
    assert_array_equal(back.obsm["t"], plain.T)
    assert_array_equal(back.varm["v"], plain)
    assert_array_equal(back.uns["u"], plain)


def test_writing_needs_no_other_import(tmp_path):
    script = f"""
import numpy as np, anndata as ad, ferrocyte as fc
adata = ad.AnnData(np.ones((3, 2)))
adata.obsm["x"] = fc.Lineage(np.ones((3, 2)), names=["a", "b"])
adata.write_h5ad({str(tmp_path / "x.h5ad")!r})
import sys
heavy = [m for m in ("matplotlib", "scanpy", "sklearn", "scipy.stats") if m in sys.modules]
assert not heavy, heavy
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_from_adata_returns_what_is_there(adata, x):
    assert Lineage.from_adata(adata) is x
    other = Lineage.from_adata(adata, copy=True)
    assert other is not x
    check(other, x.X, NAMES, COLORS)


STATES = {
    "macrostates_fwd": ["m1", "m2"], "macrostates_bwd": ["n1", "n2", "n3"],
    "term_states_fwd": ["tf1", "tf2"], "term_states_bwd": ["tb1", "tb2", "tb3"],
    "init_states_fwd": ["if1", "if2", "if3", "if4"], "init_states_bwd": ["ib1"],
}  # fmt: skip


@pytest.fixture
def read():
    """As it comes from a file: plain arrays everywhere."""
    adata = ad.AnnData(np.ones((8, 2)))
    for key, names in STATES.items():
        values = [None] * (8 - len(names)) + names
        adata.obs[key] = pd.Categorical(values, categories=names)
        adata.uns[f"{key}_colors"] = np.array(_colors.shades("#1f77b4", len(names)))
        adata.obsm[f"{key}_memberships"] = np.full((8, len(names)), 1 / len(names))
    adata.obsm["lineages_fwd"] = np.full((8, 2), 0.5)
    adata.obsm["lineages_bwd"] = np.full((8, 3), 1 / 3)
    return adata


@pytest.mark.parametrize(
    ("kwargs", "key", "obsm"),
    [
        ({}, "term_states_fwd", "lineages_fwd"),
        ({"backward": False, "estimator_backward": False}, "term_states_fwd", "lineages_fwd"),
        ({"backward": True}, "term_states_bwd", "lineages_bwd"),
        ({"backward": True, "estimator_backward": True}, "term_states_bwd", "lineages_bwd"),
        ({"kind": "macrostates"}, "macrostates_fwd", None),
        ({"kind": "macrostates", "backward": True}, "macrostates_bwd", None),
        ({"kind": "term_states"}, "term_states_fwd", None),
        ({"kind": "term_states", "estimator_backward": True}, "term_states_bwd", None),
        ({"kind": "term_states", "backward": True}, "init_states_fwd", None),
        ({"kind": "term_states", "backward": True, "estimator_backward": False}, "init_states_fwd", None),
        ({"kind": "term_states", "backward": True, "estimator_backward": True}, "init_states_bwd", None),
    ],
)
def test_from_adata_after_reading(read, kwargs, key, obsm):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = Lineage.from_adata(read, **kwargs)
    values = read.obsm[obsm or f"{key}_memberships"]
    check(x, values, STATES[key], read.uns[f"{key}_colors"].tolist())
    assert np.shares_memory(x, values)
    assert not np.shares_memory(Lineage.from_adata(read, copy=True, **kwargs), values)


def test_from_adata_finds_what_a_backward_estimator_left(read):
    for key in ("term_states_fwd", "init_states_fwd"):
        del read.obsm[f"{key}_memberships"]
    assert Lineage.from_adata(read, kind="term_states").names.tolist() == STATES["term_states_bwd"]
    backward = Lineage.from_adata(read, backward=True, kind="term_states")
    assert backward.names.tolist() == STATES["init_states_bwd"]


def test_from_adata_names_of_backward_fates_among_initial_states(read):
    read.obs["init_states_bwd"] = read.obs["term_states_bwd"]
    read.uns["init_states_bwd_colors"] = np.array(COLORS)
    del read.obs["term_states_bwd"]
    x = Lineage.from_adata(read, backward=True, estimator_backward=True)
    check(x, read.obsm["lineages_bwd"], STATES["term_states_bwd"], COLORS)


def test_from_adata_without_names(read):
    read.obsm["lineages_fwd"] = np.full((8, 3), 1 / 3)
    with pytest.warns(FerrocyteWarning, match="Unable to find 3 lineage names") as caught:
        x = Lineage.from_adata(read)
    assert all(w.filename == __file__ for w in caught)
    check(x, read.obsm["lineages_fwd"], ["0", "1", "2"], _colors.default_colors(3))
    del read.obs["macrostates_fwd"]
    with pytest.warns(FerrocyteWarning, match="Unable to find 2 lineage names"):
        assert Lineage.from_adata(read, kind="macrostates").names.tolist() == ["0", "1"]


@pytest.mark.parametrize("colors", [None, ["red"], ["red", "nothing"]])
def test_from_adata_without_colors(read, colors):
    if colors is None:
        del read.uns["term_states_fwd_colors"]
    else:
        read.uns["term_states_fwd_colors"] = colors
    with pytest.warns(
        FerrocyteWarning, match=r"Unable to find 2 colors in `adata\.uns\['term_states_fwd_col"
    ):
        x = Lineage.from_adata(read)
    check(x, read.obsm["lineages_fwd"], STATES["term_states_fwd"], _colors.default_colors(2))


def test_from_adata_of_a_frame_and_a_sparse_matrix(read):
    values = np.full((8, 2), 0.5)
    read.obsm["lineages_fwd"] = pd.DataFrame(values, index=read.obs_names, columns=["tf1", "tf2"])
    check(Lineage.from_adata(read), values, ["tf1", "tf2"], read.uns["term_states_fwd_colors"].tolist())
    read.obsm["lineages_fwd"] = sp.csr_matrix(values)
    check(Lineage.from_adata(read), values, ["tf1", "tf2"])


def test_from_adata_errors(read):
    del read.obsm["lineages_fwd"]
    with pytest.raises(KeyError, match=r"adata\.obsm\['lineages_fwd'\].*Did you mean 'lineages_bwd'"):
        Lineage.from_adata(read)
    read.obsm["lineages_fwd"] = np.ones((8, 2, 2))
    with pytest.raises(ValueError, match="to be a matrix of numbers"):
        Lineage.from_adata(read)
    read.obsm["lineages_fwd"] = np.ones((8, 0))
    with pytest.raises(ValueError, match="at least one column"):
        Lineage.from_adata(read)
    with pytest.raises(InvalidOptionError, match="Invalid option"):
        Lineage.from_adata(read, kind="fates")
    with pytest.raises(TypeError, match="`adata` to be an `AnnData`"):
        Lineage.from_adata(np.ones((3, 3)))
