"""configuration.yaml: what BentoML is told, and what is misspelt in the file, which BentoML ignores."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from _bentoml_sdk.service.config import ServiceConfig
from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import TypedDict, is_typeddict

from model_deployer.contract.yaml_source import KeyPath, read_yaml, suggestion, validation_messages
from model_deployer.serving.config import settings
from model_deployer.serving.config.settings import Settings


class _Named(TypedDict, total=False):
    """Sections that hold for one service only, by the names of the classes in service.py."""

    ModelService: ServiceConfig
    Runner: ServiceConfig


class _Services(ServiceConfig, _Named, total=False):  # type: ignore[misc]  # BentoML carries no types
    """What holds for all services, and beside it what holds for one."""


class Configuration(BaseModel):
    """The whole file. BentoML's part is checked as BentoML checks it, and held to the keys that it knows."""

    model_config = ConfigDict(extra="forbid")

    services: _Services = {}
    serving: Settings = Settings()


def service_configuration(file: Path, name: str, **defaults: Any) -> dict[str, Any]:
    """BentoML's configuration of a service: of all, then its ``defaults``, then what the file has under its name."""
    services = yaml.safe_load(file.read_text(encoding="utf-8")).get("services") or {}
    common = {key: value for key, value in services.items() if key not in _Named.__annotations__}
    return _merged(_merged(common, defaults), services.get(name) or {})


def check(file: Path) -> list[str]:
    """What is wrong in a configuration.yaml, and with the environment variables that override it: a line each.

    Raises:
        SpecError: It is no such YAML file.
    """
    source = read_yaml(file, empty="it needs the sections `services` and `serving`")
    values = dict(source.values)
    found = []
    if values.pop("version", None) is not None:
        found.append(f"{source.location(('version',))}: BentoML does not start with this key; leave it out")
    try:
        Configuration.model_validate(values)
    except ValidationError as error:
        found += validation_messages(error, source, _keys)
    return found + _variables()


def _variables() -> list[str]:
    """Environment variables that look like settings and are none, or whose value is no setting."""
    known = {settings.PREFIX + name.upper(): name for name in Settings.model_fields}
    given = {name: value for name, value in os.environ.items() if name.startswith(settings.PREFIX)}
    found = [
        f"{name}: no such environment variable{suggestion(name, known)}"
        for name in sorted(given.keys() - known.keys() - {settings.API_KEYS, settings.CONFIGURATION})
    ]
    try:
        Settings.model_validate({known[name]: value for name, value in given.items() if name in known})
    except ValidationError as error:
        wrong = {str(each["loc"][0]): each["msg"].replace("Input should be", "expected") for each in error.errors()}
        found += [f"{settings.PREFIX}{name.upper()}: {reason}" for name, reason in wrong.items()]
    return found


def _keys(path: KeyPath) -> Iterable[str]:
    """The keys that are legal below a path of the file."""
    section: Any = Configuration
    for part in path:
        section = _fields(section).get(str(part))
    return _fields(section)


def _fields(section: Any) -> Mapping[str, Any]:
    if isinstance(section, type) and issubclass(section, BaseModel):
        return {name: field.annotation for name, field in section.model_fields.items()}
    return get_type_hints(section) if is_typeddict(section) else {}


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Both; where both have a section, its keys likewise; else what is ``above``."""
    both = {
        key: _merged(below[key], above[key]) for key in below.keys() & above.keys() if _are_sections(below, above, key)
    }
    return {**below, **above, **both}


def _are_sections(below: Mapping[str, Any], above: Mapping[str, Any], key: str) -> bool:
    return isinstance(below[key], Mapping) and isinstance(above[key], Mapping)
