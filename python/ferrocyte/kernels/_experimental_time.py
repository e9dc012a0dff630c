"""Base of kernels over experimental time."""

from __future__ import annotations

from typing import Any

import pandas as pd
from anndata import AnnData

from ferrocyte import _adata
from ferrocyte._errors import InvalidDataError, InvalidTypeError, warn_user
from ferrocyte._sparse import name_cells
from ferrocyte.kernels._base import UnidirectionalKernel

__all__ = ["ExperimentalTimeKernel"]


class ExperimentalTimeKernel(UnidirectionalKernel):
    """Base of kernels for cells that were collected at several times.

    Parameters
    ----------
    adata : AnnData
    time_key : str
        Categorical column of `obs` with the time point of each cell; its categories are in order of time.
    **kwargs
        See :class:`Kernel`.

    Raises
    ------
    MissingDataError
        If there is no such column.
    InvalidTypeError
        If it is not categorical.
    InvalidDataError
        If a cell has no time point, or there are fewer than two.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> issubclass(fc.kernels.RealTimeKernel, fc.kernels.ExperimentalTimeKernel)
    True
    """

    def __init__(self, adata: AnnData, time_key: str, **kwargs: Any) -> None:
        super().__init__(adata, time_key=time_key, **kwargs)

    def _read_from_adata(self, **kwargs: Any) -> None:
        self._time_key: str = kwargs.pop("time_key")
        self._time = _time_points(self._require_adata(), self._time_key)

    @property
    def time(self) -> pd.Series:
        """Time point of each cell; categorical, unused categories dropped."""
        return self._time

    @property
    def time_key(self) -> str:
        """Column of `obs` that :attr:`time` comes from."""
        return self._time_key


def _time_points(adata: AnnData, key: str) -> pd.Series:
    column = _adata.column(adata, key)
    if not isinstance(column.dtype, pd.CategoricalDtype):
        raise InvalidTypeError(
            f"Expected `adata.obs[{key!r}]` to be categorical, found `{column.dtype}`. Convert it with "
            f"`adata.obs[{key!r}] = adata.obs[{key!r}].astype('category')`."
        )
    missing = column.isna().to_numpy().nonzero()[0]
    if len(missing):
        raise InvalidDataError(
            f"Expected a time point for each cell in `adata.obs[{key!r}]`, found none for "
            f"{name_cells(adata.obs_names, missing)}. Remove these cells or give them one."
        )
    time = column.cat.remove_unused_categories()
    _warn_about_order(time.cat.categories, key)
    if len(time.cat.categories) < 2:
        raise InvalidDataError(
            f"Expected at least 2 time points in `adata.obs[{key!r}]`, found "
            f"{list(time.cat.categories)}. Cells of one time have nowhere to go."
        )
    return time


def _warn_about_order(times: pd.Index, key: str) -> None:
    """Categories of text are sorted as text: day 10 comes before day 9."""
    numbers = pd.to_numeric(pd.Series(list(times)), errors="coerce")
    if numbers.notna().all() and not numbers.is_monotonic_increasing:
        ordered = [times[i] for i in numbers.argsort()]
        warn_user(
            f"The categories of `adata.obs[{key!r}]` are numbers, but not in their order: {list(times)}. "
            f"Time is taken to go as the categories do. If it does not, run `adata.obs[{key!r}] = "
            f"adata.obs[{key!r}].cat.reorder_categories({ordered})`."
        )
