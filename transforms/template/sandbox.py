"""The language of templates: a small part of Jinja2 over plain data. Run as a script, this file is the render worker.

The worker imports nothing of the engine. It reads requests from standard input and writes answers to standard output,
each a length of four bytes and JSON; it can open no file, connect to nothing and start nothing, and it ends when its
input does. What a template costs in time and memory is bounded by the limits of its process, so that nothing in here
has to be trusted.
"""

from __future__ import annotations

import json
import math
import os
import resource
import signal
import sys
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple
from xml.parsers import expat

if __name__ == "__main__":  # a process of its own, without the packages of the engine on its path
    sys.path[:0] = sys.argv[1].split(os.pathsep)

from jinja2 import DictLoader, StrictUndefined, TemplateSyntaxError, Undefined, UndefinedError, nodes
from jinja2.exceptions import SecurityError
from jinja2.filters import FILTERS
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.tests import TESTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import TracebackType

MOST_CHARACTERS = 65_536
"""Longest template."""
OUT_OF_MEMORY = 77
"""Exit code of a worker that has no memory left for an answer."""
_MOST_DEPTH = 40
_KEPT = 64
"""Compiled templates that a worker keeps."""

_ALLOWED: tuple[type[nodes.Node], ...] = (
    *(nodes.Template, nodes.Output, nodes.TemplateData, nodes.Name, nodes.Const, nodes.List, nodes.Tuple, nodes.Dict),
    *(nodes.Pair, nodes.Keyword, nodes.Getattr, nodes.Getitem, nodes.Slice, nodes.If, nodes.For, nodes.Filter),
    *(nodes.Test, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.Add, nodes.Sub, nodes.Mul, nodes.FloorDiv),
    *(nodes.Mod, nodes.Neg, nodes.Pos, nodes.And, nodes.Or, nodes.Not, nodes.Concat, nodes.Assign, nodes.With),
    nodes.Include,
)
_WORDS = {
    nodes.Call: ("a call", "use a filter, such as `{{ name | upper }}`"),
    nodes.Div: ("a division", "work amounts out in the mapping; `/` would make a binary float"),
    nodes.Pow: ("a power", "work numbers out in the mapping"),
    nodes.Macro: ("a macro", "put the part into a template of its own and include it"),
    nodes.Import: ("an import", "include the other template"),
    nodes.FromImport: ("an import", "include the other template"),
    nodes.Extends: ("an `extends`", "include the other template"),
}
_FILTERS = (
    *("abs", "batch", "capitalize", "center", "count", "d", "default", "dictsort", "e", "escape", "first", "groupby"),
    *("indent", "items", "join", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr"),
    *("replace", "reverse", "select", "selectattr", "slice", "sort", "string", "sum", "title", "trim", "truncate"),
    *("unique", "upper", "wordcount", "wordwrap"),
)
_TESTS = (
    *("!=", "<", "<=", "==", ">", ">=", "boolean", "defined", "divisibleby", "eq", "equalto", "even", "false", "ge"),
    *("greaterthan", "gt", "in", "integer", "iterable", "le", "lessthan", "lower", "lt", "mapping", "ne", "none"),
    *("number", "odd", "sequence", "string", "true", "undefined", "upper"),
)
_LOOP = ("index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem")


class Wrong(NamedTuple):
    """Something that a template may not say: code, line, what, and what to write."""

    code: str
    line: int
    message: str
    hint: str = ""


# ---------------------------------------------------------------- filters of our own


def amount(value: Any, places: int = 2, mark: str = ".", group: str = "") -> str:
    """A number with exactly so many decimals after ``mark`` and ``group`` between thousands; never rounds."""
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        raise TypeError("amount takes a number")
    whole = Decimal(value)
    exact = whole.quantize(Decimal(1).scaleb(-places))
    if exact != whole:
        raise ValueError("amount would have to round")
    return f"{exact:,f}".replace(",", "\0").replace(".", mark).replace("\0", group)


def date(value: Any, form: str = "%d.%m.%Y") -> str:
    """An ISO date as ``form`` says: ``%d``, ``%m``, ``%Y`` and ``%y``."""
    year, month, day = str(value)[:10].split("-")
    if not (len(year) == 4 and len(month) == len(day) == 2 and f"{year}{month}{day}".isdecimal()):
        raise ValueError("date takes an ISO date")
    parts = (("%d", day), ("%m", month), ("%Y", year), ("%y", year[2:]))
    for sign, text in parts:
        form = form.replace(sign, text)
    return form


def ljust(value: Any, width: int, fill: str = " ") -> str:
    """A text filled up to a width on the right."""
    return str(printable(value)).ljust(width, fill)


def rjust(value: Any, width: int, fill: str = " ") -> str:
    """A text filled up to a width on the left."""
    return str(printable(value)).rjust(width, fill)


OWN_FILTERS: dict[str, Callable[..., str]] = {"amount": amount, "date": date, "ljust": ljust, "rjust": rjust}


class NotPrintable(Exception):  # noqa: N818 - becomes an answer, is no error of the program
    """What stands between the braces is nothing that a text can hold."""


def printable(value: Any) -> Any:
    """A value as it is printed: numbers without exponents, ``true`` and ``false``.

    Raises:
        NotPrintable: null, an object or a list; an empty place in a payment file is worse than no file.
    """
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | Undefined):
        return value
    raise NotPrintable("null" if value is None else "a list" if isinstance(value, list | tuple) else "an object")


class Environment(ImmutableSandboxedEnvironment):
    """Templates see plain data: an attribute is an item of an object, nothing can be called."""

    def __init__(self, templates: Mapping[str, str], *, markup: bool, newline: str = "\n") -> None:
        super().__init__(
            loader=DictLoader(templates),
            undefined=StrictUndefined,
            autoescape=markup,
            finalize=printable,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            newline_sequence="\r\n" if newline == "\r\n" else "\n",
        )
        self.filters = {name: FILTERS[name] for name in _FILTERS} | OWN_FILTERS
        self.tests = {name: TESTS[name] for name in _TESTS}
        self.globals = {}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """``a.b``: an item of an object, or one of the facts about a loop."""
        if isinstance(obj, dict):
            return obj[attribute] if attribute in obj else self.undefined(name=attribute)
        if isinstance(obj, LoopContext) and attribute in _LOOP:
            return getattr(obj, attribute)
        if isinstance(obj, tuple) and attribute in ("grouper", "list") and hasattr(obj, "_fields"):
            return getattr(obj, attribute)
        return self.undefined(name=attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """``a[b]``: an item of an object, list or text."""
        if isinstance(obj, dict) and isinstance(argument, str):
            return obj[argument] if argument in obj else self.undefined(hint="an item that is not there")
        if isinstance(obj, list | tuple | str) and isinstance(argument, int | slice):
            try:
                return obj[argument]
            except IndexError:
                pass
        return self.undefined(hint="an item that is not there")

    def call(self, *_arguments: Any, **_named: Any) -> Any:
        """Nothing is called."""
        raise SecurityError("a template calls nothing")


# ---------------------------------------------------------------- what may stand in a template


def problems(name: str, templates: Mapping[str, str]) -> list[Wrong]:
    """What is wrong with a template, without running it; ``templates`` are all that it may include."""
    text = templates[name]
    if len(text) > MOST_CHARACTERS:
        return [Wrong("TPL105", 1, f"longer than {MOST_CHARACTERS} characters", "include parts of it")]
    environment = Environment({}, markup=False)
    try:
        tree = environment.parse(text)
    except TemplateSyntaxError as error:
        return [Wrong("TPL101", error.lineno, _sentence(error.message or "not a template"))]
    except (RecursionError, MemoryError):
        return [Wrong("TPL105", 1, f"nests deeper than {_MOST_DEPTH} levels", "include parts of it")]
    except (ValueError, SyntaxError):  # Jinja2 takes for a number what Python does not: 5,000 digits, Arabic digits
        return [Wrong("TPL101", 1, "a number that cannot be read", "write digits 0 to 9, not more than 4,300")]
    return sorted(set(_walk(tree, 0, templates)), key=lambda wrong: wrong.line) or _circle(name, templates)


def includes(text: str) -> list[str]:
    """Names of the templates that one includes itself; none for a text that is no template."""
    try:
        tree = Environment({}, markup=False).parse(text)
    except (TemplateSyntaxError, RecursionError, ValueError, SyntaxError):
        return []
    found = (node.template for node in tree.find_all(nodes.Include))
    return [node.value for node in found if isinstance(node, nodes.Const) and isinstance(node.value, str)]


def _walk(node: nodes.Node, depth: int, templates: Mapping[str, str], line: int = 1) -> Iterator[Wrong]:
    node.lineno = node.lineno or line  # some parts that the parser makes have none
    if depth > _MOST_DEPTH:
        yield Wrong("TPL105", node.lineno, f"nests deeper than {_MOST_DEPTH} levels", "include parts of it")
        return
    if not isinstance(node, _ALLOWED):
        what, hint = _WORDS.get(
            type(node), (f"`{type(node).__name__.lower()}`", "docs/mappings.md lists what there is")
        )
        yield Wrong("TPL102", node.lineno, f"{what} is not part of the language of templates", hint)
        return
    yield from _words(node, templates)
    for child in node.iter_child_nodes():
        yield from _walk(child, depth + 1, templates, node.lineno)


def _words(node: nodes.Node, templates: Mapping[str, str]) -> Iterator[Wrong]:
    """What is wrong with the names and constants of one part."""
    word = _word(node)
    if word.startswith("_") or "__" in word or word in ("self", "super", "caller"):
        yield Wrong("TPL102", node.lineno, f"`{word[:40]}` is no field of data", "fields do not begin with `_`")
    if isinstance(node, nodes.Const) and isinstance(node.value, float):
        yield Wrong("TPL102", node.lineno, "a binary float", "work numbers out in the mapping")
    if isinstance(node, nodes.For) and node.recursive:
        yield Wrong("TPL102", node.lineno, "a recursive loop", "loop in a loop, or flatten the list in the mapping")
    if isinstance(node, nodes.Filter) and node.name not in (*_FILTERS, *OWN_FILTERS):
        yield Wrong("TPL103", node.lineno, f"there is no filter `{node.name}`", _known((*_FILTERS, *OWN_FILTERS)))
    if isinstance(node, nodes.Test) and node.name not in _TESTS:
        yield Wrong("TPL103", node.lineno, f"there is no test `{node.name}`", _known(_TESTS))
    if isinstance(node, nodes.Include):
        yield from _included(node, templates)


def _word(node: nodes.Node) -> str:
    """The name that a part has, or a constant that could be meant as one."""
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getattr):
        return node.attr
    return node.value if isinstance(node, nodes.Const) and isinstance(node.value, str) and "__" in node.value else ""


def _included(node: nodes.Include, templates: Mapping[str, str]) -> Iterator[Wrong]:
    template = node.template
    if not (isinstance(template, nodes.Const) and isinstance(template.value, str)):
        yield Wrong("TPL104", node.lineno, "an include names one template between quotes", "write its name")
    elif template.value not in templates:
        hint = f"write {template.value}.template.j2, or correct the name"
        yield Wrong("TPL104", node.lineno, f"there is no template `{template.value[:80]}`", hint)


def _circle(name: str, templates: Mapping[str, str]) -> list[Wrong]:
    todo: list[tuple[str, tuple[str, ...]]] = [(other, (name, other)) for other in includes(templates[name])]
    seen: set[str] = set()
    while todo:
        here, way = todo.pop()
        if here == name:
            message = f"templates include each other in a circle: {' → '.join(way)}"
            return [Wrong("TPL104", 1, message, "take one include out")]
        if here in templates and here not in seen:
            seen.add(here)
            todo += [(other, (*way, other)) for other in includes(templates[here])]
    return []


def _known(names: tuple[str, ...]) -> str:
    return "known: " + ", ".join(sorted(name for name in names if name.isalpha()))


def _sentence(text: str) -> str:
    return f"{text[:1].lower()}{text[1:200]}".rstrip(".")


# ---------------------------------------------------------------- rendering


class _TooMuch(Exception):  # noqa: N818 - becomes an answer
    """The output is larger than it may be."""


def render(environment: Environment, name: str, values: dict[str, Any], most: int) -> str:
    """One text of at most ``most`` characters."""
    template = environment.get_template(name)
    parts, size = [], 0
    for part in template.root_render_func(template.new_context(values)):
        parts.append(part)
        size += len(part)
        if size > most:
            raise _TooMuch
    text = "".join(parts)
    if environment.autoescape and name.endswith(".xml"):
        _well_formed(text)
    return text


def _well_formed(text: str) -> None:
    parser = expat.ParserCreate()

    def refuse(*_declared: Any) -> None:
        raise expat.ExpatError("a document type is not allowed")

    parser.StartDoctypeDeclHandler = refuse
    parser.Parse(text, True)  # noqa: FBT003 - the C function takes it by position


def _answer(environment: Environment, request: dict[str, Any]) -> dict[str, Any]:  # noqa: PLR0911 - one line a cause
    """``{"text": …}``, or ``{"code", "message", "line"}``; nothing of the values stands in a message."""
    try:
        return {"text": render(environment, request["name"], request["values"], request["most"])}
    except _TooMuch:
        return {"code": "TPL125", "message": "the text becomes larger than it may be", "line": 0}
    except UndefinedError as error:
        return _told("TPL121", _sentence(error.message or "a field that is not there"), error.__traceback__)
    except NotPrintable as error:
        return _told("TPL126", f"{error} would be printed", error.__traceback__)
    except expat.ExpatError as error:
        return {"code": "TPL127", "message": "the text is not well-formed XML", "line": getattr(error, "lineno", 0)}
    except SecurityError as error:
        return _told("TPL102", "something that is not part of the language of templates", error.__traceback__)
    except (MemoryError, RecursionError):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a template does is told, not raised
        return _told("TPL122", f"cannot be worked out ({type(error).__name__})", error.__traceback__)


def _told(code: str, message: str, trace: TracebackType | None) -> dict[str, Any]:
    line, where = 0, ""
    while trace is not None:
        template = trace.tb_frame.f_globals.get("__jinja_template__")
        if template is not None:
            line, where = template.get_corresponding_lineno(trace.tb_lineno), template.name or ""
        trace = trace.tb_next
    return {"code": code, "message": message, "line": line, "template": where}


# ---------------------------------------------------------------- the worker


def serve(memory: int, cpu: float) -> None:
    """Answer requests until the input ends."""
    environments: dict[str, Environment] = {}
    _served(environments, _WARM)
    for text in ("{{ nothing }}", "{% for %}", "{{ [] | amount }}"):
        _served(environments, {**_WARM, "templates": {"warm.xml": text}})
    environments.clear()
    _confine(memory)
    while (request := _read()) is not None:
        signal.setitimer(signal.ITIMER_PROF, cpu)
        spent = math.ceil(time.process_time() + cpu) + 1
        _limit(resource.RLIMIT_CPU, spent, hard=False)
        try:
            answer = _served(environments, request)
        except (MemoryError, RecursionError) as error:
            deep = isinstance(error, RecursionError)
            del error
            environments.clear()
            told = "nests too deep" if deep else "needs more memory than it may have"
            _write({"code": "TPL124", "message": told, "line": 0, "ends": True})
            return  # a process that ran out of memory once is not used again
        except Exception as error:  # noqa: BLE001 - one template must not end the process for the others
            answer = {"code": "TPL122", "message": f"cannot be compiled ({type(error).__name__})", "line": 0}
        signal.setitimer(signal.ITIMER_PROF, 0)
        _write(answer)


_WARM: dict[str, Any] = {
    "key": "",
    "name": "warm.xml",
    "templates": {
        "warm.xml": "<a>{% for k, v in o|groupby('x') %}{{ k }}{{ v|sum(attribute='n')|amount }}{% endfor %}"
        "{{ 'ä\\n <'|wordwrap(5)|upper|truncate(4)|indent|title|center(9)|escape }}{{ [2, 1]|sort|join('-') }}"
        "{{ '2026-11-24'|date|ljust(12)|replace('.', '/')|trim }}{{ 1 is odd }}{% include 'b' %}</a>",
        "b": "{{ o[0].n }}",
    },
    "markup": True,
    "values": {"o": [{"x": "a", "n": Decimal("1.10")}]},
    "most": 1_000,
}
"""Rendered once before the limits, because Python and Jinja2 load some of their modules only when they are needed."""


def _served(environments: dict[str, Environment], request: dict[str, Any]) -> dict[str, Any]:
    key = request["key"]
    if "templates" in request:
        wrong = [one for name in request["templates"] for one in problems(name, request["templates"])]
        if wrong:
            return {"code": wrong[0].code, "message": wrong[0].message, "line": wrong[0].line}
        if len(environments) >= _KEPT:
            environments.clear()
        newline = "\r\n" if "\r\n" in request["templates"][request["name"]] else "\n"
        environments[key] = Environment(request["templates"], markup=request["markup"], newline=newline)
    return _answer(environments[key], request) if key in environments else {"unknown": True}


def _confine(memory: int) -> None:
    """No core, no file, no new process, no more memory than that."""
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the bus, which then ends this process
    for what, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, 3),
        (resource.RLIMIT_AS, memory),
    ):
        _limit(what, most, hard=True)


def _limit(what: int, most: int, *, hard: bool) -> None:
    """Lower a limit of this process; one that is lower already stays."""
    _, border = resource.getrlimit(what)
    soft = most if border == resource.RLIM_INFINITY else min(most, border)
    resource.setrlimit(what, (soft, soft if hard else border))


def _read() -> dict[str, Any] | None:
    head = sys.stdin.buffer.read(4)
    if len(head) < 4:
        return None
    found: dict[str, Any] = json.loads(sys.stdin.buffer.read(int.from_bytes(head, "big")), parse_float=Decimal)
    return found


def _write(answer: dict[str, Any]) -> None:
    data = json.dumps(answer, ensure_ascii=False).encode("utf-8", "surrogatepass")
    sys.stdout.buffer.write(len(data).to_bytes(4, "big") + data)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    try:
        serve(int(sys.argv[2]), float(sys.argv[3]))
    except MemoryError:
        os._exit(OUT_OF_MEMORY)
