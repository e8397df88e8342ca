import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from model_deployer.contract.errors import SpecError
from model_deployer.training.spec import Bound, Spec, read_spec

MINIMAL = "name: m\ndata:\n  path: t.csv\n  target: y\n"


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "model.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def complaints(folder: Path, text: str | bytes) -> list[str]:
    """Return the lines of the error, without the folder."""
    with pytest.raises(SpecError) as caught:
        read_spec(written(folder, text))
    return str(caught.value).replace(f"{folder}/", "").splitlines()


def test_three_fields_are_enough(tmp_path: Path) -> None:
    spec = read_spec(written(tmp_path, MINIMAL))
    assert (spec.name, spec.data.path, spec.data.target) == ("m", "t.csv", "y")
    assert (spec.task, spec.seed, spec.split.test, spec.by_time) == ("auto", 0, 0.15, False)


def test_every_fault_is_named_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """name: Bad Name
data:
  path: t.csv
  targt: y
  format: parqet
split:
  metod: time
features:
  origin:
    kind: categoric
seed: -1
"""
    assert complaints(tmp_path, text) == [
        "model.yaml:1: name: expected lower-case letters and digits, with '.', '_' and '-' only between them",
        "model.yaml:2: data.target: missing; it has no default",
        "model.yaml:4: data.targt: unknown key; did you mean 'target'?",
        "model.yaml:5: data.format: expected 'auto', 'csv', 'parquet', 'arrow', 'json', 'jsonl', 'excel', 'sqlite' "
        "or 'duckdb'; did you mean 'parquet'?",
        "model.yaml:7: split.metod: unknown key; did you mean 'method'?",
        "model.yaml:10: features.origin.kind: expected 'numeric', 'integer', 'boolean', 'categorical', 'datetime', "
        "'text', 'vector', 'sequence', 'tensor' or 'image'; did you mean 'categorical'?",
        "model.yaml:11: seed: expected greater than or equal to 0",
    ]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "model.yaml: the file is empty; it needs at least `name`, `data.path` and `data.target`"),
        (
            "# only a comment\n",
            "model.yaml: the file is empty; it needs at least `name`, `data.path` and `data.target`",
        ),
        ("- a\n- b\n", "model.yaml:1: expected `key: value` lines at the top level"),
        ("name: m\nname: n\n", "model.yaml:2: name: the key is repeated, first on line 1; keep one"),
        ("name: m\n1: n\n", "model.yaml:2: 1: a key must be text; put it in quotes"),
        ("name: m\ndata: [\n", "model.yaml:3: not valid YAML: expected the node content, but found '<stream end>'"),
        ("name: m\n\tdata: x\n", "model.yaml:2: not valid YAML: found character '\\t' that cannot start any token"),
        (b"name: m\n# caf\xe9\n", "model.yaml:2: the file is not UTF-8; save it with that encoding"),
        ("name: m\x00\n", "model.yaml:1: not valid YAML: a control character; remove it"),
        (
            "name: m\ndata: {<<: {path: t}}\n",
            "model.yaml:2: data.<<: merge keys are not supported; write the fields out",
        ),
        (
            MINIMAL.replace("y\n", "no\n"),
            "model.yaml:4: data.target: expected text; put it in quotes if it is a number, a date or a word such as "
            "yes or no",
        ),
        ("a: &a [*a]\n", "model.yaml:1: a[0]: an alias must not contain itself"),
        (
            "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 'x'}]\n" for i in range(10)),
            "model.yaml: the file has more than 100,000 values; write them out without aliases",
        ),
        (MINIMAL + "estimator: 5\n", "model.yaml:5: estimator: expected `key: value` lines"),
        (MINIMAL + "cost:\n  false_negative: .inf\n", "model.yaml:6: cost.false_negative: expected a finite number"),
        (MINIMAL + "  ignore: x\n", "model.yaml:5: data.ignore: expected a list"),
        (MINIMAL + "limits:\n  row: 5\n", "model.yaml:6: limits.row: unknown key; did you mean 'rows'?"),
    ],
)
def test_a_file_that_cannot_be_used(tmp_path: Path, text: str | bytes, complaint: str) -> None:
    assert complaints(tmp_path, text) == [complaint]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"absent\.yaml: no such file; `deployer init` writes one"):
        read_spec(tmp_path / "absent.yaml")


@pytest.mark.parametrize(
    ("split", "complaint"),
    [
        ("validation: 2", "split.validation: expected a share between 0 and 1, or a date"),
        ("validation: true", "split.validation: expected a share"),
        ("{validation: 0.5, test: 0.5}", "leave nothing to train on"),
        ("{validation: 0.5, test: 2013-11-01}", "two shares or two dates"),
        ("{validation: 2013-11-01, test: 2013-10-01}", "`validation` must begin before `test`"),
        ("{validation: 2013-10-01, test: 2013-11-01}", "need `split.method: time` and `data.time`"),
        ("{method: time}", "`split.method: time` needs a column under `data.time`"),
        ("{method: group}", "`split.method: group` needs a column under `data.group`"),
    ],
)
def test_a_split_that_cannot_be(tmp_path: Path, split: str, complaint: str) -> None:
    text = f"{MINIMAL}split: {split}\n" if split.startswith("{") else f"{MINIMAL}split:\n  {split}\n"
    assert re.search(re.escape(complaint), complaints(tmp_path, text)[0])


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2013-11-01", datetime(2013, 11, 1)),
        ("2013-11-01 06:30:00", datetime(2013, 11, 1, 6, 30)),
        ("'2013-11-01T06:30:00+00:00'", datetime(2013, 11, 1, 6, 30, tzinfo=UTC)),
    ],
)
def test_a_date_is_its_first_instant(tmp_path: Path, text: str, instant: datetime) -> None:
    before = text.replace("2013", "2012")
    spec = read_spec(written(tmp_path, f"{MINIMAL}  time: when\nsplit:\n  validation: {before}\n  test: {text}\n"))
    assert spec.split.test == instant
    assert spec.by_time


@pytest.mark.parametrize(("text", "label"), [("true", "true"), ("1", "1"), ("late", "late")])
def test_the_positive_label_is_text(tmp_path: Path, text: str, label: str) -> None:
    assert read_spec(written(tmp_path, f"{MINIMAL}positive: {text}\n")).positive == label


@pytest.mark.parametrize(
    ("keys", "quantile"),
    [("task: quantile\n", 0.5), ("quantile: 0.9\ntask: quantile\n", 0.9), ("task: regression\n", None), ("", None)],
)
def test_a_quantile_belongs_to_its_task(tmp_path: Path, keys: str, quantile: float | None) -> None:
    assert read_spec(written(tmp_path, MINIMAL + keys)).quantile == quantile


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ("quantile: 0.9\n", "model.yaml:5: quantile: only for `task: quantile`"),
        ("task: count\nquantile: 0.5\n", "model.yaml:6: quantile: only for `task: quantile`"),
        ("task: quantile\nquantile: 0\n", "model.yaml:6: quantile: expected greater than 0"),
        ("task: quantile\nquantile: 1\n", "model.yaml:6: quantile: expected less than 1"),
        ("task: quantile\nquantile: .nan\n", "model.yaml:6: quantile: expected a finite number"),
    ],
)
def test_a_quantile_that_cannot_be(tmp_path: Path, keys: str, complaint: str) -> None:
    assert complaints(tmp_path, MINIMAL + keys) == [complaint]


@pytest.mark.parametrize(
    ("keys", "complaint"),
    [
        ("  range: A1\n", "model.yaml:5: data.range: expected a range of cells, such as A3:F200"),
        (
            "estimator: {candidates: [{name: linear}]}\n",
            "model.yaml:5: estimator.candidates[0].name: expected the import path of a class, such as "
            "lightgbm.LGBMClassifier",
        ),
        (
            "adopt: {source: m.pkl, trust: yes-please}\n",
            "model.yaml:5: adopt.trust: expected sha256: and 64 hexadecimal digits, as `deployer adopt` writes them",
        ),
    ],
)
def test_what_a_text_must_look_like_is_said_in_words(tmp_path: Path, keys: str, complaint: str) -> None:
    assert complaints(tmp_path, MINIMAL + keys) == [complaint]


def test_a_column_has_one_role(tmp_path: Path) -> None:
    assert complaints(tmp_path, MINIMAL + "  ignore: [y]\n") == [
        "model.yaml:2: data: the column 'y' has two roles; keep one of them"
    ]


def test_a_field_knows_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL)
    assert read_spec(path).location("data", "target") == f"{path}:4: data.target"
    assert read_spec(path).location("features", "x") == f"{path}:1: features.x"


def test_a_split_by_dates_is_dumped_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    spec = Spec.model_validate(
        {
            "name": "m",
            "data": {"path": "t", "target": "y", "time": "when"},
            "split": {"validation": "2013-10-01", "test": "2013-11-01"},
        }
    )
    assert spec.model_dump()["split"]["test"] == datetime(2013, 11, 1)
    assert not recwarn.list


def test_a_gate_bounds_a_metric_from_one_side_or_both(tmp_path: Path) -> None:
    metrics = "    log_loss: {at_most: 0.53}\n    coverage: {at_least: 0.85, at_most: 0.95}\n"
    text = f"{MINIMAL}gates:\n  metrics:\n{metrics}  better_than_linear: true\n  p99_ms: 2\n"
    gates = read_spec(written(tmp_path, text)).gates
    assert gates.metrics == {"log_loss": Bound(at_most=0.53), "coverage": Bound(at_least=0.85, at_most=0.95)}
    assert (gates.better_than_linear, gates.slice_gap, gates.size_mb, gates.p99_ms) == (True, None, None, 2)


@pytest.mark.parametrize(
    ("gates", "complaint"),
    [
        ("metrics: {log_los: {at_most: 1}}", r"gates\.metrics\.log_los: expected .*; did you mean 'log_loss'\?"),
        ("metrics: {rmsle: {at_most: 1}}", r"gates\.metrics\.rmsle: expected .*; did you mean 'rmse'\?"),
        ("metrics: {f1: {at_lest: 1}}", r"gates\.metrics\.f1\.at_lest: unknown key; did you mean 'at_least'\?"),
        ("metrics: {f1: 0.7}", r"gates\.metrics\.f1: expected `\{at_least: 0\.7\}` or `\{at_most: 0\.7\}`"),
        ("metrics: {f1: {}}", r"gates\.metrics\.f1: expected `at_least`, `at_most` or both"),
        (
            "metrics: {f1: {at_least: 0.9, at_most: 0.8}}",
            r"gates\.metrics\.f1: `at_least` is above `at_most`.*; swap them",
        ),
        ("metrics: {f1: {at_least: .nan}}", r"gates\.metrics\.f1\.at_least: expected a finite number"),
        ("slice_gap: 0", r"gates\.slice_gap: expected greater than 0"),
        ("size_mb: -1", r"gates\.size_mb: expected greater than 0"),
        ("p99ms: 2", r"gates\.p99ms: unknown key; did you mean 'p99_ms'\?"),
    ],
)
def test_a_gate_that_cannot_be(tmp_path: Path, gates: str, complaint: str) -> None:
    (message,) = complaints(tmp_path, f"{MINIMAL}gates:\n  {gates}\n")
    assert re.fullmatch(rf"model\.yaml:6: {complaint}", message)


def test_a_bound_of_the_calibration_of_slices_needs_slices(tmp_path: Path) -> None:
    bounded = MINIMAL + "gates: {slice_calibration: 0.05}\n"
    (complaint,) = complaints(tmp_path, bounded)
    assert complaint.endswith("`gates.slice_calibration` needs at least one column under `slices`")
    assert read_spec(written(tmp_path, bounded + "slices: [x]\n")).gates.slice_calibration == 0.05
