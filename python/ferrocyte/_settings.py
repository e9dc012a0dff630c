"""Settings of a session: folder for figures, default number of threads, level of the logger."""

from __future__ import annotations

import logging
import operator
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ferrocyte._errors import InvalidOptionError, MissingAttributeError, suggest

__all__ = ["CellRankConfig", "settings", "threads"]

THREADS_VARIABLE = "FERROCYTE_NUM_THREADS"
# More have no use; the core takes no more than there are cores.
MOST_THREADS = 1 << 16
_logger = logging.getLogger("ferrocyte")


class CellRankConfig:
    """What holds for a whole session; :data:`ferrocyte.settings` is the instance that is used.

    Attributes
    ----------
    figdir : pathlib.Path, default ``./figures``
        Kept for scripts that set it; has no effect: `save=` is a path as given.
    n_jobs : int, default 1
        Threads used when a method gets ``n_jobs=None``. The environment variable
        ``FERROCYTE_NUM_THREADS`` presets it; -1 means all cores.
    logging_level : int
        Level of the logger named ``ferrocyte``. No handler is attached to it: what is shown, and where, is
        up to the program (for instance ``logging.basicConfig()``).

    Examples
    --------
    >>> import ferrocyte as fc
    >>> fc.settings.figdir = "plots"
    >>> with fc.settings.override_logging_level("ERROR"):
    ...     fc.settings.logging_level
    40
    >>> fc.settings.figdir = "figures"
    """

    # What older scripts set instead of a level: from silence to everything.
    _VERBOSITY = ("ERROR", "WARNING", "INFO", "INFO", "DEBUG")

    def __init__(self) -> None:
        self._figdir = Path("figures")
        self._n_jobs: int | None = None

    @property
    def figdir(self) -> Path:
        """Folder for figures."""
        return self._figdir

    @figdir.setter
    def figdir(self, value: str | os.PathLike[str]) -> None:
        self._figdir = Path(value)

    @property
    def n_jobs(self) -> int:
        """Threads used when a method gets ``n_jobs=None``."""
        if self._n_jobs is not None:
            return self._n_jobs
        # Read when needed, not at import: a typing error in the shell must not break `import ferrocyte`.
        value = os.environ.get(THREADS_VARIABLE, "").strip()
        if not value:
            return 1
        try:
            return _check_jobs(int(value))
        except ValueError:
            raise InvalidOptionError(
                f"Expected the environment variable {THREADS_VARIABLE} to be a positive number or -1, "
                f"found {value!r}. Set it to a number or unset it."
            ) from None

    @n_jobs.setter
    def n_jobs(self, value: int | None) -> None:
        self._n_jobs = None if value is None else _check_jobs(value)

    @property
    def logging_level(self) -> int:
        """Level of the logger ``ferrocyte``."""
        return _logger.getEffectiveLevel()

    @logging_level.setter
    def logging_level(self, level: int | str) -> None:
        try:
            _logger.setLevel(level.upper() if isinstance(level, str) else level)
        except (TypeError, ValueError):
            names = ", ".join(repr(name) for name in ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"))
            raise InvalidOptionError(
                f"Expected a logging level, found {level!r}. Pass a number or one of {names}."
            ) from None

    @property
    def verbosity(self) -> int:
        """The logging level as in scanpy, from 0 (errors) over 1 (warnings) and 2 (information) to 4."""
        level = logging.getLevelName(self.logging_level)
        return self._VERBOSITY.index(level) if level in self._VERBOSITY else 0

    @verbosity.setter
    def verbosity(self, value: int) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value not in range(len(self._VERBOSITY)):
            raise InvalidOptionError(
                f"Expected `verbosity` to be a whole number from 0 to 4, found {value!r}."
            )
        self.logging_level = self._VERBOSITY[value]

    def __setattr__(self, name: str, value: object) -> None:
        known = [n for n in dir(type(self)) if isinstance(getattr(type(self), n), property)]
        if not name.startswith("_") and name not in known:
            raise MissingAttributeError(f"There is no setting `{name}`.{suggest(name, known)}")
        super().__setattr__(name, value)

    @contextmanager
    def override_logging_level(self, level: int | str) -> Iterator[None]:
        """Use another logging level inside a ``with`` block; it is put back whatever happens there."""
        before = _logger.level
        self.logging_level = level
        try:
            yield
        finally:
            _logger.setLevel(before)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(figdir={str(self.figdir)!r}, n_jobs={self.n_jobs}, "
            f"logging_level={logging.getLevelName(self.logging_level)})"
        )


def _check_jobs(value: int) -> int:
    if not isinstance(value, bool):
        try:
            number = operator.index(value)
        except TypeError:
            pass
        else:
            if number == -1 or number > 0:
                return number
    raise InvalidOptionError(
        f"Expected `n_jobs` to be a positive number, -1 for all cores or None for `settings.n_jobs`, found "
        f"{value!r}."
    )


settings = CellRankConfig()


def threads(n_jobs: int | None = None) -> int:
    """Number of threads to use.

    Parameters
    ----------
    n_jobs : int or None
        A positive number; -1 for all cores this process may use; None for `settings.n_jobs`.

    Returns
    -------
    int
        At least 1.

    Raises
    ------
    InvalidOptionError
        For anything else.
    """
    number = settings.n_jobs if n_jobs is None else _check_jobs(n_jobs)
    if number != -1:
        return min(number, MOST_THREADS)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
