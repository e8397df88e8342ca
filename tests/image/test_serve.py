"""The entry point of a container: image/serve.sh alone, with a `bentoml` that prints its arguments."""

import subprocess
from pathlib import Path

import pytest

from tests.support.processes import ROOT


@pytest.mark.parametrize(
    ("arguments", "variables", "served"),
    [
        ((), {}, "serve /bento --port 3000"),
        (("serve",), {}, "serve /bento --port 8080"),
        (("serve",), {"SAGEMAKER_BIND_TO_PORT": "8090"}, "serve /bento --port 8090"),
        ((), {"SAGEMAKER_BIND_TO_PORT": "8090", "AIP_HTTP_PORT": "9000"}, "serve /bento --port 9000"),
        ((), {"AIP_HTTP_PORT": "9000", "PORT": "80"}, "serve /bento --port 80"),
        (("--timeout", "5"), {}, "serve /bento --port 3000 --timeout 5"),
        (("echo", "hello"), {}, "hello"),
    ],
)
def test_arguments_and_variables_say_where_it_listens(
    arguments: tuple[str, ...], variables: dict[str, str], served: str, tmp_path: Path
) -> None:
    (tmp_path / "bentoml").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "bentoml").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"} | variables
    script = ["sh", str(ROOT / "model_deployer/image/serve.sh"), *arguments]
    assert subprocess.check_output(script, env=environment, text=True).strip() == served
