"""Every binding on malformed matrices: a typed error or the right answer, never a panic.

A panic would surface as `pyo3_runtime.PanicException`, which is no `Exception`, or as the `RuntimeError`
of a failed worker; neither is among the errors allowed here.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.sparse as sp
from ferrocyte import _core
from ferrocyte._errors import FerrocyteError
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from reference.malformed import FORMS, ORDERS, WRONG, Broken, broken
from reference.matrices import csr, row_normalized

# One of the forms is `numpy.matrix`, which numpy itself would rather not see.
pytestmark = pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")

# What a binding may raise: ours, or the interpreter's own for an argument of the wrong kind.
TYPED = (FerrocyteError, TypeError, OverflowError)
N = 4
GRAPH = csr([[1, 2, 0, 1], [5, 1, 1, 0], [4, 0, 1, 3], [1, 7, 0, 1]])
CHAIN = row_normalized(GRAPH)
X = np.array([[1, 0, 2], [0, 1, 1], [3, 1, 0], [1, 1, 1]], dtype=float)
V = np.array([[1, 1, 0], [0, 2, 1], [1, 0, 1], [2, 1, 1]], dtype=float)
TIMES = np.array([0.0, 1.0, 2.0, 3.0])
SCHUR = np.array([[1.0, -1, 0], [1, 1, 0], [1, 0, 2], [1, 0.5, 0]])
MODEL = {"similarity": "correlation", "direction": "forward", "softmax_scale": 4.0, "n_samples": 10}


def walk(T, n):
    return _core.random_walks(T, np.arange(n), None, n_sims=3, max_steps=9, successive_hits=0, seed=0)


def velocity(graph, x, v, model="deterministic"):
    return _core.velocity_transitions(graph, x, v, None, model=model, **MODEL)


def trends(matrix):
    basis = {"n_splines": 2, "order": 1, "edges": (0.0, 3.0), "distribution": "normal", "link": "identity"}
    genes, cells = np.arange(3), np.arange(N)
    out = _core.fit_trends(matrix, genes, cells, TIMES, np.ones(N), lams=[1.0], **basis)
    return out["coefficients"]


def across(T, graph, x):
    source = np.arange(len(x)) < 2
    return _core.boundary_correctness(T, graph, source, ~source, x)


def drivers(x):
    sums = _core.ColumnCorrelations(X.shape[1], TIMES[:, None])
    sums.add(x)
    return sums.finish()


def identity(n):
    return sp.identity(n, format="csr")


def points(n):
    return np.cos(np.arange(n * 3, dtype=float)).reshape(-1, 3)


# Bindings of one graph or chain of n cells; the other arguments fit n.
GRAPHS = {
    "connectivity_transitions": lambda m, n: _core.connectivity_transitions(m),
    "row_normalize": lambda m, n: _core.row_normalize(m),
    "weighted_sum, first": lambda m, n: _core.weighted_sum([m, identity(n)], [0.5, 0.5], threads=1),
    "weighted_sum, second": lambda m, n: _core.weighted_sum([identity(n), m], [0.5, 0.5], threads=1),
    "weighted_sum, three": lambda m, n: _core.weighted_sum([m, m, m], [0.5, 0.2, 0.3], threads=1),
    "elementwise_product": lambda m, n: _core.elementwise_product([m, m], threads=1),
    "bias_knn_hard": lambda m, n: _core.bias_knn_hard(m, np.arange(float(n)), frac_to_keep=0.3),
    "bias_knn_soft": lambda m, n: _core.bias_knn_soft(m, np.arange(float(n)), b=10.0, nu=0.5),
    "velocity_transitions": lambda m, n: velocity(m, points(n), points(n)[::-1].copy()),
    "velocity_transitions, stochastic": lambda m, n: velocity(m, points(n), points(n), "stochastic"),
    "velocity_transitions, monte_carlo": lambda m, n: velocity(m, points(n), points(n), "monte_carlo"),
    "velocity_moments": lambda m, n: _core.velocity_moments(m, points(n), None),
    "boundary_correctness, graph": lambda m, n: across(identity(n), m, points(n)),
    "project, graph": lambda m, n: _core.project(identity(n), m, points(n)),
}
CHAINS = {
    "random_walks": walk,
    "boundary_correctness, T": lambda m, n: across(m, csr(np.ones((n, n))), points(n)),
    "project, T": lambda m, n: _core.project(m, csr(np.ones((n, n))), points(n)),
    "schur_decomposition": lambda m, n: _core.schur_decomposition(m, None, n_components=min(2, n)),
    "eigenvectors, left": lambda m, n: _core.eigenvectors(m, k=1, side="left"),
    "eigenvectors, right": lambda m, n: _core.eigenvectors(m, k=1, side="right"),
    "stationary_distribution": lambda m, n: _core.stationary_distribution(m),
    "coarse_transition_matrix": lambda m, n: _core.coarse_transition_matrix(m, np.ones((n, 1)), None),
}
# Bindings of a cell-by-gene matrix.
FEATURES = {
    "nan_columns": lambda x, n=N: _core.nan_columns(x, threads=1),
    "first_not_finite": lambda x, n=N: _core.first_not_finite(x, None, threads=1),
    "count_positive": lambda x, n=N: _core.count_positive(x, threads=1),
    "column_correlations": lambda x, n=N: _core.column_correlations(x, TIMES, threads=1),
    "ColumnCorrelations": lambda x, n=N: drivers(x),
    "permutation_test": lambda x, n=N: _core.permutation_test(
        x, TIMES[:, None], n_perms=9, quantiles=(0.1, 0.9), seed=0
    ),
    "map_to_schema": lambda x, n=N: _core.map_to_schema(
        x, np.array([1, -1, 0], dtype=np.int32), 2, threads=1
    ),
    "velocity_transitions, x": lambda x, n=N: velocity(GRAPH, x, V),
    "fit_trends": lambda x, n=N: trends(x),
    "velocity_transitions, v": lambda v, n=N: velocity(GRAPH, X, v),
    "velocity_moments": lambda v, n=N: _core.velocity_moments(GRAPH, v, None),
}
# Bindings of plain float64 matrices.
DENSE = {
    "project": lambda x, n=N: _core.project(CHAIN, GRAPH, x),
    "boundary_correctness": lambda x, n=N: across(CHAIN, GRAPH, x),
    "similarity, v": lambda v, n=N: _core.similarity("cosine", v, X, 1.0),
    "similarity, D": lambda d, n=N: _core.similarity("correlation", V[:1], d, 1.0),
    "gpcca_min_chi": lambda x, n=N: _core.gpcca_min_chi(x, 2),
    "gpcca_macrostates": lambda x, n=N: _core.gpcca_macrostates(x, 2)[:4],
    "gpcca_improve, X": lambda x, n=N: _core.gpcca_improve(x, np.eye(2))[:4],
    "gpcca_improve, rotation": lambda a, n=N: _core.gpcca_improve(SCHUR, a)[:4],
    "coarse_transition_matrix": lambda chi, n=N: _core.coarse_transition_matrix(CHAIN, chi, None),
    "similarity_hessian": lambda d, n=N: _core.similarity_hessian("cosine", V[0], d, 1.0),
}
# What those take that do not take any matrix.
GOOD = {
    "gpcca_min_chi": (SCHUR,),
    "gpcca_macrostates": (SCHUR,),
    "gpcca_improve, X": (SCHUR,),
    "gpcca_improve, rotation": (np.array([[0, 1.0], [1, -1]]),),
}


def flat(answer):
    """The arrays of an answer, however nested."""
    if isinstance(answer, tuple | list):
        return [array for part in answer for array in flat(part)]
    return [np.asarray(answer, dtype=float)]


def same(found, expected):
    found, expected = flat(found), flat(expected)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert_allclose(a, b, rtol=1e-6, atol=1e-9)


def error_or(function, argument, expected):
    try:
        found = function(argument, N)
    except TYPED:
        return
    same(found, expected)


SPARSE = [(name, f, GRAPH) for name, f in GRAPHS.items()] + [(name, f, CHAIN) for name, f in CHAINS.items()]
CASES = SPARSE + [(name, f, sp.csr_matrix(X)) for name, f in FEATURES.items()]
NAMES = [f"{name} of {'cells' if good.shape[1] == N else 'genes'}" for name, _, good in CASES]
every_binding = pytest.mark.parametrize(("function", "good"), [case[1:] for case in CASES], ids=NAMES)


@pytest.mark.parametrize("form", FORMS)
@every_binding
def test_another_form_gives_an_error_or_the_same_answer(function, good, form):
    error_or(function, FORMS[form](good), function(good, N))


@pytest.mark.parametrize("form", ["int64 indices and pointers", "read-only", "sparse array"])
@every_binding
def test_good_forms_are_taken(function, good, form):
    same(function(FORMS[form](good), N), function(good, N))


@pytest.mark.parametrize("wrong", WRONG)
@every_binding
def test_arrays_that_contradict_each_other_are_refused(function, good, wrong):
    with pytest.raises(TYPED):
        function(broken(good, WRONG[wrong]), N)


@pytest.mark.parametrize("wrong", [None, 3, "graph", object(), [], np.zeros(3), np.zeros((2, 2, 2))])
@every_binding
def test_other_objects_are_refused(function, good, wrong):
    with pytest.raises(TYPED):
        function(wrong, N)


@pytest.mark.parametrize("n", [0, 1])
@pytest.mark.parametrize("name", [*GRAPHS, *CHAINS])
def test_no_cell_and_one_cell(name, n):
    """An identity of that size is a graph and a chain; of answers per cell, there are n."""
    try:
        found = {**GRAPHS, **CHAINS}[name](identity(n), n)
    except FerrocyteError:
        assert n == 0 or name.startswith("velocity_transitions")
    else:
        assert all(np.all(np.isfinite(array)) for array in flat(found))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", [*FEATURES, *DENSE])
def test_dense_matrices_in_any_order(name, order):
    function = {**FEATURES, **DENSE}[name]
    for good in GOOD.get(name, (X, V)):
        error_or(function, ORDERS[order](good), function(good, N))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_whatever_arrays_come(data):
    """Any short arrays at all in place of a CSR matrix's; where there is an answer, scipy agrees that the
    matrix is one, and gives the same numbers to the binding."""
    ints = st.integers(-2, 6) | st.sampled_from([2**31 - 1, -(2**31)])
    width = st.sampled_from([np.int32, np.int64])
    n = data.draw(st.integers(0, 4))
    lengths = st.lists(st.integers(0, 4), min_size=n, max_size=n)
    in_order = lengths.map(lambda k: list(itertools.accumulate(k, initial=0)))
    indptr = data.draw(st.lists(ints, max_size=6) | in_order)
    n_stored = indptr[-1] if indptr and 0 <= indptr[-1] < 20 else 3
    indices = data.draw(st.lists(ints | st.integers(0, 3), min_size=n_stored, max_size=n_stored))
    number = st.floats(0.1, 5) | st.sampled_from([0.0, -1.0, np.nan, np.inf, 1e308])
    values = data.draw(st.lists(number, min_size=n_stored, max_size=n_stored))
    matrix = Broken(
        np.array(values, dtype=float),
        np.array(indices, dtype=data.draw(width)),
        np.array(indptr, dtype=data.draw(width)),
        (n, data.draw(st.just(n) | st.integers(0, 5))),
    )
    _, function, _ = data.draw(st.sampled_from(CASES), label="binding")
    try:
        found = function(matrix, n)
    except TYPED:
        return
    proper = sp.csr_matrix((matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape)
    proper.check_format(full_check=True)
    same(found, function(proper, n))
