"""The real data sets that travel inside the package."""

from __future__ import annotations

from importlib.resources import as_file, files

import anndata as ad
import numpy as np
import scipy.sparse as sp

__all__ = ["bone_marrow", "dentate_gyrus"]

SCALE = 1e4


def dentate_gyrus() -> ad.AnnData:
    """Mouse dentate gyrus with RNA velocity: 200 cells, 530 genes.

    A sample of the neurogenesis study of Hochgerner et al. [1]_, with the velocities of scVelo's
    dynamical model, as carried by the tests of CellRank 2.3.3 (BSD-3-Clause). No download.

    Returns
    -------
    AnnData
        A new object of shape (200, 530):

        - ``X``: log-normalised expression, float32 CSR;
        - ``layers``: ``spliced``, ``unspliced`` (size-normalised, float32 CSR), ``Ms``, ``Mu`` (moments
          over 30 neighbours, float32), ``velocity`` (float64; the columns of the 208 genes without a
          fit are all NaN);
        - ``obs``: ``clusters`` (14 cell types), ``age(days)``, ``latent_time``, ``velocity_pseudotime``,
          ``dpt_pseudotime`` and what scVelo left;
        - ``var``: ``velocity_genes`` and the fitted rates ``fit_*``;
        - ``obsm``: ``X_pca`` (30), ``X_umap`` (2), ``X_diffmap`` (15);
        - ``obsp``: ``connectivities``, ``distances`` (30 neighbours on ``X_pca``).

    Notes
    -----
    Six cells are there twice, equal in every layer, as in the source: between the two of a pair there is
    no displacement, and no direction.

    References
    ----------
    .. [1] Hochgerner et al. (2018), Nature Neuroscience 21, 290-299, GEO GSE95753.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> fc.datasets.dentate_gyrus().shape
    (200, 530)
    """
    return _read("dentate_gyrus.h5ad")


def bone_marrow() -> ad.AnnData:
    """Human CD34+ bone marrow cells with a pseudotime: 4142 cells, 1514 genes.

    One sample of Setty et al. [1]_, as carried by palantir 1.4.2 (MIT), trimmed to variable genes and
    known markers. Pseudotime and fate probabilities were computed with Palantir on all 16,106 genes. No
    download.

    Returns
    -------
    AnnData
        A new object of shape (4142, 1514):

        - ``X``: counts, float32 CSR;
        - ``layers["log_normalized"]``: ``log(1 + 10^4 X / n_counts)``, float32 CSR, computed on reading;
          ``n_counts`` is the depth of the cell over all genes, which ``X`` no longer tells;
        - ``obs``: ``palantir_pseudotime`` and ``palantir_entropy``, ``leiden``, ``marker_group`` (the
          clusters named by CD34, MPO, GATA1, IRF8; coarse), ``n_counts``, ``n_genes``;
        - ``var``: ``highly_variable``, ``marker``;
        - ``obsm``: ``palantir_fate_probabilities`` (columns ``uns["palantir_fate_names"]``: Ery, DC,
          Mono; values below 0.01 are zero, so rows add up to 0.98 to 1),
          ``X_pca`` (30), ``X_umap`` (2), ``X_diffmap`` (10), ``X_palantir_diffmap`` (5);
        - ``obsp``: ``connectivities``, ``distances`` (30 exact neighbours on ``X_pca``);
        - ``uns``: ``start_cell``, ``iroot`` (its position), ``terminal_cells``, colours.

    Notes
    -----
    There is no imputed layer; for CytoTRACE pass ``layer="X"`` or ``layer="log_normalized"``. It counts
    detected genes in ``X``, here among 1514 genes; ``obs["n_genes"]`` has the number among all.

    References
    ----------
    .. [1] Setty et al. (2019), Nature Biotechnology 37, 451-460.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> fc.datasets.bone_marrow().shape
    (4142, 1514)
    """
    adata = _read("bone_marrow.h5ad")
    adata.layers["log_normalized"] = _log_normalize(adata.X, adata.obs["n_counts"].to_numpy())
    return adata


def _read(name: str) -> ad.AnnData:
    # as_file also serves packages that were imported from a zip archive
    with as_file(files("ferrocyte") / "data" / name) as path:
        return ad.read_h5ad(path)


def _log_normalize(counts: sp.csr_matrix, depth: np.ndarray) -> sp.csr_matrix:
    """``log(1 + SCALE * counts / depth)`` row by row; zeros stay zeros."""
    out = counts.copy()
    factor = np.repeat(SCALE / depth.astype(np.float64), np.diff(counts.indptr))
    out.data = np.log1p(counts.data * factor).astype(np.float32)
    return out
