"""The record of a run as markdown."""

from __future__ import annotations

from statistics import median
from typing import Any

HEAD = (
    "case",
    "cells",
    "ours, min / median",
    "CellRank, min / median",
    "times faster",
    "required",
    "with construction",
    "first call: ours / CellRank",
    "times faster",
    "required",
    "extra peak memory: ours / CellRank",
    "answers differ by",
)


def seconds(value: float) -> str:
    """Seconds with three digits and a fitting unit."""
    for unit, factor in (("s", 1.0), ("ms", 1e3)):
        if value * factor >= 1:
            return f"{value * factor:.3g} {unit}"
    return f"{value * 1e6:.3g} µs"


def _load(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.2f}"


def _memory(report: dict[str, Any] | None) -> str:
    extra = (report or {}).get("peak_extra_bytes", -1)
    return "-" if extra < 0 else f"{extra / 1e6:.0f} MB"


def _row(row: dict[str, Any]) -> list[str]:
    ours, peer = row["ours"], row.get("peer")
    if "wrong" in row:
        return [row["case"], f"{row['cells']:,}", f"WRONG ANSWER: {row['wrong']}", *[""] * (len(HEAD) - 3)]

    def pair(report: dict[str, Any] | None) -> str:
        return f"{seconds(min(report['run']))} / {seconds(median(report['run']))}" if report else "-"

    def required(key: str) -> str:
        need = row.get(f"required_{key}")
        return "" if need is None else f"{need} {'met' if row[key] >= need else 'MISSED'}"

    memory = f"{_memory(ours)} / {_memory(peer)}"
    if "memory_ok" in row:
        verdict = {True: "within limit", False: "ABOVE LIMIT", None: "not measured"}[row["memory_ok"]]
        result, given = (ours[key] / 1e6 for key in ("result_bytes", "input_bytes"))
        limit = ours.get("memory_limit", 0) / 1e6
        memory += f" (result {result:.0f} MB, input {given:.0f} MB, limit {limit:.0f} MB: {verdict})"
    return [
        row["case"],
        f"{row['cells']:,}",
        pair(ours),
        pair(peer),
        f"{row['ratio']:.1f}" if peer else f"at least {row['ratio']:.0f}" if "ratio" in row else "-",
        required("ratio"),
        f"{row['ratio_with_construction']:.1f}" if peer else "-",
        f"{seconds(ours['first'])} / {seconds(peer['first']) if peer else '-'}",
        f"{row['first_ratio']:.1f}" if peer else "-",
        required("first_ratio"),
        memory,
        f"{row['difference']:.2g} ({row['compared']})" if peer else row.get("checked", "-"),
    ]


def _table(head: tuple[str, ...] | list[str], rows: list[list[str]]) -> str:
    lines = [list(head), ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _versions(rows: list[dict[str, Any]], side: str) -> str:
    found: dict[str, str] = next((row[side]["versions"] for row in rows if side in row), {})
    return ", ".join(f"{name} {number}" for name, number in found.items()) or "not run"


def markdown(result: dict[str, Any]) -> str:
    """The whole record as text."""
    machine, rows = result["machine"], result["rows"]
    out = [
        f"# Bench of {result['date']}",
        f"{machine['processor']}, {machine['usable_cores']} of {machine['cores']} cores usable, cache "
        f"{machine['cache']}, memory {machine['memory']}, {machine['system']}; load {_load(machine['load'])} "
        f"before and {_load(result['load_after'])} after; {result['seconds']:.0f} s in all.",
        f"Ours: {_versions(rows, 'ours')}.\n\nPeer: {_versions(rows, 'peer')}.",
    ]
    if result["busy"]:
        out.append("**The machine was busy with other work: these times are not to be trusted.**")
    if rows:
        out.append(
            "One thread each, each side in a process of its own, bound to one core. Times are of the call "
            "alone; `with construction` adds making the kernel. The first call is in a fresh process, after "
            "import and reading the file. Ratios are of minima. Memory is the highest above what was "
            "resident before a warm call."
        )
        out.append(_table(HEAD, [_row(row) for row in rows]))
    if scaling := result.get("scaling"):
        table = []
        for s in scaling:
            if "wrong" in s:
                table.append([s["case"], s["data"], f"WRONG ANSWER: {s['wrong']}", "", "", ""])
                continue
            need = s["required"]
            word = "below 0.5 s" if need is None else f"{need} {'met' if s['speedup'] >= need else 'MISSED'}"
            times = [seconds(s["seconds_1"]), seconds(s["seconds_2"])]
            table.append([s["case"], s["data"], *times, f"{s['speedup']:.2f}", word])
        head = ["case", "data", "1 thread", "2 threads", "times faster", "required"]
        out.append("Two threads, same bits as one:\n\n" + _table(head, table))
    if imports := result.get("imports"):
        lines = [[n, seconds(min(s)), seconds(median(s))] for n, s in imports["seconds"].items()]
        word = "within" if imports["ratio"] <= imports["required"] else "ABOVE"
        out.append(_table(["import", "min", "median"], lines))
        out.append(
            f"ferrocyte takes {imports['ratio']:.2f} times anndata: {word} the limit "
            f"of {imports['required']}."
        )
    for title, key in (("Wrong answers", "wrong"), ("Missed", "missed")):
        if result[key]:
            out.append(f"{title}:\n\n" + "\n".join(f"- {line}" for line in result[key]))
    return "\n\n".join(out) + "\n"
