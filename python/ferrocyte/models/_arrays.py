"""The arrays of a model: what was measured, what is fitted, what is predicted."""

from __future__ import annotations

from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from ferrocyte.models.signals import Signal

__all__ = ["ARRAYS", "ModelArrays"]

ARRAYS = (
    "_x_all", "_y_all", "_w_all", "_x", "_y", "_w", "_x_test", "_y_test", "_x_hat", "_y_hat", "_conf_int",
)  # fmt: skip


class ModelArrays:
    """Properties over the arrays of a model, None until they are set."""

    def __init__(self) -> None:
        self._signal: Signal | None = None
        # Any: None until prepared, and whoever uses them has asked for that.
        self._x_all: Any = None
        self._y_all: Any = None
        self._w_all: Any = None
        self._x: Any = None
        self._y: Any = None
        self._w: Any = None
        self._x_test: Any = None
        self._y_test: Any = None
        self._x_hat: Any = None
        self._y_hat: Any = None
        self._conf_int: Any = None
        self._rows: NDArray[np.int64] | None = None

    def _data(self) -> AnnData:
        raise NotImplementedError

    @property
    def signal(self) -> Signal | None:
        """What is fitted; None before preparing."""
        return self._signal

    @property
    def x_all(self) -> Any:
        """Pseudotime of all cells, shape (n_cells, 1)."""
        return self._x_all

    @property
    def y_all(self) -> Any:
        """Values of all cells, shape (n_cells, 1)."""
        self._read_values()
        return self._y_all

    @property
    def w_all(self) -> Any:
        """Weights of all cells, shape (n_cells,)."""
        return self._w_all

    @property
    def x(self) -> Any:
        """Pseudotime of the cells used for fitting, shape (n_filtered_cells, 1)."""
        return self._x

    @property
    def y(self) -> Any:
        """Values of the cells used for fitting, shape (n_filtered_cells, 1)."""
        self._read_values()
        return self._y

    def _read_values(self) -> None:
        """A model of a bulk fit knows its cells, and reads their values when these are asked for."""
        if self._rows is not None and self._signal is not None:
            y_all = self._signal.fetch(self._data())[:, None]
            self._y_all, self._y, self._rows = y_all, y_all[self._rows], None

    @property
    def w(self) -> Any:
        """Weights of the cells used for fitting, shape (n_filtered_cells,)."""
        return self._w

    @property
    def x_test(self) -> Any:
        """Where the trend is predicted, shape (n_samples, 1)."""
        return self._x_test

    @property
    def y_test(self) -> Any:
        """Prediction at `x_test`, shape (n_samples,)."""
        return self._y_test

    @property
    def x_hat(self) -> Any:
        """Pseudotime behind the default confidence interval, shape (n_filtered_cells, 1); usually `x`."""
        return self._x_hat

    @property
    def y_hat(self) -> Any:
        """Prediction at `x_hat`, shape (n_filtered_cells,)."""
        return self._y_hat

    @property
    def conf_int(self) -> Any:
        """Lower and upper bound of the confidence interval at `x_test`, shape (n_samples, 2)."""
        return self._conf_int
