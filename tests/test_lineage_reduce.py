"""`Lineage.reduce` and `Lineage.priming_degree`: on paper, and against frozen results of CellRank."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.spatial.distance as sd
import scipy.stats as st
from ferrocyte._errors import InvalidDataError, InvalidOptionError, MissingDataError
from ferrocyte.lineage import Lineage
from hypothesis import given, settings
from hypothesis import strategies as hs
from numpy.testing import assert_allclose, assert_array_equal

NAMES = ["a", "b", "c", "d"]
MEASURES = ["cosine_sim", "wasserstein_dist", "kl_div", "js_div", "mutual_info", "equal"]
FROZEN = np.load(Path(__file__).parent / "data" / "frozen" / "lineage.npz")


@pytest.fixture
def plain():
    return np.random.default_rng(5).dirichlet(np.ones(4), 40)


@pytest.fixture
def x(plain):
    return Lineage(plain, names=NAMES, colors=["red", "lime", "blue", "black"])


# Reduction --------------------------------------------------------------------------------------------


def test_equal_shares_on_paper():
    """c = 0.2 is halved between a and b."""
    x = Lineage(np.array([[0.5, 0.3, 0.2], [0.0, 0.0, 1.0]]), names=["a", "b", "c"])
    y, weights = x.reduce("a", "b", dist_measure="equal", return_weights=True)
    assert_allclose(y.X, [[0.6, 0.4], [0.5, 0.5]])
    assert weights.to_dict() == {"a": {"c": 0.5}, "b": {"c": 0.5}}


def test_cosine_on_paper():
    """c is at a right angle to b and at 45 degrees to a; weights 1 and 0, softmax e / (e + 1)."""
    x = Lineage(np.array([[0.5, 0.0, 0.5], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), names=["a", "b", "c"])
    y, weights = x.reduce("a", "b", dist_measure="cosine_sim", normalize_weights="scale", return_weights=True)
    assert_allclose(weights.to_numpy(), [[1, 0]], atol=1e-15)
    assert_allclose(y.X, [[1, 0], [1, 0], [0, 1]], atol=1e-15)
    _, weights = x.reduce("a", "b", dist_measure="cosine_sim", softmax_scale=2, return_weights=True)
    assert_allclose(weights.to_numpy(), [[np.e**2 / (np.e**2 + 1), 1 / (np.e**2 + 1)]])


def test_scale_on_paper():
    x = Lineage(np.array([[0.5, 0.3, 0.2], [0.1, 0.1, 0.8]]), names=["a", "b", "c"])
    y, weights = x.reduce("c", "a", mode="scale", return_weights=True)
    assert_allclose(y.X, [[2 / 7, 5 / 7], [8 / 9, 1 / 9]])
    assert y.names.tolist() == ["c", "a"]
    assert weights is None


DISTANCE = {
    "wasserstein_dist": st.wasserstein_distance,
    "kl_div": st.entropy,
    "js_div": sd.jensenshannon,
}


@pytest.mark.parametrize("measure", DISTANCE)
def test_distances_are_those_of_scipy(plain, measure):
    """Columns that sum to 1 over the cells without zeros; inverse distances."""
    plain = np.vstack([plain, np.eye(4)])
    _, weights = Lineage(plain, names=NAMES).reduce(
        "d", "b", dist_measure=measure, normalize_weights="scale", return_weights=True
    )
    kept = plain[(plain > 0).all(axis=1)]
    shares = kept / kept.sum(axis=0)
    inverse = np.array([[1 / DISTANCE[measure](shares[:, q], shares[:, r]) for r in (3, 1)] for q in (0, 2)])
    assert_allclose(weights.to_numpy(), inverse / inverse.sum(axis=1, keepdims=True), rtol=1e-10)
    assert weights.index.tolist() == ["a", "c"]
    assert weights.columns.tolist() == ["d", "b"]


def test_lineages_that_are_the_same_get_everything():
    a = np.array([0.3, 0.2, 0.1])
    x = Lineage(np.c_[a, 1 - 2 * a, a], names=["a", "b", "c"])
    for measure in DISTANCE:
        _, weights = x.reduce("a", "b", dist_measure=measure, normalize_weights="scale", return_weights=True)
        assert_array_equal(weights.to_numpy(), [[1, 0]])


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("normalize", ["softmax", "scale"])
@pytest.mark.parametrize("keys", [("a", "b"), ("c", "a, d"), ("d", "c", "a")])
def test_rows_sum_to_one(x, measure, normalize, keys):
    y, weights = x.reduce(*keys, dist_measure=measure, normalize_weights=normalize, return_weights=True)
    assert type(y) is Lineage
    assert y.names.tolist() == list(keys)
    assert y.colors.tolist() == x[:, list(keys)].colors.tolist()
    assert_allclose(y.X.sum(axis=1), 1, atol=1e-12)
    assert isinstance(weights, pd.DataFrame)
    assert_allclose(weights.sum(axis=1), 1, atol=1e-12)
    assert weights.columns.tolist() == list(keys)
    rest = [n for n in NAMES if not any(n in k for k in keys)]
    assert weights.index.tolist() == rest
    assert_allclose(y.X, x[:, list(keys)].X + x[:, rest].X @ weights.to_numpy(), atol=1e-15)
    again = x.reduce(*keys, dist_measure=measure, normalize_weights=normalize)
    assert_array_equal(again.X, y.X)  # mutual information has a fixed seed


def test_one_key_is_a_column_of_ones(x):
    for keys in (("b",), ("a, c",), ("a, b, c, d",)):
        for mode in ("dist", "scale"):
            y = x.reduce(*keys, mode=mode, dist_measure="equal")
            assert y.names.tolist() == list(keys)
            assert_array_equal(y.X, np.ones((40, 1)))
    _, weights = x.reduce("b", dist_measure="equal", return_weights=True)
    assert_array_equal(weights, np.ones((3, 1)))


@pytest.mark.parametrize("measure", MEASURES)
def test_one_key_needs_no_measure(measure):
    """Lineages without any information on each other, and a zero in each cell."""
    x = Lineage(np.eye(3), names=list("abc"))
    y, weights = x.reduce("b", dist_measure=measure, return_weights=True)
    assert_array_equal(y.X, np.ones((3, 1)))
    assert_array_equal(weights, np.ones((2, 1)))


@pytest.mark.parametrize("mode", ["dist", "scale"])
def test_all_keys_return_them_as_they_are(x, plain, mode):
    y, weights = x.reduce("d", "a", "c", "b", mode=mode, return_weights=True)
    assert_array_equal(y.X, plain[:, [3, 0, 2, 1]])
    assert y.names.tolist() == ["d", "a", "c", "b"]
    assert weights is None
    merged = x.reduce("a, d", "c", "b", mode=mode)
    assert_allclose(merged.X, np.c_[plain[:, 0] + plain[:, 3], plain[:, 2], plain[:, 1]])
    assert merged.names.tolist() == ["a, d", "c", "b"]


def test_nothing_is_changed(x, plain):
    x.reduce("a", "b")
    x.priming_degree()
    assert_array_equal(x.X, plain)


def test_float32(x, plain):
    small = x.astype("float32")
    y = small.reduce("a", "b", dist_measure="cosine_sim")
    assert y.dtype == np.float64
    assert_allclose(y.X, x.reduce("a", "b", dist_measure="cosine_sim").X, atol=1e-6)


def test_reduce_errors(x, plain):
    with pytest.raises(ValueError, match="do not sum to one") as error:
        Lineage(np.vstack([plain[:2], plain[:1] * 2]), names=NAMES).reduce("a", "b")
    assert error.value.cells == [2]
    with pytest.raises(ValueError, match="do not sum to one"):
        Lineage(np.full((2, 2), np.nan), names=["a", "b"]).reduce("a")
    with pytest.raises(ValueError, match="no keys specified"):
        x.reduce()
    with pytest.raises(KeyError, match="Invalid lineage name") as missing:
        x.reduce("a", "z")
    assert isinstance(missing.value, MissingDataError)
    for wrong in ({"mode": "x"}, {"dist_measure": "x"}, {"normalize_weights": "x"}):
        with pytest.raises(ValueError, match="Invalid option") as option:
            x.reduce("a", "b", **wrong)
        assert isinstance(option.value, InvalidOptionError)
    with pytest.raises(RuntimeError, match="transposed"):
        x.T.reduce("a", "b")
    with pytest.raises(ValueError, match="overlapping"):
        x.reduce("a, b", "b")
    with pytest.raises(TypeError, match="softmax_scale"):
        x.reduce("a", "b", dist_measure="equal", softmax_scale="1")


def test_what_can_not_be_computed():
    x = Lineage(np.eye(3), names=["a", "b", "c"])
    with pytest.raises(InvalidDataError, match="no probability for any of the kept") as error:
        x.reduce("a", "b", mode="scale")
    assert error.value.cells == [2]
    with pytest.raises(InvalidDataError, match="above zero for all lineages"):
        x.reduce("a", "b", dist_measure="kl_div")
    with pytest.raises(InvalidDataError, match="can not be normalized"):
        x.reduce("a", "b", dist_measure="cosine_sim")
    assert_allclose(x.reduce("a", "b", dist_measure="equal").X, [[1, 0], [0, 1], [0.5, 0.5]])


# Priming ----------------------------------------------------------------------------------------------


def test_divergence_on_paper():
    """Mean (1/2, 1/2): the bits of (1/2, 1/2) are 0, those of (3/4, 1/4) are 3/4 log2 3 - 1."""
    x = Lineage(np.array([[0.5, 0.5], [0.75, 0.25], [0.25, 0.75], [0.9, 0.1], [0.1, 0.9]]), names=["a", "b"])
    bits = 1 + np.sum(x.X * np.log2(x.X), axis=1)
    assert bits[1] == pytest.approx(0.75 * np.log2(3) - 1)
    degree = x.priming_degree()
    assert type(degree) is np.ndarray
    assert_allclose(degree, bits / bits.max(), atol=1e-15)


def test_divergence_from_early_cells(x, plain):
    early = np.array([0, 3, 7])
    mean = plain[early].mean(axis=0)
    expected = np.array([st.entropy(p, mean, base=2) for p in plain])
    expected = (expected - expected.min()) / (expected.max() - expected.min())
    mask = np.isin(np.arange(40), early)
    for given_cells in (early, early.tolist(), mask, mask.tolist()):
        assert_allclose(x.priming_degree(early_cells=given_cells), expected, atol=1e-12)
    assert not np.allclose(x.priming_degree(), expected)


def test_entropy_on_paper():
    """Entropies log 2, log 4 and 0."""
    x = Lineage(np.array([[0.5, 0.5, 0, 0], [0.25] * 4, [0, 0, 1, 0]]), names=NAMES)
    assert_allclose(x.priming_degree("entropy"), [0.5, 0, 1])


def test_undefined_divergence_counts_as_one():
    """(3/4, 1/4) has 0.1887 bits; where a probability is zero, 1 is taken."""
    x = Lineage(np.array([[1.0, 0.0], [0.0, 1.0], [0.75, 0.25], [0.25, 0.75], [0.5, 0.5]]), names=["a", "b"])
    bits = 0.75 * np.log2(3) - 1
    assert_allclose(x.priming_degree(), [1, 1, bits, bits, 0], atol=1e-15)


@pytest.mark.parametrize("method", ["kl_divergence", "entropy"])
def test_priming_is_scaled_exactly_and_per_cell(x, method):
    degree = x.priming_degree(method)
    assert degree.shape == (40,)
    assert degree.min() == 0
    assert degree.max() == 1
    assert_array_equal(x.T.priming_degree(method), degree)
    same = Lineage(np.full((3, 2), 0.5), names=["a", "b"])
    assert_array_equal(same.priming_degree(method), np.zeros(3))


def test_priming_errors(x):
    for nobody in ([], np.zeros(40, bool)):
        with pytest.raises(ValueError, match=r"No early cells have been specified\."):
            x.priming_degree(early_cells=nobody)
    with pytest.raises(ValueError, match="foo"):
        x.priming_degree("foo")
    with pytest.raises(IndexError):
        x.priming_degree(early_cells=[40])
    for bad in (np.nan, np.inf, -0.1):
        spoiled = x.copy()
        spoiled.X[3, 1] = bad
        for method in ("kl_divergence", "entropy"):
            with pytest.raises(InvalidDataError, match="others for 1 of 40 cells, the first being cell 3"):
                spoiled.priming_degree(method)


def test_a_fate_that_early_cells_do_not_have():
    """1/2 log2(1/2 / 0) is infinite, and what all others are next to it can not be told."""
    x = Lineage(np.array([[1, 0], [1, 0], [0.5, 0.5]]), names=["a", "b"])
    with pytest.raises(InvalidDataError, match=r"above 0 for \['b'\].*Choose other early cells"):
        x.priming_degree(early_cells=[0, 1])
    assert_array_equal(x.priming_degree(early_cells=[0, 2]), [1, 1, 0])


# CellRank 2.0.7 ---------------------------------------------------------------------------------------

REDUCED = sorted({k.rpartition("/")[0] for k in FROZEN.files if k.startswith("reduce/")})


def test_frozen_results_are_there():
    assert len(REDUCED) == 2 * 3 * len(MEASURES) * 3


@pytest.mark.parametrize("path", REDUCED)
def test_reduce_as_cellrank(path):
    _, case, keys, measure, how = path.split("/")
    normalize = how.rstrip("0123456789.")
    x = Lineage(FROZEN[f"X/{case}"], names=list("abcde"))
    y, weights = x.reduce(
        *keys.split("|"),
        dist_measure=measure,
        normalize_weights=normalize,
        softmax_scale=float(how[len(normalize) :]),
        return_weights=True,
    )
    # scikit-learn's estimate of the mutual information may change in the last digits between versions
    atol = 1e-8 if measure == "mutual_info" else 1e-12
    assert_allclose(weights.to_numpy(), FROZEN[f"{path}/weights"], atol=atol, rtol=0)
    assert_allclose(y.X, FROZEN[f"{path}/X"], atol=atol, rtol=0)


@pytest.mark.parametrize("path", [k for k in FROZEN.files if k.startswith("scale/")])
def test_scale_as_cellrank(path):
    _, case, keys = path.split("/")
    x = Lineage(FROZEN[f"X/{case}"], names=list("abcde"))
    assert_allclose(x.reduce(*keys.split("|"), mode="scale").X, FROZEN[path], atol=1e-14)


@pytest.mark.parametrize("case", ["smooth", "sharp"])
def test_priming_as_cellrank(case):
    x = Lineage(FROZEN[f"X/{case}"], names=list("abcde"))
    for method, early in (
        ("kl_divergence", None), ("kl_divergence_early", np.arange(0, 40, 3)), ("entropy", None),
    ):  # fmt: skip
        degree = x.priming_degree(method.removesuffix("_early"), early_cells=early)
        assert_allclose(degree, FROZEN[f"priming/{case}/{method}"], atol=1e-12)


# Any probabilities ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(hs.integers(2, 6), hs.integers(1, 12), hs.integers(0, 2**31), hs.floats(0.05, 5), hs.data())
def test_mass_is_kept_and_never_moved_from_what_stays(n_lineages, n_cells, seed, concentration, data):
    plain = np.random.default_rng(seed).dirichlet(np.full(n_lineages, concentration), n_cells)
    names = [f"l{i}" for i in range(n_lineages)]
    keys = data.draw(hs.lists(hs.sampled_from(names), min_size=2, max_size=n_lineages, unique=True))
    x = Lineage(plain, names=names)
    for normalize in ("scale", "softmax"):
        y = x.reduce(*keys, dist_measure="equal", normalize_weights=normalize)
        assert_allclose(y.X.sum(axis=1), 1, atol=1e-12)
        assert (y.X >= x[:, keys].X).all()
