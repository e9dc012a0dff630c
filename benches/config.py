"""Reads `cases.toml`. Standard library only: the peer's environment imports it too."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent


def load() -> dict[str, Any]:
    """The whole file, with the defaults filled into every case."""
    with (HERE / "cases.toml").open("rb") as f:
        config = tomllib.load(f)
    config["case"] = {c["name"]: config["defaults"] | c for c in config["case"]}
    config["data"] = {name: d if isinstance(d, dict) else {"cells": d} for name, d in config["data"].items()}
    return config


def find_case(name: str) -> dict[str, Any]:
    """The case of that name."""
    cases = load()["case"]
    if name not in cases:
        raise SystemExit(f"No case {name!r} in cases.toml. Cases: {', '.join(cases)}.")
    return cases[name]
