"""The facts of several models next to each other, for a user who chooses one of them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.difference import Difference, Predict, difference
from model_deployer.contract.evaluation import MODEL, Latency, MetricValue
from model_deployer.contract.metric_catalog import HIGHER_IS_BETTER, LOWER_IS_BETTER, OF_A_QUANTILE, base_metric
from model_deployer.contract.outputs import Classification, Output, Regression, VectorOutput
from model_deployer.contract.prediction_shift import PredictionShift
from model_deployer.contract.versions import Change, Step

#: Metrics that depend on settings of the model, such as the costs of errors: a smaller one may be another setting.
_OF_SETTINGS = {"cost", "interval_width", "set_size"}


@dataclass(frozen=True, slots=True)
class StepBetween:
    """What changes for a caller when a model replaces the one before it.

    Attributes:
        since: The tag of the model before it.
        step: The version step that contract and behaviour require.
        changes: The changes of the contract, the largest step first.
        behaviour: The shift of the predictions for the golden requests; None if they cannot be compared.
    """

    since: str
    step: Step
    changes: list[Change]
    behaviour: PredictionShift | None

    @classmethod
    def of(cls, result: Difference) -> "StepBetween":
        """Return what a difference says about the step."""
        return cls(result.old.tag, result.step, result.changes, result.behaviour)


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a comparison shows of one model.

    Attributes:
        tag: ``name:version``.
        output: What the model predicts.
        estimator: The estimator that was chosen; None if not known.
        rows: The rows of all parts of the table; None if not known.
        data_version: The digest of the table.
        metrics: The metrics on the test part, by name.
        graph_bytes: The size of model.onnx.
        latency: The latency of the graph; None if not measured.
        step: The step from the model before it; None for the first model.
    """

    tag: str
    output: Output
    estimator: str | None
    rows: int | None
    data_version: str
    metrics: Mapping[str, MetricValue]
    graph_bytes: int
    latency: Latency | None
    step: StepBetween | None

    def to_json(self) -> dict[str, Any]:
        """Return content for ``json.dumps``."""
        step = self.step
        return {
            "model": self.tag,
            "task": self.output.task,
            "target": self.output.target,
            "estimator": self.estimator,
            "rows": self.rows,
            "data_version": self.data_version,
            "metrics": {name: metric.to_json() for name, metric in self.metrics.items()},
            "graph_bytes": self.graph_bytes,
            "latency": self.latency.to_json() if self.latency else None,
            "since": step.since if step else None,
            "step": step.step.name.lower() if step else None,
            "changes": [asdict(change) | {"step": change.step.name.lower()} for change in step.changes] if step else [],
            "behaviour": asdict(step.behaviour) if step and step.behaviour else None,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """Several models, each compared with the one before it.

    Attributes:
        models: The models.
        metrics: The names of the metrics to show.
        best: The tag of the best model by the name of the metric, for the metrics that decide it.
        notes: What the reader has to know about the figures, one sentence each.
    """

    models: Sequence[ModelFacts]
    metrics: Sequence[str]
    best: Mapping[str, str]
    notes: Sequence[str]

    def to_json(self) -> dict[str, Any]:
        """Return content for ``json.dumps``."""
        return {
            "models": [model.to_json() for model in self.models],
            "metrics": list(self.metrics),
            "best": dict(self.best),
            "notes": list(self.notes),
        }


def comparison(artifacts: Iterable[Artifact], predict: Predict) -> Comparison:
    """Compare models.

    Args:
        artifacts: The models in order. At most two are held at a time.
        predict: Returns the predictions of a model for the golden requests of the one before it.
    """
    models = list(_facts(artifacts, predict))
    metrics = _shown_metrics(models)
    winners = {name: _best(name, models) for name in metrics}
    best = {name: tag for name, tag in winners.items() if tag}
    return Comparison(models, metrics, best, list(_notes(models, best)))


def _facts(artifacts: Iterable[Artifact], predict: Predict) -> Iterator[ModelFacts]:
    previous = None
    for artifact in artifacts:
        step = StepBetween.of(difference(previous, artifact, predict)) if previous else None
        yield _model_facts(artifact, step)
        previous = artifact


def _model_facts(artifact: Artifact, step: StepBetween | None) -> ModelFacts:
    evaluation = artifact.evaluation
    return ModelFacts(
        artifact.tag,
        artifact.contract.output,
        evaluation.estimator,
        evaluation.rows.total if evaluation.rows else None,
        artifact.manifest.origin.data_version,
        evaluation.metrics_of(MODEL),
        artifact.model.stat().st_size,
        evaluation.latency,
        step,
    )


def _shown_metrics(models: Sequence[ModelFacts]) -> list[str]:
    """Return the metrics of all models if they do the same task, else those that all of them have."""
    names = list(dict.fromkeys(name for model in models for name in model.metrics))
    if _are_equal(_task, models):
        return names
    return [name for name in names if name not in OF_A_QUANTILE and all(name in model.metrics for model in models)]


def _best(name: str, models: Sequence[ModelFacts]) -> str | None:
    """Return the model whose interval of a metric is better than those of all others; None if there is none."""
    if (
        name in _OF_SETTINGS
        or base_metric(name) not in HIGHER_IS_BETTER | LOWER_IS_BETTER
        or not _are_equal(_meaning, models)
    ):
        return None
    if len(models) < 2 or any(name not in model.metrics for model in models):
        return None
    first, *others = sorted(models, key=lambda model: _losses(name, model))
    _, worst_of_first = _losses(name, first)
    return first.tag if all(worst_of_first < _losses(name, other)[0] for other in others) else None


def _losses(name: str, model: ModelFacts) -> tuple[float, float]:
    """Return the better and the worse end of an interval, negative where higher is better, so that lower is better."""
    metric = model.metrics[name]
    return (-metric.high, -metric.low) if base_metric(name) in HIGHER_IS_BETTER else (metric.low, metric.high)


def _notes(models: Sequence[ModelFacts], best: Mapping[str, str]) -> Iterator[str]:
    if not _are_equal(lambda model: model.output.target, models):
        yield "The models predict different targets."
    if not _are_equal(_task, models):
        yield "The models do different tasks, so only the metrics that all of them have are shown."
    if best:
        yield "Best: the whole interval is better than those of all other models."
    if len({model.data_version for model in models}) < len(models):
        yield (
            "Models with the same data version: the intervals are unpaired, so two models can differ on the same test "
            "rows although their intervals overlap."
        )
    else:
        yield "Each model was measured on the test part of its own table."
    if len({model.latency.processor for model in models if model.latency}) > 1:
        yield "The latencies were measured on different processors."


def _are_equal(key: Callable[[ModelFacts], Any], models: Sequence[ModelFacts]) -> bool:
    return len({key(model) for model in models}) <= 1


def _task(model: ModelFacts) -> tuple[str, float | None]:
    output = model.output
    return output.task, output.quantile if isinstance(output, Regression) else None


def _meaning(model: ModelFacts) -> tuple[Any, ...]:
    """Return what has to be equal for metrics of two models to rank them."""
    output = model.output
    if isinstance(output, Classification):
        return output.target, output.labels
    if isinstance(output, VectorOutput):
        return output.names, output.units
    return output.target, output.unit, output.quantile
