"""Strategies for canonical bodies that banks could have sent or would take, whole as the models allow them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

IBANS = ("DE89370400440532013000", "NL91ABNA0417164300", "FR1420041010050500013M02606", "GB29NWBK60161331926819")
BICS = ("COBADEFFXXX", "ABNANL2A", "DEUTDEFF500")
LEIS = ("529900T8BM49AURSDO55", "5493001KJTIIGC8Y1R12")
_LETTERS = "ABCXYZabcxyz0189"


def text(most: int) -> st.SearchStrategy[str]:
    """A text of the SEPA character set without a space at either end."""
    inside = st.text(f"{_LETTERS}/-?:().,'+ ", min_size=0, max_size=most - 2)
    return st.builds(lambda a, b, c: a + b + c, st.sampled_from(_LETTERS), inside, st.sampled_from(_LETTERS))


def some(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object with any of the fields."""
    return st.fixed_dictionaries({}, optional=fields)


def filled(strategy: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """An object that is not empty."""
    return strategy.filter(bool)


days = st.dates().filter(lambda d: d.year > 1999).map(lambda d: d.isoformat())
moments = days.map(lambda d: f"{d}T10:00:00Z")
identifiers = st.text(_LETTERS + "-", min_size=1, max_size=35).filter(lambda s: s.strip("-") == s and "--" not in s)
codes = st.text("ABCDEFGHIJ", min_size=4, max_size=4)
countries = st.sampled_from(["DE", "NL", "FR", "US"])
uetrs = st.uuids(version=4).map(str)


def amounts(*currencies: str) -> st.SearchStrategy[dict[str, Any]]:
    """Amounts above zero with the decimals of their currency."""
    digits = {"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3}
    return st.sampled_from(currencies or ("EUR", "USD", "JPY", "KWD")).flatmap(
        lambda c: st.integers(1, 10**9).map(
            lambda n: {"value": Decimal(n).scaleb(-digits[c]), "currency": c},
        )
    )


ids = st.fixed_dictionaries({"id": identifiers}, optional={"scheme": codes | text(30), "issuer": text(30)})
address = filled(
    some(
        country=countries,
        town=text(35),
        postcode=text(16),
        street=text(70),
        building=text(16),
        department=text(70),
        sub_department=text(70),
        subdivision=text(35),
        lines=st.lists(text(70), min_size=1, max_size=2),
    )
)
new_address = filled(
    some(
        country=countries,
        town=text(35),
        building_name=text(35),
        floor=text(70),
        room=text(70),
        post_box=text(16),
        town_location=text(35),
        district=text(35),
        street=text(70),
        type=st.sampled_from(["ADDR", "HOME", "BIZZ"]),
    )
)
contact = filled(some(name=text(70), phone=st.just("+49-2211234"), email=text(40), mobile=st.just("+49-170123")))
birth = st.fixed_dictionaries({"date": days, "city": text(35), "country": countries}, optional={"province": text(35)})
accounts = st.sampled_from(IBANS).map(lambda i: {"iban": i}) | st.fixed_dictionaries(
    {"other": identifiers.filter(lambda s: len(s) <= 34)},
    optional={"scheme": codes, "issuer": text(35), "currency": st.just("EUR"), "name": text(70)},
)


def agents(*, new: bool) -> st.SearchStrategy[dict[str, Any]]:
    """Banks by BIC, clearing number or another one; with what versions from 2019 on have."""
    lei = {"lei": st.sampled_from(LEIS)} if new else {}
    further = {"name": text(140), "branch": text(35), **lei}
    by_bic = st.fixed_dictionaries({"bic": st.sampled_from(BICS)}, optional=further)
    by_number = st.fixed_dictionaries(
        {"member_id": identifiers, "clearing_system": st.sampled_from(["USABA", "GBDSC"])},
        optional={"name": text(140), "address": address},
    )
    return by_bic | by_number | st.fixed_dictionaries({"other": ids})


def parties(*, new: bool, name: bool = True) -> st.SearchStrategy[dict[str, Any]]:
    """Parties with identifiers of an organisation or of a person, not of both."""
    lei = {"lei": st.sampled_from(LEIS)} if new else {}
    base = {"address": address | new_address if new else address, "country": countries, "contact": contact}
    named = {"name": text(70)} if name else {}
    rest = {} if name else {"name": text(70)}
    organisation = {"bic": st.sampled_from(BICS), "organisation_ids": st.lists(ids, min_size=1, max_size=2), **lei}
    person = {"private_ids": st.lists(ids, min_size=1, max_size=2), "birth": birth}
    return st.fixed_dictionaries(named, optional=base | organisation | rest) | st.fixed_dictionaries(
        named, optional=base | person | rest
    )


def sides(*, new: bool) -> st.SearchStrategy[dict[str, Any]]:
    """A debtor or creditor with an account; ``agent`` is told even when there is none."""
    return st.builds(
        lambda party, account, agent: {**party, "account": account, "agent": agent},
        parties(new=new),
        accounts,
        st.none() | agents(new=new),
    )


adjustment = st.fixed_dictionaries(
    {"amount": amounts("EUR")}, optional={"direction": st.sampled_from(["credit", "debit"]), "reason": codes}
)
creditor_reference = st.fixed_dictionaries(
    {"reference": identifiers, "type": st.sampled_from(["SCOR", "own kind", ""])},
    optional={"additional": st.lists(text(140), min_size=1, max_size=3), "remitted": amounts("EUR")},
)
document = st.fixed_dictionaries(
    {"reference": identifiers, "type": st.sampled_from(["CINV", "CREN"]), "date": days},
    optional={
        "due": amounts("EUR"),
        "credit_note": amounts("EUR"),
        "adjustments": st.lists(adjustment, min_size=1, max_size=2),
        "discounts": amounts("EUR").map(lambda a: [{"amount": a}]),
        "taxes": amounts("EUR").map(lambda a: [{"amount": a}]),
    },
)
remittances = st.fixed_dictionaries(
    {
        "unstructured": st.lists(text(140), max_size=3),
        "structured": st.lists(creditor_reference | document, max_size=3),
    }
)
simple_remittances = st.fixed_dictionaries(
    {
        "unstructured": st.lists(text(140), max_size=3),
        "structured": st.lists(st.fixed_dictionaries({"reference": identifiers, "type": st.just("SCOR")}), max_size=2),
    }
)
report = st.fixed_dictionaries({"code": text(10)}, optional={"amount": amounts("EUR")})
reports = st.lists(
    st.fixed_dictionaries(
        {
            "details": st.lists(
                st.fixed_dictionaries({"code": text(10)}, optional={"amount": amounts("EUR")}), min_size=1
            )
        },
        optional={"side": st.sampled_from(["CRED", "DEBT", "BOTH"]), "authority": text(70), "country": countries},
    ),
    min_size=1,
    max_size=2,
)
ultimate = filled(parties(new=False, name=False))
