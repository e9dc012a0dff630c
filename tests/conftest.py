"""What all tests share: the slow obvious versions are importable as `reference`, figures need no screen."""

import atexit
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings

os.environ.setdefault("MPLBACKEND", "Agg")
sys.path.insert(0, str(Path(__file__).parent))

# Nothing is left in the user's cache, nor found there. Numba, which scanpy needs, nowhere does without its
# own; without a home it gets one while tests run.
cache = tempfile.mkdtemp(prefix="ferrocyte-tests-")
atexit.register(shutil.rmtree, cache, ignore_errors=True)
os.environ["FERROCYTE_CACHE"] = cache
if not os.access(os.path.expanduser("~"), os.W_OK):
    for name in ("NUMBA_CACHE_DIR", "MPLCONFIGDIR"):
        os.environ.setdefault(name, cache)

# A shell starts jobs in the background with Ctrl-C ignored, and what they start inherits that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Every run tries the same examples, whatever the machine does beside it: what fails here fails for everybody.
# `pytest --hypothesis-profile explore` looks for others.
slow = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("same", derandomize=True, database=None, **slow)
settings.register_profile("explore", **slow)
settings.load_profile("same")
