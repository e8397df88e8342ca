"""The settings of a server: the section ``serving`` of configuration.yaml, and environment variables."""

import os
from collections.abc import Callable, Mapping
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

#: The prefix of the environment variable that overrides a setting: DEPLOYER_ENGINE overrides ``engine``.
PREFIX = "DEPLOYER_"

#: The environment variable with the path of the configuration, if it is not the file next to service.py.
CONFIGURATION = f"{PREFIX}CONFIGURATION"

#: The environment variable with API keys, separated by commas, if there is no file of keys.
API_KEYS = f"{PREFIX}API_KEYS"

#: The names of the protocols of other servers; :mod:`serving.protocols.registry` has a translator for each.
ProtocolName = Literal["open_inference", "invocations", "tensorflow_serving", "torchserve", "vertex", "azure"]


class Settings(BaseModel):
    """The settings of a server. The limits of a request are not here: they belong to the model's contract.

    Attributes:
        engine: The engine that runs the model. ``cpu``: ONNX Runtime in each worker. ``cuda``: the same on a GPU that
            all workers share. ``runner``: a separate service, one process per GPU, that batches for all workers, at the
            cost of one network hop per batch. ``auto``: ``runner`` if there is a GPU, else ``cpu``.
        threads: The number of ONNX Runtime threads in a worker on the CPU. ``auto`` measures at the start whether more
            than one thread makes a full batch clearly faster.
        queue_rows: The maximum number of rows that may wait in one worker. A request that exceeds it is refused at
            once.
        request_memory_mb: The memory in MiB that the requests in progress of one worker may take together: their
            bodies, and what these become. A request that exceeds it is refused.
        keep_alive_seconds: How long an idle connection stays open for the client's next request. It replaces BentoML's
            ``--timeout-keep-alive``.
        log_requests: The requests that are logged. ``errors``: those that were refused or failed. ``slow``: also those
            that took longer than ``slow_seconds``. ``all``: every request but health checks and scrapes of metrics.
        slow_seconds: A request that takes at least this long counts as slow.
        api_key_file: A file with the valid API keys, one per line: ``KEY`` or ``NAME: KEY``. Alternatively, the
            variable DEPLOYER_API_KEYS holds the keys, separated by commas. Without either, no key is required.
        public_key_file: A PEM file with a public key: only a model signed with its private key is served, see
            model_deployer/contract/signature.py. Without it, signatures are not checked.
        protocols: The protocols of other servers that are served in addition to the native one, see
            docs/05-protocols.md. In the variable DEPLOYER_PROTOCOLS they are separated by commas.
        unknown_fields: What happens to fields of a request that the model does not have. ``reject``: the request is
            refused, so that a misspelt field is noticed. ``ignore``: they are left out.
        row_id: The name of a field that rows may have in addition to those of the model: a caller's id of the row. It
            comes back with the prediction. None if rows have no id.
        model_folder: A folder with the files of a model, such as an image that Kubernetes mounts: it is served in place
            of a model of the store. None for the store.
        grpc_port: The port of gRPC, for those of the ``protocols`` that are available over gRPC; None to disable it.
        capture: The traffic store: a folder, or a URL of an object store, such as ``s3://bucket/prefix``. It gets the
            rows that the model saw and its answers, refusals, and labels from ``POST /feedback``. None to capture
            nothing.
        capture_share: The share of the answered rows that are captured. Refusals, and rows that a fallback answered,
            are captured all.
        capture_margin: Rows whose probability is at most this far from the decision threshold are captured all.
        capture_seconds: How long captured rows stay in memory until they are written: what a killed worker loses.
        capture_days: The number of days after which captured traffic is removed; None to keep it.
        capture_spool: A local folder for what is not in the traffic store yet. By default it is in the traffic store
            if that is a folder, else in the home folder.
        capture_key_file: A file with the key for fields that are captured as a hash.
        shadow: The tag of a candidate that answers sampled rows, too, in a process of its own: its answers are counted
            and stored in the traffic store, and no caller gets them. None for no shadow.
        shadow_share: The share of the answered rows that the candidate is asked about.
        shadow_memory_mb: The memory in MiB that the process of the candidate may take.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    engine: Literal["auto", "cpu", "cuda", "runner"] = "auto"
    threads: PositiveInt | Literal["auto"] = "auto"
    queue_rows: PositiveInt = 50_000
    request_memory_mb: PositiveInt = 192
    keep_alive_seconds: PositiveFloat = 75.0
    log_requests: Literal["errors", "slow", "all"] = "slow"
    slow_seconds: PositiveFloat = 1.0
    api_key_file: Path | None = None
    public_key_file: Path | None = None
    protocols: tuple[ProtocolName, ...] = get_args(ProtocolName)
    unknown_fields: Literal["reject", "ignore"] = "reject"
    row_id: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    model_folder: Path | None = None
    grpc_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    capture: Annotated[str, Field(min_length=1)] | None = None
    capture_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    capture_margin: Annotated[float, Field(ge=0, le=1)] = 0.0
    capture_seconds: PositiveFloat = 60.0
    capture_days: PositiveInt | None = 90
    capture_spool: Path | None = None
    capture_key_file: Path | None = None
    shadow: Annotated[str, Field(min_length=1)] | None = None
    shadow_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    shadow_memory_mb: PositiveInt = 2048

    @field_validator("protocols", mode="before")
    @classmethod
    def _split_at_commas(cls, value: Any) -> Any:
        return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else value


def locate(default: Path) -> Path:
    """Return the path of the configuration: the value of the variable ``CONFIGURATION``, else ``default``.

    Raises:
        UsageError: if there is no such file.
    """
    file = Path(os.environ.get(CONFIGURATION) or default)
    if not file.is_file():
        raise UsageError(f"{CONFIGURATION}: there is no file {file}")
    return file


def load(file: Path) -> Settings:
    """Load the settings of a file, overridden by environment variables.

    Raises:
        UsageError: if a setting is unknown or has an invalid value.
    """
    names = {name: PREFIX + name.upper() for name in Settings.model_fields}
    variables = {name: os.environ[variable] for name, variable in names.items() if variable in os.environ}
    return _validated(
        {**section(file), **variables},
        lambda name: names[name] if name in variables else f"{file}: serving.{name}",
    )


def of_values(values: Mapping[str, Any]) -> Settings:
    """Return the settings with these values, and the defaults of all others.

    Raises:
        UsageError: if a setting is unknown or has an invalid value.
    """
    return _validated(values, lambda name: name)


def _validated(values: Mapping[str, Any], source: Callable[[str], str]) -> Settings:
    """Return the settings; an error says where the value of a setting comes from."""
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = source(str(first["loc"][0]))
        raise UsageError(f"{place}: {first['msg'][:1].lower()}{first['msg'][1:]}; see docs/02-service.md") from None


def section(file: Path) -> Mapping[str, Any]:
    """Return the section ``serving`` of a file, without validation.

    Raises:
        UsageError: if it is not a mapping.
    """
    content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    serving = content.get("serving") or {}
    if not isinstance(serving, Mapping):
        raise UsageError(f"{file}: serving: expected `setting: value` lines")
    return serving
