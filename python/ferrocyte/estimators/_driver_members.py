"""Driver genes of lineages: members of estimators."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferrocyte import _adata
from ferrocyte._errors import (
    InvalidDataError,
    MissingDataError,
    NotComputedError,
    NotSupportedError,
    suggest,
    warn_user,
)
from ferrocyte._options import check_count, check_number, check_option, check_seed, draw_seed, no_effect
from ferrocyte._progress import progress_bar
from ferrocyte._settings import threads
from ferrocyte.estimators import _drivers
from ferrocyte.lineage import Lineage

if TYPE_CHECKING:
    from anndata import AnnData

    from ferrocyte._results import Results

__all__ = ["DriverMembers"]

_logger = logging.getLogger(__name__)


class DriverMembers:
    """Members of estimators that correlate genes with fate probabilities."""

    if TYPE_CHECKING:
        _results: Results

        @property
        def adata(self) -> AnnData: ...

        def _require(self, name: str, message: str | None = None) -> Any: ...

    @property
    def lineage_drivers(self) -> pd.DataFrame | None:
        """Correlation of genes with fate probabilities, genes in their order in the data."""
        return self._results.get("lineage_drivers")

    def compute_lineage_drivers(
        self,
        lineages: str | Sequence[str] | None = None,
        method: Literal["fisher", "perm_test"] = "fisher",
        cluster_key: str | None = None,
        clusters: str | Sequence[str] | None = None,
        layer: str | None = None,
        use_raw: bool = False,
        confidence_level: float = 0.95,
        n_perms: int = 1000,
        seed: int | None = None,
        nan_policy: Literal["propagate", "omit"] = "propagate",
        *,
        n_jobs: int | None = None,
        backend: str = "loky",
        show_progress_bar: bool = True,
    ) -> pd.DataFrame:
        """Correlate each gene with fate probabilities.

        Parameters
        ----------
        lineages : str or sequence of str, optional
            Lineages to correlate with, all by default; ``"a, b"`` merges.
        method : {"fisher", "perm_test"}, default "fisher"
            ``"fisher"``: Fisher's transformation, by formula. ``"perm_test"``: p-values are the share of the
            permutations of cells with a correlation at least as far from 0; intervals run between quantiles
            over bootstraps of cells.
        cluster_key : str, optional
            Categorical column of `obs` with `clusters`.
        clusters : str or sequence of str, optional
            Only use cells of these clusters.
        layer : str, optional
            Layer with the expression; `X` by default.
        use_raw : bool, default False
            Use `raw.X`, with the genes in there.
        confidence_level : float, default 0.95
            Of the intervals, in (0, 1].
        n_perms : int, default 1000
            Number of permutations, and of bootstraps, for ``"perm_test"``.
        seed : int, optional
            For ``"perm_test"``. Same seed, same bits, on any number of threads; one is drawn and kept in
            `params` by default.
        nan_policy : {"propagate", "omit"}, default "propagate"
            A gene with a NaN has NaN for a result, or is correlated over the other cells. The latter needs
            dense expression and ``method="fisher"``.
        n_jobs : int, optional
            Number of threads; None for `settings.n_jobs`, -1 for all cores.
        backend : str, default "loky"
            Has no effect.
        show_progress_bar : bool, default True
            Show a progress bar in a terminal or a notebook.

        Returns
        -------
        pandas.DataFrame
            By gene, those of largest correlation with the first lineage first; for each lineage
            ``<lineage>_corr`` (Pearson), ``_pval``, ``_qval`` (Benjamini-Hochberg), ``_ci_low`` and
            ``_ci_high``. Constant genes have NaN throughout and do not count for the q-values. Also sets
            :attr:`lineage_drivers`, with genes in their order in the data.

        Raises
        ------
        NotComputedError
            Without fate probabilities; with a single one, without a stationary distribution in its place.
        MissingDataError
            For a lineage (says ``Invalid lineage name``), layer or cluster (says ``Clusters ... not found``)
            that is not there.
        InvalidOptionError, InvalidTypeError
            For unknown options and numbers out of range.
        InvalidDataError
            If no lineage or no cell is selected, or expression is no matrix of numbers.
        NotSupportedError
            For ``nan_policy="omit"`` with sparse expression or permutations.

        Warns
        -----
        FerrocyteWarning
            With a single fate, whose probability is 1 everywhere: the stationary distribution is taken.
            If `raw` is not set, or not used because of a layer.

        Notes
        -----
        Expression is read once, in the layout it has, in memory or on disk, and is never made dense or copied
        as a whole. Permutations read it once for each few dozen of them.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
        >>> _ = g.set_terminal_states(["Granule immature", "Astrocytes"])
        >>> g.compute_fate_probabilities()
        >>> drivers = g.compute_lineage_drivers()
        >>> drivers["Astrocytes_corr"].nlargest(3).index.tolist()
        ['Cst3', 'Serpine2', 'Cspg5']
        """
        no_effect("backend", backend, "loky")
        method = check_option(method, "method", ("fisher", "perm_test"))
        nan_policy = check_option(nan_policy, "nan_policy", ("propagate", "omit"))
        if nan_policy == "omit" and method == "perm_test":
            raise NotSupportedError(
                "`nan_policy='omit'` is supported for `method='fisher'` only, found 'perm_test'."
            )
        confidence_level = check_number(confidence_level, "confidence_level", above=0, high=1)
        if method == "perm_test":
            n_perms = check_count(n_perms, "n_perms")
        seed = check_seed(seed)
        fates = self._fates_to_correlate(lineages)
        cells = None if clusters is None else _cells_of(self.adata, cluster_key, clusters)
        if use_raw and (layer not in (None, "X") or self.adata.raw is None):
            why = "`adata.raw` is not set" if self.adata.raw is None else f"`layer={layer!r}` is given"
            warn_user(f"`use_raw=True` is ignored: {why}.")
            use_raw = False
        matrix, where = _adata.stored(self.adata, layer, use_raw=bool(use_raw))
        expression = _drivers.Expression(matrix, where, cells)
        targets = np.ascontiguousarray(fates.X if cells is None else fates.X[cells], dtype=np.float64)
        n_threads = threads(n_jobs)

        by_gene = method == "perm_test" or expression.by_columns
        with progress_bar(show_progress_bar, unit="gene" if by_gene else "cell") as progress:
            if method == "perm_test":
                seed = draw_seed() if seed is None else seed
                found = _drivers.permute(
                    expression,
                    targets,
                    n_perms=n_perms,
                    seed=seed,
                    confidence_level=confidence_level,
                    threads=n_threads,
                    progress=progress,
                )
            elif nan_policy == "omit":
                found = _drivers.fisher(*_drivers.complete_pairs(expression, targets), confidence_level)
            else:
                corr = _drivers.correlate(expression, targets, threads=n_threads, progress=progress)
                found = _drivers.fisher(corr, expression.n_cells, confidence_level)
        genes = self.adata.raw.var_names if use_raw else self.adata.var_names
        names = fates.names.tolist()
        table = _drivers.driver_table(found, genes, names)
        ranked = _drivers.most_correlated(table, names)
        _logger.info("Correlated %d genes with %d lineages", len(genes), len(names))
        self._results.set(
            lineage_drivers=table,
            params={
                "lineages": lineages if lineages is None else names,
                "method": method,
                "cluster_key": cluster_key,
                "clusters": clusters,
                "layer": layer,
                "use_raw": bool(use_raw),
                "confidence_level": confidence_level,
                "n_perms": n_perms,
                "seed": seed,
                "nan_policy": nan_policy,
            },
        )
        return ranked

    def _fates_to_correlate(self, lineages: str | Sequence[str] | None) -> Lineage:
        """The selected fate probabilities; for a single fate the stationary distribution in its place."""
        fates: Lineage = self._require("fate_probabilities")
        if fates.nlin == 1:
            spectrum = self._results.get("eigendecomposition") or {}
            stationary = spectrum.get("stationary_dist")
            if stationary is None:
                raise NotComputedError(
                    "There is only 1 lineage, whose probability is 1 in every cell, and no stationary "
                    "distribution in `.eigendecomposition['stationary_dist']` to correlate with instead. "
                    "Call `.compute_eigendecomposition()` first, or use more terminal states."
                )
            warn_user("There is only 1 lineage. Correlating with the stationary distribution instead.")
            fates = Lineage(np.asarray(stationary), names=fates.names, colors=fates.colors)
        if lineages is None:
            return fates
        keys = [lineages] if isinstance(lineages, str) else list(lineages)
        if not keys:
            raise InvalidDataError(f"No lineages have been selected. Choose from {fates.names.tolist()}.")
        return fates[:, keys]


def _cells_of(adata: AnnData, cluster_key: str | None, clusters: Any) -> NDArray[np.bool_]:
    if cluster_key is None:
        raise MissingDataError(
            f"Unable to find clusters {clusters!r} without `cluster_key`: name the column of `adata.obs` "
            "that they are in."
        )
    if cluster_key not in adata.obs:
        raise MissingDataError(
            f"Unable to find clusters in `adata.obs[{cluster_key!r}]`."
            f"{suggest(cluster_key, adata.obs.columns)}"
        )
    wanted = [clusters] if isinstance(clusters, str) or not np.iterable(clusters) else list(clusters)
    column = adata.obs[cluster_key]
    if isinstance(column.dtype, pd.CategoricalDtype):
        unknown = [c for c in wanted if c not in column.cat.categories]
        if unknown:
            raise MissingDataError(
                f"Clusters `{unknown}` not found in `adata.obs[{cluster_key!r}]`."
                f"{suggest(unknown[0], column.cat.categories)}"
            )
    return _adata.clusters_mask(adata, cluster_key, wanted, "clusters")
