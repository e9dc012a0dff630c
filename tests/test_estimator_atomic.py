"""A step that fails or is interrupted leaves the estimator and its AnnData as they were."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from ferrocyte import _results
from ferrocyte._results import STEPS, Results
from ferrocyte.estimators import GPCCA
from reference.chains import THREE, kernel_over, lumped
from reference.interrupted import interrupted
from test_estimator_io import full

SIZES = (12, 10, 14)


def snapshot(g):
    """Everything that may change, by value where it could change in place."""
    adata = g.adata
    return {
        "values": {k: (id(v), repr(v)) for k, v in g._results.values.items()},
        "params": repr(g.params),
        "obs": (list(adata.obs), adata.obs.to_csv()),
        "obsm": {k: np.asarray(adata.obsm[k]).tobytes() for k in sorted(adata.obsm)},
        "varm": {k: np.asarray(adata.varm[k]).tobytes() for k in sorted(adata.varm)},
        "uns": {k: repr(adata.uns[k]) for k in sorted(adata.uns)},
        "repr": repr(g),
    }


CALLS = {
    "eigendecomposition": lambda g: g.compute_eigendecomposition(3),
    "schur": lambda g: g.compute_schur(2),
    "macrostates": lambda g: g.compute_macrostates(2, n_cells=4),
    "one macrostate": lambda g: g.compute_macrostates(1, n_cells=4),
    "macrostates on a new basis": lambda g: g.compute_macrostates(2, n_cells=4, n_components=4),
    "predict terminal": lambda g: g.predict_terminal_states(method="top_n", n_states=2, n_cells=4),
    "predict initial": lambda g: g.predict_initial_states(n_cells=4),
    "set terminal": lambda g: g.set_terminal_states({"clusters": ["c"]}),
    "set initial": lambda g: g.set_initial_states({"x": [0]}),
    "rename": lambda g: g.rename_terminal_states({"b": "B"}),
    "fates": lambda g: g.compute_fate_probabilities(),
    "times": lambda g: g.compute_absorption_times(),
    "priming": lambda g: g.compute_lineage_priming(),
    "drivers": lambda g: g.compute_lineage_drivers(),
}


class StopError(Exception):
    pass


@pytest.mark.parametrize("error", [StopError, KeyboardInterrupt])
@pytest.mark.parametrize("call", CALLS)
def test_a_failure_at_any_write_changes_nothing(call, error, monkeypatch):
    """The n-th write fails, for every n until there is none left to fail."""
    g = full()
    before = snapshot(g)
    put = _results._put
    n_writes = 0
    for fail_at in range(100):
        count = 0

        def failing(store, key, value, fail_at=fail_at):
            nonlocal count
            if count == fail_at:
                count += 1
                raise error
            count += 1
            put(store, key, value)

        with monkeypatch.context() as patch:
            patch.setattr(_results, "_put", failing)
            try:
                CALLS[call](g)
            except error:
                assert snapshot(g) == before, f"write {fail_at}"
                n_writes += 1
            else:
                break
    assert n_writes > 0
    assert snapshot(g) != before or call in ("fates", "times", "priming", "drivers")


@pytest.mark.parametrize("call", CALLS)
def test_a_failure_in_the_core_changes_nothing(call, monkeypatch):
    from ferrocyte import _core

    g = full()
    g._pi = None  # a stationary distribution that is known needs no core
    before = snapshot(g)

    def failing(*args, **kwargs):
        raise StopError

    for name in _core.__all__:
        if not name.startswith("_"):
            monkeypatch.setattr(_core, name, failing)
    try:
        CALLS[call](g)
    except StopError:
        assert snapshot(g) == before
    else:  # choosing among what is there needs no core
        assert call in (
            "predict terminal",
            "predict initial",
            "set terminal",
            "set initial",
            "rename",
            "priming",
        )


def test_a_key_that_can_not_be_written():
    """AnnData itself refuses: an array of another length."""
    g = full()
    before = snapshot(g)
    with pytest.raises(ValueError, match=r"(?i)shape|length|dim"):
        g._results.set(
            schur_vectors=np.zeros((5, 2)), schur_matrix=np.eye(2), macrostates=g.macrostates, params={}
        )
    assert snapshot(g) == before


# The table -------------------------------------------------------------------------------------------------


class Owner:
    backward = False

    def __init__(self, n=4):
        self.adata = AnnData(np.zeros((n, 2), dtype=np.float32))


def test_dependants_are_undone():
    undone = {
        "compute_macrostates": ("macrostates", {"terminal_states", "initial_states", "fate_probabilities",
                                                "absorption_times", "priming_degree", "lineage_drivers"}),
        "terminal": ("terminal_states", {"fate_probabilities", "absorption_times", "priming_degree",
                                         "lineage_drivers"}),
        "initial": ("initial_states", {"fate_probabilities", "absorption_times", "priming_degree",
                                       "lineage_drivers"}),
        "fates": ("fate_probabilities", {"priming_degree", "lineage_drivers"}),
        "times": ("absorption_times", set()),
        "schur": ("schur_vectors", set()),
        "eigen": ("eigendecomposition", set()),
    }  # fmt: skip
    for step, expected in undone.values():
        assert _results._dependants([step]) == expected, step


@pytest.mark.parametrize("backward", [False, True])
def test_undoing_reaches_adata(backward):
    g = full(backward=backward)
    X = "bwd" if backward else "fwd"
    g.rename_initial_states({"a": "A"})
    adata = g.adata
    assert g.fate_probabilities is None
    assert g.lineage_drivers is None
    assert not {f"lineages_{X}", f"absorption_times_{X}"} & set(adata.obsm)
    assert not set(adata.varm)
    assert f"priming_degree_{X}" not in adata.obs
    assert not {f"lineages_{X}", f"absorption_times_{X}"} & set(g.params)
    g.compute_macrostates(2, n_cells=5)
    assert not [k for k in adata.obs if k.startswith(("term", "init"))]
    assert not [k for k in (*adata.obsm, *adata.uns) if k.startswith(("term", "init"))]
    assert set(g.params) == {f"schur_decomposition_{X}", f"macrostates_{X}"}


def test_a_step_is_replaced_as_a_whole():
    g = full()
    g.set_terminal_states({"clusters": ["c"]})
    assert g.terminal_states_probabilities is None
    assert "term_states_fwd_probs" not in g.adata.obs
    assert "term_states_fwd_memberships" not in g.adata.obsm


def test_results_without_adata():
    owner = Owner()
    owner.adata = None
    results = Results(owner)
    results.set(schur_vectors=np.ones((4, 1)), schur_matrix=np.ones((1, 1)), params={"n": 1})
    assert results.params == {"schur_decomposition_fwd": {"n": 1}}
    assert results.params_of("schur_matrix") == {"n": 1}
    results.clear("schur_vectors")
    assert results.get("schur_matrix") is None
    assert results.params == {}


def test_unknown_names():
    results = Results(Owner())
    with pytest.raises(KeyError):
        results.get("nope")
    with pytest.raises(KeyError):
        results.set(nope=1)
    with pytest.raises(ValueError, match="at least one"):
        results.set()


def test_every_key_is_of_one_result():
    places = [(r.attr, r.key(False), r.part) for step in STEPS.values() for r in step.results]
    assert len(set(places)) == len(places)
    assert all(step in STEPS for s in STEPS.values() for step in s.depends)


def test_stored_tables_are_not_the_users():
    """Renaming categories in `obs` does not rename those of the estimator."""
    g = full()
    g.adata.obs["macrostates_fwd"] = g.adata.obs["macrostates_fwd"].cat.rename_categories({"a": "z"})
    assert "z" not in g.macrostates.cat.categories
    assert isinstance(g.macrostates, pd.Series)


# Ctrl-C ----------------------------------------------------------------------------------------------------

PRELUDE = """
import sys, warnings
import numpy as np, scipy.sparse as sp
import ferrocyte as fc
from ferrocyte.estimators import GPCCA
from test_estimator_atomic import snapshot

# A walk on a ring, which mixes slowly.
n = 30_000
i = np.arange(n)
beside = np.concatenate([(i + 1) % n, (i - 1) % n])
T = sp.csr_matrix((np.full(2 * n, 0.5), (np.tile(i, 2), beside)), shape=(n, n))
g = GPCCA(T).set_terminal_states({"x": [0], "y": [n // 2]})
"""

JOBS = {
    "schur": "call = lambda: g.compute_schur(20)",
    "macrostates": "call = lambda: g.compute_macrostates(12, n_cells=10)",
    "eigendecomposition": "call = lambda: g.compute_eigendecomposition(20)",
}

TAIL = """
before = snapshot(g)
try:
    started()
    call()
except KeyboardInterrupt:
    stopped()
else:
    sys.exit("was not interrupted")
assert snapshot(g) == before, "something has changed"
print("unchanged", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")
@pytest.mark.parametrize("job", JOBS)
def test_ctrl_c(job):
    tests = f"import sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    assert interrupted(tests + PRELUDE + textwrap.dedent(JOBS[job]) + TAIL) == ["unchanged"]


def test_a_kernel_without_macrostates_is_untouched():
    kernel = kernel_over(lumped(THREE, SIZES), SIZES)
    matrix = kernel.transition_matrix.copy()
    g = GPCCA(kernel).compute_schur(3).compute_macrostates(3, n_cells=5)
    assert abs(g.transition_matrix - matrix).max() == 0
