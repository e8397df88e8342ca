"""Promotion: an alias of a model goes to another version, or back to the one before, and the ledger says why.

``champion`` is the alias of the version that answers callers. It goes to another version only after a comparison that
this version won (:mod:`contract.trial`), unless the user forces it with a reason.
"""

import re
from typing import Any

from model_deployer.contract import ledger, store, trial
from model_deployer.contract.artifact import Artifact, sha256
from model_deployer.contract.errors import CheckFailed, ModelNotFound, UsageError
from model_deployer.contract.ledger import Entry, TrialFile
from model_deployer.contract.trial import Trial
from model_deployer.contract.versions import Step, compare

#: The alias of the version that answers callers, and that of the version that may replace it.
CHAMPION, CHALLENGER = "champion", "challenger"

_ALIAS = re.compile(r"[a-z]+")

#: ``name:latest`` is the highest version.
_RESERVED = "latest"


def promote(tag: str, alias: str = CHAMPION, *, force: bool = False, reason: str | None = None) -> Entry:
    """Set an alias to a version. The first champion, and other aliases than ``champion``, need no trial.

    Args:
        tag: The version, as ``name:version`` or ``name@alias``.
        alias: The alias, lower-case letters.
        force: Whether to promote although a trial is missing or was not won, or callers must adapt.
        reason: Why; it is kept in the ledger.

    Returns:
        The entry of the ledger; the one that set it if the alias names the version already.

    Raises:
        UsageError: if an argument is wrong.
        CheckFailed: if something speaks against the promotion, or another one is running; the message says what.
        ModelNotFound, ArtifactError: as :func:`contract.store.load`.
    """
    if not _ALIAS.fullmatch(alias) or alias == _RESERVED:
        raise UsageError(f"an alias is a word of lower-case letters other than {_RESERVED}, such as {CHALLENGER}")
    if force and not (reason and reason.strip()):
        raise UsageError('a forced promotion needs a reason, which the ledger keeps: --reason "..."')
    artifact = store.load(_require_version(tag)).require_servable()
    name, version = artifact.manifest.name, artifact.manifest.version
    with ledger.locked(store.ledger_file(name)) as book:
        present = ledger.aliases(book.entries).get(alias)
        if present == version:
            return next(entry for entry in reversed(book.entries) if entry.alias == alias)
        if alias != CHAMPION or present is None:
            return book.append("promote", alias, version, reason=reason)
        champion = f"{name}:{present}"
        objections = _objections(champion, artifact)
        if objections and not force:
            advice = 'To promote it all the same, add --force --reason "...", which the ledger keeps.'
            raise CheckFailed("\n".join([f"{artifact.tag} was not promoted.", *objections, advice]))
        details = {"reason": reason, "forced": bool(objections), "trial": _trial_file(champion, artifact.tag)}
        return book.append("promote", alias, version, **details)


def rollback(name: str, *, reason: str | None = None) -> Entry:
    """Set the alias ``champion`` back to the version that it named before.

    Args:
        name: The name of the model.
        reason: Why; it is kept in the ledger.

    Raises:
        ModelNotFound: if the store does not hold the model, or not the version before any more.
        CheckFailed: if there is no version before, or a promotion is running.
        ArtifactError: if files of the version before are missing or altered.
    """
    store.resolve(name)
    with ledger.locked(store.ledger_file(name)) as book:
        versions = ledger.history(book.entries, CHAMPION)
        if len(versions) < 2:
            raise CheckFailed(
                f"{name} has no champion to go back to: "
                + (f"{name}:{versions[0]} is the first one" if versions else "it never had one")
                + f"; promote a version with `deployer promote {name}:VERSION`"
            )
        if versions[-2] not in map(str, store.versions(name)):
            raise ModelNotFound(
                f"the champion before was {name}:{versions[-2]}, which the store does not hold any more; restore it, "
                f"or promote another version with `deployer promote {name}:VERSION`"
            )
        store.load(f"{name}:{versions[-2]}").require_servable()
        return book.append("rollback", CHAMPION, versions[-2], reason=reason)


def _require_version(tag: str) -> str:
    if ":" in tag or "@" in tag:
        return tag
    known = ", ".join(f"{tag}:{version}" for version in store.versions(tag))
    raise UsageError(f"name the version to promote; the store holds {known}" if known else store.resolve(tag))


def _objections(champion: str, artifact: Artifact) -> list[str]:
    """Return what speaks against a new champion, one or several lines each."""
    return [*_contract_objections(champion, artifact), *_trial_objections(champion, artifact.tag)]


def _contract_objections(champion: str, artifact: Artifact) -> list[str]:
    try:
        old = store.load(champion).contract
    except ModelNotFound:
        return [f"The champion {champion} is not in the store any more, so that the contracts cannot be compared."]
    changes = [change for change in compare(old, artifact.contract) if change.step is Step.MAJOR]
    if not changes:
        return []
    lines = [f"  {change.field}: {change.message}" if change.field else f"  {change.message}" for change in changes]
    return [
        "\n".join([f"Its contract differs from that of the champion {champion}, so that callers must adapt:", *lines])
    ]


def _trial_objections(champion: str, candidate: str) -> list[str]:
    found_trial = trial.last_trial(store.trials_folder(), champion, candidate)
    if found_trial is None:
        return [
            f"There is no trial of {candidate} against the champion {champion}. Make one:  "
            f"deployer replay --traffic FOLDER --candidate {candidate}"
        ]
    return [] if found_trial.verdict == "won" else [_not_won(found_trial)]


def _not_won(lost_trial: Trial) -> str:
    result = "was lost" if lost_trial.verdict == "lost" else "is open: more rows, or more labels, may decide it"
    rows = f"{lost_trial.rows:,} rows, {lost_trial.labelled:,} with labels"
    head = f"Its trial against the champion {lost_trial.champion} ({lost_trial.source}, {rows}) {result}."
    findings = [finding for finding in lost_trial.findings if finding.verdict != "won"]
    return "\n".join([head, *(f"  {finding.name}: {finding.verdict}: {finding.text}" for finding in findings)])


def _trial_file(champion: str, candidate: str) -> dict[str, Any] | None:
    file = trial.last_trial_file(store.trials_folder(), champion, candidate)
    return TrialFile(file=file.name, sha256=sha256(file)).to_json() if file else None
