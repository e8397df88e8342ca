"""The settings of BentoML that work in this service.

BentoML accepts many more. Some would have no effect here, because the service answers its requests itself, and some
would break it: a server does not start with them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from model_deployer.contract.yaml_source import KeyPath

#: The settings that work, as paths below ``services``; a section includes all of its keys.
SUPPORTED = (
    "workers", "backlog", "resources", "runner_connection", "ssl", "http.host", "http.port", "http.cors", "logging",
    "tracing", "traffic.concurrency", "traffic.external_queue",
)  # fmt: skip

#: What to do instead of other settings.
_ALTERNATIVES = {
    "metrics": "only `enabled: false` is possible, as the service has metrics of its own at /metrics",
    "traffic.timeout": "the time limit of a request belongs to the model: `limits` in model.yaml",
    "traffic.max_concurrency": "`serving.queue_rows` limits the work that waits",
    "endpoints": "the paths of the probes are /livez and /readyz",
    "http.response": "every response has its id in X-Request-ID",
    "grpc": "`serving.grpc_port` enables gRPC",
}

#: Sections that work for the Runner only, which BentoML serves.
_RUNNER_SECTIONS = ("traffic", "max_runner_connections", "threads")


def unsupported(services: Mapping[str, Any], names: tuple[str, ...]) -> Iterator[tuple[KeyPath, str]]:
    """Find the settings that do not work.

    Args:
        services: The section ``services`` of a configuration, with known keys.
        names: The names of the services, which may be keys of that section.

    Yields:
        The path of each such setting below ``services``, and what to do instead.
    """
    for key, value in services.items():
        if key in names and isinstance(value, Mapping):
            sections = _RUNNER_SECTIONS if key == "Runner" else ()
            yield from (((key, *path), reason) for path, reason in _unsupported(value, (), sections))
        else:
            yield from _unsupported({key: value}, (), ())


def _unsupported(section: Mapping[str, Any], path: KeyPath, more: tuple[str, ...]) -> Iterator[tuple[KeyPath, str]]:
    for key, value in section.items():
        key_path = (*path, str(key))
        name = ".".join(map(str, key_path))
        if name in (*SUPPORTED, *more) or value is None or (name == "metrics.enabled" and value is False):
            continue
        if isinstance(value, Mapping):
            yield from _unsupported(value, key_path, more)
            continue
        alternatives = [text for prefix, text in _ALTERNATIVES.items() if f"{name}.".startswith(f"{prefix}.")]
        yield key_path, alternatives[0] if alternatives else "it has no effect in this service; leave it out"
