"""NACHA files: totals proved on both levels, canonical payments both ways, returns and changes as statuses."""

from __future__ import annotations

import io
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import Inspection, Part, Rejected, WriteContext
from bus.codes import codes
from transforms.canonical import MODELS
from transforms.nacha import NachaSpec
from transforms.nacha.records import check_digit, is_routing_number

CONTEXT = WriteContext("ab" * 16, 1_795_000_000_000)
OPTIONS: dict[str, Any] = {"destination": "121042882", "origin": "1231380104", "company_id": "1231380104"}
FILL = "9" * 94

PAYROLL = [
    "101 121042882 2313801042611241200A094101FIRST BANK             EXAMPLE MANUFACTURING  RUN00042",
    "5200EXAMPLE MFG     NOVEMBER            1231380104PPDPAYROLL   NOV 26261125   1121042880000001",
    "622231380104744567899        0000250000EMP-0001       MARIA LOPEZ             0121042880000001",
    "632231380104999000111        0000175050EMP-0002       JOHN O'NEIL             1121042880000002",
    "705BONUS FOR OCTOBER INCLUDED                                                      00010000002",
    "627121042882555444333        0000020025EMP-0003       RETURN OF ADVANCE       0121042880000003",
    "82000000040058380308000000020025000000425050231380104                          121042880000001",
]


def file_of(*lines: str) -> str:
    text = [line.ljust(94) for line in lines]
    while len(text) % 10:
        text.append(FILL)
    return "\n".join(text) + "\n"


def control(batch_count: int, blocks: int, count: int, hash_: int, debit: int, credit: int) -> str:
    return f"9{batch_count:06}{blocks:06}{count:08}{hash_:010}{debit:012}{credit:012}"


BATCH_CONTROL = f"8200{4:06}{23138010 + 23138010 + 12104288:010}{20025:012}{425050:012}1231380104"
PAYROLL[-1] = BATCH_CONTROL.ljust(79) + "121042880000001"
WHOLE = file_of(*PAYROLL, control(1, 1, 4, 58380308, 20025, 425050))

RETURNS = file_of(
    "101 231380104 1210428822611270900B094101EXAMPLE BANK           FIRST BANK",
    "5220EXAMPLE MFG                         1231380104PPDPAYROLL         2611273311121042880000001",
    "621231380104744567899        0000250000EMP-0001       MARIA LOPEZ             1231380100000001",
    "799R02121042880000001      23138010                                            231380100000001",
    "8220000002" + f"{23138010:010}{0:012}{250000:012}1231380104".ljust(69) + "121042880000001",
    "5220EXAMPLE MFG                         1231380104CORPAYROLL         2611273311121042880000002",
    "621231380104744567899        0000000000EMP-0002       JOHN O'NEIL             1231380100000002",
    "798C01121042880000002      231380101918171614                                  231380100000002",
    "8220000002" + f"{23138010:010}{0:012}{0:012}1231380104".ljust(69) + "121042880000002",
    control(2, 1, 4, 46276020, 0, 250000),
)

FOREIGN_ENTRIES = [
    "6221210428820007             0000100000DE89370400440532013000                 1121042880000001",
    "710BUS000000000000100000                      MUSTER GMBH                              0000001",
    "711EXAMPLE MANUFACTURING              15 WEST PLACE STREET                             0000001",
    "712JACOBSTOWN*PA\\                     US*19305\\                                        0000001",
    "713FIRST BANK                         0112104288                          US           0000001",
    "714COMMERZBANK                        02COBADEFF370                       DE           0000001",
    "715INV-4711       12 HAUPTSTRASSE                                                      0000001",
    "716KOELN*\\                            DE*50667\\                                        0000001",
]


def read(data: str | bytes, each: str = "payments", **options: Any) -> list[Part]:
    raw = data.encode("latin-1") if isinstance(data, str) else data
    return list(NachaSpec.model_validate(options).build().read(io.BytesIO(raw)).parts(each))


def refused(data: str | bytes, each: str = "payments", **options: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        read(data, each, **options)
    assert caught.value.code in codes()
    return caught.value


def inspected(data: str) -> Inspection:
    return NachaSpec.inspect(io.BytesIO(data.encode("latin-1")))


def written(bodies: list[Any], **options: Any) -> bytes:
    target = io.BytesIO()
    NachaSpec.model_validate(OPTIONS | options).build().write(bodies, target, CONTEXT)
    return target.getvalue()


def unwritable(body: Any, **options: Any) -> Rejected:
    with pytest.raises(Rejected) as caught:
        written([body], **options)
    assert caught.value.code in codes()
    return caught.value


def payment(**changes: Any) -> dict[str, Any]:
    return {
        "type": "payment",
        "end_to_end_id": "E-1",
        "debtor": {"name": "EXAMPLE MFG"},
        "creditor": {
            "name": "MARIA LOPEZ",
            "account": {"other": "744567899", "kind": "CACC"},
            "agent": {"clearing_system": "USABA", "member_id": "231380104"},
        },
        "amount": {"value": Decimal("2500.00"), "currency": "USD"},
        "execution_date": "2026-11-25",
        "remittance": {"unstructured": [], "structured": []},
        **changes,
    }


# ---------------------------------------------------------------- reading


def test_payments_and_direct_debits() -> None:
    first, second, third = (part.body for part in read(WHOLE))
    assert first == {
        "type": "payment",
        "end_to_end_id": "EMP-0001",
        "debtor": {
            "name": "EXAMPLE MFG",
            "agent": {"clearing_system": "USABA", "member_id": "12104288"},
            "organisation_ids": [{"id": "1231380104"}],
        },
        "creditor": {
            "name": "MARIA LOPEZ",
            "account": {"other": "744567899", "kind": "CACC"},
            "agent": {"clearing_system": "USABA", "member_id": "231380104"},
        },
        "amount": {"value": Decimal("2500.00"), "currency": "USD"},
        "execution_date": "2026-11-25",
        "local_instrument": "PPD",
        "category_purpose": "SALA",
        "remittance": {"unstructured": [], "structured": []},
        "message_id": "RUN00042",
        "payment_information_id": "1",
        "instruction_id": "121042880000001",
    }
    assert second["creditor"]["account"] == {"other": "999000111", "kind": "SVGS"}
    assert second["remittance"]["unstructured"] == ["BONUS FOR OCTOBER INCLUDED"]
    assert (third["type"], third["debtor"]["name"], third["creditor"]["name"]) == (
        "direct-debit",
        "RETURN OF ADVANCE",
        "EXAMPLE MFG",
    )
    assert third["collection_date"] == "2026-11-25"


def test_the_head_and_everything() -> None:
    document = NachaSpec().build().read(io.BytesIO(WHOLE.encode()))
    assert document.head["created_on"] == "2026-11-24"
    whole = document.whole()
    assert [entry["transaction_code"] for entry in whole["entries"]] == ["22", "32", "27"]
    assert whole["entries"][1]["batch"]["description"] == "PAYROLL"


def test_a_file_without_line_ends_and_one_with_cut_blanks() -> None:
    wanted = [part.body for part in read(WHOLE)]
    assert [part.body for part in read(WHOLE.replace("\n", ""))] == wanted
    assert [part.body for part in read("".join(line.rstrip() + "\r\n" for line in WHOLE.splitlines()))] == wanted


def test_returns_and_notifications_of_change_are_statuses() -> None:
    back, change = (part.body for part in read(RETURNS, "statuses"))
    assert (back["status"], back["reason"], back["additional"]) == ("RJCT", "AC04", ["R02", "account closed"])
    assert (back["original_end_to_end_id"], back["original_instruction_id"]) == ("EMP-0001", "121042880000001")
    assert (change["status"], change["reason"]) == ("ACWC", "C01")
    assert change["additional"] == ["account number: 1918171614"]
    assert not MODELS["payment-status"](back)
    assert read(RETURNS) == []
    assert inspected(RETURNS).kind == "status"


def test_an_r_code_without_iso_reason_stays() -> None:
    (body,) = (p.body for p in read(RETURNS.replace("799R02", "799R08"), "statuses") if p.body["status"] == "RJCT")
    assert (body["reason"], body["additional"]) == ("R08", ["payment stopped"])


def international(entries: list[str]) -> str:
    return file_of(
        "101 121042882 2313801042611241200A094101FIRST BANK             EXAMPLE MANUFACTURING",
        "5220                FF3               DE1231380104IATINVOICE   USDEUR261125   1121042880000001",
        *entries,
        f"8220{len(entries):06}{12104288:010}{0:012}{100000:012}1231380104".ljust(79) + "121042880000001",
        control(1, 2, len(entries), 12104288, 0, 100000),
    )


def test_international_entries() -> None:
    (part,) = read(international(FOREIGN_ENTRIES))
    assert part.body["creditor"] == {
        "name": "MUSTER GMBH",
        "account": {"other": "DE89370400440532013000", "kind": "CACC"},
        "agent": {"name": "COMMERZBANK", "address": {"country": "DE"}, "bic": "COBADEFF370"},
        "address": {"country": "DE", "town": "KOELN", "postcode": "50667", "street": "12 HAUPTSTRASSE"},
    }
    assert part.body["debtor"]["address"]["subdivision"] == "PA"
    assert part.body["end_to_end_id"] == "INV-4711"


def test_an_international_entry_needs_its_addenda() -> None:
    (part,) = read(international([FOREIGN_ENTRIES[0].replace("0007", "0006"), *FOREIGN_ENTRIES[1:7]]))
    assert part.error is not None
    assert (part.error.code, part.error.place) == ("VAL787", "line 3")


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("0000250000EMP", "000025000xEMP", "VAL785", "cannot be proved"),
        ("0000250000EMP", "0000250001EMP", "VAL785", "a credit of 4250.50, the entries make 4250.51"),
        ("0058380308000000020025", "0058380309000000020025", "VAL785", "a hash of 58380309, the entries make 58380308"),
        ("8200000004", "8200000005", "VAL785", "a count of 5, the entries make 4"),
        ("9000001", "9000002", "VAL786", "2 batches, there are 1"),
        ("9000001000001", "9000001000002", "VAL786", "2 blocks of ten records, there are 1"),
        ("900000100000100000004", "900000100000100000003", "VAL786", "a count of 3"),
        ("622231380104744", "62 231380104744", "VAL785", "cannot be proved"),
        ("5200EX", "5220EX", "VAL788", "service class"),
        ("5200EX", "5100EX", "VAL788", "service class"),
        ("1231380104     ", "1231380105     ", "VAL785", "`company_id` is not that of the batch header"),
        ("094101", "094102", "VAL780", "line 1"),
        ("PPDPAYROLL", "ADVPAYROLL", "VAL781", "ADV"),
        ("8200000004", "7200000004", "VAL781", "line 8"),
        ("261125   1", "261332   1", "VAL782", "line 2, column 70"),
        ("MARIA", "MAR\xcdA", "VAL306", "line 3"),
        (FILL, FILL + "x", "VAL783", "line 9"),
        (FILL, PAYROLL[2], "VAL781", "after the file control"),
        (f"{FILL}\n", "", "", ""),
    ],
)
def test_the_file_is_refused(old: str, new: str, code: str, said: str) -> None:
    assert old in WHOLE
    data = WHOLE.replace(old, new)
    if not code:
        assert len(read(data)) == 3, "a file whose last block is not filled is read"
        return
    error = refused(data)
    assert error.code == code
    assert said in error.message
    assert code in {finding.code for finding in inspected(data).findings} or code == "VAL306"


def test_a_file_that_is_cut_off() -> None:
    assert refused("\n".join(WHOLE.splitlines()[:5])).code == "VAL793"
    assert refused("").code == "VAL302"


@pytest.mark.parametrize(
    ("old", "new", "code", "place"),
    [
        ("622231380104", "622231380105", "VAL784", "line 3, column 4"),
        ("622231380104", "620231380104", "VAL789", "line 3, column 2"),
        ("LOPEZ             0", "LOPEZ             1", "VAL787", "line 3, column 79"),
        ("JOHN O'NEIL             1", "JOHN O'NEIL             0", "VAL787", "line 4, column 79"),
    ],
)
def test_a_bad_entry_is_refused_alone(old: str, new: str, code: str, place: str) -> None:
    parts = read(WHOLE.replace(old, new))
    (bad,) = (part.error for part in parts if part.error)
    assert (bad.code, bad.place) == (code, place)
    assert len(parts) == 3
    assert next(part.raw for part in parts if part.error).startswith(b"6")


def test_inspection_counts_as_an_independent_count_does() -> None:
    found = inspected(WHOLE)
    amounts = [(line[1:3], Decimal(line[29:39]) / 100) for line in WHOLE.splitlines() if line[0] == "6"]
    (total,) = found.documents[0].totals
    assert (found.format, found.kind, found.findings) == ("nacha", "payments", ())
    assert total.count == len(amounts)
    assert total.credit == sum(a for code, a in amounts if code in ("22", "32"))
    assert total.debit == sum(a for code, a in amounts if code == "27")
    assert NachaSpec.detect(WHOLE.encode()[:4096], "x") > 0.9
    assert NachaSpec.detect(b"101;a;b\n", "x.csv") == 0


# ---------------------------------------------------------------- writing


def test_a_written_file_by_its_columns() -> None:
    lines = written([payment(), payment(end_to_end_id="E-2", execution_date="2026-11-26")]).decode().splitlines()
    assert {len(line) for line in lines} == {94}
    assert len(lines) % 10 == 0
    assert [line[0] for line in lines] == [*"15685689", *"99"]
    assert lines[0][:23] == "101 1210428821231380104"
    assert lines[1][:50] == "5220EXAMPLE MFG                         1231380104"
    assert lines[2] == "622231380104744567899        0000250000E-1            MARIA LOPEZ             0121042880000001"
    assert lines[3] == f"8220{1:06}{23138010:010}{0:012}{250000:012}1231380104".ljust(79) + "121042880000001"
    assert lines[7][:55] == f"9{2:06}{1:06}{2:08}{46276020:010}{0:012}{500000:012}"
    assert lines[8:] == [FILL, FILL]


@pytest.mark.parametrize(
    ("changes", "options", "code", "said"),
    [
        ({"amount": {"value": Decimal(1), "currency": "EUR"}}, {}, "VAL791", "USD"),
        ({"amount": {"value": Decimal("0.00"), "currency": "USD"}}, {}, "VAL791", "above zero"),
        ({"amount": {"value": Decimal("100000000.00"), "currency": "USD"}}, {}, "VAL791", "99999999.99"),
        ({"amount": {"value": Decimal("1.001"), "currency": "USD"}}, {}, "VAL213", "decimals"),
        ({"end_to_end_id": "E" * 16}, {}, "VAL790", "`id` has 16 characters, the field 15"),
        ({"debtor": {"name": "E" * 17}}, {}, "VAL790", "17 characters, the field 16"),
        ({"debtor": None}, {}, "VAL790", "originator is missing"),
        ({"execution_date": "2026-02-30"}, {}, "VAL790", "no day"),
        ({"creditor": {**payment()["creditor"], "agent": {"member_id": "231380105"}}}, {}, "VAL792", "check digit"),
        ({"creditor": {**payment()["creditor"], "account": {"iban": "DE89370400440532013000"}}}, {}, "VAL790", "IBAN"),
        ({"remittance": {"unstructured": ["a", "b"]}}, {}, "VAL790", "2 remittance texts"),
        ({"remittance": {"unstructured": ["a" * 81]}}, {}, "VAL790", "81 characters"),
        ({"remittance": {"unstructured": ["a\nb"]}}, {}, "VAL790", "control character"),
        ({"remittance": {"structured": [{"reference": "RF18", "type": "SCOR"}]}}, {}, "VAL790", "CINV"),
        ({"local_instrument": "IAT"}, {}, "VAL792", "gateway"),
        ({}, {"company_id": ""}, "VAL790", "company_id"),
    ],
)
def test_what_cannot_be_written(changes: dict[str, Any], options: dict[str, Any], code: str, said: str) -> None:
    error = unwritable(payment(**changes), **options)
    assert error.code == code
    assert said in error.message


def test_nothing_and_no_payment() -> None:
    with pytest.raises(Rejected, match="VAL334"):
        written([])
    assert unwritable(7).code == "VAL335"
    assert unwritable({"type": "entry"}).code == "VAL335"


def test_international_entries_come_back() -> None:
    (original,) = (part.body for part in read(international(FOREIGN_ENTRIES)))
    data = written([original], international={"gateway": "121042882", "bank_name": "FIRST BANK", "currency": "EUR"})
    (back,) = (part.body for part in read(data))
    for name in ("creditor", "end_to_end_id", "amount", "execution_date", "local_instrument"):
        assert back[name] == original[name], name
    assert back["debtor"]["address"] == original["debtor"]["address"]
    for change in ({"address": None}, {"agent": {"bic": ""}}, {"name": ""}):
        body = {**original, "creditor": {**original["creditor"], **change}}
        options = {"gateway": "121042882", "bank_name": "FIRST BANK"}
        assert unwritable(body, international=options).code == "VAL790"
    assert "bank_name" in unwritable(original, international={"gateway": "121042882"}).hint


IAT_RETURN = file_of(
    "101 121042882 2313801042611241200A094101FIRST BANK             EXAMPLE MANUFACTURING",
    "5220                FF3               DE1231380104IATINVOICE   USDEUR261125   1121042880000001",
    FOREIGN_ENTRIES[0].replace("622", "621", 1).replace("0007", "0008", 1),
    *FOREIGN_ENTRIES[1:],
    "799R84121042880000001      12104288" + "0000100000" + "NO SUCH GATEWAY".ljust(34) + "121042880000001",
    f"8220{9:06}{12104288:010}{0:012}{100000:012}1231380104".ljust(79) + "121042880000001",
    control(1, 2, 9, 12104288, 0, 100000),
)
TRADE = file_of(
    "101 121042882 2313801042611241200A094101FIRST BANK             EXAMPLE MANUFACTURING",
    "5220EXAMPLE MFG                         1231380104CTXINVOICES        261125   1121042880000001",
    "622231380104744567899        0000250000EMP-0001       0002SUPPLIER INC      0 1121042880000001".replace(
        "0 1", "  1"
    ),
    "705RMR*IV*INV-1**1500\\".ljust(83) + "00010000001",
    "705RMR*IV*INV-2**1000\\".ljust(83) + "00020000001",
    f"8220{3:06}{23138010:010}{0:012}{250000:012}1231380104".ljust(79) + "121042880000001",
    control(1, 1, 3, 23138010, 0, 250000),
)


@pytest.mark.parametrize(
    "data",
    [WHOLE, RETURNS, international(FOREIGN_ENTRIES), IAT_RETURN, TRADE],
    ids=["ppd", "returns and changes", "iat", "return of iat", "ctx"],
)
def test_entries_of_every_kind_come_back_to_the_character(data: str) -> None:
    parts = read(data, "entries")
    assert [part.error for part in parts] == [None] * len(parts)
    again = written([part.body for part in parts]).decode()
    assert again.splitlines()[1:] == data.splitlines()[1:], "all but the header, which the route says"


def raw(**changes: Any) -> dict[str, Any]:
    return {**read(RETURNS, "entries")[0].body, **changes}


def test_what_an_entry_does_not_tell_is_numbered_and_summed() -> None:
    told = {
        key: value for key, value in raw().items() if key not in ("trace_number", "check_digit", "addenda_indicator")
    }
    batch = {"entry_class": "PPD", "company_id": "1231380104", "company_name": "BANK", "originator_status": "1"}
    addenda = [{"type": "99", "reason": "R03", "original_trace": "121042880000009", "original_rdfi": "23138010"}]
    data = written([{**told, "batch": batch, "addenda": addenda}] * 2)
    first, second = (part.body for part in read(data, "entries"))
    assert (first["trace_number"], second["trace_number"]) == ("121042880000001", "121042880000002")
    assert first["addenda"][0]["trace_number"] == "121042880000001"
    assert (first["batch"]["batch_number"], first["batch"]["odfi"], first["batch"]["service_class"]) == (
        1,
        "12104288",
        "200",
    )
    assert [part.body["reason"] for part in read(data, "statuses")] == ["AC01", "AC01"]


@pytest.mark.parametrize(
    ("changes", "code", "said"),
    [
        ({"transaction_code": "99"}, "VAL790", "transaction code"),
        ({"transaction_code": "27"}, "VAL790", "a debit in a batch of service class 220"),
        ({"check_digit": "9"}, "VAL792", "routing number"),
        ({"rdfi": "1"}, "VAL790", "rdfi"),
        ({"amount": Decimal("1.001")}, "VAL790", "amount"),
        ({"amount": 12.5}, "VAL790", "amount"),
        ({"name": "x" * 23}, "VAL790", "name"),
        ({"nmae": "x"}, "VAL790", "nmae"),
        ({"addenda": [7]}, "VAL790", "no mapping"),
        ({"addenda": [{"type": "99", "reason": "R99"}]}, "VAL790", "code that Nacha does not define"),
        ({"addenda": [{"type": "98", "reason": "C01"}]}, "VAL790", "what is right"),
        ({"addenda": [{"type": "9"}]}, "VAL790", "two digits"),
        ({"batch": {"entry_class": "PPD", "service_class": "999"}}, "VAL790", "service class"),
        ({"batch": {"entry_class": "PPD", "effective_date": "2026-02-30"}}, "VAL790", "calendar"),
    ],
)
def test_an_entry_that_cannot_be_written(changes: dict[str, Any], code: str, said: str) -> None:
    error = unwritable(raw(**changes))
    assert error.code == code
    assert said in error.message


WORDS = st.from_regex(r"[A-Z0-9]([A-Z0-9 ./'&-]{0,11}[A-Z0-9])?", fullmatch=True)
DAYS = st.dates(date(1969, 1, 1), date(2068, 12, 31))
ROUTING = st.integers(1_000_000, 99_999_999).map(lambda n: f"{n:08}").map(lambda t: t + check_digit(t))


@st.composite
def payments(draw: st.DrawFn) -> dict[str, Any]:
    texts = draw(st.lists(WORDS, max_size=3))
    references = [{"reference": f"INV-{n}", "type": "CINV"} for n in draw(st.lists(st.integers(0, 99), max_size=2))]
    few = len(texts) + len(references) <= 1
    debit = draw(st.booleans())
    receiver = {
        "name": draw(WORDS),
        "account": {
            "other": draw(st.integers(1, 10**17 - 1).map(str)),
            "kind": draw(st.sampled_from(["CACC", "SVGS"])),
        },
        "agent": {"clearing_system": "USABA", "member_id": draw(ROUTING)},
    }
    originator = {"name": draw(st.sampled_from(["EXAMPLE MFG", "OTHER CO"]))}
    return {
        "type": "direct-debit" if debit else "payment",
        "end_to_end_id": draw(WORDS),
        "creditor": originator if debit else receiver,
        "debtor": receiver if debit else originator,
        "amount": {"value": Decimal(draw(st.integers(1, 10**10 - 1))).scaleb(-2), "currency": "USD"},
        "collection_date" if debit else "execution_date": draw(DAYS).isoformat(),
        "local_instrument": draw(st.sampled_from(["PPD", "CCD"])) if few else "CTX",
        "remittance": {"unstructured": texts, "structured": references},
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(payments(), min_size=1, max_size=8))
def test_what_is_written_comes_back(bodies: list[dict[str, Any]]) -> None:
    data = written(bodies)
    back = [part.body for part in read(data)]
    assert len(back) == len(bodies)
    for before, after in zip(bodies, back, strict=True):
        for name, value in before.items():
            if name in ("creditor", "debtor") and "account" not in value:
                assert after[name]["name"] == value["name"]
            else:
                assert after[name] == value, name
    assert not [f for f in NachaSpec.inspect(io.BytesIO(data)).findings if f.severity == "error"]


# ---------------------------------------------------------------- anything


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=400),
        st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(max_size=5)).map(
            lambda x: WHOLE.encode()[: x[0]] + x[1] + WHOLE.encode()[x[0] :]
        ),
        st.permutations(WHOLE.splitlines()).map(lambda lines: "\n".join(lines).encode()),
    ),
    st.sampled_from(["payments", "statuses", "entries"]),
)
def test_any_bytes_are_read_or_refused_with_a_code(data: bytes, each: str) -> None:
    NachaSpec.inspect(io.BytesIO(data))
    try:
        read(data, each)
    except Rejected as error:
        assert error.code in codes()  # noqa: PT017 - either outcome is right


def test_routing_numbers() -> None:
    assert is_routing_number("121042882")
    assert not is_routing_number("121042883")
    assert not is_routing_number("12104288")
    with pytest.raises(ValueError, match="routing number"):
        NachaSpec.model_validate({"destination": "121042883"})


def test_long_files_take_their_time_once() -> None:
    bodies = [payment(end_to_end_id=f"E-{n}") for n in range(5_000)]
    data = written(bodies)
    assert len(read(data)) == 5_000
    (total,) = NachaSpec.inspect(io.BytesIO(data)).documents[0].totals
    assert (total.count, total.credit) == (5_000, Decimal("12500000.00"))
    control_record = next(line for line in data.decode().splitlines() if line[:1] == "9")
    assert int(control_record[21:31]) == 5_000 * 23_138_010 % 10**10, "of the sum of the numbers the last ten digits"
