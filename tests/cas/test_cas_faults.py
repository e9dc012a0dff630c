"""Whatever the service or the line does, a cell is answered or named as failed; attempts and time end."""

from __future__ import annotations

import asyncio
import email.utils
import json
import logging
import pickle
import re
import socket
import time
import warnings
from dataclasses import replace

import pytest
from cas_cells import cells, right
from cas_server import Drip, Hang, Reset, Say, Spoil, summary_answer
from ferrocyte.cas import CASClient, _call, _retry, _service
from ferrocyte.cas._http import HttpTransport
from ferrocyte.cas.errors import (
    AnnotationIncompleteError,
    AuthenticationError,
    CASConnectionError,
    CASHTTPError,
    CASTimeoutError,
    CASWarning,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    ServerError,
    UnreachableError,
)
from reference.patience import LONG

BAD = "cell-9"  # in chunk 2 of 6 when there are 4 cells in a chunk
N, SIZE = 23, 4


def annotate(client, adata=None, **how):
    adata = cells(N) if adata is None else adata
    how = {"chunk_size": SIZE, "show_progress": False, **how}
    return client.annotate_matrix_cell_type_summary_statistics_strategy(adata, **how)


def incomplete(client, adata, **how):
    """The error of a call; what it carries is exact: every cell is answered once or named."""
    with pytest.raises(AnnotationIncompleteError) as caught:
        annotate(client, adata, **how)
    error = caught.value
    failed = [name for f in error.failures for name in f.cell_names]
    assert len(failed) == len(set(failed))
    assert not set(failed) & {a.query_cell_id for a in error.partial.data}
    left = adata[[name not in failed for name in adata.obs_names]]
    assert right(error.partial, left, summary_answer)
    assert [p for f in error.failures for p in f.positions] == sorted(
        p for f in error.failures for p in f.positions
    )
    assert error.failures[0].error is error.__cause__
    return error


def has_bad(upload):
    return BAD in upload.names


# What passes -----------------------------------------------------------------------------------------


def drop_a_row(answers):
    return answers[:-1]


def repeat_a_row(answers):
    return [*answers, answers[0]]


def swap_a_row(answers):
    return [*answers[:-1], {**answers[-1], "query_cell_id": "somebody else's"}]


def add_a_row(answers):
    return [*answers, {**answers[0], "query_cell_id": "somebody else's"}]


def empty_matches(answers):
    return [{**a, "matches": []} for a in answers]


def missing_field(answers):
    return [{k: v for k, v in a.items() if k != "matches"} for a in answers]


def text_for_number(answers):
    return [{**a, "matches": [{**a["matches"][0], "min_distance": "near"}]} for a in answers]


def as_nan(answers):
    return [{**a, "matches": [{**a["matches"][0], "min_distance": float("nan")}]} for a in answers]


def as_inf(answers):
    text = json.dumps(answers).replace('"min_distance": ', '"min_distance": 1e999, "was": ', 1)
    return text.encode()


def cut_short(answers):
    return json.dumps(answers).encode()[:-20]


HTML = Say(200, b"<html>Please log in</html>", {"content-type": "text/html; charset=utf-8"})
HTML_503 = Say(503, b"<html>Busy</html>", {"content-type": "text/html"})

# What is wrong with an upload for a while, and with which error it ends if it stays so.
RETRIED = {
    "408": (Say(408, {"detail": "slow"}), CASTimeoutError, 408),
    "429": (Say(429, {"detail": "Too many requests"}), ServerError, 429),
    "500": (Say(500, {"detail": "Error processing request"}), ServerError, 500),
    "502": (Say(502, b"Bad gateway", {"content-type": "text/plain"}), ServerError, 502),
    "503": (HTML_503, ServerError, 503),
    "504": (Say(504, b""), ServerError, 504),
    "520": (Say(520, {"error": "unknown"}), ServerError, 520),
    "reset after the upload": (Reset("after"), CASConnectionError, None),
    "reset while answering": (Reset("answering"), CASConnectionError, None),
    "hang": (Hang(), CASTimeoutError, None),
    "drip": (Drip(), CASTimeoutError, None),
    "html with 200": (HTML, InvalidResponseError, 200),
    "empty body": (Say(200, b""), InvalidResponseError, 200),
    "no list": (Say(200, {"data": []}), InvalidResponseError, 200),
    "null": (Say(200, None), InvalidResponseError, 200),
    "204": (Say(204, b"", {"content-type": "text/plain"}), InvalidResponseError, 204),
    "truncated": (Spoil(cut_short), InvalidResponseError, 200),
    "a cell missing": (Spoil(drop_a_row), InvalidResponseError, 200),
    "a cell twice": (Spoil(repeat_a_row), InvalidResponseError, 200),
    "a foreign cell": (Spoil(swap_a_row), InvalidResponseError, 200),
    "a cell too many": (Spoil(add_a_row), InvalidResponseError, 200),
    "no matches": (Spoil(empty_matches), InvalidResponseError, 200),
    "a field missing": (Spoil(missing_field), InvalidResponseError, 200),
    "text for a number": (Spoil(text_for_number), InvalidResponseError, 200),
    "NaN": (Spoil(as_nan), InvalidResponseError, 200),
    "infinity": (Spoil(as_inf), InvalidResponseError, 200),
}


@pytest.fixture
def time_outs(server, monkeypatch):
    """An attempt runs out of time once the service lets it hang or drip, and only then.

    With a clock, a busy machine would look like a service that hangs. Time-outs by the clock are below, where
    nothing has to come in time.
    """
    original = HttpTransport.request

    async def request(self, request):
        asked = f"/{request.path}"
        if request.upload is not None:
            asked = (await asyncio.to_thread(lambda: request.upload.counts)).names[0]
        answer = asyncio.ensure_future(original(self, request))
        try:
            while not answer.done():
                if asked in server.hanging:
                    server.hanging.remove(asked)
                    raise TimeoutError
                await asyncio.wait([answer], timeout=0.005)
            return answer.result()
        finally:
            answer.cancel()

    monkeypatch.setattr(HttpTransport, "request", request)


@pytest.mark.usefixtures("time_outs")
@pytest.mark.parametrize("name", RETRIED)
def test_asked_again_until_answered(server, client, name):
    fault = RETRIED[name][0]
    server.fault = lambda u: fault if has_bad(u) and u.attempt <= 2 else None
    adata = cells(N)
    assert right(annotate(client, adata), adata, summary_answer)
    assert set(server.answered.values()) == {1}
    assert sum(has_bad(u) for u in server.uploads) == 3


@pytest.mark.usefixtures("time_outs")
@pytest.mark.parametrize("name", RETRIED)
def test_given_up_after_all_attempts(server, make_client, name):
    """One chunk is lost for good, the others are not; all its cells are named."""
    fault, kind, status = RETRIED[name]
    server.fault = lambda u: fault if has_bad(u) else None
    client = make_client(num_attempts_per_chunk=3)
    error = incomplete(client, cells(N))
    (failure,) = error.failures
    assert failure.cell_names == ("cell-8", "cell-9", "cell-10", "cell-11")
    assert (failure.chunk, failure.attempts, failure.status) == (2, 3, status)
    assert type(failure.error) is kind
    assert sum(has_bad(u) for u in server.uploads) == 3
    assert len(server.uploads) == 5 + 3
    assert "4 of 23 cells have no answer" in str(error)
    assert "checkpoint=PATH" in str(error)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (Say(400, {"detail": "Unknown metadata"}), CASHTTPError),
        (Say(422, {"detail": [{"loc": ["body", "file"], "msg": "missing"}]}), CASHTTPError),
        (Say(418, b"teapot"), CASHTTPError),
        (Say(301, b"", {"Location": "http://example.invalid/"}), CASHTTPError),
    ],
    ids=["400", "422", "418", "301"],
)
def test_refused_once_is_refused(server, client, fault, kind):
    server.fault = lambda u: fault if has_bad(u) else None
    error = incomplete(client, cells(N))
    (failure,) = error.failures
    assert (failure.attempts, failure.status) == (1, fault.status)
    assert type(failure.error) is kind
    assert len(server.uploads) == 6


@pytest.mark.parametrize(
    ("status", "kind"),
    [(401, AuthenticationError), (403, PermissionDeniedError), (404, NotFoundError), (405, NotFoundError)],
)
def test_what_stops_everything(server, make_client, status, kind):
    """No chunk will be answered any more: those not sent yet are not sent, and say why."""
    server.fault = lambda u: Say(status, {"detail": "no"}) if u.number >= 2 else None
    error = incomplete(make_client(max_concurrent_requests=1), cells(N))
    assert len(server.uploads) == 3
    assert [f.attempts for f in error.failures] == [1, 0, 0, 0]
    assert {type(f.error) for f in error.failures} == {kind}
    assert len(error.partial.data) == 8


def test_an_expired_token_midway(server, make_client):
    def fault(upload):
        if upload.number == 2:
            server.token = "another"

    server.fault = fault
    error = incomplete(make_client(max_concurrent_requests=1), cells(N))
    assert len(error.partial.data) == 12
    assert {type(f.error) for f in error.failures} == {AuthenticationError}
    assert "get a new one" in str(error)


def test_one_bad_chunk_of_many_loses_no_other(server, client):
    server.fault = lambda u: Say(500, {}) if "cell-20" in u.names else None
    error = incomplete(client, cells(41), chunk_size=1)
    assert len(error.partial.data) == 40
    assert [f.cell_names for f in error.failures] == [("cell-20",)]


def test_partial_on_request(server, client):
    server.fault = lambda u: Say(400, {"detail": "bad"}) if has_bad(u) else None
    with pytest.warns(CASWarning, match="4 of 23 cells have no answer"):
        results = annotate(client, on_error="partial")
    assert len(results.data) == 19
    assert [f.cell_names[0] for f in results.failures] == ["cell-8"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", CASWarning)
        with pytest.raises(AnnotationIncompleteError) as caught:
            annotate(client, on_error="partial")
    assert len(caught.value.partial.data) == 19
    server.fault = None
    assert annotate(client, on_error="partial").failures == []


def test_a_mistake_of_ours_costs_one_chunk(server, client, monkeypatch):
    """Whatever happens to a chunk on this side, the answers of the others are kept."""
    from ferrocyte.cas._upload import Counts

    original = Counts.to_h5ad

    def broken(counts):
        if BAD in counts.names:
            raise MemoryError("no room")
        return original(counts)

    monkeypatch.setattr(Counts, "to_h5ad", broken)
    error = incomplete(client, cells(N))
    assert [type(f.error) for f in error.failures] == [MemoryError]
    assert len(error.partial.data) == 19


def test_errors_travel_between_processes(server, client):
    server.fault = lambda u: Say(400, {"detail": "bad"}) if has_bad(u) else None
    error = incomplete(client, cells(N))
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.partial.data) == (str(error), error.partial.data)
    assert [(f.cell_names, f.status, str(f)) for f in again.failures] == [
        (f.cell_names, f.status, str(f)) for f in error.failures
    ]


@pytest.mark.parametrize("when", ["before", "during"])
def test_reset_while_uploading(server, make_client, when):
    server.early = lambda n: Reset(when) if n in (1, 3) else None
    adata = cells(N)
    assert right(annotate(make_client(), adata), adata, summary_answer)
    assert set(server.answered.values()) == {1}
    server.early = lambda n: Reset(when)
    error = incomplete(make_client(num_attempts_per_chunk=2), cells(5))
    assert [f.attempts for f in error.failures] == [2, 2]
    assert {type(f.error) for f in error.failures} == {CASConnectionError}


def test_nobody_listens():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody else gets this port, and nobody listens
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        # Pauses of days: it is not asked again.
        silent = CASClient("a.b", url, retry_delay=1e5, max_retry_delay=1e5)
        with pytest.raises(UnreachableError, match=r"Nobody listens at http://127\.0\.0\.1:\d+\. Check"):
            annotate(silent, cells(3))
        with pytest.raises(UnreachableError, match="Nobody listens"):
            silent.print_user_quota()
        silent.close()


def test_a_host_that_nobody_knows(monkeypatch):
    def nobody(*args, **kwargs):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", nobody)
    client = CASClient("a.b", "http://cas.invalid", retry_delay=1e5, max_retry_delay=1e5)
    with pytest.raises(UnreachableError, match=r"The host 'cas\.invalid' is not known\. Check the address"):
        client.validate_version()
    client.close()


def test_a_service_that_was_there_may_come_back(server, make_client, monkeypatch):
    """Refused in the middle of its life, it is being started again."""
    client = make_client()
    client.validate_version()
    real, refused = HttpTransport.request, []

    async def request(self, request):
        if len(refused) < 3:
            refused.append(request.path)
            raise UnreachableError("Nobody listens.")
        return await real(self, request)

    monkeypatch.setattr(HttpTransport, "request", request)
    assert client.quota().left == 1_000_000
    assert len(refused) == 3


def warnings_of(caplog):
    """Of the client."""
    told = [r for r in caplog.records if r.name.startswith("ferrocyte.cas.") and r.levelno == logging.WARNING]
    return [record.getMessage() for record in told]


def test_what_is_asked_again_is_told(server, make_client, caplog, monkeypatch):
    """At the start from the first time on, but not for each of the questions that go side by side."""
    monkeypatch.setattr(_service, "_TELL_EVERY", LONG)
    server.route = lambda path, n: Say(503, {"detail": "waking up"}) if n < 2 else None
    client = make_client(retry_delay=0.01, max_retry_delay=0.02)
    assert client.allowed_models_list == ["first", "second"]
    lines = warnings_of(caplog)
    assert len(lines) == 1
    assert lines[0].startswith("Status 503: the service failed")
    assert re.search(r"It says: waking up\. Asking again in 0\.0 s \(attempt 2 of at most 7\)\.$", lines[0])


def test_chunks_that_fail_again_are_told(server, make_client, caplog, monkeypatch):
    """Where there is no bar that counts them."""
    monkeypatch.setattr(_call, "_TELL_EVERY", LONG)
    server.fault = lambda u: Say(500, {"detail": "no"}) if u.attempt < 4 else None
    annotate(make_client(), cells(3))
    lines = warnings_of(caplog)
    assert len(lines) == 1
    assert re.search(r"attempt 3 of at most 7\) \(1 more", lines[0]), lines


def test_lookups_end_before_chunks_do(server, make_client):
    server.route = lambda path, n: Hang() if path.endswith("quota") else None
    client = make_client(lookup_timeout=1.0, retry_delay=0.1)
    with pytest.raises(CASTimeoutError, match=r"within 1 s in all \(`lookup_timeout`\)\..*quota within "):
        client.quota()


# Too much --------------------------------------------------------------------------------------------


def test_too_large_requests_are_split(server, client):
    server.fault = lambda u: Say(413, b"Too large") if len(u.names) > 3 else None
    adata = cells(N)
    assert right(annotate(client, adata, chunk_size=16), adata, summary_answer)
    assert set(server.answered.values()) == {1}
    assert max(len(u.names) for u in server.uploads) == 16


def test_a_single_cell_too_large(server, client):
    server.fault = lambda u: Say(413, b"Too large") if has_bad(u) else None
    error = incomplete(client, cells(N), chunk_size=23)
    assert [f.cell_names for f in error.failures] == [(BAD,)]
    assert error.failures[0].status == 413


def test_the_quota_ends_midway(server, make_client):
    """The words of 429 and a fresh look at the quota agree: stop, keep, name."""

    def fault(upload):
        if upload.number == 2:
            server.remaining = 4  # used by another program

    server.fault = fault
    error = incomplete(make_client(max_concurrent_requests=1), cells(N))
    assert len(error.partial.data) == 12
    assert {type(f.error) for f in error.failures} == {QuotaExceededError}
    assert [f.attempts for f in error.failures] == [1, 0, 0]
    assert "quota" in str(error)


@pytest.mark.parametrize("words", ["Too many requests", "Quota of instances exceeded, slow down"])
def test_throttling_is_no_quota(server, client, words):
    """Status 429 with enough quota left is for now, whatever its words."""
    server.fault = lambda u: Say(429, {"detail": words}) if u.attempt == 1 else None
    adata = cells(N)
    assert right(annotate(client, adata), adata, summary_answer)


def test_quota_told_without_words(server, make_client):
    """Status 429 that does not speak of a quota, but there is none left."""

    def fault(upload):
        if upload.number == 1:
            server.remaining = 0
            return Say(429, b"", {"content-type": "text/plain"})
        return None

    server.fault = fault
    error = incomplete(make_client(max_concurrent_requests=1), cells(N))
    assert {type(f.error) for f in error.failures} == {QuotaExceededError}
    assert len(server.uploads) == 2


def test_a_server_that_takes_two_at_a_time(server, make_client):
    """Fifteen at a time at first; the client learns how many are welcome within its attempts."""
    server.limit, server.work = 2, 0.02
    client = make_client(retry_delay=0.05, max_retry_delay=0.5)
    adata = cells(120)
    assert right(annotate(client, adata, chunk_size=2), adata, summary_answer)
    assert server.most_busy == 2
    assert set(server.answered.values()) == {1}


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured(server, client, form):
    when = []
    wait = "1" if form == "seconds" else None

    def fault(upload):
        when.append(time.monotonic())
        if upload.number == 0:
            # In whole seconds: between one and two from now.
            date = email.utils.formatdate(time.time() + 2, usegmt=True)
            return Say(503, {"detail": "later"}, {"Retry-After": wait or date})
        return None

    server.fault = fault
    annotate(client, cells(3))
    assert when[1] - when[0] > 0.9  # the pause of the client is 0.02 at most


def test_retry_after_the_end_of_time(server, client):
    """It does not wait for what comes too late."""
    server.fault = lambda u: Say(503, {"detail": "later"}, {"Retry-After": "3600"})
    error = incomplete(client, cells(3))
    assert type(error.failures[0].error) is CASTimeoutError
    assert "asks to wait 3600 s" in str(error)
    assert len(server.uploads) == 1


@pytest.mark.parametrize("fault", [Hang(), Drip()], ids=["hang", "drip"])
def test_the_total_time_has_an_end(server, make_client, fault):
    """Attempts end by the clock, and all of them together; bytes that drip in are no answer."""
    client = make_client(num_attempts_per_chunk=100)
    annotate(client, cells(3))
    # What is asked first has been answered: nothing has to come within these times.
    impatient = replace(client._client._call._policy, request_timeout=0.3, total_timeout=1.0)
    client._client._call._policy = impatient
    server.fault = lambda u: fault
    error = incomplete(client, cells(3))
    assert type(error.failures[0].error) is CASTimeoutError
    assert "total_timeout" in str(error)


def test_pauses_grow_and_are_random(monkeypatch):
    tops = []
    monkeypatch.setattr(_retry.random, "uniform", lambda low, high: tops.append((low, high)) or 0.0)
    policy = _retry.Policy()
    for attempt in range(1, 7):
        policy.pause(attempt)
    assert tops == [(0.0, top) for top in (5.0, 10.0, 20.0, 32.0, 32.0, 32.0)]


# At the start ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("time_outs")
@pytest.mark.parametrize(
    "fault",
    [Say(500, {}), Say(503, b"busy"), HTML, Hang(), Say(200, b"{"), Say(200, {"wrong": 1})],
    ids=["500", "503", "html", "hang", "cut", "other keys"],
)
def test_questions_at_the_start_are_asked_again(server, client, fault):
    server.route = lambda path, n: fault if n == 0 else None
    adata = cells(3)
    assert right(annotate(client, adata), adata, summary_answer)


def test_a_hang_at_the_start_ends(server, make_client):
    """By the clock."""
    server.route = lambda path, n: Hang()
    client = make_client(request_timeout=0.2, num_attempts_per_chunk=2)
    with pytest.raises(CASTimeoutError, match=r"within 0\.2 s"):
        annotate(client, cells(3))


@pytest.mark.usefixtures("time_outs")
def test_nothing_is_kept_of_a_failure_at_the_start(server, make_client):
    server.route = lambda path, n: Hang()
    client = make_client(num_attempts_per_chunk=2)
    with pytest.raises(CASTimeoutError):
        annotate(client, cells(3))
    server.route = None
    annotate(client, cells(3))


@pytest.mark.usefixtures("time_outs")
@pytest.mark.parametrize(
    "route", ["validate-client-version", "list-models", "feature-schema/schema-1", "quota"]
)
def test_one_question_that_hangs_is_named(server, make_client, route):
    server.route = lambda path, n: Hang() if path.endswith(route) else None
    client = make_client(num_attempts_per_chunk=2)
    with pytest.raises(CASTimeoutError, match=f"No complete answer to .*{route} within"):
        annotate(client, cells(3))
    assert not server.uploads


def test_a_wrong_token_is_told_at_once(server, make_client):
    client = make_client(token="some.other-token-1234")
    with pytest.raises(AuthenticationError, match="get a new one") as caught:
        annotate(client, cells(3))
    assert "other-token" not in str(caught.value)
    assert not server.uploads
