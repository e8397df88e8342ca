"""The ONNX Runtime engine: columns in, output tensors out. It knows arrays, never HTTP."""

from pathlib import Path
from typing import Any

import onnxruntime
from numpy.typing import NDArray

from contract.outputs import Output
from serving.columns import Columns


class Engine:
    """One session on the CPU, safe to call from any thread."""

    def __init__(self, model: Path, output: Output, threads: int = 1) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # A spinning pool burns the core that the event loop needs between two batches.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
        self._tensors = list(output.tensors)

    def run(self, columns: Columns) -> dict[str, NDArray[Any]]:
        """The output tensors, one row for each row of ``columns``."""
        return dict(zip(self._tensors, self._session.run(self._tensors, dict(columns)), strict=True))
