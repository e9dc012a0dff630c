"""The service over real sockets, with answers that depend on every count, gene and name."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

for folder in (Path(__file__).parent, Path(__file__).parents[1] / "cas"):
    sys.path.insert(0, str(folder))

from cas_cells import SCHEMA  # noqa: E402
from reference.patience import QUICK  # noqa: E402
from served import FakeRoutes, Running  # noqa: E402


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch):
    """Neither tokens nor proxies of the machine."""
    for name in ("CAS_API_TOKEN", "CAS_API_URL", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def routes():
    return FakeRoutes(SCHEMA)


@pytest.fixture
def start(routes):
    """Services, stopped in the end."""
    running = []

    def begin(load=None, **options):
        running.append(Running(load or (lambda: routes), **options).__enter__())
        return running[-1]

    yield begin
    for server in running:
        server.__exit__(None, None, None)


@pytest.fixture(scope="module")
def shared():
    """One service without tokens for tests that leave nothing behind."""
    with Running(lambda: FakeRoutes(SCHEMA)) as server:
        yield server


@pytest.fixture
def make_client():
    from ferrocyte.cas import CASClient

    made = []

    def make(server, token="any.token", **options):
        made.append(CASClient(token, server.url, **{**QUICK, **options}))
        return made[-1]

    yield make
    for client in made:
        client.close()
