"""Progress bars: shown on request, and only where somebody may be looking."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

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
    from tqdm import TqdmWarning

    with warnings.catch_warnings():
        # In a notebook without widgets the bar is one of text, and as good.
        warnings.simplefilter("ignore", TqdmWarning)
        from tqdm.auto import tqdm

    began = time.time()
    bar: Any = None

    # The bar is made with the first total: in a notebook, one that is told later stays a full bar from the
    # start, and a job that never tells one would leave an empty bar.
    def progress(done: int, total: int, **counts: int) -> None:
        nonlocal bar
        if not total:
            return
        if bar is None:
            bar = tqdm(total=total, unit=unit, leave=True)
            bar.start_t = began
        elif total != bar.total:
            bar.reset(total=total)
            bar.start_t = began
        if counts:
            bar.set_postfix(counts, refresh=False)
        bar.update(done - bar.n)

    try:
        yield progress
    finally:
        if bar is not None:
            bar.close()
