"""PseudotimeKernel and threshold schemes, on paper."""

from __future__ import annotations

import warnings

import anndata as ad
import ferrocyte as fc
import numpy as np
import pytest
import scipy.sparse as sp
from ferrocyte._errors import FerrocyteWarning, InvalidDataError, InvalidOptionError, InvalidTypeError
from ferrocyte.kernels.utils import (
    CustomThresholdScheme,
    HardThresholdScheme,
    SoftThresholdScheme,
    ThresholdSchemeABC,
)
from numpy.testing import assert_allclose, assert_array_equal

# Four cells, each a neighbor of each other; weights of cell 1: 1 to cell 0, 2 to cell 2, 4 to cell 3.
GRAPH = np.array([[0, 1, 3, 1], [1, 0, 2, 4], [3, 2, 0, 1], [1, 4, 1, 0]], dtype=float)
TIME = np.array([0.0, 0.3, 0.6, 1.0])


def cells(time=TIME, graph=GRAPH):
    adata = ad.AnnData(np.zeros((len(time), 2), dtype=np.float32))
    adata.obs_names = [f"c{i}" for i in range(len(time))]
    adata.obs["time"] = time
    adata.obsp["connectivities"] = sp.csr_matrix(graph)
    return adata


def kernel(adata=None, backward=False, **kwargs):
    k = fc.kernels.PseudotimeKernel(cells() if adata is None else adata, time_key="time", backward=backward)
    if kwargs.get("threshold_scheme", "hard") == "hard":
        kwargs.setdefault("frac_to_keep", 0.34)
    return k.compute_transition_matrix(show_progress_bar=False, **kwargs)


# Schemes ----------------------------------------------------------------------------------------------


def test_hard_scheme():
    """Of five neighbors floor(0.4 * 5) = 2 are kept whatever their time: weights 5 and 4. Of the others, the
    one that is later (weight 1) and the one of the same time (weight 2)."""
    weights = np.array([5.0, 1, 2, 3, 4])
    times = np.array([0.1, 0.9, 0.5, 0.4, 0.2])
    out = HardThresholdScheme()(0.5, times, weights, frac_to_keep=0.4)
    assert_array_equal(out, [5, 1, 2, 0, 4])
    assert_array_equal(HardThresholdScheme()(0.5, times, weights, frac_to_keep=0), [0, 1, 2, 0, 0])
    assert_array_equal(HardThresholdScheme()(0.5, times, weights, frac_to_keep=1), weights)
    assert_array_equal(HardThresholdScheme()(0.5, np.empty(0), np.empty(0)), [])


def test_hard_scheme_keeps_at_most_thirty():
    """100 neighbors, all earlier: not 50 but 30 are kept, those of largest weight."""
    weights = np.arange(1.0, 101)
    out = HardThresholdScheme()(1.0, np.zeros(100), weights, frac_to_keep=0.5)
    assert_array_equal(np.flatnonzero(out), np.arange(70, 100))


def test_soft_scheme():
    """2 / (1 + e^(b d))^(1 / nu) with b d = ln 3 and nu = 1/2: 2 / 4^2 = 1/8; with nu = 1: 2 / 4."""
    b = np.log(3) / 0.1
    times, weights = np.array([0.4, 0.5, 0.6]), np.array([8.0, 8, 8])
    assert_allclose(SoftThresholdScheme()(0.5, times, weights, b=b), [1, 8, 8], atol=1e-12)
    assert_allclose(SoftThresholdScheme()(0.5, times, weights, b=b, nu=1.0), [4, 8, 8], atol=1e-12)


@pytest.mark.parametrize("scheme", [HardThresholdScheme(), SoftThresholdScheme()])
def test_a_graph_is_biased_cell_by_cell(scheme):
    """The compiled loop and one call for each cell."""
    rng = np.random.default_rng(0)
    graph = sp.random(60, 60, 0.3, format="csr", random_state=rng)
    graph.setdiag(0)
    graph.eliminate_zeros()
    time = rng.random(60)
    got = scheme.bias_knn(graph, time, show_progress_bar=False)
    for i in range(60):
        row = graph[[i]]
        want = np.zeros(60)
        want[row.indices] = scheme(time[i], time[row.indices], row.data)
        assert_allclose(got[[i]].toarray()[0], want, atol=1e-15)
    assert (got.data != 0).all()
    one_call_each = CustomThresholdScheme(scheme).bias_knn(graph, time, n_jobs=2)
    assert_allclose(one_call_each.toarray(), got.toarray(), atol=1e-15)
    two = scheme.bias_knn(graph, time, n_jobs=2)
    assert_array_equal(two.data, got.data)
    assert_array_equal(two.indices, got.indices)


def test_schemes_leave_their_input_alone():
    graph, time = sp.csr_matrix(GRAPH), TIME.copy()

    def vandal(t, times, weights):
        times[:] = weights[:] = 1
        return weights

    CustomThresholdScheme(vandal).bias_knn(graph, time)
    assert_array_equal(graph.toarray(), GRAPH)
    assert_array_equal(time, TIME)


def test_names_of_schemes():
    assert str(HardThresholdScheme()) == repr(HardThresholdScheme()) == "<HardThresholdScheme>"
    assert str(CustomThresholdScheme(max)) == "<CustomThresholdScheme>"


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda t, w: HardThresholdScheme()(0, t, w, frac_to_keep=1.1), InvalidOptionError, "frac_to_keep"),
        (lambda t, w: HardThresholdScheme()(0, t, w, frac_to_keep=-0.1), InvalidOptionError, r"in \[0, 1\]"),
        (lambda t, w: SoftThresholdScheme()(0, t, w, nu=0), InvalidOptionError, "`nu` to be positive"),
        (lambda t, w: SoftThresholdScheme()(0, t, w, b="1"), InvalidTypeError, "`b`"),
        (lambda t, w: CustomThresholdScheme("hard"), InvalidTypeError, "function"),
        (lambda t, w: HardThresholdScheme().bias_knn(GRAPH, t[:3]), InvalidDataError, "shapes"),
        (lambda t, w: HardThresholdScheme().bias_knn(GRAPH, t * np.nan), InvalidDataError, "finite"),
        (lambda t, w: HardThresholdScheme().bias_knn(GRAPH, t, nu=3), InvalidTypeError, "nu"),
    ],
)
def test_schemes_refuse(call, error, says):
    with pytest.raises(error, match=says):
        call(TIME, np.ones(4))


# The kernel -------------------------------------------------------------------------------------------


def test_hard_forward():
    """floor(0.34 * 3) = 1 neighbor is always kept, that of largest weight. Cell 3, the last: only cell 1.

    Cell 1 keeps cell 3 for its weight and cell 2 for its time: 2/6 and 4/6. Cell 2 keeps cell 0 (weight 3)
    and cell 3 (later): 3/4 and 1/4. Cell 0, the first, keeps all.
    """
    k = kernel(frac_to_keep=0.34)
    want = [[0, 0.2, 0.6, 0.2], [0, 0, 1 / 3, 2 / 3], [0.75, 0, 0, 0.25], [0, 1, 0, 0]]
    assert_allclose(k.transition_matrix.toarray(), want, atol=1e-15)
    assert k.params == {"dnorm": False, "scheme": "hard", "frac_to_keep": 0.34}
    assert k.transition_matrix.nnz == 8


def test_hard_backward():
    """Time runs as 1, 0.7, 0.4, 0: cell 0 is last and keeps only its closest neighbor, cell 2."""
    k = kernel(backward=True, frac_to_keep=0.34)
    assert_allclose(k.pseudotime, [1, 0.7, 0.4, 0])
    want = [[0, 0, 1, 0], [0.2, 0, 0, 0.8], [0.6, 0.4, 0, 0], [1 / 6, 4 / 6, 1 / 6, 0]]
    assert_allclose(k.transition_matrix.toarray(), want, atol=1e-15)
    assert repr(k) == "~PseudotimeKernel[n=4, dnorm=False, scheme='hard', frac_to_keep=0.34]"
    assert k.init == {"time_key": "time", "backward": True}


def test_soft():
    """b = 10, nu = 1: cell 1 is 0.3 behind cell 0, which is weighed 2 / (1 + e^3)."""
    k = kernel(threshold_scheme="soft", nu=1.0)
    row = np.array([2 / (1 + np.exp(3)), 0, 2, 4])
    assert_allclose(k.transition_matrix.toarray()[1], row / row.sum(), atol=1e-12)
    assert k.params == {"dnorm": False, "scheme": "soft", "b": 10.0, "nu": 1.0}


@pytest.mark.parametrize("scheme", ["hard", "soft"])
def test_rows_threads_and_order_of_cells(scheme):
    adata = fc.datasets.dentate_gyrus()
    adata.obs["time"] = adata.obs["dpt_pseudotime"]
    one = kernel(adata, threshold_scheme=scheme, n_jobs=1).transition_matrix
    two = kernel(adata, threshold_scheme=scheme, n_jobs=2).transition_matrix
    assert (one != two).nnz == 0
    assert_allclose(np.asarray(one.sum(axis=1)), 1, rtol=1e-12)
    if scheme == "soft":  # the hard scheme chooses among equal weights by position
        order = np.random.default_rng(0).permutation(adata.n_obs)
        shuffled = kernel(adata[order].copy(), threshold_scheme=scheme).transition_matrix
        assert_allclose(shuffled.toarray(), one.toarray()[np.ix_(order, order)], atol=1e-14)


def test_callable():
    def future(t, times, weights, *, slack=0.0):
        return weights * (times > t - slack)

    k = kernel(threshold_scheme=future, slack=2.0)
    assert_allclose(k.transition_matrix.toarray(), GRAPH / GRAPH.sum(axis=1, keepdims=True))
    assert k.params == {"dnorm": False, "scheme": str(future), "slack": 2.0}
    T = k.transition_matrix
    again = k.compute_transition_matrix(threshold_scheme=future, slack=2.0, show_progress_bar=False)
    assert again.transition_matrix is T
    assert k.compute_transition_matrix(threshold_scheme=future, slack=3.0).transition_matrix is not T

    class Future(ThresholdSchemeABC):
        def __call__(self, cell_pseudotime, neigh_pseudotime, neigh_conn):
            return future(cell_pseudotime, neigh_pseudotime, neigh_conn, slack=0.5)

    assert kernel(threshold_scheme=Future()).params["scheme"] == "<Future>"


def test_a_subclass_of_a_built_in_scheme_is_called():
    class Half(HardThresholdScheme):
        def __call__(self, cell_pseudotime, neigh_pseudotime, neigh_conn):
            return neigh_conn / 2

    assert_array_equal(Half().bias_knn(sp.csr_matrix(GRAPH), TIME).toarray(), GRAPH / 2)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_errors_of_callables(n_jobs):
    for scheme, says in (
        (lambda t, times, weights: weights[:-1], "Expected row of shape.*Cells: 'c0'"),
        (lambda t, times, weights: weights * np.nan, "finite"),
        (lambda t, times, weights: weights * 1j, "numbers .* type `complex128`.*Cells: 'c0'"),
        (lambda t, times, weights: ["much"] * len(weights), "numbers .*'c0'"),
        (lambda t, times, weights: -weights, "finite weights >= 0.*'c0'"),
        (lambda t, times, weights: 0 * weights, "4 cells without any neighbor: 'c0'"),
    ):
        k = kernel()
        T, params = k.transition_matrix, dict(k.params)
        with pytest.raises(InvalidDataError, match=says):
            k.compute_transition_matrix(threshold_scheme=scheme, n_jobs=n_jobs)
        assert k.transition_matrix is T
        assert k.params == params


def test_options():
    for option, error, says in (
        ({"threshold_scheme": "hart"}, InvalidOptionError, "Invalid option 'hart'.*Did you mean 'hard'"),
        ({"threshold_scheme": None}, InvalidTypeError, "threshold_scheme"),
        ({"frac_to_keep": 2}, InvalidOptionError, "frac_to_keep"),
        ({"n_jobs": -3}, InvalidOptionError, "n_jobs"),
        ({"foo": 1}, InvalidTypeError, "foo"),
    ):
        with pytest.raises(error, match=says):
            kernel(**option)


def test_cells_left_without_neighbors_are_named():
    with pytest.raises(
        InvalidDataError, match=r"1 cells without any neighbor: 'c3'\. Increase `frac_to_keep`"
    ):
        kernel(frac_to_keep=0)


def test_graph_that_falls_apart_warns():
    """A path with weights 5, 1, 5, and a scheme that drops the weak link."""
    path = np.diag([5.0, 1, 5], 1)
    with pytest.warns(FerrocyteWarning, match="2 parts"):
        kernel(cells(TIME, path + path.T), threshold_scheme=lambda t, times, weights: weights * (weights > 1))


def test_irreducibility_warns_on_request():
    with pytest.warns(FerrocyteWarning, match="not irreducible"):
        kernel(cells(TIME, GRAPH + np.eye(4)), frac_to_keep=0, check_irreducibility=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kernel(check_irreducibility=True, frac_to_keep=1)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_pseudotime_must_be_finite(bad):
    time = TIME.copy()
    time[2] = bad
    with pytest.raises(ValueError, match="1 cells: 'c2'"):
        kernel(cells(time))


def test_where_pseudotime_is_looked_for():
    adata = cells()
    adata.obs["text"] = ["a", "b", "c", "d"]
    with pytest.raises(KeyError, match=r"No pseudotime.*Did you mean 'time'.*time_key"):
        fc.kernels.PseudotimeKernel(adata, time_key="tim")
    with pytest.raises(ValueError, match="numbers"):
        fc.kernels.PseudotimeKernel(adata, time_key="text")
    for kind in (np.float32, np.int64, "category", "Float64"):
        adata.obs["other"] = np.arange(4)
        adata.obs["other"] = adata.obs["other"].astype(kind)
        assert_array_equal(fc.kernels.PseudotimeKernel(adata, time_key="other").pseudotime, np.arange(4.0))


def test_inverse_and_from_adata():
    k = kernel()
    back = ~k
    assert back.params == {}
    assert_allclose(back.pseudotime, 1 - TIME)
    assert_allclose(k.pseudotime, TIME)
    back.compute_transition_matrix(frac_to_keep=0.34, show_progress_bar=False)
    assert (back.transition_matrix != kernel(backward=True).transition_matrix).nnz == 0
    back.write_to_adata()
    again = fc.kernels.PseudotimeKernel.from_adata(back.adata, "T_bwd")
    assert again.backward is True
    assert again.params == back.params
