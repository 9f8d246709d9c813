"""Taxes, garnishments, cheques, interest and what says where the advice is: carried as they stand, both ways."""

from __future__ import annotations

import json
from typing import Any

import pytest
from iso_documents import camt053, details, entry, payment, read, statement, written
from lxml import etree
from schema_documents import Maker

from bus import Rejected
from transforms.canonical import MODELS
from transforms.canonical.models import MODEL_TYPES
from transforms.iso20022.model import Type, model, type_at

ORDERS = {
    "pain.001": ("CstmrCdtTrfInitn/PmtInf/CdtTrfTxInf", ("Tax", "RltdRmtInf", "ChqInstr", "RmtInf/Strd/TaxRmt",
                                                         "RmtInf/Strd/GrnshmtRmt")),
    "camt.053": ("BkToCstmrStmt/Stmt/Ntry/NtryDtls/TxDtls", ("Tax", "RltdRmtInf", "Intrst", "RmtInf/Strd/TaxRmt",
                                                             "RmtInf/Strd/GrnshmtRmt")),
}  # fmt: skip


def put(maker: Maker, record: Any, kind: Type, path: str) -> list[str]:
    """Add a generated element at a path below the record, in the order of the schema; the texts that are in it."""
    *above, name = path.split("/")
    for step in above:
        found = record.find(f"{{*}}{step}")
        if found is None:
            found = etree.SubElement(record, record.tag.replace(etree.QName(record).localname, step))
            _sort(record, kind)
        record, kind = found, kind.elements[step].type
    maker._add(record, kind.elements[name], 0.9)
    _sort(record, kind)
    return [str(e.text) for one in record.findall(f"{{*}}{name}") for e in one.iter() if len(e) == 0 and e.text]


def _sort(element: Any, kind: Type) -> None:
    order = list(kind.elements)
    element[:] = sorted(element, key=lambda child: order.index(etree.QName(child).localname))


def document(message: str) -> Any:
    if message.startswith("pain"):
        return etree.fromstring(written([payment()], message=message))
    inner = details("E-1", "10.00")
    return etree.fromstring(camt053(statement([entry(inner=inner)]), version=message[-2:]))


def texts_of(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for one in value.values() for text in texts_of(one)]
    return [text for one in value for text in texts_of(one)] if isinstance(value, list) else [str(value)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "message", ["pain.001.001.03", "pain.001.001.09", "pain.001.001.12", "camt.053.001.02", "camt.053.001.08"]
)
def test_nothing_of_them_is_lost(message: str, seed: int) -> None:
    at, paths = ORDERS[message[:8]]
    kind = type_at(model(message).root.type, at)
    assert kind is not None
    maker, root = Maker(message, seed), document(message)
    record = next(root.iter(f"{{*}}{at.rpartition('/')[2]}"))
    wanted = [t for path in paths if type_at(kind, path) is not None for t in put(maker, record, kind, path)]
    assert wanted
    content = etree.tostring(root)
    parts = read(content)
    assert [part.error for part in parts] == [None]
    body = parts[0].body
    assert MODELS[body["type"]](body) == ()
    MODEL_TYPES[body["type"]].model_validate(body)
    assert {" ".join(text.split()) for text in wanted} <= {" ".join(text.split()) for text in texts_of(body)}
    bodies = [body] if message.startswith("pain") else [*_statements(content), body]
    again = read(written(bodies, message=message, charset="any"))[0].body
    assert json.dumps(_trees(again), sort_keys=True) == json.dumps(_trees(body), sort_keys=True)


def _statements(content: bytes) -> list[Any]:
    return [part.body for part in read(content, "statements")]


def _trees(body: dict[str, Any]) -> dict[str, Any]:
    of = body["transactions"][0] if body["type"] == "entry" else body
    found = {name: of.get(name) for name in ("tax", "related_remittance", "cheque", "interest")}
    blocks = [{name: item.get(name) for name in ("tax", "garnishment")} for item in of["remittance"]["structured"]]
    return {**found, "structured": [block for block in blocks if any(block.values())]}


@pytest.mark.parametrize(
    ("tax", "place"),
    [
        ({"RefNb": "1", "Nonsense": "x"}, "Tax.Nonsense"),
        ({"RefNb": ["1", "2"]}, "Tax.RefNb"),
        ({"Rcrd": [{"TaxAmt": {"TtlAmt": {"Ccy": "EUR", "value": "1.00", "more": "x"}}}]}, "Tax.Rcrd.TaxAmt.TtlAmt"),
        ({"RefNb": 1.5}, "Tax.RefNb"),
        ({"Rcrd": ["text"]}, "Tax.Rcrd"),
    ],
)
def test_what_the_version_has_no_element_for_is_told(tax: dict[str, Any], place: str) -> None:
    with pytest.raises(Rejected) as refused:
        written([payment(tax=tax)], message="pain.001.001.09")
    assert refused.value.code == "VAL644"
    assert f"`{place}`" in refused.value.message
    left = read(written([payment(tax=tax)], message="pain.001.001.09", losses="accept"))
    assert left[0].error is None


def test_taxes_of_remittance_need_a_version_that_has_them() -> None:
    body = payment(remittance={"unstructured": [], "structured": [{"reference": "", "tax": {"RefNb": "7"}}]})
    (part,) = read(written([body], message="pain.001.001.09"))
    assert part.body["remittance"]["structured"] == [{"reference": "", "type": "", "tax": {"RefNb": "7"}}]
    with pytest.raises(Rejected) as refused:
        written([body], message="pain.001.001.03")
    assert refused.value.code == "VAL644"
