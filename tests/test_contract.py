"""What is documented of the API: every class, method, property, parameter, order and default.

A signature of ours may have more parameters than the documented one, if they come later and have defaults, so
that a documented call means the same whether its arguments are given by position or by name.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Mapping
from typing import Any

import ferrocyte as fc
import pytest
from reference.contract import CLASSES, FUNCTIONS, RESULTS


def entries(table: str) -> list[str]:
    """Names or signatures of a table; one may go on over indented lines."""
    return [line for line in table.replace("\n    ", " ").split("\n") if line]


def split(entry: str) -> tuple[str, ast.arguments | None]:
    """Name and parameters; None for a property."""
    name, bracket, rest = entry.partition("(")
    if not bracket:
        return name, None
    tree = ast.parse(f"def f({rest}: ...").body[0]
    assert isinstance(tree, ast.FunctionDef)
    return name, tree.args


def find(path: str) -> Any:
    module, _, name = path.rpartition(".")
    return getattr(importlib.import_module(f"ferrocyte.{module}" if module else "ferrocyte"), name)


def value(node: ast.expr) -> Any:
    if isinstance(node, ast.Attribute):  # CountMatrixInput.X
        return getattr(fc.cas.CountMatrixInput, node.attr)
    return ast.literal_eval(node)


def check(ours: inspect.Signature, documented: ast.arguments, name: str) -> None:
    """Raise unless a documented call binds to our parameters in the same way."""
    params = [p for p in ours.parameters.values() if p.name not in ("self", "cls", "_")]
    by_name = {p.name: p for p in params}
    takes_any = {p.kind for p in params} & {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    positional = [p for p in params if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    wanted = documented.args
    if len(takes_any) < 2:
        assert [p.name for p in positional[: len(wanted)]] == [a.arg for a in wanted], f"{name}: order"
        for extra in params:
            known = {a.arg for a in (*wanted, *documented.kwonlyargs)}
            if extra.name not in known and extra.kind not in takes_any:
                assert extra.default is not inspect.Parameter.empty, f"{name}: {extra.name} is required"
    defaults: list[ast.expr | None] = [*documented.defaults]
    defaults = [None] * (len(wanted) - len(defaults)) + defaults
    pairs = [*zip(wanted, defaults, strict=True)]
    pairs += zip(documented.kwonlyargs, documented.kw_defaults, strict=True)
    for arg, default in pairs:
        if arg.arg not in by_name and inspect.Parameter.VAR_KEYWORD in takes_any:
            continue
        assert arg.arg in by_name, f"{name}: no parameter {arg.arg}"
        found = by_name[arg.arg].default
        if default is None:
            continue
        assert found is not inspect.Parameter.empty, f"{name}: {arg.arg} has no default"
        if isinstance(default, ast.Constant) and default.value is ...:
            continue
        found = dict(found) if isinstance(found, Mapping) else found
        wanted_value = value(default)
        same = found == wanted_value and isinstance(found, bool) is isinstance(wanted_value, bool)
        assert same, f"{name}: {arg.arg}={found!r}, documented {ast.unparse(default)}"
    if documented.kwarg is not None:
        assert inspect.Parameter.VAR_KEYWORD in takes_any, f"{name}: no keywords"


@pytest.mark.parametrize("entry", CLASSES)
def test_classes(entry):
    name, documented = split(" ".join(entry.split()))
    cls = find(name)
    assert inspect.isclass(cls)
    check(inspect.signature(cls), documented, name)
    # An entry that comes later replaces that of a base.
    members = dict(split(line) for line in entries(CLASSES[entry]))
    for member, parameters in members.items():
        full = f"{name}.{member}"
        found = inspect.getattr_static(cls, member, None)
        assert found is not None, f"{full} is missing"
        assert getattr(found, "__doc__", None) or member.startswith("__"), f"{full} has no docstring"
        if parameters is None:
            assert isinstance(found, property), f"{full} is no property"
        else:
            check(inspect.signature(getattr(cls, member)), parameters, full)


@pytest.mark.parametrize("entry", entries(FUNCTIONS))
def test_functions(entry):
    name, documented = split(entry)
    check(inspect.signature(find(name)), documented, name)


@pytest.mark.parametrize(
    ("method", "cls"),
    [
        ("from_adata", fc.kernels.Kernel),
        ("from_adata", fc.estimators.GPCCA),
        ("from_adata", fc.Lineage),
        ("from_moscot", fc.kernels.RealTimeKernel),
        ("from_wot", fc.kernels.RealTimeKernel),
    ],
)
def test_class_methods(method, cls):
    assert isinstance(inspect.getattr_static(cls, method), classmethod)


@pytest.mark.parametrize("cls", [fc.kernels.Kernel, fc.estimators.GPCCA, fc.models.GAM])
def test_reading_is_static(cls):
    assert isinstance(inspect.getattr_static(cls, "read"), staticmethod)


@pytest.mark.parametrize(
    ("cls", "abstract"),
    [
        (fc.kernels.Kernel, {"compute_transition_matrix"}),
        (fc.kernels.UnidirectionalKernel, {"compute_transition_matrix"}),
        (fc.kernels.BidirectionalKernel, {"compute_transition_matrix"}),
        (fc.kernels.utils.SimilarityABC, {"__call__"}),
        (fc.kernels.utils.ThresholdSchemeABC, {"__call__"}),
        (fc.estimators.BaseEstimator, {"predict"}),
        (fc.models.BaseModel, {"fit", "predict", "confidence_interval"}),
    ],
)
def test_abstract_methods(cls, abstract):
    assert abstract <= cls.__abstractmethods__


@pytest.mark.parametrize("name", RESULTS)
def test_answers_of_the_annotation_service(name):
    cls = fc.cas.models
    for part in name.split("."):
        cls = getattr(cls, part)
    fields = dict(item.strip("[] ").split(": ") for item in RESULTS[name].replace("]]", "] ]").split(", "))
    assert set(fields) <= set(cls.model_fields)
    for field, kind in fields.items():
        found = str(cls.model_fields[field].annotation)
        for prefix in (
            "<class '",
            "'>",
            "ForwardRef('",
            "')",
            "ferrocyte.cas.models.",
            f"{name.split('.')[0]}.",
        ):
            found = found.replace(prefix, "")
        assert found == kind or found == f"{kind}]", field
        assert cls.model_fields[field].is_required() is (f"[{field}:" not in RESULTS[name]), field


def test_enumerations_of_the_annotation_service():
    assert {m.name: m.value for m in fc.cas.CountMatrixInput} == {"X": "X", "RAW_X": "raw.X"}
    names = {"cas_cell_index"} | {
        item.strip("[] ").split(": ")[0]
        for item in RESULTS["CellQueryResults.CellariumCellMetadata"].split(", ")
    }
    assert {m.name: m.value for m in fc.cas.CellMetadataFeatures} == {n.upper(): n for n in names}
    assert fc.cas.constants.CountMatrixInput is fc.cas.CountMatrixInput


@pytest.mark.parametrize(
    ("ours", "documented"),
    [
        ("(a, b=1)", "f(b=1, a=2)"),
        ("(a, b=1)", "f(a, b=2)"),
        ("(a, b=1)", "f(a, b=1, c=2)"),
        ("(a, b)", "f(a)"),
        ("(a, *, b=1)", "f(a, b=1)"),
        ("(a)", "f(a, **kwargs)"),
        ("(a, b)", "f(a, b=1)"),
        ("(a, b=1)", "f(a, b=True)"),
    ],
)
def test_the_check_itself_finds_differences(ours, documented):
    function = eval(f"lambda {ours[1:-1]}: None")
    with pytest.raises(AssertionError):
        check(inspect.signature(function), split(documented)[1], "f")


def test_the_check_itself_accepts_more():
    check(inspect.signature(lambda a, b=1, c=2, *, d=3, **kwargs: None), split("f(a, b=1)")[1], "f")
