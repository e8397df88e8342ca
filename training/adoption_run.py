"""An adoption, from top to bottom: from a model that was trained elsewhere, and a table, to a model in the store."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import polars as pl
import torch
from numpy.typing import NDArray

from model_deployer.adoption.adopted_source import AdoptedSource, AskedSource
from model_deployer.adoption.equality.comparison import SourceAnswers, compare
from model_deployer.adoption.equality.probes import Probes, build_probes
from model_deployer.adoption.graph.interval import add_interval
from model_deployer.adoption.interface import Interface, Kind
from model_deployer.contract.adoption import Adoption, Equality
from model_deployer.contract.errors import CheckFailed, DataError
from model_deployer.contract.features import Categorical, Feature
from model_deployer.contract.number_format import count
from model_deployer.contract.outputs import Classification, Output, Regression
from model_deployer.training.completion import Completed, ReadyModel, complete
from model_deployer.training.data.dataset import Dataset
from model_deployer.training.data.request_rows import legal
from model_deployer.training.export.export import TOLERANCE, graph_predictor
from model_deployer.training.fitting.prediction_sets import set_threshold
from model_deployer.training.models.baselines import baseline_predictions
from model_deployer.training.models.conformal import conformal_quantile
from model_deployer.training.models.model_builder import build_model
from model_deployer.training.preprocessing.sample import Sample, fit_sample, sample_of
from model_deployer.training.runtime.console import print_stage
from model_deployer.training.spec import Spec

#: The maximum number of rows of the table that the source and the graph both answer.
MAX_COMPARED_ROWS = 20_000

#: How many rows that differ a message shows; all that are listed are in evaluation.json.
MAX_SHOWN = 5


def adopt(dataset: Dataset, source: AdoptedSource, cell: AskedSource) -> Completed:
    """Prove that the graph of a source answers as the source does, evaluate it, and save it in the store.

    Args:
        dataset: The model.yaml and the table, from :func:`training.data.dataset.read_evaluation_data`.
        source: The source.
        cell: The source itself.

    Raises:
        CheckFailed: if the source cannot become a graph, or the graph answers otherwise; the message names rows. Also
            if a gate fails. The store is unchanged.
        DataError: if the source refuses rows of the table.
        EnvironmentFault: if a file cannot be written; the store is unchanged.
    """
    if source.graph is None:
        raise CheckFailed(f"the model cannot become a graph: {source.origin.reason}")
    rows = _Rows.of(dataset, source)
    answers = cell.ask(rows.frame)
    _refuse_unanswered(answers, rows, dataset.spec)
    dataset = replace(dataset, features=_narrowed(dataset.features, answers, rows))
    output = _output(source.interface, dataset)
    equality = _equality(source.graph, output, answers, rows.legal(dataset.features))
    evidence = source.origin.model_copy(update={"answered_with": dict(cell.versions), "equality": equality})
    print_stage("compare", _summary(equality))
    _refuse_difference(equality)
    return complete(dataset, _ready(source.graph, output, dataset, evidence))


@dataclass(frozen=True)
class _Rows:
    """The rows that the source and the graph both answer: first those of the table, then the probe rows.

    Attributes:
        frame: The rows in the form of the graph's inputs.
        cases: The description of each row.
        table_rows: The number of rows that are from the table.
        indices: The positions of the rows among those that the source was asked.
    """

    frame: pl.DataFrame
    cases: tuple[str, ...]
    table_rows: int
    indices: tuple[int, ...]

    @classmethod
    def of(cls, dataset: Dataset, source: AdoptedSource) -> "_Rows":
        kinds: dict[str, Kind] = {
            feature.name: "text" if feature.dtype == "string" else "number" for feature in dataset.features
        }
        table = dataset.frame
        random = np.random.default_rng(dataset.spec.seed)
        chosen = np.sort(random.permutation(table.height)[:MAX_COMPARED_ROWS])
        probes = _of_contract(build_probes(kinds, source.critical, table[chosen], dataset.spec.seed), dataset.features)
        cases = (*(f"row {row + 1} of the table" for row in chosen), *probes.cases)
        return cls(pl.concat([table[chosen], probes.frame]), cases, len(chosen), tuple(range(len(cases))))

    def legal(self, features: Sequence[Feature]) -> "_Rows":
        """Return the rows that a contract accepts."""
        kept = legal(features, self.frame).to_numpy()
        return _Rows(
            self.frame.filter(kept),
            tuple(case for case, is_legal in zip(self.cases, kept, strict=True) if is_legal),
            int(kept[: self.table_rows].sum()),
            tuple(np.flatnonzero(kept).tolist()),
        )


def _of_contract(probes: Probes, features: Sequence[Feature]) -> Probes:
    """Return the probe rows whose values are of the kind that the contract has, such as whole numbers."""
    kept = legal([feature.model_copy(update={"missing": "impute"}) for feature in features], probes.frame).to_numpy()
    cases = tuple(case for case, is_kept in zip(probes.cases, kept, strict=True) if is_kept)
    return Probes(probes.frame.filter(kept), cases)


def _refuse_unanswered(answers: SourceAnswers, rows: _Rows, spec: Spec) -> None:
    refused = {row: reason for row, reason in answers.refused.items() if row < rows.table_rows}
    if not refused:
        return
    row, reason = min(refused.items())
    raise DataError(
        f"{spec.location('data', 'path')}: the source itself refuses {count(len(refused), 'row')} of the "
        f"{rows.table_rows:,} that it was asked, first {rows.cases[row]}: {reason}. Leave them out with `data.where`, "
        f"or correct them"
    )


def _narrowed(features: Sequence[Feature], answers: SourceAnswers, rows: _Rows) -> tuple[Feature, ...]:
    """Return the contract without the values that the source refuses in every row: missing or unknown ones."""
    return tuple(_narrowed_feature(feature, answers, rows) for feature in features)


def _narrowed_feature(feature: Feature, answers: SourceAnswers, rows: _Rows) -> Feature:
    if feature.nullable and _is_refused(f"{feature.name}: missing", answers, rows):
        feature = feature.model_copy(update={"missing": "reject", "required": True})
    unknown = f"{feature.name}: the text 'a category never seen'"
    if isinstance(feature, Categorical) and feature.categories and _is_refused(unknown, answers, rows):
        feature = feature.model_copy(update={"unknown": "reject"})
    return feature


def _is_refused(case: str, answers: SourceAnswers, rows: _Rows) -> bool:
    probes = [row for row, name in enumerate(rows.cases) if name == case]
    return bool(probes) and all(row in answers.refused for row in probes)


def _output(interface: Interface, dataset: Dataset) -> Output:
    target, spec = dataset.spec.data.target, dataset.spec
    if interface.labels is None:
        return Regression(target=target, unit=spec.unit)
    if len(interface.labels) > 2:
        return Classification(target=target, labels=interface.labels)
    # The source decides above its threshold, the contract at or above it.
    threshold = min(1.0, float(np.nextafter(np.float32(interface.threshold), np.float32(np.inf))))
    return Classification(target=target, labels=interface.labels, positive=interface.labels[1], threshold=threshold)


def _equality(graph: onnx.ModelProto, output: Output, answers: SourceAnswers, rows: _Rows) -> Equality:
    """Compare the graph with the source on the rows that the contract accepts."""
    indices = list(rows.indices)
    kept = SourceAnswers(
        answers.numbers[indices],
        None if answers.decisions is None else [answers.decisions[index] for index in indices],
        {position: answers.refused[index] for position, index in enumerate(indices) if index in answers.refused},
    )
    return compare(kept, graph_predictor(graph)(rows.frame), output, rows.cases, rows.table_rows)


def _summary(equality: Equality) -> str:
    rows = f"{equality.table_rows:,} rows of the table and {equality.probe_rows:,} probe rows"
    if equality.is_proved:
        return f"the graph answers as the source: {rows}, largest difference {equality.largest:.1g}"
    flips = "" if equality.flips is None else f", {equality.flips:,} other decisions"
    return f"the graph differs from the source in {equality.differing:,} of {rows}{flips}"


def _refuse_difference(equality: Equality) -> None:
    if equality.is_proved:
        return
    shown = "\n".join(
        f"  {row.case}: the source answers {row.source}, the graph {row.served} (difference {row.difference:.2g})"
        for row in equality.rows[:MAX_SHOWN]
    )
    raise CheckFailed(f"not saved, because {_summary(equality)}:\n{shown}")


def _ready(graph: onnx.ModelProto, output: Output, dataset: Dataset, evidence: Adoption) -> ReadyModel:
    preprocessor, train = fit_sample(dataset, dataset.parts.train)
    validation, test = (
        sample_of(dataset, part, preprocessor) for part in (dataset.parts.validation, dataset.parts.test)
    )
    model = build_model(
        preprocessor, dataset.features, train, dataset.target.classes, dataset.spec, is_positive=dataset.is_positive
    )
    answers = graph_predictor(graph)(dataset.frame[dataset.parts.validation])
    scale = 1.0
    if isinstance(output, Regression):
        scale = float(np.std(dataset.target.values))
        add_interval(graph, _half_width(answers["value"][:, 0], validation, output.coverage))
    elif len(output.labels) > 2:
        threshold = set_threshold(answers["probabilities"], validation.target, validation.row_weights, output.coverage)
        output = output.model_copy(update={"set_threshold": threshold})
    return ReadyModel(
        graph=graph,
        output=output,
        tolerance=TOLERANCE * scale,
        test=test,
        baselines=baseline_predictions(model, train, test),
        evidence={"adoption": evidence, "calibrated": False},
        write=lambda folder: None,
    )


def _half_width(values: NDArray[Any], validation: Sample, coverage: float) -> float:
    """Return the half width of the interval, from the absolute errors of the validation rows."""
    errors = torch.from_numpy(np.abs(validation.target - values.astype(np.float64)))
    return float(conformal_quantile(errors, torch.from_numpy(validation.row_weights), coverage))
