"""Validation, duplicates, register, correlate, advance, continuity and cases: what makes it a bus for payments."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from bus import Finding, Group, Hold, Message, OpenCase, Progress, Register, Rejected, Remember, Retryable, with_field

if TYPE_CHECKING:
    from collections.abc import Callable

    from bus.testing.steps import StepBench


def rejected(run: Callable[[], Any]) -> Rejected:
    with pytest.raises(Rejected) as caught:
        run()
    return caught.value


# ---------------------------------------------------------------- validate

RULES = [
    {"that": "amount.value <= 100", "reason": "AM02", "message": "over the limit"},
    {"when": "service_level == 'SEPA'", "that": "amount.currency == 'EUR'", "reason": "AM03", "message": "not in euro"},
    {"that": "creditor.name", "message": "no creditor", "place": "creditor.name"},
]


def test_a_good_payment_passes_unchanged(bench: StepBench, payment: dict[str, Any]) -> None:
    message = bench.message(with_field(payment, ("amount", "value"), Decimal(100)))

    assert bench.run(bench.build({"validate": {"rules": RULES}}), message) == [message]


def test_all_broken_rules_are_told_with_the_first_reason(bench: StepBench, payment: dict[str, Any]) -> None:
    body = {**payment, "amount": {"value": Decimal("100.01"), "currency": "USD"}, "creditor": {}}

    error = rejected(
        lambda: bench.run(bench.build({"validate": {"rules": RULES}}), bench.message(body, place="line 7"))
    )

    assert (error.code, error.reason, error.place) == ("VAL530", "AM02", "line 7")
    assert error.message == "over the limit (and 2 more)"
    assert [finding.place for finding in error.findings] == [
        "amount.value <= 100",
        "amount.currency == 'EUR'",
        "creditor.name",
    ]


def test_a_rule_is_only_for_those_it_is_meant_for(bench: StepBench, payment: dict[str, Any]) -> None:
    body = {**payment, "service_level": "URGP", "amount": {"value": Decimal(5), "currency": "USD"}}

    assert len(bench.run(bench.build({"validate": {"rules": RULES}}), body)) == 1


def test_the_model_is_checked_first(make_bench: Callable[..., StepBench]) -> None:
    error = Finding("VAL401", "error", "creditor.account", "the IBAN is wrong")
    warning = Finding("VAL402", "warning", "creditor", "no address")

    def check(body: Any) -> tuple[Finding, ...]:
        return {"bad": (warning, error), "odd": (warning,)}.get(body["is"], ())

    bench = make_bench(models={"payment": check})
    step = bench.build({"validate": {"model": "payment", "reason": "AC01", "rules": [{"that": "no", "message": "m"}]}})

    found = rejected(lambda: bench.run(step, {"is": "bad"}))
    assert (found.code, found.reason, found.message) == ("VAL401", "AC01", "the IBAN is wrong (and 1 more)")
    assert found.findings[:2] == (warning, error)
    assert rejected(lambda: bench.run(step, {"is": "odd"})).reason == "", "a warning has no reason code"
    alone = bench.build({"validate": "payment"})
    assert len(bench.run(alone, {"is": "odd"})) == 1, "a warning is no reason to refuse"
    assert len(bench.run(alone, {"is": "good"})) == 1


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({}, "CFG509"),
        ({"rules": [{"that": "a"}]}, "missing"),
        ({"rules": [{"that": "a", "message": "m", "reason": "ac1"}]}, "string_pattern_mismatch"),
    ],
)
def test_unclear_validations_are_refused(bench: StepBench, options: dict[str, Any], code: str) -> None:
    with pytest.raises(ValidationError) as caught:
        bench.spec({"validate": options})
    assert caught.value.errors()[0]["type"] == code


# ---------------------------------------------------------------- payment duplicates

FIRST, SECOND = "1" * 32, "2" * 32


def paid(bench: StepBench, body: Any, written: Any = None, *, arrival: str = FIRST, name: str = "") -> list[Any]:
    step = bench.build({"payment_duplicates": written or {}})
    effects = bench.run(step, bench.message(body, correlation_id=arrival, name=name))
    if not isinstance(effects[0], Hold):
        bench.settle(effects)
    return effects


@pytest.mark.parametrize(
    ("first", "second", "told"),
    [("RUN_1.csv", "RUN_2.csv", "RUN_1.csv"), ("", "RUN_2.csv", FIRST), ("RUN_1.csv", "RUN_1.csv", FIRST)],
)
def test_the_same_payment_from_another_file_is_held_and_names_the_first(
    bench: StepBench, payment: dict[str, Any], first: str, second: str, told: str
) -> None:
    assert isinstance(paid(bench, payment, name=first)[0], Message)

    (effect,) = paid(bench, payment, arrival=SECOND, name=second)

    assert isinstance(effect, Hold)
    assert effect.code == "DUP111"
    assert told in effect.reason
    assert "DE89" not in effect.reason, "no payload in reasons"


def test_what_was_remembered_without_a_name_is_still_known(bench: StepBench, payment: dict[str, Any]) -> None:
    remembered = [e for e in paid(bench, payment) if isinstance(e, Remember)]
    bench.settle([Remember(e.scope, e.key, FIRST, e.until, replace=True) for e in remembered])

    assert isinstance(paid(bench, payment, name="RUN_1.csv")[0], Message), "of the same arrival"
    assert isinstance(paid(bench, payment, arrival=SECOND)[0], Hold)


def test_repeats_inside_one_file_pass(bench: StepBench, payment: dict[str, Any]) -> None:
    paid(bench, payment)

    assert isinstance(paid(bench, payment)[0], Message)


@pytest.mark.parametrize(
    ("path", "value", "same"),
    [
        ("amount.value", Decimal("100.100"), True),
        ("amount.value", Decimal("100.11"), False),
        ("amount.currency", "USD", False),
        ("creditor.account.iban", "NL91ABNA0417164300", False),
        ("debtor.account.iban", "NL91ABNA0417164300", False),
        ("end_to_end_id", "E2E-2", True),  # the invoice is still the same
        ("invoice", "INV-2", True),  # the end-to-end id is still the same
        ("execution_date", "2026-11-25", True),
        ("creditor.name", "Somebody else", True),
    ],
)
def test_what_makes_two_payments_the_same(
    bench: StepBench, payment: dict[str, Any], path: str, value: Any, *, same: bool
) -> None:
    paid(bench, payment)

    (effect, *_) = paid(bench, with_field(payment, tuple(path.split(".")), value), arrival=SECOND)

    assert isinstance(effect, Hold) == same


def test_other_references_are_another_payment(bench: StepBench, payment: dict[str, Any]) -> None:
    paid(bench, payment)

    other = {**payment, "end_to_end_id": "E2E-2", "invoice": "INV-2"}
    assert isinstance(paid(bench, other, arrival=SECOND)[0], Message)


def test_without_reference_the_remittance_counts(bench: StepBench, payment: dict[str, Any]) -> None:
    rent = {**payment, "end_to_end_id": "NOTPROVIDED", "invoice": "", "remittance": {"unstructured": ["Rent June"]}}
    later = {**rent, "remittance": {"unstructured": ["Rent July"]}}
    paid(bench, rent)

    assert isinstance(paid(bench, later, arrival=SECOND)[0], Message)
    assert isinstance(paid(bench, rent, arrival=SECOND)[0], Hold)


def test_without_any_reference_the_rest_decides(bench: StepBench, payment: dict[str, Any]) -> None:
    bare = {**payment, "end_to_end_id": "", "invoice": "", "remittance": {}}
    paid(bench, bare)

    assert isinstance(paid(bench, bare, arrival=SECOND)[0], Hold)


def test_a_payment_is_forgotten_after_its_time(bench: StepBench, payment: dict[str, Any]) -> None:
    paid(bench, payment, "1d")

    bench.clock.pass_by(86_400_000)

    assert isinstance(paid(bench, payment, "1d", arrival=SECOND)[0], Message)


def test_a_rule_of_ones_own(bench: StepBench, payment: dict[str, Any]) -> None:
    rule = {"by": ["creditor.account.iban", "invoice"], "within": "0s"}
    remember = paid(bench, payment, rule)[1]
    assert isinstance(remember, Remember)
    assert remember.until == 0

    dearer = with_field({**payment, "end_to_end_id": "E2E-2"}, ("amount", "value"), Decimal(999))
    assert isinstance(paid(bench, dearer, rule, arrival=SECOND)[0], Hold)
    assert isinstance(paid(bench, {**dearer, "invoice": "INV-2"}, rule, arrival=SECOND)[0], Message)


def test_a_held_payment_is_not_remembered_as_the_newest(bench: StepBench, payment: dict[str, Any]) -> None:
    paid(bench, payment)
    before = dict(bench.reader.remembered)

    paid(bench, payment, arrival=SECOND)

    assert bench.reader.remembered == before


@pytest.mark.parametrize("path", ["debtor.account", "creditor.account", "amount"])
def test_a_payment_without_what_is_compared_is_rejected(bench: StepBench, payment: dict[str, Any], path: str) -> None:
    body = with_field(payment, tuple(path.split(".")), {})

    assert rejected(lambda: paid(bench, body)).code == "VAL514"


# ---------------------------------------------------------------- register

FILE = (
    b'{"message_id": "M-1", "payment_information_id": "P-0"}\n'
    b'{"payment_information_id": "P-1", "end_to_end_id": "E-1", "amount": {"value": 100.10, "currency": "EUR"}}\n'
    b'{"end_to_end_id": "E-2", "amount": {"value": 5, "currency": "USD"}}\n'
)
REGISTER = {"register": {"partner": "north", "answer_within": "4h", "format": "lines"}}


@pytest.mark.parametrize("as_blob", [True, False])
def test_register_remembers_what_the_bank_gets_to_see(bench: StepBench, *, as_blob: bool) -> None:
    message = bench.message(bench.blobs.put(FILE) if as_blob else FILE)

    passed, register = bench.run(bench.build(REGISTER), message)

    assert passed == message
    assert isinstance(register, Register)
    assert register.answer_by == bench.clock.now() + 14_400_000
    names = ("partner", "message_id", "payment_information_id", "end_to_end_id", "amount", "currency")
    assert [tuple(row[name] for name in names) for row in register.rows] == [
        ("north", "M-1", "P-1", "E-1", Decimal("100.10"), "EUR"),
        ("north", "M-1", "P-0", "E-2", 5, "USD"),
    ]
    assert all(stream.closed for stream in bench.blobs.open_streams)


def test_no_deadline_unless_it_is_wanted(bench: StepBench) -> None:
    _, register = bench.run(bench.build({"register": {"partner": "north", "format": "lines"}}), FILE)

    assert isinstance(register, Register)
    assert register.answer_by == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"a": 1}, "VAL503"),
        (Group(1, 1), "VAL503"),
        (b'{"message_id": "M"}\n', "VAL540"),
        (b'{"message_id": "M"}\n{"amount": {"value": 1, "currency": "EUR"}}\n', "VAL541"),
        (b'{}\n{"end_to_end_id": "E", "amount": {"value": 1, "currency": "EUR"}}\n', "VAL541"),
        (b'{"message_id": "M"}\n!\n', "VAL997"),
    ],
)
def test_what_cannot_be_registered_is_rejected(bench: StepBench, body: Any, code: str) -> None:
    assert rejected(lambda: bench.run(bench.build(REGISTER), body)).code == code


# ---------------------------------------------------------------- correlate


@pytest.fixture
def sent(bench: StepBench) -> StepBench:
    """Three payments went out to bank-north in two files, one to bank-south."""
    rows = [("north", "M-1", "P-1", "E-1"), ("north", "M-1", "P-2", "E-2"), ("north", "M-2", "P-3", "E-1")]
    rows.append(("south", "M-9", "P-9", "E-9"))
    names = ("partner", "message_id", "payment_information_id", "end_to_end_id")
    amounts = {"amount": Decimal("100.10"), "currency": "EUR"}
    bench.settle([Register(tuple({**dict(zip(names, row, strict=True)), **amounts} for row in rows))])
    return bench


def status(level: str, message_id: str = "", block: str = "", payment: str = "", **more: Any) -> dict[str, Any]:
    return {
        "type": "payment-status",
        "level": level,
        "status": "RJCT",
        "reason": "AC04",
        "original_message_id": message_id,
        "original_payment_information_id": block,
        "original_end_to_end_id": payment,
        **more,
    }


def found(bench: StepBench, body: Any, **options: Any) -> list[Any]:
    correlation = bench.spec({"correlate": options}).build_split(bench, bench.spec({"parse": "lines"}).format)
    return [part.body for part in correlation.expand(bench.message(body, place="line 3"))]


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (status("transaction", "M-1", "P-1", "E-1"), [1]),
        (status("transaction", "M-2", "", "E-1"), [3]),
        (status("transaction", "", "", "E-2"), [2]),
        (status("transaction", "M-1", "THEIR-OWN", "E-2"), [2]),
        (status("payment-information", "M-1", "P-2"), [2]),
        (status("payment-information", "", "P-3"), [3]),
        (status("group", "M-1"), [1, 2]),
    ],
)
def test_a_status_finds_its_payments_on_every_level(sent: StepBench, body: dict[str, Any], ids: list[int]) -> None:
    parts = found(sent, body, partner="north")

    assert [part["instruction"]["id"] for part in parts] == ids
    for part in parts:
        assert (part["status"], part["reason"], part["level"]) == ("RJCT", "AC04", body["level"])
        assert part["instruction"]["amount"] == Decimal("100.10")
        assert part["original_end_to_end_id"] == part["instruction"]["end_to_end_id"]
        assert part["original_message_id"]
        assert "unmatched" not in part


@pytest.mark.parametrize(
    ("body", "ids"),
    [
        (status("group", "M-1", excepted_payments=["E-1"]), [2]),
        (status("group", "M-1", excepted_blocks=["P-2"]), [1]),
        (status("payment-information", "M-1", "P-2", excepted_payments=["E-1"]), [2]),
        (status("group", "M-1", excepted_payments=["E-1"], excepted_blocks=["P-2"]), []),
    ],
)
def test_nobody_inherits_who_is_told_something_else(sent: StepBench, body: dict[str, Any], ids: list[int]) -> None:
    parts = found(sent, body, partner="north")

    assert [part["instruction"]["id"] for part in parts] == ids
    assert not {"excepted_payments", "excepted_blocks"} & {name for part in parts for name in part}


@pytest.mark.parametrize(
    "body",
    [
        status("transaction", "M-1", "P-1", "E-7"),
        status("transaction", "M-7", "", "E-1"),
        status("transaction", "M-1", "P-1", ""),
        status("transaction", "M-1", "P-1", "NOTPROVIDED"),
        status("payment-information", "M-1", ""),
        status("group", ""),
        status("group", "NOTPROVIDED"),
        status("transaction", "M-9", "P-9", "E-9"),  # the other bank's
    ],
)
def test_nothing_is_guessed(sent: StepBench, body: dict[str, Any]) -> None:
    (part,) = found(sent, body, partner="north")

    assert part["unmatched"] is True
    assert "ambiguous" not in part
    assert "instruction" not in part
    assert {name: part[name] for name in body} == body


def test_a_single_status_that_fits_two_payments_is_for_a_person(sent: StepBench) -> None:
    (part,) = found(sent, status("transaction", "", "", "E-1"), partner="north", wait="1h")

    assert (part["unmatched"], part["ambiguous"], part["waiting"]) == (True, True, False)


def test_the_partner_may_stand_in_the_status(sent: StepBench) -> None:
    body = status("transaction", "M-9", "P-9", "E-9", bank="south")

    assert found(sent, body, partner_from="bank")[0]["instruction"]["id"] == 4
    assert found(sent, {**body, "bank": "north"}, partner_from="bank")[0]["unmatched"]


def test_a_status_waits_for_its_payment_for_a_while(sent: StepBench) -> None:
    body = status("transaction", "M-3", "", "E-3")

    (first,) = found(sent, body, wait="10m")
    assert (first["waiting"], first["unmatched_since"]) == (True, "2026-05-28T20:26:40Z")
    sent.clock.pass_by(599_000)
    (second,) = found(sent, first, wait="10m")
    assert (second["waiting"], second["unmatched_since"]) == (True, first["unmatched_since"])
    sent.clock.pass_by(1_000)
    (third,) = found(sent, second, wait="10m")
    assert (third["waiting"], third["unmatched"]) == (False, True)

    row = {"partner": "north", "message_id": "M-3", "payment_information_id": "P", "end_to_end_id": "E-3"}
    sent.settle([Register(({**row, "amount": Decimal(1), "currency": "EUR"},))])
    (last,) = found(sent, third, wait="10m")
    assert last["instruction"]["id"] == 5
    assert not {"unmatched", "unmatched_since", "waiting"} & set(last)


@pytest.mark.parametrize("body", [b"raw", None, [], {"type": "payment"}])
def test_what_is_no_status_is_rejected(sent: StepBench, body: Any) -> None:
    assert rejected(lambda: found(sent, body)).code == "VAL542"


def test_correlated_parts_have_business_keys(sent: StepBench) -> None:
    keys = {"payment": "instruction.end_to_end_id", "none": "missing"}
    correlation = sent.spec({"correlate": {"keys": keys}}).build_split(sent)
    (part,) = correlation.expand(sent.message(status("transaction", "M-1", "P-1", "E-1")))

    assert correlation.child_keys(part.body) == (("payment", "E-1"),)


# ---------------------------------------------------------------- advance


@pytest.mark.parametrize(
    ("old", "new", "moves", "told"),
    [
        ("", "RCVD", True, True),
        ("", "ACSP", True, True),
        ("RCVD", "ACTC", True, True),
        ("ACTC", "ACCP", True, True),
        ("ACCP", "ACWC", True, True),
        ("ACWC", "ACSP", True, True),
        ("ACSP", "ACSC", True, True),
        ("ACCP", "ACCP", False, False),
        ("ACSP", "ACCP", False, False),
        ("ACSC", "ACCC", False, False),
        ("ACSC", "RJCT", True, True),
        ("RJCT", "RJCT", False, False),
        ("RJCT", "ACSC", False, False),
        ("RJCT", "CANC", False, False),
        ("ACSP", "CANC", True, True),
        ("CANC", "ACSP", False, False),
        ("ACTC", "PDNG", True, False),
        ("", "PART", False, False),
        ("", "", False, False),
        ("", "XXXX", False, False),
    ],
)
def test_the_ladder(bench: StepBench, old: str, new: str, *, moves: bool, told: bool) -> None:
    body = {"status": new, "reason": "AC04", "instruction": {"id": 7, "status": old}}
    message = bench.message(body)

    effects = bench.run(bench.build({"advance": {}}), message)

    assert (Progress(7, new, "AC04", seen=old) in effects, message in effects) == (moves, told)
    assert len(effects) == moves + told


def test_of_two_reports_in_one_commit_the_second_sees_the_first(sent: StepBench) -> None:
    (first,), (second,) = (found(sent, status("transaction", "M-1", "P-1", "E-1")) for _ in range(2))
    step = sent.build({"advance": {}})
    told, again = sent.run(step, first), sent.run(step, second)

    sent.settle(told)
    with pytest.raises(Retryable) as refused:
        sent.settle(again)

    assert refused.value.code == "SYS121"
    assert sent.run(step, second) == []


def test_news_tells_from_which_status_the_payment_moves(sent: StepBench) -> None:
    (early,) = found(sent, status("transaction", "M-1", "P-1", "E-1", status="ACSC"))
    sent.settle([Progress(1, "ACTC")])

    progress, message = sent.run(sent.build({"advance": {}}), early)

    assert progress == Progress(1, "ACSC", "AC04", seen="ACTC")
    assert isinstance(message, Message)
    assert (message.body["status"], message.body["instruction"]["status"]) == ("ACSC", "ACTC")


@pytest.mark.parametrize("body", [b"raw", {}, {"status": "RJCT", "unmatched": True}, {"instruction": {"id": "7"}}])
def test_only_correlated_statuses_move_anything(bench: StepBench, body: Any) -> None:
    assert rejected(lambda: bench.run(bench.build({"advance": {}}), body)).code == "VAL543"


# ---------------------------------------------------------------- continuity


def statement(number: int | None, opening: str | None, closing: str | None, iban: str = "DE1") -> dict[str, Any]:
    def balance(text: str | None) -> Any:
        return None if text is None else {"amount": {"value": Decimal(text), "currency": "EUR"}, "date": "2026-11-24"}

    return {
        "type": "statement",
        "sequence_number": number,
        "account": {"iban": iban},
        "opening": balance(opening),
        "closing": balance(closing),
    }


def watched(bench: StepBench, *statements: dict[str, Any]) -> list[str]:
    """Codes of the cases that the last of these statements raised."""
    step = bench.build({"continuity": {}})
    effects: list[Any] = []
    for body in statements:
        message = bench.message(body)
        effects = bench.run(step, message)
        assert effects[0] == message, "a statement always goes on"
        bench.settle(effects)
    return [effect.code for effect in effects if isinstance(effect, OpenCase)]


@pytest.mark.parametrize(
    ("following", "cases"),
    [
        (statement(6, "10.0", "20"), []),
        (statement(7, "15", "20"), ["SEQ110"]),
        (statement(9, "10", "20"), ["SEQ110"]),
        (statement(5, "0", "10"), ["SEQ111"]),
        (statement(4, "0", "0"), ["SEQ111"]),
        (statement(6, "10.01", "20"), ["SEQ112"]),
        (statement(1, "10", "20"), []),  # a new year
        (statement(1, "11", "20"), ["SEQ111"]),
        (statement(None, "10", "20"), []),
        (statement(None, "11", "20"), ["SEQ112"]),
        (statement(6, None, "20"), []),
        (statement(9, "0", "0", iban="DE2"), []),
    ],
)
def test_statements_follow_each_other(bench: StepBench, following: dict[str, Any], cases: list[str]) -> None:
    assert watched(bench, statement(5, "0", "10.00"), following) == cases


def test_what_came_again_changes_nothing(bench: StepBench) -> None:
    assert watched(bench, statement(5, "0", "10"), statement(4, "1", "2"), statement(6, "10", "20")) == []


def test_after_a_gap_it_goes_on_from_there(bench: StepBench) -> None:
    assert watched(bench, statement(5, "0", "10"), statement(7, "15", "20"), statement(8, "20", "30")) == []


def test_the_same_statement_running_again_raises_nothing(bench: StepBench) -> None:
    step = bench.build({"continuity": {}})
    message = bench.message(statement(5, "0", "10"))
    bench.settle(bench.run(step, message))

    assert bench.run(step, message) == [message]


def test_statements_that_run_at_the_same_time_do_not_overlook_each_other(bench: StepBench) -> None:
    step = bench.build({"continuity": {}})
    bench.settle(bench.run(step, statement(5, "0", "10")))
    sixth, seventh = bench.message(statement(6, "10", "20")), bench.message(statement(7, "20", "30"))
    both = [bench.run(step, sixth), bench.run(step, seventh)]

    bench.settle(both[0])
    with pytest.raises(Retryable):
        bench.settle(both[1])

    assert [type(effect) for effect in bench.run(step, seventh)] == [Message, Remember], "no case when it runs again"


def test_a_case_names_numbers_and_no_balances_and_opens_once(bench: StepBench) -> None:
    step = bench.build({"continuity": {}})
    bench.settle(bench.run(step, statement(5, "0", "10")))

    cases = [e for _ in range(2) for e in bench.run(step, statement(8, "77.77", "20")) if isinstance(e, OpenCase)]

    assert cases[0].summary == "statement 8 follows 5: 2 missing"
    assert cases[0].fingerprint == cases[1].fingerprint
    assert json.dumps(cases[0].context) == "{}"


def test_a_statement_with_neither_number_nor_balance_is_not_remembered(bench: StepBench) -> None:
    assert len(bench.run(bench.build({"continuity": {}}), statement(None, None, None))) == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"account": {}}, "VAL516"),
        ({"sequence_number": "x"}, "VAL512"),
        ({"sequence_number": True}, "VAL512"),
        ({"opening": {"amount": "10"}}, "VAL516"),
        ({"closing": {"amount": {"value": 1.5, "currency": "EUR"}}}, "VAL516"),
    ],
)
def test_what_does_not_fit_the_expressions_is_rejected(bench: StepBench, change: dict[str, Any], code: str) -> None:
    body = {**statement(5, "0", "10"), **change}

    assert rejected(lambda: bench.run(bench.build({"continuity": {}}), body)).code == code


# ---------------------------------------------------------------- case


def test_a_case_opens_and_the_message_goes_on(bench: StepBench) -> None:
    message = bench.message({"n": 1}, place="line 4")

    effects = bench.run(bench.build({"case": "look at this"}), message)

    fingerprint = f"bench/step/{message.headers.id}"
    assert effects == [message, OpenCase("POL110", "look at this", message, fingerprint, {"place": "line 4"})]


def test_one_case_for_all_that_agree(bench: StepBench) -> None:
    step = bench.build({"case": {"summary": "s", "code": "POL120", "by": ["file"], "when": "bad"}})
    quiet = bench.message({"file": "a", "bad": False})

    prints = [bench.run(step, {"file": name, "bad": True})[1].fingerprint for name in ("a", "a", "b")]  # type: ignore[union-attr]  # an OpenCase

    assert prints == ["bench/step/a", "bench/step/a", "bench/step/b"]
    assert bench.run(step, quiet) == [quiet]
