"""What a reference knows about its cells, in files that are mapped into memory."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ferrocyte._errors import FileFormatError
from ferrocyte.cas.constants import CellMetadataFeatures

__all__ = ["Cells", "write_cells"]

# The numbers of cells are their rows; what follows is stored.
TOTAL = CellMetadataFeatures.TOTAL_MRNA_UMIS.value
STORED = [f.value for f in CellMetadataFeatures if f.value not in ("cas_cell_index", TOTAL)]
DATASET = "dataset_id"
NO_LABEL = "unknown"


class Cells:
    """Columns of cell metadata.

    Parameters
    ----------
    folder : pathlib.Path
    n_cells : int
    """

    def __init__(self, folder: Path, n_cells: int) -> None:
        self._folder, self._n = folder, n_cells
        try:
            self._categories: dict[str, list[Any]] = json.loads(
                (folder / "categories.json").read_text(encoding="utf-8")
            )
        except (OSError, json.JSONDecodeError) as err:
            raise FileFormatError(
                f"The reference lacks a readable {folder / 'categories.json'} ({err})."
            ) from err
        self._codes = {name: self._load(name, np.int32) for name in self._categories}
        if "cell_type" not in self._codes:
            raise FileFormatError(f"The reference {str(folder.parent)!r} has no cell types.")
        for name, codes in self._codes.items():
            if codes.size and not -1 <= int(codes.min()) <= int(codes.max()) < len(self._categories[name]):
                raise FileFormatError(f"The column {name!r} of {str(folder.parent)!r} is damaged.")
        self.terms = self._load("terms", np.int32)
        self._totals = self._load(TOTAL, np.int64)

    def _load(self, name: str, dtype: Any) -> NDArray[Any]:
        path = self._folder / f"{name}.npy"
        try:
            # A plain array over the mapped file: what is made from it is no memmap.
            out = np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError) as err:
            raise FileFormatError(f"The reference lacks a readable {path} ({err}).") from err
        if out.dtype != dtype or out.shape != (self._n,):
            raise FileFormatError(
                f"Expected {self._n} values of {np.dtype(dtype)} in {path}, found {out.shape} of {out.dtype}."
            )
        return out

    @property
    def cell_types(self) -> tuple[NDArray[np.int32], list[str]]:
        """Position of the type of each cell, and the types."""
        return self._codes["cell_type"], self._categories["cell_type"]

    @functools.cached_property
    def datasets(self) -> tuple[NDArray[np.int32], list[str]] | None:
        """Position of the dataset of each cell, and the datasets; None if that is not known of all cells."""
        codes = self._codes.get(DATASET)
        if codes is None or (codes < 0).any():
            return None
        return codes, self._categories[DATASET]

    def row(self, i: int, names: Sequence[str]) -> dict[str, Any]:
        """Some features of one cell, without those that are not known."""
        out: dict[str, Any] = {}
        for name in names:
            if name == TOTAL:
                out[name] = int(self._totals[i])
            elif name in self._codes and (code := int(self._codes[name][i])) >= 0:
                out[name] = self._categories[name][code]
        return out


def write_cells(
    folder: Path, obs: pd.DataFrame, cell_types: pd.Series, terms: NDArray[np.int32], totals: NDArray[Any]
) -> None:
    """Write the columns that the protocol knows, and `dataset_id`.

    Parameters
    ----------
    folder : pathlib.Path
        Exists and is empty.
    obs : pandas.DataFrame
    cell_types : pandas.Series
        Labels; missing ones are ``"unknown"``.
    terms : array of int32
        Positions in the ontology; -1 for none.
    totals : array
        Molecules of each cell.
    """
    columns = {name: obs[name] for name in (*STORED, DATASET) if name in obs.columns}
    columns["cell_type"] = cell_types
    categories: dict[str, list[Any]] = {}
    for name, column in columns.items():
        if name == "is_primary_data":
            codes = np.array([-1 if pd.isna(v) else int(str(v).lower() in ("true", "1")) for v in column])
            categories[name] = [False, True]
        else:
            text = pd.Series([None if pd.isna(v) else str(v) for v in column], dtype=object)
            codes, found = pd.factorize(text, sort=True)
            categories[name] = [str(v) for v in found]
        np.save(folder / f"{name}.npy", np.asarray(codes, dtype=np.int32))
    (folder / "categories.json").write_text(json.dumps(categories, ensure_ascii=False), encoding="utf-8")
    np.save(folder / "terms.npy", np.asarray(terms, dtype=np.int32))
    np.save(folder / f"{TOTAL}.npy", np.rint(totals).astype(np.int64))
