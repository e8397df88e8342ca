"""The same rows with the answers of both models: what every comparison reads."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import UsageError
from model_deployer.contract.outputs import Arrays, Classification, SingleTarget, VectorOutput
from model_deployer.contract.traffic import output_column
from model_deployer.monitoring.candidate.model_answers import ModelAnswers, empty_outputs

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PairedRows:
    """The same rows with the answers of both models.

    Attributes:
        champion: The model that answers callers.
        candidate: The model that may replace it. It predicts the same labels, or also a quantity.
        table: The rows in the order of their time, with the columns of captured traffic that are known.
        of_champion, of_candidate: The answers.
    """

    champion: Artifact
    candidate: Artifact
    table: pl.DataFrame
    of_champion: ModelAnswers
    of_candidate: ModelAnswers

    @cached_property
    def output(self) -> SingleTarget:
        """What both models predict."""
        return single_target(self.champion)

    @cached_property
    def both(self) -> NDArray[np.bool_]:
        """Which rows both models answer, bool [rows]."""
        return self.of_champion.accepted & self.of_candidate.accepted

    @cached_property
    def new_refusals(self) -> NDArray[np.bool_]:
        """Which rows only the candidate refuses, bool [rows]."""
        return self.of_champion.accepted & self.of_candidate.refused

    @cached_property
    def weights(self) -> Floats:
        """The number of rows that each row stands for, float64 [rows]."""
        return self.table["weight"].to_numpy().astype(np.float64)

    @cached_property
    def candidate_outputs(self) -> Arrays:
        """The outputs of the candidate, with the labels in the champion's order."""
        ours, theirs = self.output, self.candidate.contract.output
        if not (isinstance(ours, Classification) and isinstance(theirs, Classification)):
            return self.of_candidate.outputs
        order = [theirs.labels.index(label) for label in ours.labels]
        return {"probabilities": self.of_candidate.outputs["probabilities"][:, order]}

    @cached_property
    def differences(self) -> Floats:
        """The difference of each row, candidate minus champion, float64 [rows]; NaN where one is not answered.

        With two labels it is that of the probability of the second one; with more, half the sum of the absolute
        differences of all probabilities; for a quantity, that of the value.
        """
        output = self.output
        name = output.tensors[0]
        shift = self.candidate_outputs[name].astype(np.float64) - self.of_champion.outputs[name]
        if isinstance(output, Classification) and len(output.labels) > 2:
            return np.asarray(np.abs(shift).sum(axis=1) / 2)
        return np.asarray(shift[:, -1] if isinstance(output, Classification) else shift[:, 0])

    @cached_property
    def flips(self) -> NDArray[np.bool_] | None:
        """Which decisions change, bool [rows]: false where one model does not answer; None for a quantity."""
        if not isinstance(self.output, Classification):
            return None
        return np.asarray((self.decisions[0] != self.decisions[1]) & self.both)

    @cached_property
    def decisions(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """The decisions of both models, text [rows] each; without a meaning in rows that are not answered."""
        models = ((self.champion, self.of_champion), (self.candidate, self.of_candidate))
        ours, theirs = (np.array(_decisions(model, answers), dtype=object) for model, answers in models)
        return ours, theirs


def single_target(model: Artifact) -> SingleTarget:
    """Return the output of a model that predicts one decision or one value.

    Raises:
        UsageError: if it answers several numbers.
    """
    output = model.contract.output
    if isinstance(output, VectorOutput):
        raise UsageError(
            f"{model.tag} answers several numbers; only models with one decision or one value can be compared"
        )
    return output


def _decisions(model: Artifact, answers: ModelAnswers) -> list[str]:
    output = model.contract.output
    assert isinstance(output, Classification)
    return output.decisions({"probabilities": np.nan_to_num(answers.outputs["probabilities"])})


def check_same_prediction(champion: Artifact, candidate: Artifact) -> None:
    """Check that the answers of two models can be compared.

    Raises:
        UsageError: if they predict something else.
    """
    ours, theirs = single_target(champion), single_target(candidate)
    if ours.kind != theirs.kind or ours.target != theirs.target:
        raise UsageError(
            f"{candidate.tag} predicts {_phrase(candidate)}, and {champion.tag} predicts {_phrase(champion)}: their "
            "answers cannot be compared"
        )
    if isinstance(ours, Classification) and isinstance(theirs, Classification) and {*ours.labels} != {*theirs.labels}:
        raise UsageError(
            f"{candidate.tag} has the labels {', '.join(theirs.labels)}, and {champion.tag} has "
            f"{', '.join(ours.labels)}: their answers cannot be compared"
        )


def _phrase(model: Artifact) -> str:
    output = model.contract.output
    return f"the {'label' if isinstance(output, Classification) else 'value'} of '{output.target}'"


def recorded_answers(model: Artifact, table: pl.DataFrame, prefix: str = "output") -> ModelAnswers:
    """Return answers from the columns of captured traffic, ``output.NAME``; those that are null are not answered.

    Args:
        model: The model that gave them.
        table: The rows.
        prefix: The first part of the columns.
    """
    output = model.contract.output
    outputs = empty_outputs(output, len(table))
    labels = output.labels if isinstance(output, Classification) else None
    for name, array in outputs.items():
        columns = [f"{name}.{label}" for label in labels] if labels else [name]
        for index, column in enumerate(columns):
            full = output_column(column).replace("output", prefix, 1)
            if full in table.columns:
                array[:, index] = table[full].cast(pl.Float32).fill_null(float("nan")).to_numpy()
    first = outputs[output.tensors[0]]
    accepted = np.isfinite(first).all(axis=1)
    return ModelAnswers(outputs, np.asarray(accepted), np.zeros(len(table), np.bool_), {})
