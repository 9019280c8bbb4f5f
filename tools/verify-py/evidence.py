"""Evidence: what a bundle proves, and the statement of it (docs/protocol.md, section 14)."""
import re
from typing import Any
from keys import Note, cosigned_at, included, key_id, leaf_entry, leaf_hash, note_key_id, sha256, signed
from records import KINDS, REFERS, Record, body_of_kind, read_key_set, verify_version
from strict import HASH, KEY_ID, NAME, array, decode, integer, need, raw, refused_as, row, table, text

_LEAF = row(integer(), KEY_ID, integer(1, 7), integer(), HASH, raw(0, 1024), array(HASH, 0, 64))
_BUNDLE = table({1: text(pattern="mufakat evidence 1"), 2: array(row(raw(), array(raw())), 1), 3: array(raw(), 1), 4: raw(), 5: NAME, 6: text(),
                 7: array(_LEAF, 1), 8: array(raw()), 9: array(raw())})
_REASON = re.compile("[a-z-]{1,60}")
def _holds(data: bytes, at_ms: int, versions: dict[bytes, Any], sets: dict[str, Any]) -> tuple[Record, Any, dict[int, Any]]:
    """Section 14.1: the record, its body and the entry of the key that signed it, when it holds as of a leaf's time."""
    body = body_of_kind(record := Record(data))
    need(record.register in versions, "unknown-register", "not in the chain")
    need(any(agency[1] == record.author and 7 not in agency for agency in versions[record.register][8]), "author-not-in-register", record.author)
    key = next((key for key in sets.get(record.author, {2: []})[2] if key_id(key[1]) == record.kid), None)
    need(key, "unknown-key", record.kid.hex())
    record.need_signed_by(key[1])
    need(key[2] <= record.signed_at <= key[3], "key-expired", "or not yet valid")
    need(4 not in key or at_ms < 1000 * key[4], "key-revoked")
    return record, body, key
def _cosignatures(note: Note, own: tuple[str, bytes], holder: str, sets: dict[str, Any]) -> dict[str, int]:
    """Section 14.1, `cosignatures`: who cosigned the checkpoint, and when."""
    need([line[:2] for line in note.lines].count(own) == 1, "malformed", "the ledger's line more than once")
    names, times = {agency: f"mufakat/{agency}/witness" for agency in sets if agency != holder}, {}
    known = {(name, note_key_id(name, 4, sets[agency][6])): agency for agency, name in names.items()}
    for name, line_id, signature in note.lines:
        if (name, line_id) != own:
            agency = known.get((name, line_id))
            need(agency and agency not in times, "unknown-key", f"{name} is not a witness, or not for the first time")
            times[agency] = cosigned_at(note, sets[agency][6], signature)
            need(times[agency] is not None, "wrong-signature", name)
    return times

def verify(data: bytes, root: bytes | None) -> dict[str, Any]:
    """Sections 14.1 and 14.2: the statement of a bundle in which every part holds; `root` is the hash that is expected, if any."""
    versions, sets = {}, {}     # of the parts that held: register versions by hash, key sets by agency
    with refused_as("format"):
        need(len(data) <= 33_554_432, "oversize")
        _BUNDLE(bundle := decode(data))
        holder, leaves = bundle[5], bundle[7]
        need(len(leaves) == 1 + len(bundle[8]) + len(bundle[9]), "malformed", "not one leaf for each record")
    for number, (version, approvals) in enumerate(bundle[2], 1):
        with refused_as(f"register[{number}]"):
            last = verify_version(version, approvals, bundle[2][number - 2][0] if number > 1 else None)
            need(number > 1 or root in (None, sha256(version)), "bad-register", "another community than the one expected")
            versions[sha256(version)] = last
    for position, encoded in enumerate(bundle[3]):
        with refused_as(f"key-set[{position}]"):
            record = Record(encoded)
        with refused_as(f"key-set[{record.author}]"):
            need(record.author > max(sets, default=""), "malformed", "authors not ascending")
            sets[record.author] = read_key_set(record, last)
    with refused_as("record"):
        record, _, key = _holds(bundle[4], leaves[0][3], versions, sets)
    with refused_as("checkpoint"):
        need(holder in [record.author, *record.audience] and holder in sets, "unknown-key", "the holder has no part in the record, or no key set")
        origin, ledger = sets[holder][4], sets[holder][5]
        note, own = Note(bundle[6]), (origin, note_key_id(origin, 1, ledger))
        need(note.origin == origin, "malformed", "another ledger than the holder's")
        need(any(line[:2] == own and signed(ledger, line[2], note.signed) for line in note.lines), "wrong-signature", "of the ledger")
    with refused_as("cosignatures"):
        times = _cosignatures(note, own, holder, sets)
    receipts, related, answerable, subjects = [], [], set(), [(record.id, 1 if holder == record.author else 2)]
    for position, (encoded, leaf) in enumerate(zip(bundle[8], leaves[1:])):
        with refused_as(f"receipt[{position}]"):
            receipt, body, _ = _holds(encoded, leaf[3], versions, sets)
            need(receipt.kind == "receipt" and receipt.author in record.audience, "malformed", "no receipt by one of the audience")
            need(receipt.audience == [record.author], "malformed", "not to the record's author alone")
            entry = next((entry for entry in body[3] if entry[1] == record.id), None)
            need(entry and (entry[2] is None or _REASON.fullmatch(entry[2])), "malformed", "for another record, or rejected for no reason")
        receipts.append({"agency": receipt.author, "receipt": receipt.id.hex(), "accepted": entry[2] is None, "rejected": entry[2], "at_ms": entry[3],
                         "index": entry[4], "ledger": body[2]})
        subjects.append((receipt.id, 3))
    for position, (encoded, leaf) in enumerate(zip(bundle[9], leaves[1 + len(receipts):])):
        with refused_as(f"related[{position}]"):
            other, _, _ = _holds(encoded, leaf[3], versions, sets)
            answers = other.kind == "answer"
            need(other.kind in REFERS, "malformed", f"a record of kind {other.kind}")
            need(other.author in (record.audience if answers else [record.author]), "malformed", f"not for {other.author} to say")
            need(other.refers(REFERS[other.kind])[0] in (answerable if answers else [record.id]), "malformed", "refers to another record")
        answerable |= set() if answers else {other.id}
        related.append({"record": other.id.hex(), "kind": other.kind, "author": other.author, "signed_at": other.signed_at, "index": leaf[0],
                        "at_ms": leaf[3]})
        subjects.append((other.id, 1 if other.author == holder else 2))
    for position, ((subject, kind), (index, salt, leaf_kind, at_ms, leaf_subject, detail, proof)) in enumerate(zip(subjects, leaves)):
        with refused_as(f"leaf[{position}]"):
            need((leaf_subject, leaf_kind) == (subject, kind), "malformed", f"not of type {kind} about this record")
            rejected = (position, kind) == (0, 2) and _REASON.fullmatch(detail.decode("latin-1"))
            need(not detail or kind == 1 and len(detail) == 32 or rejected, "malformed", "the detail")
            committed = leaf_hash(leaf_entry(salt, kind, at_ms, subject, detail))
            need(included(committed, index, note.size, proof, note.root), "malformed", "the proof does not lead to the checkpoint")
    named, outcome = versions[record.register], "authored" if holder == record.author else leaves[0][5].decode() or "accepted"
    return {
        "root": next(iter(versions)).hex(), "fingerprint": None, "root_expected": root is not None, "community": last[1],
        "record": record.id.hex(), "author": record.author, "party": next(agency[2] for agency in named[8] if agency[1] == record.author),
        "signed_at": record.signed_at, "key_revoked": key.get(4), "thread": record.thread, "kind": record.kind, "understood": record.kind in KINDS,
        "audience": record.audience, "register_version": named[2], "handling": record.handling_json(), "expires": record.expires, "holder": holder,
        "leaf": {"index": leaves[0][0], "at_ms": leaves[0][3], "outcome": outcome},
        "checkpoint": {"origin": origin, "size": note.size, "root": note.root.hex()},
        "witnesses": [{"agency": agency, "cosigned_at": times[agency]} for agency in sorted(times)],
        "quorum": {"needed": last[10][1], "met": len(times) >= last[10][1]}, "receipts": receipts, "related": related}
