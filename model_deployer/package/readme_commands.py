"""The commands of a package's README.md: the document shows them, and a verification runs them from the document."""

import re
from pathlib import Path

#: The port of the server, and its URL in the commands of README.md: the variable PORT names another port.
DEFAULT_PORT = 3000
LOCAL = f"http://localhost:${{PORT:-{DEFAULT_PORT}}}"

#: Each is the content of a block ```` ```sh name ```` of README.md; they run in the package's folder, in this order.
INSTALL = "python3 -m venv .venv\n.venv/bin/pip install -r requirements.txt -r tests/requirements.txt"
INSTALL_SOURCE = (
    "PYTHONPATH=bento/src .venv/bin/python -B -m model_deployer.serving.engines.prepare_source bento/models"
)
EXAMPLE = ".venv/bin/python examples/inference_example.py"
TEST = ".venv/bin/pytest tests"
SERVE = f'.venv/bin/bentoml serve "$PWD/bento" --port ${{PORT:-{DEFAULT_PORT}}}'
MEASURE = ".venv/bin/python benchmarks/measure.py"
EXAMPLE_OF_SERVICE = f"URL={LOCAL} {EXAMPLE}"
TEST_DEPLOYMENT = f"URL={LOCAL} .venv/bin/pytest tests"

_BLOCK = re.compile(r"^(`{3,})sh (\w+)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)


def commands(folder: Path, url: str = LOCAL, document: str = "README.md") -> dict[str, str]:
    """Return the shell blocks of a document by name, with ``url`` in place of ``LOCAL``."""
    text = (folder / document).read_text(encoding="utf-8")
    return {name: block.replace(LOCAL, url) for _, name, block in _BLOCK.findall(text)}
