"""Our own training as :mod:`training.run` does it, up to the exported graph's answers; and its parts, each alone."""

from pathlib import Path

import numpy as np

from benchmarks.task import Answers
from model_deployer.contract.outputs import Arrays, Regression
from model_deployer.training.data.dataset import Dataset
from model_deployer.training.export.export import check_parity, export_onnx, run_onnx
from model_deployer.training.fitting.calibration import calibrate
from model_deployer.training.fitting.candidates import Choice, choose_model
from model_deployer.training.fitting.prediction_interval import fit_interval
from model_deployer.training.fitting.refit import refit
from model_deployer.training.models.heads import RegressionHead
from model_deployer.training.models.model import Model
from model_deployer.training.models.model_builder import build_model, rebuild_model
from model_deployer.training.preprocessing.sample import fit_sample, sample_of
from model_deployer.training.spec import Estimator

#: The share of test rows that an interval promises to hold.
COVERAGE = float(Regression.model_fields["coverage"].default)


class Ours:
    """One fit, to be asked part by part in the order of the methods: each goes on with what those before it fitted.

    Args:
        dataset: The divided table.
        folder: An empty one, for what a fit keeps.

    Attributes:
        coverage: The share of test rows whose target lies in the graph's interval; None for classes.
    """

    coverage: float | None = None
    _chosen: Choice

    def __init__(self, dataset: Dataset, folder: Path) -> None:
        self._dataset, self._folder = dataset, folder
        preprocessor, self._train = fit_sample(dataset, dataset.parts.train)
        self._validation = sample_of(dataset, dataset.parts.validation, preprocessor)
        self._model = build_model(
            preprocessor,
            dataset.features,
            self._train,
            dataset.target.classes,
            dataset.spec,
            is_positive=dataset.is_positive,
        )

    @property
    def logarithm(self) -> bool:
        """Whether the logarithm of the target is learnt."""
        return isinstance(self._model.head, RegressionHead) and self._model.head.logarithm

    def linear(self) -> Answers:
        """The linear candidate's answers to the test rows."""
        return self._answers_of(self._choose("linear"))

    def trees(self) -> Answers:
        """Those of the trees, which then lie in the folder."""
        return self._answers_of(self._choose("lightgbm"))

    def network(self) -> Answers:
        """Those of the network. All candidates compete here, but the trees are taken from the folder."""
        self._chosen = self._choose("auto")
        return self._answers_of(self._choose("tabm"))  # whose checkpoints lie in the folder by now

    def graph(self) -> Answers:
        """Those of the candidate that was chosen, exported."""
        test = self._dataset.frame[self._dataset.parts.test]
        model = self._refitted(self._chosen)
        graph = export_onnx(model, self._dataset.features)
        check_parity(graph, model, test)
        arrays = run_onnx(graph, test)
        if "lower" in arrays:
            truth = self._dataset.target.values[self._dataset.parts.test]
            lower, upper = arrays["lower"][:, 0], arrays["upper"][:, 0]
            self.coverage = float(np.mean((lower <= truth) & (truth <= upper)))
        return self._told(arrays)

    def _choose(self, name: str) -> Choice:
        estimator = Estimator.model_validate({"name": name})
        spec = self._dataset.spec.model_copy(update={"estimator": estimator})
        return choose_model(self._model, self._train, self._validation, spec, self._folder)

    def _answers_of(self, choice: Choice) -> Answers:
        model = self._refitted(choice)
        test = sample_of(self._dataset, self._dataset.parts.test, model.blueprint.preprocessor)
        return self._told({name: answer.numpy() for name, answer in model.predict(test.inputs).items()})

    def _refitted(self, choice: Choice) -> Model:
        if isinstance(choice.model.head, RegressionHead):
            fit_interval(choice.model, self._validation, COVERAGE)
        else:
            calibrate(choice.model, self._train, self._validation, self._dataset.spec.seed)
        preprocessor, rows = fit_sample(self._dataset, self._dataset.parts.train_and_validation)
        model = rebuild_model(preprocessor, self._dataset.features, rows, choice.model, self._dataset.spec)
        return refit(choice, model, rows, self._dataset.spec, self._folder / "refit")

    def _told(self, arrays: Arrays) -> Answers:
        if "probabilities" in arrays:
            return np.asarray(arrays["probabilities"])
        values = arrays["value"][:, 0].astype(np.float64)
        return np.log(values) if self.logarithm else values
