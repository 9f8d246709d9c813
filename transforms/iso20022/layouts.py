"""Layouts of orders and answers: direct debits, status reports, requests to cancel or reverse and what is answered."""

from __future__ import annotations

from typing import Any, ClassVar

from bus import WriteContext, child_id
from transforms.iso20022 import answer_forms, payment_forms
from transforms.iso20022.answer_forms import reasons_of
from transforms.iso20022.compose import Draft, Tally
from transforms.iso20022.forms import Form
from transforms.iso20022.identities import end_to_end_id, instruction_id, moment, uetr

_NO_BANK = {"other": {"id": "NOTPROVIDED"}}
"""A bank that is required and not known (EPC132-08)."""
_OF_A_DEBIT_BLOCK = (
    "collection_date",
    "creditor",
    "ultimate_creditor",
    "creditor_scheme_id",
    "batch_booking",
    "priority",
    "service_level",
    "local_instrument",
    "sequence_type",
    "category_purpose",
    "charge_bearer",
    "charges_account",
    "charges_agent",
)
_ORIGINAL = ("original_message_id", "original_message_name", "original_created")


def _given(body: dict[str, Any], *names: str) -> dict[str, Any]:
    """The fields that a body has something in."""
    return {name: body[name] for name in names if body.get(name) not in (None, "", [], {}, ())}


class DebitLayout:
    """pain.008: one block for each run of direct debits that agree in creditor, date, currency, kind and scheme."""

    types: ClassVar[tuple[str, ...]] = ("direct-debit",)
    head = payment_forms.HEADER
    container = payment_forms.DIRECT_DEBIT_BLOCK
    record = payment_forms.DIRECT_DEBIT

    def __init__(self, context: WriteContext, initiating_party: str, *, has_uetr: bool) -> None:
        self._context, self._initiator, self._has_uetr = context, initiating_party, has_uetr
        self._blocks = 0
        self._first = ""

    def draft(self, body: dict[str, Any], index: int) -> Draft:
        """See :class:`transforms.iso20022.compose.Layout`."""
        unit = self._context.id
        shared = _given(body, *_OF_A_DEBIT_BLOCK)
        creditor, debtor = body["creditor"], body["debtor"]
        shared["creditor"] = {**creditor, "agent": creditor.get("agent") or _NO_BANK}
        if shared.get("service_level") == "SEPA":
            shared.setdefault("charge_bearer", "SLEV")
        reference = end_to_end_id(body, unit, index)
        record = {name: value for name, value in body.items() if name not in _OF_A_DEBIT_BLOCK}
        record["instruction_id"] = instruction_id(body, unit, index)
        record["end_to_end_id"] = reference
        record["debtor"] = {**debtor, "agent": debtor.get("agent") or _NO_BANK}
        record["uetr"] = uetr(body, unit, reference, index) if self._has_uetr else None
        mandate = dict(body.get("mandate") or {})
        amendment = mandate.get("amendment")
        mandate["amended"] = True if amendment else None
        if amendment and amendment.get("original_creditor_id"):
            mandate["amendment"] = {**amendment, "original_creditor_scheme": "SEPA"}
        record["mandate"] = mandate
        message = {} if self._initiator else _given(body, "initiating_party")
        self._first = self._first or creditor["name"]
        return Draft((shared, body["amount"]["currency"]), shared, record, message, body["amount"]["value"])

    def close(self, container: dict[str, Any], tally: Tally) -> dict[str, Any]:
        """See :class:`transforms.iso20022.compose.Layout`."""
        name = child_id(self._context.id, "PmtInf", "", self._blocks)
        self._blocks += 1
        return {
            **container,
            "payment_information_id": name,
            "method": "DD",
            "count": tally.count,
            "total": tally.total,
        }

    def finish(self, message: dict[str, Any], tally: Tally) -> dict[str, Any]:
        """See :class:`transforms.iso20022.compose.Layout`."""
        return {
            "initiating_party": {"name": self._initiator or self._first},
            **message,
            "message_id": self._context.id,
            "created": moment(self._context.created_at),
            "count": tally.count,
            "total": tally.total,
        }


class StatusLayout:
    """pain.002: one report on one message; its statuses in any order, those of a block together."""

    types: ClassVar[tuple[str, ...]] = ("payment-status",)
    head = answer_forms.STATUS_HEADER
    container = answer_forms.STATUS_BLOCK
    record = answer_forms.STATUS

    def __init__(self, context: WriteContext) -> None:
        self._context = context

    def draft(self, body: dict[str, Any], index: int) -> Draft:
        """See :class:`transforms.iso20022.compose.Layout`."""
        del index
        level = body["level"]
        message = _given(body, "report_id", "original_message_id", "original_message_name")
        told = {**_given(body, "status", "original_count", "original_total"), "reasons": reasons_of(body)}
        if level == "group":
            return Draft(None, {}, None, message | {f"group.{name}": value for name, value in told.items()})
        block = _given(body, "original_payment_information_id")
        key = body.get("original_payment_information_id", "")
        if level == "payment-information":
            return Draft(key, block | told, None, message)
        record = {**body, "reasons": told["reasons"]}
        return Draft(key, block, record, message)

    def close(self, container: dict[str, Any], tally: Tally) -> dict[str, Any]:
        """See :class:`transforms.iso20022.compose.Layout`."""
        del tally
        return container

    def finish(self, message: dict[str, Any], tally: Tally) -> dict[str, Any]:
        """See :class:`transforms.iso20022.compose.Layout`."""
        del tally
        group = _given(message, "original_message_id", "original_message_name")
        group |= {name.removeprefix("group."): value for name, value in message.items() if name.startswith("group.")}
        return {
            "report_id": message.get("report_id") or self._context.id,
            "created": moment(self._context.created_at),
            "group": group,
        }


class RequestLayout:
    """camt.055 and camt.056: each request stands for itself."""

    types: ClassVar[tuple[str, ...]] = ("cancellation",)
    head = answer_forms.ASSIGNMENT
    container: Form = ()
    record = answer_forms.REQUEST

    def __init__(self, context: WriteContext, *, in_blocks: bool) -> None:
        """``in_blocks``: transactions stand in the block of the order (camt.055), or alone (camt.056)."""
        self._context, self._in_blocks = context, in_blocks
        self._only_transactions = True

    def draft(self, body: dict[str, Any], index: int) -> Draft:
        """See :class:`transforms.iso20022.compose.Layout`."""
        message = _given(body, "assigner", "assignee", "case")
        if "case" in message:
            message["case"] = {"issuer": (body.get("assigner") or {}).get("name"), **message["case"]}
        told = {name: value for name, value in body.items() if name not in ("assigner", "assignee", "case")}
        told["reasons"] = reasons_of(body)
        told["id"] = body.get("id") or child_id(self._context.id, "Cxl", "", index)
        self._only_transactions = self._only_transactions and body["level"] == "transaction"
        return Draft("", {}, self.arranged(body["level"], told), message, *_worth(body))

    def arranged(self, level: str, told: dict[str, Any]) -> dict[str, Any]:
        """The fields of a request at their level."""
        if level == "group":
            return {"group": {**told, "whole": True}}
        if level == "payment-information":
            return {"blocks": [{**told, "whole": True}]}
        if not self._in_blocks:
            return {"transactions": [told]}
        block = {name: told[name] for name in ("original_payment_information_id", *_ORIGINAL) if told.get(name)}
        inside = {name: value for name, value in told.items() if name not in block}
        return {"blocks": [{**block, "transactions": [inside]}]}

    def close(self, container: dict[str, Any], tally: Tally) -> dict[str, Any]:
        """See :class:`transforms.iso20022.compose.Layout`."""
        del tally
        return container

    def finish(self, message: dict[str, Any], tally: Tally) -> dict[str, Any]:
        """See :class:`transforms.iso20022.compose.Layout`."""
        return {
            **message,
            "message_id": self._context.id,
            "created": moment(self._context.created_at),
            "count": tally.count if self._only_transactions else None,
        }


class ReversalLayout(RequestLayout):
    """pain.007: reversals of collections, all of one original message."""

    head = answer_forms.REVERSED
    record = answer_forms.REVERSAL_BLOCK

    def __init__(self, context: WriteContext) -> None:
        super().__init__(context, in_blocks=True)

    def draft(self, body: dict[str, Any], index: int) -> Draft:
        """See :class:`transforms.iso20022.compose.Layout`."""
        draft = super().draft(body, index)
        message = _given(body, "assigner", *_ORIGINAL)
        if body["level"] == "group":
            return Draft(None, {}, None, message | {"reasons": reasons_of(body), "whole": True})
        assert draft.record is not None  # noqa: S101 - every request makes a record
        block = {name: value for name, value in draft.record["blocks"][0].items() if name not in _ORIGINAL}
        return Draft("", {}, block, message, draft.worth)

    def finish(self, message: dict[str, Any], tally: Tally) -> dict[str, Any]:
        """See :class:`transforms.iso20022.compose.Layout`."""
        group = {**_given(message, *_ORIGINAL), "reasons": message.pop("reasons", None)}
        return {**super().finish(message, tally), "count": tally.count, "group": group}


class AnswerLayout:
    """camt.029: answers to requests to cancel, each for itself, and what is said of the case."""

    types: ClassVar[tuple[str, ...]] = ("cancellation-status",)
    head = answer_forms.ASSIGNMENT
    container: Form = ()
    record = answer_forms.ANSWER

    def __init__(self, context: WriteContext) -> None:
        self._context = context

    def draft(self, body: dict[str, Any], index: int) -> Draft:
        """See :class:`transforms.iso20022.compose.Layout`."""
        del index
        message = _given(body, "assigner", "assignee", "case", "report_id")
        if "case" in message:
            message["case"] = {"issuer": (body.get("assignee") or {}).get("name"), **message["case"]}
        if body["level"] == "case":
            return Draft(None, {}, None, {**message, "status": body["status"]})
        told = {name: value for name, value in body.items() if name not in ("assigner", "assignee", "case")}
        told["reasons"] = reasons_of(body)
        return Draft("", {}, self._arranged(body["level"], told), message, *_worth(body))

    def _arranged(self, level: str, told: dict[str, Any]) -> dict[str, Any]:
        if level == "group":
            return {"group": told}
        if level == "payment-information":
            return {"blocks": [told]}
        if not told.get("original_payment_information_id"):
            return {"transactions": [told]}
        block = {name: told[name] for name in ("original_payment_information_id", *_ORIGINAL) if told.get(name)}
        inside = {name: value for name, value in told.items() if name not in block}
        return {"blocks": [{**block, "transactions": [inside]}]}

    def close(self, container: dict[str, Any], tally: Tally) -> dict[str, Any]:
        """See :class:`transforms.iso20022.compose.Layout`."""
        del tally
        return container

    def finish(self, message: dict[str, Any], tally: Tally) -> dict[str, Any]:
        """See :class:`transforms.iso20022.compose.Layout`."""
        del tally
        return {
            **message,
            "message_id": message.get("report_id") or self._context.id,
            "created": moment(self._context.created_at),
        }


def _worth(body: dict[str, Any]) -> tuple[Any, ...]:
    amount = body.get("amount")
    return (amount["value"],) if amount else ()
