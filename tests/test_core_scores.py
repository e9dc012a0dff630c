"""`boundary_correctness` and `project`."""

from __future__ import annotations

import numpy as np
import pytest
from ferrocyte import _core
from ferrocyte._errors import InvalidDataError
from numpy.testing import assert_allclose, assert_array_equal
from reference import naive_scores as naive
from reference.matrices import csr, random_graph, row_normalized

GRAPH = csr([[0, 9, 1, 2, 0], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [1, 0, 0, 0, 0], [0, 0, 1, 0, 0]])
REP = np.array([[0, 0, 0], [5, 5, 9], [1, 2, 3], [0, 0, 1], [1, 0, -1]], dtype=float)
SOURCE = np.array([True, True, False, False, False])
TARGET = np.array([False, False, True, True, False])


def first_row(row):
    """The chain that leaves cell 0 by `row` and stays everywhere else."""
    T = np.eye(5)
    T[0] = row
    return csr(T)


def test_one_boundary_cell_on_paper():
    """Cell 0 at the origin: towards the targets 1 (1, 2, 3) + 2 (0, 0, 1) = (1, 2, 5); the chain goes to
    (1, 2, 3). Centered (-5, -2, 7) / 3 and (-1, 0, 1): r = 4 / (sqrt(78) / 3 * sqrt(2)) = 12 / sqrt(156)."""
    T = first_row([0, 0, 1, 0, 0])
    cells, scores = _core.boundary_correctness(T, GRAPH, SOURCE, TARGET, REP)
    assert_array_equal(cells, [0])
    assert_allclose(scores, [12 / np.sqrt(156)], rtol=1e-14)


def test_scores_without_meaning_are_nan():
    """The chain to (1, 2, 3) and (1, 0, -1) in equal parts moves by (1, 1, 1): no variance. NaN counts
    where it goes into a displacement, and only there."""
    even = first_row([0, 0, 0.5, 0, 0.5])
    assert np.isnan(_core.boundary_correctness(even, GRAPH, SOURCE, TARGET, REP)[1]).all()
    T = first_row([0, 0, 1, 0, 0])
    rep = REP.copy()
    rep[[1, 4]] = np.nan
    assert_allclose(_core.boundary_correctness(T, GRAPH, SOURCE, TARGET, rep)[1], [12 / np.sqrt(156)])
    rep[3, 0] = np.nan
    assert np.isnan(_core.boundary_correctness(T, GRAPH, SOURCE, TARGET, rep)[1]).all()


def test_no_boundary_is_an_empty_answer():
    cells, scores = _core.boundary_correctness(csr(np.eye(5)), GRAPH, ~SOURCE & ~TARGET, SOURCE, REP)
    assert cells.shape == scores.shape == (0,)


@pytest.mark.parametrize("seed", range(5))
def test_both_agree_with_the_slow_version(seed):
    rng = np.random.default_rng(seed)
    graph = random_graph(80, 9, seed)
    T = row_normalized(random_graph(80, 12, seed + 100))
    source, target = rng.random(80) < 0.5, rng.random(80) < 0.5
    rep = rng.normal(size=(80, 6))
    cells, scores = _core.boundary_correctness(T, graph, source, target, rep, threads=2)
    expected = naive.boundary_correctness(T.toarray(), graph.toarray(), source, target, rep)
    assert_array_equal(cells, expected[0])
    assert_allclose(scores, expected[1], rtol=1e-10, atol=1e-12)
    for width in (1, 2, 3):
        found = _core.project(T, graph, rep[:, :width].copy(), threads=2)
        assert_allclose(found, naive.project(T.toarray(), graph.toarray(), rep[:, :width]), atol=1e-13)


def test_a_direction_on_paper():
    """Cell 0 with neighbors east (distance 2), north (distance 3) and itself goes east with 0.75:
    (0.75 - 1/3) (1, 0) + (0 - 1/3) (0, 1). A single certain neighbor cancels, no neighbor gives zero."""
    T = csr([[0, 0.75, 0, 0.25], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]])
    graph = csr([[1, 1, 1, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]])
    x = np.array([[0, 0], [2, 0], [0, 3], [7, 7]], dtype=float)
    expected = [[0.75 - 1 / 3, -1 / 3], [0, 0], [0, 0], [0, 0]]
    assert_allclose(_core.project(T, graph, x), expected, atol=1e-15)
    x[1, 1] = np.nan
    found = _core.project(T, graph, x)
    assert_array_equal(np.isnan(found), [[True, True], [True, True], [False, False], [False, False]])


def test_moving_and_scaling_the_embedding_changes_nothing():
    graph = random_graph(60, 7, seed=0)
    T = row_normalized(graph.T.tocsr() + graph)
    x = np.random.default_rng(0).normal(size=(60, 2))
    assert_allclose(_core.project(T, graph, 8 * x + 3), _core.project(T, graph, x), atol=1e-12)


def test_threads_and_cell_order_do_not_matter():
    graph = random_graph(700, 9, seed=3)
    T = row_normalized(graph)
    rng = np.random.default_rng(1)
    x, source = rng.normal(size=(700, 5)), rng.random(700) < 0.5
    scores = _core.boundary_correctness(T, graph, source, ~source, x)
    arrows = _core.project(T, graph, x)
    for threads in (2, 5):
        again = _core.boundary_correctness(T, graph, source, ~source, x, threads=threads)
        assert_array_equal(again[0], scores[0])
        assert_array_equal(again[1], scores[1])
        assert_array_equal(_core.project(T, graph, x, threads=threads), arrows)
    p = rng.permutation(700)
    shuffled = _core.project(T[p][:, p].sorted_indices(), graph[p][:, p].sorted_indices(), x[p])
    assert_allclose(shuffled, arrows[p], atol=1e-13)


def test_sizes_must_agree():
    T = csr(np.eye(5))
    with pytest.raises(InvalidDataError, match="`source`"):
        _core.boundary_correctness(T, GRAPH, SOURCE[:4], TARGET, REP)
    with pytest.raises(InvalidDataError, match="`target`"):
        _core.boundary_correctness(T, GRAPH, SOURCE, TARGET[:4], REP)
    with pytest.raises(InvalidDataError, match="coordinates"):
        _core.boundary_correctness(T, GRAPH, SOURCE, TARGET, REP[:4])
    with pytest.raises(InvalidDataError, match="graph"):
        _core.project(T, csr(np.eye(4)), REP)
    with pytest.raises(InvalidDataError, match="coordinates"):
        _core.project(T, GRAPH, REP[:4])
    with pytest.raises(InvalidDataError, match="row-stochastic"):
        _core.project(GRAPH, GRAPH, REP)
