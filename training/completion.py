"""The end of every run: evaluate a model that is ready, check its gates, and save it with the next version.

Training (:mod:`training.run`) and adoption (:mod:`training.adoption_run`) both end here.
"""

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl

from model_deployer.contract import artifact, store
from model_deployer.contract.artifact import NO_TABLE, Manifest, write_json
from model_deployer.contract.card import CardStatements
from model_deployer.contract.contract import Contract, Limits
from model_deployer.contract.evaluation import MODEL, TRIVIAL, BehaviourShift, Evaluation, PartRows
from model_deployer.contract.features import Feature
from model_deployer.contract.outputs import Arrays, Classification, Output, Regression, SingleTarget, VectorOutput
from model_deployer.contract.prediction_shift import PredictionShift, exceeds_tolerance
from model_deployer.contract.reference import Reference
from model_deployer.contract.reference_rows import ReferenceRows
from model_deployer.contract.versions import next_version
from model_deployer.training.data.dataset import Dataset
from model_deployer.training.data.split import method
from model_deployer.training.evaluation.decisions import decisions
from model_deployer.training.evaluation.evaluation import (
    MeasuredMetrics,
    evaluate_classification,
    evaluate_regression,
    evaluate_targets,
)
from model_deployer.training.evaluation.gates import check_gates, raise_for_failures
from model_deployer.training.evaluation.importance import importance
from model_deployer.training.evaluation.reliability import reliability
from model_deployer.training.evaluation.residuals import residuals
from model_deployer.training.evaluation.scored_rows import Predict, ScoredRows
from model_deployer.training.evaluation.sensitivity import missing_values
from model_deployer.training.evaluation.slices import slices
from model_deployer.training.export.drift_replay import describe_drift, replay, replayed_rows
from model_deployer.training.export.golden import lines, write_golden
from model_deployer.training.export.latency import measure
from model_deployer.training.export.metadata import describe
from model_deployer.training.export.prediction_shift import shift_since
from model_deployer.training.export.provenance import provenance
from model_deployer.training.export.reference import reference
from model_deployer.training.export.reference_rows import reference_rows
from model_deployer.training.export.table_units import table_units
from model_deployer.training.export.unit_spreads import unit_spreads
from model_deployer.training.preprocessing.sample import Sample
from model_deployer.training.report.report import EvaluatedModel, write_report
from model_deployer.training.runtime.console import print_stage
from model_deployer.training.spec import Spec


@dataclass(frozen=True)
class Completed:
    """The result of a run.

    Attributes:
        tag: The tag of the model in the store, ``name:version``.
        evaluation: The evaluation of the model.
    """

    tag: str
    evaluation: Evaluation


@dataclass(frozen=True)
class ReadyModel:
    """A model that is ready to be saved.

    Attributes:
        graph: The graph, from the features to the predictions; None if the source of the model answers.
        predict: Returns the outputs of the model for conformed rows.
        output: The output of the contract.
        tolerance: The largest difference from a golden prediction that an engine may have.
        evidence: The fields of the evaluation that only the origin of the model can tell.
        write: Writes the files of the artifact that only some models have into a folder.
        test: The test rows; None without a table, and for several numbers.
        baselines: The predictions of the baselines for the test rows, by name.
    """

    graph: onnx.ModelProto | None
    predict: Predict
    output: Output
    tolerance: float
    evidence: Mapping[str, Any]
    write: Callable[[Path], None]
    test: Sample | None = None
    baselines: Mapping[str, Arrays] = field(default_factory=dict)


def complete(dataset: Dataset, model: ReadyModel, *, is_patch: bool = False) -> Completed:
    """Evaluate a model on the test rows, and save it in the store.

    Args:
        dataset: The model.yaml and its table.
        model: The model.
        is_patch: Whether a change of behaviour is a patch, as that of a calibration is.

    Raises:
        CheckFailed: if a gate fails; the store is unchanged.
        EnvironmentFault: if a file cannot be written; the store is unchanged.
    """
    spec, parts, test, output = dataset.spec, dataset.parts, dataset.frame[dataset.parts.test], model.output
    contract = Contract(features=dataset.features, output=output, limits=Limits(**spec.limits.model_dump()))
    comparison = replace(_compare_with_previous(spec, contract, model.predict), is_patch=is_patch)
    answers = model.predict(test)
    evaluation = Evaluation(
        task=output.task,
        rows=PartRows(train=len(parts.train), validation=len(parts.validation), test=len(parts.test)),
        split=method(dataset.target, spec),
        table=dataset.roles,
        latency=measure(model.graph, test, contract.batch_rows) if model.graph else None,
        behaviour=comparison.behaviour,
        findings=tuple(dataset.findings),
        **_measured_on_test(dataset, model, answers),
        **model.evidence,
    )
    evaluation = _with_checked_gates(spec, evaluation)
    files = _Files(dataset.path, model, contract, evaluation, *_reference(dataset, answers, model, evaluation))
    manifest = _manifest(dataset.path, spec, model.tolerance, dataset.version, comparison.version(contract))
    return _save(files, manifest.model_copy(update={"transformers": dataset.transformed}), test)


def _measured_on_test(dataset: Dataset, model: ReadyModel, answers: Arrays) -> dict[str, Any]:
    """Return the fields of the evaluation that compare the model with the truth of the test rows.

    Args:
        dataset: The table.
        model: The model.
        answers: The outputs of the model for the test rows.
    """
    if isinstance(model.output, VectorOutput):
        return _measured_targets(dataset, model.output, answers)
    spec, output, test, rows = dataset.spec, model.output, model.test, dataset.parts.test
    assert test is not None
    test_frame = dataset.frame.hstack(dataset.slice_only)[rows]
    scored = ScoredRows(model.predict, test_frame, dataset.features, output, test.target, test.row_weights)
    measured = _metrics({MODEL: _with_sets(answers, output)} | dict(model.baselines), test, output, spec)
    return {
        "metrics": measured.metrics,
        "differences": measured.differences,
        "decisions": decisions(scored, spec.cost),
        "residuals": residuals(scored),
        "slices": slices(scored, dataset.slices),
        "importance": importance(scored, spec.seed),
        "missing": missing_values(scored, spec.seed),
        "reliability": reliability(scored),
    }


def _measured_targets(dataset: Dataset, output: VectorOutput, answers: Arrays) -> dict[str, Any]:
    """Return the metrics of each target, next to those of its mean in the training part; none of an embedding."""
    if dataset.truths is None:
        return {"metrics": {}}
    train, test = dataset.parts.train, dataset.parts.test
    weights = np.ones(len(dataset.frame)) if dataset.weights is None else dataset.weights
    means = np.average(dataset.truths[train], axis=0, weights=weights[train])
    models = {MODEL: answers, TRIVIAL: {"values": np.tile(means, (len(test), 1))}}
    measured = evaluate_targets(models, dataset.truths[test], weights[test], output, dataset.spec.seed)
    return {"metrics": measured.metrics, "differences": measured.differences}


def complete_without_table(
    path: Path, spec: Spec, features: tuple[Feature, ...], model: ReadyModel, rows: pl.DataFrame
) -> Completed:
    """Save a model that no table evaluates: nothing is measured but its latency, and nothing is known of drift.

    Args:
        path: The model.yaml.
        spec: Its content.
        features: The contract of the fields.
        model: The model.
        rows: Conformed rows that the model accepts, for the golden requests and the latency.

    Raises:
        CheckFailed: if model.yaml has gates that need a table.
        EnvironmentFault: if a file cannot be written; the store is unchanged.
    """
    contract = Contract(features=features, output=model.output, limits=Limits(**spec.limits.model_dump()))
    comparison = _compare_with_previous(spec, contract, model.predict)
    evaluation = Evaluation(
        task=model.output.task,
        metrics={},
        latency=measure(model.graph, rows, contract.batch_rows) if model.graph else None,
        behaviour=comparison.behaviour,
        **model.evidence,
    )
    files = _Files(path, model, contract, _with_checked_gates(spec, evaluation))
    manifest = _manifest(path, spec, model.tolerance, NO_TABLE, comparison.version(contract))
    return _save(files, manifest, rows)


@dataclass(frozen=True)
class _Files:
    """The contents of an artifact that do not depend on rows of the table."""

    spec_path: Path
    model: ReadyModel
    contract: Contract
    evaluation: Evaluation
    reference: Reference | None = None
    reference_rows: ReferenceRows | None = None

    def write(self, folder: Path) -> None:
        """Write the files into an empty folder."""
        shutil.copyfile(self.spec_path, folder / artifact.SPEC)
        self.model.write(folder)
        if self.model.graph:
            (folder / artifact.MODEL).write_bytes(self.model.graph.SerializeToString(deterministic=True))
        write_json(folder / artifact.CONTRACT, self.contract.model_dump(mode="json"))
        write_json(folder / artifact.EVALUATION, self.evaluation.to_json())
        if self.reference is not None:
            write_json(folder / artifact.REFERENCE, self.reference.to_json())
        if self.reference_rows is not None:
            self.reference_rows.write(folder / artifact.REFERENCE_ROWS)


def _reference(
    dataset: Dataset, predictions: Arrays, model: ReadyModel, evaluation: Evaluation
) -> tuple[Reference, ReferenceRows | None]:
    """Return the expected distributions with thresholds and spreads of days from a replay, and rows of the table.

    Args:
        dataset: The table.
        predictions: The outputs of the model for the test rows.
        model: The model.
        evaluation: Its evaluation.
    """
    parts, frame, seed = dataset.parts, dataset.frame, dataset.spec.seed
    distributions = reference(dataset.features, frame[parts.train_and_validation], predictions, model.output)
    training, test = (
        replayed_rows(dataset.origins, part, frame, model.predict, seed)
        for part in (parts.train_and_validation, parts.test)
    )
    drift = replay(dataset.features, distributions, training, test, len(parts.test))
    print_stage("replay", describe_drift(drift))
    units = table_units(training, test)
    if units is None:
        return distributions.model_copy(update={"drift": drift}), None
    spreads = unit_spreads(dataset.features, distributions, units)
    rows = reference_rows(_by_importance(dataset.features, evaluation), distributions, units, seed)
    return distributions.model_copy(update={"drift": drift, "spreads": spreads}), rows


def _by_importance(features: Sequence[Feature], evaluation: Evaluation) -> list[Feature]:
    """Return the features, the most important first; in their order as far as that was not measured."""
    ranked = [each.feature for each in evaluation.importance.features] if evaluation.importance else []
    ranks = {name: rank for rank, name in enumerate(ranked)}
    return sorted(features, key=lambda feature: ranks.get(feature.name, len(ranks)))


def _save(files: _Files, manifest: Manifest, test: pl.DataFrame) -> Completed:
    """Write the artifact into the model store; ``test`` are the conformed test rows."""
    if files.model.graph:
        describe(files.model.graph, files.contract, manifest)
    golden = write_golden(files.contract, test, files.model.predict)
    with tempfile.TemporaryDirectory(prefix="model-deployer-") as name:
        folder = Path(name)
        files.write(folder)
        (folder / artifact.GOLDEN).write_text(lines(golden), encoding="utf-8")
        write_report(folder, EvaluatedModel(manifest, files.contract, files.evaluation))
        tag = store.save(folder, artifact.seal(folder, manifest))
    store.remember_source(tag, files.spec_path)
    print_stage("saved", tag)
    return Completed(tag, files.evaluation)


@dataclass(frozen=True)
class _Comparison:
    """The comparison with the previous version in the store; without one, ``previous`` and ``shift`` are None."""

    previous: artifact.Artifact | None
    shift: PredictionShift | None
    tolerance: float
    is_patch: bool = False

    @property
    def exceeds_tolerance(self) -> bool:
        """Whether the behaviour changed more than a patch version allows."""
        return not self.is_patch and self.shift is not None and exceeds_tolerance(self.shift, self.tolerance)

    def version(self, contract: Contract) -> str:
        """Return the version of a model with this contract."""
        return str(next_version(self.previous, contract, self.exceeds_tolerance))

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


def _manifest(path: Path, spec: Spec, tolerance: float, data_version: str, version: str) -> Manifest:
    return Manifest(
        name=spec.name,
        version=version,
        created=datetime.now(UTC).replace(microsecond=0),
        description=spec.description,
        owner=spec.owner,
        license=spec.license,
        business_context=spec.business_context,
        card=CardStatements(**spec.card.model_dump()),
        tolerance=tolerance,
        patch_tolerance=spec.tolerance,
        origin=provenance(data_version, spec, path.parent),
    )


def _with_sets(predictions: Arrays, output: SingleTarget) -> Arrays:
    """Add the prediction sets to the predictions if the output has them."""
    if isinstance(output, Regression) or output.set_threshold is None:
        return predictions
    return {**predictions, "set": output.sets(predictions)}


def _metrics(by_model: Mapping[str, Arrays], test: Sample, output: SingleTarget, spec: Spec) -> MeasuredMetrics:
    """Return the metrics of the model and of the baselines, from their predictions for the test rows."""
    if isinstance(output, Classification):
        return evaluate_classification(by_model, test, output.threshold, spec.cost, spec.seed)
    return evaluate_regression(by_model, test, output, spec.seed)
