"""Numbers for operators, in the text format of Prometheus (exposition format 0.0.4).

A dozen counters and two histograms do not need a library.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Callable

__all__ = ["CONTENT_TYPE", "Metrics"]

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
_Labels = tuple[tuple[str, str], ...]
_HELP = {
    "requests_total": "Requests, by route and status.",
    "request_seconds": "From the first byte of a request to the last of its answer, by route.",
    "received_bytes_total": "Bodies of requests.",
    "answered_cells_total": "Cells that were answered, by route and model.",
    "reloads_total": "Reloads of references, by outcome.",
    "reader_deaths_total": "Processes that died while they read an upload.",
    "requests_at_work": "Requests with counts that are worked on or wait.",
    "references": "References that are served.",
}


class Metrics:
    """Counters and histograms that any thread may add to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, dict[_Labels, float]] = {}
        self._histograms: dict[str, dict[_Labels, list[float]]] = {}
        self._gauges: dict[str, Callable[[], float]] = {}

    def add(self, name: str, value: float = 1.0, **labels: str) -> None:
        """Add to a counter."""
        key = tuple(sorted(labels.items()))
        with self._lock:
            of_name = self._counters.setdefault(name, {})
            of_name[key] = of_name.get(key, 0.0) + value

    def observe(self, name: str, seconds: float, **labels: str) -> None:
        """Add a duration to a histogram."""
        key = tuple(sorted(labels.items()))
        with self._lock:
            # Counts of the buckets, of what is beyond the last one, and the sum.
            row = self._histograms.setdefault(name, {}).setdefault(key, [0.0] * (len(_SECONDS) + 2))
            row[bisect_left(_SECONDS, seconds)] += 1
            row[-1] += seconds

    def gauge(self, name: str, read: Callable[[], float]) -> None:
        """A number that is asked for when the page is made; `..._total` for one that only grows."""
        self._gauges[name] = read

    def value(self, name: str, **labels: str) -> float:
        """A counter, over all labels that are not named."""
        wanted = set(labels.items())
        with self._lock:
            return sum(v for k, v in self._counters.get(name, {}).items() if wanted <= set(k))

    def page(self) -> str:
        """All of them."""
        lines: list[str] = []
        with self._lock:
            for name, of_name in sorted(self._counters.items()):
                _head(lines, name, "counter")
                lines.extend(_line(name, key, value) for key, value in sorted(of_name.items()))
            for name, rows in sorted(self._histograms.items()):
                _head(lines, name, "histogram")
                for key, row in sorted(rows.items()):
                    total = 0.0
                    for bound, n in zip((*map(str, _SECONDS), "+Inf"), row[:-1], strict=True):
                        total += n
                        lines.append(_line(f"{name}_bucket", (*key, ("le", bound)), total))
                    lines.append(_line(f"{name}_sum", key, row[-1]))
                    lines.append(_line(f"{name}_count", key, total))
        for name, read in sorted(self._gauges.items()):
            _head(lines, name, "counter" if name.endswith("_total") else "gauge")
            lines.append(_line(name, (), read()))
        return "\n".join(lines) + "\n"


def _head(lines: list[str], name: str, kind: str) -> None:
    lines.append(f"# HELP ferrocyte_cas_{name} {_HELP[name]}")
    lines.append(f"# TYPE ferrocyte_cas_{name} {kind}")


def _line(name: str, labels: _Labels, value: float) -> str:
    shown = ",".join(f'{k}="{_escaped(v)}"' for k, v in labels)
    number = f"{value:.0f}" if value == int(value) else repr(value)
    return f"ferrocyte_cas_{name}{{{shown}}} {number}" if shown else f"ferrocyte_cas_{name} {number}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
