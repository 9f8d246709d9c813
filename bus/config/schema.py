"""JSON Schema of the configuration files, with the plug-ins that are installed, for editors and other tools.

Written so that servers that speak draft 7 understand it too: no tuples, no ``unevaluated…``. Scalars are accepted as
an editor's YAML types them (``10`` as a number) and as they are loaded here (as text); what the text means is checked
by ``bus check``.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, get_args

from bus.config.fields import annotation, bare, fields, slot
from bus.landscape import ConnectionsSpec, LandscapeSpec, RouteSpec
from bus.registry import mapping_support, profile_support
from bus.spec import PLUG_IN_SLOT, Catalogue, Kind, PlugInSpec

if TYPE_CHECKING:
    from pydantic import BaseModel

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_KINDS: tuple[Kind, ...] = get_args(Kind)
_TITLES = {
    "route": "girobus route (*.route.yaml)",
    "mapping": "girobus mapping (*.mapping.yaml)",
    "table": "girobus value table (*.table.yaml)",
    "profile": "girobus profile (*.profile.yaml)",
    "bus": "girobus landscape (bus.yaml)",
    "connections": "girobus connections (connections.yaml)",
    "test": "girobus test (*.test.yaml)",
}
SCHEMAS = tuple(_TITLES)
"""The kinds of files that have a schema."""

Schema = dict[str, Any]


def json_schema(kind: str, catalogue: Catalogue, model: type[BaseModel] | None = None) -> Schema:
    """The schema of one kind of file.

    Args:
        kind: one of :data:`SCHEMAS`.
        catalogue: the plug-ins to offer.
        model: the spec of the file, for a kind that this package does not know (``test``).
    """
    builder = _Builder(catalogue)
    root = builder.take(model or _model(kind), "")
    if kind == "route":
        origin = root["properties"]["from"]
        origin["oneOf"] = [*origin.pop("allOf"), _CHANNEL]
    return {"$schema": _DRAFT, "title": _TITLES[kind], **root, "$defs": builder.all_definitions()}


def _model(kind: str) -> type[BaseModel]:
    own: dict[str, type[BaseModel]] = {"route": RouteSpec, "bus": LandscapeSpec, "connections": ConnectionsSpec}
    if kind in own:
        return own[kind]
    if kind == "profile":
        profile: type[BaseModel] = profile_support().ProfileSpec
        return profile
    support = mapping_support()
    found: type[BaseModel] = support.MappingSpec if kind == "mapping" else support.TableSpec
    return found


class _Builder:
    """Collects definitions; those of plug-ins are made only when a file can hold one of that kind."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._definitions: dict[str, Schema] = {}
        self._wanted: list[Kind] = []

    def take(self, model: type[BaseModel], prefix: str) -> Schema:
        """The schema of a spec; the definitions it needs are kept under names that begin with ``prefix``."""
        made = model.model_json_schema(by_alias=True, ref_template=f"#/$defs/{prefix}{{model}}")
        for name, definition in made.pop("$defs", {}).items():
            self._definitions[prefix + name] = self._adapted(definition)
        schema: Schema = self._adapted(made)
        schema.pop("title", None)
        for key in _reshaped(model) & schema.get("properties", {}).keys():
            known = schema["properties"][key]
            told = {name: known.pop(name) for name in ("description", "default") if name in known}
            schema["properties"][key] = {"anyOf": [known, {}], **told}
        return schema

    def all_definitions(self) -> dict[str, Schema]:
        """Everything referred to, with ``any-step`` and the like."""
        done: set[Kind] = set()
        while waiting := [kind for kind in self._wanted if kind not in done]:
            for kind in waiting:
                done.add(kind)
                self._definitions[f"any-{kind}"] = self._any(kind)
        return dict(sorted(self._definitions.items()))

    def _any(self, kind: Kind) -> Schema:
        """One of the plug-ins of a kind: a mapping with its key, or its name alone where options are not needed."""
        keys = self._catalogue.keys(kind)
        options: list[Schema] = []
        for key in keys:
            spec = self._catalogue.spec(kind, key)
            one = {
                "type": "object",
                "title": key,
                "description": _sentence(spec),
                "properties": {key: self._options(kind, spec)},
                "required": [key],
                "additionalProperties": False,
            }
            options.append(one)
        if kind == "format":
            options.append(
                {"type": "string", "title": "name", "description": "A format by its name, as `pain.001.001.09`."}
            )
        elif kind == "step":
            options.append({"type": "string", "title": "name", "enum": keys, "description": "A step without options."})
        return {"oneOf": options}

    def _options(self, kind: Kind, spec: type[PlugInSpec]) -> Schema:
        """What may stand under a plug-in's key: its options, nothing, or the value of its shorthand."""
        name = f"{kind}.{spec.key}"
        full = self.take(spec, f"{name}.")
        self._definitions[name] = full
        forms: list[Schema] = [{"$ref": f"#/$defs/{name}"}]
        if not full.get("required"):
            forms.append({"type": "null"})
        info = fields(spec).get(_alias(spec, spec.shorthand)) if spec.shorthand else None
        if info is not None:
            plug_in = slot(annotation(info)) or slot(bare(annotation(info)))
            if plug_in is not None:
                forms.append(self._unwrapped(full, _alias(spec, spec.shorthand), plug_in))
            short = full.get("properties", {}).get(_alias(spec, spec.shorthand))
            if short is not None:
                forms.append({key: value for key, value in short.items() if key != "default"})
        return forms[0] if len(forms) == 1 else {"anyOf": forms, "description": _sentence(spec)}

    def _unwrapped(self, full: Schema, shorthand: str, plug_in: Kind) -> Schema:
        """``parse: {csv: …, whole_up_to: …}``: the plug-in's key beside the step's own options."""
        own = {key: value for key, value in full["properties"].items() if key != shorthand}
        others: Schema = {}
        for key in self._catalogue.keys(plug_in):
            others[key] = self._options(plug_in, self._catalogue.spec(plug_in, key))
        return {"type": "object", "properties": {**own, **others}, "additionalProperties": False}

    def _adapted(self, schema: Any) -> Any:
        """Slots become references, scalars accept what an editor makes of them."""
        if isinstance(schema, list):
            return [self._adapted(item) for item in schema]
        if not isinstance(schema, dict):
            return schema
        if PLUG_IN_SLOT in schema:
            kind: Kind = schema[PLUG_IN_SLOT]
            self._wanted.append(kind)
            rest = {key: value for key, value in schema.items() if key in ("title", "description")}
            return {"allOf": [{"$ref": f"#/$defs/any-{kind}"}], **rest}
        made = {}
        for key, value in schema.items():
            if key in ("properties", "$defs"):
                made[key] = {name: self._adapted(item) for name, item in value.items()}
            elif key in ("default", "enum", "const", "required", "examples"):
                made[key] = value
            else:
                made[key] = self._adapted(value)
        return _loosened(made)


_CHANNEL: Schema = {
    "type": "object",
    "title": "channel",
    "description": "Reads what other routes send to this name.",
    "properties": {"channel": {"type": "string"}},
    "required": ["channel"],
    "additionalProperties": False,
}
_AS_TEXT = {
    "integer": r"^[+-]?\d+$",
    "number": r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$",
    "boolean": "^([Tt]rue|[Ff]alse|yes|no|on|off)$",
}


def _loosened(schema: Schema) -> Schema:
    """A scalar's schema that takes the value typed by YAML and the text of it alike."""
    kind = schema.get("type")
    if isinstance(schema.get("default"), dict | list):
        del schema["default"]  # as they are loaded, not as they are written
    if kind == "string":
        if not isinstance(schema.get("default", ""), str):
            del schema["default"]  # the default of a duration is a number of milliseconds, which nobody may write
        if "enum" not in schema and "const" not in schema:
            return {**schema, "type": ["string", "number", "boolean"]}
    elif kind in _AS_TEXT:
        text: Schema = {"type": "string", "pattern": _AS_TEXT[str(kind)]}
        keep: Schema = {key: schema.pop(key) for key in ("title", "description", "default") if key in schema}
        return {"anyOf": [schema, text], **keep}
    return schema


def _reshaped(model: type[BaseModel]) -> set[str]:
    """The keys whose value a validator brings into shape first, so that more may be written than the type says."""
    validators = model.__pydantic_decorators__.field_validators.values()
    names = {name for validator in validators if validator.info.mode == "before" for name in validator.info.fields}
    return {_alias(model, name) for name in names}


def _sentence(spec: type[BaseModel]) -> str:
    return inspect.cleandoc(spec.__doc__ or spec.__name__)


def _alias(spec: type[BaseModel], name: str) -> str:
    return spec.model_fields[name].alias or name if name in spec.model_fields else name
