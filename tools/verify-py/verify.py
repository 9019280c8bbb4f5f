"""Checks Mufakat's evidence bundles and test vectors by docs/protocol.md alone; see README.md in this folder."""
import argparse
import json
import sys
from pathlib import Path
from typing import Any, Callable

import cbor2

import keys
import records
from evidence import Fault, verify
from strict import Refused, decode, need

Vector = dict[str, Any]
WORDS: dict[int, str] = {}      # what the vectors have said so far of the word list: place and word

def fingerprint(thing: bytes, words: str) -> str:
    """Section 3, in part: one word for each place and one place for each word, and both in the same order."""
    places = keys.fingerprint_indexes(thing)
    need(len(words.split(" ")) == 12, "malformed", "not twelve words")
    fits = all(WORDS.setdefault(place, word) == word for place, word in zip(places, words.split(" ")))
    order = [WORDS[place] for place in sorted(WORDS)]
    need(fits and order == sorted(set(order)), "malformed", "words that do not fit their places")
    return words

def known_keys(file: Vector) -> list[Vector]:
    return [key | {"key": bytes.fromhex(key["key"])} for key in file["keys"]]

def message(v: Vector) -> bytes:
    return bytes.fromhex(v["bytes"]) + bytes(v.get("zeros", 0))

def check_cbor(_: Vector, v: Vector) -> Vector:
    need(cbor2.loads(message(v)) == decode(message(v)), "malformed", "cbor2 reads another value") if v["expect"] == "ok" else decode(message(v))
    return {}
