"""Validation: refuse what breaks a rule, before it costs anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from bus import Effect, ExpressionText, Finding, Message, OpenCase, Rejected, Spec, Step, StepResources, StepSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class RuleSpec(Spec):
    """One rule that every message has to keep."""

    that: ExpressionText
    """Condition over the body that has to hold."""
    when: ExpressionText = ""
    """The rule is only for messages for which this holds; empty = for all."""
    reason: str = Field(default="", pattern=r"^([A-Z0-9]{4})?$")
    """ISO 20022 external status reason for the reject file, such as ``AC01``."""
    message: str = Field(min_length=1)
    """What is wrong, in one sentence; without values of the body, because it goes into logs and cases."""
    place: str = ""
    """Field that it is about, such as ``creditor.account.iban``."""


class ValidatorSpec(StepSpec):
    """Refuses messages that break the canonical model, a profile or a rule of the house (EIP Message Filter).

    ```yaml
    - validate:
        model: payment
        profile: sepa-sct
        rules:
          - {that: amount.value <= 1000000, reason: AM02, message: the amount is over the limit of one payment}
          - when: service_level == 'SEPA'
            that: amount.currency == 'EUR'
            reason: AM03
            message: SEPA payments are in euro
    ```

    All rules are looked at, so that the sender learns everything at once; the reason is that of the first broken rule.
    What a profile only warns of refuses nothing; ``warnings: case`` tells a person.

    Delivery: a refused message is *rejected*: with ``on_reject`` it comes into the reject file of its batch with reason
    code, otherwise into the dead letters with a case. The message itself is never changed.
    """

    key = "validate"
    shorthand = "model"

    model: str = ""
    """Canonical model to check against: ``payment``, ``statement`` …"""
    profile: str = ""
    """Rules of a scheme or bank, such as ``sepa-sct``; looked at when the model has found no error."""
    reason: str = Field(default="", pattern=r"^([A-Z0-9]{4})?$")
    """ISO reason for what the model's check refuses; empty = the one that the check itself gives."""
    rules: tuple[RuleSpec, ...] = ()
    """Rules of the house."""
    warnings: Literal["ignore", "case"] = "ignore"
    """``case``: each kind of warning opens one case, on which further messages are counted."""

    @model_validator(mode="after")
    def _something_to_check(self) -> ValidatorSpec:
        if not self.model and not self.profile and not self.rules:
            raise PydanticCustomError("CFG509", "nothing to check: give `model`, `profile` or `rules`")
        return self

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        check = _check(self, resources)
        rules = tuple(
            (resources.expression(r.that), resources.expression(r.when) if r.when else None, r.reason, _finding(r))
            for r in self.rules
        )
        model_reason, tell_warnings = self.reason, self.warnings == "case"
        where = f"{resources.route}/{resources.step}"

        def step(message: Message) -> Iterable[Message | Effect]:
            body = message.body
            findings: list[Finding] = []
            reason = ""
            if check is not None:
                found = check(body)
                if found:
                    findings.extend(found)
                    wrong = _errors(found)
                    # Models say the ISO reason with each finding; what the route says goes before it.
                    reason = (model_reason or getattr(wrong[0], "reason", "")) if wrong else ""
            for that, when, why, finding in rules:
                if (when is None or when(body)) and not that(body):
                    findings.append(finding)
                    reason = reason or why
            if findings and _errors(findings):
                raise _refusal(findings, reason, message.headers.place)
            if findings and tell_warnings:
                return (message, *_cases(findings, message, where))
            return (message,)

        return step


def _check(spec: ValidatorSpec, resources: StepResources) -> Callable[[Any], tuple[Finding, ...]] | None:
    """The checks of model and profile as one."""
    check = resources.model(spec.model) if spec.model else None
    if not spec.profile:
        return check
    book, clock = resources.profile(spec.profile), resources.clock
    if check is None or spec.model != book.model:
        return lambda body: book.findings(body, clock.now())

    def both(body: Any) -> tuple[Finding, ...]:
        found = check(body)
        return found if _errors(found) else (*found, *book.check(body, clock.now()))

    return both


def _finding(rule: RuleSpec) -> Finding:
    return Finding("VAL530", "error", rule.place or rule.that, rule.message)


def _errors(findings: Iterable[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity == "error"]


def _cases(findings: Iterable[Finding], message: Message, where: str) -> list[OpenCase]:
    """One case for each kind of warning, whatever message it is about."""
    told = {finding.code: finding for finding in findings if finding.severity == "warning"}
    return [OpenCase(code, found.message, message, f"{where}/{code}") for code, found in told.items()]


def _refusal(findings: list[Finding], reason: str, place: str) -> Rejected:
    errors = _errors(findings)
    first, more = errors[0], len(errors) - 1
    text = first.message + (f" (and {more} more)" if more else "")
    return Rejected(first.code, text, reason=reason, place=place, findings=tuple(findings))
