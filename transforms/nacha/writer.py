"""Writes canonical payments and direct debits as a NACHA file: batches, hashes, totals, blocks of ten records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, BinaryIO, NamedTuple

from bus import Rejected, RuleBook, WriteContext
from transforms._faults import Faults
from transforms.nacha import records as r
from transforms.nacha.entries import RawEntry, is_raw, raw_entry
from transforms.nacha.foreign import Foreign, foreign_addenda
from transforms.nacha.items import Item, ascii_text, item, refused
from transforms.nacha.reader import Tally
from transforms.nacha.ruled import Ruled

_FIRST_DIGITS = {"": "2", "CACC": "2", "SVGS": "3", "LOAN": "5"}
_MOST_ADDENDA = {"PPD": 1, "CCD": 1, "WEB": 1, "TEL": 0, "CTX": 9_999, "IAT": 2}
_WIDTH = 80
_MOST_OF_A_BATCH = 999_999
_MOST_ENTRIES = 9_999_999


class Options(NamedTuple):
    """What the sender has agreed with its bank; see the spec for the meaning of each."""

    destination: str
    destination_name: str
    origin: str
    origin_name: str
    company_id: str
    company_name: str
    odfi: str
    entry_class: str
    description: str
    descriptive_date: str
    discretionary: str
    modifier: str
    cut_names: bool
    line_end: str
    foreign: Foreign


def write(
    parts: Iterable[Any], target: BinaryIO, context: WriteContext, options: Options, book: RuleBook | None = None
) -> None:
    """Write all parts as one file; a batch for each run of payments that agree in company, class, direction and day.

    Raises:
        Rejected: ``VAL790`` to ``VAL792``: a payment cannot be written as it is; ``VAL671`` or a code of the profile:
            it breaks its rules; ``VAL700``, ``VAL701``: the file does; ``VAL334`` when there is none.
    """
    ruled = Ruled(book, context.created_at) if book is not None else None
    file, faults = _File(target, options, ruled), Faults()
    file.begin(context)
    for number, body in enumerate(parts):
        if number == _MOST_ENTRIES:
            raise refused(number + 1, "", f"a file has at most {_MOST_ENTRIES} entries", "aggregate fewer")
        try:
            if ruled is not None:
                body = ruled.prepared(body, number + 1)  # noqa: PLW2901 - the payment as it is written
            if is_raw(body):
                file.add_raw(raw_entry(body, number + 1))
            else:
                file.add(item(body, number + 1, options.entry_class))
        except Rejected as error:
            faults.add(number, error)
    faults.prove()
    file.end()


class _File:
    """One file in the making."""

    def __init__(self, target: BinaryIO, options: Options, ruled: Ruled | None) -> None:
        self._target, self._ruled = target, ruled
        self._options = options
        self._end = {"lf": "\n", "crlf": "\r\n", "none": ""}[options.line_end]
        self._records = 0
        self._entries = 0
        self._batches = 0
        self._key: tuple[Any, ...] = ()
        self._header: dict[str, Any] = {}
        self._all = Tally()
        self._tally = Tally()

    def begin(self, context: WriteContext) -> None:
        """The file header; its reference code begins the unit's id."""
        options = self._options
        missing = [n for n in ("destination", "origin", "company_id") if not getattr(options, n)]
        if missing:
            message = f"the format has no `{missing[0]}`, which written files need"
            raise Rejected("VAL790", message, hint="write it into the route; the bank tells it")
        created = datetime.fromtimestamp(context.created_at / 1000, UTC)
        self._put(
            "1",
            r.FILE_HEADER,
            {
                "priority": "01",
                "destination": options.destination,
                "origin": options.origin,
                "created_on": created.date().isoformat(),
                "created_at": f"{created:%H%M}",
                "modifier": str(context.properties.get("file_id_modifier", options.modifier)),
                "record_size": "094",
                "blocking": "10",
                "format": "1",
                "destination_name": options.destination_name,
                "origin_name": options.origin_name,
                "reference": context.id[:8].upper(),
            },
        )

    def add(self, payment: Item) -> None:
        """An entry with its addenda, in a new batch where it does not fit the present one."""
        company = self._company(payment)
        places = self._options.foreign.places(payment.receiver) if payment.entry_class == "IAT" else ()
        addenda = self._addenda(payment)
        key = (company, payment.entry_class, payment.debit, payment.day, places, self._block(payment))
        if key != self._key or self._tally.count + len(addenda) >= _MOST_OF_A_BATCH:
            self._close()
            self._open(key)
        self._entries += 1
        trace = self._trace()
        entry = self._entry(payment, addenda) | {"trace_number": trace, "addenda_indicator": "1" if addenda else "0"}
        layout = {"CTX": r.CTX_ENTRY, "IAT": r.IAT_ENTRY}.get(payment.entry_class, r.ENTRY)
        self._put("6", layout, entry, payment.number)
        for kind, values in addenda:
            layout = r.ADDENDA[kind]
            self._put(f"7{kind}", layout, {**values, "entry": f"{self._entries:07}"}, payment.number)
        debit, credit = (payment.amount, Decimal(0)) if payment.debit else (Decimal(0), payment.amount)
        self._tally.add(Tally(1 + len(addenda), int(entry["rdfi"]), debit, credit))

    def _block(self, payment: Item) -> int:
        """Which of the batches that the profile asks for; 0 without one."""
        return self._ruled.block(payment.body) if self._ruled is not None else 0

    def _trace(self) -> str:
        return f"{self._options.odfi}{self._entries:07}"

    def add_raw(self, entry: RawEntry) -> None:
        """An entry that tells all fields itself, its batch too; what it does not tell is numbered."""
        key = tuple(sorted(entry.batch.items()))
        if key != self._key or self._tally.count + len(entry.addenda) >= _MOST_OF_A_BATCH:
            self._close()
            self._begin_batch(key, entry.batch_layout, entry.batch)
        self._entries += 1
        trace = entry.fields.get("trace_number") or self._trace()
        self._put("6", entry.layout, {**entry.fields, "trace_number": trace}, entry.number)
        for count, (kind, layout, values) in enumerate(entry.addenda, 1):
            usual = {"entry": trace[-7:], "number": count, "trace_number": trace}
            self._put(f"7{kind}", layout, {**usual, **values}, entry.number)
        amount = entry.fields.get("amount", Decimal(0))
        debit, credit = (amount, Decimal(0)) if entry.is_debit else (Decimal(0), amount)
        self._tally.add(Tally(1 + len(entry.addenda), int(entry.fields["rdfi"]), debit, credit))

    def end(self) -> None:
        """The file control record and the fill of the last block."""
        if not self._entries:
            raise Rejected("VAL334", "there are no payments to write", hint="filter empty files out before")
        self._close()
        blocks = -(-(self._records + 1) // r.BLOCKING)
        self._put("9", r.FILE_CONTROL, {"batches": self._batches, "blocks": blocks, **_told(self._all)})
        while self._records % r.BLOCKING:
            self._write("9" * r.LENGTH)
        if self._ruled is not None:
            self._ruled.prove(self._entries, self._records * (r.LENGTH + len(self._end)))

    # ------------------------------------------------------------ batches

    def _open(self, key: tuple[Any, ...]) -> None:
        company, entry_class, debit, day, places, _block = key
        options = self._options
        header = {
            "service_class": "225" if debit else "220",
            "company_name": company,
            "discretionary": options.discretionary,
            "company_id": options.company_id,
            "entry_class": entry_class,
            "description": options.description,
            "descriptive_date": options.descriptive_date,
            "effective_date": day,
            "originator_status": "1",
        }
        if entry_class == "IAT":
            header |= options.foreign.header(places)
        self._begin_batch(key, r.IAT_BATCH_HEADER if entry_class == "IAT" else r.BATCH_HEADER, header)

    def _begin_batch(self, key: tuple[Any, ...], layout: tuple[r.Field, ...], header: dict[str, Any]) -> None:
        self._key = key
        self._batches += 1
        self._tally = Tally()
        self._header = {"odfi": self._options.odfi, "batch_number": self._batches, **header}
        self._put("5", layout, self._header)

    def _close(self) -> None:
        if not self._key:
            return
        self._put("8", r.BATCH_CONTROL, {**self._header, **_told(self._tally)})
        self._all.add(self._tally)
        self._key = ()

    # ------------------------------------------------------------ entries

    def _entry(self, payment: Item, addenda: list[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
        number, receiver = payment.number, payment.receiver
        foreign = payment.entry_class == "IAT"
        routing = self._options.foreign.gateway if foreign else _routing(receiver, number)
        account = receiver.get("account") or {}
        found = str(account.get("other") or (account.get("iban") if foreign else "") or "")
        if not found:
            raise refused(number, "account", "the receiver's account is missing or an IBAN", "account: {other: …}")
        first = _FIRST_DIGITS.get(str(account.get("kind") or ""))
        if first is None or (first == "5" and payment.debit):
            raise refused(number, "account.kind", "the kind of account is none of CACC, SVGS and (credited) LOAN")
        entry: dict[str, Any] = {
            "transaction_code": first + ("7" if payment.debit else "2"),
            "rdfi": routing[:8],
            "check_digit": routing[8:],
            "account": ascii_text(found, number, "account"),
            "amount": payment.amount,
            "addenda_count": len(addenda),
        }
        if not foreign:
            entry["id"] = ascii_text(payment.body.get("end_to_end_id"), number, "end_to_end_id")
            entry["name"] = self._name(receiver.get("name"), 16 if payment.entry_class == "CTX" else 22, number)
        return entry

    def _addenda(self, payment: Item) -> list[tuple[str, dict[str, Any]]]:
        texts = _remittance(payment.body.get("remittance"), payment.number)
        most = _MOST_ADDENDA[payment.entry_class]
        if len(texts) > most:
            hint = "write `entry_class: CTX`, which carries 9999" if most < 3 else ""
            message = f"{len(texts)} remittance texts, an entry of class {payment.entry_class} carries {most}"
            raise refused(payment.number, "remittance", message, hint)
        kind = "17" if payment.entry_class == "IAT" else "05"
        found = [(kind, {"text": text, "number": n}) for n, text in enumerate(texts, 1)]
        if payment.entry_class != "IAT":
            return found
        return foreign_addenda(payment, self._options.foreign) + found

    def _company(self, payment: Item) -> str:
        """Name in the batch header; international entries have it in an addendum."""
        if payment.entry_class == "IAT":
            return ""
        return self._options.company_name or self._name(payment.originator.get("name"), 16, payment.number)

    def _name(self, value: Any, width: int, number: int) -> str:
        text = ascii_text(value, number, "name")
        if not text:
            raise refused(number, "name", "a name is missing")
        if len(text) > width and not self._options.cut_names:
            message = f"a name has {len(text)} characters, the field {width}"
            raise refused(number, "name", message, "write `cut_names: true` where the bank takes cut names")
        return text[:width]

    # ------------------------------------------------------------ records

    def _put(self, kind: str, layout: tuple[r.Field, ...], values: dict[str, Any], number: int = 0) -> None:
        try:
            text = r.encode(kind, layout, values)
        except r.BadFieldError as error:
            if number:
                raise refused(number, "", str(error)) from None
            raise Rejected("VAL790", f"record {self._records + 1}: {error}", hint="shorten it") from None
        self._write(text)

    def _write(self, text: str) -> None:
        self._target.write((text + self._end).encode("ascii"))
        self._records += 1


def _told(tally: Tally) -> dict[str, Any]:
    return {"count": tally.count, "hash": tally.hash, "debit": tally.debit, "credit": tally.credit}


def _routing(receiver: Mapping[str, Any], number: int) -> str:
    agent = receiver.get("agent")
    routing = str(agent.get("member_id") or "") if isinstance(agent, Mapping) else ""
    if not r.is_routing_number(routing):
        message = "the receiver's bank has no routing number of nine digits with a right check digit"
        hint = "agent: {clearing_system: USABA, member_id: …}"
        raise refused(number, "agent.member_id", message, hint, "VAL792")
    return routing


def _remittance(remittance: Any, number: int) -> list[str]:
    """Texts of addenda, each up to 80 characters: free texts as they are, references as X12 segments RMR."""
    given: Mapping[str, Any] = remittance if isinstance(remittance, Mapping) else {}
    texts = [ascii_text(text, number, "remittance.unstructured") for text in given.get("unstructured") or ()]
    for reference in given.get("structured") or ():
        if reference.get("type") not in ("", None, "CINV"):
            message = "a structured reference is of another type than CINV"
            raise refused(number, "remittance.structured", message, "map it to an unstructured text")
        text = ascii_text(reference.get("reference"), number, "remittance.structured")
        texts.append(f"RMR*IV*{text}\\")
    long = next((text for text in texts if len(text) > _WIDTH), None)
    if long is not None:
        message = f"a remittance text has {len(long)} characters, an addendum {_WIDTH}"
        raise refused(number, "remittance", message, "split it in the mapping; only CTX carries several")
    return [text for text in texts if text]
