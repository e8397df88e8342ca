"""benchmarks/measure.py: the program that measures the server, when a package is written and at its receiver's site."""

import ast
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich import get_console

import model_deployer
from model_deployer.contract.errors import EnvironmentFault
from model_deployer.handoff.measurement import server_measurement
from model_deployer.handoff.sandbox.environment import CleanEnvironment, clean_variables
from model_deployer.handoff.sandbox.server import Server
from model_deployer.package.readme_commands import MEASURE

#: The path of the program in a package; the integration guide names the command.
PROGRAM = MEASURE.split()[-1]

#: The folder of the modules that the program needs in addition to those of the Bento.
_SOURCES = "benchmarks/src"

#: The program itself.
MEASURE_TEMPLATE = Path(__file__).parent / "templates" / "measure.py"
_ROOT = Path(model_deployer.__file__).parent


def write_program(folder: Path) -> None:
    """Write the program, and the modules that it needs and that the Bento does not have, into a package.

    Args:
        folder: The folder of the package, with its Bento.
    """
    (folder / PROGRAM).parent.mkdir(parents=True)
    shutil.copyfile(MEASURE_TEMPLATE, folder / PROGRAM)
    for path in _missing_modules(folder / "bento" / "src" / _ROOT.name):
        target = folder / _SOURCES / path.relative_to(_ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def measuring_modules(folder: Path) -> dict[str, Path]:
    """Return the modules of the program in a package by their paths, with the files of this project that they copy."""
    sources = folder / _SOURCES
    names = [path.relative_to(sources) for path in sorted(sources.rglob("*")) if path.is_file()]
    return {f"{_SOURCES}/{name.as_posix()}": _ROOT / name for name in names}


def run_program(environment: CleanEnvironment, server: Server, output: Path) -> None:
    """Run the program in the clean environment, and show its lines as it prints them.

    Args:
        environment: The installed environment, with a copy of the package.
        server: The package's server.
        output: The file to write the measurements to.

    Raises:
        EnvironmentFault: If the program fails; the message is its last line.
    """
    options = {
        "--cold-start": server.cold_start_seconds,
        "--seconds": server_measurement.SECONDS,
        "--output": output.resolve(),
    }
    _run(environment, server, [str(text) for pair in options.items() for text in pair])


def run_relative_program(environment: CleanEnvironment, server: Server, output: Path) -> None:
    """Run the program for some seconds: it measures only the latencies that a verification compares.

    Args:
        environment: The installed environment, with a copy of the package.
        server: The package's server.
        output: The file to write the latencies to.

    Raises:
        EnvironmentFault: If the program fails; the message is its last line.
    """
    _run(environment, server, ["--relative", "--output", str(output.resolve())])


def _run(environment: CleanEnvironment, server: Server, options: Sequence[str]) -> None:
    python = str(environment.programs / "python")
    command = [python, PROGRAM, "--url", server.url, "--pid", str(server.process.pid), *options]
    with subprocess.Popen(
        command,
        cwd=environment.folder,
        env=clean_variables() | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            last = _show(process)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise EnvironmentFault(last.removeprefix("error: ") or f"{PROGRAM} failed without output")


def _show(process: "subprocess.Popen[str]") -> str:
    """Print the lines of a program until it ends, and return the last one."""
    line = ""
    for line in process.stdout or ():
        get_console().print(line.rstrip("\n"), markup=False, highlight=False, soft_wrap=True)
    return line.strip()


def _missing_modules(served: Path) -> set[Path]:
    """Return the modules that the program imports, directly or not, and that the Bento does not have.

    Args:
        served: The folder of this project in the Bento. Its modules import only each other.
    """
    modules: set[Path] = set()
    waiting = [MEASURE_TEMPLATE]
    while waiting:
        imports = {path for path in _imports(waiting.pop()) if not (served / path.relative_to(_ROOT)).exists()}
        waiting += imports - modules
        modules |= imports
    return modules


def _imports(path: Path) -> Iterator[Path]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{_ROOT.name}."):
            parts = (node.module or "").split(".")[1:]
            for name in (None, *(alias.name for alias in node.names)):
                yield from _files([*parts, name] if name else parts)


def _files(parts: list[str]) -> Iterator[Path]:
    """Yield the file of a module, if there is one, and those of the packages above it."""
    module = _ROOT.joinpath(*parts)
    packages = (folder for folder in (module, *module.parents) if folder.is_relative_to(_ROOT))
    candidates = (module.with_suffix(".py"), *(folder / "__init__.py" for folder in packages))
    yield from (path for path in candidates if path.exists())
