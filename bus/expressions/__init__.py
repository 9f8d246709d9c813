"""The expression language of routes and mappings: JMESPath on exact numbers, compiled to closures, bounded."""

from bus.expressions.expression import Expression, check, compile_expression, explain
from bus.expressions.function_table import function_table
from bus.expressions.named import NamedFunction, named_functions
from bus.expressions.simple import Simple, path_text, simple

__all__ = [
    "Expression",
    "NamedFunction",
    "Simple",
    "check",
    "compile_expression",
    "explain",
    "function_table",
    "named_functions",
    "path_text",
    "simple",
]
