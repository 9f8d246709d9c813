"""What must hold for any input: money is conserved, groups are whole, order is kept, ids never depend on the run."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from faulty import Partners, Troubles, catalogue
from houses import House, landscape
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bus.channels.store import StoreBroker
from bus.errors import Held, Rejected, Retryable
from bus.ledger.ledger import Ledger
from bus.ledger.store import Store
from bus.message import Group, Headers, Join, Message, Resequence, Sequence, child_id, decode, edge_id, encode, sealed
from bus.ports import Gathering, Settlement
from bus.testing.clock import ManualClock

ROOT = "6ba7b8119dad11d180b400c04fd430c8"
PACE = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FAST = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

MONEY = {
    "bus.yaml": """\
name: money
outlets:
  euro:
    endpoint: {file: {path: euro}}
  rest:
    endpoint: {file: {path: rest}}
  late:
    endpoint: {file: {path: late}}
""",
    "money.route.yaml": """\
route: money
from: {file: {path: in, match: "*", ready: {suffix: .tmp}, poll: {every: 1s}}}
steps:
  - parse: jsonl
  - split: {name: rows, each: rows}
  - filter: {name: wanted, when: what != 'filtered'}
  - trouble: {name: trouble}
  - route:
      name: currency
      branches:
        - name: euro
          when: amount.currency == 'EUR'
          steps:
            - aggregate: {name: euro-file, by: [account], complete: {batch: true, size: 7}}
            - translate: {name: euro-lines, to: {json: {document: list}}}
          to: euro
        - name: rest
          otherwise: "true"
          steps:
            - aggregate: {name: rest-file, by: [amount.currency], complete: {batch: true}}
            - translate: {name: rest-lines, to: {json: {document: list}}}
          to: rest
on_error: {attempts: 2, backoff: {first: 1s, factor: 1, most: 1s}}
""",
}

CROSSING = {
    "bus.yaml": MONEY["bus.yaml"],
    "first.route.yaml": """\
route: first
from: {file: {path: in, match: "*", ready: {suffix: .tmp}, poll: {every: 1s}}}
steps:
  - parse: jsonl
  - split: {name: rows, each: rows}
  - trouble: {name: trouble}
  - route:
      name: ways
      branches:
        - {name: away, when: what == 'away', to: crossing}
        - name: ordered
          when: what == 'ordered'
          steps:
            - resequence: {name: order, number: number, timeout: 1s}
          to: crossing
        - name: file
          otherwise: "true"
          steps:
            - aggregate: {name: file, by: [account], complete: {batch: true}}
            - translate: {name: lines, to: {json: {document: list}}}
          to: euro
on_error: {attempts: 2, backoff: {first: 1s, factor: 1, most: 1s}}
""",
    "second.route.yaml": """\
route: second
from: {channel: crossing}
steps:
  - aggregate: {name: all, by: [account], complete: {after: 2s}}
  - translate: {name: lines, to: {json: {document: list}}}
to: rest
""",
}

WHAT = ("ok", "ok", "ok", "ok", "filtered", "rejected", "held", "poison", "again")


class Random(House):
    """A landscape with partners in memory."""

    def __init__(self, root: Path, files: dict[str, str]) -> None:
        self.troubles = Troubles()
        self.all = Partners()
        folder = landscape(root / "landscape", files)
        super().__init__(root, folder, source=self.all.source, sink=self.all.sink, catalogue=catalogue(self.troubles))

    def fail(self, lines: list[dict[str, Any]]) -> None:
        """Lines fail as they say."""
        for line in lines:
            trouble = _TROUBLES.get(line["what"])
            if trouble is not None:
                self.troubles.by_id[line["id"]] = trouble

    def got(self, outlet: str) -> list[dict[str, Any]]:
        """All bodies that an outlet got, file after file."""
        return [body for content in self.all.sinks[outlet].order for body in json.loads(content, parse_float=Decimal)]


_TROUBLES: dict[str, Exception] = {
    "rejected": Rejected("VAL999", "a rule is broken"),
    "held": Held("POL199", "somebody has to look"),
    "poison": KeyError("x"),
    "again": Retryable("NET999", "not now"),
}


def _content(lines: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


amounts = st.decimals(min_value="-99999999.999", max_value="99999999.999", places=3, allow_nan=False)
lines = st.lists(
    st.fixed_dictionaries(
        {
            "what": st.sampled_from(WHAT),
            "account": st.sampled_from(["A", "B"]),
            "amount": st.fixed_dictionaries(
                {"value": amounts.map(str), "currency": st.sampled_from(["EUR", "JPY", "USD"])}
            ),
        }
    ),
    max_size=30,
).map(lambda found: [{"id": f"n{n}", **line} for n, line in enumerate(found)])


def _sums(bodies: list[dict[str, Any]]) -> dict[str, tuple[int, Decimal]]:
    found: dict[str, tuple[int, Decimal]] = {}
    for body in bodies:
        count, total = found.get(body["amount"]["currency"], (0, Decimal(0)))
        found[body["amount"]["currency"]] = (count + 1, total + Decimal(body["amount"]["value"]))
    return found


@PACE
@given(lines)
def test_money_is_conserved_from_the_file_to_the_partners(found: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder, Random(Path(folder), MONEY) as house:
        house.fail(found)
        house.all.send("money", "f", _content(found) or b"\n")
        house.settle()
        house.later(10_000)
        out = [*house.got("euro"), *house.got("rest")]
        assert Counter(b["id"] for b in out) == Counter(b["id"] for b in found if b["what"] == "ok"), "each once"
        assert _sums(out) == _sums([b for b in found if b["what"] == "ok"])
        for file in house.all.sinks["euro"].order:
            ids = [int(b["id"][1:]) for b in json.loads(file)]
            assert ids == sorted(ids), "in the order of the file"
            assert len(ids) <= 7
        codes = {"VAL999", "POL199", "INT199", "NET999", "VAL302"}
        assert set(house.cases()) <= codes, "no case about money"
        if found:
            _tally(house, found)


def _tally(house: House, found: list[dict[str, Any]]) -> None:
    """The running totals say the same as the lines, per currency, to the last digit."""
    rows = house.rows("SELECT outcome, currency, count, amount FROM tally WHERE place LIKE 'money%' AND currency <> ''")
    told: dict[str, dict[str, tuple[int, Decimal]]] = {}
    for outcome, currency, count, amount in rows:
        before = told.setdefault(outcome, {}).get(currency, (0, Decimal(0)))
        told[outcome][currency] = (before[0] + count, before[1] + Decimal(amount))
    assert told.get("in", {}) == _sums(found)
    for outcome, kinds in (
        ("joined", ("ok",)),
        ("filtered", ("filtered",)),
        ("held", ("held",)),
        ("dead", ("rejected", "poison", "again")),
    ):
        assert told.get(outcome, {}) == _sums([b for b in found if b["what"] in kinds]), outcome
    open_batches = house.rows("SELECT count(*) FROM batch WHERE state <> 'complete' OR unreported <> 0")
    assert open_batches == [(0,)]


crossing = st.lists(
    st.tuples(st.sampled_from(["away", "ordered", "file", "poison", "held", "again"]), st.sampled_from(["A", "B"])),
    max_size=25,
)


@PACE
@given(crossing, st.randoms(use_true_random=False))
def test_a_child_that_leaves_its_route_or_waits_for_its_turn_reports_once(
    found: list[tuple[str, str]], chance: Any
) -> None:
    numbers = [n + 1 for n, _ in enumerate(w for w, _ in found if w == "ordered")]
    chance.shuffle(numbers)
    bodies = [
        {
            "id": f"n{n}",
            "what": what,
            "account": account,
            "number": numbers.pop() if what == "ordered" else 0,
            "amount": {"value": "1.01", "currency": "EUR"},
        }
        for n, (what, account) in enumerate(found)
    ]
    with tempfile.TemporaryDirectory() as folder, Random(Path(folder), CROSSING) as house:
        house.fail(bodies)
        house.all.send("first", "f", _content(bodies) or b"\n")
        house.settle()
        house.later(10_000)
        assert house.rows("SELECT count(*) FROM batch WHERE state <> 'complete' OR unreported <> 0") == [(0,)]
        assert not {"INT121", "INT131", "INT132", "SEQ101"} & set(house.cases())
        assert Counter(b["id"] for b in house.got("rest")) == Counter(
            b["id"] for b in bodies if b["what"] in ("away", "ordered")
        )
        assert Counter(b["id"] for b in house.got("euro")) == Counter(b["id"] for b in bodies if b["what"] == "file")
        for account in "AB":
            ordered = [b["number"] for b in house.got("rest") if b["what"] == "ordered" and b["account"] == account]
            assert ordered == sorted(ordered)


@settings(PACE, max_examples=10)
@given(st.lists(lines, min_size=2, max_size=3), st.randoms(use_true_random=False))
def test_ids_do_not_depend_on_the_run(files: list[list[dict[str, Any]]], chance: Any) -> None:
    named = [(f"f{n}", _content(found) + b"\n") for n, found in enumerate(files)]
    told = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as folder, Random(Path(folder), MONEY) as house:
            for found in files:
                house.fail([line for line in found if line["what"] in ("rejected", "held")])
            for name, content in named:
                house.all.send("money", name, content)
                for _ in range(chance.randrange(3)):
                    house.app.bus.turn()
                    house.clock.advance(chance.randrange(2_000))
            house.settle()
            told.append({name: dict(partner.delivered) for name, partner in house.all.sinks.items()})
            chance.shuffle(named)
    same = len({content for _, content in named}) == len(named)
    if same:  # of two equal files the one that comes first is the original
        assert told[0] == told[1]


# ---------------------------------------------------------------- groups


class Bookkeeping:
    """Channels and ledger alone, in memory."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.store = Store(None)
        self.ledger = Ledger(self.store, self.clock)
        self.broker = StoreBroker(self.store, self.ledger)
        self.broker.declare(["in", "out"])

    def settle(self, settlement: Settlement) -> None:
        self.broker.settle([], settlement, "segment")

    def due(self) -> None:
        self.broker.transact("due", lambda tx: self.ledger.collect_due(tx, 100))

    def taken(self) -> list[Message]:
        found: list[Message] = []
        while got := self.broker.take("out", 100):
            found += [d.message for d in got]
            self.broker.settle(got, Settlement("out"), "segment")
        return found


def _message(n: int, **headers: Any) -> Message:
    identity = child_id(ROOT, "test", "message", n)
    return Message(Headers(identity, identity, **headers), {"n": n})


rules = st.builds(
    Gathering,
    channel=st.just("out"),
    size=st.sampled_from([0, 1, 2, 5]),
    after=st.sampled_from([0, 300, 1_000]),
    every=st.sampled_from([0, 500, 1_500]),
)
moves = st.lists(
    st.tuples(st.sampled_from("ab"), st.integers(1, 4), st.booleans(), st.integers(0, 800)), max_size=20
)  # key, how many at once, whether the last one closes the group, how much time passes


@FAST
@given(rules, moves)
@example(Gathering("out", size=2, after=300, every=500), [("a", 3, True, 0), ("a", 1, False, 800)])
def test_every_member_is_in_exactly_one_group_in_order(
    rule: Gathering, found: list[tuple[str, int, bool, int]]
) -> None:
    books = Bookkeeping()
    joined: dict[str, list[int]] = {"a": [], "b": []}
    groups: dict[str, list[list[int]]] = {"a": [], "b": []}
    closing: set[int] = set()
    released: list[str] = []
    n = 0

    def collect() -> None:
        for message in books.taken():
            assert isinstance(message.body, Group)
            released.append(message.headers.id)
            groups[message.body.key[0]].append([m.body["n"] for m in books.ledger.members(message.body)])

    for key, count, closes, passes in found:
        settlement = Settlement("in")
        for index in range(count):
            last = closes and index == count - 1
            settlement.joins.append((Join("file", (key,), _message(n), complete=last), rule))
            joined[key].append(n)
            closing |= {n} if last else set()
            n += 1
        books.settle(settlement)
        books.clock.advance(passes)
        books.due()
        collect()
    books.clock.advance(10_000)
    books.due()
    collect()
    left = books.store.read("SELECT sum(count) FROM gathering WHERE state = 'open'")[0][0] or 0
    assert len(released) == len(set(released)), "every release has an id of its own"
    for key, of_key in groups.items():
        flat = [member for group in of_key for member in group]
        assert flat == joined[key][: len(flat)], "in order, none twice, none left out between"
        for group in of_key:
            assert 0 < len(group) <= (rule.size or 1_000)
            assert not closing & set(group[:-1]), "nothing follows the member that closes a group"
    assert sum(len(g) for of_key in groups.values() for g in of_key) + left == n
    if rule.after or rule.every:
        assert left == 0, "time releases what is left"


# ---------------------------------------------------------------- order


@FAST
@given(st.lists(st.integers(1, 25), max_size=25), st.lists(st.integers(0, 700), min_size=25, max_size=25))
def test_numbers_come_out_in_order_with_gaps_skipped_and_none_lost(numbers: list[int], passes: list[int]) -> None:
    books = Bookkeeping()
    out: list[int] = []
    late: list[int] = []
    for index, number in enumerate(numbers):
        expected = books.store.read("SELECT expected FROM resequencing")
        if expected and number < expected[0][0]:
            late.append(index)
        settlement = Settlement("in")
        settlement.resequences.append((Resequence("order", "k", number, _message(index), 500), "out"))
        books.settle(settlement)
        books.clock.advance(passes[index])
        books.due()
        out += [m.body["n"] for m in books.taken()]
    for _ in range(30):
        books.clock.advance(500)
        books.due()
    out += [m.body["n"] for m in books.taken()]
    assert sorted(out) == list(range(len(numbers))), "each goes on exactly once"
    on_time = [numbers[index] for index in out if index not in late]
    assert on_time == sorted(on_time)
    assert books.store.read("SELECT count(*) FROM parked") == [(0,)]


@FAST
@given(st.permutations(list(range(1, 12))))
def test_a_permutation_without_gaps_comes_out_sorted_at_once(numbers: list[int]) -> None:
    books = Bookkeeping()
    for number in numbers:
        settlement = Settlement("in")
        settlement.resequences.append((Resequence("order", "k", number, _message(number), 500), "out"))
        books.settle(settlement)
    assert [m.body["n"] for m in books.taken()] == list(range(1, 12))
    assert books.store.read("SELECT count(*) FROM cases") == [(0,)]


# ---------------------------------------------------------------- envelopes and ids

exact = st.decimals(allow_nan=False, allow_infinity=False, min_value="-1e30", max_value="1e30").map(
    lambda d: d + Decimal("0.00")
)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**25), 10**25) | exact | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=15,
)
headers = st.builds(
    Headers,
    id=st.just("a" * 32),
    correlation_id=st.just("b" * 32),
    number=st.integers(0, 2**40),
    name=st.text(max_size=20),
    sequence=st.none() | st.builds(Sequence, st.integers(0, 2**40), st.integers(0, 2**30), st.booleans()),
    keys=st.lists(st.tuples(st.text(max_size=5), st.text(max_size=5)), max_size=3).map(tuple),
    copy=st.booleans(),
    worth=st.none() | st.tuples(st.just("EUR"), exact),
)


def _same(one: Any, other: Any) -> bool:
    """Equal, digit for digit where there are decimals."""
    if isinstance(one, Decimal):
        return one == other and str(one) == str(other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(_same(a, b) for a, b in zip(one, other, strict=True))
    return type(one) is type(other) and bool(one == other)


@settings(FAST, max_examples=150)
@given(headers, plain | st.binary(max_size=40), st.dictionaries(st.text(max_size=5), plain, max_size=3))
def test_a_stored_message_comes_back_as_it_was(head: Headers, body: Any, properties: dict[str, Any]) -> None:
    message = Message(head, body, properties)
    for stored in (encode(message), sealed(message)):
        back = decode(stored)
        assert back.headers == head
        assert _same(body, back.body)
        assert _same(properties, back.properties)


def test_no_bit_of_a_sealed_message_changes_unnoticed() -> None:
    stored = sealed(Message(Headers(ROOT, ROOT), {"amount": Decimal("1234.50")}))
    for bit in range(len(stored) * 8):
        changed = (int.from_bytes(stored) ^ 1 << bit).to_bytes(len(stored))
        with pytest.raises(Rejected, match="INT101"):
            decode(changed)


@FAST
@given(st.lists(st.tuples(st.text(max_size=6), st.text(max_size=6), st.integers(0, 50)), unique=True, max_size=30))
def test_ids_of_children_are_stable_and_different(places: list[tuple[str, str, int]]) -> None:
    places = [(r.replace("\x1f", ""), s.replace("\x1f", ""), n) for r, s, n in places]
    ids = {place: child_id(ROOT, *place) for place in places}
    assert len(set(ids.values())) == len(set(places))
    assert all(child_id(ROOT, *place) == identity for place, identity in ids.items())
    assert all(len(i) == 32 and i[12] == "5" and i[16] in "89ab" for i in ids.values()), "RFC 9562, version 5"
    assert edge_id("a", "b") != edge_id("ab")
