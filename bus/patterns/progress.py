"""Moving registered payments along the ladder of statuses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bus import Effect, Message, Progress, Reader, Rejected, Step, StepResources, StepSpec, moves_forward

if TYPE_CHECKING:
    from collections.abc import Iterable

_IDENTITY = ("message_id", "payment_information_id", "end_to_end_id")


class ProgressSpec(StepSpec):
    """Moves a registered payment's status forward, and lets only real news go on (EIP Process Manager, its state).

    ```yaml
    - correlate: {partner: bank-north}
    - advance: {}
    - route:
        - {when: status == 'RJCT', to: erp-rejects}
        - otherwise: none
    ```

    RCVD, ACTC, ACCP, ACWC or ACFC, ACSP, ACSC or ACCC: a status only moves up. A rejection or cancellation ends it,
    from any step of the ladder, and stays. PDNG and codes that are no step of it (PART, verification of payee) move
    nothing.

    Delivery: the move is committed with the message. A report that comes twice, late or out of order tells nothing new:
    its message is *filtered*, so the ERP hears of each step once. What counts is the status in the ledger when the unit
    runs, not the one that `correlate` found; it becomes the ``instruction.status`` of the body. Of two units that move
    one payment in one commit, the second runs again.
    """

    key = "advance"

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        reader = resources.reader

        def step(message: Message) -> Iterable[Message | Effect]:
            body = message.body
            instruction = body.get("instruction") if isinstance(body, dict) else None
            if not isinstance(instruction, dict) or not isinstance(instruction.get("id"), int):
                raise Rejected("VAL543", "there is no registered payment in the body", hint="put `correlate` before")
            new, old = str(body.get("status") or ""), _now(reader, instruction)
            progress = Progress(instruction["id"], new, str(body.get("reason") or ""), seen=old)
            if new == "PDNG":
                return (progress,)
            if not moves_forward(old, new):
                return ()
            if instruction.get("status") == old:
                return (progress, message)
            return (progress, message.with_body({**body, "instruction": {**instruction, "status": old}}))

        return step


def _now(reader: Reader, instruction: dict[str, Any]) -> str:
    """The payment's committed status: since it was correlated another report may have moved it."""
    rows = reader.instructions({name: str(instruction.get(name) or "") for name in _IDENTITY})
    found = next((row for row in rows if row["id"] == instruction["id"]), instruction)
    return str(found.get("status") or "")
