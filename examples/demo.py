"""The main job on real cells: kernels, walks and scores; states, fates and driver genes; labels.

    python examples/demo.py [FOLDER]

Writes figures and `summary.md` to FOLDER (default `demo_output`). Uses the two data sets that travel
with the package, and lung cells from the tests; nothing is downloaded.
"""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path

import matplotlib

matplotlib.use("Agg")  # figures go to files; no display is needed

import anndata as ad
import ferrocyte as fc
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from ferrocyte.cli import main as command_line

# Trimmed counts of two studies, see lung.md there.
LUNG = Path(__file__).parents[1] / "tests" / "data"
if LUNG.is_relative_to(Path.cwd()):
    LUNG = LUNG.relative_to(Path.cwd())  # commands in the summary run in any clone


def granule_cells() -> ad.AnnData:
    """Radial glia and what becomes of them. Endothelia, interneurons and others come from elsewhere."""
    adata = fc.datasets.dentate_gyrus()
    names = ["Radial Glia-like", "Astrocytes", "nIPC", "Neuroblast", "Granule immature", "Granule mature"]
    return adata[adata.obs["clusters"].isin(names)].copy()


def marrow_cells() -> ad.AnnData:
    """The marrow with names of groups that are fit for a file: h5ad keeps "/" for itself."""
    adata = fc.datasets.bone_marrow()
    groups = adata.obs["marker_group"]
    adata.obs["marker_group"] = groups.cat.rename_categories(lambda name: name.replace("/", "-"))
    return adata


def dentate_gyrus(out: Path) -> list[str]:
    """Velocity of cells of the mouse dentate gyrus (Hochgerner et al. 2018)."""
    adata = granule_cells()
    vk = fc.kernels.VelocityKernel(adata).compute_transition_matrix()
    ck = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    combined = 0.8 * vk + 0.2 * ck
    combined.compute_transition_matrix()
    combined.write_to_adata()
    combined.plot_projection(
        basis="umap", color="clusters", save=out / "dentate_velocity_stream.png", show=False
    )
    combined.plot_random_walks(
        n_sims=30,
        max_iter=60,
        start_ixs={"clusters": "nIPC"},
        stop_ixs={"clusters": "Granule mature"},
        seed=0,
        save=out / "dentate_walks_from_nIPC.png",
        show=False,
    )
    plt.close("all")
    score = combined.cbc("Neuroblast", "Granule immature", cluster_key="clusters", rep="X_pca")
    walks = fc.kernels.utils.RandomWalk(
        adata, combined.transition_matrix, start_ixs={"clusters": "nIPC"}
    ).simulate_many(n_sims=1000, max_iter=60, seed=0, show_progress_bar=False)
    ends = adata.obs["clusters"].iloc[[w[-1] for w in walks]].value_counts(normalize=True)
    file = out / "dentate_kernel.h5"
    combined.write(file, write_adata=False)
    again = fc.kernels.Kernel.read(file, adata=adata)
    same = (again.transition_matrix != combined.transition_matrix).nnz == 0
    return [
        "## Dentate gyrus: RNA velocity",
        f"- {combined}, softmax scale {vk.params['softmax_scale']:.3f} (estimated)",
        f"- rows sum to 1 within {np.abs(combined.transition_matrix.sum(axis=1) - 1).max():.1e}",
        f"- cross-boundary correctness Neuroblast to Granule immature: median {np.nanmedian(score):.2f} "
        f"over {len(score)} boundary cells",
        f"- after 60 steps from nIPC, 1000 walks stand in: {shares(ends)}",
        f"- written to {file.name} and read back: {'identical' if same else 'DIFFERENT'}",
    ]


def bone_marrow(out: Path) -> list[str]:
    """Pseudotime of 4142 CD34+ cells of human bone marrow (Setty et al. 2019)."""
    adata = marrow_cells()
    pk = fc.kernels.PseudotimeKernel(adata, time_key="palantir_pseudotime").compute_transition_matrix()
    cyto = fc.kernels.CytoTRACEKernel(adata).compute_cytotrace(layer="log_normalized")
    cyto.compute_transition_matrix(threshold_scheme="soft")
    pk.plot_projection(
        basis="umap", color="marker_group", save=out / "marrow_pseudotime_stream.png", show=False
    )
    pk.plot_random_walks(
        n_sims=30,
        max_iter=100,
        start_ixs={"palantir_pseudotime": [0.0, 0.05]},
        seed=0,
        save=out / "marrow_walks_from_stem.png",
        show=False,
    )
    cyto.plot_projection(
        recompute=True,
        basis="umap",
        color="marker_group",
        save=out / "marrow_cytotrace_stream.png",
        show=False,
    )
    plt.close("all")
    agreement = np.corrcoef(adata.obs["palantir_pseudotime"].rank(), adata.obs["ct_pseudotime"].rank())[0, 1]
    walks = fc.kernels.utils.RandomWalk(
        adata, pk.transition_matrix, start_ixs={"palantir_pseudotime": [0.0, 0.05]}
    ).simulate_many(n_sims=1000, max_iter=200, seed=0, show_progress_bar=False)
    time_gained = np.mean(
        [
            adata.obs["palantir_pseudotime"].iloc[w[-1]] - adata.obs["palantir_pseudotime"].iloc[w[0]]
            for w in walks
        ]
    )
    return [
        "## Bone marrow: pseudotime",
        f"- {pk!r}",
        f"- 200 steps from the stem cells move a walk ahead by {time_gained:.2f} of pseudotime on average",
        f"- CytoTRACE and Palantir order the cells with a rank correlation of {agreement:.2f}: it counts "
        "genes, of which this set has the variable ones only, enough to try it, not to trust it",
    ]


def fates(out: Path) -> list[str]:
    """Both sets from file to file, with the command that scripts use: `ferrocyte fate`."""
    lines = ["## Fates, by the command line"]
    jobs = {
        "dentate_gyrus": [
            *("--kernel", "velocity:0.8", "--kernel", "connectivity:0.2", "--cluster-key", "clusters"),
            *("--n-states", "5", "--n-cells", "8", "--terminal", "Astrocytes;Granule mature"),
        ],
        "bone_marrow": [
            *("--kernel", "pseudotime:1:time_key=palantir_pseudotime,threshold_scheme=soft"),
            *("--cluster-key", "marker_group", "--n-states", "4"),
            *("--terminal-method", "top_n", "--n-terminal", "3"),
        ],
    }
    data = {"dentate_gyrus": granule_cells, "bone_marrow": marrow_cells}
    for name, options in jobs.items():
        cells, result = out / f"{name}.h5ad", out / f"{name}_fates.h5ad"
        data[name]().write_h5ad(cells)
        call = ["fate", str(cells), *options, "--out", str(result), "--overwrite"]
        code = command_line([*call, "--figures", str(out / f"{name}_fates"), "--seed", "0"])
        if code != 0:
            sys.exit(code)
        adata = ad.read_h5ad(result)
        lineages = fc.Lineage.from_adata(adata)
        drivers = adata.varm["terminal_lineage_drivers"]
        lines += ["", f"`{shlex.join(['ferrocyte', *call])}`", ""]
        starts = adata.obs["init_states_fwd"]
        groups = adata.obs.loc[starts.notna(), options[options.index("--cluster-key") + 1]]
        lines.append(
            f"- initial: {', '.join(starts.cat.categories)}, of {shares(groups.value_counts(normalize=True))}"
        )
        for lineage in lineages.names:
            top = drivers[f"{lineage}_corr"].nlargest(5).index
            lines.append(
                f"- {lineage}: reached by {lineages[lineage].X.mean():.0%} of the cells on average; "
                f"driver genes {', '.join(top)}"
            )
        if "palantir_fate_probabilities" in adata.obsm:
            lines.append(f"- {beside_palantir(adata, lineages)}")
    return lines


def annotation(out: Path) -> list[str]:
    """Lung of one study (Travaglini et al. 2020) named by a reference of another (Tabula Sapiens)."""
    reference, table, result = out / "lung_reference", out / "lung_labels.csv", out / "lung_labelled.h5ad"
    source, query = LUNG / "lung_reference.h5ad", LUNG / "lung_query.h5ad"
    calls = [
        ["build-reference", str(source), "--cell-type-column", "cell_type", "--out", str(reference)],
        ["annotate", str(query), "--local", str(reference), "--out", str(table), "--out", str(result)],
    ]
    lines = ["## Cell types, offline", ""]
    for call in calls:
        code = command_line(["cas", *call, "--overwrite"])
        if code != 0:
            sys.exit(code)
        lines.append(f"`{shlex.join(['ferrocyte', 'cas', *call])}`  ")
    cells = ad.read_h5ad(result)
    terms, truth = (
        cells.obs[column].astype(str)
        for column in ("cas_cell_type_ontology_term_id", "cell_type_ontology_term_id")
    )
    known = truth.isin(set(ad.read_h5ad(source, backed="r").obs["cell_type_ontology_term_id"]))
    draw_labels(cells, out / "lung_labels.png")
    return [
        *lines,
        "",
        f"- {known.sum()} of {len(cells)} cells have a type that the reference has; "
        f"{np.mean((terms == truth)[known]):.0%} of them are named by the term of the study itself",
        f"- {cells.obs['cas_cell_type'].nunique()} labels, most of all "
        f"{shares(cells.obs['cas_cell_type'].value_counts(normalize=True)[:3])}",
    ]


def draw_labels(cells: ad.AnnData, path: Path) -> None:
    """The labels of the study and those that were found, on one map, the same colour for the same label."""
    columns = {"as published": "cell_type", "as annotated": "cas_cell_type"}
    texts = {title: cells.obs[column].astype(str) for title, column in columns.items()}
    common = pd.concat(list(texts.values())).value_counts().index[:18]
    colors = plt.get_cmap("tab20").colors
    palette = dict(zip(common, [*colors[:14], *colors[16:]], strict=False))  # grey is for the others
    figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
    x, y = cells.obsm["X_umap"].T
    for ax, (title, text) in zip(axes, texts.items(), strict=True):
        ax.scatter(x, y, s=8, c=[palette.get(label, (0.8, 0.8, 0.8)) for label in text], linewidths=0)
        ax.set(title=title, xticks=[], yticks=[], xlabel="UMAP 1", ylabel="UMAP 2")
    handles = [
        plt.Line2D([], [], marker="o", linestyle="", color=color, label=label)
        for label, color in palette.items()
    ]
    handles.append(plt.Line2D([], [], marker="o", linestyle="", color=(0.8, 0.8, 0.8), label="others"))
    figure.legend(handles=handles, loc="outside right center", frameon=False, fontsize=8)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def beside_palantir(adata: ad.AnnData, lineages: fc.Lineage) -> str:
    """Rank correlation of each lineage with the fate of Palantir that it resembles most."""
    theirs = pd.DataFrame(
        adata.obsm["palantir_fate_probabilities"],
        index=adata.obs_names,
        columns=[str(name) for name in adata.uns["palantir_fate_names"]],
    )
    parts = []
    for name in lineages.names:
        ours = pd.Series(lineages[name].X[:, 0], index=adata.obs_names)
        agreement = theirs.corrwith(ours, method="spearman")
        parts.append(f"{name} with {agreement.idxmax()} {agreement.max():.2f}")
    return "rank correlation with the fates of Palantir: " + ", ".join(parts)


def shares(counts: pd.Series) -> str:
    """`a 60 %, b 30 %`, largest first, small ones left out."""
    return ", ".join(f"{name} {share:.0%}" for name, share in counts.items() if share >= 0.02)


def main() -> None:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "demo_output")
    out.mkdir(parents=True, exist_ok=True)
    lines = [f"# ferrocyte {fc.__version__}: demo on real cells"]
    for part in (dentate_gyrus, bone_marrow, fates, annotation):
        start = time.perf_counter()
        lines += ["", *part(out)]
        lines.append(f"- took {time.perf_counter() - start:.1f} s")
    figures = sorted(str(p.relative_to(out)) for p in out.rglob("*.png"))
    lines += ["", "Figures: " + ", ".join(figures)]
    (out / "summary.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    print("\n".join(lines))
    print(f"\nAll of it is in {out}/")


if __name__ == "__main__":
    main()
