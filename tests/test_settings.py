"""Settings, options and progress bars."""

from __future__ import annotations

import io
import logging
import os
import re
import sys
import warnings
from pathlib import Path

import ferrocyte as fc
import numpy as np
import pytest
from ferrocyte import _options
from ferrocyte._errors import FerrocyteWarning, InvalidOptionError, InvalidTypeError
from ferrocyte._progress import progress_bar
from ferrocyte._settings import CellRankConfig, threads


@pytest.fixture(autouse=True)
def _put_back(monkeypatch):
    monkeypatch.delenv("FERROCYTE_NUM_THREADS", raising=False)
    level = logging.getLogger("ferrocyte").level
    n_jobs, figdir = fc.settings._n_jobs, fc.settings.figdir
    yield
    fc.settings.n_jobs, fc.settings.figdir = n_jobs, figdir
    logging.getLogger("ferrocyte").setLevel(level)


def test_figdir():
    assert CellRankConfig().figdir == Path("figures")
    fc.settings.figdir = "plots/today"
    assert fc.settings.figdir == Path("plots/today")


def test_threads(monkeypatch):
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert threads() == 1
    assert threads(3) == threads(np.int64(3)) == 3
    assert threads(-1) == cores
    fc.settings.n_jobs = 2
    assert threads() == threads(None) == 2
    fc.settings.n_jobs = -1
    assert threads() == cores
    fc.settings.n_jobs = None
    monkeypatch.setenv("FERROCYTE_NUM_THREADS", "5")
    assert fc.settings.n_jobs == threads() == 5
    monkeypatch.setenv("FERROCYTE_NUM_THREADS", "many")
    with pytest.raises(InvalidOptionError, match=r"FERROCYTE_NUM_THREADS.*'many'"):
        threads()
    for wrong in (0, -2, 1.5, "2", True):
        with pytest.raises(InvalidOptionError, match="n_jobs"):
            threads(wrong)
        with pytest.raises(InvalidOptionError, match="n_jobs"):
            fc.settings.n_jobs = wrong


def test_more_threads_than_a_machine_has():
    T = np.array([[0.5, 0.25, 0.25], [0, 1, 0], [0, 0, 1]])
    g = fc.estimators.GPCCA(T).set_terminal_states({"a": [1], "b": [2]})
    g.compute_fate_probabilities(n_jobs=2**70)
    assert g.fate_probabilities.X[0].tolist() == [0.5, 0.5]


def test_verbosity_of_older_scripts_is_a_logging_level():
    for value, level in ((0, "ERROR"), (1, "WARNING"), (2, "INFO"), (3, "INFO"), (4, "DEBUG")):
        fc.settings.verbosity = value
        assert logging.getLevelName(fc.settings.logging_level) == level
    fc.settings.verbosity = 1
    assert fc.settings.verbosity == 1
    for wrong in (5, -1, True, "hint", 2.0):
        with pytest.raises(InvalidOptionError, match="verbosity"):
            fc.settings.verbosity = wrong


def test_a_setting_that_does_not_exist_is_not_made():
    with pytest.raises(AttributeError, match=r"no setting `njobs`.*'n_jobs'"):
        fc.settings.njobs = 3


def test_logging():
    logger = logging.getLogger("ferrocyte")
    assert logger.handlers == []
    fc.settings.logging_level = "debug"
    assert fc.settings.logging_level == CellRankConfig().logging_level == logging.DEBUG
    fc.settings.logging_level = 40
    assert logger.level == 40
    with fc.settings.override_logging_level("INFO"):
        assert fc.settings.logging_level == logging.INFO
    assert fc.settings.logging_level == 40
    with pytest.raises(KeyboardInterrupt), fc.settings.override_logging_level(10):
        raise KeyboardInterrupt
    assert fc.settings.logging_level == 40
    with pytest.raises(InvalidOptionError, match=r"'LOUD'.*'WARNING'"):
        fc.settings.logging_level = "LOUD"
    assert "CellRankConfig(" in repr(fc.settings)
    assert fc.CellRankConfig is CellRankConfig


def test_options():
    assert _options.check_option(np.str_("soft"), "scheme", ("hard", "soft")) == "soft"
    assert _options.check_option(None, "scheme", ("hard", None)) is None
    with pytest.raises(InvalidOptionError, match=r"Invalid option None for `agg`\. Valid options"):
        _options.check_option(None, "agg", ("top_n", "union_of_none"))
    with pytest.raises(
        InvalidOptionError,
        match=r"Invalid option 'sfot' for `scheme`\. Did you mean 'soft'\?.*'hard', 'soft'",
    ):
        _options.check_option("sfot", "scheme", ("hard", "soft"))
    with pytest.raises(InvalidOptionError, match="Invalid option None"):
        _options.check_option(None, "scheme", ("hard", "soft"))


def test_numbers():
    assert _options.check_number(np.float32(0.5), "x", low=0, high=1) == 0.5
    for value, kwargs in (
        (2, {"low": 0, "high": 1}),
        (0, {"above": 0}),
        (np.nan, {}),
        (np.inf, {}),
        (-1, {"low": 0}),
    ):
        with pytest.raises(InvalidOptionError, match="`x`"):
            _options.check_number(value, "x", **kwargs)
    for value in ("1", None, True, [1]):
        with pytest.raises(InvalidTypeError, match="`x`"):
            _options.check_number(value, "x")
    assert _options.check_count(np.int32(3), "x") == 3
    with pytest.raises(InvalidOptionError, match="to be positive"):
        _options.check_count(0, "x")
    for value in (1.0, True, "3"):
        with pytest.raises(InvalidTypeError):
            _options.check_count(value, "x")
    assert _options.check_seed(None) is None
    assert _options.check_seed(2**63 - 1) == 2**63 - 1
    for value in (-1, 2**63):
        with pytest.raises(InvalidOptionError, match="seed"):
            _options.check_seed(value)
    assert 0 <= _options.draw_seed() < 2**32


def test_parameters_without_effect_warn_once():
    adata = fc.datasets.dentate_gyrus()
    k = fc.kernels.VelocityKernel(adata)
    _options._told.clear()
    with pytest.warns(FerrocyteWarning, match="`backend='threading'` has no effect"):
        k.compute_transition_matrix(softmax_scale=4, backend="threading", show_progress_bar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        k.compute_transition_matrix(softmax_scale=4, backend="threading", show_progress_bar=False)
        k.compute_transition_matrix(softmax_scale=4, backend="loky", show_progress_bar=False)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_only_where_somebody_looks(monkeypatch):
    for stream, show, want in (
        (io.StringIO(), True, False),
        (Terminal(), False, False),
        (Terminal(), True, True),
        (None, True, False),
    ):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress_bar(show) as progress:
            assert (progress is not None) == want
            if progress is not None:
                progress(3, 10)
                progress(10, 10)
        if isinstance(stream, Terminal):
            assert ("10/10" in stream.getvalue()) == want


def test_a_kernel_reports_progress(monkeypatch):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    k = fc.kernels.VelocityKernel(fc.datasets.dentate_gyrus())
    k.compute_transition_matrix(softmax_scale=4)
    assert re.search(r"(\d\d+)/\1 ", stream.getvalue())
    stream.truncate(0)
    k.compute_transition_matrix(
        similarity=lambda v, D, s: (np.full(len(D), 1 / len(D)), np.ones(len(D))), softmax_scale=4, n_jobs=2
    )
    assert re.search(r"(\d\d+)/\1 ", stream.getvalue())


class TestProgressBar:
    """What a notebook shows of a job; tqdm here writes into a list instead."""

    @pytest.fixture
    def bars(self, monkeypatch):
        import tqdm.auto
        from ferrocyte import _progress

        made = []

        class Recording(tqdm.tqdm):
            def __init__(self, *args, **kwargs):
                super().__init__(*args, **kwargs, file=io.StringIO(), mininterval=0)
                self.first_total = self.total
                made.append(self)

        monkeypatch.setattr(tqdm.auto, "tqdm", Recording)
        monkeypatch.setattr(_progress, "_wanted", lambda show: show)
        return made

    def test_it_knows_its_total_from_the_start(self, bars):
        """A bar in a notebook can not be told later how long it is."""
        with progress_bar(True, unit="walk") as progress:
            progress(3, 10)
            assert (bars[0].n, bars[0].first_total, bars[0].unit) == (3, 10, "walk")
            progress(10, 10)
        assert len(bars) == 1
        assert bars[0].n == 10
        assert bars[0].disable, "closed"

    def test_a_job_that_tells_nothing_leaves_no_empty_bar(self, bars):
        with progress_bar(True) as progress:
            progress(0, 0)
        assert bars == []

    def test_another_total_keeps_the_time(self, bars):
        with progress_bar(True) as progress:
            progress(5, 5)
            began = bars[0].start_t
            progress(6, 20)
            assert (bars[0].n, bars[0].total, bars[0].start_t) == (6, 20, began)

    def test_it_is_closed_when_the_job_fails(self, bars):
        def job():
            with progress_bar(True) as progress:
                progress(1, 4)
                raise RuntimeError

        with pytest.raises(RuntimeError):
            job()
        assert bars[0].disable
