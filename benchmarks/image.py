"""Compare our image with the image that BentoML builds for the same service and model: ``make bench-image``.

Both are built without a cache on the image that BASE names (python:X.Y-slim), and run by podman under the limits of the
tests, in alternating rounds; the medians count. BentoML's image needs Debian's packages, and pip or uv in the base
image. Our image is built twice: both builds must have the same layers.
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

from benchmarks.record import RESULTS, Target, target_table, write_results
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
        first_layers = _inspect(podman, _tag(OURS))["RootFS"]["Layers"]
        _build_ours(podman, folder, base)
        second_layers = _inspect(podman, _tag(OURS))["RootFS"]["Layers"]
        results = {peer: {"s to build": seconds[peer]} | _sizes(podman, peer, base, folder) for peer in seconds}
        rounds = [{peer: _start(podman, peer) for peer in results} for _ in range(ROUNDS)]
        for peer, figures in results.items():
            figures |= {key: statistics.median(results[peer][key] for results in rounds) for key in rounds[0][peer]}
        base_mb = _inspect(podman, base)["Size"] / MB
    ours = results[OURS]
    different_layers = sum(map(str.__ne__, first_layers, second_layers))
    targets = [
        Target("MB unpacked, above the base image", ours["MB unpacked"] - base_mb, maximum=235),
        Target("MB packed, above the base image", ours["MB packed, above the base image"], maximum=80),
        Target("s until it is ready", ours["s until it is ready"], maximum=5),
        Target("layers in which a second build differs", different_layers, maximum=0),
    ]
    document = {"rounds": ROUNDS, "MB of the base image": base_mb, "results": results}
    write_results(RESULTS / "image.json", document, targets)
    Console().print(target_table(targets))


def _home(folder: Path) -> Path:
    """Create a BentoML home with the model, and return its path."""
    os.environ["BENTOML_HOME"] = str(folder / "home")
    from tests.support import tiny  # noqa: PLC0415 (the import needs BENTOML_HOME)

    name, version = MODEL.split(":")
    tiny.save(folder / "files", name, version)
    return folder / "home"


def _build_ours(podman: Podman, folder: Path, base: str) -> float:
    """Build the image like `deployer image`, but without podman's cache, and return the seconds."""
    from model_deployer.contract import store  # noqa: PLC0415
    from model_deployer.image.bento import DOCKERFILE, write_bento  # noqa: PLC0415
    from model_deployer.image.image import BACKENDS  # noqa: PLC0415

    context = Path(tempfile.mkdtemp(dir=folder)) / "bento"
    write_bento(store.load(MODEL), context)
    start = time.monotonic()
    options = ["--no-cache", *BACKENDS["podman"], "--tag", _tag(OURS), "--build-arg", f"BASE={base}"]
    podman.run("build", *options, "--file", context / DOCKERFILE, context)
    return time.monotonic() - start


def _build_stock(folder: Path, base: str, environment: dict[str, str]) -> float:
    """Build BentoML's image of the same Bento, without our Dockerfile, and return the seconds."""
    bentofile = yaml.safe_load((ROOT / "bentofile.yaml").read_text()) | {"docker": {"base_image": base}}
    (folder / "bentofile.yaml").write_text(yaml.safe_dump(bentofile))
    build = [
        "bentoml",
        "build",
        "--arg",
        f"model={MODEL}",
        "--version",
        "1.0.0",
        "-f",
        str(folder / "bentofile.yaml"),
    ]
    containerize = [
        "bentoml",
        "containerize",
        "model_service:1.0.0",
        "--backend",
        "podman",
        "-t",
        _tag(STOCK),
        "--opt",
        "no-cache",
    ]
    start = time.monotonic()
    for command in ([*build, str(ROOT)], containerize):
        completed = run(*command, cwd=Path("/"), **environment)
        assert completed.returncode == 0, completed.stderr
    return time.monotonic() - start


def _sizes(podman: Podman, peer: str, base: str, folder: Path) -> Figures:
    packed = Path(tempfile.mkdtemp(dir=folder))
    podman.run("push", "--quiet", "--compress", _tag(peer), f"dir:{packed}")
    layers = json.loads((packed / "manifest.json").read_bytes())["layers"]
    own_layers = layers[len(_inspect(podman, base)["RootFS"]["Layers"]) :]
    return {
        "MB unpacked": _inspect(podman, _tag(peer))["Size"] / MB,
        "MB packed, above the base image": sum(layer["size"] for layer in own_layers) / MB,
    }


def _start(podman: Podman, peer: str) -> Figures:
    """Start a container, and return the time until it is ready and its memory.

    BentoML's image needs a writable BENTOML_HOME.
    """
    options = [] if peer == OURS else ["--env=BENTOML_HOME=/tmp/bentoml"]
    start = time.monotonic()
    with podman.container(_tag(peer), *options) as container:
        container.wait_until_ready(3000)
        ready = time.monotonic() - start
        parent = psutil.Process(container.process)
        resident = sum(process.memory_full_info().pss for process in (parent, *parent.children(recursive=True)))
    return {"s until it is ready": ready, "MB resident": resident / MB}


def _inspect(podman: Podman, image: str) -> dict[str, Any]:
    description: dict[str, Any] = json.loads(podman.run("image", "inspect", image))[0]
    return description


def _tag(peer: str) -> str:
    """Return the name of an image."""
    return f"localhost/benchmark:{'ours' if peer == OURS else 'stock'}"


if __name__ == "__main__":
    main()
