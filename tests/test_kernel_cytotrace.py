"""CytoTRACEKernel, on four cells and three genes."""

from __future__ import annotations

import anndata as ad
import ferrocyte as fc
import numpy as np
import pytest
import scipy.sparse as sp
from ferrocyte._errors import FerrocyteWarning, InvalidDataError, InvalidOptionError
from numpy.testing import assert_allclose, assert_array_equal

# Expressed genes per cell: 1, 2, 3, 2. Gene "up" is that number; "down" falls with it; "flat" is constant.
X = np.array([[1.0, 0, 0], [2, 0, 5], [3, 1, 5], [2, 0, 5]])
LAYER = np.array([[0.0, 1, 7], [1, 1, 7], [4, 1, 7], [2, 1, 7]])


def cells(x=X):
    adata = ad.AnnData(sp.csr_matrix(x) if not sp.issparse(x) else x)
    adata.var_names = ["up", "rare", "late"]
    adata.obs_names = [f"c{i}" for i in range(4)]
    adata.layers["imputed"] = LAYER.copy()
    adata.obsp["connectivities"] = sp.csr_matrix(1 - np.eye(4))
    return adata


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix, sp.csc_matrix, np.asfortranarray])
@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_score(form, dtype):
    """Deviations of the counts 1, 2, 3, 2 are -1, 0, 1, 0. Gene up has the same: correlation 1. Gene late has
    deviations -15/4, 5/4, 5/4, 5/4: 5 / sqrt(2 * 75/4) = sqrt(2/3). Gene rare: -1/4, -1/4, 3/4, -1/4, so
    1 / sqrt(2 * 3/4) = sqrt(2/3) as well.

    One gene, up: imputed 0, 1, 4, 2 scaled to 0, 1/4, 1, 1/2.
    """
    adata = cells()
    adata.X = form(X.astype(dtype))
    k = fc.kernels.CytoTRACEKernel(adata)
    assert k.pseudotime is None
    assert k.compute_cytotrace(n_genes=1) is k
    assert_allclose(adata.var["ct_gene_corr"], [1, np.sqrt(2 / 3), np.sqrt(2 / 3)], atol=1e-6)
    assert_array_equal(adata.var["ct_correlates"], [True, False, False])
    assert_array_equal(adata.obs["ct_num_exp_genes"], [1, 2, 3, 2])
    assert adata.obs["ct_num_exp_genes"].dtype == np.int64
    assert_allclose(adata.obs["ct_score"], [0, 0.25, 1, 0.5])
    assert_allclose(adata.obs["ct_pseudotime"], [1, 0.75, 0, 0.5])
    assert_allclose(k.pseudotime, [1, 0.75, 0, 0.5])
    assert adata.uns["ct_params"] == {
        "aggregation": "mean",
        "layer": "imputed",
        "use_raw": False,
        "n_genes": 1,
    }


@pytest.mark.parametrize(
    ("aggregation", "values"),
    [
        ("mean", [8 / 3, 3, 4, 10 / 3]),
        ("median", [1, 1, 4, 2]),
        ("gmean", [0, 7 ** (1 / 3), 28 ** (1 / 3), 14 ** (1 / 3)]),
        ("hmean", [0, 3 / (2 + 1 / 7), 3 / (1 + 1 / 4 + 1 / 7), 3 / (1 + 1 / 2 + 1 / 7)]),
    ],
)
def test_aggregation(aggregation, values):
    adata = cells()
    fc.kernels.CytoTRACEKernel(adata).compute_cytotrace(n_genes=3, aggregation=aggregation)
    values = np.array(values)
    assert_allclose(adata.obs["ct_score"], (values - values.min()) / np.ptp(values), atol=1e-12)


def test_direction_and_matrix():
    adata = cells()
    k = fc.kernels.CytoTRACEKernel(adata, backward=True)
    with pytest.raises(ValueError, match="Compute pseudotime"):
        k.compute_transition_matrix()
    k.compute_cytotrace(n_genes=1)
    assert_allclose(k.pseudotime, [0, 0.25, 1, 0.5])
    assert_allclose(adata.obs["ct_pseudotime"], [1, 0.75, 0, 0.5])
    k.compute_transition_matrix(frac_to_keep=0.34, show_progress_bar=False)
    pk = fc.kernels.PseudotimeKernel(adata, time_key="ct_pseudotime", backward=True)
    pk.compute_transition_matrix(frac_to_keep=0.34, show_progress_bar=False)
    assert (k.transition_matrix != pk.transition_matrix).nnz == 0
    assert type(k.copy()) is type(~k) is fc.kernels.CytoTRACEKernel
    assert_allclose((~k).pseudotime, [1, 0.75, 0, 0.5])
    # The column is read when it is there.
    assert_allclose(fc.kernels.CytoTRACEKernel(adata).pseudotime, [1, 0.75, 0, 0.5])
    assert k.init == {"time_key": "ct_pseudotime", "backward": True}
    k.write_to_adata()
    assert fc.kernels.CytoTRACEKernel.from_adata(adata, "T_bwd").backward is True


def test_a_new_score_is_not_served_the_old_matrix():
    adata = cells()
    k = fc.kernels.CytoTRACEKernel(adata).compute_cytotrace(n_genes=1)
    T = k.compute_transition_matrix("soft", show_progress_bar=False).transition_matrix
    adata.layers["imputed"][:, 0] = [4, 1, 0, 2]
    k.compute_cytotrace(n_genes=1).compute_transition_matrix("soft", show_progress_bar=False)
    assert abs(k.transition_matrix - T).max() > 0.1


def test_raw():
    adata = cells()
    adata.raw = adata.copy()
    adata = adata[:, ["late", "up"]].copy()
    adata.X = sp.csr_matrix(np.ones((4, 2)))
    fc.kernels.CytoTRACEKernel(adata).compute_cytotrace(use_raw=True, n_genes=1)
    assert_array_equal(adata.obs["ct_num_exp_genes"], [1, 2, 3, 2])
    assert_allclose(adata.var["ct_gene_corr"], [np.sqrt(2 / 3), 1])
    assert_array_equal(adata.var["ct_correlates"], [False, True])
    assert adata.uns["ct_params"]["use_raw"] is True
    del adata.raw
    with pytest.warns(FerrocyteWarning, match="raw"), pytest.raises(InvalidDataError):
        fc.kernels.CytoTRACEKernel(adata).compute_cytotrace(use_raw=True, n_genes=1)


def test_fewer_genes_than_asked_for():
    adata = cells()
    with pytest.warns(FerrocyteWarning, match="3 genes instead of 200"):
        fc.kernels.CytoTRACEKernel(adata).compute_cytotrace()
    assert adata.uns["ct_params"]["n_genes"] == 3


def test_layer_x():
    adata = cells()
    fc.kernels.CytoTRACEKernel(adata).compute_cytotrace(layer="X", n_genes=1)
    assert_allclose(adata.obs["ct_score"], [0, 0.5, 1, 0.5])


@pytest.mark.parametrize("form", [np.asarray, sp.csr_matrix])
def test_errors_change_nothing(form):
    adata = cells()
    nan_x, nan_layer = X.copy(), LAYER.copy()
    nan_x[2, 1] = nan_layer[3, 0] = np.nan
    adata.layers["nan"] = form(nan_layer)
    adata.layers["negative"] = form(-LAYER)
    adata.layers["same"] = np.ones((4, 3))
    before = adata.copy()
    k = fc.kernels.CytoTRACEKernel(adata)
    for options, error, says in (
        ({"layer": "Imputed"}, KeyError, "Imputed.*Did you mean 'imputed'"),
        ({"aggregation": "mode"}, InvalidOptionError, "Invalid option"),
        ({"n_genes": 0}, ValueError, "Expected .* genes to be positive"),
        ({"n_genes": -5}, ValueError, "Expected .* genes to be positive"),
        ({"layer": "nan", "n_genes": 1}, ValueError, "nan.*gene 'up' in cell 'c3'"),
        ({"layer": "negative", "aggregation": "gmean", "n_genes": 1}, ValueError, "negative"),
        ({"layer": "same", "n_genes": 1}, ValueError, "tell cells apart"),
    ):
        with pytest.raises(error, match=says):
            k.compute_cytotrace(**options)
    adata.X = form(nan_x)
    with pytest.raises(ValueError, match="gene 'rare' in cell 'c2'"):
        k.compute_cytotrace(n_genes=1)
    assert k.pseudotime is None
    assert list(adata.obs) == list(before.obs)
    assert list(adata.var) == list(before.var)
    assert list(adata.uns) == list(before.uns)


def test_constant_genes_have_no_correlation():
    adata = cells(np.array([[1.0, 0, 4], [2, 0, 4], [3, 1, 4], [2, 0, 4]]))
    with pytest.raises(InvalidDataError, match="NaN for 1, first 'late'"):
        fc.kernels.CytoTRACEKernel(adata).compute_cytotrace(n_genes=3)
    fc.kernels.CytoTRACEKernel(adata).compute_cytotrace(n_genes=2)
    assert np.isnan(adata.var["ct_gene_corr"].iloc[2])
