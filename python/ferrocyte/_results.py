"""What an estimator has computed: what it is called, where AnnData keeps it, what it depends on; one table.

For authors of estimators
-------------------------
``self._results`` of an estimator is a :class:`Results`. A method computes into locals and stores once::

    terminal = self._require("terminal_states")          # or NotComputedError, with the remedy of the table
    old = self._results.get("fate_probabilities")         # None if there is none
    self._results.set(
        fate_probabilities=Lineage(...),
        params={"keys": keys, "solver": solver, "tol": tol},
    )
    self._results.clear("fate_probabilities")             # undo a step, named by any of its results

`set` replaces *the whole step* that its results belong to: results of the step that are not given become
None. It undoes every step that depends on it. `params` are those of the step of the first result given. The
estimator and its AnnData change together or, on an error or Ctrl-C, not at all. The table is :data:`STEPS`.

Values are what a user gets: a Series indexed by `obs_names` for `obs`, :class:`~ferrocyte.Lineage`, array or
DataFrame for `obsm`, a DataFrame over genes for `varm` (with ``params={"use_raw": True}`` it goes to
`adata.raw.varm`), a dict or array for `uns`, a list of hex colours for `*_colors`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np
import pandas as pd
from anndata import AnnData

from ferrocyte import _keys
from ferrocyte._options import plain
from ferrocyte._results_table import NEEDS, STATES, STEP_OF, STEPS, Result, Step, step_of
from ferrocyte.lineage import Lineage

__all__ = ["STEPS", "Result", "Results", "Step", "fate_labels", "step_of"]


class _Owner(Protocol):
    @property
    def adata(self) -> Any: ...

    @property
    def backward(self) -> Any: ...


class _Place(NamedTuple):
    attr: str
    key: str


class Results:
    """Results of an estimator and their parameters, kept in step with an AnnData object.

    Parameters
    ----------
    owner : object
        Has `adata` (which may be None) and `backward`: the kernel of the estimator.
    """

    def __init__(self, owner: _Owner) -> None:
        self._owner = owner
        self._values: dict[str, Any] = {}
        self._params: dict[str, dict[str, Any]] = {}

    # Reading ------------------------------------------------------------------------------------------

    def get(self, name: str) -> Any:
        """A result, or None."""
        step_of(name)
        return self._values.get(name)

    @property
    def values(self) -> dict[str, Any]:
        """All results that are there, by name, in the order of the table."""
        return {name: self._values[name] for name in STEP_OF if name in self._values}

    @property
    def params(self) -> dict[str, dict[str, Any]]:
        """Parameters of the steps taken, by their name in `params`."""
        backward = self._owner.backward
        return {STEPS[s].params_key(backward): self._params[s] for s in STEPS if s in self._params}

    def params_of(self, name: str) -> dict[str, Any]:
        """Parameters of the step that a result belongs to; empty if it has not been taken."""
        return dict(self._params.get(step_of(name), {}))

    # Changing -----------------------------------------------------------------------------------------

    def set(
        self,
        params: Mapping[str, Any] | None = None,
        other_params: Mapping[str, Mapping[str, Any]] | None = None,
        **values: Any,
    ) -> None:
        """Store one or more steps and undo those that depend on them.

        Parameters
        ----------
        params : mapping, optional
            Parameters of the step of the first result; plain values.
        other_params : mapping, optional
            Parameters of further steps, by name of one of their results.
        **values
            Results by name. What belongs to the same step and is not given becomes None.
        """
        if not values:
            raise ValueError("give at least one result")
        steps = list(dict.fromkeys(step_of(name) for name in values))
        given = {step_of(name): _storable(value) for name, value in (other_params or {}).items()}
        if params is not None:
            given[steps[0]] = _storable(params)
        self._replace(steps, values, given)

    def clear(self, *names: str) -> None:
        """Undo the steps of these results, and what depends on them."""
        self._replace([step_of(name) for name in names], {}, {})

    def load(self, values: Mapping[str, Any], params: Mapping[str, dict[str, Any]]) -> None:
        """Take over results as they are, without writing them to the AnnData object."""
        self._values, self._params = dict(values), dict(params)

    def _replace(
        self, steps: Iterable[str], values: Mapping[str, Any], params: Mapping[str, dict[str, Any]]
    ) -> None:
        changed = set(steps) | _dependants(steps)
        new_values = {k: v for k, v in self._values.items() if step_of(k) not in changed}
        new_values.update({k: v for k, v in values.items() if v is not None})
        new_params = {k: v for k, v in self._params.items() if k not in changed}
        new_params.update(params)

        backward = self._owner.backward
        places = {
            _Place(r.attr, r.key(backward)): None for name in STEPS if name in changed
            for r in STEPS[name].results
        }  # fmt: skip
        writes: dict[_Place, Any] = {**places, **as_stored(new_values, backward, changed)}
        use_raw = bool(new_params.get("lineage_drivers", {}).get("use_raw"))
        self._commit(new_values, new_params, writes, use_raw)

    def _commit(
        self,
        values: dict[str, Any],
        params: dict[str, dict[str, Any]],
        writes: Mapping[_Place, Any],
        use_raw: bool,
    ) -> None:
        adata, before, undo = self._owner.adata, dict(self.__dict__), []
        try:
            for place, value in writes.items() if adata is not None else ():
                for store, used in _stores(adata, place.attr, use_raw):
                    undo.append(_restorer(store, place.key))
                    _put(store, place.key, value if used else None)
            self.__dict__.update(_values=values, _params=params)
        except BaseException:
            # Also on Ctrl-C, wherever between two of these lines it came.
            self.__dict__.update(before)
            for restore in reversed(undo):
                restore()
            raise

    # AnnData and back ---------------------------------------------------------------------------------

    def write_to(self, adata: AnnData) -> None:
        """Write all results to another AnnData object over the same cells (and genes)."""
        use_raw = bool(self._params.get("lineage_drivers", {}).get("use_raw"))
        for place, value in as_stored(self._values, self._owner.backward, STEPS).items():
            for store, used in _stores(adata, place.attr, use_raw):
                if used:
                    _put(store, place.key, value)

    def read_from(self, adata: AnnData, params: Mapping[str, dict[str, Any]]) -> None:
        """Take over what is stored in an AnnData object.

        A step that is there in part is left out, together with those that depend on it.

        Parameters
        ----------
        adata : AnnData
        params : mapping
            Parameters by step, as in :attr:`params`.
        """
        backward = self._owner.backward
        params = (
            {k: v for k, v in params.items() if isinstance(v, Mapping)} if isinstance(params, Mapping) else {}
        )
        values: dict[str, Any] = {}
        broken: set[str] = set()
        for name, step in STEPS.items():
            found = {r.name: _stored_value(adata, r, backward) for r in step.results}
            there = {k: v for k, v in found.items() if v is not None}
            if any(found[r.name] is None and not r.optional for r in step.results):
                if there:
                    broken.add(name)
            elif f"{name}_memberships" in there and found.get(f"{name}_probabilities", 0) is None:
                broken.add(name)
            else:
                values.update(there)
        # A chain of more than one macrostate without its coarse graining is one of which a key was lost.
        memberships = values.get("macrostates_memberships")
        if memberships is not None and memberships.shape[1] > 1 and "coarse_T" not in values:
            broken.add("macrostates")
        lost = broken | _dependants(broken)
        values = {k: v for k, v in values.items() if step_of(k) not in lost}
        # A step needs what it was made from, where that leaves a trace of its own.
        for name, needs in NEEDS:
            if needs not in values:
                gone = {name} | _dependants([name])
                values = {k: v for k, v in values.items() if step_of(k) not in gone}
        kept = {step_of(name) for name in values}
        by_key = {STEPS[name].params_key(backward): name for name in kept}
        self.load(
            _as_given(values, params.get(_keys.lineages(backward), {})),
            {by_key[key]: _as_called(value) for key, value in params.items() if key in by_key},
        )


def _storable(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as they can be written to h5ad: plain values, lists instead of tuples."""

    def convert(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {str(k): convert(v) for k, v in value.items()}
        return [convert(v) for v in value] if isinstance(value, tuple | list) else plain(value)

    return {str(k): convert(v) for k, v in params.items()}


def _as_called(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that h5ad gives back: what was a list comes as an array."""

    def convert(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {k: convert(v) for k, v in value.items()}
        return value.tolist() if isinstance(value, np.ndarray) and value.dtype.kind != "f" else plain(value)

    return {k: convert(v) for k, v in params.items()}


def _dependants(steps: Iterable[str]) -> set[str]:
    found: set[str] = set()
    waiting = list(steps)
    while waiting:
        current = waiting.pop()
        for name, step in STEPS.items():
            if current in step.depends and name not in found:
                found.add(name)
                waiting.append(name)
    return found


# Stored forms -----------------------------------------------------------------------------------------


def as_stored(values: Mapping[str, Any], backward: bool | None, steps: Iterable[str]) -> dict[_Place, Any]:
    """What goes where in an AnnData object, of the results of some steps."""
    out: dict[_Place, Any] = {}
    for name, step in STEPS.items():
        if name not in steps:
            continue
        parts: dict[str | None, Any] = {r.part: values.get(r.name) for r in step.results}
        for result in step.results:
            value = values.get(result.name)
            if value is None:
                continue
            place = _Place(result.attr, result.key(backward))
            if result.part is None:
                out[place] = _stored_form(value)
            elif place not in out:
                out[place] = _coarse_to_adata(parts)
    return out


def _stored_form(value: Any) -> Any:
    if isinstance(value, pd.Series):
        return value.copy()
    if isinstance(value, dict):
        return dict(value)
    return np.array(value) if isinstance(value, list) else value


def _coarse_to_adata(parts: Mapping[str | None, Any]) -> AnnData:
    matrix = parts["X"]
    obs = pd.DataFrame(index=pd.Index([str(n) for n in matrix.index]))
    for name in (_keys.COARSE_INITIAL, _keys.COARSE_STATIONARY):
        if parts.get(name) is not None:
            obs[name] = parts[name].to_numpy()
    return AnnData(matrix.to_numpy(copy=True), obs=obs, var=pd.DataFrame(index=obs.index))


def _stored_value(adata: AnnData, result: Result, backward: bool | None) -> Any:
    key = result.key(backward)
    for store, _ in _stores(adata, result.attr, use_raw=False):
        if key in store():
            break
    else:
        return None
    value = store()[key]
    if result.part is None:
        return value
    if not isinstance(value, AnnData):
        return None
    names = pd.Index([str(n) for n in value.obs_names])
    if result.part == "X":
        return pd.DataFrame(np.asarray(value.X), index=names, columns=names)
    if result.part not in value.obs:
        return None
    return pd.Series(value.obs[result.part].to_numpy(), index=names)


def _as_given(values: dict[str, Any], fate_params: Mapping[str, Any]) -> dict[str, Any]:
    """Stored values as they were before: names and colours back on the memberships."""
    out = dict(values)
    for name in ("macrostates", *STATES):
        if name not in out:
            continue
        series = out[name]
        if not isinstance(series.dtype, pd.CategoricalDtype):
            series = series.astype("category")
        out[name] = series.cat.rename_categories([str(c) for c in series.cat.categories])
        colors = out[f"{name}_colors"] = [str(c) for c in np.atleast_1d(out[f"{name}_colors"])]
        if f"{name}_memberships" in out:
            out[f"{name}_memberships"] = _labelled(
                out[f"{name}_memberships"], list(out[name].cat.categories), colors
            )
    if "fate_probabilities" in out and "terminal_states" in out:
        names, colors = list(out["terminal_states"].cat.categories), out["terminal_states_colors"]
        if fate_params.get("keys") is not None and len(colors) == len(names):
            names, colors = fate_labels(names, colors, fate_params["keys"])
        out["fate_probabilities"] = _labelled(out["fate_probabilities"], names, colors)
    return out


def fate_labels(names: list[str], colors: list[str], keys: Any) -> tuple[list[str], list[str]]:
    """Names and colours of fates: the single states of `keys` in their own order, then the merged ones.

    Parameters
    ----------
    names, colors : list of str
        Of all terminal states.
    keys : str or sequence of str
        States to select; ``"a, b"`` merges.

    Raises
    ------
    MissingDataError, InvalidDataError
        For unknown and overlapping names; see :class:`~ferrocyte.Lineage`.
    """
    wanted = [keys] if isinstance(keys, str) else [str(k) for k in np.atleast_1d(keys)]
    picked = Lineage(np.zeros((1, len(names))), names=names, colors=colors)[:, wanted]
    order = {name: i for i, name in enumerate(names)}
    ranked = sorted(range(picked.nlin), key=lambda i: order.get(str(picked.names[i]), len(names)))
    return [str(picked.names[i]) for i in ranked], [str(picked.colors[i]) for i in ranked]


def _labelled(value: Any, names: list[str], colors: list[str]) -> Lineage:
    if isinstance(value, Lineage):
        return value
    array = np.asarray(value)
    if array.ndim == 1:
        array = array[:, None]
    n = array.shape[1]
    fits = n == len(names) == len(colors)
    return Lineage(
        array, names=names if fits else [str(i) for i in range(n)], colors=colors if fits else None
    )


# Parts of an AnnData object ---------------------------------------------------------------------------

# Asked for anew each time: writing to a view of an AnnData object replaces its parts.
_Store = Callable[[], Any]


def _stores(adata: AnnData, attr: str, use_raw: bool) -> list[tuple[_Store, bool]]:
    """Where a key may be, and whether this is where it is written."""
    if attr != "varm" or adata.raw is None:
        return [(lambda: getattr(adata, attr), True)]
    return [(lambda: adata.varm, not use_raw), (lambda: adata.raw.varm, use_raw)]


def _put(store: _Store, key: str, value: Any) -> None:
    if value is not None:
        store()[key] = value
    elif key in store():
        del store()[key]


def _restorer(store: _Store, key: str) -> Callable[[], None]:
    """A function that puts back what is there now."""
    found = store()
    if key not in found:
        return lambda: _put(store, key, None)
    value = found[key]
    if not isinstance(found, pd.DataFrame):
        return lambda: _put(store, key, value)
    column, position = value.copy(), int(found.columns.get_loc(key))

    def restore() -> None:
        now = store()
        if key in now:
            now[key] = column
        else:
            now.insert(position, key, column)

    return restore
