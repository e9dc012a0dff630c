"""A service, and clients of it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from cas_cells import SCHEMA
from cas_server import TOKEN, Server
from reference.patience import QUICK


@pytest.fixture(autouse=True)
def no_surroundings(monkeypatch):
    """Neither tokens nor proxies of the machine."""
    for name in ("CAS_API_TOKEN", "CAS_API_URL", "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def server():
    with Server(SCHEMA) as server:
        yield server


@pytest.fixture
def make_client(server):
    """A client with short pauses; closed in the end."""
    from ferrocyte.cas import CASClient

    made = []

    def make(token=TOKEN, url=None, **options):
        made.append(CASClient(token, url or server.url, **{**QUICK, **options}))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def client(make_client):
    return make_client()
