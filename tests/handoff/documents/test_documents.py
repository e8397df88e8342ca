import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from model_deployer.contract.contract import Contract, Limits
from model_deployer.contract.errors import PROBLEM_CODES, REQUEST_ERRORS
from model_deployer.contract.evaluation import MODEL, Evaluation
from model_deployer.contract.features import Boolean, Categorical, Numeric
from model_deployer.contract.outputs import Classification, Regression
from model_deployer.contract.reference import Reference
from model_deployer.contract.value_warnings import WARNING_CODES
from model_deployer.handoff.documents.documents import CARD, CHANGELOG, GUIDE, PAGE, README, documents, write_documents
from model_deployer.package.package_data import PackageData
from model_deployer.serving.observability.metric_specs import GRAPH_METRIC_SPECS
from model_deployer.training.evaluation.scored_rows import ScoredRows
from model_deployer.writing.markdown import anchor
from tests.support import observed, tiny
from tests.support.packages import MEASURED, package_of, package_of_scored_rows
from tests.support.scored_rows import (
    THREE,
    count_rows,
    quantile_rows,
    quantity_rows,
    scored_rows,
    table,
    two_class_rows,
)

READER = MarkdownIt("commonmark").enable("table")

#: The files of a package that the documents always link to.
FILES = {
    "VERIFICATION.md", "docs/API_SPEC.yaml", "docs/API_OTHER_SERVERS.yaml", "examples/sample_requests.json",
    "benchmarks/measurements.json",
    "model/predictor.py", "model/model_metadata.json", "model/parity.json", "model/changes.json",
    "examples/clients/go/client.go",
    "requirements.txt", "sbom.cdx.json", "deploy", "proto/open_inference.proto", "monitoring/RUNBOOK.md",
    "monitoring/check_triggers.py",
    *(f"model/plots/{name}.png" for name in ("reliability", "slices", "importance", "curve")),
}  # fmt: skip


def three_class_rows(rows: int) -> ScoredRows:
    """All labels have the same probability, so the sets are large."""
    output = THREE.model_copy(update={"set_threshold": 0.3})
    target = np.random.default_rng(0).integers(0, 3, rows)
    return scored_rows(
        table(rows), target, output, lambda frame: {"probabilities": np.full((len(frame), 3), 1 / 3, np.float32)}
    )


TASKS = {
    "two labels": package_of_scored_rows(two_class_rows(1500), description="Whether it is late.", owner="ops"),
    "three labels": package_of_scored_rows(three_class_rows(600)),
    "regression": package_of_scored_rows(quantity_rows(1500), business_context="For the desk.", license="MIT"),
    "count": package_of_scored_rows(count_rows(1500)),
    "quantile": package_of_scored_rows(quantile_rows(1500)),
    "no figures": package_of(tiny.CONTRACT, {"metrics": {}}),
}


@pytest.fixture(params=TASKS, scope="module")
def package(request: pytest.FixtureRequest) -> PackageData:
    return TASKS[request.param]


@pytest.fixture(scope="module")
def pages(package: PackageData) -> dict[str, str]:
    return documents(package)


def markdown_of(pages: dict[str, str]) -> dict[str, str]:
    return {path: text for path, text in pages.items() if path.endswith(".md")}


def tables(text: str) -> Iterator[list[str]]:
    """The lines of each table."""
    lines = text.splitlines()
    for token in READER.parse(text):
        if token.type == "table_open":
            assert token.map
            yield lines[slice(*token.map)]


def cells(line: str) -> int:
    return len(re.findall(r"(?<!\\)(?:\\\\)*\|", line.replace(r"\|", "")))


def visible_text(tokens: list[Token]) -> str:
    """The text that a reader sees."""
    inline = (child.content for token in tokens for child in token.children or ())
    blocks = (token.content for token in tokens if token.type in ("fence", "code_block"))
    return "\n".join([*inline, *blocks])


def test_every_row_of_a_table_has_the_cells_of_its_head(pages: dict[str, str]) -> None:
    for path, text in markdown_of(pages).items():
        for lines in tables(text):
            assert {cells(line) for line in lines} == {cells(lines[0])}, (path, lines[0])


def test_what_is_not_known_is_absent(pages: dict[str, str]) -> None:
    for path, text in markdown_of(pages).items():
        assert not re.search(r"\b(None|nan|inf|N/A|TBD|Undefined|TODO)\b", text), path
        assert not re.search(r"\n\n\n| \n|^\|  \|$", text), path


def test_links_lead_somewhere(pages: dict[str, str]) -> None:
    headings = {path: headings_of(text) for path, text in markdown_of(pages).items()}
    for path, text in markdown_of(pages).items():
        for token in READER.parse(text):
            for child in token.children or ():
                target = child.attrs.get("href", child.attrs.get("src", ""))
                if isinstance(target, str) and target and not target.startswith("http"):
                    file, _, fragment = target.partition("#")
                    linked = normal(PurePosixPath(path).parent / file) if file else path
                    files = FILES | pages.keys()
                    assert linked in files | {str(PurePosixPath(name).parent) for name in files}, (path, target)
                    assert not fragment or fragment in headings[linked], (path, target)


def test_no_link_is_shown_as_text(pages: dict[str, str]) -> None:
    for path, text in markdown_of(pages).items():
        assert not re.search(r"\\\]\(#|\\\]\([\w./]+\.(md|json|yaml)", text), path


def headings_of(text: str) -> set[str]:
    tokens = READER.parse(text)
    return {anchor(content.content) for heading, content in pairwise(tokens) if heading.type == "heading_open"}


def normal(path: PurePosixPath) -> str:
    parts: list[str] = []
    for part in path.parts:
        parts = parts[:-1] if part == ".." else [*parts, part]
    return "/".join(parts)


def test_a_package_that_was_not_verified_says_so_at_the_top(package: PackageData) -> None:
    for path, text in documents(replace(package, is_verified=False)).items():
        if path.endswith(".md"):
            assert "UNVERIFIED" in "\n".join(text.splitlines()[:4]), path
        assert "UNVERIFIED" in text
    assert not any("UNVERIFIED" in text for text in documents(package).values())


def test_same_facts_give_the_same_bytes(package: PackageData, tmp_path: Path) -> None:
    """The same facts give the same bytes, and these are what is written."""
    write_documents(package, tmp_path)
    for path, text in documents(package).items():
        assert (tmp_path / path).read_bytes() == text.encode()


@pytest.mark.parametrize(
    ("task", "unrelated"),
    [
        ("two labels", ["`lower`", "`value`", "interval that", "among the labels", "set of labels", "the quantile"]),
        ("three labels", ["`lower`", "`value`", "decision threshold", "inside the interval"]),
        ("regression", ["probabilit", "label", "decision", "expected count", "stays at or below", " set "]),
        ("count", ["probabilit", "label", "decision", "stays at or below", " set "]),
        ("quantile", ["probabilit", "label", "decision", "expected count", " set "]),
        ("no figures", ["rmse", "interval", "## Slices"]),
    ],
)
def test_no_sentence_is_about_another_task(task: str, unrelated: list[str]) -> None:
    text = "\n".join(markdown_of(documents(TASKS[task])).values())
    text = re.sub(r'"labels?"', "", text)  # what POST /feedback takes, for every task
    assert [words for words in unrelated if words in text] == []


def test_every_metric_stands_in_the_card_with_its_interval(package: PackageData, pages: dict[str, str]) -> None:
    for name, figure in package.evaluation.metrics_of(MODEL).items():
        row = next(line for line in pages[CARD].splitlines() if line.startswith(f"| **{name.replace('_', ' ')}**"))
        for end in ("value", "low", "high"):
            number = getattr(figure, end)
            assert (f"{number:,.0f}" if abs(number) >= 1000 else f"{number:.4g}") in row


@pytest.mark.parametrize(
    ("path", "place"),
    [
        (CARD, ("metrics", "model", "log_loss", "low")),
        (CARD, ("metrics", "linear", "log_loss", "value")),
        (CARD, ("rows", "test")),
        (CARD, ("slices", 0, "loss")),
        (CARD, ("importance", "features", 0, "rise")),
        (CARD, ("missing", "features", 0, "change")),
        (CARD, ("reliability", "bins", 0, "observed")),
        (CARD, ("curve", "points", 0, "loss")),
        (CARD, ("candidates", 0, "loss")),
        (CARD, ("gates", 0, "found")),
        (CARD, ("latency", "one_row_ms", "p50")),
    ],
)
def test_another_figure_is_another_document(path: str, place: tuple[str | int, ...]) -> None:
    package = TASKS["two labels"]
    changed: Any = package.evaluation.to_json()
    holder = changed
    for step in place[:-1]:
        holder = holder[step]
    holder[place[-1]] = holder[place[-1]] * 1.5
    other = replace(package, evaluation=Evaluation.model_validate(changed))
    assert documents(package)[path] != documents(other)[path]


def test_guide_states_measurements_and_limits() -> None:
    """The guide states what was measured and what is allowed."""
    package = TASKS["two labels"]
    measured = MEASURED.model_copy(update={"cold_start_seconds": 7.89, "memory_ready_bytes": 321 * 1024**2})
    contract = package.contract.model_copy(update={"limits": Limits(rows=4321, timeout_seconds=12)})
    guide = documents(replace(package, measured=measured, contract=contract))[GUIDE]
    for figure in ("7.89 s", "321 MiB", "4,321", "12 s", "3.46 ms", "1,070", "Example 9000", "2026-01-02 04:00 UTC"):
        assert figure in guide
    assert "Memory under load" not in guide


def test_guide_states_what_else_ran_during_the_measurements() -> None:
    guide = documents(replace(TASKS["two labels"], measured=observed.MEASURED))[GUIDE]
    assert "other processes used up to 1 % of the cores, other virtual machines up to 0 %" in guide
    assert "the load average before them was 0.5; the cores ran at 2,600 MHz" in guide
    assert "| Capacity of a replica | 4,320 one-row requests per second |" in guide
    assert "| Latency objective, up to 100 rows | 99 of 100 requests within 250 ms |" in guide
    assert "99 of 100 requests are answered within 10 ms for one row and 250 ms for up to 100 rows" in guide
    assert "was busy" not in guide


def test_guide_of_a_busy_machine_withholds_what_depends_on_its_speed() -> None:
    guide = documents(replace(TASKS["two labels"], measured=observed.BUSY))[GUIDE]
    assert "**The machine was busy during 7 of 7 measurements, even after 3 attempts each:" in guide
    assert "states neither capacity nor replicas, CPU requests or latency objectives. Measure again" in guide
    assert "python benchmarks/measure.py" in guide
    assert "recommends a timeout" not in guide
    assert "- Latency: none is stated, because the machine was busy" in guide
    assert "The load that a replica carries is not known" in guide
    sizing = guide.partition("## Sizing")[2].partition("## When to retrain")[0]
    for figure in ("Capacity", "Safe load", "| Latency objective", "| Replicas", "| CPU request", "Autoscaler"):
        assert figure not in sizing
    assert "| Memory limit | 384Mi |" in sizing


def test_guide_lists_every_refusal_code_and_metric(pages: dict[str, str]) -> None:
    """The guide lists every refusal, every code of a value, and every metric."""
    guide = pages[GUIDE]
    for error in REQUEST_ERRORS:
        assert "remedy" in vars(error), error
        row = next(line for line in guide.splitlines() if line.startswith(f"| {error.status} | `{error.code}` |"))
        assert row.endswith("| yes |" if error.retry else "| no |")
        assert error.remedy in row
    for name, about in PROBLEM_CODES.items():
        assert f"| `{name}` | {about} |" in guide
    for warning, about in WARNING_CODES.items():
        assert f"| `{warning}` | {about} |" in guide
    for spec in GRAPH_METRIC_SPECS:
        assert f"| `{spec.name}` |" in guide


def test_the_guide_shows_what_the_server_answered(package: PackageData, pages: dict[str, str]) -> None:
    visible = [json.loads(token.content) for token in READER.parse(pages[GUIDE]) if token.info == "json"]
    assert package.samples.golden[0].answer in visible
    assert package.samples.invalid[0].answer in visible
    assert package.contract.example() in visible


def test_guide_describes_every_field() -> None:
    """Every field says what it takes, and what becomes of odd values."""
    guide = documents(TASKS["no figures"])[GUIDE]
    rows = {line.split("`")[1]: line for line in reversed(guide.splitlines()) if line.startswith("| `")}
    assert (
        "| miles | number | a number from 0 to 5000 | yes | Missing, null or out of range: the request is"
        in rows["distance"]
    )
    assert "| no | May be null or left out; the model then answers without it. A value below -20" in rows["temp"]
    assert (
        "one of 'EWR', 'JFK', 'LGA' | yes | Missing, null or any other value: the request is refused." in rows["origin"]
    )


@pytest.mark.parametrize(
    ("least", "most", "named"),
    [
        (0.0, 10.7, "such as 0, while 90 % are from 4.3 to 7.6"),
        (0.0, 58.9, "such as 0 and 58.9, while"),
        (0.5, 10.7, None),
        (-9.0, 10.7, "such as -9, while"),
        (3.7, 58.9, "such as 58.9, while"),
    ],
)
def test_values_far_from_the_others_are_named(least: float, most: float, named: str | None) -> None:
    """A 0 among lengths from 4.3 to 7.6 mm is far: it stands for a value that is missing."""
    quantiles = [least, *np.linspace(4.3, 7.6, 19).tolist(), most]
    features = tiny.REFERENCE["features"] | {"distance": {"missing": 0.0, "quantiles": quantiles}}
    reference = Reference.model_validate(tiny.REFERENCE | {"features": features})
    card = documents(replace(package_of(tiny.CONTRACT, tiny.EVALUATION), reference=reference))[CARD]
    assert ("`distance` has values far from the others in training" in card) == (named is not None)
    assert named is None or named in card


def test_what_nobody_said_is_not_there() -> None:
    without_owner, with_owner = (documents(TASKS[name]) for name in ("count", "two labels"))
    assert "## Contact" in with_owner[CARD] and "## Contact" not in without_owner[CARD]
    assert "## Support" in with_owner[GUIDE] and "## Support" not in without_owner[GUIDE]
    assert "Contact: ops" in with_owner[README] and "Contact" not in without_owner[README]
    assert "| License |" not in without_owner[CARD]


def test_the_commands_of_the_readme_can_be_told_apart(pages: dict[str, str]) -> None:
    names = re.findall(r"^```sh (\w+)$", pages[README], re.MULTILINE)
    assert names == ["install", "example", "test", "serve", "deployment", "request"]


def test_the_changelog_tells_versions_apart(pages: dict[str, str]) -> None:
    newest, first = pages[CHANGELOG].split("\n## ")[1:]
    assert newest.startswith("1.2.3 - 2026-01-02\n\nA minor update from 1.0.0.")
    assert "- major: `distance` removed: requests with this field are refused" in newest
    assert first.startswith("1.0.0 - 2025-12-24\n\nThe first version.")


def test_missing_clients_and_formats_have_a_reason(pages: dict[str, str]) -> None:
    """Clients and formats that are missing are named with the reason."""
    assert "There is no client for Rust: Rust is not installed." in pages[GUIDE]
    assert "TorchScript is not in the package: it differs by 0.3." in pages[CARD]
    assert "go/" in pages[README] and "rust/" not in pages[README]


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.sources: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sources += [value or "" for name, value in attrs if name == "src"]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_needs_nothing_but_itself() -> None:
    page = _Page(documents(TASKS["two labels"])[PAGE])
    assert len(page.sources) == 4
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not page.tags & {"script", "link"}


HOSTILE = [
    "a|b", "`tick`", "``", "*bold* _it_ <b>x</b>", "{{ package }}", "{% raw %}", "[x](javascript:alert(1))", "1. one",
    "# head", "- item", "back\\slash\\", "a\nb", "&amp; &lt;", "| --- |", "~~~", "$x$", "<script>alert(1)</script>",
    "![x](y)", "é好\U0001f600", "'; rm -rf / #", "\\|", "=== ", "---",
]  # fmt: skip

texts = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)


@settings(max_examples=40)
@given(st.lists(texts, min_size=8, max_size=8, unique=True))
def test_hostile_strings_are_shown_and_not_obeyed(strings: list[str]) -> None:
    field, other, category, label, second, third, description, target = strings
    contract = Contract(
        features=(
            Numeric(name=field, description=description, unit=category, example=1.5),
            Categorical(name=other, categories=(category, "b"), unknown="reject", example="b"),
            Boolean(name="a longer name", required=False, missing="impute", example=True),
        ),
        output=Classification(target=target, labels=(label, second, third), set_threshold=0.2),
    )
    pages = documents(package_of(contract, {"metrics": {}}, description=description, owner=field))
    for path, text in markdown_of(pages).items():
        for lines in tables(text):
            assert {cells(line) for line in lines} == {cells(lines[0])}, (path, lines)
    tokens = READER.parse(pages[GUIDE])
    heads = [token.tag for token in tokens if token.type == "heading_open"]
    assert heads == [token.tag for token in READER.parse(PLAIN[GUIDE]) if token.type == "heading_open"]
    visible = visible_text(tokens)
    assert json.dumps(field, ensure_ascii=False)[1:-1] in visible
    assert without_spaces(description) in without_spaces(visible)
    page = _Page(pages[PAGE])
    assert page.tags == _Page(PLAIN[PAGE]).tags
    assert without_spaces(description) in without_spaces(page.text)


def without_spaces(text: str) -> str:
    """The text without white space, which Markdown changes."""
    return "".join(text.split())


PLAIN = documents(
    package_of(
        Contract(
            features=(
                Numeric(name="f", description="d", unit="c", example=1.5),
                Categorical(name="o", categories=("a", "b"), unknown="reject", example="b"),
                Boolean(name="a longer name", required=False, missing="impute", example=True),
            ),
            output=Classification(target="t", labels=("x", "y", "z"), set_threshold=0.2),
        ),
        {"metrics": {}},
        description="d",
        owner="o",
    ),
)


def test_units_stand_where_a_figure_has_one() -> None:
    package = TASKS["regression"]
    assert isinstance(package.contract.output, Regression)
    card = documents(package)[CARD]
    assert "root of the mean squared error, in minutes; lower is better" in card
    assert "They are in minutes." in card
