"""Strict CBOR (docs/protocol.md, section 2), and checks of decoded values against the document's CDDL."""
import re
from contextlib import contextmanager
from typing import Any, Callable, Iterator
from cbor2 import CBORTag

U64, MAX_ENTRIES, MAX_DEPTH = 2**64 - 1, 4096, 12
Check = Callable[[Any], Any]

class Refused(Exception):
    """A message is refused: `reason` is a name of section 15 (for evidence, a part of section 14.1), `why` says what was found."""
    def __init__(self, reason: str, why: str = "") -> None:
        super().__init__(f"{reason}: {why}" if why else reason)
        self.reason, self.why = reason, why
def need(holds: Any, reason: str, why: str = "") -> None:
    if not holds:
        raise Refused(reason, why)
@contextmanager
def refused_as(reason: str, *errors: type[Exception]) -> Iterator[None]:
    """What goes wrong within (a refusal, unless other errors are named) refuses for this reason."""
    try:
        yield
    except errors or Refused as error:
        raise Refused(reason, str(error)) from None

def decode(data: bytes) -> Any:
    """Section 2: the value of one item in strict form, read from the first byte to the last. Maps keep the order of their keys."""
    at = 0
    def take(count: int) -> bytes:
        nonlocal at
        need(count <= len(data) - at, "truncated")
        at += count
        return data[at - count:at]
    def head() -> tuple[int, int]:
        major, info = divmod(take(1)[0], 32)
        need(major != 7 or info in (20, 21, 22), "malformed", "a float, or a simple value that is none of false, true, null")
        need(info < 28, "indefinite-length" if info == 31 else "malformed", "additional information")
        value = info if info < 24 else int.from_bytes(take(1 << info - 24), "big")
        need(info < 24 or value >= (24, 2**8, 2**16, 2**32)[info - 24], "non-canonical", "an integer not in its shortest form")
        return major, value
    def item(depth: int) -> Any:
        need(depth <= MAX_DEPTH, "too-deep")
        major, value = head()
        need(major not in (4, 5) or value <= MAX_ENTRIES, "list-too-long")
        need(major != 6 or value not in (2, 3), "non-canonical", "a big number")
        match major:
            case 0 | 1: return value if major == 0 else -1 - value
            case 2 | 3: return take(value) if major == 2 else take(value).decode()
            case 4: return [item(depth + 1) for _ in range(value)]
            case 5: return entries(value, depth)
            case 6: return CBORTag(value, item(depth + 1))
        return {20: False, 21: True, 22: None}[value]
    def entries(count: int, depth: int) -> dict[int | str, Any]:
        found, before = {}, b""
        for _ in range(count):
            start = at
            need(at == len(data) or data[at] >> 5 in (0, 1, 3), "malformed", "a key that is neither integer nor text")
            key = item(depth)
            encoded = data[start:at]
            need(encoded > before, "duplicate-key" if encoded == before else "non-canonical", "keys not ascending")
            before, found[key] = encoded, item(depth + 1)
        return found
    with refused_as("malformed", UnicodeDecodeError):
        value = item(0)
    need(at == len(data), "trailing-bytes")
    return value

# Checks of structures: each refuses as `malformed`, and what it returns means nothing. Strict form already puts map keys in the one order there is.
def integer(low: int = 0, high: int = U64) -> Check:
    return lambda v: need(type(v) is int and low <= v <= high, "malformed", f"no integer from {low} to {high}")
def raw(low: int = 0, high: int = 2**32) -> Check:
    return lambda v: need(type(v) is bytes and low <= len(v) <= high, "malformed", f"no byte string of {low} to {high} bytes")
def text(low: int = 0, high: int = 2**32, pattern: str = "(?s:.*)") -> Check:
    """A text whose UTF-8 has low to high bytes."""
    return lambda v: need(type(v) is str and low <= len(v.encode()) <= high and re.fullmatch(pattern, v), "malformed",
                          f"no text of {low} to {high} bytes and the form {pattern}")
def array(item: Check, low: int = 0, high: int = MAX_ENTRIES) -> Check:
    return lambda v: need(type(v) is list and low <= len(v) <= high, "malformed", f"no list of {low} to {high}") or [item(entry) for entry in v]
def row(*items: Check) -> Check:
    return lambda v: need(type(v) is list and len(v) == len(items), "malformed", f"no list of {len(items)}") or [
        item(entry) for item, entry in zip(items, v)]
def table(required: dict[int, Check], optional: dict[int, Check] = {}, closed: bool = True) -> Check:
    """A map with these entries; when closed, no others."""
    known = required | optional
    return lambda v: need(type(v) is dict and required.keys() <= v.keys(), "malformed", "an entry is missing, or no map") or need(
        not closed or v.keys() <= known.keys(), "malformed", "an entry too many") or [known[key](v[key]) for key in known.keys() & v.keys()]
def ruled(check: Check, *rules: Any) -> Check:
    """A structure, and then the rules that its parts keep among themselves: each a function, and what is wrong when it fails."""
    return lambda v: [check(v)] + [need(holds(v), "malformed", why) for holds, why in zip(rules[::2], rules[1::2])]
def ascends(values: list[Any]) -> bool:
    """Whether each value is greater than the one before. Python orders texts as the bytes of their UTF-8 are ordered."""
    return all(a < b for a, b in zip(values, values[1:]))
NAME, HASH, KEY_ID, FLAG = text(pattern="[a-z0-9][a-z0-9-]{0,38}[a-z0-9]"), raw(32, 32), raw(16, 16), lambda v: need(type(v) is bool, "malformed", "no bool")
