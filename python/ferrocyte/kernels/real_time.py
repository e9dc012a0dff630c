"""Kernel over experimental time."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from ferrocyte import _core
from ferrocyte._errors import InvalidDataError, MissingDataError, suggest, warn_user
from ferrocyte._options import check_option
from ferrocyte._settings import threads
from ferrocyte._sparse import name_cells
from ferrocyte.kernels import _coupling_sources as sources
from ferrocyte.kernels._couplings import Coupling, Key, thresholds
from ferrocyte.kernels._experimental_time import ExperimentalTimeKernel
from ferrocyte.kernels._matrix import csr_from_parts
from ferrocyte.kernels._same_time import similar_cells, within_last
from ferrocyte.kernels._time_options import (
    check_couplings,
    check_self_transitions,
    check_threshold,
    check_ways,
)

__all__ = ["RealTimeKernel"]

Policy = Literal["sequential", "triu"]
# Position of a block in the whole: the matrix, rows, columns, weight, divide rows by their sums first?
Placed = tuple[sp.csr_matrix, NDArray[np.int64], NDArray[np.int64], float, bool]


class RealTimeKernel(ExperimentalTimeKernel):
    """Transitions over experimental time, from couplings of the cells of successive time points [1]_.

    Parameters
    ----------
    adata : AnnData
        Annotated data of all time points; cells may be in any order.
    time_key : str
        Categorical column of `obs` with the time points; the order of its categories is that of time.
    couplings : dict, optional
        ``{(source, target): coupling}``. A coupling is an array or sparse matrix with source cells as rows
        and target cells as columns, in the order of `adata`; a data frame or AnnData with names of cells on
        both axes, in any order; a :class:`~ferrocyte.kernels.utils.TransportMap`; or a function that returns
        blocks of rows (or an iterator over them), so that the coupling never has to exist whole. Default: the
        pairs of `policy`, to be filled by a subclass's :meth:`compute_coupling`.
    policy : {"sequential", "triu"}, default "sequential"
        Without `couplings`: couple successive time points, or each with all later ones.
    **kwargs
        See :class:`Kernel`.

    Raises
    ------
    MissingDataError, InvalidTypeError, InvalidDataError
        If the time points are missing, not categorical, or fewer than two.
    InvalidOptionError
        If a coupling is between times that are not there.

    References
    ----------
    .. [1] Lange et al., CellRank for directed single-cell fate mapping, Nat. Methods 19 (2022); Weiler et
       al., CellRank 2, Nat. Methods 21 (2024).

    Examples
    --------
    >>> import ferrocyte as fc, numpy as np
    >>> adata = fc.datasets.dentate_gyrus()
    >>> adata.obs["day"] = np.repeat(["1", "2"], 100)
    >>> adata.obs["day"] = adata.obs["day"].astype("category")
    >>> kernel = fc.kernels.RealTimeKernel.from_representation(adata, "day", show_progress_bar=False)
    >>> kernel.compute_transition_matrix(self_transitions="uniform")
    RealTimeKernel[n=200, threshold='auto', self_transitions='uniform', conn_weight=None]
    """

    def __init__(
        self,
        adata: AnnData,
        time_key: str,
        couplings: Mapping[Key, Any] | None = None,
        policy: Policy = "sequential",
        **kwargs: Any,
    ) -> None:
        self._policy = check_option(policy, "policy", ("sequential", "triu"))
        super().__init__(adata, time_key, policy=self._policy, **kwargs)
        # Couplings are the user's: neither copied with the kernel nor written to files.
        self._request["couplings"] = self._pairs(couplings)

    def _read_from_adata(self, **kwargs: Any) -> None:
        kwargs.pop("policy", None)
        super()._read_from_adata(**kwargs)

    def _pairs(self, couplings: Mapping[Key, Any] | None) -> dict[Key, Any]:
        times = list(self.time.cat.categories)
        if couplings is None:
            return dict.fromkeys(pairwise(times) if self._policy == "sequential" else combinations(times, 2))
        return check_couplings(couplings, times, self._time_key)

    # What it is ---------------------------------------------------------------------------------------

    @property
    def couplings(self) -> dict[Key, Any]:
        """Couplings by source and target time; of a kernel that was read from a file, only the pairs."""
        return self._request.setdefault("couplings", self._pairs(None))

    @property
    def obs(self) -> pd.DataFrame:
        """Annotations of cells that came with the couplings (those that are AnnData), one row per cell."""
        frames = [
            frame
            for coupling in self.couplings.values()
            if isinstance(coupling, AnnData)
            for frame in (coupling.obs, coupling.var)
        ]
        names = self._require_adata().obs_names
        if not frames:
            return pd.DataFrame(index=names)
        merged = pd.concat(frames)
        return merged[~merged.index.duplicated()].reindex(names)

    # The matrix ---------------------------------------------------------------------------------------

    def compute_coupling(self, src: Any, tgt: Any, **kwargs: Any) -> Any:
        """Give the coupling of two time points; meant to be overridden.

        Parameters
        ----------
        src, tgt
            Source and target time.
        **kwargs
            Those of :meth:`compute_transition_matrix`.

        Returns
        -------
        A coupling in any form that the class takes; this method looks it up in :attr:`couplings`.

        Raises
        ------
        MissingDataError
            If there is no such pair.
        InvalidDataError
            If there is no coupling for it.
        """
        couplings = self.couplings
        if (src, tgt) not in couplings:
            raise MissingDataError(
                f"Unable to find a coupling for {(src, tgt)}.{suggest((src, tgt), couplings)}"
            )
        coupling = couplings[src, tgt]
        if coupling is None:
            raise InvalidDataError(
                f"The coupling {(src, tgt)} is not there. Pass it in `couplings`, derive from this class and "
                "define `compute_coupling`, or use `RealTimeKernel.from_representation`."
            )
        return coupling

    def compute_transition_matrix(
        self,
        threshold: float | Literal["auto", "auto_local"] | None = "auto",
        self_transitions: Literal["uniform", "diagonal", "connectivities", "all"]
        | Sequence[Any] = "connectivities",
        conn_weight: float | None = None,
        conn_kwargs: Mapping[str, Any] | None = None,
        n_jobs: int | None = None,
        **kwargs: Any,
    ) -> Self:
        """Compute the transition matrix of all cells.

        Parameters
        ----------
        threshold : {"auto", "auto_local"}, float or None, default "auto"
            Entries of dense couplings below it become 0; sparse ones are left alone. ``"auto"``: the largest
            value that leaves each row of each coupling an entry; ``"auto_local"``: the same for each coupling
            by itself; a number in [0, 100]: that percentile of the entries of a coupling; None: keep all.
        self_transitions : str or list, default "connectivities"
            Where cells of the last time point go: to themselves (``"diagonal"``), to each other alike
            (``"uniform"``), or to similar ones (``"connectivities"``: by a graph computed anew with
            ``scanpy.pp.neighbors``). ``"all"``, or a list of times: cells of these times go to similar cells
            of their own time, too, with weight `conn_weight`.
        conn_weight : float, optional
            In (0, 1); for ``"all"`` or a list.
        conn_kwargs : dict, optional
            For ``scanpy.pp.neighbors``.
        n_jobs : int, optional
            Threads; the result is the same for any number.
        **kwargs
            For :meth:`compute_coupling`.

        Returns
        -------
        RealTimeKernel
            Itself, with :attr:`transition_matrix` and :attr:`params`.
            Computed anew where options differ or couplings were replaced; numbers that were changed inside
            of a coupling are not noticed, pass a copy.

        Raises
        ------
        InvalidIndexError
            If names of cells differ; says ``Source observations`` or ``Target observations``.
        InvalidDataError
            If a coupling has another shape, NaN or negative values, or cells of a time go nowhere.
        InvalidOptionError
            For unknown options.

        Warns
        -----
        FerrocyteWarning
            If rows are all zero: their cells go to all cells of the target time alike.
        """
        threshold = check_threshold(threshold)
        inner, mode = check_self_transitions(self_transitions, conn_weight, self.couplings)
        params = {
            "threshold": threshold,
            "self_transitions": mode,
            "conn_weight": None if conn_weight is None else float(conn_weight),
            **kwargs,
        }
        conn_kwargs = dict(conn_kwargs or {})
        used = dict(check_couplings(self.couplings, list(self.time.cat.categories), self._time_key))
        same = self._request.get("conn_kwargs", conn_kwargs) == conn_kwargs
        if same and self._is_computed_with(params) and _same(self._request.get("used"), used):
            return self
        n_threads = threads(n_jobs)
        cells = self._cells()
        adata = self._require_adata()
        names = adata.obs_names
        pairs = list(used)
        last = check_ways(pairs, self.time.cat.categories, self._time_key)
        couplings = [
            Coupling(
                self.compute_coupling(*pair, **kwargs), pair, (names[cells[pair[0]]], names[cells[pair[1]]])
            )
            for pair in pairs
        ]
        limits = thresholds(couplings, threshold, n_threads)
        weight = 1.0 - conn_weight if conn_weight is not None and inner else 1.0
        blocks: list[Placed] = []
        for (source, target), coupling, limit in zip(pairs, couplings, limits, strict=True):
            matrix = coupling.kept(limit, n_threads)
            rows, cols = cells[source][coupling.rows], cells[target][coupling.cols]
            _warn_about_zeros(matrix, (source, target), names[rows])
            mixed = source in inner
            blocks.append((matrix, rows, cols, weight if mixed else 1.0, mixed))
        for source in inner:
            similar = similar_cells(adata, cells[source], source, conn_kwargs)
            blocks.append((similar, cells[source], cells[source], float(conn_weight or 0), True))
        at_last = cells[last]
        stay = within_last(adata, mode, at_last, last, conn_kwargs)
        blocks.append((stay, at_last, at_last, 1.0, True))
        parts = _core.time_course_matrix(self.shape[0], blocks, threads=n_threads)
        self._store(
            csr_from_parts(parts, self.shape),
            params,
            _request={**self._request, "used": used, "conn_kwargs": conn_kwargs},
        )
        return self

    def _cells(self) -> dict[Any, NDArray[np.int64]]:
        """Positions of the cells of each time point."""
        codes = self.time.cat.codes.to_numpy()
        return {time: np.flatnonzero(codes == i) for i, time in enumerate(self.time.cat.categories)}

    # Other ways to make one ---------------------------------------------------------------------------

    @classmethod
    def from_representation(
        cls,
        adata: AnnData,
        time_key: str,
        rep: str = "X_pca",
        *,
        policy: Policy = "sequential",
        growth_key: str | None = None,
        growth_iters: int = 1,
        epsilon: float = 0.05,
        lambda1: float = 1.0,
        lambda2: float = 50.0,
        tol: float = 1e-9,
        max_iter: int = 10_000,
        n_jobs: int | None = None,
        show_progress_bar: bool = True,
        **kwargs: Any,
    ) -> Self:
        """Make a kernel whose couplings are computed here, by optimal transport [1]_.

        Parameters
        ----------
        adata : AnnData
        time_key : str
            Categorical column of `obs` with the time points.
        rep : str, default "X_pca"
            Key of `obsm` with the coordinates in which cells are compared.
        policy : {"sequential", "triu"}, default "sequential"
            Which time points to couple.
        growth_key : str, optional
            Column of `obs` with growth factors per unit of time, positive: a cell with 2 doubles. The
            categories of `time_key` must then be numbers. Default: all cells grow alike.
        growth_iters : int, default 1
            How often to solve; from the second time on with the growth that the map before it found.
        epsilon, lambda1, lambda2, tol, max_iter
            See :func:`ferrocyte.kernels.utils.transport_map`.
        n_jobs : int, optional
            Threads.
        show_progress_bar : bool, default True
        **kwargs
            For the constructor.

        Returns
        -------
        RealTimeKernel
            With :class:`~ferrocyte.kernels.utils.TransportMap` as couplings, which report how well they were
            solved.

        Raises
        ------
        MissingDataError
            If the representation or the growth is missing.
        InvalidDataError
            If it has NaN, or growth is not positive.
        ConvergenceError
            If a coupling did not converge.

        References
        ----------
        .. [1] G. Schiebinger et al., Cell 176 (2019).

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.simulate(n_cells=200, n_genes=20, seed=0)
        >>> adata.obs["day"] = (adata.obs["pseudotime"] > 1).astype(int).astype("category")
        >>> kernel = fc.kernels.RealTimeKernel.from_representation(
        ...     adata, "day", rep="X_low", show_progress_bar=False
        ... )
        >>> kernel.compute_transition_matrix(conn_weight=0.2)
        RealTimeKernel[n=200, threshold='auto', self_transitions='connectivities', conn_weight=0.2]
        """
        kernel = cls(adata, time_key, policy=policy, **kwargs)
        options = {
            "epsilon": epsilon,
            "lambda1": lambda1,
            "lambda2": lambda2,
            "tol": tol,
            "max_iter": max_iter,
            "n_jobs": n_jobs,
            "show_progress_bar": show_progress_bar,
        }
        kernel._request["couplings"] = sources.by_transport(
            adata, kernel._cells(), list(kernel.couplings), rep, growth_key, growth_iters, options
        )
        return kernel

    @classmethod
    def from_moscot(
        cls,
        problem: Any,
        sparse_mode: str | None = None,
        sparsify_kwargs: Mapping[str, Any] | None = None,
        copy: bool = False,
        **kwargs: Any,
    ) -> Self:
        """Make a kernel from a temporal problem that moscot has solved.

        Parameters
        ----------
        problem : moscot.problems.time.TemporalProblem or alike
            Solved.
        sparse_mode : str, optional
            `mode` of the solutions' ``sparsify``; default: keep the transport matrices dense.
        sparsify_kwargs : dict, optional
            More arguments for ``sparsify``.
        copy : bool, default False
            Copy `problem.adata`.
        **kwargs
            For the constructor.

        Returns
        -------
        RealTimeKernel
            With AnnData as couplings.

        Raises
        ------
        NotComputedError
            If the problem was not solved.
        InvalidTypeError
            If it is no such problem.
        """
        adata, time_key, couplings = sources.of_moscot(problem, sparse_mode, dict(sparsify_kwargs or {}))
        return cls(adata.copy() if copy else adata, time_key, couplings=couplings, **kwargs)

    @classmethod
    def from_wot(cls, adata: AnnData, path: str | os.PathLike[str], time_key: str, **kwargs: Any) -> Self:
        """Make a kernel from transport maps that Waddington-OT wrote; deprecated, read and pass them instead.

        Parameters
        ----------
        adata : AnnData
        path : path
            Folder with one ``<name>_<source>_<target>.h5ad`` for each pair of times.
        time_key : str
            Categorical column of `obs` with the time points.
        **kwargs
            For the constructor.

        Returns
        -------
        RealTimeKernel

        Raises
        ------
        FileNotFoundError
            If there are no such files.
        """
        warn_user(
            "`from_wot` is deprecated. Read the maps with `anndata.read_h5ad` and pass them as `couplings`.",
            DeprecationWarning,
        )
        kernel = cls(adata, time_key, **kwargs)
        kernel._request["couplings"] = kernel._pairs(sources.of_wot(path, list(kernel.time.cat.categories)))
        return kernel


def _warn_about_zeros(matrix: sp.csr_matrix, pair: Key, names: Any) -> None:
    empty = np.flatnonzero(np.diff(matrix.indptr) == 0)
    if len(empty):
        warn_user(
            f"{len(empty)} rows of the coupling {pair} are all zero: their cells go to all cells at time "
            f"{pair[1]} alike. Cells: {name_cells(names, empty)}."
        )


def _same(a: dict[Key, Any] | None, b: dict[Key, Any]) -> bool:
    """Whether the matrix was made from these very objects; after reading a file, nothing is known of them."""
    if a is None:
        return True
    return a.keys() == b.keys() and all(a[key] is b[key] for key in a)
