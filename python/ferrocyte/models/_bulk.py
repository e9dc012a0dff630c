"""Fits of many signals along many lineages, for figures that show them all.

``fit_many(model, adata, signals, lineages, *, time_key, backward=False, time_range=None, conf_int=False,
n_jobs=None, show_progress_bar=True, callback=None, **prepare)`` returns
``{signal name: {lineage: model}}``: each model fitted, with `y_test` (and `conf_int` if asked for), or a
:class:`FailedModel` that is false in a condition, knows why (`reraise()`), and else does nothing.

* `model`: a :class:`BaseModel`, or ``{signal: model}``, or ``{signal: {lineage: model}}``, where ``"*"``
  stands for all that are not named. Models are copied, never changed.
* `signals`: names of genes or :class:`Signal`; `lineages`: names, or None for weights of 1.
* `time_range`: one for all, or a list with one for each lineage.
* `conf_int`: True, or the level of the interval (models of this package), else no interval.
* `callback`: ``callback(model, signal=..., lineage=..., time_key=..., ...)`` prepares a copy of the model and
  returns it, in place of ``model.prepare``.
* `prepare`: what else :meth:`BaseModel.prepare` takes.

For :class:`GAM`, cells, weights and basis are made once per lineage and all genes go to Rust in one call, on
`n_jobs` threads; other models are fitted one after another. Models from the first way read `y_all` and `y`
from `adata` when these are first asked for, so as not to hold the expression of every gene once per lineage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from anndata import AnnData

from ferrocyte import _adata
from ferrocyte._errors import (
    FitError,
    InvalidDataError,
    InvalidOptionError,
    InvalidTypeError,
    MissingDataError,
)
from ferrocyte._options import check_number
from ferrocyte._progress import progress_bar
from ferrocyte._settings import threads
from ferrocyte.models import _splines
from ferrocyte.models._arguments import fatal, resolve_signal
from ferrocyte.models._base import BaseModel
from ferrocyte.models._cells import Cells, select_cells
from ferrocyte.models.failed import FailedModel
from ferrocyte.models.gam import GAM
from ferrocyte.models.signals import Gene, Signal

__all__ = ["fit_many", "read_values"]

Models = dict[str, dict[str | None, BaseModel]]
Given = BaseModel | Mapping[Any, Any]
_BLOCK = 256  # genes that are read at once
_PREPARE = ("threshold", "weight_threshold", "filter_cells", "n_test_points")


def fit_many(
    model: Given,
    adata: AnnData,
    signals: Iterable[str | Signal],
    lineages: Sequence[str | None],
    *,
    time_key: str,
    backward: bool = False,
    time_range: Any = None,
    conf_int: bool | float = False,
    n_jobs: int | None = None,
    show_progress_bar: bool = True,
    callback: Callable[..., BaseModel] | None = None,
    **prepare: Any,
) -> Models:
    """Fit many signals along many lineages; see the text of this module.

    Raises
    ------
    InvalidOptionError, InvalidTypeError, MissingDataError, InvalidDataError
        For arguments that suit no signal or no lineage at all: unknown lineages, pseudotime or window. What
        is wrong with one signal makes a :class:`FailedModel` of it.
    """
    unknown = set(prepare) - set(_PREPARE)
    if unknown:
        raise InvalidTypeError(
            f"There is no keyword {sorted(unknown)[0]!r}. There are: {', '.join(_PREPARE)}."
        )
    resolved = [resolve_signal(s, None) for s in signals]
    names = [s.name for s in resolved]
    if len(set(names)) != len(names):
        twice = next(n for n in names if names.count(n) > 1)
        raise InvalidOptionError(f"Expected every signal once, found {twice!r} twice.")
    if not resolved or not lineages:
        raise InvalidDataError("Expected at least one signal and one lineage, found none.")
    level = _level(conf_int)
    n_threads = threads(n_jobs)
    ranges = _ranges(time_range, len(lineages))
    cells = {}
    for lineage, window in zip(lineages, ranges, strict=True):
        with fatal("<all>"):  # what is wrong for all is raised before any work
            cells[lineage] = select_cells(
                adata, lineage, time_key, backward, window, prepare.get("threshold"),
                prepare.get("weight_threshold", (0.01, 0.01)), prepare.get("n_test_points", 200),
            )  # fmt: skip
    jobs = [(s, lineage, _pick(model, s.name, lineage)) for lineage in lineages for s in resolved]
    out: Models = {name: {} for name in names}
    with progress_bar(show_progress_bar, unit="fit") as progress:
        done = 0
        for lineage, window in zip(lineages, ranges, strict=True):
            together: dict[int, list[Signal]] = {}
            templates: dict[int, BaseModel] = {}
            for s, where, template in jobs:
                if where == lineage:
                    together.setdefault(id(template), []).append(s)
                    templates[id(template)] = template
            for key, group in together.items():
                template = templates[key]
                fits: Iterable[tuple[Signal, BaseModel]]
                fast = callback is None and prepare.get("filter_cells") is None
                if fast and isinstance(template, GAM) and type(template) is GAM:
                    report = None if progress is None else _shifted(progress, done, len(jobs))
                    place = (adata, lineage, cells[lineage])
                    fits = zip(
                        group, _together(template, group, place, level, n_threads, report), strict=True
                    )
                else:
                    fast = False
                    keywords = {
                        "lineage": lineage, "time_key": time_key, "backward": backward, "time_range": window,
                        **prepare,
                    }  # fmt: skip
                    fits = _one_by_one(template, adata, group, keywords, level, callback)
                for s, fit in fits:
                    out[s.name][lineage] = fit
                    done += 1
                    if progress is not None and not fast:
                        progress(done, len(jobs))
    return {name: {lineage: out[name][lineage] for lineage in lineages} for name in names}


def _one_by_one(
    template: BaseModel,
    adata: AnnData,
    group: list[Signal],
    keywords: dict[str, Any],
    level: float | None,
    callback: Callable[..., BaseModel] | None,
) -> Iterator[tuple[Signal, BaseModel]]:
    for s in group:
        model = template.copy()
        if not isinstance(model, BaseModel):
            raise InvalidTypeError(
                f"Expected `{type(template).__name__}.copy` to return a model, found "
                f"`{type(model).__name__}`."
            )
        model._adata = adata
        model._signal, model._lineage = s, keywords["lineage"]
        try:
            if callback is not None:
                model = callback(model, signal=s, **keywords)
                if not isinstance(model, BaseModel):
                    raise InvalidTypeError(
                        f"Expected `callback` to return a model, found `{type(model).__name__}`."
                    )
            else:
                model.prepare(s, **keywords)
            model.fit()
            model.predict()
            if level is not None:
                options = {"level": level} if isinstance(model, GAM) else {}
                model.confidence_interval(**options)
        except Exception as err:
            yield s, _failed(model, err)
        else:
            yield s, model


def _failed(model: BaseModel, err: BaseException) -> FailedModel:
    out = FailedModel(model, err)
    out._is_bulk = True
    return out


def _together(
    template: GAM,
    group: list[Signal],
    place: tuple[AnnData, str | None, Cells],
    level: float | None,
    n_threads: int,
    progress: Callable[[int, int], object] | None,
) -> list[BaseModel]:
    """One call for each matrix that the signals are in."""
    adata, lineage, cells = place
    x, w = np.ascontiguousarray(cells.x_all[cells.rows]), np.ascontiguousarray(cells.w_all[cells.rows])
    shared = {
        "_x_all": cells.x_all[:, None], "_w_all": cells.w_all, "_x": x[:, None], "_w": w,
        "_x_test": cells.x_test[:, None],
    }  # fmt: skip
    splines: _splines.GAM = template.model
    found: dict[Signal, _splines.GAM | Exception] = {}
    for matrix, columns, members in _matrices(adata, group, found):
        try:
            fits = splines.fit_columns(
                matrix, columns, cells.rows, x, w, threads=n_threads, progress=progress
            )
        except FitError as err:
            fits = [err] * len(members)
        found.update(zip(members, fits, strict=True))
    models: dict[Signal, GAM | FailedModel] = {}
    groups: dict[tuple[int, int], list[tuple[GAM, _splines.GAM]]] = {}
    for s in group:
        model = GAM.__new__(GAM)
        model.__dict__.update(template.__dict__)
        model.__dict__.update(shared, _adata=adata, _signal=s, _lineage=lineage, _prepared=True)
        for name in ("_y_all", "_y", "_y_test", "_x_hat", "_y_hat", "_conf_int"):
            setattr(model, name, None)
        fit = found[s]
        if isinstance(fit, _splines.GAM):
            model._model, model._rows = fit, cells.rows
            groups.setdefault((fit.settings.n_splines, fit.settings.spline_order), []).append((model, fit))
            models[s] = model
        else:
            model._prepared = False
            models[s] = _failed(model, model._explain(fit, fit.cells) if isinstance(fit, FitError) else fit)
    for members_of in groups.values():
        means, intervals = _splines.curves([fit for _, fit in members_of], cells.x_test, level)
        for k, (model, _) in enumerate(members_of):
            model._y_test = means[k]
            model._conf_int = None if level is None else intervals[k]
    return [models[s] for s in group]


def _matrices(
    adata: AnnData, group: list[Signal], failed: dict[Signal, _splines.GAM | Exception]
) -> Iterator[tuple[Any, Any, list[Signal]]]:
    """(matrix, columns in it, signals), genes where they lie; what does not exist goes to `failed`."""
    genes: dict[tuple[str | None, bool], list[Gene]] = {}
    others: list[tuple[Signal, Any]] = []
    for s in group:
        try:
            if type(s) is not Gene:
                others.append((s, s.fetch(adata)))
                continue
            genes.setdefault((s.layer, s.use_raw), []).append(s)
        except Exception as err:
            failed[s] = err
    for (layer, use_raw), members in genes.items():
        known: list[Signal] = []
        columns = []
        try:
            index = adata.raw.var_names if use_raw and adata.raw is not None else adata.var_names
            where = index.get_indexer([s.gene for s in members]) if index.is_unique else None
            for k, s in enumerate(members):
                try:
                    if where is None or where[k] < 0 or use_raw or layer is not None:
                        s.validate(adata)
                except Exception as err:
                    failed[s] = err
                    continue
                known.append(s)
                columns.append(s._position(index) if where is None else int(where[k]))
            if known:
                matrix = _adata.features(adata, layer, use_raw=use_raw)
                yield matrix, np.array(columns, dtype=np.int64), known
        except (MissingDataError, InvalidDataError, InvalidTypeError) as err:
            failed.update(dict.fromkeys(known, err))
    if others:
        matrix = np.column_stack([values for _, values in others])
        yield matrix, np.arange(len(others)), [s for s, _ in others]


def read_values(adata: AnnData, models: Iterable[BaseModel]) -> None:
    """Have models of a bulk fit hold their values. Genes are read together: one by one takes long.

    Parameters
    ----------
    adata : AnnData
        What they were fitted to.
    models : iterable of BaseModel
        Those that have read their values already, or were not made in bulk, stay as they are.
    """
    waiting: dict[Signal, list[BaseModel]] = {}
    for model in models:
        if model._rows is not None and model._signal is not None and model.adata is adata:
            waiting.setdefault(model._signal, []).append(model)
    signals = list(waiting)
    for start in range(0, len(signals), _BLOCK):
        for matrix, columns, members in _matrices(adata, signals[start : start + _BLOCK], {}):
            block = _adata.select_columns(matrix, np.asarray(columns, dtype=np.intp))
            for k, signal in enumerate(members):
                y_all = np.ascontiguousarray(block[:, [k]])
                for model in waiting[signal]:
                    model._y_all, model._y, model._rows = y_all, y_all[model._rows], None


def _pick(model: Given, signal: str, lineage: str | None) -> BaseModel:
    if isinstance(model, BaseModel):
        return model
    if not isinstance(model, Mapping):
        raise InvalidTypeError(
            f"Expected `model` to be a model or a dict of models, found `{type(model).__name__}`."
        )
    inner = model.get(signal, model.get("*"))
    if isinstance(inner, Mapping):
        inner = inner.get(lineage, inner.get("*"))
    if not isinstance(inner, BaseModel):
        raise MissingDataError(
            f"Unable to find a model for {signal!r} in lineage {lineage!r}. Add one, or one for '*'."
        )
    return inner


def _ranges(time_range: Any, n: int) -> list[Any]:
    if isinstance(time_range, list):
        if len(time_range) != n:
            raise InvalidOptionError(
                f"Expected `time_range` to have {n} entries, one per lineage, found {len(time_range)}."
            )
        return time_range
    return [time_range] * n


def _level(conf_int: bool | float) -> float | None:
    if isinstance(conf_int, bool | np.bool_):
        return 0.95 if conf_int else None
    level = check_number(conf_int, "conf_int", above=0.0)
    if level >= 1:
        raise InvalidOptionError(f"Expected `conf_int` to be in (0, 1), found {level:g}.")
    return level


def _shifted(progress: Callable[[int, int], object], before: int, total: int) -> Callable[[int, int], object]:
    return lambda done, _: progress(min(before + done, total), total)
