"""A reference: a folder with an embedding, vectors of cells, what is known about them, and an ontology.

``manifest.json`` names the format, its version, and what the other files must be like. Arrays are ``.npy``
files, mapped into memory: several processes share them, and only what is looked at is read.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ferrocyte import _core
from ferrocyte._errors import FileFormatError
from ferrocyte.cas.local import _approximate
from ferrocyte.cas.local._cells import Cells
from ferrocyte.cas.local._ontology import Ontology, read_ontology

__all__ = ["FORMAT", "VERSION", "Reference"]

FORMAT, VERSION = "ferrocyte-reference", 1
_KEYS = {
    "name": str,
    "description": str,
    "schema_name": str,
    "n_cells": int,
    "n_genes": int,
    "embedding": dict,
    "metric": str,
    "n_neighbors": int,
    "search": str,
}


class Reference:
    """A reference on disk, ready to answer; safe to use from several threads.

    Parameters
    ----------
    path : path-like
        Folder that :func:`build_reference` made.

    Attributes
    ----------
    name, description, schema_name : str
    genes : list of str
        The schema.
    n_cells, embedding_dimension : int
    n_neighbors : int
        How many neighbors a question is answered from.
    metric : str
        ``"cosine"``, ``"l2"`` or ``"dot"``.
    ontology : Ontology
    cells : Cells
    vectors : array of float32, (n_cells, embedding_dimension)

    Raises
    ------
    FileFormatError
        For what is no reference, is of an unknown version, or is damaged.
    FileNotFoundError

    Examples
    --------
    Of the cells of the example of :meth:`ferrocyte.cas.CASClient.local`:

    >>> from ferrocyte.cas.local import open_references
    >>> reference = open_references({"marrow": known})["marrow"]
    >>> reference.vectors.shape, reference.metric
    ((104, 50), 'cosine')
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        found = _manifest(self.path)
        self.manifest: dict[str, Any] = found
        self.name: str = found["name"]
        self.description: str = found["description"]
        self.schema_name: str = found["schema_name"]
        self.n_cells: int = found["n_cells"]
        self.n_neighbors: int = min(found["n_neighbors"], self.n_cells)
        self.metric: str = found["metric"]
        self.embedding_dimension: int = found["embedding"]["n_components"]
        self.genes: list[str] = json.loads((self.path / "genes.json").read_text(encoding="utf-8"))
        if len(self.genes) != found["n_genes"]:
            raise FileFormatError(
                f"Expected {found['n_genes']} genes in {str(self.path)!r}, found {len(self.genes)}."
            )
        dim = self.embedding_dimension
        self.weights = self._load("weights", np.float32, (len(self.genes), dim))
        self.offset = self._load("offset", np.float64, (dim,))
        self.vectors = self._load("vectors", np.float32, (self.n_cells, dim))
        self.ontology: Ontology = read_ontology(self.path / "ontology.json")
        self.cells = Cells(self.path / "cells", self.n_cells)
        if self.cells.terms.size and self.cells.terms.max() >= len(self.ontology.terms):
            raise FileFormatError(
                f"The terms of the cells of {str(self.path)!r} are not those of its ontology."
            )
        self._index = _approximate.open_index(self) if found["search"] == "approximate" else None

    def __repr__(self) -> str:
        return (
            f"Reference({self.name!r}, {self.n_cells} cells x {len(self.genes)} genes, "
            f"{self.embedding_dimension} dimensions, {self.metric})"
        )

    def _load(self, name: str, dtype: Any, shape: tuple[int, ...]) -> NDArray[Any]:
        path = self.path / f"{name}.npy"
        try:
            out = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError) as err:
            raise FileFormatError(f"The reference lacks a readable {path} ({err}).") from err
        if out.dtype != dtype or out.shape != shape:
            raise FileFormatError(
                f"Expected {shape} values of {np.dtype(dtype)} in {path}, found {out.shape} of {out.dtype}."
            )
        return out

    def embed(
        self, counts: sp.csr_matrix, totals: NDArray[np.float32], *, threads: int = 1
    ) -> NDArray[np.float32]:
        """Vectors of cells.

        Parameters
        ----------
        counts : CSR matrix, (n_cells, n_genes)
            On the genes of the reference.
        totals : array of float32, (n_cells,)
            Molecules of each cell on all genes that were measured.
        threads : int, default 1

        Returns
        -------
        array of float32, (n_cells, embedding_dimension)
        """
        settings = self.manifest["embedding"]
        vectors = _core.embed_counts(
            counts,
            totals,
            self.weights,
            self.offset,
            scale=settings["scale"],
            eps=settings["eps"],
            threads=threads,
        )
        return comparable(vectors, self.metric)

    def neighbors(
        self, vectors: NDArray[np.float32], k: int | None = None, *, threads: int = 1
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Rows and distances of the nearest cells, nearest first.

        Parameters
        ----------
        vectors : array of float32, (n, embedding_dimension)
            As :meth:`embed` gives them.
        k : int, optional
            How many; `n_neighbors` by default.
        threads : int, default 1

        Returns
        -------
        rows : array of int64, (n, k)
        distances : array of float64, (n, k)
            Rounded to 9 decimals.
        """
        k = self.n_neighbors if k is None else k
        if self._index is None:
            return _core.exact_neighbors(self.vectors, vectors, k, metric=self.metric, threads=threads)
        return self._index.neighbors(vectors, k, threads=threads)


def comparable(vectors: NDArray[np.float64], metric: str) -> NDArray[np.float32]:
    """Vectors as they are kept: of length 1 where only their direction counts."""
    if metric == "cosine":
        norms = np.sqrt((vectors**2).sum(axis=1, keepdims=True))
        vectors = np.divide(vectors, norms, out=np.zeros_like(vectors), where=norms > 0)
    return np.ascontiguousarray(vectors, dtype=np.float32)


def _manifest(path: Path) -> dict[str, Any]:
    if not path.exists():
        raise FileNotFoundError(f"There is no reference {str(path)!r}.")
    file = path / "manifest.json"
    if not file.is_file():
        raise FileFormatError(
            f"{str(path)!r} is no reference: expected a folder with a manifest.json. Make one with "
            "`build_reference`, or `ferrocyte cas build-reference`."
        )
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as err:
        raise FileFormatError(f"{str(file)!r} is no JSON ({err}).") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise FileFormatError(f"{str(path)!r} is no reference: its manifest does not say {FORMAT!r}.")
    if found.get("version") != VERSION:
        raise FileFormatError(
            f"The reference {str(path)!r} is of version {found.get('version')!r}, expected {VERSION}. Build "
            "it again, or upgrade ferrocyte."
        )
    for key, kind in _KEYS.items():
        if not isinstance(found.get(key), kind):
            raise FileFormatError(f"The manifest of {str(path)!r} lacks a valid {key!r}.")
    if found["metric"] not in ("cosine", "l2", "dot") or found["search"] not in ("exact", "approximate"):
        raise FileFormatError(
            f"The manifest of {str(path)!r} has an unknown metric or search: {found['metric']!r}, "
            f"{found['search']!r}."
        )
    if found["n_cells"] < 1 or found["n_neighbors"] < 1:
        raise FileFormatError(f"The reference {str(path)!r} has no cells or asks for no neighbors.")
    settings = found["embedding"]
    for key, kind in (("n_components", int), ("scale", float), ("eps", float)):
        if not isinstance(settings.get(key), kind):
            raise FileFormatError(f"The manifest of {str(path)!r} lacks a valid {key!r} of its embedding.")
    return found
