"""The image, built and run: its content, how it starts, answers and stops, and how it handles faults."""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from packaging.utils import canonicalize_name

from model_deployer.contract import store
from model_deployer.handoff.requirements import write_dockerfile
from model_deployer.image.bento import write_bento
from tests.image.podman import MODEL, Container, Podman
from tests.serving.protocols.speakers import tensors
from tests.support import tiny
from tests.support.processes import BIN, ROOT, run, until

MB = 1_000_000
# The first test waits until podman is installed and both images are built.
pytestmark = [pytest.mark.image, pytest.mark.timeout(900)]

PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


@pytest.fixture(scope="module")
def files(podman: Podman, image: str) -> Iterator[Path]:
    """The files of the image."""
    yield Path(podman.run("image", "mount", image).strip())
    podman.run("image", "unmount", image)


def inspect_image(podman: Podman, image: str) -> dict[str, Any]:
    """The metadata of an image."""
    metadata: dict[str, Any] = json.loads(podman.run("image", "inspect", image))[0]
    return metadata


def test_it_says_what_it_is(podman: Podman, image: str, base: str) -> None:
    metadata = inspect_image(podman, image)
    labels = {key: value for key, value in metadata["Config"]["Labels"].items() if not key.startswith("io.buildah")}
    assert labels == {
        "model": MODEL,
        "org.opencontainers.image.base.name": base,
        "org.opencontainers.image.description": "A model for tests.",
        "org.opencontainers.image.title": "imaged",
        "org.opencontainers.image.version": "1.0.0",
    }
    assert metadata["User"] == "1034"
    assert list(metadata["Config"]["ExposedPorts"]) == ["3000/tcp"]
    assert metadata["Created"].startswith("1970")


def test_it_is_small(podman: Podman, image: str, base: str, tmp_path: Path) -> None:
    base_size = inspect_image(podman, base)["Size"]
    size = inspect_image(podman, image)["Size"]
    podman.run("push", "--quiet", "--compress", image, f"dir:{tmp_path}")
    packed = [layer["size"] for layer in json.loads((tmp_path / "manifest.json").read_bytes())["layers"]]
    sizes = f"image {size / MB:.0f} MB, base {base_size / MB:.0f} MB"
    assert (size, size - base_size) < (360 * MB, 230 * MB), sizes
    assert sum(packed[-5:]) < 80 * MB, f"compressed: image {sum(packed) / MB:.0f} MB, base {packed[0] / MB:.0f} MB"


def test_it_holds_nothing_that_serving_does_not_need(files: Path) -> None:
    packages = {path.name for path in files.glob("*/lib*/python3*/*-packages/*")}
    packages |= {path.name for path in files.glob("usr/*/lib*/python3*/*-packages/*")}
    assert {"bentoml", "onnxruntime", "numpy"} <= packages
    assert not packages & {"pip", "setuptools", "wheel", "uv", "torch", "onnx", "sympy", "polars", "pandas", "sklearn"}
    programs = {path.name for path in files.glob("**/bin/*")}
    assert "python" in programs
    assert not {name for name in programs if re.fullmatch(r"(pip|uv|gcc|cc|c\+\+|g\+\+|ld|make)[\d.]*", name)}
    assert not [path for path in files.glob("root/.*") if path.name in {".cache", ".local"}]


def test_it_holds_the_locked_versions_and_no_others(files: Path) -> None:
    lines = (ROOT / "requirements/serve.txt").read_text().splitlines()
    locked = {_canonical(line) for line in lines if not line.startswith("#")}
    installed = {
        _canonical(path.name.removesuffix(".dist-info").replace("-", "=="))
        for path in (files / "venv").glob("lib/python3*/site-packages/*.dist-info")
    }
    assert installed == locked


def _canonical(pin: str) -> str:
    """NAME==VERSION, with the normalized name of the package."""
    name, _, version = pin.partition("==")
    return f"{canonicalize_name(name)}=={version}"


def test_it_remembers_nothing_of_the_machine_that_built_it(podman: Podman, image: str, files: Path) -> None:
    machine = [os.uname().nodename, str(ROOT), str(BIN), os.environ["BENTOML_HOME"], *podman.sources]
    traces = [word.encode() for word in machine if len(word) > 3]
    paths = [path for path in files.rglob("*") if path.is_file() and not path.is_symlink() and path.stat().st_size]
    assert not [path for path in paths if any(trace in path.read_bytes() for trace in traces)]
    metadata = podman.run("image", "inspect", image) + podman.run("history", "--no-trunc", image)
    storage = re.compile(r'"(LowerDir|UpperDir|WorkDir)": .*')
    assert not [trace for trace in traces if trace in storage.sub("", metadata).encode()]


def test_everybody_may_read_it_and_nobody_write(files: Path) -> None:
    modes = [path.stat().st_mode for root in ("venv", "bento") for path in (files / root).rglob("*") if path.exists()]
    assert all(mode & 0o004 and not mode & 0o022 for mode in modes)


def test_it_answers_whatever_user_runs_it(server: Container) -> None:
    status, answer = server.request(3000, "POST", "/predict", {"rows": [tiny.ROW]})
    assert status == 200
    assert json.loads(answer)["model"] == {"name": "imaged", "version": "1.0.0"}
    (native,) = json.loads(answer)["predictions"]
    status, answer = server.request(3000, "POST", "/v2/models/imaged/infer", {"inputs": tensors([tiny.ROW])})
    assert status == 200
    outputs = {output["name"]: output["data"] for output in json.loads(answer)["outputs"]}
    assert native["decision"] in outputs["decision"]
    status, metrics = server.request(3000, "GET", "/metrics")
    assert status == 200
    assert b'model_requests_total{protocol="open_inference",route="/v2/models/{model}/infer",status="200"} 1' in metrics


def test_its_health_check_finds_the_server(podman: Podman, image: str, server: Container) -> None:
    """Run as an engine runs it; podman's own way needs systemd."""
    podman.run("exec", server.name, *inspect_image(podman, image)["Healthcheck"]["Test"][1:])


def test_it_answers_what_it_accepted_before_it_stops(podman: Podman, image: str) -> None:
    """The container is started as by SageMaker: with `serve`, on its port."""
    body = json.dumps({"dataframe_records": [tiny.ROW]}).encode()
    with podman.container(image, command=("serve",)) as container:
        container.wait_until_ready(8080)
        connection = container.connection(8080)
        connection.putrequest("POST", "/invocations")
        connection.putheader("Content-Type", "application/json")
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body[:10])
        podman.run("kill", "--signal=TERM", container.name)
        until(lambda: not container.is_ready(8080))
        connection.send(body[10:])
        answer = connection.getresponse()
        assert answer.status == 200
        assert len(json.loads(answer.read())["predictions"]) == 1
        connection.close()
        assert podman.run("wait", container.name).strip() == "0"


def test_it_runs_as_root_on_the_port_that_a_platform_names(podman: Podman, image: str) -> None:
    with podman.container(image, "--user=0", "--env=AIP_HTTP_PORT=9000") as container:
        container.wait_until_ready(9000)
        assert container.request(9000, "GET", "/livez")[0] == 200


def test_with_too_little_memory_it_is_killed_before_it_is_ready(podman: Podman, image: str) -> None:
    with podman.container(image, "--memory=64m") as container:
        assert podman.run("wait", container.name).strip() == "137"
        assert "golden predictions reproduced" not in container.log()


def test_a_new_model_takes_none_of_the_other_layers_along(
    podman: Podman, image: str, base: str, tmp_path: Path
) -> None:
    """The other model comes from its handoff package, whose Dockerfile is the same."""
    artifact = store.load(tiny.save(tmp_path / "files", "imaged", "2.0.0", opposite=True))
    package = tmp_path / "package"
    write_bento(artifact, package / "bento")
    write_dockerfile(package)
    options = ["--quiet", "--format=docker", "--timestamp=0", f"--build-arg=BASE={base}"]
    other = podman.run("build", *options, package).strip().splitlines()[-1]
    layers, other_layers = (inspect_image(podman, name)["RootFS"]["Layers"] for name in (image, other))
    assert [layer in layers for layer in other_layers] == [True] * (len(other_layers) - 2) + [False] * 2
    podman.run("rmi", "--force", other)


def test_bentoml_builds_the_same_image(podman: Podman, image: str, base: str) -> None:
    """BentoML must run in the root folder while it looks for the Dockerfile in the current one (BentoML issue 5566)."""
    tag = run("bentoml", "build", "--output", "tag", "--arg", f"model={MODEL}").stdout.strip().removeprefix("__tag__:")
    options = [f"--opt=build-arg=BASE={base}", "--opt=format=docker", "--opt=timestamp=0"]
    options += ["--backend", "podman", "--image-tag", "localhost/imaged:bentoml"]
    settings = str(podman.build_settings)
    completed = run("bentoml", "containerize", tag, *options, cwd=Path("/"), CONTAINERS_CONF=settings)
    assert completed.returncode == 0, completed.stderr
    ours, bentoml = (inspect_image(podman, name)["RootFS"]["Layers"] for name in (image, "localhost/imaged:bentoml"))
    assert bentoml[:-1] == ours[:-1], "all but the description of the Bento, which has its date"
    podman.run("rmi", "--force", "localhost/imaged:bentoml")


def test_an_image_that_cannot_be_built_leaves_the_one_before(podman: Podman, image: str) -> None:
    before = inspect_image(podman, image)["Id"]
    command = ["deployer", "image", MODEL, "--backend", "podman", "--build-arg", "BASE=scratch"]
    completed = run(*command, CONTAINERS_CONF=str(podman.build_settings))
    assert (completed.returncode, completed.stdout) == (3, "")
    assert completed.stderr.splitlines()[-1].startswith("error: podman could not build the image")
    assert inspect_image(podman, image)["Id"] == before


def test_a_base_with_another_python_is_refused_by_name(podman: Podman, image: str, base: str, tmp_path: Path) -> None:
    """The Dockerfile is that of a service built with Python 3.9; the base image has another version."""
    write_bento(store.load(MODEL), tmp_path / "bento")
    write_dockerfile(tmp_path)
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace(PYTHON, "3.9"))
    completed = podman.do("build", f"--build-arg=BASE={base}", tmp_path)
    assert completed.returncode != 0
    assert f"the base image has Python {PYTHON}, and the service was built with 3.9" in completed.stderr
