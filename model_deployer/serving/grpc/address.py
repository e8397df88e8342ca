"""Where gRPC is spoken: at one port, which the parent of the workers holds and they share."""

import errno
import os
import socket

import click

from model_deployer.contract.errors import EnvironmentFault

#: What the parent tells its workers: the address, as gRPC writes it.
_VARIABLE = "MODEL_DEPLOYER_GRPC_ADDRESS"

_held: list[socket.socket] = []


def reserve(port: int) -> None:
    """Take the port for the workers that this process is about to start, at the host that `bentoml serve` names.

    Workers share the port by SO_REUSEPORT. With it they would also share it with another server of the same user, in
    silence: so it is first taken alone, and then held, without listening, until this process ends.

    Raises:
        EnvironmentFault: Another program has the port, or it may not be taken.
    """
    host = _host()
    try:
        _bound(host, port).close()
        _held.append(_bound(host, port, is_shared=True))
    except OSError as error:
        reason = "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be used ({error})"
        raise EnvironmentFault(
            f"the gRPC port {port} {reason}; choose one with `serving.grpc_port` or DEPLOYER_GRPC_PORT"
        ) from None
    os.environ[_VARIABLE] = f"[{host}]:{port}" if _is_v6(host) else f"{host}:{port}"


def reserved(port: int) -> str:
    """The address to listen at, in a worker; all of the machine's where no parent has reserved one."""
    return os.environ.get(_VARIABLE, f"0.0.0.0:{port}")


def _host() -> str:
    """What `--host` says, which BentoML does not tell the service; its own default where nothing is said."""
    context = click.get_current_context(silent=True)
    return (context and context.params.get("host")) or "0.0.0.0"


def _bound(host: str, port: int, *, is_shared: bool = False) -> socket.socket:
    found = socket.socket(socket.AF_INET6 if _is_v6(host) else socket.AF_INET)
    try:
        # A connection of a server that has just ended does not hold its port.
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, is_shared)
        found.bind((host, port))
    except OSError:
        found.close()
        raise
    return found


def _is_v6(host: str) -> bool:
    return ":" in host
