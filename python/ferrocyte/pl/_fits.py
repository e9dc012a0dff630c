"""Which signal is fitted by which model along which lineage, and what happens to those that fail."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anndata import AnnData

from ferrocyte._errors import (
    FitError,
    InvalidDataError,
    InvalidOptionError,
    InvalidTypeError,
    MissingDataError,
    suggest,
    warn_user,
)
from ferrocyte._options import no_effect
from ferrocyte.lineage import Lineage
from ferrocyte.models import BaseModel, FailedModel, FittedModel, Gene, Signal
from ferrocyte.models._base import resolve_signal
from ferrocyte.models._bulk import fit_many, read_values

__all__ = ["UNSET", "Fits", "Models", "choose_lineages", "fit_signals", "resolve_signals"]

Models = dict[str, dict[str | None, BaseModel]]
UNSET: Any = type("_Unset", (), {"__repr__": lambda self: "<default>"})()
EVERY = "*"


@dataclass(frozen=True)
class Fits:
    """Models of all signals along all lineages.

    Attributes
    ----------
    adata : AnnData
    models : dict
        ``{name of signal: {lineage: model}}``; what failed is a :class:`FailedModel`.
    signals : dict
        Signal by name.
    lineages : list of str or None
    colors : dict
        Colour of each lineage.
    reused : set of (str, str or None)
        Those that were fitted before.
    """

    adata: AnnData
    models: Models
    signals: dict[str, Signal]
    lineages: list[str | None]
    colors: dict[str | None, str]
    reused: set[tuple[str, str | None]]

    def fitted(self) -> Models:
        """The models without those that failed; signals without any are not there."""
        kept = {s: {k: m for k, m in row.items() if m} for s, row in self.models.items()}
        return {s: row for s, row in kept.items() if row}

    def returned(self) -> Models:
        """For the user: what was fitted before comes back as a :class:`FittedModel`."""
        read_values(self.adata, [self.models[s][k] for s, k in self.reused])
        return {
            s: {k: FittedModel.from_model(m) if (s, k) in self.reused else m for k, m in row.items()}
            for s, row in self.models.items()
        }


def resolve_signals(
    adata: AnnData,
    signals: Any,
    *,
    data_key: Any = UNSET,
    use_raw: Any = UNSET,
    gene_symbols: str | None = None,
) -> dict[str, Signal]:
    """Signals by the name under which they are shown.

    Raises
    ------
    InvalidOptionError
        If two have the same name, or a gene symbol stands for several genes.
    InvalidTypeError
        If one is neither a name nor a `Signal`, or a `Signal` is combined with `data_key` or `use_raw`.
    MissingDataError
        If there is no such column of gene symbols, or no such symbol.
    """
    given = [signals] if isinstance(signals, str | Signal) else list(signals if signals is not None else ())
    if not given:
        raise InvalidOptionError("Expected at least one signal, found none. Name a gene.")
    past = {
        name: value
        for name, value in (("data_key", data_key), ("use_raw", use_raw))
        if value is not UNSET and not (name == "use_raw" and value is False)
    }
    if past:
        if any(isinstance(s, Signal) for s in given):
            raise InvalidTypeError(
                "A `Signal` says where it is: `data_key`/`use_raw` can not be combined with one. Leave them "
                "out."
            )
        warn_user(
            "`data_key`/`use_raw` will be deprecated. Pass signals, such as "
            "`ferrocyte.models.Gene('name', layer='layer')` or `Obs('key')`.",
            DeprecationWarning,
        )
    out: dict[str, Signal] = {}
    for one in given:
        signal = _resolve(adata, one, past, gene_symbols)
        name = one if isinstance(one, str) else signal.name
        if out.get(name, signal) != signal:
            raise InvalidOptionError(
                f"Expected signals of different names, found {name!r} twice. Draw them in two figures."
            )
        out[name] = signal
    return out


def _resolve(adata: AnnData, one: Any, past: Mapping[str, Any], gene_symbols: str | None) -> Signal:
    if isinstance(one, Signal) or not isinstance(one, str):
        return resolve_signal(one, None)
    raw, key = bool(past.get("use_raw", False)), past.get("data_key")
    if key == "obs" and not raw:
        from ferrocyte.models import Obs

        return Obs(one)
    name = one if gene_symbols is None else _symbol(adata, one, gene_symbols, raw)
    return Gene(name, layer=None if raw or key == "X" else key, use_raw=raw)


def _symbol(adata: AnnData, symbol: str, column: str, raw: bool) -> str:
    """The gene that a symbol stands for."""
    if raw and adata.raw is None:
        raise MissingDataError("Unable to find `adata.raw`. Set it or pass `use_raw=False`.")
    table = adata.raw.var if raw else adata.var
    if column not in table:
        raise MissingDataError(f"Unable to find `adata.var[{column!r}]`.{suggest(column, table.columns)}")
    genes = table.index[(table[column].astype(str) == symbol).to_numpy()]
    if not len(genes):
        raise MissingDataError(
            f"Unable to find {symbol!r} in `adata.var[{column!r}]`.{suggest(symbol, table[column])}"
        )
    if len(genes) > 1:
        raise InvalidOptionError(
            f"Expected {symbol!r} to stand for one gene of `adata.var[{column!r}]`, found {len(genes)}: "
            f"{list(genes[:4])}. Use their own names, without `gene_symbols`."
        )
    return str(genes[0])


def choose_lineages(
    adata: AnnData, lineages: str | Sequence[str | None] | None, backward: bool
) -> tuple[list[str | None], dict[str | None, str]]:
    """Names of lineages and their colours; ``[None]``: all cells count the same.

    Raises
    ------
    MissingDataError
        If there are no fate probabilities, or no such lineage.
    InvalidOptionError
        If there is none, or one is named twice.
    """
    given: list[str | None] | None
    given = None if lineages is None else [lineages] if isinstance(lineages, str) else list(lineages)
    if given is not None and (not given or len(set(given)) != len(given)):
        raise InvalidOptionError(f"Expected different lineages, at least one, found {given}.")
    colors: dict[str | None, str] = {None: "black"}
    if given is None or any(name is not None for name in given):
        fates = Lineage.from_adata(adata, backward=backward)
        colors.update(zip(map(str, fates.names), map(str, fates.colors), strict=True))
        if given is None:
            given = [str(n) for n in fates.names]
    for name in given:
        if name not in colors:
            known = [c for c in colors if c is not None]
            raise MissingDataError(f"Invalid lineage name {name!r}.{suggest(name, known)}")
    return given, {name: colors[name] for name in given}


def fit_signals(
    adata: AnnData,
    model: Any,
    signals: Mapping[str, Signal],
    lineages: str | Sequence[str | None] | None,
    *,
    time_key: str,
    backward: bool = False,
    time_range: Any = None,
    conf_int: bool | float = False,
    callback: Any = None,
    n_jobs: int | None = None,
    backend: str = "loky",
    show_progress_bar: bool = True,
    **prepare: Any,
) -> Fits:
    """Fit what has not been fitted before.

    Raises
    ------
    InvalidOptionError, InvalidTypeError
        If `model` or `callback` is not complete or of another type.
    FitError
        If a callback does not return its model, prepared.
    BaseException
        If all fits fail: the first failure, as its own type; says ``Fatal model``.

    Warns
    -----
    FerrocyteWarning
        If some fail; names them.
    """
    no_effect("backend", backend, "loky")
    if time_key is UNSET:
        raise InvalidTypeError("Expected `time_key`, the column of `adata.obs` with the pseudotime.")
    chosen, colors = choose_lineages(adata, lineages, backward)
    pairs = [(s, lineage) for s in signals for lineage in chosen]
    found = {pair: _pick(model, *pair, "model") for pair in pairs}
    reused = {p for p, (m, by_lineage) in found.items() if _is_done(m, by_lineage)}
    ranges = _spread(time_range, len(chosen))
    options = {"time_key": time_key, "backward": backward, **prepare}
    dispatch = _dispatch(
        adata, callback, pairs, signals, found, dict(zip(chosen, ranges, strict=True)), options
    )

    names = {signal: name for name, signal in signals.items()}
    shown = {signal.name: name for signal, name in names.items()}
    out: Models = {s: {p: found[s, p][0] for p in chosen if (s, p) in reused} for s in signals}
    # one call for all that have the same signals to fit: in the usual case, for everything
    waiting: dict[tuple[str, ...], list[str | None]] = {}
    for lineage in chosen:
        todo = tuple(s for s in signals if (s, lineage) not in reused)
        if todo:
            waiting.setdefault(todo, []).append(lineage)
    for todo, along in waiting.items():
        given = {signals[s].name: {k: found[s, k][0] for k in along} for s in todo}
        window: Any = [ranges[chosen.index(k)] for k in along]
        fits = fit_many(
            given, adata, [signals[s] for s in todo], along, conf_int=conf_int, n_jobs=n_jobs,
            show_progress_bar=show_progress_bar, callback=dispatch, time_range=window, **options,
        )  # fmt: skip
        for name, row in fits.items():
            out[shown[name]].update(row)
    models = {s: {k: out[s][k] for k in chosen} for s in signals}
    _report(models)
    return Fits(adata, models, dict(signals), chosen, colors, reused)


def _is_done(model: BaseModel, by_lineage: bool) -> bool:
    return isinstance(model, FittedModel) or bool(by_lineage and model and model.y_test is not None)


def _spread(time_range: Any, n: int) -> list[Any]:
    if not isinstance(time_range, list):
        return [time_range] * n
    if len(time_range) != n:
        raise InvalidOptionError(
            f"Expected `time_range` to have {n} entries, one per lineage, found {len(time_range)}."
        )
    return time_range


def _pick(given: Any, signal: str, lineage: str | None, what: str) -> tuple[Any, bool]:
    """The model or callback for a pair, and whether it was given for that lineage."""

    def wrong(found: Any) -> InvalidTypeError:
        kind = "a model" if what == "model" else "a function"
        return InvalidTypeError(
            f"Expected `{what}` to be {kind} or a dict of them, found `{type(found).__name__}` for "
            f"{signal!r}."
        )

    def good(found: Any) -> bool:
        return isinstance(found, BaseModel) if what == "model" else callable(found)

    if good(given):
        return given, False
    if not isinstance(given, Mapping):
        raise wrong(given)
    for level, key in ((1, signal), (2, lineage)):
        if key not in given and EVERY not in given:
            where = f"lineage {key!r} of {signal!r}" if level == 2 else f"{key!r}"
            raise InvalidOptionError(
                f"Expected `{what}` to be complete, found nothing for {where}. Add it, or one for '*'."
            )
        given = given[key] if key in given else given[EVERY]
        if good(given):
            return given, level == 2
        if not isinstance(given, Mapping) or level == 2:
            raise wrong(given)
    raise wrong(given)


def _dispatch(
    adata: AnnData,
    callback: Any,
    pairs: Sequence[tuple[str, str | None]],
    signals: Mapping[str, Signal],
    found: Mapping[tuple[str, str | None], tuple[BaseModel, bool]],
    ranges: Mapping[str | None, Any],
    options: Mapping[str, Any],
) -> Callable[..., BaseModel] | None:
    """One function for all pairs, that calls the user's; each of these is tried on its first pair."""
    if callback is None:
        return None
    functions = {(signals[s], k): _pick(callback, s, k, "callback")[0] for s, k in pairs}

    def prepare(model: BaseModel, *, signal: Signal, lineage: str | None, **keywords: Any) -> BaseModel:
        function = functions[signal, lineage]
        out = function(model, lineage=lineage, **_named(function, signal), **keywords)
        if out is not model:
            raise FitError(
                f"Expected the callback to return the model that it was given, found `{type(out).__name__}` "
                f"for {signal.name!r} in lineage {lineage!r}. Return what `model.prepare` returns."
            )
        if not model.prepared or model.signal is None:
            raise FitError(
                f"Expected the callback to prepare the model of {signal.name!r} in lineage {lineage!r}. Call "
                "`model.prepare` in it."
            )
        if (model.signal.name, model.lineage) != (signal.name, lineage):
            raise FitError(
                f"Expected the callback to prepare the model for {signal.name!r} in lineage {lineage!r}, "
                f"found {model.signal.name!r} in {model.lineage!r}. Pass on what it was given."
            )
        return model

    tried: set[int] = set()
    for s, k in pairs:
        function = functions[signals[s], k]
        if id(function) not in tried and found[s, k][0]:
            tried.add(id(function))
            trial = found[s, k][0].copy()
            trial._adata = adata
            prepare(trial, signal=signals[s], lineage=k, time_range=ranges[k], **options)
    return prepare


def _named(function: Callable[..., Any], signal: Signal) -> dict[str, Any]:
    """The signal, as the callback wants it: `signal`, or the name of a `gene` and where that is."""
    try:
        wants = inspect.signature(function).parameters
    except (TypeError, ValueError):
        wants = {}  # type: ignore[assignment]
    if "signal" in wants:
        return {"signal": signal}
    if not isinstance(signal, Gene):
        raise InvalidTypeError(
            f"Expected the callback to have a parameter `signal`, since {signal.name!r} is no gene."
        )
    where: dict[str, Any] = {"gene": signal.gene}
    if signal.use_raw:
        where["use_raw"] = True
    elif signal.layer is not None:
        where["data_key"] = signal.layer
    return where


def _report(models: Models) -> None:
    failed = [(s, k, m) for s, row in models.items() for k, m in row.items() if not m]
    total = sum(len(row) for row in models.values())
    if not failed:
        return
    first = failed[0][2]
    if len(failed) == total and isinstance(first, FailedModel):
        first.reraise()
    if len(failed) == total:
        raise InvalidDataError("Every model failed.")
    listed = ", ".join(f"{s!r}" + ("" if k is None else f" in {k!r}") for s, k, _ in failed[:5])
    more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
    why = getattr(first, "_exc", "")
    warn_user(f"{len(failed)} of {total} models failed: {listed}{more}. The first one: {why}")
