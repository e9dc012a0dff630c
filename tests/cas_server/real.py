"""A small reference with everything in it, cells to ask about, and the service as a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import threading

import anndata as ad
import h5py
import numpy as np
import scipy.sparse as sp
from ferrocyte.cas.constants import CellMetadataFeatures
from reference.patience import LONG

TYPES = {"T cell": "CL:0000084", "B cell": "CL:0000236", "natural killer cell": "CL:0000623"}
GENES = [f"ENSG{i:011d}" for i in range(1, 81)]


def cells(n, seed, *, genes=GENES, prefix="cell"):
    """Three types, each with genes of its own; no two cells are the same."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    mean = np.full((3, len(GENES)), 1.0)
    for k in range(3):
        mean[k, 20 * k : 20 * k + 20] = 6.0
    x = rng.poisson(mean[kind] * rng.uniform(0.5, 2.0, (n, 1))).astype(np.float32)
    adata = ad.AnnData(X=sp.csr_matrix(x[:, : len(genes)]))
    adata.obs_names = [f"{prefix}-{seed}-{i}" for i in range(n)]
    adata.var_names = list(genes)
    adata.obs["kind"] = np.array(list(TYPES))[kind]
    return adata


def reference_cells(n=240):
    """With all that the protocol knows about a cell, and no blanks."""
    adata = cells(n, 0, prefix="ref")
    adata.obs["cell_type"] = adata.obs.pop("kind")
    for feature in CellMetadataFeatures:
        name = feature.value
        if name in ("cas_cell_index", "cell_type", "total_mrna_umis"):
            continue
        if name == "is_primary_data":
            adata.obs[name] = True
        elif name == "cell_type_ontology_term_id":
            adata.obs[name] = [TYPES[t] for t in adata.obs["cell_type"]]
        else:
            adata.obs[name] = [f"{name} {i % 3}" for i in range(n)]
    adata.obs["dataset_id"] = [f"dataset {i % 2}" for i in range(n)]
    return adata


def make_reference(folder, name="small", n=240):
    from ferrocyte.cas.local import build_reference

    path = folder / name
    build_reference(
        reference_cells(n), path, "cell_type", n_components=8, n_top_genes=None, n_neighbors=15, name=name
    )
    return path


def write_10x(path, adata):
    """As Cell Ranger 3 writes it."""
    x = adata.X.tocsr()
    with h5py.File(path, "w") as file:
        matrix = file.create_group("matrix")
        for name, value in (
            ("data", x.data.astype(np.int32)),
            ("indices", x.indices.astype(np.int64)),
            ("indptr", x.indptr.astype(np.int64)),
            ("shape", np.array(x.shape[::-1], dtype=np.int32)),
            ("barcodes", np.array(adata.obs_names, dtype="S")),
        ):
            matrix[name] = value
        for name, value in (
            ("id", np.array(adata.var_names, dtype="S")),
            ("name", np.array([f"G{i}" for i in range(adata.n_vars)], dtype="S")),
            ("feature_type", np.array(["Gene Expression"] * adata.n_vars, dtype="S")),
            ("genome", np.array(["GRCh38"] * adata.n_vars, dtype="S")),
        ):
            matrix[f"features/{name}"] = value


class Process:
    """``ferrocyte cas serve`` with these options."""

    def __init__(self, *options, port=0):
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ferrocyte", "cas", "serve", "--port", str(port), *map(str, options)],
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        self.log = []
        for line in self._process.stderr:
            self.log.append(line)
            if '"listening"' in line:
                self.url = json.loads(line)["url"]
                break
        else:
            raise AssertionError("".join(self.log))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        self.log.extend(self._process.stderr)

    def __enter__(self):
        return self

    def signal(self, number):
        self._process.send_signal(number)

    def said(self, word):
        """Whether it has logged something with this word."""
        return any(word in line for line in self.log)

    def wait(self):
        code = self._process.wait(LONG)
        self._reader.join(LONG)
        self._process.stderr.close()
        return code

    def __exit__(self, *exc):
        if self._process.poll() is None:
            self._process.terminate()
        self.wait()
