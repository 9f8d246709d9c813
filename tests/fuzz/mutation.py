"""From good inputs to bad ones: bits, bytes, lines and words changed, cut, doubled, swapped and crossed."""

from __future__ import annotations

from random import Random
from typing import NamedTuple

MOST_BYTES = 200_000
"""Longest input that is made; memory is to be used by what the reader does, not by what it is given."""
NUMBERS = (
    b"0", b"-1", b"-0", b"0.005", b"1e400", b"1E-400", b"NaN", b"Infinity", b"9" * 40, b"9" * 5000, b"0." + b"0" * 400
    + b"1", b"99999999999999999.99", b"12,34,56", b"1.000,00", b"\xd9\xa1\xd9\xa2", b"\xe2\x91\xa0", b"\xc2\xb2",
    b"2147483648", b"18446744073709551616", b"20260230", b"000000", b"999999", b"0001-01-01", b"9999-12-31", b"260229",
)  # fmt: skip
TEXTS = (
    b"\x00", b"\xff", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3", b"\xed\xa0\x80", b"\r", b"\n", b"\r\n", b"\x1a", b"\x0c",
    b"\x85", "\u2028".encode(), "\u202e".encode(), "\u00e4\u00f6\u00df".encode(), "\U0001f4b6".encode(), b"\xe4\xf6",
    b"A" * 300, b" " * 2000, b"\t", b'"', b"'", b"<", b">", b"&", b"&#x0;", b"&amp;", b"]]>", b"<!--", b"<![CDATA[",
    b"<!DOCTYPE x [<!ENTITY e 'x'>]>", b"&e;", b"<?x y?>", b"{{", b"}}", b"{%", b"%}", b"[", b"]", b"{", b"}",
    b"(" * 500,    b"[" * 2000, b"<a>" * 400,
    b"\\u0000", b"\\ud800", b"\\", b"/", b"../", b"=cmd", b"$(", b"${env:HOME}", b"*",
    b"&a",
    b"!!python/object", b"---", b"...", b"%s", b"%n", b",", b";", b"|", b":", b"-", b"+",
)  # fmt: skip


class Corpus(NamedTuple):
    """What the inputs of one entry are made from."""

    seeds: tuple[bytes, ...]
    words: tuple[bytes, ...] = ()
    """What is written between the values in this format: tags, record codes, key words."""


def mutated(corpus: Corpus, chance: Random) -> bytes:
    """One input: a seed as it is (seldom), or changed in one to eight places."""
    data = bytearray(chance.choice(corpus.seeds))
    for _ in range(min(chance.choice((0, 1, 1, 1, 2, 2, 3, 5, 8)), 8)):
        _change(data, corpus, chance)
    return bytes(data[:MOST_BYTES])


def _change(data: bytearray, corpus: Corpus, chance: Random) -> None:
    kind = chance.randrange(12)
    start, end = _stretch(data, chance)
    if kind == 0 and data:
        data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    elif kind == 1:
        del data[start:]
    elif kind == 2:
        del data[start:end]
    elif kind == 3:
        data[start:start] = data[start:end] * chance.choice((1, 1, 2, 50))
    elif kind == 4:
        other = chance.choice(corpus.seeds)
        data[start:] = other[chance.randrange(len(other) + 1) :]
    elif kind == 5:
        data[start:end] = chance.choice(NUMBERS)
    elif kind == 6:
        data[start:start] = chance.choice(TEXTS)
    elif kind == 7:
        data[start:end] = chance.choice(TEXTS)
    elif kind == 8 and corpus.words:
        data[start:start] = chance.choice(corpus.words)
    else:
        _change_a_value(data, kind, corpus, chance)


def _change_a_value(data: bytearray, kind: int, corpus: Corpus, chance: Random) -> None:
    """A run of digits, a word or a line is exchanged, so that the rest stays readable."""
    if kind == 11:
        lines = bytes(data).splitlines(keepends=True)
        if len(lines) > 1:
            one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
            lines[one], lines[other] = (lines[other], lines[one]) if chance.random() < 0.5 else (b"", lines[other] * 2)
            data[:] = b"".join(lines)
        return
    digits = kind == 10
    at = chance.randrange(len(data) + 1)
    start = next((n for n in range(at, len(data)) if _is(data[n], digits=digits)), len(data))
    end = next((n for n in range(start, len(data)) if not _is(data[n], digits=digits)), len(data))
    data[start:end] = chance.choice(NUMBERS if digits or not corpus.words else corpus.words)


def _is(byte: int, *, digits: bool) -> bool:
    return chr(byte).isdigit() if digits else chr(byte).isalnum()


def _stretch(data: bytearray, chance: Random) -> tuple[int, int]:
    start = chance.randrange(len(data) + 1)
    return start, min(len(data), start + chance.choice((0, 1, 2, 4, 10, 80, 1000)))
