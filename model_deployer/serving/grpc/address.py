"""The address of gRPC: one port that the parent of the workers reserves and all workers share."""

import errno
import os
import socket

from model_deployer.contract.errors import EnvironmentFault

#: The environment variable that passes the address from the parent to its workers, in gRPC's notation.
_VARIABLE = "MODEL_DEPLOYER_GRPC_ADDRESS"

#: Variables of the gRPC library, for the workers. It writes lines of its own format to standard error: about every
#: fork, unless its handlers of forks are off, and about errors that its Python package raises as well.
_LIBRARY_VARIABLES = {"GRPC_ENABLE_FORK_SUPPORT": "0", "GRPC_VERBOSITY": "NONE"}

_reserved_sockets: list[socket.socket] = []


def reserve(host: str, port: int) -> None:
    """Reserve the port, at the address of an interface, for the workers that this process is about to start.

    Workers share the port by SO_REUSEPORT. With this option they would also share it, without an error, with another
    server of the same user. Therefore the port is first bound exclusively, and then kept bound, without listening,
    until this process ends.

    Raises:
        EnvironmentFault: if another program uses the port, or the port cannot be bound.
    """
    try:
        _bind(host, port).close()
        _reserved_sockets.append(_bind(host, port, is_shared=True))
    except OSError as error:
        reason = "is used by another program" if error.errno == errno.EADDRINUSE else f"cannot be used ({error})"
        raise EnvironmentFault(
            f"the gRPC port {port} {reason}; choose another one with `serving.grpc_port` or DEPLOYER_GRPC_PORT"
        ) from None
    for variable, value in _LIBRARY_VARIABLES.items():
        os.environ.setdefault(variable, value)
    os.environ[_VARIABLE] = f"[{host}]:{port}" if _is_v6(host) else f"{host}:{port}"


def listen_address(port: int) -> str:
    """Return the address at which a worker listens; all interfaces if no parent has reserved one."""
    return os.environ.get(_VARIABLE, f"0.0.0.0:{port}")


def _bind(host: str, port: int, *, is_shared: bool = False) -> socket.socket:
    bound = socket.socket(socket.AF_INET6 if _is_v6(host) else socket.AF_INET)
    try:
        # Remaining connections of a server that has just ended must not block its port.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, is_shared)
        bound.bind((host, port))
    except OSError:
        bound.close()
        raise
    return bound


def _is_v6(host: str) -> bool:
    return ":" in host
