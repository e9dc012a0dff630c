"""Times one case with ferrocyte. Started by `run.py`."""

import time

from measure import arguments, pin, work

if __name__ == "__main__":
    opts = arguments()
    pin(opts.threads)
    begin = time.perf_counter()
    import ferrocyte
    import ferrocyte.kernels.utils

    import_seconds = time.perf_counter() - begin
    work(ferrocyte, import_seconds, opts)
