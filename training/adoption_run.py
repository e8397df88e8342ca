"""An adoption, from top to bottom: from a model that was trained elsewhere, and a table, to a model in the store."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import polars.selectors as cs
import torch
from numpy.typing import NDArray
from scipy.special import expit

from model_deployer.adoption.cell.cell_source import CellSource
from model_deployer.adoption.cell.source_rows import with_interval
from model_deployer.adoption.equality.comparison import SourceAnswers, compare, scales
from model_deployer.adoption.equality.image_probes import with_images
from model_deployer.adoption.equality.probes import MIXED_CASE, Probes, build_probes
from model_deployer.adoption.equality.sequence_probes import with_sequences
from model_deployer.adoption.equality.tensor_probes import with_tensors
from model_deployer.adoption.equality.vector_probes import with_vectors
from model_deployer.adoption.graph.all_inputs import with_all_inputs
from model_deployer.adoption.graph.interval import add_interval
from model_deployer.adoption.graph.scores import SCORES, has_scores, replace_scores
from model_deployer.adoption.interface import Interface, Kind, label_text
from model_deployer.adoption.network.image_input import StatedImage
from model_deployer.adoption.network.sequence_input import StatedSequence
from model_deployer.adoption.network.tensor_input import StatedTensor
from model_deployer.adoption.opened_source import OpenedSource, open_source
from model_deployer.adoption.read_source import ReadSource, SourceHints, read_source
from model_deployer.adoption.source_place import locate_source
from model_deployer.contract.adoption import Adoption, Equality
from model_deployer.contract.artifact import write_json
from model_deployer.contract.errors import CheckFailed, DataError, SpecError
from model_deployer.contract.features import (
    Boolean,
    Categorical,
    Feature,
    Image,
    Integer,
    NumberArray,
    NumberSequence,
    Tensor,
    Vector,
)
from model_deployer.contract.number_format import count
from model_deployer.contract.origin_text import compared_rows
from model_deployer.contract.outputs import Arrays, Classification, Output, Regression, VectorOutput
from model_deployer.contract.source_runner import RUNNER, SOURCE, SourceRunner
from model_deployer.training.completion import Completed, ReadyModel, complete, complete_without_table
from model_deployer.training.data.dataset import Dataset, read_evaluation_data
from model_deployer.training.data.features import candidates
from model_deployer.training.data.possible_categories import possible_categories
from model_deployer.training.data.request_rows import legal
from model_deployer.training.data.table import read_table
from model_deployer.training.data.untabled_fields import untabled_features
from model_deployer.training.data.vectors import table_dimensions
from model_deployer.training.evaluation.scored_rows import Predict
from model_deployer.training.export.export import TOLERANCE, graph_predictor
from model_deployer.training.fitting.prediction_sets import set_threshold
from model_deployer.training.fitting.score_calibration import fit_scores
from model_deployer.training.models.baselines import baseline_predictions, trivial_prediction
from model_deployer.training.models.conformal import conformal_quantile
from model_deployer.training.models.model_builder import build_model
from model_deployer.training.preprocessing.sample import Sample, fit_sample, sample_of, sample_without_inputs
from model_deployer.training.runtime.console import print_stage
from model_deployer.training.spec import AdoptSpec, FeatureOverride, Spec, read_spec

#: The maximum number of rows of the table that the source and the graph both answer, and of numbers and pixels in them;
#: with rows of very many numbers, the number of rows all the same.
MAX_COMPARED_ROWS, MAX_COMPARED_NUMBERS, MIN_COMPARED_ROWS = 20_000, 300_000_000, 200

_DECISIONS = (
    "the source decides without probabilities; fit it with them, such as with CalibratedClassifierCV or with "
    "`probability=True`, and adopt the result"
)

#: How many rows of the table show in which form the source takes rows.
FORM_ROWS = 20

#: How many rows that differ a message shows; all that are listed are in evaluation.json.
MAX_SHOWN = 5


def adopt(path: Path) -> Completed:
    """Prove that the graph of a source answers as the source does, evaluate it, and save it in the store.

    With ``adopt.serve: runner``, the source itself is evaluated and saved.

    Args:
        path: The model.yaml, with its section ``adopt``.

    Raises:
        SpecError, DataError: if the model.yaml or the table cannot be used; also if the source refuses rows of the
            table.
        UsageError: if the source is not a model, or may not be loaded.
        CellError: if the source cannot be loaded.
        CheckFailed: if the source cannot become a graph, or the graph answers otherwise; the message names rows. Also
            if a gate fails. The store is unchanged.
        EnvironmentFault: if a file cannot be written, or a library is missing; the store is unchanged.
    """
    spec = read_spec(path)
    assert spec.adopt
    source_path = locate_source(spec.adopt.source, path.parent)
    location = spec.location("adopt", "source")
    hints = _hints(spec)
    read = read_source(source_path, hints)
    if read.is_network and spec.data.has_table:
        hints = replace(hints, tensors={**hints.tensors, **_tensors_of_table(spec, path)})
        read = read_source(source_path, hints)
    has_names = hints.columns is not None or any((hints.vectors, hints.images, hints.sequences, hints.tensors))
    if read.is_unnamed and not has_names and spec.data.has_table:
        hints = replace(hints, columns=_columns_of_table(spec, path, read))
        read = read_source(source_path, hints)
    if read.is_network and spec.data.has_table:
        hints = replace(hints, classes=_two_classes(spec, path))
    if read.converted_library == "catboost":
        hints = replace(hints, categories=possible_categories(spec, path.parent))
    with open_source(read, hints, spec.adopt.trust, location) as source:
        print_stage("adopt", describe(source))
        if hints.columns and hints.columns != spec.adopt.columns and not source.has_names:
            names = ", ".join(hints.columns)
            print_stage("adopt", f"the source has no names for its columns; it gets those of the table: {names}")
        for note in source.origin.notes:
            print_stage("adopt", note)
        for name, pixels in (source.runner.network.images if source.runner.network else {}).items():
            form = ", ".join(f"{key} {value}" for key, value in pixels.to_json().items())
            print_stage("adopt", f"{name}: the network gets its pixels with {form}")
        if hints.classes and source.runner.network and source.runner.network.is_single and source.interface.labels:
            label = source.interface.labels[1]
            print_stage("adopt", f"its number is the probability of '{label}'; with `outputs: value`, it is a quantity")
        _check_numbers(source.interface, spec)
        if not spec.data.has_table:
            return _adopt_without_table(path, spec, source)
        return _adopt(read_evaluation_data(path, source.interface), source)


def _hints(spec: Spec) -> SourceHints:
    adopt = _required(spec)
    vectors = tuple(name for name, override in spec.features.items() if override.kind == "vector")
    images = {
        name: StatedImage(override.size, override.channels, override.pixels)
        for name, override in spec.features.items()
        if override.kind == "image"
    }
    sequences = {
        name: StatedSequence(
            override.longest or 1, override.shortest or 1, override.padding or 0.0, override.minimum, override.maximum
        )
        for name, override in spec.features.items()
        if override.kind == "sequence"
    }
    tensors = {
        name: StatedTensor(override.shape, override.minimum, override.maximum)
        for name, override in spec.features.items()
        if override.kind == "tensor"
    }
    return SourceHints(
        columns=adopt.columns,
        labels=adopt.labels,
        steps=adopt.steps,
        environment=adopt.environment,
        outputs=adopt.outputs,
        vectors=vectors,
        images=images,
        sequences=sequences,
        tensors=tensors,
        targets=spec.data.targets,
    )


def _tensors_of_table(spec: Spec, path: Path) -> dict[str, StatedTensor]:
    """Return the columns of a table that hold tensors, whose sizes are from the smallest to the largest in the table.

    model.yaml may state that a column is a vector, and the shape of a tensor.
    """
    frame = read_table(spec, path.parent).frame
    tensors = {}
    for name in candidates(frame, spec):
        override = spec.features.get(name, FeatureOverride())
        if override.kind not in (None, "tensor") or override.shape is not None:
            continue
        if dimensions := table_dimensions(frame[name]):
            tensors[name] = StatedTensor(dimensions, override.minimum, override.maximum)
    return tensors


def _columns_of_table(spec: Spec, path: Path, read: ReadSource) -> tuple[str, ...]:
    """Return the columns that a source without names gets: those of the table without a role, in their order.

    Raises:
        DataError: if the table has another number of columns, or a program next to the source has another order.
    """
    names = tuple(candidates(read_table(spec, path.parent).frame, spec))
    interface = read.interface
    if interface is not None and len(interface.fields) != len(names):
        raise DataError(
            f"{spec.location('adopt')}: the model reads {len(interface.fields)} columns and has no names for them, and "
            f"the table has {len(names)} columns without a role: {', '.join(names)}. List those of the model in its "
            f"order under `adopt.columns`"
        )
    for statement in read.source.about("columns"):
        if set(statement.value) == set(names) and tuple(statement.value) != names:
            raise DataError(
                f"{spec.location('adopt')}: the model has no names for its columns, and their order is not clear: the "
                f"table has {', '.join(names)}, and {statement.place} has {', '.join(statement.value)}. List them in "
                f"the order of the model under `adopt.columns`"
            )
    return names


def _two_classes(spec: Spec, path: Path) -> tuple[str, str] | None:
    """Return the two values of the target as texts, in ascending order; None if it has others."""
    if spec.data.targets:
        return None
    frame = read_table(spec, path.parent).frame
    if spec.data.target not in frame or frame[spec.data.target].drop_nulls().n_unique() != 2:
        return None
    first, second = map(label_text, frame[spec.data.target].drop_nulls().unique().sort())
    return first, second


def describe(source: OpenedSource) -> str:
    """Return in words what a source is, and how it can be served."""
    origin = source.origin
    versions = ", ".join(f"{name} {version}" for name, version in sorted(origin.answered_with.items()))
    written = "every part of it has a graph writer"
    if source.runner.network is not None:
        before = "the steps before it have graph writers, and " if len(source.runner.steps) > 1 else ""
        own = "its own graph is served" if origin.format == "onnx" else "it was converted to ONNX"
        written = f"{before}{own}"
    how = written if source.graph is not None else f"no graph: {origin.reason}"
    return f"{origin.format}, {origin.estimator or 'no class'}, loaded with {versions}; {how}"


def _refuse_without_graph(source: OpenedSource) -> None:
    if source.graph is None:
        raise CheckFailed(
            f"the model cannot become a graph: {source.origin.reason}. To serve the source itself, in a process of its "
            f"own, set `adopt.serve: runner`"
        )


def _adopt_without_table(path: Path, spec: Spec, source: OpenedSource) -> Completed:
    """Save a model that no table evaluates; a quantity then has no interval, and several labels no sets."""
    serve = _required(spec).serve
    if serve == "graph":
        _refuse_without_graph(source)
    if source.runner.answer == "decision":
        raise CheckFailed(f"{_DECISIONS}; or pass a table, to which probabilities are fitted")
    features = untabled_features(source.interface, source.critical, spec)
    rows = _Rows.of(features, None, source.critical, spec.seed)
    output = _output(_with_numbers(source, features, rows.frame, spec), spec)
    if isinstance(output, Regression):
        output = output.model_copy(update={"interval": False})
    cell = CellSource(source.cell.process, source.runner, features, output)
    cell = cell.in_accepted_form(rows.frame.head(FORM_ROWS), source.interface)
    answers = cell.ask(rows.frame)
    if len(answers.refused) == rows.frame.height:
        raise CheckFailed(
            f"the source itself refuses every probe row: {answers.refused[0].rstrip('.')}. Describe under `features` "
            f"what its columns hold, or pass a table with rows that it answers"
        )
    features = _narrowed(features, answers, rows)
    rows = rows.legal(features)
    evidence = source.origin.model_copy(update={"seen": _required(spec).seen, "served_by": serve})
    served = _Served(None, cell.predict, output, cell.runner, source.cell.files)
    if serve == "graph":
        assert source.graph is not None
        equality = _equality(source.graph, output, answers, rows, is_decision=False)
        print_stage("compare", _summary(equality))
        _refuse_difference(equality)
        evidence = evidence.model_copy(update={"equality": equality})
        graph = with_all_inputs(source.graph, features)
        served = _Served(graph, graph_predictor(graph), output)
    answered = rows.frame.filter([index not in answers.refused for index in rows.indices])
    ready = _untested(served, evidence, TOLERANCE * float(scales(answers, output, 0).min()))
    print_stage("adopt", "no table: nothing is measured, and drift is not watched")
    return complete_without_table(path, spec, features, ready, answered)


def _adopt(dataset: Dataset, source: OpenedSource) -> Completed:
    serve = _required(dataset.spec).serve
    if serve == "graph":
        _refuse_without_graph(source)
    if serve == "graph" and source.graph is not None and has_scores(source.graph):
        source = _with_probabilities(source, source.graph, dataset)
    elif source.runner.answer == "decision":
        raise CheckFailed(_DECISIONS)
    rows = _Rows.of(dataset.features, dataset.frame, source.critical, dataset.spec.seed)
    output = _output(_with_numbers(source, dataset.features, dataset.frame, dataset.spec), dataset.spec)
    if source.is_converted_network:
        rows = rows.near_table()
    if serve == "runner":
        rows = rows.without_mixed()
    cell = CellSource(source.cell.process, source.runner, dataset.features, output)
    cell = cell.in_accepted_form(rows.frame.head(min(FORM_ROWS, rows.table_rows)), source.interface)
    answers = cell.ask(rows.frame)
    _refuse_unanswered(answers, rows, dataset.spec, source.origin.notes)
    dataset = replace(dataset, features=_narrowed(dataset.features, answers, rows))
    evidence = source.origin.model_copy(update={"seen": _required(dataset.spec).seen, "served_by": serve})
    if serve == "runner":
        served = _Served(None, cell.predict, output, cell.runner, source.cell.files)
        return complete(dataset, _ready(served, dataset, evidence, answers))
    assert source.graph is not None
    is_decision = source.runner.answer == "decision"
    equality = _equality(source.graph, output, answers, rows.legal(dataset.features), is_decision=is_decision)
    print_stage("compare", _summary(equality))
    _refuse_difference(equality)
    evidence = evidence.model_copy(update={"equality": equality})
    graph = with_all_inputs(source.graph, dataset.features)
    served = _Served(graph, graph_predictor(graph), output)
    return complete(dataset, _ready(served, dataset, evidence, answers))


def _required(spec: Spec) -> AdoptSpec:
    assert spec.adopt
    return spec.adopt


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
    def of(
        cls,
        features: Sequence[Feature],
        table: pl.DataFrame | None,
        critical: Mapping[str, set[float | str]],
        seed: int,
    ) -> "_Rows":
        """Return the rows for fields, with or without a table, and for the critical values of a model."""
        if table is None:
            probes = _probes(features, None, critical, seed)
            return cls(probes.frame, probes.cases, 0, tuple(range(len(probes.cases))))
        elements = sum(feature.elements for feature in features)
        rows = min(MAX_COMPARED_ROWS, max(MIN_COMPARED_ROWS, MAX_COMPARED_NUMBERS // elements))
        chosen = np.sort(np.random.default_rng(seed).permutation(table.height)[:rows])
        probes = _probes(features, table[chosen], critical, seed)
        cases = (*(f"row {row + 1} of the table" for row in chosen), *probes.cases)
        probed = probes.frame.select(table.columns)
        return cls(pl.concat([table[chosen], probed]), cases, len(chosen), tuple(range(len(cases))))

    def near_table(self) -> "_Rows":
        """Return the rows whose numbers are at most one span outside of those of the table.

        A network adds in float32 in an order of its own. Far outside of its data, sums cancel, and what is left of them
        is rounding, which differs between two programs that are both right.
        """
        table, kept = self.frame.head(self.table_rows), np.ones(self.frame.height, bool)
        for name in self.frame.select(cs.float() | cs.array()).columns:
            known, values = table[name].to_numpy(), self.frame[name].to_numpy()
            known = known[np.isfinite(known)]
            low, high = (known.min(), known.max()) if known.size else (0.0, 0.0)
            is_near = np.isnan(values) | ((values >= 2 * low - high) & (values <= 2 * high - low))
            kept &= is_near.reshape(len(kept), -1).all(axis=1)
        cases = tuple(case for case, is_kept in zip(self.cases, kept, strict=True) if is_kept)
        return _Rows(self.frame.filter(kept), cases, self.table_rows, tuple(range(len(cases))))

    def without_mixed(self) -> "_Rows":
        """Return the rows without those of many unusual values: a source that refuses most of them takes minutes."""
        kept = [not case.startswith(MIXED_CASE) for case in self.cases]
        cases = tuple(case for case, is_kept in zip(self.cases, kept, strict=True) if is_kept)
        return _Rows(self.frame.filter(kept), cases, self.table_rows, tuple(range(len(cases))))

    def legal(self, features: Sequence[Feature]) -> "_Rows":
        """Return the rows that a contract accepts."""
        kept = legal(features, self.frame).to_numpy()
        return _Rows(
            self.frame.filter(kept),
            tuple(case for case, is_legal in zip(self.cases, kept, strict=True) if is_legal),
            int(kept[: self.table_rows].sum()),
            tuple(np.flatnonzero(kept).tolist()),
        )


def _probes(
    features: Sequence[Feature], table: pl.DataFrame | None, critical: Mapping[str, set[float | str]], seed: int
) -> Probes:
    """Return the probe rows for fields: single values, vectors, sequences, tensors and images."""
    lengths = {feature.name: feature.length for feature in features if isinstance(feature, Vector)}
    images = [feature for feature in features if isinstance(feature, Image)]
    sequences = [feature for feature in features if isinstance(feature, NumberSequence)]
    tensors = [feature for feature in features if isinstance(feature, Tensor)]
    kinds: dict[str, Kind] = {
        feature.name: "text" if feature.dtype == "string" else "number"
        for feature in features
        if not isinstance(feature, NumberArray | Image)
    }
    whole = [feature.name for feature in features if isinstance(feature, Integer | Boolean)]
    probes = build_probes(kinds, critical, table, seed, whole) if kinds else None
    if lengths:
        probes = with_vectors(probes, lengths, table, seed)
    if sequences:
        probes = with_sequences(probes, sequences, table, seed)
    if tensors:
        probes = with_tensors(probes, tensors, table, seed)
    return _of_contract(with_images(probes, images, table, seed), features)


def _of_contract(probes: Probes, features: Sequence[Feature]) -> Probes:
    """Return the probe rows whose values are of the kind that the contract has, such as whole numbers."""
    frame = probes.frame
    kept = legal([feature.model_copy(update={"missing": "impute"}) for feature in features], frame).to_numpy()
    for feature in features:
        values = frame[feature.name].to_numpy()
        if isinstance(feature, Boolean):
            kept &= np.isnan(values) | np.isin(values, (0, 1))
    cases = tuple(case for case, is_kept in zip(probes.cases, kept, strict=True) if is_kept)
    return Probes(frame.filter(kept), cases)


def _refuse_unanswered(answers: SourceAnswers, rows: _Rows, spec: Spec, notes: Sequence[str]) -> None:
    """Refuse rows of the table that the source refuses; the notes say which of its versions are not installed."""
    refused = {row: reason for row, reason in answers.refused.items() if row < rows.table_rows}
    if not refused:
        return
    row, reason = min(refused.items())
    reason = reason.rstrip(".")
    if len(refused) == rows.table_rows:
        advice = "Give the table the columns and the form that the model's own program gives it"
        raise DataError(
            f"{spec.location('data', 'path')}: the source itself refuses every row: {'. '.join([reason, *notes])}. "
            f"{advice if not notes else 'Install what is missing, and run this again'}"
        )
    raise DataError(
        f"{spec.location('data', 'path')}: the source itself refuses {count(len(refused), 'row')} of the "
        f"{rows.table_rows:,} that it was asked, first {rows.cases[row]}: {reason}. Leave them out with `data.where`, "
        f"or correct them"
    )


def _narrowed(features: Sequence[Feature], answers: SourceAnswers, rows: _Rows) -> tuple[Feature, ...]:
    """Return the contract without the values that the source refuses in every row: missing or unknown ones."""
    return tuple(_narrowed_feature(feature, answers, rows) for feature in features)


def _narrowed_feature(feature: Feature, answers: SourceAnswers, rows: _Rows) -> Feature:
    if isinstance(feature, NumberArray | Image):
        return feature
    values = rows.frame[feature.name]
    is_missing = values == "" if feature.dtype == "string" else values.is_nan()
    if feature.nullable and _is_refused(is_missing, answers):
        feature = feature.model_copy(update={"missing": "reject", "required": True})
    if isinstance(feature, Categorical) and feature.categories:
        is_unknown = ~is_missing & ~values.is_in(list(feature.categories))
        if _is_refused(is_unknown, answers):
            feature = feature.model_copy(update={"unknown": "reject"})
    return feature


def _is_refused(mask: pl.Series, answers: SourceAnswers) -> bool:
    """Return whether the source answers none of some rows: it raises an error, or its answer is not a number."""
    numbers = answers.numbers[mask.to_numpy()]
    return bool(len(numbers)) and not np.isfinite(numbers).all(axis=1).any()


def _with_probabilities(source: OpenedSource, graph: onnx.ModelProto, dataset: Dataset) -> OpenedSource:
    """Return a source that gives scores only with probabilities that are fitted on the validation rows."""
    rows = dataset.parts.validation
    scores = graph_predictor(graph)(dataset.frame[rows])[SCORES].astype(np.float64)
    if not np.isfinite(scores).all():
        count_unanswered = count(int((~np.isfinite(scores)).any(axis=1).sum()), "row")
        raise DataError(
            f"{dataset.spec.location('data', 'path')}: the source gives no score for {count_unanswered} of the "
            f"{len(rows):,} that calibrate it, such as rows with missing values. Leave them out with `data.where`, or "
            f"correct them"
        )
    weights = np.ones(len(rows)) if dataset.weights is None else dataset.weights[rows]
    slope, intercept = fit_scores(scores, dataset.target.values[rows], weights)
    replace_scores(graph, slope, intercept)
    threshold = float(expit(slope * source.interface.threshold + intercept))
    note = "the source decides without probabilities; those of the model are fitted to its scores on validation rows"
    print_stage("calibrate", note)
    notes = (*source.origin.notes, note)
    return replace(
        source,
        interface=replace(source.interface, threshold=threshold),
        origin=source.origin.model_copy(update={"notes": notes}),
    )


def _with_numbers(source: OpenedSource, features: Sequence[Feature], frame: pl.DataFrame, spec: Spec) -> Interface:
    """Return the interface with how many numbers an embedding has; a source that does not say it is asked a row."""
    interface = source.interface
    if not spec.is_embedding or interface.numbers is not None or interface.labels is not None:
        return interface
    unknown = VectorOutput(target=spec.data.target, length=1)
    cell = CellSource(source.cell.process, source.runner, features, unknown)
    cell = cell.in_accepted_form(frame.head(FORM_ROWS), interface)
    return replace(interface, numbers=cell.width(frame.head(FORM_ROWS)))


def _output(interface: Interface, spec: Spec) -> Output:
    target = spec.data.target
    if spec.is_embedding:
        return VectorOutput(target=target, length=interface.numbers or 1)
    if names := spec.data.targets:
        listed = f"{', '.join(names[:-1])} and {names[-1]}"
        return VectorOutput(target=listed, names=names, units=_units(names, spec), length=len(names))
    if interface.labels is None:
        return Regression(target=target, unit=spec.unit)
    if len(interface.labels) > 2:
        return Classification(target=target, labels=interface.labels)
    # The source decides above its threshold, the contract at or above it.
    threshold = min(1.0, float(np.nextafter(np.float32(interface.threshold), np.float32(np.inf))))
    return Classification(target=target, labels=interface.labels, positive=interface.labels[1], threshold=threshold)


def _units(names: Sequence[str], spec: Spec) -> tuple[str | None, ...]:
    return tuple(map(spec.units.get, names)) if spec.units else ()


def _check_numbers(interface: Interface, spec: Spec) -> None:
    """Check that model.yaml names the numbers of an answer if there are several, and not those of a classification.

    Raises:
        SpecError: if it names others than there are.
        CheckFailed: if it does not say what they are.
    """
    names, numbers = spec.data.targets, interface.numbers
    if not spec.has_several_numbers:
        if interface.labels is None and numbers is not None and numbers > 1:
            raise CheckFailed(
                f"the model gives {numbers} numbers for each row: list their names in its order under `data.targets`, "
                f"or, if they are one vector, add `outputs: embedding` under `adopt`"
            )
        return
    key, place = ("`data.targets`", ("data", "targets")) if names else ("`outputs: embedding`", ("adopt", "outputs"))
    if interface.labels is not None:
        raise SpecError(f"{spec.location(*place)}: the model decides between classes, so that {key} has no meaning")
    if names and numbers not in (None, len(names)):
        raise SpecError(
            f"{spec.location(*place)}: {len(names)} names, but the model gives {count(numbers, 'number')} for each row"
        )


def _equality(
    graph: onnx.ModelProto, output: Output, answers: SourceAnswers, rows: _Rows, *, is_decision: bool
) -> Equality:
    """Compare the graph with the source on the rows that the contract accepts."""
    indices = list(rows.indices)
    served = graph_predictor(graph)(rows.frame)
    numbers = answers.numbers[indices]
    if is_decision:  # only the decisions can be compared
        numbers = served[output.tensors[0]].astype(np.float64)
    kept = SourceAnswers(
        numbers,
        None if answers.decisions is None else [answers.decisions[index] for index in indices],
        {position: answers.refused[index] for position, index in enumerate(indices) if index in answers.refused},
    )
    return compare(kept, served, output, rows.cases, rows.table_rows)


def _summary(equality: Equality) -> str:
    rows = compared_rows(equality)
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
    raise CheckFailed(
        f"not saved, because {_summary(equality)}:\n{shown}\nTo serve the source itself, in a process of its own, set "
        f"`adopt.serve: runner`"
    )


@dataclass(frozen=True)
class _Served:
    """What answers callers.

    Attributes:
        graph: The graph; None if the source answers.
        predict: Returns its output tensors for conformed rows.
        output: The output of the contract.
        runner: How the source is started; None for a graph.
        files: The folder with the files of the source.
    """

    graph: onnx.ModelProto | None
    predict: Predict
    output: Output
    runner: SourceRunner | None = None
    files: Path | None = None

    def with_interval(self, half_width: float) -> "_Served":
        """Return the same with an interval around the value."""
        if self.graph is not None:
            add_interval(self.graph, half_width)
            return replace(self, predict=graph_predictor(self.graph))
        assert self.runner is not None
        value = self.predict

        def predict(frame: pl.DataFrame) -> dict[str, NDArray[np.float32]]:
            return with_interval(value(frame)["value"], half_width)

        return replace(self, predict=predict, runner=self.runner.model_copy(update={"half_width": half_width}))

    def write(self, folder: Path) -> None:
        """Write the files of the source, and how it is started; nothing for a graph."""
        if self.runner is None or self.files is None:
            return
        shutil.copytree(self.files, folder / SOURCE)
        write_json(folder / RUNNER, self.runner.to_json())


def _ready(served: _Served, dataset: Dataset, evidence: Adoption, source: SourceAnswers) -> ReadyModel:
    """Return a model that is ready to be evaluated.

    Args:
        served: What answers callers.
        dataset: The table.
        evidence: Where the model comes from.
        source: The answers of the source to the rows of the table and the probe rows.
    """
    if isinstance(served.output, VectorOutput):
        tolerance = TOLERANCE * float(scales(source, served.output, min(dataset.frame.height, MAX_COMPARED_ROWS)).min())
        return _untested(served, evidence, tolerance)
    parts = dataset.parts
    validation, test = (sample_without_inputs(dataset, part) for part in (parts.validation, parts.test))
    answers, output = served.predict(dataset.frame[parts.validation]), served.output
    scale = 1.0
    if isinstance(output, Regression):
        scale = float(np.std(dataset.target.values))
        served = served.with_interval(_half_width(answers["value"][:, 0], validation, output.coverage))
    elif len(output.labels) > 2:
        threshold = set_threshold(answers["probabilities"], validation.target, validation.row_weights, output.coverage)
        output = output.model_copy(update={"set_threshold": threshold})
    return ReadyModel(
        graph=served.graph,
        predict=served.predict,
        output=output,
        tolerance=TOLERANCE * scale,
        evidence={"adoption": evidence, "calibrated": False},
        write=served.write,
        test=test,
        baselines=_baselines(dataset),
    )


def _untested(served: _Served, evidence: Adoption, tolerance: float) -> ReadyModel:
    """Return a model without test rows of one target."""
    return ReadyModel(
        graph=served.graph,
        predict=served.predict,
        output=served.output,
        tolerance=tolerance,
        evidence={"adoption": evidence, "calibrated": False},
        write=served.write,
    )


def _baselines(dataset: Dataset) -> dict[str, Arrays]:
    """Return the predictions of the baselines for the test rows; fields with many numbers have no linear one."""
    parts = dataset.parts
    if any(isinstance(feature, NumberArray | Image) for feature in dataset.features):
        train = sample_without_inputs(dataset, parts.train)
        return trivial_prediction(train, dataset.target.classes, len(parts.test))
    preprocessor, train = fit_sample(dataset, parts.train)
    model = build_model(
        preprocessor, dataset.features, train, dataset.target.classes, dataset.spec, is_positive=dataset.is_positive
    )
    return baseline_predictions(model, train, sample_of(dataset, parts.test, preprocessor))


def _half_width(values: NDArray[Any], validation: Sample, coverage: float) -> float:
    """Return the half width of the interval, from the absolute errors of the validation rows."""
    errors = torch.from_numpy(np.abs(validation.target - values.astype(np.float64)))
    return float(conformal_quantile(errors, torch.from_numpy(validation.row_weights), coverage))
