"""Quotas, to the cell."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from cas_cells import cells
from ferrocyte.cas.errors import AnnotationIncompleteError, CASWarning, QuotaExceededError
from ferrocyte.cas.server import _quota
from ferrocyte.cas.server._database import Database
from ferrocyte.cas.server._limits import Refusal
from ferrocyte.cas.server._quota import Quotas, week_of
from ferrocyte.cas.server._tokens import Tokens
from reference.patience import LONG
from uploads import GENERAL, HTTP, h5ad, on_schema, post

ONTOLOGY = "annotate-cell-type-ontology-aware-strategy"


class Account:
    """A user of a service."""

    def __init__(self, start, path, **quota):
        self.database = Database(path)
        self.user = self.database.add_user("ann", **quota)
        self.token = Tokens(self.database).create(self.user)
        self.headers = {"authorization": f"Bearer {self.token}"}
        self.server = start(database=Database(path))
        self.quotas = Quotas(self.database)

    def quota(self):
        return HTTP.get(f"{self.server.url}{GENERAL}/quota", headers=self.headers).json()

    def post(self, n=5, path=ONTOLOGY, file=None, **more):
        headers = {**self.headers, **more.pop("headers", {})}
        return post(
            self.server, path, file or h5ad(on_schema(n)), headers=headers, model_name="first", **more
        )


@pytest.fixture
def account(start, tmp_path):
    made = []

    def make(**quota):
        made.append(Account(start, tmp_path / "a.db", **quota))
        return made[-1]

    yield make
    for one in made:
        one.database.close()


def test_answered_cells_are_counted(account):
    ann = account(weekly_quota=12, lifetime_quota=100)
    assert ann.post(5).is_success
    assert ann.quota()["remaining_weekly_quota"] == 7
    assert ann.quota()["remaining_lifetime_quota"] == 95
    refused = ann.post(8)
    assert refused.status_code == 429
    assert "quota" in refused.json()["detail"]
    assert ann.post(7).is_success
    assert ann.quota()["remaining_weekly_quota"] == 0
    assert ann.quotas.counted(ann.user) == 12


def test_others_are_not(account):
    ann = account(weekly_quota=100)
    routes = ann.server.service.references.current.routes
    assert ann.post(5, path="nearest-neighbor-search").is_success
    assert ann.post(5, file=b"no file").status_code == 400
    routes.breaks = RuntimeError("no")
    assert ann.post(5).status_code == 500
    assert ann.quota()["remaining_weekly_quota"] == 100


def test_the_smaller_allowance_holds(account):
    ann = account(weekly_quota=100, lifetime_quota=6)
    assert ann.post(5).is_success
    assert ann.quota()["remaining_weekly_quota"] == 1
    assert ann.post(2).status_code == 429
    assert ann.post(1).is_success


def test_what_is_sent_again_is_not_counted_again(account):
    """A client whose connection broke repeats its request: same action, same file, same options."""
    ann = account(weekly_quota=10)
    file = h5ad(on_schema(5))
    action = {"headers": {"x-client-action-id": "one"}}
    first = ann.post(file=file, **action)
    assert ann.post(file=file, **action).content == first.content
    assert ann.quota()["remaining_weekly_quota"] == 5
    assert ann.post(file=file, headers={"x-client-action-id": "two"}).is_success
    assert ann.quota()["remaining_weekly_quota"] == 0
    assert ann.post(file=file, **action).is_success  # still answered, though nothing is left
    assert ann.post(file=file, prune_threshold="0.5", **action).status_code == 429


@pytest.mark.parametrize("quota", [{"weekly_quota": 57}, {"weekly_quota": 1000, "lifetime_quota": 57}])
def test_exact_when_many_ask_at_once(account, quota):
    """Twenty requests of five cells each, at a time, on an allowance of 57: eleven are answered."""
    ann = account(**quota)
    files = [h5ad(on_schema(5, seed=i)) for i in range(20)]
    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(lambda f: ann.post(file=f).status_code, files))
    assert sorted(statuses) == [200] * 11 + [429] * 9
    assert ann.quotas.counted(ann.user) == 55
    assert ann.quota()["remaining_weekly_quota"] == 2


def test_exact_between_processes(tmp_path):
    """Two services on one file, as two connections: never more than there is."""
    one, two = Database(tmp_path / "a.db"), Database(tmp_path / "a.db")
    user = one.add_user("ann", weekly_quota=100)
    counted, statuses, barrier = [], set(), threading.Barrier(8)

    def ask(i):
        quotas = Quotas(one if i % 2 else two)
        barrier.wait(LONG)
        for k in range(10):
            try:
                counted.append(3 * quotas.count(user, 3, bytes([i, k])))
            except Refusal as refusal:
                statuses.add(refusal.status)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    assert statuses == {429}
    assert sum(counted) == 99 == Quotas(one).counted(user)
    one.close()
    two.close()


def test_the_client_stops_when_it_is_used_up(account, make_client):
    """Twenty cells are allowed and sent; somebody else spends eight meanwhile: two chunks are answered."""
    ann = account(weekly_quota=20)
    client = make_client(ann.server, ann.token, max_concurrent_requests=1)
    with pytest.raises(QuotaExceededError):  # seen before anything is sent
        client.annotate_matrix_cell_type_ontology_aware_strategy(cells(), chunk_size=5)
    assert ann.quotas.counted(ann.user) == 0
    routes = ann.server.service.references.current.routes
    routes.before = lambda: ann.quotas.count(ann.user, 8, b"somebody else")
    with pytest.warns(CASWarning, match="0 cells"), pytest.raises(AnnotationIncompleteError) as caught:
        client.annotate_matrix_cell_type_ontology_aware_strategy(cells()[:20].copy(), chunk_size=5)
    assert len(caught.value.partial.data) == 10
    assert isinstance(caught.value.failures[0].error, QuotaExceededError)
    assert ann.quotas.counted(ann.user) == 18


def test_a_week_begins_on_the_day_the_account_was_made():
    """Made on a Wednesday: the week of a Tuesday began six days before."""
    at = lambda *d: datetime(*d, tzinfo=UTC)  # noqa: E731
    made = at(2026, 7, 1, 15).timestamp()
    assert at(2026, 7, 1).strftime("%A") == "Wednesday"
    assert week_of(made, made) == at(2026, 7, 1)
    assert week_of(made, at(2026, 7, 7, 23, 59).timestamp()) == at(2026, 7, 1)
    assert week_of(made, at(2026, 7, 8).timestamp()) == at(2026, 7, 8)
    assert week_of(made, at(2026, 7, 14, 1).timestamp()) == at(2026, 7, 8)


def test_a_new_week_renews_the_weekly_quota_alone(tmp_path, monkeypatch):
    database = Database(tmp_path / "a.db")
    user = database.add_user("ann", weekly_quota=10, lifetime_quota=15)
    quotas = Quotas(database)
    now = _quota.time.time()
    quotas.count(user, 10, b"1")
    with pytest.raises(Refusal):
        quotas.count(user, 1, b"2")
    monkeypatch.setattr(_quota.time, "time", lambda: now + 7 * 86_400)
    assert quotas.document(user)["remaining_weekly_quota"] == 5  # the smaller of the two
    quotas.count(user, 5, b"2")
    with pytest.raises(Refusal):
        quotas.count(user, 1, b"3")
    database.close()
