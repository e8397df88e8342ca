"""A recalibration, from top to bottom: a model of the store gets new probabilities, or a new interval.

They are fitted on labelled rows of its traffic, and measured on later ones. Everything else stays: the fields, the
decision threshold, and the order of the answers.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from model_deployer.adoption.graph.recalibration import SMALLEST, recalibrate_interval, recalibrate_probabilities
from model_deployer.contract import store
from model_deployer.contract.adoption import Adoption, Recalibration
from model_deployer.contract.artifact import SPEC, Artifact
from model_deployer.contract.errors import CheckFailed, DataError, UsageError
from model_deployer.contract.number_format import count
from model_deployer.contract.outputs import Arrays, Classification, Regression
from model_deployer.training.completion import Completed, ReadyModel, complete
from model_deployer.training.data.dataset import Dataset, Origin, known_dataset
from model_deployer.training.data.labelled_rows import LabelledRows
from model_deployer.training.export.export import graph_predictor
from model_deployer.training.fitting.calibration import new_calibration
from model_deployer.training.models.baselines import baseline_predictions
from model_deployer.training.models.conformal import conformal_quantile
from model_deployer.training.models.model_builder import build_model
from model_deployer.training.preprocessing.sample import fit_sample, sample_of
from model_deployer.training.runtime.console import print_stage
from model_deployer.training.spec import SplitSpec, read_spec

#: The shares of the labelled rows, in the order of their time: the first ones fit the baselines, those after them the
#: calibration, and the last ones measure it.
_SHARES = {"validation": 0.4, "test": 0.4}

#: The lowest number of labelled rows: fewer say too little about two parameters, and about their effect.
MIN_ROWS = 200


def recalibrate(artifact: Artifact, rows: LabelledRows) -> Completed:
    """Calibrate a model again, measure it, and save it with the next patch version.

    Args:
        artifact: The model.
        rows: Labelled rows of its traffic.

    Raises:
        UsageError: if the model has nothing to calibrate.
        DataError: if there are too few rows, or they have one label only.
        CheckFailed: if a new calibration is not better on rows that it was not fitted on, or a gate fails. The store is
            unchanged.
    """
    graph = _graph(artifact)
    if rows.frame.height < MIN_ROWS:
        raise DataError(
            f"{count(rows.frame.height, 'labelled row')}: a calibration needs at least {MIN_ROWS}; wait for more labels"
        )
    dataset = _dataset(artifact, rows)
    changes = _fit(graph, artifact, dataset, rows)
    print_stage("calibrate", _summary(changes))
    return complete(dataset, _ready(graph, artifact, dataset, changes), is_patch=True)


def _graph(artifact: Artifact) -> onnx.ModelProto:
    output = artifact.contract.output
    if artifact.runner:
        raise UsageError(f"{artifact.tag} is served by its source: calibrate the source, and adopt it again")
    if isinstance(output, Regression) and not output.interval:
        raise UsageError(f"{artifact.tag} predicts a value without an interval: there is nothing to calibrate")
    return onnx.load(artifact.model)


def _dataset(artifact: Artifact, rows: LabelledRows) -> Dataset:
    path = _spec_path(artifact)
    spec = read_spec(path)
    split = SplitSpec(method="time", **_SHARES)
    spec = spec.model_copy(update={"data": rows.data, "split": split, "slices": rows.kept_slices(spec.slices)})
    output = artifact.contract.output
    labels = output.labels if isinstance(output, Classification) else None
    return known_dataset(rows.frame, spec, artifact.contract.features, labels, Origin(path, rows.version))


def _spec_path(artifact: Artifact) -> Path:
    """Return the model.yaml of a model: the file of its author if it is still the same, else the copy in the store."""
    copy, source = artifact.path / SPEC, store.source(artifact.tag)
    return source if source and source.is_file() and source.read_bytes() == copy.read_bytes() else copy


def _fit(graph: onnx.ModelProto, artifact: Artifact, dataset: Dataset, rows: LabelledRows) -> Recalibration:
    """Fit the calibration on the validation part, and add it to the graph."""
    part = dataset.parts.validation
    answers = graph_predictor(graph)(dataset.frame[part])
    target = dataset.target.values[part]
    weights = np.ones(len(part)) if dataset.weights is None else dataset.weights[part]
    times = rows.frame[rows.time][part]
    first, last = (_iso(time) for time in (times.min(), times.max()))
    output = artifact.contract.output
    if isinstance(output, Regression):
        factor = _width_factor(answers, target, weights, output.coverage)
        recalibrate_interval(graph, factor)
        return Recalibration(rows=len(part), first=first, last=last, factor=factor)
    logs = np.log(np.maximum(answers["probabilities"].astype(np.float64), SMALLEST))
    fitted = new_calibration(logs, target, weights, dataset.spec.seed)
    if fitted is None:
        raise CheckFailed(
            f"not saved: on {count(len(part), 'labelled row')}, no calibration was better than the present one on rows "
            "that it was not fitted on; keep the model, or train it again with `deployer retrain`"
        )
    recalibrate_probabilities(graph, *fitted)
    return Recalibration(rows=len(part), first=first, last=last, slope=fitted[0], intercept=fitted[1])


def _width_factor(answers: Arrays, target: NDArray[Any], weights: NDArray[np.float64], coverage: float) -> float:
    """Return how many times as wide the interval has to be to contain the share of new rows that it promises.

    It is the conformal quantile of the errors, each in units of the distance to its end of the interval.
    """
    value, lower, upper = (answers[name][:, 0].astype(np.float64) for name in ("value", "lower", "upper"))
    distance = np.maximum(np.where(target < value, value - lower, upper - value), 1e-30)
    scores = torch.from_numpy(np.abs(target - value) / distance)
    return float(conformal_quantile(scores, torch.from_numpy(weights), coverage))


def _ready(graph: onnx.ModelProto, artifact: Artifact, dataset: Dataset, changes: Recalibration) -> ReadyModel:
    preprocessor, train = fit_sample(dataset, dataset.parts.train)
    test = sample_of(dataset, dataset.parts.test, preprocessor)
    model = build_model(
        preprocessor, dataset.features, train, dataset.target.classes, dataset.spec, is_positive=dataset.is_positive
    )
    return ReadyModel(
        graph=graph,
        predict=graph_predictor(graph),
        output=artifact.contract.output,
        tolerance=artifact.manifest.tolerance,
        evidence={"adoption": _origin(artifact, changes), "calibrated": changes.slope is not None},
        write=lambda _: None,
        test=test,
        baselines=baseline_predictions(model, train, test),
    )


def _origin(artifact: Artifact, changes: Recalibration) -> Adoption:
    evaluation = artifact.evaluation
    before = evaluation.adoption
    return Adoption(
        source=artifact.tag,
        digest=f"sha256:{artifact.manifest.files['model.onnx']}",
        format="a model of this store",
        estimator=before.estimator if before else evaluation.estimator,
        stored_with=before.stored_with if before else artifact.manifest.origin.libraries,
        answered_with={},
        served_by="graph",
        seen=False,
        recalibration=changes,
    )


def _summary(changes: Recalibration) -> str:
    fitted = f"fitted on {count(changes.rows, 'labelled row')}"
    if changes.factor is not None:
        return f"intervals {changes.factor:.3g} times as wide, {fitted}"
    intercept = f" and intercept {changes.intercept:+.3g}" if changes.intercept else ""
    return f"slope {changes.slope:.3g}{intercept} of the log-odds, {fitted}"


def _iso(time: object) -> str:
    assert isinstance(time, datetime)
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).isoformat(timespec="seconds")
