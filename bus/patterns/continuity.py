"""Continuity of statements: none missing, none twice, each opening where the last one closed."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import Field

from bus import (
    Effect,
    ExpressionText,
    Message,
    OpenCase,
    Rejected,
    Remember,
    Step,
    StepResources,
    StepSpec,
    key_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


class ContinuitySpec(StepSpec):
    """Watches that account statements follow each other without a gap, and raises a case where they do not.

    ```yaml
    - split: {each: statements}
    - continuity: {}
    ```

    Looked at per account: the number follows the last one (SEQ110 when one is missing, SEQ111 when it came before) and
    the opening balance is the last closing balance (SEQ112). A count that begins again at 1 with the right opening
    balance, as at the turn of the year, is in order.

    Delivery: the statement always goes on, for money that was booked is booked; a person is told. The last number and
    balance are remembered in the commit of the statement's own unit. A statement that came before changes neither.
    """

    key = "continuity"

    key_: ExpressionText = Field(default="account.iban || account.other", alias="key")
    """Expression over the body for the account."""
    number: ExpressionText = "sequence_number"
    """Expression over the body for the running number; null = only the balances are compared."""
    opening: ExpressionText = "opening.amount"
    """Expression over the body for the opening balance, ``{value, currency}``."""
    closing: ExpressionText = "closing.amount"
    """Expression over the body for the closing balance, ``{value, currency}``."""

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        key, number = resources.expression(self.key_), resources.expression(self.number)
        opening, closing = resources.expression(self.opening), resources.expression(self.closing)
        scope = f"continuity/{resources.route}/{resources.step}"
        reader, name = resources.reader, self.key_

        def step(message: Message) -> Iterable[Message | Effect]:
            body = message.body
            account = key(body)
            if account is None or account == "":
                raise Rejected("VAL516", f"the key `{name}` is missing", hint="name the field of the account")
            slot, identity = key_text(account), message.headers.id
            now = _Statement(_number(number(body)), _balance(opening(body)), _balance(closing(body)))
            seen = reader.recall(scope, slot) or ""
            known = json.loads(seen or "{}")
            if known.get("id") == identity:
                return (message,)
            state = json.dumps({"id": identity, "number": now.number, "closing": now.closing})
            # Statements of one account may run in one commit: with `seen` each of them sees the one before.
            remember = Remember(scope, slot, state, replace=True, seen=seen)
            found = _break(_Statement(known["number"], "", known["closing"]), now) if known else None
            if found is None:
                return (message, remember) if now.number is not None or now.closing else (message,)
            code, summary = found
            case = OpenCase(code, summary, message, key_text(scope, slot, now.number, now.opening, now.closing))
            return (message, case) if code == "SEQ111" else (message, case, remember)

        return step


class _Statement(NamedTuple):
    """What is compared; balances as text such as ``100.1 EUR``, empty where the statement has none."""

    number: int | None
    opening: str
    closing: str


def _break(last: _Statement, now: _Statement) -> tuple[str, str] | None:
    """(code, summary) of what is wrong between two statements, or None."""
    fits = not (last.closing and now.opening) or last.closing == now.opening
    if last.number is not None and now.number is not None:
        if now.number <= last.number and not (now.number == 1 < last.number and fits and now.opening):
            return "SEQ111", f"statement {now.number} came again or late, the last one was {last.number}"
        if now.number > last.number + 1:
            missing = now.number - last.number - 1
            return "SEQ110", f"statement {now.number} follows {last.number}: {missing} missing"
    if not fits:
        return "SEQ112", "the opening balance is not the closing balance of the statement before"
    return None


def _number(value: Any) -> int | None:
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) <= 18:
        return int(value)
    raise Rejected("VAL512", "a statement's number is no whole number", hint="see the expression `number`")


def _balance(value: Any) -> str:
    if value is None:
        return ""
    amount = value.get("value") if isinstance(value, dict) else None
    if not isinstance(amount, Decimal | int) or not isinstance(value.get("currency"), str):
        raise Rejected("VAL516", "a balance is no amount with value and currency", hint="see `opening` and `closing`")
    return f"{key_text(amount)} {value['currency']}"
