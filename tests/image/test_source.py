"""The image of a model that its source serves: it holds the environment of the source, and needs no network."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.image.podman import Podman
from tests.support.processes import run
from tests.support.sources import adopt_source, rows, spending

pytestmark = [pytest.mark.image, pytest.mark.timeout(900)]

IMAGE = "adopted:1.0.0"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BentoML home with the model alone."""
    return adopt_source(tmp_path_factory.mktemp("adopted")).path.parents[2]


@pytest.fixture(scope="module")
def image(podman: Podman, base: str, home: Path) -> Iterator[str]:
    """The image that `deployer image` builds."""
    command = ["deployer", "image", IMAGE, "--backend", "podman", "--build-arg", f"BASE={base}"]
    completed = run(*command, CONTAINERS_CONF=str(podman.build_settings), BENTOML_HOME=str(home))
    assert completed.returncode == 0, completed.stderr
    yield f"localhost/{IMAGE}"
    podman.run("rmi", "--force", f"localhost/{IMAGE}")


def test_the_source_answers_without_a_network(podman: Podman, image: str) -> None:
    sent = [row for row in rows() if row["city"]][:20]
    with podman.container(image) as container:
        container.wait_until_ready(3000)
        status, body = container.request(3000, "POST", "/predict", {"rows": sent})
    assert status == 200, body
    answers = [prediction["value"] for prediction in json.loads(body)["predictions"]]
    assert answers == pytest.approx([spending(row) for row in sent], rel=1e-6)


def test_its_labels_name_the_packages_of_the_source(podman: Podman, image: str) -> None:
    labels = json.loads(podman.run("image", "inspect", image))[0]["Config"]["Labels"]
    assert labels["source"].startswith("python==3.")
    assert "scikit-learn==" in labels["source"]
