"""Records, the bodies of their kinds, the register and key sets (docs/protocol.md, sections 5, 6, 10 and 11)."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from typing import Any, Callable

import cbor2

from keys import key_id, sha256, signed, small_order, xwing_valid
from strict import HASH, KEY_ID, NAME, U64, Check, Refused, array, ascends, decode, flag, integer, need, raw, row, table, text

TLP = ["CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"]
ABOUT, ATTACHES, RETRACTS, CORRECTS, ANSWERS = range(5)
RELATIONS = ["about", "attaches", "retracts", "corrects", "answers"]
ANSWER_KEPT = 2
# The Unicode property White_Space; Python's own strip takes off four characters more.
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"

def _header(closed: bool) -> Check:
    """Section 5.1. The open form judges types only (step 5 of section 5.2), the closed one the whole (step 7)."""
    handling = table({1: integer(0, 4)}, {2: array(integer(0, 3)), 3: array(text()), 4: flag, 5: text()}, closed)
    references = array(row(integer(0, 4), HASH), int(closed))
    private = table({1: text(), 2: array(NAME), 3: HASH, 4: handling}, {5: references, 6: integer()}, closed)
    claims = table({1: NAME, 2: text(pattern="[0-9a-f]{32}"), 6: integer()}, None, closed)
    return table({1: integer(-19, -19) if closed else lambda v: None, 3: text(pattern="application/cbor"),
                  4: KEY_ID, 15: claims, -70001: private}, None, closed)

@dataclass(frozen=True)
class Record:
    """Section 5: a record in form, whose signature is not yet checked."""
    id: bytes
    author: str
    thread: str
    signed_at: int
    kid: bytes
    kind: str
    audience: list[str]
    register: bytes
    handling: dict[int, Any]
    references: list[list[Any]]
    expires: int | None
    body: bytes
    message: bytes      # what the signature is over
    signature: bytes

    def signed_by(self, public: bytes) -> bool:
        return signed(public, self.signature, self.message)

    def refers(self, relation: int) -> list[bytes]:
        return [record for found, record in self.references if found == relation]

    def handling_json(self) -> dict[str, Any]:
        """Section 14.2, `handling`."""
        names = {2: "codes", 3: "purposes", 4: "orcon", 5: "caveat"}
        rest = {names[k]: [f"H{code}" for code in v] if k == 2 else v for k, v in self.handling.items() if k in names}
        return {"tlp": TLP[self.handling[1]]} | rest

def read_record(data: bytes) -> Record:
    """Section 5.2, steps 1 to 8."""
    need(len(data) <= 262_144, "oversize")
    message = decode(data)
    need(type(message) is cbor2.CBORTag and message.tag == 18, "malformed", "not tag 18")
    row(raw(), table({}), raw(), raw())(message.value)
    protected, _, body, signature = message.value
    need(len(protected) <= 16_384, "oversize", "the header")
    header = decode(protected)
    need(type(header) is dict and header and next(iter(header)) == 1, "malformed", "no algorithm first")
    need(type(header[1]) is str or type(header[1]) is int and -2**63 <= header[1] < 2**63, "malformed", "the algorithm")
    need(header[1] == -19, "unknown-algorithm", str(header[1]))
    _header(closed=False)(header)
    claims, private = header[15], header[-70001]
    references = private.get(5, [])
    need(len(private[2]) <= 256 and len(references) <= 64, "list-too-long")
    for values, what in ((private[2], "audience"), (references, "references"), (private[4].get(2, []), "codes")):
        need(ascends(values), "malformed", f"{what} not ascending")
    _header(closed=True)(header)
    need(private[2], "empty-audience")
    need(len(signature) == 64, "malformed", "the signature's length")
    return Record(sha256(data), claims[1], claims[2], claims[6], header[4], private[1], private[2], private[3], private[4],
                  references, private.get(6), body, cbor2.dumps(["Signature1", protected, b"", body]), signature)

def check_signature(record: Record, keys: list[dict[str, Any]], now: int, relay_max_s: int) -> None:
    """Section 5.2, steps 9 to 11."""
    key = next((k for k in keys if k["agency"] == record.author and key_id(k["key"]) == record.kid), None)
    need(key, "unknown-key", record.kid.hex())
    need(record.signed_by(key["key"]), "wrong-signature")
    need(key["revoked"] is None, "key-revoked")
    need(key["from"] <= record.signed_at, "key-not-yet-valid")
    need(record.signed_at <= key["until"] and now <= key["until"] + relay_max_s, "key-expired")

def _public(v: Any) -> None:
    HASH(v)
    need(not small_order(v), "malformed", "a key of small order")

def _rule(check: Check, *rules: tuple[Callable[[Any], Any], str]) -> Check:
    """A structure, and then the rules that its parts keep among themselves."""
    def both(v: Any) -> None:
        check(v)
        for holds, why in rules:
            need(holds(v), "malformed", why)
    return both

def _identifier(v: dict[int, Any]) -> bool:
    """Section 6.1: an identifier's value, without White_Space around it."""
    value = v[2].strip(WHITE_SPACE)
    if v[1] == 0:
        digits = re.fullmatch("[0-9]{7}", value) and [int(digit) for digit in value]
        return bool(digits) and sum(d * f for d, f in zip(digits, range(7, 1, -1))) % 10 == digits[6]
    pattern = {1: "[0-9]{9}", 2: "[0-9a-fA-F]{6}"}.get(v[1])
    return bool(re.fullmatch(pattern, value)) if pattern else 1 <= len(value.encode()) <= 400

_EVALUATIONS = {"4x4": ("ABCX", "1234"), "admiralty": ("ABCDEF", "123456"), "3x5x2": ("123", "ABCDE")}

def _evaluation(v: dict[int, Any]) -> bool:
    """Section 6.1: the codes that a system of evaluation takes."""
    if v[1] in _EVALUATIONS:
        return all(len(v[key]) == 1 and v[key] in codes for key, codes in zip((2, 3), _EVALUATIONS[v[1]]))
    return 1 <= len(v[1].encode()) <= 20 and all(len(v[key].encode()) <= 20 for key in (2, 3))

def _plain(v: str) -> bool:
    return not any(unicodedata.category(character) == "Cc" for character in v)

_I64 = integer(-2**63, 2**63 - 1)
_IDENTIFIER = _rule(table({1: integer(0, 12), 2: text()}), (_identifier, "an identifier"))
_PLACE = _rule(table({}, {1: integer(-900000000, 900000000), 2: integer(-1800000000, 1800000000), 3: text()}),
               (lambda v: (1 in v) == (2 in v) and (1 in v or 1 <= len(v.get(3, "").encode()) <= 400), "a place"))
_REPORT = _rule(table({1: integer(0, 4), 2: text(0, 400), 3: text(0, 131_072)}, {
    4: array(table({1: integer(0, 13)}, {2: text(), 3: array(_IDENTIFIER), 4: text()}), 0, 256), 5: _PLACE,
    6: _rule(table({1: _I64}, {2: _I64}), (lambda v: v.get(2, v[1]) >= v[1], "a period")),
    7: _rule(table({1: text(), 2: text(), 3: text()}), (_evaluation, "an evaluation")),
    8: text(2, 35), 9: text(0, 400)}), (lambda v: v[2].strip(WHITE_SPACE), "a blank title"))
_ATTACHMENT = _rule(table({1: text(1, 255), 2: text(3, 127), 3: integer(0, 2**31), 4: HASH, 5: HASH, 6: raw()}),
    (lambda v: _plain(v[1]) and not set("/\\") & set(v[1]) and v[1] not in (".", ".."), "a file name"),
    (lambda v: _plain(v[2]), "a media type"), (lambda v: len(v[6]) == 32 * max(1, -(-v[3] // 2**20)), "the chunks"))
_ANSWER = _rule(table({1: integer(0, 4), 3: integer()}, {2: text(0, 2000)}),
                (lambda v: v[1] != ANSWER_KEPT or v.get(2, "").strip(WHITE_SPACE), "kept without why"))

def _rejected(v: Any) -> None:
    if v is not None:
        text(1, 60)(v)

_RECEIPT = _rule(table({1: integer(), 2: text(), 3: array(row(integer(), HASH, _rejected, integer(), integer(), KEY_ID), 1, 512)}),
                 (lambda v: ascends([entry[0] for entry in v[3]]), "positions not ascending"))
_SIGNING = _rule(table({1: _public, 2: integer(), 3: integer()}, {4: integer()}), (lambda v: v[2] <= v[3], "a key's time"))
_SEALING = _rule(table({1: integer(0, 255), 2: raw(), 3: integer(), 4: integer()}), (lambda v: v[3] <= v[4], "a key's time"),
                 (lambda v: v[1] != 1 or xwing_valid(v[2]), "an X-Wing key"))
_KEY_SET = table({1: integer(), 2: array(_SIGNING, 1, 1024), 3: array(_SEALING, 1, 16), 4: text(), 5: _public, 6: _public})
_ALARM = table({1: NAME, 2: integer(0, 2), 3: text(0, 16_384), 4: text(0, 16_384)})

def _version(sound: bool) -> Check:
    """Section 6.7: a version's types, sizes of hashes and keys and forms of names; when sound, every range too."""
    title, some = (text(1, 200), 1) if sound else (text(), 0)
    def number(low: int = 0, high: int = U64) -> Check:
        return integer(low, high) if sound else integer()
    return table({1: title, 2: number(1), 4: integer(), 5: integer(), 6: integer(),
                  7: array(table({1: NAME, 2: title, 3: NAME}), some),
                  8: array(table({1: NAME, 2: NAME, 3: title, 4: HASH, 5: title, 6: flag}, {7: integer()}), some),
                  9: array(table({1: NAME, 2: title, 3: array(NAME), 4: text()})),
                  10: table({1: integer(), 2: number(1, 86_400), 3: number(60)})}, {3: HASH})

def _sound(v: dict[int, Any]) -> None:
    """Section 6.7: the rules of a register version."""
    _version(sound=True)(v)
    parties, agencies = {party[1] for party in v[7]}, {agency[1]: agency for agency in v[8]}
    def speaks(party: dict[int, Any]) -> bool:
        agency = agencies.get(party[3], {})
        return agency.get(2) == party[1] and 7 not in agency
    for holds, why in (
            ((3 in v) == (v[2] > 1), "the hash of the version before"), (v[5] > v[4], "renewed before drawn up"),
            (1 <= v[6] <= len(parties), "the threshold"),
            (all(ascends([entry[1] for entry in v[key]]) for key in (7, 8, 9)), "ids not ascending"),
            (all(map(speaks, v[7])), "a speaker"), (all(7 in a or a[2] in parties for a in v[8]), "an agency's party"),
            (not any(small_order(a[4]) for a in v[8]), "a key of small order"),
            (len({a[4] for a in v[8]}) == len(v[8]), "an identity key twice"),
            (all(ascends(f[3]) and parties.issuperset(f[3]) for f in v[9]), "a forum's members")):
        need(holds, "malformed", why)

# What the header must have besides: the relation by which it refers once.
_KINDS: dict[str, tuple[Check, int | None]] = {
    "report": (_REPORT, None), "attachment": (_ATTACHMENT, None), "retraction": (table({1: text(0, 2000)}), RETRACTS),
    "correction": (table({1: text(0, 2000), 2: _REPORT}), CORRECTS), "answer": (_ANSWER, ANSWERS),
    "receipt": (_RECEIPT, None), "key-set": (_KEY_SET, None), "register-version": (_sound, None),
    "register-approval": (table({1: integer(1), 2: HASH}), None), "witness-alarm": (_ALARM, None)}

def understood(kind: str) -> bool:
    return kind in _KINDS

def body_of_kind(record: Record) -> Any:
    """Section 6: the body, in strict form and that of its kind; for a kind not known, in strict form."""
    try:
        body = decode(record.body)
        if not understood(record.kind):
            need(re.fullmatch("[a-z0-9/.-]{1,60}", record.kind), "malformed", "the kind's name")
            return body
        check, relation = _KINDS[record.kind]
        check(body)
        need(relation is None or len(record.refers(relation)) == 1, "malformed", "must refer once")
        need(record.kind != "receipt" or len(record.audience) == 1, "malformed", "a receipt to other than one")
        if record.kind in ("receipt", "key-set"):
            origin = body[2 if record.kind == "receipt" else 4]
            epoch = re.fullmatch(f"mufakat/{record.author}/(0|[1-9][0-9]{{0,19}})", origin)
            need(epoch and int(epoch[1]) <= U64, "malformed", "not an origin of the author's own")
        return body
    except Refused as refused:
        raise Refused("body-not-of-kind", str(refused)) from None

def verify_version(data: bytes, approvals: list[bytes], before: bytes | None) -> dict[int, Any]:
    """Section 10, steps 1 to 4: a version that follows from the one before (its encoded body), or founds a register."""
    version = decode(data)
    _version(sound=False)(version)
    last = decode(before) if before is not None else None
    need(last is None or version[2] > last[2], "stale", f"version {version[2]}")
    try:
        _sound(version)
    except Refused as refused:
        raise Refused("bad-register", str(refused)) from None
    agencies = {agency[1]: agency for agency in version[8]}
    if last is None:
        need(version[2] == 1 and not any(7 in agency for agency in version[8]), "bad-register", "no founding version")
    else:
        need(version[2] == last[2] + 1 and version[3] == sha256(before or b"") and version[1] == last[1]
             and version[4] >= last[4], "bad-register", "does not follow from the version before")
        need(all(a[1] in agencies and (7 not in a or agencies[a[1]] == a) for a in last[8]), "bad-register",
             "an agency forgotten, or a removal changed")
    base = last or version
    speakers, identities = {party[3]: party[1] for party in base[7]}, {agency[1]: agency[4] for agency in base[8]}
    approved = set()
    for approval in map(read_record, approvals):
        need(approval.author in speakers, "author-not-in-register", approval.author)
        identity = identities[approval.author]
        need(approval.kid == key_id(identity), "unknown-key", "not the identity key")
        need(approval.signed_by(identity), "wrong-signature")
        need(approval.kind == "register-approval", "body-not-of-kind", approval.kind)
        need(body_of_kind(approval) == {1: version[2], 2: sha256(data)}, "bad-register", "an approval of another version")
        approved.add(speakers[approval.author])
    need(len(approved) >= (len(version[7]) if last is None else last[6]), "too-few-approvals", f"{len(approved)}")
    return version

def read_key_set(record: Record, version: dict[int, Any]) -> dict[int, Any]:
    """Section 11: the key set in a record, under a version of the register."""
    agency = next((agency for agency in version[8] if agency[1] == record.author), None)
    need(agency, "author-not-in-register", record.author)
    need(record.kid == key_id(agency[4]), "unknown-key", "not the identity key")
    need(record.signed_by(agency[4]), "wrong-signature")
    need(record.kind == "key-set", "body-not-of-kind", record.kind)
    return body_of_kind(record)
