"""Finds secrets in clear in configuration files, and hides what may be one wherever a file's text is shown."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from bus.config.model import SourceFile
    from bus.config.problems import Problem
    from bus.config.yamltext import Node

_KEY = re.compile(
    r"(?i)(^|[_-])(pass(word|wd|phrase|code)?|pwd|secret|token|credentials?|bearer|(api|access|private|client|account)_?key)$"
)
_REFERENCE = re.compile(r"\$\{(env|file):[^}]+\}")
_LOOKS = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY"  # PEM
    r"|\b(AKIA|ASIA)[0-9A-Z]{16}\b"  # AWS access key id
    r"|\beyJ[\w-]{8,300}\.[\w-]{8,300}\."  # JSON web token
    r"|\b(ghp|gho|ghs|github_pat|glpat|xox[abp]|sk_live|rk_live)[-_]\w{8,}"  # tokens with a maker's prefix
    r"|\bAGE-SECRET-KEY-1"
    r"|://[^/\s:@]{1,100}:(?!\d{1,5}/)[^\s$]{1,200}@"  # a password inside an address; no port
    r"|[?&](ssl)?password=[^\s&$]+"
)
_SHOWN = re.compile(
    r"(?i)((?:pas+w|passphrase|pwd|secret|token|credential|bearer|(?:api|access|private|client|account).?key)[\w-]{0,40}"
    r"[\"']?\s{0,20}:\s{0,20})([^\s,}][^,}\n]*)"
)


def literal_secrets(file: SourceFile, *, by_key: bool) -> Iterator[Problem]:
    """Values that are secrets by their form or, with ``by_key``, by the name of the key they stand under."""
    by_form = _LOOKS.search(file.text) is not None  # one look at the whole text; most files need no second one
    if file.root is None or not (by_form or by_key):
        return
    for key, node in file.root.scalars():
        if (by_form or _named_so(key)) and _is_secret(key if by_key else "", node):
            message = f"what stands under `{key}` looks like a secret in clear"
            yield node.problem("CFG143", file.path, message, hint="write `${env:NAME}` or `${file:path}`")


def _is_secret(key: str, node: Node) -> bool:
    value = str(node.value)
    if not value or _REFERENCE.fullmatch(value):
        return False
    return _named_so(key) or _LOOKS.search(value) is not None


@lru_cache(maxsize=1024)
def _named_so(key: str) -> bool:
    """Whether a key is called like one that takes a secret."""
    return _KEY.search(key) is not None


def masked(file: SourceFile) -> str:
    """The file's text with dots in place of everything that may be a secret; places stay what they are."""
    text = _SHOWN.sub(_hide, file.text)
    if file.root is None:
        return _LOOKS.sub(lambda found: "•" * len(found[0]), text)
    shown = list(text)
    for key, node in file.root.scalars():
        if _is_secret(key, node):
            shown[node.start : node.end] = re.sub(r"\S", "•", text[node.start : node.end])
    return "".join(shown)


def _hide(found: re.Match[str]) -> str:
    value = found[2]
    return found[1] + (value if _REFERENCE.match(value.strip("\"' ")) else re.sub(r"\S", "•", value))
