"""Writes pain.001: canonical payments as one file, any number of them in flat memory, the same bytes on every run."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Context, Decimal, Inexact
from itertools import islice
from typing import IO, Any, BinaryIO, Self

from bus import Rejected, RuleBook, WriteContext, child_id, minor_units
from transforms._ahead import one_ahead
from transforms._characters import converter
from transforms._faults import Faults
from transforms._plain_xml import Plain
from transforms._rules import check_count, check_size
from transforms.canonical.checks import Flaw, Right
from transforms.canonical.checks import payment as payment_flaws
from transforms.canonical.checks import refusal as refusal_of
from transforms.iso20022 import schemas
from transforms.iso20022.broken import refusal
from transforms.iso20022.compose import OF_ALL
from transforms.iso20022.elements import Elements
from transforms.iso20022.identities import end_to_end_id, fits, instruction_id, moment, uetr
from transforms.iso20022.names import namespace
from transforms.iso20022.opening import opening
from transforms.iso20022.parties import placed
from transforms.iso20022.pen import TextPen
from transforms.iso20022.proving import Proof
from transforms.iso20022.stream import segments
from transforms.iso20022.writers import writable, write_by_layout

_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>\n'
_BLOCK_END = "</PmtInf>\n"
_END = "</CstmrCdtTrfInitn></Document>\n"
_IN_MEMORY = 4 << 20
_LINES_IN_MEMORY = 400
_PIECE = 200_000
_AT_ONCE = 100
_EXACT = Context(prec=60, traps=[Inexact])
_OF_A_BLOCK = ("method", "batch_booking", "charges_account", "charges_agent")
"""What few payments say, and all of a block share."""


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """How to write: see the fields of :class:`transforms.iso20022.Iso20022Spec` of the same names."""

    message: str = ""
    validate: bool = True
    latin: bool = True
    profile: RuleBook | None = None
    initiating_party: str = ""
    accepts_losses: bool = False


def write(parts: Iterable[Any], target: BinaryIO, context: WriteContext, options: WriteOptions) -> None:
    """Write canonical bodies as one message: payments as pain.001, others as their layouts say.

    Payments that follow each other and agree in debtor, execution date, currency and kind share a payment information
    block; others never do. MsgId is ``context.id``; PmtInfId, missing references and UETRs are made from it.

    Raises:
        Rejected: ``VAL431`` … ``VAL445`` (a payment is wrong; its number and place are told), ``VAL450`` (this message
            is not written), ``VAL451`` (no payment), ``VAL452`` (the result would break its XML Schema).
    """
    message = writable(options.message)
    rules = options.profile.at(context.created_at) if options.profile is not None else None
    with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as document:
        if message.startswith("pain.001"):
            with _Writer(context, options, message) as writer:
                coming = iter(parts)
                while payments := list(islice(coming, _AT_ONCE)):
                    writer.add(payments)
                writer.faults.prove()
                is_valid = writer.finish(document)
        else:
            convert = (rules and rules.convert) or converter("sepa-latin" if options.latin else "any")
            pen = TextPen(convert, message, options.accepts_losses)
            write_by_layout(parts, document, context, pen, (options.initiating_party, options.profile))
            is_valid = False
        check_size(document.tell(), rules)
        if options.validate and not is_valid:
            _validate(document, message)
        document.seek(0)
        shutil.copyfileobj(document, target, 1 << 20)


@dataclass(slots=True)
class _Block:
    """The payment information block that is open."""

    key: tuple[Any, ...]
    head: str
    tail: str
    count: int = 0
    total: Decimal = Decimal(0)

    def begin(self) -> str:
        """What stands before its payments, of which these are all."""
        return f"{self.head}<NbOfTxs>{self.count}</NbOfTxs><CtrlSum>{self.total:f}</CtrlSum>{self.tail}"


class _Writer:
    """Collects blocks in temporary files, because counts and sums stand before what they count."""

    def __init__(self, context: WriteContext, options: WriteOptions, message: str) -> None:
        self._context, self._options, self._message = context, options, message
        self._rules = options.profile.at(context.created_at) if options.profile is not None else None
        own = self._rules.convert if self._rules is not None else None
        convert = own or converter("sepa-latin" if options.latin else "any")
        self._elements = Elements(TextPen(convert, message, options.accepts_losses))
        self._blocks: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - see __exit__
        self._lines: list[str] = []
        self._overflow: IO[bytes] = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - as above
        self._proof = Proof(message) if options.validate else None
        self._unproved = io.StringIO()
        self._block: _Block | None = None
        self._count = 0
        self._number_of_blocks = 0
        self._total = Decimal(0)
        self._initiator = options.initiating_party
        self._party: dict[str, Any] | None = None
        self._steps: dict[str, Decimal] = {}
        self._right: Right = {}
        self.faults = Faults()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._blocks.close()
        self._overflow.close()
        if self._proof is not None:
            self._proof.close()

    def add(self, payments: list[Any]) -> None:
        """Append payments: all are checked, then all are written, which the processor's caches like."""
        right = []
        for index, payment in enumerate(payments, self._count):
            try:
                right.append((index, self._checked(payment)))
            except Rejected as error:
                self._refuse(payment, index, error)
        self._count += len(payments)
        for index, payment in right:
            try:
                self._append(payment, index)
            except Rejected as error:
                self._refuse(payment, index, error)

    def _refuse(self, payment: Any, index: int, error: Rejected) -> None:
        found = placed(error, _place(payment, index))
        if error.code == OF_ALL:
            raise found from None
        self.faults.add(index, found)

    def _checked(self, payment: Any) -> dict[str, Any]:
        """The payment as it is to be written."""
        flaws = payment_flaws(payment, self._right) or _sepa_flaws(payment)
        if flaws:
            raise refusal_of(flaws)
        book = self._options.profile
        prepared: dict[str, Any] = payment if book is None else book.prepare(payment, self._context.created_at)
        return prepared

    def _append(self, payment: dict[str, Any], index: int) -> None:
        amount = payment["amount"]
        currency = amount["currency"]
        step = self._steps.get(currency)
        if step is None:
            step = self._steps[currency] = Decimal(1).scaleb(-minor_units(currency))
        value = _EXACT.quantize(amount["value"], step)
        service = payment.get("service_level") or ""
        bearer = payment.get("charge_bearer") or ("SLEV" if service == "SEPA" else "")
        instrument, purpose = payment.get("local_instrument") or "", payment.get("category_purpose") or ""
        kind = (service, instrument, purpose, payment.get("priority") or "")
        rules = self._rules
        further = None
        plain = self._elements.is_plain(payment)
        if not plain:
            further = {name: payment[name] for name in _OF_A_BLOCK if payment.get(name) not in (None, "")}
            self._initiated_by(payment.get("initiating_party"))
        group = rules and rules.group(payment)
        key = (payment["debtor"], payment["execution_date"], currency, bearer, kind, further or None, group)
        block = self._block
        if block is None or block.key != key or (rules is not None and block.count == rules.most_in_block):
            self._end_block()
            block = self._begin_block(key)
        ids = self._identification(payment, index)
        write = self._elements
        line = write.transaction(payment, ids, f"{value:f}") if plain else write.whole_transaction(payment, ids)
        if len(self._lines) >= _LINES_IN_MEMORY:
            self._spill(block)
        self._lines.append(line)
        block.count += 1
        block.total = _EXACT.add(block.total, value)

    def _initiated_by(self, party: dict[str, Any] | None) -> None:
        """The one party that sends the message; what the options say goes before."""
        if not party or self._options.initiating_party:
            return
        if self._party not in (None, party):
            text = "`initiating_party` differs from that of the payments before, and one message has one"
            raise Rejected(OF_ALL, text, reason="CH16", place="initiating_party", hint="group by it before writing")
        self._party = party

    def _identification(self, payment: dict[str, Any], index: int) -> str:
        unit = self._context.id
        end_to_end = end_to_end_id(payment, unit, index)
        # Both are of characters that need no conversion: the check of the payment and `fits` have seen to it.
        ids = f"<InstrId>{instruction_id(payment, unit, index)}</InstrId><EndToEndId>{end_to_end}</EndToEndId>"
        if not self._elements.has_uetr:
            return ids
        return f"{ids}<UETR>{uetr(payment, unit, end_to_end, index)}</UETR>"

    def _begin_block(self, key: tuple[Any, ...]) -> _Block:
        debtor, day, _currency, bearer, kind, further, _group = key
        of: dict[str, Any] = further or {}
        write = self._elements
        self._initiator = self._initiator or debtor["name"]
        name = child_id(self._context.id, "PmtInf", "", self._number_of_blocks)
        self._number_of_blocks += 1
        tail = (
            f"{write.payment_type(*kind)}{write.execution_date(day)}"
            f"{write.party('Dbtr', debtor)}{write.account('DbtrAcct', debtor['account'])}"
            f"{write.agent('DbtrAgt', debtor.get('agent'), required=True)}"
            f"{f'<ChrgBr>{bearer}</ChrgBr>' if bearer else ''}"
            f"{write.element('ChrgsAcct', of.get('charges_account'))}"
            f"{write.element('ChrgsAcctAgt', of.get('charges_agent'))}\n"
        )
        booked = f"<BtchBookg>{str(of['batch_booking']).lower()}</BtchBookg>" if "batch_booking" in of else ""
        head = f"<PmtInf><PmtInfId>{name}</PmtInfId><PmtMtd>{of.get('method', 'TRF')}</PmtMtd>{booked}"
        self._block = _Block(key, head, tail)
        return self._block

    def _spill(self, block: _Block) -> None:
        """Move the lines of the open block out of memory; the block goes on."""
        lines = "".join(self._lines)
        self._lines.clear()
        self._overflow.write(lines.encode())
        if self._proof is not None:
            self._unproved.write(f"{block.begin()}{lines}{_BLOCK_END}")
            self._prove(self._proof)

    def _prove(self, proof: Proof) -> None:
        """Have what was written since the last time looked at, under a header with the totals so far."""
        proof.add(f"{self._header()}{self._unproved.getvalue()}{_END}".encode())
        self._unproved.seek(0)
        self._unproved.truncate()

    def _end_block(self) -> None:
        block = self._block
        if block is None:
            return
        begin, lines = block.begin(), "".join(self._lines)
        self._blocks.write(begin.encode())
        if self._overflow.tell():
            self._overflow.seek(0)
            shutil.copyfileobj(self._overflow, self._blocks, 1 << 20)
            self._overflow.seek(0)
            self._overflow.truncate()
        self._blocks.write(f"{lines}{_BLOCK_END}".encode())
        self._lines.clear()
        self._total = _EXACT.add(self._total, block.total)
        self._block = None
        if self._proof is not None:
            if self._unproved.tell() > _PIECE:
                self._prove(self._proof)
            self._unproved.write(f"{begin}{lines}{_BLOCK_END}")

    def _header(self) -> str:
        """What stands before the blocks."""
        context, party = self._context, self._party or {"name": self._initiator}
        return (
            f'{_DECLARATION}<Document xmlns="{namespace(self._message)}"><CstmrCdtTrfInitn>\n'
            f"<GrpHdr><MsgId>{context.id}</MsgId><CreDtTm>{moment(context.created_at)}</CreDtTm>"
            f"<NbOfTxs>{self._count}</NbOfTxs><CtrlSum>{self._total:f}</CtrlSum>"
            f"{self._elements.party('InitgPty', party)}</GrpHdr>\n"
        )

    def finish(self, document: IO[bytes]) -> bool:
        """Write the whole message; whether it was proved to be valid.

        Raises:
            Rejected: ``VAL451`` when there was no payment, ``VAL700``, ``VAL701``: more than the profile takes.
        """
        self._end_block()
        if not self._count:
            raise Rejected("VAL451", "there is no payment to write", hint="do not send empty groups on")
        check_count(self._count, self._rules)
        header = self._header()
        document.write(header.encode())
        self._blocks.seek(0)
        shutil.copyfileobj(self._blocks, document, 1 << 20)
        document.write(_END.encode())
        return self._proof is not None and self._proof.end(f"{header}{self._unproved.getvalue()}{_END}".encode())


def _sepa_flaws(payment: dict[str, Any]) -> tuple[Flaw, ...]:
    """A payment that says SEPA is in euro and shares the charges (EPC rulebook)."""
    if payment.get("service_level") != "SEPA":
        return ()
    flaws: tuple[Flaw, ...] = ()
    if payment["amount"]["currency"] != "EUR":
        flaws = (Flaw("VAL443", "error", "amount.currency", "a SEPA payment is in EUR", "AM03"),)
    if payment.get("charge_bearer") not in (None, "", "SLEV"):
        flaws += (Flaw("VAL443", "error", "charge_bearer", "a SEPA payment has the charge bearer SLEV", "BE19"),)
    return flaws


def _place(payment: Any, index: int) -> str:
    """Number of a payment, from 1, and its reference where that is harmless to tell."""
    reference = payment.get("end_to_end_id") if isinstance(payment, dict) else None
    known = f" ({reference})" if isinstance(reference, str) and fits(reference) else ""
    return f"payment {index + 1}{known}"


def _validate(document: IO[bytes], message: str) -> None:
    """The finished file against its schema, piece by piece."""
    file = Plain(document, len(_DECLARATION), 2)  # type: ignore[arg-type]  # a temporary file has all of BinaryIO
    for segment in one_ahead(segments(file, opening(file))):
        broken = list(schemas.violations(segment, message))
        if broken:
            raise refusal(document, broken, message)
