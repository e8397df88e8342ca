"""A training run, from top to bottom: from a checked table to a model that is ready to be evaluated and saved.

Before it, :func:`training.data.dataset.read_dataset` reads, checks and splits the table.
"""

import hashlib
import json
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NoReturn

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.errors import Interrupted
from model_deployer.contract.outputs import Classification, Regression, SingleTarget
from model_deployer.training.completion import Completed, ReadyModel, complete
from model_deployer.training.data.dataset import Dataset
from model_deployer.training.data.target import Target
from model_deployer.training.evaluation.learning_curve import learning_curve
from model_deployer.training.export.export import (
    TOLERANCE,
    check_parity,
    export_onnx,
    graph_predictor,
    prediction_scale,
)
from model_deployer.training.export.probe_rows import probe_rows
from model_deployer.training.export.provenance import library_versions
from model_deployer.training.fitting.calibration import calibrate
from model_deployer.training.fitting.candidates import Choice, choose_model
from model_deployer.training.fitting.decision_threshold import decision_threshold
from model_deployer.training.fitting.fitting import LAST_CHECKPOINT
from model_deployer.training.fitting.prediction_interval import fit_interval
from model_deployer.training.fitting.prediction_sets import set_threshold
from model_deployer.training.fitting.refit import refit
from model_deployer.training.models.baselines import baseline_predictions
from model_deployer.training.models.model import Model, save_model
from model_deployer.training.models.model_builder import build_model, rebuild_model
from model_deployer.training.preprocessing.preprocessing import Preprocessor
from model_deployer.training.preprocessing.sample import Sample, fit_sample, sample_of
from model_deployer.training.runtime.console import print_stage
from model_deployer.training.runtime.imports import importable, module_digests
from model_deployer.training.runtime.launch import launch
from model_deployer.training.spec import Spec


def train(dataset: Dataset) -> Completed:
    """Train, evaluate and save the model that a model.yaml describes.

    Restarting an interrupted run with the same model.yaml and the same data resumes it.

    Args:
        dataset: The model.yaml and its table, from :func:`training.data.dataset.read_dataset`.

    Raises:
        DataError: if the features cannot be used.
        SpecError: if the estimator of the model.yaml cannot be used.
        CheckFailed: if the loss becomes infinite, the exported graph differs from the model, or a gate fails.
        EnvironmentFault: if a library or device is missing, or a file cannot be written; the store is unchanged.
        Interrupted: if the user interrupts the run with Ctrl-C; the checkpoints are kept.
    """
    checkpoints = _checkpoints(dataset)
    try:
        with importable(dataset.path.parent):
            return _train(dataset, checkpoints)
    except KeyboardInterrupt:
        raise Interrupted(_how_to_resume(checkpoints)) from None


def _train(dataset: Dataset, checkpoints: Path) -> Completed:
    spec, target, parts, frame = dataset.spec, dataset.target, dataset.parts, dataset.frame
    features, classes = dataset.features, target.classes
    preprocessor, training = _fit_sample(dataset, parts.train)
    validation = sample_of(dataset, parts.validation, preprocessor)
    print_stage("preprocess", f"{len(features)} features, fitted on the training part")

    model = build_model(preprocessor, features, training, classes, spec, is_positive=dataset.is_positive)
    choice = choose_model(model, training, validation, spec, checkpoints)
    if launch().is_worker:
        _help_refit_and_exit(choice, dataset, checkpoints)
    output, calibrated = _calibrate(choice.model, training, validation, _output(target, spec), spec)
    model, fit_rows = _refit(choice, dataset, checkpoints) if spec.estimator.refit else (choice.model, training)
    test = sample_of(dataset, parts.test, model.blueprint.preprocessor)

    graph = export_onnx(model, features)
    probes = probe_rows(model, features, frame[parts.train], spec.seed)
    difference = check_parity(graph, model, pl.concat([frame[parts.test], probes]))
    print_stage(
        "export",
        f"{graph.ByteSize():,} bytes of ONNX; differs from torch by {difference:.1g} on the test part and on "
        f"{probes.height:,} probe rows",
    )
    curve = learning_curve(dataset, model, output)
    print_stage("curve", curve.verdict)
    ready = ReadyModel(
        graph=graph,
        predict=graph_predictor(graph),
        output=output,
        tolerance=TOLERANCE * prediction_scale(model),
        evidence={
            "refitted": spec.estimator.refit,
            "calibrated": calibrated,
            "logarithm": bool(model.blueprint.logarithm),
            "parity": difference,
            "curve": curve,
            "candidates": choice.tried,
            "skipped": choice.skipped,
            "history": choice.history,
        },
        write=partial(save_model, model),
        test=test,
        baselines=baseline_predictions(model, fit_rows, test),
    )
    completed = complete(dataset, ready)
    shutil.rmtree(checkpoints.parent, ignore_errors=True)
    return completed


def _fit_sample(dataset: Dataset, rows: NDArray[np.int64]) -> tuple[Preprocessor, Sample]:
    """Fit the preprocessing on rows in memory; their sample also gets the stream of the rows that are not in memory."""
    preprocessor, sample = fit_sample(dataset, rows)
    return preprocessor, replace(sample, stream=dataset.stream)


def _help_refit_and_exit(choice: Choice, dataset: Dataset, checkpoints: Path) -> NoReturn:
    """Take part in the refit of the network as a worker of a launch, and exit; the leader does everything else."""
    if dataset.spec.estimator.refit:
        _refit(choice, dataset, checkpoints)
    raise SystemExit(0)


def _refit(choice: Choice, dataset: Dataset, checkpoints: Path) -> tuple[Model, Sample]:
    """Fit the chosen model again on the training and validation rows; return it with these rows."""
    preprocessor, rows = _fit_sample(dataset, dataset.parts.train_and_validation)
    model = rebuild_model(preprocessor, dataset.features, rows, choice.model, dataset.spec)
    return refit(choice, model, rows, dataset.spec, checkpoints / "refit"), rows


def _output(target: Target, spec: Spec) -> SingleTarget:
    """Return the output of the contract, before it is calibrated."""
    if target.labels is None:
        count = spec.task == "count"
        return Regression(target=spec.data.target, unit=spec.unit, count=count, quantile=spec.quantile)
    if len(target.labels) > 2:
        return Classification(target=spec.data.target, labels=target.labels)
    threshold = decision_threshold(spec.cost)
    return Classification(target=spec.data.target, labels=target.labels, positive=target.labels[1], threshold=threshold)


def _calibrate(
    model: Model, training: Sample, validation: Sample, output: SingleTarget, spec: Spec
) -> tuple[SingleTarget, bool]:
    """Calibrate the model on the validation rows: its probabilities and prediction sets, or its prediction interval.

    Returns:
        The output of the contract, and whether the probabilities were changed.
    """
    if isinstance(output, Regression):
        fit_interval(model, validation, output.coverage)
        print_stage("calibrate", f"{output.coverage:.0%} prediction interval, fitted on {len(validation):,} rows")
        return output, False
    was_kept = calibrate(model, training, validation, spec.seed)
    print_stage("calibrate", "kept: it lowers the log loss" if was_kept else "left out: no evidence that it helps")
    return _with_set_threshold(model, validation, output), was_kept


def _with_set_threshold(model: Model, validation: Sample, output: Classification) -> Classification:
    """With more than two labels, add the probability threshold of the prediction sets to the output."""
    if len(output.labels) == 2:
        return output
    probabilities = model.predict(validation.inputs)["probabilities"].numpy()
    threshold = set_threshold(probabilities, validation.target, validation.row_weights, output.coverage)
    print_stage(
        "calibrate", f"{output.coverage:.0%} prediction sets: labels with a probability of {threshold:.4g} or more"
    )
    return output.model_copy(update={"set_threshold": threshold})


def _checkpoints(dataset: Dataset) -> Path:
    """Return the folder for checkpoints; its name identifies the spec, the data, the libraries and own modules."""
    spec = dataset.spec
    modules = module_digests(spec.classes, dataset.path.parent)
    identity = [spec.model_dump(exclude={"gates", "card", "holdout"}), dataset.version, library_versions(), modules]
    key = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:16]
    return dataset.path.parent / ".deployer" / spec.name / key


def _how_to_resume(checkpoints: Path) -> str:
    if (checkpoints / LAST_CHECKPOINT).exists():
        return "interrupted; run the same command again to resume after the last complete epoch"
    return "interrupted before the end of the first epoch; run the same command again to start from the beginning"
