"""From text to tree: JMESPath as the ``jmespath`` library parses it, plus bare numbers, bounds and columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache
from json import loads
from typing import Any, NoReturn

from jmespath.exceptions import EmptyExpressionError, LexerError, ParseError
from jmespath.lexer import Lexer
from jmespath.parser import Parser

from bus.errors import ConfigError

MOST_TEXT = 4096
"""Longest expression, in bytes of UTF-8."""
MOST_NESTING = 50
"""Deepest nesting of brackets, calls and right-hand sides."""
_MOST_HEIGHT = 120
# One level of nesting can be two levels of nodes; this also stops what grows to the left: `a == b == c == …`.

Token = dict[str, Any]
Ast = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Node:
    """One part of an expression.

    ``kind`` is one of ``field index slice literal current seq flatten project values filter list hash and or not
    compare call ref``. A ``seq`` hands the result of each child to the next; ``and`` and ``or`` have two or more
    children. ``start`` and ``end`` are offsets into the text.
    """

    kind: str
    value: Any = None
    children: tuple[Node, ...] = ()
    start: int = 0
    end: int = 0
    height: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "height", 1 + max((c.height for c in self.children), default=0))


@lru_cache(maxsize=4096)
def parse(text: str) -> Node:
    """The tree of an expression.

    Raises:
        ConfigError: ``CFG121`` (not JMESPath), ``CFG126`` (too long, too deep), ``CFG129`` (nothing there).
    """
    if not text.strip():
        raise ConfigError(
            "CFG129", "the expression is empty", hint="write for instance `amount.value > 10000`", column=1
        )
    if len(text.encode("utf-8", "surrogatepass")) > MOST_TEXT:
        raise ConfigError("CFG126", f"the expression is longer than {MOST_TEXT} bytes", hint=_SPLIT, column=MOST_TEXT)
    try:
        node = _node(_Grammar(text).tree())
    except RecursionError:
        raise _too_deep(0) from None
    if node.height > _MOST_HEIGHT:
        raise _too_deep(0)
    return node


_SPLIT = "do it in two steps, or put the values into a table and use lookup()"


def _too_deep(offset: int) -> ConfigError:
    return ConfigError(
        "CFG126", f"the expression nests deeper than {MOST_NESTING} levels", hint=_SPLIT, column=offset + 1
    )


# ---------------------------------------------------------------- tokens


class _Lexer(Lexer):  # type: ignore[misc]  # jmespath has no type information
    """The library's tokens, with JSON numbers read exactly."""

    def _consume_literal(self) -> Token:
        start = self._position
        lexeme = self._consume_until("`").replace("\\`", "`")
        try:
            value = loads(lexeme, parse_float=Decimal, parse_constant=_refuse_constant)
        except (ValueError, ArithmeticError):
            # The library would read `EUR` as a text (JEP-12, deprecated); in a routing rule that hides a slip.
            hint = "between backticks stands JSON; a text goes into single quotes, for instance 'EUR'"
            raise _syntax(start, "what stands between the backticks is not JSON", hint) from None
        return {"type": "literal", "value": value, "start": start, "end": self._position}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)


_HINTS = {
    "-": 'a name with a hyphen goes into double quotes ("end-date"); for arithmetic use subtract(a, b)',
    "+": "for arithmetic use add(a, b)",
    "/": "for arithmetic use divide(a, b, places)",
    "%": "for arithmetic use subtract(), multiply() and divide()",
    "=": "to compare write ==",
    "$": "JMESPath has no `$`; a path begins with the field's name",
    ";": "separate arguments with commas",
}


def _tokens(text: str) -> list[Token]:
    try:
        return list(_bare_numbers(list(_Lexer().tokenize(text)), text))
    except EmptyExpressionError:  # pragma: no cover - parse() has refused empty text before
        raise _syntax(0, "the expression is empty") from None
    except LexerError as error:
        found = str(error.lexer_value)[:1]
        if "Unclosed" in error.message:
            kinds = {"'": "text", '"': "name", "`": "JSON value"}
            what = f"the {kinds.get(found, 'text')} that begins here has no closing {found}"
            raise _syntax(error.lexer_position, what) from None
        if found == '"':
            raise _syntax(error.lexer_position, "the name in double quotes is not a JSON string") from None
        what = f"`{found}` has no meaning in an expression"
        raise _syntax(error.lexer_position, what, _HINTS.get(found, "")) from None


_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?")
_CLOSES = {"lbracket": "rbracket", "filter": "rbracket", "lparen": "rparen", "lbrace": "rbrace"}


def _bare_numbers(tokens: list[Token], text: str) -> Iterator[Token]:
    """Read number tokens as literals, except where ``[`` makes them an index or part of a slice."""
    inside: list[str] = []
    read_to = 0
    before = ""
    for token in tokens:
        kind, start = token["type"], token["start"]
        if start < read_to:
            continue
        if kind in _CLOSES:
            inside.append(kind)
        elif inside and kind == _CLOSES[inside[-1]]:
            inside.pop()
        # `[0, 1]` is an error in JMESPath, and stays one: half of the readers would take it for two indexes.
        if kind == "number" and not (inside[-1:] == ["lbracket"] and before in {"lbracket", "colon", "comma"}):
            found = _NUMBER.match(text, start)
            digits = found[0] if found else ""
            read_to = start + len(digits)
            yield {"type": "literal", "value": _number(digits, start), "start": start, "end": read_to}
        else:
            yield token
        before = kind


def _number(digits: str, start: int) -> int | Decimal:
    bare = digits.lstrip("-")
    if len(bare) > 1 and bare[0] == "0" and bare[1] != ".":
        raise _syntax(start, "a number has no leading zeros", f"as a text write '{digits}'")
    return Decimal(digits) if "." in digits else int(digits)


# ---------------------------------------------------------------- grammar

_COMPARATORS = frozenset({"eq", "ne", "lt", "lte", "gt", "gte"})
_OPERATORS = "an operator (`.` `[` `|` `&&` `||` `==` `!=` `<` `<=` `>` `>=`) or the end"
_NAMES = {
    "rparen": "`)`",
    "rbracket": "`]`",
    "rbrace": "`}`",
    "comma": "`,`",
    "colon": "`:`",
    "star": "`*`",
    "unquoted_identifier": "a name",
    "quoted_identifier": "a name in double quotes",
}


def _syntax(offset: int, what: str, hint: str = "") -> ConfigError:
    return ConfigError("CFG121", what, hint=hint, column=offset + 1)


class _Grammar(Parser):  # type: ignore[misc]  # jmespath has no type information
    """The library's grammar; it notes where each part stands, counts nesting and says what it expected."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text = text
        self._tokens = _tokens(text)
        self._index = 0
        self._depth = 0

    def tree(self) -> Ast:
        """The library's tree, each part with ``start`` and ``end``."""
        try:
            tree = self._expression()
            if self._current_token() != "eof":
                self._error_led_token(self._lookahead_token(0))
        except ParseError as error:
            # What the library itself still raises names a position only for some; the last token is always near.
            offset = error.lex_position or self._tokens[max(self._index - 1, 0)]["start"]
            raise _syntax(offset, error.msg.rstrip(".")) from None
        return tree

    def _expression(self, binding_power: int = 0) -> Ast:
        first = self._lookahead_token(0)
        self._depth += 1
        if self._depth > MOST_NESTING:
            raise _too_deep(first["start"])
        self._advance()
        left: Ast = getattr(self, f"_token_nud_{first['type']}", self._error_nud_token)(first)
        self._place(left, first)
        while binding_power < self.BINDING_POWER[self._current_token()]:
            token = self._lookahead_token(0)
            led = getattr(self, f"_token_led_{token['type']}", None)
            if led is None:
                self._error_led_token(token)
            self._advance()
            left = led(left)
            self._place(left, first)
        self._depth -= 1
        return left

    def _place(self, node: Ast, first: Token) -> None:
        following = self._lookahead_token(0)["start"]
        node["start"] = first["start"]
        node["end"] = len(self._text[:following].rstrip())

    def _token_led_lparen(self, left: Ast) -> Ast:
        if left["type"] != "field":
            self._fail(self._lookahead_token(-1), "a function's name before `(`")
        arguments: list[Ast] = []
        if self._current_token() != "rparen":
            arguments.append(self._expression())
            while self._current_token() == "comma":
                self._advance()
                arguments.append(self._expression())
        self._match("rparen")
        return {"type": "function_expression", "children": arguments, "value": left["value"]}

    # Each of these ends the library's work with a sentence for people.

    def _error_nud_token(self, token: Token) -> NoReturn:
        self._fail(token, "a field, a 'text', a number, a function or an opening bracket")

    def _error_led_token(self, token: Token) -> NoReturn:
        self._fail(token, _OPERATORS)

    def _raise_parse_error_maybe_eof(self, expected_type: str | list[str], token: Token) -> NoReturn:
        wanted = [expected_type] if isinstance(expected_type, str) else expected_type
        self._fail(token, " or ".join(_NAMES.get(name, name) for name in wanted))

    def _raise_parse_error_for_token(self, token: Token, reason: str) -> NoReturn:
        after_dot = reason.startswith("Expecting")
        self._fail(token, "a field, `*`, `[…]` or `{…}` after the dot" if after_dot else "`.`, `[` or an operator")

    def _fail(self, token: Token, wanted: str) -> NoReturn:
        start = token["start"]
        if token["type"] == "eof":
            raise _syntax(len(self._text), f"the expression ends too early: expected {wanted}")
        if token["type"] == "literal" and self._text[start] == "-":
            hint = _HINTS["-"]
        elif token["type"] == "number":
            hint = "inside [ ] stands an index or a slice; a number as a value goes into backticks: `5`"
        else:
            hint = ""
        found = self._text[start : start + 1] if len(str(token["value"])) > 20 else str(token["value"])
        raise _syntax(start, f"expected {wanted}, found `{found}`", hint)


# ---------------------------------------------------------------- tree

_SEQUENCES = frozenset({"subexpression", "index_expression", "pipe"})
_PROJECTIONS = {"projection": "project", "value_projection": "values", "filter_projection": "filter"}
_LOGIC = {"and_expression": "and", "or_expression": "or"}
_KINDS = {
    "field": "field",
    "index": "index",
    "literal": "literal",
    "current": "current",
    "identity": "current",
    "function_expression": "call",
    "comparator": "compare",
    "not_expression": "not",
    "expref": "ref",
    "multi_select_list": "list",
}


def _node(ast: Ast) -> Node:
    kind = ast["type"]
    start, end = ast.get("start", 0), ast.get("end", 0)
    if kind in _SEQUENCES or kind in _PROJECTIONS or kind == "flatten":
        steps = tuple(_steps(ast))
        return steps[0] if len(steps) == 1 else Node("seq" if steps else "current", None, steps, start, end)
    if kind in _LOGIC:
        return Node(_LOGIC[kind], None, tuple(_operands(ast)), start, end)
    if kind == "multi_select_dict":
        keys = tuple(pair["value"] for pair in ast["children"])
        return Node("hash", keys, tuple(_node(pair["children"][0]) for pair in ast["children"]), start, end)
    if kind == "slice":
        if ast["children"][2] == 0:
            raise _syntax(start, "the step of a slice cannot be 0", "write [::-1] for the reverse order")
        return Node("slice", slice(*ast["children"]), (), start, end)
    return Node(_KINDS[kind], ast.get("value"), tuple(_node(child) for child in ast["children"]), start, end)


def _steps(ast: Ast) -> Iterator[Node]:
    """What is done one after the other, from the left. A loop, because this grows to the left with every ``[]``."""
    start, end = ast.get("start", 0), ast.get("end", 0)
    todo: list[Ast | Node] = [ast]
    while todo:
        one = todo.pop()
        if isinstance(one, Node):
            yield one
            continue
        kind = one["type"]
        one.setdefault("start", start)
        one.setdefault("end", end)
        if kind in _SEQUENCES:
            todo.extend(reversed(one["children"]))
        elif kind in _PROJECTIONS:
            left, *inner = one["children"]
            children = tuple(_node(child) for child in inner)
            todo += [Node(_PROJECTIONS[kind], None, children, one["start"], one["end"]), left]
        elif kind == "flatten":
            todo += [Node("flatten", None, (), one["start"], one["end"]), one["children"][0]]
        elif kind not in {"current", "identity"}:
            yield _node(one)


def _operands(ast: Ast) -> Iterator[Node]:
    """The operands of a chain of the same operator, from the left."""
    kind = ast["type"]
    rights: list[Ast] = []
    while ast["type"] == kind:
        ast, right = ast["children"]
        rights.append(right)
    yield _node(ast)
    yield from (_node(right) for right in reversed(rights))
