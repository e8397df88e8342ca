"""One data set and seed, divided for everybody alike, and the loss by which all are judged."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.preprocessing import TargetEncoder

from model_deployer.training.data.dataset import Dataset
from model_deployer.training.data.split import Parts, Rows

#: Probabilities of a class, [rows, classes], or what the loss compares with the target, [rows].
Answers = NDArray[np.floating]
Columns = NDArray[np.float64]

DAY, YEAR = 86_400, 365.25


@dataclass(frozen=True)
class Task:
    """What a method is given, and how it is judged.

    Attributes:
        dataset: As our own training reads it.
        logarithm: Whether the logarithm of the target is to be learnt, and judged.
    """

    dataset: Dataset
    logarithm: bool

    @property
    def parts(self) -> Parts:
        """The rows of each part."""
        return self.dataset.parts

    @property
    def both(self) -> Rows:
        """The training and validation rows, for a method that needs nothing to choose by."""
        return np.concatenate([self.parts.train, self.parts.validation])

    @property
    def classes(self) -> int | None:
        """How many classes there are; None for regression."""
        return self.dataset.target.classes

    @property
    def seed(self) -> int:
        """Of everything that a method draws."""
        return self.dataset.spec.seed

    @property
    def measure(self) -> str:
        """What the loss is called."""
        if self.classes is not None:
            return "log loss"
        return "RMSE of the logarithm" if self.logarithm else "RMSE"

    def target(self, rows: Rows) -> NDArray[Any]:
        """Class codes, or quantities as they are to be learnt."""
        values = self.dataset.target.values[rows]
        return np.log(values) if self.logarithm else values

    def loss(self, answers: Answers, rows: Rows) -> float:
        """Log loss, or root mean squared error."""
        target = self.target(rows)
        if self.classes is None:
            return math.sqrt(np.mean((answers - target) ** 2))
        told = answers[np.arange(len(rows)), target]
        return float(-np.mean(np.log(np.maximum(told, 1e-12))))

    def columns(self, learnt: Rows, *others: Rows) -> tuple[Columns, ...]:
        """Every column as numbers: categories as the average of the target, times with their place in day and week.

        Args:
            learnt: Rows to learn the averages from; their own come from folds that they are not part of.
            others: Rows that get those averages.
        """
        numbers = self._numbers()
        strings = [feature.name for feature in self.dataset.features if feature.dtype == "string"]
        if not strings:
            return tuple(numbers[rows] for rows in (learnt, *others))
        levels = self.dataset.frame.select(strings).to_numpy()
        encoder = self._encoder()
        encoded = [encoder.fit_transform(levels[learnt], self.target(learnt))]
        encoded += [encoder.transform(levels[rows]) for rows in others]
        return tuple(np.hstack([numbers[rows], means]) for rows, means in zip((learnt, *others), encoded, strict=True))

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
        """The place in day and week; in the year too, unless the test rows come from another part of it."""
        days = seconds // DAY
        return [seconds % DAY, days % 7] + ([] if self.dataset.spec.by_time else [days % YEAR])
