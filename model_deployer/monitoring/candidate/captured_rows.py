"""Captured rows as callers sent them, and which of them can be asked again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import polars as pl

from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import DataError, UsageError
from model_deployer.contract.features import Feature
from model_deployer.contract.traffic import column_of
from model_deployer.monitoring.candidate.replay_report import LeftOut

#: What captured traffic has of a field instead of its value.
_INSTEAD = {"bin": "only its bin", "hash": "only a hash of it", "drop": "nothing of it"}


@dataclass(frozen=True)
class CapturedRows:
    """Captured rows that can be asked again.

    Attributes:
        table: The rows, with the columns of :class:`~model_deployer.monitoring.traffic.traffic.Traffic`.
        objects: The same as JSON objects, as callers sent them.
        left_out: The other rows.
    """

    table: pl.DataFrame
    objects: list[dict[str, Any]]
    left_out: tuple[LeftOut, ...]


def rows_to_ask(
    table: pl.DataFrame, contracts: Mapping[str, Contract | None], models: Sequence[Contract], without: Sequence[str]
) -> CapturedRows:
    """Return the rows that models can be asked again, as their callers sent them.

    A field that callers did not send is not in a row: the contract of a model decides whether it may be missing. A
    field that was captured without its value cannot be sent again.

    Args:
        table: Captured rows in the order of their time, with ``version``.
        contracts: The contract of each version that captured rows; None for one that the store does not hold.
        models: The contracts of the models to ask.
        without: Optional fields that the models are asked without, because their values were not captured.

    Raises:
        UsageError: if a model requires one of the fields in ``without``.
        DataError: if no row can be asked, because the value of a field was not captured.
    """
    _check_optional(without, models)
    needed = set(chain.from_iterable(contract.names for contract in models)) - set(without)
    parts, objects, left_out = [], [], []
    for (version,), part in table.group_by("version", maintain_order=True):
        sent = _SentFields.of(part, contracts.get(str(version)))
        if hidden := [name for name in sent.hidden if name in needed]:
            left_out.append(LeftOut(rows=len(part), reason=_hidden_reason(str(version), hidden, sent.hidden)))
            continue
        parts.append(part)
        objects += sent.objects(part, without)
    if not parts and left_out:
        raise DataError("\n".join(item.reason for item in left_out))
    kept = pl.concat(parts) if parts else table.clear()
    order = kept.with_row_index("").sort("time", maintain_order=True)
    return CapturedRows(order.drop(""), [objects[index] for index in order[""]], tuple(left_out))


@dataclass(frozen=True)
class _SentFields:
    """The fields that the callers of one version sent.

    Attributes:
        kept: The fields whose values were captured, and whether callers had to send them.
        hidden: What was captured of the others, by name.
    """

    kept: Mapping[str, bool]
    hidden: Mapping[str, str]

    @classmethod
    def of(cls, part: pl.DataFrame, contract: Contract | None) -> "_SentFields":
        if contract is None:
            present = [name for name in part.columns if part[name].null_count() < len(part)]
            kept = {name.removeprefix("input."): True for name in present if name.startswith("input.")}
            hidden = {
                name.partition(".")[2]: _INSTEAD[name.partition(".")[0]]
                for name in present
                if name.startswith(("bin.", "hash."))
            }
            return cls(kept, hidden)
        kept_features = [feature for feature in contract.features if _is_kept(feature, part)]
        others = [feature for feature in contract.features if feature not in kept_features]
        return cls(
            {feature.name: feature.required for feature in kept_features},
            {feature.name: _INSTEAD.get(feature.capture_policy, "nothing of it") for feature in others},
        )

    def objects(self, part: pl.DataFrame, without: Sequence[str]) -> list[dict[str, Any]]:
        """Return the rows as JSON objects. An optional field without a value is left out."""
        columns = {name: _json_values(part[f"input.{name}"]) for name in self.kept if name not in without}
        required = [self.kept[name] for name in columns]
        return [
            {
                name: value
                for name, is_required, value in zip(columns, required, values, strict=True)
                if is_required or value is not None
            }
            for values in zip(*columns.values(), strict=True)
        ]


def _is_kept(feature: Feature, part: pl.DataFrame) -> bool:
    return column_of(feature) == f"input.{feature.name}" and f"input.{feature.name}" in part.columns


def _json_values(column: pl.Series) -> list[Any]:
    if isinstance(column.dtype, pl.Datetime):
        return [None if value is None else value.isoformat() for value in column]
    return column.to_list()


def _hidden_reason(version: str, names: Sequence[str], hidden: Mapping[str, str]) -> str:
    listed = ", ".join(f"'{name}' ({hidden[name]})" for name in names)
    return (
        f"the traffic of version {version} does not have the values of {listed}, which the models need; capture them "
        "with `capture: keep` in model.yaml, or compare the models without optional fields: "
        + " ".join(f"--without {name}" for name in names)
    )


def _check_optional(without: Sequence[str], models: Sequence[Contract]) -> None:
    features = chain.from_iterable(contract.features for contract in models)
    for feature in features:
        if feature.name in without and feature.required:
            raise UsageError(f"--without {feature.name}: a model requires this field, so it cannot be asked without it")
