"""Figures. Each has a function that computes its numbers and one that draws them."""

from __future__ import annotations

from ferrocyte.pl.aggregate import aggregate_fate_probabilities, aggregated_frame
from ferrocyte.pl.circle import circular_projection, simplex_frame
from ferrocyte.pl.coarse import coarse_frame, plot_coarse_T
from ferrocyte.pl.composition import composition_frame, plot_composition
from ferrocyte.pl.drivers_correlation import drivers_correlation_frame, plot_lineage_drivers_correlation
from ferrocyte.pl.flow import compute_flow, plot_single_flow
from ferrocyte.pl.flows import compute_flows, plot_flow
from ferrocyte.pl.lineage_drivers import drivers_frame, plot_lineage_drivers
from ferrocyte.pl.model import plot_model, trend_frame
from ferrocyte.pl.n_states import n_states_frame, plot_n_states
from ferrocyte.pl.odds import log_odds, log_odds_frame
from ferrocyte.pl.pie import pie_values, plot_pie
from ferrocyte.pl.projection import plot_projection, vector_grid
from ferrocyte.pl.random_walks import plot_random_walks, walks_frame
from ferrocyte.pl.schur_matrix import plot_schur_matrix, schur_frame
from ferrocyte.pl.spectrum import plot_spectrum, spectrum_frame
from ferrocyte.pl.states import merge_states, plot_states, states_frame
from ferrocyte.pl.trend_clusters import cluster_trends, cluster_trends_frame, group_trends
from ferrocyte.pl.trend_heatmap import heatmap, heatmap_frame
from ferrocyte.pl.trends import fit_trends, gene_trends, trends_frame
from ferrocyte.pl.tsi import plot_tsi, tsi_frame

__all__ = [
    "aggregate_fate_probabilities",
    "aggregated_frame",
    "circular_projection",
    "cluster_trends",
    "cluster_trends_frame",
    "coarse_frame",
    "composition_frame",
    "compute_flow",
    "compute_flows",
    "drivers_correlation_frame",
    "drivers_frame",
    "fit_trends",
    "gene_trends",
    "group_trends",
    "heatmap",
    "heatmap_frame",
    "log_odds",
    "log_odds_frame",
    "merge_states",
    "n_states_frame",
    "pie_values",
    "plot_coarse_T",
    "plot_composition",
    "plot_flow",
    "plot_lineage_drivers",
    "plot_lineage_drivers_correlation",
    "plot_model",
    "plot_n_states",
    "plot_pie",
    "plot_projection",
    "plot_random_walks",
    "plot_schur_matrix",
    "plot_single_flow",
    "plot_spectrum",
    "plot_states",
    "plot_tsi",
    "schur_frame",
    "simplex_frame",
    "spectrum_frame",
    "states_frame",
    "trend_frame",
    "trends_frame",
    "tsi_frame",
    "vector_grid",
    "walks_frame",
]


def __dir__() -> list[str]:
    return sorted(__all__)
