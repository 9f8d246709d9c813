"""Mappings and value tables as text: target field from expression, compiled once to closures over plain data."""

from transforms.mapping.checks import MappingProblem, problems, required_fields
from transforms.mapping.compiler import compile_mapping
from transforms.mapping.specs import FieldSpec, MappingSpec
from transforms.mapping.tables import RowSpec, TableSpec, ValueTable

__all__ = [
    "FieldSpec",
    "MappingProblem",
    "MappingSpec",
    "RowSpec",
    "TableSpec",
    "ValueTable",
    "compile_mapping",
    "problems",
    "required_fields",
]
