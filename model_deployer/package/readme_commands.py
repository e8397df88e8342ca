"""The commands of a package's README.md: written there, and executed as they stand there."""

import re
from pathlib import Path

#: Where the server of README.md answers.
LOCAL = "http://localhost:3000"

#: Each is the content of a block ```` ```sh name ```` of README.md; run in the package's folder, in this order.
INSTALL = "python3 -m venv .venv\n.venv/bin/pip install -r requirements.txt"
EXAMPLE = ".venv/bin/python examples/inference_example.py"
TEST = ".venv/bin/pytest tests"
SERVE = '.venv/bin/bentoml serve "$PWD/bento"'
TEST_DEPLOYMENT = f"URL={LOCAL} .venv/bin/pytest tests"

_BLOCK = re.compile(r"^(`{3,})sh (\w+)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)


def commands(folder: Path, url: str = LOCAL) -> dict[str, str]:
    """The shell blocks of README.md, by their names, with the URL of a server in place of ``LOCAL``."""
    text = (folder / "README.md").read_text(encoding="utf-8")
    return {name: block.replace(LOCAL, url) for _, name, block in _BLOCK.findall(text)}
