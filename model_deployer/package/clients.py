"""examples/clients/clients.json: the clients of a package."""

from pydantic import BaseModel, ConfigDict


class Client(BaseModel):
    """A client in a package, as an entry of examples/clients/clients.json.

    Attributes:
        language: "Python", "Go", ...
        folder: The client's folder, relative to the package's folder.
        files: The client's files, relative to the package's folder; empty if the client was left out.
        needs: What must be installed, in words: "Go 1.19 or newer, nothing else".
        command: The command that was run, in the package's folder, with ``URL`` in the environment.
        ran_with: The version of the tools that ran the command, as they print it; None if the command was not run.
        left_out: The reason why the package does not contain the client; None if it does.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str
    folder: str
    files: tuple[str, ...]
    needs: str
    command: str
    ran_with: str | None = None
    left_out: str | None = None
