"""Tokens: who gets in, and what is kept of them."""

from __future__ import annotations

import os
import sqlite3
import stat
import time

import pytest
from cas_cells import cells
from ferrocyte._errors import FileFormatError, InvalidOptionError
from ferrocyte.cas.errors import AuthenticationError
from ferrocyte.cas.server import _tokens
from ferrocyte.cas.server._database import Database
from ferrocyte.cas.server._limits import Refusal
from ferrocyte.cas.server._serve import make_service
from ferrocyte.cas.server._tokens import Tokens
from uploads import GENERAL, HTTP, OPERATIONS, h5ad, on_schema, post


@pytest.fixture
def database(tmp_path):
    made = Database(tmp_path / "tokens.db")
    yield made
    made.close()


@pytest.fixture
def tokens(database):
    return Tokens(database)


def bearer(token):
    return {"authorization": f"Bearer {token}"}


@pytest.fixture
def guarded(start, tmp_path, tokens):
    """A service with tokens; it opens the database a second time, as a process of its own would."""
    return start(database=Database(tmp_path / "tokens.db"))


def test_a_token_opens_the_door(guarded, database, tokens, make_client):
    token = tokens.create(database.add_user("ann", "ann@x.org"))
    assert len(token.split(".")) == 2
    found = HTTP.get(f"{guarded.url}{GENERAL}/validate-token", headers=bearer(token)).json()
    assert found == {"username": "ann", "email": "ann@x.org", "should_ask_for_feedback": False}
    assert len(make_client(guarded, token).search_matrix(cells()).data) == 23
    with pytest.raises(AuthenticationError):
        make_client(guarded, "wrong.token").search_matrix(cells())


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer a",
        "Bearer a.b",
        "Bearer a.b.c",
        "Bearer .",
        "Basic YTpi",
        "Bearer " + "a." * 400,
    ],
)
def test_others_do_not(guarded, header):
    for path in (f"{GENERAL}/list-models", f"{GENERAL}/quota", "/metrics", f"{OPERATIONS}/cache-info"):
        found = HTTP.get(guarded.url + path, headers={"authorization": header} if header else {})
        assert found.status_code == 401
        assert found.headers["www-authenticate"] == "Bearer"
    upload = post(guarded, "annotate", b"junk", headers={"authorization": header} if header else None)
    assert upload.status_code == 401


def test_some_routes_need_none(guarded):
    for path in (f"{GENERAL}/application-info", "/healthz", "/api/docs", "/api/openapi.json"):
        assert HTTP.get(guarded.url + path).is_success
    asked = HTTP.post(f"{guarded.url}{GENERAL}/validate-client-version", json={"client_version": "1.8.0"})
    assert asked.json()["is_valid"] is True
    assert "security" in HTTP.get(f"{guarded.url}/api/openapi.json").json()


def test_the_secret_of_another_token_is_wrong(database, tokens):
    user = database.add_user("ann")
    one, two = tokens.create(user), tokens.create(user)
    assert tokens.verify(f"Bearer {one}") == user
    mixed = f"{one.partition('.')[0]}.{two.partition('.')[2]}"
    for _ in range(2):  # also when the right one is known
        with pytest.raises(Refusal, match="unknown"):
            tokens.verify(f"Bearer {mixed}")


def test_hashing_is_slow_once(database, tokens):
    token = tokens.create(database.add_user("ann"))
    for _ in range(5):
        tokens.verify(f"bearer {token}")
    assert tokens.cache_info()[:2] == (4, 1)


def test_revoked_tokens_are_refused_at_once(guarded, database, tokens):
    token = tokens.create(database.add_user("ann"))
    ask = lambda: HTTP.get(f"{guarded.url}{GENERAL}/quota", headers=bearer(token))  # noqa: E731
    assert ask().is_success
    tokens.revoke(token.partition(".")[0])
    assert ask().status_code == 401
    assert "revoked" in ask().json()["detail"]
    assert tokens.list()[0].revoked == pytest.approx(time.time(), abs=60)
    with pytest.raises(InvalidOptionError, match="token list"):
        tokens.revoke("nobody")


def test_tokens_expire(database, tokens, monkeypatch):
    token = tokens.create(database.add_user("ann"), days=1)
    tokens.verify(f"Bearer {token}")
    now = time.time()
    monkeypatch.setattr(_tokens.time, "time", lambda: now + 86_401)
    with pytest.raises(Refusal, match="expired"):
        tokens.verify(f"Bearer {token}")


def test_no_secret_is_kept(tmp_path, database, tokens):
    token = tokens.create(database.add_user("ann"))
    database.close()
    kept = b"".join(p.read_bytes() for p in tmp_path.iterdir())
    locator, secret = token.split(".")
    assert locator.encode() in kept
    assert secret.encode() not in kept
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "tokens.db").stat().st_mode) == 0o600


def test_only_administrators(guarded, database, tokens):
    ann = tokens.create(database.add_user("ann", "ann@x.org", lifetime_quota=10))
    root = tokens.create(database.add_user("root", admin=True))
    path = f"{guarded.url}{GENERAL}/increase-quota/ann@x.org"
    assert HTTP.post(path, headers=bearer(ann)).status_code == 403
    assert HTTP.get(f"{guarded.url}{OPERATIONS}/cache-info", headers=bearer(ann)).status_code == 403
    raised = HTTP.post(path, headers=bearer(root)).json()
    assert (raised["lifetime_quota"], raised["quota_increased"]) == (200_000, True)
    mine = HTTP.get(f"{guarded.url}{GENERAL}/quota", headers=bearer(ann)).json()
    assert mine["remaining_lifetime_quota"] == 200_000
    info = HTTP.get(f"{guarded.url}{OPERATIONS}/cache-info", headers=bearer(root)).json()
    assert [len(t) for t in info] == [4, 4]


def test_opting_out(guarded, database, tokens):
    token = tokens.create(database.add_user("ann"))
    with database.transaction() as db:
        db.execute("UPDATE users SET asks_for_feedback = 1")
    path = f"{guarded.url}{GENERAL}/"
    assert HTTP.get(path + "validate-token", headers=bearer(token)).json()["should_ask_for_feedback"] is True
    out = HTTP.post(path + "feedback/opt-out", headers=bearer(token)).json()
    assert out["should_ask_for_feedback"] is False
    assert HTTP.get(path + "validate-token", headers=bearer(token)).json() == out


def test_a_user_keeps_what_is_not_given_again(database):
    database.add_user("ann", "ann@x.org", weekly_quota=5)
    again = database.add_user("ann", lifetime_quota=7)
    assert again == database.add_user("ann")
    with database.transaction() as db:
        assert db.execute("SELECT weekly_quota, lifetime_quota FROM users").fetchall() == [(5, 7)]
    with pytest.raises(InvalidOptionError, match="address of its own"):
        database.add_user("bob", "ann@x.org")
    assert database.user("name", "bob") is None


@pytest.mark.parametrize("kind", ["text", "sqlite", "version"])
def test_other_files_are_refused(tmp_path, kind):
    path = tmp_path / "other.db"
    if kind == "text":
        path.write_text("no database at all, but long enough to look like one " * 9)
    elif kind == "sqlite":
        with sqlite3.connect(path) as db:
            db.execute("CREATE TABLE t (x)")
        db.close()
    else:
        Database(path).close()
        with sqlite3.connect(path) as db:
            db.execute("PRAGMA user_version = 99")
        db.close()
    before = path.read_bytes()
    with pytest.raises(FileFormatError, match="database of tokens"):
        Database(path)
    assert kind == "sqlite" or path.read_bytes() == before


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_who_can_be_reached_needs_tokens(tmp_path, host):
    with pytest.raises(InvalidOptionError, match="--tokens"):
        make_service([("a", tmp_path)], host=host)


def test_quota_is_per_user(guarded, database, tokens):
    users = {name: tokens.create(database.add_user(name, weekly_quota=10)) for name in ("ann", "bob")}
    path, file = "annotate-cell-type-ontology-aware-strategy", h5ad(on_schema(6))
    ask = lambda name: post(guarded, path, file, headers=bearer(users[name]), model_name="first")  # noqa: E731
    assert [ask(n).status_code for n in ("ann", "bob", "ann", "bob")] == [200, 200, 429, 429]
