"""`import ferrocyte` is cheap and quiet."""

from __future__ import annotations

import subprocess
import sys

import ferrocyte as fc
import pytest

HEAVY = ("matplotlib", "scanpy", "httpx", "sklearn", "tqdm.auto", "numba", "scipy.stats", "seaborn")


def loaded(code):
    """Modules in a fresh process after `code`."""
    script = f"{code}\nimport sys\nprint('\\n'.join(sys.modules))"
    out = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert out.stderr == ""
    return set(out.stdout.split())


def test_nothing_heavy_is_loaded():
    base = loaded("import anndata")
    for code in ("import ferrocyte", "import ferrocyte; ferrocyte.kernels", "import ferrocyte.io"):
        extra = loaded(code) - base
        assert not [m for m in HEAVY if m in extra], code
        assert not [m for m in extra if m.startswith("ferrocyte.pl")], code


def test_the_annotation_client_loads_what_it_needs_alone():
    extra = loaded("import ferrocyte.cas")
    assert {"httpx", "pydantic"} <= extra
    assert not [m for m in HEAVY if m in extra and m not in ("httpx", "numba")]
    assert not {"scanpy", "matplotlib", "sklearn"} & loaded(
        "import ferrocyte; ferrocyte.cas.CASClient('a.b')"
    )
    assert not {"httpx", "pydantic"} & loaded("import ferrocyte")


def test_nor_when_a_kernel_is_computed():
    code = """
import ferrocyte as fc
adata = fc.datasets.dentate_gyrus()
vk = fc.kernels.VelocityKernel(adata).compute_transition_matrix()
ck = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
(0.8 * vk + 0.2 * ck).compute_transition_matrix().write_to_adata()
"""
    extra = loaded(code) - loaded("import anndata, h5py")
    assert not [m for m in ("matplotlib", "scanpy", "httpx", "sklearn") if m in extra]


def test_import_says_nothing_and_touches_no_logger():
    out = subprocess.run(
        [
            sys.executable,
            "-W",
            "error",
            "-c",
            "import ferrocyte, logging; assert not logging.getLogger('ferrocyte').handlers; "
            "assert not logging.getLogger().handlers",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    assert out.stdout == out.stderr == ""


def test_top_level_names():
    assert set(fc.__all__) <= set(dir(fc))
    for name in fc.__all__:
        assert getattr(fc, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'kernel'"):
        _ = fc.kernel


def test_completion_offers_what_is_public_and_nothing_else():
    for module in (fc.kernels, fc.kernels.utils, fc.estimators, fc.models, fc.pl, fc.datasets, fc.cas):
        assert dir(module) == sorted(module.__all__)


def test_data_sets_that_would_be_downloaded_say_what_to_do():
    with pytest.raises(AttributeError, match=r"downloads nothing.*read_h5ad.*dentate_gyrus"):
        _ = fc.datasets.pancreas
    with pytest.raises(AttributeError, match="no attribute 'pancreatic'"):
        _ = fc.datasets.pancreatic


def test_public_names():
    assert set(fc.kernels.__all__) >= {
        "Kernel",
        "UnidirectionalKernel",
        "BidirectionalKernel",
        "ConnectivityKernel",
        "VelocityKernel",
        "PseudotimeKernel",
        "CytoTRACEKernel",
        "PrecomputedKernel",
        "RealTimeKernel",
        "ExperimentalTimeKernel",
        "utils",
    }
    assert set(fc.kernels.utils.__all__) == {
        "SimilarityABC",
        "Cosine",
        "Correlation",
        "DotProduct",
        "ThresholdSchemeABC",
        "HardThresholdScheme",
        "SoftThresholdScheme",
        "CustomThresholdScheme",
        "RandomWalk",
        "TmatProjection",
        "FlowPlotter",
        "Deterministic",
        "Stochastic",
        "MonteCarlo",
        "TransportMap",
        "transport_map",
    }
    for module in (fc.kernels, fc.kernels.utils):
        for name in module.__all__:
            assert getattr(module, name) is not None
