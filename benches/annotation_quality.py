"""How well cells of one study are named by a reference of another, ours beside scikit-learn and CellTypist.

    python benches/annotation_quality.py REFERENCE.h5ad QUERY.h5ad
    python benches/annotation_quality.py CELLS.h5ad --query donor_id=D1,D2    # the rest is the reference
    python benches/annotation_quality.py CELLS.h5ad --query half              # every second cell

Files need raw counts, Ensembl ids as `var_names`, and terms of the Cell Ontology in
`obs["cell_type_ontology_term_id"]`; cells of a reference without one are left out. CellTypist is asked where
it is installed, with a model trained on the reference. Printed for each method,

* accuracy and macro-F1: over query cells whose true term is a term of the reference; the mean of F1 is over
  true terms;
* right or above: share of all query cells whose answer is the true term or a term above it, which is the best
  that can be said of a type that the reference lacks;
* unseen: the same over cells whose true term the reference lacks.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import scanpy as sc
import scipy.sparse as sp
from ferrocyte.cas import CASClient
from ferrocyte.cas.local import build_reference, packaged_ontology
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.neighbors import KNeighborsClassifier

TERM = "cell_type_ontology_term_id"
ONTOLOGY = packaged_ontology()


class Judge:
    """Compares answers with the true terms."""

    def __init__(self, reference: ad.AnnData, query: ad.AnnData) -> None:
        terms = query.obs[TERM].astype(str)
        self.known = np.array([ONTOLOGY.find(t) >= 0 for t in terms])
        self.truth = terms.to_numpy()
        self.shared = self.known & terms.isin(set(reference.obs[TERM].astype(str))).to_numpy()
        above = ONTOLOGY.document()["ancestors_dictionary"]
        self.accepted = [{t, *above.get(t, ())} - {"CL:0000000"} for t in self.truth]

    def line(self, method: str, answers: np.ndarray, seconds: float) -> str:
        answers = np.asarray(answers).astype(str)
        truth, given = self.truth[self.shared], answers[self.shared]
        macro = f1_score(truth, given, labels=np.unique(truth), average="macro", zero_division=0)
        above = np.array([a in ok for a, ok in zip(answers, self.accepted, strict=True)])
        unseen = self.known & ~self.shared
        rest = f"{above[unseen].mean():.3f}" if unseen.any() else "-"
        return (
            f"| {method} | {(truth == given).mean():.3f} | {macro:.3f} | {above[self.known].mean():.3f} | "
            f"{rest} | {seconds:.1f} |"
        )


def ours(
    reference: Path, query: ad.AnnData, judge: Judge, options: dict, least: float
) -> tuple[list[str], int]:
    """Lines, and how many neighbors cells were named by."""
    out = []
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        made = build_reference(reference, Path(folder, "reference"), "cell_type", TERM, **options)
        built = time.perf_counter() - start
        with CASClient.local(made) as client:
            start = time.perf_counter()
            results = client.annotate_matrix_cell_type_ontology_aware_strategy(query)
            seconds = time.perf_counter() - start
            name = f"{made.n_neighbors} neighbors"
            cells = query.copy()
            client.insert_ontology_aware_response(results, cells)
            for depth, shortest in (("longest", False), ("shortest", True)):
                client.compute_most_granular_top_k_calls_single(
                    cells, least, top_k=1, use_shortest_path=shortest
                )
                call = f"ours, ontology-aware, {name}, depth by {depth} path"
                out.append(judge.line(call, cells.obs["cas_cell_type_name_1"], built + seconds))
            summary = client.annotate_matrix_cell_type_summary_statistics_strategy(query)
            labels = dict(
                zip(
                    made.cells.cell_types[1],
                    _terms_of_types(reference, made.cells.cell_types[1]),
                    strict=True,
                )
            )
            most = [labels[answer.matches[0].cell_type] for answer in summary.data]
            out.append(judge.line(f"ours, most of {name}", most, built + seconds))
    return out, made.n_neighbors


def _terms_of_types(path: Path, types: list[str]) -> list[str]:
    obs = ad.read_h5ad(path, backed="r").obs
    first = obs.drop_duplicates("cell_type").set_index("cell_type")[TERM].astype(str)
    return [first[t] for t in types]


def theirs(reference: ad.AnnData, query: ad.AnnData, judge: Judge, neighbors: list[int]) -> list[str]:
    """Genes of both, normalised, logarithms, 2000 variable genes and 50 components of the reference."""
    start = time.perf_counter()
    genes = reference.var_names.intersection(query.var_names)
    both = [reference[:, genes].copy(), query[:, genes].copy()]
    for cells in both:
        sc.pp.normalize_total(cells, target_sum=1e4)
        sc.pp.log1p(cells)
    sc.pp.highly_variable_genes(both[0], n_top_genes=2000)
    variable = both[0].var["highly_variable"].to_numpy()
    x, y = (sp.csr_matrix(cells.X)[:, variable] for cells in both)
    labels = reference.obs[TERM].astype(str).to_numpy()
    pca = sc.pp.pca(ad.AnnData(x), n_comps=50, copy=True)
    projected = (y - np.asarray(x.mean(axis=0))) @ pca.varm["PCs"]
    shared = time.perf_counter() - start
    out = []
    for metric in ("euclidean", "cosine"):
        for k in neighbors:
            start = time.perf_counter()
            knn = KNeighborsClassifier(k, metric=metric).fit(pca.obsm["X_pca"], labels)
            answers = knn.predict(np.asarray(projected))
            seconds = shared + time.perf_counter() - start
            out.append(judge.line(f"scanpy PCA, scikit-learn kNN, {metric}, k = {k}", answers, seconds))
    start = time.perf_counter()
    answers = LogisticRegression(max_iter=300, C=0.1).fit(x, labels).predict(y)
    seconds = shared + time.perf_counter() - start
    return [*out, judge.line("scikit-learn logistic regression, the same genes", answers, seconds)]


def celltypist(reference: ad.AnnData, query: ad.AnnData, judge: Judge) -> list[str]:
    """A model trained on the reference, with its choice of genes; nothing where it is not installed."""
    try:
        import celltypist as library
    except ImportError:
        return []
    genes = reference.var_names.intersection(query.var_names)
    both = [reference[:, genes].copy(), query[:, genes].copy()]
    for cells in both:
        sc.pp.normalize_total(cells, target_sum=1e4)
        sc.pp.log1p(cells)
    start = time.perf_counter()
    model = library.train(both[0], labels=TERM, n_jobs=1, feature_selection=True, top_genes=300)
    found = library.annotate(both[1], model=model).predicted_labels["predicted_labels"]
    name = f"CellTypist {library.__version__}, trained on the reference"
    return [judge.line(name, found.to_numpy(), time.perf_counter() - start)]


def parts(args: argparse.Namespace, folder: Path) -> tuple[Path, ad.AnnData]:
    """File of the reference, and the query."""
    if Path(args.query).suffix == ".h5ad":
        reference, query = ad.read_h5ad(args.reference), ad.read_h5ad(args.query)
    else:
        cells = ad.read_h5ad(args.reference)
        column, _, values = args.query.partition("=")
        asked = np.arange(cells.n_obs) % 2 == 1
        if column != "half":
            asked = cells.obs[column].astype(str).isin(values.split(",")).to_numpy()
        reference, query = cells[~asked].copy(), cells[asked].copy()
    known = [ONTOLOGY.find(term) >= 0 for term in reference.obs[TERM].astype(str)]
    reference[known].write_h5ad(folder / "reference.h5ad")
    return folder / "reference.h5ad", query


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reference", type=Path)
    parser.add_argument("query", help="file, `half`, or COLUMN=VALUE,VALUE")
    parser.add_argument(
        "--neighbors", type=int, nargs="*", default=[], help="numbers to try beside the default of ours"
    )
    parser.add_argument("--least", type=float, default=0.2, help="least score of a call (default: 0.2)")
    parser.add_argument("--ours-only", action="store_true")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as folder:
        path, query = parts(args, Path(folder))
        reference = ad.read_h5ad(path)
        judge = Judge(reference, query)
        print(
            f"{args.reference.stem} -> {Path(args.query).stem}: {reference.n_obs} and {query.n_obs} cells; "
            f"{judge.shared.sum()} of these are of {len(set(judge.truth[judge.shared]))} types that the "
            f"reference has, {(judge.known & ~judge.shared).sum()} of others"
        )
        print(
            "| method | accuracy | macro-F1 | right or above | unseen | s |",
            "| --- | --- | --- | --- | --- | --- |",
            sep="\n",
        )
        tried = []
        for k in [None, *args.neighbors]:
            lines, number = ours(path, query, judge, {"n_neighbors": k}, args.least)
            print(*lines, sep="\n", flush=True)
            tried.append(number)
        if not args.ours_only:
            print(*theirs(reference, query, judge, tried), sep="\n", flush=True)
            print(*celltypist(reference, query, judge), sep="\n")


if __name__ == "__main__":
    main()
