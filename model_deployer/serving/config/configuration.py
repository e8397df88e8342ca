"""configuration.yaml: BentoML's configuration of each service, and a check for unknown keys, which BentoML ignores."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from _bentoml_sdk.service.config import ServiceConfig
from pydantic import BaseModel, ConfigDict, ValidationError
from typing_extensions import TypedDict, is_typeddict

from model_deployer.contract.errors import UsageError
from model_deployer.contract.yaml_source import KeyPath, YamlSource, read_yaml, suggestion, validation_messages
from model_deployer.serving.config import bentoml_settings, settings
from model_deployer.serving.config.settings import Settings


class _ByService(TypedDict, total=False):
    """The sections for one service only, by the names of the classes in service.py."""

    ModelService: ServiceConfig
    Runner: ServiceConfig


class _Services(ServiceConfig, _ByService, total=False):  # type: ignore[misc]  # BentoML has no type hints
    """The keys for all services, in addition to the sections for one service."""


class Configuration(BaseModel):
    """The content of the file. BentoML's section is validated with BentoML's types; unknown keys are errors."""

    model_config = ConfigDict(extra="forbid")

    services: _Services = {}
    serving: Settings = Settings()


def service_configuration(file: Path, name: str, **defaults: Any) -> dict[str, Any]:
    """Return BentoML's configuration of a service.

    Args:
        file: The path of configuration.yaml.
        name: The name of the service, whose section of the file overrides everything else.
        **defaults: Values that override those for all services.
    """
    services = yaml.safe_load(file.read_text(encoding="utf-8")).get("services") or {}
    common = {key: value for key, value in services.items() if key not in _ByService.__annotations__}
    return _merge(_merge(common, defaults), services.get(name) or {})


def check(file: Path) -> list[str]:
    """Return the problems of a configuration.yaml and of the environment variables that override it, one per line.

    Raises:
        SpecError: if the file is not YAML with these sections.
    """
    source = read_yaml(file, empty="it needs the sections `services` and `serving`")
    values = dict(source.values)
    problems = []
    if values.pop("version", None) is not None:
        problems.append(f"{source.location(('version',))}: BentoML does not start with this key; leave it out")
    try:
        Configuration.model_validate(values)
    except ValidationError as error:
        problems += validation_messages(error, source, _valid_keys)
    return problems + _unsupported_settings(source) + _check_variables()


def refuse_unsupported(file: Path) -> None:
    """Check that no setting of BentoML is one that does not work here, in ``file`` and in the file BENTOML_CONFIG.

    Raises:
        UsageError: if there is such a setting.
    """
    override = os.environ.get("BENTOML_CONFIG")
    for path in [file, Path(override)] if override else [file]:
        if problems := _unsupported_settings(read_yaml(path, empty="it needs the section `services`")):
            raise UsageError("\n".join(problems))


def _unsupported_settings(source: YamlSource) -> list[str]:
    services = source.values.get("services")
    if not isinstance(services, Mapping):
        return []
    paths = {
        ("services", *path): reason
        for path, reason in bentoml_settings.unsupported(services, tuple(_ByService.__annotations__))
    }
    known_paths = [path for path in paths if path[-1] in tuple(_valid_keys(path[:-1]))]
    return [f"{source.location(path)}: {paths[path]}" for path in known_paths]


def _check_variables() -> list[str]:
    """Return the problems of environment variables that override settings: unknown names and invalid values."""
    names = {settings.PREFIX + name.upper(): name for name in Settings.model_fields}
    variables = {name: value for name, value in os.environ.items() if name.startswith(settings.PREFIX)}
    problems = [
        f"{name}: no such environment variable{suggestion(name, names)}"
        for name in sorted(variables.keys() - names.keys() - {settings.API_KEYS, settings.CONFIGURATION})
    ]
    try:
        Settings.model_validate({names[name]: value for name, value in variables.items() if name in names})
    except ValidationError as error:
        reasons = {
            str(details["loc"][0]): details["msg"].replace("Input should be", "expected") for details in error.errors()
        }
        problems += [f"{settings.PREFIX}{name.upper()}: {reason}" for name, reason in reasons.items()]
    return problems


def _valid_keys(path: KeyPath) -> Iterable[str]:
    """Return the keys that are valid at a path of the file."""
    section: Any = Configuration
    for part in path:
        section = _fields(section).get(str(part))
    return _fields(section)


def _fields(section: Any) -> Mapping[str, Any]:
    if isinstance(section, type) and issubclass(section, BaseModel):
        return {name: field.annotation for name, field in section.model_fields.items()}
    return get_type_hints(section) if is_typeddict(section) else {}


def _merge(base: Mapping[str, Any], override: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of both mappings; ``override`` wins, and sections in both are merged recursively."""
    merged_sections = {
        key: _merge(base[key], override[key])
        for key in base.keys() & override.keys()
        if isinstance(base[key], Mapping) and isinstance(override[key], Mapping)
    }
    return {**base, **override, **merged_sections}
