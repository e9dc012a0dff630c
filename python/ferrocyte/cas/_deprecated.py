"""Methods of earlier versions of the service's client: they warn, and work."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, TypeVar, Unpack

from anndata import AnnData

from ferrocyte.cas._call import CallOptions
from ferrocyte.cas.constants import CountMatrixInput

__all__ = ["DeprecatedMethods"]

Annotated = TypeVar("Annotated")
Found = TypeVar("Found")
_SUMMARY = "annotate_matrix_cell_type_summary_statistics_strategy"


def _warn(name: str, instead: str) -> None:
    # Frames: here, the method, its caller.
    warnings.warn(f"`{name}` is deprecated; use `{instead}`.", DeprecationWarning, stacklevel=3)


class DeprecatedMethods(Generic[Annotated, Found]):
    """Mixed into both clients: what they call gives a result in one, something to await in the other."""

    if TYPE_CHECKING:

        @property
        def annotate_matrix_cell_type_summary_statistics_strategy(self) -> Callable[..., Annotated]: ...
        @property
        def search_matrix(self) -> Callable[..., Found]: ...

    def annotate_anndata(
        self,
        adata: AnnData,
        chunk_size: int = 1000,
        cas_model_name: str | None = "default",
        count_matrix_input: CountMatrixInput | str = CountMatrixInput.X,
        feature_ids_column_name: str = "index",
        feature_names_column_name: str | None = None,
        include_dev_metadata: bool = False,
        **how: Unpack[CallOptions],
    ) -> Annotated:
        """Deprecated: `annotate_matrix_cell_type_summary_statistics_strategy`, with `include_dev_metadata` as
        `include_extended_statistics`.

        Parameters
        ----------
        adata : AnnData
        chunk_size, cas_model_name, count_matrix_input, feature_ids_column_name, feature_names_column_name
            As there.
        include_dev_metadata : bool, default False
            Whether to ask for a breakdown by dataset.
        **how
            As there.

        Returns
        -------
        CellTypeSummaryStatisticsResults
        """
        _warn("annotate_anndata", _SUMMARY)
        return self.annotate_matrix_cell_type_summary_statistics_strategy(
            adata,
            chunk_size=chunk_size,
            count_matrix_input=count_matrix_input,
            feature_ids_column_name=feature_ids_column_name,
            include_extended_statistics=include_dev_metadata,
            cas_model_name=cas_model_name,
            feature_names_column_name=feature_names_column_name,
            **how,
        )

    def annotate_anndata_file(
        self,
        filepath: str | os.PathLike[str],
        chunk_size: int = 1000,
        cas_model_name: str | None = "default",
        count_matrix_input: CountMatrixInput | str = CountMatrixInput.X,
        feature_ids_column_name: str = "index",
        feature_names_column_name: str | None = None,
        include_dev_metadata: bool = False,
        **how: Unpack[CallOptions],
    ) -> Annotated:
        """Deprecated: `annotate_anndata` of an ``.h5ad`` file.

        Parameters
        ----------
        filepath : path-like
        chunk_size, cas_model_name, count_matrix_input, feature_ids_column_name, feature_names_column_name, \
include_dev_metadata, **how
            As `annotate_anndata`.

        Returns
        -------
        CellTypeSummaryStatisticsResults
        """
        _warn("annotate_anndata_file", _SUMMARY)
        return self.annotate_matrix_cell_type_summary_statistics_strategy(
            filepath,
            chunk_size=chunk_size,
            count_matrix_input=count_matrix_input,
            feature_ids_column_name=feature_ids_column_name,
            include_extended_statistics=include_dev_metadata,
            cas_model_name=cas_model_name,
            feature_names_column_name=feature_names_column_name,
            **how,
        )

    def annotate_10x_h5_file(
        self,
        filepath: str | os.PathLike[str],
        chunk_size: int = 1000,
        cas_model_name: str | None = "default",
        count_matrix_input: CountMatrixInput | str = CountMatrixInput.X,
        feature_ids_column_name: str = "index",
        feature_names_column_name: str | None = None,
        include_dev_metadata: bool = False,
        **how: Unpack[CallOptions],
    ) -> Annotated:
        """Deprecated: `annotate_anndata` of an ``.h5`` file as Cell Ranger writes it.

        Parameters
        ----------
        filepath : path-like
        chunk_size, cas_model_name, count_matrix_input, feature_ids_column_name, feature_names_column_name, \
include_dev_metadata, **how
            As `annotate_anndata`.

        Returns
        -------
        CellTypeSummaryStatisticsResults
        """
        _warn("annotate_10x_h5_file", _SUMMARY)
        return self.annotate_matrix_cell_type_summary_statistics_strategy(
            filepath,
            chunk_size=chunk_size,
            count_matrix_input=count_matrix_input,
            feature_ids_column_name=feature_ids_column_name,
            include_extended_statistics=include_dev_metadata,
            cas_model_name=cas_model_name,
            feature_names_column_name=feature_names_column_name,
            **how,
        )

    def search_anndata(
        self,
        adata: AnnData,
        chunk_size: int = 500,
        cas_model_name: str | None = "default",
        count_matrix_input: CountMatrixInput | str = CountMatrixInput.X,
        feature_ids_column_name: str = "index",
        feature_names_column_name: str | None = None,
        **how: Unpack[CallOptions],
    ) -> Found:
        """Deprecated: `search_matrix`.

        Parameters
        ----------
        adata : AnnData
        chunk_size, cas_model_name, count_matrix_input, feature_ids_column_name, feature_names_column_name, \
**how
            As there.

        Returns
        -------
        MatrixQueryResults
        """
        _warn("search_anndata", "search_matrix")
        return self.search_matrix(
            adata,
            chunk_size=chunk_size,
            count_matrix_input=count_matrix_input,
            feature_ids_column_name=feature_ids_column_name,
            cas_model_name=cas_model_name,
            feature_names_column_name=feature_names_column_name,
            **how,
        )

    def search_10x_h5_file(
        self,
        filepath: str | os.PathLike[str],
        chunk_size: int = 500,
        cas_model_name: str | None = "default",
        count_matrix_input: CountMatrixInput | str = CountMatrixInput.X,
        feature_ids_column_name: str = "index",
        feature_names_column_name: str | None = None,
        **how: Unpack[CallOptions],
    ) -> Found:
        """Deprecated: `search_matrix` of an ``.h5`` file as Cell Ranger writes it.

        Parameters
        ----------
        filepath : path-like
        chunk_size, cas_model_name, count_matrix_input, feature_ids_column_name, feature_names_column_name, \
**how
            As `search_matrix`.

        Returns
        -------
        MatrixQueryResults
        """
        _warn("search_10x_h5_file", "search_matrix")
        return self.search_matrix(
            filepath,
            chunk_size=chunk_size,
            count_matrix_input=count_matrix_input,
            feature_ids_column_name=feature_ids_column_name,
            cas_model_name=cas_model_name,
            feature_names_column_name=feature_names_column_name,
            **how,
        )
