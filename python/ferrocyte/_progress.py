"""Progress bars: shown on request, and only where somebody may be looking."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["progress_bar"]

Callback = Callable[..., object]


def _in_notebook() -> bool:
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and "IPKernelApp" in getattr(shell, "config", {})


def _wanted(show: bool) -> bool:
    if not show:
        return False
    return _in_notebook() or (hasattr(sys.stderr, "isatty") and sys.stderr.isatty())


@contextmanager
def progress_bar(show: bool, unit: str = "cell") -> Iterator[Callback | None]:
    """Give a function ``progress(done, total)`` to call now and then, or None if nothing is to be shown.

    It takes further counts by name, as in ``progress(done, total, retries=2)``, shown beside the bar.

    Parameters
    ----------
    show : bool
        What the user asked for. A bar appears only if stderr is a terminal, or in a notebook.
    unit : str, default "cell"
        What is counted.
    """
    if not _wanted(show):
        yield None
        return
    from tqdm.auto import tqdm

    with tqdm(total=None, unit=unit, leave=True) as bar:

        def progress(done: int, total: int, **counts: int) -> None:
            bar.total = total
            if counts:
                bar.set_postfix(counts, refresh=False)
            bar.update(done - bar.n)

        yield progress
