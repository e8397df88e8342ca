"""The alias that a server follows, or why it follows none."""

from pathlib import Path

import pytest

from model_deployer.serving.config.model_selection import followed_alias


@pytest.fixture
def service_file(tmp_path: Path) -> Path:
    return tmp_path / "src" / "service.py"


@pytest.mark.parametrize("tag", [None, "tiny", "tiny:1.0.0"])
def test_a_version_is_not_followed(service_file: Path, tag: str | None) -> None:
    assert followed_alias(service_file, tag) is None


def test_an_alias_is_followed(service_file: Path) -> None:
    assert followed_alias(service_file, "tiny@champion") == "tiny@champion"


def test_the_log_says_why_an_alias_is_not_followed(service_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    service_file.parents[1].joinpath("bento.yaml").write_text("services: [{models: [{tag: 'tiny:1.0.0'}]}]")
    assert followed_alias(service_file, "tiny@champion") is None
    assert caplog.messages[0].startswith("the server does not follow tiny@champion: its model was pinned")
