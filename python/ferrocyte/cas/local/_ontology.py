"""The Cell Ontology: read from a release, and what scores and clients need of it.

Three forms are read: OBO, OBO Graphs JSON (both as the ontology is released), and a table of terms as JSON.
A release travels with the package, see `data/PROVENANCE.md`.
"""

from __future__ import annotations

import functools
import hashlib
import json
import lzma
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from ferrocyte._errors import FileFormatError, InvalidDataError

__all__ = ["ROOT", "UNKNOWN", "Ontology", "packaged_ontology", "read_ontology"]

ROOT = "CL:0000000"
UNKNOWN = -1
_FORMAT = "ferrocyte-ontology"


@dataclass(frozen=True)
class Term:
    """One live term."""

    label: str
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ontology:
    """Terms, sorted by id, and who is above whom.

    Attributes
    ----------
    name : str
        Under which clients ask for it.
    terms : dict of str to Term
        Sorted by id; parents are terms too.
    replaced : dict of str to str
        Terms that are no more, and what took their place.
    """

    name: str
    terms: dict[str, Term]
    replaced: dict[str, str] = field(default_factory=dict)

    @functools.cached_property
    def cl_names(self) -> list[str]:
        """Ids, sorted."""
        return list(self.terms)

    @functools.cached_property
    def labels(self) -> list[str]:
        """Labels, in the order of the ids."""
        return [term.label for term in self.terms.values()]

    @functools.cached_property
    def _index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.terms)}

    @functools.cached_property
    def _by_label(self) -> dict[str, int]:
        return {label.casefold(): i for i, label in reversed(list(enumerate(self.labels)))}

    def find(self, name: str) -> int:
        """Position of a term by its id, also one with an underscore or one that was replaced; else -1."""
        name = name.strip().replace("_", ":", 1)
        return self._index.get(self.replaced.get(name, name), UNKNOWN)

    def find_label(self, label: str) -> int:
        """Position of the term with this label, whatever its case; else -1."""
        return self._by_label.get(label.strip().casefold(), UNKNOWN)

    @functools.cached_property
    def parents(self) -> sp.csr_matrix:
        """Terms by their direct parents, 1 where there is an edge."""
        rows = [i for i, term in enumerate(self.terms.values()) for _ in term.parents]
        columns = [self._index[p] for term in self.terms.values() for p in term.parents]
        n = len(self.terms)
        return sp.csr_matrix((np.ones(len(rows), dtype=np.int32), (rows, columns)), shape=(n, n))

    @functools.cached_property
    def _closure(self) -> sp.csr_matrix:
        """Terms by themselves and all terms above them."""
        closure = (sp.identity(len(self.terms), dtype=np.int32, format="csr") + self.parents).tocsr()
        closure.data[:] = 1
        while True:
            # Paths of twice the length at each step.
            further = (closure @ closure).tocsr()
            further.data[:] = 1
            if further.nnz == closure.nnz:
                further.sort_indices()
                return further
            closure = further

    @functools.cached_property
    def upward(self) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
        """For each term itself and all above it: row pointers and sorted positions."""
        return self._closure.indptr.astype(np.int64), self._closure.indices.astype(np.int32)

    def _depths(self, longest: bool) -> dict[str, int]:
        """Steps from the root to each term that is below it."""
        if ROOT not in self._index:
            return {}
        down = self.parents.T.tocsr()
        depth = np.full(len(self.terms), -1)
        level = np.array([self._index[ROOT]])
        steps = 0
        # Level by level: a term is reached first by its shortest path, last by its longest.
        while len(level):
            depth[level] = steps
            steps += 1
            below = np.unique(down[level].indices)
            level = below if longest else below[depth[below] < 0]
        return {name: int(d) for name, d in zip(self.cl_names, depth, strict=True) if d >= 0}

    def _related(self, matrix: sp.csr_matrix) -> dict[str, list[str]]:
        """Ids of the others in each row."""
        names = self.cl_names
        return {
            name: [
                names[j] for j in np.sort(matrix.indices[matrix.indptr[i] : matrix.indptr[i + 1]]) if j != i
            ]
            for i, name in enumerate(names)
        }

    @functools.cached_property
    def _document(self) -> dict[str, Any]:
        return {
            "cl_names": self.cl_names,
            "cell_ontology_term_id_to_cell_type": dict(zip(self.cl_names, self.labels, strict=True)),
            "children_dictionary": self._related(self.parents.T.tocsr()),
            "shortest_path_lengths_from_cell_root": self._depths(longest=False),
            "longest_path_lengths_from_cell_root": self._depths(longest=True),
            "ancestors_dictionary": self._related(self._closure),
            "descendants_dictionary": self._related(self._closure.T.tocsr()),
        }

    def document(self) -> dict[str, Any]:
        """What clients get, as section 2 of the protocol has it; not to be changed."""
        return self._document

    def to_json(self) -> str:
        """For a file that :func:`read_ontology` reads."""
        terms = {name: {"label": t.label, "parents": list(t.parents)} for name, t in self.terms.items()}
        return json.dumps(
            {"format": _FORMAT, "name": self.name, "terms": terms, "replaced": self.replaced},
            ensure_ascii=False,
        )

    @classmethod
    def make(
        cls,
        name: str | None,
        labels: Mapping[str, str],
        parents: Mapping[str, Iterable[str]],
        replaced: Mapping[str, str],
        where: str,
    ) -> Ontology:
        """Keep terms of the Cell Ontology and edges between them.

        Raises
        ------
        InvalidDataError
            If there are none, or some are above themselves.
        """
        kept = sorted(t for t in labels if t.startswith("CL:"))
        if not kept:
            raise InvalidDataError(
                f"Expected terms of the Cell Ontology, as {ROOT!r}, in {where}, found none."
            )
        known = set(kept)
        terms = {
            t: Term(labels[t], tuple(sorted(p for p in set(parents.get(t, ())) if p in known))) for t in kept
        }
        digest = hashlib.blake2b(json.dumps([(t, v.label, v.parents) for t, v in terms.items()]).encode())
        out = cls(
            name or f"cl-{digest.hexdigest()[:12]}",
            terms,
            {old: new for old, new in sorted(replaced.items()) if new in known and old not in known},
        )
        if (closure := out._closure.multiply(out._closure.T)).nnz > len(terms):
            at = int(np.flatnonzero(np.diff(closure.tocsr().indptr) > 1)[0])
            raise InvalidDataError(f"The term {out.cl_names[at]!r} in {where} is above itself.")
        return out


def read_ontology(path: str | os.PathLike[str], name: str | None = None) -> Ontology:
    """Read the Cell Ontology.

    Parameters
    ----------
    path : path-like
        A release as ``.obo`` or ``.json`` (OBO Graphs), or JSON with ``{"terms": {id: {"label": …,
        "parents": […]}}}``.
    name : str, optional
        Name of the resource; by default one that follows from its terms.

    Returns
    -------
    Ontology
        Live terms with a label, their is_a edges, and replacements of terms that are no more.

    Raises
    ------
    FileFormatError
        For a file of another kind.
    InvalidDataError
        If it has no terms of the Cell Ontology, or a term is above itself.

    Examples
    --------
    >>> import json
    >>> import os
    >>> import tempfile
    >>> from ferrocyte.cas.local import read_ontology
    >>> terms = {"CL:0000000": {"label": "cell"}}
    >>> terms["CL:0000084"] = {"label": "T cell", "parents": ["CL:0000000"]}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "terms.json")
    ...     with open(path, "w") as file:
    ...         json.dump({"terms": terms}, file)
    ...     read_ontology(path).labels
    ['cell', 'T cell']
    """
    path = Path(path)
    where = repr(str(path))
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise FileFormatError(f"Expected an ontology as OBO or JSON in {where}, found no text.") from None
    if text.lstrip().startswith("{"):
        try:
            found = json.loads(text)
        except json.JSONDecodeError as err:
            raise FileFormatError(f"{where} is no JSON ({err}).") from None
        parts = _from_graphs(found) if "graphs" in found else _from_table(found, where)
        if found.get("format") == _FORMAT:
            name = name or found["name"]
    elif "[Term]" in text:
        parts = _from_obo(text)
    else:
        raise FileFormatError(f"Expected an ontology as OBO or JSON in {where}, found neither.")
    return Ontology.make(name, *parts, where)


_Parts = tuple[dict[str, str], dict[str, list[str]], dict[str, str]]


def _from_table(found: Any, where: str) -> _Parts:
    terms = found.get("terms")
    if not isinstance(terms, dict) or not all(isinstance(t, dict) for t in terms.values()):
        raise FileFormatError(f"Expected a key 'terms' with an object for each term in {where}.")
    live = {i: t for i, t in terms.items() if not t.get("deprecated") and t.get("label")}
    replaced = dict(found.get("replaced", {}))
    for old, term in terms.items():
        new = term.get("replaced_by")
        if term.get("deprecated") and new:
            replaced[old] = new if isinstance(new, str) else new[0]
    return (
        {i: str(t["label"]) for i, t in live.items()},
        {i: list(t.get("parents", [])) for i, t in live.items()},
        replaced,
    )


def _from_obo(text: str) -> _Parts:
    labels: dict[str, str] = {}
    parents: dict[str, list[str]] = {}
    replaced: dict[str, str] = {}
    for stanza in text.split("\n[")[1:]:
        kind, _, body = stanza.partition("]")
        if kind != "Term":
            continue
        tags: dict[str, list[str]] = {}
        for line in body.splitlines():
            tag, colon, value = line.partition(": ")
            if colon:
                # What follows is a comment with the label, or a qualifier in braces.
                value = value if tag == "name" else value.split(" ! ")[0].split(" {")[0]
                tags.setdefault(tag, []).append(value.strip())
        term = tags.get("id", [""])[0]
        if tags.get("is_obsolete") == ["true"]:
            if "replaced_by" in tags:
                replaced[term] = tags["replaced_by"][0]
        elif len(tags.get("name", [])) == 1:
            labels[term], parents[term] = tags["name"][0], tags.get("is_a", [])
    return labels, parents, replaced


def _from_graphs(found: Any) -> _Parts:
    def short(iri: str) -> str:
        return iri.rsplit("/", 1)[-1].replace("_", ":", 1)

    labels: dict[str, str] = {}
    parents: dict[str, list[str]] = {}
    replaced: dict[str, str] = {}
    for graph in found["graphs"]:
        for node in graph.get("nodes", []):
            meta = node.get("meta", {})
            if not meta.get("deprecated"):
                if node.get("lbl"):
                    labels[short(node["id"])] = node["lbl"]
                continue
            for value in meta.get("basicPropertyValues", []):
                if value.get("pred", "").endswith("IAO_0100001"):
                    replaced[short(node["id"])] = short(value["val"])
        for edge in graph.get("edges", []):
            if edge.get("pred") == "is_a":
                parents.setdefault(short(edge["sub"]), []).append(short(edge["obj"]))
    return labels, parents, replaced


@functools.cache
def packaged_ontology() -> Ontology:
    """The release of the Cell Ontology (CC BY 4.0) that travels with the package.

    Returns
    -------
    Ontology

    Examples
    --------
    >>> from ferrocyte.cas.local import packaged_ontology
    >>> ontology = packaged_ontology()
    >>> ontology.terms["CL:0000576"]
    Term(label='monocyte', parents=(...))
    """
    packed = resources.files("ferrocyte").joinpath("data", "cell_ontology.json.xz").read_bytes()
    found = json.loads(lzma.decompress(packed))
    return Ontology.make(found["name"], *_from_table(found, "the package"), "the package")
