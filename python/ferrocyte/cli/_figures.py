"""Figures of ``ferrocyte fate``, one PNG each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["draw"]


def draw(estimator: Any, folder: Path, *, basis: str, cluster_key: str | None) -> list[str]:
    """Draw what a reader of the results looks at first.

    Parameters
    ----------
    estimator : GPCCA
        With everything up to fate probabilities.
    folder : path
        Made if need be.
    basis : str
        Embedding to draw on.
    cluster_key : str, optional
        Clusters that macrostates are composed of.

    Returns
    -------
    list of str
        Names of the files.
    """
    import matplotlib as mpl

    mpl.use("Agg")  # files, no display
    import matplotlib.pyplot as plt

    folder.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Callable[..., Any]] = {
        # The input may come with a projection of another chain.
        "projection": lambda save: estimator.kernel.plot_projection(
            basis=basis, color=cluster_key, recompute=True, show=False, save=save
        ),
        "spectrum": lambda save: estimator.plot_spectrum(real_only=True, save=save),
        "macrostates": lambda save: estimator.plot_macrostates("all", basis=basis, show=False, save=save),
        "terminal_states": lambda save: estimator.plot_macrostates(
            "terminal", basis=basis, show=False, save=save
        ),
        "fate_probabilities": lambda save: estimator.plot_fate_probabilities(
            basis=basis, same_plot=False, show=False, save=save
        ),
    }
    if estimator.coarse_T is not None:
        figures["coarse_T"] = lambda save: estimator.plot_coarse_T(save=save)
    if estimator.initial_states is not None:
        figures["initial_states"] = lambda save: estimator.plot_macrostates(
            "initial", basis=basis, show=False, save=save
        )
    if cluster_key is not None:
        figures["macrostate_composition"] = lambda save: estimator.plot_macrostate_composition(
            cluster_key, show=False, save=save
        )
    if estimator.lineage_drivers is not None:
        for name in map(str, estimator.fate_probabilities.names):
            if f"{name}_corr" in estimator.lineage_drivers:
                figures[f"drivers_{_safe(name)}"] = _drivers(estimator, name, basis)
    for name, figure in figures.items():
        figure(folder / f"{name}.png")
        plt.close("all")
    return [f"{name}.png" for name in figures]


def _drivers(estimator: Any, lineage: str, basis: str) -> Callable[..., Any]:
    def figure(save: Path) -> Any:
        return estimator.plot_lineage_drivers(lineage, n_genes=8, basis=basis, show=False, save=save)

    return figure


def _safe(name: str) -> str:
    """A name of a state as part of a file name."""
    return "".join(c if c.isalnum() or c in "-_" else "_" for c in name)
