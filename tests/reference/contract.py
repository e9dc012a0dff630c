"""What is documented of the API, as tables for `tests/test_contract.py`.

Signatures are written as in Python, without `self`; a name alone is a property. `...` as a default: one of
our own stands for it, and means the same. An entry that comes later replaces that of a base.
"""

from __future__ import annotations

KERNEL = """
adata
backward
cbc(source, target, cluster_key, rep, graph_key='distances')
copy(*, deep=False)
from_adata(adata, key, copy=False)
kernels
params
plot_projection(basis='umap', key_added=None, recompute=False, stream=True, connectivities=None, **kwargs)
plot_random_walks(n_sims=100, max_iter=0.25, seed=None, successive_hits=0, start_ixs=None, stop_ixs=None,
    basis='umap', cmap='gnuplot', linewidth=1.0, linealpha=0.3, ixs_legend_loc=None, n_jobs=None,
    backend='loky', show_progress_bar=True, figsize=None, dpi=None, save=None, **kwargs)
plot_single_flow(cluster, cluster_key, time_key, clusters=None, time_points=None, min_flow=0,
    remove_empty_clusters=True, ascending=False, legend_loc='upper right out', alpha=0.8, xticks_step_size=1,
    figsize=None, dpi=None, save=None, show=True)
read(fname, adata=None, copy=False)
shape
transition_matrix
write(fname, write_adata=True)
write_to_adata(key=None, copy=False)
"""
TRANSITIONS = "compute_transition_matrix(*args, **kwargs)\n"
DIRECTED = "__invert__()\n"
SCHEME = """
bias_knn(conn, pseudotime, n_jobs=None, backend='loky', show_progress_bar=True, **kwargs)
"""
SIMILARITY = """
__call__(v, D, softmax_scale=1.0)
hessian(v, D, softmax_scale=1.0)
"""
ESTIMATOR = """
adata
backward
copy(*, deep=False)
fit(*args, **kwargs)
from_adata(adata, obsp_key)
kernel
params
predict(*args, **kwargs)
read(fname, adata=None, copy=False)
shape
to_adata(keep=('X', 'raw'), *, copy=True)
transition_matrix
write(fname, write_adata=True)
"""
TERM_STATES = """
initial_states
initial_states_probabilities
plot_macrostates(which, states=None, color=None, discrete=True, mode='embedding', time_key='latent_time',
    same_plot=True, title=None, cmap='viridis', *, basis='umap', **kwargs)
rename_initial_states(old_new)
rename_terminal_states(old_new)
terminal_states
terminal_states_probabilities
"""
SET_STATES = """
set_initial_states(states, cluster_key=None, allow_overlap=False, *, weight_key=None)
set_terminal_states(states, cluster_key=None, allow_overlap=False, *, weight_key=None)
"""
FATES = """
absorption_times
compute_absorption_times(keys=None, calculate_variance=False, solver='gmres', use_petsc=True, n_jobs=None,
    backend='loky', show_progress_bar=None, tol=1e-6, preconditioner=None)
compute_eigendecomposition(k=20, which='LR', alpha=1.0, only_evals=False, ncv=None)
compute_fate_probabilities(keys=None, solver='gmres', use_petsc=True, n_jobs=None, backend='loky',
    show_progress_bar=True, tol=1e-6, preconditioner=None, check_sum_tol=1e-3)
compute_lineage_drivers(lineages=None, method='fisher', cluster_key=None, clusters=None, layer=None,
    use_raw=False, confidence_level=0.95, n_perms=1000, seed=None, nan_policy='propagate', *, n_jobs=None,
    backend='loky', show_progress_bar=True)
compute_lineage_priming(method='kl_divergence', early_cells=None)
eigendecomposition
fate_probabilities
lineage_drivers
plot_fate_probabilities(states=None, color=None, mode='embedding', time_key=None, same_plot=True, title=None,
    cmap='viridis', *, basis='umap', **kwargs)
plot_lineage_drivers(lineage, n_genes=8, use_raw=False, ascending=False, ncols=None,
    title_fmt='{gene} qval={qval:.4e}', figsize=None, dpi=None, save=None, **kwargs)
plot_lineage_drivers_correlation(lineage_x, lineage_y, color=None, gene_sets=None, gene_sets_colors=None,
    use_raw=False, cmap='RdYlBu_r', fontsize=12, adjust_text=False, legend_loc='best', figsize=(4, 4),
    dpi=None, save=None, show=True, **kwargs)
plot_spectrum(n=None, real_only=None, show_eigengap=True, show_all_xticks=True, legend_loc=None, title=None,
    marker='.', figsize=(5, 5), dpi=100, save=None, **kwargs)
priming_degree
"""
MODEL = """
adata
conf_int
confidence_interval(x_test=None, **kwargs)
copy()
default_confidence_interval(x_test=None, **kwargs)
fit(x=None, y=None, w=None, **kwargs)
model
plot(figsize=(8, 5), same_plot=False, hide_cells=False, perc=None, fate_prob_cmap='viridis', cell_color=None,
    lineage_color='black', alpha=0.8, lineage_alpha=0.2, title=None, size=15, lw=2, cbar=True, margins=0.015,
    xlabel='pseudotime', ylabel='expression', conf_int=True, lineage_probability=False,
    lineage_probability_conf_int=False, lineage_probability_color=None, obs_legend_loc='best', dpi=None,
    fig=None, ax=None, return_fig=False, save=None, **kwargs)
predict(x_test=None, key_added='_x_test', **kwargs)
prepare(signal, lineage, time_key, backward=False, time_range=None, data_key=..., use_raw=...,
    threshold=None, weight_threshold=(0.01, 0.01), filter_cells=None, n_test_points=200, *, gene=None)
prepared
read(fname, adata=None, copy=False)
shape
w
w_all
write(fname, write_adata=True)
x
x_all
x_hat
x_test
y
y_all
y_hat
y_test
"""
DISTRIBUTED = "n_jobs=..., backend='loky', show_progress_bar=True, figsize=None, dpi=None, save=None"
OLD = (
    "chunk_size={}, cas_model_name='default', count_matrix_input=CountMatrixInput.X, "
    "feature_ids_column_name='index', feature_names_column_name=None"
)
NEW = (
    "chunk_size={}, count_matrix_input=CountMatrixInput.X, feature_ids_column_name='index', {}"
    "cas_model_name=None, feature_names_column_name=None"
)
ANNOTATE = OLD.format(1000) + ", include_dev_metadata=False"

# Class, as it is constructed, and its members.
CLASSES = {
    "kernels.Kernel(adata, parent=None, **kwargs)": KERNEL + TRANSITIONS,
    "kernels.UnidirectionalKernel(adata, parent=None, **kwargs)": KERNEL + TRANSITIONS,
    "kernels.BidirectionalKernel(*args, backward=False, **kwargs)": KERNEL + TRANSITIONS + DIRECTED,
    "kernels.ConnectivityKernel(adata, conn_key='connectivities', check_connectivity=False)": KERNEL
    + """
compute_transition_matrix(density_normalize=True)
connectivities
""",
    """kernels.VelocityKernel(adata, backward=False, attr='layers', xkey='Ms', vkey='velocity',
        gene_subset=None, **kwargs)""": KERNEL
    + DIRECTED
    + """
compute_transition_matrix(model='deterministic', backward_mode='transpose', similarity='correlation',
    softmax_scale=None, n_samples=1000, seed=None, show_progress_bar=True, n_jobs=None, backend='loky')
connectivities
logits
""",
    "kernels.PseudotimeKernel(adata, time_key, backward=False, **kwargs)": KERNEL
    + DIRECTED
    + """
compute_transition_matrix(threshold_scheme='hard', frac_to_keep=0.3, b=10.0, nu=0.5,
    check_irreducibility=False, n_jobs=None, backend='loky', show_progress_bar=True, **kwargs)
connectivities
pseudotime
""",
    "kernels.CytoTRACEKernel(adata, backward=False, **kwargs)": KERNEL
    + DIRECTED
    + """
compute_cytotrace(layer='imputed', aggregation='mean', use_raw=False, n_genes=200)
compute_transition_matrix(threshold_scheme='hard', frac_to_keep=0.3, b=10.0, nu=0.5,
    check_irreducibility=False, n_jobs=None, backend='loky', show_progress_bar=True, **kwargs)
connectivities
pseudotime
""",
    "kernels.RealTimeKernel(adata, time_key, couplings=None, policy='sequential', **kwargs)": KERNEL
    + """
compute_coupling(src, tgt, **kwargs)
compute_transition_matrix(threshold='auto', self_transitions='connectivities', conn_weight=None,
    conn_kwargs=..., **kwargs)
couplings
from_moscot(problem, sparse_mode=None, sparsify_kwargs=..., copy=False, **kwargs)
from_wot(adata, path, time_key, **kwargs)
obs
time
""",
    "kernels.PrecomputedKernel(object, adata=None, obsp_key=None, **kwargs)": KERNEL + TRANSITIONS,
    "kernels.utils.SimilarityABC()": "__call__(v, D, softmax_scale=1.0)",
    "kernels.utils.Cosine()": SIMILARITY,
    "kernels.utils.Correlation()": SIMILARITY,
    "kernels.utils.DotProduct()": SIMILARITY,
    "kernels.utils.ThresholdSchemeABC()": SCHEME
    + "__call__(cell_pseudotime, neigh_pseudotime, neigh_conn, **kwargs)",
    "kernels.utils.HardThresholdScheme()": SCHEME
    + "__call__(cell_pseudotime, neigh_pseudotime, neigh_conn, frac_to_keep=0.3)",
    "kernels.utils.SoftThresholdScheme()": SCHEME
    + "__call__(cell_pseudotime, neigh_pseudotime, neigh_conn, b=10.0, nu=0.5)",
    "kernels.utils.CustomThresholdScheme(callback)": SCHEME
    + "__call__(cell_pseudotime, neigh_pseudotime, neigh_conn, **kwargs)",
    "kernels.utils.RandomWalk(adata, transition_matrix, start_ixs=None, stop_ixs=None)": """
simulate_one(max_iter=0.25, seed=None, successive_hits=0)
simulate_many(n_sims, max_iter=0.25, seed=None, successive_hits=0, n_jobs=None, backend='loky',
    show_progress_bar=True)
plot(sims, basis='umap', cmap='gnuplot', linewidth=1.0, linealpha=0.3, ixs_legend_loc=None, figsize=None,
    dpi=None, save=None, **kwargs)
""",
    "kernels.utils.TmatProjection(kexpr, basis='umap')": """
project(key_added=None, recompute=False, connectivities=None)
plot(*args, stream=True, **kwargs)
""",
    "kernels.utils.FlowPlotter(adata, tmat, cluster_key, time_key)": """
prepare(cluster, clusters=None, time_points=None)
plot(min_flow=0, remove_empty_clusters=True, ascending=False, alpha=0.8, xticks_step_size=1,
    legend_loc='upper right out', figsize=None, dpi=None, **kwargs)
""",
    "estimators.BaseEstimator(object, **kwargs)": ESTIMATOR,
    "estimators.TermStatesEstimator(object, **kwargs)": ESTIMATOR + TERM_STATES + SET_STATES,
    "estimators.CFLARE(object, **kwargs)": ESTIMATOR
    + TERM_STATES
    + SET_STATES
    + FATES
    + """
fit(k=20, **kwargs)
predict(use=None, percentile=98, method='leiden', cluster_key=None, n_clusters_kmeans=None, n_neighbors=20,
    resolution=0.1, n_matches_min=0, n_neighbors_filtering=15, basis=None, n_comps=5, scale=None)
""",
    "estimators.GPCCA(object, **kwargs)": ESTIMATOR
    + TERM_STATES
    + FATES
    + """
coarse_T
coarse_initial_distribution
coarse_stationary_distribution
compute_macrostates(n_states=None, n_cells=30, cluster_key=None, weight_key=None, **kwargs)
compute_schur(n_components=20, initial_distribution=None, method='krylov', which='LR', alpha=1.0,
    verbose=None)
fit(n_states=None, n_cells=30, cluster_key=None, weight_key=None, **kwargs)
initial_states_memberships
macrostates
macrostates_memberships
plot_coarse_T(show_stationary_dist=True, show_initial_dist=False, order='stability', cmap='viridis',
    xtick_rotation=45, annotate=True, show_cbar=True, title=None, figsize=(8, 8), dpi=80, save=None,
    text_kwargs={}, **kwargs)
plot_macrostate_composition(key, weight_key=None, width=0.8, title=None, labelrot=45,
    legend_loc='upper right out', figsize=None, dpi=None, save=None, show=True)
plot_schur_matrix(title='schur matrix', cmap='viridis', figsize=None, dpi=80, save=None, **kwargs)
plot_tsi(n_macrostates=None, x_offset=(0.2, 0.2), y_offset=(0.1, 0.1), figsize=(6, 4), dpi=None, save=None,
    **kwargs)
predict_initial_states(n_states=1, n_cells=30, allow_overlap=False)
predict_terminal_states(method='stability', n_cells=30, alpha=1, stability_threshold=0.96, n_states=None,
    allow_overlap=False)
schur_matrix
schur_vectors
set_initial_states(states=None, n_cells=30, allow_overlap=False, cluster_key=None, weight_key=None,
    agg='top_n')
set_terminal_states(states=None, n_cells=30, allow_overlap=False, cluster_key=None, weight_key=None,
    agg='top_n')
terminal_states_memberships
tsi(n_macrostates, terminal_states=None, cluster_key=None, **kwargs)
""",
    "models.BaseModel(adata, model)": MODEL,
    "models.SKLearnModel(adata, model, weight_name=None, ignore_raise=False)": MODEL,
    """models.GAM(adata, n_knots=6, spline_order=3, distribution='gamma', link='log', max_iter=2000,
        expectile=None, grid=None, spline_kwargs={}, **kwargs)""": MODEL,
    """models.GAMR(adata, n_knots=5, distribution='gaussian', basis='cr', knotlocs='auto', offset='default',
        smoothing_penalty=1.0, **kwargs)""": MODEL,
    "models.FittedModel(x_test, y_test, conf_int=None, x_all=None, y_all=None, w_all=None)": """
conf_int
copy()
from_model(model)
predict(**kwargs)
x_all
x_test
y_all
y_test
w_all
""",
    "models.FailedModel(model, exc=None)": "adata\ncopy()\nmodel\n",
    "models.Signal()": "fetch(adata, dtype=...)\nname\nvalidate(adata)\nylabel",
    "models.Gene(gene, layer=None, use_raw=False)": "fetch(adata, dtype=...)\nname\nvalidate(adata)\nylabel",
    "models.Obs(key)": "fetch(adata, dtype=...)\nname\nvalidate(adata)\nylabel",
    "models.Obsm(key, column)": "fetch(adata, dtype=...)\nname\nvalidate(adata)\nylabel",
    "Lineage(input_array, *, names, colors=None)": """
T
X
colors
copy()
from_adata(adata, backward=False, estimator_backward=None, kind='fate_probs', copy=False)
names
nlin
plot_pie(reduction, title=None, legend_loc='on data', legend_kwargs={}, figsize=None, dpi=None, save=None,
    **kwargs)
priming_degree(method='kl_divergence', early_cells=None)
reduce(*keys, mode='dist', dist_measure='mutual_info', normalize_weights='softmax', softmax_scale=1.0,
    return_weights=False)
view()
""",
    "CellRankConfig()": "figdir\nlogging_level\noverride_logging_level(level)",
    "cas.CASClient(api_token, api_url='', num_attempts_per_chunk=7)": f"""
allowed_models_list
annotate_10x_h5_file(filepath, {ANNOTATE})
annotate_anndata(adata, {ANNOTATE})
annotate_anndata_file(filepath, {ANNOTATE})
annotate_matrix_cell_type_ontology_aware_strategy(matrix, {NEW.format(1000, "")}, prune_threshold=0.05,
    weighting_prefactor=1.0)
annotate_matrix_cell_type_summary_statistics_strategy(matrix,
    {NEW.format(1000, "include_extended_statistics=True, ")})
print_user_quota()
query_cells_by_ids(cell_ids, metadata_feature_names=None)
search_10x_h5_file(filepath, {OLD.format(500)})
search_anndata(adata, {OLD.format(500)})
search_matrix(matrix, {NEW.format(500, "")})
validate_and_sanitize_input_data(adata, cas_model_name, count_matrix_name, feature_ids_column_name,
    feature_names_column_name=None)
validate_model_name(model_name=None)
validate_version()
""",
}
FUNCTIONS = f"""
pl.aggregate_fate_probabilities(adata, mode='paga_pie', backward=False, lineages=None, cluster_key='clusters',
    clusters=None, basis=None, cbar=True, ncols=None, sharey=False, fmt='0.2f', xrot=90, legend_kwargs=...,
    figsize=None, dpi=None, save=None, **kwargs)
pl.circular_projection(adata, keys, backward=False, lineages=None, early_cells=None, lineage_order=None,
    metric='correlation', normalize_by_mean=True, ncols=4, space=0.25, use_raw=False, text_kwargs=...,
    label_distance=1.25, label_rot='best', show_edges=True, key_added=None, figsize=None, dpi=None, save=None,
    **kwargs)
pl.cluster_trends(adata, model, genes, lineage, time_key, backward=False, time_range=None, clusters=None,
    n_points=200, covariate_key=None, ratio=0.05, cmap='viridis', norm=True, recompute=False, callback=None,
    ncols=3, sharey=False, key=None, random_state=None, show_progress_bar=True, n_jobs=..., backend='loky',
    figsize=None, dpi=None, save=None, pca_kwargs=..., neighbors_kwargs=..., clustering_kwargs=...,
    return_models=False, **kwargs)
pl.gene_trends(adata, model, signals, time_key, lineages=None, backward=False, data_key=..., time_range=None,
    transpose=False, callback=None, conf_int=True, same_plot=False, hide_cells=False, perc=None,
    lineage_cmap=None, fate_prob_cmap='viridis', cell_color=None, cell_alpha=0.6, lineage_alpha=0.2, size=15,
    lw=2, cbar=True, margins=0.015, sharex=None, sharey=None, gene_as_title=None, legend_loc='best',
    obs_legend_loc='best', ncols=2, suptitle=None, return_models=False, {DISTRIBUTED}, return_figure=False,
    plot_kwargs=..., genes=None, **kwargs)
pl.heatmap(adata, model, genes, time_key, lineages=None, backward=False, mode='lineages', time_range=None,
    callback=None, cluster_key=None, show_fate_probabilities=False, cluster_genes=False,
    keep_gene_order=False, scale=True, n_convolve=5, show_all_genes=False, cbar=True, lineage_height=0.33,
    fontsize=None, xlabel=None, title=None, cmap='viridis', dendrogram=True, return_genes=False,
    return_models=False, return_figure=False, {DISTRIBUTED}, gene_order=None, **kwargs)
pl.log_odds(adata, lineage_1, lineage_2=None, time_key='exp_time', backward=False, keys=None, threshold=None,
    threshold_color='red', layer=None, use_raw=False, size=2.0, cmap='viridis', alpha=0.8, ncols=None,
    fontsize=None, xticks_step_size=1, legend_loc='best', jitter=True, seed=None, figsize=None, dpi=None,
    save=None, show=..., **kwargs)
"""
# Fields of the answers of the annotation service, with their types; those in brackets may be absent.
RESULTS = {
    "CellTypeSummaryStatisticsResults": "data: list[NeighborhoodAnnotation]",
    "CellTypeSummaryStatisticsResults.NeighborhoodAnnotation": (
        "query_cell_id: str, matches: list[SummaryStatistics]"
    ),
    "CellTypeSummaryStatisticsResults.SummaryStatistics": (
        "cell_type: str, cell_count: int, min_distance: float, p25_distance: float, median_distance: float, "
        "p75_distance: float, max_distance: float, [dataset_ids_with_counts: list[DatasetStatistics] | None]"
    ),
    "CellTypeSummaryStatisticsResults.DatasetStatistics": (
        "dataset_id: str, count_per_dataset: int, min_distance: float, max_distance: float, "
        "median_distance: float, mean_distance: float"
    ),
    "CellTypeOntologyAwareResults": "data: list[OntologyAwareAnnotation]",
    "CellTypeOntologyAwareResults.OntologyAwareAnnotation": (
        "query_cell_id: str, matches: list[Match], total_weight: float, total_neighbors: int, "
        "total_neighbors_unrecognized: int"
    ),
    "CellTypeOntologyAwareResults.Match": "score: float, cell_type_ontology_term_id: str, cell_type: str",
    "MatrixQueryResults": "data: list[MatrixQueryResult]",
    "MatrixQueryResults.MatrixQueryResult": "query_cell_id: str, neighbors: list[Match]",
    "MatrixQueryResults.Match": "cas_cell_index: float, distance: float",
    "CellQueryResults": "data: list[CellariumCellMetadata]",
    # The service leaves out what was not asked for.
    "CellQueryResults.CellariumCellMetadata": "cas_cell_index: int, "
    + ", ".join(
        f"[{name}: {kind} | None]"
        for name, kind in (
            *((n, "str") for n in ("cell_type", "assay", "disease", "donor_id")),
            ("is_primary_data", "bool"),
            *((n, "str") for n in ("development_stage", "organism", "self_reported_ethnicity", "sex")),
            *((n, "str") for n in ("suspension_type", "tissue")),
            ("total_mrna_umis", "int"),
            *(
                (f"{n}_ontology_term_id", "str")
                for n in (
                    "cell_type",
                    "assay",
                    "disease",
                    "development_stage",
                    "organism",
                    "self_reported_ethnicity",
                    "sex",
                    "tissue",
                )
            ),
        )
    ),
}
