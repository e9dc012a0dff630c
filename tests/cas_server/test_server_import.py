"""What the service needs is loaded by the service alone."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_nobody_else_loads_it():
    code = (
        "import sys, ferrocyte.cas, ferrocyte.cas.local, ferrocyte.cli; ferrocyte.cli.parser(); "
        "print([m for m in ('starlette', 'uvicorn', 'python_multipart', 'sqlite3') if m in sys.modules])"
    )
    assert run(code).stdout.strip() == "[]"


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "python_multipart"])
def test_without_the_extra_it_says_what_to_do(missing):
    found = run(f"import sys; sys.modules[{missing!r}] = None; import ferrocyte.cas.server")
    assert "MissingPackageError" in found.stderr
    assert "pip install 'ferrocyte[server]'" in found.stderr


def test_the_reader_needs_numpy_and_h5py_alone():
    """It opens what anybody sends: the less it knows, the better."""
    from ferrocyte.cas.server._uploads import _SCRIPT

    code = (
        f"import sys, runpy; runpy.run_path({str(_SCRIPT)!r}); "
        "print([m for m in ('ferrocyte', 'anndata', 'scipy', 'pandas', 'pickle5') if m in sys.modules])"
    )
    assert run(code).stdout.strip() == "[]"
