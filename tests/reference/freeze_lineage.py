"""Freeze what CellRank 2.0.7 makes of random lineages, to hold ours against without installing it.

Run from the root of the repository, in an environment made from `benches/peer-requirements.txt` (never in
ferrocyte's own)::

    .venv-peer/bin/python tests/reference/freeze_lineage.py

It writes `tests/data/frozen/lineage.npz`. Keys read like paths: `X/<case>` are the probabilities,
`reduce/<case>/<keys>/<measure>/<normalize><softmax_scale>/...` the reduced values and the weights, with keys
joined by ``|``; `scale/<case>/<keys>`; `priming/<case>/<method>`. Mutual information is estimated with the
seed 0, which CellRank leaves open.
"""

from __future__ import annotations

from pathlib import Path

import cellrank as cr
import numpy as np
import sklearn.feature_selection as fs

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "tests" / "data" / "frozen" / "lineage.npz"
NAMES = ["a", "b", "c", "d", "e"]
MEASURES = ("cosine_sim", "wasserstein_dist", "kl_div", "js_div", "mutual_info", "equal")
KEYS = (("a", "b"), ("d", "a", "c"), ("b, d", "e"))


_estimate = fs.mutual_info_regression


def _seeded(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return _estimate(x, y, random_state=0)


def cases() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(7)
    smooth = rng.dirichlet(np.ones(5), 60)
    # terminal cells: zeros and ones
    sharp = np.vstack([rng.dirichlet(np.full(5, 0.3), 50), np.eye(5), [[0.5, 0.5, 0, 0, 0]]])
    return {"smooth": smooth, "sharp": sharp}


def main() -> None:
    if cr.__version__ != "2.0.7":
        raise SystemExit(f"Expected CellRank 2.0.7, found {cr.__version__}.")
    fs.mutual_info_regression = _seeded  # imported from there when it is called
    out: dict[str, np.ndarray] = {}
    for case, x in cases().items():
        out[f"X/{case}"] = x
        lineage = cr.Lineage(x, names=NAMES)
        early = np.arange(0, 40, 3)
        out[f"priming/{case}/kl_divergence"] = lineage.priming_degree()
        out[f"priming/{case}/kl_divergence_early"] = lineage.priming_degree(early_cells=early)
        out[f"priming/{case}/entropy"] = lineage.priming_degree("entropy")
        for keys in KEYS:
            joined = "|".join(keys)
            for measure in MEASURES:
                for normalize, scale in (("softmax", 1.0), ("softmax", 5.0), ("scale", 1.0)):
                    values, weights = lineage.reduce(
                        *keys,
                        dist_measure=measure,
                        normalize_weights=normalize,
                        softmax_scale=scale,
                        return_weights=True,
                    )
                    path = f"reduce/{case}/{joined}/{measure}/{normalize}{scale:g}"
                    out[f"{path}/X"] = values.X
                    out[f"{path}/weights"] = weights.to_numpy()
        if case == "smooth":  # divides by zero for the other
            for keys in KEYS:
                out[f"scale/{case}/{'|'.join(keys)}"] = lineage.reduce(*keys, mode="scale").X
    np.savez_compressed(OUT, **out)


if __name__ == "__main__":
    main()
