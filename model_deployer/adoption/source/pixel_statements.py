"""What the files around a network say of the pixels that it takes."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from model_deployer.adoption.source.statement import Statement

#: The factor of Hugging Face and torchvision from a pixel to a number, if a file does not state it.
_FACTOR = 1 / 255

#: Layers of Keras that leave the range of pixels as it is, or that only training uses.
_NEUTRAL = ("InputLayer", "Resizing", "CenterCrop", "Random")


def of_processor(value: Mapping[str, Any], place: str) -> Iterator[Statement]:
    """Yield what preprocessor_config.json of Hugging Face, or ``pretrained_cfg`` of timm, says.

    Args:
        value: The object in the file.
        place: The file.
    """
    of_timm = value.get("pretrained_cfg")
    if isinstance(of_timm, Mapping) and _are_numbers(of_timm.get("mean")) and _are_numbers(of_timm.get("std")):
        pixels = {"range": [0.0, 1.0], "mean": list(of_timm["mean"]), "std": list(of_timm["std"])}
        yield Statement("pixels", pixels, "app", f"{place}, 'pretrained_cfg'")
    elif "image_mean" in value or "rescale_factor" in value:
        factor = value.get("rescale_factor", _FACTOR) if value.get("do_rescale", True) else 1.0
        pixels = {"range": [0.0, round(255 * float(factor), 6)]}
        if value.get("do_normalize", True):
            pixels |= {key: _numbers(value.get(f"image_{key}")) for key in ("mean", "std")}
        yield Statement("pixels", pixels, "app", place)


def of_keras(layers: Sequence[Mapping[str, Any]], place: str) -> Iterator[Statement]:
    """Yield that a network of Keras scales the pixels itself, if its first layer does so.

    Args:
        layers: The layers in its configuration.
        place: The file.
    """
    first = next((layer for layer in layers if not str(layer.get("class_name")).startswith(_NEUTRAL)), {})
    if first.get("class_name") == "Rescaling":
        name = first.get("config", {}).get("name", "rescaling")
        yield Statement("pixels", {"range": [0.0, 255.0]}, "bytes", f"{place}, layer '{name}'")


def _numbers(value: Any) -> list[float]:
    return [float(number) for number in value] if _are_numbers(value) else []


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(number, int | float) for number in value)
