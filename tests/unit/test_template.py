"""Templates: what they make, what they may not say, and that a bomb hurts nobody."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import ConfigError, Rejected, Retryable
from bus.app import App, Surroundings
from bus.codes import codes
from bus.config import landscape_from_sources, load_landscape, route_hash, sources
from bus.landscape import TemplateLimits
from bus.testing.clock import ManualClock
from bus.testing.endpoints import RecordingSink, ScriptedArrival, ScriptedSource
from bus.testing.steps import StepBench
from transforms.template import Rendering, TemplateWorker, included
from transforms.template.sandbox import problems

LIMITS = TemplateLimits(cpu=800, wall=3_000, memory=200_000_000, output=2_000_000)
BODY = {"name": "ACME & Söhne", "amount": Decimal("1234567.80"), "day": "2026-11-24", "lines": [{"n": 1}, {"n": 2}]}


@pytest.fixture(scope="module")
def worker() -> Iterator[TemplateWorker]:
    one = TemplateWorker(LIMITS)
    yield one
    one.close()


def render(worker: TemplateWorker, text: str, body: Any = None, name: str = "t.txt", **others: str) -> str:
    values = {"body": BODY if body is None else body}
    return Rendering.of(worker, name, {name: text, **others}).render(values)


def refused(worker: TemplateWorker, text: str, body: Any = None, name: str = "t.txt", **others: str) -> Rejected:
    with pytest.raises(Rejected) as caught:
        render(worker, text, body, name, **others)
    assert caught.value.code in codes()
    return caught.value


# ---------------------------------------------------------------- what they make


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("{{ body.name }}\n", "ACME & Söhne\n"),
        ("{{ body.amount }}", "1234567.80"),
        ("{{ body.amount | amount(2, ',', '.') }}", "1.234.567,80"),
        ("{{ 5 | amount }}", "5.00"),
        ("{{ body.day | date }} {{ body.day | date('%y%m%d') }}", "24.11.2026 261124"),
        ("[{{ 'ab' | ljust(4) }}][{{ 7 | rjust(3, '0') }}]", "[ab  ][007]"),
        ("{% for line in body.lines %}\n{{ loop.index }}:{{ line.n }}\n{% endfor %}\n", "1:1\n2:2\n"),
        ("{% if body.amount > 1000 %}big{% else %}small{% endif %}", "big"),
        ("{% set x = body.lines | sum(attribute='n') %}{{ x }}", "3"),
        ("{{ body.missing | default('-') }} {{ body.missing is defined }}", "- false"),
        ("{{ body['name'][0] }}{{ body.lines[-1].n }}", "A2"),
        ("{{ body.lines | map(attribute='n') | join('+') }}", "1+2"),
        ("{% for k, v in body.lines | groupby('n') %}{{ k }}={{ v | length }} {% endfor %}", "1=1 2=1 "),
        ("{# nothing #}{{ true }}", "true"),
        ("a\r\nb\r\n", "a\r\nb\r\n"),
    ],
)
def test_texts(worker: TemplateWorker, text: str, made: str) -> None:
    assert problems("t.txt", {"t.txt": text}) == []
    assert render(worker, text) == made


def test_fields_that_are_called_like_methods_are_fields(worker: TemplateWorker) -> None:
    assert (
        render(worker, "{{ body.items }}{{ body.keys }}{{ body.get }}", {"items": "a", "keys": "b", "get": "c"})
        == "abc"
    )


def test_numbers_keep_their_digits_and_have_no_exponent(worker: TemplateWorker) -> None:
    body = {"a": Decimal("1E+3"), "b": Decimal("0.10"), "c": 12345678901234567890, "d": Decimal("-0.00")}
    assert (
        render(worker, "{{ body.a }} {{ body.b }} {{ body.c }} {{ body.d }}", body)
        == "1000 0.10 12345678901234567890 -0.00"
    )


def test_markup_is_escaped_by_the_name_of_the_template(worker: TemplateWorker) -> None:
    text = "<N>{{ body.name }}</N>"
    assert render(worker, text, {"name": "<&>"}) == "<N><&></N>"
    assert render(worker, text, {"name": "<&>"}, "t.xml") == "<N>&lt;&amp;&gt;</N>"
    assert render(worker, text, {"name": "<&>"}, "t.html") == "<N>&lt;&amp;&gt;</N>"
    assert refused(worker, "<a>{{ body.name }}", name="t.xml").code == "TPL127"
    assert refused(worker, text, {"name": "bell \x07"}, "t.xml").code == "TPL127"
    assert refused(worker, "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", name="t.xml").code == "TPL127"


def test_fragments_are_included(worker: TemplateWorker) -> None:
    text = "{% include 'head' %}|{% for line in body.lines %}{% include 'line' %}{% endfor %}"
    assert included(text) == ["head", "line"]
    assert render(worker, text, head="{{ body.name }}", line="{{ line.n }};") == "ACME & Söhne|1;2;"
    circle = {"t.txt": "{% include 'a' %}", "a": "{% include 't.txt' %}"}
    assert [wrong.code for wrong in problems("t.txt", circle)] == ["TPL104"]
    assert refused(worker, "{% include 'a' %}", a="{% include 't.txt' %}").code == "TPL104"


# ---------------------------------------------------------------- what they refuse of data


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("a\nb\n{{ body.nmae }}", "TPL121", 3),
        ("{{ nothing }}", "TPL121", 1),
        ("\n{{ body.lines[7].n }}", "TPL121", 2),
        ("{% for x in body.nothing %}{% endfor %}", "TPL121", 1),
        ("\n\n{{ body.empty }}", "TPL126", 3),
        ("{{ body.lines }}", "TPL126", 1),
        ("{{ body }}", "TPL126", 1),
        ("{{ body.name | amount }}", "TPL122", 1),
        ("{{ body.amount | amount(1, '') }}{{ body.third | amount }}", "TPL122", 1),
        ("{{ body.name | date }}", "TPL122", 1),
        ("{{ body.name + 1 }}", "TPL122", 1),
    ],
)
def test_what_cannot_be_printed_is_refused_at_its_line(worker: TemplateWorker, text: str, code: str, line: int) -> None:
    error = refused(worker, text, {**BODY, "empty": None, "third": Decimal("1.005")})
    assert (error.code, error.place) == (code, f"t.txt, line {line}")
    assert "ACME" not in str(error)


@pytest.mark.parametrize("value", [1.5, b"x", {"a": {1: "x"}}, object(), Decimal("NaN")])
def test_only_plain_data_goes_in(worker: TemplateWorker, value: Any) -> None:
    assert refused(worker, "x", {"v": value}).code == "TPL128"
    deep: Any = "x"
    for _ in range(100):
        deep = [deep]
    assert refused(worker, "x", deep).code == "TPL128"
    assert refused(worker, "x", "a" * 3_000_000).code == "TPL128"


# ---------------------------------------------------------------- what may not stand in them

ESCAPES = [
    "{{ ''.__class__ }}",
    "{{ ''['__class__'] }}",
    "{{ body.__class__.__mro__[1].__subclasses__() }}",
    "{{ '' | attr('__class__') }}",
    "{{ body | attr('keys') }}",
    "{{ '{0.__class__}'.format(body) }}",
    "{{ '%s' | format(body) }}",
    "{{ ('{0.__class__.__init__.__globals__}' | string).format(body) }}",
    "{{ body.keys() }}",
    "{{ range(10) }}",
    "{{ lipsum() }}",
    "{{ lipsum.__globals__ }}",
    "{{ cycler.__init__.__globals__.os }}",
    "{{ self.__init__.__globals__ }}",
    "{{ self._TemplateReference__context }}",
    "{{ namespace() }}",
    "{{ joiner('x') }}",
    "{% import 'os' as os %}",
    "{% from 'x' import y %}",
    "{% extends 'x' %}",
    "{% include 'missing' %}",
    "{% include body.name %}",
    "{% include ['a', 'b'] %}",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "{% for x in body recursive %}{{ loop(x) }}{% endfor %}",
    "{% call x() %}{% endcall %}",
    "{% block x %}{% endblock %}",
    "{% filter upper %}x{% endfilter %}",
    "{% autoescape false %}{{ body.name }}{% endautoescape %}",
    "{{ body.name | safe }}",
    "{{ 10 ** 10 ** 7 }}",
    "{{ 1 / 3 }}",
    "{{ 1.5 }}",
    "{{ loop.changed(1) }}",
    "{{ body | tojson }}",
    "{{ body | pprint }}",
    "{{ body | random }}",
    "{% set ns.x = 1 %}",
    "{{ body.name is callable }}",
    "{% for %}",
    "{{ body.",
    "{% endfor %}",
    "{{ (" * 500,
    "{{ " + "(" * 300 + "1" + ")" * 300 + " }}",
    "{% if 1 %}" * 200 + "{% endif %}" * 200,
    "x" * 70_000,
]


@pytest.mark.parametrize("text", ESCAPES, ids=[text[:40] for text in ESCAPES])
def test_what_is_not_of_the_language_is_told_by_the_check_and_refused_by_the_worker(
    worker: TemplateWorker, text: str
) -> None:
    wrong = problems("t.txt", {"t.txt": text})
    assert wrong
    assert {one.code for one in wrong} <= {"TPL101", "TPL102", "TPL103", "TPL104", "TPL105"}
    assert all(one.line >= 1 and one.message for one in wrong)
    assert refused(worker, text).code in {one.code for one in wrong}


@pytest.mark.parametrize(
    "text",
    [
        "{% for x in body.lines %}{{ loop.__class__ }}{% endfor %}",
        "{% for x in body.lines %}{{ loop._iterable }}{% endfor %}",
        "{{ body.lines | map(attribute='__class__') | join }}",
        "{{ body.lines | map('attr', '__class__') | join }}",
        "{{ body.lines | sort(attribute='__init__') | length }}",
        "{{ body.lines | selectattr('_x') | list | length }}",
        "{{ [body] | map('format') | join }}",
        "{{ body[('__cla' ~ 'ss__')] }}",
        "{{ ''[('__cla' ~ 'ss__')] }}",
        "{{ (body.name | upper)['__cla' ~ 'ss__'] }}",
    ],
)
def test_what_the_check_cannot_see_finds_no_way_out_either(worker: TemplateWorker, text: str) -> None:
    error = refused(worker, text)
    assert error.code in {"TPL102", "TPL121", "TPL122", "TPL126"}
    assert "class '" not in str(error)


WORDS = [
    "{{",
    "}}",
    "{%",
    "%}",
    "for",
    "in",
    "if",
    "endfor",
    "endif",
    "body",
    ".",
    "|",
    "(",
    ")",
    "'",
    "x",
    " ",
    "[",
    "1",
]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=3), max_size=25).map("".join))
def test_any_text_is_a_template_or_is_told_what_is_wrong(text: str) -> None:
    assert all(one.code in codes() and one.line >= 1 and one.message for one in problems("t", {"t": text}))


# ---------------------------------------------------------------- bombs

LOOP = "{% for a in body.many %}"
END = "{% endfor %}"
BOMBS = {
    "long text": ("{{ 'a' * 1000000000 }}", {"TPL124", "TPL125"}),
    "longer text": ("{{ 'a' * 10000000000000 }}", {"TPL122", "TPL124"}),
    "long list": ("{{ ([1] * 1000000000) | length }}", {"TPL124"}),
    "doubled": ("{% set x = 'a' * 1000000 %}" + "{% set x = x ~ x ~ x ~ x %}" * 7 + "{{ x }}", {"TPL124", "TPL125"}),
    "padded": ("{{ '%1000000000d' % 1 }}", {"TPL124", "TPL125"}),
    "centred": ("{{ 'x' | center(1000000000) }}", {"TPL124", "TPL125"}),
    "justified": ("{{ 'x' | ljust(1000000000) }}", {"TPL124", "TPL125"}),
    "indented": ("{{ ('\n' * 100000) | indent(100000, blank=true) }}", {"TPL124", "TPL125"}),
    "replaced": ("{{ ('a' * 100000) | replace('a', 'b' * 100000) }}", {"TPL124", "TPL125"}),
    "joined": ("{{ ([1] * 1000000) | join('x' * 10000) }}", {"TPL123", "TPL124", "TPL125"}),
    "nested loops": (LOOP * 4 + "x" + END * 4, {"TPL123", "TPL125"}),
    "silent loops": (LOOP * 5 + "{% set x = a %}" + END * 5, {"TPL123"}),
    "batches": ("{{ ([1] * 3000000) | batch(1) | list | length }}", {"TPL123", "TPL124"}),
    "big number": ("{% set x = 99999999999 %}" + "{% set x = x * x %}" * 40 + "{{ x }}", {"TPL123", "TPL124"}),
    "sorted": ("{{ (([3, 1, 2] * 3000000) | sort) | length }}", {"TPL123", "TPL124"}),
    "unique": ("{{ (body.many * 30000) | unique | list | length }}", {"TPL123", "TPL124"}),
    "wrapped": ("{{ ('a ' * 3000000) | wordwrap(1) | length }}", {"TPL123", "TPL124"}),
    "many decimals": ("{{ 1 | amount(100000000) }}", {"TPL122"}),
    "exponent": ("{{ body.huge }}", {"TPL122", "TPL124", "TPL125"}),
    "product": ("{{ ([body.many] * 100000) | sum(start=[]) | length }}", {"TPL123", "TPL124"}),
    "compared": (LOOP * 3 + "{% if body.many == body.many %}{% endif %}" + END * 3, {"TPL123"}),
    "included": ("{% include 'bomb' %}", {"TPL123", "TPL125"}),
    "split": ("{{ (('a' * 30000000) | list) | length }}", {"TPL123", "TPL124"}),
    "title": ("{% for a in body.many %}{% set x = ((a ~ ' ') * 300000) | title %}{% endfor %}", {"TPL123"}),
}  # fmt: skip


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_stopped_in_time_and_hurts_nobody(worker: TemplateWorker, name: str) -> None:
    text, expected = BOMBS[name]
    body = {"many": list(range(200)), "huge": Decimal("1E+999999")}
    others = {"bomb": LOOP * 4 + "x" + END * 4}
    assert problems("t.txt", {"t.txt": text, **others}) == [], "a bomb that the check sees tests nothing here"
    begin = time.monotonic()
    if name == "exponent":
        body["huge"] = Decimal("1E+9999999999999")
    assert refused(worker, text, body, **others).code in expected
    assert time.monotonic() - begin < 5
    assert render(worker, "{{ body.name }}") == "ACME & Söhne"


def test_a_template_that_is_stopped_again_and_again_pauses() -> None:
    now = [0.0]
    worker = TemplateWorker(LIMITS, lambda: time.monotonic() + now[0])
    bomb = LOOP * 5 + "{% set x = a %}" + END * 5
    many = {"many": list(range(200)), "name": "n"}
    try:
        for _ in range(2):
            assert refused(worker, bomb, many).code == "TPL123"
        assert render(worker, "{{ body.name }}", many) == "n"
        pid = worker.pid
        with pytest.raises(Retryable) as caught:
            render(worker, bomb, many)
        assert caught.value.code == "TPL133"
        assert worker.pid == pid is not None, "it was not tried: the process would have been stopped"
        assert render(worker, "{{ body.name }}", many) == "n"
        now[0] = 60.0
        assert refused(worker, bomb, many).code == "TPL123"
    finally:
        worker.close()


# ---------------------------------------------------------------- the process


def test_other_limits_count_from_the_next_rendering_on() -> None:
    worker = TemplateWorker(LIMITS)
    try:
        assert render(worker, "{{ 'x' * 5000 }}") == "x" * 5000
        worker.adopt(TemplateLimits(output=1_000))
        assert worker.pid is None
        assert refused(worker, "{{ 'x' * 5000 }}", {}).code == "TPL125"
        worker.adopt(TemplateLimits(output=1_000))
        assert worker.pid is not None
    finally:
        worker.close()


def test_the_process_stays_warm_and_is_replaced_after_a_crash(worker: TemplateWorker) -> None:
    assert render(worker, "a") == "a"
    first = worker.pid
    assert render(worker, "b") == "b"
    assert worker.pid == first
    assert first is not None
    os.kill(first, signal.SIGKILL)
    with suppress(Retryable):  # its death may be seen before the request is sent, or only when no answer comes
        render(worker, "c")
    assert render(worker, "c") == "c"
    assert worker.pid != first


def test_a_crash_while_it_renders_can_be_retried() -> None:
    worker = TemplateWorker(TemplateLimits(cpu=20_000, wall=20_000))
    told: list[str] = []
    text = LOOP * 3 + "{% set x = a %}" + END * 3
    values = {"many": list(range(200))}

    def rendering() -> None:
        try:
            render(worker, text, values)
        except Retryable as error:
            told.append(error.code)

    try:
        assert render(worker, "x") == "x"
        pid = worker.pid
        assert pid is not None
        busy = threading.Thread(target=rendering)
        busy.start()
        deadline = time.monotonic() + 10
        while _cpu(pid) < 5 and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        os.kill(pid, signal.SIGSEGV)
        busy.join(10)
        assert told == ["TPL131"]
        assert render(worker, "fine") == "fine"
    finally:
        worker.close()


def _cpu(pid: int) -> int:
    """Processor time of a process since its start, in hundredths of a second, above what its start takes."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    total = int(fields[11]) + int(fields[12])
    return total - _BASE.setdefault(pid, total)


_BASE: dict[int, int] = {}


def test_the_process_knows_nothing_of_the_engine_and_reaches_nothing(worker: TemplateWorker) -> None:
    assert render(worker, "x") == "x"
    proc = Path(f"/proc/{worker.pid}")
    limits = proc.joinpath("limits").read_text("ascii")
    for name, most in (("Max open files", "3"), ("Max file size", "0"), ("Max core file size", "0")):
        line = next(line for line in limits.splitlines() if line.startswith(name))
        assert line.removeprefix(name).split()[:2] == [most, most]
    assert sorted(fd.name for fd in proc.joinpath("fd").iterdir()) == ["0", "1", "2"]
    assert b"GIROBUS" not in proc.joinpath("environ").read_bytes()
    assert "transforms.template" not in proc.joinpath("maps").read_text("ascii")
    script = Path(__file__).parents[2] / "transforms" / "template" / "sandbox.py"
    tree = [line for line in script.read_text("utf-8").splitlines() if line.startswith(("import ", "from "))]
    assert not [
        line for line in tree if line.split()[1].partition(".")[0] in ("bus", "transforms", "endpoints", "certs")
    ]


def test_a_process_that_cannot_start_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = TemplateWorker(LIMITS)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(Retryable) as caught:
        render(worker, "x")
    assert caught.value.code == "TPL132"
    silent = tmp_path / "python"
    silent.write_text("#!/bin/sh\nexit 3\n", "utf-8")
    silent.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(silent))
    with pytest.raises(Retryable) as caught:
        render(worker, "x")
    assert caught.value.code == "TPL132"


def test_a_template_that_is_not_there() -> None:
    with pytest.raises(ConfigError) as caught:
        Rendering.of(TemplateWorker(LIMITS), "x", {})
    assert caught.value.code == "CFG163"


def test_neither_the_command_nor_a_landscape_without_templates_loads_the_template_engine(tmp_path: Path) -> None:
    (tmp_path / "bus.yaml").write_text("name: x\n", "utf-8")
    code = (
        "import sys; from pathlib import Path; from bus.app import App; App(Path(sys.argv[1])).close();"
        "assert 'jinja2' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True, timeout=60)


# ---------------------------------------------------------------- the step


def test_the_step_makes_bytes_of_one_body_of_lists_and_of_groups(worker: TemplateWorker) -> None:
    text = "{% for one in items %}{{ one.n }};{% endfor %}{{ message.properties.x | default('') }}"
    rendering = Rendering.of(worker, "notes.txt", {"notes.txt": text})
    bench = StepBench(templates={"notes.txt": rendering})
    step = bench.build({"translate": {"template": "notes.txt"}})
    (found,) = bench.run(step, [{"n": "ä"}, {"n": 2}])
    assert found.body == "ä;2;".encode()
    assert found.headers.content_type == "text/plain; charset=utf-8"
    (found,) = bench.run(step, bench.group([{"n": 1}, {"n": 2}, {"n": 3}]))
    assert found.body == b"1;2;3;"
    latin = bench.build({"translate": {"template": "notes.txt", "encoding": "iso8859-1"}})
    (found,) = bench.run(latin, [{"n": "ä"}])
    assert found.body == b"\xe4;"
    for body, code in (([{"n": "€"}], "TPL129"), (b"raw", "VAL504"), ({"a": "b"}, "TPL121")):
        with pytest.raises(Rejected) as caught:
            bench.run(latin, body)
        assert caught.value.code == code


@pytest.mark.parametrize("name", ["note.txt", "note.txt.j2", "note.txt.template.j2"])
def test_the_ending_of_a_template_may_be_left_out(name: str) -> None:
    assert StepBench().spec({"translate": {"template": name}}).template == "note.txt"


@pytest.mark.parametrize("options", [{"template": "a", "mapping": "b"}, {}, {"template": "a", "encoding": "nope"}])
def test_options_that_cannot_be(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"write one of|no encoding"):
        StepBench().spec({"translate": options})


# ---------------------------------------------------------------- the landscape

ROUTE = """\
route: notes
from: {file: {path: in}}
steps:
  - parse: {csv: {columns: [n]}}
  - split: {each: rows}
  - translate: {template: note.txt}
to: none
"""


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in {"bus.yaml": "name: test\n", **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(text.encode())
    return folder


def test_a_template_is_checked_and_part_of_the_version(tmp_path: Path) -> None:
    files = {
        "notes/notes.route.yaml": ROUTE,
        "notes/note.txt.template.j2": "{{ body.n }}{% include 'foot' %}",
        "notes/foot.template.j2": "--\r\n",
        "other.template.j2": "x",
    }
    landscape = load_landscape(write(tmp_path, files)).require()
    first = route_hash(landscape, landscape.routes["notes"])
    texts = sources(landscape, landscape.routes["notes"])
    assert set(texts) == {"notes/notes.route.yaml", "notes/note.txt.template.j2", "notes/foot.template.j2"}
    again = landscape_from_sources(texts)
    assert route_hash(again, again.routes["notes"]) == first
    changed = load_landscape(write(tmp_path, {"notes/foot.template.j2": "==\r\n"})).require()
    assert route_hash(changed, changed.routes["notes"]) != first


def test_what_is_wrong_with_a_template_is_told_at_its_line(tmp_path: Path) -> None:
    files = {
        "notes.route.yaml": ROUTE.replace("note.txt", "note.txd"),
        "note.txt.template.j2": "a\n{{ body.n | uper }}\n{{ f() }}\n",
        "b/note.txt.template.j2": "{% for x in y %}",
    }
    found = load_landscape(write(tmp_path, files)).problems
    told = {(p.code, p.path, p.line) for p in found if p.severity == "error"}
    assert ("CFG163", "notes.route.yaml", 6) in told
    assert ("CFG153", "note.txt.template.j2", 1) in told
    assert ("TPL101", "b/note.txt.template.j2", 1) in told
    (wrong,) = [p for p in found if p.code == "CFG163"]
    assert wrong.hint == "did you mean `note.txt`?"
    alone = load_landscape(write(tmp_path / "c", {"note.txt.template.j2": files["note.txt.template.j2"]})).problems
    assert [(p.code, p.line) for p in alone] == [("TPL103", 2), ("TPL102", 3)]


# ---------------------------------------------------------------- a bus with a bomb in it

BUS = """\
name: test
templates: {cpu: 300ms, wall: 2s}
outlets:
  notes-out: {endpoint: {file: {path: notes}}}
  lines-out: {endpoint: {file: {path: lines}}, format: json}
"""
BOMB = (
    "{% if body.n == 'bomb' %}"
    + "{% for a in 'x' * 300 %}" * 4
    + "{% set y = a %}"
    + END * 4
    + "{% endif %}{{ body.n }}\n"
)


def test_a_bomb_rejects_its_own_message_and_the_bus_goes_on(tmp_path: Path) -> None:
    neighbour = ROUTE.replace("route: notes", "route: lines").replace("  - translate: {template: note.txt}\n", "")
    files = {
        "bus.yaml": BUS,
        "notes.route.yaml": ROUTE.replace("to: none", "to: notes-out"),
        "lines.route.yaml": neighbour.replace("path: in", "path: more").replace("to: none", "to: lines-out"),
        "note.txt.template.j2": BOMB,
    }
    rows = b"n\nfirst\nbomb\nlast\n"
    arrivals = {name: ScriptedSource([ScriptedArrival(f"{name}.csv", rows)]) for name in ("notes", "lines")}
    sinks = {name: RecordingSink() for name in ("notes-out", "lines-out")}
    clock = ManualClock(1_795_000_000_000)
    around = Surroundings(
        clock=clock,
        source=lambda _spec, resources: arrivals[resources.name],
        sink=lambda _spec, resources: sinks[resources.name],
    )
    app = App(write(tmp_path, files), around)
    try:
        begin = time.monotonic()
        for _ in range(300):
            if not app.bus.turn():
                break
            clock.advance(1)
        assert time.monotonic() - begin < 15
        assert sorted(sinks["notes-out"].delivered.values()) == [b"first\n", b"last\n"]
        assert len(sinks["lines-out"].delivered) == 3
        assert app.store.read("SELECT code, count FROM cases") == [("TPL123", 1)]
    finally:
        app.close()
    assert app.templates.pid is None


def test_other_routes_go_on_while_a_bomb_is_being_stopped(tmp_path: Path) -> None:
    """Waiting for a rendering holds one worker thread and nothing else."""
    neighbour = ROUTE.replace("route: notes", "route: lines").replace("  - translate: {template: note.txt}\n", "")
    polled = "{path: in, poll: {every: 50ms}}"
    files = {
        "bus.yaml": BUS.replace("cpu: 300ms, wall: 2s", "cpu: 4s, wall: 8s"),
        "notes.route.yaml": ROUTE.replace("to: none", "to: notes-out").replace("{path: in}", polled),
        "lines.route.yaml": neighbour.replace("{path: in}", polled.replace("in", "more")).replace(
            "to: none", "to: lines-out"
        ),
        "note.txt.template.j2": BOMB,
    }
    arrivals = {"notes": ScriptedSource([ScriptedArrival("bomb.csv", b"n\nbomb\n")]), "lines": ScriptedSource()}
    sinks = {name: RecordingSink() for name in ("notes-out", "lines-out")}
    around = Surroundings(
        source=lambda _spec, resources: arrivals[resources.name],
        sink=lambda _spec, resources: sinks[resources.name],
        threads=2,
    )
    app = App(write(tmp_path, files), around)

    def until(met: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 30
        while not met() and time.monotonic() < deadline:
            threading.Event().wait(0.02)
        assert met()

    try:
        app.bus.start()
        until(lambda: app.templates.pid is not None and _cpu(app.templates.pid) > 20)
        arrivals["lines"].arrivals.append(ScriptedArrival("lines.csv", b"n\n" + b"x\n" * 50))
        until(lambda: len(sinks["lines-out"].delivered) == 50)
        assert app.store.read("SELECT count(*) FROM cases") == [(0,)], "the bomb is still being rendered"
        until(lambda: app.store.read("SELECT code FROM cases") == [("TPL123",)])
    finally:
        app.bus.stop()
        app.close()
