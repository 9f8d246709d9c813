"""The receiving side of a folder: finds complete files, claims them, and after the commit puts them away.

What a crash leaves behind, and what the next owner makes of it:

======================================  ========================================================================
crash                                   next poll
======================================  ========================================================================
after the claim, before the commit      the claim is handed out again, same name and facts, nothing was told
after the commit, before the move       the same; the engine knows the arrival and only completes it
between a file and its marker           the file is claimed, so its marker (no new file beside it) is fetched too
between link and unlink (plain rename)  both names hold the same content: the older name is removed
======================================  ========================================================================
"""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime
from fnmatch import translate
from posixpath import dirname
from typing import TYPE_CHECKING, BinaryIO, Literal
from weakref import WeakValueDictionary

from bus.errors import Finding, Rejected, Retryable
from bus.folder.port import Folder, FolderEntry, answering, digest, join, name_problem, shown
from bus.folder.words import DropSpec, PickupSpec, refuse_words

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bus.ports import EndpointResources, Inbound

_CLAIMED = re.compile(r"(\d{1,18})-(.+)", re.DOTALL)
_MOST_FINDINGS = 100
_DATES = {"none": "", "day": "%Y-%m-%d", "month": "%Y-%m"}


class FolderSource:
    """Takes files from a :class:`Folder`; one owner (epoch) at a time, one thread at a time.

    Attributes:
        findings: names that were not touched because they are hostile; whoever drains it clears it.
        unsure: the last look saw files that it could not hand out yet, so what it did not hand out may still be there.
        known: asked with (name, size, mtime) where ``after`` is ``delete`` or ``leave``: is this file settled already?
        took: asked with a name where ``after`` is ``delete``: was a file of that name ever taken here?
    """

    def __init__(self, folder: Folder, spec: PickupSpec, resources: EndpointResources) -> None:
        refuse_words(spec, DropSpec, "picked up")
        self.folder = folder
        self.spec = spec
        self.findings: list[Finding] = []
        self.known: Callable[[str, int, int], bool] | None = None
        self.took: Callable[[str], bool] | None = None
        self.unsure = False
        self.resources = resources
        self._home = join(spec.path, ".")
        self._claims = join(self._home, spec.claim)
        self._matches = re.compile(translate(spec.match)).match
        # A file is in work as long as somebody holds its Inbound; a dropped one is a leftover at the next poll.
        self._in_work: WeakValueDictionary[str, _File] = WeakValueDictionary()
        self._settled: dict[str, tuple[int, int]] = {}
        self._seen: dict[str, tuple[tuple[int, int], int]] = {}
        self._reported: set[str] = set()

    def poll(self, most: int) -> Iterator[Inbound]:
        """Hand out up to ``most`` files, claiming each one only when it is asked for.

        Raises:
            Retryable: the partner is away or refuses (``NET1xx``).
        """
        most = min(most, self.spec.max_files)
        with answering("look into", self._home):
            claims, markers = self._list_claims() if self.spec.after == "move" else ({}, {})
            entries = self.folder.list(self._home)
        files = self._trusted(entries)
        self._return_markers(markers, claims, files)
        self._drop_stale_markers(files)
        given = 0
        for inbound in self._candidates(claims, files):
            if inbound is not None:
                given += 1
                yield inbound
            if given >= most:
                return

    def close(self) -> None:
        """Disconnect."""
        self.folder.close()

    def _candidates(self, claims: dict[str, FolderEntry], files: dict[str, FolderEntry]) -> Iterator[_File | None]:
        for place, entry in claims.items():
            name = _original(place)
            if self._wanted(name) and place not in self._in_work:
                yield self._take_over(place, entry, files)
        taken = {_original(place) for place in claims}
        for entry in self._ready(files):
            if self.spec.after != "move":
                if entry.name not in self._in_work and not self._is_settled(entry):
                    yield self._hand_out(entry.name, entry, join(self._home, entry.name))
            elif entry.name not in taken:
                yield self._claim(entry)

    # ---------------------------------------------------------------- looking

    def _list_claims(self) -> tuple[dict[str, FolderEntry], dict[str, FolderEntry]]:
        """(claimed files, their markers) by claim name, in order, of this and older epochs.

        A newer epoch would be a newer owner.
        """
        found: dict[str, FolderEntry] = {}
        markers: dict[str, FolderEntry] = {}
        try:
            entries = self.folder.list(self._claims)
        except FileNotFoundError:
            self.folder.make_folder(self._claims)
            return found, markers
        for entry in sorted(entries, key=lambda e: (_original(e.name), e.name)):
            claim = _CLAIMED.fullmatch(entry.name)
            if not claim or name_problem(claim[2]) or entry.kind != "file":
                continue
            if int(claim[1]) <= self.resources.epoch:
                (markers if self.spec.ready.is_marker(claim[2]) else found)[entry.name] = entry
        return found, markers

    def _return_markers(
        self, markers: dict[str, FolderEntry], claims: dict[str, FolderEntry], files: dict[str, FolderEntry]
    ) -> None:
        """Put a marker back to its file, which an earlier owner gave back while its next one fetched the marker.

        A file that is younger than the marker is another one, and not complete.
        """
        claimed = {_original(place) for place in claims}
        for place, entry in markers.items():
            marker = _original(place)
            name = self.spec.ready.file_of(marker, self.spec.match)
            file = files.get(name)
            if file is None or name in claimed or marker in files or file.mtime > entry.mtime:
                continue
            with suppress(Retryable):  # it stops no other file, and is tried again at the next poll
                self.move(join(self._claims, place), join(self._home, marker), strict=True)
                files[marker] = entry

    def _trusted(self, entries: list[FolderEntry]) -> dict[str, FolderEntry]:
        """Regular files whose names are safe; all others are reported once and never touched."""
        files = {}
        bad = set()
        for entry in entries:
            problem = name_problem(entry.name)
            code = "SEC110"
            if not problem and entry.kind == "other" and self._wanted(entry.name):
                code, problem = "SEC114", "it is a link or a device, not a file"
            if problem:
                bad.add(entry.name)
                self._report(code, entry.name, problem)
            elif entry.kind == "file":
                files[entry.name] = entry
        self._reported &= bad
        return files

    def _report(self, code: str, name: str, problem: str) -> None:
        if name in self._reported or len(self.findings) >= _MOST_FINDINGS:
            return
        self._reported.add(name)
        place = f"{self._home}/{shown(name)}"
        self.findings.append(Finding(code, "warning", place, f"the file was left alone: {problem}"))

    def _wanted(self, name: str) -> bool:
        """Does the name match, by shell rules, and is it no marker?"""
        if name.startswith(".") and not self.spec.match.startswith("."):
            return False
        return bool(self._matches(name)) and not self.spec.ready.is_marker(name)

    def _ready(self, files: dict[str, FolderEntry]) -> list[FolderEntry]:
        """The wanted and complete files in the order the spec asks for."""
        ready = self.spec.ready
        wanted = [entry for entry in files.values() if self._wanted(entry.name)]
        if ready.marker:
            wanted = [entry for entry in wanted if ready.marker_of(entry.name) in files]
        elif ready.suffix:
            wanted = [entry for entry in wanted if not entry.name.endswith(ready.suffix)]
        else:
            listed = len(wanted)
            wanted = self._unchanged(wanted)
            self.unsure = len(wanted) < listed
        if self.spec.order == "name":
            wanted.sort(key=lambda entry: entry.name)
        elif self.spec.order == "time":
            wanted.sort(key=lambda entry: (entry.mtime, entry.name))
        return wanted

    def _unchanged(self, wanted: list[FolderEntry]) -> list[FolderEntry]:
        """Files whose facts are the same as at an earlier poll, at least ``quiet`` ago."""
        now = self.resources.clock.now()
        seen = {}
        for entry in wanted:
            facts, since = self._seen.get(entry.name, (entry.facts, now))
            seen[entry.name] = (entry.facts, since if facts == entry.facts else now)
        before, self._seen = self._seen, seen
        quiet = now - self.spec.ready.quiet
        return [entry for entry in wanted if entry.name in before and seen[entry.name][1] <= quiet]

    def _is_settled(self, entry: FolderEntry) -> bool:
        if self._settled.get(entry.name) == entry.facts:
            return True
        return self.known is not None and self.known(entry.name, entry.size, entry.mtime)

    def _drop_stale_markers(self, files: dict[str, FolderEntry]) -> None:
        """Remove markers whose file we deleted just before a crash; else the next file of that name looks complete.

        A marker is written after its file, so a file that is missing in a second, later listing is truly gone. What
        only looks like a marker of ours, because others use the same folder, is none of our business.
        """
        ready = self.spec.ready
        self._settled = {name: facts for name, facts in self._settled.items() if name in files}
        if self.spec.after != "delete" or not ready.marker:
            return

        def lonely(names: set[str]) -> set[str]:
            return {n for n in names if ready.is_marker(n)} - {ready.marker_of(n) for n in names if self._wanted(n)}

        stale = {marker for marker in lonely(set(files)) if self._was_ours(ready.file_of(marker, self.spec.match))}
        if stale:
            with answering("look into", self._home):
                stale &= lonely({entry.name for entry in self.folder.list(self._home)})
        for marker in sorted(stale):
            with answering("remove", marker):
                self.folder.remove(join(self._home, marker))

    def _was_ours(self, name: str) -> bool:
        return bool(name) and self._wanted(name) and (self.took is None or self.took(name))

    # ---------------------------------------------------------------- taking

    def _claim(self, listed: FolderEntry) -> _File | None:
        """Claim by rename; None when another owner was faster or the file changed under our hands."""
        claimed = f"{self.resources.epoch}-{listed.name}"
        place = join(self._claims, claimed)
        self.resources.effect("source.claim:before")
        with answering("claim", join(self._home, listed.name)):
            try:
                self.folder.rename(join(self._home, listed.name), place)
            except FileNotFoundError:
                return None
            entry = self.folder.stat(place)
        if entry is None:
            return None
        # Only the size: gateways to object stores give a file a new time when they rename it.
        if entry.kind != "file" or (self.spec.ready.stable and entry.size != listed.size):
            self.give_back(claimed)
            return None
        self._fetch_marker(claimed)
        self.resources.effect("source.claim:after")
        return self._hand_out(claimed, entry, place)

    def _take_over(self, claimed: str, entry: FolderEntry, files: dict[str, FolderEntry]) -> _File:
        """Hand out what a dead owner (or a failed abandon) left in the claim folder."""
        name = _original(claimed)
        place, original = join(self._claims, claimed), join(self._home, name)
        if name in files and files[name].facts == entry.facts and self._linked(place, original):
            with answering("remove", original):
                self.folder.remove(original)
            del files[name]
        if name not in files and self.spec.ready.marker_of(name) in files:
            self._fetch_marker(claimed)
        return self._hand_out(claimed, entry, place)

    def _fetch_marker(self, claimed: str) -> None:
        """The marker follows its file into the claim folder, under the same epoch."""
        name = _original(claimed)
        marker = self.spec.ready.marker_of(name)
        if marker:
            self.move(join(self._home, marker), join(self._claims, claimed[: -len(name)] + marker))

    def _hand_out(self, key: str, entry: FolderEntry, place: str) -> _File:
        inbound = _File(self, key, place, entry)
        self._in_work[key] = inbound
        return inbound

    def _linked(self, one: str, other: str) -> bool:
        """Are two names the same file, left by a rename that was killed between link and unlink?"""
        with answering("compare", other):
            first, second = self.folder.stat(one), self.folder.stat(other)
            if first is None or second is None or first.facts != second.facts:
                return False
            found = digest(self.folder, one, first.size)
            return found != "" and found == digest(self.folder, other, first.size)

    # ---------------------------------------------------------------- putting away, for _File

    def move(self, old: str, new: str, *, strict: bool = False) -> None:
        """Rename, making the target folder when it is missing; nothing when ``old`` has gone (it was moved before)."""
        with answering("move", old):
            try:
                self.folder.rename(old, new, strict=strict)
            except FileNotFoundError:
                if self.folder.stat(old) is None:
                    return
                self.folder.make_folder(dirname(new))
                self.folder.rename(old, new, strict=strict)
            except FileExistsError:
                if self.folder.stat(old) is None:
                    return
                if not self._linked(old, new):
                    raise
                self.folder.remove(old)

    def put_away(self, outcome: Literal["done", "failed"], claimed: str, suffix: str) -> None:
        """Move a claim and its marker to their last folder, marker first: a claim without marker is still whole."""
        place, name = join(self._claims, claimed), _original(claimed)
        with answering("look at", place):
            if self.folder.stat(place) is None:
                return
        where = join(self._home, self.spec.done if outcome == "done" else self.spec.failed)
        date = _DATES[self.spec.archive]
        if date and outcome == "done":
            where = join(where, datetime.fromtimestamp(self.resources.clock.now() / 1000, UTC).strftime(date))
        target = self._target(where, name, place, suffix)
        marker = self.spec.ready.marker_of(name)
        if marker:
            marked = join(self._claims, claimed[: -len(name)] + marker)
            ending = target[len(join(where, name)) :]
            self.move(marked, self._target(where, marker + ending, marked, suffix))
        self.move(place, target)

    def _target(self, where: str, name: str, place: str, suffix: str) -> str:
        """Where ``place`` goes in ``where``: its name, with the suffix when that is taken by another file."""
        for ending in ("", f".{suffix}", *(f".{suffix}.{number}" for number in range(2, 100))):
            target = join(where, name + ending)
            with answering("look at", target):
                if self.folder.stat(target) is None or self._linked(place, target):
                    return target
        raise Retryable("NET107", f"all names for {shown(name)} are taken in {shown(where)}", hint="tidy the folder up")

    def give_back(self, claimed: str) -> None:
        """Back to where it was, marker first; it stays claimed when the partner put another file there meanwhile."""
        name = _original(claimed)
        with answering("look at", name):
            if self.folder.stat(join(self._home, name)) is not None:
                return
        marker = self.spec.ready.marker_of(name)
        names = ([marker] if marker else []) + [name]
        for one in names:
            self.move(join(self._claims, claimed[: -len(name)] + one), join(self._home, one), strict=True)

    def settle(self, outcome: Literal["done", "failed"], entry: FolderEntry) -> None:
        """``after: delete`` or ``leave``: remove the file if it is still the one that was taken, or remember it."""
        place = join(self._home, entry.name)
        if outcome == "done" and self.spec.after == "delete":
            with answering("remove", place):
                now = self.folder.stat(place)
                if now is not None and now.facts == entry.facts:
                    self.folder.remove(place)
                if now is None or now.facts == entry.facts:
                    marker = self.spec.ready.marker_of(entry.name)
                    if marker:
                        self.folder.remove(join(self._home, marker))
        else:
            self._settled[entry.name] = entry.facts

    def forget(self, key: str) -> None:
        """The Inbound ``key`` is out of work: settled, given back, or failed at it and to be handed out again."""
        self._in_work.pop(key, None)


class _File:
    """One file on its way in (an Inbound)."""

    def __init__(self, source: FolderSource, key: str, place: str, entry: FolderEntry) -> None:
        self._source = source
        self._key = key
        self._place = place
        self._entry = entry
        self.name = _original(key) if source.spec.after == "move" else key
        self.facts = entry.facts
        self.identity: str | None = None

    def fetch(self, target: BinaryIO) -> None:
        """Copy the content.

        Raises:
            Rejected: ``SEC113`` bigger than ``max_size``.
            Retryable: ``NET106`` when it changed meanwhile, other ``NET1xx`` when the partner fails.
        """
        source, limit = self._source, self._source.spec.max_size
        source.resources.effect("source.fetch:before")
        if self._entry.size > limit:
            raise _too_big(self.name, limit)
        with answering("read", self._place):
            count = source.folder.read(self._place, target, limit)
            after = source.folder.stat(self._place)
        if count > limit:
            raise _too_big(self.name, limit)
        if after is None or after.facts != self.facts or self._entry.size not in {count, -1}:
            raise Retryable(
                "NET106", f"{shown(self.name)} changed while it was read", hint="is it still being written?"
            )
        source.resources.effect("source.fetch:after")

    def complete(self, outcome: Literal["done", "failed"], suffix: str) -> None:
        """Put the file away as the spec says. Idempotent; when it fails, the file is handed out again."""
        source = self._source
        try:
            source.resources.effect(f"source.{outcome}:before")
            if source.spec.after == "move":
                source.put_away(outcome, self._key, suffix)
            else:
                source.settle(outcome, self._entry)
            source.resources.effect(f"source.{outcome}:after")
        finally:
            source.forget(self._key)

    def abandon(self) -> None:
        """Give the file back. When that is not possible it stays claimed and is handed out first at the next poll."""
        source = self._source
        try:
            source.resources.effect("source.abandon:before")
            if source.spec.after == "move":
                source.give_back(self._key)
            source.resources.effect("source.abandon:after")
        finally:
            source.forget(self._key)


def _original(claimed: str) -> str:
    """``17-A.csv`` -> ``A.csv``."""
    found = _CLAIMED.fullmatch(claimed)
    return found[2] if found else claimed


def _too_big(name: str, limit: int) -> Rejected:
    return Rejected(
        "SEC113", f"{shown(name)} is bigger than `max_size` ({limit} bytes)", hint="raise it if that is right"
    )
