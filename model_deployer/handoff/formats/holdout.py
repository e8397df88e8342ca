"""The test rows of a model, read again from its table."""

from contextlib import closing
from dataclasses import dataclass, replace
from itertools import compress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich import get_console

from model_deployer.adoption.interface import Interface, SourceField
from model_deployer.contract import origin_text
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import DataError
from model_deployer.contract.features import Feature, Image, NumberSequence, Tensor, Text, Vector
from model_deployer.contract.outputs import Classification
from model_deployer.handoff.formats.parity import predict_in_chunks

if TYPE_CHECKING:
    from model_deployer.training.data.dataset import Dataset


@dataclass(frozen=True)
class HoldoutRows:
    """The test rows of a table.

    Attributes:
        columns: The inputs of model.onnx by name, each of shape [rows, *shape]: float64, or object for strings.
        expected: The outputs of the model by name, float32 [rows, n]; NaN in rows that a source does not answer.
        requests: The rows that the contract accepts, and a source answers, as a client sends them.
        request_indexes: The index of each of these rows among all test rows.
        truths: The target of each of all test rows: a label, a number, or a number for each of several targets by name.
            None for an embedding.
    """

    __test__ = False

    columns: dict[str, NDArray[Any]]
    expected: dict[str, NDArray[Any]]
    requests: list[dict[str, Any]]
    request_indexes: list[int]
    truths: list[Any]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def read_holdout_rows(artifact: Artifact, spec: Path) -> HoldoutRows:
    """Read the table of a model.yaml again, and split it as it was split for the model.

    Args:
        artifact: The model.
        spec: The path of the model.yaml.

    Raises:
        SpecError, DataError: If the model.yaml or the table cannot be used, or if the table has changed since the
            model was made.
        EnvironmentFault, ArtifactError: If the model is served by its source, which cannot be started here.
    """
    from model_deployer.training.data.request_rows import graph_column, legal, request  # noqa: PLC0415 (it loads polars)

    with get_console().capture():  # the findings about the table were printed when the model was made
        dataset = _read_table(artifact, spec)
    if dataset.version != artifact.manifest.origin.data_version:
        made = origin_text.made(artifact.evaluation)
        raise DataError(f"{spec}: the table has changed since {artifact.tag} was {made}")
    frame, contract = dataset.frame[dataset.parts.test], artifact.contract
    columns = {feature.name: graph_column(feature, frame[feature.name]) for feature in contract.features}
    accepted = legal(contract.features, frame)
    rows = [request(contract.features, row) for row in frame.filter(accepted).iter_rows(named=True)]
    indexes, truths = accepted.arg_true().to_list(), _truths(dataset, dataset.parts.test)
    if artifact.runner:
        return _of_source(artifact, HoldoutRows(columns, {}, rows, indexes, truths))
    return HoldoutRows(columns, predict_in_chunks(_engine_predict(artifact), columns), rows, indexes, truths)


def _of_source(artifact: Artifact, test: HoldoutRows) -> HoldoutRows:
    """Return test rows with the answers of a source, which may refuse some that the contract accepts."""
    from model_deployer.serving.engines.offline import OfflineModel  # noqa: PLC0415 (it loads ONNX Runtime)

    with closing(OfflineModel(artifact)) as model:
        answers = model.answer(test.requests)
    indexes = list(compress(test.request_indexes, answers.accepted))
    expected = {}
    for name, array in answers.outputs.items():
        expected[name] = np.full((len(test), array.shape[1]), np.nan, dtype=np.float32)
        expected[name][indexes] = array
    requests = list(compress(test.requests, answers.accepted))
    return replace(test, expected=expected, requests=requests, request_indexes=indexes)


def _read_table(artifact: Artifact, spec: Path) -> "Dataset":
    from model_deployer.training.data.dataset import read_dataset, read_evaluation_data  # noqa: PLC0415

    if artifact.evaluation.adoption is None:
        return read_dataset(spec)
    return read_evaluation_data(spec, _interface(artifact.contract))


def _interface(contract: Contract) -> Interface:
    """Return the interface of the source of a contract, as far as reading a table needs it."""
    fields = tuple(map(_field, contract.features))
    return Interface(fields, contract.output.labels if isinstance(contract.output, Classification) else None)


def _field(feature: Feature) -> SourceField:
    if isinstance(feature, Tensor):
        return SourceField(
            name=feature.name,
            kind="number",
            refuses_missing=not feature.nullable,
            is_whole=feature.integers,
            dimensions=feature.dimensions,
            minimum=feature.minimum,
            maximum=feature.maximum,
        )
    if isinstance(feature, NumberSequence):
        return SourceField(
            name=feature.name,
            kind="number",
            is_whole=feature.integers,
            sequence=feature.lengths,
            minimum=feature.minimum,
            maximum=feature.maximum,
        )
    return SourceField(
        name=feature.name,
        kind="text" if feature.dtype == "string" else "number",
        is_free_text=isinstance(feature, Text),
        length=feature.length if isinstance(feature, Vector) else None,
        image=(feature.height, feature.width, feature.channels) if isinstance(feature, Image) else None,
    )


def _truths(dataset: "Dataset", rows: NDArray[Any]) -> list[Any]:
    if dataset.spec.is_embedding:
        return [None] * len(rows)
    if dataset.truths is not None:
        names = dataset.spec.data.targets
        return [dict(zip(names, values, strict=True)) for values in dataset.truths[rows].tolist()]
    target = dataset.target
    values = target.values[rows].tolist()
    return values if target.labels is None else [target.labels[code] for code in values]


def _engine_predict(artifact: Artifact) -> Any:
    from model_deployer.serving.engines.onnx import OnnxEngine  # noqa: PLC0415

    return OnnxEngine(artifact.model, artifact.contract.output).run
