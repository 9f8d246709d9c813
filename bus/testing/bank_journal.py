"""What a scripted bank received, one line a transaction, append-only: the independent record of lost and doubled."""

from __future__ import annotations

import os
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path

import msgspec


class Received(msgspec.Struct, frozen=True, kw_only=True):
    """One received transaction.

    Attributes:
        arrival: running number of the file at this bank, from 1.
        file: its name as it was delivered.
        version: of its pain.001: ``03`` or ``09``.
        amount: instructed amount, exactly as written.
        status: ``settled``, ``rejected`` (this transaction) or ``refused`` (with the whole file).
        reason: ISO 20022 status reason of what is not settled.
    """

    arrival: int
    file: str
    version: str
    message_id: str
    payment_information_id: str
    end_to_end_id: str
    amount: Decimal
    currency: str
    creditor_account: str
    status: str
    reason: str = ""
    instruction_id: str = ""
    creditor_name: str = ""
    debtor_account: str = ""
    debtor_name: str = ""
    debtor_bic: str = ""
    remittance: str = ""


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Received).decode


def read_journal(path: Path) -> list[Received]:
    """All transactions of a ``journal.jsonl``; a last line that is just being written is left out.

    Raises:
        msgspec.DecodeError: another line is damaged.
    """
    if not path.exists():
        return []
    return [_decode(line) for line in path.read_bytes().split(b"\n")[:-1]]


class Journal:
    """The record, and the identifiers that the bank has seen in files it did not refuse.

    Args:
        path: the file.
        size: bytes that are known to be whole; what stands behind them was being written when the bank died, and is
            written again from the same file.

    Raises:
        ValueError: the file is shorter than that, so lines were lost.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self.size = size
        self._messages: set[str] = set()
        self._blocks: set[str] = set()
        self._payments: set[str] = set()
        self._waiting: list[Received] = []
        path.touch()
        if path.stat().st_size < size:
            raise ValueError(f"{path} has lost lines: the state beside it knows of more")
        os.truncate(path, size)
        self._know(read_journal(path))

    def add(self, received: list[Received]) -> None:
        """Remember transactions of one file; :meth:`commit` writes them."""
        self._waiting += received
        self._know(received)

    def commit(self) -> None:
        """Write what was added, in one go and durably."""
        with self._path.open("ab") as file:
            file.write(b"".join(_encode(one) + b"\n" for one in self._waiting))
            file.flush()
            os.fsync(file.fileno())
            self.size = file.tell()
        self._waiting = []

    def read(self) -> list[Received]:
        """All transactions so far."""
        return read_journal(self._path)

    def knows_message(self, message_id: str) -> bool:
        """Whether a file with this MsgId was taken before."""
        return message_id in self._messages

    def knows_block(self, payment_information_id: str) -> bool:
        """Whether a payment block with this PmtInfId was taken before."""
        return payment_information_id in self._blocks

    def knows_payment(self, end_to_end_id: str) -> bool:
        """Whether a payment with this EndToEndId was taken before."""
        return end_to_end_id in self._payments

    def _know(self, received: Iterable[Received]) -> None:
        for one in received:
            # A file that was refused whole may be corrected and sent again with the same identifiers.
            if one.status != "refused":
                self._messages.add(one.message_id)
                self._blocks.add(one.payment_information_id)
                self._payments.add(one.end_to_end_id)
