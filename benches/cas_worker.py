"""One client annotates one file; runs in the client's own environment.

python benches/cas_worker.py ours|official URL CELLS.h5ad ANSWERS.npz REPORT.json
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import sys
import time
from pathlib import Path

import anndata
import numpy as np
from measure import PeakMemory


def main() -> None:
    which, url, cells, answers, report = sys.argv[1:]
    if which == "ours":
        from ferrocyte.cas import CASClient
    else:
        with contextlib.redirect_stdout(io.StringIO()):
            from cellarium.cas.client import CASClient
    adata = anndata.read_h5ad(cells)
    matrix_bytes = adata.X.data.nbytes + adata.X.indices.nbytes + adata.X.indptr.nbytes
    used = resource.getrusage(resource.RUSAGE_SELF)
    before = used.ru_utime + used.ru_stime
    begin = time.time()
    with PeakMemory() as memory, contextlib.redirect_stdout(io.StringIO()):
        client = CASClient(api_token="a-locator-part.a-secret-part", api_url=url)
        results = client.annotate_matrix_cell_type_ontology_aware_strategy(matrix=adata, chunk_size=1000)
    seconds = time.time() - begin
    used = resource.getrusage(resource.RUSAGE_SELF)
    scores = np.array([[m.score for m in cell.matches] for cell in results.data])
    totals = np.array([cell.total_weight for cell in results.data])
    names = np.array([cell.query_cell_id for cell in results.data])
    np.savez(answers, scores=scores, totals=totals, names=names)
    Path(report).write_text(
        json.dumps(
            {
                "begin": begin,
                "seconds": seconds,
                "cpu_seconds": used.ru_utime + used.ru_stime - before,
                "extra_bytes": memory.extra,
                "matrix_bytes": matrix_bytes,
                "n_cells": adata.n_obs,
            }
        )
    )


if __name__ == "__main__":
    main()
