"""The base of everything configured, whose fields are described by the docstrings that stand under them.

They are read from the source when somebody asks: most commands load a hundred specs and ask of none.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic_core import CoreSchema

M = TypeVar("M", bound=BaseModel)


class Spec(BaseModel):
    """Base of everything configured: frozen, no unknown keys. What a field means is the docstring under it."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        """The schema of the library, with what the fields mean."""
        schema = handler(core_schema)
        written = handler.resolve_ref_schema(schema).get("properties", {})
        for name, info in described(cls).model_fields.items():
            key = info.alias or name
            if key in written and info.description:
                written[key].setdefault("description", info.description)
        return schema


def described(model: type[M]) -> type[M]:
    """The spec, with the ``description`` of every field."""
    for name, info in model.model_fields.items():
        if info.description is None:
            owner = next(one for one in model.__mro__ if name in vars(one).get("__annotations__", {}))
            info.description = docstrings(owner.__module__).get(owner.__qualname__, {}).get(name)
    return model


@cache
def docstrings(module: str) -> dict[str, dict[str, str]]:
    """Class (its ``__qualname__``) -> field -> the text under it, of all classes of a module; its source is read once.

    Nothing of a module without source.
    """
    found: dict[str, dict[str, str]] = {}
    try:
        source = inspect.getsource(sys.modules[module])
    except (OSError, TypeError, KeyError):
        return found
    _read(ast.parse(source), "", found)
    return found


def _read(node: ast.AST, prefix: str, into: dict[str, dict[str, str]]) -> None:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            into[prefix + child.name] = dict(_of_class(child))
            _read(child, f"{prefix}{child.name}.", into)
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            _read(child, f"{prefix}{child.name}.<locals>.", into)
        else:
            _read(child, prefix, into)


def _of_class(node: ast.ClassDef) -> list[tuple[str, str]]:
    return [
        (field.target.id, inspect.cleandoc(text.value.value))
        for field, text in zip(node.body, node.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    ]
