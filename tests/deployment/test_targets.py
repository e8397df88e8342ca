"""`deployer deploy`: every target from a package on disk, and the errors."""

import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, get_type_hints

import pytest
import yaml

from model_deployer.cli.commands.deploy import deploy as command
from model_deployer.contract.errors import UsageError
from model_deployer.deployment import vertex
from model_deployer.deployment.targets import TARGETS, definitions, deploy
from model_deployer.deployment.workload import Workload
from model_deployer.package.package_data import MEASUREMENTS, read_package_data
from tests.support import written_package as packages
from tests.support.observed import BUSY, MEASURED
from tests.support.processes import ROOT, run
from tests.support.workloads import IMAGE, workload


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A package that is written with the routes of Vertex AI in the environment, as in its containers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIP_HEALTH_ROUTE", "/readyz")
        patch.setenv("AIP_PREDICT_ROUTE", vertex.PREDICT)
        return packages.write(tmp_path_factory.mktemp("package"))


@pytest.mark.slow
def test_the_command_writes_a_target_and_says_where_to_begin(package: Path, tmp_path: Path) -> None:
    completed = run("deployer", "deploy", "compose", str(package), "-o", str(tmp_path / "out"), PYTHONPATH=str(ROOT))
    assert completed.returncode == 0, completed.stderr
    assert completed.stdout == f"tiny:1.0.0 for compose is in {tmp_path}/out. Begin with {tmp_path}/out/README.md\n"
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "README.md", "compose.yaml", "prometheus.yml", "alerts.yml",
    }  # fmt: skip
    completed = run("deployer", "deploy", "nomad", str(package), "-o", str(tmp_path / "other"), PYTHONPATH=str(ROOT))
    assert completed.returncode == 2
    assert completed.stderr.startswith("error: unknown target; expected one of kubernetes, ")


def test_the_help_of_the_command_names_every_target() -> None:
    (argument,) = get_type_hints(command, include_extras=True)["target"].__metadata__
    names = ", ".join(TARGETS).replace(", compose", " or compose")
    assert argument.help == f"The platform: {names}."


@pytest.mark.parametrize("target", TARGETS)
def test_every_route_that_a_platform_asks_is_one_of_the_package(package: Path, tmp_path: Path, target: str) -> None:
    deploy(target, package, tmp_path / "out", IMAGE)
    served = {path for _, path, _ in read_package_data(package).endpoints}
    requested = {
        route
        for path in (tmp_path / "out").rglob("*.*")
        if path.suffix in (".yaml", ".yml", ".json")
        for route in routes(yaml.safe_load(path.read_text()))
    }
    assert requested <= served
    assert requested or target in ("sagemaker", "compose")


def routes(document: Any) -> set[str]:
    """The values of all keys that name a path or a route."""
    if isinstance(document, list):
        return set().union(*map(routes, document))
    if not isinstance(document, dict):
        return set()
    own = {
        value
        for name, value in document.items()
        if isinstance(value, str) and value.startswith("/") and re.search(r"^path$|_path$|Route$", name)
    }
    return own.union(*(routes(value) for value in document.values()))


@pytest.mark.parametrize("target", TARGETS)
def test_page_and_commands_name_existing_files(package: Path, tmp_path: Path, target: str) -> None:
    """The page of a target names every file, and every command names files that exist."""
    deploy(target, package, tmp_path / "out", IMAGE)
    page = (tmp_path / "out" / "README.md").read_text()
    assert page.startswith("# tiny 1.0.0 ")
    assert IMAGE in page
    named = set(re.findall(r"(?:-[kf] |file://|post \S+ )([\w./-]+)", page))
    assert named or target == "compose"
    assert [name for name in named if not (tmp_path / "out" / name).exists()] == []


def test_the_same_package_gives_the_same_bytes(package: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        deploy("kubernetes", package, tmp_path / name, IMAGE)
    for path in (tmp_path / "one").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "other" / path.relative_to(tmp_path / "one")).read_bytes()


def test_package_leaves_out_targets_that_are_too_small() -> None:
    """A package holds every target except those whose machines are too small."""

    def targets(example: Workload) -> set[str]:
        return {path.split("/")[1] for path in definitions(example.package)}

    best = MEASURED.by_load[2].model_copy(update={"cores": 200.0})
    large = workload(MEASURED.model_copy(update={"by_load": (best,)}))
    assert targets(workload()) == set(TARGETS)
    assert targets(large) == {"kubernetes", "kserve", "compose"}


def test_the_pages_of_a_package_that_was_not_verified_say_so() -> None:
    package = workload().package
    for is_verified in (True, False):
        files = definitions(replace(package, is_verified=is_verified))
        pages = [text for path, text in files.items() if path.endswith(".md")]
        assert [("UNVERIFIED" in page) != is_verified for page in pages] == [True] * len(TARGETS)


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "compose"])
def test_what_is_pulled_from_a_registry_has_to_be_named(package: Path, tmp_path: Path, target: str) -> None:
    with pytest.raises(UsageError, match=r"name it with --image REGISTRY/tiny:1[.]0[.]0"):
        deploy(target, package, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("image", ["", "model", "host:5000/model", "a b:1", "model:1; ls", "model:$(ls)", "../x:1 "])
def test_image_without_version_or_odd_name_is_refused(package: Path, tmp_path: Path, image: str) -> None:
    """An image without a version, or with a name that no registry takes, is refused."""
    with pytest.raises(UsageError, match="with a tag or a digest") as error:
        deploy("kubernetes", package, tmp_path / "out", image)
    assert not image or image not in str(error.value)


@pytest.mark.parametrize("image", ["model:1", "host:5000/team/model:1.0.0-rc.1", f"host/model@sha256:{'0' * 64}"])
def test_an_image_may_be_anywhere(package: Path, tmp_path: Path, image: str) -> None:
    assert deploy("kubernetes", package, tmp_path / "out", image).image == image


@pytest.mark.parametrize("load", [0, -1, float("nan"), float("inf")])
def test_a_load_is_a_number_above_0(package: Path, tmp_path: Path, load: float) -> None:
    with pytest.raises(UsageError, match="a number above 0"):
        deploy("compose", package, tmp_path / "out", load=load)


def test_default_load_is_what_one_replica_carries(package: Path, tmp_path: Path) -> None:
    """Without a load, it is sized for what one replica carries, with one replica to spare."""
    example = deploy("kubernetes", package, tmp_path / "out", IMAGE)
    assert example.load == example.sizing.safe_load
    assert example.replicas == 2


@pytest.mark.parametrize("target", [target for target in TARGETS if target != "compose"])
def test_a_load_is_shown_with_its_digits(target: str) -> None:
    """10,000 requests per second are not shown as 1e+04."""
    page = TARGETS[target](workload(load=10_800))["README.md"]
    assert "for a load of 10,800 one-row requests per second" in page
    assert "Replicas for 10,800 one-row requests per second" in page


@pytest.mark.parametrize("target", TARGETS)
def test_a_busy_machine_gives_neither_a_load_nor_an_autoscaler(target: str) -> None:
    """A package that was measured on a busy machine has two replicas and no figure that depends on its speed."""
    busy = workload(BUSY, load=None)
    files = {path: text for path, text in definitions(busy.package).items() if path.startswith(f"deploy/{target}/")}
    page = files[f"deploy/{target}/README.md"]
    assert "The machine was busy when the package was measured." in page
    assert busy.replicas == busy.max_replicas == 2
    assert not [path for path in files if "autoscal" in path or "scaling" in path or "scalable" in path]
    # Neither the safe load nor the use of CPU.
    assert not re.search(r"\b2,?592\b|1040m|one-row requests per second", " ".join(files.values()))


def test_a_load_cannot_be_carried_by_a_number_of_replicas_that_is_not_known(package: Path, tmp_path: Path) -> None:
    busy = tmp_path / "busy"
    shutil.copytree(package, busy)
    (busy / MEASUREMENTS).write_text(BUSY.model_dump_json())
    with pytest.raises(UsageError, match="the load of a replica is not known"):
        deploy("compose", busy, tmp_path / "out", load=100)
    assert deploy("compose", busy, tmp_path / "out").load is None


def test_other_folders_and_full_targets_are_refused(package: Path, tmp_path: Path) -> None:
    """A folder that is not a package is refused, and so is a target folder that is not empty."""
    with pytest.raises(UsageError, match="does not contain a handoff package"):
        deploy("compose", tmp_path, tmp_path / "out")
    with pytest.raises(UsageError, match="is not empty"):
        deploy("compose", package, package)
