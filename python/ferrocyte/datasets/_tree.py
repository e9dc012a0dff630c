"""Branching trees: which branch follows which, with what probability, and for how long."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ferrocyte._errors import InvalidDataError, InvalidOptionError, InvalidTypeError, suggest

__all__ = ["TREES", "Tree", "resolve_tree"]

Spec = Mapping[str, Mapping[str, Any]]
FIELDS = ("parent", "duration", "prob", "growth")


def _branch(parent: str | None, duration: float, prob: float = 1.0, growth: float = 0.0) -> dict[str, Any]:
    return {"parent": parent, "duration": duration, "prob": prob, "growth": growth}


TREES: dict[str, dict[str, dict[str, Any]]] = {
    "linear": {
        "stem": _branch(None, 1.0, growth=0.3),
        "A": _branch("stem", 2.0),
    },
    "bifurcation": {
        "stem": _branch(None, 1.0, growth=0.5),
        "A": _branch("stem", 1.5, 0.6, 0.8),
        "B": _branch("stem", 1.5, 0.4, 0.0),
    },
    "trifurcation": {
        "stem": _branch(None, 1.0, growth=0.5),
        "A": _branch("stem", 1.5, 0.5, 0.6),
        "B": _branch("stem", 1.2, 0.3, 0.2),
        "C": _branch("stem", 1.8, 0.2, -0.1),
    },
    "nested": {
        "stem": _branch(None, 1.0, growth=0.6),
        "P": _branch("stem", 1.2, 0.65, 0.7),
        "Q": _branch("stem", 1.0, 0.35, 0.3),
        "A": _branch("P", 1.4, 0.5, 0.6),
        "B": _branch("P", 1.2, 0.3, 0.1),
        "C": _branch("P", 1.6, 0.2, -0.2),
        "D": _branch("Q", 1.5, 0.6, 0.4),
        "E": _branch("Q", 1.3, 0.4, 0.0),
    },
    "blood": {
        "HSC": _branch(None, 1.0, growth=0.3),
        "CMP": _branch("HSC", 1.0, 0.6, 0.7),
        "LMPP": _branch("HSC", 1.1, 0.4, 0.5),
        "MEP": _branch("CMP", 1.0, 0.5, 0.8),
        "GMP": _branch("CMP", 1.0, 0.5, 0.8),
        "Ery": _branch("MEP", 1.5, 0.7, 0.9),
        "Mega": _branch("MEP", 1.2, 0.3, -0.1),
        "Mono": _branch("GMP", 1.2, 0.5, 0.4),
        "Neu": _branch("GMP", 1.5, 0.3, 0.5),
        "DC": _branch("GMP", 1.1, 0.2, 0.0),
        "B": _branch("LMPP", 1.6, 0.5, 0.5),
        "T": _branch("LMPP", 1.3, 0.3, 0.2),
        "NK": _branch("LMPP", 1.2, 0.2, 0.1),
    },
}
"""Built-in trees of `simulate`: name to description, in the form that `simulate` takes."""


@dataclass(frozen=True, eq=False)
class Tree:
    """A checked tree of branches, as arrays over branches.

    Attributes
    ----------
    names : tuple of str
        Branches.
    parent : ndarray of int, (n_branches,)
        Position of the parent, -1 for the root.
    duration, prob, growth, start : ndarray of float, (n_branches,)
        Length in units of pseudotime, probability among siblings, net growth rate, time of the start.
    decide : ndarray of float, (n_branches,)
        Time after the start at which the choice between siblings is open: the shortest duration among
        them, because a later choice could be told from how long the cell stays.
    below : ndarray of bool, (n_branches, n_branches)
        ``below[c, b]``: c is b or comes after it.
    leaves : ndarray of int, (n_fates,)
        Branches without children; the fates.
    leaf_prob : ndarray of float, (n_fates,)
        Probability of each fate at the root.
    down : ndarray of float, (n_branches, n_fates)
        Probability of each fate for a cell that is surely in the branch.
    path, path_length : ndarray of int, (n_fates, depth) and (n_fates,)
        Branches from the root to the leaf, padded with -1.
    """

    names: tuple[str, ...]
    parent: np.ndarray
    duration: np.ndarray
    prob: np.ndarray
    growth: np.ndarray
    start: np.ndarray
    decide: np.ndarray
    below: np.ndarray
    leaves: np.ndarray
    leaf_prob: np.ndarray
    down: np.ndarray
    path: np.ndarray
    path_length: np.ndarray

    @property
    def root(self) -> int:
        return int(np.flatnonzero(self.parent < 0)[0])

    @property
    def end(self) -> float:
        """Time at which the last branch is over."""
        return float((self.start + self.duration).max())

    @property
    def fate_names(self) -> list[str]:
        return [self.names[b] for b in self.leaves]

    def spec(self) -> dict[str, dict[str, Any]]:
        """The tree in the form that `simulate` takes."""
        parents = [None if p < 0 else self.names[p] for p in self.parent]
        rows = zip(self.names, parents, self.duration, self.prob, self.growth, strict=True)
        return {n: _branch(p, float(d), float(q), float(g)) for n, p, d, q, g in rows}


def resolve_tree(tree: str | Spec) -> Tree:
    """Look up a built-in tree or check a user's one.

    Raises
    ------
    InvalidOptionError
        If there is no built-in tree of that name.
    InvalidTypeError
        If `tree` is neither a string nor a mapping of mappings.
    InvalidDataError
        If the branches do not make up one tree with probabilities.
    """
    if isinstance(tree, str):
        if tree not in TREES:
            raise InvalidOptionError(f"Unknown tree {tree!r}.{suggest(tree, TREES)}")
        tree = TREES[tree]
    if not isinstance(tree, Mapping) or not all(isinstance(v, Mapping) for v in tree.values()):
        raise InvalidTypeError(
            "Expected `tree` to be the name of a built-in tree or a dict of "
            "{name: {'parent': ..., 'duration': ..., 'prob': ..., 'growth': ...}}, "
            f"found {type(tree).__name__}. Built-in trees: {', '.join(map(repr, TREES))}."
        )
    parent = _parents(tree)
    duration = _numbers(tree, "duration", None, lambda x: x > 0, "a positive number")
    prob = _numbers(tree, "prob", 1.0, lambda x: 0 < x <= 1, "a number in (0, 1]")
    growth = _numbers(tree, "growth", 0.0, lambda x: True, "a finite number")
    return _build(tuple(map(str, tree)), parent, duration, prob, growth)


def _parents(tree: Spec) -> np.ndarray:
    index = {name: i for i, name in enumerate(tree)}
    for name, branch in tree.items():
        for field in branch:
            if field not in FIELDS:
                raise InvalidDataError(f"Unknown field {field!r} of branch {name!r}.{suggest(field, FIELDS)}")
        up = branch.get("parent")
        if up is not None and up not in index:
            raise InvalidDataError(f"Branch {name!r} has the parent {up!r}, no branch.{suggest(up, tree)}")
    parent = np.array(
        [-1 if b.get("parent") is None else index[b["parent"]] for b in tree.values()], dtype=np.int64
    )
    roots = [name for name, p in zip(tree, parent, strict=True) if p < 0]
    if len(roots) != 1:
        raise InvalidDataError(
            f"Expected exactly one branch without a parent, found {len(roots)}: {roots}. "
            "Name the parent of each of the others."
        )
    for i, name in enumerate(tree):
        b, steps = i, 0
        while b >= 0 and steps <= len(tree):
            b, steps = int(parent[b]), steps + 1
        if b >= 0:
            raise InvalidDataError(
                f"Branch {name!r} is its own ancestor. Make the parents lead to {roots[0]!r}."
            )
    return parent


def _numbers(tree: Spec, field: str, default: float | None, valid: Any, what: str) -> np.ndarray:
    out = np.empty(len(tree))
    for i, (name, branch) in enumerate(tree.items()):
        value = branch.get(field, default)
        if not isinstance(value, (int, float, np.integer, np.floating)) or isinstance(value, bool):
            raise InvalidDataError(f"Expected {field!r} of branch {name!r} to be {what}, found {value!r}.")
        if not math.isfinite(value) or not valid(value):
            raise InvalidDataError(f"Expected {field!r} of branch {name!r} to be {what}, found {value!r}.")
        out[i] = value
    return out


def _build(
    names: tuple[str, ...], parent: np.ndarray, duration: np.ndarray, prob: np.ndarray, growth: np.ndarray
) -> Tree:
    n = len(names)
    prob = np.where(parent < 0, 1.0, prob)
    for b in range(n):
        kids = np.flatnonzero(parent == b)
        if kids.size and abs(prob[kids].sum() - 1) > 1e-9:
            given = {names[k]: float(prob[k]) for k in kids}
            raise InvalidDataError(
                f"Expected the probabilities of the branches after {names[b]!r} to add up to 1, found "
                f"{prob[kids].sum():g}: {given}. Change 'prob' of these branches."
            )
    paths = []
    for b in range(n):
        chain = [b]
        while parent[chain[-1]] >= 0:
            chain.append(int(parent[chain[-1]]))
        paths.append(chain[::-1])
    below = np.zeros((n, n), dtype=bool)
    for b in range(n):
        below[b, paths[b]] = True
    leaves = np.array([b for b in range(n) if not (parent == b).any()])
    leaf_prob = np.array([prob[paths[b]].prod() for b in leaves])
    down = np.zeros((n, leaves.size))
    path = np.full((leaves.size, max(len(paths[b]) for b in leaves)), -1)
    for j, leaf in enumerate(leaves):
        path[j, : len(paths[leaf])] = paths[leaf]
        for i, b in enumerate(paths[leaf]):
            down[b, j] = prob[paths[leaf][i + 1 :]].prod()
    return Tree(
        names=names,
        parent=parent,
        duration=duration,
        prob=prob,
        growth=growth,
        start=np.array([duration[p[:-1]].sum() for p in paths]),
        decide=np.array([duration[parent == parent[b]].min() for b in range(n)]),
        below=below,
        leaves=leaves,
        leaf_prob=leaf_prob / leaf_prob.sum(),
        down=down / down.sum(1, keepdims=True),
        path=path,
        path_length=np.array([len(paths[b]) for b in leaves]),
    )
