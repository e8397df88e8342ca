"""Our own settings of a server: the section ``serving`` of configuration.yaml, and environment variables."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import yaml
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
)

from model_deployer.contract.errors import UsageError

#: Before the name of a setting in capitals: DEPLOYER_ENGINE overrides ``engine``.
PREFIX = "DEPLOYER_"


#: Names the file of the settings, where it is another one than that next to service.py.
CONFIGURATION = f"{PREFIX}CONFIGURATION"

#: Holds API keys, separated by commas, where no file is named.
API_KEYS = f"{PREFIX}API_KEYS"

#: The protocols of other servers, by name; :mod:`serving.protocols.registry` has a translator for each.
ProtocolName = Literal["open_inference", "invocations", "tensorflow_serving", "torchserve", "vertex", "azure"]


class Settings(BaseModel):
    """How a server does its work; what it promises stands in the model's contract.

    Attributes:
        engine: What runs the graph. ``cpu``: ONNX Runtime in each worker. ``cuda``: the same on a GPU, which all
            workers share. ``runner``: a service of its own, one process a GPU, that batches for all workers, at the
            price of one hop a batch. ``auto``: ``runner`` where a GPU is found, else ``cpu``.
        threads: Threads of ONNX Runtime in a worker on the CPU. ``auto`` measures at the start whether more than one
            make a full batch clearly faster.
        queue_rows: Rows that may wait in one worker; a request beyond that is refused at once.
        keep_alive_seconds: How long an idle connection is kept open for its client's next request; it takes the place
            of BentoML's ``--timeout-keep-alive``.
        log_requests: Which requests get a line in the log: ``errors`` those that failed by our fault, ``slow`` also
            those that took longer than ``slow_seconds``, ``all`` every one.
        slow_seconds: What counts as slow.
        api_key_file: A file with the keys that callers have to send, one a line. The variable DEPLOYER_API_KEYS can
            hold the keys themselves instead, separated by commas. Without either, everybody is answered.
        public_key_file: A PEM file with the public key that the model has to be signed with, see
            model_deployer/contract/signature.py; without it, signatures are not looked at.
        protocols: Those of other servers that are spoken beside the service's own, see docs/05-protocols.md; in the
            variable DEPLOYER_PROTOCOLS separated by commas.
        grpc_port: Where the Open Inference Protocol is spoken over gRPC; None for nowhere.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    engine: Literal["auto", "cpu", "cuda", "runner"] = "auto"
    threads: PositiveInt | Literal["auto"] = "auto"
    queue_rows: PositiveInt = 50_000
    keep_alive_seconds: PositiveFloat = 75.0
    log_requests: Literal["errors", "slow", "all"] = "slow"
    slow_seconds: PositiveFloat = 1.0
    api_key_file: Path | None = None
    public_key_file: Path | None = None
    protocols: tuple[ProtocolName, ...] = get_args(ProtocolName)
    grpc_port: Annotated[int, Field(ge=1, le=65535)] | None = None

    @field_validator("protocols", mode="before")
    @classmethod
    def _separated(cls, given: Any) -> Any:
        return [name.strip() for name in given.split(",") if name.strip()] if isinstance(given, str) else given


def locate(default: Path) -> Path:
    """The file of the settings: the one that the variable ``CONFIGURATION`` names, else ``default``.

    Raises:
        UsageError: The variable names a file that is not there.
    """
    file = Path(os.environ.get(CONFIGURATION) or default)
    if not file.is_file():
        raise UsageError(f"{CONFIGURATION}: there is no file {file}")
    return file


def load(file: Path) -> Settings:
    """The settings of ``file``, overridden by environment variables.

    Raises:
        UsageError: A setting is unknown, or of a wrong kind.
    """
    names = {name: PREFIX + name.upper() for name in Settings.model_fields}
    variables = {name: os.environ[variable] for name, variable in names.items() if variable in os.environ}
    try:
        return Settings.model_validate({**section(file), **variables})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0])
        place = names[name] if name in variables else f"{file}: serving.{name}"
        raise UsageError(f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}; see docs/02-service.md") from None


def section(file: Path) -> Mapping[str, Any]:
    """The section ``serving`` of a file, as it stands there.

    Raises:
        UsageError: It is no mapping.
    """
    content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    found = content.get("serving") or {}
    if not isinstance(found, Mapping):
        raise UsageError(f"{file}: serving: expected `setting: value` lines")
    return found
