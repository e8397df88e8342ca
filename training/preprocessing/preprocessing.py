"""From a table's columns to the two matrices that a model takes.

What needs strings happens here and, in the graph, in front of the network: in one LabelEncoder a column of categories,
and for free text as :mod:`training.preprocessing.text` says. Everything numeric is in
:mod:`training.preprocessing.scaling`, which is part of the network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import TargetEncoder
from torch import Tensor

from model_deployer.contract.errors import DataError
from model_deployer.contract.features import Categorical, Feature
from model_deployer.contract.outputs import CLASSIFICATION_TENSORS, REGRESSION_TENSORS
from model_deployer.training.data.target import prefers_logarithm
from model_deployer.training.preprocessing.text import TextEncoding, fit_text
from model_deployer.training.preprocessing.vocabulary import FEWEST_ROWS

#: Above so many levels a column is encoded by its relation to the target instead of being embedded.
MOST_LEVELS = 200

#: A level seen in fewer training rows counts as unknown, so that the model learns what "unknown" means.
RAREST_LEVEL = 5

#: Rows of an average target that a level's own rows are mixed with (Micci-Barreca, 2001, "A preprocessing scheme for
#: high-cardinality categorical attributes").
SMOOTHING = 20.0

#: Classes that get a target-encoded number of their own; the most frequent ones.
MOST_ENCODED_CLASSES = 8

#: The code of a level that training never saw.
UNKNOWN = 0


@dataclass(frozen=True)
class Inputs:
    """A table as a model takes it.

    Attributes:
        numbers: float64 [rows, numbers]; a missing value is NaN.
        codes: int64 [rows, categorical columns]; 0 is a level never seen in training.
    """

    numbers: Tensor
    codes: Tensor

    def __len__(self) -> int:
        return len(self.numbers)


class TargetEncoding(BaseModel):
    """What the target is on average where a column holds a level, shrunk towards the average of all rows.

    Attributes:
        levels: The levels seen in training; a missing value is the level "".
        columns: For each encoded class (or the one regression target) the number of every level.
        unknown: For each of them the number of a level never seen: the average of all rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    levels: tuple[str, ...]
    columns: tuple[tuple[float, ...], ...]
    unknown: tuple[float, ...]

    def transform(self, values: pl.Series) -> list[NDArray[np.float64]]:
        """One float64 array a column, for strings of any kind."""
        return [
            values.replace_strict(self.levels, column, default=unknown, return_dtype=pl.Float64).to_numpy()
            for column, unknown in zip(self.columns, self.unknown, strict=True)
        ]


class Preprocessor(BaseModel):
    """How columns become numbers and codes: learnt from the training rows, stored as JSON.

    The numbers stand in this order: ``numeric``, ``encoded``, ``texts``, ``datetimes``, ``booleans``.

    Attributes:
        numeric: Numeric and integer features.
        encoded: Categorical features of many levels, with their encoding.
        texts: Features of free text, with their encoding.
        datetimes: Features that are epoch seconds.
        booleans: Features that are 1, 0 or missing.
        levels: Categorical features of few levels; a level's code is its place, counted from 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    numeric: tuple[str, ...]
    encoded: dict[str, TargetEncoding]
    texts: dict[str, TextEncoding]
    datetimes: tuple[str, ...]
    booleans: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]

    def transform(self, frame: pl.DataFrame) -> Inputs:
        """The rows of a conformed frame (float64 and string columns) as a model takes them."""
        encoded = [column for name, encoding in self.encoded.items() for column in encoding.transform(frame[name])]
        mixtures = [column for name, encoding in self.texts.items() for column in encoding.transform(frame[name])]
        return self._assemble(frame, [*encoded, *mixtures])

    def _assemble(self, frame: pl.DataFrame, encoded: Sequence[NDArray[np.float64]]) -> Inputs:
        columns = [
            *(frame[name].to_numpy() for name in self.numeric),
            *encoded,
            *(frame[name].to_numpy() for name in (*self.datetimes, *self.booleans)),
        ]
        codes = [_codes(frame[name], levels) for name, levels in self.levels.items()]
        return Inputs(
            torch.from_numpy(_matrix(columns, frame.height, np.float64)),
            torch.from_numpy(_matrix(codes, frame.height, np.int64)),
        )


def fit_preprocessor(
    frame: pl.DataFrame, features: Sequence[Feature], target: NDArray[Any], classes: int | None, seed: int
) -> tuple[Preprocessor, Inputs]:
    """Learn the preprocessing from the training rows, and apply it to them.

    The training rows get encodings that know the target, of categories (scikit-learn's ``TargetEncoder``) and of texts,
    from folds that they are not part of: with their own target in it, an encoding would look more telling than it is.

    Args:
        frame: The conformed training rows: float64 columns with NaN, string columns with "".
        features: Which columns to take, and their kinds.
        target: Class codes, or the regression target; one a row.
        classes: The number of classes; None for regression.
        seed: Decides the folds.

    Raises:
        DataError: A feature is named as an output of the graph; or there is nothing but texts, and all different.
    """
    _refuse_output_names(features, REGRESSION_TENSORS if classes is None else CLASSIFICATION_TENSORS)
    strings = [feature.name for feature in features if isinstance(feature, Categorical)]
    frequent = {name: _frequent(frame[name]) for name in strings}
    many = [name for name in strings if frame[name].n_unique() > MOST_LEVELS]
    encodings, columns = _encode(frame, many, target, classes, seed)
    texts, mixtures = _encode_texts(frame, _of_kind(features, "text"), target, classes, seed)
    _refuse_strange_words(features, texts)
    preprocessor = Preprocessor(
        numeric=_of_kind(features, "numeric", "integer"),
        encoded=encodings,
        texts=texts,
        datetimes=_of_kind(features, "datetime"),
        booleans=_of_kind(features, "boolean"),
        levels={name: levels for name, levels in frequent.items() if levels and name not in many},
    )
    return preprocessor, preprocessor._assemble(frame, [*columns, *mixtures])


def _refuse_strange_words(features: Sequence[Feature], texts: Mapping[str, TextEncoding]) -> None:
    if len(texts) == len(features) and not any(encoding.columns for encoding in texts.values()):
        raise DataError(
            f"no word of {', '.join(texts)} is in {FEWEST_ROWS} or more training rows, and there is no other column: "
            "nothing can be learnt. Give more rows or columns, or say `kind: categorical` under `features` if a column "
            "holds a limited set of values."
        )


def _refuse_output_names(features: Sequence[Feature], outputs: Sequence[str]) -> None:
    """No two tensors of an ONNX graph may carry the same name."""
    if names := [feature.name for feature in features if feature.name in outputs]:
        raise DataError(
            f"the model's answer is called {', '.join(outputs)}, so no column to learn from can be called "
            f"{' or '.join(names)}; rename it in the table, or list it under `data.ignore`"
        )


def _of_kind(features: Sequence[Feature], *kinds: str) -> tuple[str, ...]:
    return tuple(feature.name for feature in features if feature.kind in kinds)


def _frequent(values: pl.Series) -> tuple[str, ...]:
    counts = values.alias("level").value_counts(name="rows")
    return tuple(counts.filter(pl.col("rows") >= RAREST_LEVEL)["level"].sort())


def _encode(
    frame: pl.DataFrame, names: Sequence[str], target: NDArray[Any], classes: int | None, seed: int
) -> tuple[dict[str, TargetEncoding], list[NDArray[np.float64]]]:
    """The encodings of all columns, and the cross-fitted numbers of the rows themselves."""
    kind = "continuous" if classes is None else "binary" if classes == 2 else "multiclass"
    folds = (KFold if classes is None else StratifiedKFold)(5, shuffle=True, random_state=seed)
    kept = _encoded_classes(target, classes)
    encodings, columns = {}, []
    for name in names:
        encoder = TargetEncoder(target_type=kind, smooth=SMOOTHING, cv=folds)
        rows = np.asarray(encoder.fit_transform(frame[name].to_numpy().reshape(-1, 1), target), np.float32)
        columns += [rows[:, index].astype(np.float64) for index in kept]
        encodings[name] = TargetEncoding(
            levels=tuple(encoder.categories_[0].tolist()),
            columns=tuple(tuple(encoder.encodings_[index].astype(np.float32).tolist()) for index in kept),
            unknown=tuple(np.float32(np.atleast_1d(encoder.target_mean_)[index]).item() for index in kept),
        )
    return encodings, columns


def _encode_texts(
    frame: pl.DataFrame, names: Sequence[str], target: NDArray[Any], classes: int | None, seed: int
) -> tuple[dict[str, TextEncoding], list[NDArray[np.float64]]]:
    """As :func:`_encode`, for free text."""
    encodings, columns = {}, []
    for name in names:
        encodings[name], own = fit_text(frame[name], _told(target, classes), seed)
        columns += own
    return encodings, columns


def _told(target: NDArray[Any], classes: int | None) -> NDArray[np.float64]:
    """What a text is to tell, [rows, columns]: the quantity as it is learnt, or whether it is one of the classes."""
    if classes is None and prefers_logarithm(target):
        target = np.log(target)
    told = target[:, None] if classes is None or classes == 2 else np.eye(classes)[target]
    return told[:, _encoded_classes(target, classes)].astype(np.float64)


def _encoded_classes(target: NDArray[Any], classes: int | None) -> list[int]:
    """Which of the encoder's columns to keep: the only one, or those of the most frequent classes."""
    if classes is None or classes == 2:
        return [0]
    most_frequent_first = np.argsort(-np.bincount(target, minlength=classes), kind="stable")
    return sorted(most_frequent_first[:MOST_ENCODED_CLASSES].tolist())


def _codes(values: pl.Series, levels: Sequence[str]) -> NDArray[np.int64]:
    places = list(range(UNKNOWN + 1, UNKNOWN + 1 + len(levels)))
    return values.replace_strict(list(levels), places, default=UNKNOWN, return_dtype=pl.Int64).to_numpy()


def _matrix(columns: Sequence[NDArray[Any]], rows: int, dtype: type[Any]) -> NDArray[Any]:
    return np.stack(columns, axis=1).astype(dtype) if columns else np.empty((rows, 0), dtype)
