"""The render worker as the bus sees it: one warm process that is replaced when a template breaks its limits."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from bus import ConfigError, Rejected, Retryable
from transforms.template.names import included, markup, media_type

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_OUT_OF_MEMORY = 77
"""Exit code of a worker without memory for an answer, as ``sandbox.py`` has it."""
_START = 20.0
"""Seconds that a new process may take until it is ready."""
_STRIKES = 2
"""So often in a row a template may be stopped before it has to pause …"""
_PAUSE = 30.0
"""… for so many seconds."""
_BLOCK = 1 << 16
_MOST_DEPTH = 64
_NUMBERS = msgspec.json.Encoder(decimal_format="number")


class Limits(Protocol):
    """What one rendering may take: :class:`bus.landscape.TemplateLimits`."""

    @property
    def cpu(self) -> int:
        """Milliseconds of processor time."""

    @property
    def wall(self) -> int:
        """Milliseconds until the answer."""

    @property
    def memory(self) -> int:
        """Bytes of address space."""

    @property
    def output(self) -> int:
        """Characters of the text made, and bytes of the values given."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A template with all that it includes; ``key`` is the hash of their texts."""

    name: str
    texts: Mapping[str, str]
    key: str

    @classmethod
    def of(cls, name: str, texts: Mapping[str, str]) -> Bundle:
        """A bundle of these texts."""
        content = json.dumps([name, dict(sorted(texts.items()))])
        return cls(name, texts, hashlib.sha256(content.encode()).hexdigest())


@dataclass(frozen=True, slots=True)
class Rendering:
    """A template and the worker that renders it: :class:`bus.ports.TextTemplate`."""

    worker: TemplateWorker
    bundle: Bundle
    media_type: str

    @classmethod
    def of(cls, worker: TemplateWorker, name: str, texts: Mapping[str, str]) -> Rendering:
        """The template of that name with those that it includes, out of all ``texts``.

        Raises:
            ConfigError: ``CFG163`` when there is no template of that name.
        """
        if name not in texts:
            raise ConfigError("CFG163", f"there is no template `{name}`", hint=f"write {name}.template.j2")
        todo: list[str] = [name]
        needed: dict[str, str] = {}
        while todo:
            one = todo.pop()
            if one in texts and one not in needed:
                needed[one] = texts[one]
                todo += included(texts[one])
        return cls(worker, Bundle.of(name, needed), media_type(name))

    def render(self, values: dict[str, Any]) -> str:
        """See :meth:`TemplateWorker.render`."""
        return self.worker.render(self.bundle, values)


class TemplateWorker:
    """Renders templates outside of this process. Thread-safe; blocks until the text is there or a limit is reached.

    The process is started on first use and stays warm. One that was killed is replaced at the next call.

    Args:
        limits: what one rendering may take.
        clock: seconds, monotonic.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._known: set[str] = set()
        self._strikes: dict[str, tuple[int, float]] = {}

    @property
    def pid(self) -> int | None:
        """Of the process while there is one."""
        return self._process.pid if self._process is not None else None

    def render(self, bundle: Bundle, values: dict[str, Any]) -> str:
        """The text that a template makes of plain values.

        Raises:
            Rejected: ``TPL121`` to ``TPL129``: it cannot be made of these values, or costs more than it may.
            Retryable: ``TPL131`` the process ended by itself, ``TPL132`` it does not start, ``TPL133`` the template
                was stopped again and again, and pauses.
        """
        data = _encoded(values, self._limits.output)
        with self._lock:
            self._refuse_paused(bundle.key)
            try:
                text = self._answer(bundle, data)
            except Rejected as error:
                if error.code in ("TPL123", "TPL124"):
                    count, _ = self._strikes.get(bundle.key, (0, 0.0))
                    self._strikes[bundle.key] = (count + 1, self._clock() + _PAUSE)
                raise
            self._strikes.pop(bundle.key, None)
        return text

    def adopt(self, limits: Limits) -> None:
        """Other limits from the next rendering on."""
        with self._lock:
            if limits != self._limits:
                self._limits = limits
                self._strikes.clear()
                self._stop()

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._stop()

    def _refuse_paused(self, key: str) -> None:
        count, until = self._strikes.get(key, (0, 0.0))
        if count >= _STRIKES and self._clock() < until:
            message = "the template was stopped for its cost again and again; it is tried again in a while"
            raise Retryable("TPL133", message, hint="mend the template, or what it is given")

    # ------------------------------------------------------------ one exchange

    def _answer(self, bundle: Bundle, data: bytes) -> str:
        answer = self._asked(bundle, data, with_texts=bundle.key not in self._known)
        if answer.get("unknown"):
            answer = self._asked(bundle, data, with_texts=True)
        if answer.get("ends"):
            self._stop()
        if "text" in answer:
            self._known.add(bundle.key)
            return str(answer["text"])
        where = str(answer.get("template") or bundle.name)
        place = f"{where}, line {answer['line']}" if answer.get("line") else where
        hint = _HINTS.get(answer["code"], "correct the template")
        raise Rejected(answer["code"], f"template {place}: {answer['message']}", hint=hint, place=place)

    def _asked(self, bundle: Bundle, data: bytes, *, with_texts: bool) -> dict[str, Any]:
        head: dict[str, Any] = {"key": bundle.key, "name": bundle.name, "most": self._limits.output}
        if with_texts:
            head |= {"templates": dict(bundle.texts), "markup": markup(bundle.name)}
        request = json.dumps(head).encode()[:-1] + b',"values":' + data + b"}"
        deadline = self._clock() + self._limits.wall / 1000
        process = self._process
        if process is None or process.poll() is not None:
            process = self._start()
            deadline = self._clock() + self._limits.wall / 1000
        try:
            raw = _exchanged(process, request, deadline, self._clock)
        except TimeoutError:
            self._stop()
            raise Rejected(
                "TPL123", f"template {bundle.name}: takes longer than it may", hint=_HINTS["TPL123"]
            ) from None
        except (OSError, EOFError):
            raise self._ended(bundle) from None
        answer: dict[str, Any] = json.loads(raw)
        return answer

    def _ended(self, bundle: Bundle) -> Rejected | Retryable:
        """Why there was no answer."""
        code: int | None = None
        with suppress(subprocess.TimeoutExpired):
            code = self._process.wait(5) if self._process is not None else None
        self._stop()
        if code in (-signal.SIGPROF, -signal.SIGXCPU):
            return Rejected("TPL123", f"template {bundle.name}: takes longer than it may", hint=_HINTS["TPL123"])
        if code == _OUT_OF_MEMORY:
            message = f"template {bundle.name}: needs more memory than it may have"
            return Rejected("TPL124", message, hint=_HINTS["TPL124"])
        return Retryable(
            "TPL131", f"the process that renders templates ended by itself ({code})", hint="it is replaced"
        )

    # ------------------------------------------------------------ the process

    def _start(self) -> subprocess.Popen[bytes]:
        """A new process that has answered once, so that its start does not count as rendering."""
        self._stop()
        places = dict.fromkeys(_folder(name) for name in ("jinja2", "markupsafe"))
        script = Path(__file__).with_name("sandbox.py")
        line = [sys.executable, "-I", "-S", "-B", str(script), os.pathsep.join(places)]
        line += [str(self._limits.memory), str(self._limits.cpu / 1000)]
        try:
            process = subprocess.Popen(  # noqa: S603 - our own file, run by this Python
                line,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={"LC_ALL": "C.UTF-8"},
                cwd="/",
                bufsize=0,
            )
        except OSError as error:
            message = f"the process that renders templates does not start: {error.strerror}"
            raise Retryable("TPL132", message, hint=_HINTS["TPL132"]) from None
        self._process = process
        try:
            _exchanged(process, b'{"key":""}', self._clock() + _START, self._clock)
        except (OSError, EOFError):
            self._stop()
            message = "the process that renders templates ends as soon as it starts"
            raise Retryable("TPL132", message, hint=_HINTS["TPL132"]) from None
        return process

    def _stop(self) -> None:
        process, self._process = self._process, None
        self._known.clear()
        if process is None:
            return
        process.kill()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                stream.close()
        process.wait(5)


_HINTS = {
    "TPL132": "is there memory for one more process, and is `templates: {memory: …}` in bus.yaml enough to start?",
    "TPL121": "correct the name, or write `| default('')` where the field may be missing",
    "TPL123": "make less of the template, or raise `templates: {cpu: …, wall: …}` in bus.yaml",
    "TPL124": "make less of the template, or raise `templates: {memory: …}` in bus.yaml",
    "TPL125": "split the message, or raise `templates: {output: …}` in bus.yaml",
    "TPL126": "print a field that has a value, or write `{% if … %}` around it",
}


def _folder(name: str) -> str:
    """The folder that a package is imported from, without importing it."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        raise Retryable("TPL132", f"the package {name} is not installed", hint="pip install girobus again")
    return str(Path(found.origin).parents[1])


def _exchanged(process: subprocess.Popen[bytes], request: bytes, deadline: float, clock: Callable[[], float]) -> bytes:
    """Send one request and wait for its answer, never longer than until ``deadline``.

    Raises:
        TimeoutError: it is not there in time.
        EOFError, OSError: the process has ended.
    """
    if process.stdin is None or process.stdout is None:
        raise EOFError
    into, out = process.stdin.fileno(), process.stdout.fileno()
    os.set_blocking(into, False)
    left = memoryview(len(request).to_bytes(4, "big") + request)
    found = bytearray()
    with selectors.DefaultSelector() as ready:
        ready.register(out, selectors.EVENT_READ)
        ready.register(into, selectors.EVENT_WRITE)
        while len(found) < 4 or len(found) < 4 + int.from_bytes(found[:4], "big"):
            remaining = deadline - clock()
            if remaining <= 0:
                raise TimeoutError
            for key, _ in ready.select(remaining):
                if key.fd == into:
                    left = left[os.write(into, left[:_BLOCK]) :]
                    if not left:
                        ready.unregister(into)
                    continue
                block = os.read(out, _BLOCK)
                if not block:
                    raise EOFError
                found += block
    return bytes(found[4:])


def _encoded(values: dict[str, Any], most: int) -> bytes:
    """Plain values as JSON with exact numbers.

    Raises:
        Rejected: ``TPL128`` they hold a binary float or something that is no plain data, or are too large.
    """
    if not _is_plain(values, _MOST_DEPTH):
        message = "a template takes plain data: texts, exact numbers, lists and objects"
        raise Rejected("TPL128", message, hint="parse the body, or map it, before")
    try:
        data = _NUMBERS.encode(values)
    except (msgspec.MsgspecError, OverflowError, ValueError, UnicodeError, TypeError):
        raise Rejected("TPL128", "the body holds a value that cannot be handed to a template") from None
    if len(data) > most:
        raise Rejected("TPL128", "the body is larger than a template may be given", hint=_HINTS["TPL125"])
    return data


def _is_plain(value: Any, depth: int) -> bool:
    if isinstance(value, dict):
        return depth > 0 and all(isinstance(k, str) and _is_plain(item, depth - 1) for k, item in value.items())
    if isinstance(value, list | tuple):
        return depth > 0 and all(_is_plain(item, depth - 1) for item in value)
    return value is None or isinstance(value, str | int) or (isinstance(value, Decimal) and value.is_finite())
