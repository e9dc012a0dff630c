"""References that are served, and their exchange for new ones while questions are answered.

What is served at a time is a `Generation`. A question takes it once and keeps it to its end, so that a reload
changes no answer on its way; the last question of an old generation lets go of its files.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic_core import to_json

from ferrocyte.cas._upload import GeneList
from ferrocyte.cas.local import RouteError

__all__ = ["Generation", "References", "stamp_of"]

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Generation:
    """What is served at a time.

    Attributes
    ----------
    routes : ferrocyte.cas.local.Routes
        Or anything with its methods.
    default : str
        Name of the default model.
    genes : mapping of str to GeneList
        Of each model.
    documents : dict
        Answers that are large and the same for all who ask, as JSON; filled when first asked for.
    """

    routes: Any
    default: str
    genes: Mapping[str, GeneList]
    documents: dict[str, bytes]

    @classmethod
    def of(cls, routes: Any) -> Generation:
        """Of what answers questions."""
        models = routes.list_models()
        defaults = [model["model_name"] for model in models if model["is_default_model"]]
        schemas = {model["schema_name"] for model in models}
        lists = {name: GeneList(routes.feature_schema(name)) for name in schemas}
        genes = {model["model_name"]: lists[model["schema_name"]] for model in models}
        return cls(routes, defaults[0], genes, {})

    def genes_of(self, model_name: str) -> GeneList:
        """Genes of a model.

        Raises
        ------
        RouteError
            400 if there is no such model.
        """
        if model_name not in self.genes:
            there = ", ".join(repr(name) for name in self.genes)
            raise RouteError(400, f"There is no model {model_name[:100]!r}. Available: {there}.")
        return self.genes[model_name]


class References:
    """The generation that is served, and how to get the next one.

    Parameters
    ----------
    load : callable
        Opens the references and gives a `Routes` over them.
    stamp : callable, optional
        Gives something that changes when the references have changed on disk.

    Attributes
    ----------
    current : Generation
    """

    def __init__(self, load: Callable[[], Any], stamp: Callable[[], Any] | None = None) -> None:
        self._load = load
        self._stamp = stamp
        self._lock = threading.Lock()
        self._seen = None if stamp is None else stamp()
        self.current = Generation.of(load())
        self.hits = self.misses = 0

    def reload(self) -> bool:
        """Serve what is on disk now; what was served stays if that can not be opened."""
        with self._lock:
            seen = None if self._stamp is None else self._stamp()
            try:
                self.current = Generation.of(self._load())
            except Exception as err:
                _logger.error("The references can not be reloaded, the old ones stay: %s", err)
                self._seen = seen  # not tried again until something changes
                return False
            self._seen = seen
        _logger.info("References reloaded: %s", ", ".join(self.current.genes))
        return True

    def changed(self) -> bool:
        """Whether the references on disk are others than those that are served."""
        return self._stamp is not None and self._stamp() != self._seen

    async def watch(self, seconds: float, reloaded: Callable[[bool], None]) -> None:
        """Reload when something has changed, and stayed the same for a while; never returns."""
        while True:
            await asyncio.sleep(seconds)
            if not self.changed() or self._stamp is None:
                continue
            # A folder that is being copied is not read halfway.
            before = self._stamp()
            await asyncio.sleep(seconds)
            if self._stamp() == before:
                reloaded(await asyncio.to_thread(self.reload))

    def document(self, generation: Generation, name: str, make: Callable[[], Any]) -> bytes:
        """A large answer as JSON, made once a generation."""
        found = generation.documents.get(name)
        if found is None:
            self.misses += 1
            found = generation.documents[name] = to_json(make())
        else:
            self.hits += 1
        return found

    def cache_info(self) -> tuple[int, int, int, int]:
        """Hits, misses, most and number of documents that are kept."""
        n = len(self.current.documents)
        return self.hits, self.misses, 2 * len(self.current.genes), n


def stamp_of(paths: Iterable[Path]) -> tuple[Any, ...]:
    """Changes when a folder, or a file right in it, is written or exchanged."""
    found: list[Any] = []
    for path in paths:
        try:
            items = [path, *(sorted(path.iterdir()) if path.is_dir() else ())]
            states = [item.stat() for item in items]
        except OSError:  # in the middle of being exchanged
            found.append((path, None))
            continue
        found.extend((s.st_ino, s.st_mtime_ns, s.st_size) for s in states)
    return tuple(found)
