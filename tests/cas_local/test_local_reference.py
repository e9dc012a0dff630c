"""References: built from real cells, the same bits each time, complete or not there."""

from __future__ import annotations

import json
from pathlib import Path

import anndata as ad
import ferrocyte.cas.local._build as build
import ferrocyte.cas.local._pca as pca
import numpy as np
import pytest
import scipy.sparse as sp
from ferrocyte._errors import FileFormatError, InvalidDataError, InvalidOptionError, MissingDataError
from ferrocyte.cas._upload import Counts, GeneList
from ferrocyte.cas.errors import CASWarning
from ferrocyte.cas.local import Reference, build_reference
from numpy.testing import assert_allclose, assert_array_equal
from reference import naive_annotation as naive

LUNG = Path(__file__).parents[1] / "data" / "lung_reference.h5ad"
QUICK = {"n_components": 10, "n_top_genes": 300}


@pytest.fixture(scope="module")
def cells():
    return ad.read_h5ad(LUNG)


def contents(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_same_cells_and_seed_same_bits(tmp_path, cells, monkeypatch):
    monkeypatch.setattr(build, "_BLOCK", 300)
    file = tmp_path / "cells.h5ad"
    cells.write_h5ad(file)
    backed = ad.read_h5ad(file, backed="r")
    dense = cells.copy()
    dense.X = dense.X.toarray()
    made = {}
    sources = [(cells, 1), (file, 2), (backed, 3), (dense, 2)]
    for i, (source, threads) in enumerate(sources):
        out = tmp_path / str(i)
        build_reference(source, out, "cell_type", n_jobs=threads, name="lung", **QUICK)
        made[i] = contents(out)
    assert made[0] == made[1] == made[2] == made[3]
    other = build_reference(cells, tmp_path / "other", "cell_type", name="lung", seed=1, **QUICK)
    assert contents(other.path)["weights.npy"] != made[0]["weights.npy"]


def test_components_are_those_of_a_full_decomposition(tmp_path, cells):
    reference = build_reference(cells, tmp_path / "r", "cell_type", metric="l2", **QUICK)
    x = cells.X.toarray().astype(float)
    logs = np.log1p(x * (1e4 / (x.sum(axis=1, keepdims=True) + 1e-6)))
    used = np.abs(reference.weights).sum(axis=1) > 0
    assert used.sum() == 300
    assert_array_equal(np.flatnonzero(used), naive.variable_genes(x.tolist(), 300, min_cells=10))
    z = np.array(naive.standardized(logs[:, used].tolist()))
    u, s, _ = np.linalg.svd(z, full_matrices=False)
    expected = u[:, :10] * s[:10]
    signs = np.sign((expected * reference.vectors).sum(axis=0))
    ratio = np.array(reference.manifest["embedding"]["variance_ratio"])
    assert_allclose(ratio, s[:10] ** 2 / (s**2).sum(), rtol=1e-3)
    # The first ones are apart from the others; the last ones may turn in their plane.
    assert_allclose(reference.vectors[:, :5], (expected * signs)[:, :5], atol=2e-3 * np.abs(expected).max())


def counts_of(matrix):
    """One block of cells, as the passes over a file get them."""
    cells = sp.csr_matrix(np.asarray(matrix, dtype=np.float32))
    totals = np.asarray(cells.sum(axis=1), dtype=np.float32).ravel()
    genes = GeneList([f"g{i}" for i in range(cells.shape[1])])
    names = [str(i) for i in range(len(totals))]
    return Counts(names, genes, cells.data, cells.indices, cells.indptr.astype(np.int64), totals)


def test_a_rare_gene_speaks_less_loudly_than_a_common_one():
    # Standard deviations 1, 2 and 9, of which 2 is the median: over 3, 4 and 11.
    assert pca.damping(np.array([2.0, 9.0, 1.0])) == 2.0
    # One of 25 cells has the rare gene, 12 the common one; as z-scores both would have variance 1.
    rare, common = np.zeros(25), np.zeros(25)
    rare[3] = common[::2] = 1
    rare_std, common_std = np.sqrt(24) / 25, np.sqrt(13 * 12) / 25
    assert_allclose([rare.std(), common.std()], [rare_std, common_std])
    z = np.array(naive.standardized(np.column_stack([rare, common]).tolist()))
    middle = (rare_std + common_std) / 2
    assert_allclose(z.std(axis=0), [rare_std / (rare_std + middle), common_std / (common_std + middle)])
    assert np.abs(z[:, 0]).max() < 2 < (rare / rare_std).max()


def test_genes_are_compared_with_those_of_a_similar_mean():
    # All cells have as many molecules. Genes 0 to 2 are rare, 3 to 5 common: of either, the last varies most.
    rare = [[3, 0, 0, 0, 0, 3, 3, 3], [0, 3, 3, 3, 3, 0, 0, 0], [0, 0, 0, 12, 0, 0, 0, 0]]
    common = [[90, 92, 88, 90] * 2, [91, 89, 90, 90] * 2, [180, 0, 180, 0] * 2]
    filling = 1000 - np.sum([*rare, *common], axis=0)
    cells = np.array([*rare, *common, filling]).T
    found = pca.moments(lambda: iter([counts_of(cells)]), 7)
    chosen = np.flatnonzero(pca.variable_genes(found, 2, min_cells=1))
    assert_array_equal(chosen, naive.variable_genes(cells.tolist(), 2, min_cells=1))
    assert_array_equal(chosen, [2, 5])


@pytest.mark.parametrize(("n_cells", "least"), [(50, 3), (600, 6), (2000, 10)])
def test_genes_of_too_few_cells_are_not_used(n_cells, least):
    # Gene i is in i + 1 cells; the last one in all.
    has = np.arange(n_cells)[:, None] <= np.arange(15)
    cells = np.column_stack([has, np.full(n_cells, 100)])
    found = pca.moments(lambda: iter([counts_of(cells)]), 16)
    assert_array_equal(np.flatnonzero(pca.variable_genes(found, None))[0], least - 1)


def test_references_of_before_standard_deviations_were_damped_are_read(tmp_path, cells):
    reference = build_reference(cells, tmp_path / "r", "cell_type", **QUICK)
    found = reference.neighbors(reference.vectors[:5])
    manifest = json.loads((reference.path / "manifest.json").read_text())
    assert manifest["embedding"].pop("damping") > 0
    (reference.path / "manifest.json").write_text(json.dumps(manifest))
    for mine, before in zip(Reference(reference.path).neighbors(reference.vectors[:5]), found, strict=True):
        assert_array_equal(mine, before)


def test_a_cell_of_the_reference_is_its_own_neighbor(tmp_path, cells):
    reference = build_reference(cells, tmp_path / "r", "cell_type", **QUICK)
    totals = np.asarray(cells.X.sum(axis=1), dtype=np.float32).ravel()
    vectors = reference.embed(cells.X, totals)
    assert_array_equal(vectors, reference.vectors)
    rows, distances = reference.neighbors(vectors)
    assert rows.shape == (1000, 10)
    assert_array_equal(rows[:, 0], np.arange(1000))
    assert (distances[:, 0] == 0).all()
    assert (np.diff(distances, axis=1) >= 0).all()


def test_what_is_known_about_cells(tmp_path, cells):
    cells = cells.copy()
    cells.obs["is_primary_data"] = True
    types = cells.obs["cell_type"].astype(object)
    types.iloc[3] = None
    cells.obs["cell_type"] = types
    reference = build_reference(cells, tmp_path / "r", "cell_type", **QUICK)
    row = reference.cells.row(0, ["cell_type", "donor_id", "total_mrna_umis", "is_primary_data", "organism"])
    assert row == {
        "cell_type": cells.obs["cell_type"].iloc[0],
        "donor_id": cells.obs["donor_id"].iloc[0],
        "total_mrna_umis": int(cells.X[0].sum()),
        "is_primary_data": True,
    }
    assert reference.cells.row(3, ["cell_type"]) == {"cell_type": "unknown"}
    terms = cells.obs["cell_type_ontology_term_id"].map(reference.ontology.find)
    assert_array_equal(reference.cells.terms, terms)


def test_terms_are_found_by_labels(tmp_path, cells):
    named = cells.copy()
    del named.obs["cell_type_ontology_term_id"]
    named.obs["cell_type"] = named.obs["cell_type"].astype(str).replace("macrophage", "my macrophage")
    with pytest.warns(CASWarning, match="5 types of 31 are not in the ontology.*my macrophage"):
        reference = build_reference(named, tmp_path / "r", "cell_type", **QUICK)
    known = cells.obs["cell_type_ontology_term_id"].map(reference.ontology.find).to_numpy()
    # Labels of older releases are not looked for.
    older = ["my macrophage", "lung ciliated cell", "respiratory goblet cell"]
    older += ["type I pneumocyte", "type II pneumocyte"]
    lost = named.obs["cell_type"].isin(older).to_numpy()
    assert_array_equal(reference.cells.terms, np.where(lost, -1, known))


def test_the_embedding_of_another_reference(tmp_path, cells):
    first = build_reference(cells, tmp_path / "first", "cell_type", **QUICK)
    other = cells[::3, ::-1].copy()
    second = build_reference(other, tmp_path / "second", "cell_type", model=tmp_path / "first")
    assert second.genes == first.genes
    assert second.schema_name == first.schema_name
    assert_allclose(second.vectors, first.vectors[::3], atol=1e-6)


def test_nothing_is_left_of_what_failed(tmp_path, cells, monkeypatch):
    out = tmp_path / "r"
    build_reference(cells, out, "cell_type", **QUICK)
    before = contents(out)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        build_reference(cells, out, "cell_type", **QUICK)

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(pca, "fit", interrupted)
    for where in (out, tmp_path / "new"):
        with pytest.raises(KeyboardInterrupt):
            build_reference(cells, where, "cell_type", overwrite=True, **QUICK)
    monkeypatch.undo()
    assert contents(out) == before
    assert [p.name for p in tmp_path.iterdir()] == ["r"]
    build_reference(cells, out, "cell_type", overwrite=True, seed=1, **QUICK)
    assert contents(out) != before
    assert [p.name for p in tmp_path.iterdir()] == ["r"]
    (tmp_path / "mine").mkdir()
    with pytest.raises(FileExistsError, match="no reference"):
        build_reference(cells, tmp_path / "mine", "cell_type", overwrite=True, **QUICK)


def test_bad_input_is_refused_before_anything_is_made(tmp_path, cells):
    def refuse(error, match, adata=cells, column="cell_type", **options):
        with pytest.raises(error, match=match):
            build_reference(adata, tmp_path / "r", column, **{**QUICK, **options})
        assert list(tmp_path.iterdir()) == []

    refuse(MissingDataError, "Did you mean 'cell_type'", column="celltype")
    refuse(MissingDataError, "ontology_term_column", ontology_term_column="term")
    refuse(InvalidOptionError, "n_components", n_components=0)
    refuse(InvalidOptionError, "n_neighbors", n_neighbors=2.5)
    refuse(InvalidOptionError, "seed", seed=-1)
    refuse(InvalidOptionError, "metric", metric="euclidean")
    refuse(InvalidOptionError, "search", search="fast")
    refuse(InvalidDataError, "smaller `n_components`", n_components=400)
    refuse(InvalidDataError, "smaller `n_components`", adata=cells[:5].copy())
    refuse(FileNotFoundError, "no reference", model=tmp_path / "none")
    logs = cells.copy()
    logs.X.data = np.log1p(logs.X.data)
    refuse(InvalidDataError, "fractional", adata=logs)
    logs.X.data[7] = np.nan
    refuse(InvalidDataError, "NaN", adata=logs)
    with pytest.raises(FileNotFoundError, match="no folder"):
        build_reference(cells, tmp_path / "a" / "b", "cell_type", **QUICK)


def test_what_is_no_reference_is_refused(tmp_path, cells):
    out = build_reference(cells, tmp_path / "r", "cell_type", **QUICK).path
    manifest = out / "manifest.json"
    good = json.loads(manifest.read_text())

    def refuse(match):
        with pytest.raises(FileFormatError, match=match):
            Reference(out)

    for change, match in (
        ({"version": 2}, "of version 2, expected 1"),
        ({"format": "another"}, "no reference"),
        ({"n_cells": 999}, "Expected .*999"),
        ({"n_genes": "many"}, "n_genes"),
        ({"metric": "euclidean"}, "unknown metric"),
        ({"n_neighbors": 0}, "no neighbors"),
        ({"embedding": {}}, "n_components"),
    ):
        manifest.write_text(json.dumps({**good, **change}))
        refuse(match)
    manifest.write_text("[1")
    refuse("no JSON")
    manifest.write_text(json.dumps(good))
    vectors = (out / "vectors.npy").read_bytes()
    (out / "vectors.npy").write_bytes(vectors[:-40])
    refuse("vectors.npy")
    (out / "vectors.npy").write_bytes(vectors)
    np.save(out / "cells" / "cell_type.npy", np.full(1000, 99, dtype=np.int32))
    refuse("damaged")
    manifest.unlink()
    refuse("manifest.json")
    with pytest.raises(FileNotFoundError):
        Reference(tmp_path / "none")
