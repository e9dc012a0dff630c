"""From ``--kernel NAME[:WEIGHT[:OPTION=VALUE,...]]`` to a kernel."""

from __future__ import annotations

import ast
import inspect
import math
from typing import Any, NamedTuple

from anndata import AnnData

from ferrocyte._errors import suggest
from ferrocyte.cli._exit import UsageError
from ferrocyte.kernels import (
    ConnectivityKernel,
    CytoTRACEKernel,
    PrecomputedKernel,
    PseudotimeKernel,
    RealTimeKernel,
    VelocityKernel,
)

__all__ = ["WITHOUT_DIRECTION", "KernelSpec", "build", "parse"]

CLASSES: dict[str, type[Any]] = {
    "velocity": VelocityKernel,
    "connectivity": ConnectivityKernel,
    "pseudotime": PseudotimeKernel,
    "cytotrace": CytoTRACEKernel,
    "realtime": RealTimeKernel,
    "precomputed": PrecomputedKernel,
}
WITHOUT_DIRECTION = ("connectivity", "realtime")
# Of the base classes, taken as keywords.
GRAPH_OPTIONS = ("conn_key", "check_connectivity", "check_symmetric")
# Options without which there is no kernel, as they may be given.
NEEDED = {
    "pseudotime": "time_key=dpt_pseudotime",
    "realtime": "time_key=day",
    "precomputed": "obsp_key=T_fwd",
}
NOT_FOR_FILES = ("adata", "object", "backward", "n_jobs", "backend", "show_progress_bar", "seed", "self")


class KernelSpec(NamedTuple):
    """One ``--kernel``: which, its weight in the sum, options by the method that takes them."""

    name: str
    weight: float
    options: dict[str, dict[str, Any]]

    def __str__(self) -> str:
        said = ", ".join(f"{k}={v!r}" for group in self.options.values() for k, v in group.items())
        return f"{self.weight:g} * {self.name}" + (f"({said})" if said else "")


def parse(text: str) -> KernelSpec:
    """Read a specification.

    Raises
    ------
    UsageError
        If the kernel, the weight or an option is not known, or an option that it needs is missing; says what
        there is.
    """
    name, _, rest = text.partition(":")
    if name not in CLASSES:
        raise UsageError(f"Unknown kernel {name!r} in `--kernel {text}`.{suggest(name, CLASSES)}")
    weight, _, assignments = rest.partition(":")
    try:
        value = float(weight) if weight else 1.0
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise UsageError(
            f"Expected a positive weight in `--kernel {text}`, found {weight!r}. Write for instance "
            f"`--kernel {name}:0.8`."
        )
    options = _options(name, assignments, text)
    needed = NEEDED.get(name)
    if needed and not any(needed.partition("=")[0] in group for group in options.values()):
        raise UsageError(
            f"`--kernel {text}` needs `{needed.partition('=')[0]}`. Write for instance "
            f"`--kernel {name}:{value:g}:{needed}`."
        )
    return KernelSpec(name, value, options)


def _options(name: str, assignments: str, text: str) -> dict[str, dict[str, Any]]:
    known = _known(name)
    out: dict[str, dict[str, Any]] = {method: {} for method in known}
    for part in filter(None, assignments.split(",")):
        key, equals, value = part.partition("=")
        method = next((m for m, keys in known.items() if key in keys), None)
        if not equals or method is None:
            everything = [k for keys in known.values() for k in keys]
            raise UsageError(f"Unable to use {part!r} of `--kernel {text}`.{suggest(key, everything)}")
        out[method][key] = _literal(value)
    return out


def _known(name: str) -> dict[str, tuple[str, ...]]:
    cls = CLASSES[name]
    make = "from_representation" if name == "realtime" else "__init__"
    methods: dict[str, Any] = {make: getattr(cls, make)}
    if name == "cytotrace":
        methods["compute_cytotrace"] = cls.compute_cytotrace
    if name != "precomputed":
        methods["compute_transition_matrix"] = cls.compute_transition_matrix
    out = {
        method: tuple(
            p.name
            for p in inspect.signature(function).parameters.values()
            if p.name not in NOT_FOR_FILES and p.kind is not inspect.Parameter.VAR_KEYWORD
        )
        for method, function in methods.items()
    }
    if name not in ("precomputed", "realtime"):
        out["__init__"] += GRAPH_OPTIONS
    return out


def _literal(text: str) -> Any:
    """Numbers, True, False and None as in Python; everything else is a word."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def build(
    adata: AnnData,
    specs: list[KernelSpec],
    *,
    backward: bool,
    seed: int | None,
    threads: int | None,
    progress: bool,
) -> Any:
    """Compute every kernel and their weighted sum."""
    total: Any = None
    for spec in specs:
        kernel = _compute(adata, spec, backward=backward, seed=seed, threads=threads, progress=progress)
        if len(specs) == 1:
            return kernel
        term = spec.weight * kernel
        total = term if total is None else total + term
    return total.compute_transition_matrix()


def _compute(
    adata: AnnData,
    spec: KernelSpec,
    *,
    backward: bool,
    seed: int | None,
    threads: int | None,
    progress: bool,
) -> Any:
    cls = CLASSES[spec.name]
    if spec.name == "realtime":
        init = dict(spec.options["from_representation"])
        kernel = cls.from_representation(adata, n_jobs=threads, show_progress_bar=progress, **init)
        return kernel.compute_transition_matrix(**spec.options["compute_transition_matrix"], n_jobs=threads)
    init = dict(spec.options["__init__"])
    if spec.name == "precomputed":
        return cls(adata, backward=backward, **init)
    if spec.name != "connectivity":
        init["backward"] = backward
    kernel = cls(adata, **init)
    if spec.name == "cytotrace":
        kernel.compute_cytotrace(**spec.options["compute_cytotrace"])
    compute = dict(spec.options["compute_transition_matrix"])
    takes = inspect.signature(cls.compute_transition_matrix).parameters
    everywhere = {"seed": seed, "n_jobs": threads, "show_progress_bar": progress}
    compute |= {k: v for k, v in everywhere.items() if k in takes}
    return kernel.compute_transition_matrix(**compute)
