"""`GAM`: settings, fits held to pyGAM, intervals, errors, copies and files."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import anndata as ad
import ferrocyte as fc
import numpy as np
import pytest
from ferrocyte._errors import FerrocyteWarning
from ferrocyte.models import GAM, BaseModel, FittedModel, Gene
from ferrocyte.models._splines import Settings, spline_class
from numpy.testing import assert_allclose, assert_array_equal
from reference.trend_cells import cells

FROZEN = np.load(Path(__file__).parent / "data" / "frozen" / "models.npz")
FITS = sorted({key.split("/")[1] for key in FROZEN if key.startswith("fit/")})
ARRAYS = ("x_all", "y_all", "w_all", "x", "y", "w", "x_test", "y_test", "x_hat", "y_hat", "conf_int")


def fitted(adata=None, **kwargs):
    model = GAM(cells() if adata is None else adata, **kwargs).prepare("g0", "a", "t").fit()
    model.predict()
    model.confidence_interval()
    return model


class TestSettings:
    @pytest.mark.parametrize(
        ("kwargs", "name"),
        [
            ({}, "GammaGAM"),
            ({"distribution": "normal", "link": "identity"}, "LinearGAM"),
            ({"distribution": "gaussian", "link": "identity"}, "LinearGAM"),
            ({"distribution": "binomial", "link": "logit"}, "LogisticGAM"),
            ({"distribution": "poisson", "link": "log"}, "PoissonGAM"),
            ({"distribution": "inv_gauss", "link": "log"}, "InvGaussGAM"),
            ({"distribution": "normal", "link": "log"}, "GAM"),
            ({"expectile": 0.3}, "ExpectileGAM"),
        ],
    )
    def test_class_of_the_inner_model(self, kwargs, name):
        model = GAM(cells(), **kwargs).model
        assert type(model).__name__ == name
        assert any(c.__name__ == "GAM" for c in type(model).__mro__)

    def test_defaults(self):
        s = GAM(cells()).model.settings
        assert s == Settings(6, 3, "gamma", "log", 3.0, ("derivative", "l2"), True, None, None, 2000)

    @pytest.mark.parametrize(
        ("kwargs", "error", "says"),
        [
            ({"distribution": "beta"}, ValueError, "Invalid option"),
            ({"link": "probit"}, ValueError, "Invalid option"),
            ({"expectile": 0}, ValueError, "to be in"),
            ({"expectile": 1.0}, ValueError, "to be in"),
            ({"n_knots": 3}, ValueError, "n_knots"),
            ({"n_knots": 2.5}, TypeError, "n_knots"),
            ({"spline_order": -1}, ValueError, "spline_order"),
            ({"max_iter": 0}, ValueError, "max_iter"),
            ({"grid": "all"}, ValueError, "Invalid option"),
            ({"grid": 3}, TypeError, "grid"),
            ({"grid": {"foo": [1]}}, ValueError, "Invalid option"),
            ({"grid": {"lam": []}}, ValueError, "none"),
            ({"grid": {"n_splines": [3]}}, ValueError, "n_knots"),
            ({"foo": 1}, TypeError, "foo"),
            ({"spline_kwargs": {"foo": 1}}, TypeError, "foo"),
            ({"spline_kwargs": {"lam": -1}}, ValueError, "lam"),
            ({"spline_kwargs": {"lam": "aic"}}, ValueError, "Invalid option"),
            ({"spline_kwargs": {"penalties": ["periodic"]}}, ValueError, "Invalid option"),
            ({"spline_kwargs": {"basis": "cp"}}, ValueError, "Invalid option"),
            ({"spline_kwargs": {"edge_knots": [1, 1]}}, ValueError, "edge_knots"),
        ],
    )
    def test_wrong_ones(self, kwargs, error, says):
        with pytest.raises(error, match=says):
            GAM(cells(), **kwargs)

    def test_no_data(self):
        with pytest.raises(TypeError, match="AnnData"):
            GAM(np.zeros((3, 3)))

    def test_an_expectile_replaces_distribution_and_link(self):
        with pytest.warns(FerrocyteWarning, match="expectile"):
            settings = GAM(cells(), expectile=0.3, distribution="poisson").model.settings
        assert (settings.distribution, settings.link) == ("normal", "identity")

    def test_repr(self):
        model = GAM(cells(), n_knots=7)
        assert repr(model).startswith("<GAM[gene=None, lineage=None, model=GammaGAM(n_splines=7, ")
        model.prepare("g0", "a", "t")
        assert str(model).startswith("<GAM[gene='g0', lineage='a', model=GammaGAM(")
        assert bool(model) is True


class TestPygam:
    """The numbers of pyGAM 0.12 with CellRank's settings."""

    @pytest.mark.parametrize("case", FITS)
    def test_fits(self, case):
        data = {
            k: FROZEN[f"fit/{case}/{k}"]
            for k in ("x", "y", "w", "x_test", "mean", "edof", "scale", "converged")
        }
        name, _, rest = case.partition("-")
        if name == "expectile":
            settings = Settings(distribution="normal", link="identity", expectile=float(rest))
        elif name == "rare":
            settings = Settings()
        else:
            settings = Settings(distribution="gamma" if name == "zeros" else name, link=rest)
        found = spline_class(settings)(settings).fit(data["x"], data["y"], data["w"])
        mean = found.predict(data["x_test"])
        assert found.statistics_["converged"]
        if data["converged"]:
            assert_allclose(mean, data["mean"], rtol=1e-4, atol=1e-7)
            assert_allclose(found.statistics_["edof"], data["edof"], rtol=1e-4)
        else:  # where few cells express a gene, its steps leap from side to side; ours solve the equations
            assert name == "rare"
            self.solves(data, found)

    def solves(self, data, found):
        from reference import naive_trends as naive

        X = naive.basis(data["x"], 6, 3, data["x"].min(), data["x"].max())
        score = X.T @ (data["w"] * (data["y"] * np.exp(-X @ found.coef_) - 1))
        assert_allclose(score, 3 * naive.penalty(6) @ found.coef_, atol=1e-4)

    def test_scale_counts_effective_cells(self):
        """pyGAM divides by the number of cells; both agree once that is put in."""
        x, y, w = (FROZEN[f"fit/gamma-log/{k}"] for k in "xyw")
        s = Settings()
        found = spline_class(s)(s).fit(x, y, w).statistics_
        n = w.sum() ** 2 / (w**2).sum()
        expected = FROZEN["fit/gamma-log/scale"] ** 2 * (len(x) - found["edof"]) / (n - found["edof"])
        assert_allclose(found["scale"], expected, rtol=1e-4)

    def test_default_interval(self):
        adata = ad.AnnData(FROZEN["prepare/y"][:, None])
        adata.var_names = ["g"]
        adata.obs["t"] = FROZEN["prepare/x"]
        w = FROZEN["prepare/w"]
        adata.obsm["lineages_fwd"] = fc.Lineage(np.c_[w, 1 - w], names=["a", "b"])
        model = GAM(adata, distribution="normal", link="identity").prepare("g", "a", "t").fit()
        assert_allclose(model.predict(), FROZEN["default_ci/y_test"], rtol=1e-6)
        assert_allclose(model.default_confidence_interval(), FROZEN["default_ci/conf_int"], rtol=1e-6)
        assert model.y_hat.shape == model.w.shape
        assert_array_equal(model.x_hat, model.x)


class TestFit:
    def test_what_comes_back(self):
        model = GAM(cells()).prepare("g0", "a", "t")
        assert model.fit() is model
        y = model.predict()
        assert y is model.y_test
        assert y.shape == (200,)
        bounds = model.confidence_interval()
        assert bounds is model.conf_int
        assert bounds.shape == (200, 2)
        assert np.all((bounds[:, 0] < y) & (y < bounds[:, 1]))
        narrow = model.confidence_interval(level=0.5)
        assert np.all((bounds[:, 0] < narrow[:, 0]) & (narrow[:, 1] < bounds[:, 1]))

    def test_other_points(self):
        model = fitted()
        points = np.linspace(0.1, 0.3, 7)
        y = model.predict(points)
        assert y.shape == (7,)
        assert_array_equal(model.x_test[:, 0], points)
        model.predict(points[:3], key_added=None)
        assert len(model.x_test) == 7
        model.predict(points[:2], key_added="_x_hat")
        assert len(model.x_hat) == 2
        assert model.confidence_interval(points[:5]).shape == (5, 2)

    def test_given_arrays(self):
        model = GAM(cells(), distribution="normal", link="identity", lam=1e-6).prepare("g0", "a", "t")
        x = np.linspace(0, 1, 30)
        model.fit(x=x, y=2 * x[:, None], w=np.ones(30))
        assert (model.x.shape, model.y.shape, model.w.shape) == ((30, 1), (30, 1), (30,))
        assert_allclose(model.predict(x), 2 * x, atol=1e-4)
        for wrong in ({"x": x[:5]}, {"w": np.ones(31)}, {"y": np.ones((30, 2))}):
            with pytest.raises(ValueError, match="Fatal model"):
                model.fit(**wrong)
        assert model.x.shape == (30, 1)

    def test_a_straight_line_is_not_bent_by_the_difference_penalty(self):
        model = GAM(
            cells(),
            distribution="normal",
            link="identity",
            lam=1e6,
            spline_kwargs={"penalties": "derivative"},
        )
        x = np.linspace(0, 1, 30)
        model.prepare("g0", None, "t").fit(x=x, y=3 - 2 * x, w=np.ones(30))
        assert_allclose(model.predict([0.0, 0.5, 1.0, 2.0]), [3, 2, 1, -1], atol=1e-6)

    def test_two_smoothing_parameters(self):
        one = fitted(spline_kwargs={"lam": [3, 3]})
        assert_allclose(one.y_test, fitted().y_test, rtol=1e-10)
        other = fitted(spline_kwargs={"lam": [3, 0]})
        assert_allclose(other.y_test, fitted(spline_kwargs={"penalties": ["derivative"]}).y_test, rtol=1e-10)

    def test_grid(self):
        best = fitted(grid={"lam": [1000.0, 0.1, 10.0], "n_splines": [5, 9]})
        scores = {
            (lam, n): fitted(n_knots=n, grid={"lam": [lam]}).model.statistics_["criterion"]
            for lam in (1000.0, 0.1, 10.0)
            for n in (5, 9)
        }
        lam, n = min(scores, key=scores.get)
        assert best.model.statistics_["lam"] == lam
        assert len(best.model.coef_) == n
        alone = [fitted(n_knots=n, grid={"n_splines": [n]}).model.statistics_["criterion"] for n in (5, 9)]
        best = fitted(grid={"n_splines": [5, 9]}).model
        assert (best.statistics_["lam"], best.statistics_["criterion"]) == (3.0, min(alone))
        assert np.isnan(fitted().model.statistics_["criterion"])
        assert fitted(spline_kwargs={"lam": 0}, grid={"n_splines": [5, 9]}).model.statistics_["lam"] == 0
        assert fitted(grid="default").model.statistics_["lam"] in np.logspace(-3, 3, 11)

    @pytest.mark.parametrize("lam", ["gcv", "reml"])
    def test_smoothing_is_found(self, lam):
        model = fitted(lam=lam, n_knots=12)
        if lam == "gcv":
            tried = fitted(n_knots=12, grid={"lam": np.logspace(-3, 3, 30)}).model.statistics_["criterion"]
            assert model.model.statistics_["criterion"] <= tried * (1 + 1e-9)
        assert 2 < model.model.statistics_["edof"] < 12

    def test_too_few_steps_only_warn(self):
        model = GAM(cells(), max_iter=1).prepare("g0", "a", "t")
        with pytest.warns(FerrocyteWarning, match="did not converge"):
            model.fit()
        assert model.predict().shape == (200,)

    def test_before_prepare_and_fit(self):
        model = GAM(cells())
        with pytest.raises(RuntimeError, match="Fatal model"):
            model.fit()
        with pytest.raises(RuntimeError, match=r"prepare"):
            model.predict()
        model.prepare("g0", "a", "t")
        for act in (model.predict, model.confidence_interval, model.plot):
            with pytest.raises(RuntimeError):
                act()


class TestBadData:
    def adata(self, change):
        adata = cells()
        change(adata)
        return adata

    @pytest.mark.parametrize(
        ("change", "kwargs", "says"),
        [
            (lambda a: a.X.__setitem__((5, 0), np.nan), {}, "'g0'.*'cell5' is NaN"),
            (lambda a: a.X.__setitem__((slice(None), 0), 0.0), {}, "'g0'.*are all values 0"),
            (lambda a: a.X.__setitem__((slice(None), 0), -1.0), {}, "'g0'.*are all values 0"),
            (lambda a: None, {"distribution": "binomial", "link": "logit"}, r"'g0'.*\[0, 1\]"),
            (lambda a: None, {"n_knots": 121}, "'g0'.*121, found"),
        ],
    )
    def test_fits_that_fail_name_the_culprit(self, change, kwargs, says):
        model = GAM(self.adata(change), **kwargs).prepare("g0", "a", "t", time_range=(0, 1))
        before = dict(model.__dict__)
        with pytest.raises(RuntimeError, match=r"(?s)Fatal model.*" + says) as caught:
            model.fit()
        assert caught.value.__cause__ is not None
        assert model.__dict__ == before

    @pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
    def test_weights_that_are_none(self, bad):
        model = GAM(cells()).prepare("g0", "a", "t")
        with pytest.raises(RuntimeError, match=r"(?s)Fatal model.*at least 0"):
            model.fit(w=np.where(np.arange(len(model.x)) == 3, bad, 1.0))
        with pytest.raises(RuntimeError, match=r"(?s)Fatal model.*at least 0"):
            model.fit(w=np.full(len(model.x), bad))

    def test_a_cell_is_named_where_it_is_known(self):
        adata = self.adata(lambda a: a.X.__setitem__((70, 0), np.nan))
        model = GAM(adata).prepare("g0", "a", "t", time_range=(0.3, 1))
        with pytest.raises(RuntimeError, match="'cell70' is NaN") as found:
            model.fit()
        assert found.value.cells == [70]
        with pytest.raises(RuntimeError, match="the value of cell 2 is NaN"):
            model.fit(x=np.arange(20), y=np.where(np.arange(20) == 2, np.nan, 1.0), w=np.ones(20))

    def test_all_weights_zero_and_one_pseudotime(self):
        model = GAM(cells()).prepare("g0", "a", "t")
        with pytest.raises(RuntimeError, match="All weights are 0"):
            model.fit(w=np.zeros(len(model.w)))
        with pytest.raises(RuntimeError, match="same pseudotime"):
            model.fit(x=np.ones(len(model.w)))

    def test_negative_values_count_as_zero(self):
        adata = cells()
        adata.X[[3, 40, 77], 0] = -0.5
        clipped = cells()
        clipped.X[[3, 40, 77], 0] = 0.0
        assert_array_equal(fitted(adata).y_test, fitted(clipped).y_test)

    def test_zeros_need_no_logarithm(self):
        adata = cells()
        adata.X[::2, 0] = 0.0
        found = fitted(adata).y_test
        assert_allclose(found, fitted().y_test / 2, rtol=0.5)

    @pytest.mark.parametrize("lam", ["gcv", "reml"])
    def test_a_gene_that_is_off_and_then_on(self, lam):
        """To follow a run of zeros ever lower is no better fit: the smoothing is sound, the trend rises."""
        adata = cells()
        adata.X[:, 0] = np.where(adata.obs["t"] < 0.5, 0.0, adata.X[:, 0])
        for n in (6, 12):
            model = fitted(adata, lam=lam, n_knots=n)
            assert model.model.statistics_["converged"]
            assert model.conf_int.max() < 10 * adata.X[:, 0].max()
            assert model.y_test[180] > 10 * model.y_test[20]
            assert model.model.coef_.min() > np.log(1e-4)

    def test_a_constant_gene(self):
        adata = cells()
        adata.X[:, 0] = 1.5
        model = fitted(adata)
        assert_allclose(model.y_test, 1.5, rtol=1e-8)
        assert_allclose(model.conf_int, 1.5, rtol=1e-6)


@pytest.mark.parametrize("weights", ["ones", "fates"])
@pytest.mark.parametrize(
    ("distribution", "link", "noise"),
    [
        ("normal", "identity", lambda mu, rng: rng.normal(mu, 0.8)),
        ("gamma", "log", lambda mu, rng: rng.gamma(2, mu / 2)),
        ("poisson", "log", lambda mu, rng: rng.poisson(mu).astype(float)),
        ("binomial", "logit", lambda mu, rng: rng.binomial(1, mu / 5).astype(float)),
    ],
)
@pytest.mark.parametrize("lam", ["reml", "gcv"])
def test_coverage(lam, distribution, link, noise, weights):
    """The 95 % band holds 95 % of known curves, averaged over the curve (Nychka 1988)."""
    rng = np.random.default_rng(20)
    n, sets = 300, 300
    x = np.sort(rng.uniform(0, 1, n))
    w = np.ones(n) if weights == "ones" else np.clip(rng.beta(0.6, 0.6, n), 0.01, 1)

    def curve(t):
        return 2.5 + 1.5 * np.sin(7 * t)

    y = np.column_stack([noise(curve(x), rng) for _ in range(sets)])
    settings = Settings(n_splines=12, distribution=distribution, link=link, lam=lam)
    models = spline_class(settings)(settings).fit_columns(y, np.arange(sets), np.arange(n), x, w)
    points = np.linspace(x[0], x[-1], 60)
    truth = curve(points) / (5 if distribution == "binomial" else 1)
    bounds = np.stack([m.confidence_intervals(points) for m in models])
    inside = (bounds[..., 0] <= truth) & (truth <= bounds[..., 1])
    assert 0.92 <= inside.mean() <= 0.98


class TestCopies:
    def test_copy_is_not_prepared(self):
        model = fitted(n_knots=7, grid={"lam": [1.0, 2.0]})
        for other in (model.copy(), copy.copy(model)):
            assert other.adata is model.adata
            assert other.model is not model.model
            assert not other.prepared
            assert all(getattr(other, name) is None for name in ARRAYS)
            assert other.model.settings == model.model.settings
            assert other.__dict__.keys() == model.__dict__.keys()
            with pytest.raises(RuntimeError):
                other.fit()

    def test_deepcopy_has_everything(self):
        model = fitted()
        other = copy.deepcopy(model)
        assert other.adata is model.adata
        assert other.model is not model.model
        assert other.prepared
        assert repr(other) == repr(model)
        for name in ARRAYS:
            a, b = getattr(other, name), getattr(model, name)
            assert (a is None) == (b is None)
            if a is not None:
                assert a is not b
                assert_array_equal(a, b)
        assert_array_equal(other.predict([0.3]), model.predict([0.3]))

    def test_pickle_has_everything(self):
        model = fitted()
        other = pickle.loads(pickle.dumps(model))
        assert other.adata is not model.adata
        assert other.adata.shape == model.adata.shape
        assert_array_equal(other.conf_int, model.conf_int)
        assert_array_equal(other.fit().predict(), model.y_test)


class TestFiles:
    @pytest.mark.parametrize("write_adata", [True, False])
    @pytest.mark.parametrize("kwargs", [{}, {"grid": {"lam": [1.0, 9.0]}}, {"lam": "reml", "expectile": 0.2}])
    def test_round_trip(self, tmp_path, kwargs, write_adata):
        model = fitted(**kwargs)
        model.write(tmp_path / "m", write_adata=write_adata)
        other = GAM.read(tmp_path / "m", adata=None if write_adata else model.adata)
        assert type(other) is GAM
        assert (other.adata is model.adata) is not write_adata
        assert repr(other) == repr(model)
        assert other.signal == model.signal
        assert other.model.settings == model.model.settings
        for name in ARRAYS:
            a, b = getattr(other, name), getattr(model, name)
            assert (a is None) == (b is None)
            assert a is None or np.array_equal(a, b)
        assert_array_equal(other.predict([0.3]), model.predict([0.3]))
        assert_array_equal(
            other.fit().coef if hasattr(other, "coef") else other.fit().model.coef_, model.model.coef_
        )

    def test_unprepared_and_fitted_models(self, tmp_path):
        model = GAM(cells(), n_knots=9)
        model.write(tmp_path / "m")
        assert repr(BaseModel.read(tmp_path / "m")) == repr(model)
        other = FittedModel.from_model(fitted())
        other.write(tmp_path / "f")
        again = BaseModel.read(tmp_path / "f")
        assert isinstance(again, FittedModel)
        assert_array_equal(again.conf_int, other.conf_int)

    def test_what_is_refused(self, tmp_path):
        model = fitted()
        model.write(tmp_path / "m", write_adata=False)
        with pytest.raises(TypeError, match="This object was saved without"):
            GAM.read(tmp_path / "m")
        with pytest.raises(ValueError, match=re.escape("Expected `adata` to be of length")):
            GAM.read(tmp_path / "m", adata=cells(n=50))
        fc.kernels.PrecomputedKernel(np.eye(3)).write(tmp_path / "k")
        with pytest.raises(ValueError, match="hold a model"):
            GAM.read(tmp_path / "k")

    def test_signals_come_back(self, tmp_path):
        model = GAM(cells()).prepare(Gene("g1", layer="half"), None, "t")
        model.write(tmp_path / "m")
        assert GAM.read(tmp_path / "m").signal == Gene("g1", layer="half")


@pytest.mark.parametrize(
    ("gene", "up_in", "not_in"),
    [("MPO", "Mono", "Ery"), ("GATA1", "Ery", "Mono"), ("KLF1", "Ery", "DC"), ("IRF8", "DC", "Ery")],
)
def test_markers_of_human_bone_marrow(gene, up_in, not_in):
    """Directions as in Setty et al., *Nat. Biotechnol.* 37 (2019), figure 3; CD34 falls in all lineages."""
    adata = fc.datasets.bone_marrow()
    names = [str(n) for n in adata.uns["palantir_fate_names"]]
    adata.obsm["lineages_fwd"] = fc.Lineage(
        np.asarray(adata.obsm["palantir_fate_probabilities"]), names=names
    )

    def ends(gene, lineage):
        model = GAM(adata, lam="reml").prepare(Gene(gene, "log_normalized"), lineage, "palantir_pseudotime")
        return model.fit().predict()[[0, -1]]

    begin, end = ends(gene, up_in)
    assert end > 2 * begin
    assert end > 2 * ends(gene, not_in)[1]
    begin, end = ends("CD34", up_in)
    assert end < begin / 2
