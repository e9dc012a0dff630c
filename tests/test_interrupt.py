"""Ctrl-C during a long computation: it stops, nothing has changed, and the same call works afterwards.

A child process is sent SIGINT while it computes. That it stops soon is asserted against a bound far below
what the computation would take, in time of the processor; how soon exactly is measured by the benches.
"""

from __future__ import annotations

import sys
import textwrap

import pytest
from reference.interrupted import interrupted

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX signals")

PRELUDE = """
import sys, time, threading
import numpy as np, scipy.sparse as sp, anndata as ad
import ferrocyte as fc

def snapshot(k, adata):
    layers = sorted(key for key in adata.layers if key is not None)
    return (
        None if k.transition_matrix is None else k.transition_matrix.copy(), dict(k.params),
        sorted(adata.obsp), sorted(adata.obsm), sorted(adata.uns), list(adata.obs), layers,
        [adata.layers[key].copy() for key in layers],
    )

def unchanged(a, b):
    same = (a[0] is b[0] is None) or (a[0] != b[0]).nnz == 0
    layers = all(np.array_equal(x, y) for x, y in zip(a[-1], b[-1]))
    return same and layers and a[1:-1] == b[1:-1]

rng = np.random.default_rng(0)
n, genes = 2000, 300
i = np.arange(n)
near = np.stack([(i + d) % n for d in range(-15, 16) if d])
graph = sp.csr_matrix((np.ones(near.size), (np.tile(i, len(near)), near.ravel())), shape=(n, n))
adata = ad.AnnData(np.zeros((n, genes), dtype=np.float32))
adata.layers["Ms"], adata.layers["velocity"] = rng.random((n, genes)), rng.normal(size=(n, genes))
adata.obsp["connectivities"] = graph
adata.obs["time"] = rng.random(n)
"""

JOBS = {
    # Work of minutes each, if it were not stopped; `repeat` is the same call with less to do.
    "core": """
k = fc.kernels.VelocityKernel(adata).compute_transition_matrix(softmax_scale=4)
options = dict(model="monte_carlo", softmax_scale=4, seed=0, n_jobs=2)
call = lambda: k.compute_transition_matrix(n_samples=20_000, **options)
again = lambda: k.compute_transition_matrix(n_samples=2, **options)
want = lambda: fc.kernels.VelocityKernel(adata).compute_transition_matrix(n_samples=2, **options)
""",
    "similarity in Python, one thread": """
slow = [1.0]
class Slow(fc.kernels.utils.Cosine):
    def __call__(self, v, D, softmax_scale=1.0):
        time.sleep(slow[0])
        return super().__call__(v, D, softmax_scale)
k = fc.kernels.VelocityKernel(adata)
call = lambda: k.compute_transition_matrix(similarity=Slow(), softmax_scale=4)
def again():
    slow[0] = 0
    return k.compute_transition_matrix(similarity=Slow(), softmax_scale=4)
options = dict(similarity="cosine", softmax_scale=4)
want = lambda: fc.kernels.VelocityKernel(adata).compute_transition_matrix(**options)
""",
    "similarity in Python, two threads": """
slow = [1.0]
class Slow(fc.kernels.utils.Cosine):
    def __call__(self, v, D, softmax_scale=1.0):
        time.sleep(slow[0])
        return super().__call__(v, D, softmax_scale)
k = fc.kernels.VelocityKernel(adata)
call = lambda: k.compute_transition_matrix(similarity=Slow(), softmax_scale=4, n_jobs=2)
def again():
    slow[0] = 0
    return k.compute_transition_matrix(similarity=Slow(), softmax_scale=4, n_jobs=2)
options = dict(similarity="cosine", softmax_scale=4)
want = lambda: fc.kernels.VelocityKernel(adata).compute_transition_matrix(**options)
""",
    "scheme in Python": """
slow = [1.0]
def scheme(t, times, weights):
    time.sleep(slow[0])
    return weights
k = fc.kernels.PseudotimeKernel(adata, time_key="time")
call = lambda: k.compute_transition_matrix(scheme)
def again():
    slow[0] = 0
    return k.compute_transition_matrix(scheme)
want = lambda: fc.kernels.PseudotimeKernel(adata, time_key="time").compute_transition_matrix(scheme)
""",
}

TAIL = """
before = snapshot(k, adata)
threads_before = threading.active_count()
try:
    started()
    call()
except KeyboardInterrupt:
    stopped()
else:
    sys.exit("was not interrupted")
assert unchanged(before, snapshot(k, adata)), "something has changed"
assert threading.active_count() <= threads_before, "threads run on"
T = again().transition_matrix
W = want().transition_matrix
assert T.shape == W.shape and abs(T - W).max() < 1e-12, "the call afterwards is wrong"
print("repeated", flush=True)
"""


@pytest.mark.parametrize("job", JOBS)
def test_ctrl_c(job):
    assert interrupted(PRELUDE + textwrap.dedent(JOBS[job]) + TAIL) == ["repeated"]


COUPLING = """
adata.obsm["X_pca"] = rng.normal(size=(n, 10))
adata.obs["day"] = np.repeat(["1", "2"], n // 2)
adata.obs["day"] = adata.obs["day"].astype("category")
make = lambda **options: fc.kernels.RealTimeKernel.from_representation(adata, "day", **options)
call = lambda: make(epsilon=1e-4, tol=1e-300, max_iter=10**9)
again = lambda: make(epsilon=1.0)
"""
TRENDS = """
many = ad.AnnData(rng.gamma(2, 1, (20_000, 400)))
many.obs["t"] = rng.random(20_000)
fit = lambda genes, **options: fc.pl.fit_trends(
    many, fc.models.GAM(many, distribution="inv_gauss", n_knots=40, **options), list(many.var_names[:genes]),
    "t", lineages=[None],
)
call = lambda: fit(400, lam="reml")
again = lambda: fit(2)
"""
TAIL_WITHOUT_KERNEL = """
keys = lambda a: (list(a.obs), sorted(a.obsm), sorted(a.obsp), sorted(a.uns), sorted(a.varm))
before, threads_before = keys(adata), threading.active_count()
try:
    started()
    call()
except KeyboardInterrupt:
    stopped()
else:
    sys.exit("was not interrupted")
assert keys(adata) == before and threading.active_count() <= threads_before
again()
print("repeated", flush=True)
"""


@pytest.mark.parametrize("job", [COUPLING, TRENDS], ids=["coupling", "trends"])
def test_ctrl_c_of_time_courses_and_trends(job):
    assert interrupted(PRELUDE + job + TAIL_WITHOUT_KERNEL) == ["repeated"]


def test_an_error_in_a_progress_callback_stops_the_job():
    """The one other way to stop a running job."""
    import numpy as np
    import scipy.sparse as sp
    from ferrocyte import _core

    class EnoughError(Exception):
        pass

    def progress(done, total):
        raise EnoughError

    rng = np.random.default_rng(0)
    graph = sp.csr_matrix(np.ones((200, 200)))
    x = rng.normal(size=(200, 50))
    with pytest.raises(EnoughError):
        _core.velocity_transitions(
            graph,
            x,
            x,
            None,
            model="monte_carlo",
            similarity="cosine",
            direction="forward",
            softmax_scale=1.0,
            n_samples=20_000,
            progress=progress,
        )
