"""Who may know whom: the rules of ARCHITECTURE.md, read from the source."""

from __future__ import annotations

import ast
from pathlib import Path

import ferrocyte
import pytest

PACKAGE = Path(ferrocyte.__file__).parent
FILES = sorted(p for p in PACKAGE.rglob("*.py"))

LINEAGE = [f"_lineage_{part}" for part in ("anndata", "index", "labels", "numpy", "reduce", "repr")]
# Rooms from left to right; imports point left only, or stay in the room.
ORDER = [
    ["_errors", "errors", "_keys", "_options", "_settings", "_progress", "_colors"],
    ["_sparse", "_adata", "_core", "_container", "_results", "_results_table", "lineage", *LINEAGE],
    ["datasets"],
    ["kernels", "models"],
    ["estimators"],
    ["pl", "io"],
    ["cli", "__main__"],
]
LEVEL = {name: i for i, names in enumerate(ORDER) for name in names}
HEAVY = {"matplotlib", "scanpy", "httpx", "sklearn", "seaborn"}


def module_of(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return (
        "ferrocyte." + ".".join(p for p in parts if p != "__init__")
        if parts != ("__init__",)
        else "ferrocyte"
    )


def imports(path):
    """(imported module, line, inside a function?), without what is for type checkers only."""
    tree = ast.parse(path.read_text())
    out = []

    def visit(node, inside):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            if isinstance(child, ast.Import):
                out.extend((alias.name, child.lineno, inside) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path}:{child.lineno}: relative import"
                if child.module == "ferrocyte":
                    out.extend((f"ferrocyte.{alias.name}", child.lineno, inside) for alias in child.names)
                else:
                    out.append((child.module, child.lineno, inside))
            visit(child, inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))

    visit(tree, False)
    return out


def room(module):
    parts = module.split(".")
    return parts[1] if parts[0] == "ferrocyte" and len(parts) > 1 else None


def test_every_room_has_its_place():
    rooms = {room(module_of(p)) for p in FILES} - {None, "cas"}
    assert rooms <= set(LEVEL), f"say where {rooms - set(LEVEL)} stands in ORDER"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_left(path):
    own = room(module_of(path))
    for module, line, inside in imports(path):
        target = room(module)
        if own is None or target is None or target == own:
            continue
        where = f"{path}:{line}: {own} imports {target}"
        if target == "cas":
            assert own == "cli", where
            continue
        if own == "cas":
            assert target in {"_errors", "_settings", "_adata", "_core", "_progress"}, where
        elif target in ("pl", "io"):
            # The one exception: a method that draws, writes or reads takes its function when called.
            assert inside, f"{where} at import time"
        else:
            assert LEVEL[target] <= LEVEL[own], where


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_heavy_packages_are_imported_when_needed(path):
    if room(module_of(path)) in ("pl", "cas"):
        return
    for module, line, inside in imports(path):
        assert inside or module.split(".")[0] not in HEAVY, f"{path}:{line}: {module} at import time"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_nothing_is_pickled(path):
    for module, line, _ in imports(path):
        names = {"pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
        assert module.split(".")[0] not in names, f"{path}:{line}: {module}"


# anndata has no public way to say how a subclass of ndarray in `obsm` is written.
PRIVATE = {("_lineage_anndata.py", "anndata._io.specs.registry")}


def test_no_private_names_of_other_packages():
    for path in FILES:
        for module, line, _ in imports(path):
            parts = module.split(".")
            if parts[0] not in ("ferrocyte", "__future__") and (path.name, module) not in PRIVATE:
                assert not any(p.startswith("_") for p in parts), f"{path}:{line}: {module}"


def test_the_core_knows_no_python():
    root = Path(__file__).parents[1] / "rust/core"
    text = "".join(p.read_text() for p in [root / "Cargo.toml", *root.glob("src/**/*.rs")])
    for word in ("pyo3", "numpy::", "println!", "eprintln!"):
        assert word not in text, word
