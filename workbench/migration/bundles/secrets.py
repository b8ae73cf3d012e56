"""Passwords, keys and tokens in files that are about to be sealed, found line by line; no value is ever kept.

A bundle is copied, kept for years and handed around: a secret in it can never be taken back. What is looked for
depends on the role: an event may be called "Password: swordfish", a configuration's key may not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REDACTED = "***"

_LISTINGS = ("export", "report", "id map")

_URL = re.compile(
    rb"\b[a-z][a-z0-9+.\-]{1,20}://[^\s/@'\":]{0,200}:(?P<value>(?!\d+/)[^\s@'\"]{1,500})@", re.I
)
_BLOCK = re.compile(rb"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----")
_KNOWN_FORM = re.compile(
    rb"\b(?P<value>AKIA[0-9A-Z]{16}|gh[pousr]_[A-Za-z0-9]{36,}|sk_(?:live|test)_[A-Za-z0-9]{16,}"
    rb"|xox[abp]-[A-Za-z0-9-]{20,}|eyJ[A-Za-z0-9_-]{16,}\.eyJ[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,})"
)
_KEYED = re.compile(
    rb"(?:pass(?:word|wd|phrase)|\bpwd|secret(?!ar)|token(?!iz)|api[_-]?key|private[_-]?key|access[_-]?key|credentials?"
    rb"|authorization)(?P<rest>[\w.\-]{0,40})[\"']?\s{0,8}[:=]\s{0,8}"
    rb"(?P<value>\"[^\"]*\"|'[^']*'|(?:bearer |basic )?[^\s,;&#'\"}\]]+)",
    re.I,
)
_NAMES_SOMETHING = re.compile(
    rb"(?:[_-]?(?:env|file|path|name|id|type|url|count|limit|hours|days|expires?))$", re.I
)
_NO_SECRET = re.compile(
    rb"(?:[\"']?)(?:|\*+|null|none|nil|true|false|~|undefined|\d{1,5}|\$.*|%[({].*|<.*>|\{\{.*|process\.env.*"
    rb"|os\.environ.*|x{3,}|redacted|changeme|example)(?:[\"']?)",
    re.I,
)
_WORDS = (
    *(
        b"password",
        b"passwd",
        b"passphrase",
        b"pwd",
        b"secret",
        b"token",
        b"api_key",
        b"api-key",
        b"apikey",
        b"private",
    ),
    *(b"access", b"credential", b"authorization"),
)
_FORMS = (b"AKIA", b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_", b"sk_", b"xox", b"eyJ")
_BLOCK_SIZE = 1 << 20


@dataclass(frozen=True)
class Secret:
    """Where one is; never what.

    Attributes
    ----------
    line : int
    what : str
        In words.
    start, stop : int
        Its bytes within the line; equal where it cannot be taken out of a line.
    """

    line: int
    what: str
    start: int = 0
    stop: int = 0

    @property
    def redactable(self) -> bool:
        """Whether it ends on its line, so that it can be replaced there."""
        return self.stop > self.start


def is_text(path: Path) -> bool:
    """Whether a file is text whose bytes can be looked through; a workbook, an archive, UTF-16 are not."""
    with path.open("rb") as file:
        return b"\0" not in file.read(8192)


def find_secrets(path: Path, role: str) -> Iterator[Secret]:
    """Yield what looks like a secret in a text file."""
    number = 0
    for block in _blocks(path):
        if _may_hold_one(block, role):
            for line in _split(block):
                number += 1
                yield from secrets_of_line(line, number, role)
        else:
            number += block.count(b"\n")


def secrets_in_config(config: object, path: str = "config") -> Iterator[Secret]:
    """Yield the secrets of what a report recorded of its configuration: nobody changes a report, so none is redactable."""
    if isinstance(config, dict):
        for key, value in config.items():
            if isinstance(value, str | int) and list(_keyed(f"{key}: {json.dumps(value)}".encode(), 0)):
                yield Secret(0, f"a value under {f'{path}.{key}'!r}")
            yield from secrets_in_config(value, f"{path}.{key}")
    elif isinstance(config, list):
        for each in config:
            yield from secrets_in_config(each, path)


def secrets_of_line(line: bytes, number: int, role: str) -> list[Secret]:
    """List the secrets of one line, in order, none overlapping another."""
    found = [Secret(number, "a URL with a password", *each.span("value")) for each in _URL.finditer(line)
             if not _NO_SECRET.fullmatch(each["value"])]  # fmt: skip
    if _BLOCK.search(line):
        found.append(Secret(number, "a private key"))
    found += [Secret(number, "a token", *each.span("value")) for each in _KNOWN_FORM.finditer(line)]
    if role not in _LISTINGS:
        found += _keyed(line, number)
    kept: list[Secret] = []
    for each in sorted(found, key=lambda one: (one.start, one.stop)):
        if not kept or each.start >= kept[-1].stop:
            kept.append(each)
    return kept


def redact_line(line: bytes, found: list[Secret]) -> bytes:
    """Replace the secrets of a line."""
    for each in reversed(found):
        line = line[: each.start] + REDACTED.encode() + line[each.stop :]
    return line


def lines(path: Path) -> Iterator[bytes]:
    """Yield a file's lines with their ends; one without any end comes in pieces that memory can hold."""
    for block in _blocks(path):
        yield from _split(block)


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK_SIZE):
            yield block if block.endswith(b"\n") else block + file.readline(_BLOCK_SIZE)


def _split(block: bytes) -> list[bytes]:
    pieces = [each + b"\n" for each in block.split(b"\n")]
    pieces[-1] = pieces[-1][:-1]
    return pieces if pieces[-1] else pieces[:-1]


def _may_hold_one(block: bytes, role: str) -> bool:
    """Whether a block's lines must be looked through: a hundred times as fast as that, and hardly any must."""
    if b"://" in block or b"PRIVATE KEY" in block or any(each in block for each in _FORMS):
        return True
    if role not in _LISTINGS:
        lower = block.lower()
        return any(each in lower for each in _WORDS)
    return False


def _keyed(line: bytes, number: int) -> Iterator[Secret]:
    for each in _KEYED.finditer(line):
        value = each["value"]
        start, stop = each.span("value")
        if _NAMES_SOMETHING.search(each["rest"]) or _NO_SECRET.fullmatch(value):
            continue
        key = _key(line, each.start(), each.end("rest"))
        if value in (b"|", b">", b"|-", b">-", b"!vault"):
            yield Secret(number, f"a value of several lines under {key!r}")
            continue
        if value[:1] in (b'"', b"'"):
            start, stop = start + 1, stop - 1
        yield Secret(number, f"a value under {key!r}", start, stop)


def _key(line: bytes, start: int, stop: int) -> str:
    begin = re.search(rb"[\w.\-]{0,40}$", line[:start])
    assert begin is not None
    key = line[begin.start() : stop].decode("utf-8", "replace")
    return "".join(letter for letter in key if letter.isprintable())
