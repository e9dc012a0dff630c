"""What ``ferrocyte fate --dry-run`` prints: steps, and how much memory they may take."""

from __future__ import annotations

import argparse
import sys
from typing import Any, NamedTuple

import h5py
import numpy as np
from anndata import AnnData

from ferrocyte.cli._kernels import KernelSpec

__all__ = ["Estimate", "estimate", "peak_memory", "plan"]

FLOAT, INDEX = 8, 4
# Columns that Krylov-Schur and the block solver keep at a time, beside the result.
SCHUR_SPARE, SOLVER_BASIS = 40, 30


class Estimate(NamedTuple):
    """Bytes, by what needs them; `peak` is what is held at the same time at worst."""

    input: int
    transition_matrices: int
    schur: int
    fates: int

    @property
    def peak(self) -> int:
        """Input and matrices stay; of the two solvers one works at a time."""
        return self.input + self.transition_matrices + max(self.schur, self.fates)


def estimate(adata: AnnData, specs: list[KernelSpec], n_schur: int, n_states: int) -> Estimate:
    """Upper estimate of the memory of a run, from the sizes in a backed file."""
    n = adata.n_obs
    graph = max((_n_entries(adata.obsp[key]) for key in adata.obsp), default=30 * n)
    matrices = len(specs) + (len(specs) > 1)
    return Estimate(
        input=_stored(adata),
        transition_matrices=matrices * graph * (FLOAT + INDEX),
        schur=n * FLOAT * (2 * n_schur + SCHUR_SPARE),
        fates=n * FLOAT * n_states * SOLVER_BASIS + graph * (FLOAT + INDEX),
    )


def _n_entries(matrix: Any) -> int:
    return int(matrix.nnz) if hasattr(matrix, "nnz") else int(np.prod(matrix.shape))


def _stored(adata: AnnData) -> int:
    """Bytes of all arrays in the file, as they are in memory."""
    total = 0

    def add(_: str, item: Any) -> None:
        nonlocal total
        if isinstance(item, h5py.Dataset):
            total += int(item.size or 0) * item.dtype.itemsize

    file: Any = adata.file
    file.open() if not file.is_open else None
    file._file.visititems(add)
    return total


def plan(args: argparse.Namespace, specs: list[KernelSpec], adata: AnnData) -> str:
    """The steps in order, and the estimate."""
    states = args.n_states if args.n_states is not None else "by the eigengap"
    steps = [
        f"transition matrix: {' + '.join(map(str, specs))}{', backward' if args.backward else ''}",
        f"{args.n_schur} Schur vectors",
        f"macrostates: {states}, {args.n_cells} cells each, named by {args.cluster_key or 'number'}",
        f"terminal states: {'; '.join(args.terminal) if args.terminal else 'by ' + args.terminal_method}",
    ]
    if args.n_initial:
        steps.append(f"initial states: {args.n_initial}")
    steps.append(f"fate probabilities: {args.solver}, tolerance {args.tol:g}")
    if args.absorption_times:
        steps.append("absorption times")
    if not args.no_drivers:
        steps.append(
            f"driver genes from {'layer ' + repr(args.drivers_layer) if args.drivers_layer else 'X'}"
        )
    steps.append(f"write {args.out}")
    if args.figures:
        steps.append(f"figures in {args.figures}/, on basis {args.basis!r}")
    upper = args.n_states if isinstance(args.n_states, int) else max(args.n_states or (args.n_schur,))
    need = estimate(adata, specs, args.n_schur, upper)
    lines = [f"{args.input}: {adata.n_obs} cells x {adata.n_vars} genes"]
    lines += [f"{i:3d}. {step}" for i, step in enumerate(steps, start=1)]
    lines.append(
        f"memory, beside Python and its packages: at most about {_mb(need.peak)} (input {_mb(need.input)}, "
        f"transition matrices {_mb(need.transition_matrices)}, Schur vectors {_mb(need.schur)}, "
        f"fates {_mb(need.fates)})"
    )
    return "\n".join(lines)


def _mb(n_bytes: int) -> str:
    return f"{n_bytes / 1e9:.2f} GB" if n_bytes >= 1e9 else f"{n_bytes / 1e6:.1f} MB"


def peak_memory() -> int | None:
    """Largest resident size of this process so far, in bytes; None where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == "darwin" else size * 1024
