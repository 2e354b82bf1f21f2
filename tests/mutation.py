"""What a disk, a network or a person makes of a file."""

from __future__ import annotations

import random

KINDS = ("cut", "bit", "zeros", "swapped", "random", "empty", "other")


def mutated(content: bytes, kind: str, draw: random.Random, *, other: bytes = b"") -> bytes:
    """Another content of a file.

    Args:
        content: of the file, not empty.
        kind: one of `KINDS`.
        draw: chooses the place and the size of the damage.
        other: what takes its place where the kind is `other`.
    """
    changed = bytearray(content)
    at = draw.randrange(len(content))
    length = min(draw.choice([1, 8, 64, 512]), len(content) - at)
    match kind:
        case "cut":
            return content[:at]
        case "bit":
            changed[at] ^= 1 << draw.randrange(8)
        case "zeros":
            changed[at : at + length] = bytes(length)
        case "swapped":
            to = draw.randrange(len(content) - length + 1)
            part = changed[at : at + length]
            changed[at : at + length] = changed[to : to + length]
            changed[to : to + length] = part
        case "random":
            changed[at : at + length] = draw.randbytes(length)
        case "empty":
            return b""
        case _:
            return other
    return bytes(changed)
