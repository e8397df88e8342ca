"""What is written in docs/ names everything that there is, and nothing that there is not."""

import re
from collections.abc import Iterator

import yaml
from pydantic import BaseModel

from model_deployer.contract.errors import PROBLEM_CODES, REQUEST_ERRORS
from model_deployer.serving.config.settings import Settings
from model_deployer.serving.observability.metric_specs import METRIC_SPECS
from model_deployer.training.spec import FeatureOverride, Spec
from tests.support.processes import ROOT

SERVICE = (ROOT / "docs/02-service.md").read_text()
MODEL_YAML = (ROOT / "docs/01-model-yaml.md").read_text()


def keys(section: type[BaseModel]) -> Iterator[str]:
    for name, field in section.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from keys(field.annotation)
        else:
            yield name


def test_every_key_of_model_yaml_is_described() -> None:
    for name in {*keys(Spec), *keys(FeatureOverride)}:
        assert re.search(rf"`(\w+\.)?{name}`|^## {name}$", MODEL_YAML, re.MULTILINE), name


def test_the_table_of_errors_is_the_tree_of_errors() -> None:
    documented = re.findall(r"^\| (\d{3}) \| `(\w+)` \|.*\| (yes|no) \|$", SERVICE, re.MULTILINE)
    tree = [(str(error.status), error.code, "yes" if error.retry else "no") for error in REQUEST_ERRORS]
    assert sorted(documented) == sorted(tree)


def test_the_table_of_wrong_values_is_the_list_of_codes() -> None:
    table = SERVICE.split("| code | the value |")[1].split("\n\n")[0]
    assert dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", table, re.MULTILINE)) == PROBLEM_CODES


def test_every_metric_is_described_with_its_labels() -> None:
    table = SERVICE.split("| name | labels | what |")[1].split("\n\n")[0]
    documented = re.findall(r"^\| `(\w+)` \| (.*?) ?\|", table, re.MULTILINE)
    assert documented == [(meter.name, ", ".join(f"`{label}`" for label in meter.labels)) for meter in METRIC_SPECS]


def test_every_setting_of_the_server_is_described_with_its_default() -> None:
    lean = yaml.safe_load((ROOT / "configuration.yaml").read_text())["serving"]
    assert Settings.model_validate(lean) == Settings()
    assert lean.keys() == Settings.model_fields.keys()
    documented = re.findall(r"^\| `(\w+)` \|", SERVICE.split("| setting | default | what |")[1].split("\n\n")[0], re.M)
    assert documented == list(Settings.model_fields)


def test_the_links_lead_somewhere() -> None:
    for document in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_the_readme_speaks_before_it_commands() -> None:
    before = (ROOT / "README.md").read_text().split("    make run")[0]
    assert len(before.splitlines()) >= 20
