"""Whatever bytes come, a reader of statements gives a result or a coded refusal, in time that grows with the size."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bus import FormatSpec, Rejected
from transforms.bai2 import Bai2Spec
from transforms.cfonb120 import Cfonb120Spec
from transforms.coda import CodaSpec
from transforms.mt940 import Mt940Spec

SPECS: tuple[type[FormatSpec], ...] = (Mt940Spec, Bai2Spec, Cfonb120Spec, CodaSpec)
TOKENS: dict[type[FormatSpec], list[bytes]] = {
    Mt940Spec: [
        b":20:R", b":25:DE89370400440532013000", b":28C:1/1", b":60F:C261123EUR1,", b":60M:C261123EUR1,", b":34F:EUR0,",
        b":61:2611241124C1,NTRFNONREF", b":61:2611241124D1,NTRFX//Y", b":86:166?00X?20EREF+A?21SVWZ+B?32N", b"-",
        b":86:/EREF/A/REMI/B/", b":62F:C261124EUR1,", b":62M:C261124EUR1,", b":64:C261124EUR1,", b":90D:1EUR1,",
        b":90C:1EUR1,", b":13D:2611241200", b":NS:01x", b"{1:F01}{2:O940X}{4:", b"-}", b"\x01", b"$", b":86:", b"x",
    ],
    Bai2Spec: [
        b"01,a,b,261124,0700,1,80,1,2/", b"02,b,a,1,261123,2400,USD,2/", b"03,1,,010,1,,,015,1,,/", b"88,x/", b"88,",
        b"16,142,1,,,,x/", b"16,451,1,S,1,2,3,a,b,c/", b"16,142,1,D,9,1,2/", b"16,142", b"49,1,2/", b"98,1,1,4/",
        b"99,1,1,6/", b"16,142,1,V,261124,,/  16,142,1,,,/ 49,,/", b"text", b"/", b"03,", b"16,890,,,,/",
    ],
    Cfonb120Spec: [
        b"0115589    00000EUR2 98765432100  231126" + b" " * 50 + b"0000000000000{" + b" " * 16,
        b"0415589916200000EUR2 98765432100B1241126  251126" + b"x" * 31 + b"  0000000  0000000000000A" + b" " * 16,
        b"0515589916200000EUR2 98765432100B1241126     LIBx" + b" " * 71,
        b"0715589    00000EUR2 98765432100  241126" + b" " * 50 + b"0000000000000J" + b" " * 16,
        b"04", b"05", b"01", b"07", b"99",
    ],
    CodaSpec: [
        b"0000024112653905" + b" " * 111 + b"2", b"12001BE68539007547034" + b" " * 18 + b"EUR0000000000000000231126",
        b"2100010000BANK" + b" " * 17 + b"00000000000010002511260" + b"01500000" + b" " * 53 + b"241126",
        b"2100010001", b"2200010000", b"2300010000", b"3100010000", b"3200010000", b"4", b"8", b"9", b"7",
        b"8001BE68539007547034" + b" " * 18 + b"EUR0000000000001000241126", b"9" + b" " * 15 + b"000003" + b"0" * 30,
    ],
}  # fmt: skip

quick = settings(max_examples=150, deadline=30_000, suppress_health_check=[HealthCheck.too_slow])


def take(spec: type[FormatSpec], content: bytes) -> None:
    """Everything that can be done with a file; only coded refusals may come out."""
    spec.detect(content[:4096], "x")
    found = spec.inspect(io.BytesIO(content))
    assert all(finding.code for finding in found.findings)
    refusals = []
    for options in ({}, {"balances": "ignore", "encoding": "iso-8859-1"}):
        for each in ("entries", "statements"):
            try:
                for part in spec(**options).build().read(io.BytesIO(content)).parts(each):
                    assert (part.body is None) == (part.error is not None)
            except Rejected as error:
                refusals.append(error.code)
    assert all(refusals)


@pytest.mark.parametrize("spec", SPECS)
@quick
@given(content=st.binary(max_size=400))
@example(content=b"\xef\xbb\xbf")
@example(content=b"\n" * 9)
def test_any_bytes(spec: type[FormatSpec], content: bytes) -> None:
    take(spec, content)


@pytest.mark.parametrize("spec", SPECS)
@quick
@given(data=st.data())
def test_any_order_of_records_also_cut_and_changed(spec: type[FormatSpec], data: Any) -> None:
    tokens = data.draw(st.lists(st.sampled_from(TOKENS[spec]), max_size=14))
    content = data.draw(st.sampled_from([b"\n", b"\r\n", b"\r"])).join(tokens)
    if content and data.draw(st.booleans()):
        at = data.draw(st.integers(0, len(content) - 1))
        content = content[:at] + data.draw(st.binary(max_size=3)) + content[at + data.draw(st.integers(0, 3)) :]
    take(spec, content)


@pytest.mark.parametrize(
    ("spec", "head", "repeated"),
    [
        (Mt940Spec, b":20:R\n:25:X\n:60F:C261123EUR1,\n:61:2611241124C1,NTRFN\n:86:166?20", b"EREF+?20+"),
        (Mt940Spec, b":20:R\n:25:X\n:60F:C261123EUR1,\n:61:2611241124C1,NTRFN\n:86:/EREF", b"/NAME/"),
        (Mt940Spec, b":20:R\n:25:X\n:60F:C261123EUR1,\n", b":61:2611241124C1,NTRFN\n:86:x\n"),
        (Mt940Spec, b"", b"{1:" * 50 + b"\n"),
        (Mt940Spec, b":20:R\n", b":62M:C261123EUR1,\n:20:R\n:60M:C261123EUR1,\n"),
        (Bai2Spec, b"01,a,b,261124,,,,,2/\n", b"/ 16,"),
        (Bai2Spec, b"01,a,b,261124,,,,,2/\n02,,,1,261124,,/\n03,1,/\n16,142,1,", b"88,,/\n"),
        (Bai2Spec, b"01,a,b,261124,,,,,2/\n02,,,1,261124,,/\n03,1,", b"88,010,1,,/\n"),
        (Cfonb120Spec, TOKENS[Cfonb120Spec][0] + b"\n", TOKENS[Cfonb120Spec][1] + b"\n"),
        (Cfonb120Spec, TOKENS[Cfonb120Spec][0], TOKENS[Cfonb120Spec][1]),
        (CodaSpec, TOKENS[CodaSpec][0] + b"\n" + TOKENS[CodaSpec][1] + b"\n", b"2100010001\n"),
        (CodaSpec, TOKENS[CodaSpec][0] + b"\n" + TOKENS[CodaSpec][1] + b"\n", b"3100010001\n3200010001\n"),
    ],
)
def test_time_grows_with_the_size_and_not_faster(spec: type[FormatSpec], head: bytes, repeated: bytes) -> None:
    def cost(size: int) -> float:
        content = head + repeated * (size // len(repeated))
        best = 9.0
        for _ in range(2):
            begin = time.process_time()
            spec.inspect(io.BytesIO(content))
            best = min(best, time.process_time() - begin)
        return best

    small, large = cost(25_000), cost(100_000)
    assert large < max(10 * small, 0.2), "four times the size takes more than ten times as long"
