"""`SKLearnModel`, `GAMR`, `FittedModel` and `FailedModel`."""

from __future__ import annotations

import copy
import importlib.util

import numpy as np
import pytest
from ferrocyte.models import GAM, GAMR, BaseModel, FailedModel, FittedModel, SKLearnModel
from numpy.testing import assert_allclose, assert_array_equal
from reference.trend_cells import cells
from sklearn.base import clone
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

needs_r = pytest.mark.skipif(importlib.util.find_spec("rpy2") is None, reason="needs rpy2, R and mgcv")


class TestSKLearn:
    @pytest.mark.parametrize("estimator", [LinearRegression(), SVR(), KernelRidge()])
    def test_fit(self, estimator):
        adata = cells()
        model = SKLearnModel(adata, estimator).prepare("g0", "a", "t")
        assert model.fit() is model
        expected = copy.deepcopy(estimator).fit(model.x, model.y[:, 0], sample_weight=model.w)
        assert_allclose(model.predict(), expected.predict(model.x_test))
        assert model.y_test.shape == (200,)
        assert model.confidence_interval().shape == (200, 2)
        assert not hasattr(estimator, "coef_")  # what was given stays as it was
        assert repr(model).startswith("<SKLearnModel[gene='g0', lineage='a', model=")

    def test_the_default_interval_by_hand(self):
        """A line through 0, 1, 2, 5 at 0, 1, 2, 3: fit -0.4 + 1.6 x, residuals 0.4, -0.2, -0.8, 0.6."""
        model = SKLearnModel(cells(), LinearRegression()).prepare("g0", None, "t")
        model.fit(x=[0, 1, 2, 3], y=[0, 1, 2, 5], w=np.ones(4))
        found = model.default_confidence_interval([1.5, 0.0])
        s = np.sqrt((0.4**2 + 0.2**2 + 0.8**2 + 0.6**2) / 2)
        half = 0.5 * s * np.sqrt([1.25, 1.25 + 1.5**2 / 5])
        assert_allclose(found, np.c_[np.array([2.0, -0.4]) - half, np.array([2.0, -0.4]) + half])
        assert_allclose(model.y_hat, [-0.4, 1.2, 2.8, 4.4])
        assert_array_equal(model.x_hat[:, 0], [0, 1, 2, 3])
        model.fit(x=[1, 1, 1], y=[0, 1, 2], w=np.ones(3))
        with pytest.raises(ValueError, match="different pseudotimes"):
            model.default_confidence_interval()

    @pytest.mark.parametrize("inner", ["pipeline", "search"])
    def test_weights_are_passed_on(self, inner):
        adata = cells()
        estimator, name = (
            (make_pipeline(StandardScaler(), SVR()), "svr__sample_weight")
            if inner == "pipeline"
            else (GridSearchCV(SVR(), {"C": [0.5, 2.0]}, cv=3), "sample_weight")
        )
        with pytest.raises(ValueError, match=r"<step>__sample_weight"):
            SKLearnModel(adata, estimator)
        model = SKLearnModel(adata, estimator, weight_name=name).prepare("g0", "a", "t").fit()
        expected = clone(estimator).fit(model.x, model.y[:, 0], **{name: model.w})
        assert_allclose(model.predict(), expected.predict(model.x_test))
        free = SKLearnModel(adata, estimator, weight_name="").prepare("g0", "a", "t").fit()
        assert abs(free.predict() - model.y_test).max() > 1e-3

    def test_weights(self):
        adata = cells()
        with pytest.raises(TypeError, match="Expected model to be of type"):
            SKLearnModel(adata, object())
        with pytest.raises(ValueError, match="Unable to detect"):
            SKLearnModel(adata, KNeighborsRegressor())
        with pytest.raises(ValueError, match="Unable to detect"):
            SKLearnModel(adata, SVR(), weight_name="foo")
        model = SKLearnModel(adata, SVR(), weight_name="foo", ignore_raise=True).prepare("g0", "a", "t")
        with pytest.raises(TypeError, match="Fatal model"):
            model.fit()
        free = SKLearnModel(adata, KNeighborsRegressor(), weight_name="").prepare("g0", "a", "t").fit()
        expected = KNeighborsRegressor().fit(free.x, free.y[:, 0]).predict(free.x_test)
        assert_array_equal(free.predict(), expected)

    def test_an_interval_of_its_own(self):
        class WithInterval(LinearRegression):
            def conf_int(self, x):
                return np.c_[self.predict(x) - 1, self.predict(x) + 1]

        model = SKLearnModel(cells(), WithInterval()).prepare("g0", "a", "t").fit()
        assert_allclose(np.diff(model.confidence_interval()), 2)

    def test_nan_says_fatal(self):
        adata = cells()
        adata.X[5, 0] = np.nan
        model = SKLearnModel(adata, LinearRegression()).prepare("g0", None, "t")
        with pytest.raises(ValueError, match="Fatal model"):
            model.fit()

    def test_copies_and_files(self, tmp_path):
        model = SKLearnModel(cells(), SVR(C=3)).prepare("g0", "a", "t").fit()
        model.predict()
        assert not model.copy().prepared
        assert model.copy().model.C == 3
        assert_array_equal(copy.deepcopy(model).y_test, model.y_test)
        with pytest.raises(TypeError, match="nothing is pickled"):
            model.write(tmp_path / "m")
        assert not (tmp_path / "m").exists()


class TestFitted:
    def test_shapes(self):
        model = FittedModel([1, 2, 3], [[4], [5], [6]], np.ones((3, 2)), x_all=[1, 2], y_all=[3, 4])
        assert (model.x_test.shape, model.y_test.shape, model.conf_int.shape) == ((3, 1), (3,), (3, 2))
        assert (model.x_all.shape, model.y_all.shape) == ((2, 1), (2, 1))
        assert_array_equal(model.w_all, np.ones(2))
        assert model.adata is None
        assert model.prepared
        assert model.prepare("whatever") is model.fit() is model
        assert model.predict() is model.y_test
        assert model.confidence_interval() is model.conf_int
        empty = FittedModel(np.empty(0), np.empty(0), np.empty((0, 2)))
        assert empty.x_test.shape == (0, 1)
        alone = FittedModel([1], [2], x_all=[1, 2])
        assert (alone.x_all, alone.y_all, alone.w_all) == (None, None, None)
        with pytest.raises(RuntimeError, match="No confidence"):
            alone.confidence_interval()

    @pytest.mark.parametrize(
        "kwargs",
        [
            {"y_test": [1, 2]},
            {"x_test": np.ones((3, 2))},
            {"conf_int": np.ones((3, 3))},
            {"conf_int": np.ones((2, 2))},
            {"x_all": [1, 2], "y_all": [1]},
            {"x_all": [1, 2], "y_all": [1, 2], "w_all": [1]},
        ],
    )
    def test_wrong_shapes(self, kwargs):
        with pytest.raises(ValueError, match="of shape"):
            FittedModel(**{"x_test": [1, 2, 3], "y_test": [1, 2, 3], **kwargs})

    def test_from_model(self):
        model = GAM(cells()).prepare("g0", "a", "t").fit()
        with pytest.raises(ValueError, match="predict"):
            FittedModel.from_model(model)
        with pytest.raises(TypeError, match="to be of type"):
            FittedModel.from_model(3)
        model.predict()
        model.confidence_interval()
        other = FittedModel.from_model(model)
        for name in ("x_test", "y_test", "conf_int", "x_all", "y_all", "w_all"):
            assert getattr(other, name) is not getattr(model, name)
            assert_array_equal(getattr(other, name), getattr(model, name))
        assert isinstance(other.copy(), FittedModel)
        assert_array_equal(copy.deepcopy(other).conf_int, other.conf_int)
        assert repr(other) == "<FittedModel[gene='g0', lineage='a', model=None]>"


class TestFailed:
    def test_what_it_is(self):
        model = GAM(cells()).prepare("g0", "a", "t")
        failed = FailedModel(model, "because")
        assert not failed
        assert failed.model is model
        assert failed.adata is model.adata
        assert repr(failed) == f"<FailedModel[origin={repr(model)[1:-1]}]>"
        assert failed.copy().model is not model
        with pytest.raises(TypeError, match="to be of type"):
            FailedModel(3)
        with pytest.raises(TypeError, match="exception"):
            FailedModel(model, 3)

    @pytest.mark.parametrize(
        "method",
        [
            "prepare",
            "fit",
            "predict",
            "confidence_interval",
            "default_confidence_interval",
            "plot",
            "reraise",
        ],
    )
    @pytest.mark.parametrize(
        ("exc", "error"), [("because", RuntimeError), (KeyError("because"), KeyError), (None, RuntimeError)]
    )
    def test_methods_raise(self, method, exc, error):
        failed = FailedModel(GAM(cells()), exc)
        with pytest.raises(error, match="Fatal model") as caught:
            getattr(failed, method)()
        assert isinstance(caught.value.__cause__, error)
        if isinstance(exc, Exception):
            assert caught.value.__cause__ is exc


class Own(BaseModel):
    """What a user writes: the weighted mean."""

    def fit(self, x=None, y=None, w=None, **kwargs):
        super().fit(x, y, w)
        self._model = float(np.average(self.y[:, 0], weights=self.w))
        return self

    def predict(self, x_test=None, key_added="_x_test", **kwargs):
        self._y_test = np.full(len(self.x_test if x_test is None else x_test), self._model)
        return self._y_test

    def confidence_interval(self, x_test=None, **kwargs):
        return self.default_confidence_interval(x_test, **kwargs)

    def copy(self):
        return Own(self.adata, self._model)


def test_a_model_of_ones_own():
    model = Own(cells(), None).prepare("g0", "a", "t").fit()
    assert_allclose(model.predict(), np.average(model.y[:, 0], weights=model.w))
    assert model.confidence_interval().shape == (200, 2)
    assert copy.deepcopy(model).prepared
    with pytest.raises(TypeError, match="abstract"):
        BaseModel(cells(), None)


@pytest.mark.skipif(importlib.util.find_spec("rpy2") is not None, reason="rpy2 is there")
def test_gamr_says_what_it_needs():
    with pytest.raises(ImportError, match="mgcv"):
        GAMR(cells())
    with pytest.raises(ValueError, match="Invalid option"):
        GAMR(cells(), knotlocs="foo")


@needs_r
class TestGAMR:
    """Against R itself, where rpy2 finds it."""

    def fitted(self, **kwargs):
        model = GAMR(cells(), **kwargs).prepare("g0", "a", "t").fit()
        model.predict()
        model.confidence_interval()
        return model

    def test_defaults(self):
        model = self.fitted()
        assert model.predict().shape == (200,)
        assert model.confidence_interval().shape == (200, 2)
        assert (np.diff(model.conf_int) > 0).all()

    def test_its_smoothing_finds_the_curve_of_ours(self):
        theirs = self.fitted(n_knots=10, smoothing_penalty=None, method="REML")
        ours = GAM(cells(), distribution="normal", link="identity", lam="reml", n_knots=10)
        ours.prepare("g0", "a", "t").fit()
        ours.predict()
        half = np.diff(theirs.conf_int)[:, 0] / 2
        assert (np.abs(theirs.y_test - ours.y_test) < half).mean() > 0.9
        assert_allclose(np.diff(ours.confidence_interval())[:, 0] / 2, half, rtol=0.5)

    @pytest.mark.parametrize("kwargs", [{"distribution": "poisson"}, {"distribution": "nb", "offset": None},
                                        {"distribution": "Gamma(link='log')"}])  # fmt: skip
    def test_intervals_stay_in_the_range_of_the_family(self, kwargs):
        adata = cells()
        adata.X[:, 0] = np.round(adata.X[:, 0] * (adata.obs["t"] > 0.7)) + 1e-9 * ("G" in str(kwargs))
        model = GAMR(adata, smoothing_penalty=None, **kwargs).prepare("g0", "a", "t").fit()
        model.predict()
        low, high = model.confidence_interval().T
        assert (low > 0).all()
        assert (low <= model.y_test).all()
        assert (model.y_test <= high).all()

    def test_weights_offsets_and_knots_count(self):
        reference = self.fitted()
        assert abs(GAMR(cells()).prepare("g0", None, "t").fit().predict() - reference.y_test).max() > 0.01
        offset = np.linspace(0, 1, cells().n_obs)
        shifted = self.fitted(distribution="poisson", offset=offset)
        assert abs(shifted.y_test - self.fitted(distribution="poisson").y_test).max() > 0.1
        assert self.fitted(knotlocs="density").y_test.shape == (200,)

    def test_copies(self):
        model = self.fitted()
        again = copy.deepcopy(model)
        assert_allclose(again.predict([0.2, 0.4]), model.predict([0.2, 0.4]))
        assert not model.copy().prepared
        assert model.copy().model is None

    def test_what_r_refuses(self):
        for kwargs in ({"distribution": "foo"}, {"basis": "foo"}):
            with pytest.raises(RuntimeError, match=r"Fatal model(.|\n)*mgcv was unable to fit"):
                GAMR(cells(), **kwargs).prepare("g0", "a", "t").fit()
