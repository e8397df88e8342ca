"""The options of `bentoml serve` that BentoML does not pass to the service: where to listen, and TLS.

An option on the command line overrides the configuration.
"""

from typing import Any

import click
from bentoml._internal.configuration.containers import BentoMLContainer

from model_deployer.serving.config.tls import Tls


def host() -> str:
    """Return the address of the interface at which the server listens; in the parent of the workers only."""
    return str(_option("host", BentoMLContainer.http.host))


def tls() -> Tls | None:
    """Return the TLS settings; None without a certificate. In the parent of the workers only.

    As in BentoML, a certificate enables TLS, also without ``enabled``.
    """
    values = {name: _option(f"ssl_{name}", getattr(BentoMLContainer.ssl, name)) for name in Tls.__struct_fields__}
    return Tls(**{name: value for name, value in values.items() if value}) if values["certfile"] else None


def _option(name: str, configured: Any) -> Any:
    context = click.get_current_context(silent=True)
    value = context.params.get(name) if context else None
    return configured.get() if value is None else value
