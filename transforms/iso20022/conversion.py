"""From one version of a message to another: by comparing the two schemas, and a small table of what ISO renamed.

Whatever an element is called and however it is wrapped in the other version, its value is carried when the other
version has a place for it. What cannot be carried is told field by field, with path, kind of value and reason; nothing
is dropped in silence, and no value is changed to make it fit. Records, amounts, parties and accounts are never left out
at all: where one cannot be carried, there is no conversion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bus import Finding, Rejected
from transforms.iso20022.generic import OUTSIDE, VALUE
from transforms.iso20022.model import Element, Type, model

_NAMES = {"BIC": "BICFI", "BICOrBEI": "AnyBIC", "AdmstnZn": "AdmstnZone"}
_OTHER_NAMES = _NAMES | {new: old for old, new in _NAMES.items()}
"""The same element under another name."""

_MOVED = {
    "TtlNetNtryAmt": ("TtlNetNtry", "Amt"),
    "CdtDbtInd": ("TtlNetNtry", "CdtDbtInd"),
    "RmtLctnMtd": ("RmtLctnDtls", "Mtd"),
    "RmtLctnElctrncAdr": ("RmtLctnDtls", "ElctrncAdr"),
    "RmtLctnPstlAdr": ("RmtLctnDtls", "PstlAdr"),
}
"""Elements that newer versions have inside of a group."""

_RECORDS = "Rcrd"
"""Charges and interest: older versions repeat the whole, newer ones have totals and records."""
_RECORD_NAMES = {"Pty": "Agt"}

_INNER = ("Amt", "Id")
"""What holds the value where one version has a value and the other a group around it."""

_NEVER_LEFT_OUT = frozenset(
    {
        *("PmtInf", "CdtTrfTxInf", "DrctDbtTxInf", "TxInf", "TxInfAndSts", "OrgnlPmtInfAndSts", "OrgnlGrpInfAndSts"),
        *("Stmt", "Rpt", "Ntfctn", "Bal", "Ntry", "NtryDtls", "TxDtls", "Undrlyg", "CxlDtls", "GrpHdr"),
        *("Amt", "InstdAmt", "EqvtAmt", "IntrBkSttlmAmt", "CtrlSum", "NbOfTxs", "CdtDbtInd", "Sts", "RvslInd"),
        *("Dbtr", "DbtrAcct", "DbtrAgt", "Cdtr", "CdtrAcct", "CdtrAgt", "Acct", "EndToEndId"),
    }
)
"""Elements without which the message would say something else."""

_MOST_TOLD = 1_000


class _Unfit(Exception):  # noqa: N818 - caught in this module, it becomes a finding
    """A value that the other version has no place for; ``reason`` says why."""

    def __init__(self, reason: str, code: str = "VAL621") -> None:
        super().__init__(reason)
        self.reason, self.code = reason, code


class Conversion:
    """Converts bodies of :mod:`transforms.iso20022.generic` of one version into another.

    Attributes:
        losses: what could not be carried so far, at most 1000, ``VAL620`` (no such element), ``VAL621`` (the value does
            not fit) or ``VAL622`` (more repetitions than may be).
        count: how many there were.
    """

    def __init__(self, source: str, target: str) -> None:
        """Takes full names.

        Raises:
            Rejected: ``VAL624``: these are different messages.
        """
        if source[:8] != target[:8]:
            text = f"a {source} cannot become a {target}: these are different messages"
            raise Rejected("VAL624", text, hint="map it: `translate: {mapping: …}`")
        self._from, self._to = model(source), model(target)
        self._heads: dict[str, tuple[Any, Any]] = {}
        self._numbers: dict[str, int] = {}
        self.losses: list[Finding] = []
        self.count = 0
        self._path: list[str] = []
        self._same: dict[str, Callable[[Any, Type, Type], Any]] = {
            "text": self._text,
            "valued": self._valued,
            "any": lambda value, _source, _target: value,
            "sequence": self._group,
            "choice": self._group,
        }

    def body(self, body: dict[str, Any]) -> dict[str, Any]:
        """A whole body or a record with its heads, in the other version.

        Raises:
            Rejected: ``VAL623``: something that the other version requires is missing.
        """
        made = {key: body[key] for key in OUTSIDE if key in body and key not in ("namespace", "schema_location")}
        made["message"] = self._to.message
        if "header" in made:
            made["header"] = self._header(made["header"])
        try:
            if "document" in body:
                made["document"] = self._group(body["document"], self._from.root.type, self._to.root.type)
            else:
                self._along({key: value for key, value in body.items() if key not in OUTSIDE}, made)
        except _Unfit as unfit:
            raise self._refused(unfit) from None
        return made

    def _refused(self, unfit: _Unfit) -> Rejected:
        """What cannot be left out cannot be carried."""
        place = _place(self._path)
        self._path.clear()
        text = f"{place or 'the message'}: {unfit.reason}"
        return Rejected("VAL623", text, reason="FF01", place=place, hint=f"it cannot be told as {self._to.message}")

    def _header(self, header: Any) -> Any:
        """The header with the name of the message that it stands before now."""
        inner = header.get("AppHdr") if isinstance(header, dict) else None
        if isinstance(inner, dict) and inner.get("MsgDefIdr") == self._from.message:
            return {**header, "AppHdr": {**inner, "MsgDefIdr": self._to.message}}
        return header

    def _along(self, given: dict[str, Any], made: dict[str, Any]) -> None:
        """A record and its heads; a head is converted once for the records in it."""
        source, target = self._from.root.type, self._to.root.type
        left = dict(given)
        while left:
            name = next((key for key in left if key in source.elements), None)
            if name is None or name not in target.elements:
                raise _Unfit(f"`{next(iter(left))[:40]}` is no way from the message to a record")
            value, inner = left.pop(name), source.elements[name].type
            besides = next((key for key in left if key in inner.elements), "")
            done = self._heads.get(name)
            if not besides or done is None or done[0] is not value:
                self._numbers[name] = self._numbers.get(name, 0) + 1
                self._path.append(f"{name} {self._numbers[name]}")
                done = (value, self._group(value, inner, target.elements[name].type, besides))
                self._path.pop()
                self._heads[name] = done
            made[name] = done[1]
            source, target = inner, target.elements[name].type

    # ------------------------------------------------------------ values

    def _group(self, value: Any, source: Type, target: Type, besides: str = "") -> dict[str, Any]:
        """The elements of a group; ``besides`` is one that stands elsewhere and is not missed."""
        if not isinstance(value, dict):
            raise _Unfit("an object is wanted")
        made: dict[str, Any] = {}
        if "Amt" in value and "Amt" not in target.elements and "AmtDtls" in target.elements:
            value = _with_detailed_amount(value)
        for name, inner in value.items():
            element = source.elements.get(name)
            if inner is None or inner == []:
                continue
            if element is None:
                self._lost(name, "an unknown element", "the schema does not have it", "VAL620")
            else:
                self._element(element, inner, target, made)
        self._complete_groups(made, target)
        if target.kind == "choice":
            if len(made) > 1 or (not made and not target.is_optional and not besides):
                raise _Unfit(f"none of {', '.join(target.elements)} is there")
            return made
        for name, element in target.elements.items():
            if element.least and name not in made and name != besides:
                raise _Unfit(f"`{name}` is missing")
        return made

    def _complete_groups(self, made: dict[str, Any], target: Type) -> None:
        """Groups that were made of what stood outside of one have to have all that they require."""
        for name in {group for group, _ in _MOVED.values()} & made.keys():
            group = target.elements[name]
            inside = made[name][0] if group.repeats else made[name]
            missing = [n for n, e in group.type.elements.items() if e.least and n not in inside]
            if missing:
                for inner in inside:
                    kind = _kind(group.type.elements[inner].type)
                    self._lost(
                        inner, kind, f"{self._to.message} has it with `{missing[0]}` only, which is missing", "VAL621"
                    )
                del made[name]

    def _element(self, element: Element, value: Any, target: Type, made: dict[str, Any]) -> None:
        """One element, wherever it is in the other version."""
        name, values = element.name, value if element.repeats and isinstance(value, list) else [value]
        place = self._place(name, target)
        if place:
            *outer, last = place
            inside, of = made, target
            for step in outer:
                group = of.elements[step]
                inside = _opened(inside, group)
                of = group.type
            self._put(values, element, of.elements[last], inside)
        elif self._opens(name, target):
            self._unfold(values, element, target, made)
        else:
            reason = f"{self._to.message} has no such element"
            self._lost(name, _kind(element.type), reason, "VAL620")

    @staticmethod
    def _place(name: str, target: Type) -> tuple[str, ...]:
        """Where an element is found in the other version; empty for nowhere."""
        if name in target.elements:
            return (name,)
        if _OTHER_NAMES.get(name) in target.elements:
            return (_OTHER_NAMES[name],)
        moved = _MOVED.get(name)
        return moved if moved and moved[0] in target.elements else ()

    @staticmethod
    def _opens(name: str, target: Type) -> bool:
        return any(group == name and old in target.elements for old, (group, _) in _MOVED.items())

    def _unfold(self, values: list[Any], element: Element, target: Type, made: dict[str, Any]) -> None:
        """A group whose members stand directly in the other version."""
        self._rest(values[1:], element)
        names = {inner: old for old, (group, inner) in _MOVED.items() if group == element.name}
        self._path.append(element.name)
        for name, value in values[0].items():
            inner = element.type.elements.get(name)
            if inner is not None and names.get(name) in target.elements:
                several = value if inner.repeats else [value]
                self._put(several, inner, target.elements[names[name]], made)
            else:
                self._lost(
                    name, _kind(inner.type) if inner else "", f"{self._to.message} has no such element", "VAL620"
                )
        self._path.pop()

    def _put(self, values: list[Any], source: Element, target: Element, made: dict[str, Any]) -> None:
        """All occurrences of an element under its name in the other version."""
        if source.repeats and not target.repeats and _RECORDS in target.type.elements:
            self._path.append(source.name)
            made[target.name] = self._gathered(values, source.type, target.type)
            self._path.pop()
            return
        if not target.repeats:
            self._rest(values[1:], source)
            values = values[:1]
        elif target.most:
            self._rest(values[target.most :], source)
            values = values[: target.most]
        found = []
        for index, value in enumerate(values):
            self._path.append(f"{source.name}[{index + 1}]" if source.repeats else source.name)
            try:
                found.append(self._value(value, source.type, target.type))
            except _Unfit as unfit:
                if source.name in _NEVER_LEFT_OUT:
                    raise self._refused(unfit) from None
                self._lost("", _kind(source.type), unfit.reason, unfit.code)
            self._path.pop()
        if found:
            made[target.name] = found if target.repeats else found[0]

    def _rest(self, values: list[Any], element: Element) -> None:
        for _ in values:
            self._lost(element.name, _kind(element.type), f"{self._to.message} has fewer of it", "VAL622")

    def _gathered(self, values: list[Any], source: Type, target: Type) -> dict[str, Any]:
        """Charges or interest that were repeated as a whole, as totals and records."""
        records = target.elements[_RECORDS]
        made: dict[str, Any] = {_RECORDS: []}
        for index, value in enumerate(values):
            record: dict[str, Any] = {}
            for name, inner in value.items():
                element = source.elements.get(name)
                wanted = name if name in records.type.elements else _RECORD_NAMES.get(name, "")
                several = inner if element is not None and element.repeats else [inner]
                if element is not None and wanted in records.type.elements:
                    self._put(several, element, records.type.elements[wanted], record)
                elif element is not None and name in target.elements and len(values) == 1:
                    self._put(several, element, target.elements[name], made)
                else:
                    reason = f"{self._to.message} has one total for all of them"
                    self._lost(f"{index + 1}/{name}", _kind(element.type) if element else "", reason, "VAL622")
            made[_RECORDS].append(record)
        return made

    def _value(self, value: Any, source: Type, target: Type) -> Any:
        """One value.

        Raises:
            _Unfit: the other version has no place for it.
        """
        if source.kind == target.kind:
            carry = self._same[target.kind]
        elif target.kind == "choice":
            carry = self._chosen
        elif source.kind == "choice":
            carry = self._unwrapped
        else:
            carry = self._inner if source.kind == "sequence" else self._wrapped
        return carry(value, source, target)

    def _text(self, value: Any, source: Type, target: Type) -> str:
        text = str(value)
        if source.simple.base == "dateTime" and target.simple.base == "date":
            self._lost("", "time of day", f"{self._to.message} has the day only", "VAL621")
            text = text[:10]
        problem = target.simple.problem(text)
        if problem:
            raise _Unfit(f"in {self._to.message} it would be {problem}")
        return text

    def _valued(self, value: Any, _source: Type, target: Type) -> Any:
        for name, text in value.items():
            simple = target.simple if name == VALUE else target.attributes[name][0]
            problem = simple.problem(text)
            if problem:
                raise _Unfit(f"in {self._to.message} it would be {problem}")
        return value

    def _chosen(self, value: Any, source: Type, target: Type) -> Any:
        """A value as the first member of a choice that takes all of it, else as the one that loses least."""
        best: tuple[int, dict[str, Any], list[Finding]] | None = None
        why = ""
        for name, element in target.elements.items():
            losses, count, self.losses = self.losses, self.count, []
            path = list(self._path)
            try:
                found = {name: self._value(value, source, element.type)}
            except (_Unfit, Rejected) as unfit:
                why = why or (unfit.reason if isinstance(unfit, _Unfit) else unfit.message)
                self._path = path
            else:
                if best is None or self.count - count < best[0]:
                    best = (self.count - count, found, self.losses)
            self.losses, self.count = losses, count
        if best is None:
            raise _Unfit(why)
        self.count += best[0]
        self.losses += best[2]
        return best[1]

    def _unwrapped(self, value: Any, source: Type, target: Type) -> Any:
        """The member of a choice that was chosen, where the other version has no choice."""
        if len(value) != 1:
            raise _Unfit("nothing was chosen")
        ((name, inner),) = value.items()
        if target.kind == "sequence" and self._place(name, target):
            return self._group(value, source, target)
        element = source.elements[name]
        return self._value(inner, element.type, target)

    def _inner(self, value: Any, source: Type, target: Type) -> Any:
        """The value of a group, where the other version has the value alone."""
        name = next((n for n in _INNER if n in value), "")
        if not name:
            raise _Unfit(f"{self._to.message} has no group here")
        found = self._value(value[name], source.elements[name].type, target)
        for other in value.keys() - {name}:
            kind = _kind(source.elements[other].type)
            self._lost(other, kind, f"{self._to.message} has the {name} alone", "VAL620")
        return found

    def _wrapped(self, value: Any, source: Type, target: Type) -> Any:
        """A value as the only thing of a group."""
        name = next((n for n in _INNER if n in target.elements), "")
        if not name or any(e.least for n, e in target.elements.items() if n != name):
            raise _Unfit(f"{self._to.message} has a group here that cannot be made of it alone")
        return {name: self._value(value, source, target.elements[name].type)}

    def _lost(self, name: str, kind: str, reason: str, code: str) -> None:
        self.count += 1
        if len(self.losses) < _MOST_TOLD:
            place = _place([*self._path, *([name] if name else [])])
            self.losses.append(Finding(code, "warning", place, f"{kind or 'value'} not carried: {reason}"))


def _opened(made: dict[str, Any], group: Element) -> dict[str, Any]:
    """The group that is being filled in another one."""
    if group.repeats:
        inside: dict[str, Any] = made.setdefault(group.name, [{}])[0]
        return inside
    inner: dict[str, Any] = made.setdefault(group.name, {})
    return inner


def _place(path: list[str]) -> str:
    """For people: ``CdtTrfTxInf 17, PmtId/UETR``."""
    first, steps = path[:1], path[1:]
    if first and steps and " " in first[0]:
        return f"{first[0]}, {'/'.join(steps)}"
    return "/".join(path)


def _kind(of: Type) -> str:
    """What kind of value it is, in a word."""
    if of.kind == "text":
        return {"string": "text", "dateTime": "date and time"}.get(of.simple.base, of.simple.base)
    return {"valued": "amount", "any": "foreign XML"}.get(of.kind, "group")


def _with_detailed_amount(transaction: dict[str, Any]) -> dict[str, Any]:
    """A transaction whose amount stands in its details, as old versions of statements have it; unless another does."""
    details = transaction.get("AmtDtls") or {}
    told = details.get("TxAmt", {"Amt": transaction["Amt"]}) if isinstance(details, dict) else None
    if not isinstance(told, dict) or told.get("Amt") != transaction["Amt"]:
        return transaction
    rest = {name: value for name, value in transaction.items() if name != "Amt"}
    return {**rest, "AmtDtls": {**details, "TxAmt": told}}
