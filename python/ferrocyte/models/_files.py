"""Models in files. Data only: what can not be written as arrays and plain values is refused."""

from __future__ import annotations

import os
import warnings
from dataclasses import asdict
from typing import Any

from anndata import AnnData

from ferrocyte._container import Container, read_container, write_container
from ferrocyte._errors import FerrocyteWarning, FileFormatError, InvalidDataError, InvalidTypeError
from ferrocyte._options import plain
from ferrocyte.models import _splines
from ferrocyte.models._arrays import ARRAYS
from ferrocyte.models._base import BaseModel
from ferrocyte.models.fitted import FittedModel
from ferrocyte.models.gam import GAM
from ferrocyte.models.signals import Gene, Obs, Obsm, Signal

__all__ = ["read_model", "write_model"]

KIND = "model"
_CLASSES: dict[str, type[BaseModel]] = {"GAM": GAM, "FittedModel": FittedModel}
_SIGNALS: dict[str, Any] = {"Gene": Gene, "Obs": Obs, "Obsm": Obsm}


def write_model(model: BaseModel, fname: str | os.PathLike[str], *, write_adata: bool = True) -> None:
    """See :meth:`BaseModel.write`."""
    name = type(model).__name__
    if _CLASSES.get(name) is not type(model):
        raise InvalidTypeError(
            f"Unable to write a `{name}` to a file: nothing is pickled. Write its numbers, with "
            "`FittedModel.from_model(model).write(...)`."
        )
    model._read_values()
    content = {
        "class": name,
        "signal": _signal(model.signal),
        "lineage": model.lineage,
        "prepared": model.prepared,
        "n_cells": model.shape[0],
        "arrays": {a: getattr(model, a) for a in ARRAYS if getattr(model, a) is not None},
        "splines": _written(model.model) if isinstance(model, GAM) else None,
    }
    adatas = [model.adata] if write_adata and model.adata is not None else []
    write_container(fname, Container(KIND, content, adatas))


def read_model(
    fname: str | os.PathLike[str], *, adata: AnnData | None = None, copy: bool = False
) -> BaseModel:
    """See :meth:`BaseModel.read`."""
    file = read_container(fname, KIND)
    try:
        content = file.content
        cls = _CLASSES[content["class"]]
        model = cls.__new__(cls)
        BaseModel.__init__(model, None, None)
        for name, value in content["arrays"].items():
            if name not in ARRAYS:
                raise KeyError(name)
            setattr(model, name, value)
        given = content["signal"]
        model._signal = None if given is None else _SIGNALS[given["class"]](**plain(given["fields"]))
        model._lineage, model._prepared = content["lineage"], bool(content["prepared"])
        if content["splines"] is not None:
            model._model = _read_splines(content["splines"])
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise FileFormatError(f"Unable to read {str(fname)!r}, it is damaged: {err}. Write it anew.") from err
    if cls is FittedModel:
        return model
    if file.adatas:
        if adata is not None:
            warnings.warn(
                "`adata` is ignored: the file has annotated data of its own.", FerrocyteWarning, stacklevel=3
            )
        model._adata = file.adatas[0]
        return model
    if not isinstance(adata, AnnData):
        raise InvalidTypeError(
            "This object was saved without `adata`. Pass the annotated data as `adata=...`."
        )
    if adata.n_obs != content["n_cells"]:
        raise InvalidDataError(
            f"Expected `adata` to be of length `{content['n_cells']}`, found `{adata.n_obs}`. Pass the "
            "annotated data that the model was fitted to."
        )
    model._adata = adata.copy() if copy or adata.is_view else adata
    return model


def _signal(signal: Signal | None) -> dict[str, Any] | None:
    if signal is None:
        return None
    name = type(signal).__name__
    if _SIGNALS.get(name) is not type(signal):
        raise InvalidTypeError(f"Unable to write a signal of type `{name}` to a file. Use Gene, Obs or Obsm.")
    return {"class": name, "fields": dict(signal.__dict__)}


def _written(model: _splines.GAM) -> dict[str, Any]:
    return {
        "settings": asdict(model.settings),
        "coef": model.coef_,
        "cov": model.cov_,
        "edges": model.edge_knots_,
        "statistics": model.statistics_,
    }


def _read_splines(content: dict[str, Any]) -> _splines.GAM:
    settings = _splines.Settings(**plain(content["settings"]))
    out = _splines.spline_class(settings)(settings)
    out.coef_, out.cov_ = content["coef"], content["cov"]
    out.edge_knots_, out.statistics_ = plain(content["edges"]), plain(content["statistics"])
    return out
