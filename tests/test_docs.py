"""The pages of the documentation: their code runs, prints what they say, and names what exists."""

from __future__ import annotations

import doctest
import enum
import functools
import importlib.util
import inspect
import json
import os
import pkgutil
import re
import shlex
import subprocess
import sys
from pathlib import Path

import anndata as ad
import ferrocyte
import matplotlib.pyplot as plt
import pydantic
import pytest
from ferrocyte.cli import main as ferrocyte_command
from ferrocyte.cli import parser as command_line

ROOT = Path(__file__).parents[1]
RUNNER = ROOT / "docs" / "run_pages.py"
GUIDE = sorted((ROOT / "docs" / "guide").glob("*.md"))
TUTORIALS = sorted(page for page in (ROOT / "docs" / "tutorials").glob("*.md") if page.stem != "index")
SHOWS_RUST = ROOT / "docs" / "guide" / "rust.md"
PAGES = [ROOT / "README.md", *(page for page in GUIDE if page != SHOWS_RUST), *TUTORIALS]
IMAGE = re.compile(r"!\[[^\]]*\]\(\.\./_build/(\w+)/([^)]+)\)")


def load_runner():
    spec = importlib.util.spec_from_file_location("run_pages", RUNNER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(page, place):
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    return subprocess.run(
        [sys.executable, str(RUNNER), str(page)],
        cwd=place,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda p: f"{p.parent.name}-{p.stem}")
def test_pages_run(page, tmp_path):
    """In an empty directory and a fresh interpreter; its code draws every figure that the page shows."""
    assert load_runner().blocks(page.read_text(encoding="utf-8")), "a page without code"
    done = run(page, tmp_path)
    assert done.returncode == 0, done.stderr
    for folder, name in IMAGE.findall(page.read_text(encoding="utf-8")):
        assert folder == page.parent.name
        assert (tmp_path / name).stat().st_size > 5000, name


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda p: p.stem)
def test_tutorials_as_notebooks_are_the_pages(page, tmp_path):
    """All of the code, in order, without outputs; what says how it should come out is left out."""
    script = ROOT / "docs" / "as_notebook.py"
    subprocess.run([sys.executable, str(script), str(tmp_path), str(page)], check=True)
    made = json.loads((tmp_path / f"{page.stem}.ipynb").read_text(encoding="utf-8"))
    code = [cell["source"] for cell in made["cells"] if cell["cell_type"] == "code"]
    assert len(code) == len(load_runner().blocks(page.read_text(encoding="utf-8")))
    for source in code:
        compile(source, page.name, "exec")
        assert "save=" not in source
    assert all(cell["outputs"] == [] for cell in made["cells"] if cell["cell_type"] == "code")
    words = [cell["source"] for cell in made["cells"] if cell["cell_type"] == "markdown"]
    assert words[0].startswith("# ")
    assert not any("```text" in text or "_build" in text for text in words)


def test_the_typed_example_runs(tmp_path):
    """`make lint` checks its types."""
    script = ROOT / "examples" / "typed.py"
    done = subprocess.run(
        [sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "kernel.h5").exists()
    assert "mypy --strict examples/typed.py" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_tutorial_is_in_the_index():
    text = (ROOT / "docs" / "tutorials" / "index.md").read_text(encoding="utf-8")
    for page in TUTORIALS:
        assert re.search(rf"^{page.stem}$", text, re.M), page
        assert f"../notebooks/{page.stem}.ipynb" in text


SHELL = re.compile(r"^```sh\n(.*?)^```", re.M | re.S)


def commands_of(page):
    """The commands `ferrocyte ...` of a page, as lists of arguments."""
    text = "".join(SHELL.findall(page.read_text(encoding="utf-8"))).replace("\\\n", " ")
    return [
        shlex.split(line, comments=True)[1:] for line in text.splitlines() if line.startswith("ferrocyte ")
    ]


def test_commands_of_the_readme_run(tmp_path, monkeypatch, capsys):
    """After its script, whose file they take, from the folder of the clone, whose data they take."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tests").symlink_to(ROOT / "tests", target_is_directory=True)
    done = run(ROOT / "README.md", tmp_path)
    assert done.returncode == 0, done.stderr
    commands = commands_of(ROOT / "README.md")
    assert [c[:2] for c in commands] == [
        ["fate", "dentate.h5ad"],
        ["cas", "build-reference"],
        ["cas", "annotate"],
    ]
    for command in commands:
        assert ferrocyte_command(command) == 0, capsys.readouterr().err
    assert ad.read_h5ad("labelled.h5ad").obs["cas_cell_type"].notna().all()
    assert (tmp_path / "figures" / "fate_probabilities.png").stat().st_size > 5000


def test_commands_of_the_guide_are_understood():
    """Every argument exists, with a value of its kind."""
    commands = [command for page in GUIDE for command in commands_of(page)]
    assert len(commands) > 8
    for command in commands:
        command_line().parse_args([argument for argument in command if argument != "&"])


def test_the_rust_page_shows_a_program_that_is_run():
    """`make test-rust` runs it; the page includes parts of it by lines that must be there."""
    text = SHOWS_RUST.read_text(encoding="utf-8")
    included = set(re.findall(r"^```\{literalinclude\} (\S+)$", text, re.M))
    assert included == {"../../rust/core/examples/embed.rs"}
    program = (SHOWS_RUST.parent / included.pop()).read_text(encoding="utf-8")
    for line in re.findall(r'^:(?:start-at|end-before): "(.+)"$', text, re.M):
        assert program.count(line) == 1, line
    shown = re.findall(r"^:start-at:", text, re.M)
    assert len(shown) == 3
    assert "--example embed" in (ROOT / "Makefile").read_text(encoding="utf-8")


MODULES = [m.name for m in pkgutil.walk_packages(ferrocyte.__path__, "ferrocyte.") if "_core" not in m.name]


def shared_names():
    """What the example of `CASClient.local` leaves behind; others say that they go on from there."""
    from ferrocyte.cas import CASClient

    (example,) = doctest.DocTestFinder(recurse=False).find(CASClient.local, "local", globs={})
    code = [e.source for e in example.examples if doctest.SKIP not in e.options]
    names = {}
    exec("".join(code), names)
    return {name: names[name] for name in ("client", "known", "new")}


def test_examples_in_docstrings_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    finder, shared = doctest.DocTestFinder(), shared_names()
    for name in MODULES:
        more = shared if ".cas." in name else {}
        for example in finder.find(importlib.import_module(name), extraglobs=more):
            runner.run(example)
            plt.close("all")
    assert runner.failures == 0  # what failed is printed above
    assert runner.tries > 600


# No example can be run where R is missing.
WITHOUT_EXAMPLE = {"GAMR"}


@pytest.mark.parametrize(
    "name", ["", "kernels", "kernels.utils", "estimators", "models", "pl", "datasets", "cas"]
)
def test_public_names_have_an_example(name):
    """Classes and functions; of classes every `plot`, too."""
    module = importlib.import_module(f"ferrocyte.{name}".rstrip("."))
    missing = []
    for public in set(module.__all__) - WITHOUT_EXAMPLE:
        value = getattr(module, public)
        if not callable(value) or is_typed_answer(value):
            continue
        plots = (
            [f"{public}.{m}" for m in dir(value) if m.startswith("plot")] if isinstance(value, type) else []
        )
        for path in (public, *plots):
            text = inspect.getdoc(functools.reduce(getattr, path.split("."), module)) or ""
            if ">>>" not in text and not (path.startswith("FailedModel.") or "BaseModel.plot" in path):
                missing.append(path)
    assert not missing


def is_typed_answer(value):
    """Of the annotation service: its fields or values say what it is."""
    return isinstance(value, type) and issubclass(value, pydantic.BaseModel | enum.Enum)


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "ARCHITECTURE.md", "README.md", "docs/guide/rust.md"])
def test_files_that_are_named_exist(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    named = set(re.findall(r"[`(]((?:rust|python|tests|benches|docs)/[\w/.]+\.\w+)[`)]", text))
    missing = {name for name in named if not (ROOT / name).exists() and "foo" not in name}
    assert named
    assert not missing


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("```python\n1 / 0\n```\n", r'page\.md", line 2, in <module>\n(?:.*\n)*ZeroDivisionError'),
        ("```python\nprint(1)\n```\n\n```text\n2\n```\n", "expected"),
        ("```python\na = 1\n```\n\nwords\n\n```python\nassert a == 2\n```\n", "AssertionError"),
    ],
    ids=["error", "output", "names"],
)
def test_the_runner_sees_what_is_wrong(text, says, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(text)
    done = run(page, tmp_path)
    assert done.returncode == 1
    assert re.search(says, done.stderr)


def test_the_runner_reads_pages():
    text = (
        "```python\nprint(1)\n```\n\n```text\n1\n```\n\n<!-- not run -->\n\n```python\nshown\n```\n\n"
        "```sh\nls\n```\n\n```python\nprint(2)\n```\n\nwords\n\n```text\nsomething else\n```\n"
    )
    assert [tuple(b) for b in load_runner().blocks(text)] == [
        (2, "print(1)\n", "1\n"),
        (20, "print(2)\n", None),
    ]


@pytest.mark.parametrize(
    ("page", "module", "hidden"),
    [
        ("kernels", "ferrocyte.kernels", {"utils"}),
        ("kernels_utils", "ferrocyte.kernels.utils", set()),
        ("estimators", "ferrocyte.estimators", set()),
        ("models", "ferrocyte.models", set()),
        ("pl", "ferrocyte.pl", set()),
        ("datasets", "ferrocyte.datasets", {"TREES"}),
        ("cas", "ferrocyte.cas", {"constants", "errors", "models"}),
        ("cas", "ferrocyte.cas.errors", set()),
        ("cas", "ferrocyte.cas.models", set()),
        ("cas", "ferrocyte.cas.local", {"EXACT_UP_TO", "References"}),
    ],
)
def test_reference_lists_every_public_name(page, module, hidden):
    text = (ROOT / "docs" / "api" / f"{page}.rst").read_text(encoding="utf-8")
    listed = re.findall(r"^   (\w+)$", text, re.M)
    assert len(listed) == len(set(listed))
    assert set(importlib.import_module(module).__all__) - hidden <= set(listed)


def test_reference_has_every_name_of_the_package():
    pages = {page.stem: page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "api").glob("*.rst")}
    listed = set(re.findall(r"^(?:   |\.\. autoclass:: )(\w+)$", "\n".join(pages.values()), re.M))
    for name in set(ferrocyte.__all__) - {"__version__", "settings"}:
        assert name in pages or name in listed, name


def test_reference_lists_every_error():
    from ferrocyte import errors as _errors

    text = (ROOT / "docs" / "api" / "errors.rst").read_text(encoding="utf-8")
    classes = {name for name in _errors.__all__ if isinstance(getattr(_errors, name), type)}
    assert set(re.findall(r"^   (\w+)$", text, re.M)) == classes


def test_differences_name_tests_that_exist():
    """Each line of the list ends with the test that proves it."""
    lines = re.findall(
        r"^- .*?(?=^- |^#|^$|\Z)",
        (ROOT / "docs" / "differences.md").read_text(encoding="utf-8"),
        re.M | re.S,
    )
    assert len(lines) > 20
    for line in lines:
        named = re.findall(r"`([\w/]+\.(?:py|rs))::([\w:]+)`", line)
        assert named, line
        for file, name in named:
            source = (ROOT / file).read_text(encoding="utf-8")
            for part in name.split("::"):
                assert re.search(rf"\b(?:def|class|fn) {part}\b", source), f"{file}::{name}"
