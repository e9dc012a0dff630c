"""What editors and type checkers know of the clients."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path

import ferrocyte
import pytest
from ferrocyte.cas import AsyncCASClient, CASClient

HERE = Path(__file__).parent
SCRIPTS = [HERE / "typed_script.py", HERE / "typed_annotate_into.py"]
CONFIG = """\
[mypy]
strict = True
warn_unused_ignores = True
[mypy-anndata.*,h5py.*,pandas.*,sklearn.*,scanpy.*,threadpoolctl.*,usearch.*]
ignore_missing_imports = True
follow_imports = skip
[mypy-ferrocyte.*]
ignore_errors = True
[mypy-typed_script]
disallow_any_expr = True
[mypy-typed_annotate_into]
disallow_subclassing_any = False
"""


def mypy(tmp_path, *files):
    pytest.importorskip("mypy")
    (tmp_path / "mypy.ini").write_text(CONFIG)
    command = [sys.executable, "-m", "mypy", "--config-file", "mypy.ini", *map(str, files)]
    # What is installed is found by itself, and mypy refuses to be told of it.
    source = Path(ferrocyte.__file__).parents[1]
    surroundings = {"PATH": "", "HOME": str(tmp_path)}
    if source.name != "site-packages":
        surroundings["MYPYPATH"] = str(source)
    return subprocess.run(command, cwd=tmp_path, env=surroundings, capture_output=True, text=True)


def test_results_have_types(tmp_path):
    wrong = tmp_path / "wrong.py"
    wrong.write_text(
        "from ferrocyte.cas import CASClient\n\n\ndef f(client: CASClient) -> int:\n"
        "    return client.search_matrix('cells.h5ad').data[0].query_cell_id\n"
    )
    done = mypy(tmp_path, *SCRIPTS, wrong)
    # The one mistake is found, so that others would be.
    assert re.fullmatch(
        r"wrong\.py:5: error: Incompatible return value type \(got \"str\", expected \"int\"\).*\n"
        r"Found 1 error in 1 file \(checked 3 source files\)\n",
        done.stdout,
    ), done.stdout + done.stderr


@pytest.mark.parametrize("kind", [CASClient, AsyncCASClient])
def test_every_method_is_in_the_scripts(kind):
    text = "".join(script.read_text() for script in SCRIPTS)
    methods = [n for n, _ in inspect.getmembers(kind) if not n.startswith("_") and not n.endswith("close")]
    assert not [name for name in methods if f".{name}" not in text]
