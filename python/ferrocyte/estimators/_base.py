"""What all estimators share: a kernel, a table of results, copies and files."""

from __future__ import annotations

import copy as copylib
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self, TypeAlias

from anndata import AnnData

from ferrocyte import _keys
from ferrocyte._adata import check_adata
from ferrocyte._errors import InvalidDataError, NotComputedError, warn_user
from ferrocyte._results import STEPS, Results, step_of
from ferrocyte.estimators._exchange import copied_attrs, kept_adata, kernel_to_adata
from ferrocyte.kernels._algebra import Constant, KernelExpression
from ferrocyte.kernels._matrix import Matrix
from ferrocyte.kernels.precomputed import PrecomputedKernel

__all__ = ["OF_THE_KERNEL", "BaseEstimator"]

Attr: TypeAlias = Literal["X", "raw", "layers", "obs", "var", "obsm", "varm", "obsp", "varp", "uns"]
Keep: TypeAlias = Literal["all"] | Attr | Sequence[Attr] | Mapping[Attr, bool | str | Sequence[str]]

# Attributes that belong to the kernel, not to what was computed from it.
OF_THE_KERNEL = ("_kernel", "_results", "_matrix", "_pi")


class BaseEstimator(ABC):
    """Base of all estimators: a transition matrix in, annotations of cells and genes out.

    Parameters
    ----------
    object : Kernel, KernelExpression, AnnData, array, sparse matrix, str, bool or None
        A kernel or an expression with a transition matrix, which is used as it is; or anything that
        :class:`~ferrocyte.kernels.PrecomputedKernel` takes.
    **kwargs
        To :class:`~ferrocyte.kernels.PrecomputedKernel`: `adata`, `obsp_key`, `backward`, `copy`.

    Raises
    ------
    NotComputedError
        If a kernel has no matrix yet; says ``Compute transition matrix first``.
    InvalidTypeError, InvalidDataError, MissingDataError
        For an object that has no transition matrix.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    >>> g = fc.estimators.GPCCA(kernel)
    >>> isinstance(g, fc.estimators.BaseEstimator), g.shape
    (True, (200, 200))
    """

    def __init__(self, object: Any, **kwargs: Any) -> None:
        if isinstance(object, KernelExpression) and not isinstance(object, Constant) and not kwargs:
            _check_computed(object)
            kernel = object
        else:
            kernel = PrecomputedKernel(object, **kwargs)
        self._kernel: KernelExpression = kernel
        self._results = Results(kernel)

    # Of the kernel when it was last used; tells a kernel that was computed anew.
    _matrix: Matrix | None = None

    # What it is ---------------------------------------------------------------------------------------

    @property
    def kernel(self) -> KernelExpression:
        """The kernel or expression."""
        return self._kernel

    @property
    def adata(self) -> AnnData:
        """Annotated data of the kernel. Can be set to one over as many cells."""
        return self._kernel.adata

    @adata.setter
    def adata(self, adata: AnnData | None) -> None:
        self._kernel.adata = adata

    @property
    def transition_matrix(self) -> Matrix:
        """Row-stochastic matrix of shape `(n_cells, n_cells)`.

        Warns when the kernel has another matrix than results were computed from; an error if cells have been
        removed from :attr:`adata` in place.
        """
        matrix = self._kernel._require_matrix()
        adata = self.adata
        if adata is not None and adata.n_obs != matrix.shape[0]:
            raise InvalidDataError(
                f"Expected `adata` to have {matrix.shape[0]} cells, as the transition matrix, "
                f"found {adata.n_obs}: cells were removed in place. Make both anew from the rest."
            )
        if self._matrix is not None and matrix is not self._matrix and self._results.values:
            warn_user(
                "The kernel has been computed anew. Results from before belong to its old matrix: make a new "
                "estimator, or compute them again from the first step on."
            )
        self._matrix = matrix
        return matrix

    @property
    def shape(self) -> tuple[int, int]:
        """`(n_cells, n_cells)`."""
        return self._kernel.shape  # type: ignore[attr-defined]

    @property
    def backward(self) -> bool | None:
        """Direction of the process; None if the kernel has none."""
        return self._kernel.backward

    @property
    def params(self) -> dict[str, dict[str, Any]]:
        """Arguments of the steps taken, by name of the step."""
        return self._results.params

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        inside = [f"kernel={self._kernel}", *self._described()]
        return f"{type(self).__name__}[{', '.join(inside)}]"

    __str__ = __repr__

    def _described(self) -> list[str]:
        """Entries of the repr after the kernel."""
        return []

    def _require(self, name: str, message: str | None = None) -> Any:
        """A result, or an error that says how to get it.

        Parameters
        ----------
        name : str
            Of the result.
        message : str, optional
            Instead of the remedy of the results table.

        Raises
        ------
        NotComputedError
        """
        value = self._results.get(name)
        if value is None:
            raise NotComputedError(STEPS[step_of(name)].remedy if message is None else message)
        return value

    # To be defined ------------------------------------------------------------------------------------

    @abstractmethod
    def fit(self, *args: Any, **kwargs: Any) -> Self:
        """Compute what :meth:`predict` needs."""

    @abstractmethod
    def predict(self, *args: Any, **kwargs: Any) -> Self:
        """Choose states from what :meth:`fit` has computed."""

    # AnnData and files --------------------------------------------------------------------------------

    def to_adata(
        self,
        keep: Keep = ("X", "raw"),
        *,
        copy: bool | Attr | Sequence[Attr] = True,
    ) -> AnnData:
        """Make annotated data of the estimator, from which :meth:`from_adata` makes it again.

        Parameters
        ----------
        keep : "all", str, sequence of str, or dict, default ("X", "raw")
            What to keep of :attr:`adata`: attributes such as ``"obsm"``, or some keys of them as
            ``{"obsm": ["X_umap"], "obs": "clusters", "X": True}``.
        copy : bool, str or sequence of str, default True
            Copy what is kept, and the results; or only these attributes.

        Returns
        -------
        AnnData
            New, over the same cells and genes: what is kept, the transition matrix with its parameters, all
            results, and all parameters in ``uns["fwd_estimator_params"]`` (or ``"bwd_..."``).

        Raises
        ------
        MissingDataError
            For a key that is not there.
        InvalidOptionError, InvalidTypeError
            For what is no attribute.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
        >>> _ = g.set_terminal_states(["Granule immature", "Astrocytes"])
        >>> g.compute_fate_probabilities()
        >>> small = g.to_adata(keep={"obs": ["clusters"]})
        >>> sorted(small.obsm)
        ['lineages_fwd', 'macrostates_fwd_memberships', 'schur_vectors_fwd',
            'term_states_fwd_memberships']
        """
        out = kept_adata(self._kernel._require_adata(), keep, copy)
        copied = copied_attrs(copy)
        kernel_to_adata(self._kernel, out, copy="obsp" in copied)
        results = self._results
        if copied:
            results = Results(self._kernel)
            results.load(*copylib.deepcopy((self._results.values, self._results._params)))
        results.write_to(out)
        out.uns[_keys.estimator_params(self.backward)] = copylib.deepcopy(self.params)
        return out

    @classmethod
    def from_adata(cls, adata: AnnData, obsp_key: str) -> Self:
        """Make an estimator from annotated data that :meth:`to_adata` has made, here or in CellRank.

        Parameters
        ----------
        adata : AnnData
        obsp_key : str
            Key of `obsp` with the transition matrix, such as ``"T_fwd"``.

        Returns
        -------
        BaseEstimator
            With a :class:`~ferrocyte.kernels.PrecomputedKernel`, and the results that are there. A step of
            which a part is missing is left out, together with those that depend on it.

        Raises
        ------
        MissingDataError
            If there is no such matrix.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
        >>> _ = g.set_terminal_states(["Granule immature", "Astrocytes"])
        >>> g.compute_fate_probabilities()
        >>> kernel.write_to_adata()
        >>> again = fc.estimators.GPCCA.from_adata(adata, obsp_key="T_fwd")
        >>> again.fate_probabilities.names.tolist()
        ['Granule immature', 'Astrocytes']
        """
        check_adata(adata)
        if _keys.params(obsp_key) in adata.uns:
            kernel = PrecomputedKernel.from_adata(adata, obsp_key)
        else:
            kernel = PrecomputedKernel(adata, obsp_key=obsp_key)
        out = cls(kernel)
        out._results.read_from(adata, adata.uns.get(_keys.estimator_params(kernel.backward), {}))
        return out

    def write(self, fname: str | os.PathLike[str], write_adata: bool = True) -> None:
        """Write to a file, from which :meth:`read` makes the same again.

        Parameters
        ----------
        fname : path
            The file is replaced when it has been written completely.
        write_adata : bool, default True
            Write the annotated data, too.

        Raises
        ------
        InvalidTypeError
            If an attribute of a user's kernel is neither plain nor an array, and so has no place in a file.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> kernel = fc.kernels.PseudotimeKernel(adata, time_key="latent_time")
        >>> g = fc.estimators.GPCCA(kernel.compute_transition_matrix()).compute_schur(10)
        >>> _ = g.compute_macrostates(3, n_cells=10, cluster_key="clusters")
        >>> _ = g.set_terminal_states(["Granule immature", "Astrocytes"])
        >>> g.compute_fate_probabilities()
        >>> g.write("g.h5")
        >>> fc.estimators.GPCCA.read("g.h5").terminal_states.cat.categories.tolist()
        ['Granule immature', 'Astrocytes']
        """
        from ferrocyte.io import write_estimator

        write_estimator(self, fname, write_adata=write_adata)

    @staticmethod
    def read(fname: str | os.PathLike[str], adata: AnnData | None = None, copy: bool = False) -> Any:
        """Read from a file made by :meth:`write`.

        Parameters
        ----------
        fname : path
        adata : AnnData, optional
            The annotated data, if the file has none.
        copy : bool, default False
            Copy `adata` before using it; a view is always copied.

        Returns
        -------
        BaseEstimator
            Of the class that was written.

        Raises
        ------
        FileFormatError
            If the file is of another kind or version.
        InvalidTypeError
            If the file has no annotated data and none is given; says ``This object was saved without``.
        InvalidDataError
            If `adata` has another number of cells; says ``Expected `adata` to be of length``.
        """
        from ferrocyte.io import read_estimator

        return read_estimator(fname, adata=adata, copy=copy)

    # Copies -------------------------------------------------------------------------------------------

    def copy(self, *, deep: bool = False) -> Self:
        """Return a copy.

        Parameters
        ----------
        deep : bool, default False
            Copy the annotated data, too; otherwise it is shared. Kernel, parameters and results are always
            copied.

        Returns
        -------
        BaseEstimator
            Of the same class, with equal results.
        """
        out = type(self).__new__(type(self))
        state = {k: v for k, v in self.__dict__.items() if k not in OF_THE_KERNEL}
        out.__dict__.update(copylib.deepcopy(state))
        out._kernel = self._kernel.copy(deep=deep)
        out._results = Results(out._kernel)
        out._results.load(*copylib.deepcopy((self._results._values, self._results._params)))
        return out

    def __copy__(self) -> Self:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.copy(deep=True)


def _check_computed(kernel: KernelExpression) -> None:
    try:
        kernel._require_matrix()
    except NotComputedError as err:
        raise NotComputedError(f"Compute transition matrix first: {err}") from err
