"""Take from this process what a source does not need: the network, writable files, and memory and time without limit.

All of it is done before anything of the source is loaded, by Linux system calls, without any other program.
"""

import ctypes
import os
import resource
import sys
from typing import Any

#: From linux/sched.h, linux/mount.h and linux/fcntl.h.
_NEW_MOUNTS, _NEW_USER, _NEW_NETWORK = 0x00020000, 0x10000000, 0x40000000
_PRIVATE_RECURSIVE = (1 << 18) | (1 << 14)
_NO_SUID, _NO_DEVICES = 2, 4
_READ_ONLY, _RECURSIVE, _CURRENT_FOLDER = 1, 0x8000, -100
_MOUNT_SETATTR = 442
_NO_NEW_PRIVILEGES = 38
_CAPABILITY_VERSION = 0x20080522


def isolate(limits: "dict[str, Any]") -> "dict[str, bool]":
    """Isolate this process, as far as the machine allows it.

    Args:
        limits: ``memory_bytes`` and ``cpu_seconds``, or None for no limit, and ``folder``: the only folder that stays
            writable, in memory.

    Returns:
        ``network``: whether the network is cut off; ``files``: whether files are read-only.
    """
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_DATA, limits["memory_bytes"])
    _limit(resource.RLIMIT_CPU, limits["cpu_seconds"])
    if not sys.platform.startswith("linux"):
        return {"network": False, "files": False}
    library = ctypes.CDLL(None, use_errno=True)
    library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    user, group = os.getuid(), os.getgid()
    if library.unshare(_NEW_USER | _NEW_NETWORK | _NEW_MOUNTS) != 0:
        return {"network": library.unshare(_NEW_NETWORK) == 0, "files": False}
    _keep_identity(user, group)
    is_read_only = _make_files_read_only(library, limits["folder"])
    _drop_capabilities(library)
    return {"network": True, "files": is_read_only}


def _limit(kind: int, amount: Any) -> None:
    if amount is not None:
        resource.setrlimit(kind, (int(amount), int(amount)))


def _keep_identity(user: int, group: int) -> None:
    """Map the user and the group of this process to themselves in its new namespace."""
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:  # noqa: PTH123 (Path is slower to import)
            file.write(text)


def _drop_capabilities(library: Any) -> None:
    """Give up the rights of the new namespace, with which this process could undo its isolation."""
    header, none = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0), (ctypes.c_uint32 * 6)()
    library.capset(ctypes.byref(header), ctypes.byref(none))


def _make_files_read_only(library: Any, folder: str) -> bool:
    """Make every file read-only in this process, and mount an empty folder in memory for temporary files."""

    class MountAttributes(ctypes.Structure):
        _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "user")]

    attributes = MountAttributes(_READ_ONLY, 0, 0, 0)
    size = ctypes.sizeof(attributes)
    is_done = (
        library.mount(None, b"/", None, _PRIVATE_RECURSIVE, None) == 0
        and library.syscall(_MOUNT_SETATTR, _CURRENT_FOLDER, b"/", _RECURSIVE, ctypes.byref(attributes), size) == 0
        and library.mount(b"cell", folder.encode(), b"tmpfs", _NO_SUID | _NO_DEVICES, b"mode=700") == 0
    )
    return bool(is_done)
