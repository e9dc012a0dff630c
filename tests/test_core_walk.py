"""`random_walks`: the rules, the seeds, and every draw against a generator written out in Python."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from ferrocyte import _core
from ferrocyte._errors import InvalidDataError, InvalidOptionError
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import naive_walk as naive
from reference.matrices import csr, graphs, random_graph, row_normalized

CIRCLE = csr([[0, 1, 0], [0, 0, 1], [1, 0, 0]])


def walks(T, starts=(0,), stops=None, *, n_sims=1, max_steps=7, successive_hits=0, seed=0, threads=1):
    """The walks as a list of lists."""
    cells, offsets = _core.random_walks(
        T,
        np.array(starts, dtype=np.int64),
        None if stops is None else np.array(stops, dtype=bool),
        n_sims=n_sims,
        max_steps=max_steps,
        successive_hits=successive_hits,
        seed=seed,
        threads=threads,
    )
    assert cells.dtype == offsets.dtype == np.int64
    assert len(offsets) == n_sims + 1
    assert offsets[0] == 0
    assert offsets[-1] == len(cells)
    return [w.tolist() for w in np.split(cells, offsets[1:-1])]


def test_the_reference_generator_gives_the_published_stream():
    """Key and nonce zero: test vector of the eSTREAM variant with 8 rounds (first bytes 3e 00 ef 2f)."""
    words = naive.chacha8(bytes(32))
    assert next(words) == int.from_bytes(bytes.fromhex("3e00ef2f"), "little")


def test_a_circle_is_walked_round():
    assert walks(CIRCLE) == [[0, 1, 2, 0, 1, 2, 0, 1]]
    assert walks(CIRCLE, max_steps=0) == [[0]]


def test_the_start_is_no_hit_and_hits_count_in_a_row():
    """Stop set {0}: the walk ends when it returns. Stop set {1, 2}: one hit at 1, two in a row at 2,
    three never."""
    assert walks(CIRCLE, stops=[True, False, False]) == [[0, 1, 2, 0]]
    assert walks(CIRCLE, stops=[False, True, True]) == [[0, 1]]
    assert walks(CIRCLE, stops=[False, True, True], successive_hits=1) == [[0, 1, 2]]
    assert walks(CIRCLE, stops=[False, True, True], successive_hits=2) == [[0, 1, 2, 0, 1, 2, 0, 1]]


@settings(max_examples=40)
@given(graphs(), st.integers(0, 2**64 - 1), st.integers(0, 2), st.data())
def test_every_draw_agrees_with_the_slow_version(graph, seed, hits, data):
    n = graph.shape[0]
    T = row_normalized(graph)
    stops = data.draw(st.none() | st.lists(st.booleans(), min_size=n, max_size=n))
    starts = data.draw(st.lists(st.integers(0, n - 1), min_size=1, max_size=4))
    found = walks(T, starts, stops, n_sims=3, max_steps=25, successive_hits=hits, seed=seed)
    for s, one in enumerate(found):
        expected = naive.walk(T.toarray(), starts, stops, max_steps=25, successive_hits=hits, seed=seed + s)
        assert one == expected
        assert all(graph[a, b] > 0 for a, b in itertools.pairwise(one))


def test_walk_s_has_seed_plus_s_on_any_number_of_threads():
    T = row_normalized(random_graph(300, 70, seed=4))
    stops = np.arange(300) < 30
    arguments = {"starts": range(300), "stops": stops, "max_steps": 60, "successive_hits": 1}
    seed = 2**64 - 10
    many = walks(T, n_sims=40, seed=seed, **arguments)
    for threads in (2, 5):
        assert walks(T, n_sims=40, seed=seed, threads=threads, **arguments) == many
    for s, one in enumerate(many):
        assert walks(T, seed=(seed + s) % 2**64, **arguments) == [one]


def test_starts_and_neighbors_are_drawn_in_proportion():
    """20,000 draws: shares of 1/4 and of 0.2, 0.3, 0.5 are met within 5 standard errors."""
    T = csr([[0.2, 0.3, 0.5, 0], [0.2, 0.3, 0.5, 0], [0.2, 0.3, 0.5, 0], [0.2, 0.3, 0.5, 0]])
    found = np.array(walks(T, range(4), n_sims=20_000, max_steps=1, threads=2))
    for column, shares in ((0, [0.25] * 4), (1, [0.2, 0.3, 0.5, 0])):
        counts = np.bincount(found[:, column], minlength=4) / 20_000
        error = np.sqrt(np.multiply(shares, np.subtract(1, shares)) / 20_000)
        assert np.all(np.abs(counts - shares) <= 5 * error)


def test_zero_probabilities_are_never_used():
    """Stored zeros at both ends and in the middle of every row."""
    T = csr(np.ones((5, 5)))
    T.data[:] = np.tile([0, 0.5, 0, 0.5, 0], 5)
    for walk in walks(T, range(5), n_sims=200, max_steps=30):
        assert set(walk[1:]) <= {1, 3}


def test_impossible_requests_are_refused():
    with pytest.raises(InvalidOptionError, match="simulations"):
        walks(CIRCLE, n_sims=0)
    with pytest.raises(InvalidOptionError, match="at least one cell"):
        walks(CIRCLE, [])
    for start in (3, -1):
        with pytest.raises(InvalidOptionError, match=r"0\.\.3"):
            walks(CIRCLE, [start])
    with pytest.raises(InvalidDataError, match="stop set"):
        walks(CIRCLE, stops=[True])
    with pytest.raises(InvalidOptionError, match="memory"):
        walks(CIRCLE, max_steps=2**62)
    with pytest.raises(InvalidDataError, match="Transition matrix is not row-stochastic"):
        walks(CIRCLE * 2)


def test_a_callback_that_raises_stops_the_job():
    def progress(done, total):
        raise LookupError("enough")

    numbers = {"n_sims": 8, "max_steps": 10**7, "successive_hits": 0, "seed": 0}
    with pytest.raises(LookupError, match="enough"):
        _core.random_walks(CIRCLE, np.array([0]), None, progress=progress, **numbers)


def test_progress_ends_at_the_number_of_walks():
    seen = []
    _core.random_walks(
        CIRCLE, np.array([0]), None, n_sims=20, max_steps=5, successive_hits=0, seed=0,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip
    assert seen[-1] == (20, 20)
