"""The part of the integration guide about predictions without the service."""

from typing import NamedTuple

from model_deployer.contract.features import Feature, Image, NumberArray, NumberSequence
from model_deployer.contract.outputs import Classification, Regression, VectorOutput
from model_deployer.package.formats import Format, Graph
from model_deployer.package.package_data import PackageData
from model_deployer.writing.markdown import Markdown, code, join_list, table


def library_code(package: PackageData) -> str:
    """Return a program that predicts the example row with predictor.py."""
    fields = [f"    {name!r}: {value!r}," for name, value in package.contract.example().items()]
    return "\n".join(
        [
            "import sys",
            "",
            'sys.path.insert(0, "model")  # the folder of predictor.py',
            "import predictor",
            "",
            "model = predictor.load()",
            "row = {",
            *fields,
            "}",
            "print(model.predict([row]))",
        ]
    )


def pickled(package: PackageData) -> list[Format]:
    """Return the formats that are objects of predictor.py."""
    return [format_ for format_ in package.formats if format_.name in ("pickle", "joblib") and format_.files]


def files(format_: Format) -> Markdown:
    """Return the files of a format."""
    return join_list([code(file) for file in format_.files])


def onnx_file(package: PackageData) -> str:
    """Return the path of the ONNX file."""
    return f"model/model_v{package.manifest.version}.onnx"


def graph_inputs(package: PackageData) -> Markdown:
    """Return a table of the inputs of the graph."""
    rows = [[code(feature.name), _array_type(feature), feature.encoding()] for feature in package.contract.features]
    return table(["Input", "Type", "Value"], rows)


def _array_type(feature: Feature) -> str:
    if isinstance(feature, NumberSequence):
        sizes = "length"
    elif isinstance(feature, NumberArray):
        sizes = feature.shape_text
    elif isinstance(feature, Image):
        sizes = ", ".join(map(str, feature.shape))
    else:
        return feature.dtype
    return f"{feature.dtype} [rows, {sizes}]"


def graph_outputs(package: PackageData) -> Markdown:
    """Return the outputs of the graph in a sentence."""
    output = package.contract.output
    if isinstance(output, Classification):
        labels = join_list([code(label) for label in output.labels])
        return Markdown(f"The output `probabilities` is float32 [rows, {len(output.labels)}], with columns {labels}.")
    if isinstance(output, VectorOutput):
        columns = f", with columns {join_list(list(map(code, output.names)))}" if output.names else ""
        return Markdown(f"The output `values` is float32 [rows, {output.length}]{columns}.")
    if isinstance(output, Regression) and not output.interval:
        return Markdown("The output `value` is float32 [rows, 1].")
    return Markdown("The outputs `value`, `lower` and `upper` are float32 [rows, 1] each.")


class TensorTypes(NamedTuple):
    """How the inputs are made in a language.

    Attributes:
        library: The name of the library.
        inputs: The types, from its documentation.
        run_with: The versions that the tests of model-deployer predict with; empty if none do.
    """

    library: str
    inputs: str
    run_with: str = ""


#: By language.
TENSOR_TYPES = {
    "Python": TensorTypes(
        "onnxruntime", "arrays of numpy: float64, and object with str", "the version in requirements.txt"
    ),
    "Node": TensorTypes(
        "onnxruntime-node",
        'new Tensor(type, values, [rows, 1]) with the types "float64" and "string"',
        "onnxruntime-node 1.30 on Node.js 20",
    ),
    "Java": TensorTypes(
        "com.microsoft.onnxruntime", "OnnxTensor.createTensor(environment, array) of double[][] and String[][]"
    ),
    "C#": TensorTypes("Microsoft.ML.OnnxRuntime", "DenseTensor<double> and DenseTensor<string>"),
    "Go, C, C++": TensorTypes("onnxruntime_c_api.h", "CreateTensorWithDataAsOrtValue of double, and FillStringTensor"),
}


def tensor_types() -> Markdown:
    """Return a table of the inputs of ONNX Runtime by language."""
    rows = [
        [language, code(types.library), types.inputs, types.run_with or "not run"]
        for language, types in TENSOR_TYPES.items()
    ]
    return table(["Language", "Library", "Inputs", "Run by model-deployer's tests"], rows)


def operators(graph: Graph) -> Markdown:
    """Return the sets of operators of the graph, with their versions."""
    return join_list([Markdown(f"{code(name)} {version}") for name, version in graph.operators.items()])
