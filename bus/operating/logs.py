"""The log of a process: one form for all lines, JSON or console, without payloads and secrets whatever is logged.

The engine logs through :mod:`logging`, an event in plain words and its facts as fields. Nothing is formatted below the
level. Here, at the end of the line, structlog's processors make text of it.
"""

from __future__ import annotations

import logging
import os
import re
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import structlog

from bus.settings import load_settings

LOGGER = "girobus"
_LONGEST = 500
"""Characters of one value; what is longer is no fact but content."""
_FRAMES = 4
_HARMFUL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
_PASSWORD = re.compile(r"(://[^/\s:@]*:)\S+@")
"""Up to the last ``@``, for one or a slash may stand in a password that nobody has encoded."""
_OPTION = re.compile(r"(?i)\b((?:ssl)?password=)[^\s&]+")
_SAID_BY_US = ("pika.adapters", "pika.connection")
"""Of a connection that fails they write up to six errors, of arguments alone; our NET221 says why."""
_ROOT = Path(__file__).parents[2]

Fields = MutableMapping[str, Any]


def formatter(form: Literal["console", "json"]) -> logging.Formatter:
    """Makes a line of a record."""
    chain: list[Any] = [_known, structlog.stdlib.ExtraAdder(), _raised, _clean]
    end = _in_order if form == "json" else _readable
    render = structlog.processors.JSONRenderer(ensure_ascii=False) if form == "json" else _console
    remove = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    return structlog.stdlib.ProcessorFormatter(foreign_pre_chain=chain, processors=[remove, end, render])


@contextmanager
def logging_to_stderr(level: str, form: Literal["console", "json"]) -> Iterator[None]:
    """Log for the time of the block: our own lines from ``level`` on, those of libraries from warnings on."""
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(form))
    handler.addFilter(lambda record: not record.name.startswith(_SAID_BY_US))
    root, ours = logging.getLogger(), logging.getLogger(LOGGER)
    before = ours.level
    root.addHandler(handler)
    ours.setLevel(level.upper())
    try:
        yield
    finally:
        ours.setLevel(before)
        root.removeHandler(handler)


@contextmanager
def quiet_unless_asked() -> Iterator[None]:
    """For verbs that tell a story of their own: what became of messages is a part of it, so the log has errors only.

    Whoever sets ``GIROBUS_LOG_LEVEL`` gets the whole log.
    """
    if "GIROBUS_LOG_LEVEL" in os.environ:
        settings = load_settings()
        with logging_to_stderr(settings.log_level, settings.log_format):
            yield
        return
    handler = logging.StreamHandler()
    handler.setFormatter(formatter("console"))
    handler.setLevel(logging.ERROR)
    handler.addFilter(lambda record: record.msg != "messages %s")
    ours = logging.getLogger(LOGGER)
    ours.addHandler(handler)
    try:
        yield
    finally:
        ours.removeHandler(handler)


# ---------------------------------------------------------------- processors


def _known(_logger: Any, _method: str, fields: Fields) -> Fields:
    """Time, level and logger; of a library's line the words alone, for its arguments may be anything."""
    record: logging.LogRecord = fields["_record"]
    fields["at"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    fields["level"] = record.levelname.lower()
    fields["logger"] = record.name
    if record.name.partition(".")[0] != LOGGER:
        fields["event"] = str(record.msg)
    return fields


def _raised(_logger: Any, _method: str, fields: Fields) -> Fields:
    """Of an exception its type and where it was, never its text, which may hold payload."""
    fields.pop("exc_info", None)
    raised = fields["_record"].exc_info
    if raised and raised[0]:
        fields["error"] = raised[0].__name__
        frames = traceback.extract_tb(raised[2])[-_FRAMES:]
        fields["where"] = " < ".join(f"{_place(frame.filename)}:{frame.lineno}" for frame in reversed(frames))
    return fields


def _place(name: str) -> str:
    path = Path(name)
    return str(path.relative_to(_ROOT)) if path.is_relative_to(_ROOT) else path.name


def _clean(_logger: Any, _method: str, fields: Fields) -> Fields:
    """No line breaks and no orders to a terminal from outside, no passwords in addresses, nothing of any length."""
    for name, value in list(fields.items()):
        if name not in ("_record", "_from_structlog"):
            fields[name] = _plain(value)
    return fields


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, dict):
        return {_text(str(key)): _plain(inner) for key, inner in value.items()}
    return _text(value if isinstance(value, str) else type(value).__name__)


def _text(text: str) -> str:
    short = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return _OPTION.sub(r"\1***", _PASSWORD.sub(r"\1***@", _HARMFUL.sub("\ufffd", short)))


# ---------------------------------------------------------------- lines


def _in_order(_logger: Any, _method: str, fields: Fields) -> Fields:
    first = {"at": fields.pop("at"), "level": fields.pop("level"), "logger": fields.pop("logger")}
    return {**first, "message": fields.pop("event"), **fields}


def _readable(_logger: Any, _method: str, fields: Fields) -> Fields:
    if fields["logger"] == LOGGER:
        del fields["logger"]
    return fields


def _console(_logger: Any, _method: str, fields: Fields) -> str:
    """``2026-11-28T16:00:00.000Z WARNING  what happened  key=value …``."""
    head = f"{fields.pop('at')} {fields.pop('level').upper():<7} {fields.pop('event')}"
    code = fields.pop("code", "")
    parts = [f"{name}={_shown(value)}" for name, value in fields.items() if value not in ("", None)]
    return " ".join([head, *([f"[{code}]"] if code else []), *parts])


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ",".join(f"{key}:{inner}" for key, inner in value.items())
    text = str(value)
    return f'"{text}"' if " " in text else text
