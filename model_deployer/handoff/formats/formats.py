"""model/: the model in every format that is possible; a format is in the package only if its replay succeeds."""

import importlib.util
import pickle
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import onnxruntime

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.contract import Contract
from model_deployer.contract.outputs import Arrays
from model_deployer.handoff.formats.graph_split import split_graph
from model_deployer.handoff.formats.holdout import HoldoutRows
from model_deployer.handoff.formats.onnx_pickle import write_joblib, write_pickle
from model_deployer.handoff.formats.parity import PredictArrays, agreement, expected_arrays, predict_in_chunks
from model_deployer.package.formats import TOLERANCE, Agreement, Format
from model_deployer.serving.rows.columns import ColumnBuilder, Columns
from model_deployer.serving.rows.validation import Validator

TEMPLATES = Path(__file__).parent / "templates"

#: The reasons for which a format is not possible.
_NO_TORCH = "torch is not installed on the machine that wrote this package"
_NOT_SPLIT = "the graph does not consist of a preprocessor followed by a model"
_NO_TENSORFLOW = (
    "this model was not made with TensorFlow, and trees, strings and ONNX cannot be converted exactly to a SavedModel"
)


@dataclass(frozen=True)
class Draft:
    """A format before its replay.

    Attributes:
        name: The name of the format.
        about: What the format is for, in a sentence.
        write: Writes the files and returns their names.
        load: Loads the files and returns a function that predicts with them.
    """

    name: str
    about: str
    write: Callable[[], list[str]]
    load: Callable[[], PredictArrays]


class Formats:
    """Writes and replays the formats of one model.

    Args:
        artifact: The model.
        folder: The folder of the package.
        test: The test rows; None if the table is not available.
    """

    def __init__(self, artifact: Artifact, folder: Path, test: HoldoutRows | None) -> None:
        self._artifact, self._models, self._test = artifact, folder / "model", test
        self._stem = f"model_v{artifact.manifest.version}"
        self._graphs = split_graph(artifact)
        self._models.mkdir(parents=True, exist_ok=True)

    def write(self) -> list[Format]:
        """Write every possible format whose replay succeeds, and return all formats with their results."""
        return [*self._write_possible(), *self._impossible()]

    def _write_possible(self) -> Iterator[Format]:
        for draft in self._drafts():
            names = draft.write()
            format_ = self._replay(draft, [f"model/{name}" for name in names])
            if format_.withheld:
                for name in names:
                    (self._models / name).unlink()
            yield format_

    def _drafts(self) -> Iterator[Draft]:
        yield Draft(
            "ONNX",
            "Raw fields in, predictions out, in any language that has ONNX Runtime.",
            self._write_onnx,
            lambda: _session_predict(onnxruntime.InferenceSession(self._models / f"{self._stem}.onnx")),
        )
        if self._graphs:
            yield Draft(
                "pickle",
                "The preprocessor and the model behind it, as two sessions of ONNX Runtime; they contain no code.",
                self._write_pickles,
                self._load_pickles,
            )
        yield Draft(
            "joblib",
            "The complete graph as one session of ONNX Runtime, compressed by joblib; it contains no code.",
            self._write_joblib,
            lambda: _session_predict(joblib.load(self._models / f"{self._stem}.joblib")),
        )
        if self._reason_without_torch is None:
            yield Draft(
                "safetensors and torch program",
                "The weights of the torch module and the program that uses them, for a GPU or further training.",
                self._write_torch,
                self._load_torch,
            )

    def _impossible(self) -> Iterator[Format]:
        if not self._graphs:
            yield self._withheld("pickle", _NOT_SPLIT)
        if self._reason_without_torch is not None:
            yield self._withheld("safetensors and torch program", self._reason_without_torch)
        yield self._withheld("SavedModel", _NO_TENSORFLOW)

    def _withheld(self, name: str, reason: str) -> Format:
        return Format(name=name, files=(), about="", tolerance=TOLERANCE, withheld=reason)

    def _replay(self, draft: Draft, files: list[str]) -> Format:
        predict, test = draft.load(), self._test
        format_ = Format(name=draft.name, files=tuple(files), about=draft.about, tolerance=TOLERANCE)
        on_test = self._agreement(test.expected, predict_in_chunks(predict, test.columns)) if test else None
        return format_.with_replays(self._on_golden(predict), on_test)

    def _on_golden(self, predict: PredictArrays) -> Agreement:
        golden, output = list(self._artifact.golden()), self._artifact.contract.output
        columns = _columns(self._artifact.contract, [case.row for case in golden])
        return self._agreement(expected_arrays(output, [case.prediction for case in golden]), predict(columns))

    def _agreement(self, expected: Arrays, actual: Arrays) -> Agreement:
        scale = self._artifact.manifest.tolerance / TOLERANCE
        return agreement(self._artifact.contract.output, expected, actual, scale)

    def _write_onnx(self) -> list[str]:
        shutil.copyfile(self._artifact.model, self._models / f"{self._stem}.onnx")
        return [f"{self._stem}.onnx"]

    def _write_pickles(self) -> list[str]:
        assert self._graphs
        names = ["preprocessor.pkl", f"{self._stem}.pkl"]
        for graph, name in zip(self._graphs, names, strict=True):
            write_pickle(graph, self._models / name)
        return names

    def _load_pickles(self) -> PredictArrays:
        preprocess, predict = (
            _session_predict(pickle.loads((self._models / name).read_bytes()))
            for name in ("preprocessor.pkl", f"{self._stem}.pkl")
        )
        return lambda columns: predict(preprocess(columns))

    def _write_joblib(self) -> list[str]:
        write_joblib(self._artifact.model.read_bytes(), self._models / f"{self._stem}.joblib")
        return [f"{self._stem}.joblib"]

    @cached_property
    def _reason_without_torch(self) -> str | None:
        if not _has_torch():
            return _NO_TORCH
        from model_deployer.handoff.formats.torch_program import reason_without_program  # noqa: PLC0415 (torch takes seconds to load)

        return reason_without_program(self._artifact) or (None if self._graphs else _NOT_SPLIT)

    def _write_torch(self) -> list[str]:
        from model_deployer.handoff.formats.torch_program import write_program  # noqa: PLC0415

        files = write_program(self._artifact, self._models, self._stem)
        shutil.copyfile(TEMPLATES / "torch_model.py", self._models / "torch_model.py")
        pins = "".join(f"{name}=={version(name).partition('+')[0]}\n" for name in ("torch", "safetensors"))
        (self._models / "requirements-torch.txt").write_text(pins, encoding="utf-8")
        return [*files, "torch_model.py", "requirements-torch.txt"]

    def _load_torch(self) -> PredictArrays:
        """Load the torch program with the package's own code and its own preprocessor."""
        module = _import_file(self._models / "torch_model.py")
        preprocess = _session_predict(pickle.loads((self._models / "preprocessor.pkl").read_bytes()))
        program: Callable[[Mapping[str, Any]], Arrays] = module.TorchModel()
        return lambda columns: program(preprocess(columns))


def _columns(contract: Contract, rows: list[dict[str, Any]]) -> Columns:
    """Convert rows of a request to the input arrays of the graph, each of shape [rows, 1]."""
    return ColumnBuilder(contract.features)(Validator(contract).check(rows))


def _session_predict(session: Any) -> PredictArrays:
    names = [output.name for output in session.get_outputs()]
    return lambda columns: dict(zip(names, session.run(names, dict(columns)), strict=True))


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None


def _import_file(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
