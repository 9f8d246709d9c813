"""What can go wrong, as a tree; every error carries a stable code that ``bus explain CODE`` describes.

::

    BusError                    everything girobus raises on purpose
    ├── ConfigError             a route, mapping or connection file says something impossible (CFG…)
    ├── Retryable               may work later: partner away (NET…); retried with back-off
    │   └── Stalled             nothing can be settled now, by nobody: store or broker away; work stays where it is
    ├── Rejected                will never work: bad content, broken rule (VAL…, MAP…, POL…); dead letter or reject file
    ├── Held                    must wait for a person (DUP…, POL…); becomes a case, released or discarded
    ├── InDoubt                 an outward effect may or may not have happened (NET9xx); never retried blindly
    ├── Unavailable             something this process needs is taken or absent (SYS1xx); the command exits 5
    └── NotAllowed              a person asked for what the rules refuse (SYS2xx); the command exits 4

Messages of errors never contain payloads or secrets: name the place and the rule, not the value of a secret field.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing worth telling about a document or a config file.

    ``place`` is where a person looks: ``line 17``, ``line 3, column 9``, ``/Document/CstmrCdtTrfInitn/GrpHdr/CtrlSum``.
    """

    code: str
    severity: Severity
    place: str
    message: str


class BusError(Exception):
    """Base of all errors raised on purpose.

    Args:
        code: stable code, listed in :mod:`bus.codes`.
        message: one sentence: what is wrong, with the place.
        hint: what to write or do instead.
    """

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        """``CODE message (hint)``, the form of logs and cases."""
        return f"{self.code} {self.message}" + (f" ({self.hint})" if self.hint else "")


class ConfigError(BusError):
    """A file that an operator wrote cannot be understood; ``path``, ``line`` and ``column`` (1-based) say where."""

    def __init__(
        self, code: str, message: str, *, hint: str = "", path: str = "", line: int = 0, column: int = 0
    ) -> None:
        super().__init__(code, message, hint=hint)
        self.path = path
        self.line = line
        self.column = column


class Retryable(BusError):  # noqa: N818 - the names are verdicts, in the words of the design
    """The unit may succeed when it runs again; the route's ``on_error`` says how often and when."""


class Stalled(Retryable):
    """The store or the broker refuses every commit: no fault of the unit, which costs it no attempt."""


class Rejected(BusError):  # noqa: N818
    """The content is refused for good.

    ``reason`` is the ISO 20022 external status reason where one exists (``AC01``, ``AM12`` …): it goes into reject
    files. ``place`` says where in the source document. ``findings`` lists all that was found when it was more than one.
    ``records`` is told by writers: which of the records that they were given are refused, by position from 0, each with
    its own refusal; the others can be written without them. Empty: what was given is refused as a whole.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        hint: str = "",
        reason: str = "",
        place: str = "",
        findings: tuple[Finding, ...] = (),
    ) -> None:
        super().__init__(code, message, hint=hint)
        self.reason = reason
        self.place = place
        self.findings = findings
        self.records: tuple[tuple[int, Rejected], ...] = ()


class Held(BusError):  # noqa: N818
    """The message must not go on before a person decided; a case is opened."""


class InDoubt(BusError):  # noqa: N818
    """Whether an outward effect happened is unknown; a person or a status query decides.

    ``ask`` is False where asking the partner's side by ``probe`` would give a wrong answer: only a person can tell.
    """

    def __init__(self, code: str, message: str, *, hint: str = "", ask: bool = True) -> None:
        super().__init__(code, message, hint=hint)
        self.ask = ask


class Unavailable(BusError):  # noqa: N818
    """A lock, store or partner that this command needs cannot be had now (exit 5)."""


class NotAllowed(BusError):  # noqa: N818
    """The request breaks a rule, for instance a retry of something that is in doubt (exit 4)."""
