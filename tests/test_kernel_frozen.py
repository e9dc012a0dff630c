"""Kernels on real cells against results of CellRank 2.0.7, frozen in `tests/data/frozen`."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import ferrocyte as fc
import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal

FROZEN = Path(__file__).parent / "data/frozen"
SETTINGS = {
    "fwd_scale4": (False, {"softmax_scale": 4.0}),
    "fwd_default": (False, {}),
    "transpose_scale4": (True, {"backward_mode": "transpose", "softmax_scale": 4.0}),
    "transpose_default": (True, {"backward_mode": "transpose"}),
    "negate_scale4": (True, {"backward_mode": "negate", "softmax_scale": 4.0}),
}
# Two largest sets: the rows of a file, and the matrix times these vectors.
SETS = {
    "bone_marrow": ("python/ferrocyte/data/bone_marrow.h5ad", "palantir_pseudotime"),
    "paul15": ("tests/data/paul15.h5ad", "dpt_pseudotime"),
}


def load(name):
    with np.load(FROZEN / f"{name}.npz") as file:
        return dict(file)


@pytest.fixture(scope="module")
def frozen():
    return load("dentate_gyrus")


@pytest.fixture(scope="module")
def cells():
    return fc.datasets.dentate_gyrus()


def pattern(adata):
    graph = sp.csr_matrix(adata.obsp["connectivities"], dtype=np.float64)
    graph.sort_indices()
    return graph


def on_pattern(adata, matrix):
    """Values of a matrix where the graph has entries."""
    graph = pattern(adata)
    rows = np.repeat(np.arange(graph.shape[0]), np.diff(graph.indptr))
    return np.asarray(sp.csr_matrix(matrix)[rows, graph.indices]).ravel()


def velocity(adata, backward=False, **kwargs):
    kernel = fc.kernels.VelocityKernel(adata, backward=backward)
    return kernel.compute_transition_matrix(show_progress_bar=False, **kwargs)


@pytest.mark.parametrize("setting", SETTINGS)
@pytest.mark.parametrize("similarity", ["correlation", "cosine", "dot_product"])
def test_velocity(frozen, cells, similarity, setting):
    backward, kwargs = SETTINGS[setting]
    kernel = velocity(cells, backward, similarity=similarity, **kwargs)
    key = f"velocity/{similarity}/{setting}"
    assert_allclose(on_pattern(cells, kernel.transition_matrix), frozen[f"{key}/T"], atol=1e-10)
    if "softmax_scale" in kwargs:
        assert_allclose(on_pattern(cells, kernel.logits), frozen[f"{key}/logits"], atol=1e-9, rtol=1e-10)
    else:
        assert_allclose(kernel.params["softmax_scale"], frozen[f"{key}/softmax_scale"], rtol=1e-10)


@pytest.mark.parametrize("similarity", ["correlation", "cosine", "dot_product"])
def test_velocity_in_float32(frozen, cells, similarity):
    adata = cells.copy()
    adata.layers["velocity"] = adata.layers["velocity"].astype(np.float32)
    kernel = velocity(adata, similarity=similarity, softmax_scale=4.0)
    key = f"velocity_float32/{similarity}/fwd_scale4"
    assert_allclose(on_pattern(cells, kernel.transition_matrix), frozen[f"{key}/T"], atol=1e-5)


def test_stochastic(frozen, cells):
    kernel = velocity(cells, model="stochastic", softmax_scale=4.0)
    got = on_pattern(cells, kernel.transition_matrix)
    assert_allclose(got, frozen["stochastic/hessian_float64/T"], atol=1e-5)


def test_connectivity_and_pseudotime(frozen, cells):
    for name, density in (("density", True), ("plain", False)):
        kernel = fc.kernels.ConnectivityKernel(cells).compute_transition_matrix(density_normalize=density)
        got = on_pattern(cells, kernel.transition_matrix)
        assert_allclose(got, frozen[f"connectivity/{name}/T"], atol=1e-10)
    graph = pattern(cells)
    clear = np.repeat(~frozen["pseudotime/hard/tied_rows"], np.diff(graph.indptr))
    for scheme in ("hard", "soft"):
        for name, backward in (("fwd", False), ("bwd", True)):
            kernel = fc.kernels.PseudotimeKernel(cells, time_key="dpt_pseudotime", backward=backward)
            kernel.compute_transition_matrix(scheme, show_progress_bar=False)
            got = on_pattern(cells, kernel.transition_matrix)
            keep = clear if scheme == "hard" else slice(None)
            assert_allclose(got[keep], frozen[f"pseudotime/{scheme}/{name}/T"][keep], atol=1e-10)


@pytest.mark.parametrize("aggregation", ["mean", "median", "gmean", "hmean"])
def test_cytotrace(frozen, cells, aggregation):
    adata = cells.copy()
    adata.X = adata.X.astype(np.float64)
    adata.layers["Ms"] = adata.layers["Ms"].astype(np.float64)
    kernel = fc.kernels.CytoTRACEKernel(adata).compute_cytotrace(layer="Ms", aggregation=aggregation)
    assert_allclose(adata.obs["ct_score"], frozen[f"cytotrace/{aggregation}/score"], atol=1e-10)
    assert_array_equal(adata.obs["ct_num_exp_genes"], frozen["cytotrace/num_exp_genes"])
    assert_array_equal(adata.var["ct_correlates"], frozen["cytotrace/correlates"])
    n = adata.n_obs
    assert_allclose(adata.var["ct_gene_corr"], frozen["cytotrace/gene_corr"] * (n - 1) / n, atol=1e-10)
    if aggregation == "mean":
        kernel.compute_transition_matrix("soft", show_progress_bar=False)
        got = on_pattern(cells, kernel.transition_matrix)
        assert_allclose(got, frozen["cytotrace/mean/soft/T"], atol=1e-10)


def test_combinations(frozen, cells):
    vk = velocity(cells, softmax_scale=4.0)
    ck = fc.kernels.ConnectivityKernel(cells).compute_transition_matrix()
    pk = fc.kernels.PseudotimeKernel(cells, time_key="dpt_pseudotime")
    pk.compute_transition_matrix(show_progress_bar=False)
    clear = np.repeat(~frozen["pseudotime/hard/tied_rows"], np.diff(pattern(cells).indptr))
    expressions = {
        "0.8*vk+0.2*ck": 0.8 * vk + 0.2 * ck,
        "vk*ck": vk * ck,
        "vk+pk+ck": vk + pk + ck,
        "9*pk+1*ck": 9 * pk + 1 * ck,
        "0.5*(vk*pk)+0.5*ck": 0.5 * (vk * pk) + 0.5 * ck,
    }
    for name, expression in expressions.items():
        keep = clear if "pk" in name else slice(None)
        got = on_pattern(cells, expression.transition_matrix)
        assert_allclose(got[keep], frozen[f"combination/{name}/T"][keep], atol=1e-10, err_msg=name)


@pytest.mark.parametrize("rep", ["X_pca", "X_umap"])
@pytest.mark.parametrize("pair", ["Neuroblast/Granule immature", "Granule immature/Granule mature"])
def test_cbc(frozen, cells, rep, pair):
    source, target = pair.split("/")
    kernels = {
        "velocity": velocity(cells, softmax_scale=4.0),
        "connectivity": fc.kernels.ConnectivityKernel(cells).compute_transition_matrix(),
    }
    for name, kernel in kernels.items():
        got = kernel.cbc(source, target, cluster_key="clusters", rep=rep)
        assert_allclose(got, frozen[f"cbc/{name}/{rep}/{pair}"], atol=1e-8)


def test_projection(frozen, cells):
    vk = velocity(cells, softmax_scale=4.0)
    ck = fc.kernels.ConnectivityKernel(cells).compute_transition_matrix()
    for name, kernel in (("velocity", vk), ("connectivity", ck)):
        vectors = fc.kernels.utils.TmatProjection(kernel, "umap").project(recompute=True)
        assert_allclose(vectors, frozen[f"projection/{name}/umap"], rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("name", SETS)
def test_large_sets(name):
    path, time_key = SETS[name]
    want = load(name)
    adata = ad.read_h5ad(Path(__file__).parents[1] / path)
    graph = pattern(adata)
    rows = want["rows"]
    clear = np.repeat(~want["pseudotime/hard/tied_rows"][rows], np.diff(graph.indptr)[rows])

    def rows_of(matrix):
        part = sp.csr_matrix(matrix)[rows]
        mask = graph[rows]
        where = np.repeat(np.arange(len(rows)), np.diff(mask.indptr))
        return np.asarray(part[where, mask.indices]).ravel()

    ck = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    assert_allclose(rows_of(ck.transition_matrix), want["connectivity/density/T/rows"], atol=1e-10)
    plain = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix(density_normalize=False)
    assert_allclose(rows_of(plain.transition_matrix), want["connectivity/plain/T/rows"], atol=1e-10)
    kernels = {}
    for scheme in ("hard", "soft"):
        for way, backward in (("fwd", False), ("bwd", True)):
            pk = fc.kernels.PseudotimeKernel(adata, time_key=time_key, backward=backward)
            pk.compute_transition_matrix(scheme, show_progress_bar=False)
            kernels[scheme, way] = pk
            keep = clear if scheme == "hard" else slice(None)
            got = rows_of(pk.transition_matrix)[keep]
            assert_allclose(got, want[f"pseudotime/{scheme}/{way}/T/rows"][keep], atol=1e-10)
    mixed = 0.8 * kernels["hard", "fwd"] + 0.2 * ck
    got = rows_of(mixed.transition_matrix)[clear]
    assert_allclose(got, want["combination/0.8*pk+0.2*ck/T/rows"][clear], atol=1e-10)
