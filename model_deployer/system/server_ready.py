"""A server on this machine: find free ports for it, and wait until it is ready."""

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import httpx

#: The longest time that a server may take to become ready.
TIMEOUT_SECONDS = 120.0


def free_ports(count: int) -> list[int]:
    """Return ``count`` different ports of the loopback interface that were free a moment ago."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def wait_until_ready(
    url: str, has_ended: Callable[[], bool] = lambda: False, timeout_seconds: float = TIMEOUT_SECONDS
) -> str | None:
    """Wait until GET ``url``/readyz answers 200.

    Args:
        url: The URL of the server, as http://host:port.
        has_ended: Returns whether the server's process has ended; if so, the wait ends, too.
        timeout_seconds: How long to wait.

    Returns:
        The reason why the server is not ready; None if it is ready.
    """
    deadline = time.monotonic() + timeout_seconds
    while time.monotonic() < deadline:
        if has_ended():
            return "the server ended before it was ready"
        with suppress(httpx.TransportError):
            if httpx.get(f"{url}/readyz", timeout=2).status_code == httpx.codes.OK:
                return None
        time.sleep(0.02)
    return f"the server was not ready within {timeout_seconds:g} seconds"
