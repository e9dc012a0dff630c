"""The simulation: what it says is known of its cells is so."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from ferrocyte import datasets
from ferrocyte._errors import (
    FerrocyteError,
    InvalidDataError,
    InvalidOptionError,
    InvalidTypeError,
    MissingDataError,
)
from ferrocyte.datasets._genes import BETA, GAMMA
from ferrocyte.datasets._paths import walk_paths
from ferrocyte.datasets._tree import resolve_tree
from numpy.testing import assert_allclose, assert_array_equal
from reference.graphs import check_graph
from scipy.integrate import solve_ivp


def same(a: ad.AnnData, b: ad.AnnData) -> None:
    """Equal to the last bit."""
    for x, y in ((a.X, b.X), *((a.layers[k], b.layers[k]) for k in ("spliced", "unspliced"))):
        assert_array_equal(x.indptr, y.indptr)
        assert_array_equal(x.indices, y.indices)
        assert_array_equal(x.data, y.data)
    for key in ("Ms", "Mu", "velocity"):
        assert_array_equal(a.layers[key], b.layers[key])
    for key in ("true_fate", "X_low", "X_umap"):
        assert_array_equal(a.obsm[key], b.obsm[key])
    for x, y in ((a.obs, b.obs), (a.var, b.var)):  # a slice of an AnnData loses unused categories
        how = {"check_dtype": False, "check_categorical": False, "check_index_type": False}
        pd.testing.assert_frame_equal(x, y, check_exact=True, **how)


def simulate(n_cells: int, n_genes: int = 5, *args, **kwargs) -> ad.AnnData:
    kwargs.setdefault("n_neighbors", None)
    return datasets.simulate(n_cells, n_genes, *args, **kwargs)


# Simulation: form ------------------------------------------------------------------------------------


def test_simulated_object():
    a = datasets.simulate(300, 40, "nested", seed=4, n_neighbors=15)
    assert a.shape == (300, 40)
    for m in (a.X, a.layers["spliced"], a.layers["unspliced"]):
        assert m.format == "csr"
        assert m.dtype == np.float32
        assert_array_equal(m.data, np.round(m.data))
        assert (m.data > 0).all()
    for key in ("Ms", "Mu", "velocity"):
        assert a.layers[key].dtype == np.float32
        assert a.layers[key].flags.c_contiguous
        assert np.isfinite(a.layers[key]).all()
    assert a.obsm["true_fate"].shape == (300, 5)
    assert list(a.uns["fate_names"]) == list("ABCDE")
    assert a.obs["cell_type"].cat.categories.size == len(a.uns["cell_type_colors"]) == 8
    assert len(set(a.uns["cell_type_colors"])) == 8
    assert a.obs["leaf"].cat.categories.size == len(a.uns["leaf_colors"]) == 5
    assert a.obs["pseudotime"].iloc[a.uns["iroot"]] == a.obs["pseudotime"].min()
    assert a.obsm["X_umap"].shape == (300, 2)
    assert a.uns["simulation"]["seed"] == 4
    check_graph(a, "X_low", n_neighbors=15)


def test_layer_is_not_an_alias_of_x():
    a = simulate(50)
    a.X.data[:] = 0
    assert a.layers["spliced"].data.all()


def test_without_dense_layers():
    a, b = simulate(3000, moments=False), simulate(3000)
    assert set(a.layers) - {None} == {"spliced", "unspliced"}  # newer AnnData count X, as None
    assert_array_equal(a.X.toarray(), b.X.toarray())


def test_many_dimensions_take_another_search():
    """More programs than a k-d tree can handle: the graph must be as exact."""
    a = datasets.simulate(200, 5, "blood", n_neighbors=10)
    assert a.obsm["X_low"].shape[1] == 39
    check_graph(a, "X_low", n_neighbors=10)


def test_round_trip(tmp_path):
    a = datasets.simulate(120, 10, times=[0.5, 1.5], n_neighbors=10)
    a.write_h5ad(tmp_path / "a.h5ad")
    b = ad.read_h5ad(tmp_path / "a.h5ad")
    same(a, b)
    assert list(b.uns["fate_names"]) == ["A", "B"]
    tree = json.loads(b.uns["simulation"]["tree"])
    assert_array_equal(simulate(9, 5, tree).X.toarray(), simulate(9, 5).X.toarray())


# Simulation: the same cells --------------------------------------------------------------------------

VARIANTS = {
    "snapshot": {},
    "time course": {"times": [0.5, 1.25, 2.0], "noise": 0.2, "dispersion": 0.3, "spread": 0.1},
}


@pytest.mark.parametrize("kwargs", VARIANTS.values(), ids=VARIANTS)
def test_first_cells_do_not_depend_on_the_total(kwargs):
    many = simulate(4500, 20, "trifurcation", 3, **kwargs)
    for n in (7, 2500):
        same(simulate(n, 20, "trifurcation", 3, **kwargs), many[:n].copy())


def test_seed():
    same(simulate(100, 9, seed=1), simulate(100, 9, seed=1))
    assert (simulate(100, 9, seed=1).X != simulate(100, 9, seed=2).X).nnz > 0
    drawn = simulate(100, 9, seed=None)
    same(drawn, simulate(100, 9, seed=drawn.uns["simulation"]["seed"]))


def test_threads_of_the_linear_algebra_change_nothing():
    code = (
        "import hashlib, ferrocyte.datasets as d; a = d.simulate(2100, 300, 'nested', n_neighbors=None); "
        "h = hashlib.sha256(a.layers['Ms'].tobytes() + a.obsm['true_fate'].tobytes() + a.X.data.tobytes() "
        "+ a.obsm['X_umap'].tobytes()); print(h.hexdigest())"
    )
    digest = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, **dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), n)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for n in ("1", "3")
    }
    assert len(digest) == 1


# Simulation: truth -----------------------------------------------------------------------------------


def z_scores(probability: np.ndarray, came: np.ndarray, groups: np.ndarray) -> list[float]:
    """Standardised difference of the found and the expected number of arrivals, in each group of cells."""
    z = []
    for g in np.unique(groups):
        p, c = probability[groups == g], came[groups == g]
        variance = (p * (1 - p)).sum()
        if variance > 5:
            z.append((c - p).sum() / np.sqrt(variance))
    return z


def calibration(fate: np.ndarray, leaf: np.ndarray, age: np.ndarray) -> np.ndarray:
    """z-scores over bins of each fate probability, and over windows of age."""
    window = pd.qcut(age, 12, labels=False)
    z = []
    for j, p in enumerate(fate.T):
        z += z_scores(p, leaf == j, np.digitize(p, np.linspace(0, 1, 13)[1:-1]))
        z += z_scores(p, leaf == j, window)
    return np.array(z)


@pytest.mark.parametrize("tree", ["bifurcation", "trifurcation", "nested", "blood"])
def test_fates_are_calibrated(tree):
    """Of the cells that have a fate with probability q the part q gets it, at any age."""
    a = simulate(12_288, 1, tree, seed=2, moments=False)
    fate, leaf, age = a.obsm["true_fate"], a.obs["leaf"].cat.codes.to_numpy(), a.obs["pseudotime"]
    assert_allclose(fate.sum(1), 1, atol=1e-12)
    assert fate.min() >= 0
    z = calibration(fate, leaf, age)
    assert z.size > 20
    assert np.abs(z).max() < 4.2
    assert np.mean(z**2) < 2
    # the same test rejects fates that are a little too sure of themselves
    sharper = fate**1.5
    assert np.abs(calibration(sharper / sharper.sum(1, keepdims=True), leaf, age)).max() > 6


def test_fates_are_a_martingale():
    """The mean fate is the prior at every age: the prior itself before the split, certain after the end."""
    tree = resolve_tree("nested")
    a = simulate(12_288, 1, "nested", seed=3, moments=False)
    fate, prior = a.obsm["true_fate"], a.uns["fate_prior"]
    assert_allclose(prior, [0.325, 0.195, 0.13, 0.21, 0.14])
    before = (a.obs["pseudotime"] < 1).to_numpy()
    assert_allclose(fate[before], np.tile(prior, (before.sum(), 1)), atol=1e-12)
    terminal = a.obs["terminal"].to_numpy()
    assert_array_equal(fate[terminal], np.eye(5)[a.obs["leaf"].cat.codes[terminal]])
    assert_array_equal(a.obs["cell_type"][terminal].astype(str), a.obs["leaf"][terminal].astype(str))
    assert (a.obs["pseudotime"][terminal].to_numpy() >= (tree.start + tree.duration)[tree.leaves].min()).all()
    for rows in np.array_split(np.argsort(a.obs["pseudotime"].to_numpy()), 12):
        error = np.sqrt(prior * (1 - prior) / rows.size)  # at most, as fates vary least when all are decided
        assert (np.abs(fate[rows].mean(0) - prior) < 4.2 * error).all()


def test_response_solves_the_splicing_equations():
    """One branch: its early and late programs are known functions of time; compare with an ODE solver."""
    tree = resolve_tree({"only": {"parent": None, "duration": 2.0}})
    age = np.array([0.3, 0.9, 1.7, 2.0])
    paths = walk_paths(tree, np.random.default_rng(0), age, np.zeros(4, dtype=int), strength=16.0)
    assert_array_equal(paths.fate, np.ones((4, 1)))
    activity = {
        0: lambda t: 1.0,
        1: lambda t: 1.0,
        2: lambda t: np.exp(-0.5 * ((t / 2 - 0.3) / 0.13) ** 2),
        3: lambda t: 1 / (1 + np.exp((0.6 - t / 2) / 0.07)),
    }
    for program, a in activity.items():
        rest = 1.0 if program < 2 else 0.0
        for k in range(GAMMA.size):
            solution = solve_ivp(
                lambda t, y, a=a, k=k: [a(t) - BETA[k] * y[0], BETA[k] * y[0] - GAMMA[k] * y[1]],
                (0, 2),
                [rest / BETA[k], rest / GAMMA[k]],
                t_eval=age,
                rtol=1e-9,
                atol=1e-12,
                max_step=0.01,
            )
            tolerance = {"atol": 1e-5 if program < 2 else 2e-3 / GAMMA[k]}
            assert_allclose(paths.unspliced[:, program, k], solution.y[0], rtol=0, **tolerance)
            assert_allclose(paths.spliced[:, program, k], solution.y[1], rtol=0, **tolerance)


def test_velocity_and_counts_follow_the_abundances():
    a = simulate(2048, 200, "nested", seed=5)
    beta, gamma = a.var["beta"].to_numpy(np.float64), a.var["gamma"].to_numpy(np.float64)
    ms, mu = (a.layers[key].astype(np.float64) for key in ("Ms", "Mu"))
    assert_allclose(a.layers["velocity"], beta * mu - gamma * ms, atol=1e-4, rtol=1e-4)
    assert np.abs(a.layers["velocity"][:, a.var["kind"] == "house"]).max() < 1e-2
    for counts, mean in ((a.layers["spliced"], ms), (a.layers["unspliced"], mu)):
        rate = mean * a.obs["size_factor"].to_numpy()[:, None]
        x = counts.toarray().astype(np.float64)
        z = (x - rate).sum(0) / np.sqrt(rate.sum(0))
        assert np.abs(z).max() < 5
        assert_allclose(np.mean(z**2), 1, atol=0.35)
        assert_allclose(((x - rate) ** 2).sum() / rate.sum(), 1, atol=0.05)


def test_dispersion_widens_the_counts():
    """Negative binomial: variance mu + dispersion mu^2."""
    a = simulate(2048, 100, seed=6, depth=5.0, dispersion=0.5)
    rate = a.layers["Ms"].astype(np.float64) * a.obs["size_factor"].to_numpy()[:, None]
    x = a.X.toarray()
    assert_allclose(x.sum() / rate.sum(), 1, atol=0.01)
    assert_allclose(((x - rate) ** 2).sum() / (rate + 0.5 * rate**2).sum(), 1, atol=0.1)


def test_noise_of_the_moments():
    """Log-normal with mean one; counts, fates and paths stay what they were."""
    clean, noisy = simulate(3000, 50, seed=7), simulate(3000, 50, seed=7, noise=0.3)
    assert_array_equal(clean.X.toarray(), noisy.X.toarray())
    assert_array_equal(clean.obsm["true_fate"], noisy.obsm["true_fate"])
    for key in ("Ms", "Mu"):
        ratio = noisy.layers[key] / clean.layers[key]
        assert_allclose(ratio.mean(), 1, atol=0.01)
        assert_allclose(np.log(ratio).std(), 0.3, atol=0.005)
    beta, gamma = noisy.var["beta"].to_numpy(), noisy.var["gamma"].to_numpy()
    assert_allclose(
        noisy.layers["velocity"], beta * noisy.layers["Mu"] - gamma * noisy.layers["Ms"], atol=1e-4, rtol=1e-4
    )


def test_drivers_rise_in_their_fate():
    a = simulate(6000, 200, "trifurcation", seed=8)
    end = a[a.obs["terminal"]]
    mean = (
        pd.DataFrame(end.layers["Ms"], columns=end.var_names)
        .groupby(end.obs["leaf"].astype(str).to_numpy())
        .mean()
    )
    for fate in "ABC":
        genes = a.var_names[(a.var["driver_of"] == fate) & a.var["kind"].isin(["pan", "main", "late"])]
        assert genes.size >= 3
        assert (mean[genes].idxmax() == fate).all()


# Simulation: time courses ----------------------------------------------------------------------------


def test_time_course():
    a = simulate(2048, 5, "nested", seed=9, times=[0.5, 1.5, 3.0], spread=0.2)
    assert a.obs["time"].cat.ordered
    assert list(a.obs["time"].cat.categories) == [0.5, 1.5, 3.0]
    age = a.obs["pseudotime"].groupby(a.obs["time"], observed=True)
    assert_allclose(a.obs["time"].value_counts(normalize=True), 1 / 3, atol=0.02)
    assert_allclose(age.mean(), [0.5, 1.5, 3.0], atol=0.1)
    assert a.uns["population_size"].shape == (3,)
    # fates with more divisions behind them are over-represented among the cells, not among the founders
    late = a.obs["leaf"][a.obs["time"] == 3.0].value_counts(normalize=True)
    assert late["A"] > 0.325 + 0.05
    assert late["E"] < 0.14 - 0.02


def test_population_grows_exponentially():
    """One branch, growth rate g, no spread of age: exp(g t) descendants at time t, all of one age."""
    tree = {"only": {"parent": None, "duration": 2.0, "growth": 0.7}}
    a = simulate(500, 3, tree, times=[0.5, 1.0, 2.0], spread=0.0)
    assert_allclose(a.uns["population_size"], np.exp(0.7 * np.array([0.5, 1.0, 2.0])), rtol=1e-9)
    assert_allclose(a.obs["pseudotime"], a.obs["time"].astype(float))
    assert_allclose(a.obs["log_growth"], 0.7 * a.obs["pseudotime"])
    assert_allclose(a.obs["growth_rate"], 0.7)


# Trees and bad arguments -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", datasets.TREES)
def test_built_in_trees(name):
    tree = resolve_tree(name)
    assert_allclose(tree.leaf_prob.sum(), 1)
    assert_allclose(tree.down.sum(1), 1)
    assert_array_equal(tree.down[tree.root], tree.leaf_prob)
    a = simulate(30, 5, name)
    assert list(a.uns["fate_names"]) == tree.fate_names
    assert resolve_tree(tree.spec()).spec() == tree.spec()


def test_own_tree():
    """Branches may come in any order; a leaf may sit beside a branch that goes on."""
    tree = {
        "x": {"parent": "mid", "duration": 1, "prob": 0.25},
        "y": {"parent": "mid", "duration": 1.0, "prob": 0.75},
        "root": {"parent": None, "duration": 0.5},
        "mid": {"parent": "root", "duration": 1.0, "prob": 0.8},
        "z": {"parent": "root", "duration": 2.0, "prob": 0.2},
    }
    a = simulate(6000, 3, tree, moments=False)
    assert list(a.uns["fate_names"]) == ["x", "y", "z"]
    assert_allclose(a.uns["fate_prior"], [0.2, 0.6, 0.2])
    assert_allclose(a.obs["leaf"].value_counts(normalize=True)[["x", "y", "z"]], [0.2, 0.6, 0.2], atol=0.03)
    assert (a.obs["cell_type"][a.obs["pseudotime"] < 0.5] == "root").all()
    assert a.obs["pseudotime"].max() <= 2.5 * 1.08


ROOT = {"parent": None, "duration": 1.0}


@pytest.mark.parametrize(
    ("tree", "error", "match"),
    [
        (
            "bifurcating",
            InvalidOptionError,
            "Unknown tree 'bifurcating'.*Did you mean 'bifurcation'.*'nested'",
        ),
        (3, InvalidTypeError, "Expected `tree` to be the name.*'bifurcation'"),
        ({"a": 1.0}, InvalidTypeError, "Expected `tree`"),
        ({}, InvalidDataError, "exactly one branch without a parent, found 0"),
        (
            {"a": ROOT, "b": ROOT},
            InvalidDataError,
            r"exactly one branch without a parent, found 2: \['a', 'b'\]",
        ),
        ({"a": ROOT, "b": {"parent": "c", "duration": 1}}, InvalidDataError, "parent 'c', no branch"),
        (
            {"a": ROOT, "b": {"parent": "c", "duration": 1}, "c": {"parent": "b", "duration": 1}},
            InvalidDataError,
            "'b' is its own ancestor",
        ),
        (
            {"a": {"parent": None}},
            InvalidDataError,
            "'duration' of branch 'a' to be a positive number, found None",
        ),
        ({"a": {"parent": None, "duration": 0}}, InvalidDataError, "positive number, found 0"),
        ({"a": {"parent": None, "duration": np.nan}}, InvalidDataError, "positive number, found nan"),
        ({"a": {**ROOT, "growth": "x"}}, InvalidDataError, "'growth' of branch 'a'"),
        ({"a": {**ROOT, "length": 1}}, InvalidDataError, "Unknown field 'length'"),
        (
            {
                "a": ROOT,
                "b": {"parent": "a", "duration": 1, "prob": 0.6},
                "c": {"parent": "a", "duration": 1, "prob": 0.6},
            },
            InvalidDataError,
            "add up to 1, found 1.2",
        ),
        (
            {"a": ROOT, "b": {"parent": "a", "duration": 1, "prob": 0}},
            InvalidDataError,
            r"number in \(0, 1\], found 0",
        ),
    ],
)
def test_bad_trees(tree, error, match):
    with pytest.raises(error, match=match) as caught:
        simulate(10, 5, tree)
    assert isinstance(caught.value, FerrocyteError)


@pytest.mark.parametrize(
    ("kwargs", "error", "match"),
    [
        ({"n_cells": 0}, InvalidOptionError, "`n_cells`.*found 0"),
        ({"n_cells": 10.5}, InvalidTypeError, "`n_cells`.*whole number"),
        ({"n_cells": True}, InvalidTypeError, "`n_cells`"),
        ({"n_genes": -1}, InvalidOptionError, "`n_genes`.*found -1"),
        ({"seed": -1}, InvalidOptionError, "`seed`"),
        ({"seed": "a"}, InvalidTypeError, "`seed`"),
        ({"n_neighbors": 1}, InvalidOptionError, "`n_neighbors`.*found 1"),
        ({"n_neighbors": 10}, InvalidOptionError, "`n_neighbors` to be below `n_cells`.*None for no graph"),
        ({"noise": -0.1}, InvalidOptionError, "`noise`"),
        ({"noise": "much"}, InvalidTypeError, "`noise`"),
        ({"depth": 0.0}, InvalidOptionError, "`depth`"),
        ({"strength": np.inf}, InvalidOptionError, "`strength`"),
        ({"dispersion": -1}, InvalidOptionError, "`dispersion`"),
        ({"spread": -1}, InvalidOptionError, "`spread`"),
        ({"times": [1.0, 0.5]}, InvalidOptionError, "increasing"),
        ({"times": [1.0, 1.0]}, InvalidOptionError, "drop repeats"),
        ({"times": [-1.0, 1.0]}, InvalidOptionError, "not negative"),
        ({"times": []}, InvalidOptionError, "between 1 and"),
        ({"times": ["a"]}, InvalidTypeError, "sequence of numbers"),
    ],
)
def test_bad_arguments(kwargs, error, match):
    with pytest.raises(error, match=match) as caught:
        datasets.simulate(**{"n_cells": 10, "n_genes": 5, "n_neighbors": None, **kwargs})
    assert isinstance(caught.value, FerrocyteError)


# fate_error ------------------------------------------------------------------------------------------


@pytest.fixture
def three_cells() -> ad.AnnData:
    """Truth (1/2, 1/2), (1, 0), (1/4, 3/4); the third cell is terminal; fates that came: B, A, B."""
    return ad.AnnData(
        obs=pd.DataFrame(
            {"leaf": pd.Categorical(["B", "A", "B"]), "terminal": [False, False, True]}, index=list("012")
        ),
        obsm={"true_fate": np.array([[0.5, 0.5], [1.0, 0.0], [0.25, 0.75]])},
        uns={"fate_names": np.array(["A", "B"], dtype=object)},
    )


def test_fate_error_by_hand(three_cells):
    """Estimate (1/4, 3/4), (3/4, 1/4) for the two cells that count; both are off by 1/4 everywhere.

    Brier: ((1/4)^2 + (1/4)^2) / 2 = 1/16 per fate; of the truth (1/4 + 0) / 2 = 1/8. The most probable
    fate of the truth is A in both (the first of two equal ones), of the estimate B and A.
    """
    estimate = np.array([[0.25, 0.75], [0.75, 0.25], [9.0, 9.0]])
    table = datasets.fate_error(three_cells, estimate)
    assert list(table.index) == ["A", "B", "all"]
    assert_allclose(table["mae"], 0.25)
    assert_allclose(table["rmse"], 0.25)
    assert_allclose(table["brier"], [1 / 16, 1 / 16, 1 / 8])
    assert_allclose(table["brier_truth"], [1 / 8, 1 / 8, 1 / 4])
    assert_allclose(table["agreement"], [0.5, np.nan, 0.5])
    assert_allclose(table["pearson"], [1, 1, np.nan])


def test_fate_error_matches_names(three_cells):
    swapped = pd.DataFrame(three_cells.obsm["true_fate"][:, ::-1], columns=["B", "A"])
    everyone = np.ones(3, dtype=bool)
    assert_allclose(datasets.fate_error(three_cells, swapped, cells=everyone)["mae"], 0)
    assert datasets.fate_error(three_cells, swapped.to_numpy(), cells=everyone)["mae"]["all"] > 0.3


def test_fate_error_of_a_constant_is_nan(three_cells):
    flat = np.full((3, 2), 0.3)
    assert datasets.fate_error(three_cells, flat, cells=np.ones(3, dtype=bool))["pearson"].isna().all()


def test_truth_is_the_best_estimate():
    """No other estimate has a smaller expected Brier score."""
    a = simulate(8192, 1, seed=10, moments=False)
    truth = a.obsm["true_fate"]
    exact = datasets.fate_error(a, truth)
    assert exact.loc["all", "mae"] == 0
    assert exact.loc["all", "agreement"] == 1
    assert exact.loc["all", "brier"] == exact.loc["all", "brier_truth"]
    for other in (truth**2, truth**0.5, truth + 0.2):
        worse = datasets.fate_error(a, other / other.sum(1, keepdims=True))
        assert worse.loc["all", "brier"] > worse.loc["all", "brier_truth"]


def test_fate_error_bad_input(three_cells):
    good = np.full((3, 2), 0.5)
    with pytest.raises(MissingDataError, match=r"obsm\['true_fate'\].*simulate"):
        datasets.fate_error(ad.AnnData(np.ones((3, 2))), good)
    with pytest.raises(InvalidDataError, match=r"shape \(3, 2\).*found \(2, 2\)"):
        datasets.fate_error(three_cells, good[:2])
    with pytest.raises(InvalidDataError, match="NaN or infinity in 1 cells"):
        datasets.fate_error(three_cells, np.array([[0.5, np.nan], [1, 0], [1, 0]]))
    with pytest.raises(MissingDataError, match=r"No fate 'B'.*'Beta'"):
        datasets.fate_error(three_cells, pd.DataFrame(good, columns=["A", "Beta"]))
    with pytest.raises(InvalidDataError, match="boolean mask"):
        datasets.fate_error(three_cells, good, cells=[0, 1])
    with pytest.raises(InvalidDataError, match="at least one cell"):
        datasets.fate_error(three_cells, good, cells=np.zeros(3, dtype=bool))
