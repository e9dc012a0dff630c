"""Kernel along a measure of differentiation potential."""

from __future__ import annotations

import logging
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from ferrocyte import _adata, _core, _keys
from ferrocyte._errors import InvalidDataError, warn_user
from ferrocyte._options import check_count, check_option
from ferrocyte._settings import threads
from ferrocyte.kernels.pseudotime import PseudotimeKernel

__all__ = ["CytoTRACEKernel"]

_logger = logging.getLogger(__name__)


class CytoTRACEKernel(PseudotimeKernel):
    """Transitions towards more differentiated cells, told by the number of expressed genes [1]_.

    Parameters
    ----------
    adata : AnnData
        With a nearest-neighbor graph in `obsp`; `obs["ct_pseudotime"]` is read if it is there.
    backward : bool, default False
        Go towards less differentiated cells.
    **kwargs
        `conn_key`, `check_connectivity`, `check_symmetric`: see :class:`ConnectivityKernel`.

    References
    ----------
    .. [1] G. S. Gulati et al., Single-cell transcriptional diversity is a hallmark of developmental
       potential, Science 367 (2020).

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.CytoTRACEKernel(adata).compute_cytotrace(layer="Ms")
    >>> kernel.compute_transition_matrix(threshold_scheme="soft", show_progress_bar=False)
    CytoTRACEKernel[n=200, dnorm=False, scheme='soft', b=10.0, nu=0.5]
    """

    def __init__(self, adata: AnnData, backward: bool = False, **kwargs: Any) -> None:
        kwargs.setdefault("time_key", _keys.CT_PSEUDOTIME)
        super().__init__(adata, backward=backward, **kwargs)

    def _read_from_adata(self, **kwargs: Any) -> None:
        time_key = kwargs.pop("time_key")
        self._read_graph(self.adata, **kwargs)
        self._time_key = time_key
        adata = self._require_adata()
        if time_key in adata.obs:
            self._time = _adata.numeric_column(adata, time_key, "pseudotime", "time_key")

    def _require_time(self) -> NDArray[np.float64]:
        time = self.pseudotime
        if time is None:
            raise InvalidDataError("Compute pseudotime first as `.compute_cytotrace()`.")
        return time

    def compute_cytotrace(
        self,
        layer: str | None = "imputed",
        aggregation: Literal["mean", "median", "gmean", "hmean"] = "mean",
        use_raw: bool = False,
        n_genes: int = 200,
    ) -> Self:
        """Compute the CytoTRACE score and a pseudotime from it.

        Parameters
        ----------
        layer : str, default "imputed"
            Layer with imputed expression, averaged over genes; ``"X"`` is `.X`.
        aggregation : {"mean", "median", "gmean", "hmean"}, default "mean"
            How to average over genes.
        use_raw : bool, default False
            Count expressed genes in `raw.X` instead of `.X`.
        n_genes : int, default 200
            Average over this many genes: those correlated most with the number of expressed genes.

        Returns
        -------
        CytoTRACEKernel
            Itself, with :attr:`pseudotime`. Sets `obs["ct_score"]` (in [0, 1], 1 is least differentiated),
            `obs["ct_pseudotime"]` (1 - score), `obs["ct_num_exp_genes"]`, `var["ct_gene_corr"]`,
            `var["ct_correlates"]` and `uns["ct_params"]`.

        Raises
        ------
        MissingDataError
            If there is no such layer.
        InvalidOptionError
            For an unknown aggregation, or ``n_genes <= 0``.
        InvalidDataError
            If values are not finite, or the score is the same for all cells.

        Notes
        -----
        Steps: genes with a value > 0 are counted per cell; each gene is correlated (Pearson) with that count;
        the `n_genes` genes of largest correlation are averaged in `layer`; the average is scaled to [0, 1].

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.CytoTRACEKernel(adata).compute_cytotrace(layer="Ms")
        >>> bool(adata.obs["ct_pseudotime"].between(0, 1).all())
        True
        """
        check_option(aggregation, "aggregation", ("mean", "median", "gmean", "hmean"))
        n_genes = check_count(n_genes, "n_genes", what="genes")
        adata = self._require_adata()
        where = _adata.locate(adata, layer)
        if use_raw and adata.raw is None:
            warn_user("`adata.raw` is not set, using `adata.X`.")
            use_raw = False

        counted = _adata.features(adata, None, use_raw=use_raw)
        names = adata.raw.var_names if use_raw else adata.var_names
        bad = _core.first_not_finite(counted, None, threads=threads())
        if bad is not None:
            raise InvalidDataError(
                f"Expected finite expression in `adata.{'raw.X' if use_raw else 'X'}`, found NaN or an "
                f"infinite "
                f"value for gene {names[bad[1]]!r} in cell {adata.obs_names[bad[0]]!r}."
            )
        n_expressed = _core.count_positive(counted, threads=threads())
        correlations = _core.column_correlations(counted, n_expressed.astype(np.float64), threads=threads())

        order = np.argsort(-correlations, kind="stable")  # NaN, of constant genes, comes last
        position = np.asarray(adata.var_names.get_indexer(names[order]))
        chosen = order[position >= 0][:n_genes]
        if len(chosen) < n_genes:
            warn_user(f"Found {len(chosen)} genes instead of {n_genes}, using them all.")
        constant = chosen[np.isnan(correlations[chosen])]
        if len(constant):
            raise InvalidDataError(
                f"Expected a correlation for each of the {len(chosen)} chosen genes, found NaN for "
                f"{len(constant)}, "
                f"first {names[constant[0]]!r}: it is constant. Decrease `n_genes` or remove constant genes."
            )
        at = np.asarray(adata.var_names.get_indexer(names[chosen]))
        values = _adata.select_columns(_adata.features(adata, layer), at)
        if not np.isfinite(values).all():
            cell, gene = np.argwhere(~np.isfinite(values))[0]
            raise InvalidDataError(
                f"Expected finite values in {where}, found NaN or an infinite value for gene "
                f"{adata.var_names[at[gene]]!r} in cell {adata.obs_names[cell]!r}. Impute without NaN."
            )
        average = _aggregate(values, aggregation)
        low, high = average.min(), average.max()
        if not np.isfinite([low, high]).all() or high == low:
            raise InvalidDataError(
                f"The {aggregation} of {where} over the chosen genes does not tell cells apart: it runs "
                f"from {low:g} "
                f"to {high:g}. Use another `aggregation` or `layer`."
            )
        score = (average - low) / (high - low)

        _logger.info("Computed the CytoTRACE score of %s with %d genes", where, len(chosen))
        gene_corr = pd.Series(correlations, index=names)
        gene_corr = gene_corr[~gene_corr.index.duplicated()].reindex(adata.var_names)
        adata.uns[_keys.CT_PARAMS] = {
            "aggregation": str(aggregation),
            "layer": layer,
            "use_raw": bool(use_raw),
            "n_genes": len(chosen),
        }
        adata.var[_keys.CT_GENE_CORR] = gene_corr.to_numpy()
        adata.var[_keys.CT_CORRELATES] = np.isin(np.arange(adata.n_vars), at)
        adata.obs[_keys.CT_SCORE] = score
        adata.obs[_keys.CT_PSEUDOTIME] = 1 - score
        adata.obs[_keys.CT_NUM_EXP_GENES] = n_expressed
        self._time = 1 - score
        self._request = {}
        return self


def _aggregate(values: NDArray[np.float64], how: str) -> NDArray[np.float64]:
    if how == "mean":
        return values.mean(axis=1)
    if how == "median":
        return np.median(values, axis=1)
    from scipy import stats

    if (values < 0).any():
        raise InvalidDataError(
            f"Expected values >= 0 for `aggregation={how!r}`, found negative ones. Use 'mean' or 'median'."
        )
    with np.errstate(divide="ignore"):  # the geometric mean of a cell with a zero is zero
        return np.asarray(getattr(stats, how)(values, axis=1))
