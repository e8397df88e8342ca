"""Our image beside the one that BentoML makes by itself of the same service and model: ``make bench-image``.

Both are built from nothing on the image that BASE names (python:X.Y-slim), and run by podman under the limits of the
tests, in alternating rounds, of which the medians count. BentoML's own needs Debian's packages, and pip or uv in the
base image. Ours is built twice: the same layers have to come of it.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import yaml
from rich.console import Console

from benchmarks.record import RESULTS, Target, verdict, write_results
from tests.image.podman import Podman
from tests.support.processes import ROOT, run

ROUNDS = 3
MODEL = "benchmark:1.0.0"
OURS, STOCK = "model-deployer", "BentoML's own"
MB = 1_000_000

Figures = dict[str, float]


def main() -> None:
    """Measure, and write a table and JSON."""
    base = os.environ.get("BASE", f"python:{sys.version_info.major}.{sys.version_info.minor}-slim")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as name:
        folder = Path(name)
        podman = Podman(folder)
        environment = {"BENTOML_HOME": str(_home(folder)), "CONTAINERS_CONF": str(podman.build_settings)}
        seconds = {OURS: _build_ours(podman, folder, base), STOCK: _build_stock(folder, base, environment)}
        first = _described(podman, _tag(OURS))["RootFS"]["Layers"]
        _build_ours(podman, folder, base)
        second = _described(podman, _tag(OURS))["RootFS"]["Layers"]
        results = {peer: {"s to build": seconds[peer]} | _sizes(podman, peer, base, folder) for peer in seconds}
        rounds = [{peer: _start(podman, peer) for peer in results} for _ in range(ROUNDS)]
        for peer, figures in results.items():
            figures |= {key: statistics.median(each[peer][key] for each in rounds) for key in rounds[0][peer]}
        below = _described(podman, base)["Size"] / MB
    ours = results[OURS]
    targets = [
        Target("MB unpacked, above the base image", ours["MB unpacked"] - below, most=235),
        Target("MB packed, above the base image", ours["MB packed, above the base image"], most=80),
        Target("s until it is ready", ours["s until it is ready"], most=5),
        Target("layers in which a second build differs", sum(map(str.__ne__, first, second)), most=0),
    ]
    document = {"rounds": ROUNDS, "MB of the base image": below, "results": results}
    write_results(RESULTS / "image.json", document, targets)
    Console().print(verdict(targets))


def _home(folder: Path) -> Path:
    """A BentoML home that holds the model."""
    os.environ["BENTOML_HOME"] = str(folder / "home")
    from tests.support import tiny  # noqa: PLC0415 (only now does BENTOML_HOME say where the store is)

    name, version = MODEL.split(":")
    tiny.save(folder / "files", name, version)
    return folder / "home"


def _build_ours(podman: Podman, folder: Path, base: str) -> float:
    """As `deployer image` does it, but without what podman remembers of another build."""
    from model_deployer.contract import store  # noqa: PLC0415
    from model_deployer.image.bento import DOCKERFILE, write_bento  # noqa: PLC0415
    from model_deployer.image.image import BACKENDS  # noqa: PLC0415

    context = Path(tempfile.mkdtemp(dir=folder)) / "bento"
    write_bento(store.load(MODEL), context)
    began = time.monotonic()
    options = ["--no-cache", *BACKENDS["podman"], "--tag", _tag(OURS), "--build-arg", f"BASE={base}"]
    podman.run("build", *options, "--file", context / DOCKERFILE, context)
    return time.monotonic() - began


def _build_stock(folder: Path, base: str, environment: dict[str, str]) -> float:
    """The same Bento but for our Dockerfile."""
    described = yaml.safe_load((ROOT / "bentofile.yaml").read_text()) | {"docker": {"base_image": base}}
    (folder / "bentofile.yaml").write_text(yaml.safe_dump(described))
    command = [
        "bentoml",
        "build",
        "--arg",
        f"model={MODEL}",
        "--version",
        "1.0.0",
        "-f",
        str(folder / "bentofile.yaml"),
    ]
    began = time.monotonic()
    for each in (
        [*command, str(ROOT)],
        [
            "bentoml",
            "containerize",
            "model_service:1.0.0",
            "--backend",
            "podman",
            "-t",
            _tag(STOCK),
            "--opt",
            "no-cache",
        ],
    ):
        done = run(*each, cwd=Path("/"), **environment)
        assert done.returncode == 0, done.stderr
    return time.monotonic() - began


def _sizes(podman: Podman, peer: str, base: str, folder: Path) -> Figures:
    packed = Path(tempfile.mkdtemp(dir=folder))
    podman.run("push", "--quiet", "--compress", _tag(peer), f"dir:{packed}")
    layers = json.loads((packed / "manifest.json").read_bytes())["layers"]
    own = layers[len(_described(podman, base)["RootFS"]["Layers"]) :]
    return {
        "MB unpacked": _described(podman, _tag(peer))["Size"] / MB,
        "MB packed, above the base image": sum(layer["size"] for layer in own) / MB,
    }


def _start(podman: Podman, peer: str) -> Figures:
    """Once, from nothing; BentoML's image has to be told of a home that it can write to."""
    options = [] if peer == OURS else ["--env=BENTOML_HOME=/tmp/bentoml"]
    began = time.monotonic()
    with podman.container(_tag(peer), *options) as container:
        container.wait_until_ready(3000)
        ready = time.monotonic() - began
        first = psutil.Process(container.process)
        resident = sum(each.memory_full_info().pss for each in (first, *first.children(recursive=True)))
    return {"s until it is ready": ready, "MB resident": resident / MB}


def _described(podman: Podman, image: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(podman.run("image", "inspect", image))[0]
    return found


def _tag(peer: str) -> str:
    """The name of an image."""
    return f"localhost/benchmark:{'ours' if peer == OURS else 'stock'}"


if __name__ == "__main__":
    main()
