"""Clustering and filtering of left and right eigenvectors."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ferrocyte import _adata
from ferrocyte._errors import (
    FerrocyteWarning,
    InvalidDataError,
    InvalidOptionError,
    InvalidTypeError,
    MissingPackageError,
    NotComputedError,
)
from ferrocyte._options import check_count, check_number, check_option
from ferrocyte.estimators._states import categorical, name_states, reference
from ferrocyte.estimators._term_states import TermStatesEstimator

__all__ = ["CFLARE"]

Floats = NDArray[np.float64]


class CFLARE(TermStatesEstimator):
    """Terminal states by clustering and filtering of left and right eigenvectors.

    Left eigenvectors to eigenvalues near 1 tell how much a cell belongs to a recurrent class, right ones are
    nearly constant on each. Kept for scripts that use it; for new ones take :class:`GPCCA`.

    Parameters
    ----------
    object : Kernel, KernelExpression, AnnData, array, sparse matrix, str, bool or None
        A kernel with a transition matrix, or anything :class:`~ferrocyte.kernels.PrecomputedKernel` takes.
    **kwargs
        To :class:`~ferrocyte.kernels.PrecomputedKernel`.

    Raises
    ------
    NotComputedError
        If a kernel has no matrix yet; says ``Compute transition matrix first``.

    Warns
    -----
    DeprecationWarning
        Always; also :meth:`fit` and :meth:`predict`.

    Examples
    --------
    >>> import warnings
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.VelocityKernel(adata).compute_transition_matrix(show_progress_bar=False)
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", DeprecationWarning)
    ...     estimator = fc.estimators.CFLARE(kernel).fit(k=5)
    ...     estimator = estimator.predict(use=2, method="kmeans", cluster_key="clusters")
    >>> len(estimator.terminal_states.cat.categories)
    2
    """

    def __init__(self, object: Any, **kwargs: Any) -> None:
        _deprecated("`CFLARE` is deprecated, use `GPCCA`.")
        super().__init__(object, **kwargs)

    def fit(self, k: int = 20, **kwargs: Any) -> Self:
        """Compute the eigendecomposition.

        Parameters
        ----------
        k : int, default 20
            Number of eigenvectors.
        **kwargs
            To :meth:`compute_eigendecomposition`.

        Returns
        -------
        CFLARE
            Itself, with :attr:`eigendecomposition`.
        """
        _deprecated("`CFLARE.fit` is deprecated, use `.compute_eigendecomposition`.")
        self.compute_eigendecomposition(k=k, **kwargs)
        return self

    def predict(
        self,
        use: int | Sequence[int] | None = None,
        percentile: float | None = 98,
        method: Literal["leiden", "kmeans"] = "leiden",
        cluster_key: str | None = None,
        n_clusters_kmeans: int | None = None,
        n_neighbors: int = 20,
        resolution: float = 0.1,
        n_matches_min: int = 0,
        n_neighbors_filtering: int = 15,
        basis: str | None = None,
        n_comps: int = 5,
        scale: bool | None = None,
    ) -> Self:
        """Choose terminal states: cells with large left eigenvectors, clustered by right ones.

        Parameters
        ----------
        use : int or sequence of int, optional
            Use so many of the first eigenvectors, or these. Default: those before the gap.
        percentile : float, default 98
            Keep cells that are at or above this percentile, in [0, 100], of the absolute left eigenvector
            in any of those used; None keeps all.
        method : {"leiden", "kmeans"}, default "leiden"
            How to cluster them. ``"leiden"`` needs the package igraph.
        cluster_key : str, optional
            Categorical column of `obs` that gives states names and colours; ``"0"``, ``"1"``, ... by default.
        n_clusters_kmeans : int, optional
            Number of clusters for ``"kmeans"``. Default: number of eigenvectors used, one more if no cell was
            filtered out.
        n_neighbors : int, default 20
            Of each cell, for ``"leiden"``.
        resolution : float, default 0.1
            For ``"leiden"``; larger gives more clusters.
        n_matches_min : int, default 0
            Leave out cells with fewer neighbors in their own cluster than this.
        n_neighbors_filtering : int, default 15
            So many nearest neighbors in the graph `obsp["distances"]` are looked at for that.
        basis : str, optional
            Also cluster by the coordinates in this embedding.
        n_comps : int, default 5
            So many of them.
        scale : bool, optional
            Scale what is clustered by to mean 0 and deviation 1. Default: only with a `basis`.

        Returns
        -------
        CFLARE
            Itself, with :attr:`terminal_states` and :attr:`terminal_states_probabilities`: absolute left
            eigenvectors scaled to [0, 1], over their eigenvalue, summed, over the largest sum.

        Raises
        ------
        NotComputedError
            Without eigenvectors; says ``Compute eigendecomposition``.
        InvalidOptionError
            For an eigenvector that has not been computed (says ``Maximum specified eigenvector``), another
            method and numbers out of range.
        InvalidDataError
            If fewer cells are kept than there are clusters.
        MissingPackageError
            Without igraph, for ``method="leiden"``.
        """
        _deprecated("`CFLARE.predict` is deprecated, use `GPCCA.predict_terminal_states`.")
        params = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        method = check_option(method, "method", ("leiden", "kmeans"))
        used = self._vectors_to_use(use)
        spectrum = self._require("eigendecomposition")
        left = np.abs(np.asarray(spectrum["V_l"])[:, used].real)
        points = np.asarray(spectrum["V_r"])[:, used].real
        ref = reference(self.adata, cluster_key)
        if basis is not None:
            n_comps = check_count(n_comps, "n_comps")
            points = np.hstack([points, _adata.embedding(self.adata, basis)[:, :n_comps]])
        keep = np.ones(len(points), dtype=bool)
        if percentile is not None:
            percentile = check_number(percentile, "percentile", low=0, high=100)
            keep = (left >= np.percentile(left, percentile, axis=0)).any(axis=1)
        points = points[keep]
        if (basis is not None) if scale is None else scale:
            points = _scaled(points)
        if method == "kmeans":
            default = len(used) + (percentile is None)
            n_clusters = check_count(
                default if n_clusters_kmeans is None else n_clusters_kmeans, "n_clusters_kmeans"
            )
            found = kmeans(points, n_clusters)
        else:
            found = leiden(
                points,
                check_count(n_neighbors, "n_neighbors"),
                check_number(resolution, "resolution", above=0),
            )
        labels = np.full(len(keep), -1)
        labels[keep] = found
        n_matches_min = check_count(n_matches_min, "n_matches_min", least=0)
        if n_matches_min:
            graph = _adata.pairwise(self.adata, "distances", "the distances of neighbors")
            n_filtering = check_count(n_neighbors_filtering, "n_neighbors_filtering")
            labels = without_lonely(labels, sp.csr_matrix(graph), n_matches_min, n_filtering)
        names_left, codes = np.unique(labels[labels >= 0], return_inverse=True)
        labels[labels >= 0] = codes
        names, colors = name_states(labels, len(names_left), ref)
        if ref is None:
            names = [str(label) for label in names_left]
        index = self.adata.obs_names
        self._results.set(
            terminal_states=categorical(labels, names, index),
            terminal_states_probabilities=pd.Series(
                confidence(left, np.asarray(spectrum["D"])[used].real), index=index
            ),
            terminal_states_colors=colors,
            params=params,
        )
        return self

    def _vectors_to_use(self, use: Any) -> list[int]:
        """Positions of eigenvectors."""
        spectrum = self._require("eigendecomposition")
        if spectrum.get("V_l") is None or spectrum.get("V_r") is None:
            raise NotComputedError(
                "Compute eigendecomposition first as `.compute_eigendecomposition(only_evals=False)`: there "
                "are eigenvalues, and no eigenvectors."
            )
        if use is None:
            use = int(spectrum["eigengap"]) + 1
        if isinstance(use, str | bytes) or not (np.iterable(use) or isinstance(use, int | np.integer)):
            raise InvalidTypeError(
                f"Expected `use` to be a number or a sequence, found `{type(use).__name__}`."
            )
        numbers = list(use) if np.iterable(use) else range(check_count(use, "use"))
        used = [check_count(i, "use", least=0) for i in numbers]
        if not used:
            raise InvalidOptionError("No eigenvectors have been selected. Pass a number or a list as `use`.")
        n = min(np.shape(spectrum["V_l"])[1], np.shape(spectrum["V_r"])[1])
        if max(used) >= n:
            raise InvalidOptionError(
                f"Maximum specified eigenvector is {max(used)}, counted from 0, found {n} eigenvectors. Use "
                f"`.compute_eigendecomposition(k={max(used) + 1})` first."
            )
        return used


# Steps --------------------------------------------------------------------------------------------------


def kmeans(points: Floats, n_clusters: int) -> NDArray[np.intp]:
    """Clusters of the rows of `points`, from ten starts that are always the same.

    Raises
    ------
    InvalidDataError
        If there are fewer points than clusters.
    """
    if len(points) < n_clusters:
        raise InvalidDataError(
            f"Only {len(points)} cell(s) are left, too few for {n_clusters} clusters. Decrease `percentile` "
            "or `n_clusters_kmeans`."
        )
    from sklearn.cluster import KMeans

    return np.asarray(KMeans(n_clusters, n_init=10, random_state=0).fit(points).labels_)


def leiden(points: Floats, n_neighbors: int, resolution: float) -> NDArray[np.intp]:
    """Communities in the nearest-neighbor graph of the rows of `points`.

    Raises
    ------
    MissingPackageError
        Without igraph.
    """
    if len(points) < 3:  # no graph to speak of
        return np.zeros(len(points), dtype=np.intp)
    try:
        import igraph  # noqa: F401
    except ImportError:
        raise MissingPackageError(
            "`method='leiden'` needs the package igraph, which is not installed. Install it with `pip "
            "install 'ferrocyte[leiden]'`, or use `method='kmeans'`."
        ) from None
    import scanpy as sc
    from anndata import AnnData

    cells = AnnData(np.asarray(points, dtype=np.float32))
    sc.pp.neighbors(cells, n_neighbors=min(n_neighbors, len(points) - 1), use_rep="X")
    sc.tl.leiden(
        cells, resolution=resolution, flavor="igraph", n_iterations=2, directed=False, random_state=0
    )
    return cells.obs["leiden"].astype(int).to_numpy()


def without_lonely(
    labels: NDArray[np.intp], distances: sp.csr_matrix, least: int, n_neighbors: int
) -> NDArray[np.intp]:
    """Labels, -1 for cells with fewer than `least` of their nearest neighbors in their own cluster."""
    out = labels.copy()
    for cell in np.flatnonzero(labels >= 0):
        row = slice(distances.indptr[cell], distances.indptr[cell + 1])
        near = distances.indices[row][np.argsort(distances.data[row], kind="stable")[:n_neighbors]]
        if np.count_nonzero(labels[near] == labels[cell]) < least:
            out[cell] = -1
    if not (out >= 0).any():
        raise InvalidDataError(f"No cell has {least} neighbors of its own cluster. Decrease `n_matches_min`.")
    if 2 * np.count_nonzero(out >= 0) < np.count_nonzero(labels >= 0):
        warnings.warn(
            "More than half of the cells were left out because of `n_matches_min`. Decrease it, or increase "
            "`n_neighbors_filtering`.",
            FerrocyteWarning,
            stacklevel=3,
        )
    return out


def confidence(left: Floats, eigenvalues: Floats) -> Floats:
    """Left eigenvectors, absolute and scaled to [0, 1], over their eigenvalues, summed; the largest is 1."""
    low, high = left.min(axis=0), left.max(axis=0)
    scaled = (left - low) / np.where(high > low, high - low, 1)
    total = (scaled / eigenvalues).sum(axis=1)
    return np.asarray(total / total.max())


def _scaled(points: Floats) -> Floats:
    spread = points.std(axis=0)
    return (points - points.mean(axis=0)) / np.where(spread > 0, spread, 1)


def _deprecated(message: str) -> None:
    warnings.warn(message, DeprecationWarning, stacklevel=3)
