"""Train, load, promote, monitor, replay and read from Python: the functions for programs and notebooks.

``import model_deployer as md`` offers them as ``md.train``, ``md.load``, ``md.promote`` and others. The commands of
`deployer` call the same code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model_deployer.contract import promotion, store
from model_deployer.contract.artifact import REPORT, Artifact
from model_deployer.contract.contract import Contract
from model_deployer.contract.document import JsonObject
from model_deployer.contract.evaluation import (
    CandidateResult,
    Evaluation,
    FeatureImportance,
    Finding,
    MetricValue,
    SliceResult,
)
from model_deployer.contract.ledger import Entry
from model_deployer.contract.ledger import read as read_ledger
from model_deployer.contract.promotion import CHAMPION
from model_deployer.system.extras import packages_of

if TYPE_CHECKING:
    import polars as pl

    from model_deployer.monitoring.candidate.replay_report import ReplayReport
    from model_deployer.monitoring.monitor.monitor import MonitorReport
    from model_deployer.monitoring.retraining import Retrained
    from model_deployer.prediction.file_prediction import Summary
    from model_deployer.serving.application import Application
    from model_deployer.serving.engines.offline import OfflineModel
    from model_deployer.training.data.values import Question


def train(
    spec: str | Path | Mapping[str, Any] | None = None,
    *,
    data: Any = None,
    folder: str | Path | None = None,
    **keys: Any,
) -> "Model":
    """Train, evaluate and save a model; restarting an interrupted run resumes it.

    Three ways to describe the model::

        md.train("model.yaml")                                        # as `deployer train model.yaml`
        md.train(data=frame, target="price", name="diamonds")         # a table in memory
        md.train("model.yaml", data=frame, estimator={"name": "linear"})  # a model.yaml with other keys

    With ``data`` or ``keys``, a folder with the name of the model gets the table and a model.yaml, so that the commands
    can read them later: `deployer train` there trains the same model.

    Args:
        spec: A model.yaml, or its keys as a mapping.
        data: A DataFrame of polars or pandas (its index is left out), an Arrow table, or a list of rows as mappings. By
            default, the table that ``data.path`` names.
        folder: The folder for the files; by default, one with the name of the model in the current folder.
        keys: Keys of model.yaml, which replace those of ``spec``: ``name``, ``task``, ``split``, ``estimator`` and all
            others. Those of its section ``data``, such as ``target``, ``time``, ``group`` and ``ignore``, are keys
            here, too.

    Returns:
        The trained model, which is in the model store.

    Raises:
        SpecError: if a key is wrong.
        DataError: if the table cannot be used, or a question about it needs an answer under ``formats``.
        CheckFailed: if a gate fails; the model is not saved.
        Interrupted: if the run is interrupted with Ctrl-C; the same call resumes it.
    """
    with packages_of("train"):
        from model_deployer.training.data.frame_files import merged_values, write_files  # noqa: PLC0415
        from model_deployer.training.data.frames import to_polars  # noqa: PLC0415

        source = Path(spec) if isinstance(spec, str | Path) else spec or {}
        if isinstance(source, Path) and data is None and not keys:
            path = source
        else:
            frame = None if data is None else to_polars(data)
            path = write_files(merged_values(source, keys), frame, Path(folder) if folder else None)
        from model_deployer.training.fit import fit  # noqa: PLC0415

        trained = fit(path)
    return _tracked(trained.tag)


def adopt(
    model: Any,
    *,
    data: Any = None,
    folder: str | Path | None = None,
    trust: bool = False,
    **keys: Any,
) -> "Model":
    """Adopt a model that was trained elsewhere: as an equal graph, or served by its own process.

    ::

        md.adopt(pipeline, data=test, target="bought", name="buyers")               # an object of this program
        md.adopt("model.joblib", data="test.csv", target="bought", trust=True)      # as `deployer adopt` and `train`

    A folder with the name of the model gets the source of an object, the table and a model.yaml.

    Args:
        model: A fitted object; or the path of a file or folder.
        data: A table with the truth: a DataFrame of polars or pandas, an Arrow table, a list of rows, or a path.
        folder: The folder for the files; by default, one with the name of the model in the current folder.
        trust: Whether the files of a path may run. An object is already a part of this program.
        keys: Keys of model.yaml, such as ``target``, ``name`` and ``gates``; those of its sections ``data`` and
            ``adopt``, such as ``columns`` and ``serve``, are keys here, too.

    Returns:
        The model, which is in the model store.

    Raises:
        UsageError: if the source is not a model, or its files may not run.
        CheckFailed: if the graph does not answer as the source does, or a gate fails; the model is not saved.
        DataError: if the table cannot be used.
    """
    with packages_of("train"):
        from model_deployer.training.data.frame_files import adoption_values, write_files  # noqa: PLC0415
        from model_deployer.training.data.frames import to_polars  # noqa: PLC0415
        from model_deployer.training.fit import fit  # noqa: PLC0415

        is_path = isinstance(data, str | Path)
        values = adoption_values(model, keys | ({"path": str(data)} if is_path else {}), folder, is_trusted=trust)
        frame = None if is_path or data is None else to_polars(data)
        trained = fit(write_files(values, frame, Path(folder) if folder else None))
    return _tracked(trained.tag)


def _tracked(tag: str) -> "Model":
    """Open a model that was just saved, and record it in the trackers of its model.yaml."""
    from model_deployer.tracking.tracking import track  # noqa: PLC0415 (it needs the packages of training)

    model = load(tag)
    track(model.artifact)
    return model


def load(tag: str | None = None) -> "Model":
    """Open a model of the model store, and verify all its files.

    Args:
        tag: ``name:version`` or ``name@alias``; or ``name`` for its highest version; or None for the only model in the
            store.

    Raises:
        ModelNotFound: if the store does not hold the model; the message lists what it holds.
        AmbiguousModel: if ``tag`` is None and the store holds several models.
        ArtifactError: if a file of the model is missing or altered.
    """
    return Model(store.load(tag))


def application(tag: str | None = None, **settings: Any) -> "Application":
    """Return a model as an ASGI application, to mount in FastAPI, Starlette or Django.

    It answers as the service does: ``app.mount("/churn", md.application("churn"))``. Keys of callers are those of the
    setting ``api_key_file`` or of the variable ``DEPLOYER_API_KEYS``.

    Args:
        tag: The model, as for :func:`load`; the version does not change while the application runs.
        settings: Settings of the section ``serving`` in configuration.yaml, such as ``capture="traffic/"``.

    Raises:
        UsageError: if a setting is unknown or invalid, or wants what only a server has.
        ModelNotFound, AmbiguousModel, ArtifactError: as for :func:`load`.
    """
    from model_deployer.serving.application import Application  # noqa: PLC0415 (it loads ONNX Runtime)
    from model_deployer.serving.config import settings as server_settings  # noqa: PLC0415
    from model_deployer.serving.http import keys  # noqa: PLC0415

    chosen = server_settings.of_values(settings)
    return Application(store.load(tag).require_servable(), chosen, keys.load(chosen.api_key_file))


def promote(tag: str, alias: str = CHAMPION, *, force: bool = False, reason: str | None = None) -> Entry:
    """Make a version the champion of its model, or set another alias to it, as `deployer promote`.

    ::

        md.promote("churn:1.2.0")                                              # it won a trial against the champion
        md.promote("churn:1.2.0", force=True, reason="the champion is wrong")  # it did not
        md.promote("churn:1.3.0", "challenger")

    Args:
        tag: The version, as ``name:version`` or ``name@alias``.
        alias: The alias. One other than ``champion`` needs no trial, nor does the first champion.
        force: Whether to promote although a trial is missing or was not won, or callers must adapt.
        reason: Why; it is kept in the ledger.

    Returns:
        The entry of the ledger.

    Raises:
        UsageError: if an argument is wrong, or the store does not hold the model.
        CheckFailed: if something speaks against the promotion; the message says what.
    """
    return promotion.promote(tag, alias, force=force, reason=reason)


def rollback(name: str, *, reason: str | None = None) -> Entry:
    """Make the champion before the present one the champion again, as `deployer rollback`.

    Args:
        name: The name of the model.
        reason: Why; it is kept in the ledger.

    Returns:
        The entry of the ledger.

    Raises:
        ModelNotFound: if the store does not hold the model, or not that version any more.
        CheckFailed: if no other version was the champion before.
    """
    return promotion.rollback(name, reason=reason)


def ledger(name: str) -> tuple[Entry, ...]:
    """Return who set which alias of a model, when and why, the oldest entry first, as `deployer ledger`.

    Raises:
        ArtifactError: if an entry was altered.
    """
    return tuple(read_ledger(store.ledger_file(name)))


def recalibrate(tag: str, *, traffic: str | Path, since: datetime | None = None) -> "Model":
    """Fit the probabilities, or the interval, of a model to labelled rows of its traffic, as `deployer recalibrate`.

    Args:
        tag: ``name:version``, ``name@alias``, or ``name`` for its champion, or without one for its highest version.
        traffic: The traffic store: a folder, or a URL of an object store.
        since: The time of the first row, with a UTC offset; by default, all rows.

    Returns:
        The new patch version.

    Raises:
        DataError: if there are too few labelled rows.
        CheckFailed: if no calibration is better than the present one; nothing is saved.
        UsageError: if the model has nothing to calibrate.
    """
    with packages_of("train"):
        from model_deployer.monitoring.traffic.labelled import labelled_rows  # noqa: PLC0415
        from model_deployer.monitoring.traffic.traffic import read_traffic  # noqa: PLC0415
        from model_deployer.monitoring.traffic.traffic_files import Window, open_files  # noqa: PLC0415
        from model_deployer.training.recalibration_run import recalibrate as run  # noqa: PLC0415
    artifact = store.load(promotion.champion_of(tag))
    captured = read_traffic(open_files(str(traffic)), artifact.manifest.name, Window(since=since))
    return load(run(artifact, labelled_rows(captured, artifact.contract)).tag)


def retrain(
    tag: str,
    *,
    traffic: str | Path,
    since: datetime | None = None,
    folder: str | Path | None = None,
    with_table: bool = True,
) -> "Retrained":
    """Train a model again with labelled rows of its traffic, and compare it with the champion on later ones.

    ::

        result = md.retrain("churn@champion", traffic="s3://bucket/traffic")
        if result.trial.verdict == "won":
            md.promote(result.tag)

    Args:
        tag: ``name:version``, ``name@alias``, or ``name`` for its champion, or without one for its highest version.
        traffic: The traffic store: a folder, or a URL of an object store.
        since: The time of the first row, with a UTC offset; by default, all rows.
        folder: The folder for the new model.yaml and its table; by default, ``NAME-retrained`` in the current folder.
        with_table: Whether the table of the champion is a part of the training, where it is still there.

    Returns:
        The ``tag`` of the new model, which is in the store, and the ``trial``.

    Raises:
        DataError: if there are too few labelled rows.
        UsageError: if the model was not trained here.
        DeployerError: as :func:`train`.
    """
    with packages_of("train"):
        from model_deployer.monitoring.retraining import retrain as run  # noqa: PLC0415
        from model_deployer.monitoring.traffic.traffic import read_traffic  # noqa: PLC0415
        from model_deployer.monitoring.traffic.traffic_files import Window, open_files  # noqa: PLC0415
    champion = store.load(promotion.champion_of(tag))
    name = champion.manifest.name
    captured = read_traffic(open_files(str(traffic)), name, Window(since=since))
    return run(champion, captured, Path(folder or f"{name}-retrained"), with_table=with_table)


def monitor(
    tag: str | None = None,
    *,
    traffic: str | Path,
    since: datetime | None = None,
    html: str | Path | None = None,
) -> "MonitorReport":
    """Watch a model by its captured traffic and labels, as `deployer monitor`.

    ::

        report = md.monitor("flights", traffic="s3://bucket/traffic", html="flights.html")
        report.verdict.action, report.verdict.headline, report.observed.risk.recent

    Args:
        tag: ``name:version``; or ``name`` for the version that answered last; or None for the only model in the store.
        traffic: The traffic store: a folder, or a URL of an object store.
        since: The time with which evidence begins, with a UTC offset; by default, the first complete day.
        html: A file for the report as a page.

    Returns:
        The report: its ``verdict``, and what was ``observed``.

    Raises:
        ModelNotFound, AmbiguousModel, ArtifactError: as :func:`load`.
        DataError: if the traffic store cannot be read, or has no traffic of the model.
    """
    with packages_of("monitor"):
        from model_deployer.monitoring.monitor.delivery import Targets, deliver  # noqa: PLC0415
        from model_deployer.monitoring.monitor.monitor import MonitorOptions  # noqa: PLC0415
        from model_deployer.monitoring.monitor.monitor import monitor as watch  # noqa: PLC0415
        from model_deployer.monitoring.traffic.traffic_files import open_files  # noqa: PLC0415
    files = open_files(str(traffic))
    report = watch(tag, files, MonitorOptions(since=since))
    deliver(report, Targets(html=Path(html) if html else None), files)
    return report


def replay(  # noqa: PLR0913 (keywords)
    traffic: str | Path,
    candidate: str,
    *,
    champion: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    without: Sequence[str] = (),
    shadow: bool = False,
    **limits: Any,
) -> "ReplayReport":
    """Ask captured traffic again in this process, and compare a candidate with the champion; as `deployer replay`.

    ::

        report = md.replay("traffic", "delays:1.1.0", block="customer")
        report.trial.verdict, report.changes.flip_share

    Args:
        traffic: The traffic store: a folder, or a URL of an object store.
        candidate: The tag of the model that may replace the champion.
        champion: The tag of the model that answers callers; by default ``NAME@champion``, or without
            this alias the version that answered last.
        since: The time of the first row, in UTC unless it has an offset; by default, all rows.
        until: The time before which the rows are.
        without: Optional fields that both models are asked without.
        shadow: Whether the answers of a shadow are compared; nothing is asked again then.
        limits: What the candidate may do and still win: ``tolerance``, ``max_refusals``, ``max_flips``, ``alpha``, and
            ``block``, what is one observation.

    Returns:
        The report. Its ``trial`` is kept in the model store, too.

    Raises:
        DataError: if the store cannot be read, or no row can be asked again.
        UsageError: if the models cannot be compared.
        ModelNotFound: if the store does not hold one of them.
    """
    with packages_of("monitor"):
        from model_deployer.monitoring.candidate.findings import Limits  # noqa: PLC0415
        from model_deployer.monitoring.candidate.replay import Replay  # noqa: PLC0415
        from model_deployer.monitoring.candidate.replay import replay as run  # noqa: PLC0415
        from model_deployer.monitoring.traffic.traffic_files import Window  # noqa: PLC0415
    window = Window(_utc(since), _utc(until))
    job = Replay(str(traffic), candidate, champion, window, tuple(without), is_shadow=shadow, limits=Limits(**limits))
    return run(job)


def read(path: str | Path, **keys: Any) -> "Reading":
    """Read a table as training reads it: every column by one form, and questions where a form is not clear.

    ::

        reading = md.read("customers.csv")
        reading.frame, reading.formats, reading.questions
        md.read("customers.csv", formats={"since": "%d/%m/%Y"})   # answers a question

    Args:
        path: A file, or a glob of files with the same columns.
        keys: Keys of the section ``data`` of a model.yaml, such as ``target``, ``formats`` and ``missing``.

    Raises:
        SpecError: if a key is wrong.
        DataError: if the table cannot be read.
    """
    with packages_of("train"):
        from model_deployer.training.data.table import read_table  # noqa: PLC0415 (polars takes time to load)
        from model_deployer.training.data.values import describe  # noqa: PLC0415
        from model_deployer.training.spec import spec_of_table  # noqa: PLC0415
    table = read_table(spec_of_table(str(path), keys), Path())
    values, notes = table.values, (*table.notes, *describe(table.values))
    return Reading(values.frame, values.formats, values.marks, values.questions, notes)


@dataclass(frozen=True)
class Reading:
    """A table as training reads it.

    Attributes:
        frame: The table, as a DataFrame of polars. A column with a question is text.
        formats: How the text of a column was read, for ``data.formats`` of a model.yaml: the number 1234.5 as the table
            writes it, the directives of a time, or the words for true and false.
        marks: The marks of missing values of each column that has some.
        questions: What is not clear. Each has ``column``, ``text`` and the ``answers`` for ``formats``.
        notes: How the table was read, and the columns that do not have the usual form, one sentence each.
    """

    frame: "pl.DataFrame"
    formats: Mapping[str, str]
    marks: Mapping[str, tuple[str, ...]]
    questions: "tuple[Question, ...]"
    notes: tuple[str, ...]


class Model:
    """A model of the model store; :func:`train` and :func:`load` return it.

    Attributes:
        artifact: The files of the model, verified.
    """

    def __init__(self, artifact: Artifact) -> None:
        self.artifact = artifact

    def __repr__(self) -> str:
        metric, task = self.evaluation.main_metric, self.evaluation.task
        value = f", {metric.value:.4g} ({metric.low:.4g} to {metric.high:.4g})" if metric else ""
        return f"<Model {self.tag}: {task} of {self.contract.output.target}{value}>"

    @property
    def tag(self) -> str:
        """The tag ``name:version``."""
        return self.artifact.tag

    @property
    def contract(self) -> Contract:
        """What callers may rely on: the fields of a row, the output, and the limits of a request."""
        return self.artifact.contract

    @property
    def evaluation(self) -> Evaluation:
        """How good the model is on rows that training did not use, and how that was measured."""
        return self.artifact.evaluation

    @property
    def report(self) -> Path:
        """The evaluation as a page with plots, report.html."""
        return self.artifact.path / REPORT

    def predict(self, data: Any) -> Any:
        """Predict rows in this process, with the validation and the answers of a server.

        Args:
            data: A DataFrame of polars or pandas, or an Arrow table, which may have other columns, too; or a list of
                rows as the service takes them, such as ``[{"distance": 733.5, "origin": "JFK"}]``; or one such row.

        Returns:
            For a table, a DataFrame with the columns of `deployer predict`: the prediction of each row, and ``error``
            with its problems as JSON if the contract refuses it. For a DataFrame of pandas, it is one of pandas with
            the same index. For rows, a list of predictions as the service answers them; a refused row has
            ``{"error": [...]}`` with the problems. For one row, its prediction.

        Raises:
            DataError: if the table lacks a field that the contract requires.
            ArtifactError: if the model does not reproduce its golden predictions on this machine, or needs Python code
                of its authors.
        """
        if isinstance(data, Mapping) and not any(isinstance(value, list) for value in data.values()):
            return self._predict_rows([data])[0]
        return self._predict_rows(data) if isinstance(data, list) else self._predict_frame(data)

    def predict_file(
        self, table: str | Path, output: str | Path, *, keep: Sequence[str] = (), resume: bool = False
    ) -> "Summary":
        """Predict the rows of a file of any size, as `deployer predict`.

        Args:
            table: The file to read, or a glob of files.
            output: The file to write: Parquet or CSV.
            keep: Columns of the table that the output has, too.
            resume: Whether to continue an interrupted run, if there is one.

        Returns:
            How many rows were ``answered`` and ``refused``.

        Raises:
            UsageError: if the output exists, or the run cannot be resumed.
            DataError: if the table cannot be read, or lacks a field that the contract requires.
        """
        with packages_of("train"):
            from model_deployer.prediction.file_prediction import FilePrediction, predict_file  # noqa: PLC0415
        return predict_file(self.artifact.require_servable(), FilePrediction(str(table), Path(output), keep, resume))

    @property
    def metrics(self) -> "pl.DataFrame":
        """The metrics on the test part, with 95 % intervals: of the model and of the baselines."""
        rows = [
            {"model": name, "metric": metric, **value.model_dump()}
            for name, metrics in self.evaluation.metrics.items()
            for metric, value in metrics.items()
        ]
        return _frame(rows, ["model", "metric", *MetricValue.model_fields])

    @property
    def importance(self) -> "pl.DataFrame":
        """How much the loss rises if the values of a feature are shuffled, the most important feature first."""
        importance = self.evaluation.importance
        return _frame_of(FeatureImportance, importance.features if importance else ())

    @property
    def slices(self) -> "pl.DataFrame":
        """Parts of the test rows that were named in model.yaml, or are worse than chance explains."""
        return _frame_of(SliceResult, self.evaluation.slices or ())

    @property
    def findings(self) -> "pl.DataFrame":
        """What training noticed about the table: leaks, identifiers, drift and more."""
        return _frame_of(Finding, self.evaluation.findings)

    @property
    def candidates(self) -> "pl.DataFrame":
        """The estimators that competed, with their loss on the validation part."""
        return _frame_of(CandidateResult, self.evaluation.candidates)

    @cached_property
    def _offline(self) -> "OfflineModel":
        from model_deployer.serving.engines.offline import OfflineModel  # noqa: PLC0415 (it loads ONNX Runtime)

        model = OfflineModel(self.artifact.require_servable())
        model.check_golden()
        return model

    def _predict_rows(self, rows: Sequence[Any]) -> list[dict[str, Any]]:
        from model_deployer.serving.engines.offline import problem_documents  # noqa: PLC0415 (it loads ONNX Runtime)

        answers = self._offline.answer(rows)
        predictions = iter(self.contract.output.predictions(answers.outputs))
        return [
            {"error": problem_documents(answers.problems[row])} if row in answers.problems else next(predictions)
            for row in range(len(rows))
        ]

    def _predict_frame(self, data: Any) -> Any:
        with packages_of("train"):
            from model_deployer.prediction.table_predictor import predict_frame  # noqa: PLC0415
            from model_deployer.training.data.frames import like, to_polars  # noqa: PLC0415
        return like(predict_frame(self.artifact, self._offline, to_polars(data)), data)


def _utc(time: datetime | None) -> datetime | None:
    return time.replace(tzinfo=UTC) if time and time.tzinfo is None else time


def _frame_of(kind: type[JsonObject], items: Sequence[JsonObject]) -> "pl.DataFrame":
    return _frame([item.model_dump() for item in items], list(kind.model_fields))


def _frame(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> "pl.DataFrame":
    with packages_of("train"):
        import polars as pl  # noqa: PLC0415 (it takes time to load)
    return pl.DataFrame(rows, infer_schema_length=None) if rows else pl.DataFrame(schema=columns)
