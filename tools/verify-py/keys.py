"""Keys, parcels, attachments, Merkle proofs and signed notes (docs/protocol.md, sections 3, 4, 7, 8, 12 and 13)."""
import base64, hashlib, hmac, re
from contextlib import suppress
from typing import Any
import cbor2
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric import ed25519, mlkem, x25519
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from strict import KEY_ID, NAME, U64, array, decode, integer, need, raw, refused_as, row, table

_PRIME, _ORDER_8 = 2**255 - 19, int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little")

def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()
def key_id(public: bytes) -> bytes:
    return sha256(public)[:16]      # section 3
def small_order(public: bytes) -> bool:
    """Section 4: whether a public key is refused where it is introduced; the list of seven by their y coordinates."""
    return int.from_bytes(public, "little") % 2**255 in (0, 1, _ORDER_8, _PRIME - _ORDER_8, _PRIME - 1, _PRIME, _PRIME + 1)
def signed(public: bytes, signature: bytes, message: bytes) -> bool:
    """Section 4: Ed25519. The library refuses S not below the group order, and computes R and compares its encoding."""
    with suppress(InvalidSignature, ValueError):
        ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
        return True
    return False
def xwing_valid(public: bytes) -> bool:
    """Section 4: 1,216 bytes, and the 768 numbers of 12 bits keep the modulus check of FIPS 203 §7.2."""
    number = int.from_bytes(public[:1152], "little")
    return len(public) == 1216 and all(number >> 12 * n & 4095 < 3329 for n in range(768))
def xwing_secret(seed: bytes) -> tuple[mlkem.MLKEM768PrivateKey, x25519.X25519PrivateKey]:
    """Section 4: the two secret keys of a seed."""
    expanded = hashlib.shake_256(seed).digest(96)
    return mlkem.MLKEM768PrivateKey.from_seed_bytes(expanded[:64]), x25519.X25519PrivateKey.from_private_bytes(expanded[64:])
def _hpke_open(seed: bytes, encapsulated: bytes, sealed: bytes, aad: bytes) -> bytes:
    """Section 7.1: X-Wing decapsulation, then the key schedule of RFC 9180 §5.1 in base mode, sequence number 0."""
    (kem, exchange), theirs = xwing_secret(seed), encapsulated[1088:]
    secrets = kem.decapsulate(encapsulated[:1088]) + exchange.exchange(x25519.X25519PublicKey.from_public_bytes(theirs))
    shared = hashlib.sha3_256(secrets + theirs + exchange.public_key().public_bytes_raw() + bytes.fromhex("5c2e2f2f5e5c")).digest()
    suite = b"HPKE-v1HPKE" + bytes.fromhex("647a00010003")
    psk_id_hash, info_hash = (hmac.digest(b"", suite + part, "sha256") for part in (b"psk_id_hash", b"info_hash" + b"mufakat parcel 1"))
    secret, context = hmac.digest(shared, suite + b"secret", "sha256"), b"\0" + psk_id_hash + info_hash
    key = hmac.digest(secret, b"\0\x20" + suite + b"key" + context + b"\1", "sha256")
    nonce = hmac.digest(secret, b"\0\x0c" + suite + b"base_nonce" + context + b"\1", "sha256")[:12]
    return ChaCha20Poly1305(key).decrypt(nonce, sealed, aad)

_OUTER = table({1: integer(0, 255), 2: NAME, 3: NAME, 4: integer(), 5: integer(), 6: integer(1, 512), 7: KEY_ID, 8: KEY_ID, 9: integer(), 10: integer()})
def read_parcel(data: bytes, me: str, seeds: dict[bytes, bytes], keys: list[dict[str, Any]], came: int) -> tuple[dict[int, Any], list[bytes]]:
    """Section 7.3, steps 1 to 9: the outer header and the records, as `me` reads a parcel that came at a time, less what a relay may hold it."""
    need(len(data) <= 1_056_768, "oversize")
    row(raw(), raw(), raw())(parcel := decode(data))
    need(type(outer := decode(parcel[0])) is dict and next(iter(outer), None) == 1 and type(outer[1]) is int and outer[1] >= 0, "malformed", "no suite first")
    need(outer[1] == 1, "unknown-suite", str(outer[1]))
    _OUTER(outer)
    need(outer[5] + outer[6] <= U64, "malformed", "positions beyond 64 bits")
    need(outer[3] == me, "wrong-recipient", outer[3])
    need(outer[7] in seeds, "unknown-sealing-key", outer[7].hex())
    with refused_as("cannot-open", InvalidTag, ValueError):
        content = _hpke_open(seeds[outer[7]], parcel[1], parcel[2], parcel[0])
    with refused_as("malformed"):
        row(raw(), array(raw()))(parts := decode(content))
    signature, records = parts
    need(len(records) == outer[6], "count-mismatch")
    key = next((key for key in keys if key["agency"] == outer[2] and key_id(key["key"]) == outer[8]), None)
    need(key, "unknown-key", outer[8].hex())
    need(signed(key["key"], signature, b"mufakat parcel signature 1\0" + sha256(parcel[0]) + sha256(*map(sha256, records))), "wrong-signature")
    need(key["revoked"] is None, "key-revoked")
    need(came <= key.get("until", U64), "key-expired")
    return outer, records
def open_chunk(key: bytes, number: int, last: bool, sealed: bytes) -> bytes:
    """Section 8: the content of one chunk of an attachment."""
    with refused_as("cannot-open", InvalidTag, ValueError):
        return ChaCha20Poly1305(key).decrypt(bytes(8) + number.to_bytes(4, "big"), sealed, bytes([last]))

def leaf_entry(salt: bytes, kind: int, at_ms: int, subject: bytes, detail: bytes) -> bytes:
    """Section 12: the commitment that the ledger has of a leaf."""
    return sha256(b"mufakat leaf 1\0", salt, cbor2.dumps([kind, at_ms, subject, detail]))
def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\0", entry)
def _join(left: bytes, right: bytes) -> bytes:
    return sha256(b"\1", left, right)
def _root(leaf: bytes, index: int, size: int, proof: list[bytes]) -> bytes:
    """RFC 6962 §2.1.1: the root to which a leaf leads; takes its hashes off the end of the proof. A left half has the largest power of two below the size."""
    if size == 1:
        return leaf
    sibling, left = proof.pop(), 1 << (size - 1).bit_length() - 1
    return _join(_root(leaf, index, left, proof), sibling) if index < left else _join(sibling, _root(leaf, index - left, size - left, proof))
def _roots(old: int, new: int, known: bytes | None, proof: list[bytes]) -> tuple[bytes, bytes]:
    """RFC 6962 §2.1.2: the old and new root to which a proof leads; `known` is the old root while the whole old tree is on the way."""
    if old == new:
        return (known or proof.pop(),) * 2
    sibling, left = proof.pop(), 1 << (new - 1).bit_length() - 1
    first, second = _roots(old, left, known, proof) if old <= left else _roots(old - left, new - left, None, proof)
    return (first, _join(second, sibling)) if old <= left else (_join(sibling, first), _join(sibling, second))
def included(leaf: bytes, index: int, size: int, proof: list[bytes], root: bytes) -> bool:
    """Section 12: an inclusion proof. One that is too short or too long proves nothing."""
    with suppress(IndexError):
        return index < size and len(proof) <= 64 and _root(leaf, index, size, rest := list(proof)) == root and not rest
    return False
def consistent(old: int, old_root: bytes, new: int, new_root: bytes, proof: list[bytes]) -> bool:
    """Section 12: a consistency proof; an older size of 0 has the empty tree's root."""
    if old == 0:
        return old_root == sha256() and not proof
    with suppress(IndexError):
        return old <= new and len(proof) <= 64 and _roots(old, new, old_root, rest := list(proof)) == (old_root, new_root) and not rest
    return False

def _unbase64(value: str) -> bytes:
    """Section 13: base64 with padding, canonical."""
    with refused_as("malformed", ValueError):
        data = base64.b64decode(value, validate=True)
    need(base64.b64encode(data).decode() == value, "malformed", "base64 that is not canonical")
    return data
_NOTE = re.compile("(([^\n]+)\n(0|[1-9][0-9]{0,19})\n([^\n]+)\n((?:[^\n]+\n){0,16}))\n((?:\u2014 [^\\s+]+ [^\\s]+\n){1,64})")
class Note:
    """Section 13: a checkpoint in a signed note, nothing verified yet; each of `lines` is key name, key id and signature."""
    def __init__(self, note: str) -> None:
        parts = _NOTE.fullmatch(note)
        need(parts and len(note.encode()) <= 131_072 and not re.search("[\0-\x09\x0b-\x1f]", note), "malformed", "no checkpoint in a signed note")
        text, self.origin, size, root, extensions, signatures = parts.groups()
        need(all(len(line.encode()) <= 1024 for line in extensions.split("\n")), "malformed", "an extension line's length")
        self.signed, self.size, self.root = text.encode(), int(size), _unbase64(root)
        need(self.size <= U64 and len(self.root) == 32 and (self.size or self.root == sha256()), "malformed", "the size or root")
        decoded = [(name, _unbase64(data)) for _, name, data in (line.split(" ") for line in signatures[:-1].split("\n"))]
        self.lines = [(name, data[:4], data[4:]) for name, data in decoded]
        need(all(signature for _, _, signature in self.lines), "malformed", "a line without a signature")
def note_key_id(name: str, kind: int, public: bytes) -> bytes:
    """Section 13: the id of a note's key; type 1 is a ledger's, type 4 a witness's."""
    return sha256(name.encode(), b"\n", bytes([kind]), public)[:4]
def cosigned_at(note: Note, public: bytes, signature: bytes) -> int | None:
    """Section 13: the time of a cosignature/v1 by this witness key, or None when it is none."""
    time = int.from_bytes(signature[:8], "big")
    return time if signed(public, signature[8:], f"cosignature/v1\ntime {time}\n".encode() + note.signed) else None
