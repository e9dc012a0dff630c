"""Arguments of ``ferrocyte fate``."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ferrocyte.cli._events import Events

__all__ = ["add"]

EXAMPLE = """\
example:
  ferrocyte fate cells.h5ad --kernel velocity:0.8 --kernel connectivity:0.2 \\
      --cluster-key clusters --n-states 3,8 --out fates.h5ad --figures figures --threads 8 --seed 0

kernels are NAME[:WEIGHT[:OPTION=VALUE,...]]; options go to the class of the kernel or to its
`compute_transition_matrix`, for instance `pseudotime:1:time_key=dpt_pseudotime,threshold_scheme=soft` or
`velocity:0.8:softmax_scale=4,model=monte_carlo`. Names: velocity, connectivity, pseudotime, cytotrace,
realtime, precomputed. `realtime:1:time_key=day,rep=X_pca` couples time points by optimal transport,
`precomputed:1:obsp_key=T_fwd` takes a matrix that is in the file.
"""


def n_states(text: str) -> int | tuple[int, int]:
    """``5`` or ``3,8``."""
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) not in (1, 2) or min(numbers) < 1:
        raise argparse.ArgumentTypeError(
            f"expected a number of states or a range such as `3,8`, found {text!r}"
        )
    return numbers[0] if len(numbers) == 1 else (numbers[0], numbers[1])


def names(text: str) -> list[str]:
    """``a;b``: names of states; a comma joins states, as in the library."""
    out = [part.strip() for part in text.split(";") if part.strip()]
    if not out:
        raise argparse.ArgumentTypeError(f"expected names of states such as `Alpha;Beta`, found {text!r}")
    return out


def add(commands: Any) -> None:
    """Add the command to the parser."""
    p = commands.add_parser(
        "fate",
        help="transition matrix, states, fate probabilities and driver genes of an .h5ad file",
        description="From annotated data to fates: kernels, macrostates, initial and terminal states, fate "
        "probabilities and driver genes, written to a new .h5ad file under the keys that CellRank uses.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    p.add_argument("input", type=Path, metavar="INPUT", help="annotated data, .h5ad")
    p.add_argument(
        "--kernel",
        action="append",
        required=True,
        metavar="SPEC",
        dest="kernels",
        help="NAME[:WEIGHT[:OPTION=VALUE,...]]; give it again for a weighted sum",
    )
    p.add_argument("--out", type=Path, required=True, metavar="FILE", help="result, .h5ad")
    p.add_argument("--overwrite", action="store_true", help="replace FILE if it exists")
    p.add_argument("--backward", action="store_true", help="go against time")
    p.add_argument(
        "--cluster-key", metavar="KEY", help="categorical column of `obs` that names and colors states"
    )
    p.add_argument(
        "--n-states",
        type=n_states,
        metavar="N|MIN,MAX",
        help="number of macrostates, or a range to choose from; default: by the eigengap",
    )
    p.add_argument("--n-cells", type=int, default=30, metavar="N", help="cells per macrostate (default: 30)")
    p.add_argument(
        "--n-schur", type=int, default=20, metavar="N", help="Schur vectors to compute (default: 20)"
    )
    p.add_argument(
        "--terminal",
        type=names,
        metavar="A;B",
        help="terminal states by name; a comma merges two states; default: by --terminal-method",
    )
    p.add_argument(
        "--terminal-method",
        choices=("stability", "eigengap", "eigengap_coarse", "top_n"),
        default="stability",
        help="how to choose terminal states (default: stability)",
    )
    p.add_argument(
        "--n-terminal", type=int, metavar="N", help="number of terminal states for --terminal-method top_n"
    )
    p.add_argument(
        "--stability",
        type=float,
        default=0.96,
        metavar="X",
        help="smallest stability of a terminal state (default: 0.96)",
    )
    p.add_argument(
        "--n-initial",
        type=int,
        default=1,
        metavar="N",
        help="number of initial states to predict, 0 for none (default: 1)",
    )
    p.add_argument(
        "--allow-overlap", action="store_true", help="let a cell be both in an initial and a terminal state"
    )
    p.add_argument(
        "--solver",
        choices=("gmres", "bicgstab", "direct"),
        default="gmres",
        help="for fate probabilities (default: gmres)",
    )
    p.add_argument("--tol", type=float, default=1e-6, metavar="X", help="its tolerance (default: 1e-6)")
    p.add_argument("--absorption-times", action="store_true", help="compute mean times to absorption, too")
    p.add_argument("--no-drivers", action="store_true", help="leave out driver genes")
    p.add_argument(
        "--drivers-layer", metavar="KEY", help="layer to correlate with fates; default: the matrix X"
    )
    p.add_argument("--figures", type=Path, metavar="DIR", help="draw figures into this folder, as PNG")
    p.add_argument("--basis", default="umap", metavar="NAME", help="embedding to draw on (default: umap)")
    p.add_argument(
        "--threads", type=int, metavar="N", help="threads; default: FERROCYTE_NUM_THREADS or 1; -1 for all"
    )
    p.add_argument("--seed", type=int, metavar="N", help="for everything that draws random numbers")
    p.add_argument(
        "--no-resume",
        action="store_true",
        help="compute every step, even those whose results of the same inputs and options are at hand",
    )
    p.add_argument("--dry-run", action="store_true", help="print the plan and a memory estimate, then stop")
    p.add_argument("--json-log", action="store_true", help="one JSON object per event on standard error")
    p.set_defaults(run=_run)


def _run(args: argparse.Namespace, events: Events) -> int:
    # What does the work is loaded when it is needed: `ferrocyte --help` is immediate.
    from ferrocyte.cli._fate import run

    return run(args, events)
