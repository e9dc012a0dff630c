"""Times one case with CellRank. Started by `run.py` inside the peer's own environment."""

import time

from measure import arguments, pin, work

if __name__ == "__main__":
    opts = arguments()
    pin(opts.threads)
    begin = time.perf_counter()
    import cellrank
    import cellrank.kernels.utils

    import_seconds = time.perf_counter() - begin
    cellrank.settings.logging_level = "ERROR"
    work(cellrank, import_seconds, opts)
