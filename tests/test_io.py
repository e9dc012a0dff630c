"""Files of kernels: round trips, and files that are refused."""

from __future__ import annotations

import json

import anndata as ad
import ferrocyte as fc
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from ferrocyte._errors import FerrocyteWarning, FileFormatError, InvalidTypeError
from ferrocyte.kernels import Kernel, KernelExpression, UnidirectionalKernel
from numpy.testing import assert_array_equal


class Shelf(UnidirectionalKernel):
    """A user's kernel with all sorts of attributes."""

    def __init__(self, adata, things=None):
        super().__init__(adata)
        self.things = things

    def compute_transition_matrix(self):
        self.transition_matrix = np.eye(self.shape[0])
        return self


def quiet(kernel, **kwargs):
    return kernel.compute_transition_matrix(show_progress_bar=False, **kwargs)


@pytest.fixture
def adata():
    return fc.datasets.dentate_gyrus()


def kernels(adata):
    k = fc.kernels
    cytotrace = k.CytoTRACEKernel(adata).compute_cytotrace(layer="Ms")
    return {
        "velocity": quiet(k.VelocityKernel(adata, backward=True), softmax_scale=4),
        "monte carlo": quiet(k.VelocityKernel(adata), model="monte_carlo", n_samples=2),
        "connectivity": k.ConnectivityKernel(adata).compute_transition_matrix(),
        "pseudotime": quiet(k.PseudotimeKernel(adata, time_key="dpt_pseudotime", backward=True)),
        "cytotrace": quiet(cytotrace, threshold_scheme="soft"),
        "precomputed": k.PrecomputedKernel(np.full((200, 200), 1 / 200), adata=adata, backward=True),
        "uncomputed": k.VelocityKernel(adata, gene_subset=list(adata.var_names[:30])),
    }


def same_matrix(a, b):
    if a is None or b is None:
        return a is b
    return type(a) is type(b) and (a != b).sum() == 0


@pytest.mark.parametrize("write_adata", [True, False])
def test_kernels_come_back(adata, tmp_path, write_adata):
    for name, k in kernels(adata).items():
        path = tmp_path / f"{name}.kernel"
        k.write(path, write_adata=write_adata)
        assert k.adata is adata
        again = Kernel.read(path) if write_adata else type(k).read(path, adata=adata)
        assert type(again) is type(k)
        assert repr(again) == repr(k)
        assert again.params == k.params
        assert {k: type(v) for k, v in again.params.items()} == {k: type(v) for k, v in k.params.items()}
        assert again.backward is k.backward
        assert again.shape == k.shape
        assert same_matrix(again.transition_matrix, k.transition_matrix)
        assert (again.adata is adata) is not write_adata
        assert_array_equal(again.adata.obs_names, adata.obs_names)
        assert again.init.keys() == k.init.keys()
        for attribute in ("pseudotime", "connectivities", "logits"):
            if hasattr(k, attribute):
                assert np.all(getattr(again, attribute) is None) == np.all(getattr(k, attribute) is None)


def test_what_was_read_works_on(adata, tmp_path):
    k = quiet(fc.kernels.VelocityKernel(adata), softmax_scale=4)
    k.write(tmp_path / "k")
    again = Kernel.read(tmp_path / "k")
    assert same_matrix(quiet(again, softmax_scale=4).transition_matrix, k.transition_matrix)
    assert same_matrix((again.logits), k.logits)
    back = quiet(~again, softmax_scale=4)
    assert same_matrix(back.transition_matrix, quiet(~k, softmax_scale=4).transition_matrix)
    again.write_to_adata()
    assert "T_fwd" in again.adata.obsp
    assert "T_fwd" not in adata.obsp


@pytest.mark.parametrize("evaluated", [True, False])
def test_expressions_come_back(adata, tmp_path, evaluated):
    vk = quiet(fc.kernels.VelocityKernel(adata))
    ck = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    pk = quiet(fc.kernels.PseudotimeKernel(adata, time_key="dpt_pseudotime"))
    e = 3 * vk + ck * pk + 2 * (ck + 4 * pk)
    if evaluated:
        e.compute_transition_matrix()
    e.write(tmp_path / "e")
    again = KernelExpression.read(tmp_path / "e")
    assert repr(again) == repr(e)
    assert len(again.kernels) == 3
    assert len({id(k.adata) for k in again.kernels}) == 1
    assert same_matrix(again.transition_matrix, e.transition_matrix)
    assert same_matrix((~again)._rebuild(lambda k: k).kernels[1].transition_matrix, ck.transition_matrix)
    e.write(tmp_path / "e", write_adata=False)
    assert KernelExpression.read(tmp_path / "e", adata=adata).adata is adata


def test_read_without_annotated_data(adata, tmp_path):
    path = tmp_path / "k"
    fc.kernels.ConnectivityKernel(adata).compute_transition_matrix().write(path, write_adata=False)
    for wrong in (None, "adata.h5ad"):
        with pytest.raises(TypeError, match="This object was saved without"):
            Kernel.read(path, adata=wrong)
    with pytest.raises(ValueError, match="Expected `adata` to be of length `200`, found `10`"):
        Kernel.read(path, adata=adata[:10].copy())
    assert Kernel.read(path, adata=adata).adata is adata
    assert Kernel.read(path, adata=adata, copy=True).adata is not adata
    view = adata[np.arange(200)]
    assert Kernel.read(path, adata=view).adata is not view
    assert not Kernel.read(path, adata=view).adata.is_view


def test_annotated_data_that_are_not_needed(adata, tmp_path):
    fc.kernels.ConnectivityKernel(adata).write(tmp_path / "k")
    with pytest.warns(FerrocyteWarning, match="ignored"):
        assert Kernel.read(tmp_path / "k", adata=adata).adata is not adata


def test_a_view_and_a_kernel_without_adata_can_be_written(adata, tmp_path):
    k = fc.kernels.ConnectivityKernel(adata[:50], check_symmetric=False).compute_transition_matrix()
    k.write(tmp_path / "k")
    assert Kernel.read(tmp_path / "k").adata.n_obs == 50
    k.adata = None
    k.write(tmp_path / "k")
    with pytest.raises(TypeError, match="This object was saved without"):
        Kernel.read(tmp_path / "k")


def test_attributes_of_a_users_kernel(tmp_path):
    adata = ad.AnnData(np.zeros((3, 1), dtype=np.float32))
    shared = np.arange(4.0)
    things = {
        "plain": [None, True, 3, -2.5, "text", (1, (2, "b")), np.nan, np.inf],
        ("a", 1): np.int64(7),
        "arrays": [shared, shared, np.array(["x", "y"]), np.arange(6, dtype=np.int8).reshape(2, 3)],
        "sparse": sp.csc_matrix(np.eye(3)),
        "frame": pd.DataFrame({"p": [1.0, 2], "q": ["a", "b"]}),
        "series": pd.Series([1, 2], name="s"),
        "categorical": pd.Categorical(["u", "v", "u"]),
        "empty": {},
    }
    k = Shelf(adata, things).compute_transition_matrix()
    k.write(tmp_path / "k")
    again = Kernel.read(tmp_path / "k")
    got = again.things
    assert type(again) is Shelf
    assert list(got) == list(things)
    assert got["plain"][:6] == things["plain"][:6]
    assert np.isnan(got["plain"][6])
    assert got["plain"][7] == np.inf
    assert got["a", 1] == 7
    for a, b in zip(got["arrays"], things["arrays"], strict=True):
        assert_array_equal(a, b)
    assert got["arrays"][0] is got["arrays"][1]
    assert got["arrays"][3].dtype == np.int8
    assert_array_equal(got["sparse"].toarray(), np.eye(3))
    pd.testing.assert_frame_equal(got["frame"], things["frame"], check_index_type=False)
    assert list(got["series"]) == [1, 2]
    assert list(got["categorical"]) == ["u", "v", "u"]
    assert got["empty"] == {}


def test_what_has_no_place_in_a_file_is_named(tmp_path):
    adata = ad.AnnData(np.zeros((3, 1), dtype=np.float32))
    path = tmp_path / "k"
    Shelf(adata, 1).write(path)
    before = path.read_bytes()
    for thing in (print, object(), {"deep": [1, {2, 3}]}, np.array([object()])):
        with pytest.raises(InvalidTypeError, match=r"things.*nothing is pickled"):
            Shelf(adata, thing).write(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["k"]


def test_a_failing_write_leaves_the_old_file(adata, tmp_path, monkeypatch):
    path = tmp_path / "k"
    k = fc.kernels.ConnectivityKernel(adata).compute_transition_matrix()
    k.write(path)
    before = path.read_bytes()

    def fails(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("ferrocyte._container.write_elem", fails)
    with pytest.raises(KeyboardInterrupt):
        k.write(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["k"]


# Files that are refused -------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    adata = ad.AnnData(np.zeros((3, 1), dtype=np.float32))
    k = fc.kernels.PrecomputedKernel(sp.csr_matrix(np.eye(3)), adata=adata)
    k.write(tmp_path / "k")
    return tmp_path / "k"


def test_folders_are_named(tmp_path):
    kernel = fc.kernels.PrecomputedKernel(np.eye(3))
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        kernel.write(tmp_path / "nowhere" / "k")
    for call in (kernel.write, Kernel.read):
        with pytest.raises(IsADirectoryError, match="is a folder"):
            call(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_other_files(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file"):
        Kernel.read(tmp_path / "nothing")
    (tmp_path / "k").write_bytes(b"\x80\x04\x95 a pickle")
    with pytest.raises(FileFormatError, match=r"not HDF5.*[Pp]ickle"):
        Kernel.read(tmp_path / "k")
    ad.AnnData(np.zeros((3, 1))).write_h5ad(tmp_path / "k.h5ad")
    with pytest.raises(FileFormatError, match=r"anndata.*read_h5ad"):
        Kernel.read(tmp_path / "k.h5ad")
    with h5py.File(tmp_path / "other", "w") as f:
        f["x"] = 1
    with pytest.raises(FileFormatError, match="written by ferrocyte"):
        Kernel.read(tmp_path / "other")


@pytest.mark.parametrize(
    ("attribute", "value", "says"),
    [("version", 2, "version 1, found version 2"), ("kind", "model", "hold a kernel, found a model")],
)
def test_other_versions_and_kinds(path, attribute, value, says):
    with h5py.File(path, "a") as f:
        f.attrs[attribute] = value
    with pytest.raises(FileFormatError, match=says):
        Kernel.read(path)


def test_unknown_classes(path):
    with h5py.File(path, "a") as f:
        text = f["content"][()].decode().replace("PrecomputedKernel", "PrecomputdKernel")
        del f["content"]
        f["content"] = text
    with pytest.raises(FileFormatError, match=r"PrecomputdKernel.*Did you mean 'PrecomputedKernel'"):
        Kernel.read(path)


def test_a_file_can_not_import_or_run_anything(path, tmp_path, monkeypatch):
    (tmp_path / "evil_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with h5py.File(path, "a") as f:
        text = f["content"][()].decode()
        text = text.replace("ferrocyte.kernels.precomputed", "evil_module").replace(
            "PrecomputedKernel", "Evil"
        )
        del f["content"]
        f["content"] = text
    with pytest.raises(FileFormatError, match="Evil"):
        Kernel.read(path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda f: f.__delitem__("content"),
        lambda f: f.__delitem__("arrays"),
        lambda f: f["arrays"].__delitem__("0"),
        lambda f: replace(f, "content", "not json"),
        lambda f: replace(f, "content", json.dumps({"!": "dict", "items": []})),
        lambda f: replace(f, "content", json.dumps({"!": "object", "items": []})),
        lambda f: f["arrays/0/indices"].write_direct(np.array([0, 1, 9], dtype=np.int32)),
        lambda f: f["arrays/0/data"].write_direct(np.array([1, np.nan, 1.0])),
        lambda f: f["arrays/0/data"].write_direct(np.array([1, -1, 1.0])),
    ],
)
def test_damaged_files(path, damage):
    with h5py.File(path, "a") as f:
        damage(f)
    with pytest.raises(FileFormatError, match="damaged"):
        Kernel.read(path)


def replace(file, name, text):
    del file[name]
    file[name] = text


def test_truncated_file(path):
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(FileFormatError, match=r"damaged or incomplete.*Write it anew"):
        Kernel.read(path)
