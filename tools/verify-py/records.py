"""Records, the bodies of their kinds, the register and key sets (docs/protocol.md, sections 5, 6, 10 and 11)."""
import re
from typing import Any
import cbor2
from keys import key_id, sha256, signed, small_order, xwing_valid
from strict import FLAG, HASH, KEY_ID, NAME, U64, Check, array, ascends, decode, integer, need, raw, refused_as, row, ruled, table, text

TLP, RELATIONS = ["CLEAR", "GREEN", "AMBER", "AMBER+STRICT", "RED"], ["about", "attaches", "retracts", "corrects", "answers"]
# The Unicode property White_Space; Python's own strip takes off four characters more.
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
def _header(closed: bool) -> Check:
    """Section 5.1. The open form judges types only (step 5 of section 5.2), the closed one the whole (step 7)."""
    some, top = int(closed), lambda most: most if closed else 2**32
    said = lambda most: ruled(text(0, top(most)), lambda v: not closed or v.strip(WHITE_SPACE), "blank")
    handling = table({1: integer(0, 4)}, {2: array(integer(0, 3), some), 3: array(said(100), some, top(16)), 4: FLAG, 5: said(2000),
                     6: array(row(NAME, NAME), some, top(64)), 7: integer()}, closed)
    private = table({1: text(), 2: array(NAME), 3: HASH, 4: handling}, {5: array(row(integer(0, 4), HASH), int(closed)), 6: integer()}, closed)
    claims = table({1: NAME, 2: text(pattern="[0-9a-f]{32}"), 6: integer()}, {}, closed)
    return table({1: integer(-19, -19), 3: text(pattern="application/cbor"), 4: KEY_ID, 15: claims, -70001: private}, {}, closed)

class Record:
    """Section 5.2, steps 1 to 8: a record in form, whose signature is not yet checked."""
    def __init__(self, data: bytes) -> None:
        need(len(data) <= 262_144, "oversize")
        need(type(message := decode(data)) is cbor2.CBORTag and message.tag == 18, "malformed", "not tag 18")
        row(raw(), table({}), raw(), raw())(message.value)
        protected, _, self.body, self.signature = message.value
        need(len(protected) <= 16_384, "oversize", "the header")
        need(type(header := decode(protected)) is dict and next(iter(header), None) == 1, "malformed", "no algorithm first")
        need(type(header[1]) is str or type(header[1]) is int and -2**63 <= header[1] < 2**63, "malformed", "the algorithm")
        need(header[1] == -19, "unknown-algorithm", str(header[1]))
        _header(closed=False)(header)
        claims, private = header[15], header[-70001]
        self.id, self.kid, self.author, self.thread, self.signed_at = sha256(data), header[4], claims[1], claims[2], claims[6]
        self.kind, self.audience, self.register, self.handling = (private[key] for key in (1, 2, 3, 4))
        self.references, self.expires = private.get(5, []), private.get(6)
        need(len(self.audience) <= 256 and len(self.references) <= 64, "list-too-long")
        need(ascends(self.audience) and ascends(self.references) and all(ascends(self.handling.get(key, [])) for key in (2, 6)), "malformed", "a list not ascending")
        _header(closed=True)(header)
        need(self.audience, "empty-audience")
        need(len(self.signature) == 64, "malformed", "the signature's length")
        self.signed = cbor2.dumps(["Signature1", protected, b"", self.body])
    def need_signed_by(self, public: bytes) -> None:
        need(signed(public, self.signature, self.signed), "wrong-signature")
    def refers(self, relation: str) -> list[bytes]:
        return [record for found, record in self.references if RELATIONS[found] == relation]
    def handling_json(self) -> dict[str, Any]:
        """Section 14.2, `handling`."""
        said = {name: self.handling[key] for key, name in enumerate(("codes", "purposes", "orcon", "caveat", "eyes", "review"), 2) if key in self.handling}
        lists = {"codes": lambda code: f"H{code}", "eyes": lambda eyes: {"agency": eyes[0], "officer": eyes[1]}}
        return {"tlp": TLP[self.handling[1]]} | said | {name: [*map(lists[name], said[name])] for name in lists.keys() & said.keys()}
def check_signature(record: Record, keys: list[dict[str, Any]], now: int, relay_max_s: int) -> None:
    """Section 5.2, steps 9 to 11, at the time `now`."""
    key = next((key for key in keys if key["agency"] == record.author and key_id(key["key"]) == record.kid), None)
    need(key, "unknown-key", record.kid.hex())
    record.need_signed_by(key["key"])
    need(key["revoked"] is None, "key-revoked")
    need(key["from"] <= record.signed_at, "key-not-yet-valid")
    need(max(record.signed_at, now - relay_max_s) <= key["until"], "key-expired")

# Section 6: the structures of the known kinds and their rules. Section 4: a public key where it is introduced.
PUBLIC_KEY = ruled(HASH, lambda v: not small_order(v), "a key of small order")
def _identifier(v: dict[int, Any]) -> Any:
    value, pattern = v[2].strip(WHITE_SPACE), {0: f"([iI][mM][oO][{WHITE_SPACE}]*)?[0-9]{{7}}", 1: "[0-9]{9}", 2: "[0-9a-fA-F]{6}"}.get(v[1], "(?s:.+)")
    return re.fullmatch(pattern, value) and len(value.encode()) <= 400 and (v[1] != 0 or sum(int(value[n - 7]) * (7 - n) for n in range(6)) % 10 == int(value[-1]))
def _evaluation(v: dict[int, Any]) -> Any:
    pattern = {"4x4": "[ABCX] [1-4]", "admiralty": "[A-F] [1-6]", "3x5x2": "[1-3] [A-E]"}.get(v[1])
    return re.fullmatch(pattern, f"{v[2]} {v[3]}") if pattern else 1 <= len(v[1].encode()) <= 20 and all(len(v[key].encode()) <= 20 for key in (2, 3))
_IDENTIFIER = ruled(table({1: integer(0, 12), 2: text()}), _identifier, "an identifier")
_PLACE = ruled(table({}, {1: integer(-900000000, 900000000), 2: integer(-1800000000, 1800000000), 3: text()}),
               lambda v: (1 in v) == (2 in v) and (1 in v or 1 <= len(v.get(3, "").encode()) <= 400), "a place")
_PERIOD = ruled(table({1: integer(-2**63, 2**63 - 1)}, {2: integer(-2**63, 2**63 - 1)}), lambda v: v.get(2, v[1]) >= v[1], "a period")
_EVALUATION = ruled(table({1: text(), 2: text(), 3: text()}), _evaluation, "an evaluation")
_ENTITY = table({1: integer(0, 13)}, {2: text(), 3: array(_IDENTIFIER), 4: text()})
_REPORT = ruled(table({1: integer(0, 5), 2: text(0, 400), 3: text(0, 131_072)}, {4: array(_ENTITY, 0, 256), 5: _PLACE, 6: _PERIOD, 7: _EVALUATION,
                8: text(2, 35), 9: text(0, 400)}), lambda v: v[2].strip(WHITE_SPACE), "a blank title")
_ATTACHMENT = ruled(table({1: text(1, 255), 2: text(3, 127), 3: integer(0, 2**31), 4: HASH, 5: HASH, 6: raw()}),
                    lambda v: not re.search("[\0-\x1f\x7f-\x9f]", v[1] + v[2]) and not re.fullmatch(r"(?s:.*[/\\].*)|\.\.?", v[1]), "a file name or media type",
                    lambda v: len(v[6]) == 32 * max(1, -(-v[3] // 2**20)), "the number of chunks")
_ANSWER = ruled(table({1: integer(0, 4), 3: integer()}, {2: text(0, 2000)}), lambda v: v[1] != 2 or v.get(2, "").strip(WHITE_SPACE), "kept without why")
_ENTRY = row(integer(), HASH, lambda v: v is None or text(1, 60)(v), integer(), integer(), KEY_ID)
_RECEIPT = ruled(table({1: integer(), 2: text(), 3: array(_ENTRY, 1, 512)}), lambda v: ascends([entry[0] for entry in v[3]]), "positions not ascending")
_SIGNING = ruled(table({1: PUBLIC_KEY, 2: integer(), 3: integer()}, {4: integer()}), lambda v: v[2] <= v[3], "a key's time")
_SEALING = ruled(table({1: integer(0, 255), 2: raw(), 3: integer(), 4: integer()}),
                 lambda v: v[3] <= v[4] and (v[1] != 1 or xwing_valid(v[2])), "a key's time, or an X-Wing key")
_KEY_SET = ruled(table({1: integer(), 2: array(_SIGNING, 1, 1024), 3: array(_SEALING, 1, 16), 4: text(), 5: PUBLIC_KEY, 6: PUBLIC_KEY}),
                 lambda v: len({key[1] for key in v[2]}) == len(v[2]), "a signing key twice")
def _version(sound: bool) -> Check:
    """Section 6.7: a version's types, sizes of hashes and keys and forms of names; when sound, every range too."""
    title, some, top, number = text(int(sound), 200 if sound else 2**32), int(sound), 86_400 if sound else U64, integer()
    party, forum = table({1: NAME, 2: title, 3: NAME}), table({1: NAME, 2: title, 3: array(NAME), 4: text()})
    agency = table({1: NAME, 2: NAME, 3: title, 4: HASH, 5: title, 6: FLAG}, {7: integer()})
    lists, rules = {7: array(party, some), 8: array(agency, some), 9: array(forum)}, table({1: number, 2: integer(some, top), 3: integer(60 * some)})
    return table({1: title, 2: integer(some), 4: number, 5: number, 6: number, 10: rules} | lists, {3: HASH})
_ids: Check = lambda v: [entry[1] for entry in v]
_SOUND = ruled(_version(sound=True), lambda v: (3 in v) == (v[2] > 1), "the hash of the version before", lambda v: v[5] > v[4], "to be renewed too early",
    lambda v: 1 <= v[6] <= len(v[7]), "the threshold", lambda v: all(ascends(_ids(v[key])) for key in (7, 8, 9)), "ids not ascending",
    lambda v: {(party[3], party[1]) for party in v[7]} <= {(agency[1], agency[2]) for agency in v[8] if 7 not in agency}, "a speaker",
    lambda v: {agency[2] for agency in v[8] if 7 not in agency} <= set(_ids(v[7])), "an agency's party",
    lambda v: not any(small_order(agency[4]) for agency in v[8]), "a key of small order",
    lambda v: len({agency[4] for agency in v[8]}) == len(v[8]), "an identity key twice",
    lambda v: all(ascends(forum[3]) and set(forum[3]) <= set(_ids(v[7])) for forum in v[9]), "a forum's members")
_USE = ruled(table({1: HASH, 2: integer(0, 3), 5: integer(1), 6: integer(), 7: integer()}, {3: integer(0, 8), 4: text(1, 200)}), lambda v: v[6] <= v[7], "a use's times")
_USES = ruled(table({1: text(), 2: integer(), 3: integer(), 4: array(_USE, 1, 1024)}), lambda v: v[2] < v[3], "no leaves",
              lambda v: ascends([(use[1], use[2], use.get(3, -1), use.get(4, "")) for use in v[4]]), "uses not ascending")
def _said(high: int) -> Check:
    return ruled(text(0, high), lambda v: v.strip(WHITE_SPACE), "blank")
_SHORT, _BY, _ENTITIES = _said(4000), table({1: integer(0, 8)}, {2: NAME}), array(_ENTITY, 0, 256)
_REQUEST = ruled(table({1: _BY, 2: _said(400), 3: _said(131_072), 11: text(2, 35), 13: FLAG} | dict.fromkeys((4, 5, 6, 7, 8, 12), _SHORT),
                 {9: table({1: integer(0, 3), 2: FLAG}), 10: _SHORT, 14: _ENTITIES, 15: array(NAME, 1, 8), 16: integer(0, 2)}),
                 lambda v: 15 not in v or 16 not in v and ascends(v[15]), "copies out of order, or why there are none beside them")
_WAIT, _PART = table({0: integer(), 1: _SHORT}), table({1: _SHORT, 2: integer(0, 7), 3: _SHORT})
_STEPS = [table({0: text(1, 64, "[A-Za-z0-9_+-][A-Za-z0-9/_+-]*")}, {1: integer(1)}), table({0: _SHORT}), table({0: _SHORT}), table({0: _SHORT}), _WAIT, _WAIT,
          table({0: _said(131_072), 3: FLAG}, {1: _ENTITIES, 2: array(_PART, 1, 64)}),
          ruled(table({0: array(integer(0, 7), 1), 1: _SHORT}), lambda v: ascends(v[0]), "grounds not ascending"),
          table({0: _SHORT}), table({0: _SHORT, 1: FLAG}), table({0: _SHORT}), table({})]
_STEP = ruled(table({1: integer(), 3: lambda v: row(integer(0, 11), lambda step: _STEPS[v[0]](step))(v)}, {2: _BY}),
              lambda v: 2 in v or v[3][0] == 0, "by nobody", lambda v: v[3][0] not in (4, 5) or 0 < v[3][1][0] - v[1] // 1000 <= 366 * 86_400, "no time to wait")
_ONWARD, _RETRACTION = table({1: raw(0, 221_184)}, {2: raw(), 3: text(0, 2000)}), table({1: text(0, 2000)}, {2: raw(0, 262_143)})
_PERMISSION = ruled(table({1: FLAG}, {2: array(NAME, 1, 64), 3: text(0, 2000)}), lambda v: ascends(v.get(2, [])), "agencies not ascending")
_DELETION = table({1: integer(0, 3), 2: integer(), 3: integer(1), 4: integer()}, {5: NAME})
_SUBJECT = text(pattern="imo|mmsi|icao24|passport|phone|iban|wallet|number-plate|email|url|call-sign|serial-number|name")
_SIZES, _OUTCOMES = (16, 64, 256, 1024), [table({1: raw(), 2: raw(64, 64)}), table({1: text(1, 60, "[a-z0-9-]+")})]
_MATCHING = {"match-key": ruled(table({1: _SUBJECT, 2: integer(0, 2**32 - 1), 3: HASH, 4: integer(), 5: integer()}), lambda v: 0 < v[5] - v[4] <= 500 * 86_400, "no time"),
    "match-filter": table({1: integer(0, 60), 2: integer(1, 2**24), 3: HASH}),
    "match-question": ruled(table({1: _BY, 2: HASH, 3: _said(400), 4: integer(1, 1024), 5: HASH, 6: raw()}),
                            lambda v: len(v[6]) == 32 * next(size for size in _SIZES if v[4] <= size), "padded otherwise"),
    "match-answer": ruled(table({1: lambda v: row(integer(0, 1), lambda outcome: _OUTCOMES[v[0]](outcome))(v)}),
                          lambda v: v[1][0] or len(v[1][1][1]) in [32 * size for size in _SIZES], "no number of elements that a question has")}
HOME = {*"approval credential deletion-order draft draft-step escalation hold hold-lifted officer policy-set revocation saved-search match-ask match-sent match-end match-result match-list match-budget match-alarm".split()}    # section 6.10
KINDS: dict[str, Check] = dict.fromkeys(HOME, lambda v: None) | _MATCHING | {"report": _REPORT, "attachment": _ATTACHMENT, "retraction": _RETRACTION,
    "correction": table({1: text(0, 2000), 2: _REPORT}), "answer": _ANSWER, "receipt": _RECEIPT, "key-set": _KEY_SET, "register-version": _SOUND,
    "register-approval": table({1: integer(1), 2: HASH}), "use-summary": _USES, "onward": _ONWARD, "permission": _PERMISSION, "deletion-receipt": _DELETION,
    "request": _REQUEST, "request-step": _STEP, "witness-alarm": table({1: NAME, 2: integer(0, 2), 3: text(0, 16_384), 4: text(0, 16_384)})}
REFERS = {"retraction": "retracts", "correction": "corrects", "answer": "answers"}     # the relation by which a kind refers once, of what evidence relates
ONCE = REFERS | {"onward": "about", "deletion-receipt": "about", "request-step": "answers", "match-filter": "about", "match-question": "about", "match-answer": "answers"}
def body_of_kind(record: Record) -> Any:
    """Section 6: the body, in strict form and that of its kind; for a kind not known, in strict form."""
    with refused_as("body-not-of-kind"):
        body, kind = decode(record.body), record.kind
        need(kind in KINDS or re.fullmatch("[a-z0-9/.-]{1,60}", kind), "malformed", "the kind's name")
        KINDS.get(kind, lambda v: None)(body)
        need(kind not in ONCE or len(record.refers(ONCE[kind])) == 1, "malformed", "must refer once")
        need(record.audience == [record.author] if kind in HOME else kind not in ("receipt", "use-summary") or len(record.audience) == 1, "malformed",
             "not to whom this kind goes")
        if kind in _MATCHING:
            need(len(record.audience) == 1 and record.audience != [record.author], "malformed", "not for one partner")
            need(kind != "match-question" or len(record.handling.get(3, [])) == 1, "malformed", "not one purpose")
            need(kind != "match-filter" or len(record.refers("attaches")) == 1, "malformed", "must attach one filter")
        if kind == "request":
            copied, others = body.get(15, []), set(record.audience) - {record.author}
            need(set(copied) <= others and others > set(copied), "malformed", "nobody is asked, or a copy for who does not get it")
        need(kind != "request-step" or body[1] // 1000 == record.signed_at, "malformed", "another second than the header's")
        need(kind != "permission" or record.refers("about"), "malformed", "permits nothing")
        if origin := {"receipt": 2, "key-set": 4, "use-summary": 1}.get(kind):
            epoch = re.fullmatch(f"mufakat/{record.author}/(0|[1-9][0-9]{{0,19}})", body[origin])
            need(epoch and int(epoch[1]) <= U64, "malformed", "not an origin of the author's own")
    return body
def _signed_with_identity(record: Record, identity: bytes, kind: str) -> Any:
    """Sections 10 and 11: the body of a record of this kind that the identity key signed."""
    need(record.kid == key_id(identity), "unknown-key", "not the identity key")
    record.need_signed_by(identity)
    need(record.kind == kind, "body-not-of-kind", record.kind)
    return body_of_kind(record)
def verify_version(data: bytes, approvals: list[bytes], before: bytes | None) -> dict[int, Any]:
    """Section 10, steps 1 to 4: a version that follows from the one before (its encoded body), or founds a register."""
    version, last = decode(data), None if before is None else decode(before)
    _version(sound=False)(version)
    need(last is None or version[2] > last[2], "stale", f"version {version[2]}")
    with refused_as("bad-register"):
        _SOUND(version)
    if last is None:
        need(version[2] == 1 and not any(7 in agency for agency in version[8]), "bad-register", "no founding version")
    else:
        follows = version[2] == last[2] + 1 and version[3] == sha256(before) and version[1] == last[1] and version[4] >= last[4]
        need(follows and set(_ids(last[8])) <= set(_ids(version[8])), "bad-register", "does not follow from the version before, or an agency is forgotten")
        need(all(agency in version[8] for agency in last[8] if 7 in agency), "bad-register", "a removed agency changed")
    base, approved = last or version, set()
    speakers, identities = {party[3]: party[1] for party in base[7]}, {agency[1]: agency[4] for agency in base[8]}
    for approval in map(Record, approvals):
        need(approval.author in speakers, "author-not-in-register", approval.author)
        body = _signed_with_identity(approval, identities[approval.author], "register-approval")
        need(body == {1: version[2], 2: sha256(data)}, "bad-register", "an approval of another version")
        approved.add(speakers[approval.author])
    need(len(approved) >= (last[6] if last else len(version[7])), "too-few-approvals", f"{len(approved)}")
    return version
def read_key_set(record: Record, version: dict[int, Any]) -> dict[int, Any]:
    """Section 11: the key set in a record, under a version of the register."""
    identity = next((agency[4] for agency in version[8] if agency[1] == record.author), None)
    need(identity, "author-not-in-register", record.author)
    return _signed_with_identity(record, identity, "key-set")
