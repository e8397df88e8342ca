"""Promotion: an alias of a model goes to another version, or back to the one before, and the ledger says why.

``champion`` is the alias of the version that answers callers. It goes to another version only after a comparison that
this version won (:mod:`contract.trial`), unless the user forces it with a reason.
"""

import re
from pathlib import Path

from model_deployer.contract import ledger, store, trial
from model_deployer.contract.artifact import Artifact, sha256
from model_deployer.contract.errors import ArtifactError, CheckFailed, ModelNotFound, UsageError
from model_deployer.contract.ledger import Entry, TrialFile
from model_deployer.contract.trial import Trial
from model_deployer.contract.versions import Step, compare

#: The alias of the version that answers callers, and that of the version that may replace it.
CHAMPION, CHALLENGER = "champion", "challenger"

_ALIAS = re.compile(r"[a-z]+")

#: ``name:latest`` is the highest version.
_RESERVED = "latest"


def champion_of(tag: str) -> str:
    """Return the exact tag of a model; that of its champion, if only its name is given and it has one.

    Raises:
        ModelNotFound, ArtifactError: as :func:`contract.store.resolve`.
    """
    has_version = ":" in tag or "@" in tag
    return store.resolve(tag if has_version or CHAMPION not in store.aliases(tag) else f"{tag}@{CHAMPION}")


def promote(tag: str, alias: str = CHAMPION, *, force: bool = False, reason: str | None = None) -> Entry:
    """Set an alias to a version. The first champion, and other aliases than ``champion``, need no trial.

    A version that becomes the champion is not its challenger any more: the same entry removes that alias.

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
        if alias != CHAMPION:
            return book.append("promote", alias, version, reason=reason)
        others = {CHALLENGER: None} if ledger.aliases(book.entries).get(CHALLENGER) == version else {}
        if present is None:
            return book.append("promote", alias, version, reason=reason, others=others)
        champion = f"{name}:{present}"
        file = trial.last_trial_file(store.trials_folder(), champion, artifact.tag)
        objections = [*_contract_objections(champion, artifact), *_trial_objections(champion, artifact.tag, file)]
        if objections and not force:
            advice = 'To promote it all the same, add --force --reason "...", which the ledger keeps.'
            raise CheckFailed("\n".join([f"{artifact.tag} was not promoted.", *objections, advice]))
        evidence = TrialFile(file=file.name, sha256=sha256(file)).to_json() if file else None
        details = {"reason": reason, "forced": bool(objections), "trial": evidence, "others": others}
        return book.append("promote", alias, version, **details)


def rollback(name: str, *, reason: str | None = None) -> Entry:
    """Set the alias ``champion`` back to the version that it named before.

    The version that was the champion until now is its challenger again, if it was that before its promotion and no
    other version is.

    Args:
        name: The name of the model.
        reason: Why; it is kept in the ledger.

    Raises:
        UsageError: if the name has a version or an alias.
        ModelNotFound: if the store does not hold the model, or not the version before any more.
        CheckFailed: if no other version was the champion before, or a promotion is running.
        ArtifactError: if files of the version before are missing or altered.
    """
    if store.resolve(name).partition(":")[0] != name:
        raise UsageError("name the model without a version; the champion before the present one becomes the champion")
    with ledger.locked(store.ledger_file(name)) as book:
        promotions = ledger.history(book.entries, CHAMPION)
        versions = [entry.to for entry in promotions]
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
        was_challenger = CHALLENGER in promotions[-1].others and CHALLENGER not in ledger.aliases(book.entries)
        others = {CHALLENGER: versions[-1]} if was_challenger else {}
        return book.append("rollback", CHAMPION, versions[-2], reason=reason, others=others)


def _require_version(tag: str) -> str:
    if ":" in tag or "@" in tag:
        return tag
    name = store.resolve(tag).partition(":")[0]
    known = ", ".join(f"{name}:{version}" for version in store.versions(name))
    raise UsageError(f"name the version to promote; the store holds {known}")


def _contract_objections(champion: str, artifact: Artifact) -> list[str]:
    """Return what callers of the champion would have to change, as one text of several lines."""
    try:
        old = store.load(champion).contract
    except ModelNotFound:
        return [f"The champion {champion} is not in the store any more, so that the contracts cannot be compared."]
    except ArtifactError as error:
        return [f"The contracts cannot be compared: {error}."]
    changes = [change for change in compare(old, artifact.contract) if change.step is Step.MAJOR]
    if not changes:
        return []
    head = f"Its contract differs from that of the champion {champion}, so that callers must adapt:"
    lines = [f"  {change.field}: {change.message}" if change.field else f"  {change.message}" for change in changes]
    return ["\n".join([head, *lines])]


def _trial_objections(champion: str, candidate: str, file: Path | None) -> list[str]:
    """Return why a trial does not speak for the candidate, as one text."""
    try:
        last = Trial.read(file) if file else None
    except ArtifactError as error:
        return [f"The trial cannot be read: {error}."]
    if last is None or (last.champion, last.candidate) != (champion, candidate):
        return [
            f"There is no trial of {candidate} against the champion {champion}. Make one:  "
            f"deployer replay --traffic FOLDER --candidate {candidate}"
        ]
    return [] if last.verdict == "won" else [_not_won(last)]


def _not_won(last: Trial) -> str:
    result = "was lost" if last.verdict == "lost" else "is open: more rows, or more labels, may decide it"
    rows = f"{last.rows:,} rows, {last.labelled:,} with labels"
    head = f"Its trial against the champion {last.champion} ({last.source}, {rows}) {result}."
    findings = [finding for finding in last.findings if finding.verdict != "won"]
    return "\n".join([head, *(f"  {finding.name}: {finding.verdict}: {finding.text}" for finding in findings)])
