"""Keys: which of several rights a check-in hands over.

The message of child_port.defs carries one right and a token. A key has a token of its own, which
who knows the server's token and the key can work out, and nobody else:

    bits 63 to 32   the server's token with every bit turned over
    bits 31 to 0    BLAKE2b of the key, keyed with the server's token

The upper half tells the server that a check-in has some key, and that its sender knows the secret,
before anybody has asked for that key; the whole says which key it is. Two keys of one server have
the same token by a chance of one in four thousand million.
"""

from __future__ import annotations

PARENT_TO_CHILD = ""
"""The key with which a child hands its own port to its parent. No caller can give it."""

_UPPER = 0xFFFFFFFF00000000


def check_key(key: str) -> str:
    if not isinstance(key, str):
        raise TypeError(f"a key must be a str, not {type(key)!r}")
    if not key:
        raise ValueError("a key must not be empty")
    return key


def derive(token: int, key: str) -> int:
    from hashlib import blake2b  # not before a key is used: OpenSSL is slow to load

    secret = token.to_bytes(8, "little")
    digest = blake2b(key.encode(), digest_size=4, key=secret, person=b"child_port key")
    return (~token & _UPPER) | int.from_bytes(digest.digest(), "little")


def key_token(token: int, key: str) -> int:
    """The token of a check-in with that key, at a KeyedServer whose token is given.

    For check_in(); check_in_to_parent() works it out by itself. ValueError for an empty key or a
    token that is not of 64 bits.
    """
    if not 0 <= token < 1 << 64:
        raise ValueError("a token must be between 0 and 2**64-1")
    return derive(token, check_key(key))
