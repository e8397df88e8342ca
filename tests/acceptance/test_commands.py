"""The commands of the README, as a stranger types them, from a table to an answered request."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from tests.acceptance.customers import SMALL
from tests.support import in_process
from tests.support.processes import BIN, run, serve


class Workplace:
    """A folder with the table, and a BentoML home in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"

    def program(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in a process of its own."""
        return run("deployer", *arguments, cwd=self.folder, BENTOML_HOME=str(self.home))

    def deployer(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run a command in this process."""
        return in_process.deployer(*arguments, cwd=self.folder, home=self.home)

    def spec(self, target: str = "churn", more: str = SMALL, name: str = "customers") -> None:
        ignored = {"churn": "spend", "spend": "churn"}.get(target, "")
        data = f"{{path: customers.csv, target: {target}, ignore: [{ignored}]}}"
        (self.folder / "model.yaml").write_text(f"name: {name}\ndata: {data}\n{more}")

    def train(self) -> Any:
        done = self.deployer("train", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    @contextmanager
    def training(self) -> Iterator["subprocess.Popen[str]"]:
        """A training of forty epochs after its third epoch."""
        self.spec(more=SMALL.replace("epochs: 3", "epochs: 40, patience: 40"))
        with self.started("train") as process:
            assert process.stderr is not None
            next(line for line in process.stderr if line.startswith("epoch 3 "))
            yield process

    def started(self, *arguments: str) -> "subprocess.Popen[str]":
        environment = os.environ | {"BENTOML_HOME": str(self.home)}
        command = [str(BIN / "deployer"), *arguments]
        return subprocess.Popen(
            command, cwd=self.folder, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )

    def weights(self, tag: str) -> bytes:
        return (self.home / "models" / tag.replace(":", "/") / "weights.safetensors").read_bytes()


@pytest.fixture
def workplace(tmp_path: Path, table: Path) -> Workplace:
    """One where nothing was done yet."""
    shutil.copy(table, tmp_path)
    return Workplace(tmp_path)


@dataclass(frozen=True)
class Trained:
    """A workplace with the model ``customers:1.0.0``, and what `deployer train` printed of it."""

    workplace: Workplace
    printed: Any


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, table: Path) -> Trained:
    """The first commands of the README, as programs; what they leave is not changed by any test."""
    workplace = Workplace(tmp_path_factory.mktemp("trained"))
    shutil.copy(table, workplace.folder)
    written = workplace.program("init", "customers.csv", "--target", "churn")
    assert written.returncode == 0, written.stderr
    spec = workplace.folder / "model.yaml"
    spec.write_text(spec.read_text() + SMALL)
    done = workplace.program("train", "--json")
    assert done.returncode == 0, done.stderr
    return Trained(workplace, json.loads(done.stdout))


@pytest.fixture
def trained_copy(trained: Trained, tmp_path: Path) -> Workplace:
    """A copy of that workplace, to go on from."""
    shutil.copytree(trained.workplace.folder, tmp_path, dirs_exist_ok=True)
    return Workplace(tmp_path)


def test_from_a_table_to_an_answered_request(trained: Trained, tmp_path: Path) -> None:
    workplace, printed = trained.workplace, trained.printed
    assert printed["tag"] == "customers:1.0.0"
    assert printed["metrics"]["model"]["log_loss"]["value"] < printed["metrics"]["trivial"]["log_loss"]["value"]

    shown = workplace.program("show")
    assert "customers:1.0.0" in shown.stdout
    command = next(line for line in shown.stdout.splitlines() if line.startswith("curl "))
    with serve([], workplace.home, tmp_path / "log") as server:
        arguments = shlex.split(command.replace("http://localhost:3000", server.url))
        answer = subprocess.run([*arguments, "--silent"], capture_output=True, check=True)
        predictions = json.loads(answer.stdout)["predictions"]
        assert set(predictions[0]["probabilities"]) == {"no", "yes"}
        model = workplace.home / "models/customers/1.0.0"
        _assert_the_server_answers_as_golden(server.url, model)
        _assert_the_server_reads_texts(server.url, json.loads(arguments[-1])["rows"][0])
        assert "remark" in {
            entry["feature"] for entry in json.loads((model / "evaluation.json").read_text())["importance"]["features"]
        }


def _assert_the_server_reads_texts(url: str, row: Any) -> None:
    remarks = ["great service", "GREAT\nservice!", "not great", None]
    rows = [row | {"remark": remark} for remark in remarks]
    columns = {name: [each[name] for each in rows] for name in row}
    predictions = httpx.post(f"{url}/predict", json={"rows": rows}).json()["predictions"]
    answered = httpx.post(f"{url}/predict", json={"columns": columns}).json()["columns"]
    assert [prediction["decision"] for prediction in predictions] == answered["decision"]
    great, loud, not_great, _ = (prediction["probabilities"]["yes"] for prediction in predictions)
    assert great == loud != not_great


def _assert_the_server_answers_as_golden(url: str, model: Path) -> None:
    golden = [json.loads(line) for line in (model / "golden.jsonl").read_text().splitlines()]
    answer = httpx.post(f"{url}/predict", json={"rows": [case["row"] for case in golden]}).json()
    assert {case["case"] for case in golden} > {
        "unknown categories",
        "numbers above their range",
        "texts with unusual characters",
    }
    for case, prediction in zip(golden, answer["predictions"], strict=True):
        assert prediction["probabilities"] == pytest.approx(case["prediction"]["probabilities"], abs=1e-5)


def test_a_regression_answers_a_value_within_its_interval(workplace: Workplace) -> None:
    workplace.spec(target="spend", more=SMALL + "unit: CHF\n")
    trained = workplace.train()
    assert trained["metrics"]["model"]["mae"]["value"] < trained["metrics"]["trivial"]["mae"]["value"]
    shown = json.loads(workplace.deployer("show", trained["tag"], "--json").stdout)
    row = {feature["name"]: feature["example"] for feature in shown["contract"]["features"]}
    with serve([], workplace.home, workplace.folder / "log") as server:
        (prediction,) = httpx.post(f"{server.url}/predict", json=row).json()["predictions"]
        assert prediction["lower"] < prediction["value"] < prediction["upper"]


def test_a_count_is_answered_by_what_can_be_expected(workplace: Workplace) -> None:
    workplace.spec(target="age", more=SMALL + "task: count\ngates: {metrics: {poisson_deviance: {at_most: 20}}}\n")
    trained = workplace.train()
    metrics = trained["metrics"]
    assert metrics["model"]["poisson_deviance"]["value"] < metrics["trivial"]["poisson_deviance"]["value"]
    shown = json.loads(workplace.deployer("show", trained["tag"], "--json").stdout)
    assert shown["contract"]["output"]["count"]
    with serve([], workplace.home, workplace.folder / "log") as server:
        assert "The expected count." in httpx.get(f"{server.url}/docs.json").text
        row = {feature["name"]: feature["example"] for feature in shown["contract"]["features"]}
        (prediction,) = httpx.post(f"{server.url}/predict", json=row).json()["predictions"]
        assert 0 <= prediction["lower"] < prediction["value"] < prediction["upper"]


def test_a_quantile_is_answered_with_what_it_promises(workplace: Workplace) -> None:
    workplace.spec(target="spend", more=SMALL + "task: quantile\nquantile: 0.9\nunit: CHF\n")
    trained = workplace.train()
    metrics = trained["metrics"]
    assert metrics["model"]["pinball"]["value"] < metrics["trivial"]["pinball"]["value"]
    assert metrics["model"]["share_below"]["value"] > 0.7
    shown = json.loads(workplace.deployer("show", trained["tag"], "--json").stdout)
    with serve([], workplace.home, workplace.folder / "log") as server:
        document = httpx.get(f"{server.url}/docs.json").text
        assert "the truth is at or below it in 90% of cases like those in training. Unit: CHF." in document
        row = {feature["name"]: feature["example"] for feature in shown["contract"]["features"]}
        (prediction,) = httpx.post(f"{server.url}/predict", json=row).json()["predictions"]
        assert prediction["lower"] < prediction["value"] < prediction["upper"]


def test_same_data_and_seed_give_the_same_bytes(trained_copy: Workplace) -> None:
    """The same data and seed give the same weights and the same graph, byte for byte, but for the version in it."""
    first, second = "customers:1.0.0", trained_copy.train()["tag"]
    assert second == "customers:1.0.1"
    assert trained_copy.weights(first) == trained_copy.weights(second)
    graphs = [trained_copy.home / "models" / tag.replace(":", "/") / "model.onnx" for tag in (first, second)]
    assert graphs[0].read_bytes() == graphs[1].read_bytes().replace(b"1.0.1", b"1.0.0")


@pytest.mark.long
def test_interrupted_training_resumes_to_the_same_weights(workplace: Workplace) -> None:
    """Ctrl-C says how to resume; the resumed run ends with the weights of a run that was not interrupted."""
    with workplace.training() as training:
        training.send_signal(signal.SIGINT)
        assert training.stderr is not None
        rest = training.stderr.read()
    assert training.returncode == 130
    assert "run the same command again" in rest
    assert "Traceback" not in rest
    assert not list((workplace.home / "models").glob("customers/*"))

    resumed = workplace.deployer("train")
    assert resumed.returncode == 0
    assert "epoch 1 of" not in resumed.stderr.partition("refit")[0]
    assert workplace.weights(workplace.train()["tag"]) == workplace.weights("customers:1.0.0")


def test_a_killed_training_goes_on_where_it_was(workplace: Workplace) -> None:
    with workplace.training() as training:
        training.kill()
    resumed = workplace.program("train")
    assert resumed.returncode == 0
    assert "epoch 1 of" not in resumed.stderr.partition("refit")[0]


def test_a_file_is_predicted_as_a_server_does(trained_copy: Workplace, tmp_path: Path) -> None:
    """Every row of the table of training is answered, as a server answers it."""
    done = trained_copy.program("predict", "customers", "customers.csv", "-o", "answers.parquet", "--keep", "remark")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "answers.parquet: 400 rows answered by customers:1.0.0, 0 refused\n"
    answers = pl.read_parquet(trained_copy.folder / "answers.parquet")
    lines = pl.read_csv(trained_copy.folder / "customers.csv", infer_schema=False).drop("churn").write_csv()
    headers = {"content-type": "text/csv", "accept": "text/csv"}
    with serve([], trained_copy.home, tmp_path / "log") as server:
        answer = httpx.post(f"{server.url}/invocations", content=lines, headers=headers)
        assert answer.status_code == 200, answer.text
    columns = ["decision", "probabilities.no", "probabilities.yes"]
    types = dict.fromkeys(columns[1:], pl.Float32) | {"decision": pl.String}
    expected = pl.read_csv(answer.content, has_header=False, new_columns=columns, schema_overrides=types)
    assert answers.select(columns).equals(expected)


def test_versions_follow_the_contract(trained_copy: Workplace) -> None:
    with (trained_copy.folder / "model.yaml").open("a") as spec:
        spec.write("features: {city: {unknown: reject}}\n")
    assert trained_copy.train()["tag"] == "customers:2.0.0"
    listed = json.loads(trained_copy.program("list", "--json").stdout)
    assert [(model["name"], model["version"]) for model in listed] == [("customers", "2.0.0"), ("customers", "1.0.0")]
    compared = trained_copy.program("diff", "customers:1.0.0", "customers", "--json")
    document = json.loads(compared.stdout)
    assert document["step"] == "major"
    assert [change["field"] for change in document["changes"]] == ["city"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("estimatr: {}\n", "did you mean 'estimator'"),
        ("split: {method: tiem}\n", "did you mean 'time'"),
        ("seed: many\n", "model.yaml:3: seed"),
        ("features: {citi: {kind: text}}\n", "did you mean 'city'"),
        ("split: {validation: 0.6, test: 0.6}\n", "model.yaml:3: split"),
    ],
)
def test_wrong_model_yaml_is_named_by_file_line_and_field(workplace: Workplace, more: str, message: str) -> None:
    """A mistake in model.yaml is answered with its file, line and field, and without a traceback."""
    workplace.spec(more=more)
    done = workplace.deployer("train")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


TABLES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "no rows"),
    "header only": (b"x,y\n", "row"),
    "no target": (b"a,b\n1,2\n3,4\n", "y"),
    "constant target": (b"x,y\n1,a\n2,a\n3,a\n4,a\n", "same value"),
    "missing target": (b"x,y\n1,a\n2,\n3,b\n4,a\n", "missing"),
    "duplicate columns": (b"x,x,y\n1,2,a\n3,4,b\n", "x"),
    "damaged UTF-8": ("x,y\nü,a\nö,b\né,a\n".encode() + b"\xfc,b\n", "line 5, character 1: bytes that are not UTF-8"),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_table_that_cannot_be_trained_on_is_answered_clearly(workplace: Workplace, name: str) -> None:
    content, message = TABLES[name]
    (workplace.folder / "t.csv").write_bytes(content)
    (workplace.folder / "model.yaml").write_text("name: t\ndata: {path: t.csv, target: y}\n")
    done = workplace.deployer("train")
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not list((workplace.home / "models").glob("t/*"))


def test_a_parquet_file_without_rows_is_answered_clearly(workplace: Workplace) -> None:
    pl.DataFrame({"x": [1.0], "y": ["a"]}).clear().write_parquet(workplace.folder / "t.parquet")
    (workplace.folder / "model.yaml").write_text("name: t\ndata: {path: t.parquet, target: y}\n")
    done = workplace.program("train")
    assert done.returncode == 2
    assert "row" in done.stderr


def test_a_leak_is_told_and_ends_the_run_only_when_strict(workplace: Workplace) -> None:
    frame = pl.read_csv(workplace.folder / "customers.csv")
    leak = pl.when(pl.col("churn") == "yes").then(pl.lit("gone")).otherwise(pl.lit("here"))
    frame.with_columns(left_on=leak).write_csv(workplace.folder / "customers.csv")
    workplace.spec()
    trained = workplace.deployer("train")
    assert trained.returncode == 0, trained.stderr
    assert re.search(r"warning\s+left_on: ", trained.stderr)
    workplace.spec(more=SMALL + "strict: true\n")
    refused = workplace.deployer("train")
    assert refused.returncode == 1
    assert "left_on" in refused.stderr
    listed = json.loads(workplace.deployer("list", "--json").stdout)
    assert [model["version"] for model in listed] == ["1.0.0"]


def test_a_model_that_misses_a_gate_is_not_saved(workplace: Workplace) -> None:
    gates = "gates: {metrics: {roc_auc: {at_least: 0.999}}, size_mb: 50}\n"
    workplace.spec(more=SMALL + gates)
    refused = workplace.deployer("train")
    assert refused.returncode == 1
    assert "the model was not saved: it fails 1 of 2 gates" in refused.stderr
    assert re.search(
        r"gates\.metrics\.roc_auc: measured 0\.\d+, required at least 0\.999: 0\.\d+ too low", refused.stderr
    )
    assert json.loads(workplace.deployer("list", "--json").stdout) == []
    workplace.spec(more=SMALL + gates.replace("0.999", "0.5"))
    assert workplace.train()["tag"] == "customers:1.0.0"
    evaluation = workplace.home / "models" / "customers" / "1.0.0" / "evaluation.json"
    assert [gate["passed"] for gate in json.loads(evaluation.read_text())["gates"]] == [True, True]
    assert "<h1>customers" in (evaluation.parent / "report.html").read_text()


def test_what_is_not_there_is_named_with_what_there_is(workplace: Workplace) -> None:
    for arguments in (["train", "nowhere.yaml"], ["show"], ["show", "nothing"], ["diff", "a", "b"]):
        done = workplace.program(*arguments)
        assert done.returncode == 2
        assert done.stderr.startswith("error: ")
    missing = workplace.program("init", "nowhere.csv", "--target", "y")
    assert missing.returncode == 2
    assert "nowhere.csv" in missing.stderr


def test_an_existing_model_yaml_is_not_overwritten_unasked(workplace: Workplace) -> None:
    workplace.spec()
    before = (workplace.folder / "model.yaml").read_text()
    assert workplace.program("init", "customers.csv", "--target", "churn").returncode == 2
    assert (workplace.folder / "model.yaml").read_text() == before
    assert workplace.program("init", "customers.csv", "--target", "churn", "--force").returncode == 0
    assert (workplace.folder / "model.yaml").read_text() != before


@pytest.mark.parametrize("output", [".", "nowhere/model.yaml"])
def test_init_writes_a_file_in_a_folder_that_is_there(workplace: Workplace, output: str) -> None:
    done = workplace.deployer("init", "customers.csv", "--target", "churn", "--output", output, "--force")
    assert done.returncode == 2
    assert "cannot be written" in done.stderr
