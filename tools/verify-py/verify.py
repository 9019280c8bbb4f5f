"""Checks Mufakat's evidence bundles and test vectors by docs/protocol.md alone; see README.md in this folder."""
import argparse, json, sys
from pathlib import Path
from typing import Any
import cbor2
import keys, matching
from evidence import verify
from records import KINDS, PUBLIC_KEY, RELATIONS, Record, body_of_kind, check_signature, read_key_set, verify_version
from strict import Refused, decode, need, refused_as

Facts = dict[str, Any]
un = bytes.fromhex
def told(names: str, *values: Any) -> Facts:
    return {name: value.hex() if type(value) is bytes else value for name, value in zip(names.split(), values, strict=True)}
def known_keys(file: Facts) -> list[Facts]:
    return [key | {"key": un(key["key"])} for key in file["keys"]]

# For each list of vectors a function of the file, the vector and its bytes: what a good one says, or a refusal.
def record(file: Facts, v: Facts, data: bytes) -> Facts:
    r = Record(data)
    check_signature(r, known_keys(file), v["now"], file["relay_max_s"])
    body, references = body_of_kind(r), [told("relation record", RELATIONS[relation], other) for relation, other in r.references]
    header = told("audience author expires handling kid kind references register signed_at thread", r.audience, r.author, r.expires, r.handling_json(),
                  r.kid, r.kind, references, r.register, r.signed_at, r.thread)
    entries = [told("position record rejected at_ms index salt", *entry) for entry in body[3]] if r.kind == "receipt" else []
    return told("id header body understood receipt", r.id, header, r.body, r.kind in KINDS, entries and told("epoch ledger entries", body[1], body[2], entries))
def parcel(file: Facts, v: Facts, data: bytes) -> Facts:
    me = file["recipient"]
    seeds, came = {un(me["sealing_key"]): un(me["sealing_seed"])}, v.get("now", 0) - file.get("relay_max_s", 0)
    outer, records = keys.read_parcel(data, me["agency"], seeds, known_keys(file), came)
    said = told("suite sender recipient epoch first count sealing_key signing_key register_version expires", *outer.values())
    return {"outer": said, "records": [one.hex() for one in records]}
def checkpoint(file: Facts, v: Facts, data: bytes) -> Facts:
    ledger, *witnesses = ((key["name"], un(key["key_id"]), un(key["public"])) for key in [file["ledger"], *file["witnesses"]])
    with refused_as("refused"):
        note = keys.Note(v["note"])
        own = [keys.signed(ledger[2], signature, note.signed) for *line, signature in note.lines if line == [*ledger[:2]]]
        need(own and all(own) and note.origin == ledger[0], "wrong-signature")
        cosigned = [told("name time", w[0], keys.cosigned_at(note, w[2], line[2])) for w in witnesses for line in note.lines if line[:2] == w[:2]]
        need(all(one["time"] is not None for one in cosigned), "wrong-signature")
    return told("origin size root cosigned", note.origin, note.size, note.root, cosigned)
def chain(versions: list[Facts]) -> list[bytes]:
    bodies = [un(version["version"]) for version in versions]
    for before, body, version in zip([None, *bodies], bodies, versions):
        verify_version(body, [*map(un, version["approvals"])], before)
    return bodies
def register(_: Facts, v: Facts, data: bytes) -> Facts:
    with refused_as("refused at another version"):
        need(v.get("at") in (None, len(v["chain"])) and chain(v["chain"][:-1]) is not None, "malformed")
    return {"hashes": [keys.sha256(body).hex() for body in chain(v["chain"])]}
def key_set(file: Facts, v: Facts, data: bytes) -> Facts:
    record, last = Record(data), decode(chain(file["register"])[-1])
    serial, known = read_key_set(record, last)[1], v["known"] and Record(un(v["known"]))
    need(not known or known.author != record.author or serial > read_key_set(known, last)[1], "stale")
    return {}
def bundle(file: Facts, v: Facts, data: bytes) -> Facts:
    made, change = file.setdefault("made", {}), v.get("change", {"pieces": []})
    data += b"".join(un(piece) if type(piece) is str else made[change["of"]][slice(*piece)] for piece in change["pieces"])
    made[v["name"]] = data
    return {"statement": verify(data, un(v["expected_root"]) if v["expected_root"] else None) | {"fingerprint": v.get("statement", {}).get("fingerprint")}}
def signing(_: Facts, v: Facts, data: bytes) -> Facts:
    PUBLIC_KEY(public := keys.ed25519.Ed25519PrivateKey.from_private_bytes(un(v["seed"])).public_key().public_bytes_raw())
    return told("public id", public, keys.key_id(public))
def sealing(_: Facts, v: Facts, data: bytes) -> Facts:
    need(keys.xwing_valid(public := b"".join(secret.public_key().public_bytes_raw() for secret in keys.xwing_secret(un(v["seed"])))), "malformed")
    return told("public id", public, keys.key_id(public))
def of(file: Facts, member: str, name: str) -> Facts:
    return next(v for v in file[member] if v["name"] == name)
def derived(v: Facts) -> tuple[int, bytes]:
    return matching.derive_key(un(v["epoch_secret"]), v["asker"].encode(), v["subject"].encode(), v["epoch"])
def question(_: Facts, v: Facts, data: bytes) -> Facts:
    matching.check_question(v["count"], [*map(un, v["elements"])])
    commitment, elements = matching.ask(un(v["secret"]), [*map(un, v["inputs"])])
    return told("count commitment elements", len(v["inputs"]), commitment, [element.hex() for element in elements])
def answer(file: Facts, v: Facts, data: bytes) -> Facts:
    asked, (secret, public) = of(file, "questions", v["question"]), derived(of(file, "keys", v["key"]))
    elements, evaluated, proof = [*map(un, asked["elements"])], [*map(un, v["evaluated"])], un(v["proof"])
    matching.verify_answer(public, elements, evaluated, proof)
    again, tags = matching.answer(secret, public, elements, un(v["random"])), matching.tags(un(asked["secret"]), [*map(un, asked["inputs"])], evaluated)
    return told("evaluated proof tags", [element.hex() for element in again[0]], again[1], [tag.hex() for tag in tags])
def list_filter(_: Facts, v: Facts, data: bytes) -> Facts:
    capacity = matching.read_filter(data)
    return told("class sha256 look_ups", capacity, keys.sha256(data), [one | {"label": matching.look_up(data, un(one["tag"]))} for one in v["look_ups"]])
CHECKS = {
    "attachments.json": {"vectors": lambda f, v, data: told("chunk content", keys.sha256(data), keys.open_chunk(un(f["key"]), v["number"], v["last"], data))},
    "cbor.json": {"vectors": lambda f, v, data: need(cbor2.dumps(decode(data)) == data, "malformed", "cbor2 writes other bytes") or {}},
    "checkpoints.json": {"vectors": checkpoint}, "evidence.json": {"vectors": bundle}, "key-sets.json": {"vectors": key_set},
    "keys.json": {"refused": lambda f, v, data: PUBLIC_KEY(data) and {}, "sealing": sealing, "signing": signing},
    "leaves.json": {"vectors": lambda f, v, data: told("entry leaf_hash", entry := keys.leaf_entry(
        un(v["salt"]), v["type"], v["at_ms"], un(v["subject"]), un(v["detail"])), keys.leaf_hash(entry))}, "matching.json": {
        "keys": lambda f, v, data: told("public", derived(v)[1]), "questions": question, "answers": answer, "filters": list_filter},
    "parcels.json": {"vectors": parcel}, "proofs.json": {
        "inclusion": lambda f, v, data: told("holds", keys.included(un(v["leaf"]), v["index"], v["size"], [*map(un, v["proof"])], un(v["root"]))),
        "consistency": lambda f, v, data: told("holds", keys.consistent(v["old_size"], un(v["old_root"]), v["new_size"], un(v["new_root"]),
                                                                         [*map(un, v["proof"])]))},
    "receipts.json": {"vectors": record}, "records.json": {"vectors": record}, "register.json": {"vectors": register}}
INPUTS = set("name bytes zeros expect now number last salt type at_ms subject detail leaf index size proof root old_size old_root new_size new_root "
             "note chain known change expected_root seed fingerprint epoch_secret asker epoch secret inputs key question random".split())

def disagreement(check: Any, file: Facts, v: Facts) -> str:
    """What was found instead of what the vector expects; every member of a good vector that is no input is compared."""
    try:
        facts, found = check(file, v, un(v.get("bytes", "")) + bytes(v.get("zeros", 0))), "ok"
    except Refused as refused:
        facts, found = {}, refused.reason
    if found != v.get("expect", "ok"):
        return f"{v.get('expect', 'ok')} expected, {found} found"
    other = {name for name in v if found == "ok" and (name in facts or name not in INPUTS) and facts.get(name) != v[name]}
    return f"another {', '.join(sorted(other))} found" if other else ""
def vectors(folder: Path) -> int:
    names, total, wrong, part = sorted(path.name for path in folder.iterdir() if path.name != "README.md"), 0, 0, 0
    for name in names:
        file = json.loads((folder / name).read_text("utf-8")) if name in CHECKS else {}
        every = [(check, {"name": v, "bytes": v, "expect": "malformed"} if type(v) is str else v)
                 for member, check in CHECKS.get(name, {}).items() for v in file[member]]
        failed = [f"\n    {v.get('name', v.get('id'))}: {why}" for check, v in every if (why := disagreement(check, file, v))]
        good = sum(v.get("expect", "ok") == "ok" and v.get("holds", True) for _, v in every)
        print(f"{name}: {good} good, {len(every) - good} broken, {len(failed)} disagree", *failed, "" if every else "(NO VECTORS that this verifier knows)")
        total, wrong, part = total + len(every), wrong + len(failed) + (not every), part + sum('"fingerprint"' in json.dumps(v) for _, v in every)
    print(f"total: {total} vectors in {len(names)} files, {wrong} disagree; {part} were checked only in part: not the words of their fingerprints")
    return int(wrong > 0 or total == 0)
def main() -> int | None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("evidence", "vectors"), help="check an evidence bundle, or every vector of a folder")
    parser.add_argument("path", type=Path, help="the bundle's file, or the folder")
    parser.add_argument("--root", type=un, help="the hash of register version 1 that you trust, in hexadecimal")
    parser.add_argument("--json", action="store_true", help="write the statement of section 14.2, or the fault, as JSON")
    args = parser.parse_args()
    if args.command == "vectors":
        return vectors(args.path)
    try:
        with refused_as("format", OSError):
            data = args.path.read_bytes()
        said = verify(data, args.root)
    except Refused as fault:
        print(json.dumps({"fault": {"part": fault.reason, "why": fault.why}}) if args.json else f"refused: {fault}")
        return 1
    print(json.dumps(said) if args.json else "\n".join(f"{name}: {json.dumps(value, ensure_ascii=False)}" for name, value in said.items()))
sys.exit(main())
