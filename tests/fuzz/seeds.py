"""Good inputs to begin with: shipped samples, bank-published files, and what the unit tests feed the parsers."""

from __future__ import annotations

import ast
import io
import os
import re
import zipfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bus.spec import FormatSpec

ROOT = Path(__file__).parents[2]
SHIPPED = ROOT / "routes"
LONGEST = 60_000
_LEAST = 12


@cache
def files() -> dict[str, bytes]:
    """Sample files by name: those that are shipped, and those of ``GIROBUS_SAMPLES``."""
    folders = [SHIPPED, *(Path(folder) for folder in [os.environ.get("GIROBUS_SAMPLES")] if folder)]
    found = {}
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "LICENSE" not in path.name and path.suffix not in (".md", ".yaml", ".j2"):
                found[path.name] = path.read_bytes()[:LONGEST]
    return found


@cache
def literals() -> dict[str, tuple[bytes, ...]]:
    """Texts that stand in the unit tests, by the name of the test file."""
    found: dict[str, tuple[bytes, ...]] = {}
    for path in sorted((ROOT / "tests" / "unit").rglob("*.py")):
        texts: list[bytes] = []
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes) and len(node.value) >= _LEAST:
                value = node.value
                texts.append(value.encode("utf-8", "replace") if isinstance(value, str) else value)
        found[path.stem] = tuple(dict.fromkeys(texts))
    return found


def of_format(spec: type[FormatSpec]) -> tuple[bytes, ...]:
    """Seeds of a format: files and texts that it takes for its own, and all texts of its own tests."""
    key = spec.key.replace("-", "_")
    seeds = [data for name, data in files().items() if spec.detect(data[:4096], name) > 0]
    for name, texts in literals().items():
        own = key in name
        seeds += [text for text in texts if own or spec.detect(text[:4096], "") > 0.5]
    if spec.key == "xlsx":
        seeds += [_workbook()]
    return tuple(dict.fromkeys(seeds)) or (b"1;2;3\n",)


def words_of(seeds: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """The words that the seeds are made of, the frequent ones first: tags, codes, key words."""
    counts: dict[bytes, int] = {}
    for seed in seeds[:300]:
        for word in re.findall(rb"<[^<>\s]{1,40}[^<>]{0,60}>|:\d\d\w?:|[{}]\d:|[\w.-]{2,30}[=:]?|\W", seed[:8000]):
            counts[word] = counts.get(word, 0) + 1
    return tuple(sorted(counts, key=lambda word: (-counts[word], word))[:400])


def of_landscape() -> dict[str, bytes]:
    """The shipped configuration files by path."""
    paths = [path for path in sorted(SHIPPED.rglob("*")) if path.suffix in (".yaml", ".j2")]
    profiles = sorted((ROOT / "transforms" / "profiles").rglob("*.yaml"))
    return {path.name: path.read_bytes() for path in (*paths, *profiles)}


def packed(parts: dict[str, bytes]) -> bytes:
    """A ZIP archive of these parts."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return target.getvalue()


def unpacked(data: bytes) -> dict[str, bytes]:
    """The parts of a good archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _workbook() -> bytes:
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    links = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"
    rows = (
        '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="inlineStr"><is><t>amount</t></is></c></row>'
        '<row r="2"><c r="A2" t="str"><v>P-1</v></c><c r="B2"><f>1+1</f><v>100.10</v></c></row>'
        '<row r="3"><c r="A3" s="1"><v>46350.5</v></c><c r="B3" t="b"><v>1</v></c><c r="C3" t="e"><v>#N/A</v></c></row>'
    )
    texts = {
        "[Content_Types].xml": "<Types/>",
        "_rels/.rels": f'<Relationships xmlns="{package}"><Relationship Id="r" Type="{links}/officeDocument" '
        'Target="xl/workbook.xml"/></Relationships>',
        "xl/workbook.xml": f'<workbook xmlns="{main}" xmlns:r="{links}"><sheets><sheet name="Sheet1" sheetId="1" '
        'r:id="rId1"/></sheets></workbook>',
        "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{package}"><Relationship Id="rId1" '
        f'Type="{links}/worksheet" Target="worksheets/sheet1.xml"/><Relationship Id="s" Type="{links}/styles" '
        f'Target="/xl/styles.xml"/><Relationship Id="t" Type="{links}/sharedStrings" Target="sharedStrings.xml"/>'
        "</Relationships>",
        "xl/styles.xml": f'<styleSheet xmlns="{main}"><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="14"/>'
        "</cellXfs></styleSheet>",
        "xl/sharedStrings.xml": f'<sst xmlns="{main}"><si><t>id</t></si></sst>',
        "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{main}"><sheetData>{rows}</sheetData></worksheet>',
    }
    return packed({name: text.encode() for name, text in texts.items()})
