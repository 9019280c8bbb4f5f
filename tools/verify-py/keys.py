"""Keys, parcels, attachments, Merkle proofs and signed notes (docs/protocol.md, sections 3, 4, 7, 8, 12 and 13)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Any

import cbor2
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from strict import HASH, KEY_ID, NAME, U64, Refused, array, decode, integer, need, raw, row, table

_SMALL_ORDER = {bytes.fromhex(line) for line in """
0000000000000000000000000000000000000000000000000000000000000000
0100000000000000000000000000000000000000000000000000000000000000
26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05
c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a
ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f
edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f
eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f""".split()}


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def key_id(public: bytes) -> bytes:
    """Section 3: the first 16 bytes of SHA-256 of a public key."""
    return sha256(public)[:16]


def fingerprint_indexes(thing: bytes) -> list[int]:
    """Section 3: the places in the word list of the twelve words (the list itself is not here)."""
    entropy = sha256(thing)[:16]
    bits = int.from_bytes(entropy, "big") << 4 | sha256(entropy)[0] >> 4
    return [bits >> shift & 2047 for shift in range(121, -1, -11)]


def small_order(public: bytes) -> bool:
    """Section 4: whether a public key is refused where it is introduced."""
    return public[:31] + bytes([public[31] & 127]) in _SMALL_ORDER


def signed(public: bytes, signature: bytes, message: bytes) -> bool:
    """Section 4: Ed25519. OpenSSL refuses S not below the group order and compares R's encoding."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def xwing_valid(public: bytes) -> bool:
    """Section 4: 1,216 bytes, and the 768 numbers of 12 bits keep the modulus check of FIPS 203 §7.2."""
    number = int.from_bytes(public[:1152], "little")
    return len(public) == 1216 and all(number >> 12 * n & 4095 < 3329 for n in range(768))


def _xwing_secret(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    expanded = hashlib.shake_256(seed).digest(96)
    return MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), X25519PrivateKey.from_private_bytes(expanded[64:])


def xwing_public(seed: bytes) -> bytes:
    """Section 4: the public key of a seed."""
    return b"".join(secret.public_key().public_bytes_raw() for secret in _xwing_secret(seed))


def _hpke_open(seed: bytes, encapsulated: bytes, sealed: bytes, aad: bytes) -> bytes:
    """Section 7.1: X-Wing decapsulation, then the key schedule of RFC 9180 §5.1 in base mode, sequence number 0."""
    kem, exchange = _xwing_secret(seed)
    theirs, own = encapsulated[1088:], exchange.public_key().public_bytes_raw()
    shared = hashlib.sha3_256(kem.decapsulate(encapsulated[:1088]) + exchange.exchange(
        X25519PublicKey.from_public_bytes(theirs)) + theirs + own + bytes.fromhex("5c2e2f2f5e5c")).digest()
    suite = b"HPKE" + bytes.fromhex("647a00010003")

    def extract(salt: bytes, label: bytes, secret: bytes) -> bytes:
        return hmac.digest(salt, b"HPKE-v1" + suite + label + secret, "sha256")

    def expand(secret: bytes, label: bytes, info: bytes, size: int) -> bytes:
        labelled = size.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
        return hmac.digest(secret, labelled + b"\1", "sha256")[:size]

    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", b"mufakat parcel 1")
    secret = extract(shared, b"secret", b"")
    nonce = expand(secret, b"base_nonce", context, 12)
    return ChaCha20Poly1305(expand(secret, b"key", context, 32)).decrypt(nonce, sealed, aad)


_OUTER = table({1: integer(0, 255), 2: NAME, 3: NAME, 4: integer(), 5: integer(), 6: integer(1, 512), 7: KEY_ID,
                8: KEY_ID, 9: integer(), 10: integer()})


def read_parcel(data: bytes, me: str, seeds: dict[bytes, bytes], keys: list[dict[str, Any]]) -> tuple[dict, list]:
    """Section 7.3, steps 1 to 9: the outer header and the records, as `me` reads a parcel with these sealing seeds."""
    need(len(data) <= 1_056_768, "oversize")
    parcel = decode(data)
    row(raw(), raw(), raw())(parcel)
    outer = decode(parcel[0])
    need(type(outer) is dict and outer and next(iter(outer)) == 1, "malformed", "no suite first")
    integer()(outer[1])
    need(outer[1] == 1, "unknown-suite", str(outer[1]))
    _OUTER(outer)
    need(outer[5] + outer[6] <= U64, "malformed", "positions beyond 64 bits")
    need(outer[3] == me, "wrong-recipient", outer[3])
    need(outer[7] in seeds, "unknown-sealing-key", outer[7].hex())
    try:
        need(len(parcel[1]) == 1120, "cannot-open", "the encapsulated key's length")
        content = _hpke_open(seeds[outer[7]], parcel[1], parcel[2], parcel[0])
    except (InvalidTag, ValueError):
        raise Refused("cannot-open") from None
    try:
        signature, records = checked = decode(content)
        row(raw(), array(raw()))(checked)
    except (Refused, ValueError, TypeError):
        raise Refused("malformed", "the content") from None
    need(len(records) == outer[6], "count-mismatch")
    key = next((k for k in keys if k["agency"] == outer[2] and key_id(k["key"]) == outer[8]), None)
    need(key, "unknown-key", outer[8].hex())
    ids = sha256(*(sha256(record) for record in records))
    need(signed(key["key"], signature, b"mufakat parcel signature 1\0" + sha256(parcel[0]) + ids), "wrong-signature")
    need(key["revoked"] is None, "key-revoked")
    return outer, records


def open_chunk(key: bytes, number: int, last: bool, sealed: bytes) -> bytes:
    """Section 8: the content of one chunk of an attachment."""
    try:
        return ChaCha20Poly1305(key).decrypt(bytes(8) + number.to_bytes(4, "big"), sealed, bytes([last]))
    except (InvalidTag, ValueError):
        raise Refused("cannot-open") from None


def leaf_entry(salt: bytes, kind: int, at_ms: int, subject: bytes, detail: bytes) -> bytes:
    """Section 12: the commitment that the ledger has of a leaf."""
    return sha256(b"mufakat leaf 1\0", salt, cbor2.dumps([kind, at_ms, subject, detail]))


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\0", entry)


def _join(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1", left, right)


def included(leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> bool:
    """Section 12: an inclusion proof, by RFC 9162 §2.1.3.2."""
    if index >= size or len(proof) > 64:
        return False
    place, last, here = index, size - 1, leaf
    for sibling in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            here = _join(sibling, here)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            here = _join(here, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and here == root


def consistent(old: int, old_root: bytes, new: int, new_root: bytes, proof: list[bytes]) -> bool:
    """Section 12: a consistency proof, by RFC 9162 §2.1.4.2; an older size of 0 has the empty tree's root."""
    if old > new or len(proof) > 64:
        return False
    if old in (0, new):
        return not proof and old_root == (new_root if old == new else sha256())
    path = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not proof:
        return False
    place, last = old - 1, new - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    first = second = path[0]
    for step in path[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            first, second = _join(step, first), _join(step, second)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            second = _join(second, step)
        place, last = place >> 1, last >> 1
    return last == 0 and (first, second) == (old_root, new_root)


def _unbase64(value: str) -> bytes:
    """Section 13: base64 with padding, canonical."""
    try:
        data = base64.b64decode(value.encode(), validate=True)
    except ValueError:
        data = b""
    need(base64.b64encode(data).decode() == value and data, "malformed", "base64")
    return data


@dataclass(frozen=True)
class Note:
    """Section 13: a checkpoint in a signed note; each line is key name, key id and signature."""

    signed: bytes
    origin: str
    size: int
    root: bytes
    lines: list[tuple[str, bytes, bytes]]


def read_note(note: str) -> Note:
    """Section 13: the checkpoint and every signature line, none verified yet."""
    need(len(note.encode()) <= 131_072, "malformed", "the note's size")
    need(not re.search("[\x00-\x09\x0b-\x1f]", note), "malformed", "a control character")
    head, empty, tail = note.rpartition("\n\n")
    need(empty and tail.endswith("\n"), "malformed", "no signatures, or no newline at the end")
    lines = head.split("\n")
    need(3 <= len(lines) <= 19 and all(lines), "malformed", "the checkpoint's lines")
    need(all(len(line.encode()) <= 1024 for line in lines[3:]), "malformed", "an extension line's length")
    need(re.fullmatch("0|[1-9][0-9]{0,19}", lines[1]) and int(lines[1]) <= U64, "malformed", "the size")
    root = _unbase64(lines[2])
    need(len(root) == 32 and (lines[1] != "0" or root == sha256()), "malformed", "the root")
    found = [re.fullmatch(r"\u2014 ([^\s+]+) (\S+)", line) for line in tail[:-1].split("\n")]
    need(all(found) and len(found) <= 64, "malformed", "a signature line")
    signatures = [(line[1], _unbase64(line[2])) for line in found if line]
    need(all(len(data) > 4 for _, data in signatures), "malformed", "a signature line without a signature")
    return Note((head + "\n").encode(), lines[0], int(lines[1]), root,
                [(name, data[:4], data[4:]) for name, data in signatures])


def note_key_id(name: str, kind: int, public: bytes) -> bytes:
    """Section 13: the id of a note's key; type 1 is a ledger's, type 4 a witness's."""
    return sha256(name.encode(), b"\n", bytes([kind]), public)[:4]


def ledger_signed(note: Note, public: bytes, signature: bytes) -> bool:
    """Section 13: the ledger's signature on a checkpoint."""
    return signed(public, signature, note.signed)


def cosigned_at(note: Note, public: bytes, signature: bytes) -> int | None:
    """Section 13: the time of a cosignature/v1 by this witness key, or None when it is none."""
    time = int.from_bytes(signature[:8], "big")
    message = f"cosignature/v1\ntime {time}\n".encode() + note.signed
    return time if len(signature) == 72 and signed(public, signature[8:], message) else None
