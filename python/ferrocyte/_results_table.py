"""The table of what estimators store: names, keys in AnnData, what belongs together, what depends on what."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ferrocyte import _keys

__all__ = ["NEEDS", "STATES", "STEPS", "STEP_OF", "Result", "Step", "step_of"]

Key = Callable[[bool | None], str]


class Result(NamedTuple):
    """One thing an estimator stores.

    Attributes
    ----------
    name : str
        Attribute of the estimator.
    attr : str
        Part of the AnnData object: ``"obs"``, ``"obsm"``, ``"varm"`` or ``"uns"``.
    key : callable
        From the direction to the key in there.
    part : str or None
        Several results make up one stored object; which part this is.
    optional : bool
        The step counts as there without it.
    """

    name: str
    attr: str
    key: Key
    part: str | None = None
    optional: bool = False


class Step(NamedTuple):
    """Results that are set and undone together.

    Attributes
    ----------
    params_key : callable
        From the direction to the name of the step in `params`.
    results : tuple of Result
        The first one stands for the step.
    depends : tuple of str
        Steps whose new results undo this one.
    remedy : str
        What to tell somebody who needs it before it is there.
    """

    params_key: Key
    results: tuple[Result, ...]
    depends: tuple[str, ...]
    remedy: str


def _of(make: Callable[[str], str], base: Key) -> Key:
    return lambda backward: make(base(backward))


def _states(what: str, base: Key) -> tuple[Result, ...]:
    return (
        Result(what, "obs", base),
        Result(f"{what}_probabilities", "obs", _of(_keys.probabilities, base), optional=True),
        Result(f"{what}_colors", "uns", _of(_keys.colors, base)),
        Result(f"{what}_memberships", "obsm", _of(_keys.memberships, base), optional=True),
    )


def _terminal(backward: bool | None) -> str:
    return _keys.states(backward)


def _initial(backward: bool | None) -> str:
    return _keys.states(backward, initial=True)


STATES = ("terminal_states", "initial_states")

STEPS: dict[str, Step] = {
    "eigendecomposition": Step(
        _keys.eigendecomposition,
        (Result("eigendecomposition", "uns", _keys.eigendecomposition),),
        (),
        "Compute eigendecomposition first as `.compute_eigendecomposition()` or `.compute_schur()`.",
    ),
    "schur_vectors": Step(
        _keys.schur_decomposition,
        (
            Result("schur_vectors", "obsm", _keys.schur_vectors),
            Result("schur_matrix", "uns", _keys.schur_matrix),
        ),
        (),
        "Compute Schur decomposition first as `.compute_schur()`.",
    ),
    "macrostates": Step(
        _keys.macrostates,
        (
            Result("macrostates", "obs", _keys.macrostates),
            Result("macrostates_colors", "uns", _of(_keys.colors, _keys.macrostates)),
            Result("macrostates_memberships", "obsm", _of(_keys.memberships, _keys.macrostates)),
            # None of them for a single macrostate.
            Result("coarse_T", "uns", _keys.coarse, "X", optional=True),
            Result("coarse_initial_distribution", "uns", _keys.coarse, _keys.COARSE_INITIAL, optional=True),
            Result(
                "coarse_stationary_distribution", "uns", _keys.coarse, _keys.COARSE_STATIONARY, optional=True
            ),
        ),
        (),
        "Compute macrostates first as `.compute_macrostates()`.",
    ),
    "terminal_states": Step(
        _terminal,
        _states("terminal_states", _terminal),
        ("macrostates",),
        "Compute terminal states first as `.predict_terminal_states()` or `.set_terminal_states()`.",
    ),
    "initial_states": Step(
        _initial,
        _states("initial_states", _initial),
        ("macrostates",),
        "Compute initial states first as `.predict_initial_states()` or `.set_initial_states()`.",
    ),
    "fate_probabilities": Step(
        _keys.lineages,
        (Result("fate_probabilities", "obsm", _keys.lineages),),
        STATES,
        "Compute `fate_probabilities` first as `.compute_fate_probabilities()`.",
    ),
    "absorption_times": Step(
        _keys.absorption_times,
        (Result("absorption_times", "obsm", _keys.absorption_times),),
        STATES,
        "Compute `absorption_times` first as `.compute_absorption_times()`.",
    ),
    "priming_degree": Step(
        _keys.priming_degree,
        (Result("priming_degree", "obs", _keys.priming_degree),),
        ("fate_probabilities",),
        "Compute `priming_degree` first as `.compute_lineage_priming()`.",
    ),
    "lineage_drivers": Step(
        _keys.drivers,
        (Result("lineage_drivers", "varm", _keys.drivers),),
        ("fate_probabilities",),
        "Compute `lineage_drivers` first as `.compute_lineage_drivers()`.",
    ),
}

# What has to be there for a stored step to make sense; states can be set without macrostates.
NEEDS = (
    ("fate_probabilities", "terminal_states"),
    ("absorption_times", "terminal_states"),
    ("priming_degree", "fate_probabilities"),
    ("lineage_drivers", "fate_probabilities"),
)
STEP_OF = {result.name: name for name, step in STEPS.items() for result in step.results}


def step_of(name: str) -> str:
    """The step that a result belongs to, named by its first result."""
    return STEP_OF[name]
