"""Driver genes: reading expression in any layout, tests on paper, tables, what estimators make of them."""

from __future__ import annotations

import anndata as ad
import ferrocyte as fc
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from ferrocyte import Lineage
from ferrocyte._errors import (
    FerrocyteWarning,
    InvalidDataError,
    InvalidOptionError,
    InvalidTypeError,
    MissingDataError,
    NotComputedError,
    NotSupportedError,
)
from ferrocyte.estimators import _drivers
from numpy.testing import assert_allclose, assert_array_equal
from reference import naive_drivers as naive
from reference.estimators import chain_estimator, snapshot

N, GENES = 700, 9
PARTS = ["corr", "pval", "qval", "ci_low", "ci_high"]


def counts(n=N, genes=GENES, seed=0):
    return np.random.default_rng(seed).poisson(0.7, size=(n, genes)).astype(np.float32)


def fates(n=N, k=3, seed=1):
    return np.random.default_rng(seed).dirichlet(np.ones(k), n)


MEMORY = {
    "C order": lambda x: x,
    "Fortran order": np.asfortranarray,
    "float64": lambda x: x.astype(np.float64),
    "float16": lambda x: x.astype(np.float16),
    "integer": lambda x: x.astype(np.int64),
    "bool": lambda x: x > 0,
    "big-endian": lambda x: x.astype(">f4"),
    "with gaps": lambda x: np.repeat(x, 2, axis=1)[:, ::2],
    "masked": np.ma.masked_array,
    "DataFrame": pd.DataFrame,
    "CSR": sp.csr_matrix,
    "CSR array": sp.csr_array,
    "CSC": sp.csc_matrix,
    "CSC array": sp.csc_array,
    "COO": sp.coo_matrix,
    "CSR of integers": lambda x: sp.csr_matrix(x.astype(np.int32)),
    "CSR, int64 indices": lambda x: wide(sp.csr_matrix(x)),
}


def wide(m):
    m.indices, m.indptr = m.indices.astype(np.int64), m.indptr.astype(np.int64)
    return m


def on_disk(x, path, kind):
    """The matrix as anndata reads it when it is backed, wherever it is in the object."""
    adata = ad.AnnData(np.zeros((len(x), 1), dtype=np.float32))
    adata = ad.AnnData({"dense": np.asarray, "csr": sp.csr_matrix, "csc": sp.csc_matrix}[kind](x))
    adata.write_h5ad(path)
    return ad.read_h5ad(path, backed="r")


@pytest.fixture
def small_pieces(monkeypatch):
    """Pieces of a few rows or genes, so that there are many."""
    monkeypatch.setattr(_drivers, "PIECE", 2000)
    monkeypatch.setattr(_drivers, "ROWS", 64)
    monkeypatch.setattr(_drivers, "BOOTSTRAPS", 8 * 3 * 40 * 2)
    monkeypatch.setattr(_drivers.Expression, "_bytes", lambda self: 20_000)


# Reading expression -----------------------------------------------------------------------------------


@pytest.mark.parametrize("some", [False, True])
@pytest.mark.parametrize("form", MEMORY)
@pytest.mark.usefixtures("small_pieces")
def test_any_layout_in_memory(form, some):
    x, y = counts(), fates()
    x = (x > 1).astype(np.float32) if form == "bool" else x
    cells = np.random.default_rng(2).random(N) < 0.3 if some else None
    kept = slice(None) if cells is None else cells
    expression = _drivers.Expression(MEMORY[form](x), "the matrix", cells)
    assert expression.n_cells == len(x[kept])
    expected = naive.correlations(x[kept], y[kept])
    assert_allclose(_drivers.correlate(expression, y[kept], threads=2), expected, atol=1e-13)
    options = {"n_perms": 40, "seed": 3, "confidence_level": 0.9}
    found = _drivers.permute(expression, y[kept], **options)
    whole = _drivers.permute(_drivers.Expression(x[kept], "the matrix"), y[kept], **options)
    for a, b in zip(found, whole, strict=True):
        assert_allclose(a, b, atol=1e-12)


@pytest.mark.parametrize("kind", ["dense", "csr", "csc"])
@pytest.mark.usefixtures("small_pieces")
def test_any_layout_on_disk(kind, tmp_path):
    x, y = counts(), fates()
    cells = np.random.default_rng(2).random(N) < 0.3
    adata = on_disk(x, tmp_path / "x.h5ad", kind)
    for keep in (None, cells):
        kept = slice(None) if keep is None else keep
        expression = _drivers.Expression(adata.X, "the matrix", keep)
        assert not expression.in_place
        assert expression.by_columns == (kind == "csc")
        expected = naive.correlations(x[kept], y[kept])
        assert_allclose(_drivers.correlate(expression, y[kept]), expected, atol=1e-13)
        found = _drivers.permute(expression, y[kept], n_perms=20, seed=3, confidence_level=0.9)
        assert_allclose(found.corr, expected, atol=1e-13)


@pytest.mark.parametrize("form", ["C order", "float64", "CSR", "CSR array"])
def test_what_the_core_can_read_is_not_copied(form):
    matrix = MEMORY[form](counts())
    expression = _drivers.Expression(matrix, "the matrix")
    (piece,) = expression.row_pieces()
    values = (lambda m: m.data) if sp.issparse(piece) else np.asarray
    assert np.shares_memory(values(piece), values(matrix))


def test_no_matrix_of_numbers():
    with pytest.raises(InvalidDataError, match="the matrix"):
        _drivers.correlate(_drivers.Expression(counts().astype(str), "the matrix"), fates())
    with pytest.raises(InvalidDataError, match="dimensions"):
        _drivers.Expression(np.zeros(3), "the matrix")
    bad = sp.csr_matrix(counts())
    bad.indices = bad.indices + 100
    with pytest.raises(InvalidDataError, match="column indices"):
        _drivers.correlate(_drivers.Expression(bad, "the matrix"), fates())


# Pairwise complete cells ------------------------------------------------------------------------------


@pytest.mark.usefixtures("small_pieces")
def test_pairwise_complete_cells():
    rng = np.random.default_rng(0)
    x, y = 1e6 + rng.normal(size=(90, 8)), fates(90)
    x[rng.random(x.shape) < 0.3] = np.nan
    x[:, 2] = np.nan
    x[:, 3] = np.where(np.isnan(x[:, 3]), np.nan, 0.1)
    x[:, 4] = np.nan
    x[5, 4] = 3.0
    x[1, 5] = np.inf
    r, n = _drivers.complete_pairs(_drivers.Expression(x, "the matrix"), y)
    x[1, 5] = np.nan
    expected, number = naive.pairwise_complete(x, y)
    assert np.isnan(r[2:6]).all()
    keep = [0, 1, 6, 7]
    assert_allclose(r[keep], expected[keep], atol=1e-9)  # 1e6 + noise is known to 1e-10
    assert_array_equal(n[keep], number[keep])


def test_omit_is_propagate_where_nothing_is_missing():
    x, y = counts().astype(np.float64), fates()
    expression = _drivers.Expression(x, "the matrix")
    r, n = _drivers.complete_pairs(expression, y)
    assert_allclose(r, _drivers.correlate(expression, y), atol=1e-13)
    assert (n == N).all()


# Tests and tables -------------------------------------------------------------------------------------


def test_fisher_on_paper():
    """n = 19: sqrt(n - 3) = 4. r = tanh(1/2) has z = 1/2, so |z| sqrt(n - 3) = 2: p = 2 Phi(-2) = 0.0455; the
    interval of 68.27 %, one deviation, is tanh(1/2 -+ 1/4)."""
    r = np.array([[np.tanh(0.5)], [0.0], [1.0], [-1.0], [np.nan]])
    found = _drivers.fisher(r, 19, 0.6826894921370859)
    assert_allclose(found.pval[:, 0], [0.04550026389635842, 1, 0, 0, np.nan], atol=1e-15)
    assert_allclose(found.ci_low[:, 0], [np.tanh(0.25), np.tanh(-0.25), 1, -1, np.nan], rtol=1e-14)
    assert_allclose(found.ci_high[:, 0], [np.tanh(0.75), np.tanh(0.25), 1, -1, np.nan], rtol=1e-14)
    few = _drivers.fisher(r, np.array([19, 4, 3, 2, 0]), 0.95)
    assert_array_equal(np.isnan(few.pval[:, 0]), [False, False, True, True, True])


def test_adjusted_p_values_on_paper():
    """Of 0.01, 0.04, 0.03 the first becomes 3 * 0.01, the third 3/2 * 0.03 = 0.045 but not more than the
    second, 0.04. NaN do not count."""
    p = np.array([[0.01, np.nan], [0.04, np.nan], [np.nan, np.nan], [0.03, np.nan]])
    found = _drivers.adjusted(p)
    assert_allclose(found[:, 0], [0.03, 0.04, np.nan, 0.04])
    assert np.isnan(found[:, 1]).all()


def test_genes_are_sorted_by_one_lineage_after_the_other():
    corr = np.array([[0.5, 0.1], [0.9, 0.0], [0.5, 0.7], [np.nan, np.nan]])
    found = _drivers.fisher(corr, 30, 0.95)
    table = _drivers.driver_table(found, pd.Index(["a", "b", "c", "d"]), ["x", "y"])
    assert list(table.columns) == [f"{name}_{part}" for name in "xy" for part in PARTS]
    assert list(table.index) == ["a", "b", "c", "d"]
    assert list(_drivers.most_correlated(table, ["x", "y"]).index) == ["b", "c", "a", "d"]


# Estimators -------------------------------------------------------------------------------------------


@pytest.fixture
def estimator():
    """Cells on a line between two fates; gene 0 goes along with one, gene 1 with the other, 2 is constant."""
    est = chain_estimator(60)
    x = np.random.default_rng(0).poisson(2.0, size=(60, 8)).astype(np.float64)
    x[:, 0] = np.arange(60)
    x[:, 1] = -np.arange(60)
    x[:, 2] = 3.0
    adata = est.adata
    adata.layers["other"] = x[:, ::-1].copy()
    adata.X[:] = x
    adata.raw = ad.AnnData(np.hstack([x, x[:, :1] ** 2]), obs=adata.obs[[]])
    adata.obs["half"] = pd.Categorical(
        np.where(np.arange(60) < 30, "low", "high"), categories=["low", "high", "no"]
    )
    est.compute_fate_probabilities()
    return est


def test_drivers_of_a_line(estimator):
    table = estimator.compute_lineage_drivers()
    adata, names = estimator.adata, estimator.fate_probabilities.names
    assert list(names) == ["left", "right"]
    assert list(table.columns) == [f"{name}_{part}" for name in names for part in PARTS]
    assert table.index[0] == adata.var_names[1]
    assert_allclose(table["left_corr"].iloc[0], 1, rtol=1e-10)
    assert table.index[-1] == adata.var_names[2]
    assert table.iloc[-1].isna().all()
    assert table.iloc[:-1].notna().all().all()
    assert_array_equal(adata.varm["terminal_lineage_drivers"].index, adata.var_names)
    pd.testing.assert_frame_equal(adata.varm["terminal_lineage_drivers"], estimator.lineage_drivers)
    pd.testing.assert_frame_equal(estimator.lineage_drivers.loc[table.index], table)
    assert estimator.params["terminal_lineage_drivers"]["method"] == "fisher"
    expected = naive.correlations(adata.X, estimator.fate_probabilities.X)
    assert_allclose(estimator.lineage_drivers[["left_corr", "right_corr"]], expected, atol=1e-13)


def test_lineages_layers_raw_and_clusters(estimator):
    adata = estimator.adata
    fate = estimator.fate_probabilities
    one = estimator.compute_lineage_drivers("right", layer="other")
    assert list(one.columns) == [f"right_{part}" for part in PARTS]
    assert one.index[0] == adata.var_names[7]
    both = estimator.compute_lineage_drivers(["right, left"])
    assert list(both.columns) == [f"left, right_{part}" for part in PARTS]
    raw = estimator.compute_lineage_drivers(use_raw=True)
    assert len(raw) == 9
    assert "terminal_lineage_drivers" not in adata.varm
    assert_array_equal(adata.raw.varm["terminal_lineage_drivers"].index, adata.raw.var_names)
    some = estimator.compute_lineage_drivers(cluster_key="half", clusters="low")
    assert "terminal_lineage_drivers" not in adata.raw.varm
    expected = naive.correlations(adata.X[:30], fate.X[:30])
    columns = ["left_corr", "right_corr"]
    assert_allclose(some.loc[adata.var_names, columns], expected, atol=1e-13)
    all_of_them = estimator.compute_lineage_drivers(cluster_key="half", clusters=["low", "high"])
    pd.testing.assert_frame_equal(all_of_them, estimator.compute_lineage_drivers())


@pytest.mark.parametrize("give", [{"layer": "other"}, {}])
def test_raw_that_can_not_be_used(estimator, give):
    if not give:
        estimator.adata.raw = None
    with pytest.warns(FerrocyteWarning, match="ignored"):
        found = estimator.compute_lineage_drivers(use_raw=True, **give)
    pd.testing.assert_frame_equal(found, estimator.compute_lineage_drivers(**give))
    assert estimator.params["terminal_lineage_drivers"]["use_raw"] is False


def test_permutations(estimator):
    options = {"method": "perm_test", "n_perms": 50}
    one = estimator.compute_lineage_drivers(seed=4, **options)
    two = estimator.compute_lineage_drivers(seed=4, n_jobs=2, **options)
    pd.testing.assert_frame_equal(one, two)
    other = estimator.compute_lineage_drivers(seed=5, **options)
    assert not other.equals(one)
    drawn = estimator.compute_lineage_drivers(**options)
    seed = estimator.params["terminal_lineage_drivers"]["seed"]
    pd.testing.assert_frame_equal(estimator.compute_lineage_drivers(seed=seed, **options), drawn)
    first = one.iloc[0]
    assert first["left_pval"] == 0
    assert_allclose([first["left_ci_low"], first["left_ci_high"]], 1, rtol=1e-9)


def test_nan_policy(estimator):
    adata = estimator.adata
    plain = estimator.compute_lineage_drivers()
    pd.testing.assert_frame_equal(estimator.compute_lineage_drivers(nan_policy="omit"), plain, rtol=1e-9)
    adata.X[7, 4] = np.nan
    gene = adata.var_names[4]
    assert estimator.compute_lineage_drivers().loc[gene].isna().all()
    found = estimator.compute_lineage_drivers(nan_policy="omit").loc[gene]
    there = np.arange(60) != 7
    r = naive.pearson(adata.X[there, 4], estimator.fate_probabilities.X[there, 0])
    assert_allclose(found["left_corr"], r, rtol=1e-10)
    expected = _drivers.fisher(np.array([[r]]), 59, 0.95)
    assert_allclose(found["left_pval"], expected.pval[0, 0], rtol=1e-9)
    with pytest.raises(NotImplementedError, match="fisher"):
        estimator.compute_lineage_drivers(nan_policy="omit", method="perm_test")
    adata.layers["sparse"] = sp.csr_matrix(np.nan_to_num(adata.X))
    with pytest.raises(NotImplementedError, match="dense"):
        estimator.compute_lineage_drivers(nan_policy="omit", layer="sparse")


def test_a_single_lineage_is_replaced_by_the_stationary_distribution(estimator):
    with pytest.warns(FerrocyteWarning, match="only 1 terminal state"):
        estimator.compute_fate_probabilities(["left, right"])
    with pytest.raises(RuntimeError, match="stationary"):
        estimator.compute_lineage_drivers()
    pi = np.random.default_rng(0).dirichlet(np.ones(60))
    estimator._results.set(eigendecomposition={"D": np.ones(1), "eigengap": 0, "stationary_dist": pi})
    with pytest.warns(FerrocyteWarning, match="stationary") as caught:
        found = estimator.compute_lineage_drivers()
    expected = naive.correlations(estimator.adata.X, pi[:, None])
    assert caught[0].filename == __file__
    assert_allclose(found.loc[estimator.adata.var_names, ["left, right_corr"]], expected, atol=1e-13)


WRONG = {
    "lineage": ({"lineages": ["left", "nothing"]}, KeyError, "Invalid lineage name"),
    "no lineage": ({"lineages": []}, ValueError, "No lineages"),
    "overlap": ({"lineages": ["left", "left, right"]}, ValueError, "overlapping"),
    "method": ({"method": "foo"}, ValueError, "foo"),
    "nan_policy": ({"nan_policy": "foo"}, ValueError, "nan_policy"),
    "n_perms": ({"method": "perm_test", "n_perms": 0}, ValueError, "n_perms"),
    "n_perms, type": ({"method": "perm_test", "n_perms": 1.5}, TypeError, "n_perms"),
    "seed": ({"method": "perm_test", "seed": -1}, ValueError, "seed"),
    "level": ({"confidence_level": 0}, ValueError, "confidence_level"),
    "level above 1": ({"confidence_level": 1.1}, ValueError, "confidence_level"),
    "layer": ({"layer": "foo"}, KeyError, "foo"),
    "clusters": ({"cluster_key": "half", "clusters": ["low", "foo"]}, KeyError, "Clusters .*foo.* not found"),
    "cluster_key": ({"cluster_key": "foo", "clusters": ["low"]}, KeyError, "foo"),
    "no cluster_key": ({"clusters": ["low"]}, KeyError, "Unable to find clusters .* without `cluster_key`"),
    "empty cluster": ({"cluster_key": "half", "clusters": "no"}, ValueError, "No cell"),
    "jobs": ({"n_jobs": 0}, ValueError, "n_jobs"),
    "keyword": ({"foo": 1}, TypeError, "foo"),
}


@pytest.mark.parametrize("case", WRONG)
def test_errors_change_nothing(estimator, case):
    estimator.compute_lineage_drivers()
    before = snapshot(estimator)
    options, error, match = WRONG[case]
    with pytest.raises(error, match=match):
        estimator.compute_lineage_drivers(**options)
    assert snapshot(estimator) == before


def test_no_fate_probabilities():
    with pytest.raises(NotComputedError, match="fate_probabilities"):
        chain_estimator(9).compute_lineage_drivers()


def test_every_error_is_one_of_ours():
    for error in (InvalidOptionError, InvalidTypeError, MissingDataError, NotSupportedError):
        assert issubclass(error, fc.errors.FerrocyteError)


def test_new_fates_clear_drivers(estimator):
    estimator.compute_lineage_drivers()
    estimator.compute_fate_probabilities()
    assert estimator.lineage_drivers is None
    assert "terminal_lineage_drivers" not in estimator.adata.varm


@pytest.mark.parametrize("kind", ["dense", "csr", "csc"])
def test_a_backed_file(kind, tmp_path):
    x = counts(60)
    adata = on_disk(x, tmp_path / "x.h5ad", kind)
    est = chain_estimator(60, adata)
    est.compute_fate_probabilities()
    found = est.compute_lineage_drivers().loc[adata.var_names]
    expected = naive.correlations(x, est.fate_probabilities.X)
    assert_allclose(found[["left_corr", "right_corr"]], expected, atol=1e-13)
    assert isinstance(est.fate_probabilities, Lineage)
