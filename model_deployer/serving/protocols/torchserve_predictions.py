"""TorchServe's predictions: from the JSON of a request, over HTTP or gRPC, to the JSON of its response."""

from collections.abc import Sequence
from typing import Any

from model_deployer.contract.errors import MalformedBody, NotFound
from model_deployer.serving.predictor import Predictor
from model_deployer.serving.protocols.protocol import RowsAndAnswer
from model_deployer.serving.protocols.row_forms import RowForms

#: The key of an object that may hold the rows; also the field of a form.
DATA = "data"


class TorchServePredictions:
    """Answers the requests to one model: a row with its prediction, a list of rows with a list."""

    def __init__(self, predictor: Predictor) -> None:
        artifact = predictor.artifact
        self._model, self._version = artifact.manifest.name, artifact.manifest.version
        self._names = artifact.contract.names
        self._forms = RowForms(artifact.contract.features)
        self._predictions = predictor.predictions

    def check_model(self, model: str, version: str | None) -> None:
        """Check that the served model is requested; without a version, the served one is meant.

        Raises:
            NotFound: if another model or version is requested.
        """
        if model != self._model or version not in (None, "", self._version):
            raise NotFound("the service has no such model, or no such version; GET /model names what it has")

    def read(self, value: Any) -> RowsAndAnswer:
        """Return the rows of a row, a list of rows, or an object with one of these, and what makes the answer.

        Args:
            value: The decoded JSON.

        Raises:
            MalformedBody: if it has no rows.
        """
        value = _unwrap(value, self._names)
        if isinstance(value, list):
            return self._forms.rows(value, DATA), self._predictions
        if not isinstance(value, dict) and len(self._names) > 1:
            raise MalformedBody(
                "expected a row, a list of rows, or an object with one of these in `instances` or `data`"
            )
        if isinstance(value, dict) and isinstance(value.get("instances"), list):
            rows = self._forms.rows(value["instances"], DATA)
            return rows, lambda predicted: {"predictions": self._predictions(predicted)}
        self._forms.refuse_number(value)
        return self._forms.rows([value], DATA), lambda predicted: self._predictions(predicted)[0]


def _unwrap(value: Any, names: Sequence[str]) -> Any:
    """Return the content of `{"data": ...}`: rows, or the value of a model of one field.

    If `data` is the name of a field, only a list or an object in it are rows.
    """
    if not isinstance(value, dict) or DATA not in value:
        return value
    is_value = len(names) == 1 and len(value) == 1 and DATA not in names
    return value[DATA] if is_value or isinstance(value[DATA], list | dict) else value
