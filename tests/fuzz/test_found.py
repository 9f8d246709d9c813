"""Inputs on which the fuzzer once failed, made small; they fail no more."""

from __future__ import annotations

import pytest

from tests.fuzz.entries import entries
from tests.fuzz.worker import outcome

FOUND: dict[str, tuple[str, bytes]] = {
    "a stored message of an unknown kind": (
        "envelope",
        b'[1,11,[["","",0,"",0,"","",0,0,"",null,[],0,"",false,null,""],[1,""]]]',
    ),
    "a stored reference without a size": (
        "envelope",
        b'[1,2,[["","",0,"",2,"","",0,0,"",null,[],0,"",false,null,""],[""],{"":""}]]',
    ),
    "a stored message that is no text": ("envelope", b'[1,0,[["\xb1"'),
    "a stored message that nests too deep": ("envelope", b"[" * 2000),
    "configuration with a byte order mark and a wrong byte": ("config-profile", b"\xef\xbb\xbfp\xf6"),
    "Arabic digits in a template": ("template", "{{ 0.\u0662 }}".encode()),
    "a number in a template that Python does not read": ("template", b"{{ " + b"9" * 5000 + b" }}"),
}


@pytest.mark.parametrize("name", FOUND)
def test_it_fails_no_more(name: str) -> None:
    entry, data = FOUND[name]
    assert outcome(entries()[entry].run, data) is None
