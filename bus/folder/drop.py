"""The sending side of a folder: stage, flush, and one rename that makes a file visible exactly once.

After a crash between the commits *requested* and *delivered*, :meth:`FolderSink.probe` reads the answer off the folder:

============  ==========================  =================================================
stage file    final name                  verdict
============  ==========================  =================================================
gone          anything                    done; with ``stage_shared`` only if the content is there, else unknown
there         same content                done, the stage file is removed (plain rename: link without unlink)
there         free, atomic rename         not done: the rename would have taken the stage file along
there         free, plain rename          unknown: linked, taken by the partner, not yet unlinked looks the same
there         other content               not done with atomic rename, else unknown
============  ==========================  =================================================

An atomic rename (posix-rename) replaces what has the final name. It is looked at first; the moment between look and
rename is harmless because the name has the unit's id: whoever else writes it writes the same bytes.
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from io import BytesIO
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from bus.errors import ConfigError, Finding, InDoubt, Rejected, Retryable
from bus.folder.port import LONGEST_NAME, Folder, Hashing, answering, digest, join, name_problem, shown
from bus.folder.words import PLACEHOLDER, DropSpec, PickupSpec, fill_marker, refuse_words

if TYPE_CHECKING:
    from bus.message import Message
    from bus.ports import EndpointResources, Receipt, Verdict

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]")
_MARK = ".marker"


class FolderSink:
    """Puts files into a :class:`Folder`. Blocks on it; one thread at a time.

    Receipt: ``{stage, final, marker, size, sha256, epoch, atomic}``; ``marker`` is empty without markers.

    Attributes:
        findings: what the folder cannot do (no fsync), told once; whoever drains it clears it.
    """

    def __init__(self, folder: Folder, spec: DropSpec, resources: EndpointResources) -> None:
        refuse_words(spec, PickupSpec, "put down")
        self.findings: list[Finding] = []
        self.folder = folder
        self._spec = spec
        self._resources = resources
        self._home = join(spec.path, ".")
        self._stage = join(self._home, spec.stage)
        # The outlet's name keeps `sweep` away from the files of other outlets that share the stage folder.
        self._owner = _UNSAFE.sub("_", resources.name)
        self._told = False

    def prepare(self, message: Message, content: BinaryIO) -> Receipt:
        """Write and flush the stage file (and the marker's, when there are markers).

        Raises:
            Rejected: ``NET121``, ``NET122`` when no file name can be made for this message.
            Retryable: ``NET1xx``, nothing is visible to the partner.
            ConfigError: ``NET111`` when ``fsync: required`` and the server cannot.
        """
        final = file_name(self._spec.name, message)
        marker = fill_marker(self._spec.marker, final)
        stage = join(self._stage, f"{self._resources.epoch}-{self._owner}-{message.headers.id}")
        counted: Any = Hashing(content)
        self._resources.effect("sink.stage:before")
        with answering("write", stage):
            try:
                self._write(stage, counted)
                if marker:
                    self._write(stage + _MARK, BytesIO())
            except OSError:  # a full disk has most of it
                self._clear(stage)
                raise
            staged = self.folder.stat(stage)
        if staged is None or staged.size not in {counted.size, -1}:
            self._clear(stage)
            raise Retryable("NET108", f"{shown(stage)} has another size than was written", hint="is the disk full?")
        self._check_flush(stage)
        self._resources.effect("sink.stage:after")
        return {
            "stage": stage,
            "final": join(self._home, final),
            "marker": join(self._home, marker) if marker else "",
            "size": counted.size,
            "sha256": counted.sha256,
            "epoch": self._resources.epoch,
            "atomic": self.folder.atomic_rename,
        }

    def publish(self, receipt: Receipt) -> None:
        """Rename to the final name, then the marker.

        Raises:
            Retryable: it did not happen (``NET104`` refused, ``NET107`` name taken, ``NET114`` rename got weaker,
                ``NET115`` the stage file has changed).
            InDoubt: ``NET109`` no answer, ``NET112`` the stage file vanished; ask :meth:`probe`.
        """
        stage, final = receipt["stage"], receipt["final"]
        if receipt["atomic"] and not self.folder.atomic_rename:
            raise Retryable("NET114", "the server no longer renames atomically", hint="it is staged again")
        with answering("look at", final):
            state = self._state(final, receipt)
            # What this owner wrote himself was read from him a moment ago; what an earlier one left lay there for long.
            old = state == "free" and receipt["epoch"] != self._resources.epoch
            if old and self._state(stage, receipt) == "other":
                text = f"the stage file {shown(stage)} has changed since it was written"
                raise Retryable("NET115", text, hint="it is staged again")
        self._resources.effect("sink.rename:before")
        if state == "free":
            try:
                self.folder.rename(stage, final)
            except OSError as refused:
                self._refused(receipt, refused)
            except Retryable as lost:
                raise InDoubt("NET109", f"no answer to the rename to {shown(final)}", hint="probe it") from lost
        else:
            self._refused(receipt, FileExistsError(state))
        try:
            self._put_marker(receipt)
        except (OSError, Retryable) as error:
            raise InDoubt("NET109", f"{shown(final)} is there, its marker is not sure", hint="probe it") from error
        self._resources.effect("sink.rename:after")

    def probe(self, receipt: Receipt) -> Verdict:
        """Did ``publish`` happen? Ask only after *requested* was committed. Tidies up what a killed rename left."""
        with answering("look at", receipt["final"]):
            staged = self.folder.stat(receipt["stage"]) is not None
            proven = not staged and not self._spec.stage_shared
            state = "same" if proven else self._state(receipt["final"], receipt)
            if state == "same":
                if staged:
                    self._remove(receipt["stage"])
                self._put_marker(receipt)
                return "done"
        if staged and receipt["atomic"] and self.folder.atomic_rename and state in {"free", "other"}:
            return "not_done"
        return "unknown"

    def discard(self, receipt: Receipt) -> bool:
        """Remove the stage file of something that is never to be published; whether it was there. Idempotent."""
        with answering("remove", receipt["stage"]):
            self._remove(receipt["stage"] + _MARK)
            return self._remove(receipt["stage"])

    def sweep(self, live: set[str], *, over: bool = False) -> list[str]:
        """Remove stage files of this outlet's earlier owners that no receipt names; returns their paths.

        Args:
            live: the ``stage`` of every receipt that is not delivered yet.
            over: another owner has taken over since, so what this one left is an earlier owner's too.
        """
        end = self._resources.epoch + over
        ours = re.compile(rf"(\d{{1,18}})-{re.escape(self._owner)}-[0-9a-f]{{32}}({re.escape(_MARK)})?")
        removed = []
        with answering("look into", self._stage):
            try:
                entries = self.folder.list(self._stage)
            except FileNotFoundError:
                return []
            for entry in entries:
                found = ours.fullmatch(entry.name)
                path = join(self._stage, entry.name)
                if found and int(found[1]) < end and path.removesuffix(_MARK) not in live:
                    self._remove(path)
                    removed.append(path)
        return removed

    def close(self) -> None:
        """Disconnect."""
        self.folder.close()

    # ----------------------------------------------------------------

    def _write(self, path: str, source: BinaryIO) -> None:
        """Write a new file. An old one is unlinked, never truncated: a killed plain rename may have linked it."""
        try:
            self.folder.write(path, source)
        except FileExistsError:
            self.folder.remove(path)
            self.folder.write(path, source)
        except FileNotFoundError:
            self.folder.make_folder(self._stage)
            self.folder.write(path, source)

    def _clear(self, stage: str) -> None:
        """Remove what was not written whole; where that fails too, a later owner sweeps it."""
        with suppress(OSError, Retryable):
            self._remove(stage + _MARK)
            self._remove(stage)

    def _remove(self, path: str) -> bool:
        self._resources.effect("sink.remove:before")
        there = self.folder.remove(path)
        self._resources.effect("sink.remove:after")
        return there

    def _check_flush(self, stage: str) -> None:
        if self.folder.durable is not False or self._told:
            return
        if self._spec.fsync == "required":
            raise ConfigError("NET111", "the server cannot flush files to its disk", hint="write `fsync: offered`")
        self._told = True
        place = stage.rpartition("/")[0]
        text = "the server has no fsync extension: its own power loss may empty a delivered file"
        self.findings.append(Finding("NET111", "info", place, text))

    def _state(self, path: str, receipt: Receipt) -> Literal["free", "same", "other", "unreadable"]:
        """What has that name, compared with what was written."""
        size = receipt["size"]
        there = self.folder.stat(path)
        if there is None:
            return "free"
        if there.kind != "file" or there.size not in {size, -1}:
            return "other"
        try:
            return "same" if digest(self.folder, path, size) == receipt["sha256"] else "other"
        except FileNotFoundError:
            return "free"
        except OSError:
            return "unreadable"

    def _refused(self, receipt: Receipt, refused: OSError) -> None:
        """The server said no to the rename: look why, and return only when the file is out nevertheless."""
        final = receipt["final"]
        with answering("look at", final):
            staged = self.folder.stat(receipt["stage"]) is not None
            state = self._state(final, receipt)
        if state == "same":
            if staged:
                self._remove(receipt["stage"])
            return
        if not staged:
            text = f"the stage file of {shown(final)} vanished"
            raise InDoubt("NET112", text, hint="who cleans the stage folder?", ask=False)
        if state == "free":
            with answering("rename to", final):
                raise refused
        if state == "unreadable":
            raise InDoubt("NET109", f"{shown(final)} is there and cannot be compared", hint="ask the partner")
        raise Retryable(
            "NET107", f"the name {shown(final)} is taken by another file", hint="ask the partner to move it"
        )

    def _put_marker(self, receipt: Receipt) -> None:
        """Put the marker beside the file that is out now, unless there is none or it was put before."""
        staged, marker = receipt["stage"] + _MARK, receipt["marker"]
        if not marker or self.folder.stat(staged) is None:
            return
        # A file that the partner took already needs no marker any more: a lonely one would announce nothing.
        if self.folder.stat(receipt["final"]) is None or self.folder.stat(marker) is not None:
            self._remove(staged)
        else:
            self.folder.rename(staged, marker)


def file_name(template: str, message: Message) -> str:
    """Fill a name template; everything but letters, digits, ``.``, ``_`` and ``-`` from a message becomes ``_``.

    Raises:
        Rejected: ``NET121`` a value is missing, ``NET122`` the result is no file name.
    """
    headers = message.headers
    moment = datetime.fromtimestamp(headers.created_at / 1000, UTC)
    values = {
        "id": headers.id,
        "date": moment.strftime("%Y%m%d"),
        "time": moment.strftime("%H%M%S"),
        "name": headers.name,
        "stem": headers.name.rpartition(".")[0] or headers.name,
    }

    def fill(found: re.Match[str]) -> str:
        word = found[1]
        value = message.properties.get(word[2:]) if word.startswith("p.") else values[word]
        if not isinstance(value, str | int) or value == "":
            text = f"the file name needs {{{word}}}, and this message has none"
            raise Rejected("NET121", text, hint="set the property in a step before, or take it out of `name`")
        return _UNSAFE.sub("_", str(value))

    name = PLACEHOLDER.sub(fill, template)
    problem = name_problem(name)
    if problem:
        raise Rejected("NET122", f"no file name can be made: {problem}", hint=f"`name` may have {LONGEST_NAME} bytes")
    return name
