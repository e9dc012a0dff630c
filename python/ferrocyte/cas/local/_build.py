"""Making a reference from cells whose types are known."""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from ferrocyte import _core
from ferrocyte._errors import (
    FileFormatError,
    InvalidDataError,
    InvalidOptionError,
    MissingDataError,
    suggest,
)
from ferrocyte._settings import threads as resolve_threads
from ferrocyte.cas._genes import var_column
from ferrocyte.cas._notices import notify
from ferrocyte.cas._prepare import Prepared, prepare
from ferrocyte.cas._source import Source, matrix_input, open_source
from ferrocyte.cas._upload import Counts, GeneList
from ferrocyte.cas.constants import CountMatrixInput
from ferrocyte.cas.local import _approximate, _pca
from ferrocyte.cas.local._cells import NO_LABEL, write_cells
from ferrocyte.cas.local._ontology import UNKNOWN, Ontology, packaged_ontology, read_ontology
from ferrocyte.cas.local._reference import FORMAT, VERSION, Reference, comparable

__all__ = ["EXACT_UP_TO", "build_reference"]

# References of at most this many cells are searched exactly unless said otherwise.
EXACT_UP_TO = 500_000
# Cells that are read at a time, whatever the number of threads.
_BLOCK = 2048
_TERM_COLUMN = "cell_type_ontology_term_id"
_VERSIONED = re.compile(r"(ENS[A-Z]{0,6}G\d{11})\.\d+")
_logger = logging.getLogger(__name__)

PathLike = str | os.PathLike[str]


def build_reference(
    adata: AnnData | PathLike,
    out: PathLike,
    cell_type_column: str,
    ontology_term_column: str | None = None,
    model: str | PathLike = "pca",
    *,
    n_components: int = 50,
    n_top_genes: int | None = 2000,
    n_neighbors: int | None = None,
    metric: str | None = None,
    search: str = "auto",
    name: str | None = None,
    description: str = "",
    count_matrix_input: CountMatrixInput | str = CountMatrixInput.X,
    feature_ids_column_name: str = "index",
    ontology: Ontology | PathLike | None = None,
    seed: int = 0,
    n_jobs: int | None = None,
    overwrite: bool = False,
) -> Reference:
    """Make a reference that cells can be annotated against.

    Cells are read block by block, so that a file may be larger than memory. Raw counts are normalised to
    10,000 molecules a cell and their logarithms taken; variable genes are standardised (the median standard
    deviation is added to that of each gene, so that rare genes do not speak loudest) and projected on their
    principal components. The same cells and the same seed give the same files, on any number of threads
    of one machine.

    Parameters
    ----------
    adata : AnnData or path-like
        Cells by genes with raw counts, in memory or backed; or the path of an ``.h5ad`` file.
    out : path-like
        Folder that is made. It appears when it is complete, or not at all.
    cell_type_column : str
        Column of `obs` with the types. Cells without one are ``"unknown"``.
    ontology_term_column : str, optional
        Column of `obs` with terms of the Cell Ontology, as CL:0000236. By default
        ``cell_type_ontology_term_id`` if there is one, else terms are found by the label of the type.
    model : str or path-like, default "pca"
        ``"pca"`` to learn an embedding from the cells; or a reference, to use its embedding and genes.
    n_components : int, default 50
        Dimensions of the embedding.
    n_top_genes : int or None, default 2000
        Variable genes that the embedding is made of; None for all that one in a hundred cells have (at
        least 3 cells; 10 are always enough).
    n_neighbors : int, optional
        Neighbors that a cell is annotated from; by default one in a hundred cells of the reference, at
        least 10 and at most 100.
    metric : {"cosine", "l2", "dot"}, optional
        By default that of the model, or ``"cosine"``.
    search : {"auto", "exact", "approximate"}, default "auto"
        How neighbors are found: ``"auto"`` is exact up to 500,000 cells. Approximate needs usearch.
    name : str, optional
        Of the model; by default that of the folder.
    description : str, default ""
    count_matrix_input : CountMatrixInput or str, default "X"
        ``"X"`` or ``"raw.X"``.
    feature_ids_column_name : str, default "index"
        Column of `var` with Ensembl ids, or ``"index"``. Version suffixes are dropped.
    ontology : path-like or Ontology, optional
        A release of the Cell Ontology as ``.obo`` or ``.json``; by default the one in the package.
    seed : int, default 0
    n_jobs : int, optional
        Threads; None for `ferrocyte.settings.n_jobs`, -1 for all cores.
    overwrite : bool, default False
        Whether to replace a reference that is there.

    Returns
    -------
    Reference

    Raises
    ------
    MissingDataError
        If there is no such column.
    InvalidDataError
        If values are no counts, or there are too few cells or genes.
    InvalidOptionError, InvalidTypeError
        For arguments outside of their choices.
    FileExistsError
        If `out` exists and is not to be replaced.
    FileFormatError
        For a file or a model of another kind.
    MissingPackageError
        If an approximate search is asked for and usearch is not installed.

    Examples
    --------
    With `known`, cells whose types are in ``obs["cell_type"]``, of the example of
    :meth:`ferrocyte.cas.CASClient.local`:

    >>> import tempfile
    >>> from ferrocyte.cas.local import build_reference
    >>> folder = tempfile.TemporaryDirectory()
    >>> made = build_reference(known, f"{folder.name}/marrow", "cell_type", n_components=20)
    >>> made.name, made.n_cells, made.n_neighbors, made.embedding_dimension
    ('marrow', 104, 10, 20)
    >>> folder.cleanup()
    """
    _check(n_components, n_top_genes, n_neighbors, metric, search, seed)
    threads = resolve_threads(n_jobs)
    target = Path(out)
    _check_target(target, overwrite)
    learned = None if model == "pca" else Reference(model)
    if ontology is None:
        terms_of = packaged_ontology()
    else:
        terms_of = ontology if isinstance(ontology, Ontology) else read_ontology(ontology)
    count_matrix = matrix_input(count_matrix_input)
    with open_source(adata, count_matrix) as source:
        obs = _obs(adata)
        types, terms = _labels(obs, cell_type_column, ontology_term_column, terms_of)
        genes = _genes(source, feature_ids_column_name) if learned is None else learned.genes
        cells = prepare(
            source, GeneList(genes), ids_column=feature_ids_column_name, names_column=None, threads=threads
        )
        n = len(cells)
        if metric is None:
            metric = "cosine" if learned is None else learned.metric
        with _folder(target, overwrite) as folder:
            if learned is None:
                embedding = _learn(
                    cells, folder, n_components=n_components, n_top=n_top_genes, seed=seed, threads=threads
                )
            else:
                embedding = learned.manifest["embedding"]
                np.save(folder / "weights.npy", learned.weights)
                np.save(folder / "offset.npy", learned.offset)
            totals = _embed(cells, folder, embedding, metric, threads)
            (folder / "cells").mkdir()
            write_cells(folder / "cells", obs, types, terms, totals)
            (folder / "genes.json").write_text(json.dumps(genes), encoding="utf-8")
            (folder / "ontology.json").write_text(terms_of.to_json(), encoding="utf-8")
            if search == "auto":
                search = "exact" if n <= EXACT_UP_TO else "approximate"
            k = min(n, n_neighbors or min(100, max(10, n // 100)))
            manifest = {
                "format": FORMAT,
                "version": VERSION,
                "written_by": f"ferrocyte {version('ferrocyte')}",
                "name": name or target.name,
                "description": description,
                "schema_name": f"genes-{GeneList(genes).digest.hex()[:12]}",
                "n_cells": n,
                "n_genes": len(genes),
                "n_neighbors": k,
                "metric": metric,
                "search": search,
                "embedding": embedding,
            }
            if search == "approximate":
                manifest["recall"] = _index(folder, metric, k)
            (folder / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
    return Reference(target)


def _check(
    n_components: Any, n_top_genes: Any, n_neighbors: Any, metric: Any, search: Any, seed: Any
) -> None:
    for what, value in (
        ("n_components", n_components),
        ("n_top_genes", n_top_genes),
        ("n_neighbors", n_neighbors),
    ):
        optional = what != "n_components" and value is None
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not optional and not (whole and value > 0):
            raise InvalidOptionError(f"Expected `{what}` to be a positive whole number, found {value!r}.")
    if not isinstance(seed, int | np.integer) or isinstance(seed, bool) or seed < 0:
        raise InvalidOptionError(f"Expected `seed` to be a whole number of 0 or more, found {seed!r}.")
    for what, value, choices in (
        ("metric", metric, ("cosine", "l2", "dot", None)),
        ("search", search, ("auto", "exact", "approximate")),
    ):
        if value not in choices:
            raise InvalidOptionError(f"Expected `{what}` to be one of {choices}, found {value!r}.")
    if search == "approximate":
        _approximate.require()


def _check_target(target: Path, overwrite: bool) -> None:
    if not target.exists():
        if not target.parent.is_dir():
            raise FileNotFoundError(f"There is no folder {str(target.parent)!r} to put the reference in.")
        return
    if not overwrite:
        raise FileExistsError(f"{str(target)!r} exists. Pass another `out`, or `overwrite=True`.")
    if not (target / "manifest.json").is_file():
        # What is not ours is never deleted.
        raise FileExistsError(f"{str(target)!r} exists and is no reference. Pass another `out`.")


@contextmanager
def _folder(target: Path, overwrite: bool) -> Iterator[Path]:
    """A folder that takes the place of `target` once everything is in it."""
    mark = secrets.token_hex(4)
    folder = target.parent / f".{target.name}.{mark}.part"
    folder.mkdir()
    try:
        yield folder
        for path in sorted(folder.rglob("*")):
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        if target.exists() and overwrite:
            old = target.parent / f".{target.name}.{mark}.old"
            target.rename(old)
            try:
                folder.rename(target)
            except BaseException:
                old.rename(target)
                raise
            # Whoever has the old files mapped keeps them.
            shutil.rmtree(old, ignore_errors=True)
        else:
            folder.rename(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _obs(adata: AnnData | PathLike) -> pd.DataFrame:
    if isinstance(adata, AnnData):
        return adata.obs
    from anndata.io import read_elem

    with h5py.File(adata, "r") as file:
        if "obs" not in file:
            raise FileFormatError(
                f"Expected an .h5ad file with the types of cells in `obs`, found none in {str(adata)!r}."
            )
        if not isinstance(file["obs"], h5py.Group):
            import anndata

            return anndata.read_h5ad(adata, backed="r").obs
        return read_elem(file["obs"])


def _labels(
    obs: pd.DataFrame, type_column: str, term_column: str | None, ontology: Ontology
) -> tuple[pd.Series, NDArray[np.int32]]:
    """Type of each cell, and the position of its term."""
    for argument, column in (("cell_type_column", type_column), ("ontology_term_column", term_column)):
        if column is not None and column not in obs.columns:
            raise MissingDataError(
                f"No column {column!r} in `obs` for `{argument}`.{suggest(column, obs.columns)}"
            )
    types = pd.Series(
        [NO_LABEL if pd.isna(v) or not str(v).strip() else str(v) for v in obs[type_column]], dtype=object
    )
    if term_column is None and _TERM_COLUMN in obs.columns:
        term_column = _TERM_COLUMN
    if term_column is None:
        known = {label: ontology.find_label(label) for label in types.unique()}
        terms = types.map(known)
    else:
        names = pd.Series(["" if pd.isna(v) else str(v) for v in obs[term_column]], dtype=object)
        known = {name: ontology.find(name) for name in names.unique()}
        terms = names.map(known)
    without = sorted(name for name, at in known.items() if at == UNKNOWN and name not in ("", NO_LABEL))
    if without:
        what = "types" if term_column is None else "terms"
        notify(
            f"{len(without)} {what} of {len(known)} are not in the ontology, and count as unrecognized: "
            f"{', '.join(map(repr, without[:5]))}."
            + (" Pass `ontology_term_column` with terms such as CL:0000236." if term_column is None else "")
        )
    return types, terms.to_numpy(dtype=np.int32)


def _genes(source: Source, column: str) -> list[str]:
    """Ids of all genes, without versions, each once."""
    first = next(iter(source.genomes.values())) if source.genomes else source
    ids = var_column(first.var, column, "feature_ids_column_name")
    out = {m.group(1) if (m := _VERSIONED.fullmatch(i)) else i: None for i in ids if i}
    if not out:
        raise InvalidDataError(f"Expected ids of genes in {column!r} of `var`, found none.")
    return list(out)


def _blocks(cells: Prepared) -> _pca.Blocks:
    def blocks() -> Iterator[Counts]:
        for start in range(0, len(cells), _BLOCK):
            yield cells.counts(start, min(start + _BLOCK, len(cells)))

    return blocks


def _learn(
    cells: Prepared, folder: Path, *, n_components: int, n_top: int | None, seed: int, threads: int
) -> dict[str, Any]:
    blocks = _blocks(cells)
    found = _pca.moments(blocks, len(cells.genes))
    use = _pca.variable_genes(found, n_top)
    parts = _pca.fit(blocks, found, use, n_components, seed=seed, threads=threads)
    np.save(folder / "weights.npy", parts.weights)
    np.save(folder / "offset.npy", parts.offset)
    return {
        "kind": "pca",
        "recipe": _pca.RECIPE,
        "n_components": n_components,
        "scale": _pca.SCALE,
        "eps": _pca.EPS,
        "n_variable_genes": int(use.sum()),
        "damping": _pca.damping(found.std[use]),
        "seed": int(seed),
        "variance_ratio": [float(v) for v in parts.variance_ratio],
    }


def _embed(
    cells: Prepared, folder: Path, embedding: dict[str, Any], metric: str, threads: int
) -> NDArray[np.float64]:
    """Write the vectors of all cells; their molecules."""
    weights, offset = np.load(folder / "weights.npy"), np.load(folder / "offset.npy")
    shape = (len(cells), embedding["n_components"])
    vectors = np.lib.format.open_memmap(folder / "vectors.npy", mode="w+", dtype=np.float32, shape=shape)
    totals = np.zeros(len(cells))
    at = 0
    for counts in _blocks(cells)():
        rows = slice(at, at + len(counts))
        matrix = sp.csr_matrix(
            (counts.data, counts.indices, counts.indptr), shape=(len(counts), len(cells.genes))
        )
        found = _core.embed_counts(
            matrix,
            counts.totals,
            weights,
            offset,
            scale=embedding["scale"],
            eps=embedding["eps"],
            threads=threads,
        )
        vectors[rows] = comparable(found, metric)
        totals[rows] = counts.totals
        at = rows.stop
    vectors.flush()
    return totals


def _index(folder: Path, metric: str, k: int) -> float:
    """Write an approximate index; the share of true neighbors that it finds."""
    vectors = np.load(folder / "vectors.npy", mmap_mode="r")
    index = _approximate.build_index(vectors, metric, folder / _approximate.FILE)
    found = _approximate.recall(index, np.asarray(vectors), metric, k)
    _logger.info("The approximate index finds %.2f %% of the %d nearest neighbors", 100 * found, k)
    if found < 0.95:
        notify(f"The approximate index finds {found:.1%} of the {k} nearest neighbors only.")
    return found
