"""Captured rows are asked again: the candidate's answers are compared with the champion's."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from model_deployer.contract import store
from model_deployer.contract.artifact import Artifact
from model_deployer.contract.contract import Contract
from model_deployer.contract.errors import ModelNotFound, UsageError
from model_deployer.contract.trial import save_trial
from model_deployer.monitoring.candidate.captured_rows import CapturedRows, rows_to_ask
from model_deployer.monitoring.candidate.comparison import Origin, compare
from model_deployer.monitoring.candidate.findings import Limits
from model_deployer.monitoring.candidate.model_answers import ModelAnswers, ask
from model_deployer.monitoring.candidate.paired_rows import PairedRows, check_same_prediction
from model_deployer.monitoring.candidate.replay_report import Latency, LeftOut, ReplayReport
from model_deployer.monitoring.candidate.server_answers import ServerReplay
from model_deployer.monitoring.candidate.shadow_rows import shadow_answers, shadow_rows
from model_deployer.monitoring.traffic.traffic import Traffic, read_traffic
from model_deployer.monitoring.traffic.traffic_files import TrafficFiles, Window, open_files


@dataclass(frozen=True)
class Replay:
    """What is asked again, and whom.

    Attributes:
        traffic: The traffic store: a folder, or a URL of an object store.
        candidate: The tag of the model that may replace the champion.
        champion: The tag of the model that answers callers; None for the version that answered last.
        window: The part of the traffic.
        without: Optional fields that the models are asked without, because their values were not captured.
        ignores_unknown: Whether servers leave fields out that a model does not have, as their setting says.
        server: The running server of the candidate; None to ask its graph in this process.
        is_shadow: Whether the answers of a shadow are compared; nothing is asked again.
        limits: What the candidate may do and still win.
    """

    traffic: str
    candidate: str
    champion: str | None = None
    window: Window = field(default_factory=Window)
    without: tuple[str, ...] = ()
    ignores_unknown: bool = False
    server: ServerReplay | None = None
    is_shadow: bool = False
    limits: Limits = field(default_factory=Limits)


def replay(job: Replay) -> ReplayReport:
    """Compare a candidate with the champion, and keep the trial in the store for `deployer promote`.

    Raises:
        DataError: if the store cannot be read, or no row can be asked again.
        UsageError: if the models cannot be compared.
        ModelNotFound, ArtifactError: if a model cannot be loaded.
        EnvironmentFault: if the server does not answer.
    """
    candidate, files = store.load(job.candidate), open_files(job.traffic)
    named = store.load(job.champion) if job.champion else None
    compared = _shadowed(job, files, named, candidate) if job.is_shadow else _asked_again(job, files, named, candidate)
    report = compare(*compared, job.limits)
    save_trial(store.trials_folder(), report.trial)
    return report


def _shadowed(
    job: Replay, files: TrafficFiles, named: Artifact | None, candidate: Artifact
) -> tuple[PairedRows, Origin]:
    answers = shadow_answers(files, candidate, named, job.window)
    champion = named or store.load(f"{candidate.manifest.name}:{answers['version'][-1]}")
    check_same_prediction(champion, candidate)
    rows = shadow_rows(answers.filter(answers["version"] == champion.manifest.version), champion, candidate)
    return rows, Origin(source="shadow", rows_read=len(answers))


def _asked_again(
    job: Replay, files: TrafficFiles, named: Artifact | None, candidate: Artifact
) -> tuple[PairedRows, Origin]:
    traffic = read_traffic(files, (named or candidate).manifest.name, job.window)
    champion = named or store.load(champion_of(traffic, candidate))
    check_same_prediction(champion, candidate)
    captured = rows_to_ask(traffic.rows, contracts(traffic), (champion.contract, candidate.contract), job.without)
    return _ask_again(job, traffic, captured, (champion, candidate))


def _ask_again(
    job: Replay, traffic: Traffic, captured: CapturedRows, models: tuple[Artifact, Artifact]
) -> tuple[PairedRows, Origin]:
    champion, candidate = models
    answers, latency = _ask_candidate(job, candidate, captured)
    own = ask(champion, captured.objects, ignores_unknown=job.ignores_unknown)
    origin = Origin(
        source="replay",
        rows_read=len(traffic.rows) + traffic.future_rows,
        left_out=(*captured.left_out, *_future(traffic)),
        latency=latency,
        without=job.without,
        notes=_notes(traffic, champion),
    )
    return PairedRows(champion, candidate, captured.table, own, answers), origin


def champion_of(traffic: Traffic, candidate: Artifact) -> str:
    """Return the tag of the version that answered last, apart from the candidate.

    Raises:
        UsageError: if only the candidate answered.
    """
    others = traffic.rows.filter(traffic.rows["version"] != candidate.manifest.version)
    if others.is_empty():
        raise UsageError(f"all rows were answered by {candidate.tag} itself; name the other model with --champion")
    return f"{traffic.name}:{others['version'][-1]}"


def contracts(traffic: Traffic) -> Mapping[str, Contract | None]:
    """Return the contract of each version that answered; None for one that the store does not hold."""
    return {version: _contract(f"{traffic.name}:{version}") for version in traffic.versions}


def _contract(tag: str) -> Contract | None:
    try:
        return store.load(tag).contract
    except ModelNotFound:
        return None


def _ask_candidate(job: Replay, candidate: Artifact, captured: CapturedRows) -> tuple[ModelAnswers, Latency | None]:
    if job.server is None:
        return ask(candidate, captured.objects, ignores_unknown=job.ignores_unknown), None
    return job.server.ask(candidate, captured)


def _future(traffic: Traffic) -> tuple[LeftOut, ...]:
    if not traffic.future_rows:
        return ()
    reason = "their time is in the future: the clock of a server was wrong"
    return (LeftOut(rows=traffic.future_rows, reason=reason),)


def _notes(traffic: Traffic, champion: Artifact) -> tuple[str, ...]:
    older = [version for version in traffic.versions if version != champion.manifest.version]
    notes = []
    if older:
        rows = int((traffic.rows["version"] != champion.manifest.version).sum())
        versions = ", ".join(older)
        notes.append(f"{rows:,} rows were answered by other versions ({versions}); the champion answers them now")
    if degraded := int(traffic.rows["degraded"].sum()):
        notes.append(f"{degraded:,} rows were answered by a fallback; the champion's own graph answers them now")
    if traffic.labels.unmatched:
        notes.append(
            f"{traffic.labels.unmatched:,} labels belong to rows that were not captured or are out of the time"
        )
    return tuple(notes)
