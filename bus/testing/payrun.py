"""Payment runs as the scripted ERP makes them: the same bytes for the same seed, and what must become of every line."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal
from random import Random
from typing import Literal

from bus.testing.accounts import (
    Account,
    foreign_account,
    sepa_account,
    unplaced_account,
    with_wrong_check_digits,
)

COLUMNS = (
    "payment_id", "end_to_end_id", "invoice", "debtor_name", "debtor_iban", "debtor_bic", "creditor_name",
    "creditor_account", "creditor_bic", "creditor_country", "amount", "currency", "execution_date", "remittance",
)  # fmt: skip
"""Header line of a payment run; a reject file has ``reason_code`` and ``reason_text`` in addition."""

Outcome = Literal["bank-north", "bank-south", "treasury", "bad"]

BAD = {
    "bad-iban": "AC01",
    "no-creditor-name": "BE22",
    "excess-decimals": "AM12",
    "negative-amount": "AM12",
    "zero-amount": "AM01",
    "february-30": "DT01",
    "unknown-currency": "AM03",
    "too-many-fields": "FF01",
}
"""Kinds of broken lines -> ISO 20022 external status reason that a refusal of it should carry."""

_MINOR = {"JPY": 0, "KRW": 0, "KWD": 3}
_NORTH = (
    ("ACME GmbH", "DE89370400440532013000", "COBADEFFXXX"),
    ("ACME Services B.V.", "NL91ABNA0417164300", "ABNANL2AXXX"),
    ("ACME France SAS", "FR1420041010050500013M02606", "PSSTFRPPXXX"),
)
_SOUTH = (
    ("ACME Trading Ltd", "GB29NWBK60161331926819", "NWBKGB2LXXX"),
    ("ACME Overseas AG", "CH9300762011623852957", "BCVLCH2LXXX"),
)
# Umlauts and an ampersand are in every ERP's supplier table, so they are in this one.
_SUPPLIERS = (
    "Müller & Söhne GmbH", "Café Lumière SARL", "Østergård A/S", "Nordic Paper AB", "Łódź Logistyka Sp. z o.o.",
    "Peña Hermanos S.L.", "O'Neill Engineering Ltd", "Officine Rossi S.p.A.", "Data Services B.V.", "Gießerei Weiß KG",
)  # fmt: skip
_ABROAD = (
    "Pacific Steel Inc.",
    "Sakura Trading Co.",
    "Gulf Supplies LLC",
    "Southern Cross Pty Ltd",
    "Harbour Freight Co.",
)


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of the kinds of lines (0 to 1 of all lines; what is left is ordinary SEPA) and the limit of treasury.

    Attributes:
        foreign: payments in USD, GBP, JPY and others to accounts outside SEPA: expected at bank-south.
        large: SEPA payments above the limit: expected at treasury.
        unplaced: payments to an account whose country nobody can tell: expected at treasury.
        limit: highest amount in EUR that needs no look of treasury; exactly this much still goes to bank-north.
    """

    foreign: float = 0.08
    large: float = 0.02
    unplaced: float = 0.01
    limit: Decimal = Decimal("1000000.00")


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a run, and what must become of it.

    Attributes:
        place: ``line 17``, counted from 1 with the header.
        kind: ``sepa``, ``foreign``, ``large``, ``unplaced``, or a key of :data:`BAD`.
        outcome: where it must end.
        reason: status reason of a bad line, else empty.
    """

    place: str
    payment_id: str
    end_to_end_id: str
    invoice: str
    amount: Decimal
    currency: str
    kind: str
    outcome: Outcome
    reason: str = ""


@dataclass(frozen=True, slots=True)
class PaymentRun:
    """A payment-run file with its truth.

    Attributes:
        name: file name.
        content: the bytes, UTF-8, ``;`` between fields, a line feed after each line, one trailer a currency.
        lines: in file order.
        fault: what is wrong with the file as a whole (``truncated``, ``wrong-sum``, ``wrong-count``): then no line of
            it may go anywhere; ``duplicate`` for bytes that were sent before; empty when the file is good.
    """

    name: str
    content: bytes
    lines: tuple[Line, ...]
    fault: str = ""

    def expected(self, outcome: Outcome) -> list[Line]:
        """The lines that must end there."""
        return [line for line in self.lines if line.outcome == outcome]

    def totals(self, outcome: Outcome | None = None) -> dict[str, tuple[int, Decimal]]:
        """Currency -> (count, exact sum) of all lines, as the trailers say, or of one outcome's."""
        found: dict[str, tuple[int, Decimal]] = {}
        for line in self.lines:
            if outcome in (None, line.outcome):
                count, total = found.get(line.currency, (0, Decimal(0)))
                found[line.currency] = (count + 1, total + line.amount)
        return found

    def duplicate(self, name: str = "") -> PaymentRun:
        """The same bytes again, under the same or another name."""
        return replace(self, name=name or self.name, fault="duplicate")

    def truncated(self, share: float = 0.6) -> PaymentRun:
        """The file cut off after a share of its bytes, at the latest before its last trailer."""
        last = self.content.rstrip(b"\n").rfind(b"\n") + 1
        return replace(self, content=self.content[: min(int(len(self.content) * share), last)], fault="truncated")

    def wrong_sum(self) -> PaymentRun:
        """The sum of the EUR trailer (the first, where there is none) is one cent too high."""
        return self._retold("wrong-sum", 0, Decimal("0.01"))

    def wrong_count(self) -> PaymentRun:
        """The count of the EUR trailer (the first, where there is none) is one too high."""
        return self._retold("wrong-count", 1, Decimal(0))

    def _retold(self, fault: str, more: int, money: Decimal) -> PaymentRun:
        rows = self.content.decode().split("\n")
        trailers = [i for i, row in enumerate(rows) if row.startswith("T;")]
        chosen = next((i for i in trailers if rows[i].split(";")[2] == "EUR"), trailers[0])
        _, count, currency, total = rows[chosen].split(";")
        rows[chosen] = f"T;{int(count) + more};{currency};{Decimal(total) + money:f}"
        return replace(self, content="\n".join(rows).encode(), fault=fault)


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes payment runs.

    Attributes:
        seed: 0 to 999,999,999; part of every id, so that runs of different seeds can meet in one landscape.
        day: execution date of most lines; the rest is due on the next weekday.
    """

    seed: int
    day: date = date(2026, 11, 24)

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 10**9:
            raise ValueError("a seed is a number from 0 to 999,999,999, because ids of 35 characters contain it")

    def run(self, number: int, lines: int, *, bad_share: float = 0.03, mix: Mix | None = None) -> PaymentRun:
        """Run ``number`` with so many lines; the same for the same seed, number and shares.

        Args:
            number: 0 to 99,999,999, part of every id.
            lines: 0 gives a file with a header and a trailer of nothing.
            bad_share: share of broken lines, their kinds in turn.
            mix: the other lines.
        """
        if not (0 <= number < 10**8 and 0 <= lines < 10**7):
            raise ValueError("a run has a number from 0 to 99,999,999 and less than ten million lines")
        mix = mix or Mix()
        rng = Random(f"{self.seed}:{number}")  # noqa: S311 - made-up data that must be the same every time
        rows = [";".join(COLUMNS)]
        facts: list[Line] = []
        for index, kind in enumerate(_kinds(rng, lines, bad_share, mix, number)):
            fields, fact = self._line(rng, f"{self.seed}-{number}-{index + 1}", kind, mix)
            rows.append(";".join(fields))
            facts.append(replace(fact, place=f"line {index + 2}"))
        run = PaymentRun(f"PAYRUN_{self.day:%Y%m%d}_{number:06d}.csv", b"", tuple(facts))
        totals = run.totals() or {"EUR": (0, Decimal("0.00"))}
        rows += [f"T;{count};{currency};{total:f}" for currency, (count, total) in sorted(totals.items())]
        return replace(run, content=("\n".join(rows) + "\n").encode())

    def _line(self, rng: Random, serial: str, kind: str, mix: Mix) -> tuple[list[str], Line]:
        abroad = kind in ("foreign", "unplaced")
        debtor = _SOUTH[rng.randrange(len(_SOUTH))] if abroad else _NORTH[rng.randrange(len(_NORTH))]
        supplier = _ABROAD[rng.randrange(len(_ABROAD))] if abroad else _SUPPLIERS[rng.randrange(len(_SUPPLIERS))]
        account, currency, amount = _payee(rng, kind, mix)
        ids = [f"P-{serial}", f"E2E-{serial}", f"INV-{serial}"]
        due = self.day if rng.randrange(10) else _next_weekday(self.day)
        fields = [
            *ids, *debtor, supplier, account.number, account.bic, account.country, f"{amount:f}", currency,
            due.isoformat(), f"Invoice {ids[2]}",
        ]  # fmt: skip
        if kind in BAD:
            _break(fields, kind, rng)
        outcome: Outcome = (
            "bank-north" if kind in ("sepa", "limit") else "bank-south" if kind == "foreign" else "treasury"
        )
        fact = Line(
            place="",
            payment_id=ids[0],
            end_to_end_id=ids[1],
            invoice=ids[2],
            amount=Decimal(fields[10]),
            currency=fields[11],
            kind="sepa" if kind == "limit" else kind,
            outcome="bad" if kind in BAD else outcome,
            reason=BAD.get(kind, ""),
        )
        return fields, fact


def _kinds(rng: Random, lines: int, bad_share: float, mix: Mix, number: int) -> list[str]:
    """What each line is: exact shares, so that a run of 200 always has its 6 bad lines, in an order by chance."""
    names = list(BAD)
    found = [names[(number + i) % len(names)] for i in range(round(lines * bad_share))]
    for kind, share in (("foreign", mix.foreign), ("large", mix.large), ("unplaced", mix.unplaced)):
        found += [kind] * round(lines * share)
    if len(found) > lines:
        raise ValueError("the shares of a payment run's lines are more than the whole")
    if lines - len(found) >= 100:
        found.append("limit")  # one payment of exactly the limit: the border belongs to the bank
    found += ["sepa"] * (lines - len(found))
    rng.shuffle(found)
    return found


def _payee(rng: Random, kind: str, mix: Mix) -> tuple[Account, str, Decimal]:
    if kind == "unplaced":
        return unplaced_account(rng), ("USD", "EUR")[rng.randrange(2)], _amount(rng, 2, mix.limit)
    if kind == "foreign":
        account = foreign_account(rng)
        currency = ("USD", "USD", "GBP", "JPY", account.currency, account.currency)[rng.randrange(6)]
        return account, currency, _amount(rng, _MINOR.get(currency, 2), mix.limit)
    account = sepa_account(rng)
    if rng.randrange(10) < 3:
        account = replace(account, bic="")  # within SEPA the IBAN alone will do
    if kind == "limit":
        return account, "EUR", mix.limit
    if kind == "large":
        return account, "EUR", mix.limit + _amount(rng, 2, mix.limit * 8)
    return account, "EUR", _amount(rng, 2, mix.limit)


def _amount(rng: Random, decimals: int, most: Decimal) -> Decimal:
    """Of a random order of magnitude, at least one minor unit and below ``most``."""
    units = min(10 ** rng.randrange(2, 8), int(most.scaleb(decimals)))
    return Decimal(rng.randrange(1, max(units, 2))).scaleb(-decimals)


def _break(fields: list[str], kind: str, rng: Random) -> None:
    """Make one thing wrong with a line that was right."""
    if kind == "bad-iban":
        fields[7] = with_wrong_check_digits(fields[7])
    elif kind == "no-creditor-name":
        fields[6] = ""
    elif kind == "excess-decimals":
        fields[11] = ("EUR", "JPY")[rng.randrange(2)]
        fields[10] = f"{rng.randrange(1, 10_000)}.{rng.randrange(100):02d}{rng.randrange(1, 10)}"
    elif kind == "negative-amount":
        fields[10] = f"-{fields[10]}"
    elif kind == "zero-amount":
        fields[10] = "0.00"
    elif kind == "february-30":
        fields[12] = f"{fields[12][:4]}-02-30"
    elif kind == "unknown-currency":
        fields[11] = "QQQ"
    else:
        fields.append("surplus")


def _next_weekday(day: date) -> date:
    step = {4: 3, 5: 2}.get(day.weekday(), 1)
    return day + timedelta(days=step)
