"""Transitions over experimental time: couplings by hand, in all their forms, and what can be wrong."""

from __future__ import annotations

import gc
import warnings
from pathlib import Path
from types import SimpleNamespace

import ferrocyte as fc
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from ferrocyte._errors import FerrocyteWarning
from numpy.testing import assert_allclose, assert_array_equal

RealTimeKernel = fc.kernels.RealTimeKernel


def cells(times, seed=0, **obs):
    """Cells with random coordinates; `times` are strings."""
    n = len(times)
    adata = AnnData(
        X=np.zeros((n, 2), dtype=np.float32),
        obs=pd.DataFrame({"day": pd.Categorical(times), **obs}, index=[f"c{i}" for i in range(n)]),
    )
    adata.obsm["X_pca"] = np.random.default_rng(seed).normal(size=(n, 5))
    return adata


@pytest.fixture
def small():
    """Cells 0 and 2 at day 1, cells 1, 3 and 4 at day 2."""
    return cells(["1", "2", "1", "2", "2"])


COUPLING = np.array([[0.1, 0.3, 0.0], [0.2, 0.1, 0.2]])


def dense(kernel):
    return kernel.transition_matrix.toarray()


def test_two_time_points_by_hand(small):
    """Row maxima are 0.3 and 0.2, so 0.2 is the threshold: the first row keeps 0.3, the second 0.2 twice."""
    kernel = RealTimeKernel(small, "day", {("1", "2"): COUPLING})
    kernel.compute_transition_matrix(self_transitions="diagonal")
    expected = np.zeros((5, 5))
    expected[0, 3] = 1
    expected[2, [1, 4]] = 0.5
    expected[1, 1] = expected[3, 3] = expected[4, 4] = 1
    assert_array_equal(dense(kernel), expected)
    assert kernel.params == {"threshold": "auto", "self_transitions": "diagonal", "conn_weight": None}
    assert kernel.backward is None
    kernel.compute_transition_matrix(threshold=None, self_transitions="uniform")
    expected[0, [1, 3]] = 0.25, 0.75
    expected[2, [1, 3, 4]] = 0.4, 0.2, 0.4
    expected[np.ix_([1, 3, 4], [1, 3, 4])] = 1 / 3
    assert_allclose(dense(kernel), expected, atol=1e-15)


def test_thresholds_over_several_couplings():
    """Couplings with least row maxima 0.2 and 0.05: `auto` takes 0.05 for both, `auto_local` each its own."""
    adata = cells(["1", "1", "2", "2", "3", "3"])
    couplings = {
        ("1", "2"): np.array([[0.3, 0.1], [0.2, 0.04]]),
        ("2", "3"): np.array([[0.05, 0.01], [0.2, 0.04]]),
    }
    kernel = RealTimeKernel(adata, "day", couplings)
    kernel.compute_transition_matrix(self_transitions="diagonal")
    assert_allclose(dense(kernel)[:2, 2:4], [[0.75, 0.25], [1, 0]])
    assert_allclose(dense(kernel)[2:4, 4:], [[1, 0], [1, 0]])
    kernel.compute_transition_matrix("auto_local", self_transitions="diagonal")
    assert_allclose(dense(kernel)[:2, 2:4], [[1, 0], [1, 0]])
    assert_allclose(dense(kernel)[2:4, 4:], [[1, 0], [1, 0]])


@pytest.mark.parametrize("q", [0, 12.5, 40, 50, 77.7, 100])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_percentiles_are_those_of_numpy(q, dtype):
    rng = np.random.default_rng(3)
    adata = cells(["1"] * 40 + ["2"] * 30)
    coupling = rng.gamma(0.3, size=(40, 30)).astype(dtype)
    coupling[coupling < 0.01] = 0
    coupling[0] = 0.5  # ties
    kernel = RealTimeKernel(adata, "day", {("1", "2"): coupling})
    limit = np.percentile(coupling.astype(np.float64), q)
    expected = np.where(coupling >= limit, coupling, 0).astype(np.float64)
    expected[expected.sum(axis=1) == 0] = 1
    expected /= expected.sum(axis=1, keepdims=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fc.errors.FerrocyteWarning)
        kernel.compute_transition_matrix(threshold=q, self_transitions="diagonal")
    assert_allclose(dense(kernel)[:40, 40:], expected, rtol=1e-12)


def forms(coupling, names):
    def blocks():
        yield coupling[:1]
        yield coupling[1:]

    shuffled = pd.DataFrame(coupling, index=names[0], columns=names[1]).iloc[::-1, [2, 0, 1]]
    annotated = AnnData(
        X=shuffled.to_numpy(),
        obs=pd.DataFrame({"growth": 1.0}, index=shuffled.index),
        var=pd.DataFrame(index=shuffled.columns),
    )
    return {
        "float32": coupling.astype(np.float32),
        "Fortran": np.asfortranarray(coupling),
        "view": np.repeat(coupling, 2, axis=1)[:, ::2],
        "frame": shuffled,
        "annotated": annotated,
        "backed iterator": blocks(),
        "function": blocks,
    }


@pytest.mark.parametrize("form", sorted(forms(COUPLING, (["a", "b"], list("cde")))))
@pytest.mark.parametrize("threshold", ["auto", "auto_local", 40.0, None])
def test_all_forms_of_a_coupling_give_the_same(small, form, threshold):
    names = (small.obs_names[[0, 2]], small.obs_names[[1, 3, 4]])
    plain = RealTimeKernel(small, "day", {("1", "2"): COUPLING})
    plain.compute_transition_matrix(threshold, self_transitions="diagonal")
    other = RealTimeKernel(small, "day", {("1", "2"): forms(COUPLING, names)[form]})
    other.compute_transition_matrix(threshold, self_transitions="diagonal")
    assert_allclose(dense(other), dense(plain), rtol=1e-7 if form == "float32" else 1e-14)


def test_sparse_couplings_are_left_alone(small):
    kernel = RealTimeKernel(small, "day", {("1", "2"): sp.csc_matrix(COUPLING)})
    kernel.compute_transition_matrix(self_transitions="diagonal")
    assert_allclose(dense(kernel)[0, [1, 3]], [0.25, 0.75])


def test_annotations_of_couplings_are_merged(small):
    names = (small.obs_names[[0, 2]], small.obs_names[[1, 3, 4]])
    kernel = RealTimeKernel(small, "day", {("1", "2"): forms(COUPLING, names)["annotated"]})
    assert_array_equal(kernel.obs["growth"].notna(), [True, False, True, False, False])
    assert list(RealTimeKernel(small, "day", {("1", "2"): COUPLING}).obs.columns) == []


def test_rows_of_zeros_become_uniform_with_a_warning(small):
    coupling = COUPLING.copy()
    coupling[1] = 0
    kernel = RealTimeKernel(small, "day", {("1", "2"): coupling})
    with pytest.warns(fc.errors.FerrocyteWarning, match="'c2'"):
        kernel.compute_transition_matrix(self_transitions="diagonal")
    assert_allclose(dense(kernel)[2, [1, 3, 4]], 1 / 3)
    # They have no say in the threshold: the other row is cut at its own maximum.
    assert_allclose(dense(kernel)[0], [0, 0, 0, 1, 0])


def test_cells_in_any_order():
    rng = np.random.default_rng(0)
    times = np.repeat(["1", "2", "3"], [20, 30, 25])
    couplings = {("1", "2"): rng.random((20, 30)), ("2", "3"): rng.random((30, 25))}
    order = rng.permutation(75)
    sorted_, shuffled = cells(times), cells(times)[order].copy()
    frames = {
        (a, b): pd.DataFrame(
            c, index=sorted_.obs_names[times == a], columns=sorted_.obs_names[times == b]
        ).sample(frac=1, random_state=1)
        for (a, b), c in couplings.items()
    }
    one = RealTimeKernel(sorted_, "day", couplings).compute_transition_matrix(self_transitions="uniform")
    two = RealTimeKernel(shuffled, "day", frames).compute_transition_matrix(
        self_transitions="uniform", n_jobs=2
    )
    assert_allclose(dense(one)[np.ix_(order, order)], dense(two), rtol=1e-14)
    assert_allclose(dense(one).sum(axis=1), 1, atol=1e-12)


def test_self_transitions_mix_similarity_in():
    """With `all`, 30 % stays within the time point, by the graph of these cells alone."""
    import scanpy as sc

    adata = cells(["1"] * 30 + ["2"] * 30)
    coupling = np.random.default_rng(0).random((30, 30))
    kernel = RealTimeKernel(adata, "day", {("1", "2"): coupling})
    kernel.compute_transition_matrix(
        threshold=None, self_transitions="all", conn_weight=0.3, conn_kwargs={"n_neighbors": 5}
    )
    T = dense(kernel)
    for part in (slice(0, 30), slice(30, 60)):
        alone = adata[part].copy()
        sc.pp.neighbors(alone, n_neighbors=5)
        similar = dense(fc.kernels.ConnectivityKernel(alone).compute_transition_matrix())
        assert_allclose(T[part, part], (0.3 if part.start == 0 else 1.0) * similar, atol=1e-14)
    assert_allclose(T[:30, 30:], 0.7 * coupling / coupling.sum(axis=1, keepdims=True), atol=1e-14)
    kernel.compute_transition_matrix(
        threshold=None, self_transitions=["1"], conn_weight=0.3, conn_kwargs={"n_neighbors": 5}
    )
    assert kernel.params["self_transitions"] == "['1']"
    assert_array_equal(dense(kernel), T)
    kernel.compute_transition_matrix(
        threshold=None, self_transitions=["1"], conn_weight=0.3, conn_kwargs={"n_neighbors": 15}
    )
    assert abs(dense(kernel) - T).max() > 0.01


def test_every_pair_of_times_can_be_coupled():
    adata = cells(["1", "1", "2", "2", "3", "3"])
    rng = np.random.default_rng(0)
    couplings = {pair: rng.random((2, 2)) for pair in [("1", "2"), ("1", "3"), ("2", "3")]}
    kernel = RealTimeKernel(adata, "day", couplings)
    assert list(RealTimeKernel(adata, "day", policy="triu").couplings) == list(couplings)
    kernel.compute_transition_matrix(threshold=None, self_transitions="diagonal")
    row = np.concatenate([couplings["1", "2"][0], couplings["1", "3"][0]])
    assert_allclose(dense(kernel)[0, 2:], row / row.sum())


def test_parameters_and_couplings_decide_whether_to_compute_again(small):
    couplings = {("1", "2"): COUPLING}
    kernel = RealTimeKernel(small, "day", couplings).compute_transition_matrix(self_transitions="diagonal")
    matrix = kernel.transition_matrix
    assert kernel.compute_transition_matrix(self_transitions="diagonal").transition_matrix is matrix
    couplings["1", "2"] = COUPLING[:, ::-1]
    kernel.compute_transition_matrix(self_transitions="diagonal")
    assert_allclose(dense(kernel)[0], [0, 0, 0, 1, 0])
    assert_allclose(dense(kernel)[2], [0, 0.5, 0, 0, 0.5])


class Own(RealTimeKernel):
    """Couples by a function of its own."""

    def compute_coupling(self, src, tgt, sharpness=1.0):
        x, y = (self.adata.obsm["X_pca"][(self.time == t).to_numpy()] for t in (src, tgt))
        return np.exp(-sharpness * ((x[:, None] - y[None]) ** 2).sum(axis=-1))


def test_subclasses_couple_as_they_like():
    adata = cells(["1"] * 10 + ["2"] * 12)
    kernel = Own(adata, "day").compute_transition_matrix(
        threshold=None, self_transitions="diagonal", sharpness=0.5
    )
    assert kernel.params["sharpness"] == 0.5
    x, y = adata.obsm["X_pca"][:10], adata.obsm["X_pca"][10:]
    expected = np.exp(-0.5 * ((x[:, None] - y[None]) ** 2).sum(axis=-1))
    assert_allclose(dense(kernel)[:10, 10:], expected / expected.sum(axis=1, keepdims=True), rtol=1e-12)


def test_round_trips(small, tmp_path):
    kernel = RealTimeKernel(small, "day", {("1", "2"): COUPLING})
    kernel.compute_transition_matrix(self_transitions="diagonal")
    kernel.write_to_adata()
    again = RealTimeKernel.from_adata(small, key="T_fwd")
    assert_array_equal(dense(again), dense(kernel))
    assert again.params == kernel.params
    kernel.write(tmp_path / "kernel.h5")
    read = RealTimeKernel.read(tmp_path / "kernel.h5")
    assert_array_equal(dense(read), dense(kernel))
    assert list(read.time) == list(kernel.time)
    assert read.couplings == {("1", "2"): None}
    copied = kernel.copy()
    assert copied.couplings is not None
    assert copied.couplings["1", "2"] is COUPLING
    combined = 0.5 * kernel + 0.5 * fc.kernels.PrecomputedKernel(sp.identity(5, format="csr"), adata=small)
    assert_allclose(combined.compute_transition_matrix().transition_matrix.toarray()[0], [0.5, 0, 0, 0.5, 0])


# Optimal transport ------------------------------------------------------------------------------------


def test_couplings_by_transport_hold_their_marginals():
    adata = cells(["1"] * 40 + ["2"] * 50 + ["3"] * 30, growth=np.linspace(0.5, 2, 120))
    kernel = RealTimeKernel.from_representation(
        adata, "day", growth_key="growth", lambda1=np.inf, lambda2=np.inf, epsilon=0.1, tol=1e-11
    )
    tmap = kernel.couplings["1", "2"]
    plan = np.asarray(tmap)
    wanted = adata.obs["growth"].to_numpy()[:40]
    assert_allclose(plan.sum(axis=1), wanted / wanted.sum(), atol=1e-10)
    assert_allclose(plan.sum(axis=0), 1 / 50, atol=1e-10)
    assert tmap.residual <= 1e-11
    assert list(tmap.source_names) == list(adata.obs_names[:40])
    kernel.compute_transition_matrix(self_transitions="diagonal")
    assert_allclose(dense(kernel).sum(axis=1), 1, atol=1e-12)
    assert_array_equal(np.concatenate(list(tmap.blocks())), plan)


def naive_sinkhorn(cost, epsilon, lambda1, lambda2, n_iter=3000):
    n, m = cost.shape
    kernel = np.exp(-cost / epsilon)
    u, v = np.ones(n), np.ones(m)
    for _ in range(n_iter):
        u = (1 / n / (kernel @ v)) ** (lambda1 / (lambda1 + epsilon))
        v = (1 / m / (kernel.T @ u)) ** (lambda2 / (lambda2 + epsilon))
    return u[:, None] * kernel * v


@pytest.mark.parametrize("n_jobs", [1, 3])
def test_transport_against_the_slow_version(n_jobs):
    rng = np.random.default_rng(1)
    cost = rng.gamma(2.0, size=(30, 20))
    tmap = fc.kernels.utils.transport_map(
        cost=cost, epsilon=0.3, lambda1=1.0, lambda2=10.0, tol=1e-13, n_jobs=n_jobs
    )
    assert_allclose(np.asarray(tmap), naive_sinkhorn(cost, 0.3, 1.0, 10.0), rtol=1e-9)


def test_coordinates_and_costs_agree():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(30, 4)), rng.normal(size=(20, 4))
    cost = ((x[:, None] - y[None]) ** 2).sum(axis=-1)
    by_points = fc.kernels.utils.transport_map(x, y)
    by_cost = fc.kernels.utils.transport_map(cost=cost / cost.mean())
    assert_allclose(np.asarray(by_points), np.asarray(by_cost), rtol=1e-9)


def test_growth_iterations_use_what_the_map_before_found():
    adata = cells(["1"] * 20 + ["2"] * 30)
    one = RealTimeKernel.from_representation(adata, "day", growth_iters=1)
    two = RealTimeKernel.from_representation(adata, "day", growth_iters=2)
    sent, _ = one.couplings["1", "2"].mass()
    tmap = fc.kernels.utils.transport_map(
        adata.obsm["X_pca"][:20], adata.obsm["X_pca"][20:], a=sent / sent.sum()
    )
    assert_array_equal(np.asarray(two.couplings["1", "2"]), np.asarray(tmap))


# Other tools ------------------------------------------------------------------------------------------


class Solution:
    def __init__(self, matrix):
        self.transport_matrix = matrix

    def sparsify(self, mode, value):
        assert mode == "threshold"
        return Solution(sp.csr_matrix(np.where(self.transport_matrix >= value, self.transport_matrix, 0)))


def problem(adata, solved=True):
    """What a solved problem of moscot looks like, as far as it is used."""
    source, target = adata[[0, 2]], adata[[1, 3, 4]]
    frozen = COUPLING.copy()
    frozen.flags.writeable = False  # as arrays of JAX are
    return SimpleNamespace(
        adata=adata,
        temporal_key="day",
        solutions={("1", "2"): Solution(frozen)} if solved else {},
        problems={("1", "2"): SimpleNamespace(adata_src=source, adata_tgt=target)},
    )


def test_from_moscot(small):
    kernel = RealTimeKernel.from_moscot(problem(small))
    assert kernel.adata is small
    coupling = kernel.couplings["1", "2"]
    assert coupling.X.flags.writeable
    kernel.compute_transition_matrix(self_transitions="diagonal")
    plain = RealTimeKernel(small, "day", {("1", "2"): COUPLING})
    plain.compute_transition_matrix(self_transitions="diagonal")
    assert_array_equal(dense(kernel), dense(plain))
    kept = RealTimeKernel.from_moscot(problem(small), sparse_mode="threshold", sparsify_kwargs={"value": 0.2})
    assert sp.issparse(kept.couplings["1", "2"].X)
    with pytest.raises(fc.errors.NotComputedError, match="solve"):
        RealTimeKernel.from_moscot(problem(small, solved=False))
    with pytest.raises(TypeError, match="temporal problem"):
        RealTimeKernel.from_moscot(small)


def test_a_solution_of_moscot():
    """Saved from moscot 0.5.2: the same matrix as from the problem itself, cells not in order of time."""
    frozen = np.load(Path(__file__).parent / "data/frozen/moscot.npz")
    obs = pd.DataFrame({"day": pd.Categorical(frozen["day"])}, index=frozen["names"])
    adata = AnnData(np.zeros((60, 1), dtype=np.float32), obs=obs)
    pairs = [(0, 1), (1, 2)]
    solved = SimpleNamespace(
        adata=adata,
        temporal_key="day",
        solutions={(a, b): Solution(frozen[f"{a}_{b}/matrix"]) for a, b in pairs},
        problems={
            (a, b): SimpleNamespace(
                adata_src=adata[frozen[f"{a}_{b}/source"]], adata_tgt=adata[frozen[f"{a}_{b}/target"]]
            )
            for a, b in pairs
        },
    )
    kernel = RealTimeKernel.from_moscot(solved).compute_transition_matrix(self_transitions="diagonal")
    assert_allclose(dense(kernel), frozen["T"], rtol=1e-12)


def test_from_wot(small, tmp_path):
    names = (small.obs_names[[0, 2]], small.obs_names[[1, 3, 4]])
    forms(COUPLING, names)["annotated"].write_h5ad(tmp_path / "my_tmap_1.0_2.0.h5ad")
    with pytest.warns(DeprecationWarning, match="deprecated"):
        kernel = RealTimeKernel.from_wot(small, tmp_path, "day")
    kernel.compute_transition_matrix(self_transitions="diagonal")
    assert_allclose(dense(kernel)[0], [0, 0, 0, 1, 0])
    with pytest.raises(FileNotFoundError), pytest.warns(DeprecationWarning, match="from_wot"):
        RealTimeKernel.from_wot(small, tmp_path / "nothing", "day")


# What can be wrong ------------------------------------------------------------------------------------


def test_time_points_are_checked(small):
    with pytest.raises(KeyError, match="days"):
        RealTimeKernel(small, "days")
    small.obs["number"] = [1, 2, 1, 2, 2]
    with pytest.raises(TypeError, match="categorical"):
        RealTimeKernel(small, "number")
    with pytest.raises(ValueError, match="at least 2 time points"):
        RealTimeKernel(small[[0, 2]].copy(), "day")
    small.obs.loc["c3", "day"] = np.nan
    with pytest.raises(ValueError, match="'c3'"):
        RealTimeKernel(small, "day")


@pytest.mark.parametrize(
    ("coupling", "error", "says"),
    [
        (COUPLING.T, ValueError, r"shape \(2, 3\)"),
        (np.array([[0.1, np.nan, 0], [0.2, 0.1, 0.2]]), ValueError, "'c0'"),
        (np.array([[0.1, 0.3, 0], [0.2, -0.1, 0.2]]), ValueError, "'c2'"),
        (sp.csr_matrix([[0.1, 0.3, 0], [0.2, -0.1, 0.2]]), ValueError, "negative .* 'c2'"),
        (sp.csr_matrix([[0.1, np.inf, 0], [0.2, 0.1, 0.2]]), ValueError, "finite .* 'c0'"),
        (np.array([["a", "b", "c"]] * 2), TypeError, "numbers"),
        (7, TypeError, "int"),
        (None, ValueError, "is not there"),
        (lambda: [COUPLING[:1]], ValueError, r"found \(1, 3\)"),
        (lambda: [COUPLING[:, :2]], ValueError, "blocks of rows"),
        (lambda: None, TypeError, "to return blocks of rows, found `NoneType`"),
    ],
)
def test_couplings_are_checked(small, coupling, error, says):
    kernel = RealTimeKernel(small, "day", {("1", "2"): coupling})
    with pytest.raises(error, match=says):
        kernel.compute_transition_matrix(self_transitions="diagonal")
    assert kernel.transition_matrix is None
    assert kernel.params == {}


@pytest.mark.parametrize("threshold", ["auto", 50, None])
def test_an_iterator_is_read_once(small, threshold):
    """It serves one matrix, without leaving a file open; for the next it is empty, and the matrix stays."""
    kernel = RealTimeKernel(small, "day", {("1", "2"): iter([COUPLING[:1], COUPLING[1:]])})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kernel.compute_transition_matrix(threshold, self_transitions="diagonal")
        gc.collect()
    before = dense(kernel)
    with pytest.raises(ValueError, match="pass a function"):
        kernel.compute_transition_matrix(threshold, self_transitions="uniform")
    assert_array_equal(dense(kernel), before)


def test_a_pair_that_is_added_later_is_checked(small):
    kernel = RealTimeKernel(small, "day", couplings={("1", "2"): COUPLING})
    kernel.couplings["1", "9"] = COUPLING
    with pytest.raises(ValueError, match=r"in the coupling \('1', '9'\), found '9'"):
        kernel.compute_transition_matrix(self_transitions="diagonal")


def test_a_function_may_return_one_matrix(small):
    expected = RealTimeKernel(small, "day", {("1", "2"): COUPLING}).compute_transition_matrix(
        None, "diagonal"
    )
    for matrix in (COUPLING, sp.csr_matrix(COUPLING)):
        kernel = RealTimeKernel(small, "day", {("1", "2"): lambda matrix=matrix: matrix})
        kernel.compute_transition_matrix(None, "diagonal")
        assert_allclose(dense(kernel), dense(expected))


def test_times_sorted_as_text(small):
    """Day 10 before day 9 is hardly meant."""
    small.obs["day"] = pd.Categorical(["9", "10", "9", "10", "10"])
    with pytest.warns(FerrocyteWarning, match=r"reorder_categories\(\['9', '10'\]\)"):
        RealTimeKernel(small, "day")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        small.obs["day"] = small.obs["day"].cat.reorder_categories(["9", "10"])
        assert list(RealTimeKernel(small, "day").couplings) == [("9", "10")]
        small.obs["day"] = pd.Categorical(["b", "a", "b", "a", "a"], categories=["b", "a"])
        RealTimeKernel(small, "day")
        small.obs["day"] = pd.cut([1, 5, 1, 5, 5], [0, 3, 9])
        RealTimeKernel(small, "day")


def test_folders_with_other_files(small, tmp_path):
    names = (small.obs_names[[0, 2]], small.obs_names[[1, 3, 4]])
    coupling = forms(COUPLING, names)["annotated"]
    for folder, files, error, says in (
        ("twice", ["tmap_1_2.h5ad", "tmap_1.0_2.h5ad"], ValueError, "one file for the times"),
        ("name", ["readme.h5ad"], ValueError, "tmap_<source>_<target>"),
        ("time", ["tmap_1_7.h5ad"], ValueError, "found '7'"),
        ("broken", ["tmap_1_2.h5ad"], ValueError, "Unable to read .*tmap_1_2"),
    ):
        (tmp_path / folder).mkdir()
        for file in files:
            coupling.write_h5ad(tmp_path / folder / file)
        if folder == "broken":
            (tmp_path / folder / files[0]).write_text("nothing")
        with pytest.raises(error, match=says), pytest.warns(DeprecationWarning, match="from_wot"):
            RealTimeKernel.from_wot(small, tmp_path / folder, "day")


def test_names_of_cells_are_checked(small):
    names = (small.obs_names[[0, 2]], small.obs_names[[1, 3, 4]])
    frame = pd.DataFrame(COUPLING, index=names[0], columns=names[1])
    for changed, side in (
        (frame.rename({"c0": "x"}), "Source"),
        (frame.rename(columns={"c1": "x"}), "Target"),
    ):
        kernel = RealTimeKernel(small, "day", {("1", "2"): changed})
        with pytest.raises(IndexError, match=f"{side} observations.*'x'"):
            kernel.compute_transition_matrix()


def test_options_are_checked(small):
    with pytest.raises(ValueError, match="Did you mean 'triu'"):
        RealTimeKernel(small, "day", policy="tri")
    with pytest.raises(ValueError, match="'9'"):
        RealTimeKernel(small, "day", {("1", "9"): COUPLING})
    with pytest.raises(ValueError, match="later time"):
        RealTimeKernel(small, "day", {("2", "1"): COUPLING.T})
    with pytest.raises(ValueError, match="of type `str`: pass '1'"):
        RealTimeKernel(small, "day", {(1, 2): COUPLING})
    with pytest.raises(TypeError, match="found `list`"):
        RealTimeKernel(small, "day", [COUPLING])
    kernel = RealTimeKernel(small, "day", {("1", "2"): COUPLING})
    for options, says in (
        ({"threshold": "local"}, "auto_local"),
        ({"threshold": 101}, "threshold"),
        ({"self_transitions": "none"}, "Invalid option"),
        ({"self_transitions": "all"}, "conn_weight"),
        ({"self_transitions": "all", "conn_weight": 1}, "conn_weight"),
        ({"self_transitions": ["2"], "conn_weight": 0.5}, "source times"),
    ):
        with pytest.raises(ValueError, match=says):
            kernel.compute_transition_matrix(**options)
    three = cells(["1", "1", "2", "2", "3", "3"])
    with pytest.raises(ValueError, match="none from"):
        RealTimeKernel(three, "day", {("2", "3"): np.ones((2, 2))}).compute_transition_matrix()


def test_transport_input_is_checked(small):
    small.obs["growth"] = [1.0, 1, 0, 1, 1]
    for options, error, says in (
        ({"rep": "X_umap"}, KeyError, "X_pca"),
        ({"growth_key": "growth"}, ValueError, "'c2'"),
        ({"max_iter": 1, "tol": 1e-300}, RuntimeError, "did not converge"),
        ({"epsilon": -1}, ValueError, "epsilon"),
    ):
        with pytest.raises(error, match=says):
            RealTimeKernel.from_representation(small, "day", **options)
    small.obsm["X_pca"][3, 1] = np.nan
    with pytest.raises(ValueError, match="'c3'"):
        RealTimeKernel.from_representation(small, "day")


def test_a_diffusion_map_of_all_cells_is_no_hindrance():
    """scanpy looks for the eigenvalues of a diffusion map, which are those of all cells."""
    adata = cells(["1"] * 6 + ["2"] * 12)
    coupling = {("1", "2"): np.ones((6, 12))}
    plain = dense(RealTimeKernel(adata, "day", coupling).compute_transition_matrix())
    adata.obsm["X_diffmap"] = np.ones((18, 3))
    assert_array_equal(dense(RealTimeKernel(adata, "day", coupling).compute_transition_matrix()), plain)
