"""Our own training as :mod:`training.run` does it, up to the exported graph's answers; and its parts, each alone."""

from pathlib import Path

import numpy as np

from benchmarks.task import Answers
from contract.outputs import Arrays, Regression
from training.building import build_model
from training.calibration import calibrate
from training.candidates import choose_model
from training.dataset import Dataset
from training.export import check_parity, export_onnx, run_onnx
from training.heads import RegressionHead
from training.interval import fit_interval
from training.model import Model
from training.preprocessing import Inputs, fit_preprocessor
from training.sample import Sample
from training.spec import Estimator
from training.split import Rows

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
    _chosen: Model

    def __init__(self, dataset: Dataset, folder: Path) -> None:
        parts, frame, features, classes = dataset.parts, dataset.frame, dataset.features, dataset.target.classes
        self._dataset, self._folder = dataset, folder
        preprocessor, inputs = fit_preprocessor(
            frame[parts.train], features, dataset.target.values[parts.train], classes, dataset.spec.seed
        )
        self._train = self._sample(parts.train, inputs)
        self._validation = self._sample(parts.validation, preprocessor.transform(frame[parts.validation]))
        self._test = self._sample(parts.test, preprocessor.transform(frame[parts.test]))
        self._model = build_model(preprocessor, features, self._train, classes, dataset.spec)

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
        return self._answers_of(self._model)  # the network was fitted in place

    def graph(self) -> Answers:
        """Those of the candidate that was chosen, exported."""
        test = self._dataset.frame[self._dataset.parts.test]
        self._finish(self._chosen)
        graph = export_onnx(self._chosen, self._dataset.features)
        check_parity(graph, self._chosen, test)
        arrays = run_onnx(graph, test)
        if "lower" in arrays:
            lower, upper, truth = arrays["lower"][:, 0], arrays["upper"][:, 0], self._test.target
            self.coverage = float(np.mean((lower <= truth) & (truth <= upper)))
        return self._told(arrays)

    def _sample(self, rows: Rows, inputs: Inputs) -> Sample:
        return Sample(inputs, self._dataset.target.values[rows])

    def _choose(self, name: str) -> Model:
        estimator = Estimator.model_validate({"name": name})
        spec = self._dataset.spec.model_copy(update={"estimator": estimator})
        return choose_model(self._model, self._train, self._validation, spec, self._folder).model

    def _answers_of(self, model: Model) -> Answers:
        self._finish(model)
        return self._told({name: answer.numpy() for name, answer in model.predict(self._test.inputs).items()})

    def _finish(self, model: Model) -> None:
        if isinstance(model.head, RegressionHead):
            fit_interval(model, self._validation, COVERAGE)
        else:
            calibrate(model, self._train, self._validation, self._dataset.spec.seed)

    def _told(self, arrays: Arrays) -> Answers:
        if "probabilities" in arrays:
            return np.asarray(arrays["probabilities"])
        values = arrays["value"][:, 0].astype(np.float64)
        return np.log(values) if self.logarithm else values
