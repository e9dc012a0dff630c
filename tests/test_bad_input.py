"""Bad input: a typed error that names what is wrong and what to do, before work starts; never a crash.

The first half goes through the public methods, one case for each kind of bad input. The second half gives
kernels graphs of every odd form; what the compiled functions make of them is tested beside those.
"""

from __future__ import annotations

import itertools

import anndata as ad
import ferrocyte as fc
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from ferrocyte._errors import FerrocyteError, InvalidDataError
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

RING = np.roll(np.eye(6), 1, axis=1) + np.roll(np.eye(6), -1, axis=1)


def cells():
    rng = np.random.default_rng(0)
    counts = np.array([[1, 0, 2, 0], [0, 1, 1, 1], [3, 0, 1, 0], [1, 1, 1, 2], [0, 0, 0, 1], [2, 1, 3, 0]])
    adata = ad.AnnData(counts.astype(np.float32))
    adata.obs_names = [f"cell{i}" for i in range(6)]
    adata.var_names = [f"gene{i}" for i in range(4)]
    adata.layers["Ms"] = rng.random((6, 4))
    adata.layers["velocity"] = rng.normal(size=(6, 4))
    adata.obsp["connectivities"] = sp.csr_matrix(RING)
    adata.obsp["distances"] = sp.csr_matrix(RING)
    adata.obsm["X_umap"] = rng.random((6, 2))
    adata.obs["time"] = np.arange(6.0)
    adata.obs["cluster"] = pd.Categorical(list("aabbcc"))
    return adata


def velocity(a, **kwargs):
    options = {k: kwargs.pop(k) for k in ("xkey", "vkey", "attr", "gene_subset", "conn_key") if k in kwargs}
    return fc.kernels.VelocityKernel(a, **options).compute_transition_matrix(
        show_progress_bar=False, **kwargs
    )


def pseudotime(a, **kwargs):
    key = kwargs.pop("time_key", "time")
    return fc.kernels.PseudotimeKernel(a, time_key=key).compute_transition_matrix("soft", **kwargs)


def connectivity(a, **kwargs):
    return fc.kernels.ConnectivityKernel(a, **kwargs).compute_transition_matrix()


def cytotrace(a, **kwargs):
    return fc.kernels.CytoTRACEKernel(a).compute_cytotrace(**{"layer": "Ms", "n_genes": 2, **kwargs})


def walks(a, **kwargs):
    kernel = connectivity(a)
    kernel.plot_random_walks(**{"max_iter": 3, "show": False, "show_progress_bar": False, **kwargs})


def set_graph(a, entry, value):
    graph = RING.copy()
    graph[entry] = value
    a.obsp["connectivities"] = sp.csr_matrix(graph)


def set_layer(a, name, entry, value):
    layer = a.layers[name].copy()
    layer[entry] = value
    a.layers[name] = layer


def set_obs(a, key, values):
    a.obs[key] = values


CASES = [
    # Missing keys
    (None, lambda a: velocity(a, xkey="ms"), KeyError, r"layers\['ms'\].*Did you mean 'Ms'"),
    (None, lambda a: velocity(a, vkey="velo"), KeyError, r"layers\['velo'\].*Did you mean 'velocity'"),
    (None, lambda a: velocity(a, attr="obsm"), KeyError, r"obsm\['Ms'\].*'X_umap'"),
    (None, lambda a: velocity(a, conn_key="nn"), KeyError, r"obsp\['nn'\].*scanpy\.pp\.neighbors"),
    (None, lambda a: velocity(a, gene_subset="mine"), KeyError, r"var\['mine'\]"),
    (None, lambda a: velocity(a, gene_subset=["gene1", "gen2"]), KeyError, r"'gen2'.*Did you mean 'gene2'"),
    (None, lambda a: pseudotime(a, time_key="tim"), KeyError, r"obs\['tim'\].*Did you mean 'time'.*time_key"),
    (None, lambda a: cytotrace(a, layer="imputed"), KeyError, r"layers\['imputed'\].*'Ms'"),
    (None, lambda a: connectivity(a).plot_projection("tsne"), KeyError, "Unable to find a basis in"),
    (None, lambda a: connectivity(a).plot_random_walks(basis="tsne"), KeyError, "Unable to find a basis in"),
    (None, lambda a: connectivity(a).cbc("a", "b", "clusters", "umap"), KeyError, "Did you mean 'cluster'"),
    (None, lambda a: connectivity(a).plot_single_flow("a", "clusters", "time"), KeyError, "find clusters in"),
    (None, lambda a: connectivity(a).plot_single_flow("a", "cluster", "day"), KeyError, r"obs\['day'\]"),
    # NaN and infinity
    (lambda a: set_layer(a, "Ms", (2, 1), np.nan), velocity, ValueError, r"Ms.*'gene1' in cell 'cell2'"),
    (lambda a: set_layer(a, "Ms", (2, 1), -np.inf), velocity, ValueError, r"Ms.*'gene1' in cell 'cell2'"),
    (
        lambda a: set_layer(a, "velocity", (5, 3), np.inf),
        velocity,
        ValueError,
        r"velocity.*'gene3' in cell 'cell5'",
    ),
    (lambda a: set_layer(a, "velocity", 0, np.nan), velocity, ValueError, "at least one gene without NaN"),
    (lambda a: set_graph(a, (3, 2), np.nan), velocity, ValueError, "NaN or infinite weights for 'cell3'"),
    (lambda a: set_graph(a, (3, 2), np.inf), connectivity, ValueError, "NaN or infinite weights for 'cell3'"),
    (lambda a: set_obs(a, "time", [0, 1, np.nan, 3, 4, 5]), pseudotime, ValueError, "1 cells: 'cell2'"),
    (lambda a: set_obs(a, "time", [0, 1, 2, 3, np.inf, 5]), pseudotime, ValueError, "1 cells: 'cell4'"),
    (
        lambda a: set_layer(a, "Ms", (1, 0), np.nan),
        lambda a: cytotrace(a, n_genes=4),
        ValueError,
        "gene0.*cell1",
    ),
    # Graph
    (lambda a: set_graph(a, (4, 5), -1), velocity, ValueError, "negative weights for 'cell4'"),
    (lambda a: set_graph(a, 4, 0), velocity, ValueError, "1 without: 'cell4'"),
    (lambda a: set_graph(a, 1, 0), pseudotime, ValueError, "1 without: 'cell1'"),
    # Shapes
    (
        lambda a: a.obsm.update(x=np.ones((6, 3)), v=np.ones((6, 2))),
        lambda a: velocity(a, attr="obsm", xkey="x", vkey="v"),
        ValueError,
        r"same shape.*\(6, 3\).*\(6, 2\)",
    ),
    (None, lambda a: velocity(a, gene_subset=[True, False]), ValueError, "4 entries.*found 2"),
    (None, lambda a: fc.kernels.PrecomputedKernel(np.ones((6, 5)), adata=a), ValueError, r"`\(6, 6\)`"),
    (None, lambda a: fc.kernels.PrecomputedKernel(np.eye(5), adata=a), ValueError, r"`\(6, 6\)`"),
    (
        None,
        lambda a: connectivity(a) + fc.kernels.PrecomputedKernel(np.eye(5)),
        ValueError,
        r"same cells.*5, 6",
    ),
    # Clusters and selections
    (None, lambda a: connectivity(a).cbc("a", "b", "time", "umap"), TypeError, "categorical"),
    (
        None,
        lambda a: connectivity(a).cbc("a", "d", "cluster", "umap"),
        ValueError,
        "`target` 'd'.*'a', 'b', 'c'",
    ),
    (None, lambda a: connectivity(a).cbc([], "a", "cluster", "umap"), ValueError, "`source`.*at least one"),
    (None, lambda a: connectivity(a).plot_random_walks(start_ixs=[]), ValueError, "No cells.*`start_ixs`"),
    (None, lambda a: connectivity(a).plot_random_walks(stop_ixs={"cluster": "z"}), ValueError, "'z'"),
    (None, lambda a: connectivity(a).plot_single_flow("z", "cluster", "time"), ValueError, "source cluster"),
    (None, lambda a: connectivity(a).plot_single_flow("a", "time", "time"), TypeError, "categorical"),
    (None, lambda a: velocity(a, gene_subset=[False] * 4), ValueError, "at least one gene"),
    (None, lambda a: velocity(a, gene_subset=[]), ValueError, "gene"),
    (None, lambda a: velocity(a, gene_subset=[0, 1, 2, 3]), TypeError, "booleans or gene names"),
    # Options
    (
        None,
        lambda a: velocity(a, similarity="cosinus"),
        ValueError,
        r"Invalid option.*Did you mean 'cosine'.*'corr",
    ),
    (
        None,
        lambda a: velocity(a, similarity=lambda v, D, s: (D[:, 0], D[:, 0])),
        ValueError,
        "not row-stochastic.*Check the similarity",
    ),
    (None, lambda a: fc.kernels.VelocityKernel(a, x_key="Ms"), TypeError, "'x_key'. Did you mean 'xkey'"),
    (None, lambda a: cytotrace(a, n_genes=1.5), TypeError, "n_genes"),
    (None, lambda a: velocity(a, model="mc"), ValueError, r"Invalid option.*'monte_carlo'"),
    (None, lambda a: velocity(a, attr="layer"), ValueError, "Invalid option.*Did you mean 'layers'"),
    (None, lambda a: velocity(a, backward_mode="t"), ValueError, r"Invalid option.*'transpose', 'negate'"),
    (None, lambda a: cytotrace(a, aggregation="max"), ValueError, r"Invalid option.*'median'"),
    (None, lambda a: velocity(a, n_jobs="all"), ValueError, "n_jobs"),
    (None, lambda a: pseudotime(a, b=-1), ValueError, "Expected `b` to be at least 0"),
    (None, lambda a: pseudotime(a, b=1e300), ValueError, r"without any neighbor.*Decrease `b`"),
    (None, lambda a: connectivity(a).plot_projection(density=-1, show=False), ValueError, "density"),
    (None, lambda a: connectivity(a).plot_projection(density="high", show=False), TypeError, "density"),
    (
        lambda a: set_obs(a, "time", [0, 1] * 3),
        lambda a: connectivity(a).plot_single_flow("a", "cluster", "time", min_flow="none"),
        TypeError,
        "min_flow",
    ),
    (None, lambda a: walks(a, n_sims="many"), TypeError, "n_sims"),
    (None, lambda a: walks(a, n_sims=0), ValueError, "number of simulations"),
    (None, lambda a: walks(a, successive_hits=None), TypeError, "successive_hits"),
    (None, lambda a: walks(a, start_ixs={"time": ["a", "b"]}), TypeError, "interval of numbers"),
    (None, lambda a: walks(a, stop_ixs={"time": [6, 9]}), ValueError, r"`stop_ixs`.*\[6, 9\].*from 0 to 5"),
    (None, lambda a: walks(a, start_ixs=[1.0, 2.0]), TypeError, "names, positions or bools"),
    (None, lambda a: fc.kernels.PrecomputedKernel(RING, adata=a, obsp="T"), TypeError, "'obsp'.*'obsp_key'"),
    (None, lambda a: fc.estimators.GPCCA(a, obsp_kye="T"), TypeError, "Did you mean 'obsp_key'"),
    # Keys and classes of what is stored
    (None, lambda a: connectivity(a).write_to_adata(3), TypeError, "`key`.*found 3"),
    (None, lambda a: connectivity(a).write_to_adata(""), TypeError, "`key`"),
    # One column has no correlation
    (
        lambda a: a.obsm.update(line=np.arange(6.0)[:, None]),
        lambda a: connectivity(a).cbc("a", "b", "cluster", "line"),
        ValueError,
        "at least two columns, found 1",
    ),
    # Names of what is there: numbers are not quoted
    (
        lambda a: set_obs(a, "n", pd.Categorical([0, 0, 1, 1, 2, 2])),
        lambda a: connectivity(a).cbc("0", 1, "n", "umap"),
        ValueError,
        r"`source` '0'.*Did you mean 0\? Available: 0, 1, 2\.",
    ),
]


@pytest.mark.parametrize(("spoil", "use", "error", "says"), CASES, ids=range(len(CASES)))
def test_public_methods(spoil, use, error, says):
    adata = cells()
    if spoil is not None:
        spoil(adata)
    before = adata.copy()
    with pytest.raises(error, match=says) as caught:
        use(adata)
    assert isinstance(caught.value, FerrocyteError)
    assert "\n" not in str(caught.value)
    for attribute in ("layers", "obsm", "obsp", "uns"):
        assert set(getattr(adata, attribute)) == set(getattr(before, attribute))
    assert list(adata.obs) == list(before.obs)


def test_object_and_strange_types_of_matrices():
    for bad in (np.array([["a"] * 4] * 6), np.ones((6, 4), dtype=complex), np.ones((6, 4), dtype=object)):
        adata = cells()
        adata.layers["Ms"] = bad
        with pytest.raises(ValueError, match="real numbers"):
            velocity(adata)
    adata = cells()
    adata.obsm["x"] = pd.DataFrame({"a": list("uvwxyz")}, index=adata.obs_names)
    with pytest.raises(ValueError, match="numeric columns"):
        velocity(adata, attr="obsm", xkey="x", vkey="x")


def test_data_frames_masked_arrays_and_matrices():
    adata = cells()
    want = velocity(adata, softmax_scale=2.0).transition_matrix
    x, v = adata.layers["Ms"], adata.layers["velocity"]
    for f in (
        lambda m: pd.DataFrame(m, index=adata.obs_names, columns=list("abcd")),
        lambda m: np.array(m, order="F"),
        sp.csc_matrix,
    ):
        adata.obsm["x"], adata.obsm["v"] = f(x), f(v)
        got = velocity(adata, attr="obsm", xkey="x", vkey="v", softmax_scale=2.0).transition_matrix
        assert_allclose(got.toarray(), want.toarray(), atol=1e-14)
    from ferrocyte._adata import as_features

    masked = np.ma.masked_array([[1, 2], [3, 4]], mask=[[0, 1], [0, 0]])
    assert_array_equal(as_features(masked, "x"), [[1, np.nan], [3, 4]])
    assert_array_equal(as_features(np.ma.masked_array(np.ones((2, 2), np.float32)), "x"), np.ones((2, 2)))
    with pytest.warns(PendingDeprecationWarning):
        assert type(as_features(np.matrix([[1.0, 2]]), "x")) is np.ndarray


def test_read_only_data():
    adata = cells()
    want = velocity(adata, softmax_scale=2.0).transition_matrix
    for layer in ("Ms", "velocity"):
        adata.layers[layer].flags.writeable = False
    graph = adata.obsp["connectivities"]
    for array in (graph.data, graph.indices, graph.indptr):
        array.flags.writeable = False
    assert (velocity(adata, softmax_scale=2.0).transition_matrix != want).nnz == 0
    connectivity(adata)
    pseudotime(adata)


def test_backed_and_views(tmp_path):
    adata = cells()
    adata.X = sp.csr_matrix(adata.X)
    adata.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    view = adata[:, :]
    assert view.is_view
    for use in (velocity, lambda a: velocity(a, xkey="X"), connectivity, pseudotime):
        want = use(adata).transition_matrix
        for other in (backed, view):
            assert (use(other).transition_matrix != want).nnz == 0
    want = cytotrace(adata).pseudotime
    assert_array_equal(cytotrace(adata[:, :].copy()).pseudotime, want)
    assert_array_equal(cytotrace(backed).pseudotime, want)


# Graphs of every form, through a kernel ---------------------------------------------------------------


@st.composite
def dense_graphs(draw):
    """A graph with a self-loop for each cell, so that every row has an entry."""
    values = draw(st.lists(st.sampled_from([0.0, 0.0, 0.5, 1.0, 2.0]), min_size=36, max_size=36))
    return np.reshape(values, (6, 6)) + np.eye(6)


def unsorted(m, rng):
    order = np.concatenate([s + rng.permutation(e - s) for s, e in itertools.pairwise(m.indptr)])
    return m.data[order], m.indices[order], m.indptr


def repeated(m, rng):
    return np.repeat(m.data / 2, 2), np.repeat(m.indices, 2), m.indptr * 2


def with_zeros(m, rng):
    full = sp.csr_matrix(np.ones(m.shape))
    return m.toarray().ravel(), full.indices, full.indptr


def wide(m, rng):
    return m.data, m.indices.astype(np.int64), m.indptr.astype(np.int64)


def mixed(m, rng):
    return m.data, m.indices, m.indptr.astype(np.int64)


def strided(m, rng):
    return np.repeat(m.data, 2)[::2], np.repeat(m.indices, 3)[::3], np.repeat(m.indptr, 2)[::2]


def spare_room(m, rng):
    return np.append(m.data, [9.0, 9.0]), np.append(m.indices, [0, 1]).astype(np.int32), m.indptr


def narrow(m, rng):
    return m.data.astype(np.float32), m.indices, m.indptr


def foreign(m, rng):
    return m.data.astype(">f8"), m.indices.astype(">i4"), m.indptr


FORMS = [unsorted, repeated, with_zeros, wide, mixed, strided, spare_room, narrow, foreign]


@given(dense_graphs(), st.sampled_from(FORMS), st.integers(0, 9))
@settings(max_examples=200, deadline=None)
def test_the_same_graph_in_another_form_gives_the_same_answer(dense, form, seed):
    m = sp.csr_matrix(dense)
    adata = cells()
    adata.obsp["connectivities"] = m.copy()
    want = fc.kernels.ConnectivityKernel(adata, check_symmetric=False)
    held = adata.obsp["connectivities"]
    held.data, held.indices, held.indptr = form(m, np.random.default_rng(seed))
    before = [a.copy() for a in (held.data, held.indices, held.indptr)]
    got = fc.kernels.ConnectivityKernel(adata, check_symmetric=False)
    assert_allclose(got.connectivities.toarray(), dense)
    assert_array_equal(got.connectivities.indices, want.connectivities.indices)
    assert_array_equal(got.connectivities.indptr, want.connectivities.indptr)
    T = got.compute_transition_matrix().transition_matrix
    assert_allclose(T.toarray(), want.compute_transition_matrix().transition_matrix.toarray(), atol=1e-15)
    for a, b in zip((held.data, held.indices, held.indptr), before, strict=True):
        assert_array_equal(a, b)


@given(dense_graphs(), st.data())
@settings(max_examples=200, deadline=None)
def test_contradictory_graphs_are_refused(dense, data):
    m = sp.csr_matrix(dense)
    adata = cells()
    adata.obsp["connectivities"] = m
    held = adata.obsp["connectivities"]
    k = data.draw(st.integers(0, m.nnz - 1))
    way = data.draw(
        st.sampled_from(["large", "negative", "huge", "decrease", "start", "end", "short", "long", "values"])
    )
    if way in ("large", "negative", "huge"):
        held.indices = held.indices.astype(np.int64)
        held.indices[k] = {"large": 6, "negative": -1, "huge": 2**40}[way]
    elif way == "decrease":
        held.indptr[2] = held.indptr[1] - 1
    elif way == "start":
        held.indptr[0] = data.draw(st.sampled_from([-1, 1]))
    elif way == "end":
        held.indptr[-1] += data.draw(st.sampled_from([1, 100, 2**30]))
    elif way == "short":
        held.indptr = held.indptr[:-1]
    elif way == "long":
        held.indptr = np.append(held.indptr, held.indptr[-1])
    else:
        held.data = held.data[:-1]
    with pytest.raises(InvalidDataError, match="valid CSR"):
        fc.kernels.ConnectivityKernel(adata)
    k = fc.kernels.PrecomputedKernel(np.eye(6), adata=cells())
    with pytest.raises((InvalidDataError, ValueError)):
        k.transition_matrix = held
    assert_array_equal(k.transition_matrix, np.eye(6))
