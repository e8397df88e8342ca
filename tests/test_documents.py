"""The documents name everything that exists, and nothing that does not."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
import yaml
from pydantic import BaseModel

from model_deployer.cli.app import app
from model_deployer.contract.errors import PROBLEM_CODES, REQUEST_ERRORS
from model_deployer.contract.value_warnings import WARNING_CODES
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.observability.metric_specs import METRIC_SPECS
from model_deployer.training.spec import FeatureOverride, Spec
from tests.support.processes import ROOT, run

SERVICE = (ROOT / "docs/02-service.md").read_text()
MODEL_YAML = (ROOT / "docs/01-model-yaml.md").read_text()

DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/*/*.md", ".github/*.md")
    for path in ROOT.glob(pattern)
    if ".venv" not in path.parts
)

#: Files that a how-to guide asks its reader to write.
TO_WRITE = {"lists.py", "nomad.py", "nomad.md.j2"}

#: Files of a handoff package, not of this repository.
OF_A_PACKAGE = {
    "benchmarks/measure.py",
    "benchmarks/measurements.json",
    "docs/API_OTHER_SERVERS.yaml",
    "docs/API_SPEC.yaml",
    "docs/INTEGRATION_GUIDE.md",
    "docs/MODEL_CARD.md",
    "examples/inference_example.py",
    "monitoring/RUNBOOK.md",
    "monitoring/check_triggers.py",
    "monitoring/monitor-cronjob.yaml",
    "monitoring/replay.json",
    "monitoring/triggers.json",
}

#: A path in code: a folder and a file with one of these suffixes, or a folder of the tests.
PATH = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|md|yaml|json|txt|j2|proto|sh|png)|tests/(?:\w+/)+)`")

#: Where a path in a document may begin.
BASES = [ROOT / folder for folder in ("", "model_deployer", "model_deployer/serving", "model_deployer/handoff")]


def keys(section: type[BaseModel]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation)
        else:
            yield name


def rows(document: str, table: str) -> list[list[str]]:
    """The cells of a generated table, without its header."""
    text = document.split(f"<!-- table: {table} -->\n\n")[1].split("\n\n", maxsplit=1)[0]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()[2:]]


def test_every_key_of_model_yaml_is_described() -> None:
    for name in {*keys(Spec), *keys(FeatureOverride)}:
        assert re.search(rf"`(\w+\.)?{name}`|^## {name}$", MODEL_YAML, re.MULTILINE), name


def test_the_table_of_errors_is_the_tree_of_errors() -> None:
    documented = [tuple(row[:4]) for row in rows(SERVICE, "errors")]
    assert sorted(documented) == sorted(
        (str(error.status), error.grpc_status, f"`{error.code}`", "yes" if error.retry else "no")
        for error in REQUEST_ERRORS
    )


def test_the_table_of_wrong_values_is_the_list_of_codes() -> None:
    assert {code.strip("`"): words for code, words in rows(SERVICE, "problems")} == PROBLEM_CODES


def test_the_table_of_warnings_is_the_list_of_codes() -> None:
    assert {code.strip("`"): words for code, words in rows(SERVICE, "warnings")} == WARNING_CODES


def test_every_metric_is_described_with_its_labels() -> None:
    documented = [(name.strip("`"), labels) for name, labels, _ in rows(SERVICE, "metrics")]
    assert documented == [(metric.name, ", ".join(f"`{label}`" for label in metric.labels)) for metric in METRIC_SPECS]


def test_settings_are_documented_with_defaults() -> None:
    """Every setting of the server is described with its default."""
    lean = yaml.safe_load((ROOT / "configuration.yaml").read_text())["serving"]
    assert Settings.model_validate(lean) == Settings()
    assert lean.keys() == Settings.model_fields.keys()
    assert [row[0].strip("`") for row in rows(SERVICE, "settings")] == list(Settings.model_fields)


@pytest.mark.slow
def test_generated_tables_are_fresh_and_described() -> None:
    done = run(sys.executable, "docs/tables.py", "--check", PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr


def test_every_command_is_documented_and_exists() -> None:
    """Every command has a section, and every command that a document names exists."""
    commands = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    text = (ROOT / "docs/03-commands.md").read_text()
    assert set(re.findall(r"^## deployer (\w+)$", text, re.MULTILINE)) == commands
    for document in DOCUMENTS:
        named = set(re.findall(r"(?:`|^\s*|\$ |\.venv/bin/)deployer ([a-z]+)", document.read_text(), re.MULTILINE))
        assert named <= commands, document.name


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_and_paths_lead_somewhere(document: Path) -> None:
    text = document.read_text()
    for target in re.findall(r"\]\(([^)#:]+)[)#]", text):
        assert (document.parent / target).exists(), target
    for path in PATH.findall(text):
        if path not in OF_A_PACKAGE and Path(path).name not in TO_WRITE:
            assert any((base / path).exists() for base in BASES), path


@pytest.mark.slow
def test_site_builds_strictly_and_is_self_contained(tmp_path: Path) -> None:
    """The site builds strictly, and its pages load nothing from other hosts."""
    site = tmp_path / "site"
    done = run(sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(site), PYTHONPATH=str(ROOT))
    assert done.returncode == 0, done.stderr
    pages = list(site.rglob("*.html"))
    assert len(pages) > len(list((ROOT / "docs").rglob("*.md")))
    for page in pages:
        foreign = re.findall(r"<(?:script|img|iframe|link)\b[^>]*(?:src|href)=\"?https?://[^>]*", page.read_text())
        assert [tag for tag in foreign if 'rel="canonical"' not in tag] == [], page.name


def test_the_model_yaml_of_the_tutorial_is_valid() -> None:
    text = (ROOT / "docs/tutorial/index.md").read_text()
    (source,) = re.findall(r'```yaml title="model.yaml"\n(.*?)```', text, re.DOTALL)
    assert Spec.model_validate(yaml.safe_load(source)).name == "customers"


def test_the_workflows_are_yaml_and_run_targets_that_exist() -> None:
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        jobs = yaml.safe_load(path.read_text())["jobs"]
        steps = [step.get("run", "") for job in jobs.values() for step in job["steps"]]
        assert set(re.findall(r"\bmake ([\w-]+)", "\n".join(steps))) <= targets


def test_the_readme_speaks_before_it_commands() -> None:
    before = (ROOT / "README.md").read_text().split("    make run")[0]
    assert len(before.splitlines()) >= 20
