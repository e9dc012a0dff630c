"""What a client knows about its service: who asks, which models there are, how many cells are left."""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel, Field, TypeAdapter

from ferrocyte._errors import InvalidOptionError, InvalidTypeError, suggest
from ferrocyte.cas._http import Request, Response, Secret, Transport
from ferrocyte.cas._retry import Asker, Failed, Policy, Told
from ferrocyte.cas._upload import GeneList
from ferrocyte.cas.errors import CASError, ClientTooOldError
from ferrocyte.cas.models import CellOntologyResource, OntologicalColumnInfo

__all__ = ["PROTOCOL_VERSION", "UNLIMITED", "Model", "Quota", "Service"]

T = TypeVar("T")
# The version of the protocol that is spoken here, which the service compares with the oldest it still speaks.
PROTOCOL_VERSION = "1.8.0"
GENERAL = "api/cellarium-general"
# A weekly quota that says that nobody counts; the protocol has no word for it.
UNLIMITED = 1_000_000_000
# Seconds between lines about questions that are asked again, of which several are on their way at the start.
_TELL_EVERY = 2.0
_logger = logging.getLogger(__name__)


class _User(BaseModel):
    username: str
    email: str | None = None


class _Version(BaseModel):
    is_valid: bool
    min_version: str


class _Application(BaseModel):
    application_version: str
    default_feature_schema: str | None = None


class Model(BaseModel, protected_namespaces=()):
    """A model of the service."""

    model_name: str
    schema_name: str
    description: str | None = None
    is_default_model: bool = False
    embedding_dimension: int | None = None
    ontological_columns: list[OntologicalColumnInfo] = Field(default_factory=list)


class Quota(BaseModel):
    """How many cells the account may still annotate."""

    weekly_quota: int
    remaining_weekly_quota: int
    quota_reset_date: str
    lifetime_quota: int | None = None
    remaining_lifetime_quota: int | None = None

    @property
    def left(self) -> int:
        """Cells that can be annotated now."""
        lifetime = self.remaining_lifetime_quota
        week = self.remaining_weekly_quota
        return max(0, week if lifetime is None else min(week, lifetime))

    @property
    def is_unlimited(self) -> bool:
        """Whether nobody counts."""
        return self.weekly_quota >= UNLIMITED and self.remaining_lifetime_quota is None

    def lines(self) -> list[str]:
        """For people."""
        out = ["Weekly quota: unlimited"]
        if self.weekly_quota < UNLIMITED:
            out = [
                f"Weekly quota: {self.remaining_weekly_quota:,} of {self.weekly_quota:,} cells left; "
                f"renewed on {self.quota_reset_date.replace('T', ' ')}"
            ]
        if self.lifetime_quota is None and self.remaining_lifetime_quota is None:
            out.append("Lifetime quota: unlimited")
        else:
            of = "" if self.lifetime_quota is None else f" of {self.lifetime_quota:,}"
            out.append(f"Lifetime quota: {self.remaining_lifetime_quota or 0:,}{of} cells left")
        return out


class Service:
    """Short questions to a service, and their answers, kept.

    Parameters
    ----------
    transport : Transport
    policy : Policy
    secret : Secret
    lookup_timeout : float
        Seconds for all attempts at one of these questions. They are answered at once or not at all, so that
        one attempt gets half of it.
    """

    def __init__(self, transport: Transport, policy: Policy, secret: Secret, lookup_timeout: float) -> None:
        self.transport = transport
        self.policy = policy
        self.secret = secret
        self.session_id = str(uuid.uuid4())
        self.models: list[Model] = []
        self._user: _User | None = None
        self._version: _Version | None = None
        self._schemas: dict[str, GeneList] = {}
        self._resources: dict[str, CellOntologyResource] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._quota: tuple[float, Quota] | None = None
        short = replace(policy, request_timeout=min(policy.request_timeout, lookup_timeout / 2))
        if lookup_timeout < policy.total_timeout:
            short = replace(short, total_timeout=lookup_timeout, option="lookup_timeout")
        told = Told(_logger, short.attempts, every=_TELL_EVERY)
        self._asker = Asker(transport, short, secret, on_retry=told, was_there=False)

    def headers(self, action: str | None = None) -> dict[str, str]:
        """Who asks, and as part of which call."""
        out = {"x-client-session-id": self.session_id}
        if action is not None:
            out["x-client-action-id"] = action
        return out

    async def ask(
        self, method: str, path: str, adapter: TypeAdapter[T], action: str | None = None, json: Any = None
    ) -> T:
        """A short question.

        Raises
        ------
        CASError
        """

        def parse(response: Response) -> T:
            if response.parsed is not None:
                return adapter.validate_python(response.parsed)
            return adapter.validate_json(response.body)

        request = Request(method, path, self.headers(action), json=json)
        try:
            return (await self._asker.ask(request, parse))[0]
        except Failed as failed:
            raise failed.error from failed.error.__cause__

    def _lock(self, name: str) -> asyncio.Lock:
        """One of a kind at a time; locks belong to a loop."""
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._loop, self._locks = loop, {}
        return self._locks.setdefault(name, asyncio.Lock())

    async def start(self, action: str) -> None:
        """Check token and version and learn the models, side by side; once.

        Raises
        ------
        AuthenticationError, ClientTooOldError, CASError
        """
        async with self._lock("start"):
            if self.models:
                return
            tasks = [
                asyncio.ensure_future(t)
                for t in (self._check_user(action), self._check_version(action), self._list_models(action))
            ]
            try:
                _, _, models = await asyncio.gather(*tasks)
            except BaseException:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                raise
            if not models:
                raise CASError("The service offers no models to this account.")
            self.models = models

    async def _check_user(self, action: str) -> None:
        if self._user is None:
            self._user = await self.ask("GET", f"{GENERAL}/validate-token", TypeAdapter(_User), action)

    async def _list_models(self, action: str) -> list[Model]:
        return await self.ask("GET", f"{GENERAL}/list-models", TypeAdapter(list[Model]), action)

    async def _check_version(self, action: str) -> None:
        if self._version is None:
            self._version = await self.check_version(action)

    async def check_version(self, action: str) -> _Version:
        """Ask whether the service speaks our version.

        Raises
        ------
        ClientTooOldError
        """
        version = await self.ask(
            "POST",
            f"{GENERAL}/validate-client-version",
            TypeAdapter(_Version),
            action,
            json={"client_version": PROTOCOL_VERSION},
        )
        if not version.is_valid:
            raise ClientTooOldError(
                f"The service speaks version {version.min_version} of the protocol and later, this package "
                f"{PROTOCOL_VERSION}. Upgrade ferrocyte."
            )
        return version

    def model(self, name: Any) -> Model:
        """A model by name; None and ``"default"`` mean the default one.

        Raises
        ------
        InvalidTypeError, InvalidOptionError
        """
        if name is not None and not isinstance(name, str):
            raise InvalidTypeError(
                f"Expected the name of a model to be a string or None, found `{type(name).__name__}`."
            )
        names = [model.model_name for model in self.models]
        if name in names:
            return self.models[names.index(name)]
        if name is None or name == "default":
            return next((m for m in self.models if m.is_default_model), self.models[0])
        raise InvalidOptionError(f"The service has no model {name!r}.{suggest(name, names)}")

    async def schema(self, name: str, action: str | None = None) -> GeneList:
        """The genes of a schema."""
        async with self._lock(f"schema {name}"):
            if name not in self._schemas:
                genes = await self.ask(
                    "GET", f"{GENERAL}/feature-schema/{name}", TypeAdapter(list[str]), action
                )
                if not genes:
                    raise CASError(f"The service has no genes in its schema {name!r}.")
                self._schemas[name] = GeneList(genes)
            return self._schemas[name]

    async def model_and_genes(self, name: Any, action: str) -> tuple[Model, GeneList]:
        """A model by name, and the genes that it reads."""
        await self.start(action)
        model = self.model(name)
        return model, await self.schema(model.schema_name, action)

    async def resource(self, name: str, action: str | None = None) -> CellOntologyResource:
        """An ontology."""
        async with self._lock(f"resource {name}"):
            if name not in self._resources:
                self._resources[name] = await self.ask(
                    "GET",
                    f"{GENERAL}/cell-ontology-resource/{name}",
                    TypeAdapter(CellOntologyResource),
                    action,
                )
            return self._resources[name]

    async def quota(self, action: str | None = None) -> Quota:
        """The quota as it is now."""
        return await self.ask("GET", f"{GENERAL}/quota", TypeAdapter(Quota), action)

    async def recent_quota_left(self) -> int:
        """Cells left, at most a second ago: many refusals at a time lead to one question."""
        async with self._lock("quota"):
            if self._quota is None or time.monotonic() - self._quota[0] > 1.0:
                self._quota = time.monotonic(), await self.quota()
            return self._quota[1].left
