"""The words of YAML for folders, the same for local disks and SFTP: what is picked up, and how files are dropped."""

from __future__ import annotations

import re
from typing import Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from bus.described import Spec
from bus.errors import ConfigError
from bus.folder.port import join, name_problem
from bus.spec import Duration, Glob, Size

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_WILD = re.compile(r"[*?\[\]]")
_PROPERTY = re.compile(r"p\.[A-Za-z_][A-Za-z0-9_]*")


class ReadySpec(Spec):
    """How the partner says that a file is complete (CFG136: exactly one of marker, stable, suffix)."""

    marker: str = ""
    """A second file, written last: ``{name}.done`` or ``{stem}.ok`` ({stem} = name without its last extension)."""
    stable: bool = False
    """Size and time unchanged over two polls. For partners that offer nothing better."""
    suffix: str = ""
    """Ending of files still being written, such as ``.tmp``; everything without it is complete."""
    quiet: Duration = 2_000
    """With ``stable``: how long the two polls must be apart at least."""

    @model_validator(mode="after")
    def _one_way(self) -> ReadySpec:
        if [bool(self.marker), self.stable, bool(self.suffix)].count(True) != 1:
            raise PydanticCustomError("CFG136", 'write one of `marker: "{name}.done"`, `stable: true`, `suffix: .tmp`')
        check_marker(self.marker)
        return self

    def marker_of(self, name: str) -> str:
        """Name of the file that says that ``name`` is complete; empty without markers."""
        return fill_marker(self.marker, name)

    def is_marker(self, name: str) -> bool:
        """True when a name has the form of a marker, whatever file it belongs to."""
        if not self.marker:
            return False
        head, tail = self._around()
        return len(name) > len(head) + len(tail) and name.startswith(head) and name.endswith(tail)

    def file_of(self, marker: str, match: str) -> str:
        """Name of the file that a marker belongs to; empty where neither it nor the pattern tells the ending."""
        head, tail = self._around()
        name = marker[len(head) : len(marker) - len(tail)]
        if "{name}" in self.marker:
            return name
        _, dot, ending = match.rpartition(".")
        return f"{name}.{ending}" if dot and not _WILD.search(ending) else ""

    def _around(self) -> tuple[str, str]:
        head, _, tail = PLACEHOLDER.sub("\0", self.marker).partition("\0")
        return head, tail


def check_marker(template: str) -> None:
    """Refuse a marker template that names no file or the data file itself (CFG137)."""
    if not template:
        return
    found = PLACEHOLDER.findall(template)
    if found not in (["name"], ["stem"]) or template == "{name}" or name_problem(PLACEHOLDER.sub("x", template)):
        raise PydanticCustomError("CFG137", 'a marker is a file name with {name} or {stem}: write "{name}.done"')


def fill_marker(template: str, name: str) -> str:
    """Name of the marker of ``name``; empty when there are no markers."""
    return template.replace("{name}", name).replace("{stem}", name.rpartition(".")[0] or name)


class PickupSpec(Spec):
    """Words of a folder that files are taken from."""

    path: str
    """Folder."""
    match: Glob = "*"
    """Which names are taken; a leading dot must be written out. Of two routes at one folder, no name may match both
    patterns, unless both say ``after: leave``."""
    ready: ReadySpec = ReadySpec(stable=True)
    """How to know that a file is complete."""
    order: Literal["name", "time", "none"] = "name"
    """In which order one poll hands files out."""
    after: Literal["move", "delete", "leave"] = "move"
    """``move``: claimed by rename, then to ``done`` or ``failed``. For mailboxes that refuse renames: ``delete``
    removes what was taken (refused files stay), ``leave`` touches nothing; the ledger remembers what is settled."""
    claim: str = ".claim/"
    """Folder, only of this route, for files being taken; relative to ``path``."""
    done: str = "done/"
    """Folder for files that were taken; relative to ``path``."""
    failed: str = "failed/"
    """Folder for files that were refused as a whole; relative to ``path``."""
    archive: Literal["none", "day", "month"] = "none"
    """Sub-folders of ``done`` by UTC date (``2026-11-24``, ``2026-11``), so that it does not grow without end."""
    max_size: Size = Field(default=1_000_000_000, ge=1)
    """Bigger files are refused unread."""
    max_files: int = Field(default=100, ge=1, le=10_000)
    """Most files handed out by one poll."""

    @model_validator(mode="after")
    def _places_differ(self) -> PickupSpec:
        home = join(self.path, ".")
        claim, done, failed = (join(home, place) for place in (self.claim, self.done, self.failed))
        if home in {claim, done, failed} or claim in {done, failed}:
            raise PydanticCustomError("CFG132", "`path`, `claim`, `done` and `failed` must be different folders")
        return self

    @model_validator(mode="after")
    def _files_are_no_markers(self) -> PickupSpec:
        """One that is its own marker is complete before it is written; one that looks like a marker is never taken."""
        if self.ready.is_marker(_WILD.sub("x", self.match)):
            text = "files that match `{match}` have the name of a marker themselves; give markers another ending"
            raise PydanticCustomError("CFG137", text, {"match": self.match})
        return self


class DropSpec(Spec):
    """Words of a folder that files are put into."""

    path: str
    """Folder."""
    name: str = "{id}"
    """File name, from {id} (the unit's 32 hex characters), {date} and {time} (UTC, of the message), {name} and {stem}
    (as it arrived) and {p.NAME} (a message property). It must have {id}: effects are recognised by it after a crash."""
    unique: bool = False
    """True: you vouch that ``name`` is different for every message even without {id}."""
    stage: str = ".stage/"
    """Folder, only ours, on the same file system, where files are written before they get their name."""
    stage_shared: bool = False
    """True: the partner cleans the stage folder, so a vanished stage file proves nothing and is in doubt."""
    marker: str = ""
    """A second, empty file put down after each file: ``{name}.done``."""
    fsync: Literal["offered", "required"] = "offered"
    """``required``: do not deliver to a server that cannot flush files to its disk."""

    @model_validator(mode="after")
    def _name_is_possible(self) -> DropSpec:
        words = PLACEHOLDER.findall(self.name)
        for word in words:
            if word not in {"id", "date", "time", "name", "stem"} and not _PROPERTY.fullmatch(word):
                text = "`name` knows {id}, {date}, {time}, {name}, {stem} and {p.NAME}, but not `{word}`"
                raise PydanticCustomError("CFG133", text, {"word": word})
        if "id" not in words and not self.unique:
            raise PydanticCustomError("CFG133", "`name` needs {id}, or `unique: true` when it is unique without")
        problem = name_problem(PLACEHOLDER.sub("x", self.name))
        if problem:
            raise PydanticCustomError("CFG133", "`name` cannot be a file name: {why}", {"why": problem})
        check_marker(self.marker)
        if join(self.path, self.stage) == join(self.path, "."):
            raise PydanticCustomError("CFG132", "`stage` and `path` must be different folders")
        return self


def refuse_words(spec: Spec, other: type[Spec], side: str) -> None:
    """Refuse words of the other side: ``match`` means nothing where files are put down.

    Raises:
        ConfigError: ``CFG135`` naming the words.
    """
    words = sorted(spec.model_fields_set & (set(other.model_fields) - {"path"}))
    if words and isinstance(spec, other):
        named = ", ".join(f"`{word}`" for word in words)
        raise ConfigError("CFG135", f"{named} mean nothing where files are {side}", hint=f"remove {named}")
