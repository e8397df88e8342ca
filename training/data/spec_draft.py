"""Write the first model.yaml for a table: commented, with everything that can be inferred, and ready to train with."""

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import polars as pl
import yaml
from pydantic import ValidationError

from model_deployer.contract.errors import DataError, SpecError
from model_deployer.contract.evaluation import Finding
from model_deployer.contract.features import Categorical, Feature, Integer, Numeric
from model_deployer.contract.outputs import Classification, Regression
from model_deployer.contract.yaml_source import dotted
from model_deployer.training.data.columns import is_constant, missing
from model_deployer.training.data.features import candidates, infer_feature
from model_deployer.training.data.profile import is_identifier, profile
from model_deployer.training.data.split import method, split
from model_deployer.training.data.table import read_table
from model_deployer.training.data.target import Target, read_target
from model_deployer.training.data.values import Question, Values, describe
from model_deployer.training.reading.source_files import COMPRESSION_SUFFIXES
from model_deployer.training.spec import Data, Spec, SplitSpec

_HEAD = """\
# The model to train and its data. Only `name`, `data.path` and `data.target` are required.
# Lines that begin with '#' are comments. To use an option, remove the '#' and the space after it.

"""

_IDENTITY = """\
name: {name}
# description: What the model predicts, in one sentence for readers who do not know the data.
# business_context: Who uses the predictions, and for which decision.
# owner: The team or person to contact.
# license: The license of the model.
# card:  # for the model card, which names what was not said; all keys are in the documentation of model.yaml
#   source: Where the table comes from.
#   personal_data: Which personal data it has, and on which basis they are used.
#   oversight: How a person reviews, overrides and stops the answers.

"""

_CLASSIFICATION = """
# The label to detect, and the costs of the two errors in any unit. The ratio of the costs sets the decision threshold.
# positive: {positive}
# cost:
#   false_positive: 1
#   false_negative: 1
#   training: 100  # what it costs to train the model again, which the monitor weighs against waiting
"""

_REGRESSION = """
# unit: The unit of the target, such as USD or minutes.
"""

_TAIL = """
split:
  # method: {method}  # random, stratified, group or time; the default depends on the task, `data.time`, `data.group`
  validation: {validation}  # share of the rows
  test: {test}  # share of the rows

# The defaults suit most tables. By default, `epochs` and `batch_size` follow from the number of rows.
# estimator:
#   width: {estimator.width}
#   dropout: {estimator.dropout}
#   learning_rate: {estimator.learning_rate}
#   batch_size: 256
#   epochs: 50

seed: {seed}  # the same seed, data and machine give the same model
strict: false  # true: stop if a column leaks the target (predicts it perfectly)

# gates:  # requirements; a model that fails one is not saved
#   better_than_linear: true
#   p99_ms: 5  # 99 of 100 single-row predictions take at most 5 ms

# limits:  # limits of one request to the served model
#   rows: {limits.rows}
#   timeout_seconds: {limits.timeout_seconds:g}

# The features, as inferred from the table. To override what was inferred, set any of these keys in the braces: kind,
# description, unit, required, missing, minimum, maximum, out_of_range, categories, unknown, normalize,
# longest, example.
# features:
"""


@dataclass(frozen=True)
class Draft:
    """The first model.yaml for a table.

    Attributes:
        text: The model.yaml.
        notes: How the table was read, and which columns do not have the usual form.
        questions: What the data scientist must say before a model can be trained.
        findings: What training would report about the table.
    """

    text: str
    notes: tuple[str, ...]
    questions: tuple[Question, ...]
    findings: tuple[Finding, ...]


def draft_spec(target: str, folder: Path, source: Mapping[str, str | int]) -> Draft:
    """Return a model.yaml for a table.

    Columns that cannot be features (identifiers, nested values) are listed under ``data.ignore``.

    Args:
        target: The column to predict.
        folder: The folder of the model.yaml; its ``data.path`` is relative to it.
        source: The other keys of ``data``, at least ``path`` or ``query``: what the table is, and how it is read. A
            path is relative to the current folder.

    Raises:
        DataError: if the table or its target cannot be used.
        SpecError: if a key has a wrong value.
    """
    source = relative_source(source, folder)
    spec = _spec(target, source)
    read = read_table(spec, folder)
    values = read.values
    spec, frame = spec.with_formats(values.formats), values.frame
    truth = read_target(frame, spec)
    unclear = [question.column for question in values.questions]
    features, ignored = _features_and_ignored(frame.drop(unclear), spec, truth)
    text = "".join(
        [
            _HEAD,
            identity(spec.name),
            "data:\n",
            *_data(source, target),
            *_formats(values),
            *_roles(frame, spec),
            *_ignore(ignored),
            *_task(truth, frame[target]),
            _TAIL.format(**{**dict(spec), **dict(SplitSpec()), "method": method(truth, spec)}),
            *(f"#   {scalar(feature.name)}: {{}}  # {_summary(feature, frame)}\n" for feature in features),
        ]
    )
    data = spec.data.model_copy(update={"ignore": (*ignored, *unclear)})
    findings = _findings(frame, spec.model_copy(update={"data": data}), truth)
    return Draft(text, (*read.notes, *describe(values)), values.questions, findings)


def _findings(frame: pl.DataFrame, spec: Spec, truth: Target) -> tuple[Finding, ...]:
    """Return what training would report; nothing for a table that is too small to split."""
    try:
        return tuple(profile(frame, truth, split(frame, truth, spec), spec))
    except DataError:
        return ()


def _formats(values: Values) -> list[str]:
    """Return the lines of ``data.formats``: the forms, and each question with its answers."""
    forms = [f"    {scalar(name)}: {scalar(form)}\n" for name, form in values.formats.items()]
    questions = [
        f"    {scalar(question.column)}:  # name one: {' or '.join(map(scalar, question.answers))}\n"
        for question in values.questions
        if question.answers
    ]
    others = [
        f"  # {scalar(question.column)}: {question.text}\n" for question in values.questions if not question.answers
    ]
    heading = ["  formats:  # how the text of these columns is read\n"] if forms or questions else []
    return [*heading, *forms, *questions, *others]


def relative_source(source: Mapping[str, str | int], folder: Path) -> Mapping[str, str | int]:
    """Return the keys with a path that starts at the folder, if it is a path on this machine."""
    path = str(source.get("path", "~"))
    if "://" in path or path.startswith("~"):
        return source
    return {**source, "path": Path(os.path.relpath(path, folder)).as_posix()}


def _spec(target: str, source: Mapping[str, str | int]) -> Spec:
    name = model_name(str(source.get("path", "model")))
    try:
        return Spec(name=name, data=Data.model_validate({**source, "target": target}))
    except ValidationError as error:
        faults = [(dotted(("data", *fault["loc"])), fault["msg"]) for fault in error.errors()]
        raise SpecError("\n".join(f"{key}: {text.removeprefix('Value error, ')}" for key, text in faults)) from None


def _data(source: Mapping[str, str | int], target: str) -> Iterator[str]:
    """Yield the lines of ``data`` that say what the table is, how it is read, and the column to predict."""
    for key, value in source.items():
        is_relative = key == "path" and "://" not in str(value) and not str(value).startswith(("/", "~"))
        text = scalar(value) if isinstance(value, str) else value
        yield f"  {key}: {text}{'  # relative to this file' if is_relative else ''}\n"
    yield f"  target: {scalar(target)}\n"


def identity(name: str) -> str:
    """Return the lines of a model.yaml that say what a model is: its name, and comments for what people add."""
    return _IDENTITY.format(name=scalar(name))


def model_name(table: str) -> str:
    """Return a legal model name that resembles the name of a table or of another file."""
    path = PurePosixPath(unquote(table).partition("?")[0].rstrip("/"))
    while path.suffix.lower() in COMPRESSION_SUFFIXES:
        path = path.with_suffix("")
    return re.sub("[^a-z0-9._-]+", "-", path.stem.lower())[:63].strip("._-") or "model"


def scalar(value: str) -> str:
    """Return a string as YAML on one line."""
    if not value.isprintable():
        return yaml.safe_dump(value, width=float("inf"), default_style='"').rstrip("\n")
    return yaml.safe_dump(value, width=float("inf"), allow_unicode=True).removesuffix("...\n").rstrip("\n")


def _features_and_ignored(frame: pl.DataFrame, spec: Spec, truth: Target) -> tuple[list[Feature], dict[str, str]]:
    """Return the features, and the columns to ignore with the reason."""
    output_names = _output_names(truth)
    features: list[Feature] = []
    ignored: dict[str, str] = {}
    for name in candidates(frame, spec):
        column = frame[name]
        try:
            feature = infer_feature(column, spec)
        except DataError:
            fault = "too large to be exact" if column.dtype.is_integer() else f"the type {column.dtype} cannot be used"
            ignored[name] = fault if name else "no name: an index?"
            continue
        if name in output_names:
            ignored[name] = "the model's output has this name: rename the column in the table to use it"
        elif is_constant(column):
            ignored[name] = "the same value in every row"
        elif is_identifier(column) and not column.dtype.is_integer():
            ignored[name] = "a different value in every row: an identifier?"
        else:
            features.append(feature)
    return features, ignored


def _output_names(truth: Target) -> tuple[str, ...]:
    """Return the names that a feature must not have, because names of tensors in an ONNX graph are unique."""
    if truth.labels is None:
        return Regression(target="").tensors
    return Classification.model_construct(target="", labels=truth.labels).tensors


def _roles(frame: pl.DataFrame, spec: Spec) -> list[str]:
    times = [s.name for s in frame if isinstance(s.dtype, pl.Date | pl.Datetime) and s.name != spec.data.target]
    lines = [f"  # time: {scalar(name)}  # test on the latest rows, as in production\n" for name in times]
    return [*lines, "  # group: the column of the customer, device, ...; its rows stay in one part of the split\n"]


def _ignore(ignored: dict[str, str]) -> list[str]:
    if not ignored:
        return ["  # ignore: [columns that are not known at the time of prediction]\n"]
    lines = [f"    - {scalar(name)}  # {reason}\n" for name, reason in ignored.items()]
    return ["  ignore:  # also list columns that are not known at the time of prediction\n", *lines]


def _task(target: Target, column: pl.Series) -> list[str]:
    notes = ["use `count` if the target is a number of events or items"] if _may_be_count(column) else []
    if target.labels is None:
        return [_task_line("regression", notes), _REGRESSION]
    lines = [_task_line("classification", [f"{len(target.labels)} classes", *notes])]
    return [*lines, _CLASSIFICATION.format(positive=scalar(target.labels[1]))] if len(target.labels) == 2 else lines


def _task_line(task: str, notes: list[str]) -> str:
    return f"\ntask: {task}{'  # ' if notes else ''}{'; '.join(notes)}\n"


def _may_be_count(column: pl.Series) -> bool:
    """Return whether a target may be a number of events: integers with a minimum of 0 or 1 and more than two values."""
    return column.dtype.is_integer() and column.n_unique() > 2 and column.min() in (0, 1)


def _summary(feature: Feature, frame: pl.DataFrame) -> str:
    """Describe a feature in a few words, without any text of the table, which could break the YAML comment."""
    words: list[str] = [feature.kind]
    if isinstance(feature, Numeric | Integer) and feature.minimum is not None:
        words.append(f"{feature.minimum:g} to {feature.maximum:g}")
    if isinstance(feature, Categorical):
        words.append(f"{frame[feature.name].drop_nulls().n_unique()} categories")
    if feature.nullable:
        share = missing(frame[feature.name]).sum() / frame.height
        words.append(f"{share:.1%} missing" if share >= 0.001 else "rarely missing")
    return ", ".join(words)
