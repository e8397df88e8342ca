"""The first model.yaml for a table: commented, with what could be inferred, and ready to train with."""

import os
import re
from pathlib import Path

import polars as pl
import yaml

from model_deployer.contract.errors import DataError
from model_deployer.contract.features import Categorical, Feature, Integer, Numeric
from model_deployer.contract.outputs import Classification, Regression
from model_deployer.training.data.columns import is_constant, missing
from model_deployer.training.data.features import candidates, infer_feature
from model_deployer.training.data.profile import is_identifier
from model_deployer.training.data.split import method
from model_deployer.training.data.table import read_table
from model_deployer.training.data.target import Target, read_target
from model_deployer.training.spec import Data, Spec, SplitSpec

_HEAD = """\
# What is trained, and from what. Only `name`, `data.path` and `data.target` are required.
# A line that begins with '#' is a comment: remove the sign to make it count.

name: {name}
# description: What is predicted, in a sentence for someone who never saw the data.
# business_context: Who decides what with it.
# owner: Whom to ask.
# license: Under which the model may be used.

data:
  path: {path}  # relative to this file
  target: {target}
"""

_CLASSIFICATION = """
# What the two errors cost, in any one unit: the decision threshold follows from their ratio.
# positive: {positive}
# cost:
#   false_positive: 1
#   false_negative: 1
"""

_REGRESSION = """
# unit: The unit of measure of the target.
"""

_TAIL = """
split:
  # method: {method}  # or random, stratified, group, time; it follows from the task, `data.time` and `data.group`
  validation: {validation}
  test: {test}

# The defaults suit most tables; `epochs` and `batch_size` are planned from the number of rows.
# estimator:
#   width: {estimator.width}
#   dropout: {estimator.dropout}
#   learning_rate: {estimator.learning_rate}
#   batch_size: 256
#   epochs: 50

seed: {seed}
strict: false  # true ends the run when a column gives the target away

# gates:  # what the trained model has to fulfil, or it is not saved
#   better_than_linear: true
#   p99_ms: 5

# limits:  # of one request to the trained model
#   rows: {limits.rows}
#   timeout_seconds: {limits.timeout_seconds:g}

# The features, as inferred from the table. What is said here overrules that: kind, description, unit, required,
# missing, minimum, maximum, out_of_range, categories, unknown, longest, example.
# features:
"""


def draft_spec(table: Path, target: str, folder: Path) -> str:
    """Write a model.yaml for a table.

    Columns that cannot be learnt from (identifiers, nested values) are listed under ``data.ignore``.

    Args:
        table: The file to learn from.
        target: The column to predict.
        folder: Where the model.yaml will lie; its ``data.path`` is relative to it.

    Raises:
        DataError: The table or its target cannot be used.
    """
    path = Path(os.path.relpath(table, folder)).as_posix()
    spec = Spec(name=_name(table.stem), data=Data(path=path, target=target))
    frame = read_table(spec, folder).frame
    truth = read_target(frame, spec)
    features, ignored = _sorted_out(frame, spec, truth)
    return "".join(
        [
            _HEAD.format(name=_scalar(spec.name), path=_scalar(path), target=_scalar(target)),
            *_roles(frame, spec),
            *_ignore(ignored),
            *_task(truth, frame[target]),
            _TAIL.format(**{**dict(spec), **dict(SplitSpec()), "method": method(truth, spec)}),
            *(f"#   {_scalar(feature.name)}: {{}}  # {_summary(feature, frame)}\n" for feature in features),
        ]
    )


def _name(stem: str) -> str:
    """A legal model name that resembles a file's name."""
    return re.sub("[^a-z0-9._-]+", "-", stem.lower())[:63].strip("._-") or "model"


def _scalar(value: str) -> str:
    """A string as YAML on one line."""
    if not value.isprintable():
        return yaml.safe_dump(value, width=float("inf"), default_style='"').rstrip("\n")
    return yaml.safe_dump(value, width=float("inf"), allow_unicode=True).removesuffix("...\n").rstrip("\n")


def _sorted_out(frame: pl.DataFrame, spec: Spec, truth: Target) -> tuple[list[Feature], dict[str, str]]:
    """The features, and the columns to ignore with the reason."""
    answers = _names_of_answers(truth)
    features: list[Feature] = []
    ignored: dict[str, str] = {}
    for name in candidates(frame, spec):
        column = frame[name]
        try:
            feature = infer_feature(column, spec)
        except DataError:
            ignored[name] = (
                f"{column.dtype}: no feature can be made of it as it is" if name else "it has no name: an index?"
            )
            continue
        if name in answers:
            ignored[name] = "the model's answer has this name: rename the column in the table to learn from it"
        elif is_constant(column):
            ignored[name] = "the same value in every row"
        elif is_identifier(column) and not column.dtype.is_integer():
            ignored[name] = "a different value in every row: an identifier?"
        else:
            features.append(feature)
    return features, ignored


def _names_of_answers(truth: Target) -> tuple[str, ...]:
    """What no feature can be called, as an ONNX graph names every tensor once."""
    if truth.labels is None:
        return Regression(target="").tensors
    return Classification.model_construct(target="", labels=truth.labels).tensors


def _roles(frame: pl.DataFrame, spec: Spec) -> list[str]:
    times = [s.name for s in frame if isinstance(s.dtype, pl.Date | pl.Datetime) and s.name != spec.data.target]
    lines = [f"  # time: {_scalar(name)}  # the latest rows become the test part, as in live use\n" for name in times]
    return [*lines, "  # group: the column whose rows belong together, such as a customer\n"]


def _ignore(ignored: dict[str, str]) -> list[str]:
    if not ignored:
        return ["  # ignore: [columns that are not known when a prediction is needed]\n"]
    lines = [f"    - {_scalar(name)}  # {reason}\n" for name, reason in ignored.items()]
    return ["  ignore:  # also list columns that are not known when a prediction is needed\n", *lines]


def _task(target: Target, column: pl.Series) -> list[str]:
    notes = ["`count` if it says how many of something there are"] if _may_count(column) else []
    if target.labels is None:
        return [_said("regression", notes), _REGRESSION]
    lines = [_said("classification", [f"{len(target.labels)} classes", *notes])]
    return [*lines, _CLASSIFICATION.format(positive=_scalar(target.labels[1]))] if len(target.labels) == 2 else lines


def _said(task: str, notes: list[str]) -> str:
    return f"\ntask: {task}{'  # ' if notes else ''}{'; '.join(notes)}\n"


def _may_count(column: pl.Series) -> bool:
    """Whether a target may be a number of events: integers from 0 or 1 on, of more than two values."""
    return column.dtype.is_integer() and column.n_unique() > 2 and column.min() in (0, 1)


def _summary(feature: Feature, frame: pl.DataFrame) -> str:
    """A feature in a few words, in which nothing of the table's text stands."""
    words: list[str] = [feature.kind]
    if isinstance(feature, Numeric | Integer) and feature.minimum is not None:
        words.append(f"{feature.minimum:g} to {feature.maximum:g}")
    if isinstance(feature, Categorical):
        words.append(f"{frame[feature.name].drop_nulls().n_unique()} categories")
    if feature.nullable:
        share = missing(frame[feature.name]).sum() / frame.height
        words.append(f"{share:.1%} missing" if share >= 0.001 else "seldom missing")
    return ", ".join(words)
