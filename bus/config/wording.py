"""Pydantic's findings in plain words, each at its line and column, with what to write instead."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from bus.config.fields import Loc, fields, owner, plain, required
from bus.config.problems import Edit, Problem, listed, near
from bus.config.yamltext import LINE_BREAK, MOST_PROBLEMS, Node, shorten
from bus.described import described
from bus.errors import ConfigError
from bus.expressions import compile_expression

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bus.expressions import NamedFunction
    from bus.spec import Catalogue

_OUR_CODE = re.compile(r"[A-Z]{3}\d{3}")

_TYPES = {
    "string": "text",
    "int": "a whole number",
    "float": "a number",
    "decimal": "a number",
    "bool": "`true` or `false`",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "dict": "a mapping of keys to values",
    "model": "a mapping of keys to values",
    "mapping": "a mapping of keys to values",
    "date": "a date such as `2026-11-24`",
    "datetime": "a time such as `2026-11-24T08:00:00Z`",
    "time": "a time of day such as `07:30`",
    "url": "an address such as `https://bank.example/api`",
    "path": "a path",
    "ip_any_address": "an IP address",
}
"""What to write for a type; pydantic calls its errors ``<type>_type``, ``<type>_parsing`` and the like."""

_BOUNDS = {
    "greater_than": ("more than {gt}", "gt"),
    "greater_than_equal": ("at least {ge}", "ge"),
    "less_than": ("less than {lt}", "lt"),
    "less_than_equal": ("at most {le}", "le"),
    "too_short": ("at least {min_length} long", "min_length"),
    "too_long": ("at most {max_length} long", "max_length"),
    "string_too_short": ("at least {min_length} characters long", "min_length"),
    "string_too_long": ("at most {max_length} characters long", "max_length"),
    "string_pattern_mismatch": ("text of the form `{pattern}`", "pattern"),
    "multiple_of": ("a multiple of {multiple_of}", "multiple_of"),
}

_PATTERNS = {
    r"^[a-z0-9][a-z0-9-]{0,62}$": "lower-case letters, digits and hyphens, at most 63",
    r"^([01]\d|2[0-3]):[0-5]\d$": "a time of day such as `07:30`",
}


class Wording:
    """Turns the validation errors of one file into problems."""

    def __init__(self, path: str, root: Node, model: type[BaseModel], catalogue: Catalogue) -> None:
        self._path = path
        self._root = root
        self._model = model
        self._catalogue = catalogue

    def problems(self, error: ValidationError) -> list[Problem]:
        """All findings; a missing key that a misspelt one was meant to be is told once, at the misspelt one."""
        found = error.errors(include_url=False, include_input=False)
        unknown = [item["loc"] for item in found[:MOST_PROBLEMS] if item["type"] == "extra_forbidden"]
        others = [item for item in found[:MOST_PROBLEMS] if item["type"] != "extra_forbidden"]
        meant: set[Loc] = set()
        told = [self._unknown_key(loc, meant) for loc in unknown]
        told += [
            self._problem(item["type"], item["loc"], item["msg"], item.get("ctx", {}))
            for item in others
            if item["type"] != "missing" or item["loc"] not in meant
        ]
        if len(found) > MOST_PROBLEMS:
            more = f"{len(found) - MOST_PROBLEMS} more problems in this file"
            told.append(Problem("CFG106", "error", self._path, 0, 0, more, "solve those above first"))
        return told

    # ------------------------------------------------------------ keys

    def _unknown_key(self, loc: Loc, meant: set[Loc]) -> Problem:
        word = str(loc[-1])
        parent, _ = self._root.find(loc[:-1])
        key = parent.keys.get(word, parent)
        spec = owner(self._model, loc, self._catalogue)
        message = f"unknown key `{shorten(word)}` in {self._called(loc[:-1])}"
        if spec is None:
            return key.problem("CFG101", self._path, message)
        free = [name for name in fields(spec) if name not in parent.keys]
        likely = [name for name in near(word, free) if (*loc[:-1], name) not in meant]
        if not likely:
            hint = f"known here: {listed(list(fields(spec)))}" if fields(spec) else "no key is known here"
            return key.problem("CFG101", self._path, message, hint=hint)
        hint = f"did you mean `{likely[0]}`?"
        if likely[0] in required(spec):
            hint += f" `{likely[0]}` is required here"
        meant.add((*loc[:-1], likely[0]))
        return key.problem("CFG101", self._path, message, hint=hint, fix=_only(key, likely))

    def _missing(self, loc: Loc) -> Problem:
        node, key = self._root.find(loc[:-1])
        word = str(loc[-1])
        spec = owner(self._model, loc, self._catalogue)
        info = fields(described(spec)).get(word) if spec is not None else None
        said = plain(info.description or "").split("\n")[0].rstrip(".…") if info is not None else ""
        hint = f"write: {word}: …" + (f"   ({said})" if said else "")
        return (key or node).problem(
            "CFG105", self._path, f"`{word}` is missing in {self._called(loc[:-1])}", hint=hint
        )

    def _called(self, loc: Loc) -> str:
        """How a message calls the mapping at a place."""
        words = [part for part in loc if isinstance(part, str)]
        return f"`{shorten(words[-1])}`" if words else "this file"

    # ------------------------------------------------------------ plug-ins

    def _unknown_plug_in(self, loc: Loc, message: str, context: dict[str, Any]) -> Problem:
        node, _ = self._root.find(loc)
        word, known = str(context.get("key", "")), [str(name) for name in context.get("known", ())]
        place = node.keys.get(word, node)
        likely = near(word, known)
        if not likely:
            hint = f"known: {listed(known)}" if known else "none is installed"
            return place.problem("CFG102", self._path, message, hint=hint)
        return place.problem(
            "CFG102", self._path, message, hint=f"did you mean `{likely[0]}`?", fix=_only(place, likely)
        )

    def _not_one_key(self, loc: Loc, message: str) -> Problem:
        node, _ = self._root.find(loc)
        if not isinstance(node.value, dict) or len(node.value) < 2:
            return node.problem("CFG104", self._path, message)
        first, second = list(node.value)[:2]
        spec = owner(self._model, loc, self._catalogue)
        unwrapped = spec is not None and self._root.find(loc[:-1])[0] is node
        likely = near(second, fields(spec)) if spec is not None and unwrapped else []
        key = node.keys[second]
        if likely and likely[0] not in node.value:  # the key stood beside a plug-in whose own key is left out
            hint = f"did you mean `{likely[0]}`?"
            return key.problem("CFG104", self._path, message, hint=hint, fix=_only(key, likely))
        if node.value[first].value == "":
            hint = f"indent `{shorten(second)}` deeper than `{shorten(first)}`: it is an option of it"
        else:
            hint = f"begin `{shorten(second)}` in an entry of its own"
        return key.problem("CFG104", self._path, message, hint=hint)

    # ------------------------------------------------------------ values

    def _problem(self, kind: str, loc: Loc, text: str, context: dict[str, Any]) -> Problem:
        if kind == "missing":
            return self._missing(loc)
        if kind == "CFG102":
            return self._unknown_plug_in(loc, text, context)
        if kind == "CFG104":
            return self._not_one_key(loc, text)
        node, key = self._root.find(loc)
        if kind == "CFG121":
            return self._expression(node, text)
        if _OUR_CODE.fullmatch(kind):
            return node.problem(kind, self._path, text)
        code, message, hint = _told(kind, text, context)
        called = f"`{shorten(str(key.value))}`" if key is not None else "this entry"
        place = node if node.value != "" or key is None else key
        return place.problem(code, self._path, message.format(called=called), hint=hint)

    def _expression(self, node: Node, text: str) -> Problem:
        """A wrong expression: where it stands on one line as it is, the place is the column inside it."""
        if not isinstance(node.value, str):
            return node.problem("CFG121", self._path, text)
        return expression_problem(node, self._path) or node.problem("CFG121", self._path, text)


def expression_problem(
    node: Node,
    path: str,
    tables: Mapping[str, Any] | None = None,
    functions: Mapping[str, NamedFunction] | None = None,
) -> Problem | None:
    """What is wrong with the expression that a node holds; ``tables`` and ``functions`` are those known."""
    try:
        compile_expression(str(node.value), tables=tables, functions=functions)
    except ConfigError as error:
        shift = shift_inside(node, error.column - 1)
        length = {} if shift is None else {"length": 1}
        return node.problem(error.code, path, error.message, hint=error.hint, shift=shift or 0, **length)
    return None


def shift_inside(node: Node, offset: int) -> int | None:
    """Columns from where a string stands to the character at ``offset`` of its value; None when that cannot be said."""
    text, quote = str(node.value), len(node.style)
    as_written = node.style not in ("|", ">") and node.end - node.start == len(text) + 2 * quote
    if not as_written or LINE_BREAK.search(text):
        return None
    return min(max(offset, 0), len(text)) + quote


def _only(place: Node, likely: list[str]) -> Edit | None:
    """The repair of a misspelt word, when there is no doubt what was meant."""
    return Edit(place.start, place.end, likely[0]) if len(likely) == 1 and place.style not in ("|", ">") else None


def _told(kind: str, text: str, context: dict[str, Any]) -> tuple[str, str, str]:
    """Code, message with ``{called}`` for the key, hint."""
    if kind in ("literal_error", "enum"):
        return "CFG107", f"{{called}} must be one of: {_safe(context.get('expected', ''))}".replace("'", "`"), ""
    if kind == "string_pattern_mismatch" and context.get("pattern") in _PATTERNS:
        return "CFG107", f"{{called}} must be {_PATTERNS[str(context['pattern'])]}", ""
    if kind in _BOUNDS:
        form, name = _BOUNDS[kind]
        return "CFG107", f"{{called}} must be {_safe(form.format(**{name: context.get(name)}))}", ""
    base, _, rest = kind.rpartition("_")
    for name in (kind, base, base.rpartition("_")[0]):
        if name in _TYPES and rest != "error":
            return "CFG106", f"{{called}} must be {_TYPES[name]}", ""
    reason = re.sub(r"^(Value|Assertion) error, ", "", text)
    return "CFG108", _safe(reason), ""


def _safe(text: Any) -> str:
    return str(text).replace("{", "{{").replace("}", "}}")


def validate(model: type[BaseModel], root: Node, path: str, catalogue: Catalogue) -> tuple[Any, list[Problem]]:
    """The spec that a file means, or None and what is wrong with it."""
    try:
        # by_name=False: the file says `from`, never the attribute's name `from_`.
        return model.model_validate(root.data(), context={"catalogue": catalogue}, by_alias=True, by_name=False), []
    except ValidationError as error:
        return None, Wording(path, root, model, catalogue).problems(error)
