"""Load networks of torch, and export them to ONNX."""

import inspect
import os
import sys
from importlib import import_module
from itertools import repeat
from pathlib import Path
from typing import Any

from . import models

#: The operators of the exported graph.
_OPSET = 18

#: Where checkpoints keep the weights of the network.
_WEIGHT_KEYS = ("state_dict", "model_state_dict", "model", "net", "weights")

#: The numbers of rows that the exporter sees; it takes 0 and 1 as fixed sizes.
_ROWS = 3

#: The length of the sequences that the exporter sees.
_LENGTH = 7

#: The sizes of the free axes of tensors that it sees, if the smallest ones are not larger.
_FREE_SIZES = (7, 11, 13, 17, 19, 23, 29, 31)


class NoNetwork(Exception):
    """The network cannot be built from what was handed over."""


def load(path: Path, step: "dict[str, Any]") -> Any:
    """Return a network of torch as a model of :mod:`cell_worker.models`."""
    torch = import_module("torch")
    module = _module(path, step)
    inputs = _inputs(module, step)
    device = "cuda" if torch.cuda.is_available() else "cpu"  # the process sees no GPU that it may not use
    module = module.to(device) if device != "cpu" else module

    def call(feeds: "dict[str, Any]") -> "dict[str, Any]":
        tensors = [torch.from_numpy(array).to(device) for array in feeds.values()]
        with torch.no_grad():
            if getattr(module, "fixed_rows", None) != 1:
                result = module(*tensors)
            else:
                parts = [module(*(tensor[row : row + 1] for tensor in tensors)) for row in range(len(tensors[0]))]
                result = _joined(parts, torch)
        if isinstance(result, dict):
            return {name: value.cpu().numpy() for name, value in result.items()}
        values = result if isinstance(result, (tuple, list)) else [result]
        return {str(index): value.cpu().numpy() for index, value in enumerate(values)}

    kinds = {name: kind for name, (kind, _) in inputs.items()}
    return models.Tensors(_name(module), call, kinds, {name: sizes for name, (_, sizes) in inputs.items() if sizes})


def _joined(parts: "list[Any]", torch: Any) -> Any:
    """Return the results for single rows as that for all rows."""
    if isinstance(parts[0], (tuple, list)):
        return [torch.cat(list(tensors)) for tensors in zip(*parts)]
    return torch.cat(parts)


def export(path: Path, step: "dict[str, Any]", folder: Path) -> bytes:
    """Return a network as a graph in ONNX with any number of rows.

    Args:
        path: The file.
        step: ``kind``; ``sequence`` if the second dimension of its inputs is free; for a network that does not show it,
            ``width``, the number of columns, ``image``, the height, width and channels, with the ``layout`` that the
            network takes, or ``shapes``, the smallest and the largest size of each axis of each input.
        folder: A folder for files in between.
    """
    torch = import_module("torch")
    os.environ.update(USER="cell", TORCHINDUCTOR_CACHE_DIR=str(folder))  # the user may have no name here
    module = _module(path, step)
    inputs = _inputs(module, step)
    if not all(sizes and (all(sizes) or _is_free(step)) for _, sizes in inputs.values()):
        raise NoNetwork("the sizes of its input are not known: list its columns, or export it with 'torch.export.save'")
    example = tuple(
        torch.zeros([_ROWS, *lengths], dtype=getattr(torch, kind))
        for (kind, _), lengths in zip(inputs.values(), _lengths(inputs, step))
    )
    names = list(inputs)
    if isinstance(module, torch.jit.ScriptModule):
        target, rows = folder / "model.onnx", {name: _free(sizes, str) for name, (_, sizes) in inputs.items()}
        settings = {"opset_version": _OPSET - 1, "input_names": names, "dynamic_axes": rows, "dynamo": False}
        torch.onnx.export(module, example, str(target), **settings)
        return target.read_bytes()
    dimensions = {name: torch.export.Dim(name) for name in ("rows", "length")}
    if step.get("shapes") and hasattr(torch.export.Dim, "DYNAMIC"):  # which sizes are equal, the exporter finds
        dimensions["length"] = torch.export.Dim.DYNAMIC
    shapes = tuple(_free(sizes, dimensions.__getitem__) for _, sizes in inputs.values())
    settings = {"opset_version": _OPSET, "input_names": names, "dynamic_shapes": shapes, "dynamo": True}
    try:
        program = torch.onnx.export(module, example, **settings)
    except Exception as error:  # the exporter wraps whatever goes wrong in several layers
        cause = error.__cause__ or error
        raise NoNetwork(f"{type(cause).__name__}: {(str(cause).strip().splitlines() or [''])[0]}") from error
    return bytes(program.model_proto.SerializeToString())


def _is_free(step: "dict[str, Any]") -> bool:
    return bool(step.get("sequence") or step.get("shapes"))


def _lengths(inputs: "dict[str, tuple[str, list[int]]]", step: "dict[str, Any]") -> "list[list[int]]":
    """Return the sizes of the example that the exporter sees; free axes differ, as it takes equal ones for one."""
    shapes = step.get("shapes") or [[[1, _LENGTH]] * len(sizes) for _, sizes in inputs.values()]
    lengths, free = [], iter(_FREE_SIZES) if step.get("shapes") else repeat(_LENGTH)
    for (_, sizes), bounds in zip(inputs.values(), shapes):
        lengths.append([size or min(max(low, next(free)), max(high, 2)) for size, (low, high) in zip(sizes, bounds)])
    return lengths


def _free(sizes: "list[int]", dimension: Any) -> "dict[int, Any]":
    """Return the dimensions of an input that are free: the rows, and the length of sequences."""
    free = {place: dimension("length") for place, size in enumerate(sizes, 1) if not size}
    return {0: dimension("rows"), **free}


def _module(path: Path, step: "dict[str, Any]") -> Any:
    torch = import_module("torch")
    if step["kind"] == "torchscript":
        return torch.jit.load(str(path), map_location="cpu").eval()
    if step["kind"] == "torch_export":
        return _of_program(torch.export.load(str(path)))
    value = torch.load(str(path), map_location="cpu", weights_only=False)
    if step["kind"] in ("torch_state_dict", "lightning_checkpoint"):
        return _built(value, torch).eval()
    for name in str(step["key"]).split(".") if step.get("key") else ():
        value = value[name] if isinstance(value, dict) else getattr(value, name)
    return value.eval()


def _of_program(program: Any) -> Any:
    """Return the network of an exported program; ``fixed_rows`` is 1 if the program takes one row at a time."""
    try:
        module = program.module(check_guards=False)
    except TypeError:  # before torch 2.9
        module = program.module()
    values = {node.name: node.meta.get("val") for node in program.graph.nodes if node.op == "placeholder"}
    inputs = [values[name] for name in program.graph_signature.user_inputs]
    module.inputs = [
        (_kind(value), [size if isinstance(size, int) else 0 for size in value.shape[1:]]) for value in inputs
    ]
    module.names = list(program.graph_signature.user_inputs)
    module.fixed_rows = next((int(value.shape[0]) for value in inputs if isinstance(value.shape[0], int)), None)
    return module


def _built(checkpoint: "dict[str, Any]", torch: Any) -> Any:
    """Return the network whose class fits the weights; the classes are those of the scripts that were handed over."""
    weights = next((checkpoint[key] for key in _WEIGHT_KEYS if isinstance(checkpoint.get(key), dict)), checkpoint)
    weights = {name[len("module.") :] if name.startswith("module.") else name: w for name, w in weights.items()}
    reasons, cause = [], None
    settings = dict(checkpoint.get("hyper_parameters") or {})
    for name, value in list(vars(sys.modules["__main__"]).items()):
        if not (inspect.isclass(value) and issubclass(value, torch.nn.Module) and value.__module__ == "__main__"):
            continue
        try:
            network: Any = value(**_accepted(value, settings))
            network.load_state_dict(weights)
            return network
        except Exception as error:  # the code of a team may raise anything
            is_other = isinstance(error, (TypeError, RuntimeError))  # another class, whose settings or weights differ
            kind, cause = ("", cause) if is_other else (f"{type(error).__name__}: ", cause or error)
            reasons.append(f"'{name}': {kind}{(str(error).splitlines() or [''])[0]}")
    detail = f" ({'; '.join(reasons[:3])})" if reasons else ""
    raise NoNetwork(
        f"no class of the scripts can be built with these weights{detail}: hand over the network, exported with "
        f"'torch.export.save'"
    ) from cause


def _accepted(kind: Any, settings: "dict[str, Any]") -> "dict[str, Any]":
    """Return the settings that the constructor of a class takes."""
    names = inspect.signature(kind).parameters
    takes_all = any(parameter.kind == parameter.VAR_KEYWORD for parameter in names.values())
    return settings if takes_all else {name: value for name, value in settings.items() if name in names}


def _inputs(module: Any, step: "dict[str, Any]") -> "dict[str, tuple[str, list[int]]]":
    """Return the element type and the sizes of each input, as the exporter's example or the first layer shows them."""
    stated = getattr(module, "inputs", None)
    if stated:
        names = [f"input_{index}" for index in range(len(stated))] if len(stated) > 1 else ["input"]
        if any(0 in sizes for _, sizes in stated):
            names = module.names
        return dict(zip(names, stated))
    kind, width, channels = _first_layer(module)
    if kind == "int64" and not width:
        return {name: (kind, [0]) for name in _argument_names(module)}
    if step.get("shapes"):
        names = _argument_names(module)
        shapes = [[low if low == high else 0 for low, high in shape] for shape in step["shapes"]]
        if len(names) >= len(shapes):
            return {name: (kind, shape) for name, shape in zip(names, shapes)}
    if step.get("image"):
        height, width, stated = step["image"]
        sizes = [stated or channels, height, width]
        return {"input": (kind, sizes if step.get("layout") != "channels_last" else [*sizes[1:], sizes[0]])}
    width = step.get("width") or width
    return {"input": (kind, [width] if width else [])}


def _argument_names(module: Any) -> "list[str]":
    """Return the names of the tensors that a network takes."""
    if hasattr(module, "forward") and hasattr(module.forward, "schema"):  # TorchScript
        return [argument.name for argument in module.forward.schema.arguments][1:]
    return list(inspect.signature(module.forward).parameters)


def _first_layer(module: Any) -> "tuple[str, int, int]":
    """Return what the first layer with weights takes: the element type, and how many columns and channels.

    The numbers are 0 if they are not known.
    """
    for layer in module.modules():
        weight = dict(layer.named_parameters(recurse=False)).get("weight")
        if weight is None:
            continue
        name = getattr(layer, "original_name", type(layer).__name__)
        if name.startswith("Embedding"):
            return "int64", 0, 0
        width = weight.shape[-1] if name == "Linear" else len(weight) if name in ("LayerNorm", "BatchNorm1d") else 0
        channels = weight.shape[1] * getattr(layer, "groups", 1) if name == "Conv2d" else 0
        return _kind(weight), int(width), int(channels)
    return "float32", 0, 0


def _kind(tensor: Any) -> str:
    return str(tensor.dtype)[len("torch.") :]


def _name(module: Any) -> str:
    return str(getattr(module, "original_name", type(module).__name__))
