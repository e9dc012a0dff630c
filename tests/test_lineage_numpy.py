"""numpy on a Lineage: either what is documented, or what the plain array gives; never an error of its own."""

from __future__ import annotations

import inspect
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import scipy.stats as st
from ferrocyte.lineage import Lineage, LineageView
from numpy.testing import assert_allclose, assert_array_equal

NAMES = ["a", "b", "c"]
COLORS = ["#ff0000", "#00ff00", "#0000ff"]
GREY = "#808080"


def array(shape=(6, 3)):
    x = np.random.default_rng(3).random(shape) + 0.1
    return x / x.sum(axis=1, keepdims=True)


@pytest.fixture
def plain():
    return array()


@pytest.fixture
def x(plain):
    return Lineage(plain, names=NAMES, colors=COLORS)


def same(ours, expected):
    """Equal, and of the type that plain arrays give."""
    if isinstance(expected, tuple | list):
        assert type(ours) is type(expected)
        assert len(ours) == len(expected)
        for a, b in zip(ours, expected, strict=True):
            same(a, b)
    elif isinstance(expected, np.ndarray | np.generic):
        if isinstance(ours, Lineage):
            assert ours.ndim == 2
            assert len(ours.names) == len(ours.colors) == ours.shape[int(not ours._transposed)]
            values = ours.X
            assert values.dtype == expected.dtype
            assert_array_equal(values.reshape(np.shape(expected)), expected)
        else:
            assert type(ours) is type(expected)
            assert_array_equal(ours, expected)
    elif isinstance(expected, np.nditer | np.flatiter | np.broadcast | np.ndenumerate):
        assert type(ours) is type(expected)
    else:
        assert type(ours) is type(expected)
        assert str(ours) == str(expected)


def outcome(func, *args, **kwargs):
    """(result, None) or (None, exception)."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return func(*args, **kwargs), None
        except Exception as error:
            return None, error


# They write files, print, ask, change settings, return what no value was written to, or show the names.
SKIP = {
    "save", "savetxt", "savez", "savez_compressed", "loadtxt", "genfromtxt", "fromfile", "load", "memmap",
    "info", "show_config", "show_runtime", "test", "setbufsize", "seterr", "seterrcall", "set_printoptions",
    "printoptions", "errstate", "empty", "empty_like", "array_repr", "expand_dims", "squeeze",
}  # fmt: skip


def functions(module):
    for name in sorted(dir(module)):
        func = getattr(module, name)
        if not name.startswith("_") and name not in SKIP and callable(func) and not inspect.isclass(func):
            yield pytest.param(func, id=f"{module.__name__}.{name}")


def has_axis(func):
    try:
        parameters = list(inspect.signature(func).parameters)
    except (TypeError, ValueError):
        return False
    return "axis" in parameters and not parameters[0].startswith("func")


ALL = [*functions(np), *functions(np.linalg), *functions(np.fft), *functions(np.lib.stride_tricks)]
WITH_AXIS = [p for p in ALL if has_axis(*p.values)]


def test_the_sweep_is_broad():
    assert len(ALL) > 350
    assert len(WITH_AXIS) > 70  # numpy 2.0 tells the parameters of fewer


@pytest.mark.parametrize("func", ALL)
def test_every_function_of_numpy(func):
    """Called with the Lineage once, twice and three times: same values, same type of error."""
    for n in (1, 2, 3):
        expected, error = outcome(func, *[array((3, 3)) for _ in range(n)])
        ours, our_error = outcome(func, *[Lineage(array((3, 3)), names=NAMES) for _ in range(n)])
        assert type(our_error) is type(error), our_error
        if error is None and not callable(expected):
            same(ours, expected)


@pytest.mark.parametrize("func", WITH_AXIS)
@pytest.mark.parametrize("transposed", [False, True])
def test_every_function_with_an_axis(func, transposed):
    """Two dimensions are kept, or the result is that of the plain array; names fit whatever was done."""
    plain = array()
    ours = Lineage(plain, names=NAMES, colors=COLORS)
    if transposed:
        plain, ours = plain.T, ours.T
    more = ()
    if func in (np.take, np.delete):
        more = ([0, 1],)
    elif func in (np.quantile, np.percentile, np.nanquantile, np.nanpercentile):
        more = (0.5,)
    elif func in (np.roll, np.repeat, np.partition, np.argpartition):
        more = (1,)
    for axis in (0, 1, None, -1):
        expected, error = outcome(func, plain, *more, axis=axis)
        result, our_error = outcome(func, ours, *more, axis=axis)
        assert type(our_error) is type(error), our_error
        if error is not None:
            continue
        same(result, expected)
        if isinstance(result, Lineage):
            assert result._transposed == transposed
            if result.shape == ours.shape:
                assert result.names.tolist() == NAMES
                assert result.colors.tolist() == COLORS


REDUCTIONS = [
    np.sum, np.mean, np.min, np.max, np.argmin, np.argmax, np.std, np.var, np.prod, np.any, np.all, np.median,
    np.ptp, np.average, np.nansum, np.nanmean, np.count_nonzero,
]  # fmt: skip


@pytest.mark.parametrize("func", REDUCTIONS)
def test_reductions(x, plain, func):
    name = func.__name__
    cells = func(x, axis=0)
    assert type(cells) is Lineage
    assert cells.shape == (1, 3)
    assert cells.names.tolist() == [f"{name} of {n}" for n in NAMES]
    assert cells.colors.tolist() == COLORS
    assert_array_equal(cells.X[0], func(plain, axis=0))

    lineages = func(x, axis=1)
    assert lineages.shape == (6, 1)
    assert lineages.names.tolist() == [f"{name} of a, b, c"]
    assert lineages.colors.tolist() == [GREY]
    assert_array_equal(lineages.X[:, 0], func(plain, axis=1))

    everything = func(x, axis=None)
    if func is np.count_nonzero and np.lib.NumpyVersion(np.__version__) < "2.1.0":
        assert everything == func(plain)  # numpy 2.0 asks nobody and counts
        return
    assert everything.shape == (1, 1)
    assert everything.names.tolist() == [name]
    assert everything.colors.tolist() == [GREY]
    assert everything.item() == func(plain)

    assert_array_equal(func(x, axis=-1), lineages)
    if func is not np.average:
        assert_array_equal(func(x), everything)


@pytest.mark.parametrize("name", ["sum", "mean", "min", "argmin", "max", "argmax", "std", "var"])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_methods_are_the_functions(x, name, axis):
    method, function = getattr(x, name)(axis), getattr(np, name)(x, axis=axis)
    assert_array_equal(method, function)
    assert method.names.tolist() == function.names.tolist()
    assert method.colors.tolist() == function.colors.tolist()


def test_amin_and_amax_are_called_min_and_max(x):
    assert np.amin(x, axis=0).names[0] == "min of a"
    assert np.amax(x, axis=1).names[0] == "max of a, b, c"


def test_keepdims_tuples_and_out(x, plain):
    assert np.sum(x, axis=1, keepdims=True).names.tolist() == ["sum of a, b, c"]
    assert np.sum(x, axis=(0, 1)).names.tolist() == ["sum"]
    assert np.sum(x, (0,)).names.tolist() == ["sum of a", "sum of b", "sum of c"]
    out = np.zeros(3)
    assert np.sum(x, axis=0, out=out) is out
    assert_array_equal(out, plain.sum(axis=0))
    single = x[0]
    assert np.sum(single, axis=0, keepdims=True).names.tolist() == ["sum of a", "sum of b", "sum of c"]
    assert np.quantile(x, [0.2, 0.8], axis=0).shape == (2, 3)
    assert type(np.quantile(x, [0.2, 0.8], axis=0)) is np.ndarray


def test_shape_is_kept(x, plain):
    for func in (np.sort, np.argsort):
        for axis in (0, 1):
            result = func(x, axis=axis)
            assert_array_equal(result.X, func(plain, axis=axis))
            assert result.names.tolist() == NAMES
            assert result.colors.tolist() == COLORS
    assert_array_equal(x.sort().X, np.sort(plain))
    assert_array_equal(x.X, plain)  # not in place
    assert np.cumsum(x, axis=0).names.tolist() == NAMES


def test_moved_columns_lose_their_names(x, plain):
    for result, expected in (
        (np.flip(x, axis=1), plain[:, ::-1]),
        (np.roll(x, 1, axis=1), np.roll(plain, 1, axis=1)),
        (np.take(x, [2, 0], axis=1), plain[:, [2, 0]]),
        (x.take([2, 1, 0], axis=1), plain[:, ::-1]),
        (np.transpose(x), plain.T),
    ):
        assert type(result) is np.ndarray
        assert_array_equal(result, expected)
    assert np.flip(x, axis=0).names.tolist() == NAMES


def test_squeeze_returns_the_object(x):
    one = x["a"]
    assert one.squeeze() is one
    assert np.squeeze(one) is one


def test_expand_dims_is_refused(x):
    with pytest.raises(TypeError, match="no implementation found"):
        np.expand_dims(x, 0)


def test_allclose_isclose_array_repr(x, plain):
    assert np.allclose(x, x)
    assert np.allclose(x, plain)
    assert not np.allclose(x, plain + 1)
    assert type(np.isclose(x, plain)) is np.ndarray
    assert np.isclose(plain, x).all()
    assert np.array_repr(x) == repr(x)


def test_entropy(x, plain):
    assert_allclose(x.entropy().X[0], st.entropy(plain))
    assert x.entropy().names.tolist() == ["entropy of a", "entropy of b", "entropy of c"]
    assert_allclose(x.entropy(axis=1).X[:, 0], st.entropy(plain, axis=1))
    assert x.entropy(axis=1).names.tolist() == ["entropy of a, b, c"]
    assert_allclose(x.T.entropy(axis=0).X[0], st.entropy(plain, axis=1))
    assert x.T.entropy(axis=0).names.tolist() == ["entropy of a, b, c"]
    assert_allclose(x.entropy(base=2, axis=1).X[:, 0], st.entropy(plain, base=2, axis=1))
    assert x.entropy(axis=None).shape == (1, 1)
    assert_allclose(np.ravel(st.entropy(x)), st.entropy(plain))


def test_transposed_reductions(x, plain):
    cells = x.T.sum(axis=1)
    assert cells.shape == (3, 1)
    assert cells.names.tolist() == ["sum of a", "sum of b", "sum of c"]
    lineages = x.T.sum(axis=0)
    assert lineages.shape == (1, 6)
    assert lineages.names.tolist() == ["sum of a, b, c"]
    assert_array_equal(lineages.T.X[:, 0], plain.sum(axis=1))


# Arithmetic -----------------------------------------------------------------------------------------


def test_arithmetic_keeps_the_labels_of_the_first_operand(x, plain):
    other = Lineage(plain, names=["u", "v", "w"])
    for result, expected in (
        (x + 1, plain + 1), (1 - x, 1 - plain), (x * other, plain * plain), (x == plain, plain == plain),
        (x > 0.3, plain > 0.3), (np.exp(x), np.exp(plain)), (-x, -plain), (x + plain[0], plain + plain[0]),
        (plain * x, plain * plain), (np.maximum(plain, x), plain), (x.clip(0, 0.3), plain.clip(0, 0.3)),
    ):  # fmt: skip
        assert type(result) is Lineage
        assert_array_equal(result.X, expected)
        assert result.names.tolist() == NAMES
        assert result.colors.tolist() == COLORS
    assert (other * x).names.tolist() == ["u", "v", "w"]
    # a column stretched over all lineages: the labels are those that fit
    assert (x["a"] * x).names.tolist() == NAMES
    assert (x / x.sum(axis=1)).names.tolist() == NAMES
    assert_allclose((x / x.sum(axis=1)).X.sum(axis=1), 1)
    assert type(x["a"] * plain) is np.ndarray
    whole, part = np.divmod(x, 0.1)
    assert whole.names.tolist() == part.names.tolist() == NAMES
    assert (x.T * 2).names.tolist() == NAMES
    assert_array_equal((x.T * 2).T.X, plain * 2)
    assert type(x + np.ones((2, 6, 3))) is np.ndarray


def test_in_place(x, plain):
    before = x
    x += 1
    assert x is before
    assert_array_equal(x.X, plain + 1)
    x[x > 1.3] = 0
    assert_array_equal(x.X, np.where(plain + 1 > 1.3, 0, plain + 1))
    x[0, 1] = 7
    assert x.X[0, 1] == 7
    target = np.empty_like(plain)
    assert np.add(x, 1, out=target) is target
    lineage_target = Lineage(plain, names=NAMES)
    assert np.add(x, 1, out=lineage_target) is lineage_target
    assert_array_equal(lineage_target.X, x.X + 1)
    assert np.add.reduce(x, axis=0).tolist() == x.X.sum(axis=0).tolist()
    assert type(np.add.reduce(x, axis=0)) is np.ndarray


def test_matrix_products_are_plain(x, plain):
    weights = np.arange(3.0)
    for result, expected in (
        (x @ weights, plain @ weights), (x @ plain.T, plain @ plain.T), (plain.T @ x, plain.T @ plain),
        (x.T @ x, plain.T @ plain), (np.dot(x, weights), plain @ weights), (x.dot(weights), plain @ weights),
        (np.matmul(x, weights), plain @ weights), (np.einsum("ij,j", x, weights), plain @ weights),
        (np.tensordot(x, x, 2), np.tensordot(plain, plain, 2)), (np.vecdot(x, x), np.vecdot(plain, plain)),
    ):  # fmt: skip
        assert not isinstance(result, Lineage)
        assert_allclose(result, expected)


def test_sparse_products(x, plain):
    dense = np.random.default_rng(1).random((6, 6)) * (np.arange(36).reshape(6, 6) % 2)
    for T in (sp.csr_matrix(dense), sp.csr_array(dense)):
        for result, expected in (
            (T @ x, T @ plain), (x.T @ T, plain.T @ T), (T @ x["a"], T @ plain[:, [0]]),
            (sp.csr_matrix(x) @ weights_of(x), plain @ weights_of(x)),
        ):  # fmt: skip
            assert not isinstance(result, Lineage)
            assert_allclose(result, expected)


def weights_of(x):
    return np.arange(float(x.shape[1]))


def test_joining_choosing_and_solving(x, plain):
    mask = plain > 0.3
    for result, expected in (
        (np.concatenate([x, x]), np.concatenate([plain, plain])),
        (np.vstack([x, plain]), np.vstack([plain, plain])),
        (np.hstack((x["a"], x)), np.hstack((plain[:, :1], plain))),
        (np.stack([x, x]), np.stack([plain, plain])),
        (np.where(x > 0.3, x, 0), np.where(mask, plain, 0)),
        (np.where(mask, 1, x), np.where(mask, 1, plain)),
        (np.linalg.norm(x), np.linalg.norm(plain)),
        (np.linalg.svd(x)[1], np.linalg.svd(plain)[1]),
        (np.linalg.lstsq(x, x)[0], np.linalg.lstsq(plain, plain)[0]),
        (np.cov(x), np.cov(plain)),
        (np.diff(x, axis=1), np.diff(plain, axis=1)),
        (np.histogram(x)[0], np.histogram(plain)[0]),
        (np.ravel(x), plain.ravel()),
        (np.reshape(x, (3, 6)), plain.reshape(3, 6)),
        (np.broadcast_to(x, (2, 6, 3)), np.broadcast_to(plain, (2, 6, 3))),
        (np.apply_along_axis(np.sum, 1, x), plain.sum(axis=1)),
    ):
        assert_allclose(np.asarray(result).reshape(np.shape(expected)), expected)
        assert not isinstance(result, Lineage) or result.shape == (1, 1)


def test_wrong_shapes_raise_the_errors_of_numpy(x, plain):
    for func in (
        lambda a: a + np.ones(4), lambda a: a @ np.ones(4), lambda a: np.concatenate([a, np.ones((1, 4))]),
        lambda a: np.sum(a, axis=2), lambda a: a.reshape(5, 5), lambda a: a.transpose(0, 0),
        lambda a: np.linalg.inv(a), lambda a: a.sum(axis="x"), lambda a: np.mean(a, foo=1),
    ):  # fmt: skip
        _, expected = outcome(func, plain)
        _, ours = outcome(func, x)
        assert expected is not None
        assert type(ours) is type(expected)
        assert str(ours) == str(expected)


# Methods and attributes of arrays -------------------------------------------------------------------

PLAIN_METHODS = [
    ("reshape", (-1,)), ("ravel", ()), ("flatten", ()), ("repeat", (2,)), ("take", ([0],)),
    ("swapaxes", (0, 1)), ("diagonal", ()), ("trace", ()), ("dot", (np.arange(3.0),)), ("tolist", ()),
    ("nonzero", ()), ("item", (4,)), ("compress", ([True, False], 0)), ("tobytes", ()), ("round", (2,)),
    ("searchsorted", (0.5,)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "args"), PLAIN_METHODS)
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("view", [False, True])
def test_other_methods_are_plain(x, plain, name, args, transposed, view):
    x = x.view() if view else x
    ours, expected = (x.T, plain.T) if transposed else (x, plain)
    result, our_error = outcome(lambda: getattr(ours, name)(*args))
    values, error = outcome(lambda: getattr(expected, name)(*args))
    assert type(our_error) is type(error)
    assert not isinstance(result, Lineage)
    if error is None:
        assert type(result) is type(values)
        for a, b in zip(result, values, strict=True) if isinstance(result, tuple) else [(result, values)]:
            assert_array_equal(a, b)


def test_attributes(x, plain):
    assert (x.ndim, x.size, x.shape, x.nbytes, len(x)) == (2, 18, (6, 3), plain.nbytes, 6)
    assert list(x.flat) == list(plain.flat)
    assert type(x.flat[[0, 1]]) is np.ndarray
    assert_array_equal(x.mT.X, plain.T)
    assert_array_equal(x.mT["b"].X, plain[:, [1]].T)
    assert_array_equal(x.real.X, plain)
    assert plain[0, 0] in x
    assert x.transpose(1, 0).names.tolist() == x.transpose().names.tolist() == NAMES
    assert x.transpose((1, 0)).shape == (3, 6)
    assert x.transpose(None).shape == (3, 6)
    assert x.transpose(0, 1)["b"].shape == (6, 1)


def test_iteration_gives_cells_then_lineages(x, plain):
    rows = list(x)
    assert [r.shape for r in rows] == [(1, 3)] * 6
    assert_array_equal(np.vstack(rows), plain)
    assert all(type(r) is Lineage for r in rows)
    for column, values in zip(x.T, plain.T, strict=True):
        assert column.shape == (6,)
        assert_array_equal(column, values)
        assert type(column + 1) is type(np.sort(column)) is np.ndarray
        assert column.sum() == values.sum()


def test_astype(x, plain):
    small = x.astype("float32")
    assert type(small) is Lineage
    assert small.dtype == np.float32
    assert small.names.tolist() == NAMES
    assert type(x.view().astype(int)) is Lineage


def test_conversions(x, plain):
    assert type(np.asarray(x)) is np.ndarray
    assert np.shares_memory(np.asarray(x), x)
    assert type(np.array(x)) is np.ndarray
    frame = pd.DataFrame(x, columns=x.names)
    assert_array_equal(frame.to_numpy(), plain)
    assert_array_equal(pd.DataFrame(x.T).to_numpy(), plain.T)
    assert frame["a"].mean() == pytest.approx(plain[:, 0].mean())
    assert pd.Series(x["a"].X[:, 0]).sum() == pytest.approx(plain[:, 0].sum())
    assert_array_equal(np.ma.masked_array(x, mask=False).filled(0), plain)
    assert_array_equal(sp.csr_matrix(x).toarray(), plain)


def test_numpy_testing(x, plain):
    assert_array_equal(x, plain)
    assert_array_equal(x.T, plain.T)
    assert_allclose(x, plain)
    np.testing.assert_array_almost_equal(x, plain)
    np.testing.assert_equal(x, plain)
    np.testing.assert_array_less(x, plain + 1)
    for check in (assert_array_equal, assert_allclose, np.testing.assert_array_almost_equal):
        with pytest.raises(AssertionError):
            check(x, plain + 1)
        with pytest.raises(AssertionError):
            check(x, x + 1)


def test_a_plain_array_can_be_viewed_as_a_lineage(plain):
    seen = plain.view(Lineage)
    assert seen.names.tolist() == ["0", "1", "2"]
    assert seen.colors.tolist() == [GREY] * 3
    seen.names = NAMES
    assert_array_equal(seen["b"].X, plain[:, [1]])


def test_views_with_a_type(x, plain):
    assert type(x.view(np.ndarray)) is np.ndarray
    assert type(x.view(type=np.ndarray)) is np.ndarray
    assert x.view("int64").dtype == np.int64
    assert type(x.view("int64")) is np.ndarray
    assert x.view(Lineage) is x
    assert type(x.view(LineageView)) is LineageView
    assert type(x.view(np.matrix)) is np.matrix


def test_random_generators(x, plain):
    a, b = (np.random.default_rng(0).permutation(v, axis=0) for v in (x, plain))
    assert_array_equal(a, b)
    assert np.random.default_rng(0).choice(3, p=x[0].X[0] / x[0].X[0].sum()) in (0, 1, 2)
