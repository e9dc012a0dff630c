"""Kernel along RNA velocity."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import scipy.sparse as sp
from anndata import AnnData
from numpy.typing import NDArray

from ferrocyte import _adata, _core, _keys
from ferrocyte._errors import InvalidDataError, warn_user
from ferrocyte._options import (
    check_count,
    check_number,
    check_option,
    check_seed,
    draw_seed,
    no_effect,
    plain,
)
from ferrocyte._settings import threads
from ferrocyte.kernels._base import BidirectionalKernel, equal_params
from ferrocyte.kernels._graph import GraphMembers, name_core_cells
from ferrocyte.kernels.utils._models import MODELS, Deterministic, core_name, resolve_similarity

__all__ = ["VelocityKernel"]

_logger = logging.getLogger(__name__)


class _Inputs(NamedTuple):
    """Expression and velocity, where they lie, and what to use of them."""

    x: Any
    v: Any
    genes: NDArray[np.bool_]

    @property
    def used(self) -> NDArray[np.bool_] | None:
        """The genes, or None for all: then rows can be read in one piece."""
        return None if self.genes.all() else self.genes

    def fingerprint(self) -> str:
        """To notice that the data were replaced or changed in place."""
        parts = [str(_core.fingerprint(m, threads=threads())) for m in (self.x, self.v)]
        return "-".join([*parts, hashlib.blake2b(self.genes.tobytes(), digest_size=8).hexdigest()])


class VelocityKernel(GraphMembers, BidirectionalKernel):
    """Transitions along a nearest-neighbor graph, by how well velocities point to neighbors [1]_.

    Parameters
    ----------
    adata : AnnData
        With a nearest-neighbor graph in `obsp`. Expression and velocity stay where they are and are read, in
        float32 or float64, dense or CSR, when the transition matrix is computed.
    backward : bool, default False
        Go against the velocities.
    attr : {"layers", "obsm"}, default "layers"
        Where expression and velocity are.
    xkey : str or None, default "Ms"
        Key of the expression; None or ``"X"`` is `.X`.
    vkey : str, default "velocity"
        Key of the velocity, of the same shape. Columns with NaN are left out, with a warning.
    gene_subset : str, sequence of str or of bool, optional
        Genes to use: the name of a boolean `var` column, names of genes, or a mask. Default:
        `var["<vkey>_genes"]` if it is there, else all. For ``attr="layers"`` only.
    **kwargs
        `conn_key`, `check_connectivity`, `check_symmetric`: see :class:`ConnectivityKernel`.

    Raises
    ------
    MissingDataError
        If a key is not there.
    InvalidDataError, InvalidOptionError, InvalidTypeError
        If the graph, the genes or an option can not be used.

    References
    ----------
    .. [1] Lange et al., CellRank for directed single-cell fate mapping, Nat. Methods 19 (2022).

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.dentate_gyrus()
    >>> kernel = fc.kernels.VelocityKernel(adata)
    >>> kernel.compute_transition_matrix(softmax_scale=4, show_progress_bar=False)
    VelocityKernel[n=200, model='deterministic', similarity='correlation', softmax_scale=4]
    """

    def __init__(
        self,
        adata: AnnData,
        backward: bool = False,
        attr: Literal["layers", "obsm"] = "layers",
        xkey: str | None = "Ms",
        vkey: str = "velocity",
        gene_subset: str | Sequence[str] | Sequence[bool] | NDArray[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        self._logits: sp.csr_matrix | None = None
        self._fingerprint: str | None = None
        if gene_subset is not None:
            kwargs["gene_subset"] = gene_subset if isinstance(gene_subset, str) else np.asarray(gene_subset)
        xkey = "X" if xkey is None else xkey
        super().__init__(adata, backward=backward, xkey=xkey, vkey=vkey, attr=attr, **kwargs)

    def _read_from_adata(self, **kwargs: Any) -> None:
        adata = self._require_adata()
        xkey, vkey, attr = (kwargs.pop(name) for name in ("xkey", "vkey", "attr"))
        gene_subset = kwargs.pop("gene_subset", None)
        self._attr = check_option(attr, "attr", ("layers", "obsm"))
        self._xkey, self._vkey = xkey, vkey
        where = [_adata.locate(adata, key, attr=attr) for key in (xkey, vkey)]
        self._genes: NDArray[np.bool_] | None = None
        if attr == "obsm":
            if gene_subset is not None:
                warn_user("`gene_subset` has no effect with `attr='obsm'`: all columns are used.")
            x, v = (_adata.shape_of(adata, key, attr=attr) for key in (xkey, vkey))
            if x != v:
                raise InvalidDataError(
                    f"Expected {where[0]} and {where[1]} to be of the same shape, found {x} and {v}."
                )
        else:
            default = _keys.velocity_genes(vkey)
            if gene_subset is None and default in adata.var:
                gene_subset = default
            self._genes = _adata.gene_mask(adata, gene_subset)
        self._read_graph(adata, **kwargs)

    @property
    def logits(self) -> sp.csr_matrix | None:
        """Similarities before scaling and softmax: CSR of shape `(n_cells, n_cells)`, zeros not stored.

        None before the transition matrix is computed.
        """
        return self._logits

    def __invert__(self) -> VelocityKernel:
        """Return a kernel over the same data in the other direction, without matrix and parameters."""
        out = super().__invert__()
        assert isinstance(out, VelocityKernel)
        out._logits, out._request, out._fingerprint = None, {}, None
        return out

    def compute_transition_matrix(
        self,
        model: Literal["deterministic", "stochastic", "monte_carlo"] = "deterministic",
        backward_mode: Literal["transpose", "negate"] = "transpose",
        similarity: Literal["correlation", "cosine", "dot_product"] | Callable[..., Any] = "correlation",
        softmax_scale: float | None = None,
        n_samples: int = 1000,
        seed: int | None = None,
        show_progress_bar: bool = True,
        n_jobs: int | None = None,
        backend: str = "loky",
    ) -> Self:
        """Compute the transition matrix from velocities.

        Parameters
        ----------
        model : {"deterministic", "stochastic", "monte_carlo"}, default "deterministic"
            How to account for the uncertainty of velocities: not at all; by a second-order expansion; by
            sampling. A backward kernel always uses the first.
        backward_mode : {"transpose", "negate"}, default "transpose"
            Backward kernels: transitions into a cell by the neighbors' velocities, or out of it by its own
            velocity with the opposite sign.
        similarity : {"correlation", "cosine", "dot_product"} or callable, default "correlation"
            Of displacements and velocities. A callable, or a :class:`~ferrocyte.kernels.utils.SimilarityABC`,
            is called for each cell as `f(v, D, softmax_scale)` with `v` of shape `(1, n_genes)` (for
            ``"transpose"``: `(n_neighbors, n_genes)`) and `D` of shape `(n_neighbors, n_genes)`, and returns
            probabilities and unscaled logits, both of shape `(n_neighbors,)`. Its arguments are scratch
            memory: valid during the call. The stochastic model needs a method `hessian`.
        softmax_scale : float, optional
            Factor before the softmax. Default: 1 / median of the absolute nonzero similarities.
        n_samples : int, default 1000
            Samples per cell for ``model="monte_carlo"``.
        seed : int, optional
            For ``model="monte_carlo"``: same seed, same bits, for any number of threads. Drawn from the
            operating system by default, and kept in :attr:`params`.
        show_progress_bar : bool, default True
            Show a progress bar in a terminal or a notebook.
        n_jobs : int, optional
            Number of threads; None for `settings.n_jobs`, -1 for all cores.
        backend : str, default "loky"
            Has no effect.

        Returns
        -------
        VelocityKernel
            Itself, with :attr:`transition_matrix`, :attr:`logits` and :attr:`params`.

        Raises
        ------
        InvalidOptionError, InvalidTypeError
            For an unknown option or a value out of range.
        InvalidDataError
            If expression or velocity are not finite, or a callable returns what can not be used.

        Notes
        -----
        Memory: the result, and a few rows of expression per thread.

        Examples
        --------
        >>> import ferrocyte as fc
        >>> adata = fc.datasets.dentate_gyrus()
        >>> fc.kernels.VelocityKernel(adata).compute_transition_matrix(
        ...     "monte_carlo", similarity="cosine", softmax_scale=4, n_samples=50, seed=0
        ... )
        VelocityKernel[n=200, model='monte_carlo', similarity='cosine', softmax_scale=4, n_samples=50,
            seed=0]
        """
        no_effect("backend", backend, "loky")
        model = check_option(model, "model", MODELS)
        backward_mode = check_option(backward_mode, "backward_mode", ("transpose", "negate"))
        scheme = resolve_similarity(similarity)
        used = self._effective_model(model, scheme)
        if softmax_scale is not None:
            check_number(softmax_scale, "softmax_scale")
        sampled = "monte_carlo" in (model, used)
        if sampled:
            n_samples, seed = check_count(n_samples, "n_samples"), check_seed(seed)
        inputs = self._inputs()

        params: dict[str, Any] = {
            "model": str(model),
            "similarity": str(similarity if isinstance(similarity, str) else scheme),
            "softmax_scale": plain(softmax_scale),
        }
        if self.backward:
            params["bwd_mode"] = str(backward_mode)
        if sampled:
            params.update(n_samples=int(n_samples), seed=seed)
        user = None if core_name(scheme, used) is not None else scheme
        request = {**params, "callable": user}
        repeated = self._is_cached(request)
        if repeated and self._fingerprint is not None and self._fingerprint == inputs.fingerprint():
            _logger.info("Using the matrix that was computed with these parameters")
            return self

        direction = backward_mode if self.backward else "forward"
        options: dict[str, Any] = {
            "similarity": scheme,
            "softmax_scale": softmax_scale,
            "direction": direction,
        }
        if sampled:
            params["seed"] = draw_seed() if seed is None else seed
        if used == "monte_carlo":
            options.update(n_samples=n_samples, seed=params["seed"])
        probabilities, logits, scale = self._run(
            MODELS[used], inputs, options, n_jobs=n_jobs, show_progress_bar=show_progress_bar
        )
        if softmax_scale is None:
            params["softmax_scale"] = scale
            _logger.info("Using `softmax_scale=%.4f`", scale)
        # Reading the data a second time, to notice later that they have changed, would make a first fast call
        # slower: the first repeat computes again, and compares.
        slow = used != "deterministic" or user is not None
        fingerprint = inputs.fingerprint() if slow or repeated else None
        if repeated and same_csr(probabilities, self._transition_matrix):
            _logger.info("Using the matrix that was computed with these parameters")
            self._fingerprint = fingerprint
            return self
        self._store(
            probabilities,
            params,
            normalised=user is None,
            _logits=logits,
            _request=request,
            _fingerprint=fingerprint,
        )
        return self

    def _is_cached(self, request: dict[str, Any]) -> bool:
        """Whether the matrix is what `request` asks for; None stands for what was estimated or drawn."""
        if self._transition_matrix is None or not self._request:
            return False
        if equal_params(request, self._request):
            return True
        resolved = {k: self._params.get(k, v) if v is None else v for k, v in self._request.items()}
        return equal_params(request, resolved)

    def _effective_model(self, model: str, scheme: Any) -> str:
        if self.backward and model != "deterministic":
            warn_user(f"`model={model!r}` is defined for forward kernels only, using 'deterministic'.")
            return "deterministic"
        if model == "stochastic" and not callable(getattr(scheme, "hessian", None)):
            warn_user(
                f"Similarity {scheme} has no `hessian`, which `model='stochastic'` needs; using "
                f"'monte_carlo'."
            )
            return "monte_carlo"
        return model

    def _inputs(self) -> _Inputs:
        """Expression and velocity where they lie; values are checked by whoever reads them all."""
        adata = self._require_adata()
        x, v = (_adata.features(adata, key, attr=self._attr) for key in (self._xkey, self._vkey))
        genes = np.ones(v.shape[1], dtype=bool) if self._genes is None else self._genes
        if len(genes) != v.shape[1] or x.shape != v.shape:
            raise InvalidDataError(
                f"Expected expression and velocity of shape ({adata.n_obs}, {len(genes)}), found {x.shape} "
                f"and {v.shape}. Make the kernel anew."
            )
        return _Inputs(x, v, genes)

    def _without_missing(self, inputs: _Inputs) -> _Inputs:
        """The same without the genes whose velocity has a NaN; what else is not finite is an error."""
        adata, (x, v, genes) = self._require_adata(), inputs
        missing = _core.nan_columns(v, threads=threads()) & genes
        where = _adata.locate(adata, self._vkey, attr=self._attr)
        if (missing == genes).all():
            raise InvalidDataError(
                f"Expected at least one gene without NaN in {where}, found none. "
                "Compute velocities for more genes."
            )
        genes = genes & ~missing
        names = adata.var_names if self._attr == "layers" else [f"column {j}" for j in range(v.shape[1])]
        for matrix, key in ((v, self._vkey), (x, self._xkey)):
            bad = _core.first_not_finite(matrix, genes, threads=threads())
            if bad is not None:
                cell, gene = bad
                raise InvalidDataError(
                    f"Expected finite values in {_adata.locate(adata, key, attr=self._attr)}, found NaN or "
                    f"infinity for gene {str(names[gene])!r} in cell {str(adata.obs_names[cell])!r}. Remove "
                    "the gene or the cell, or impute."
                )
        if missing.any():
            warn_user(f"Left out {missing.sum()} of {inputs.genes.sum()} genes with NaN velocity.")
        return _Inputs(x, v, genes)

    def _run(
        self, model: type[Deterministic], inputs: _Inputs, options: dict[str, Any], **how: Any
    ) -> tuple[sp.csr_matrix, sp.csr_matrix, float]:
        """Run a model on finite data.

        The core finds values that are not finite while it reads them, at no cost for clean data; only then
        are they looked for. A user's function would be handed them, so for it they are looked for first.
        """
        checked = core_name(options["similarity"], model.name) is None
        if checked:
            inputs = self._without_missing(inputs)
        try:
            return self._run_once(model, inputs, options, **how)
        except InvalidDataError as err:
            again = None if checked else self._without_missing(inputs)
            if again is None or (again.genes == inputs.genes).all():
                remedy = "the similarity" if checked else "expression and velocity of these cells"
                raise name_core_cells(err, self.adata, f"Check {remedy}.") from err
        return self._run_once(model, again, options, **how)

    def _run_once(
        self, model: type[Deterministic], inputs: _Inputs, options: dict[str, Any], **how: Any
    ) -> tuple[sp.csr_matrix, sp.csr_matrix, float]:
        run = model(self._connectivities, inputs.x, inputs.v, genes=inputs.used, **options)
        probabilities, logits = run(**how)
        assert run.softmax_scale is not None  # estimated by the call, where it was not given
        return probabilities, logits, float(run.softmax_scale)


def same_csr(a: Any, b: Any) -> bool:
    """Whether two CSR matrices hold the same bits."""
    return isinstance(b, sp.csr_matrix) and all(
        np.array_equal(getattr(a, part), getattr(b, part)) for part in ("indptr", "indices", "data")
    )
