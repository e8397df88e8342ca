"""examples/clients/clients.json: the clients of a package."""

from pydantic import BaseModel, ConfigDict


class Client(BaseModel):
    """A client as it stands in a package (examples/clients/clients.json).

    Attributes:
        language: "Python", "Go", ...
        folder: Its folder, from the package's.
        files: Its files, from the package's folder; none where it was left out.
        needs: What has to be installed, in words: "Go 1.19 or newer, nothing else".
        command: What was run, from the package's folder, with ``URL`` in the environment.
        left_out: Why the package goes without it; None where it has it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    language: str
    folder: str
    files: tuple[str, ...]
    needs: str
    command: str
    left_out: str | None = None
