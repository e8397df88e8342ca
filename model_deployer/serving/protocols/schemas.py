"""The schemas of a model's fields, rows and predictions in the OpenAPI document: components that refer to each other.

Generators of clients make one type of each component, and one more of each copy.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from model_deployer.contract.contract import Contract
from model_deployer.contract.features import Datetime, Feature, NumberArray
from model_deployer.serving.protocols.dataframes import MAX_MILLISECONDS, MIN_MILLISECONDS
from model_deployer.serving.rows.row_id import RowId, json_schema
from model_deployer.serving.rows.vectors import has_vectors

Schema = Mapping[str, Any]

TEXT: Schema = {"type": "string"}

#: The contents of table formats, which OpenAPI cannot describe; their columns are those of JSON.
BINARY: Schema = {"type": "string", "format": "binary"}

#: A time as pandas writes it: the milliseconds since 1970 of the years 1 to 9999.
_MILLISECONDS: Schema = {
    "type": "number",
    "minimum": MIN_MILLISECONDS,
    "maximum": MAX_MILLISECONDS,
    "description": "Milliseconds since 1970, as pandas writes times.",
}


def reference(name: str) -> Schema:
    """Return a reference to a component."""
    return {"$ref": f"#/components/schemas/{name}"}


#: A row: an object by field.
ROW = reference("Row")

#: A list of rows: objects, or lists of values in the order of the fields.
ROW_LIST = reference("RowList")

#: A list of values for each field.
FIELD_COLUMNS = reference("FieldColumns")

#: A prediction, and a list with one for each row.
PREDICTION = reference("Prediction")
PREDICTIONS: Schema = {"type": "array", "items": PREDICTION}


def field_names(contract: Contract) -> dict[str, str]:
    """Return the name of the component of each field: of its letters and digits, as components allow no others."""
    names: dict[str, str] = {}
    for index, feature in enumerate(contract.features):
        words = re.findall(r"[A-Za-z0-9]+", feature.name)
        name = "Field" + "".join(word[0].upper() + word[1:] for word in words)
        is_taken = name.lower() in {"field", "fieldcolumns", *map(str.lower, names.values())}
        names[feature.name] = f"{name}{index}" if is_taken else name
    return names


def fields(contract: Contract) -> dict[str, Schema]:
    """Return a reference to the component of each field."""
    return {field: reference(name) for field, name in field_names(contract).items()}


def nameless(items: Sequence[Schema], item: Schema) -> dict[str, Any]:
    """Return the schema of a list with one value for each of these schemas, in their order.

    Args:
        items: The schemas of the values.
        item: A schema that all values have: generators need one, although it describes no further value.
    """
    size = len(items)
    return {"type": "array", "prefixItems": list(items), "items": item, "minItems": size, "maxItems": size}


def frame_components(contract: Contract) -> dict[str, Any]:
    """Return the components of the rows of DataFrames, in which times may be milliseconds."""
    references = fields(contract)
    for feature in contract.features:
        if isinstance(feature, Datetime):
            references[feature.name] = {"anyOf": [references[feature.name], _MILLISECONDS]}
    row = contract.row_schema() | {"properties": references}
    rows = {"anyOf": [reference("FrameRow"), reference("FrameValues"), *_only_list(contract)]}
    return {
        "FrameRow": row,
        "FrameValues": _values(contract, references),
        "FrameRowList": _row_list(
            contract, {"type": "array", "minItems": 1, "maxItems": contract.limits.rows, "items": rows}
        ),
    }


def add_row_id(components: dict[str, Any], row_id: RowId) -> None:
    """Add a caller's id of a row to the components of rows, columns and predictions, in place."""
    components["RowId"] = json_schema()
    value = reference("RowId")
    column = {"type": "array", "items": value}
    objects = [(components[name], value) for name in ("Row", "FrameRow", "Prediction") if name in components]
    objects += [
        (components["TensorRow"], column | {"minItems": 1, "maxItems": 1}),
        (components["FieldColumns"], column),
        (components["TableAnswer"]["properties"]["columns"], column),
    ]
    for schema, addition in objects:
        schema["properties"] = schema["properties"] | {row_id.name: addition}


def _values(contract: Contract, references: Mapping[str, Schema]) -> dict[str, Any]:
    types = ["number", "string", "boolean", "null", *(["array"] * has_vectors(contract.features))]
    values = nameless(list(references.values()), {"type": types})
    return values | {"description": f"The values in this order: {', '.join(references)}."}


def _row_of_tensor(feature: Feature, schema: Schema) -> Schema:
    if isinstance(feature, NumberArray):
        return schema
    return {"type": "array", "items": schema, "minItems": 1, "maxItems": 1}


def components(contract: Contract) -> dict[str, Any]:
    """Return the components: one for each field, rows in all forms, and predictions."""
    names, references = field_names(contract), fields(contract)
    limits = {"minItems": 1, "maxItems": contract.limits.rows}
    columns = {field: {"type": "array", "items": schema} | limits for field, schema in references.items()}
    row = contract.row_schema()
    listed = [ROW, reference("Values"), reference("TensorRow")]
    if len(references) == 1:
        listed += references.values()
    return {
        **{names[feature.name]: feature.json_schema() for feature in contract.features},
        "Row": row | {"properties": references},
        "Values": _values(contract, references),
        "TensorRow": row
        | {
            "description": "A row in which each value is a list of one value, a vector or a tensor.",
            "properties": {
                feature.name: _row_of_tensor(feature, references[feature.name]) for feature in contract.features
            },
            "examples": [
                {name: value if isinstance(value, list) else [value] for name, value in contract.example().items()}
            ],
        },
        "RowList": _row_list(contract, {"type": "array", "items": {"anyOf": listed}} | limits),
        "FieldColumns": {
            "type": "object",
            "description": "Lists of the same length, with one value per row.",
            "required": row["required"],
            "additionalProperties": False,
            "properties": columns,
        },
        "Prediction": contract.output.json_schema(),
    }


def _row_list(contract: Contract, rows: Schema) -> Schema:
    """Return the schema of rows; a list of numbers, or a tensor, is one row of a model that has no other field."""
    values = _only_list(contract)
    return {"anyOf": [rows, *values]} if values else rows


def _only_list(contract: Contract) -> list[Schema]:
    """Return the schema of the value of the only field, if it is a list of numbers or a tensor; else none."""
    (feature, *others) = contract.features
    return [feature.value_schema()] if isinstance(feature, NumberArray) and not others else []
