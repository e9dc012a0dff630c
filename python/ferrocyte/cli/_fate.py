"""``ferrocyte fate``: the whole job from file to file."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from anndata import AnnData

from ferrocyte import _core, _keys
from ferrocyte._errors import FerrocyteError, FileFormatError, suggest
from ferrocyte._options import check_count
from ferrocyte.cli import _files, _kernels, _plan
from ferrocyte.cli._events import Events, answer
from ferrocyte.cli._exit import OK, UsageError
from ferrocyte.estimators import GPCCA

__all__ = ["run"]

# Save what is done so far when the last save is this many seconds ago.
SAVE_EVERY = 30.0


class Step(NamedTuple):
    """One step: its name, the options that decide its result, what does it, and what it is steered by."""

    name: str
    options: dict[str, Any]
    compute: Callable[[GPCCA], dict[str, Any]]
    arguments: str

    def __call__(self, estimator: GPCCA) -> dict[str, Any]:
        try:
            return self.compute(estimator)
        except FerrocyteError as err:  # speaks of parameters of Python
            err.add_note(f"On the command line: {self.arguments}.")
            raise


def run(args: argparse.Namespace, events: Events) -> int:
    """Do the job; see ``ferrocyte fate --help``."""
    specs = [_kernels.parse(text) for text in args.kernels]
    if args.backward and all(spec.name in _kernels.WITHOUT_DIRECTION for spec in specs):
        raise UsageError("--backward needs a kernel with a direction, such as velocity or pseudotime.")
    _check(args)
    if args.dry_run:
        # Everything that can be refused without work is refused here, too.
        adata = _files.read(args.input, backed=True)
        _check_data(args, adata)
        answer(_plan.plan(args, specs, adata))
        return OK
    with events.step("read", file=str(args.input)) as said:
        adata = _files.read(args.input)
        said.update(n_cells=adata.n_obs, n_genes=adata.n_vars)
    _check_data(args, adata)
    estimator = _Job(args, specs, adata, events).run()
    if args.figures:
        from ferrocyte.cli._figures import draw

        with events.step("figures", folder=str(args.figures)) as said:
            said["files"] = draw(estimator, args.figures, basis=args.basis, cluster_key=args.cluster_key)
    _report(estimator, args, events)
    return OK


def _check(args: argparse.Namespace) -> None:
    _files.check_output(args.out, overwrite=args.overwrite, source=args.input)
    for name in ("n_cells", "n_schur"):
        check_count(getattr(args, name), name)
    if args.terminal_method == "top_n" and args.n_terminal is None and not args.terminal:
        raise UsageError("`--terminal-method top_n` needs `--n-terminal N`.")
    if not 0 < args.tol < 1:
        raise UsageError(f"Expected --tol between 0 and 1, found {args.tol:g}.")
    if args.n_initial < 0:
        raise UsageError(f"Expected --n-initial to be at least 0, found {args.n_initial}.")


def _check_data(args: argparse.Namespace, adata: AnnData) -> None:
    if args.cluster_key is not None and args.cluster_key not in adata.obs:
        raise UsageError(
            f"Unable to find clusters in `adata.obs[{args.cluster_key!r}]`. Columns there: "
            f"{', '.join(map(repr, adata.obs.columns)) or 'none'}."
        )
    layer = args.drivers_layer
    if layer is not None and layer not in adata.layers:
        raise UsageError(f"Unable to find `adata.layers[{layer!r}]`.{suggest(layer, adata.layers.keys())}")
    most = args.n_states if isinstance(args.n_states, int) else max(args.n_states or (1,))
    if most * args.n_cells > adata.n_obs:
        raise UsageError(
            f"Expected --n-states times --n-cells to be at most the number of cells, {adata.n_obs}, found "
            f"{most} times {args.n_cells}. Use `--n-cells {adata.n_obs // most}` or less, or fewer states."
        )
    if args.figures and not any(key in adata.obsm for key in _keys.basis_candidates(args.basis)):
        raise UsageError(
            f"Unable to find a basis in `adata.obsm` for --basis {args.basis}. There are: "
            f"{', '.join(map(repr, adata.obsm)) or 'none'}."
        )


class _Job:
    """Steps in order; those whose results are at hand are not done again."""

    def __init__(
        self, args: argparse.Namespace, specs: list[_kernels.KernelSpec], adata: AnnData, events: Events
    ) -> None:
        self.args, self.specs, self.adata, self.events = args, specs, adata, events
        self.key = _keys.transition_matrix(args.backward)
        self.resume = args.out.with_name(f"{args.out.name}.resume")
        self.steps = _steps(args, events.progress)

    def run(self) -> GPCCA:
        """All steps, then the file."""
        wanted = self._fingerprints()
        done = [] if self.args.no_resume else self._restore(wanted)
        finished = {name: wanted[name] for name in done}
        estimator: GPCCA | None = None
        saved = time.monotonic()
        try:
            if done:
                estimator = GPCCA.from_adata(self.adata, obsp_key=self.key)
                self.events.say("reused", f"reused: {', '.join(done)}", steps=done)
            else:
                estimator = self._transition_matrix()
                finished["transition_matrix"] = wanted["transition_matrix"]
            for step in self.steps:
                if step.name in done:
                    continue
                if time.monotonic() - saved > SAVE_EVERY:
                    self._save(estimator, finished)
                    saved = time.monotonic()
                with self.events.step(step.name) as said:
                    said.update(step(estimator))
                finished[step.name] = wanted[step.name]
        except BaseException:
            if estimator is not None and len(finished) > len(done):
                self._save(estimator, finished)
                self.events.say(
                    "saved",
                    f"what was finished is in {self.resume}; the same command goes on from there",
                    file=str(self.resume),
                    steps=list(finished),
                )
            raise
        self.adata.uns[_files.STEPS] = finished
        with self.events.step("write", file=str(self.args.out)):
            _files.write(self.adata, self.args.out)
        self.resume.unlink(missing_ok=True)
        return estimator

    def _transition_matrix(self) -> GPCCA:
        with self.events.step("transition_matrix", kernel=" + ".join(map(str, self.specs))) as said:
            kernel = _kernels.build(
                self.adata,
                self.specs,
                backward=self.args.backward,
                seed=self.args.seed,
                threads=self.args.threads,
                progress=self.events.progress,
            )
            kernel.write_to_adata()
            said["kernel"] = str(kernel)
        return GPCCA(kernel)

    def _fingerprints(self) -> dict[str, str]:
        """Of every step: of its options and of everything before it."""
        specs = [tuple(spec) for spec in self.specs]
        last = _files.fingerprint(
            _core.__version__,
            _files.digest(self.adata, self.args.cluster_key),
            specs,
            self.args.backward,
            self.args.seed,
        )
        out = {"transition_matrix": last}
        for step in self.steps:
            last = out[step.name] = _files.fingerprint(last, step.name, step.options)
        return out

    def _restore(self, wanted: dict[str, str]) -> list[str]:
        """Names of the first steps whose results are in the input, or beside the output."""
        done = _common(self.adata.uns.get(_files.STEPS, {}), wanted)
        if not self.resume.is_file():
            return done
        try:
            partial = _files.read(self.resume)
        except FileFormatError as err:
            self.events.say("warning", f"{self.resume} is ignored: {err}", level="warning", message=str(err))
            return done
        more = _common(partial.uns.get(_files.STEPS, {}), wanted)
        if len(more) <= len(done):
            return done
        for name in ("obs", "obsm", "obsp", "varm", "uns"):
            source, target = getattr(partial, name), getattr(self.adata, name)
            for key in list(source):
                target[key] = source[key]
        return more

    def _save(self, estimator: GPCCA, finished: dict[str, str]) -> None:
        partial = estimator.to_adata(keep=[])
        partial.uns[_files.STEPS] = finished
        _files.write(partial, self.resume)


def _common(stored: Any, wanted: dict[str, str]) -> list[str]:
    out = []
    for name, value in wanted.items():
        if str(stored.get(name, "")) != value:
            break
        out.append(name)
    return out


def _steps(args: argparse.Namespace, progress: bool) -> list[Step]:
    shared = {"n_jobs": args.threads, "show_progress_bar": progress}

    def schur(g: Any) -> dict[str, Any]:
        g.compute_schur(n_components=args.n_schur)
        return {"eigenvalues": [round(float(v.real), 4) for v in g.eigendecomposition["D"]]}

    def macrostates(g: Any) -> dict[str, Any]:
        g.compute_macrostates(n_states=args.n_states, n_cells=args.n_cells, cluster_key=args.cluster_key)
        return {"macrostates": list(g.macrostates.cat.categories)}

    def terminal(g: Any) -> dict[str, Any]:
        if args.terminal:
            g.set_terminal_states(args.terminal, n_cells=args.n_cells, allow_overlap=args.allow_overlap)
        else:
            g.predict_terminal_states(
                method=args.terminal_method,
                n_cells=args.n_cells,
                n_states=args.n_terminal,
                stability_threshold=args.stability,
                allow_overlap=args.allow_overlap,
            )
        return {"terminal_states": list(g.terminal_states.cat.categories)}

    def initial(g: Any) -> dict[str, Any]:
        g.predict_initial_states(
            n_states=args.n_initial, n_cells=args.n_cells, allow_overlap=args.allow_overlap
        )
        return {"initial_states": list(g.initial_states.cat.categories)}

    def fates(g: Any) -> dict[str, Any]:
        g.compute_fate_probabilities(solver=args.solver, tol=args.tol, **shared)
        return {"lineages": list(g.fate_probabilities.names)}

    def times(g: Any) -> dict[str, Any]:
        g.compute_absorption_times(solver=args.solver, tol=args.tol, **shared)
        return {"columns": list(g.absorption_times.columns)}

    def drivers(g: Any) -> dict[str, Any]:
        if len(g.fate_probabilities.names) == 1:
            # All cells have the same fate; what sets genes apart then is where the chain is at rest.
            g.compute_eigendecomposition(k=args.n_schur)
        table = g.compute_lineage_drivers(layer=args.drivers_layer)
        names = [str(n) for n in g.fate_probabilities.names]
        top = {n: list(table[f"{n}_corr"].nlargest(3).index) for n in names if f"{n}_corr" in table}
        return {f"top of {name}": genes for name, genes in top.items()}

    out = [
        Step("schur", {"n": args.n_schur}, schur, "--n-schur"),
        Step(
            "macrostates",
            {"n": args.n_states, "cells": args.n_cells, "by": args.cluster_key},
            macrostates,
            "--n-states, --n-cells, --cluster-key",
        ),
        Step(
            "terminal_states",
            {
                "names": args.terminal,
                "method": args.terminal_method,
                "n": args.n_terminal,
                "stability": args.stability,
                "overlap": args.allow_overlap,
            },
            terminal,
            "--stability, --terminal-method, --n-terminal, or --terminal with names",
        ),
    ]
    if args.n_initial:
        out.append(Step("initial_states", {"n": args.n_initial}, initial, "--n-initial, --allow-overlap"))
    solving = {"solver": args.solver, "tol": args.tol}
    out.append(Step("fate_probabilities", solving, fates, "--terminal, --solver, --tol"))
    if args.absorption_times:
        out.append(Step("absorption_times", {}, times, "--solver, --tol"))
    if not args.no_drivers:
        layer = {"layer": args.drivers_layer}
        out.append(Step("lineage_drivers", layer, drivers, "--drivers-layer, --no-drivers"))
    return out


def _report(estimator: Any, args: argparse.Namespace, events: Events) -> None:
    """The last event; for people, a summary on standard output."""
    fates = estimator.fate_probabilities
    shares = {str(n): float(v) for n, v in zip(fates.names, fates.X.mean(axis=0), strict=True)}
    initial = estimator.initial_states
    terminal = [str(name) for name in estimator.terminal_states.cat.categories]
    starts = [] if initial is None else [str(name) for name in initial.cat.categories]
    events.say(
        "finished",
        f"finished: {args.out}",
        out=str(args.out),
        terminal_states=terminal,
        initial_states=starts,
        mean_fate_probabilities=shares,
        peak_memory_bytes=_plan.peak_memory(),
    )
    if events.json_lines:
        return
    lines = [
        f"initial states:  {', '.join(starts) or 'none'}",
        f"terminal states: {', '.join(terminal)}",
        "fates of an average cell: " + ", ".join(f"{n} {v:.0%}" for n, v in shares.items()),
        f"written: {args.out}" + (f", figures in {args.figures}/" if args.figures else ""),
    ]
    answer("\n".join(lines))
