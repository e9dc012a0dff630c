"""VelocityKernel: chains of three cells solved on paper, and what must hold for any data."""

from __future__ import annotations

import pickle
import threading
import warnings

import anndata as ad
import ferrocyte as fc
import numpy as np
import pytest
import scipy.sparse as sp
from ferrocyte._errors import FerrocyteWarning, InvalidDataError, InvalidOptionError, InvalidTypeError
from numpy.testing import assert_allclose, assert_array_equal

LN2 = np.log(2.0)
# Cell 0 has neighbors 1 and 2, which have no other neighbor.
STAR = np.array([[0, 1, 1], [1, 0, 0], [1, 0, 0]], dtype=float)


def cells(x, v, graph=STAR):
    x, v = np.asarray(x), np.asarray(v)
    adata = ad.AnnData(np.zeros(x.shape, dtype=np.float32))
    adata.obs_names = [f"c{i}" for i in range(len(x))]
    adata.layers["Ms"], adata.layers["velocity"] = x, v
    adata.obsp["connectivities"] = sp.csr_matrix(graph)
    return adata


def compute(adata, backward=False, **kwargs):
    kwargs = {"softmax_scale": LN2, "similarity": "cosine", "show_progress_bar": False, **kwargs}
    return fc.kernels.VelocityKernel(adata, backward=backward).compute_transition_matrix(**kwargs)


def same(a, b):
    return (a != b).nnz == 0


@pytest.fixture(scope="module")
def gyrus():
    return fc.datasets.dentate_gyrus()


def random_cells(n=12, genes=6, seed=0):
    rng = np.random.default_rng(seed)
    graph = (rng.random((n, n)) < 0.4) | (np.abs(np.subtract.outer(range(n), range(n))) == 1)
    graph = np.triu(graph, 1)
    return cells(rng.normal(size=(n, genes)), rng.normal(size=(n, genes)), (graph + graph.T).astype(float))


# On paper ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["core", "python"])
@pytest.mark.parametrize(
    ("similarity", "x", "v0", "logits", "p"),
    [
        # d = (1, 0), (0, 1); v = (3, 0): cosines 1 and 0; weights 2 and 1.
        ("cosine", [[0, 0], [1, 0], [0, 1]], [3, 0], [1, 0], [2 / 3, 1 / 3]),
        # d . v = 2 and -1; weights 4 and 1/2.
        ("dot_product", [[0, 0], [1, 0], [0, 1]], [2, -1], [2, -1], [8 / 9, 1 / 9]),
        # Centred: d = (1, 0, -1) and (-1, 0, 1), v = (1, 0, -1): correlations 1 and -1; weights 2 and 1/2.
        ("correlation", [[0, 0, 0], [2, 1, 0], [0, 1, 2]], [5, 4, 3], [1, -1], [4 / 5, 1 / 5]),
        # Neighbor 1 lies where cell 0 does: no direction, no probability, logit 0.
        ("cosine", [[0, 0], [0, 0], [0, 1]], [1, 1], [0, np.sqrt(0.5)], [0, 1]),
    ],
)
def test_forward(similarity, x, v0, logits, p, path):
    """Cell 0 of the star, softmax scale ln 2: weights are 2 to the power of the logit."""
    x = np.array(x, dtype=float)
    v = np.zeros_like(x)
    v[0] = v0
    built_in = {
        "cosine": fc.kernels.utils.Cosine,
        "dot_product": fc.kernels.utils.DotProduct,
        "correlation": fc.kernels.utils.Correlation,
    }[similarity]
    given = similarity if path == "core" else (lambda *args: built_in()(*args))
    kernel = compute(cells(x, v), similarity=given)
    assert_allclose(kernel.transition_matrix.toarray()[0], [0, *p], atol=1e-12)
    assert_allclose(kernel.logits.toarray()[0], [0, *logits], atol=1e-12)
    # The others have one neighbor, and no velocity: probability 1, logit 0.
    assert_array_equal(kernel.transition_matrix.toarray()[1:], [[1, 0, 0], [1, 0, 0]])
    assert_array_equal(kernel.logits.toarray()[1:], 0)


@pytest.mark.parametrize("path", ["core", "python"])
def test_backward(path):
    """Star with x0 = (0, 0), x1 = (1, 0), x2 = (0, 1).

    transpose: v1 = (-1, 0) points from 1 to 0, cosine with x0 - x1 is 1; v2 = (1, 0) is at a right angle to
    x0 - x2. Weights 2 and 1. negate: -v0 = (-1, 0) has cosine -1 with x1 - x0, and 0 with x2 - x0. Weights
    1/2 and 1.
    """
    adata = cells([[0.0, 0], [1, 0], [0, 1]], [[1.0, 0], [-1, 0], [1, 0]])
    similarity = "cosine" if path == "core" else (lambda *args: fc.kernels.utils.Cosine()(*args))
    transpose = compute(adata, backward=True, similarity=similarity)
    assert_allclose(transpose.transition_matrix.toarray()[0], [0, 2 / 3, 1 / 3], atol=1e-12)
    assert_allclose(transpose.logits.toarray()[0], [0, 1, 0], atol=1e-12)
    negate = compute(adata, backward=True, backward_mode="negate", similarity=similarity)
    assert_allclose(negate.transition_matrix.toarray()[0], [0, 1 / 3, 2 / 3], atol=1e-12)
    assert_allclose(negate.logits.toarray()[0], [0, -1, 0], atol=1e-12)
    assert negate.params["bwd_mode"] == "negate"
    assert_array_equal(adata.layers["velocity"][0], [1, 0])


def test_negate_with_the_default_scale_is_not_the_forward_matrix(gyrus):
    before = gyrus.layers["velocity"].copy()
    forward = compute(gyrus, softmax_scale=None)
    backward = compute(gyrus, backward=True, backward_mode="negate", softmax_scale=None)
    assert abs(forward.transition_matrix - backward.transition_matrix).max() > 0.05
    assert_allclose(backward.logits.toarray(), -forward.logits.toarray(), atol=1e-12)
    assert_array_equal(gyrus.layers["velocity"], before)
    again = compute(gyrus, backward=True, backward_mode="negate", softmax_scale=None)
    assert same(again.transition_matrix, backward.transition_matrix)


@pytest.mark.parametrize("path", ["core", "python"])
def test_default_scale(path):
    """Star, dot products of cell 0 are 2 and -4, of cells 1 and 2 are 1 and 0: the median of 1, 2, 4 is 2."""
    adata = cells([[0.0, 0], [1, 0], [0, 1]], [[2.0, -4], [-1, 0], [5, 0]])
    similarity = "dot_product" if path == "core" else (lambda *args: fc.kernels.utils.DotProduct()(*args))
    kernel = compute(adata, similarity=similarity, softmax_scale=None)
    assert kernel.params["softmax_scale"] == 0.5
    w = np.exp([1, -2])
    assert_allclose(kernel.transition_matrix.toarray()[0, 1:], w / w.sum(), atol=1e-12)


def line(v):
    """One gene; cell 0 at 0 with neighbors at 1 and 0."""
    return cells([[0.0], [1.0], [0.0]], np.reshape(np.asarray(v, dtype=float), (3, 1)))


@pytest.mark.parametrize("path", ["core", "python"])
def test_stochastic(path):
    """One gene, dot product, scale 1: p1 is the logistic function q of the velocity m of cell 0.

    Velocities 3, -1, 1 over cell 0 and its neighbors have mean 1 and variance 11/3 - 1 = 8/3. The second
    derivative of q is q (1 - q) (1 - 2 q), so p1 = q + 4/3 q (1 - q) (1 - 2 q).
    """

    class Mine(fc.kernels.utils.DotProduct):
        def __call__(self, v, D, softmax_scale=1.0):
            return super().__call__(v, D, softmax_scale)

    similarity = "dot_product" if path == "core" else Mine()
    kernel = compute(line([3, -1, 1]), model="stochastic", similarity=similarity, softmax_scale=1.0)
    q = 1 / (1 + np.exp(-1))
    want = q + 4 / 3 * q * (1 - q) * (1 - 2 * q)
    assert_allclose(kernel.transition_matrix.toarray()[0], [0, want, 1 - want], atol=1e-12)
    assert kernel.params["model"] == "stochastic"


@pytest.mark.parametrize("path", ["core", "python"])
def test_monte_carlo_uses_the_variance_as_variance(path):
    """Mean 1 and variance 8/3 as above: E[q(v)] by quadrature; far away if 8/3 were a deviation."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)

    def expected(deviation):
        return (weights / (1 + np.exp(-(1 + deviation * nodes)))).sum() / weights.sum()

    similarity = "dot_product" if path == "core" else (lambda *args: fc.kernels.utils.DotProduct()(*args))
    n = 40_000 if path == "core" else 4_000
    kernel = compute(
        line([3, -1, 1]), model="monte_carlo", similarity=similarity, softmax_scale=1.0, n_samples=n, seed=0
    )
    error = 5 * 0.3 / np.sqrt(n)
    assert abs(expected(8 / 3) - expected(np.sqrt(8 / 3))) > 0.03 > error
    assert_allclose(kernel.transition_matrix[0, 1], expected(np.sqrt(8 / 3)), atol=error)


def test_monte_carlo_of_certain_velocities_is_deterministic():
    """Without variance every sample is the mean."""
    adata = cells([[0.0, 0], [1, 0], [0, 1]], [[1.0, 2]] * 3)
    sampled = compute(adata, model="monte_carlo", n_samples=3, seed=7)
    assert_allclose(
        sampled.transition_matrix.toarray(), compute(adata).transition_matrix.toarray(), atol=1e-12
    )


# For any data -----------------------------------------------------------------------------------------

MODELS = [
    {"model": "deterministic"},
    {"model": "stochastic"},
    {"model": "monte_carlo", "n_samples": 20, "seed": 3},
]


@pytest.mark.parametrize("options", MODELS, ids=lambda o: o["model"])
@pytest.mark.parametrize("similarity", ["cosine", "correlation", "dot_product"])
def test_threads_change_no_bit(gyrus, similarity, options):
    one = compute(gyrus, similarity=similarity, softmax_scale=None, n_jobs=1, **options)
    two = compute(gyrus, similarity=similarity, softmax_scale=None, n_jobs=2, **options)
    assert same(one.transition_matrix, two.transition_matrix)
    assert same(one.logits, two.logits)
    assert one.params == two.params
    assert_allclose(np.asarray(one.transition_matrix.sum(axis=1)), 1, rtol=1e-12)


def test_threads_change_no_bit_of_a_callable(gyrus):
    def mine(v, D, scale):
        weights = np.exp(scale * np.tanh(D @ v[0]))
        return weights / weights.sum(), np.tanh(D @ v[0])

    for options in ({}, {"model": "monte_carlo", "n_samples": 3, "seed": 1}):
        one = compute(gyrus, similarity=mine, n_jobs=1, **options)
        two = compute(gyrus, similarity=mine, n_jobs=2, **options)
        assert same(one.transition_matrix, two.transition_matrix)


def test_storage_does_not_matter(gyrus):
    want = compute(gyrus).transition_matrix
    x, v = gyrus.layers["Ms"].astype(np.float64), gyrus.layers["velocity"]
    genes = gyrus.var["velocity_genes"].to_numpy()
    clean = np.where(genes, v, 0.0)
    forms = {
        "csr": (sp.csr_matrix, sp.csr_matrix),
        "csc": (sp.csc_matrix, sp.csc_array),
        "fortran": (np.asfortranarray, np.asfortranarray),
        "float64": (np.float64, np.float64),
        "big endian": (lambda a: a.astype(">f8"), lambda a: a.astype(">f8")),
        "strided": (lambda a: np.repeat(a, 2, axis=1)[:, ::2], lambda a: np.repeat(a, 2, axis=0)[::2]),
    }
    for name, (f, g) in forms.items():
        adata = gyrus.copy()
        adata.layers["Ms"], adata.layers["velocity"] = f(x), g(clean)
        got = compute(adata).transition_matrix
        assert_allclose(got.toarray(), want.toarray(), atol=1e-14, err_msg=name)
    view = gyrus[np.arange(gyrus.n_obs)]
    assert same(compute(view).transition_matrix, want)


def test_backed(gyrus, tmp_path):
    path = tmp_path / "cells.h5ad"
    adata = gyrus.copy()
    adata.X = adata.layers["Ms"]
    adata.write_h5ad(path)
    backed = ad.read_h5ad(path, backed="r")
    kernel = fc.kernels.VelocityKernel(backed, xkey="X").compute_transition_matrix(
        similarity="cosine", softmax_scale=LN2, show_progress_bar=False
    )
    assert same(kernel.transition_matrix, compute(gyrus).transition_matrix)


def test_layers_are_read_where_they_lie(gyrus):
    from ferrocyte._adata import features

    for key in ("Ms", "velocity"):
        assert np.shares_memory(features(gyrus, key), gyrus.layers[key])
    assert np.shares_memory(features(gyrus, "spliced").data, gyrus.layers["spliced"].data)


def test_order_of_cells_does_not_matter():
    adata = random_cells()
    order = np.random.default_rng(1).permutation(adata.n_obs)
    for options in ({}, {"model": "stochastic"}):
        want = compute(adata, **options).transition_matrix.toarray()[np.ix_(order, order)]
        assert_allclose(compute(adata[order].copy(), **options).transition_matrix.toarray(), want, atol=1e-12)


@pytest.mark.parametrize("similarity", ["cosine", "correlation"])
def test_length_of_velocities_does_not_matter(similarity):
    adata = random_cells()
    want = compute(adata, similarity=similarity).transition_matrix.toarray()
    adata.layers["velocity"] = adata.layers["velocity"] * np.arange(1, adata.n_obs + 1)[:, None]
    assert_allclose(compute(adata, similarity=similarity).transition_matrix.toarray(), want, atol=1e-12)


# Genes, keys, parameters ------------------------------------------------------------------------------


def test_gene_subset():
    adata = random_cells()
    part = adata[:, [1, 3, 4]].copy()
    want = compute(part).transition_matrix
    names = adata.var_names[[1, 3, 4]]
    adata.var["chosen"] = adata.var_names.isin(names)
    for subset in (list(names), names, "chosen", adata.var["chosen"].to_numpy()):
        kernel = fc.kernels.VelocityKernel(adata, gene_subset=subset)
        kernel.compute_transition_matrix(similarity="cosine", softmax_scale=LN2, show_progress_bar=False)
        assert_allclose(kernel.transition_matrix.toarray(), want.toarray(), atol=1e-14)
    adata.var["velocity_genes"] = adata.var["chosen"]
    assert_allclose(compute(adata).transition_matrix.toarray(), want.toarray(), atol=1e-14)


def test_obsm():
    adata = random_cells()
    adata.obsm["x"], adata.obsm["v"] = adata.layers["Ms"], adata.layers["velocity"]
    kernel = fc.kernels.VelocityKernel(adata, attr="obsm", xkey="x", vkey="v")
    kernel.compute_transition_matrix(similarity="cosine", softmax_scale=LN2, show_progress_bar=False)
    assert same(kernel.transition_matrix, compute(adata).transition_matrix)
    with pytest.warns(FerrocyteWarning, match="gene_subset"):
        fc.kernels.VelocityKernel(adata, attr="obsm", xkey="x", vkey="v", gene_subset=["0"])
    adata.obsm["v"] = adata.obsm["v"][:, :3]
    with pytest.raises(InvalidDataError, match=r"same shape.*\(12, 6\).*\(12, 3\)"):
        fc.kernels.VelocityKernel(adata, attr="obsm", xkey="x", vkey="v")


def test_columns_with_nan_are_left_out_with_a_warning():
    adata = random_cells()
    want = compute(adata[:, [0, 1, 3, 5]].copy()).transition_matrix.toarray()
    adata.layers["velocity"][2, 2] = np.nan
    adata.layers["velocity"][:, 4] = np.nan
    adata.layers["Ms"][3, 4] = np.nan  # of a gene that is not used
    with pytest.warns(FerrocyteWarning, match="Left out 2 of 6 genes"):
        kernel = compute(adata)
    assert_allclose(kernel.transition_matrix.toarray(), want, atol=1e-14)
    adata.layers["velocity"][0] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(InvalidDataError, match="at least one gene without NaN"):
            compute(adata)


@pytest.mark.parametrize(("layer", "value"), [("Ms", np.nan), ("Ms", np.inf), ("velocity", -np.inf)])
@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_values_that_are_not_finite_are_named(layer, value, form):
    adata = random_cells()
    bad = adata.layers[layer].copy()
    bad[4, 3] = value
    adata.layers[layer] = form(bad)
    kernel = fc.kernels.VelocityKernel(adata)
    with pytest.raises(InvalidDataError, match=rf"{layer}.*gene '3' in cell 'c4'"):
        kernel.compute_transition_matrix(show_progress_bar=False)
    assert kernel.transition_matrix is None
    assert kernel.params == {}


def test_large_float32_values_are_not_taken_for_infinite():
    """A float32 sum over cells may overflow although every value is finite."""
    adata = random_cells()
    adata.layers["velocity"] = np.full((12, 6), 3e38, dtype=np.float32) * np.sign(adata.layers["velocity"])
    adata.layers["velocity"][:, 0] = 3e38
    kernel = compute(adata.copy(), similarity=lambda v, D, s: (np.full(len(D), 1 / len(D)), np.ones(len(D))))
    assert_allclose(np.asarray(kernel.transition_matrix.sum(axis=1)), 1, rtol=1e-12)


def test_params():
    adata = random_cells()
    kernel = compute(adata, similarity=fc.kernels.utils.Cosine())
    assert kernel.params == {"model": "deterministic", "similarity": "<Cosine>", "softmax_scale": LN2}
    assert (
        repr(kernel)
        == "VelocityKernel[n=12, model='deterministic', similarity='<Cosine>', softmax_scale=0.693]"
    )
    kernel = compute(adata, model="monte_carlo", n_samples=2)
    assert list(kernel.params) == ["model", "similarity", "softmax_scale", "n_samples", "seed"]
    assert isinstance(kernel.params["seed"], int)
    again = compute(adata, model="monte_carlo", n_samples=2, seed=kernel.params["seed"])
    assert same(again.transition_matrix, kernel.transition_matrix)
    assert kernel.init == {"xkey": "Ms", "vkey": "velocity", "attr": "layers", "backward": False}
    assert repr(fc.kernels.VelocityKernel(adata, backward=True)) == "~VelocityKernel[n=12]"


def test_backward_with_another_model_warns():
    with pytest.warns(FerrocyteWarning, match="deterministic"):
        kernel = compute(random_cells(), backward=True, model="stochastic")
    assert kernel.params["model"] == "stochastic"
    assert same(kernel.transition_matrix, compute(random_cells(), backward=True).transition_matrix)


def test_stochastic_without_hessian_samples():
    similarity = fc.kernels.utils.Cosine()
    with pytest.warns(FerrocyteWarning, match="hessian"):
        kernel = compute(
            random_cells(), similarity=lambda *a: similarity(*a), model="stochastic", n_samples=4, seed=1
        )
    assert kernel.params["model"] == "stochastic"
    assert kernel.params["seed"] == 1


@pytest.mark.parametrize(
    ("option", "error", "says"),
    [
        ({"model": "determinstic"}, InvalidOptionError, "Invalid option.*Did you mean 'deterministic'"),
        ({"similarity": "cosin"}, InvalidOptionError, "Invalid option.*'cosine'"),
        ({"backward_mode": "flip"}, InvalidOptionError, "Invalid option"),
        ({"similarity": 3}, InvalidTypeError, "Expected `scheme` to be a function, found"),
        ({"softmax_scale": np.nan}, InvalidOptionError, "softmax_scale"),
        ({"softmax_scale": "4"}, InvalidTypeError, "softmax_scale"),
        ({"model": "monte_carlo", "n_samples": 0}, InvalidOptionError, "n_samples"),
        ({"model": "monte_carlo", "seed": -1}, InvalidOptionError, "seed"),
        ({"n_jobs": 0}, InvalidOptionError, "n_jobs"),
    ],
)
def test_invalid_options(option, error, says):
    with pytest.raises(error, match=says):
        compute(random_cells(), **option)


# Callables --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "says"),
    [
        (lambda k: (np.full(k, 0.9 / k), np.zeros(k)), r"Matrix is not row-stochastic\..*Cells: 'c0'"),
        (lambda k: (np.full(k, np.nan), np.zeros(k)), r"Matrix is not row-stochastic\."),
        (lambda k: (np.full(k + 1, 1 / (k + 1)), np.zeros(k)), "Expected row of shape"),
        (lambda k: (np.full(k, 1 / k), np.zeros(k + 1)), "Expected row of shape"),
        (lambda k: (np.full(k, 1 / k), np.full(k, np.inf)), "finite logits"),
        (lambda k: np.full(k, 1 / k)[:1], "probabilities, logits"),
    ],
)
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_what_a_callable_returns_is_checked(result, says, n_jobs):
    with pytest.raises(InvalidDataError, match=says):
        compute(random_cells(), similarity=lambda v, D, s: result(len(D)), n_jobs=n_jobs)


def test_shapes_that_a_callable_gets():
    adata = random_cells()
    seen = set()

    def spy(v, D, scale):
        seen.add((v.shape[0] == 1, v.shape == D.shape, v.dtype.str, D.dtype.str))
        D[...] = 0  # scratch memory: this harms nobody
        v[...] = 0
        return np.full(len(D), 1 / len(D)), np.zeros(len(D))

    before = adata.layers["Ms"].copy(), adata.layers["velocity"].copy()
    compute(adata, similarity=spy)
    assert {s[0] for s in seen} == {True}
    seen.clear()
    compute(adata, similarity=spy, backward=True)
    assert {s[1] for s in seen} == {True}
    assert {s[2:] for s in seen} == {("<f8", "<f8")}
    assert_array_equal(adata.layers["Ms"], before[0])
    assert_array_equal(adata.layers["velocity"], before[1])


@pytest.mark.parametrize("shape", ["full", "diagonal", "wrong"])
def test_hessian_of_a_callable(shape):
    class Mine(fc.kernels.utils.SimilarityABC):
        def __call__(self, v, D, softmax_scale=1.0):
            return fc.kernels.utils.Cosine()(v, D, softmax_scale)

        def hessian(self, v, D, softmax_scale=1.0):
            assert v.ndim == 1
            full = fc.kernels.utils.Cosine().hessian(v, D, softmax_scale)
            return {"full": full, "diagonal": np.einsum("kaa->ka", full), "wrong": full[0]}[shape]

    adata = random_cells()
    if shape == "wrong":
        with pytest.raises(InvalidDataError, match="Expected full Hessian matrix"):
            compute(adata, similarity=Mine(), model="stochastic")
    else:
        got = compute(adata, similarity=Mine(), model="stochastic")
        want = compute(adata, model="stochastic")
        assert_allclose(got.transition_matrix.toarray(), want.transition_matrix.toarray(), atol=1e-10)


# State ------------------------------------------------------------------------------------------------


def test_the_same_call_reuses_the_matrix():
    adata = random_cells()
    kernel = fc.kernels.VelocityKernel(adata)
    for options in ({}, {"softmax_scale": 3}, {"model": "monte_carlo", "n_samples": 2}):
        T = kernel.compute_transition_matrix(show_progress_bar=False, **options).transition_matrix
        params = dict(kernel.params)
        assert kernel.compute_transition_matrix(show_progress_bar=False, **options).transition_matrix is T
        assert kernel.params == params
    # What was estimated or drawn, given explicitly, is the same call, too.
    T = kernel.compute_transition_matrix(show_progress_bar=False).transition_matrix
    scale = kernel.params["softmax_scale"]
    assert kernel.compute_transition_matrix(softmax_scale=scale).transition_matrix is T
    assert kernel.compute_transition_matrix(similarity="cosine").transition_matrix is not T


def test_a_kernel_with_a_users_function_can_be_copied():
    class Locked:
        def __init__(self):
            self.lock = threading.Lock()

        def __call__(self, v, D, scale):
            return np.full(len(D), 1 / len(D)), np.zeros(len(D))

    mine = Locked()
    kernel = compute(random_cells(), similarity=mine, softmax_scale=1.0)
    copied = kernel.copy()
    again = copied.compute_transition_matrix(similarity=mine, softmax_scale=1.0)
    assert same(again.transition_matrix, kernel.transition_matrix)
    assert pickle.loads(pickle.dumps(kernel)).params == kernel.params


def test_what_is_logged(caplog):
    caplog.set_level("INFO", logger="ferrocyte")
    kernel = compute(random_cells(), softmax_scale=None)
    assert "softmax_scale" in caplog.text
    kernel.compute_transition_matrix(similarity="cosine")
    assert "was computed with these parameters" in caplog.text


def test_changed_data_are_noticed():
    adata = random_cells()
    kernel = fc.kernels.VelocityKernel(adata)
    T = kernel.compute_transition_matrix(softmax_scale=2).transition_matrix
    adata.layers["velocity"] *= -1
    flipped = kernel.compute_transition_matrix(softmax_scale=2).transition_matrix
    assert not same(T, flipped)
    adata.layers["velocity"] = -adata.layers["velocity"]
    assert same(kernel.compute_transition_matrix(softmax_scale=2).transition_matrix, T)


def test_an_error_leaves_the_kernel_as_it_was():
    kernel = compute(random_cells())
    T, params, logits = kernel.transition_matrix, dict(kernel.params), kernel.logits

    def fails(v, D, scale):
        raise KeyboardInterrupt

    for n_jobs in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            kernel.compute_transition_matrix(similarity=fails, softmax_scale=1.0, n_jobs=n_jobs)
        assert kernel.transition_matrix is T
        assert kernel.logits is logits
        assert kernel.params == params


def test_inverse():
    adata = random_cells()
    kernel = compute(adata)
    back = ~kernel
    assert back.backward is True
    assert kernel.backward is False
    assert back.adata is adata
    assert back.transition_matrix is None
    assert back.logits is None
    assert back.params == {}
    back.compute_transition_matrix(similarity="cosine", softmax_scale=LN2, show_progress_bar=False)
    assert same(back.transition_matrix, compute(adata, backward=True).transition_matrix)
    assert (~back).init == kernel.init
