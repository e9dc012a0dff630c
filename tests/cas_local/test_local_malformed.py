"""The bindings behind local annotation on arguments that do not fit: a typed error, never a panic."""

from __future__ import annotations

import numpy as np
import pytest
from ferrocyte import _core
from ferrocyte._errors import FerrocyteError, InvalidDataError, InvalidOptionError
from numpy.testing import assert_array_equal
from reference.malformed import frozen, gaps, unaligned
from reference.matrices import csr

# What a binding may raise: ours, or the interpreter's own for an argument of the wrong kind.
TYPED = (FerrocyteError, TypeError, OverflowError)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((30, 4)).astype(np.float32)
Q = RNG.standard_normal((5, 4)).astype(np.float32)
ROWS = np.tile(np.arange(30), (5, 1))
TERMS = np.array([[0, 1, 2], [2, -1, 1]], dtype=np.int32)
D = np.array([[0.1, 0.2, 0.3], [0.0, 0.5, 0.5]])
POINTERS, UPWARD = np.array([0, 1, 3, 5]), np.array([0, 0, 1, 0, 2], dtype=np.int32)
COUNTS = csr([[1, 0, 2], [0, 0, 0]])
TOTALS, WEIGHTS, OFFSET = np.ones(2, dtype=np.float32), np.ones((3, 2)), np.zeros(2)

CALLS = {
    "exact": (lambda x, q: _core.exact_neighbors(x, q, 3, metric="l2"), (X, Q)),
    "refine": (lambda x, q, r: _core.refine_neighbors(x, q, r, 3, metric="dot"), (X, Q, ROWS)),
    "scores": (
        lambda t, d, p, u: _core.ontology_scores(t, d, p, u, prune=0.1, prefactor=1.0),
        (TERMS, D, POINTERS, UPWARD),
    ),
    "summary": (_core.summary_statistics, (np.abs(TERMS), D)),
    "embed": (lambda t, w, o: _core.embed_counts(COUNTS, t, w, o), (TOTALS, WEIGHTS, OFFSET)),
}


def arguments():
    return [(name, at) for name, (_, args) in CALLS.items() for at in range(len(args))]


def same(a, b):
    for one, other in zip(a, b, strict=True):
        assert_array_equal(one, other)


@pytest.mark.parametrize(("name", "at"), arguments())
def test_other_forms_of_the_same_numbers(name, at):
    call, args = CALLS[name]
    expected = call(*args)
    for form in (frozen, unaligned, gaps, np.asfortranarray, lambda a: a[::-1][::-1]):
        given = [form(a) if i == at else a for i, a in enumerate(args)]
        try:
            found = call(*given)
        except TYPED:
            assert form is not frozen
        else:
            same(found, expected)


@pytest.mark.parametrize(("name", "at"), arguments())
def test_what_does_not_fit_is_refused(name, at):
    call, args = CALLS[name]
    a = args[at]
    wrong = [a.astype(np.complex128), a[..., :0], a.ravel()[:1], a.astype(object), None, a.tolist()]
    wrong += [a[None], a.astype(np.int16)]
    for bad in wrong:
        given = [bad if i == at else b for i, b in enumerate(args)]
        with pytest.raises(TYPED):
            call(*given)


def test_what_contradicts_itself_is_refused():
    scores = {"prune": 0.1, "prefactor": 1.0}
    for terms, pointers, upward in (
        (TERMS + 1, POINTERS, UPWARD),
        (TERMS, POINTERS[::-1].copy(), UPWARD),
        (TERMS, POINTERS, UPWARD + 3),
        (TERMS, POINTERS + 1, UPWARD),
        (TERMS, POINTERS[:0], UPWARD),
    ):
        with pytest.raises((InvalidDataError, InvalidOptionError)):
            _core.ontology_scores(terms, D, pointers, upward, **scores)
    for options in ({"prune": np.nan}, {"prefactor": np.inf}):
        with pytest.raises(InvalidOptionError, match="finite"):
            _core.ontology_scores(TERMS, D, POINTERS, UPWARD, **{**scores, **options})
    for k in (0, 31):
        with pytest.raises(InvalidOptionError, match="between 1 and 30"):
            _core.exact_neighbors(X, Q, k, metric="l2")
    with pytest.raises(InvalidOptionError, match="'cosine'"):
        _core.exact_neighbors(X, Q, 3, metric="manhattan")
    bad = Q.copy()
    bad[3, 1] = np.nan
    with pytest.raises(InvalidDataError, match="row 3") as found:
        _core.exact_neighbors(X, bad, 3, metric="cosine")
    assert found.value.cells == [3]
    with pytest.raises(InvalidOptionError, match="candidates"):
        _core.refine_neighbors(X, Q, ROWS + 1, 3, metric="l2")
    with pytest.raises(InvalidDataError, match="candidates"):
        _core.refine_neighbors(X, Q, np.full((5, 9), -1), 3, metric="l2")
    with pytest.raises(InvalidOptionError, match="not negative"):
        _core.summary_statistics(TERMS, D)
    with pytest.raises(InvalidDataError, match="row 1"):
        _core.summary_statistics(np.abs(TERMS), np.where(D == 0, np.inf, D))


def test_nothing_to_answer():
    rows, distances = _core.exact_neighbors(X, Q[:0], 3, metric="l2")
    assert rows.shape == distances.shape == (0, 3)
    ends, *_ = _core.summary_statistics(TERMS[:0], D[:0])
    assert ends.tolist() == [0]
    ends, *_ = _core.ontology_scores(TERMS[:0], D[:0], POINTERS, UPWARD, prune=0.0, prefactor=1.0)
    assert ends.tolist() == [0]
