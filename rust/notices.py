"""Writes the licenses of the Rust crates that are linked into the extension, as the wheel must carry them.

    python rust/notices.py FILE

Crates and versions are those of Cargo.lock, the texts those of their sources, which cargo fetches. Texts that
several crates share are written once.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LINKED = "ferrocyte-py"
TEXTS = re.compile(r"^(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE|UNLICENSE)", re.I)
# Of licenses to choose from, the first of these; crates that name none of them are a case to look at.
CHOSEN = ("MIT", "BSD-2-Clause", "BSD-3-Clause", "Zlib", "Apache-2.0", "Unicode-3.0")


def metadata() -> dict[str, Any]:
    """What cargo knows of the workspace on this machine."""
    host = re.search(r"^host: (\S+)$", subprocess.check_output(["rustc", "-vV"], text=True), re.M)
    if host is None:
        raise SystemExit("rustc does not tell its host")
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", host[1]]
    found: dict[str, Any] = json.loads(subprocess.check_output(command, cwd=ROOT, text=True))
    return found


def linked(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Packages that end up in the binary: no macros, nothing for builds or tests alone, nothing of ours."""
    packages = {p["id"]: p for p in found["packages"]}
    nodes = {n["id"]: n for n in found["resolve"]["nodes"]}
    macros = {i for i, p in packages.items() if any("proc-macro" in t["kind"] for t in p["targets"])}
    queue = [i for i, p in packages.items() if p["name"] == LINKED]
    seen = set(queue)
    while queue:
        for dependency in nodes[queue.pop()]["deps"]:
            normal = any(kind["kind"] is None for kind in dependency["dep_kinds"])
            if normal and dependency["pkg"] not in seen | macros:
                seen.add(dependency["pkg"])
                queue.append(dependency["pkg"])
    others = [packages[i] for i in seen if packages[i]["source"] is not None]
    return sorted(others, key=lambda p: (p["name"], p["version"]))


def texts(package: dict[str, Any]) -> list[str]:
    """Texts of the licenses of a package; of several to choose from the one that is chosen."""
    folder = Path(package["manifest_path"]).parent
    files = sorted(p for p in folder.iterdir() if p.is_file() and TEXTS.match(p.name))
    allowed = package["license"] or ""
    chosen = next((name for name in CHOSEN if name in allowed), None)
    if chosen is None:
        raise SystemExit(f"{package['name']} {package['version']} has the license {allowed!r}: look at it")
    named = [p for p in files if chosen.split("-")[0].lower() in p.name.lower()]
    others = [p for p in files if not re.search(r"mit|apache|bsd|zlib|unlicense", p.name, re.I)]
    kept = named + [p for p in others if p not in named] or files
    return [p.read_text(encoding="utf-8", errors="replace").strip() for p in kept]


def notices(found: dict[str, Any]) -> str:
    """The whole file."""
    packages = linked(found)
    by_text: dict[str, list[str]] = {}
    without = []
    lines = ["Rust crates that are linked into ferrocyte._core, and their licenses.", ""]
    for package in packages:
        name = f"{package['name']} {package['version']}"
        authors = ", ".join(re.sub(r"\s*<.*?>", "", a) for a in package["authors"])
        lines.append(f"{name}: {package['license']}{f' ({authors})' if authors else ''}")
        found_texts = texts(package)
        for text in found_texts:
            by_text.setdefault(text, []).append(name)
        if not found_texts:
            without.append(name)
    if without:
        lines += ["", f"Without a file of the text: {', '.join(without)}."]
    for text, names in by_text.items():
        lines += ["", "-" * 100, ", ".join(names), "", text]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(notices(metadata()), encoding="utf-8")
