"""The generated XML Schemas: the same rules, and the same verdicts, as those that ISO publishes."""

from __future__ import annotations

import hashlib
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from iso_documents import CONTEXT, camt053, details, entry, folder_of, payment, statement, written
from lxml import etree
from schema_documents import Maker

from bus import ConfigError
from transforms.iso20022 import schemas
from transforms.iso20022.generate import (
    SCHEMAS,
    VERSIONS,
    CustomBuildHook,
    NotAsPinned,
    generate,
    messages,
    schema_text,
    table,
)

XS = "{http://www.w3.org/2001/XMLSchema}"
NEEDED = (
    "pain.001.001.03",
    "pain.001.001.09",
    "pain.002.001.03",
    "pain.002.001.10",
    "camt.053.001.02",
    "camt.053.001.08",
)

pytestmark = pytest.mark.skipif(
    not any(SCHEMAS.glob("*.xsd")), reason="built by: python transforms/iso20022/generate.py"
)


class Rules:
    """The content models of a schema, in a form that two schemas with different type names share."""

    def __init__(self, path: Path) -> None:
        root = etree.parse(path).getroot()
        self._types = {e.get("name"): e for e in root if e.tag in (f"{XS}complexType", f"{XS}simpleType")}
        self.root = root.find(f"{XS}element").get("type")

    def of(self, name: str) -> Any:
        """Base and facets of a simple type; content model and, as pairs, elements of a complex one."""
        if name.startswith("xs:"):
            return name, frozenset()
        one = self._types[name]
        restriction = one.find(f"{XS}restriction")
        if restriction is not None:
            base, facets = self.of(restriction.get("base"))
            return base, facets | {(etree.QName(f).localname, f.get("value")) for f in restriction}
        extension = one.find(f"{XS}simpleContent/{XS}extension")
        if extension is not None:
            attributes = frozenset((a.get("name"), a.get("use"), self.of(a.get("type"))) for a in extension)
            return self.of(extension.get("base")), attributes
        return self._model(one)

    def _model(self, element: Any) -> Any:
        found = []
        for child in element:
            kind = etree.QName(child).localname
            occurs = (child.get("minOccurs", "1"), child.get("maxOccurs", "1"))
            if kind == "element":
                found.append((child.get("name"), occurs))
            elif kind == "any":
                found.append(("any", child.get("namespace"), child.get("processContents"), occurs))
            else:
                inner = self._model(child)
                found.append((kind, occurs, inner))
        while len(found) == 1 and found[0][0] == "sequence" and found[0][1] == ("1", "1"):
            found = found[0][2]
        return found

    def pairs(self, name: str) -> Any:
        """(element name, type) below a complex type."""
        one = self._types.get(name)
        return [] if one is None else [(e.get("name"), e.get("type")) for e in one.iter(f"{XS}element")]


def differences(ours: Path, theirs: Path) -> list[str]:
    left, right = Rules(ours), Rules(theirs)
    seen, wait, found = set(), [(left.root, right.root, "")], []
    while wait:
        a, b, path = wait.pop()
        if (a, b) in seen:
            continue
        seen.add((a, b))
        if left.of(a) != right.of(b):
            found.append(path)
        else:
            wait += [(x, y, f"{path}/{name}") for (name, x), (_, y) in zip(left.pairs(a), right.pairs(b), strict=True)]
    return found


@pytest.mark.parametrize("message", messages())
def test_a_generated_schema_has_the_rules_of_isos_own(message: str) -> None:
    theirs = folder_of("GIROBUS_XSD") / f"{message}.xsd"
    if not theirs.is_file():
        pytest.skip("ISO's schema of this version is not at hand")
    assert differences(SCHEMAS / f"{message}.xsd", theirs) == []


def test_the_comparison_sees_a_difference(tmp_path: Path) -> None:
    theirs = folder_of("GIROBUS_XSD") / "camt.053.001.08.xsd"
    text = theirs.read_text("utf-8")
    for old, new in (
        ('maxLength value="35"', 'maxLength value="36"'),
        ("<xs:choice>", "<xs:sequence>"),
        ('"NtryRef"', '"X"'),
    ):
        changed = tmp_path / "changed.xsd"
        changed.write_text(
            text.replace(old, new, 1).replace("</xs:choice>", "</xs:sequence>", new == "<xs:sequence>"), "utf-8"
        )
        assert differences(changed, theirs)


@pytest.mark.parametrize("message", messages())
def test_verdicts_on_documents_made_from_the_schema_are_those_of_isos_own(message: str) -> None:
    """Valid documents with everything the schema allows, and documents with one fault, of each kind of fault."""
    theirs = folder_of("GIROBUS_XSD") / f"{message}.xsd"
    if not theirs.is_file():
        pytest.skip("ISO's schema of this version is not at hand")
    ours, iso = schemas.schema(message), etree.XMLSchema(etree.parse(theirs))
    maker = Maker(message)
    for fullness in (0.05, 0.3, 0.6):
        document = maker.valid(fullness)
        assert (ours.validate(document), iso.validate(document)) == (True, True)
    for _ in range(20):
        fault, document = maker.broken()
        assert (fault, ours.validate(document), iso.validate(document)) == (fault, False, False)


def mutations(content: bytes, chance: random.Random) -> bytes:
    """The document with one random change, mostly against the schema."""
    root = etree.fromstring(content)
    every = [e for e in root.iter() if isinstance(e.tag, str)]
    one = chance.choice(every[1:])
    parent: Any = one.getparent()
    kind = chance.randrange(7)
    if kind == 0:
        parent.remove(one)
    elif kind == 1:
        parent.insert(parent.index(one), etree.fromstring(etree.tostring(one)))
    elif kind == 2:
        one.text = chance.choice(["", "x" * 36, "x" * 71, "x" * 141, "1.123456", "-1", "2026-02-30", "ÄÖ", "abc"])
    elif kind == 3:
        parent.append(one)
    elif kind == 4:
        one.tag = etree.QName(root, chance.choice(["Nm", "Id", "Amt", "Cd", "Prtry"])).text
    elif kind == 5:
        one.set(chance.choice(["Ccy", "x"]), chance.choice(["EUR", "eur", ""]))
    else:
        etree.SubElement(one, etree.QName(root, chance.choice(["Nm", "Othr", "Cd", "Dt", "DtTm"])).text).text = "X"
    return etree.tostring(root)


def examples(message: str) -> list[bytes]:
    if message.startswith("pain.001"):
        full = payment(
            category_purpose="SUPP",
            purpose="SUPP",
            remittance={"unstructured": ["a"], "structured": [{"reference": "R", "type": "SCOR"}]},
        )
        return [written([payment(), full], CONTEXT, message=message)]
    if message.startswith("camt.053"):
        old = message.endswith("02")
        inner = details().replace("<Pty>", "").replace("</Pty>", "") if old else details()
        status = "<Sts>BOOK</Sts>" if old else "<Sts><Cd>BOOK</Cd></Sts>"
        return [camt053(statement([entry(inner=inner, status=status)], closing="110.00"), version=message[-2:])]
    sent = (
        f'<Document xmlns="urn:iso:std:iso:20022:tech:xsd:{message}"><CstmrPmtStsRpt><GrpHdr><MsgId>R</MsgId>'
        "<CreDtTm>2026-11-20T18:00:00</CreDtTm></GrpHdr><OrgnlGrpInfAndSts><OrgnlMsgId>M</OrgnlMsgId>"
        "<OrgnlMsgNmId>pain.001</OrgnlMsgNmId><GrpSts>PART</GrpSts></OrgnlGrpInfAndSts><OrgnlPmtInfAndSts>"
        "<OrgnlPmtInfId>P</OrgnlPmtInfId><TxInfAndSts><OrgnlEndToEndId>E</OrgnlEndToEndId><TxSts>RJCT</TxSts>"
        "<StsRsnInf><Rsn><Cd>AC04</Cd></Rsn><AddtlInf>x</AddtlInf></StsRsnInf></TxInfAndSts></OrgnlPmtInfAndSts>"
        "</CstmrPmtStsRpt></Document>"
    )
    return [sent.encode()]


@pytest.mark.parametrize("message", NEEDED)
def test_verdicts_on_valid_and_broken_documents_are_those_of_isos_schema(message: str) -> None:
    theirs = etree.XMLSchema(etree.parse(folder_of("GIROBUS_XSD") / f"{message}.xsd"))
    ours = schemas.schema(message)
    chance = random.Random(20022)  # noqa: S311 - repeatable, not secret
    verdicts = []
    for content in examples(message):
        theirs.assertValid(etree.fromstring(content))
        for _ in range(300):
            document = etree.fromstring(mutations(content, chance))
            verdicts.append((ours.validate(document), theirs.validate(document)))
    assert all(mine == iso for mine, iso in verdicts)
    assert {mine for mine, _ in verdicts} == {True, False}


@pytest.fixture
def short_table(tmp_path: Path) -> Path:
    """A table of versions with one row for each source."""
    head, *rows = VERSIONS.read_text("utf-8").splitlines()
    chosen = [next(row for row in rows if f",{source}," in row) for source in ("pyiso20022", "sepaxml")]
    short = tmp_path / "source" / "transforms" / "iso20022" / VERSIONS.name
    short.parent.mkdir(parents=True)
    short.write_text("\n".join([head, *chosen]) + "\n", "utf-8")
    return short


def test_generating_again_writes_nothing_until_something_changed(tmp_path: Path, short_table: Path) -> None:
    pytest.importorskip("pyiso20022")
    assert [generate(tmp_path, short_table), generate(tmp_path, short_table)] == [2, 0]
    (tmp_path / "pain.008.001.08.xsd").unlink()
    assert [generate(tmp_path, short_table), generate(tmp_path, short_table)] == [2, 0]
    (tmp_path / "built-from.txt").write_text("an older table", "utf-8")
    (tmp_path / "pain.001.001.01.xsd").write_text("of an older table", "utf-8")
    assert [generate(tmp_path, short_table), generate(tmp_path, short_table)] == [2, 0]
    assert not (tmp_path / "pain.001.001.01.xsd").exists()


def test_a_build_with_another_package_or_another_result_fails(tmp_path: Path, short_table: Path) -> None:
    pytest.importorskip("pyiso20022")
    rows = short_table.read_text("utf-8")
    short_table.write_text(rows.replace(table(short_table)[1].sha256, "0" * 64), "utf-8")
    with pytest.raises(NotAsPinned, match=r"pain\.008\.001\.08: another schema"):
        generate(tmp_path, short_table)
    short_table.write_text(rows.replace("1.6.2", "1.6.1"), "utf-8")
    with pytest.raises(NotAsPinned, match=r"wants pyiso20022 1\.6\.1, installed is"):
        generate(tmp_path, short_table)
    assert not (tmp_path / "built-from.txt").exists()


@pytest.mark.parametrize("row", table(), ids=lambda row: row.message)
def test_the_schemas_in_use_are_those_of_the_table(row: Any) -> None:
    assert hashlib.sha256((SCHEMAS / f"{row.message}.xsd").read_bytes()).hexdigest() == row.sha256


@pytest.mark.parametrize("message", NEEDED)
def test_the_schemas_in_use_are_those_that_would_be_generated_now(message: str) -> None:
    pytest.importorskip("pyiso20022")
    assert (SCHEMAS / f"{message}.xsd").read_text("utf-8") == schema_text(message)


@pytest.mark.parametrize("version", ["standard", "editable"])
def test_the_build_hook_writes_into_the_source_folder(version: str, short_table: Path) -> None:
    pytest.importorskip("hatchling")
    make: Any = CustomBuildHook
    make(str(short_table.parents[2]), {}, None, None, "", "wheel").initialize(version, {})
    built = sorted(p.name for p in (short_table.parent / "schemas").iterdir())
    assert built == ["built-from.txt", "camt.029.001.03.xsd", "pain.008.001.08.xsd"]


def test_a_schema_that_is_not_there_is_told_with_what_to_do() -> None:
    with pytest.raises(ConfigError, match=r"VAL406.*validate: off"):
        schemas.schema("pain.008.001.01")
    assert not schemas.available("pain.008.001.01")
    assert schemas.available("camt.053.001.08")


def test_findings_hold_rules_and_names_but_no_content() -> None:
    content = camt053(
        statement([entry("s3cret", "s3cret", currency="s3cret")]).replace("<Id>S1", "<Id>" + "s3cret" * 9)
    )
    text = content.replace(b"2026-11-20T18", b"s3cret'is not has").replace(b"<Sts>", b"s3cret<Sts>")
    rules = schemas.schema("camt.053.001.08")
    assert not rules.validate(etree.fromstring(text))
    log: Any = rules.error_log
    raw = [e.message for e in log]
    assert any("s3cret" in message for message in raw)
    shown = [schemas.without_values(message) for message in raw]
    assert not any("s3cret" in message or "urn:iso" in message for message in shown)
    assert all(re.match(r"Element '\w+'", message) for message in shown)


AT_ONCE = """
import threading
from transforms.iso20022.schemas import schema

found, start = [], threading.Barrier(8)

def ask():
    start.wait()
    for message in ("pain.001.001.09", "camt.053.001.08", "pacs.008.001.08", "pain.008.001.08"):
        found.append(schema(message))

threads = [threading.Thread(target=ask) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(len(found), len(set(map(id, found))))
"""


def test_threads_that_need_a_schema_at_once_compile_it_once() -> None:
    """The first two files of a process were written at once, and the process ended with a segmentation fault."""
    done = subprocess.run([sys.executable, "-c", AT_ONCE], capture_output=True, text=True, timeout=60, check=True)

    assert done.stdout.split() == ["32", "4"], done.stderr
