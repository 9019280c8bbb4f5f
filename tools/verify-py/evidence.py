"""Evidence: what a bundle proves, and the statement of it (docs/protocol.md, section 14)."""
import re
from contextlib import contextmanager
from typing import Any, Iterator

from keys import cosigned_at, included, key_id, leaf_entry, leaf_hash, ledger_signed, note_key_id, read_note, sha256
from records import ANSWERS, CORRECTS, RETRACTS, Record, body_of_kind, read_key_set, read_record, understood, verify_version
from strict import HASH, NAME, Refused, array, decode, integer, need, raw, row, table, text

_LEAF = row(integer(), raw(16, 16), integer(1, 7), integer(), HASH, raw(0, 1024), array(HASH, 0, 64))
_BUNDLE = table({1: text(pattern="mufakat evidence 1"), 2: array(row(raw(), array(raw())), 1), 3: array(raw(), 1), 4: raw(), 5: NAME,
                 6: text(), 7: array(_LEAF, 1), 8: array(raw()), 9: array(raw())})
_REASON = "[a-z-]{1,60}"

class Fault(Exception):
    """A bundle is refused: the part of section 14.1 that fails, and why."""
    def __init__(self, part: str, why: str) -> None:
        super().__init__(f"{part}: {why}")
        self.part, self.why = part, why

@contextmanager
def _part(name: str) -> Iterator[None]:
    try:
        yield
    except Refused as refused:
        raise Fault(name, str(refused)) from None

def _holds(data: bytes, at_ms: int, versions: dict[bytes, Any], sets: dict[str, Any]) -> tuple[Record, Any, dict[int, Any]]:
    """Section 14.1: the record, its body and the key that signed it, when it holds as of a leaf's time."""
    record = read_record(data)
    body = body_of_kind(record)
    need(record.register in versions, "unknown-register", "not in the chain")
    agency = next((agency for agency in versions[record.register][8] if agency[1] == record.author), None)
    need(agency, "author-not-in-register", record.author)
    need(7 not in agency, "author-removed", record.author)
    need(record.author in sets, "unknown-key", f"no key set of {record.author}")
    key = next((key for key in reversed(sets[record.author][2]) if key_id(key[1]) == record.kid), None)
    need(key, "unknown-key", record.kid.hex())
    need(record.signed_by(key[1]), "wrong-signature")
    need(key[2] <= record.signed_at, "key-not-yet-valid")
    need(record.signed_at <= key[3], "key-expired")
    need(4 not in key or at_ms < 1000 * key[4], "key-revoked")
    return record, body, key

def verify(data: bytes, root: bytes | None) -> dict[str, Any]:
    """Sections 14.1 and 14.2: the statement of a bundle in which everything holds; `root` is the hash that is expected."""
    with _part("format"):
        need(len(data) <= 33_554_432, "oversize")
        bundle = decode(data)
        _BUNDLE(bundle)
        leaves, holder = bundle[7], bundle[5]
        need(len(leaves) == 1 + len(bundle[8]) + len(bundle[9]), "malformed", "not one leaf for each record")
    versions: dict[bytes, Any] = {}
    before = None
    for number, (version, approvals) in enumerate(bundle[2], 1):
        with _part(f"register[{number}]"):
            versions[sha256(version)] = last = verify_version(version, approvals, before)
            need(number > 1 or root in (None, sha256(version)), "bad-register", "another root than the one expected")
            before = version
    sets: dict[str, Any] = {}
    for position, raw_set in enumerate(bundle[3]):
        with _part(f"key-set[{position}]"):
            record = read_record(raw_set)
        with _part(f"key-set[{record.author}]"):
            key_set = read_key_set(record, last)
            need(not sets or record.author > max(sets), "malformed", "authors not ascending")
            sets[record.author] = key_set
    with _part("record"):
        record, _, key = _holds(bundle[4], leaves[0][3], versions, sets)
    with _part("checkpoint"):
        need(holder == record.author or holder in record.audience, "malformed", "the holder has nothing to do with the record")
        need(holder in sets, "unknown-key", "no key set of the holder")
        origin, ledger = sets[holder][4], sets[holder][5]
        note = read_note(bundle[6])
        need(note.origin == origin, "malformed", "another ledger than that of the holder's key set")
        own = [line for line in note.lines if line[:2] == (origin, note_key_id(origin, 1, ledger))]
        need(any(ledger_signed(note, ledger, line[2]) for line in own), "wrong-signature", "of the ledger")
    with _part("cosignatures"):
        need(len(own) == 1, "malformed", "the ledger's line more than once")
        names = {agency: f"mufakat/{agency}/witness" for agency in sets if agency != holder}
        known = {(name, note_key_id(name, 4, sets[agency][6])): agency for agency, name in names.items()}
        witnesses: dict[str, int] = {}
        for line in note.lines:
            if line is not own[0]:
                agency = known.get(line[:2])
                need(agency, "unknown-key", line[0])
                need(agency not in witnesses, "malformed", f"{agency} cosigned twice")
                time = cosigned_at(note, sets[agency][6], line[2])
                need(time is not None, "wrong-signature", line[0])
                witnesses[agency] = time
    receipts, related, subjects = [], [], [(record.id, 1 if holder == record.author else 2)]
    for position, (raw_receipt, leaf) in enumerate(zip(bundle[8], leaves[1:])):
        with _part(f"receipt[{position}]"):
            receipt, body, _ = _holds(raw_receipt, leaf[3], versions, sets)
            need(receipt.kind == "receipt", "malformed", f"a {receipt.kind}")
            need(receipt.author in record.audience, "not-in-audience", receipt.author)
            need(receipt.audience == [record.author], "malformed", "to another than the record's author")
            entry = next((entry for entry in body[3] if entry[1] == record.id), None)
            need(entry, "malformed", "for another record")
            need(entry[2] is None or re.fullmatch(_REASON, entry[2]), "malformed", "no name of a reason")
        subjects.append((receipt.id, 3))
        receipts.append({"agency": receipt.author, "receipt": receipt.id.hex(), "accepted": entry[2] is None, "rejected": entry[2],
                         "at_ms": entry[3], "index": entry[4], "ledger": body[2]})
    answerable = set()
    for position, (raw_related, leaf) in enumerate(zip(bundle[9], leaves[1 + len(receipts):])):
        with _part(f"related[{position}]"):
            other, _, _ = _holds(raw_related, leaf[3], versions, sets)
            need(other.kind in ("retraction", "correction", "answer"), "malformed", f"a {other.kind}")
            if other.kind == "answer":
                need(other.author in record.audience, "not-in-audience", other.author)
                need(other.refers(ANSWERS)[0] in answerable, "malformed", "answers nothing that stands before it")
            else:
                need(other.author == record.author, "malformed", "by another than the record's author")
                refers = other.refers(RETRACTS if other.kind == "retraction" else CORRECTS)
                need(refers == [record.id], "malformed", "of another record")
                answerable.add(other.id)
        subjects.append((other.id, 1 if other.author == holder else 2))
        related.append({"record": other.id.hex(), "kind": other.kind, "author": other.author, "signed_at": other.signed_at,
                        "index": leaf[0], "at_ms": leaf[3]})
    for position, ((subject, kind), leaf) in enumerate(zip(subjects, leaves)):
        with _part(f"leaf[{position}]"):
            index, salt, leaf_kind, at_ms, leaf_subject, detail, proof = leaf
            need(leaf_subject == subject, "malformed", "about another record")
            need(leaf_kind == kind, "malformed", f"type {leaf_kind} where {kind} belongs")
            rejected = position == 0 and kind == 2 and re.fullmatch(_REASON.encode(), detail)
            need(not detail or kind == 1 and len(detail) == 32 or rejected, "malformed", "the detail")
            committed = leaf_hash(leaf_entry(salt, kind, at_ms, subject, detail))
            need(included(committed, index, note.size, proof, note.root), "malformed", "the proof does not lead to the checkpoint")
    named, reason = versions[record.register], leaves[0][5].decode() if subjects[0][1] == 2 else ""
    needed = last[10][1]
    return {
        "root": next(iter(versions)).hex(), "fingerprint": None, "root_expected": root is not None, "community": last[1],
        "record": record.id.hex(), "author": record.author, "party": next(a[2] for a in named[8] if a[1] == record.author),
        "signed_at": record.signed_at, "key_revoked": key.get(4), "thread": record.thread, "kind": record.kind,
        "understood": understood(record.kind), "audience": record.audience, "register_version": named[2],
        "handling": record.handling_json(), "expires": record.expires, "holder": holder,
        "leaf": {"index": leaves[0][0], "at_ms": leaves[0][3],
                 "outcome": "authored" if subjects[0][1] == 1 else reason or "accepted"},
        "checkpoint": {"origin": note.origin, "size": note.size, "root": note.root.hex()},
        "witnesses": [{"agency": agency, "cosigned_at": witnesses[agency]} for agency in sorted(witnesses)],
        "quorum": {"needed": needed, "met": len(witnesses) >= needed}, "receipts": receipts, "related": related}
