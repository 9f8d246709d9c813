"""Check digits: examples of public specifications, wrong ones, and that every single wrong digit is found."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bus import ConfigError, Rejected, minor_units
from bus.expressions import compile_expression
from bus.identifiers import (
    COUNTRIES,
    REFERENCES,
    is_belgian_reference,
    is_bic,
    is_creditor_id,
    is_creditor_reference,
    is_finnish_reference,
    is_lei,
    is_modulo11_account,
    is_norwegian_reference,
    is_routing_number,
    is_swedish_reference,
    is_swiss_reference,
    luhn,
    mod97,
    national_iban_problem,
    uetr_problem,
)
from bus.money import countable

Checked = Callable[[str], bool]
EXAMPLES: list[tuple[Checked, list[str], list[str]]] = [
    (
        is_bic,
        ["COBADEFF", "COBADEFFXXX", "TRFAXKPR"],
        ["COBAXXFF", "COBADEF", "COBADEFFXX", "cobadeff", "C0BA1EFF", "", "COBA DEFF"],
    ),
    (
        is_lei,  # of the LEI system itself, and of issuers named in its documents
        ["529900T8BM49AURSDO55", "7ZW8QJWVPR4P1J1KQY45", "5493001KJTIIGC8Y1R12"],
        ["529900T8BM49AURSDO56", "529900T8BM49AURSDO5", "529900t8bm49aursdo55", "529900T8BM49AURSDOXX", ""],
    ),
    (
        is_creditor_id,  # EPC262-08 and the central banks' own examples
        ["DE98ZZZ09999999999", "DE98ABC09999999999", "AT61ZZZ01234567890", "FR72ZZZ123456", "NL79ZZZ999999990000"],
        ["DE97ZZZ09999999999", "DE98ZZZ09999999998", "XX98ZZZ09999999999", "DE98ZZ", "DE98ZZZ0999999999 9", ""],
    ),
    (
        is_routing_number,
        ["011000015", "021000021", "322271627"],
        ["011000016", "730000008", "130000006", "02100002", "0210000210", "02100002X", ""],
    ),
    (
        is_modulo11_account,  # behind the example IBANs of Czechia and Slovakia
        ["19-2000145399/0800", "000019-2000145399/0800", "2000145399/0800", "19-8742637541/1200"],
        ["19-2000145398/0800", "18-2000145399/0800", "2000145399", "0/0800", "0000000000/0800", "1-2-3/0800", ""],
    ),
    (
        is_creditor_reference,  # ISO 11649
        ["RF18539007547034", "RF45G72UUR"],
        ["RF19539007547034", "RF18 5390 0754 7034", "rf18539007547034", "RF18", "RF00539007547034", ""],
    ),
    (
        is_belgian_reference,
        ["+++090/9337/55493+++", "***090/9337/55493***", "090933755493", "000000009797"],
        ["+++090/9337/55494+++", "+++090/9337/55493***", "+++090/9337/55493", "000000009700", "09093375549", ""],
    ),
    (
        is_swiss_reference,  # of the QR-bill guidelines
        ["210000000003139471430009017"],
        ["210000000003139471430009018", "21000000000313947143000901", "0" * 27, "21000000000313947143000901X", ""],
    ),
    (
        is_norwegian_reference,
        ["2345676", "123456782", "123456785"],  # modulus 10, 10, 11
        ["2345675", "123456783", "1", "1" * 26, "12345678A", ""],
    ),
    (
        is_finnish_reference,
        ["1234561", "0001234561"],
        ["1234562", "000", "0000", "1" * 21, "12345 61", ""],
    ),
    (
        is_swedish_reference,
        ["49927398716", "1212121212"],
        ["49927398717", "1", "1" * 26, "4992739871X", ""],
    ),
]


@pytest.mark.parametrize(("check", "right", "wrong"), EXAMPLES, ids=lambda x: getattr(x, "__name__", ""))
def test_examples(check: Checked, right: list[str], wrong: list[str]) -> None:
    assert [text for text in right if not check(text)] == []
    assert [text for text in wrong if check(text)] == []


@pytest.mark.parametrize(("check", "right", "wrong"), EXAMPLES, ids=lambda x: getattr(x, "__name__", ""))
def test_digits_of_other_scripts_are_none(check: Checked, right: list[str], wrong: list[str]) -> None:
    del wrong
    assert not any(check(text.translate({ord(str(n)): 0x0660 + n for n in range(10)})) for text in right if "0" in text)


def test_lengths_of_swedish_references() -> None:
    assert is_swedish_reference("1212121212", (10,))
    assert is_swedish_reference("1212121212", (8, 10))
    assert not is_swedish_reference("1212121212", (9,))
    assert is_swedish_reference("1234566", length_digit=False)
    assert not is_swedish_reference("1234566", length_digit=True)
    with_length = next(f"123457{last}" for last in range(10) if luhn(f"123457{last}"))
    assert is_swedish_reference(with_length, length_digit=True)


def test_a_norwegian_remainder_of_ten_is_a_hyphen() -> None:
    tens = [f"{n}-" for n in range(100, 200) if is_norwegian_reference(f"{n}-")]
    assert tens
    eleven = sum(int(d) * w for d, w in zip(tens[0][2::-1], (2, 3, 4), strict=True)) % 11
    assert eleven == 1


# ---------------------------------------------------------------- every single wrong digit is found


def _changed(text: str, position: int, step: int) -> str:
    """The text with another digit at one place."""
    other = (int(text[position]) + step) % 10
    return f"{text[:position]}{other}{text[position + 1 :]}"


def _closed(body: str, check: Checked, digits: int = 1) -> list[str]:
    """The body with the check digits that make it right."""
    return [text for n in range(10**digits) if check(text := f"{body}{n:0{digits}}")]


CLOSING = [
    (is_lei, 18, 2),
    (is_belgian_reference, 10, 2),
    (is_swiss_reference, 26, 1),
    (is_finnish_reference, 12, 1),
    (is_swedish_reference, 12, 1),
]


@pytest.mark.parametrize(("check", "length", "digits"), CLOSING, ids=lambda x: getattr(x, "__name__", ""))
@settings(deadline=None)
@given(data=st.data())
def test_one_wrong_digit_is_always_found(check: Checked, length: int, digits: int, data: st.DataObject) -> None:
    body = data.draw(st.text("0123456789", min_size=length, max_size=length).filter(lambda t: int(t) > 0))
    right = _closed(body, check, digits)
    assert len(right) == 1, "there is exactly one set of check digits"
    position = data.draw(st.integers(0, len(right[0]) - 1))
    assert not check(_changed(right[0], position, data.draw(st.integers(1, 9))))


@given(st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=1, max_size=21), st.data())
def test_one_wrong_character_of_a_creditor_reference_is_always_found(body: str, data: st.DataObject) -> None:
    right = f"RF{98 - mod97(f'{body}RF00'):02}{body}"
    assert is_creditor_reference(right)
    position = data.draw(st.integers(2, len(right) - 1))
    alphabet = "0123456789" if position < 4 or right[position].isdigit() else "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    other = data.draw(st.sampled_from(alphabet).filter(lambda sign: sign != right[position]))
    assert not is_creditor_reference(right[:position] + other + right[position + 1 :])


@given(st.integers(0, 8), st.integers(1, 9))
def test_one_wrong_digit_of_a_routing_number_is_always_found(position: int, step: int) -> None:
    for right in ("011000015", "021000021", "322271627"):
        assert not is_routing_number(_changed(right, position, step))


@given(st.integers(3, 12), st.integers(1, 9))
def test_one_wrong_digit_of_an_account_modulo_11_is_always_found(position: int, step: int) -> None:
    right = "19-2000145399/0800"
    assert not is_modulo11_account(_changed(right, position, step))


@given(st.integers(2, 17).filter(lambda n: not 4 <= n <= 6), st.integers(1, 9))
def test_one_wrong_digit_of_a_creditor_id_is_always_found(position: int, step: int) -> None:
    assert not is_creditor_id(_changed("DE98ZZZ09999999999", position, step))


@given(st.integers(1, 10**23), st.data())
def test_one_wrong_digit_is_always_found_by_modulus_10(number: int, data: st.DataObject) -> None:
    (right,) = _closed(str(number), luhn)
    wrong = _changed(right, data.draw(st.integers(0, len(right) - 1)), data.draw(st.integers(1, 9)))
    assert is_norwegian_reference(right)
    assert not luhn(wrong)


# ---------------------------------------------------------------- accounts, transactions, currencies


@pytest.mark.parametrize(
    ("iban", "problem"),
    [
        ("DE89370400440532013000", ""),
        ("FR1420041010050500013M02606", ""),
        ("IT60X0542811101000000123456", ""),
        ("BE68539007547034", ""),
        ("BE41539007547035", "wrong by the national check digits of its account"),
        ("DE88370400440532013000", "wrong by its check digits"),
        ("DE8937040044053201300", "not of the length that the country's IBANs have"),
        ("DEAA370400440532013000", "not of the structure that the country's IBANs have"),
        ("US89370400440532013000", "of a country that has no IBAN"),
        ("", "not of the structure that the country's IBANs have"),
    ],
)
def test_ibans_with_the_check_digits_of_their_country(iban: str, problem: str) -> None:
    assert national_iban_problem(iban) == problem


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0a1b2c3d-0000-4000-8000-000000000001", ""),
        ("0A1B2C3D-0000-4000-8000-000000000001", "not written in small letters with four hyphens"),
        ("0a1b2c3d000040008000000000000001", "not written in small letters with four hyphens"),
        ("0a1b2c3d-0000-5000-8000-000000000001", "no UUID of version 4"),
        ("0a1b2c3d-0000-4000-0000-000000000001", "no UUID of version 4"),
        ("INV-1", "no UUID"),
        ("", "no UUID"),
    ],
)
def test_uetrs(text: str, problem: str) -> None:
    assert uetr_problem(text) == problem


def test_countries_are_those_of_iso_3166_and_kosovo() -> None:
    assert len(COUNTRIES) == 250
    assert {"DE", "XK", "GB", "SS", "CW"} <= COUNTRIES
    assert not {"UK", "EU", "AN", "XX"} & COUNTRIES


@pytest.mark.parametrize(
    ("currency", "digits"),
    [("BGN", 2), ("HRK", 2), ("ITL", 0), ("ESP", 0), ("DEM", 2), ("ZWL", 2), ("BHD", 3), ("JPY", 0)],
)
def test_currencies_that_are_gone_keep_their_decimals(currency: str, digits: int) -> None:
    assert minor_units(currency) == digits


# ---------------------------------------------------------------- in expressions


@pytest.mark.parametrize(
    ("text", "body", "result"),
    [
        ("is_reference(r, 'BE')", {"r": "+++090/9337/55493+++"}, True),
        ("is_reference(r, 'CH')", {"r": "21 00000 00003 13947 14300 09017"}, True),
        ("is_reference(r, 'NO')", {"r": "2345676"}, True),
        ("is_reference(r, 'FI')", {"r": "12345 61"}, True),
        ("is_reference(r, 'SE')", {"r": "49927398717"}, False),
        ("is_reference(r, 'RF')", {}, False),
        ("is_lei(r)", {}, False),
        ("is_uetr(r)", {}, False),
        ("is_bic(r)", {"r": "COBAXXFF"}, False),
        ("iban_problem(r)", {"r": "DE89 3704 0044 0532 0130 00"}, None),
    ],
)
def test_expressions_can_ask(text: str, body: dict[str, str], result: object) -> None:
    assert compile_expression(text).run(body) == result


def test_a_kind_of_reference_that_nobody_knows_is_refused_before_anything_runs() -> None:
    with pytest.raises((ConfigError, Rejected)) as refused:
        compile_expression("is_reference(r, 'XX')")
    assert ", ".join(REFERENCES) in str(refused.value)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("0.00", True), ("100.10", True), ("-7", True), ("1e-40", True), ("1e-41", False), ("1e40", True),
        ("1e41", False), (f"{'9' * 41}.99", True), (f"{'9' * 42}.99", False), ("NaN", False), ("Infinity", False),
    ],
)  # fmt: skip
def test_totals_are_kept_of_forty_digits_on_each_side(text: str, *, kept: bool) -> None:
    assert countable(Decimal(text)) is kept
