"""Parts of kernels used by themselves: similarities, velocity models, random walks, projection, flow."""

from __future__ import annotations

import warnings

import anndata as ad
import ferrocyte as fc
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from ferrocyte._errors import FerrocyteWarning, InvalidDataError, InvalidOptionError, InvalidTypeError
from ferrocyte.kernels.utils import (
    Correlation,
    Cosine,
    Deterministic,
    DotProduct,
    FlowPlotter,
    MonteCarlo,
    RandomWalk,
    Stochastic,
    TmatProjection,
)
from numpy.testing import assert_allclose, assert_array_equal

LN2 = np.log(2.0)

# Similarities -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(2,), (1, 2), (2, 2)])
def test_similarities_on_paper(shape):
    """d = (1, 0) and (0, 1), v = (2, -1): dot products 2 and -1, cosines 2 and -1 over the root of 5."""
    v = np.broadcast_to([2.0, -1.0], shape)
    D = np.eye(2)
    p, logits = DotProduct()(v, D, LN2)
    assert_allclose(logits, [2, -1])
    assert_allclose(p, [8 / 9, 1 / 9])
    p, logits = Cosine()(v, D)
    assert_allclose(logits, [2 / np.sqrt(5), -1 / np.sqrt(5)])
    assert_allclose(p, np.exp(logits) / np.exp(logits).sum())


def test_correlation_on_paper():
    """v = (1, 2, 3); d = (2, 4, 6) and (3, 2, 1) have correlation 1 and -1, (5, 5, 5) has none."""
    D = np.array([[2.0, 4, 6], [3, 2, 1], [5, 5, 5]])
    p, logits = Correlation()(np.array([1.0, 2, 3]), D, LN2)
    assert_allclose(logits, [1, -1, 0], atol=1e-12)
    assert_allclose(p, [4 / 5, 1 / 5, 0], atol=1e-12)


@pytest.mark.parametrize("similarity", [Cosine(), Correlation(), DotProduct()])
def test_hessian_by_differences(similarity):
    rng = np.random.default_rng(0)
    v, D, scale, h = rng.normal(size=4), rng.normal(size=(3, 4)), 1.7, 1e-4

    def p(at):
        return similarity(at, D, scale)[0]

    want = np.empty((3, 4, 4))
    steps = h * np.eye(4)
    for a in range(4):
        for b in range(4):
            up, down = v + steps[a], v - steps[a]
            want[:, a, b] = p(up + steps[b]) - p(up - steps[b]) - p(down + steps[b]) + p(down - steps[b])
    got = similarity.hessian(v, D, scale)
    assert got.shape == (3, 4, 4)
    assert_allclose(got, want / (4 * h**2), atol=1e-5)
    assert_allclose(got.sum(axis=0), 0, atol=1e-12)  # probabilities sum to 1 whatever v


def test_hessian_of_one_gene_on_paper():
    """Dot product, d = 1 and 0, scale 2: with the logistic q of 2 v it is 4 q (1 - q) (1 - 2 q)."""
    q = 1 / (1 + np.exp(-2 * 0.3))
    want = 4 * q * (1 - q) * (1 - 2 * q)
    got = DotProduct().hessian(np.array([0.3]), np.array([[1.0], [0.0]]), 2.0)
    assert_allclose(got.ravel(), [want, -want], atol=1e-12)


def test_shapes_of_similarities():
    for similarity in (Cosine(), Correlation(), DotProduct()):
        for v, D in (
            (np.ones(3), np.ones((2, 4))),
            (np.ones((3, 4)), np.ones((2, 4))),
            (np.ones(4), np.ones(4)),
        ):
            with pytest.raises(InvalidDataError, match="n_neighbors, n_genes"):
                similarity(v, D)
        with pytest.raises(InvalidDataError, match="Hessian"):
            similarity.hessian(np.ones((2, 4)), np.ones((2, 4)))
        p, _ = similarity(np.asfortranarray(np.ones((2, 4), dtype=np.int32)), np.ones((2, 8))[:, ::2])
        assert p.shape == (2,)
    assert str(Cosine()) == "<Cosine>"
    assert repr(DotProduct()) == "<DotProduct>"


# Models -----------------------------------------------------------------------------------------------


def test_models_are_what_the_kernel_runs():
    adata = fc.datasets.dentate_gyrus()
    genes = adata.var["velocity_genes"].to_numpy()
    shared = {"genes": genes, "softmax_scale": 4.0, "similarity": "cosine"}
    kernel = fc.kernels.VelocityKernel(adata)
    for model, options in (
        (Deterministic, {}),
        (Stochastic, {}),
        (MonteCarlo, {"n_samples": 3, "seed": 5}),
    ):
        run = model(
            adata.obsp["connectivities"], adata.layers["Ms"], adata.layers["velocity"], **shared, **options
        )
        p, logits = run(show_progress_bar=False)
        kernel.compute_transition_matrix(run.name, similarity="cosine", softmax_scale=4.0, **options)
        assert_allclose(p.toarray(), kernel.transition_matrix.toarray(), atol=1e-15)
        assert (logits != kernel.logits).nnz == 0
    with pytest.raises(InvalidDataError, match="forward"):
        Stochastic(np.eye(2), np.ones((2, 3)), np.ones((2, 3)), direction="negate")


def test_shapes_of_models():
    with pytest.raises(InvalidDataError, match=r"\(3, 3\), \(3, 2\) and \(2, 2\)"):
        Deterministic(np.eye(3), np.ones((3, 2)), np.ones((2, 2)))
    with pytest.raises(InvalidOptionError, match="direction"):
        Deterministic(np.eye(3), np.ones((3, 2)), np.ones((3, 2)), direction="sideways")
    with pytest.raises(InvalidTypeError, match="Expected `scheme` to be a function, found"):
        Deterministic(np.eye(3), np.ones((3, 2)), np.ones((3, 2)), similarity=None)


# Random walks -----------------------------------------------------------------------------------------

# 0 -> 1 -> 2 -> 3 -> 4 -> 0
RING = np.roll(np.eye(5), 1, axis=1)


def cells(n=5):
    adata = ad.AnnData(np.zeros((n, 1), dtype=np.float32))
    adata.obs_names = [f"c{i}" for i in range(n)]
    adata.obs["time"] = np.arange(n) / 10
    adata.obs["cluster"] = pd.Categorical(list("aabbc")[:n], categories=list("abcd"))
    adata.obs["text"] = list("vwxyz")[:n]
    return adata


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_matrix])
def test_the_ring_leaves_no_choice(form):
    walk = RandomWalk(cells(), form(RING), start_ixs=[3])
    assert_array_equal(walk.simulate_one(max_iter=7), [3, 4, 0, 1, 2, 3, 4, 0])
    assert walk.simulate_one(max_iter=7).dtype.kind == "i"
    for path in walk.simulate_many(4, max_iter=3, seed=0, n_jobs=2, show_progress_bar=False):
        assert_array_equal(path, [3, 4, 0, 1])


def test_length():
    """A fraction of five cells, rounded up."""
    walk = RandomWalk(cells(), RING)
    for max_iter, steps in ((0.25, 2), (0.5, 3), (1.0, 5), (2, 2), (np.int64(9), 9), (1.5, 8)):
        assert len(walk.simulate_one(max_iter, seed=0)) == steps + 1


def test_stops():
    """Around the ring from 0; cells 2 and 3 stop. The start does not count; hits must come in a row."""
    walk = RandomWalk(cells(), RING, start_ixs=["c0"], stop_ixs={"cluster": "b"})
    assert_array_equal(walk.simulate_one(20), [0, 1, 2])
    assert_array_equal(walk.simulate_one(20, successive_hits=1), [0, 1, 2, 3])
    assert len(walk.simulate_one(20, successive_hits=2)) == 21
    walk = RandomWalk(cells(), RING, start_ixs=["c3"], stop_ixs={"cluster": ["b"]})
    assert_array_equal(walk.simulate_one(20), [3, 4, 0, 1, 2])
    assert_array_equal(walk.simulate_one(20, successive_hits=1), [3, 4, 0, 1, 2, 3])


@pytest.mark.parametrize(
    ("ixs", "want"),
    [
        ({"cluster": "a"}, [0, 1]),
        ({"cluster": ["c", "a"]}, [0, 1, 4]),
        ({"time": [0.1, 0.3]}, [1, 2, 3]),
        ({"time": (0.35, 9)}, [4]),
        ("c2", [2]),
        (["c4", "c1", "c4"], [1, 4]),
        ([True, False, False, False, True], [0, 4]),
        ([4, 0], [0, 4]),
        (np.array([-1]), [4]),
        (2, [2]),
        (pd.Index(["c3"]), [3]),
    ],
)
def test_choosing_cells(ixs, want):
    assert_array_equal(RandomWalk(cells(), RING, start_ixs=ixs).start_ixs, want)
    assert_array_equal(RandomWalk(cells(), RING, stop_ixs=ixs).stop_ixs, want)


def test_all_cells_and_none_by_default():
    walk = RandomWalk(cells(), RING)
    assert_array_equal(walk.start_ixs, np.arange(5))
    assert len(walk.stop_ixs) == 0
    starts = {path[0] for path in walk.simulate_many(100, 2, seed=0, show_progress_bar=False)}
    assert starts == set(range(5))


@pytest.mark.parametrize(
    ("ixs", "error", "says"),
    [
        ({"Cluster": "a"}, KeyError, "Did you mean 'cluster'"),
        ({"cluster": "e"}, ValueError, "'e'"),
        ({"cluster": "d"}, ValueError, "No cell"),
        ({"cluster": []}, ValueError, "at least one"),
        ({"cluster": "a", "time": [0, 1]}, ValueError, "one key"),
        ({"time": [5, 6]}, ValueError, "No cells have been selected"),
        ({"time": "a"}, ValueError, "interval"),
        ({"time": [0, 1, 2]}, ValueError, "interval"),
        ({"text": "v"}, TypeError, "categorical or numeric"),
        ([1000], IndexError, "1000"),
        ([-6], IndexError, "-6"),
        (["c9"], KeyError, "'c9'.*'c0', 'c1'"),
        ([], ValueError, "No cells have been selected"),
        ([False] * 5, ValueError, "No cells have been selected"),
        ([True] * 4, ValueError, "5 bools"),
        ([["c1"]], TypeError, "flat"),
    ],
)
def test_cells_that_can_not_be_chosen(ixs, error, says):
    for name in ("start_ixs", "stop_ixs"):
        with pytest.raises(error, match=says):
            RandomWalk(cells(), RING, **{name: ixs})


def test_matrices_to_walk_on():
    for matrix, says in (
        (RING[:4], "shape"),
        (np.eye(4), "shape"),
        (2 * RING, r"Transition matrix is not row-stochastic\."),
        (RING * [1, 1, 1, 1, 0], r"Transition matrix is not row-stochastic\."),
        (np.eye(5) + np.array([1, -1, 0, 0, 0]), r"Transition matrix is not row-stochastic\."),
    ):
        for form in (np.asarray, sp.csr_matrix):
            with pytest.raises(ValueError, match=says):
                RandomWalk(cells(), form(matrix))


def test_numbers_of_walks():
    walk = RandomWalk(cells(), RING)
    for call, says in (
        (lambda: walk.simulate_many(0), "simulations"),
        (lambda: walk.simulate_many(-1), "simulations"),
        (lambda: walk.simulate_one(1), "iterations"),
        (lambda: walk.simulate_one(0.1), "iterations"),
        (lambda: walk.simulate_one(-5), "iterations"),
        (lambda: walk.simulate_one(np.nan), "iterations"),
        (lambda: walk.simulate_one(5, successive_hits=-1), "hits"),
        (lambda: walk.simulate_one(5, seed=-1), "seed"),
    ):
        with pytest.raises(ValueError, match=says):
            call()
    with pytest.raises(TypeError, match="max_iter"):
        walk.simulate_one("many")


def test_more_hits_than_steps_never_stop_a_walk():
    adata = fc.datasets.dentate_gyrus()
    T = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix().transition_matrix
    walk = RandomWalk(adata, T, start_ixs=iter(adata.obs_names[:3]), stop_ixs={0, 1, 2})
    assert_array_equal(walk.start_ixs, walk.stop_ixs)
    assert len(walk.simulate_one(20, seed=0, successive_hits=2**80)) == 21


def test_rows_in_single_precision_are_stochastic_enough():
    adata = fc.datasets.dentate_gyrus()
    T = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix().transition_matrix
    single = T.toarray().astype(np.float32)
    assert np.abs(single.astype(np.float64).sum(axis=1) - 1).max() > 1e-8
    assert len(RandomWalk(adata, single).simulate_one(20, seed=0)) == 21
    with pytest.raises(ValueError, match="not row-stochastic"):
        RandomWalk(adata, T * (1 + 1e-4))


def test_a_seed_is_a_promise():
    adata = fc.datasets.dentate_gyrus()
    T = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix().transition_matrix
    walk = RandomWalk(adata, T, stop_ixs={"clusters": "OL"})
    one = walk.simulate_many(30, seed=4, n_jobs=1, successive_hits=1, show_progress_bar=False)
    two = walk.simulate_many(30, seed=4, n_jobs=2, successive_hits=1, show_progress_bar=False)
    for a, b in zip(one, two, strict=True):
        assert_array_equal(a, b)
        steps = np.asarray(T[a[:-1], a[1:]]).ravel()
        assert (steps > 0).all()
    # Longer, or with more walks, nothing before changes.
    more = walk.simulate_many(40, seed=4, successive_hits=1, show_progress_bar=False)
    for a, b in zip(one, more, strict=False):
        assert_array_equal(a, b)
    other = walk.simulate_many(30, seed=5, successive_hits=1, show_progress_bar=False)
    assert any(len(a) != len(b) or (a != b).any() for a, b in zip(one, other, strict=True))


def test_steps_follow_the_probabilities():
    """From 0 to 1, 2, 3 with 0.2, 0.5, 0.3 and straight back: 5 deviations of the binomial."""
    T = np.array([[0, 0.2, 0.5, 0.3], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]])
    walk = RandomWalk(cells(4), T, start_ixs=[0])
    n = 20_000
    path = walk.simulate_one(2 * n, seed=0)
    counts = np.bincount(path[1::2], minlength=4)
    assert_array_equal(path[::2], 0)
    p = np.array([0, 0.2, 0.5, 0.3])
    assert (np.abs(counts - n * p) <= 5 * np.sqrt(n * p * (1 - p))).all()


# Projection -------------------------------------------------------------------------------------------


class Walker(fc.kernels.UnidirectionalKernel):
    def compute_transition_matrix(self):
        self.transition_matrix = T_PROJECTION
        return self


# Cell 0 in the middle of cells to the right, above, and left below.
XY = np.array([[0.0, 0], [2, 0], [0, 5], [-3, -4]])
T_PROJECTION = np.array([[0.1, 0.6, 0.3, 0], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]])
NEIGHBORS = np.array([[0, 1, 1, 1], [1, 0, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0]], dtype=float)


def test_projection_on_paper():
    """Unit vectors from cell 0: (1, 0), (0, 1), (-3/5, -4/5); their mean is (2/15, 1/15).

    0.6 (1, 0) + 0.3 (0, 1) minus the mean: (7/15, 7/30). The others have one neighbor: 1 times its direction
    minus the same is 0. Scaling is the same for all cells.
    """
    adata = cells(4)
    adata.obsm["X_umap"] = XY
    kernel = Walker(adata).compute_transition_matrix()
    projection = TmatProjection(kernel)
    with pytest.raises(RuntimeError, match="Compute the projection"):
        _ = projection.vectors
    with pytest.raises(RuntimeError, match="connectivities"), pytest.warns(FerrocyteWarning):
        projection.project()
    assert not adata.uns
    with pytest.warns(FerrocyteWarning, match="graph"):
        vectors = projection.project(connectivities=sp.csr_matrix(NEIGHBORS))
    assert_allclose(vectors[0] / vectors[0, 0], [1, 0.5])
    assert vectors[0, 0] > 0
    assert_allclose(vectors[1:], 0, atol=1e-15)
    from ferrocyte.pl.projection import quiver_scale

    raw = np.zeros((4, 2))
    raw[0] = 7 / 15, 7 / 30
    assert_allclose(vectors, raw / (3 * quiver_scale(XY, raw)), atol=1e-14)
    with pytest.raises(InvalidDataError, match="connectivities"), pytest.warns(FerrocyteWarning):
        projection.project(recompute=True, connectivities=np.eye(3))


def test_vectors_of_another_kernel_are_not_taken_silently():
    """The figure of a second kernel over the same cells showed the first one, and nothing told."""
    adata = fc.datasets.dentate_gyrus()
    first = fc.kernels.VelocityKernel(adata).compute_transition_matrix(show_progress_bar=False)
    second = fc.kernels.PseudotimeKernel(adata, time_key="latent_time").compute_transition_matrix()
    first.plot_projection(show=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first.plot_projection(show=False)  # the same vectors again
        second.plot_projection(show=False, key_added="second")
    stored = np.array(adata.obsm["T_fwd_umap"])
    with pytest.warns(FerrocyteWarning, match=r"T_fwd_umap.*not those of this kernel.*`recompute=True`"):
        second.plot_projection(show=False)
    assert_array_equal(adata.obsm["T_fwd_umap"], stored)
    second.plot_projection(show=False, recompute=True)
    assert_array_equal(adata.obsm["T_fwd_umap"], adata.obsm["second_umap"])


def test_where_a_projection_goes():
    adata = fc.datasets.dentate_gyrus()
    del adata.uns["velocity_params"]
    kernel = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    with pytest.raises(KeyError, match=r"Unable to find a basis in.*X_tsne.*'X_pca'"):
        kernel.plot_projection(basis="tsne")
    first = TmatProjection(kernel).project()
    assert adata.uns["T_fwd_params"] == {"embeddings": ["umap"]}
    assert_array_equal(adata.obsm["T_fwd_umap"], first)
    kernel.write_to_adata()
    assert set(adata.uns["T_fwd_params"]) == {"params", "init", "embeddings"}
    adata.obsm["T_fwd_umap"] = 2 * first
    with pytest.warns(FerrocyteWarning, match="not those of this kernel"):
        assert_array_equal(TmatProjection(kernel).project(), 2 * first)
    assert_array_equal(TmatProjection(kernel).project(recompute=True), first)
    adata.obsm["X_two"] = np.asarray(adata.obsm["X_pca"])[:, :2]
    TmatProjection(kernel, "two").project()
    TmatProjection(kernel, "two").project(recompute=True)
    assert adata.uns["T_fwd_params"]["embeddings"] == ["umap", "two"]
    TmatProjection(kernel).project(key_added="mine")
    assert "mine_umap" in adata.obsm
    assert adata.uns["mine_params"] == {"embeddings": ["umap"]}
    both = 0.5 * kernel + 0.5 * fc.kernels.PrecomputedKernel(kernel)
    with pytest.warns(FerrocyteWarning, match="graph"):
        vectors = TmatProjection(both).project(key_added="both")
    assert_allclose(vectors, first, atol=1e-12)


# Flow and figures -------------------------------------------------------------------------------------


def test_flow_on_paper():
    """Cells 0, 1 of a at time 0; 2 of a, 3 of b at time 1. T leads from 0 to 2 and 3 with 1/4 and 3/4, from 1
    to 3: a gets 1/4 of 2, b 7/4 of 2."""
    adata = cells(4)
    adata.obs["cluster"] = pd.Categorical(["a", "a", "a", "b"])
    adata.obs["day"] = [0, 0, 1, 1]
    T = np.eye(4)
    T[0], T[1] = [0, 0, 0.25, 0.75], [0, 0, 0, 1]
    flow = FlowPlotter(adata, T, "cluster", "day")
    with pytest.raises(RuntimeError, match="prepare"):
        _ = flow.tables
    tables = flow.prepare("a").tables
    assert_allclose(tables.flow.loc[(0, 1)], [1 / 8, 7 / 8])
    assert adata.obs["day"].dtype.kind == "i"  # numbers alone change nothing


def test_figures_return_axes_on_request(tmp_path):
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection

    adata = fc.datasets.dentate_gyrus()
    kernel = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    expression = 1.0 * kernel
    flow = ("Granule mature", "clusters", "age(days)")
    for k in (kernel, expression):
        assert isinstance(k.plot_projection(show=False, stream=False), Axes)
        assert isinstance(k.plot_random_walks(3, seed=0, show=False, show_progress_bar=False), Axes)
        assert isinstance(k.plot_single_flow(*flow, show=False), Axes)
    assert adata.obs["age(days)"].dtype.name == "category"
    walk = RandomWalk(adata, kernel.transition_matrix, start_ixs={"clusters": "OL"})
    walks = walk.simulate_many(4, 5, seed=0, show_progress_bar=False)
    ax = walk.plot(walks, "umap", "viridis", 2.5, 0.5, "upper right out", show=False)
    lines = [c for c in ax.collections if isinstance(c, LineCollection)]
    assert [(len(c.get_segments()), c.get_linewidth()[0], c.get_alpha()) for c in lines] == [
        (5, 2.5, 0.5)
    ] * 4
    assert [t.get_text() for t in ax.get_legend().get_texts()] == ["start", "stop", "may start"]
    plotter = FlowPlotter(adata, kernel.transition_matrix, *flow[1:]).prepare(flow[0])
    ax = plotter.plot(0.05, True, None, 0.5, 1, None, (5, 3), 80, show=False)
    assert ax.get_legend() is None
    assert ax.figure.get_size_inches().tolist() == [5, 3]
    with pytest.raises(ValueError, match="min_flow"):
        plotter.plot(2.0, show=False)
    assert kernel.plot_random_walks(3, save=tmp_path / "walks.png", show_progress_bar=False) is None
    assert (tmp_path / "walks.png").stat().st_size > 1000
    mpl.pyplot.close("all")
