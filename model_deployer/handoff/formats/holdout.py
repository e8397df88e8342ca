"""The rows that the model was judged on, read again from the table that it was trained from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray
from rich import get_console

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.errors import DataError
from model_deployer.handoff.formats.parity import in_chunks


@dataclass(frozen=True)
class HoldoutRows:
    """The test part of a table.

    Attributes:
        columns: The rows as the graph takes them.
        expected: What model.onnx answers to them.
        requests: Those of the rows that a client may send, as it sends them.
        places: Their places among all rows.
    """

    __test__ = False

    columns: dict[str, NDArray[Any]]
    expected: dict[str, NDArray[Any]]
    requests: list[dict[str, Any]]
    places: list[int]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))


def read_holdout_rows(artifact: Artifact, spec: Path) -> HoldoutRows:
    """Read the table that a model.yaml names once more, and split it as the training did.

    Raises:
        SpecError, DataError: The model.yaml or the table cannot be used, or the table is not the one of the training.
    """
    from model_deployer.training.data.dataset import read_dataset  # noqa: PLC0415 (it loads polars and scikit-learn)
    from model_deployer.training.data.request_rows import legal, request  # noqa: PLC0415

    with get_console().capture():  # what there is to say of the table was said when the model was trained
        dataset = read_dataset(spec)
    if dataset.version != artifact.manifest.origin.data_version:
        raise DataError(f"{spec}: the table is another one now than when {artifact.tag} was trained")
    frame, contract = dataset.frame[dataset.parts.test], artifact.contract
    columns = {feature.name: frame[feature.name].to_numpy().reshape(-1, 1) for feature in contract.features}
    accepted = legal(contract.features, frame)
    rows = [request(contract.features, row) for row in frame.filter(accepted).iter_rows(named=True)]
    places = accepted.arg_true().to_list()
    return HoldoutRows(columns, in_chunks(_answers(artifact), columns), rows, places)


def _answers(artifact: Artifact) -> Any:
    from model_deployer.serving.engines.onnx import OnnxEngine  # noqa: PLC0415

    return OnnxEngine(artifact.model, artifact.contract.output).run
