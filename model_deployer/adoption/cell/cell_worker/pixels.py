"""The pixels of images as the input of a network."""

from typing import Any

import numpy as np


def scaled(pixels: Any, form: "dict[str, Any]", kind: str) -> Any:
    """Return images as a network takes them: [rows, channels, height, width], or [rows, height, width, channels].

    Args:
        pixels: uint8 [rows, height, width, channels], with red first.
        form: ``Pixels`` of the contract.
        kind: The element type of the input; whole numbers get the pixels as they are.
    """
    pixels = pixels[..., ::-1] if form.get("order") == "bgr" else pixels
    if kind not in ("uint8", "int32", "int64"):
        low, high = form.get("range") or (0.0, 1.0)
        pixels = pixels.astype(np.float64) / 255 * (high - low) + low
        pixels = (pixels - np.array(form.get("mean") or [0.0])) / np.array(form.get("std") or [1.0])
    if form.get("layout") == "channels_first":
        pixels = np.moveaxis(pixels, 3, 1)
    return np.ascontiguousarray(pixels, kind)
