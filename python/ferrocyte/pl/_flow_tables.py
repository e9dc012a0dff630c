"""Flow out of one cluster over experimental time: the numbers behind the figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ferrocyte._errors import (
    InvalidDataError,
    InvalidOptionError,
    InvalidTypeError,
    MissingDataError,
    suggest,
)

__all__ = ["FlowTables", "compute_flow", "flow_edges", "time_categories"]

_MAX_TIMES = 100


class FlowTables(NamedTuple):
    """The numbers behind a flow figure.

    Attributes
    ----------
    flow : pandas.DataFrame
        Rows `(t1, t2)` of consecutive times, a column per cluster: share of the flow out of the source
        cluster at `t1` that arrives in each cluster at `t2`. A row sums to 1, or is 0 where nothing flows.
    contingency : pandas.DataFrame
        Rows are times, a column per cluster: share of each cluster among the chosen cells of that time.
    times : pandas.Categorical
        Time of every cell, ordered, numeric categories.
    cluster, cluster_key, time_key : str
        What it was computed for.
    categories : list
        All categories of the cluster column, in order; colours are stored for these.
    """

    flow: pd.DataFrame
    contingency: pd.DataFrame
    times: pd.Categorical
    cluster: Any
    cluster_key: str
    time_key: str
    categories: list[Any]


def time_categories(obs: pd.DataFrame, time_key: str) -> pd.Categorical:
    """An `obs` column as an ordered categorical of numbers.

    Parameters
    ----------
    obs : pandas.DataFrame
        Not changed.
    time_key : str
        A column of numbers, or of categories or strings that read as numbers.

    Returns
    -------
    pandas.Categorical
        Ordered; integers stay integers, everything else becomes float.

    Raises
    ------
    MissingDataError
        If there is no such column.
    InvalidTypeError
        If its values are not numbers.
    InvalidDataError
        If some are missing or not finite, or more than 100 are different.
    """
    where = f"`adata.obs[{time_key!r}]`"
    if time_key not in obs:
        raise MissingDataError(f"Unable to find data in {where}.{suggest(time_key, obs.columns)}")
    column = obs[time_key]
    if isinstance(column.dtype, pd.CategoricalDtype):
        # Read through its few categories, so that a missing value can not spoil their type.
        values, codes = pd.Series(column.cat.categories), column.cat.codes.to_numpy()
    else:
        values, codes = pd.Series(column.array), np.arange(len(column))
    try:
        if pd.api.types.is_datetime64_any_dtype(values.dtype):
            raise TypeError("dates")
        present = values.notna().to_numpy()
        each = np.full(len(values) + 1, np.nan)  # the last one is what the code -1 of a missing value finds
        each[:-1][present] = values[present].astype(float).to_numpy()
    except (TypeError, ValueError):
        raise InvalidTypeError(
            f"Unable to convert {where} of type `{values.dtype}` to `float`. Pass a `time_key` with numbers, "
            "such as days."
        ) from None
    numbers = each[codes]
    missing = ~np.isfinite(numbers)
    if missing.any():
        raise InvalidDataError(
            f"Expected a finite time for every cell in {where}, found none for {missing.sum()} cells, first "
            f"{obs.index[int(np.argmax(missing))]!r}. Fill or remove them."
        )
    if pd.api.types.is_integer_dtype(values.dtype):
        numbers = numbers.astype(np.int64)
    distinct = np.unique(numbers)
    if len(distinct) > _MAX_TIMES:
        raise InvalidDataError(
            f"Expected {where} to have at most {_MAX_TIMES} different times, found {len(distinct)}. "
            "Group them first, for example with `pandas.cut`."
        )
    return pd.Categorical(numbers, categories=distinct, ordered=True)


def compute_flow(
    transition_matrix: sp.csr_matrix | sp.csr_array | NDArray[np.float64],
    obs: pd.DataFrame,
    cluster: Any,
    cluster_key: str,
    time_key: str,
    clusters: Sequence[Any] | None = None,
    time_points: Sequence[float] | None = None,
) -> FlowTables:
    """Flow out of one cluster between consecutive times.

    Between times `t1` and `t2`, the flow into cluster `c` is the sum of the transition matrix over rows of
    cells of `cluster` at `t1` and columns of cells of `c` at `t2`, divided by the sum of that over all chosen
    clusters (Mittnenzweig et al., Cell 2021, with transition probabilities in place of metacell flows).

    Parameters
    ----------
    transition_matrix : sparse matrix or ndarray, shape (n_cells, n_cells)
        Row-stochastic.
    obs : pandas.DataFrame
        Row per cell. Not changed.
    cluster : str
        Source cluster.
    cluster_key : str
        Categorical column with the clusters.
    time_key : str
        Column with experimental times: numbers, or names that read as numbers; at most 100 different ones.
    clusters : sequence, optional
        Look only at cells of these clusters and of `cluster`, in this order, `cluster` first. Names that
        do not exist are left out. Default: all clusters, in category order.
    time_points : sequence of float, optional
        Look only at these times. Default: all.

    Returns
    -------
    FlowTables

    Raises
    ------
    MissingDataError
        If a column is not there.
    InvalidTypeError
        If the clusters are not categorical or the times not numbers.
    InvalidDataError, InvalidOptionError
        If the matrix has another shape, the source cluster does not exist, or fewer than two clusters or two
        time points are left.

    Notes
    -----
    Time and memory O(nnz of the rows of `cluster` + n_cells).

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.VelocityKernel(adata).compute_transition_matrix()
    >>> tables = fc.pl.compute_flow(
    ...     kernel.transition_matrix, adata.obs, "Granule immature", "clusters", "age(days)"
    ... )
    >>> tables.flow[["Granule immature", "Granule mature"]].round(1).to_numpy().tolist()
    [[0.4, 0.5]]
    """
    if cluster_key not in obs:
        raise MissingDataError(
            f"Unable to find clusters in `adata.obs[{cluster_key!r}]`.{suggest(cluster_key, obs.columns)}"
        )
    labels = obs[cluster_key]
    if not isinstance(labels.dtype, pd.CategoricalDtype):
        raise InvalidTypeError(
            f"Expected `adata.obs[{cluster_key!r}]` to be categorical, found `{labels.dtype}`. "
            "Convert it first: "
            f"`adata.obs[{cluster_key!r}] = adata.obs[{cluster_key!r}].astype('category')`."
        )
    if transition_matrix.shape != (len(obs), len(obs)):
        raise InvalidDataError(
            f"Expected a transition matrix of shape {(len(obs), len(obs))}, one row per cell, found "
            f"{transition_matrix.shape}."
        )
    categories = list(labels.cat.categories)
    chosen = _choose_clusters(cluster, clusters, categories, cluster_key)
    times = time_categories(obs, time_key)
    points = _choose_times(time_points, times.categories.to_numpy(), time_key)

    # Position of each cell's cluster and time among the chosen ones, -1 for cells that are left out.
    cluster_of = pd.Index(chosen).get_indexer(labels)
    time_of = pd.Index(points).get_indexer(np.asarray(times.categories)[times.codes])
    inside = (cluster_of >= 0) & (time_of >= 0)
    table = np.zeros((len(points), len(chosen)))
    np.add.at(table, (time_of[inside], cluster_of[inside]), 1.0)
    contingency = _shares(table)

    source = chosen.index(cluster)
    flow = np.zeros((len(points) - 1, len(chosen)))
    matrix = (
        transition_matrix if isinstance(transition_matrix, np.ndarray) else sp.csr_array(transition_matrix)
    )
    for k in range(len(points) - 1):
        rows = np.flatnonzero((cluster_of == source) & (time_of == k))
        columns = np.flatnonzero((cluster_of >= 0) & (time_of == k + 1))
        arriving = np.asarray(matrix[rows].sum(axis=0), dtype=np.float64).ravel()[columns]
        flow[k] = np.bincount(cluster_of[columns], weights=arriving, minlength=len(chosen))

    names = pd.Index(chosen, name=cluster_key)
    steps = pd.MultiIndex.from_arrays([points[:-1], points[1:]], names=["t1", "t2"])
    return FlowTables(
        flow=pd.DataFrame(_shares(flow), index=steps, columns=names),
        contingency=pd.DataFrame(contingency, index=pd.Index(points, name=time_key), columns=names),
        times=times,
        cluster=cluster,
        cluster_key=cluster_key,
        time_key=time_key,
        categories=categories,
    )


def _shares(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    total = counts.sum(axis=1, keepdims=True)
    return np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)


def _choose_clusters(
    cluster: Any, clusters: Sequence[Any] | None, categories: list[Any], key: str
) -> list[Any]:
    known = suggest(cluster, categories)
    if clusters is None:
        wanted = categories
        if cluster not in categories:
            raise InvalidOptionError(f"Invalid source cluster {cluster!r} for `adata.obs[{key!r}]`.{known}")
    else:
        given = [clusters] if isinstance(clusters, str) else list(clusters)
        wanted = list(dict.fromkeys([cluster, *given]))
    if len(wanted) < 2:
        raise InvalidOptionError(
            f"Expected at least `2` clusters, found `{len(wanted)}`. Name clusters other than "
            f"{cluster!r}, or pass `clusters=None` for all."
        )
    valid = [c for c in wanted if c in categories]
    if not valid:
        raise InvalidOptionError(f"No valid clusters have been selected.{known}")
    if cluster not in categories:
        raise InvalidOptionError(f"Invalid source cluster {cluster!r} for `adata.obs[{key!r}]`.{known}")
    if len(valid) < 2:
        absent = [c for c in wanted if c not in categories]
        raise InvalidOptionError(
            f"Expected at least `2` clusters, found `{len(valid)}`: no cells are called {absent!r}."
            f"{suggest(absent[0], categories)}"
        )
    return valid


def _choose_times(time_points: Sequence[float] | None, existing: NDArray[Any], key: str) -> NDArray[Any]:
    if time_points is None:
        if len(existing) < 2:
            raise InvalidDataError(
                f"Expected at least `2` time points, found `{len(existing)}` in `adata.obs[{key!r}]`. "
                "Flow needs cells of different times."
            )
        return existing
    listed = ", ".join(f"{t:g}" for t in existing[:20])
    try:
        wanted = np.unique(np.asarray(list(time_points), dtype=float))
    except (TypeError, ValueError):
        raise InvalidTypeError(f"Unable to convert `time_points={time_points!r}` to `float`.") from None
    if len(wanted) < 2:
        raise InvalidOptionError(
            f"Expected at least `2` time points, found `{len(wanted)}` in `time_points`. There are: {listed}."
        )
    valid = existing[np.isin(existing, wanted)]
    if not len(valid):
        raise InvalidOptionError(f"No valid time points have been selected. There are: {listed}.")
    if len(valid) < 2:
        raise InvalidOptionError(
            f"Expected at least `2` time points, found `{len(valid)}` of {wanted.tolist()} among the "
            f"cells. There are: {listed}."
        )
    return valid


def flow_edges(tables: FlowTables, min_flow: float = 0.0) -> pd.DataFrame:
    """Edges of the figure: flow into other clusters, as bands.

    Parameters
    ----------
    tables : FlowTables
        From :func:`compute_flow`.
    min_flow : float, default 0
        Leave out edges whose flow is not above this share, in [0, 1].

    Returns
    -------
    pandas.DataFrame
        Columns `t1`, `t2`, `target`, `flow` (share of the source's flow), `width_start` (that share of the
        source's share of cells at `t1`: the width of the band where it leaves) and `width_end` (the same, but
        no more than the target's share of cells at `t2`).
    """
    rows = []
    for (t1, t2), shares in tables.flow.iterrows():
        for target, flow in shares.items():
            if target == tables.cluster or not flow > min_flow:
                continue
            start = flow * tables.contingency.at[t1, tables.cluster]
            rows.append((t1, t2, target, flow, start, min(start, tables.contingency.at[t2, target])))
    return pd.DataFrame(rows, columns=["t1", "t2", "target", "flow", "width_start", "width_end"])
