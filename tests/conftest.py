"""What all tests share: the slow obvious versions are importable as `reference`, figures need no screen."""

import os
import sys
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")
sys.path.insert(0, str(Path(__file__).parent))
