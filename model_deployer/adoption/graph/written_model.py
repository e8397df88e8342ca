"""Write the graph of a whole stored model."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from model_deployer.adoption.graph.answer import Answer
from model_deployer.adoption.graph.field_fact import FieldFact
from model_deployer.adoption.graph.frame import Frame
from model_deployer.adoption.graph.graph_writer import GraphWriter
from model_deployer.adoption.graph.registry import require_writers, write_predictor
from model_deployer.adoption.graph.rounding import rounded_probabilities
from model_deployer.adoption.graph.sklearn.encoder import encodes_some_columns
from model_deployer.adoption.graph.trees.booster_files import booster_fields, booster_width
from model_deployer.adoption.graph.unsupported import UnsupportedModel
from model_deployer.adoption.graph.writers import register_writers
from model_deployer.adoption.interface import Interface, Kind, SourceField, label_text
from model_deployer.adoption.source.pandas_index import index_names
from model_deployer.adoption.stored_object import StoredObject

register_writers()


#: Why a model has no graph whose parts have writers, until its columns are known.
NO_COLUMNS = "it does not state its columns; list them under `adopt.columns`"

#: The errors of attributes of another type or shape than a writer expects; a file may hold anything.
_FORM_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    IndexError,
    TypeError,
    ValueError,
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
)


@dataclass(frozen=True)
class Field:
    """A raw field of a model.

    Attributes:
        name: Its name, as the model has it.
        kind: Whether it is a number or a text; None if the model does not read it.
        fact: What the model accepts of it.
        critical: The values at which the model changes its behaviour, in ascending order.
    """

    name: str
    kind: Kind | None
    fact: FieldFact
    critical: tuple[float | str, ...]

    @classmethod
    def of(cls, name: str, graph: GraphWriter) -> "Field":
        """Return what the writers of a graph have noted of a field."""
        critical = graph.critical.get(name, set())
        texts = sorted(value for value in critical if isinstance(value, str))
        numbers = sorted(value for value in critical if not isinstance(value, str) and np.isfinite(value))
        return cls(name, graph.inputs.get(name), graph.facts.get(name, FieldFact()), (*numbers, *texts))

    @property
    def source_field(self) -> SourceField:
        """The field as a contract is written from it; categories are texts."""
        fact = self.fact
        known = [value for value in fact.categories if fact.accepted is None or value in fact.accepted]
        lower, upper = _range(self, fact)
        return SourceField(
            self.name,
            self.kind,
            tuple(label_text(value) for value in known) if fact.categories else None,
            refuses_unknown=fact.accepted is not None,
            refuses_missing=not fact.accepts_missing,
            is_free_text=fact.is_free_text,
            minimum=lower,
            maximum=upper,
        )


@dataclass(frozen=True)
class WrittenModel:
    """The graph of a stored model.

    Attributes:
        onnx: The graph. Its inputs are the raw fields that the model reads, double or string [rows, 1]; its output is
            ``probabilities`` [rows, labels], ``value`` [rows, 1], for several targets ``values`` [rows, targets], or,
            for a model that decides without probabilities, ``scores`` [rows, 1] for two labels or [rows, labels];
            float32. Where the source decides in a way of its own, the output ``decision`` [rows, 1] is the position of
            the label.
        labels: The classes in the order of the columns, as the source has them; None for a regression.
        threshold: With two labels, the source decides for the second one if its probability is above this; without
            probabilities, if the score is.
        fields: The raw fields in the order of the source.
        path: The import path of the class of the model.
        targets: The number of targets of a regression.
    """

    onnx: onnx.ModelProto
    labels: tuple[Any, ...] | None
    threshold: float
    fields: tuple[Field, ...]
    path: str
    targets: int = 1

    @property
    def interface(self) -> Interface:
        """The inputs and the output, as a contract is written from them; categories and labels are texts."""
        fields = tuple(field.source_field for field in self.fields)
        labels = None if self.labels is None else tuple(label_text(label) for label in self.labels)
        return Interface(fields, labels, self.threshold, self.targets)

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs of the graph."""
        return tuple(output.name for output in self.onnx.graph.output)


def write_model(stored: object, fields: Sequence[str] | None = None) -> WrittenModel:
    """Write a stored model as a graph on its raw fields.

    Args:
        stored: The model.
        fields: The names of its columns in their order, for a model that does not state them.

    Raises:
        UnsupportedModel: if the model, or a part of it, has no writer, if it is not fitted, or if the names do not fit.
    """
    if not isinstance(stored, StoredObject):
        raise UnsupportedModel(f"expected a fitted model, but found {type(stored).__name__}")
    with form_checked(stored):
        return _written(stored, fields)


@contextmanager
def form_checked(stored: StoredObject) -> Iterator[None]:
    """Turn errors of attributes of another form than writers expect into :class:`UnsupportedModel`."""
    try:
        yield
    except KeyError as missing:
        raise UnsupportedModel(
            f"{stored.path}, or a part of it, has no attribute {missing}: it is not fitted, or its version has another"
        ) from missing
    except _FORM_ERRORS as error:
        raise UnsupportedModel(f"{stored.path} holds attributes of an unknown form ({type(error).__name__})") from error


def _written(stored: StoredObject, fields: Sequence[str] | None) -> WrittenModel:
    names = field_names(stored, fields)
    graph = GraphWriter()
    answer = write_predictor(stored, Frame.of_fields(names), graph)
    return WrittenModel(
        onnx=graph.model(_outputs(answer, graph)),
        labels=None if answer.labels is None else tuple(answer.labels),
        threshold=answer.threshold,
        fields=tuple(Field.of(name, graph) for name in names),
        path=stored.path,
        targets=answer.targets,
    )


def field_names(stored: StoredObject, fields: Sequence[str] | None) -> list[str]:
    """Return the names of the raw fields: those of the model, else those that are passed, else x0, x1, and so on.

    Raises:
        UnsupportedModel: if the number of columns is not known, or differs from the number of names.
    """
    parts = list(_first_readers(stored))
    stated = next((names for part in parts if (names := _stated_names(part))), None)
    if stated is not None:
        return stated
    count = next((number for part in parts if (number := _column_count(part)) is not None), None)
    if fields is not None:
        if count not in (None, len(fields)):
            raise UnsupportedModel(f"the model reads {count} columns, but {len(fields)} names are stated")
        return list(fields)
    if count is None:
        require_writers(parts)
        raise UnsupportedModel(NO_COLUMNS)
    return [f"x{number}" for number in range(count)]


def _range(field: Field, fact: FieldFact) -> tuple[float | None, float | None]:
    """Return the smallest and the largest number that the source accepts; also where it refuses unknown categories."""
    accepted = fact.accepted if field.kind == "number" and fact.accepted else ()
    numbers = [float(value) for value in accepted if np.isfinite(float(value))]
    lows = [bound for bound in (fact.lower, min(numbers, default=None)) if bound is not None]
    highs = [bound for bound in (fact.upper, max(numbers, default=None)) if bound is not None]
    return max(lows, default=None), min(highs, default=None)


def _outputs(answer: Answer, graph: GraphWriter) -> dict[str, tuple[str, int]]:
    width = answer.targets if answer.labels is None else len(answer.labels)
    outputs: dict[str, tuple[str, int]] = {}
    if answer.tensor is not None:
        value = "value" if answer.targets == 1 else "values"
        name = value if answer.labels is None else "probabilities"
        outputs[name] = (answer.tensor if answer.labels is None else rounded_probabilities(answer, graph), width)
    elif answer.scores is not None:
        outputs["scores"] = (answer.scores, 1 if width == 2 else width)
    if answer.decision is not None:
        outputs["decision"] = (answer.decision, 1)
    return outputs


#: Attributes that hold the part of a model that reads the raw fields first.
_INNER = ("best_estimator_", "estimator_", "regressor_", "estimator", "base_estimator")
_INNER_LISTS = ("estimators_", "calibrated_classifiers_")


def reads_texts(stored: StoredObject) -> bool:
    """Return whether a model gets a list of texts: one that begins with a vectorizer."""
    return any(part.name.endswith("Vectorizer") for part in _first_readers(stored))


def _first_readers(stored: StoredObject) -> Iterator[StoredObject]:
    """Yield a model, and those of its parts that read the raw fields, the outermost first."""
    yield stored
    for part in _inner_parts(stored):
        yield from _first_readers(part)


def _inner_parts(stored: StoredObject) -> Iterator[StoredObject]:
    if "steps" in stored:
        steps = [step for _, step in stored["steps"] if isinstance(step, StoredObject)]
        yield from steps[:1]
    for _, step, *_ in stored.get("transformer_list") or []:
        if isinstance(step, StoredObject):
            yield step
    for name in _INNER:
        if isinstance(stored.get(name), StoredObject):
            yield stored[name]
    for name in _INNER_LISTS:
        parts = stored.get(name)
        if isinstance(parts, (list, tuple, np.ndarray)) and not stored.name.startswith("Bagging"):
            yield from [part for part in np.ravel(np.array(parts, object))[:1] if isinstance(part, StoredObject)]


def _stated_names(stored: StoredObject) -> list[str] | None:
    names = stored.get("feature_names_in_", stored.get("_feature_names_in"))
    if names is None and isinstance(index := stored.get("_df_columns"), StoredObject):
        names = index_names(index)  # the column transformer of versions 0.20 to 0.23
    if names is None or isinstance(names, StoredObject):
        return booster_fields(stored)
    return [str(name) for name in names]


#: Attributes with one value per column, or one row per column at the given axis.
_PER_COLUMN = {
    "coef_": -1,
    "scale_": -1,
    "mean_": -1,
    "min_": -1,
    "statistics_": -1,
    "components_": -1,
    "theta_": -1,
    "lambdas_": -1,
    "quantiles_": -1,
    "support_vectors_": -1,
    "_fit_X": -1,
    "means_": -1,
    "feature_log_prob_": -1,
}


def _column_count(stored: StoredObject) -> int | None:
    """Return the number of columns that a part of a model was fitted on."""
    if "vocabulary_" in stored:
        return 1
    for name in ("n_features_in_", "n_features_", "_n_features", "n_input_features_"):
        if isinstance(stored.get(name), (int, np.integer)):
            return int(stored[name])
    if (width := booster_width(stored)) is not None:
        return width
    for name, axis in _PER_COLUMN.items():
        value = stored.get(name)
        if isinstance(value, np.ndarray) and value.ndim and not isinstance(value.flat[0], np.ndarray):
            return int(np.shape(value)[axis])
    if isinstance(stored.get("coefs_"), list):
        return len(stored["coefs_"][0])
    if "X_thresholds_" in stored or "_necessary_X_" in stored:  # isotonic regression
        return 1
    if encodes_some_columns(stored):
        return None
    return len(stored["categories_"]) if isinstance(stored.get("categories_"), list) else None
