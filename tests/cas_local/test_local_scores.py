"""Scores and neighbors against their slow versions, and against values that are known."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from ferrocyte import _core
from ferrocyte.cas.local import packaged_ontology
from ferrocyte.cas.local._ontology import Ontology
from numpy.testing import assert_allclose, assert_array_equal
from reference import naive_annotation as naive

PARENTS = {
    "CL:0000000": (),
    "CL:0000001": ("CL:0000000",),
    "CL:0000002": ("CL:0000000",),
    "CL:0000003": ("CL:0000001", "CL:0000002"),
    "CL:0000004": ("CL:0000003", "CL:0000000"),
    "CL:0000005": (),
}


def small():
    return Ontology.make("small", {t: f"cell {t}" for t in PARENTS}, PARENTS, {}, "a test")


def scores(ontology, terms, distances, prune, prefactor=1.0, threads=1):
    at = np.array([[ontology.find(t) for t in terms]], dtype=np.int32)
    ends, found, values, weights, unknown = _core.ontology_scores(
        at, np.array([distances]), *ontology.upward, prune=prune, prefactor=prefactor, threads=threads
    )
    assert ends.tolist() == [0, len(found)]
    names = [ontology.cl_names[t] for t in found]
    return dict(zip(names, values.tolist(), strict=True)), weights[0], unknown[0]


def test_values_that_are_known():
    """Two neighbors in the Cell Ontology, worked out for the service itself."""
    ontology = packaged_ontology()
    found, weight, unknown = scores(ontology, ["CL:0000789", "CL:0000084"], [0.9, 0.87], 0.1)
    assert weight == pytest.approx(0.7358645669875553, rel=1e-15)
    assert unknown == 0
    above = naive.ancestors("CL:0000084", {n: t.parents for n, t in ontology.terms.items()})
    for term in {"CL:0000084"} | above:
        assert found[term] == pytest.approx(1.0, abs=1e-15)
    assert found["CL:0000789"] == pytest.approx(np.exp(-0.9 / 0.885) / 0.7358645669875553, rel=1e-14)
    assert round(found["CL:0000789"], 4) == 0.4915
    assert list(found) == sorted(found)


@pytest.mark.parametrize("prune", [0.0, 0.05, 0.4])
@pytest.mark.parametrize("prefactor", [1.0, 0.0, 2.5, -1.0])
def test_scores_are_those_of_the_slow_version(prune, prefactor):
    ontology, rng = small(), np.random.default_rng(3)
    for _ in range(20):
        k = int(rng.integers(1, 30))
        terms = rng.choice([*PARENTS, "CL:9999999"], k).tolist()
        distances = rng.random(k).round(3).tolist()
        found, weight, unknown = scores(ontology, terms, distances, prune, prefactor)
        expected, total, missing = naive.ontology_scores(terms, distances, PARENTS, prune, prefactor)
        assert list(found) == list(expected)
        assert_allclose(list(found.values()), list(expected.values()), atol=1e-14)
        assert weight == pytest.approx(total, rel=1e-13)
        assert unknown == missing


def test_all_neighbors_weigh_the_same_where_the_median_is_0():
    found, weight, unknown = scores(small(), ["CL:0000001", "CL:0000002", "nothing"], [0.0, 0.0, 1.0], 0.0)
    assert weight == 3.0
    assert unknown == 1
    assert found["CL:0000000"] == pytest.approx(2 / 3)
    assert found["CL:0000001"] == pytest.approx(1 / 3)


def test_summaries_are_those_of_the_slow_version():
    rng = np.random.default_rng(5)
    groups = rng.integers(0, 6, (40, 33)).astype(np.int32)
    distances = np.sort(rng.random((40, 33)).round(3), axis=1)
    ends, found, counts, statistics = _core.summary_statistics(groups, distances)
    for i in range(40):
        own = slice(ends[i], ends[i + 1])
        expected = naive.summary(groups[i].tolist(), distances[i].tolist())
        assert found[own].tolist() == [row[0] for row in expected]
        assert counts[own].tolist() == [row[1] for row in expected]
        assert_array_equal(statistics[own, :5], [row[2:] for row in expected])
        means = [distances[i][groups[i] == g].mean() for g in found[own]]
        assert_allclose(statistics[own, 5], means, rtol=1e-14)


@pytest.mark.parametrize("metric", ["cosine", "l2", "dot"])
def test_neighbors_are_those_of_the_slow_version(metric):
    rng = np.random.default_rng(8)
    reference = rng.standard_normal((300, 7)).astype(np.float32)
    reference[17] = reference[3]
    queries = np.vstack([rng.standard_normal((20, 7)), reference[[3, 250]]]).astype(np.float32)
    rows, distances = _core.exact_neighbors(reference, queries, 12, metric=metric, threads=2)
    for i, query in enumerate(queries):
        expected_rows, expected = naive.nearest(query, reference, 12, metric)
        assert rows[i].tolist() == expected_rows
        assert_allclose(distances[i], expected, atol=1.1e-9)
    alone = [_core.exact_neighbors(reference, q[None], 12, metric=metric) for q in queries]
    assert_array_equal(np.vstack([r for r, _ in alone]), rows)
    assert_array_equal(np.vstack([d for _, d in alone]), distances)


def test_embedding_is_that_of_the_slow_version():
    rng = np.random.default_rng(1)
    counts = rng.poisson(0.5, (30, 12)).astype(np.float32)
    counts[4] = 0
    totals = counts.sum(axis=1) + 3
    weights, offset = rng.standard_normal((12, 4)).astype(np.float32), rng.standard_normal(4)
    found = _core.embed_counts(sp.csr_matrix(counts), totals, weights, offset, threads=2)
    expected = [naive.embed(c, t, weights, offset) for c, t in zip(counts, totals, strict=True)]
    assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
    assert_array_equal(_core.embed_counts(counts, totals, weights, offset), found)
