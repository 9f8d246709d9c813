"""Partition: messages of one key in order, those of different keys side by side."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from pydantic import Field

from bus import Effect, ExpressionText, Message, Onward, Rejected, Step, StepResources, StepSpec, key_text


class PartitionSpec(StepSpec):
    """Keeps the order of messages with the same key, however many processes share the work.

    ```yaml
    - partition: {name: accounts, by: debtor.account.iban, partitions: 8}
    ```

    Behind this step there are so many channels, each worked on by one process at a time, one message after the other;
    the key decides which: the first eight bytes of its SHA-256, as a number, modulo ``partitions``. Everything of this
    route in front of the step is worked on by one process at a time too, so that messages come to it in their order.

    A message that fails and is tried again keeps those of its key waiting behind it; others go on. A message that is
    rejected, held or dead stands aside, and its key goes on.

    A route has one such step, not inside a branch. The order holds up to the next split, aggregate, hold, delay or
    route, and to the partner of an outlet that the route names: while that one fails, all of its outlet waits.

    Delivery: the unit of work ends here. The number of partitions can be changed when nothing waits in the old ones;
    until then the change is refused (SYS166).
    """

    key = "partition"
    shorthand = "by"
    boundary = "partition"

    by: ExpressionText
    """Expression over the body: the key, a text or number."""
    partitions: int = Field(default=8, ge=1, le=64)
    """How many channels; more than there are processes, so that the work can be shared out evenly."""

    def build(self, resources: StepResources) -> Step:
        """See the class."""
        find, count, text = resources.expression(self.by), self.partitions, self.by

        def step(message: Message) -> Iterable[Message | Effect]:
            key = key_text(find(message.body))
            if not key:
                raise Rejected("SYS167", f"`{text}` gives no key", hint="give it one, for instance with `|| 'none'`")
            digest = sha256(key.encode()).digest()
            return (Onward(message, digest.hex(), int.from_bytes(digest[:8], "big") % count, count),)

        return step
