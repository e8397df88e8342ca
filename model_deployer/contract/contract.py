"""The contract of one model: its inputs, its output, and the limits of a request."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from model_deployer.contract.errors import TooManyRows
from model_deployer.contract.features import Feature
from model_deployer.contract.outputs import Output

#: The maximum number of rows, and of numbers, that one call of the graph takes.
_BATCH_ROWS, _BATCH_ELEMENTS = 512, 4 * 1024**2


class Limits(BaseModel):
    """The limits of one request.

    Attributes:
        rows: The maximum number of rows.
        body_bytes: The maximum size of the body, in bytes.
        timeout_seconds: The maximum time from the first byte of the request to its answer.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    rows: int = Field(default=10_000, ge=1)
    body_bytes: int = Field(default=16 * 1024 * 1024, ge=1024)
    timeout_seconds: float = Field(default=30.0, gt=0, le=300)

    def check_rows(self, rows: int) -> None:
        """Check the number of rows of a request.

        Raises:
            TooManyRows: if ``rows`` is above the limit.
        """
        if rows > self.rows:
            raise TooManyRows(f"{rows:,} rows; send at most {self.rows:,} in one request")


class Contract(BaseModel):
    """Everything that clients may rely on; stored as contract.json and served by GET /model.

    Attributes:
        features: The fields of a row, in the order of the table's columns. Their names are unique.
        output: The meaning of a prediction.
        limits: The limits of one request.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    features: tuple[Feature, ...] = Field(min_length=1)
    output: Output
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Contract":
        names = [feature.name for feature in self.features]
        if len(set(names)) < len(names):
            raise ValueError("two features have the same name")
        return self

    @property
    def names(self) -> list[str]:
        """The names of the features, in their order."""
        return [feature.name for feature in self.features]

    @property
    def row_elements(self) -> int:
        """The number of numbers and texts of a row: one for each feature, and those of vectors."""
        return sum(feature.elements for feature in self.features)

    @property
    def batch_rows(self) -> int:
        """The maximum number of rows that one call of the graph takes; fewer if a row has very many numbers."""
        return max(1, min(_BATCH_ROWS, _BATCH_ELEMENTS // self.row_elements))

    def example(self) -> dict[str, Any]:
        """Return a row that a client could send: every feature that has an example."""
        examples = {feature.name: feature.example for feature in self.features if feature.example is not None}
        return {name: _as_json(example) for name, example in examples.items()}

    def row_schema(self) -> dict[str, Any]:
        """Return the JSON Schema (2020-12) of one row of a request."""
        return {
            "type": "object",
            "required": [feature.name for feature in self.features if feature.required],
            "additionalProperties": False,
            "properties": {feature.name: feature.json_schema() for feature in self.features},
            "examples": [self.example()],
        }


def _as_json(example: Any) -> Any:
    """Return an example as JSON has it: tuples as lists."""
    return [_as_json(item) for item in example] if isinstance(example, tuple | list) else example
