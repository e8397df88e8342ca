"""The processes of a server: one parent, and the workers that it starts and starts again."""

import os

#: The variable that passes the process id of the parent to its workers.
_PARENT_VARIABLE = "MODEL_DEPLOYER_PARENT"


def become_parent() -> None:
    """Note that the processes that this one starts are workers."""
    os.environ[_PARENT_VARIABLE] = str(os.getpid())


def is_worker() -> bool:
    """Return whether a parent of a server started this process."""
    return os.environ.get(_PARENT_VARIABLE) == str(os.getppid())
