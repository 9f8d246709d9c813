"""What formats of account statements are told in a route, where they are only read; light, for it is always loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar, Literal

from bus import Format, FormatSpec, Inspection, StepResources
from transforms._lines import Encoding

if TYPE_CHECKING:
    from collections.abc import Callable

    from transforms._statements import Reader


class StatementSpec(FormatSpec):
    """Base of these formats; each says how its files are recognised and which reader it has."""

    each_default: ClassVar[str] = "entries"

    encoding: Encoding = "utf-8"
    """Text encoding; many banks send ``iso-8859-1``."""
    balances: Literal["check", "ignore"] = "check"
    """Whether a file whose balances, sums or counts do not agree with its entries is refused."""

    @classmethod
    def reader(cls) -> Callable[[BinaryIO, str], Reader]:
        """What opens a file in an encoding."""
        raise NotImplementedError

    @classmethod
    def inspect(cls, source: BinaryIO) -> Inspection:
        """See :func:`transforms._statements.inspect`."""
        from transforms._statements import inspect  # noqa: PLC0415 - only reading needs it

        return inspect(source, cls.key, cls.reader())

    @classmethod
    def guessed(cls, source: BinaryIO) -> dict[str, Any]:
        """The encoding that fits all bytes."""
        from transforms._statements import guessed_encoding  # noqa: PLC0415 - only `bus inspect` needs it

        return {"encoding": guessed_encoding(source)}

    def build(self, resources: StepResources | None = None) -> Format:
        """The format, which can only read."""
        from transforms._statements import StatementFormat  # noqa: PLC0415 - keeps the spec light

        del resources
        open_, prove = self.reader(), self.balances == "check"
        return StatementFormat(self.key, lambda file: open_(file, self.encoding), prove=prove)
