"""What kernels over a nearest-neighbor graph share."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
import scipy.sparse as sp

from ferrocyte import _adata, _keys
from ferrocyte._errors import FerrocyteError, InvalidDataError, InvalidTypeError, suggest
from ferrocyte._sparse import name_cells, warn_about_graph

__all__ = ["GraphMembers", "name_core_cells"]


class GraphMembers:
    """Reads the graph at construction; for kernels that take `conn_key` and the checks as keywords."""

    _connectivities: sp.csr_matrix
    _conn_key: str

    def _read_graph(
        self,
        adata: Any,
        conn_key: str | None = _keys.CONNECTIVITIES,
        check_connectivity: bool = False,
        check_symmetric: bool = True,
        **unknown: Any,
    ) -> None:
        if unknown:
            own = [p.name for p in signature(type(self)).parameters.values() if p.kind is not p.VAR_KEYWORD]
            options = dict.fromkeys((*own, "conn_key", "check_connectivity", "check_symmetric"))
            raise InvalidTypeError(
                f"{type(self).__name__} got an unexpected keyword {next(iter(unknown))!r}."
                f"{suggest(next(iter(unknown)), options)}"
            )
        graph = _adata.graph(adata, conn_key)
        warn_about_graph(
            graph, adata.obs_names, connectivity=bool(check_connectivity), symmetry=bool(check_symmetric)
        )
        self._connectivities = graph
        self._conn_key = _keys.CONNECTIVITIES if conn_key is None else conn_key

    @property
    def connectivities(self) -> sp.csr_matrix:
        """The graph: CSR of shape `(n_cells, n_cells)`, float64 weights > 0."""
        return self._connectivities


def name_core_cells(err: FerrocyteError, adata: Any, remedy: str) -> FerrocyteError:
    """The same error, with the cells named that the core or a user's function stumbled over."""
    rows = getattr(err, "cells", None)
    if not rows or not isinstance(err, InvalidDataError):
        return err
    names = adata.obs_names if adata is not None else None
    text = str(err).rstrip(".")
    return type(err)(f"{text}. Cells: {name_cells(names, np.asarray(rows))}. {remedy}", cells=rows)
