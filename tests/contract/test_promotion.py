"""Promotion and rollback: what speaks against a new champion, and what the ledger keeps."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import bentoml
import pytest

import model_deployer as md
from model_deployer.contract import store
from model_deployer.contract.artifact import MODEL
from model_deployer.contract.errors import ArtifactError, CheckFailed, ModelNotFound, UsageError
from model_deployer.contract.trial import Finding, Trial, Verdict, overall, save_trial
from tests.support import tiny


@pytest.fixture
def models(home: Path, tmp_path: Path) -> None:
    """Three versions of a model, and one with another contract."""
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        tiny.save(tmp_path / version, version=version)
    tiny.save(tmp_path / "2.0.0", version="2.0.0", contract=tiny.WITH_SETS)


def compare(candidate: str, champion: str, *verdicts: Verdict) -> Path:
    """Save a trial whose findings have these verdicts."""
    findings = tuple(
        Finding(name=name, verdict=verdict, text=f"the {name} of {candidate}")
        for name, verdict in zip(("loss", "refusals"), verdicts, strict=True)
    )
    facts = {"source": "replay", "made": datetime(2026, 1, 1, tzinfo=UTC), "rows": 1200, "labelled": 300}
    content = {"champion": champion, "candidate": candidate, "verdict": overall(findings), "findings": findings}
    return save_trial(store.trials_folder(), Trial.model_validate(facts | content))


@pytest.mark.usefixtures("models")
def test_aliases_name_versions() -> None:
    with pytest.raises(ModelNotFound, match=r"'tiny' has no aliases yet, but the versions 1\.0\.0, 1\.1\.0.*deployer"):
        store.resolve("tiny@champion")
    md.promote("tiny:1.0.0")
    md.promote("tiny:1.2.0", "challenger")
    assert store.resolve("tiny@champion") == "tiny:1.0.0"
    assert md.load("tiny@challenger").tag == "tiny:1.2.0"
    with pytest.raises(ModelNotFound, match=r"no alias 'canary'; it has the aliases challenger \(1\.2\.0\), champion"):
        store.resolve("tiny@canary")
    with pytest.raises(ModelNotFound, match=r"does not hold a model '\.\./tiny'; it holds tiny"):
        store.resolve("../tiny@champion")


@pytest.mark.usefixtures("models")
def test_a_champion_is_replaced_by_a_version_that_won_against_it() -> None:
    assert md.promote("tiny:1.0.0").trial is None
    with pytest.raises(CheckFailed, match=r"no trial of tiny:1\.1\.0 against.*tiny:1\.0\.0.*deployer replay "):
        md.promote("tiny:1.1.0")
    compare("tiny:1.1.0", "tiny:1.2.0", "won", "won")
    with pytest.raises(CheckFailed, match="no trial"):
        md.promote("tiny:1.1.0")
    file = compare("tiny:1.1.0", "tiny:1.0.0", "won", "won")
    entry = md.promote("tiny:1.1.0", reason="better")
    assert entry.trial and (entry.trial.file, entry.forced) == (file.name, False)
    assert entry.trial.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert md.promote("tiny:1.1.0") == entry
    assert [each.to for each in md.ledger("tiny")] == ["1.0.0", "1.1.0"]


@pytest.mark.usefixtures("models")
@pytest.mark.parametrize(("verdict", "words"), [("lost", "was lost"), ("open", "is open: more rows")])
def test_the_message_has_what_a_trial_did_not_win(verdict: Verdict, words: str) -> None:
    md.promote("tiny:1.0.0")
    compare("tiny:1.1.0", "tiny:1.0.0", "won", verdict)
    with pytest.raises(CheckFailed) as error:
        md.promote("tiny:1.1.0")
    assert words in str(error.value)
    assert f"\n  refusals: {verdict}: the refusals of tiny:1.1.0" in str(error.value)
    assert "loss" not in str(error.value)
    assert store.resolve("tiny@champion") == "tiny:1.0.0"


@pytest.mark.usefixtures("models")
def test_a_forced_promotion_keeps_its_reason_and_the_trial_that_it_overrules() -> None:
    md.promote("tiny:1.0.0")
    file = compare("tiny:1.1.0", "tiny:1.0.0", "lost", "won")
    for reason in (None, " "):
        with pytest.raises(UsageError, match="--reason"):
            md.promote("tiny:1.1.0", force=True, reason=reason)
    md.promote("tiny:1.1.0", force=True, reason="the champion is broken")
    entry = md.ledger("tiny")[-1]
    assert (entry.forced, entry.reason) == (True, "the champion is broken")
    assert entry.trial and entry.trial.file == file.name


@pytest.mark.usefixtures("models")
def test_another_contract_is_a_decision_of_its_own() -> None:
    """A version that won is refused if callers must adapt to it."""
    md.promote("tiny:1.0.0")
    compare("tiny:2.0.0", "tiny:1.0.0", "won", "won")
    with pytest.raises(CheckFailed, match=r"callers must adapt:\n  .*labels\n  .*\nTo promote it all the same"):
        md.promote("tiny:2.0.0")
    assert md.promote("tiny:2.0.0", force=True, reason="callers are ready").forced


@pytest.mark.usefixtures("models")
def test_rollback_goes_back_one_champion_at_a_time() -> None:
    with pytest.raises(CheckFailed, match="it never had one"):
        md.rollback("tiny")
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        md.promote(f"tiny:{version}", force=True, reason="a test")
    assert md.rollback("tiny", reason="too slow").to == "1.1.0"
    assert md.rollback("tiny").to == "1.0.0"
    with pytest.raises(CheckFailed, match=r"tiny:1\.0\.0 is the first one"):
        md.rollback("tiny")
    assert store.aliases("tiny") == {"champion": "1.0.0"}
    with pytest.raises(ModelNotFound, match="it holds tiny"):
        md.rollback("other")
    with pytest.raises(UsageError, match="name the model without a version"):
        md.rollback("tiny:1.0.0")


@pytest.mark.usefixtures("models")
def test_a_challenger_that_is_promoted_is_the_challenger_no_more() -> None:
    """The same entry removes the alias, and a rollback restores it if no other version took it meanwhile."""
    md.promote("tiny:1.0.0")
    md.promote("tiny:1.1.0", "challenger")
    entry = md.promote("tiny@challenger", force=True, reason="a test")
    assert (entry.to, dict(entry.others)) == ("1.1.0", {"challenger": None})
    assert store.aliases("tiny") == {"champion": "1.1.0"}
    md.rollback("tiny")
    assert store.aliases("tiny") == {"champion": "1.0.0", "challenger": "1.1.0"}

    md.promote("tiny@challenger", force=True, reason="a test")
    md.promote("tiny:1.2.0", "challenger")
    assert not md.rollback("tiny").others
    assert store.aliases("tiny") == {"champion": "1.0.0", "challenger": "1.2.0"}

    md.promote("tiny:1.1.0", force=True, reason="a test")
    assert store.aliases("tiny") == {"champion": "1.1.0", "challenger": "1.2.0"}


@pytest.mark.usefixtures("models")
def test_versions_that_were_deleted() -> None:
    """An alias of a deleted version is named as such; a rollback leaves it, and does not go back to one."""
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        md.promote(f"tiny:{version}", force=True, reason="a test")
    bentoml.models.delete("tiny:1.2.0")
    with pytest.raises(ModelNotFound, match=r"tiny@champion is version 1\.2\.0, which the store does not hold"):
        store.resolve("tiny@champion")
    with pytest.raises(CheckFailed, match=r"champion tiny:1\.2\.0 is not in the store any more"):
        md.promote("tiny:1.0.0")
    assert md.rollback("tiny").to == "1.1.0"
    bentoml.models.delete("tiny:1.0.0")
    with pytest.raises(ModelNotFound, match=r"before was tiny:1\.0\.0, which the store does not hold any more"):
        md.rollback("tiny")


@pytest.mark.usefixtures("models")
def test_a_damaged_champion_or_trial_can_be_overruled(home: Path) -> None:
    md.promote("tiny:1.0.0")
    compare("tiny:1.1.0", "tiny:1.0.0", "won", "won").write_text("{")
    (home / "models/tiny/1.0.0" / MODEL).write_bytes(b"")
    with pytest.raises(CheckFailed, match=rf"cannot be compared: .*{MODEL}.*\nThe trial cannot be read: .*is not JSON"):
        md.promote("tiny:1.1.0")
    assert md.promote("tiny:1.1.0", force=True, reason="the champion is damaged").forced


@pytest.mark.usefixtures("models")
def test_what_cannot_be_promoted(home: Path) -> None:
    with pytest.raises(UsageError, match=r"name the version to promote; the store holds tiny:1\.0\.0, tiny:1\.1\.0"):
        md.promote("tiny")
    for alias in ("Champion", "latest", "a b", ""):
        with pytest.raises(UsageError, match="lower-case letters"):
            md.promote("tiny:1.0.0", alias)
    (home / "models/tiny/1.0.0" / MODEL).write_bytes(b"")
    with pytest.raises(ArtifactError, match=MODEL):
        md.promote("tiny:1.0.0", force=True, reason="a test")
    assert md.ledger("tiny") == ()


@pytest.mark.usefixtures("models")
def test_aliases_of_an_altered_ledger_are_not_followed() -> None:
    md.promote("tiny:1.0.0")
    file = store.ledger_file("tiny")
    file.write_text(file.read_text().replace("1.0.0", "1.2.0"))
    for call in (lambda: store.resolve("tiny@champion"), lambda: md.promote("tiny:1.1.0"), lambda: md.ledger("tiny")):
        with pytest.raises(ArtifactError, match="line 1 was altered"):
            call()
    assert store.resolve("tiny:1.0.0") == "tiny:1.0.0"
