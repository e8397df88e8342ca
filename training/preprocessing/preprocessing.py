"""Convert the columns of a table to the two input matrices of a model: numbers and codes of categories.

This module handles everything that involves strings. In the exported graph, the same steps come before the network: one
LabelEncoder per categorical column, and the nodes of :mod:`training.preprocessing.text` for free text. The numeric
steps are in :mod:`training.preprocessing.scaling`, which is part of the model's torch module.
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
from model_deployer.training.preprocessing.derived import DerivedFeature, derive
from model_deployer.training.preprocessing.text import TextEncoding, fit_text
from model_deployer.training.preprocessing.vocabulary import MIN_TERM_ROWS

#: A categorical column with more levels than this is target-encoded instead of embedded.
MAX_EMBEDDED_LEVELS = 200

#: A level in fewer training rows than this counts as unknown, so that the model learns to handle unknown levels.
MIN_LEVEL_ROWS = 5

#: The weight, in rows, of the overall mean target in the encoding of a level (Micci-Barreca, 2001, "A preprocessing
#: scheme for high-cardinality categorical attributes").
SMOOTHING = 20.0

#: The maximum number of classes with a target-encoded number of their own; the most frequent classes get one.
MAX_ENCODED_CLASSES = 8

#: The code of an unknown level: one that is rare or absent in the training rows.
UNKNOWN = 0


@dataclass(frozen=True)
class Inputs:
    """Rows in the form of a model's inputs.

    Attributes:
        numbers: float64 [rows, numbers]; a missing value is NaN.
        codes: int64 [rows, embedded categorical columns]; 0 is an unknown level.
    """

    numbers: Tensor
    codes: Tensor

    def __len__(self) -> int:
        return len(self.numbers)


class TargetEncoding(BaseModel):
    """The mean target of each level of a categorical column, shrunk towards the mean of all rows.

    Attributes:
        levels: The levels of the training rows; a missing value is the level "".
        columns: For each encoded class (or the one regression target), the number of every level.
        unknown: For each of them, the number of an unknown level: the mean of all rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    levels: tuple[str, ...]
    columns: tuple[tuple[float, ...], ...]
    unknown: tuple[float, ...]

    def transform(self, values: pl.Series) -> list[NDArray[np.float64]]:
        """Encode a String column; return one float64 array [rows] per encoded class."""
        return [
            values.replace_strict(self.levels, column, default=unknown, return_dtype=pl.Float64).to_numpy()
            for column, unknown in zip(self.columns, self.unknown, strict=True)
        ]


class Preprocessor(BaseModel):
    """The fitted conversion of columns to numbers and codes; it is stored as JSON.

    The numbers are in this order: ``numeric``, ``encoded``, ``texts``, ``datetimes``, ``booleans``.

    Attributes:
        numeric: Numeric and integer features.
        encoded: Categorical features with many levels, with their target encoding.
        texts: Free-text features, with their encoding.
        datetimes: Datetime features, in seconds since 1970-01-01.
        booleans: Boolean features: 1, 0 or missing.
        levels: Categorical features with few levels, which are embedded; the code of a level is its position, counted
            from 1.
        derived: Features that are derived from the columns of the table before anything else.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    numeric: tuple[str, ...]
    encoded: dict[str, TargetEncoding]
    texts: dict[str, TextEncoding]
    datetimes: tuple[str, ...]
    booleans: tuple[str, ...]
    levels: dict[str, tuple[str, ...]]
    derived: tuple[DerivedFeature, ...] = ()

    def transform(self, frame: pl.DataFrame) -> Inputs:
        """Convert the rows of a conformed frame (Float64 and String columns) to the inputs of a model."""
        frame = derive(frame, self.derived)
        encoded = [column for name, encoding in self.encoded.items() for column in encoding.transform(frame[name])]
        texts = [column for name, encoding in self.texts.items() for column in encoding.transform(frame[name])]
        return self._assemble(frame, [*encoded, *texts])

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
    """Fit the preprocessing on the training rows, and apply it to them.

    The encodings that use the target, of categories (scikit-learn's ``TargetEncoder``) and of texts, are cross-fitted
    for the training rows: each row is encoded by a fit on the folds that do not contain it. An encoding that contained
    the row's own target would seem more predictive than it is.

    Args:
        frame: The conformed training rows: Float64 columns with NaN, String columns with "".
        features: The columns to use, and their kinds.
        target: The target of each row [rows]: class codes int64, or the regression target float64.
        classes: The number of classes; None for regression.
        seed: Determines the folds.

    Returns:
        The fitted preprocessing, and the inputs of the training rows.

    Raises:
        DataError: if a feature has the name of an output of the graph, or if all features are texts without a common
            word.
    """
    _refuse_output_names(features, REGRESSION_TENSORS if classes is None else CLASSIFICATION_TENSORS)
    categorical = [feature.name for feature in features if isinstance(feature, Categorical)]
    levels = {name: _frequent_levels(frame[name]) for name in categorical}
    target_encoded = [name for name in categorical if frame[name].n_unique() > MAX_EMBEDDED_LEVELS]
    encodings, columns = _fit_target_encodings(frame, target_encoded, target, classes, seed)
    texts, text_columns = _fit_text_encodings(frame, _of_kind(features, "text"), target, classes, seed)
    _require_common_words(features, texts)
    preprocessor = Preprocessor(
        numeric=_of_kind(features, "numeric", "integer"),
        encoded=encodings,
        texts=texts,
        datetimes=_of_kind(features, "datetime"),
        booleans=_of_kind(features, "boolean"),
        levels={name: frequent for name, frequent in levels.items() if frequent and name not in target_encoded},
    )
    return preprocessor, preprocessor._assemble(frame, [*columns, *text_columns])


def _require_common_words(features: Sequence[Feature], texts: Mapping[str, TextEncoding]) -> None:
    if len(texts) == len(features) and not any(encoding.columns for encoding in texts.values()):
        raise DataError(
            f"no word of {', '.join(texts)} is in {MIN_TERM_ROWS} or more training rows, and there is no other column, "
            "so that there is nothing to learn from. Add rows or columns, or set `kind: categorical` under `features` "
            "if a column holds a limited set of values."
        )


def _refuse_output_names(features: Sequence[Feature], outputs: Sequence[str]) -> None:
    """Refuse features with the name of an output, because the names of tensors in an ONNX graph are unique."""
    if names := [feature.name for feature in features if feature.name in outputs]:
        raise DataError(
            f"the outputs of the model are called {', '.join(outputs)}, so no feature can be called "
            f"{' or '.join(names)}; rename the column in the table, or list it under `data.ignore`"
        )


def _of_kind(features: Sequence[Feature], *kinds: str) -> tuple[str, ...]:
    return tuple(feature.name for feature in features if feature.kind in kinds)


def _frequent_levels(values: pl.Series) -> tuple[str, ...]:
    counts = values.alias("level").value_counts(name="rows")
    return tuple(counts.filter(pl.col("rows") >= MIN_LEVEL_ROWS)["level"].sort())


def _fit_target_encodings(
    frame: pl.DataFrame, names: Sequence[str], target: NDArray[Any], classes: int | None, seed: int
) -> tuple[dict[str, TargetEncoding], list[NDArray[np.float64]]]:
    """Return the encodings of all columns, and the cross-fitted columns of the training rows."""
    kind = "continuous" if classes is None else "binary" if classes == 2 else "multiclass"
    folds = (KFold if classes is None else StratifiedKFold)(5, shuffle=True, random_state=seed)
    indices = _encoded_classes(target, classes)
    encodings, columns = {}, []
    for name in names:
        encoder = TargetEncoder(target_type=kind, smooth=SMOOTHING, cv=folds)
        rows = np.asarray(encoder.fit_transform(frame[name].to_numpy().reshape(-1, 1), target), np.float32)
        columns += [rows[:, index].astype(np.float64) for index in indices]
        encodings[name] = TargetEncoding(
            levels=tuple(encoder.categories_[0].tolist()),
            columns=tuple(tuple(encoder.encodings_[index].astype(np.float32).tolist()) for index in indices),
            unknown=tuple(np.float32(np.atleast_1d(encoder.target_mean_)[index]).item() for index in indices),
        )
    return encodings, columns


def _fit_text_encodings(
    frame: pl.DataFrame, names: Sequence[str], target: NDArray[Any], classes: int | None, seed: int
) -> tuple[dict[str, TextEncoding], list[NDArray[np.float64]]]:
    """Do the same as :func:`_fit_target_encodings` for free text."""
    encodings, columns = {}, []
    for name in names:
        encodings[name], cross_fitted = fit_text(frame[name], _text_target(target, classes), seed)
        columns += cross_fitted
    return encodings, columns


def _text_target(target: NDArray[Any], classes: int | None) -> NDArray[np.float64]:
    """Return the target of the text encoding [rows, columns]: the quantity on its scale, or one indicator per class."""
    if classes is None and prefers_logarithm(target):
        target = np.log(target)
    columns = target[:, None] if classes is None or classes == 2 else np.eye(classes)[target]
    return columns[:, _encoded_classes(target, classes)].astype(np.float64)


def _encoded_classes(target: NDArray[Any], classes: int | None) -> list[int]:
    """Return the indices of the encoder's columns to keep: the only one, or those of the most frequent classes."""
    if classes is None or classes == 2:
        return [0]
    most_frequent_first = np.argsort(-np.bincount(target, minlength=classes), kind="stable")
    return sorted(most_frequent_first[:MAX_ENCODED_CLASSES].tolist())


def _codes(values: pl.Series, levels: Sequence[str]) -> NDArray[np.int64]:
    codes = list(range(UNKNOWN + 1, UNKNOWN + 1 + len(levels)))
    return values.replace_strict(list(levels), codes, default=UNKNOWN, return_dtype=pl.Int64).to_numpy()


def _matrix(columns: Sequence[NDArray[Any]], rows: int, dtype: type[Any]) -> NDArray[Any]:
    return np.stack(columns, axis=1).astype(dtype) if columns else np.empty((rows, 0), dtype)
