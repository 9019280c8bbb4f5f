"""Strict CBOR (docs/protocol.md, section 2), and checks of decoded values against the document's CDDL."""

from __future__ import annotations

import re
from typing import Any, Callable

from cbor2 import CBORTag

U64, MAX_ENTRIES, MAX_DEPTH = 2**64 - 1, 4096, 12
Check = Callable[[Any], None]


class Refused(Exception):
    """A message is refused: `reason` is a name of section 15, `why` says what was found."""

    def __init__(self, reason: str, why: str = "") -> None:
        super().__init__(f"{reason} ({why})" if why else reason)
        self.reason = reason


def need(holds: Any, reason: str, why: str = "") -> None:
    """Refuse for this reason unless the condition holds."""
    if not holds:
        raise Refused(reason, why)


class _Reader:
    """Walks the bytes once, from the first to the last, and refuses at the first violation."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def take(self, count: int) -> bytes:
        need(count <= len(self.data) - self.at, "truncated")
        self.at += count
        return self.data[self.at - count:self.at]

    def head(self) -> tuple[int, int]:
        first = self.take(1)[0]
        major, info = first >> 5, first & 31
        if major == 7:
            need(info in (20, 21, 22), "malformed", "a float, or a simple value that is none of false, true, null")
            return major, info
        need(info != 31, "indefinite-length")
        need(info < 28, "malformed", "reserved additional information")
        if info < 24:
            return major, info
        value = int.from_bytes(self.take(1 << (info - 24)), "big")
        need(value >= (24, 2**8, 2**16, 2**32)[info - 24], "non-canonical", "an integer not in its shortest form")
        return major, value

    def item(self, depth: int) -> Any:
        need(depth <= MAX_DEPTH, "too-deep")
        major, value = self.head()
        if major in (4, 5):
            need(value <= MAX_ENTRIES, "list-too-long")
        match major:
            case 0: return value
            case 1: return -1 - value
            case 2: return self.take(value)
            case 3:
                try:
                    return self.take(value).decode("utf-8")
                except UnicodeDecodeError:
                    raise Refused("malformed", "a text that is not UTF-8") from None
            case 4: return [self.item(depth + 1) for _ in range(value)]
            case 5: return self.map(value, depth)
            case 6:
                need(value not in (2, 3), "non-canonical", "a big number")
                return CBORTag(value, self.item(depth + 1))
        return {20: False, 21: True, 22: None}[value]

    def map(self, count: int, depth: int) -> dict[int | str, Any]:
        entries: dict[int | str, Any] = {}
        before = b""
        for _ in range(count):
            start = self.at
            need(start < len(self.data), "truncated")
            need(self.data[start] >> 5 in (0, 1, 3), "malformed", "a key that is neither integer nor text")
            key = self.item(depth)
            encoded = self.data[start:self.at]
            need(encoded != before, "duplicate-key")
            need(encoded > before, "non-canonical", "keys out of order")
            before = encoded
            entries[key] = self.item(depth + 1)
        return entries


def decode(data: bytes) -> Any:
    """Section 2: the value of one item in strict form. Maps keep the order of their keys."""
    reader = _Reader(data)
    value = reader.item(0)
    need(reader.at == len(data), "trailing-bytes")
    return value


# Checks of structures. Each refuses as `malformed`; strict form already puts map keys in the one order there is.

def integer(low: int = 0, high: int = U64) -> Check:
    return lambda v: need(type(v) is int and low <= v <= high, "malformed", f"no integer from {low} to {high}")


def raw(low: int = 0, high: int | None = None) -> Check:
    """A byte string of low to high bytes; no high: no limit."""
    return lambda v: need(type(v) is bytes and low <= len(v) and (high is None or len(v) <= high), "malformed",
                          f"no byte string of {low} to {high} bytes")


def text(low: int = 0, high: int | None = None, pattern: str | None = None) -> Check:
    """A text whose UTF-8 has low to high bytes."""
    def check(v: Any) -> None:
        need(type(v) is str, "malformed", "no text")
        need(low <= len(v.encode()) and (high is None or len(v.encode()) <= high), "malformed", "a text's length")
        need(pattern is None or re.fullmatch(pattern, v), "malformed", f"a text not of the form {pattern}")
    return check


def flag(v: Any) -> None:
    need(type(v) is bool, "malformed", "neither true nor false")


def array(item: Check, low: int = 0, high: int = MAX_ENTRIES) -> Check:
    def check(v: Any) -> None:
        need(type(v) is list and low <= len(v) <= high, "malformed", f"no list of {low} to {high}")
        for entry in v:
            item(entry)
    return check


def row(*items: Check) -> Check:
    """An array with a given item at each place."""
    def check(v: Any) -> None:
        need(type(v) is list and len(v) == len(items), "malformed", f"no list of {len(items)}")
        for one, entry in zip(items, v):
            one(entry)
    return check


def table(required: dict[int, Check], optional: dict[int, Check] | None = None, closed: bool = True) -> Check:
    """A map with these entries; when closed, no others."""
    known = required | (optional or {})

    def check(v: Any) -> None:
        need(type(v) is dict and required.keys() <= v.keys(), "malformed", "an entry is missing, or no map")
        for key in sorted(known.keys() & v.keys()):
            known[key](v[key])
        need(not closed or v.keys() <= known.keys(), "malformed", "an entry too many")
    return check


def ascends(values: list[Any]) -> bool:
    """Whether each value is greater than the one before. UTF-8 texts order as their characters do."""
    return all(a < b for a, b in zip(values, values[1:]))


NAME = text(pattern="[a-z0-9][a-z0-9-]{0,38}[a-z0-9]")
HASH, KEY_ID = raw(32, 32), raw(16, 16)
