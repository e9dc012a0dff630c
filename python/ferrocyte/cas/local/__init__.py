"""Annotation against a reference of one's own, on this machine."""

from __future__ import annotations

from ferrocyte.cas.local._build import EXACT_UP_TO, build_reference
from ferrocyte.cas.local._ontology import Ontology, packaged_ontology, read_ontology
from ferrocyte.cas.local._open import References, open_references
from ferrocyte.cas.local._reference import Reference
from ferrocyte.cas.local._routes import RouteError, Routes
from ferrocyte.cas.local._transport import LocalTransport

__all__ = [
    "EXACT_UP_TO",
    "LocalTransport",
    "Ontology",
    "Reference",
    "References",
    "RouteError",
    "Routes",
    "build_reference",
    "open_references",
    "packaged_ontology",
    "read_ontology",
]
