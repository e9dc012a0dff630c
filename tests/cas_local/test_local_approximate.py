"""Approximate search: what it finds has exact distances, and how much it finds is known."""

from __future__ import annotations

import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from ferrocyte._errors import FileFormatError, MissingPackageError
from ferrocyte.cas import CASClient
from ferrocyte.cas.local import Reference, build_reference
from numpy.testing import assert_array_equal

DATA = Path(__file__).parents[1] / "data"


@pytest.fixture(scope="module")
def cells():
    return ad.read_h5ad(DATA / "lung_reference.h5ad")


@pytest.mark.parametrize("metric", ["cosine", "l2", "dot"])
def test_candidates_are_compared_exactly(tmp_path, cells, metric):
    pytest.importorskip("usearch", reason="usearch is not installed: `pip install 'ferrocyte[local]'`")
    made = [
        build_reference(
            cells, tmp_path / f"{metric}-{search}-{i}", "cell_type", metric=metric, search=search, name="lung"
        )
        for i, search in enumerate(("exact", "approximate", "approximate"))
    ]
    exact, approximate, again = made
    assert approximate.manifest["search"] == "approximate"
    vectors = np.ascontiguousarray(exact.vectors[::7])
    rows, distances = exact.neighbors(vectors)
    found, given = approximate.neighbors(vectors)
    same = [len(np.intersect1d(a, b)) / 10 for a, b in zip(rows, found, strict=True)]
    assert np.mean(same) > 0.95
    assert approximate.manifest["recall"] > 0.95
    all_rows = np.array(same) == 1
    assert_array_equal(given[all_rows], distances[all_rows])
    assert approximate.neighbors(vectors[:0])[0].shape == (0, 10)
    # The same cells make the same index.
    files = [(r.path / "index.usearch").read_bytes() for r in (approximate, again)]
    assert files[0] == files[1]
    with CASClient.local(approximate) as client:
        assert len(client.search_matrix(DATA / "lung_query.h5ad").data) == 1000
    (approximate.path / "index.usearch").write_bytes(b"something else")
    with pytest.raises(FileFormatError, match=r"index\.usearch"):
        Reference(approximate.path)


def test_without_usearch_it_says_what_to_install(tmp_path, cells, monkeypatch):
    monkeypatch.setitem(sys.modules, "usearch", None)
    monkeypatch.setitem(sys.modules, "usearch.index", None)
    with pytest.raises(MissingPackageError, match=r"ferrocyte\[local\]"):
        build_reference(cells, tmp_path / "r", "cell_type", search="approximate")
    assert list(tmp_path.iterdir()) == []
    assert build_reference(cells, tmp_path / "r", "cell_type").manifest["search"] == "exact"
