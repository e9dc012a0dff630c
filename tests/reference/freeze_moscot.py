"""Save a temporal problem that moscot 0.5.2 has solved, and what the kernel makes of the problem itself.

    python tests/reference/freeze_moscot.py

Run in an environment of its own with moscot 0.5.2 and ferrocyte.
"""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import ferrocyte as fc
import moscot
import numpy as np
import pandas as pd
from moscot.problems.time import TemporalProblem

OUT = Path(__file__).parents[1] / "data/frozen/moscot.npz"


def main() -> None:
    rng = np.random.default_rng(0)
    adata = ad.AnnData(
        np.zeros((60, 1), dtype=np.float32),
        obs=pd.DataFrame(
            {"day": pd.Categorical(np.repeat([0, 1, 2], [20, 25, 15]))}, index=[f"c{i}" for i in range(60)]
        ),
    )
    adata.obsm["X_pca"] = rng.normal(size=(60, 5)).astype(np.float32)
    adata = adata[rng.permutation(60)].copy()
    problem = TemporalProblem(adata).prepare("day", joint_attr="X_pca").solve(epsilon=0.1)
    kernel = fc.kernels.RealTimeKernel.from_moscot(problem)
    kernel.compute_transition_matrix(self_transitions="diagonal")
    out = {
        "version": moscot.__version__,
        "names": np.array(adata.obs_names, dtype=str),
        "day": adata.obs["day"].astype(int).to_numpy(),
        "T": kernel.transition_matrix.toarray(),
    }
    for (source, target), solution in problem.solutions.items():
        part, key = problem.problems[source, target], f"{source}_{target}"
        out[f"{key}/matrix"] = np.asarray(solution.transport_matrix)
        out[f"{key}/source"] = np.array(part.adata_src.obs_names, dtype=str)
        out[f"{key}/target"] = np.array(part.adata_tgt.obs_names, dtype=str)
    np.savez_compressed(OUT, **out)


if __name__ == "__main__":
    main()
