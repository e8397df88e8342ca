"""The model that a server serves, and the alias that it follows, or why it follows none."""

from pathlib import Path

import pytest

from model_deployer.contract.errors import ArtifactError
from model_deployer.serving.config.model_selection import followed_alias, select_model
from tests.support import tiny


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


@pytest.mark.parametrize("tag", [None, "tiny", "tiny:1.0.0"])
def test_a_folder_comes_before_the_store_and_the_bento(service_file: Path, tmp_path: Path, tag: str | None) -> None:
    service_file.parents[1].joinpath("bento.yaml").write_text("services: [{models: [{tag: 'other:1.0.0'}]}]")
    tiny.write(tmp_path / "mounted")
    assert select_model(service_file, tag, tmp_path / "mounted").tag == "tiny:1.0.0"


@pytest.mark.parametrize("tag", ["tiny:1.1.0", "other", "tiny@champion"])
def test_a_folder_with_another_model_is_refused(service_file: Path, tmp_path: Path, tag: str) -> None:
    """Also a worker refuses it that starts after another image was mounted."""
    tiny.write(tmp_path / "mounted")
    with pytest.raises(ArtifactError, match=f"holds tiny:1.0.0, and not {tag}"):
        select_model(service_file, tag, tmp_path / "mounted")
