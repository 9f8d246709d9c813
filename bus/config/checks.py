"""Checks what one file of a landscape says about another: names that must exist, channels, cycles, secrets.

A misspelt name of an outlet, connection or mapping is never repaired by the program: it decides where money goes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus.config.comparisons import mixed_comparisons
from bus.config.fields import Loc, has, specs
from bus.config.flow import END, RouteFlow, Way, connections_used, is_reader
from bus.config.mappings import mapping_problems
from bus.config.pickups import shared_pickups
from bus.config.problems import Problem, listed, nearest
from bus.config.profiles import misused_profiles, profile_problems
from bus.config.retention import retention_problems
from bus.config.secrets import literal_secrets
from bus.config.wording import expression_problem
from bus.registry import models, profile_support, template_problems

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bus.config.model import Landscape, Loaded
    from bus.config.yamltext import Node
    from bus.spec import Catalogue

BUS_FILE = "bus.yaml"
CONNECTIONS_FILE = "connections.yaml"
_RAW_FORMATS = ("csv", "json", "fixed-width", "xml")
"""Formats whose records have the sender's own fields, so that their worth is known only after a mapping."""


def cross_check(landscape: Landscape, catalogue: Catalogue) -> list[Problem]:
    """All problems between files, and within routes beyond what their specs check by themselves."""
    return list(_Checks(landscape, catalogue).run())


class _Checks:
    def __init__(self, landscape: Landscape, catalogue: Catalogue) -> None:
        self._landscape = landscape
        self._catalogue = catalogue
        self._flows = [RouteFlow(loaded) for loaded in landscape.routes.values()]
        # Names are taken from the raw files too: a file with a mistake must not make its name unknown elsewhere.
        self._outlets = self._raw_keys(BUS_FILE, "outlets")
        self._connections = self._raw_keys(CONNECTIONS_FILE, "connections")
        self._channels = {flow.channel for flow in self._flows if flow.channel} | self._raw_channels()

    def run(self) -> Iterator[Problem]:
        yield from self._reserved()
        yield from self._two_readers()
        yield from shared_pickups(self._landscape, self._flows)
        sent: set[str] = set()
        for flow in self._flows:
            yield from flow.problems()
            for way in flow.ways:
                sent.add(way.name)
                if way.name not in self._outlets and way.name not in self._channels:
                    yield self._nowhere(flow, way)
            yield from self._parts(flow)
            yield from self._lookups(flow)
            yield from mixed_comparisons(flow)
            yield from self._worth(flow)
        yield from self._nobody_sends(sent)
        yield from self._cycles()
        yield from self._outlet_connections()
        yield from self._templates()
        yield from mapping_problems(self._landscape, self._raw_names("table"), self._raw_names("mapping"))
        yield from profile_problems(self._landscape)
        yield from retention_problems(self._landscape)
        yield from self._secrets()

    # ------------------------------------------------------------ names

    def _raw_keys(self, path: str, key: str) -> set[str]:
        file = self._landscape.files.get(path)
        if file is None or file.root is None:
            return set()
        return _keys(file.root, key)

    def _raw_channels(self) -> set[str]:
        found = set()
        for file in self._landscape.files.values():
            if file.root is not None and file.path.endswith(".route.yaml"):
                value = _under(file.root, ("from", "channel"))
                if value:
                    found.add(value)
        return found

    def _raw_names(self, kind: str) -> set[str]:
        """Names of all mappings, tables, templates, profiles or canonical models, those with mistakes too."""
        if kind == "model":
            return set(models())
        if kind == "template":
            return set(self._landscape.templates)
        shipped = set(profile_support().shipped_texts()) if kind == "profile" else set()
        roots = [
            f.root for f in self._landscape.files.values() if f.path.endswith(f".{kind}.yaml") and f.root is not None
        ]
        several = (name for root in roots for name in _keys(root, f"{kind}s"))
        return {*(_under(root, (kind,)) for root in roots), *several, *shipped} - {""}

    def _reserved(self) -> Iterator[Problem]:
        for name in sorted(self._outlets):
            if name == END or name in self._channels or name in self._landscape.routes:
                # What a route takes in waits on a channel of its name.
                other = "a channel that a route reads" if name in self._channels else "a route"
                why = "is the word for no way out" if name == END else f"is also the name of {other}"
                node = self._landscape.files[BUS_FILE].root
                place = node.find(("outlets", name))[1] if node is not None else None
                if place is not None:
                    yield place.problem(
                        "CFG158", BUS_FILE, f"the outlet name `{name}` {why}", hint="choose another name"
                    )

    def _two_readers(self) -> Iterator[Problem]:
        readers: dict[str, RouteFlow] = {}
        for flow in self._flows:
            if flow.channel and readers.setdefault(flow.channel, flow) is not flow:
                message = f"the channel `{flow.channel}` is read by two routes"
                hint = f"the other is `{readers[flow.channel].spec.route}`; send to each by its own channel"
                yield flow.say("CFG154", ("from", "channel"), message, hint=hint)

    def _nowhere(self, flow: RouteFlow, way: Way) -> Problem:
        known = sorted(self._outlets | self._channels)
        near = nearest(way.name, known)
        hint = f"did you mean `{near}`?" if near else f"known: {listed([*known, END])}"
        message = f"`{way.name}` is neither an outlet nor a channel that a route reads"
        return flow.say("CFG161", way.loc, message, hint=hint)

    def _nobody_sends(self, sent: set[str]) -> Iterator[Problem]:
        for flow in self._flows:
            if flow.channel and flow.channel not in sent:
                message = f"nothing comes here: no route sends to the channel `{flow.channel}`"
                near = nearest(flow.channel, sorted(sent - self._outlets - self._channels))
                hint = f"did you mean `{near}`?" if near else "write `to:` with this name in a route"
                yield flow.say("CFG155", ("from", "channel"), message, severity="warning", hint=hint)

    # ------------------------------------------------------------ what routes refer to

    def _parts(self, flow: RouteFlow) -> Iterator[Problem]:
        """Connections, mappings, value tables, templates and canonical models that a route names."""
        for loc, name, key in connections_used(flow.specs):
            problem = self._connection(name, key)
            if problem:
                yield flow.say("CFG164", loc, problem[0], hint=problem[1])
        for kind in ("mapping", "table", "template", "model", "profile"):
            known: set[str] | None = None
            for loc, step in flow.steps:
                used: Any = getattr(step, kind) if has(step, kind) else None
                if not isinstance(used, str) or not used:
                    continue
                known = self._raw_names(kind) if known is None else known
                if used not in known:
                    near = nearest(used, sorted(known))
                    new = f"write {used}.{kind}.yaml, with `{kind}: {used}` inside"
                    new = f"write {used}.template.j2" if kind == "template" else new
                    new = f"known: {listed(sorted(known))}" if kind == "model" else new
                    hint = f"did you mean `{near}`?" if near else new
                    yield flow.say("CFG163", (*loc, kind), f"there is no {kind} `{used}`", hint=hint)
        for loc, code, message, hint in misused_profiles(self._landscape, flow.steps):
            yield flow.say(code, loc, message, hint=hint)

    def _lookups(self, flow: RouteFlow) -> Iterator[Problem]:
        """Value tables that expressions name."""
        for loc, text, _ in flow.expressions:
            if "lookup" in text:
                yield from self._lookup(flow.loaded, loc, text, dict.fromkeys(self._raw_names("table")))

    def _lookup(self, loaded: Loaded[Any], loc: Loc, text: str, tables: dict[str, Any]) -> Iterator[Problem]:
        node, _ = loaded.root.find(loc)
        problem = expression_problem(node, loaded.path, tables) if node.value == text else None
        if problem is not None:
            yield problem

    def _connection(self, name: str, key: str) -> tuple[str, str] | None:
        """(message, hint) when there is no such connection, or one of another technology."""
        if name not in self._connections:
            near = nearest(name, sorted(self._connections))
            hint = f"did you mean `{near}`?" if near else f"write it in {CONNECTIONS_FILE}"
            return f"there is no connection `{name}`", hint
        spec = self._landscape.connections.get(name)
        if spec is not None and key in self._catalogue.keys("connection") and spec.key != key:
            return f"`{name}` is a connection of `{spec.key}`, not of `{key}`", ""
        return None

    def _outlet_connections(self) -> Iterator[Problem]:
        file = self._landscape.files.get(BUS_FILE)
        if file is None or file.root is None:
            return
        for loc, name, key in connections_used(specs(self._landscape.spec)):
            problem = self._connection(name, key)
            if problem:
                yield file.root.find(loc)[0].problem("CFG164", BUS_FILE, problem[0], hint=problem[1])

    def _templates(self) -> Iterator[Problem]:
        """What templates may not say. Only where there is one does this load the template engine."""
        texts = {name: template.text for name, template in self._landscape.templates.items()}
        for name, template in self._landscape.templates.items():
            for code, line, message, hint in template_problems(name, texts):
                yield Problem(code, "error", template.path, line, 1, message, hint)

    # ------------------------------------------------------------ routes as a graph

    def _cycles(self) -> Iterator[Problem]:
        """Routes that send to each other in a circle, with nothing in it that waits."""
        eager = [flow for flow in self._flows if not any(step.boundary == "hold" for _, step in flow.steps)]
        reader = {flow.channel: flow.spec.route for flow in eager if flow.channel}
        after = {f.spec.route: {reader[w.name] for w in f.ways if w.name in reader} for f in eager}
        reached = {name: _reachable(name, after) for name in after}
        told: set[str] = set()
        for flow in eager:
            name = flow.spec.route
            if name not in reached[name] or name in told:
                continue
            circle = sorted(other for other in reached[name] if name in reached[other])
            told.update(circle)
            way = next(w for w in flow.ways if reader.get(w.name) in circle)
            message = f"messages can go round for ever: {' → '.join([*circle, circle[0]])}"
            hint = "put a `delay` or `hold` into the circle, or end it with a condition"
            yield flow.say("CFG156", way.loc, message, severity="warning", hint=hint)

    # ------------------------------------------------------------ money, secrets

    def _worth(self, flow: RouteFlow) -> Iterator[Problem]:
        """Whether amounts can be conserved, or only counts."""
        spec = flow.spec
        if flow.channel or not spec.steps or (spec.money and "money" in spec.model_fields_set):
            return
        parsed = [getattr(step, "format", None) for _, step in flow.steps if is_reader(step)]
        mapped = any(getattr(step, "mapping", "") for _, step in flow.steps if has(step, "mapping"))
        if spec.money and (mapped or any(getattr(form, "key", "") not in _RAW_FORMATS for form in parsed)):
            return
        message = "counts only: nothing says what a message is worth"
        hint = "write `money:` with an expression for {value, currency}, where there are amounts"
        yield flow.say("CFG178", ("route",), message, severity="info", hint=hint)

    def _secrets(self) -> Iterator[Problem]:
        told = {(p.path, p.line, p.column) for p in self._landscape.problems if p.code == "CFG141"}
        for file in self._landscape.files.values():
            by_key = not file.path.endswith((".mapping.yaml", ".table.yaml"))
            for found in literal_secrets(file, by_key=by_key):
                if (found.path, found.line, found.column) not in told:
                    yield found


def _reachable(start: str, after: dict[str, set[str]]) -> set[str]:
    found: set[str] = set()
    todo = list(after[start])
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += after[name]
    return found


def _keys(root: Node, key: str) -> set[str]:
    """The keys of the mapping under a key of a file."""
    under = root.value.get(key) if isinstance(root.value, dict) else None
    return set(under.value) if under is not None and isinstance(under.value, dict) else set()


def _under(root: Node, loc: Loc) -> str:
    """The string at exactly this place, ``""`` when there is none."""
    node = root
    for part in loc:
        if not isinstance(node.value, dict) or part not in node.value:
            return ""
        node = node.value[str(part)]
    return node.value if isinstance(node.value, str) else ""
