"""Sphinx configuration. Guide and tutorials are run first: their figures are what their code draws."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

project = "ferrocyte"
author = "The ferrocyte developers"
project_copyright = "The ferrocyte developers"
release = version = version_of("ferrocyte")

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "numpydoc",
    "myst_parser",
]
source_suffix = {".rst": "restructuredtext", ".md": "markdown"}
exclude_patterns = ["_build"]
templates_path = ["_templates"]
nitpicky = False

autosummary_generate = True
autodoc_typehints = "none"  # types are in the docstrings
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
numpydoc_xref_param_type = False

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

html_theme = "alabaster"
html_title = f"ferrocyte {release}"
html_theme_options = {
    "description": "Fate mapping of single cells, on a Rust core",
    "page_width": "1200px",
    "body_max_width": "960px",
    "fixed_sidebar": True,
}
html_static_path = ["_static"]
html_extra_path = ["_build/extra"]
html_show_sourcelink = False


def draw_figures(app: Any) -> None:
    """Run the pages of the guide and the tutorials where their pictures are looked for."""
    environment = {**os.environ, "MPLBACKEND": "Agg"}
    for folder in ("guide", "tutorials"):
        place = HERE / "_build" / folder
        shutil.rmtree(place, ignore_errors=True)  # commands on the pages replace no file of the last build
        place.mkdir(parents=True)
        for page in sorted((HERE / folder).glob("*.md")):
            command = [sys.executable, str(HERE / "run_pages.py"), str(page)]
            done = subprocess.run(
                command, cwd=place, env=environment, capture_output=True, text=True, check=False
            )
            if done.returncode:
                raise RuntimeError(done.stderr)


def write_notebooks() -> None:
    """Tutorials to download, below the root of the pages."""
    pages = [str(page) for page in sorted((HERE / "tutorials").glob("*.md")) if page.stem != "index"]
    folder = str(HERE / "_build" / "extra" / "notebooks")
    subprocess.run([sys.executable, str(HERE / "as_notebook.py"), folder, *pages], check=True)


def setup(app: Any) -> None:
    """Hook into the build."""
    write_notebooks()
    app.connect("builder-inited", draw_figures, priority=100)
