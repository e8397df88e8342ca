"""One data set and seed, with the same split for all methods, and the loss that compares them."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import TargetEncoder

from model_deployer.training.data.dataset import Dataset
from model_deployer.training.data.split import Parts, Rows

#: Probabilities [rows, classes], or values on the scale of the loss [rows].
Predictions = NDArray[np.floating]
Columns = NDArray[np.float64]

DAY, YEAR = 86_400, 365.25


@dataclass(frozen=True)
class Task:
    """The data for a method, and its loss.

    Attributes:
        dataset: The table, as our training reads it.
        logarithm: Whether methods are fitted and compared on the logarithm of the target.
    """

    dataset: Dataset
    logarithm: bool

    @property
    def parts(self) -> Parts:
        """The rows of each part."""
        return self.dataset.parts

    @property
    def train_and_validation(self) -> Rows:
        """The training and validation rows, for a method without early stopping or search."""
        return np.concatenate([self.parts.train, self.parts.validation])

    @property
    def classes(self) -> int | None:
        """The number of classes; None for regression."""
        return self.dataset.target.classes

    @property
    def seed(self) -> int:
        """The seed of all random numbers of a method."""
        return self.dataset.spec.seed

    @property
    def measure(self) -> str:
        """The name of the loss."""
        if self.classes is not None:
            return "log loss"
        return "RMSE of the logarithm" if self.logarithm else "RMSE"

    def target(self, rows: Rows) -> NDArray[Any]:
        """Return class codes int64 [rows], or quantities on the scale of the loss, float64 [rows]."""
        values = self.dataset.target.values[rows]
        return np.log(values) if self.logarithm else values

    def loss(self, predictions: Predictions, rows: Rows) -> float:
        """Return the log loss, or the root mean squared error, of predictions for these rows."""
        target = self.target(rows)
        if self.classes is None:
            return math.sqrt(np.mean((predictions - target) ** 2))
        true_class_probabilities = predictions[np.arange(len(rows)), target]
        return float(-np.mean(np.log(np.maximum(true_class_probabilities, 1e-12))))

    def columns(self, train: Rows, *others: Rows) -> tuple[Columns, ...]:
        """Return matrices of numbers: categories are target-encoded, times get calendar parts.

        Args:
            train: The rows to fit the target encoding on; their own encoding is cross-fitted.
            others: Other rows.

        Returns:
            For each of the arguments, float64 [rows, columns].
        """
        numbers = self._numbers()
        strings = [feature.name for feature in self.dataset.features if feature.dtype == "string"]
        if not strings:
            return tuple(numbers[rows] for rows in (train, *others))
        levels = self.dataset.frame.select(strings).to_numpy()
        encoder = self._encoder()
        encoded = [encoder.fit_transform(levels[train], self.target(train))]
        encoded += [encoder.transform(levels[rows]) for rows in others]
        return tuple(np.hstack([numbers[rows], means]) for rows, means in zip((train, *others), encoded, strict=True))

    def _encoder(self) -> TargetEncoder:
        kind = "continuous" if self.classes is None else "binary" if self.classes == 2 else "multiclass"
        folds = (KFold if self.classes is None else StratifiedKFold)(5, shuffle=True, random_state=self.seed)
        return TargetEncoder(target_type=kind, cv=folds)

    def _numbers(self) -> Columns:
        columns: list[Columns] = []
        for feature in self.dataset.features:
            if feature.dtype == "string":
                continue
            values = self.dataset.frame[feature.name].to_numpy()
            columns.append(values)
            if feature.kind == "datetime":
                columns += self._calendar(values)
        return np.stack(columns, axis=1) if columns else np.empty((self.dataset.frame.height, 0))

    def _calendar(self, seconds: Columns) -> list[Columns]:
        """Return the time of day and the weekday, and the day of the year unless the split is by time."""
        days = seconds // DAY
        return [seconds % DAY, days % 7] + ([] if self.dataset.spec.by_time else [days % YEAR])
