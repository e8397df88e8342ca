"""The end of listening: a client that connects to a server which is stopping is answered or refused, never reset.

The parent and its workers share the sockets at which they listen. The system establishes connections on its own and
keeps them until a worker accepts them; those that no worker has accepted are reset when the last process closes the
socket. Therefore the parent first has the system ignore new handshakes, then waits until the workers have accepted all
connections, and only then stops the workers and the listening.
"""

import ctypes
import socket
import struct
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from circus.sighandler import SysHandler

#: How long handshakes that have begun may take to complete.
_HANDSHAKE_SECONDS = 0.1

#: The interval at which the parent looks whether all connections are accepted, and for how long it does.
_CHECK_SECONDS = 0.02
_MAX_CHECKS = 250

#: How long workers take to close their sockets after they were asked to stop. A client that connects meanwhile tries
#: again after a second, and is refused then.
_CLOSE_SECONDS = 0.5

#: Linux: the option for a filter of packets, and a filter that drops those with the flag SYN, the first of a handshake:
#: load byte 13 of the TCP header; if bit 2 is set, keep 0 bytes of the packet, else all.
_SO_ATTACH_FILTER = 26
_DROP_HANDSHAKES = ((0x30, 0, 0, 13), (0x45, 0, 1, 2), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))

#: Linux: where TCP_INFO of a listening socket has the number of connections that wait to be accepted.
_WAITING_OFFSET = 24


def install() -> None:
    """Have circus, the parent of the workers, stop listening before it stops the workers."""
    stop_workers = SysHandler.quit
    stopping: list[SysHandler] = []

    def stop(handler: SysHandler) -> None:
        if not stopping:
            stopping.append(handler)
            loop = handler.controller.loop
            loop.add_callback_from_signal(_stop, handler, lambda: stop_workers(handler))

    SysHandler.quit = stop


def _stop(handler: SysHandler, stop_workers: Any) -> None:
    loop = handler.controller.loop
    listeners = [
        listener for listener in handler.controller.arbiter.sockets.values() if listener.family != socket.AF_UNIX
    ]
    for listener in listeners:
        _drop_handshakes(listener)

    def stop_when_accepted(checks: int) -> None:
        if any(map(_waiting, listeners)) and checks < _MAX_CHECKS:
            loop.call_later(_CHECK_SECONDS, stop_when_accepted, checks + 1)
        else:
            stop_workers()
            loop.call_later(_CLOSE_SECONDS, _shut_down, listeners)

    loop.call_later(_HANDSHAKE_SECONDS, stop_when_accepted, 0)


def _drop_handshakes(listener: socket.socket) -> None:
    """Have the system ignore new connections: their clients try again after a second."""
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _DROP_HANDSHAKES))
    with suppress(OSError):  # not Linux, or a sandbox without filters
        filter_program = struct.pack("@HP", len(_DROP_HANDSHAKES), ctypes.addressof(program))
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter_program)


def _waiting(listener: socket.socket) -> int:
    """Return the number of connections that no worker has accepted yet; 0 where the system does not say."""
    if not hasattr(socket, "TCP_INFO"):
        return 0
    with suppress(OSError):
        info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _WAITING_OFFSET + 4)
        waiting: int = struct.unpack_from("=I", info, _WAITING_OFFSET)[0]
        return waiting
    return 0


def _shut_down(listeners: Sequence[socket.socket]) -> None:
    """Refuse new connections, also while a process still has the socket: a worker that does not react, or a runner."""
    for listener in listeners:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
