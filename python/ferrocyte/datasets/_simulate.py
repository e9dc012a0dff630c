"""Simulated single cells on a branching tree, with known fates, velocities and pseudotime."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp

from ferrocyte._errors import InvalidOptionError, InvalidTypeError
from ferrocyte._options import check_count, check_number, check_seed, draw_seed
from ferrocyte._progress import progress_bar
from ferrocyte.datasets._cells import BLOCK, Design, make_block
from ferrocyte.datasets._genes import draw_genes
from ferrocyte.datasets._neighbors import set_neighbors
from ferrocyte.datasets._tree import Tree, resolve_tree

__all__ = ["simulate"]

COUNTS = ("spliced", "unspliced")
MOMENTS = ("Ms", "Mu", "velocity")
# Okabe & Ito's colours without the pale yellow, told apart in all common kinds of colour vision; then
# darker and lighter ones for trees with more branches.
PALETTE = (
    *("#7F7F7F", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"),
    *("#6A3D9A", "#8C510A", "#1B4F3A", "#A6CEE3", "#FDB9A0", "#B2DF8A", "#4D4D4D"),
)


def simulate(
    n_cells: int = 2000,
    n_genes: int = 500,
    tree: str | Mapping[str, Mapping[str, Any]] = "bifurcation",
    seed: int | None = 0,
    *,
    n_neighbors: int | None = 30,
    times: Sequence[float] | None = None,
    spread: float = 0.35,
    moments: bool = True,
    noise: float = 0.0,
    strength: float = 16.0,
    depth: float = 1.0,
    dispersion: float = 0.0,
    show_progress_bar: bool = False,
) -> ad.AnnData:
    """Simulate cells on a branching tree with splicing kinetics and known fates.

    What a fate-mapping method estimates is known here by construction, so that its error can be
    measured: fate probabilities, velocities, pseudotime, driver genes and growth rates.

    Parameters
    ----------
    n_cells : int, default 2000
        Number of cells. The first cells are the same for any number.
    n_genes : int, default 500
        Number of genes.
    tree : str or dict, default "bifurcation"
        Built-in tree: "linear", "bifurcation" (fates A and B), "trifurcation", "nested" (two splits one
        after the other, five fates), "blood" (eight fates); see `TREES`. Or a dict of branches,
        ``{name: {"parent": name or None, "duration": float, "prob": float, "growth": float}}``, with
        one branch without parent; ``duration`` in units of pseudotime, ``prob`` (default 1) among
        siblings, where it adds up to 1, ``growth`` (default 0) the net number of divisions per unit of
        pseudotime, as a natural exponent. Branches without children are the fates.
    seed : int or None, default 0
        Same seed, same cells. None draws one from the operating system; it is recorded in
        ``uns["simulation"]["seed"]``.
    n_neighbors : int or None, default 30
        Neighbours per cell, the cell included, of the graph on ``obsm["X_low"]`` by
        `scanpy.pp.neighbors`, exact search, random state 0. None: no graph, and scanpy is not imported.
    times : sequence of float or None, default None
        Collection times of a time course, increasing, in units of pseudotime. Cells are then drawn from
        a growing population at these times instead of uniformly over all ages.
    spread : float, default 0.35
        Standard deviation of the age of cells at one collection time, in units of pseudotime.
    moments : bool, default True
        Give the dense layers ``Ms``, ``Mu`` and ``velocity``, 12 bytes per cell and gene. False saves
        this memory where only graphs, counts and fates are needed.
    noise : float, default 0.0
        Standard deviation of the natural log of independent errors of ``Ms`` and ``Mu``, dimensionless;
        ``velocity`` is computed from the two and inherits them. With 0 the three layers are the truth.
    strength : float, default 16.0
        How clearly cells show their choice within a branch: squared signal-to-noise ratio, dimensionless.
        Large values decide fates early.
    depth : float, default 1.0
        Median expected count of a gene that is on.
    dispersion : float, default 0.0
        Squared coefficient of variation of the rate of the counts; 0 gives Poisson counts.
    show_progress_bar : bool, default False
        Show progress over blocks of cells.

    Returns
    -------
    AnnData
        Of shape (n_cells, n_genes), in random order of age:

        - ``X``, ``layers["spliced"]``, ``layers["unspliced"]``: counts, float32 CSR;
        - ``layers["Ms"]``, ``["Mu"]``, ``["velocity"]``: expected spliced and unspliced counts at size
          factor 1 and the time derivative of the former, per unit of pseudotime, float32 C-order;
        - ``obs``: ``cell_type`` (branch, categorical), ``leaf`` (the fate that came, categorical),
          ``terminal`` (whether the last branch is over), ``pseudotime`` (time lived, float64),
          ``growth_rate``, ``log_growth`` (its integral), ``size_factor``, and with `times` ``time``
          (ordered categorical of floats);
        - ``var``: ``kind``, ``branch`` that the gene follows, ``driver_of`` (fate that it rises in, or
          ""), rates ``beta`` (splicing), ``gamma`` (decay), ``alpha_base``, ``alpha_max`` (transcription);
        - ``obsm``: ``true_fate`` (n_cells, n_fates), float64, rows sum to 1; ``X_low``, the noisy activity
          of the regulatory programs; ``X_umap``, a layout of pseudotime against fate that stands in for
          a UMAP;
        - ``obsp``: ``connectivities``, ``distances``;
        - ``uns``: ``fate_names`` (columns of ``true_fate``), ``fate_prior``, ``cell_type_colors``,
          ``leaf_colors``, ``iroot`` (the youngest cell), ``simulation`` (parameters; ``tree`` as JSON),
          and with `times` ``population_size``, relative to the founders.

    Raises
    ------
    InvalidOptionError
        If there is no such tree, or a number is out of range.
    InvalidTypeError
        If an argument is of the wrong type.
    InvalidDataError
        If the branches of a dict do not make up one tree with probabilities.

    Notes
    -----
    A cell at a split draws its choice ``f`` with the prior probabilities ``p`` and then shows one noisy
    signal per child, ``dX_k = s 1[k = f] dt + dW_k``. The posterior ``z_k ~ p_k exp(s X_k)`` of the
    choice drives transcription. ``true_fate`` is this posterior, times the priors of the later splits:
    the exact probability of each fate given all that the cell has shown. It is calibrated: among cells
    with ``true_fate`` near ``q``, the part ``q`` has that ``leaf`` (with `times`, among founders: fates
    that grow faster are over-represented among the cells collected). Genes follow
    ``u' = a(t) - beta u``, ``s' = beta u - gamma s``, the equations of RNA velocity [1]_, with ``a``
    linear in the activity of a few programs, integrated exactly over 120 steps per life.

    Cells come in blocks of 2048, each from a random stream of its own that depends on the seed and the
    number of the block. Results are the same for any number of threads. Time and memory are linear in
    ``n_cells * n_genes``.

    References
    ----------
    .. [1] La Manno et al. (2018), RNA velocity of single cells, Nature 560, 494-498.

    Examples
    --------
    >>> import ferrocyte as fc
    >>> adata = fc.datasets.simulate(n_cells=200, n_genes=50, n_neighbors=None)
    >>> adata.shape, list(adata.uns["fate_names"])
    ((200, 50), ['A', 'B'])
    """
    n_cells, n_genes = check_count(n_cells, "n_cells"), check_count(n_genes, "n_genes")
    seed = check_seed(seed)
    seed = draw_seed() if seed is None else seed
    if n_neighbors is not None and check_count(n_neighbors, "n_neighbors", least=2) >= n_cells:
        raise InvalidOptionError(
            f"Expected `n_neighbors` to be below `n_cells`, found {n_neighbors} and {n_cells}. "
            "Pass a smaller number, or n_neighbors=None for no graph."
        )
    branches = resolve_tree(tree)
    depth = check_number(depth, "depth", above=0.0)
    design = Design(
        tree=branches,
        genes=draw_genes(branches, n_genes, seed, depth),
        seed=seed,
        strength=check_number(strength, "strength", above=0.0),
        dispersion=check_number(dispersion, "dispersion", low=0.0),
        noise=check_number(noise, "noise", low=0.0),
        times=None if times is None else _times(times),
        spread=check_number(spread, "spread", low=0.0),
        moments=bool(moments),
    )
    adata = _assemble(design, n_cells, show_progress_bar)
    adata.uns["simulation"] = {
        "tree": json.dumps(branches.spec()),
        **{key: getattr(design, key) for key in ("seed", "strength", "dispersion", "noise", "spread")},
        "depth": depth,
    }
    if n_neighbors is not None:
        set_neighbors(adata, n_neighbors)
    return adata


def _times(times: Sequence[float]) -> np.ndarray:
    """Take increasing, finite, non-negative collection times."""
    try:
        out = np.asarray(times, dtype=np.float64)
    except (TypeError, ValueError):
        raise InvalidTypeError(f"Expected `times` to be a sequence of numbers, found {times!r}.") from None
    if out.ndim != 1 or not 0 < out.size <= BLOCK:
        raise InvalidOptionError(f"Expected `times` to hold between 1 and {BLOCK} numbers, found {times!r}.")
    if not np.isfinite(out).all() or (out < 0).any() or (np.diff(out) <= 0).any():
        raise InvalidOptionError(
            f"Expected `times` to be finite, not negative and increasing, found {times!r}. "
            "Sort them and drop repeats."
        )
    return out


def _assemble(design: Design, n_cells: int, show_progress_bar: bool) -> ad.AnnData:
    """Make the blocks and join them; dense layers are filled in place so that none exists twice."""
    n_genes = design.genes.kind.size
    layers: dict[str, Any] = {}
    if design.moments:
        layers = {key: np.empty((n_cells, n_genes), dtype=np.float32) for key in MOMENTS}
    counts: dict[str, list[sp.csr_matrix]] = {key: [] for key in COUNTS}
    rest: dict[str, list[np.ndarray]] = {}
    for start, block in _blocks(design, n_cells, show_progress_bar):
        for key in MOMENTS if design.moments else ():
            dense = block.pop(key)
            layers[key][start : start + len(dense)] = dense
        for key in COUNTS:
            counts[key].append(block.pop(key))
        for key, value in block.items():
            rest.setdefault(key, []).append(value)
    for key in COUNTS:
        layers[key] = _stack(counts.pop(key), n_genes)
    population = rest.pop("population", None)
    cells = {key: np.concatenate(values) for key, values in rest.items()}
    adata = ad.AnnData(
        # a copy of its own: normalising X in place must not change the layer
        X=layers["spliced"].copy(),
        obs=_obs(design, cells),
        var=design.genes.var(design.tree),
        obsm={"true_fate": cells["fate"], "X_low": cells["low"], "X_umap": cells["layout"]},
        layers=layers,
        uns=_uns(design.tree, cells["pseudotime"]),
    )
    if population is not None:
        adata.uns["population_size"] = np.mean(population, axis=0)
    return adata


def _blocks(design: Design, n_cells: int, show_progress_bar: bool) -> Iterator[tuple[int, dict[str, Any]]]:
    with progress_bar(show_progress_bar) as progress:
        for start in range(0, n_cells, BLOCK):
            size = min(BLOCK, n_cells - start)
            yield start, make_block(design, start // BLOCK, size)
            if progress is not None:
                progress(start + size, n_cells)


def _stack(blocks: list[sp.csr_matrix], n_genes: int) -> sp.csr_matrix:
    """Join blocks of rows, letting go of each as soon as it is copied."""
    n_rows, nnz = sum(b.shape[0] for b in blocks), sum(b.nnz for b in blocks)
    index_type: type[np.int32 | np.int64] = (
        np.int32 if max(nnz, n_genes) <= np.iinfo(np.int32).max else np.int64
    )
    data, indices = np.empty(nnz, dtype=np.float32), np.empty(nnz, dtype=index_type)
    indptr = np.zeros(n_rows + 1, dtype=index_type)
    row = at = 0
    for block in (blocks.pop(0) for _ in range(len(blocks))):
        data[at : at + block.nnz], indices[at : at + block.nnz] = block.data, block.indices
        indptr[row + 1 : row + 1 + block.shape[0]] = block.indptr[1:].astype(index_type) + at
        row, at = row + block.shape[0], at + block.nnz
    return sp.csr_matrix((data, indices, indptr), shape=(n_rows, n_genes))


def _obs(design: Design, cells: dict[str, np.ndarray]) -> pd.DataFrame:
    tree = design.tree
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical.from_codes(cells["branch"], categories=list(tree.names)),
            "leaf": pd.Categorical.from_codes(cells["leaf"], categories=tree.fate_names),
            **{
                key: cells[key]
                for key in ("terminal", "pseudotime", "growth_rate", "log_growth", "size_factor")
            },
        },
        index=pd.Index([f"cell{i:07d}" for i in range(len(cells["branch"]))], dtype=object),
    )
    if design.times is not None:
        obs["time"] = pd.Categorical.from_codes(cells["time"], categories=design.times, ordered=True)
    return obs


def _uns(tree: Tree, age: np.ndarray) -> dict[str, Any]:
    colors = np.array([PALETTE[i % len(PALETTE)] for i in range(len(tree.names))], dtype=object)
    return {
        "cell_type_colors": colors,
        "leaf_colors": colors[tree.leaves],
        "fate_names": np.array(tree.fate_names, dtype=object),
        "fate_prior": tree.leaf_prob,
        "iroot": int(age.argmin()),
    }
