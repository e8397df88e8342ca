"""What the documents say about captured traffic: its settings, what is kept of each field, and labels."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from model_deployer.contract.features import CapturePolicy, Feature
from model_deployer.contract.outputs import Classification, Regression, VectorOutput
from model_deployer.contract.traffic import column_of, hashed_fields
from model_deployer.handoff.documents.evaluation_text import MAX_LABELS
from model_deployer.handoff.documents.integration_guide import example
from model_deployer.package.package_data import PackageData
from model_deployer.package.readme_commands import LOCAL, SERVE
from model_deployer.serving.config.settings import PREFIX, Settings
from model_deployer.writing.markdown import Markdown, code, join_list, markdown, table

#: The variables that the commands of the guide take: the traffic store, and the file with the key of hashes.
STORE_VARIABLE, KEY_VARIABLE = "TRAFFIC", "CAPTURE_KEY"

#: The id of the request in the example.
EXAMPLE_REQUEST_ID = "example-1"

_STORE, _KEY = f"${{{STORE_VARIABLE}:-$HOME/traffic}}", f"${{{KEY_VARIABLE}:-$HOME/capture.key}}"


class Label(NamedTuple):
    """The example of a label: two requests, and what the second one sends.

    Attributes:
        prediction: The command that asks for a prediction, with an id.
        feedback: The command that sends the label of its row.
        value: The label.
    """

    prediction: str
    feedback: str
    value: str | float


def needs_key(package: PackageData) -> bool:
    """Return whether a field is captured as a keyed hash."""
    return bool(hashed_fields(package.contract))


def make_key() -> str:
    """Return the command that makes the key of hashes."""
    return f'umask 077 && openssl rand -hex 32 > "{_KEY}"'


def serve(package: PackageData) -> str:
    """Return the command that starts the service with capture of every row."""
    key = [f'{_variable("capture_key_file")}="{_KEY}"'] if needs_key(package) else []
    settings = [f'{_variable("capture")}="{_STORE}"', f"{_variable('capture_share')}=1", *key]
    return f"env {' '.join(settings)} \\\n  {SERVE}"


def settings(package: PackageData) -> Markdown:
    """Return a table of the settings of capture that have an effect for a model, with their defaults."""
    abouts = {name: about for name, about in _SETTINGS.items() if _has_effect(name, package)}
    rows = [(code(_variable(name)), _default(name), about) for name, about in abouts.items()]
    return table(["Variable", "Default", "What it sets"], rows)


def _has_effect(setting: str, package: PackageData) -> bool:
    output = package.contract.output
    return {
        "capture_margin": isinstance(output, Classification) and output.positive is not None,
        "capture_key_file": needs_key(package),
    }.get(setting, True)


def _default(setting: str) -> str:
    value = Settings.model_fields[setting].default
    return _NO_DEFAULT[setting] if value is None else f"{value:g}"


#: What holds without a setting, if that is not a number.
_NO_DEFAULT: Mapping[str, str] = {
    "capture": "nothing is captured",
    "capture_spool": "in the traffic store if that is a folder, else in the home folder",
    "capture_key_file": "the service does not start with a traffic store",
}

#: What each setting does, by its name in configuration.yaml.
_SETTINGS: Mapping[str, str] = {
    "capture": "the traffic store: a folder, or the URL of a prefix in an object store",
    "capture_share": "the share of the answered rows that are captured; refusals are all captured",
    "capture_margin": "rows whose probability is at most this far from the threshold of the decision are all captured",
    "capture_seconds": "how long captured rows stay in memory, in seconds: what a worker that is killed loses",
    "capture_days": "the days after which captured traffic is removed",
    "capture_spool": "a local folder for files that are not in the store yet; it holds at most 256 MB",
    "capture_key_file": "the file with the key of hashes",
}


def days() -> str:
    """Return how long captured traffic is kept, unless the operator decides otherwise."""
    return f"{Settings.model_fields['capture_days'].default} days, unless the operator sets another time"


def _variable(setting: str) -> str:
    return f"{PREFIX}{setting.upper()}"


def fields(package: PackageData) -> Markdown:
    """Return a table of what captured traffic has of each field, and why."""
    rows = [
        (code(feature.name), code(feature.capture_policy), code(_column(feature, package) or "none"),
         _KEPT[feature.capture_policy], _reason(feature))
        for feature in package.contract.features
    ]  # fmt: skip
    return table(["Field", "Policy", "Column", "What is kept", "Why"], rows)


def summary(package: PackageData) -> Markdown:
    """Return what captured traffic has of the fields, as sentences."""
    names: dict[CapturePolicy, list[Markdown]] = {}
    for feature in package.contract.features:
        names.setdefault(feature.capture_policy, []).append(code(feature.name))
    if names.keys() == {"keep"}:
        return Markdown("All fields are captured with their values.")
    return Markdown(" ".join(f"Of {_first(of_policy)}: {_KEPT[policy]}." for policy, of_policy in names.items()))


def _first(names: Sequence[Markdown]) -> Markdown:
    """Return the first names, and how many more there are."""
    rest = len(names) - MAX_LABELS
    return join_list([*names[:MAX_LABELS], Markdown(f"{rest} more")] if rest > 0 else names)


def columns(package: PackageData) -> list[str]:
    """Return the columns of captured traffic with fields."""
    of_fields = (_column(feature, package) for feature in package.contract.features)
    return [column for column in of_fields if column is not None]


def _column(feature: Feature, package: PackageData) -> str | None:
    return None if feature.capture_policy == "bin" and not _has_bins(feature, package) else column_of(feature)


def _has_bins(feature: Feature, package: PackageData) -> bool:
    return package.reference is not None and feature.name in package.reference.features


_KEPT: Mapping[CapturePolicy, str] = {
    "keep": "the value",
    "bin": "the name of its bin, which is enough to see that values change, and no value",
    "hash": "a keyed hash, which shows that two values of the same month are equal, and no value",
    "drop": "nothing",
}


def _reason(feature: Feature) -> str:
    if feature.capture is not None:
        return "the model's owner chose it"
    return f"the default{_DEFAULT_REASONS.get(feature.kind, '')}"


#: Why a kind of field is not captured with its values, unless the owner of the model decides otherwise.
_DEFAULT_REASONS: Mapping[str, str] = {
    "text": ": a text may contain names and other personal data",
    "vector": ": from an embedding, the text or image behind it can be guessed",
    "sequence": ": the numbers may be the tokens of a text",
    "tensor": ": the numbers may be a recording of a person",
    "image": ": an image may show a person",
}


def label(package: PackageData) -> Label | None:
    """Return the example of a label; None if the model predicts several numbers, or has no example."""
    output, sample = package.contract.output, example(package)
    if sample is None or isinstance(output, VectorOutput):
        return None
    if isinstance(output, Classification):
        value: str | float = output.positive or output.labels[0]
    else:
        value = float(f"{sample.answer['predictions'][0]['value']:.3g}")
    labels = {"labels": [{"request_id": EXAMPLE_REQUEST_ID, "row": 0, "label": value}]}
    return Label(
        prediction=_post("/predict", sample.request, f" -H 'X-Request-ID: {EXAMPLE_REQUEST_ID}'"),
        feedback=_post("/feedback", labels),
        value=value,
    )


def label_values(package: PackageData) -> Markdown:
    """Return what a label of this model may be, as a noun phrase."""
    output = package.contract.output
    if isinstance(output, Classification):
        if len(output.labels) > MAX_LABELS:
            return Markdown("one of the labels of the model, as `GET /model` lists them")
        return join_list([code(name) for name in output.labels], "or")
    unit = output.unit if isinstance(output, Regression) else None
    return Markdown(f"the true {code(output.target)}, a number{f' ({markdown(unit)})' if unit else ''}")


def _post(path: str, body: Any, headers: str = "") -> str:
    text = shlex.quote(json.dumps(body, ensure_ascii=False))
    return f"curl -s {LOCAL}{path} -H 'Content-Type: application/json'{headers} \\\n  -d {text}"
