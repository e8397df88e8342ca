"""A training run, from top to bottom: from a checked table to a model in the store.

Before it, :func:`training.data.dataset.read_dataset` reads, checks and splits the table.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

import numpy as np
import onnx
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract import artifact, store
from model_deployer.contract.artifact import Manifest, write_json
from model_deployer.contract.card import CardStatements
from model_deployer.contract.contract import Contract, Limits
from model_deployer.contract.errors import Interrupted
from model_deployer.contract.evaluation import MODEL, BehaviourShift, Evaluation, PartRows
from model_deployer.contract.outputs import Arrays, Classification, Output, Regression
from model_deployer.contract.prediction_shift import PredictionShift, exceeds_tolerance
from model_deployer.contract.versions import next_version
from model_deployer.training.data.dataset import Dataset
from model_deployer.training.data.split import Parts, method
from model_deployer.training.data.target import Target
from model_deployer.training.evaluation.decisions import decisions
from model_deployer.training.evaluation.evaluation import (
    MeasuredMetrics,
    evaluate_classification,
    evaluate_regression,
)
from model_deployer.training.evaluation.gates import check_gates, raise_for_failures
from model_deployer.training.evaluation.importance import importance
from model_deployer.training.evaluation.learning_curve import learning_curve
from model_deployer.training.evaluation.reliability import reliability
from model_deployer.training.evaluation.residuals import residuals
from model_deployer.training.evaluation.scored_rows import Predict, ScoredRows
from model_deployer.training.evaluation.sensitivity import missing_values
from model_deployer.training.evaluation.slices import slices
from model_deployer.training.export.export import (
    TOLERANCE,
    check_parity,
    export_onnx,
    graph_predictor,
    prediction_scale,
)
from model_deployer.training.export.golden import lines, write_golden
from model_deployer.training.export.latency import measure
from model_deployer.training.export.prediction_shift import shift_since
from model_deployer.training.export.provenance import library_versions, provenance
from model_deployer.training.export.reference import reference
from model_deployer.training.fitting.calibration import calibrate
from model_deployer.training.fitting.candidates import Choice, choose_model
from model_deployer.training.fitting.decision_threshold import decision_threshold
from model_deployer.training.fitting.fitting import LAST_CHECKPOINT
from model_deployer.training.fitting.prediction_interval import fit_interval
from model_deployer.training.fitting.prediction_sets import set_threshold
from model_deployer.training.fitting.refit import refit
from model_deployer.training.models.baselines import fit_baselines
from model_deployer.training.models.model import Model, save_model
from model_deployer.training.models.model_builder import build_model, rebuild_model
from model_deployer.training.preprocessing.preprocessing import Preprocessor
from model_deployer.training.preprocessing.sample import Sample, fit_sample, sample_of
from model_deployer.training.report.report import EvaluatedModel, write_report
from model_deployer.training.runtime.console import print_stage
from model_deployer.training.runtime.imports import importable, module_digests
from model_deployer.training.runtime.launch import launch
from model_deployer.training.spec import Spec


@dataclass(frozen=True)
class Trained:
    """The result of a training run.

    Attributes:
        tag: The tag of the model in the store, ``name:version``.
        evaluation: The evaluation of the model.
    """

    tag: str
    evaluation: Evaluation


def train(dataset: Dataset) -> Trained:
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


def _train(dataset: Dataset, checkpoints: Path) -> Trained:
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
    difference = check_parity(graph, model, frame[parts.test])
    predict = graph_predictor(graph)
    test_frame = frame.hstack(dataset.slice_only)[parts.test]
    scored = ScoredRows(predict, test_frame, features, output, test.target, test.row_weights)
    predictions = scored.answers
    print_stage(
        "export", f"{graph.ByteSize():,} bytes of ONNX; differs from torch by {difference:.1g} on the test part"
    )

    contract = Contract(features=features, output=output, limits=Limits(**spec.limits.model_dump()))
    comparison = _compare_with_previous(spec, contract, predict)
    curve = learning_curve(dataset, model, output)
    print_stage("curve", curve.verdict)

    by_model = {MODEL: _with_sets(predictions, output)} | _baseline_predictions(model, fit_rows, test)
    measured = _metrics(by_model, test, output, spec)
    evaluation = Evaluation(
        task=output.task,
        rows=PartRows(train=len(parts.train), validation=len(parts.validation), test=len(parts.test)),
        split=method(target, spec),
        refitted=spec.estimator.refit,
        calibrated=calibrated,
        logarithm=bool(model.blueprint.logarithm),
        parity=difference,
        metrics=measured.metrics,
        differences=measured.differences,
        table=dataset.roles,
        decisions=decisions(scored, spec.cost),
        residuals=residuals(scored),
        slices=slices(scored, dataset.slices),
        importance=importance(scored, spec.seed),
        missing=missing_values(scored, spec.seed),
        reliability=reliability(scored),
        curve=curve,
        latency=measure(graph, frame[parts.test]),
        behaviour=comparison.behaviour,
        findings=tuple(dataset.findings),
        candidates=choice.tried,
        skipped=choice.skipped,
        history=choice.history,
    )
    evaluation = _with_checked_gates(spec, evaluation)
    files = _Files(dataset.path, model, graph, predict, contract, evaluation)
    version = next_version(comparison.previous, contract, comparison.exceeds_tolerance)
    tag = _save(files, _manifest(dataset, model, str(version)), frame, parts, predictions)
    store.remember_source(tag, dataset.path)
    shutil.rmtree(checkpoints.parent, ignore_errors=True)
    print_stage("saved", tag)
    return Trained(tag, evaluation)


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


@dataclass(frozen=True)
class _Files:
    """The contents of an artifact that do not depend on rows of the table."""

    spec_path: Path
    model: Model
    graph: onnx.ModelProto
    predict: Predict
    contract: Contract
    evaluation: Evaluation

    def write(self, folder: Path) -> None:
        """Write the files into an empty folder."""
        shutil.copyfile(self.spec_path, folder / artifact.SPEC)
        save_model(self.model, folder)
        (folder / artifact.MODEL).write_bytes(self.graph.SerializeToString(deterministic=True))
        write_json(folder / artifact.CONTRACT, self.contract.model_dump(mode="json"))
        write_json(folder / artifact.EVALUATION, self.evaluation.to_json())


def _save(files: _Files, manifest: Manifest, frame: pl.DataFrame, parts: Parts, predictions: Arrays) -> str:
    """Write the artifact into the model store, and return its tag."""
    golden = write_golden(files.contract, frame[parts.test], files.predict)
    with tempfile.TemporaryDirectory(prefix="model-deployer-") as name:
        folder = Path(name)
        files.write(folder)
        (folder / artifact.GOLDEN).write_text(lines(golden), encoding="utf-8")
        write_report(folder, EvaluatedModel(manifest, files.contract, files.evaluation))
        distributions = reference(files.contract.features, frame[parts.train_and_validation], predictions)
        write_json(folder / artifact.REFERENCE, distributions.to_json())
        return store.save(folder, artifact.seal(folder, manifest))


@dataclass(frozen=True)
class _Comparison:
    """The comparison with the previous version in the store; without one, ``previous`` and ``shift`` are None."""

    previous: artifact.Artifact | None
    shift: PredictionShift | None
    tolerance: float

    @property
    def exceeds_tolerance(self) -> bool:
        """Whether the behaviour changed more than a patch version allows."""
        return self.shift is not None and exceeds_tolerance(self.shift, self.tolerance)

    @property
    def behaviour(self) -> BehaviourShift | None:
        """The part of the evaluation; None if there is nothing to compare with."""
        if self.previous is None or self.shift is None:
            return None
        return BehaviourShift(**asdict(self.shift), since=self.previous.tag, tolerance=self.tolerance)


def _compare_with_previous(spec: Spec, contract: Contract, predict: Predict) -> _Comparison:
    previous = store.latest(spec.name)
    shift = shift_since(previous, contract, predict)
    if previous and shift:
        print_stage("compare", f"with {previous.tag}: {shift}")
    return _Comparison(previous, shift, spec.tolerance)


def _with_checked_gates(spec: Spec, evaluation: Evaluation) -> Evaluation:
    """Check the gates of the model.yaml, and return the evaluation with their results; raise if one fails."""
    gates = check_gates(spec.gates, evaluation)
    for gate in gates:
        print_stage("gate" if gate.passed else "error", f"{gate.name}: {gate.message}")
    raise_for_failures(gates)
    return evaluation.model_copy(update={"gates": tuple(gates)})


def _manifest(dataset: Dataset, model: Model, version: str) -> Manifest:
    spec = dataset.spec
    return Manifest(
        name=spec.name,
        version=version,
        created=datetime.now(UTC).replace(microsecond=0),
        description=spec.description,
        owner=spec.owner,
        license=spec.license,
        business_context=spec.business_context,
        card=CardStatements(**spec.card.model_dump()),
        tolerance=TOLERANCE * prediction_scale(model),
        patch_tolerance=spec.tolerance,
        origin=provenance(dataset.version, spec, dataset.path.parent),
        transformers=dataset.transformed,
    )


def _output(target: Target, spec: Spec) -> Output:
    """Return the output of the contract, before it is calibrated."""
    if target.labels is None:
        count = spec.task == "count"
        return Regression(target=spec.data.target, unit=spec.unit, count=count, quantile=spec.quantile)
    if len(target.labels) > 2:
        return Classification(target=spec.data.target, labels=target.labels)
    threshold = decision_threshold(spec.cost)
    return Classification(target=spec.data.target, labels=target.labels, positive=target.labels[1], threshold=threshold)


def _calibrate(model: Model, training: Sample, validation: Sample, output: Output, spec: Spec) -> tuple[Output, bool]:
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


def _with_sets(predictions: Arrays, output: Output) -> Arrays:
    """Add the prediction sets to the predictions if the output has them."""
    if isinstance(output, Regression) or output.set_threshold is None:
        return predictions
    return {**predictions, "set": output.sets(predictions)}


def _baseline_predictions(model: Model, rows: Sample, test: Sample) -> dict[str, Arrays]:
    """Fit the baselines on the rows that the model was fitted on, and return their predictions for the test rows."""
    baselines = fit_baselines(model, rows)
    return {name: baseline.predict(test.inputs) for name, baseline in baselines.items()}


def _metrics(by_model: Mapping[str, Arrays], test: Sample, output: Output, spec: Spec) -> MeasuredMetrics:
    """Return the metrics of the model and of the baselines, from their predictions for the test rows."""
    if isinstance(output, Classification):
        return evaluate_classification(by_model, test, output.threshold, spec.cost, spec.seed)
    return evaluate_regression(by_model, test, output, spec.seed)


def _checkpoints(dataset: Dataset) -> Path:
    """Return the folder for checkpoints; its name identifies the spec, the data, the libraries and own modules."""
    spec = dataset.spec
    modules = module_digests(spec.classes, dataset.path.parent)
    identity = [spec.model_dump(exclude={"gates", "card"}), dataset.version, library_versions(), modules]
    key = hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()[:16]
    return dataset.path.parent / ".deployer" / spec.name / key


def _how_to_resume(checkpoints: Path) -> str:
    if (checkpoints / LAST_CHECKPOINT).exists():
        return "interrupted; run the same command again to resume after the last complete epoch"
    return "interrupted before the end of the first epoch; run the same command again to start from the beginning"
