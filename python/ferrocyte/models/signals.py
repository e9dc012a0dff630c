"""What a trend is a trend of: a gene, a column of `obs`, or a column of a matrix in `obsm`."""

from __future__ import annotations

import abc
import operator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import DTypeLike, NDArray

from ferrocyte import _adata
from ferrocyte._errors import (
    InvalidDataError,
    InvalidIndexError,
    InvalidOptionError,
    InvalidTypeError,
    MissingAttributeError,
    MissingDataError,
    suggest,
)

__all__ = ["Gene", "Obs", "Obsm", "Signal"]


class Signal(abc.ABC):
    """One number per cell, by name. Signals are immutable, hashable and comparable.

    Attributes
    ----------
    name : str
        For titles and as key of results.
    ylabel : str
        ``"expression"`` for genes, else ``"value"``.
    layer : str or None
        Layer of a gene, else None.
    use_raw : bool
        Whether a gene is taken from `raw`, else False.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> [signal.fetch(adata).shape for signal in (fc.models.Gene("Snca"), fc.models.Obs("latent_time"))]
    [(200,), (200,)]
    """

    layer: str | None = None
    use_raw: bool = False

    @property
    @abc.abstractmethod
    def name(self) -> str:
        """For titles and as key of results."""

    @property
    def ylabel(self) -> str:
        """What the values are."""
        return "value"

    @abc.abstractmethod
    def validate(self, adata: AnnData) -> None:
        """Raise if `adata` has no such numbers.

        Parameters
        ----------
        adata : AnnData
            Where they would be. Not changed.
        """

    @abc.abstractmethod
    def _read(self, adata: AnnData) -> NDArray[Any]:
        """The values, in any type, shape (n_cells,)."""

    def fetch(self, adata: AnnData, dtype: DTypeLike = np.float64) -> NDArray[Any]:
        """The values in `adata`.

        Parameters
        ----------
        adata : AnnData
        dtype : dtype, default float64

        Returns
        -------
        ndarray, shape (n_cells,)
            A copy.

        Raises
        ------
        KeyError, ValueError, AttributeError, TypeError, IndexError
            As `validate`.
        """
        self.validate(adata)
        return np.array(self._read(adata), dtype=dtype).reshape(-1)


@dataclass(frozen=True)
class Gene(Signal):
    """Expression of a gene.

    Parameters
    ----------
    gene : str
        One of `adata.var_names` (of `adata.raw.var_names` if `use_raw`).
    layer : str, optional
        Key of `adata.layers`. Default: `adata.X`.
    use_raw : bool, default False
        Take `adata.raw` instead.

    Examples
    --------
    >>> from ferrocyte.models import Gene
    >>> Gene("Ins1", layer="Ms").name
    'Ins1'
    """

    gene: str
    layer: str | None = None
    use_raw: bool = False

    @property
    def name(self) -> str:
        """The gene."""
        return self.gene

    @property
    def ylabel(self) -> str:
        """``"expression"``"""
        return "expression"

    def validate(self, adata: AnnData) -> None:
        """Raise if there is no such gene.

        Parameters
        ----------
        adata : AnnData
            Where it would be. Not changed.

        Raises
        ------
        MissingDataError (a KeyError)
            If the gene or the layer does not exist.
        InvalidOptionError (a ValueError)
            If both a layer and `use_raw` are given.
        MissingAttributeError (an AttributeError)
            If `use_raw` is set and there is no `raw`.
        """
        if self.use_raw:
            if self.layer is not None:
                raise InvalidOptionError(
                    f"Expected either `layer` or `use_raw`, found both for gene {self.gene!r}: `adata.raw` "
                    "has no layers. Leave one out."
                )
            if adata.raw is None:
                raise MissingAttributeError("Unable to find `adata.raw`. Set it or pass `use_raw=False`.")
            names, where = adata.raw.var_names, "adata.raw.var_names"
        else:
            names, where = adata.var_names, "adata.var_names"
        if self.gene not in names:
            raise MissingDataError(
                f"Unable to find gene {self.gene!r} in `{where}`.{suggest(self.gene, names)}"
            )
        if self.layer is not None:
            _adata.locate(adata, self.layer)

    def _read(self, adata: AnnData) -> NDArray[Any]:
        matrix, index = (adata.raw.X, adata.raw.var_names) if self.use_raw else (None, adata.var_names)
        at = self._position(index)
        if matrix is None:
            if self.layer is None and adata.X is None:
                raise MissingDataError("Unable to find `adata.X`: it is empty. Name a layer instead.")
            matrix = adata.X if self.layer is None else adata.layers[self.layer]
        block = matrix[:, [at]]
        where = f"gene {self.gene!r}"
        return _adata.select_columns(_adata.as_features(block, where), np.array([0]))[:, 0]

    def _position(self, index: pd.Index) -> int:
        return int(np.flatnonzero(np.asarray(index == self.gene))[0])


@dataclass(frozen=True)
class Obs(Signal):
    """A column of numbers in `adata.obs`.

    Parameters
    ----------
    key : str

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> fc.models.Obs("latent_time").fetch(adata).shape
    (200,)
    """

    key: str

    @property
    def name(self) -> str:
        """The key."""
        return self.key

    def validate(self, adata: AnnData) -> None:
        """Raise if there is no such column.

        Parameters
        ----------
        adata : AnnData
            Where it would be. Not changed.

        Raises
        ------
        MissingDataError (a KeyError)
            If it does not exist.
        InvalidTypeError (a TypeError)
            If it does not hold numbers.
        """
        values = _adata.column(adata, self.key)
        if not pd.api.types.is_numeric_dtype(values.dtype):
            raise InvalidTypeError(
                f"Expected `adata.obs[{self.key!r}]` to hold numbers, found type `{values.dtype}`."
            )

    def _read(self, adata: AnnData) -> NDArray[Any]:
        return np.asarray(adata.obs[self.key].to_numpy(dtype=np.float64, na_value=np.nan))


@dataclass(frozen=True)
class Obsm(Signal):
    """A column of a matrix in `adata.obsm`.

    Parameters
    ----------
    key : str
    column : int or str
        Position, counted from 0; of a data frame, the name of the column.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> signal = fc.models.Obsm("X_umap", 0)
    >>> signal.name, signal.fetch(adata).shape
    ('X_umap[0]', (200,))
    """

    key: str
    column: int | str

    @property
    def name(self) -> str:
        """``"key[column]"``"""
        return f"{self.key}[{self.column}]"

    def validate(self, adata: AnnData) -> None:
        """Raise if there is no such column.

        Parameters
        ----------
        adata : AnnData
            Where it would be. Not changed.

        Raises
        ------
        MissingDataError (a KeyError)
            If the matrix, or the column of a data frame, does not exist.
        InvalidTypeError (a TypeError)
            If the column of an array is not a whole number.
        InvalidIndexError (an IndexError)
            If it is out of range.
        InvalidDataError (a ValueError)
            If the matrix is not two-dimensional.
        """
        where = f"`adata.obsm[{self.key!r}]`"
        if self.key not in adata.obsm:
            raise MissingDataError(f"Unable to find {where}.{suggest(self.key, adata.obsm.keys())}")
        matrix = adata.obsm[self.key]
        if isinstance(matrix, pd.DataFrame):
            if self.column not in matrix.columns:
                raise MissingDataError(
                    f"Unable to find column {self.column!r} of {where}.{suggest(self.column, matrix.columns)}"
                )
            if not pd.api.types.is_numeric_dtype(matrix[self.column].dtype):
                raise InvalidTypeError(f"Expected column {self.column!r} of {where} to hold numbers.")
            return
        if matrix.ndim != 2:
            raise InvalidDataError(f"Expected {where} to have 2 dimensions, found {matrix.ndim}.")
        try:
            if isinstance(self.column, bool | np.bool_):
                raise TypeError
            column = operator.index(self.column)  # type: ignore[arg-type]
        except TypeError:
            raise InvalidTypeError(
                f"Expected the column of {where} to be a whole number, found `{type(self.column).__name__}`."
            ) from None
        if not -matrix.shape[1] <= column < matrix.shape[1]:
            raise InvalidIndexError(
                f"Expected the column of {where} to be below {matrix.shape[1]}, found {column}."
            )

    def _read(self, adata: AnnData) -> NDArray[Any]:
        matrix = adata.obsm[self.key]
        if isinstance(matrix, pd.DataFrame):
            return np.asarray(matrix[self.column].to_numpy(dtype=np.float64, na_value=np.nan))
        plain = matrix.toarray() if hasattr(matrix, "toarray") else np.asarray(matrix)
        return np.asarray(plain)[:, int(self.column)]
