"""Our training like :mod:`training.run`, up to the predictions of the exported graph; and each candidate alone."""

from pathlib import Path

import numpy as np

from benchmarks.task import Predictions
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

#: The nominal coverage of the prediction intervals.
COVERAGE = float(Regression.model_fields["coverage"].default)


class Ours:
    """One training run. Call the methods in their order: each reuses the fits of the previous ones.

    Args:
        dataset: The split table.
        folder: An empty folder, for the checkpoints.

    Attributes:
        coverage: The share of test rows with a target in the graph's interval; None for classification.
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
        """Whether the model is fitted on the logarithm of the target."""
        return isinstance(self._model.head, RegressionHead) and self._model.head.logarithm

    def linear(self) -> Predictions:
        """Return the predictions of the linear candidate for the test rows."""
        return self._predictions_of(self._choose("linear"))

    def trees(self) -> Predictions:
        """Return the predictions of the trees, which are saved in the folder."""
        return self._predictions_of(self._choose("lightgbm"))

    def network(self) -> Predictions:
        """Return the predictions of the network.

        All candidates are fitted here, except the trees, which are loaded from the folder.
        """
        self._chosen = self._choose("auto")
        return self._predictions_of(self._choose("tabm"))  # from the checkpoints in the folder

    def graph(self) -> Predictions:
        """Return the predictions of the chosen candidate, after its export."""
        test = self._dataset.frame[self._dataset.parts.test]
        model = self._refitted(self._chosen)
        graph = export_onnx(model, self._dataset.features)
        check_parity(graph, model, test)
        arrays = run_onnx(graph, test)
        if "lower" in arrays:
            truth = self._dataset.target.values[self._dataset.parts.test]
            lower, upper = arrays["lower"][:, 0], arrays["upper"][:, 0]
            self.coverage = float(np.mean((lower <= truth) & (truth <= upper)))
        return self._on_loss_scale(arrays)

    def _choose(self, name: str) -> Choice:
        estimator = Estimator.model_validate({"name": name})
        spec = self._dataset.spec.model_copy(update={"estimator": estimator})
        return choose_model(self._model, self._train, self._validation, spec, self._folder)

    def _predictions_of(self, choice: Choice) -> Predictions:
        model = self._refitted(choice)
        test = sample_of(self._dataset, self._dataset.parts.test, model.blueprint.preprocessor)
        return self._on_loss_scale({name: tensor.numpy() for name, tensor in model.predict(test.inputs).items()})

    def _refitted(self, choice: Choice) -> Model:
        if isinstance(choice.model.head, RegressionHead):
            fit_interval(choice.model, self._validation, COVERAGE)
        else:
            calibrate(choice.model, self._train, self._validation, self._dataset.spec.seed)
        preprocessor, rows = fit_sample(self._dataset, self._dataset.parts.train_and_validation)
        model = rebuild_model(preprocessor, self._dataset.features, rows, choice.model, self._dataset.spec)
        return refit(choice, model, rows, self._dataset.spec, self._folder / "refit")

    def _on_loss_scale(self, arrays: Arrays) -> Predictions:
        """Return the array that the loss compares with the target: probabilities, or values or their logarithms."""
        if "probabilities" in arrays:
            return np.asarray(arrays["probabilities"])
        values = arrays["value"][:, 0].astype(np.float64)
        return np.log(values) if self.logarithm else values
