"""`bias_knn_hard`, `bias_knn_soft` and their versions for one cell."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from ferrocyte import _core
from ferrocyte._errors import InvalidDataError, InvalidOptionError
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from reference import naive_pseudotime as naive
from reference.matrices import csr, from_parts, graphs, random_graph

LINE = csr([[0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 1, 0]])
TIMES = np.arange(4.0)


def test_hard_on_a_line():
    """Cells 0 - 1 - 2 - 3 at times 0..3, nobody protected: only 0 -> 1 -> 2 -> 3 is left."""
    out = from_parts(_core.bias_knn_hard(LINE, TIMES, frac_to_keep=0.0), LINE.shape)
    assert_array_equal(out.toarray(), np.diag(np.ones(3), 1))
    assert out.nnz == 3


def test_hard_protects_half():
    """With half of two neighbors kept, ties go to the later one, which is in the future anyway."""
    out = from_parts(_core.bias_knn_hard(LINE, TIMES, frac_to_keep=0.5), LINE.shape)
    assert_array_equal(out.toarray(), np.diag(np.ones(3), 1))
    heavy = LINE.copy()
    heavy[2, 1] = 7.0
    out = from_parts(_core.bias_knn_hard(heavy, TIMES, frac_to_keep=0.5), LINE.shape)
    assert out[2, 1] == 7.0


def test_soft_on_a_line():
    """b = ln 3, nu = 1/2: a step back by 1 is multiplied by 2 / (1 + 3)^2 = 1/8."""
    out = from_parts(_core.bias_knn_soft(LINE, TIMES, b=np.log(3.0), nu=0.5), LINE.shape)
    assert_allclose(out.toarray(), np.diag(np.ones(3), 1) + np.diag(np.full(3, 1 / 8), -1), rtol=1e-15)


def test_equal_times_are_no_past():
    out = from_parts(_core.bias_knn_hard(LINE, np.zeros(4), frac_to_keep=0.0), LINE.shape)
    assert_array_equal(out.toarray(), LINE.toarray())
    out = from_parts(_core.bias_knn_soft(LINE, np.zeros(4), b=10.0, nu=0.5), LINE.shape)
    assert_array_equal(out.toarray(), LINE.toarray())


@given(graphs(), st.data())
def test_both_schemes_agree_with_the_slow_version(graph, data):
    n = graph.shape[0]
    times = np.array(data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.5]), min_size=n, max_size=n)))
    frac = data.draw(st.floats(0, 1))
    out = from_parts(_core.bias_knn_hard(graph, times, frac_to_keep=frac), graph.shape)
    assert_array_equal(out.toarray(), naive.bias_knn(graph, times, partial(naive.hard, frac_to_keep=frac)))
    b, nu = data.draw(st.floats(0, 50)), data.draw(st.floats(0.2, 3))
    out = from_parts(_core.bias_knn_soft(graph, times, b=b, nu=nu), graph.shape)
    expected = naive.bias_knn(graph, times, partial(naive.soft, b=b, nu=nu))
    assert_allclose(out.toarray(), expected, rtol=1e-12, atol=1e-300)


@pytest.mark.parametrize("n_neighbors", [5, 31, 43, 140])
def test_many_neighbors_with_ties_and_any_number_of_threads(n_neighbors):
    graph = random_graph(1100 if n_neighbors == 5 else 150, n_neighbors, seed=1, ties=True)
    times = np.random.default_rng(2).random(graph.shape[0])
    one = _core.bias_knn_hard(graph, times, frac_to_keep=0.3)
    expected = naive.bias_knn(graph, times, partial(naive.hard, frac_to_keep=0.3))
    assert_array_equal(from_parts(one, graph.shape).toarray(), expected)
    soft = _core.bias_knn_soft(graph, times, b=10.0, nu=0.7)
    for threads in (2, 5):
        again = _core.bias_knn_hard(graph, times, frac_to_keep=0.3, threads=threads)
        again += _core.bias_knn_soft(graph, times, b=10.0, nu=0.7, threads=threads)
        for a, b in zip(one + soft, again, strict=True):
            assert_array_equal(a, b)


@given(st.lists(st.tuples(st.floats(-2, 2), st.integers(1, 4)), min_size=0, max_size=50), st.floats(-2, 2))
def test_one_cell_agrees_with_the_slow_version(neighbors, t):
    times = np.array([a for a, _ in neighbors], dtype=float)
    weights = np.array([w for _, w in neighbors], dtype=float)
    hard = _core.hard_threshold(t, times, weights, frac_to_keep=0.3)
    assert_array_equal(hard, naive.hard(t, times, weights, 0.3))
    soft = _core.soft_threshold(t, times, weights, b=10.0, nu=0.5)
    assert_allclose(soft, naive.soft(t, times, weights, 10.0, 0.5), rtol=1e-12)


def test_a_steep_scheme_removes_without_overflow():
    out = from_parts(_core.bias_knn_soft(LINE, TIMES, b=1e300, nu=1e-3), LINE.shape)
    assert_array_equal(out.toarray(), np.diag(np.ones(3), 1))


def test_inputs_are_left_alone():
    graph, times = LINE.copy(), TIMES.copy()
    _core.bias_knn_hard(graph, times, frac_to_keep=0.0)
    _core.bias_knn_soft(graph, times, b=10.0, nu=0.5)
    assert_array_equal(graph.toarray(), LINE.toarray())
    assert_array_equal(times, TIMES)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_times_that_are_not_finite_are_named(bad):
    times = TIMES.copy()
    times[2] = bad
    with pytest.raises(InvalidDataError, match="pseudotime is not finite in row 2") as caught:
        _core.bias_knn_hard(LINE, times, frac_to_keep=0.3)
    assert caught.value.cells == [2]
    with pytest.raises(InvalidDataError, match="pseudotime"):
        _core.bias_knn_soft(LINE, times, b=10.0, nu=0.5)
    with pytest.raises(InvalidDataError, match="pseudotime of the neighbors"):
        _core.hard_threshold(0.0, times, np.ones(4), frac_to_keep=0.3)
    with pytest.raises(InvalidDataError, match="`t`"):
        _core.soft_threshold(bad, TIMES, np.ones(4), b=10.0, nu=0.5)


def test_wrong_lengths_and_parameters():
    with pytest.raises(InvalidDataError, match="one value per cell"):
        _core.bias_knn_hard(LINE, TIMES[:3], frac_to_keep=0.3)
    with pytest.raises(InvalidDataError, match="one value per neighbor"):
        _core.hard_threshold(0.0, TIMES[:3], np.ones(4), frac_to_keep=0.3)
    for frac in (-0.1, 1.1, np.nan):
        with pytest.raises(InvalidOptionError, match="frac_to_keep"):
            _core.bias_knn_hard(LINE, TIMES, frac_to_keep=frac)
    for b, nu, name in ((-1.0, 0.5, "`b`"), (np.inf, 0.5, "`b`"), (1.0, 0.0, "`nu`"), (1.0, np.nan, "`nu`")):
        with pytest.raises(InvalidOptionError, match=name):
            _core.bias_knn_soft(LINE, TIMES, b=b, nu=nu)
        with pytest.raises(InvalidOptionError, match=name):
            _core.soft_threshold(0.0, TIMES, np.ones(4), b=b, nu=nu)


def test_negative_weights_are_refused():
    with pytest.raises(InvalidDataError, match="negative"):
        _core.bias_knn_hard(-LINE, TIMES, frac_to_keep=0.3)
