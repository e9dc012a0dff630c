"""Runs the benches: ours against CellRank 2.0.7, in one run, answers first.

    python benches/run.py                       # everything, some hours
    python benches/run.py --cases velocity-correlation,cbc --data sim_3k
    python benches/run.py --parts imports,scaling
    python benches/run.py --name estimators --parts cases --cases schur,fates-3-fast,fates-3-slow

Each measurement is a fresh process, bound to as many processors as it has threads, with every thread pool set
to that number. It makes the first call, then warm repeats, each on a new object so that nothing cached is
measured. Both sides read the same file. Where the answers differ the case fails, its times are not reported,
and the exit code is 1. Ratios are of the fastest repeats. Data are simulated once and kept in the cache
directory.

The peer needs an environment of its own, made from `benches/peer-requirements.txt`; its interpreter is given
by `--peer` or `FERROCYTE_PEER_PYTHON`, by default `.venv-peer/bin/python`. Cases with `slepc` run in another,
which has SLEPc (`benches/slepc-requirements.txt` says how it is made), given by `--slepc` or
`FERROCYTE_SLEPC_PYTHON`; without it ours runs alone there.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import answers
import numpy as np
from config import HERE, load
from data import ensure
from machine import describe, environment
from report import markdown

ROOT = HERE.parent
PARTS = ("cases", "imports", "scaling")
IMPORT_REPEATS = 7
BUSY = 0.5  # load before the start above which times mean little


def options() -> argparse.Namespace:
    """Command line."""
    p = argparse.ArgumentParser(description="Time ferrocyte against CellRank 2.0.7.")
    peer = os.environ.get("FERROCYTE_PEER_PYTHON", str(ROOT / ".venv-peer" / "bin" / "python"))
    cache = Path(os.environ.get("FERROCYTE_BENCH_CACHE", Path(tempfile.gettempdir()) / "ferrocyte-benches"))
    p.add_argument("--peer", default=peer, help="interpreter of the peer's environment (%(default)s)")
    slepc = os.environ.get("FERROCYTE_SLEPC_PYTHON", "")
    p.add_argument("--slepc", default=slepc, help="interpreter of a peer's environment that has SLEPc")
    p.add_argument("--cache", type=Path, default=cache, help="where the data are kept (%(default)s)")
    p.add_argument("--record", type=Path, default=HERE / "record", help="where the results go (%(default)s)")
    p.add_argument("--name", default="kernels", help="name in the file of the record (%(default)s)")
    p.add_argument("--cases", default="", help="comma-separated names; all by default")
    p.add_argument("--data", default="", help="comma-separated data sets; all by default")
    p.add_argument("--parts", default=",".join(PARTS), help="comma-separated; default %(default)s")
    p.add_argument("--ours-only", action="store_true", help="do not run the peer, compare nothing")
    p.add_argument("--strict", action="store_true", help="exit with 2 when a required figure is missed")
    return p.parse_args()


class WorkerFailedError(SystemExit):
    """A worker ended with an error."""


class WorkerStoppedError(SystemExit):
    """A worker took longer than it is given."""


class Bench:
    """One run: knows the options, the data made so far and the scratch directory for answers."""

    def __init__(self, opts: argparse.Namespace, scratch: Path) -> None:
        self.opts, self.scratch, self.config = opts, scratch, load()

    def data(self, name: str) -> Path:
        """Path of a data set of `cases.toml`."""
        return ensure(self.config["data"][name], self.config["simulate"], self.opts.cache)

    def cells(self, name: str) -> int:
        """Number of cells of a data set."""
        return int(self.config["data"][name]["cells"])

    def work(self, side: str, case: str, data: str, threads: int = 1) -> dict[str, Any]:
        """Run one worker; its report, with the path of its answer."""
        spec = self.config["case"][case]
        peer = self.opts.slepc if spec["slepc"] else self.opts.peer
        python = sys.executable if side == "ours" else peer
        stem = self.scratch / f"{side}-{case}-{data}-{threads}"
        answer, report = stem.with_suffix(".npz"), stem.with_suffix(".json")
        repeats = spec["repeats"] if side == "ours" else spec["peer_repeats"]
        command = [python, str(HERE / f"worker_{side}.py"), "--case", case, "--data", str(self.data(data))]
        command += ["--answer", str(answer), "--report", str(report)]
        command += ["--threads", str(threads), "--repeats", str(repeats)]
        limit = spec["peer_seconds"] if side == "peer" else None
        try:
            done = subprocess.run(
                command, env=environment(threads), capture_output=True, text=True, check=False, timeout=limit
            )
        except subprocess.TimeoutExpired:
            raise WorkerStoppedError(f"The {side} worker on {case}, {data} takes over {limit} s.") from None
        if done.returncode:
            tail = "\n".join(done.stderr.strip().splitlines()[-15:])
            raise WorkerFailedError(f"The {side} worker failed on {case}, {data}:\n{tail}")
        print(f"{side:>5} {data:>9} {done.stdout.strip()}", flush=True)
        return json.loads(report.read_text()) | {"answer": str(answer)}

    def case(self, name: str, data: str, alone: bool) -> dict[str, Any]:
        """One row of the table: both sides, the comparison, the ratios."""
        spec = self.config["case"][name]
        row: dict[str, Any] = {"case": name, "data": data, "cells": self.cells(data)}
        judged = spec["judged_on"] if isinstance(spec["judged_on"], list) else [spec["judged_on"]]
        row["ours"] = self.work("ours", name, data, threads=spec["threads"])
        if spec["memory"] and row["cells"] >= min(map(self.cells, judged)):
            # on small data the limit is of the size of the allocator's own steps
            row["memory_ok"] = self._memory_ok(row["ours"], spec)
        if (most := spec.get("seconds")) is not None:
            row["seconds_ok"] = min(row["ours"]["run"]) <= most
        if spec["check"]:
            try:
                own = answers.load(Path(row["ours"]["answer"]))
                row["checked"] = answers.CHECK[spec["check"]](own, spec, self.data(data))
            except answers.WrongAnswerError as error:
                print(f"WRONG {data:>9} {name}: {error}", flush=True)
                return row | {"wrong": str(error)}
        if not alone:
            try:
                row["peer"] = self.work("peer", name, data, threads=spec["threads"])
            except WorkerFailedError as error:
                if not spec["peer_may_fail"]:
                    raise
                row["checked"] = f"{row.get('checked', '')}; CellRank fails: {str(error).splitlines()[-1]}"
                return row
            except WorkerStoppedError:
                limit = spec["peer_seconds"]
                row["checked"] = f"{row.get('checked', '')}; CellRank was stopped after {limit} s"
                row["ratio"] = limit / min(row["ours"]["run"])
                if data in judged and "ratio" in spec:
                    row["required_ratio"] = spec["ratio"]
                return row
            try:
                ours, peer = (answers.load(Path(row[side]["answer"])) for side in ("ours", "peer"))
                compare = answers.COMPARE[spec["compare"]]
                row["difference"], row["compared"] = compare(ours, peer, spec, self.data(data))
            except answers.WrongAnswerError as error:
                print(f"WRONG {data:>9} {name}: {error}", flush=True)
                return row | {"wrong": str(error)}
            row |= self._ratios(row["ours"], row["peer"])
            if data in judged:
                for key in ("ratio", "first_ratio"):
                    if key in spec:
                        row[f"required_{key}"] = spec[key]
        return row

    def _memory_ok(self, report: dict[str, Any], spec: dict[str, Any]) -> bool | None:
        extra = report.get("peak_extra_bytes", -1)
        if extra < 0:
            return None
        if "memory_bytes" in spec:
            report["memory_limit"] = spec["memory_bytes"]
        else:
            share = spec.get("memory_share", self.config["limits"]["memory_share"])
            report["memory_limit"] = report["result_bytes"] + share * report["input_bytes"]
        return bool(extra <= report["memory_limit"])

    @staticmethod
    def _ratios(ours: dict[str, Any], peer: dict[str, Any]) -> dict[str, float]:
        whole = [min(np.add(r["construct"], r["run"])) for r in (ours, peer)]
        return {
            "ratio": min(peer["run"]) / min(ours["run"]),
            "ratio_median": float(np.median(peer["run"]) / np.median(ours["run"])),
            "first_ratio": peer["first"] / ours["first"],
            "ratio_with_construction": float(whole[1] / whole[0]),
        }

    def scaling(self, name: str, data: str) -> dict[str, Any]:
        """Two threads against one; the answers must be the same to the last bit."""
        runs = {n: self.work("ours", name, data, threads=n) for n in (1, 2)}
        one, two = (answers.load(Path(runs[n]["answer"])) for n in (1, 2))
        if any(not np.array_equal(one[key], two[key], equal_nan=True) for key in one):
            return {"case": name, "data": data, "wrong": "two threads give another answer than one"}
        seconds = {n: min(r["run"]) for n, r in runs.items()}
        limits = self.config["limits"]
        counted = seconds[1] >= limits["scaling_seconds"]
        return {
            "case": name,
            "data": data,
            "seconds_1": seconds[1],
            "seconds_2": seconds[2],
            "speedup": seconds[1] / seconds[2],
            "required": limits["scaling"] if counted else None,
        }

    def imports(self) -> dict[str, Any]:
        """Seconds of `import x` in fresh processes, ours and anndata's by turns."""
        sides = [("ferrocyte", sys.executable), ("anndata", sys.executable)]
        if not self.opts.ours_only:
            sides.append(("cellrank", self.opts.peer))
        seconds: dict[str, list[float]] = {name: [] for name, _ in sides}
        for turn in range(IMPORT_REPEATS + 1):
            for name, python in sides:
                code = f"import time; t = time.perf_counter(); import {name}; print(time.perf_counter() - t)"
                done = subprocess.run(
                    [python, "-W", "ignore", "-c", code],
                    env=environment(1),
                    capture_output=True,
                    text=True,
                    check=True,
                )
                if turn:  # the first one reads from a cold disk
                    seconds[name].append(float(done.stdout.splitlines()[-1]))
        ratio = min(seconds["ferrocyte"]) / min(seconds["anndata"])
        return {"seconds": seconds, "ratio": ratio, "required": self.config["limits"]["import_ratio"]}


def run(bench: Bench) -> dict[str, Any]:
    """All chosen parts."""
    opts, config = bench.opts, bench.config
    names = [n for n in opts.cases.split(",") if n] or list(config["case"])
    chosen = [d for d in opts.data.split(",") if d] or list(config["data"])
    parts = opts.parts.split(",")
    for given, known in ((names, config["case"]), (chosen, config["data"]), (parts, PARTS)):
        if unknown := [g for g in given if g not in known]:
            raise SystemExit(f"Unknown: {', '.join(unknown)}. There is: {', '.join(known)}.")
    started = datetime.datetime.now(datetime.UTC)
    result: dict[str, Any] = {
        "date": started.isoformat(timespec="seconds"),
        "machine": describe(),
        "rows": [],
    }
    before = result["machine"]["load"]
    result["busy"] = before is not None and before > BUSY
    if result["busy"]:
        print(f"The machine is busy (load {before:.2f}): the times below are not to be trusted.", flush=True)
    if "imports" in parts:
        result["imports"] = bench.imports()
    if "cases" in parts:
        for name in names:
            spec = config["case"][name]
            for data in [*spec["data"], *spec["ours_data"]]:
                if data in chosen:
                    no_peer = opts.ours_only or (spec["slepc"] and not opts.slepc)
                    alone = no_peer or data in spec["ours_data"]
                    result["rows"].append(bench.case(name, data, alone))
    if "scaling" in parts and describe()["usable_cores"] >= 2:
        wanted = [s for s in config["scaling"] if s["case"] in names and s["data"] in chosen]
        result["scaling"] = [bench.scaling(s["case"], s["data"]) for s in wanted]
    result["load_after"] = describe()["load"]
    result["seconds"] = (datetime.datetime.now(datetime.UTC) - started).total_seconds()
    return result


def verdicts(result: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Wrong answers and missed figures, in words."""
    wrong, missed = [], []
    for row in [*result["rows"], *result.get("scaling", [])]:
        where = f"{row['case']} on {row['data']}"
        if "wrong" in row:
            wrong.append(f"{where}: {row['wrong']}")
            continue
        for key in ("ratio", "first_ratio"):
            need = row.get(f"required_{key}")
            if need and row[key] < need:
                missed.append(f"{where}: {key} {row[key]:.1f}, required {need}")
        if row.get("memory_ok") is False:
            missed.append(f"{where}: more memory than allowed")
        if row.get("seconds_ok") is False:
            missed.append(f"{where}: takes longer than allowed")
        if row.get("required") and row["speedup"] < row["required"]:
            missed.append(f"{where}: two threads {row['speedup']:.2f} times one, required {row['required']}")
    imports = result.get("imports")
    if imports and imports["ratio"] > imports["required"]:
        missed.append(f"import: {imports['ratio']:.2f} times anndata, allowed {imports['required']}")
    return wrong, missed


def main() -> int:
    """Run, record, say what failed."""
    opts = options()
    if not opts.ours_only and not Path(opts.peer).exists():
        raise SystemExit(
            f"No peer at {opts.peer}. Make it from benches/peer-requirements.txt or pass --peer."
        )
    with tempfile.TemporaryDirectory(prefix="ferrocyte-answers-") as scratch:
        result = run(Bench(opts, Path(scratch)))
    result["wrong"], result["missed"] = verdicts(result)
    for row in result["rows"]:
        for side in ("ours", "peer"):
            row.get(side, {}).pop("answer", None)
    opts.record.mkdir(parents=True, exist_ok=True)
    file = opts.record / f"{result['date'][:10]}-{opts.name}.json"
    file.write_text(json.dumps(result, indent=1) + "\n")
    text = markdown(result)
    file.with_suffix(".md").write_text(text)
    print(f"\n{text}\nWritten to {file} and {file.with_suffix('.md').name}.")
    return 1 if result["wrong"] else 2 if opts.strict and result["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
