"""`ferrocyte fate`: from file to file, whole or not at all."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import anndata as ad
import ferrocyte as fc
import numpy as np
import pytest
from ferrocyte.cli import main
from reference.patience import LONG

KERNELS = ["--kernel", "velocity:0.8", "--kernel", "connectivity:0.2"]
STATES = ["--cluster-key", "clusters", "--n-states", "3", "--n-cells", "10", "--n-schur", "8"]
# Three states of 200 cells, two of them terminal; which, is said, so that fates have something to decide.
CHOICE = ["--terminal-method", "top_n", "--n-terminal", "2", "--allow-overlap"]


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "cells.h5ad"
    fc.datasets.dentate_gyrus().write_h5ad(path)
    return path


def command(cells, out, *more):
    return ["fate", str(cells), *KERNELS, *STATES, *CHOICE, "--out", str(out), "--json-log", *more]


def events_of(capsys):
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_result_is_that_of_the_library(cells, tmp_path, capsys):
    out = tmp_path / "fates.h5ad"
    assert main(command(cells, out, "--absorption-times", "--seed", "0")) == 0
    events = events_of(capsys)
    assert [e["step"] for e in events if e["event"] == "step_finished"] == [
        "read",
        "transition_matrix",
        "schur",
        "macrostates",
        "terminal_states",
        "initial_states",
        "fate_probabilities",
        "absorption_times",
        "lineage_drivers",
        "write",
    ]
    assert events[-1]["event"] == "finished"
    assert all({"time", "elapsed", "command", "event", "level"} <= set(e) for e in events)

    adata = fc.datasets.dentate_gyrus()
    vk = fc.kernels.VelocityKernel(adata).compute_transition_matrix()
    ck = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    g = fc.estimators.GPCCA((0.8 * vk + 0.2 * ck).compute_transition_matrix())
    g.compute_schur(n_components=8)
    g.compute_macrostates(n_states=3, n_cells=10, cluster_key="clusters")
    g.predict_terminal_states(method="top_n", n_states=2, n_cells=10, allow_overlap=True)
    g.compute_fate_probabilities()
    written = ad.read_h5ad(out)
    np.testing.assert_array_equal(written.obsp["T_fwd"].toarray(), g.transition_matrix.toarray())
    again = fc.estimators.GPCCA.from_adata(written, obsp_key="T_fwd")
    np.testing.assert_array_equal(again.fate_probabilities.X, g.fate_probabilities.X)
    assert list(again.fate_probabilities.names) == list(g.fate_probabilities.names)
    assert again.absorption_times.shape == (200, 2)
    assert "terminal_lineage_drivers" in written.varm
    assert [p.name for p in tmp_path.iterdir()] == ["fates.h5ad"]


def test_a_second_run_reuses_what_is_in_the_file(cells, tmp_path, capsys):
    first, second, third = (tmp_path / f"{i}.h5ad" for i in "123")
    assert main(command(cells, first)) == 0
    capsys.readouterr()
    assert main(command(first, second)) == 0
    events = events_of(capsys)
    assert [e["steps"] for e in events if e["event"] == "reused"] == [
        [
            "transition_matrix",
            "schur",
            "macrostates",
            "terminal_states",
            "initial_states",
            "fate_probabilities",
            "lineage_drivers",
        ]
    ]
    a, b = ad.read_h5ad(first), ad.read_h5ad(second)
    np.testing.assert_array_equal(a.obsm["lineages_fwd"], b.obsm["lineages_fwd"])
    # Another tolerance: fates and what follows are computed again, nothing before them.
    assert main(command(first, third, "--tol", "1e-9")) == 0
    done = [e["step"] for e in events_of(capsys) if e["event"] == "step_finished"]
    assert done == ["read", "fate_probabilities", "lineage_drivers", "write"]


def change_velocity(adata):
    adata.layers["velocity"][0, 0] += 1


def change_days(adata):
    adata.obs["day"] = np.arange(adata.n_obs)  # what a kernel over time would read


def change_genes(adata):
    adata.var["velocity_genes"] = np.arange(adata.n_vars) > 3


@pytest.mark.parametrize("change", [change_velocity, change_days, change_genes])
def test_changed_data_are_computed_again(cells, tmp_path, capsys, change):
    first, changed, out = (tmp_path / f"{i}.h5ad" for i in "abc")
    assert main(command(cells, first)) == 0
    adata = ad.read_h5ad(first)
    change(adata)
    adata.write_h5ad(changed)
    capsys.readouterr()
    assert main(command(changed, out)) == 0
    assert not [e for e in events_of(capsys) if e["event"] == "reused"]


def test_a_failure_leaves_no_output_and_the_next_run_goes_on(cells, tmp_path, capsys, monkeypatch):
    out = tmp_path / "out.h5ad"

    def fails(self, *args, **kwargs):
        raise fc.errors.ConvergenceError("residual 1e-3 after 7 iterations")

    with monkeypatch.context() as m:
        m.setattr(fc.estimators.GPCCA, "compute_fate_probabilities", fails)
        assert main(command(cells, out)) == 4
    events = events_of(capsys)
    assert events[-1]["event"] == "error"
    assert events[-1]["exit_code"] == 4
    assert not out.exists()
    assert (tmp_path / "out.h5ad.resume").exists()
    assert main(command(cells, out)) == 0
    reused = next(e for e in events_of(capsys) if e["event"] == "reused")
    assert reused["steps"][-1] == "initial_states"
    assert [p.name for p in tmp_path.iterdir()] == ["out.h5ad"]
    direct = tmp_path / "direct.h5ad"
    assert main(command(cells, direct)) == 0
    np.testing.assert_array_equal(
        ad.read_h5ad(out).obsm["lineages_fwd"], ad.read_h5ad(direct).obsm["lineages_fwd"]
    )


def test_dry_run_computes_and_writes_nothing(cells, tmp_path, capsys):
    out = tmp_path / "out.h5ad"
    assert main([*command(cells, out), "--dry-run"]) == 0
    said = capsys.readouterr()
    assert "200 cells" in said.out
    assert "0.8 * velocity" in said.out
    assert "memory, beside Python and its packages: at most about" in said.out
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        (["--kernel", "velocit"], 2, "Did you mean"),
        (["--kernel", "velocity:-1"], 2, "positive weight"),
        (["--kernel", "velocity:1:softmx_scale=4"], 2, "Did you mean 'softmax_scale'"),
        (["--kernel", "pseudotime:1:time_key=nothing"], 3, "nothing"),
        (["--kernel", "pseudotime"], 2, "`--kernel pseudotime:1:time_key=dpt_pseudotime`"),
        (["--kernel", "precomputed:1"], 2, "obsp_key"),
        (["--kernel", "realtime:1"], 2, "time_key"),
        (["--kernel", "realtime:1:time_key=clusters,rep=X_nothing"], 3, "X_nothing"),
        (["--cluster-key", "cluster"], 2, "'clusters'"),
        (["--drivers-layer", "nothing"], 2, "Available: 'Ms', 'Mu', 'spliced'"),
        (["--figures", "figures", "--basis", "tsne9"], 2, "Unable to find a basis"),
        (["--tol", "2"], 2, "between 0 and 1"),
        (["--terminal", "Nobody"], 3, "Nobody"),
        (["--terminal-method", "stability", "--stability", "0.999"], 3, "On the command line: --stability"),
        (["--n-states", "3,8", "--n-cells", "30"], 2, "`--n-cells 25` or less"),
        (["--out", "fates.csv"], 2, ".h5ad"),
        (["--out", "no/such/folder/fates.h5ad"], 5, "There is no folder"),
    ],
)
def test_what_is_wrong_is_said_and_told_by_the_code(cells, tmp_path, capsys, monkeypatch, more, code, says):
    monkeypatch.chdir(tmp_path)
    assert main([*command(cells, tmp_path / "out.h5ad"), *more]) == code
    last = events_of(capsys)[-1]
    assert last["exit_code"] == code
    assert says in last["message"]
    assert not [p for p in tmp_path.iterdir() if p.suffix != ".resume"]


def test_bad_arguments_and_files(cells, tmp_path, capsys):
    assert main(["fate", str(cells), "--out", "x.h5ad"]) == 2
    assert "--kernel" in capsys.readouterr().err
    assert main(["fate", str(cells), *KERNELS, "--n-states", "many", "--out", "x.h5ad"]) == 2
    text = tmp_path / "text.h5ad"
    text.write_text("not data")
    assert main(command(text, tmp_path / "out.h5ad")) == 5
    assert main(command(tmp_path / "missing.h5ad", tmp_path / "out.h5ad")) == 5
    there = tmp_path / "there.h5ad"
    there.write_text("mine")
    assert main(command(cells, there)) == 2
    assert there.read_text() == "mine"
    assert main(command(cells, cells)) == 2


def test_backward_needs_a_direction(cells, tmp_path, capsys):
    out = tmp_path / "out.h5ad"
    call = ["fate", str(cells), "--backward", "--kernel", "connectivity", "--out", str(out), "--json-log"]
    assert main(call) == 2
    assert "direction" in events_of(capsys)[-1]["message"]
    more = ["--n-states", "1", "--n-initial", "0", "--no-drivers"]
    velocity = [*call[:3], "--kernel", "velocity:1:softmax_scale=4", *call[5:], *more]
    assert main(velocity) == 0
    assert {"T_bwd", "connectivities"} <= set(ad.read_h5ad(out).obsp)


def test_figures(cells, tmp_path, capsys):
    assert main(command(cells, tmp_path / "out.h5ad", "--figures", str(tmp_path / "figures"))) == 0
    drawn = next(e for e in events_of(capsys) if e.get("step") == "figures" and "files" in e)["files"]
    assert {"macrostates.png", "fate_probabilities.png", "coarse_T.png", "projection.png"} <= set(drawn)
    assert {p.name for p in (tmp_path / "figures").iterdir()} == set(drawn)
    assert all((tmp_path / "figures" / name).stat().st_size > 5000 for name in drawn)


def test_the_projection_is_that_of_the_job(cells, tmp_path):
    """Not one that the input came with, which here leads everywhere to the right."""
    adata = ad.read_h5ad(cells)
    adata.obsm["T_fwd_umap"] = np.tile([1.0, 0.0], (adata.n_obs, 1))
    adata.write_h5ad(tmp_path / "projected.h5ad")
    for name, source in (("plain", cells), ("projected", tmp_path / "projected.h5ad")):
        assert main(command(source, tmp_path / f"{name}_out.h5ad", "--figures", str(tmp_path / name))) == 0
    drawn = [(tmp_path / name / "projection.png").read_bytes() for name in ("plain", "projected")]
    assert drawn[0] == drawn[1]


@pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
@pytest.mark.parametrize(
    ("number", "code", "error"),
    [(signal.SIGINT, 130, "KeyboardInterrupt"), (signal.SIGTERM, 143, "Terminated")],
    ids=["interrupt", "terminate"],
)
def test_a_signal_leaves_no_output(tmp_path, number, code, error):
    """Ctrl-C, or a scheduler, while the kernel of many samples is computed."""
    adata, out = tmp_path / "cells.h5ad", tmp_path / "out.h5ad"
    fc.datasets.simulate(n_cells=3000, n_genes=200, seed=0).write_h5ad(adata)
    call = [
        *(sys.executable, "-m", "ferrocyte", "fate", str(adata), "--out", str(out), "--json-log"),
        *("--kernel", "velocity:1:model=monte_carlo,n_samples=100000,softmax_scale=4"),
    ]
    with subprocess.Popen(call, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr:
            if json.loads(line).get("step") == "transition_matrix":
                break
        time.sleep(0.5)
        process.send_signal(number)
        last = [json.loads(line) for line in process.stderr][-1]
        assert process.wait(LONG) == code
    assert last["error"] == error
    assert last["exit_code"] == code
    assert not out.exists()


def test_termination_keeps_what_was_finished(cells, tmp_path, capsys, monkeypatch):
    """A scheduler ends the job while fates are computed; afterwards the signal does what it did before."""
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as m:
        m.setattr(
            fc.estimators.GPCCA,
            "compute_fate_probabilities",
            lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM) or time.sleep(5),
        )
        assert main(command(cells, tmp_path / "out.h5ad")) == 143
    assert events_of(capsys)[-2]["steps"][-1] == "initial_states"
    assert [p.name for p in tmp_path.iterdir()] == ["out.h5ad.resume"]
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
@pytest.mark.parametrize(
    ("ends", "code"),
    [("2>&1 >/dev/null | head -n 1", 0), ("2>&-", 0), (">&- 2>&-", 0), ("2>/dev/full", 0)],
    ids=["broken", "closed", "both closed", "full"],
)
def test_nobody_has_to_listen(cells, tmp_path, ends, code):
    """The result is written whether or not anybody reads what is said; nothing of it goes elsewhere."""
    out = tmp_path / "out.h5ad"
    call = shlex.join([sys.executable, "-m", "ferrocyte", *command(cells, out)])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {call} {ends}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == ("head" in ends)
    assert out.exists()


@pytest.mark.skipif(os.name == "nt", reason="a shell of POSIX")
@pytest.mark.parametrize(("ends", "code"), [("| true", 0), (">/dev/full", 5)], ids=["broken", "full"])
def test_an_answer_is_read_or_not(cells, tmp_path, ends, code):
    ours = command(cells, tmp_path / "out.h5ad")
    call = shlex.join([sys.executable, "-m", "ferrocyte", *ours, "--dry-run"])
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {call} {ends}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert ("disk is full" in done.stderr) == (code == 5)
    assert "Exception ignored" not in done.stderr


def test_too_little_memory_is_no_defect(cells, tmp_path, capsys, monkeypatch):
    def fails(self, *args, **kwargs):
        raise MemoryError("Unable to allocate 9 TiB")

    monkeypatch.setattr(fc.estimators.GPCCA, "compute_schur", fails)
    assert main(command(cells, tmp_path / "out.h5ad")) == 3
    last = events_of(capsys)[-1]
    assert "Not enough memory: Unable to allocate 9 TiB" in last["message"]
    assert "traceback" not in last


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom ferrocyte.cli import main\nmain(['fate', '--help'])\n"
        "heavy = {'matplotlib', 'scanpy', 'httpx', 'sklearn'} & set(sys.modules)\nassert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--dry-run" in done.stdout


def test_time_points(tmp_path, capsys):
    adata = fc.datasets.simulate(n_cells=300, n_genes=50, tree="bifurcation", seed=0)
    adata.obs["day"] = np.where(adata.obs["pseudotime"] > adata.obs["pseudotime"].median(), "2", "1")
    adata.obs["day"] = adata.obs["day"].astype("category")
    source, out = tmp_path / "cells.h5ad", tmp_path / "out.h5ad"
    adata.write_h5ad(source)
    call = ["fate", str(source), "--kernel", "realtime:1:time_key=day,rep=X_low,self_transitions=uniform"]
    more = ["--n-states", "1", "--n-initial", "0", "--no-drivers", "--out", str(out), "--json-log"]
    assert main([*call, *more]) == 0, capsys.readouterr().err
    kernel = fc.kernels.RealTimeKernel.from_representation(adata, "day", "X_low", show_progress_bar=False)
    kernel.compute_transition_matrix(self_transitions="uniform")
    written = ad.read_h5ad(out).obsp["T_fwd"]
    np.testing.assert_array_equal(written.toarray(), kernel.transition_matrix.toarray())


def test_the_guide_lists_the_exit_codes():
    from ferrocyte.cli._exit import EXIT_CODES

    page = (Path(__file__).parents[1] / "docs/guide/command_line.md").read_text()
    for code, meaning in EXIT_CODES.items():
        assert f"| {code} | {meaning.replace('the service', 'the annotation service')} |" in page
