"""The main calls as a typed program uses them: `make lint` checks this file with `mypy --strict`.

python examples/typed.py [FOLDER]
"""

from __future__ import annotations

import sys
from pathlib import Path

import ferrocyte as fc
from ferrocyte.models import GAM, Gene
from matplotlib.axes import Axes


def chain() -> fc.kernels.KernelExpression:
    """Velocity, steadied by similarity."""
    adata = fc.datasets.dentate_gyrus()
    velocity: fc.kernels.VelocityKernel = fc.kernels.VelocityKernel(adata).compute_transition_matrix()
    similarity = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    return 0.8 * velocity + 0.2 * similarity


def fates(kernel: fc.kernels.KernelExpression) -> fc.Lineage:
    """Where each cell ends."""
    g: fc.estimators.GPCCA = fc.estimators.GPCCA(kernel).compute_schur(10)
    g.compute_macrostates(5, n_cells=10, cluster_key="clusters")
    g.set_terminal_states(["Astrocytes", "Granule mature"], n_cells=10)
    g.compute_fate_probabilities(show_progress_bar=False)
    found = g.fate_probabilities
    assert found is not None  # None before it is computed
    return found


def trend(kernel: fc.kernels.KernelExpression, gene: str, lineage: str) -> GAM:
    """A gene along a lineage."""
    model = GAM(kernel.adata, distribution="normal", link="identity")
    fitted: GAM = model.prepare(Gene(gene, layer="Ms"), lineage, "latent_time", time_range=(0.0, 1.0)).fit()
    fitted.predict()
    return fitted


def main() -> None:
    """Compute, draw, print."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else ".")
    kernel = chain()
    found = fates(kernel)
    names: list[str] = found.names.tolist()
    means = found.X.mean(axis=0)
    print(", ".join(f"{name} {mean:.2f}" for name, mean in zip(names, means, strict=True)))
    axes = fc.pl.aggregate_fate_probabilities(kernel.adata, "heatmap", cluster_key="clusters", show=False)
    assert isinstance(axes, Axes)
    fitted = trend(kernel, "Snca", names[-1])
    print(f"{fitted.y_test[-1] - fitted.y_test[0]:.1f} between the ends")
    kernel.write(out / "kernel.h5", write_adata=False)


if __name__ == "__main__":
    main()
