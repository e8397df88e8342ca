"""model/: the model in every format that is possible; a format is in the package only if its replay succeeds."""

import importlib.util
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any

from model_deployer.contract.artifact import Artifact
from model_deployer.contract.outputs import Arrays
from model_deployer.handoff.formats.graph_split import split_graph
from model_deployer.handoff.formats.holdout import HoldoutRows
from model_deployer.handoff.formats.library import TEMPLATES, import_file, write_library
from model_deployer.handoff.formats.parity import PredictArrays, agreement, expected_arrays, predict_in_chunks
from model_deployer.package.formats import TOLERANCE, Agreement, Format

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
        self._library = write_library(self._models)

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
            lambda: self._predictor(self._models / f"{self._stem}.onnx").run,
        )
        if self._graphs:
            yield Draft(
                "pickle",
                "The preprocessor, which has transform, and the model, which has predict: objects of predictor.py.",
                self._write_pickles,
                self._load_pickles,
            )
        yield Draft(
            "joblib",
            "The model, which has predict: an object of predictor.py, compressed by joblib.",
            self._write_joblib,
            lambda: self._library.load_joblib(f"{self._stem}.joblib").run,
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
        columns = self._predictor(self._artifact.model).transform([case.row for case in golden])
        return self._agreement(expected_arrays(output, [case.prediction for case in golden]), predict(columns))

    def _agreement(self, expected: Arrays, actual: Arrays) -> Agreement:
        scale = self._artifact.manifest.tolerance / TOLERANCE
        return agreement(self._artifact.contract.output, expected, actual, scale)

    def _write_onnx(self) -> list[str]:
        shutil.copyfile(self._artifact.model, self._models / f"{self._stem}.onnx")
        return [f"{self._stem}.onnx"]

    def _write_pickles(self) -> list[str]:
        assert self._graphs
        before, behind = self._graphs
        module, names = self._library.module, ["preprocessor.pkl", f"{self._stem}.pkl"]
        self._library.write_pickle(module.Preprocessor(self._contract, before), names[0])
        self._library.write_pickle(module.Predictor(self._contract, behind, before), names[1])
        return names

    def _load_pickles(self) -> PredictArrays:
        preprocessor, model = (self._library.load_pickle(name) for name in ("preprocessor.pkl", f"{self._stem}.pkl"))
        return lambda columns: model.run(preprocessor.run(columns))

    def _write_joblib(self) -> list[str]:
        self._library.write_joblib(self._predictor(self._artifact.model), f"{self._stem}.joblib")
        return [f"{self._stem}.joblib"]

    def _predictor(self, graph: Path) -> Any:
        return self._library.module.Predictor(self._contract, graph.read_bytes())

    @cached_property
    def _contract(self) -> str:
        return self._artifact.contract.model_dump_json()

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
        module = import_file(self._models / "torch_model.py")
        preprocessor = self._library.load_pickle("preprocessor.pkl")
        program: Callable[[Mapping[str, Any]], Arrays] = module.TorchModel()
        return lambda columns: program(preprocessor.run(columns))


def _has_torch() -> bool:
    return importlib.util.find_spec("torch") is not None
