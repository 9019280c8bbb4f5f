"""What `cargo xtask test --only api` adds to Schemathesis."""

import itertools

import schemathesis

NUMBERS = itertools.count(1)


@schemathesis.hook
def before_call(context, case, **kwargs):
    """Each request comes from an address of its own, as through a proxy on loopback: a desk answers an address that shows
    wrong credentials too often with 429, and what is asked here is that it answers wrong credentials with 401."""
    number = next(NUMBERS)
    case.headers["X-Forwarded-For"] = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    """Lines go as they are."""
    return {"data": value}
