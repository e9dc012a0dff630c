"""Figures. Each has a function that computes its numbers and one that draws them."""

from __future__ import annotations

from ferrocyte.pl.flow import compute_flow, plot_single_flow
from ferrocyte.pl.projection import plot_projection, vector_grid
from ferrocyte.pl.random_walks import plot_random_walks, walks_frame

__all__ = [
    "compute_flow",
    "plot_projection",
    "plot_random_walks",
    "plot_single_flow",
    "vector_grid",
    "walks_frame",
]
