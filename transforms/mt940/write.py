"""Writes MT940: canonical statements with their entries, every line within the character set and lengths of Swift."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from tempfile import SpooledTemporaryFile
from typing import IO, Any, BinaryIO

from bus import Rejected, WriteContext, child_id
from transforms._characters import converter
from transforms._statements import money, placed
from transforms._swift import framed
from transforms._totals import EXACT
from transforms.canonical.checks import entry as entry_flaws
from transforms.canonical.checks import refusal
from transforms.canonical.checks import statement as statement_flaws
from transforms.mt940 import losses
from transforms.mt940.information import information, short

_IN_MEMORY = 1 << 20
_TYPE = re.compile(r"([A-Z][A-Z0-9]{3})(?:\+([A-Z0-9]{3,4}))?", re.ASCII)
_SUPPLEMENT = re.compile(r"[A-Za-z0-9?().,'+][A-Za-z0-9/\-?:().,'+ ]{0,33}")
_LONGEST_AMOUNT = 15
_MOST_NAMED = 12


@dataclass(frozen=True, slots=True)
class Output:
    """How to write: see the fields of :class:`transforms.mt940.Mt940Spec`."""

    transliterate: bool = True
    sum_batches: bool = False
    accepts_losses: bool = False
    sender: str = ""
    receiver: str = ""


class _Statement:
    """One statement being written: its head when it is known, and what its entries make so far."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.body: dict[str, Any] | None = None
        self.entries = 0
        self.total = Decimal(0)
        self.currency = ""


def write(parts: Iterable[Any], target: BinaryIO, context: WriteContext, output: Output) -> None:
    """Write statements: each is one canonical statement and its entries, whichever of them comes first.

    Raises:
        Rejected: ``VAL736`` (something has no place in an MT940), ``VAL737`` (entries without their statement, or a
            statement without balances), ``VAL420`` (balances and entries do not agree), ``VAL433`` … ``VAL444`` (wrong
            values, characters that cannot be sent), ``VAL451`` (nothing to write).
    """
    with SpooledTemporaryFile(_IN_MEMORY) as lines:
        writer = _Writer(target, context, output, lines)
        for number, part in enumerate(parts, 1):
            try:
                writer.add(part)
            except Rejected as error:
                raise placed(error, f"record {number}") from None
        writer.finish()


class _Writer:
    """Puts statements and entries together; ``lines`` holds the entries of one until its balances are written."""

    def __init__(self, target: BinaryIO, context: WriteContext, output: Output, lines: IO[bytes]) -> None:
        self._target, self._context, self._output = target, context, output
        self._lines = lines
        self._text = converter("sepa-latin", transliterate=output.transliterate)
        self._open: _Statement | None = None
        self._written = 0

    def add(self, part: Any) -> None:
        """Take a statement or an entry."""
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in ("statement", "entry"):
            text = "an MT940 is made of statements and entries"
            raise Rejected("VAL442", text, reason="CH16", hint="map to one of the two")
        flaws = statement_flaws(part) if kind == "statement" else entry_flaws(part)
        if flaws:
            raise refusal(flaws)
        name = part["id"] if kind == "statement" else part["statement_id"]
        current = self._open
        if current is None or current.name != name or (kind == "statement" and current.body is not None):
            self._close()
            current = self._open = _Statement(name)
        if kind == "entry":
            self._entry(part, current)
            return
        self._refuse_losses(losses.of_statement(part))
        current.body = part
        if current.entries:
            self._close()

    def finish(self) -> None:
        """Write what is open. Raises Rejected ``VAL451`` when there was nothing."""
        self._close()
        if not self._written:
            raise Rejected("VAL451", "there is no statement to write", hint="do not send empty groups on")

    def _close(self) -> None:
        current, self._open = self._open, None
        if current is None:
            return
        if current.body is None:
            text = f"the entries of statement {short(current.name)} come without the statement and its balances"
            raise Rejected("VAL737", text, reason="FF01", hint="send the statement right before or after its entries")
        head, tail = self._frame(current, current.body)
        begin, end = framed("O940", self._output.sender, self._output.receiver)
        self._target.write((begin + head).encode("ascii"))
        self._lines.seek(0)
        shutil.copyfileobj(self._lines, self._target, _IN_MEMORY)
        self._lines.seek(0)
        self._lines.truncate()
        self._target.write((tail + end).encode("ascii"))
        self._written += 1

    # ------------------------------------------------------------ statement

    def _frame(self, current: _Statement, body: dict[str, Any]) -> tuple[str, str]:
        opening, closing = body.get("opening"), body.get("closing")
        if not opening or not closing or not opening.get("date") or not closing.get("date"):
            text = "the statement lacks an opening or closing balance or its date"
            raise Rejected("VAL737", text, reason="FF01", hint="an MT940 always has both")
        currency = opening["amount"]["currency"]
        if {closing["amount"]["currency"], current.currency or currency} != {currency}:
            raise Rejected("VAL737", "balances and entries have different currencies", reason="AM03")
        difference = EXACT.subtract(closing["amount"]["value"], EXACT.add(opening["amount"]["value"], current.total))
        if difference:
            text = f"opening balance and entries miss the closing balance by {difference:f} {currency}"
            raise Rejected("VAL420", text, reason="AM10", hint="send all entries of the statement")
        account = body["account"].get("iban") or body["account"].get("other")
        number = body.get("sequence_number") or 0
        if number > 99_999:
            number %= 100_000
        head = [
            f":20:{self._reference(body['id'])}",
            *_checked("25", [self._text(account)], 35, "account"),
            f":28C:{number}/{body.get('page') or 1}",
            f":60{_page(opening)}:{_balance(opening)}",
        ]
        tail = [f":62{_page(closing)}:{_balance(closing)}"]
        tags = {"CLAV": "64", "FWAV": "65"}
        further = [b for b in body.get("balances") or () if b["type"] in tags and b.get("date")]
        tail += [f":{tags[b['type']]}:{_balance(b)}" for b in sorted(further, key=lambda b: str(tags[b["type"]]))]
        if body.get("additional"):
            lines = [self._text(line) for line in body["additional"].split("\n") if line.strip()]
            if len(lines) > 6:
                raise _no_place("additional", "the information on the statement has at most 6 lines")
            tail += _checked("86", lines, 65, "additional")
        return _lines(head), _lines(tail)

    def _reference(self, name: str) -> str:
        fits = 0 < len(name) <= 16 and name[0] not in "/:-" and name[-1] != "/" and "//" not in name
        if fits and self._is_safe(name):
            return name
        return child_id(self._context.id, "MT940", name, 0)[:16].upper()

    def _is_safe(self, text: str) -> bool:
        try:
            return self._text(text) == text
        except Rejected:
            return False

    # ------------------------------------------------------------ entries

    def _entry(self, entry: dict[str, Any], current: _Statement) -> None:
        currency = entry["amount"]["currency"]
        current.currency = current.currency or currency
        if currency != current.currency:
            raise Rejected("VAL737", "entries of one statement have different currencies", reason="AM03")
        if entry.get("status", "BOOK") != "BOOK":
            raise _no_place("status", "an MT940 holds booked entries only")
        transactions: list[dict[str, Any]] = list(entry.get("transactions") or ())
        if len(transactions) > 1 and not self._output.sum_batches:
            text = f"an MT940 has no place for the {len(transactions)} transactions of one entry"
            raise _no_place("transactions", text, "write `batches: sum` to carry their sum only")
        self._refuse_losses(losses.of_entry(entry, summed=self._output.sum_batches))
        told: dict[str, Any] = transactions[0] if len(transactions) == 1 else {}
        found = _TYPE.fullmatch(entry.get("bank_transaction_code") or "NMSC")
        reference, bank_reference = told.get("instruction_id") or "", entry.get("bank_reference") or ""
        line = self._statement_line(entry, found[1] if found else "NMSC", reference, bank_reference)
        supplement = entry.get("additional") or ""
        fits = _SUPPLEMENT.fullmatch(supplement) is not None and supplement == supplement.strip()
        words = information(told, self._text, {
            "TRCD": found[2] or "" if found else entry["bank_transaction_code"],
            "KREF": "" if self._is_reference(reference) else reference,
            "ID": "" if self._is_reference(bank_reference) else bank_reference,
            "TXT": "" if fits else supplement,
            "BTCH": str(len(transactions)) if len(transactions) > 1 else "",
        })  # fmt: skip
        self._lines.write(_lines([line, *([supplement] if fits and supplement else []), *words]).encode("ascii"))
        current.entries += 1
        current.total = EXACT.add(current.total, entry["signed"]["value"])

    def _refuse_losses(self, lost: list[str]) -> None:
        if lost and not self._output.accepts_losses:
            names = sorted(set(lost))
            more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
            hint = "leave them out in the mapping, or write `losses: accept`"
            raise _no_place(names[0], f"an MT940 has no place for {', '.join(names[:_MOST_NAMED])}{more}", hint)

    def _is_reference(self, text: str) -> bool:
        return not text or (
            len(text) <= 16 and "//" not in text and text == text.strip() and text[-1] != "/" and self._is_safe(text)
            and text not in ("NONREF", "KREF", "KREF+", "EREF")
        )  # fmt: skip

    def _statement_line(self, entry: dict[str, Any], kind: str, reference: str, bank_reference: str) -> str:
        valued, booked = entry.get("value_date") or entry.get("booking_date"), entry.get("booking_date") or ""
        if not valued:
            raise _no_place("value_date", "an entry without value date and booking date", "map one of them")
        if booked and abs(int(booked[:4]) * 12 + int(booked[5:7]) - int(valued[:4]) * 12 - int(valued[5:7])) > 6:
            raise _no_place("booking_date", "value date and booking date are more than six months apart")
        mark = {"credit": "C", "debit": "D"}[entry["direction"]]
        if entry.get("reversal"):
            mark = {"C": "RD", "D": "RC"}[mark]
        told = reference if reference and self._is_reference(reference) else "NONREF"
        own = f"//{bank_reference}" if bank_reference and self._is_reference(bank_reference) else ""
        dates = f"{_short_day(valued)}{booked[5:7]}{booked[8:10]}"
        return f":61:{dates}{mark}{_amount(entry['amount'])}{kind.ljust(4)}{told}{own}"


def _page(balance: dict[str, Any]) -> str:
    return "M" if balance["type"] == "ITBD" else "F"


def _balance(balance: dict[str, Any]) -> str:
    worth = balance["amount"]
    mark = "D" if worth["value"] < 0 else "C"
    text = _amount({"value": abs(worth["value"]), "currency": worth["currency"]})
    return f"{mark}{_short_day(balance['date'])}{worth['currency']}{text}"


def _short_day(text: str) -> str:
    if not "1980" <= text[:4] <= "2079":
        raise _no_place("date", "dates of an MT940 are from 1980 to 2079")
    return f"{text[2:4]}{text[5:7]}{text[8:10]}"


def _amount(worth: dict[str, Any]) -> str:
    value = money(Decimal(worth["value"]), worth["currency"])
    text = f"{value:f}".replace(".", ",")
    text = text if "," in text else f"{text},"
    if len(text) > _LONGEST_AMOUNT:
        raise _no_place("amount", "an amount has at most 14 digits")
    return text


def _checked(tag: str, lines: list[str], width: int, name: str) -> list[str]:
    if any(len(line) > width or line[:1] in ("", ":", "-") for line in lines):
        raise _no_place(name, f"{name}: a line of :{tag}: has {width} characters and begins with no `:` or `-`")
    return [f":{tag}:{lines[0]}", *lines[1:]]


def _lines(lines: list[str]) -> str:
    return "".join(f"{line}\r\n" for line in lines)


def _no_place(place: str, text: str, hint: str = "correct the mapping") -> Rejected:
    return Rejected("VAL736", text, reason="FF01", place=place, hint=hint)
