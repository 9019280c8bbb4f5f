"""Measures openmined-psi on a list and a query, for `cargo xtask bench matching`.

Reads a JSON object with `list` and `query`, arrays of texts, from standard input, and writes one with the processor time, in
seconds, that each step took, and with what was found. Both sides run in this process. The server does not prove its answers:
the library cannot.
"""

import importlib.metadata
import json
import sys
import time

import private_set_intersection.python as psi

# Ours lets a stranger pass once in 2^32 lookups; this library counts by query.
STRANGERS = 2**-32


def main() -> None:
    given = json.load(sys.stdin)
    listed, query = given["list"], given["query"]
    steps = []

    def step(work):
        started = time.process_time()
        result = work()
        steps.append(time.process_time() - started)
        return result

    server = psi.server.CreateWithNewKey(True)
    client = psi.client.CreateWithNewKey(True)
    rate = STRANGERS * len(query)
    # Of its data structures the one whose queries are the quickest.
    structure = psi.DataStructure.BLOOM_FILTER
    setup = step(lambda: server.CreateSetupMessage(rate, len(query), listed, structure))
    request = step(lambda: client.CreateRequest(query))
    response = step(lambda: server.ProcessRequest(request))
    found = step(lambda: client.GetIntersection(setup, response))
    version = importlib.metadata.version("openmined-psi")
    said = {"version": version, "setup_s": steps[0], "query_s": sum(steps[1:]), "found": sorted(found)}
    json.dump(said, sys.stdout)


main()
