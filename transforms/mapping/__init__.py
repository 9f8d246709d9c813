"""Mappings and value tables as text: target field from expression, compiled once to closures over plain data."""

from transforms.mapping.checks import MappingProblem, problems, required_fields
from transforms.mapping.compiler import compile_mapping, compile_named
from transforms.mapping.reuse import every_field, flattened, references, resolved, used
from transforms.mapping.reversal import Lost, reversed_mapping
from transforms.mapping.specs import FieldSpec, MappingSpec
from transforms.mapping.tables import RowSpec, TableSpec, ValueTable

__all__ = [
    "FieldSpec",
    "Lost",
    "MappingProblem",
    "MappingSpec",
    "RowSpec",
    "TableSpec",
    "ValueTable",
    "compile_mapping",
    "compile_named",
    "every_field",
    "flattened",
    "problems",
    "references",
    "required_fields",
    "resolved",
    "reversed_mapping",
    "used",
]
