"""runner.json: how the source of a model is started that cannot become a graph.

The files of the source are in the folder ``source`` of the artifact. They are never read in the server's process: a
process of its own loads them in an environment with the packages of ``requirements``.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import field_validator

from model_deployer.contract.document import JsonDocument, JsonObject

#: The file, and the folder with the files of the source.
RUNNER, SOURCE = "runner.json", "source"

#: The kinds of files that are pickles, or hold one.
PICKLED = frozenset({"pickle", "joblib", "torch", "torch_state_dict", "lightning_checkpoint"})


class SourceStep(JsonObject):
    """One file of a source; the rows pass through the files in their order.

    Attributes:
        kind: How it is loaded, such as ``joblib``.
        path: Its path in the folder ``source``.
        key: The place of the object in a file that holds several, such as ``model``; None for the whole file.
        libraries: The libraries that its pickle imports.
    """

    kind: str
    path: str
    key: str | None = None
    libraries: tuple[str, ...] = ()


class SourceScript(JsonObject):
    """The classes and functions of a script that the files of a source need.

    Attributes:
        module: The module that the files name, such as ``__main__``.
        path: The path of the script, for the messages of Python.
        code: Its imports, classes, functions and constants, at the lines of the script.
    """

    module: str = "__main__"
    path: str
    code: str


#: What the numbers of a network mean. Of ``logits``, a softmax makes probabilities; of one, a logistic function.
Meaning = Literal["probabilities", "logits", "value"]


#: Where the channels of an image are: [rows, channels, height, width], or [rows, height, width, channels].
Layout = Literal["channels_first", "channels_last"]


class Pixels(JsonObject):
    """What becomes of the pixels of an image before a network: ``(range(pixel) - mean) / std`` for each channel.

    Attributes:
        range: The numbers that the pixels 0 and 255 become, before the mean is subtracted.
        mean: The mean of each channel, or one for all of them; empty for 0.
        std: The standard deviation of each channel, or one for all of them; empty for 1.
        order: The order of the colours that the network takes.
        layout: Where the channels are; None if the sizes of the input show it.
    """

    range: tuple[float, float] = (0.0, 1.0)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    order: Literal["rgb", "bgr"] = "rgb"
    layout: Layout | None = None

    @field_validator("range")
    @classmethod
    def _range_is_not_empty(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] >= value[1]:
            raise ValueError("expected the number for black and a larger one for white, such as [0, 1] or [-1, 1]")
        return value

    @field_validator("mean", "std")
    @classmethod
    def _one_for_each_channel(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(value) not in (0, 1, 3):
            raise ValueError("expected one number, or one for each of the three channels")
        return value

    @field_validator("std")
    @classmethod
    def _deviation_is_positive(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(number <= 0 for number in value):
            raise ValueError("expected numbers above 0")
        return value


class NetworkAnswer(JsonObject):
    """How the tensors of a network become an answer.

    Attributes:
        tensor: The name of the output that counts.
        position: The position of this output among all.
        meaning: What its numbers mean.
        is_single: Whether it is one number for each row; of probabilities, that of the second label.
        decision: The name of the output with the label that the network decides for; None if it has none.
        fields: The number of fields of each input, in the order of the inputs.
        labels: The labels of the network, in the order of its probabilities.
        names: What the contract calls these labels.
        images: For the fields that are images, what becomes of their pixels.
        sequences: The fields that are sequences. The network gets rows of one length at a time, without padding.
        tensors: The fields that are tensors. The network gets rows of one shape at a time, without padding.
        fills: For a network with sequences, what fills each input: ``values``; ``mask``, 1 for each number; ``zeros``.
        joined: The columns of an output that is joined from several, in their order, by its name.
    """

    tensor: str
    position: int = 0
    meaning: Meaning
    is_single: bool = False
    decision: str | None = None
    fields: tuple[int, ...]
    labels: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    images: Mapping[str, Pixels] = {}
    sequences: tuple[str, ...] = ()
    fills: tuple[Literal["values", "mask", "zeros"], ...] = ()
    tensors: tuple[str, ...] = ()
    joined: Mapping[str, tuple[str, ...]] = {}


class SourceRunner(JsonDocument):
    """The content of runner.json.

    Attributes:
        python: The version of Python, such as ``3.11``; None if any will do.
        requirements: The packages of the environment, with their exact versions.
        steps: The files to load.
        scripts: What becomes the module ``__main__``, as when a script stored the model.
        form: What the source gets: ``frame``: a DataFrame; ``array``: an array; ``texts``: a list of texts; None leaves
            it to the source.
        missing: How a missing text is passed to the source.
        categories: The categories of the columns that the source gets as categories of pandas.
        answer: The answer that counts: ``probabilities``, ``decision`` or ``value``.
        network: How the tensors of a network become an answer; None for other models.
        half_width: The distance of the ends of the interval from the value; None without an interval.
    """

    python: str | None = None
    requirements: tuple[str, ...]
    steps: tuple[SourceStep, ...]
    scripts: tuple[SourceScript, ...] = ()
    form: Literal["frame", "array", "texts"] | None = None
    missing: Literal["none", "nan"] = "none"
    categories: Mapping[str, tuple[str, ...]] = {}
    answer: Literal["probabilities", "decision", "value"]
    network: NetworkAnswer | None = None
    half_width: float | None = None

    @property
    def is_pickled(self) -> bool:
        """Whether one of its files is a pickle: a program that runs when it is loaded."""
        return any(step.kind in PICKLED for step in self.steps)

    @property
    def options(self) -> dict[str, Any]:
        """How rows are passed to the source, in the form that its process takes."""
        options = {"form": self.form, "missing": self.missing, "categories": dict(self.categories)}
        return options | ({"network": self.network.to_json()} if self.network else {})

    @property
    def environment(self) -> str:
        """Its environment in one line, such as ``python==3.11 numpy==2.4.6``."""
        return " ".join([f"python=={self.python}"] * bool(self.python) + [*self.requirements])
