"""Every import is declared in pyproject.toml, and every private name of a library is bounded and known."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.processes import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
OURS = {"model_deployer", "service", "tests", "benchmarks", "examples"}

#: The extras that each part of the code needs in addition to the base dependencies.
EXTRAS: dict[str, set[str]] = {
    "service.py": set(),
    "model_deployer/api.py": {"train"},
    "model_deployer/adoption": {"train", "adopt"},
    "model_deployer/contract": {"signing", "images"},
    "model_deployer/serving": {"remote"},
    "model_deployer/system": set(),
    "model_deployer/writing": set(),
    "model_deployer/package": set(),
    "model_deployer/prediction": {"train"},
    "model_deployer/monitoring": {"monitor", "train", "remote"},
    "model_deployer/deployment": set(),
    "model_deployer/distribution": set(),
    "model_deployer/image": set(),
    "model_deployer/cli": set(),
    "model_deployer/handoff": {"train", "handoff", "images"},
    "model_deployer/tracking": {"train", "mlflow"},
    "training": {"train", "sql", "remote"},
    "examples": {"train"},
    "benchmarks": {"train", "bench"},
    "tests": {"train", "adopt", "sql", "remote", "handoff", "images", "signing", "bench", "dev"},
}

#: Imported where they are installed, and never asked for.
OPTIONAL = {"training": {"cloudpickle", "xgboost"}, "benchmarks": {"pytabkit"}}

#: The private names that the code relies on, as ``module:attribute``, by the library that has them.
PRIVATE_NAMES = {
    "bentoml": [
        "bentoml._internal.configuration.containers:BentoMLContainer.model_store",
        "bentoml._internal.configuration.containers:BentoMLContainer.http",
        "bentoml._internal.configuration.containers:BentoMLContainer.ssl",
        "bentoml._internal.models:ModelStore",
        "bentoml._internal.utils.analytics.usage_stats:do_not_track",
        "_bentoml_sdk.service.config:ServiceConfig",
        "_bentoml_impl.worker.service:main",
    ],
    "kantoku": [
        "circus.sighandler:SysHandler.handle_hup",
        "circus.sighandler:SysHandler.quit",
        "circus.watcher:Watcher.notify_event",
        "circus.watcher:Watcher.reap_process",
        "circus.watcher:Watcher.spawn_process",
    ],
    "prometheus-client": [
        "prometheus_client.mmap_dict:MmapedDict._init_value",
        "prometheus_client.mmap_dict:mmap_key",
        "prometheus_client.values:MmapedDict",
        "prometheus_client.metrics:Histogram._metric_init",
        "prometheus_client.values:MultiProcessValue",
        "prometheus_client.values:MutexValue",
    ],
    "uvicorn": [
        "uvicorn.config:HTTP_PROTOCOLS",
        "uvicorn.protocols.http.httptools_impl:STATUS_LINE",
        "uvicorn.protocols.http.httptools_impl:RequestResponseCycle",
        "uvicorn.protocols.http.httptools_impl:HttpToolsProtocol._start_asgi_task",
    ],
    "skl2onnx": ["skl2onnx._supported_operators:sklearn_operator_name_map"],
    "scikit-learn": [
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting:BaseHistGradientBoosting",
        "sklearn.ensemble._hist_gradient_boosting.predictor:TreePredictor",
    ],
}


def declared(extras: set[str]) -> dict[str, Requirement]:
    """The requirements of the project with these extras, by normalized name."""
    lines = [*PROJECT["dependencies"], *(line for extra in extras for line in PROJECT["optional-dependencies"][extra])]
    return {_normalized(result.name): result for result in map(Requirement, lines)}


def _normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def sources(part: str) -> Iterator[Path]:
    path = ROOT / part
    for file in [path] if path.is_file() else sorted(path.rglob("*.py")):
        # What other environments run: templates of packages, clients of other servers, and models of other libraries.
        others = (ROOT / "tests/clients", ROOT / "benchmarks/adopted")
        if "templates" not in file.parts and not any(file.is_relative_to(folder) for folder in others):
            yield file


def imported(part: str) -> set[str]:
    """The top-level modules of others that a part imports."""
    result: set[str] = set()
    for file in sources(part):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                result |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                result.add(node.module.partition(".")[0])
    return result - sys.stdlib_module_names - OURS - OPTIONAL.get(part, set())


@pytest.mark.parametrize("part", EXTRAS)
def test_every_import_is_declared(part: str) -> None:
    known, distributions = declared(EXTRAS[part]), packages_distributions()
    undeclared = {
        module
        for module in imported(part)
        if not {_normalized(name) for name in distributions.get(module, [module])} & known.keys()
    }
    assert not undeclared


def test_every_part_of_the_package_is_looked_at() -> None:
    rooms = {f"model_deployer/{path.parent.name}" for path in (ROOT / "model_deployer").glob("*/__init__.py")}
    assert rooms - {"model_deployer/training"} <= EXTRAS.keys()


@pytest.mark.parametrize("library", PRIVATE_NAMES)
def test_private_names_exist_and_are_bounded(library: str) -> None:
    """Private names of a library exist, and its version has an upper bound."""
    for name in PRIVATE_NAMES[library]:
        module, _, attributes = name.partition(":")
        result = import_module(module)
        for attribute in attributes.split("."):
            result = getattr(result, attribute)
    bounds = declared({"train"})[library].specifier
    assert any(bound.operator in ("<", "<=", "==", "~=") for bound in bounds), f"{library} has no upper bound"


def test_no_other_private_module_is_imported() -> None:
    private = re.compile(r"^\s*(?:from|import) ((?:\w+\.)*_\w+[\w.]*)", re.MULTILINE)
    known = {name.partition(":")[0] for names in PRIVATE_NAMES.values() for name in names}
    for part in ("service.py", "training", *EXTRAS):
        if part in ("tests", "benchmarks"):
            continue
        for file in sources(part):
            assert {*private.findall(file.read_text())} - {"__future__"} <= known, file
