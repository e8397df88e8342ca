"""JSON files of an artifact as pydantic models that write exactly what they read.

Two files are such documents: evaluation.json (:mod:`contract.evaluation`) and reference.json
(:mod:`contract.reference`). Their models belong to the artifact's format, see :mod:`contract.artifact`.

GET /model, ``deployer show --json`` and model_metadata.json pass a document on as it was read. Therefore

- a field that the file does not have is also absent when the document is written, which differs from null;
- a key that this version does not know is preserved (``extra="allow"``), after the known keys of its object. A later
  version may add an optional key within the same format. ``ignore`` would lose the key on the way to the consumer, and
  ``forbid`` would refuse a model that works.

The cost of ``allow`` is that a misspelt keyword creates an unknown key. mypy refuses it (``init_forbid_extra`` in
pyproject.toml), and a test checks that a training run writes only known keys.

An optional field can be added within a format. To rename or remove a field, or to change its meaning, change the
format:

1. Raise ``FORMAT`` in :mod:`contract.artifact`.
2. Change the model, and write a function from the old JSON to the new JSON. :class:`contract.artifact.Artifact` applies
   it if the manifest has the old number. The rest of the project then uses only the new model.
3. Store an artifact of the new format under tests/contract/artifacts. Artifacts of the old format stay there and must
   stay readable.
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Discriminator, ValidationError
from pydantic_core import ErrorDetails

from model_deployer.contract.errors import ArtifactError

#: What the owner of an artifact can do about a file that cannot be read.
_REMEDY = "restore the model from its source, or train it again"


class JsonObject(BaseModel):
    """An object within a document."""

    model_config = ConfigDict(frozen=True, extra="allow", ser_json_inf_nan="constants")

    def to_json(self) -> dict[str, Any]:
        """Return content for ``json.dumps``: the fields that are set, in the order of the model, then unknown keys."""
        return self.model_dump(mode="json", exclude_unset=True)


class JsonDocument(JsonObject):
    """The top-level object of a file."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file of an artifact.

        Raises:
            ArtifactError: if the file is missing, is not JSON, or does not fit the model. The message names the file
                and the field.
        """
        try:
            content = json.loads(path.read_bytes())
        except FileNotFoundError:
            raise ArtifactError(f"{path} is missing; {_REMEDY}") from None
        except ValueError:
            raise ArtifactError(f"{path} is not JSON; {_REMEDY}") from None
        return cls.parse(content, str(path), _REMEDY)

    @classmethod
    def parse(cls, content: Any, source: str, remedy: str) -> Self:
        """Build the document from parsed JSON.

        Args:
            content: The JSON value, as ``json.loads`` returns it.
            source: The origin of the content, for the error message.
            remedy: What the reader can do if the content does not fit, for the error message.

        Raises:
            ArtifactError: if the content does not fit the model. The message names the source and the field.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            details = error.errors(include_url=False)[0]
            location = ": ".join(filter(None, (source, _field(details, content))))
            raise ArtifactError(f"{location}: {_reason(details)}; {remedy}") from None


def by_key(tags: Mapping[str, str]) -> Discriminator:
    """Return a discriminator of a union whose classes each have a key that the others do not have.

    Args:
        tags: The tag of a class by its key. Content without any of these keys gets the first tag.
    """
    default = next(iter(tags.values()))

    def tag(content: Any) -> str:
        has = content.__contains__ if isinstance(content, Mapping) else partial(hasattr, content)
        return next((tag for key, tag in tags.items() if has(key)), default)

    return Discriminator(tag)


def _field(details: ErrorDetails, content: Any) -> str:
    """Return the path of a field in the file, without the tags of unions that pydantic adds."""
    keys = []
    for key in details["loc"]:
        try:
            content = content[key]
        except (LookupError, TypeError):
            continue
        keys.append(str(key))
    return ".".join([*keys, *map(str, details["loc"][-1:] if details["type"] == "missing" else ())])


def _reason(details: ErrorDetails) -> str:
    reasons = {"missing": "the field is missing", "model_type": "expected an object"}
    return reasons.get(details["type"]) or details["msg"].replace("Input should be", "expected")
