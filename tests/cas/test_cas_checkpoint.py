"""Nothing that was answered is asked twice: after errors, Ctrl-C, kill -9 and a full disk."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from cas_cells import cells, right
from cas_server import TOKEN, Hang, Say, ontology_answer, summary_answer
from ferrocyte.cas import _checkpoint, _operations
from ferrocyte.cas._checkpoint import Journal
from ferrocyte.cas.errors import (
    AnnotationIncompleteError,
    AnnotationInterrupt,
    CASWarning,
    CheckpointError,
    QuotaExceededError,
)
from reference.patience import until

N = 23


def annotate(client, adata, path, **how):
    how = {"chunk_size": 4, "show_progress": False, "checkpoint": path, **how}
    return client.annotate_matrix_cell_type_summary_statistics_strategy(adata, **how)


def test_only_what_is_missing_is_sent(server, make_client, tmp_path):
    path, adata = tmp_path / "journal", cells(N)
    server.fault = lambda u: (
        Say(400, {"detail": "bad"}) if "cell-9" in u.names or "cell-17" in u.names else None
    )
    with pytest.raises(AnnotationIncompleteError, match="the same call sends only what is missing") as caught:
        annotate(make_client(), adata, path)
    assert len(caught.value.partial.data) == 15
    server.fault = None
    server.uploads.clear()
    assert right(annotate(make_client(), adata, path), adata, summary_answer)
    assert sorted(n for u in server.uploads for n in u.names) == sorted(
        f"cell-{i}" for i in (8, 9, 10, 11, 16, 17, 18, 19)
    )
    assert set(server.answered.values()) == {1}
    server.uploads.clear()
    assert right(annotate(make_client(), adata, path), adata, summary_answer)
    assert not server.uploads


def test_in_chunks_of_another_size_and_in_another_order(server, client, tmp_path):
    path, adata = tmp_path / "journal", cells(N)
    annotate(client, adata[3:11].copy(), path)
    server.uploads.clear()
    other = adata[np.random.default_rng(0).permutation(N)].copy()
    assert right(annotate(client, other, path, chunk_size=9), other, summary_answer)
    assert sum(len(u.names) for u in server.uploads) == N - 8
    assert set(server.answered.values()) == {1}


@pytest.mark.parametrize("change", ["counts", "name", "model", "option", "question", "total"])
def test_another_question_is_asked_anew(server, client, tmp_path, change):
    """One count, one name, the model or an option: the journal has no answer to that."""
    path, adata = tmp_path / "journal", cells(N)
    annotate(client, adata, path)
    server.uploads.clear()
    how = {}
    if change == "counts":
        adata.X[5, adata.X[5].indices[0]] += 1
    elif change == "name":
        adata.obs_names = [f"{n}!" if n == "cell-5" else n for n in adata.obs_names]
    elif change == "total":
        outside = np.flatnonzero(adata.var_names.str.startswith("ENSG9"))
        dense = adata.X.toarray()
        dense[5, outside[0]] += 1
        adata.X = dense
    elif change == "model":
        how["cas_model_name"] = "first"
    elif change == "option":
        how["include_extended_statistics"] = False
    if change == "question":
        # The journal of one question may serve another as well.
        out = client.annotate_matrix_cell_type_ontology_aware_strategy(adata, chunk_size=4, checkpoint=path)
        assert right(out, adata, ontology_answer)
    else:
        assert right(annotate(client, adata, path, **how), adata, summary_answer)
    sent = {n for u in server.uploads for n in u.names}
    if change in ("counts", "name", "total"):
        assert len(sent) == 1
    else:
        assert len(sent) == N


def test_the_quota_counts_what_is_missing(server, make_client, tmp_path):
    path, adata = tmp_path / "journal", cells(N)
    annotate(make_client(), adata[:15].copy(), path)
    server.remaining = 8
    assert right(annotate(make_client(), adata, path), adata, summary_answer)


def test_the_quota_is_not_stretched_by_answers_to_others(server, make_client, tmp_path):
    """A journal of 15 answers, 4 of them to cells of this call: 19 of 23 are missing, 18 are too few."""
    path, adata = tmp_path / "journal", cells(N)
    others = cells(11)
    others.obs_names = [f"other-{i}" for i in range(11)]
    annotate(make_client(), others, path)
    annotate(make_client(), adata[:4].copy(), path)
    server.uploads.clear()
    server.remaining = 18
    with pytest.raises(QuotaExceededError, match="19 cells are to be annotated, 18 are left"):
        annotate(make_client(), adata, path)
    assert not server.uploads
    server.remaining = 19
    with pytest.warns(CASWarning, match="0 cells will be left in the quota after these 19"):
        assert right(annotate(make_client(), adata, path), adata, summary_answer)
    assert set(server.answered.values()) == {1}


SCRIPT = """
import sys
sys.path.insert(0, {here!r})
from cas_cells import cells
from ferrocyte.cas import CASClient
client = CASClient({token!r}, {url!r}, max_concurrent_requests=2)
client.annotate_matrix_cell_type_summary_statistics_strategy(
    cells({n}), chunk_size=4, checkpoint={path!r}, show_progress=False
)
"""


def test_kill_9(server, make_client, tmp_path):
    """The process dies without a chance to clean up; what it had written is used, nothing is answered twice
    but what was under way at that moment."""
    path, n = tmp_path / "journal", 80
    server.work = 0.05
    script = SCRIPT.format(here=str(Path(__file__).parent), token=TOKEN, url=server.url, path=str(path), n=n)
    process = subprocess.Popen([sys.executable, "-c", script])
    try:
        until(lambda: len(server.uploads) >= 8)
    finally:
        process.kill()
        process.wait()
    until(lambda: server.open == 0)  # what was under way has come to the service, or never will
    server.work = 0.0
    kept = path.read_bytes().count(b'"kind"')
    assert kept >= 4
    server.uploads.clear()
    adata = cells(n)
    assert right(annotate(make_client(), adata, path), adata, summary_answer)
    assert len(server.uploads) == n // 4 - kept
    twice = [name for name, times in server.answered.items() if times > 1]
    assert len(twice) <= 2 * 4


def test_ctrl_c_keeps_what_was_answered(server, make_client, tmp_path):
    """An interrupt that is a `KeyboardInterrupt`, with the answers; the next call has only the rest to do."""
    path, adata = tmp_path / "journal", cells(40)
    # The call does not end before the signal comes.
    server.fault = lambda u: Hang() if u.number >= 3 else None
    client = make_client(max_concurrent_requests=1)

    def press():
        until(lambda: server.hanging)
        os.kill(os.getpid(), signal.SIGINT)

    presses = threading.Thread(target=press)
    presses.start()
    with pytest.raises(KeyboardInterrupt) as caught:
        annotate(client, adata, path)
    presses.join()
    error = caught.value
    assert type(error) is AnnotationInterrupt
    answered = {a.query_cell_id for a in error.partial.data}
    failed = [name for f in error.failures for name in f.cell_names]
    assert len(answered) == 12
    assert [f.attempts for f in error.failures] == [1] + [0] * 6
    assert sorted([*answered, *failed]) == sorted(adata.obs_names)
    assert right(error.partial, adata[[n in answered for n in adata.obs_names]], summary_answer)
    server.fault = None
    server.uploads.clear()
    assert right(annotate(client, adata, path), adata, summary_answer)
    assert {n for u in server.uploads for n in u.names} == set(failed)


# The file --------------------------------------------------------------------------------------------


OPERATION = _operations.search("m")
ANSWERS = OPERATION.adapter.validate_python(
    [{"query_cell_id": f"c{i}", "neighbors": [{"cas_cell_index": i, "distance": i / 3}]} for i in range(4)]
)


def journal(path):
    return Journal(path, OPERATION.kind, OPERATION.adapter)


@pytest.fixture
def written(tmp_path):
    path = tmp_path / "journal"
    with journal(path) as file:
        for i, answer in enumerate(ANSWERS):
            file.add([f"digest{i}"], [answer])
    return path


def test_answers_come_back_as_they_were(written):
    with journal(written) as file:
        assert [file.get(f"digest{i}") for i in range(4)] == ANSWERS
        assert file.get("digest9") is None
    assert oct(written.stat().st_mode)[-3:] == "600"


def test_cut_off_anywhere(written):
    """Every prefix of the file is a journal with the answers that are whole in it."""
    whole = written.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(len(whole)):
        written.write_bytes(whole[:length])
        with journal(written) as file:
            assert len(file) == max(0, sum(end <= length for end in ends) - 1)
            file.add(["new"], ANSWERS[:1])
        with journal(written) as file:
            assert file.get("new") == ANSWERS[0]


def test_damaged_lines_are_left_out(written):
    lines = written.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b"c1", b"cX")
    written.write_bytes(b"".join(lines))
    with pytest.warns(CASWarning, match="1 damaged line"), journal(written) as file:
        assert [file.get(f"digest{i}") is None for i in range(4)] == [False, True, False, False]


def test_what_is_no_journal_is_not_touched(tmp_path):
    path = tmp_path / "notes.txt"
    for text in ("my notes\n", "my notes", '{"format": "ferrocyte-cas-journal"}\n'):
        path.write_text(text)
        with pytest.raises(CheckpointError, match="is no checkpoint"):
            journal(path)
        assert path.read_text() == text
    with pytest.raises(CheckpointError, match="found the folder"):
        journal(tmp_path)
    with pytest.raises(CheckpointError, match="no folder"):
        journal(tmp_path / "none" / "journal")


def test_a_journal_of_the_future(tmp_path):
    path = tmp_path / "journal"
    header = {"format": "ferrocyte-cas-journal", "version": 2}
    path.write_bytes(_checkpoint._line(json.dumps(header).encode()))
    with pytest.raises(CheckpointError, match="version 1, found 2"):
        journal(path)


def test_one_call_at_a_time(written):
    with journal(written), pytest.raises(CheckpointError, match="in use"):
        journal(written)
    journal(written).close()


def test_a_full_disk(server, make_client, tmp_path, monkeypatch):
    """Sending stops; what was answered until then is there, and no half line is left in the file."""
    path, adata, written = tmp_path / "journal", cells(N), []
    original = os.write

    def write(fd, data):
        written.append(len(data))
        if len(written) == 4:
            return original(fd, bytes(data[:5]))
        if len(written) == 5:
            raise OSError(28, "No space left on device")
        return original(fd, data)

    monkeypatch.setattr(_checkpoint.os, "write", write)
    with pytest.raises(AnnotationIncompleteError, match="No space left") as caught:
        annotate(make_client(max_concurrent_requests=1), adata, path)
    monkeypatch.undo()
    assert len(caught.value.partial.data) == 12
    server.uploads.clear()
    assert right(annotate(make_client(), adata, path), adata, summary_answer)
    assert sum(len(u.names) for u in server.uploads) == N - 8
