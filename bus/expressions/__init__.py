"""The expression language of routes and mappings: JMESPath on exact numbers, compiled to closures, bounded."""

from bus.expressions.expression import Expression, check, compile_expression, explain
from bus.expressions.function_table import function_table

__all__ = ["Expression", "check", "compile_expression", "explain", "function_table"]
