"""The programs of a package that depend only on the kind of its model, and the comparison of all its programs."""

import shutil
from pathlib import Path

from jinja2 import FileSystemLoader

from model_deployer.handoff.clients.clients import listed_clients, write_clients
from model_deployer.handoff.formats.library import TEMPLATES
from model_deployer.handoff.measurement.program import MEASURE_TEMPLATE, PROGRAM, measuring_modules
from model_deployer.handoff.standalone import verify
from model_deployer.image.bento import server_files
from model_deployer.package.package_data import PackageData
from model_deployer.system.janitor import temporary_folder
from model_deployer.writing.templates import jinja_environment

#: Programs that other parts of the package come with.
_OF_OTHER_PARTS = {
    "model/predictor.py": TEMPLATES / "predictor.py",
    "model/torch_model.py": TEMPLATES / "torch_model.py",
    PROGRAM: MEASURE_TEMPLATE,
}

#: BentoML writes this file of a Bento itself, and no program reads it.
_WRITTEN_BY_BENTOML = "bentofile.yaml"

#: The tests, which are made from a template.
_TESTS = "tests/test_inference.py"

_environment = jinja_environment(FileSystemLoader(TEMPLATES))


def write_programs(folder: Path, *, is_graph: bool) -> list[str]:
    """Write the programs that depend only on whether the model is a graph, and return their paths.

    A model that is not a graph cannot be asked without its service.
    """
    example = "inference_example.py" if is_graph else "service_example.py"
    copied = {"examples/inference_example.py": TEMPLATES / example, "verify.py": Path(verify.__file__)}
    for name, source in copied.items():
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(source, folder / name)
    (folder / _TESTS).parent.mkdir(exist_ok=True)
    text = _environment.get_template(f"{Path(_TESTS).name}.j2").render(is_graph=is_graph)
    (folder / _TESTS).write_text(text, encoding="utf-8")
    return [*copied, _TESTS]


def differing_programs(package: PackageData, folder: Path) -> list[str]:
    """Return the programs of a package that this version of model-deployer would write differently.

    These are the programs for every model, the clients, and the code of the server in the Bento.

    Args:
        package: The content of the package.
        folder: Its folder.
    """
    others = {name: source for name, source in _OF_OTHER_PARTS.items() if (folder / name).exists()}
    sources: dict[str, Path | None] = {**others, **_sources_of_bento(folder), **measuring_modules(folder)}
    with temporary_folder("model-programs-") as temporary:
        programs = write_programs(temporary, is_graph=package.runner is None)
        sources |= {name: temporary / name for name in programs}
        write_clients(package.contract, package.manifest, temporary)
        clients = [client for client in listed_clients(folder) if client.left_out is None]
        sources |= {name: temporary / name for client in clients for name in client.files}
        return [name for name, source in sources.items() if not _are_equal(folder / name, source)]


def _sources_of_bento(folder: Path) -> dict[str, Path | None]:
    """Return the files of the server in a Bento, with the files of this project that they are copies of."""
    files = server_files()
    code = folder / "bento" / "src"
    names = [path.relative_to(code).as_posix() for path in sorted(code.rglob("*")) if path.is_file()]
    return {f"bento/src/{name}": files.get(name) for name in names if name != _WRITTEN_BY_BENTOML}


def _are_equal(file: Path, source: Path | None) -> bool:
    return source is not None and file.is_file() and source.is_file() and file.read_bytes() == source.read_bytes()
