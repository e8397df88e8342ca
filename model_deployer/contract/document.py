"""A JSON file of an artifact as a model of the contract: what is read is what is written again.

Two files are such documents: evaluation.json (:mod:`contract.evaluation`) and reference.json
(:mod:`contract.reference`). Their models belong to the artifact's format, see :mod:`contract.artifact`.

A document is passed on as it was read, by GET /model, ``deployer show --json`` and model_metadata.json. Therefore

- a field that the file does not have is absent again when it is written, which is not the same as null;
- a key that this version does not know is kept (``extra="allow"``), and follows the known keys of its object. A later
  version may add an optional key within the same format. ``ignore`` would lose the key on the way to the consumer, and
  ``forbid`` would refuse a model that works.

The cost of ``allow`` is that a misspelt keyword makes an unknown key. mypy refuses it (``init_forbid_extra`` in
pyproject.toml), and a test holds that a training run writes known keys only.

An optional field can be added within a format. To rename or remove a field, or to change its meaning, change the
format:

1. Raise ``FORMAT`` in :mod:`contract.artifact`.
2. Change the model, and write a function from the old JSON to the new JSON. :class:`contract.artifact.Artifact` applies
   it where the manifest has the old number. The rest of the project then knows the new model only.
3. Store an artifact of the new format under tests/contract/artifacts. Those of the old format stay, and stay readable.
"""

import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Discriminator, ValidationError
from pydantic_core import ErrorDetails

from model_deployer.contract.errors import ArtifactError

#: What the owner of an artifact does about a file that cannot be read.
_REMEDY = "restore the model from its source, or train it again"


class JsonObject(BaseModel):
    """An object within a document."""

    model_config = ConfigDict(frozen=True, extra="allow", ser_json_inf_nan="constants")

    def to_json(self) -> dict[str, Any]:
        """The content for ``json.dumps``: the fields that are set, in the order of the model, then unknown keys."""
        return self.model_dump(mode="json", exclude_unset=True)


class JsonDocument(JsonObject):
    """The object that is a whole file."""

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file of an artifact.

        Raises:
            ArtifactError: The file is missing, is not JSON, or does not fit the model; the message names the file, and
                the field that does not fit.
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
        """The document of some JSON.

        Args:
            content: As ``json.loads`` returns it.
            source: Where it is from, for the message of an error.
            remedy: What to do where it does not fit, for the message of an error.

        Raises:
            ArtifactError: The content does not fit the model; the message names source and field.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            fault = error.errors(include_url=False)[0]
            where = ": ".join(filter(None, (source, _field(fault, content))))
            raise ArtifactError(f"{where}: {_reason(fault)}; {remedy}") from None


def by_key(tags: Mapping[str, str]) -> Discriminator:
    """The discriminator of a union whose classes are told apart by a key that only one of them has.

    Args:
        tags: For each of these keys the tag of its class. The first class is assumed where no key is there.
    """
    first = next(iter(tags.values()))

    def tag(content: Any) -> str:
        has = content.__contains__ if isinstance(content, Mapping) else partial(hasattr, content)
        return next((tag for key, tag in tags.items() if has(key)), first)

    return Discriminator(tag)


def _field(fault: ErrorDetails, content: Any) -> str:
    """The path of a field in the file, without the tags of unions that pydantic adds."""
    steps = []
    for step in fault["loc"]:
        try:
            content = content[step]
        except (LookupError, TypeError):
            continue
        steps.append(str(step))
    return ".".join([*steps, *map(str, fault["loc"][-1:] if fault["type"] == "missing" else ())])


def _reason(fault: ErrorDetails) -> str:
    reasons = {"missing": "the field is missing", "model_type": "expected an object"}
    return reasons.get(fault["type"]) or fault["msg"].replace("Input should be", "expected")
