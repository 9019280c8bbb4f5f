"""Private matching (docs/matching.md): ristretto255 (RFC 9496), the VOPRF over it (RFC 9497), questions with their audit, and filters."""
import hashlib
from strict import need

_P, _ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
_D, _I = -121665 * pow(121666, -1, _P) % _P, pow(2, (_P - 1) // 4, _P)
_CONTEXT, Point = b"OPRFV1-\1-ristretto255-SHA512", tuple[int, int, int, int]

# RFC 9496, section 4: elements are points of edwards25519 in extended coordinates, of which several stand for one element.
def _abs(x: int) -> int:
    return x % _P if x % _P % 2 == 0 else -x % _P
def _root(u: int, v: int) -> tuple[bool, int]:
    r = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    found = v * r * r % _P
    return found in (u % _P, -u % _P), _abs(r * _I if found in (-u % _P, -u * _I % _P) else r)
_AD_ROOT, _A_MINUS_D_ROOT = -_root(-_D - 1, 1)[1], _root(1, -1 - _D)[1]
def decode_element(data: bytes) -> Point:
    s = int.from_bytes(data, "little")
    u1, u2 = 1 - s * s, 1 + s * s
    v = -_D * u1 * u1 - u2 * u2
    square, root = _root(1, v * u2 * u2)
    x, y = _abs(2 * s * root * u2), u1 * root * root * u2 * v % _P
    need(s < _P and s % 2 == 0 and square and x * y % _P % 2 == 0 and y, "not-canonical")
    need(s, "identity")
    return x, y, 1, x * y % _P
def encode_element(point: Point) -> bytes:
    x, y, z, t = point
    u1, u2 = (z + y) * (z - y), x * y
    root = _root(1, u1 * u2 * u2)[1]
    inverse = root * u1 * root * u2 * t
    x, y, scale = (y * _I, x * _I, root * u1 * _A_MINUS_D_ROOT) if t * inverse % _P % 2 else (x, y, root * u2)
    return _abs(scale * (z - (-y if x * inverse % _P % 2 else y))).to_bytes(32, "little")
def _map(data: bytes) -> Point:
    t = int.from_bytes(data, "little") % 2**255
    r = _I * t * t
    v = (-1 - r * _D) * (r + _D)
    square, s = _root((r + 1) * (1 - _D * _D), v)
    s, c = (s, -1) if square else (-_abs(s * t), r)
    w0, w1, w2, w3 = 2 * s * v, (c * (r - 1) * (_D - 1)**2 - v) * _AD_ROOT, 1 - s * s, 1 + s * s
    return w0 * w3 % _P, w2 * w1 % _P, w1 * w3 % _P, w0 * w2 % _P
def add(p: Point, q: Point) -> Point:
    a, b, c, d = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0]), 2 * _D * p[3] * q[3], 2 * p[2] * q[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P
def times(scalar: int, point: Point) -> Point:
    total = (0, 1, 1, 0)
    for bit in bin(scalar % _ORDER)[2:]:
        total = add(total, total)
        total = add(total, point) if bit == "1" else total
    return total
_BASE = decode_element(bytes.fromhex("e2f2ae0a6abc4e71a884a961c500515f58e30b6aa582dd8db6a65945e08d2d76"))

# RFC 9497, mode VOPRF, ristretto255-SHA512.
def expand(message: bytes, tag: bytes) -> bytes:
    """RFC 9380, section 5.3.1, for 64 bytes; whatever follows from a secret comes from it too."""
    tag += bytes([len(tag)])
    return hashlib.sha512(hashlib.sha512(bytes(128) + message + b"\0\x40\0" + tag).digest() + b"\1" + tag).digest()
def _element(uniform: bytes) -> Point:
    return add(_map(uniform[:32]), _map(uniform[32:]))
def scalar(uniform: bytes) -> int:
    return int.from_bytes(uniform, "little") % _ORDER
def sized(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data
def derive_key(epoch_secret: bytes, asker: bytes, subject: bytes, epoch: int) -> tuple[int, bytes]:
    """The secret and the public key; that the first counter gives zero does not happen."""
    info = (domain := b"mufakat matching key 1") + sized(asker) + sized(subject) + epoch.to_bytes(4, "big")
    secret = scalar(expand(expand(epoch_secret + info, domain)[:32] + sized(info) + b"\0", b"DeriveKeyPair" + _CONTEXT))
    return secret, encode_element(times(secret, _BASE))
def _transcript(*parts: bytes) -> int:
    return scalar(expand(b"".join(parts), b"HashToScalar-" + _CONTEXT))
def _composites(public: bytes, pairs: list[tuple[bytes, bytes]]) -> tuple[Point, Point]:
    seed = hashlib.sha512(sized(public) + sized(b"Seed-" + _CONTEXT)).digest()
    m = z = (0, 1, 1, 0)
    for n, (c, d) in enumerate(pairs):
        weight = _transcript(sized(seed), n.to_bytes(2, "big"), sized(c), sized(d), b"Composite")
        m, z = add(m, times(weight, decode_element(c))), add(z, times(weight, decode_element(d)))
    return m, z
def _challenge(public: bytes, *points: Point) -> int:
    return _transcript(sized(public), *[sized(encode_element(point)) for point in points], b"Challenge")
def answer(secret: int, public: bytes, elements: list[bytes], random: bytes) -> tuple[list[bytes], bytes]:
    evaluated, r = [encode_element(times(secret, decode_element(element))) for element in elements], scalar(random)
    m, z = _composites(public, [*zip(elements, evaluated)])
    c = _challenge(public, m, z, times(r, _BASE), times(r, m))
    return evaluated, c.to_bytes(32, "little") + ((r - c * secret) % _ORDER).to_bytes(32, "little")
def verify_answer(public: bytes, elements: list[bytes], evaluated: list[bytes], proof: bytes) -> None:
    need(len(elements) == len(evaluated), "not-all-answered")
    (m, z), c, s = _composites(public, [*zip(elements, evaluated)]), *(int.from_bytes(half, "little") for half in (proof[:32], proof[32:]))
    t2, t3 = add(times(s, _BASE), times(c, decode_element(public))), add(times(s, m), times(c, z))
    need(max(c, s) < _ORDER and _challenge(public, m, z, t2, t3) == c, "wrong-proof")

# Questions: all of them follows from a secret and the inputs.
def _derive(secret: bytes, what: bytes, number: int) -> bytes:
    return expand(secret + number.to_bytes(4, "big"), b"mufakat matching question 1 " + what)
def _places(secret: bytes, size: int) -> list[int]:
    return sorted(range(size), key=lambda n: _derive(secret, b"order", n // 8)[n % 8 * 8:][:8])
def _size(count: int) -> int:
    need(1 <= count <= 1024, "wrong-count")
    return next(size for size in (16, 64, 256, 1024) if count <= size)
def check_question(count: int, elements: list[bytes]) -> None:
    need(len(elements) == _size(count), "wrong-padding")
    need(len({*elements}) == len(elements), "repeated")
    for element in elements:
        decode_element(element)
def ask(secret: bytes, inputs: list[bytes]) -> tuple[bytes, list[bytes]]:
    """The commitment and the elements."""
    count, size = len(inputs), _size(len(inputs))
    points = [times(scalar(_derive(secret, b"blind", n)), _element(expand(i, b"HashToGroup-" + _CONTEXT))) for n, i in enumerate(inputs)]
    points += [times(2, _element(_derive(secret, b"padding", n))) for n in range(count, size)]
    said = count.to_bytes(4, "big") + b"".join(len(i).to_bytes(8, "big") + i for i in inputs)
    commitment = expand(_derive(secret, b"salt", 0)[:32] + said, b"mufakat matching question 1 commitment")[:32]
    return commitment, [encode_element(point) for _, point in sorted(zip(_places(secret, size), points))]
def tags(secret: bytes, inputs: list[bytes], evaluated: list[bytes]) -> list[bytes]:
    def one(n: int, i: bytes, place: int) -> bytes:
        unblinded = encode_element(times(pow(scalar(_derive(secret, b"blind", n)), -1, _ORDER), decode_element(evaluated[place])))
        return hashlib.sha512(sized(i) + sized(unblinded) + b"Finalize").digest()[:24]
    return [one(n, i, place) for n, (i, place) in enumerate(zip(inputs, _places(secret, len(evaluated))))]

# Filters: for each class the length of a segment as a power of two, and how many there are.
_CLASSES = {1_000: (5, 44), 2_000: (6, 41), 5_000: (7, 49), 10_000: (8, 47), 20_000: (8, 92), 50_000: (9, 112), 100_000: (10, 111), 200_000: (10, 217),
            500_000: (11, 267), 1_000_000: (12, 263), 2_000_000: (13, 263), 5_000_000: (13, 657), 10_000_000: (14, 657), 16_777_216: (14, 1_101)}
def read_filter(data: bytes) -> int:
    """The class of a filter in form."""
    version, capacity = (int.from_bytes(data[at:at + 4], "little") for at in (8, 12))
    need(len(data) >= 24, "wrong-size")
    need(data[:8] == b"MUFILTER", "wrong-magic")
    need(version == 1, "unknown-version")
    need(capacity in _CLASSES, "unknown-class")
    bits, segments = _CLASSES[capacity]
    need(len(data) == 24 + (segments << bits + 3), "wrong-size")
    return capacity
def look_up(data: bytes, tag: bytes) -> int | None:
    """The label of a tag in a filter that is in form."""
    place, high, check, mask = (int.from_bytes(part, "little") for part in (tag[:8], tag[8:16], tag[16:20], tag[20:]))
    bits, segments = _CLASSES[read_filter(data)]
    mixed = place ^ int.from_bytes(data[16:24], "little")
    for factor in (0xff51afd7ed558ccd, 0xc4ceb9fe1a85ec53):
        mixed = (mixed ^ mixed >> 33) * factor % 2**64
    mixed = ((mixed ^ mixed >> 33) + high) % 2**64
    first, word = mixed * (segments - 3 << bits) >> 64, 0
    for turn in range(4):
        slot = first + (turn << bits) ^ (mixed >> (turn - 1) * bits) % 2**bits if turn else first
        word ^= int.from_bytes(data[24 + 8 * slot:][:8], "little")
    return word % 2**32 ^ mask if word >> 32 == check else None
