"""How files are damaged: bits, ends, keys and values; by accident, or by somebody who makes the seal again.

Every way is a function of the content and of a seeded generator, so that a damage is named by its number.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

Damage = Callable[[bytes, Random], bytes]

CANARY = "canary_of_damage"
"""A module that can be imported, and must not be: every text that could make somebody import it is spliced in."""
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 7.5, -0.0, 1e300, 2**31, 2**63, -(2**70), 10**500),
    *("", "x", "0", "nan", "ok", "exact", "bellman", "CartPole-v1", f"{CANARY}:Thing", f"{CANARY}:Thing-v0", CANARY),
    *(
        "../../etc/passwd",
        "/dev/zero",
        "http://localhost:9/x",
        "\x1b[2J\x00",
        "](javascript:alert(1))",
        "<script>",
        "é",
    ),
    *([], {}, [[]], [1], ["x"], [None], {"a": 1}, {"": None}, {"float": "nan"}, {"float": "inf"}, {"target": "x"}),
    *("9" * 5_000, ["x"] * 2_000, [0.5] * 2_000, [[[[[[[["deep"]]]]]]]]),
]


def flipped(content: bytes, random: Random) -> bytes:
    changed = bytearray(content)
    for _ in range(random.randint(1, 6)):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def truncated(content: bytes, random: Random) -> bytes:
    return content[: random.choice((0, 1, 7, 8, 9, len(content) - 1, random.randrange(len(content))))]


def overwritten(content: bytes, random: Random) -> bytes:
    start = random.randrange(len(content))
    noise = random.choice((bytes(64), random.randbytes(64), b"\xff" * 16, b"\xed\xa0\x80", b"\n" * 64))
    return content[:start] + noise + content[start + random.choice((0, len(noise))) :]


def appended(content: bytes, random: Random) -> bytes:
    return content + random.choice((b"\0", b"}", content, random.randbytes(9)))


_VALUE = re.compile(rb'(?<=[:\[,] )("[^"\\]*"|[-0-9.e+]+|true|false|null|\[\]|\{\})|(?<== )[^\n]+')


def _in_place_of_a_value(content: bytes, random: Random, value: bytes) -> bytes:
    found = list(_VALUE.finditer(content))
    if not found:
        return value
    place = random.choice(found)
    return content[: place.start()] + value + content[place.end() :]


def nested(content: bytes, random: Random) -> bytes:
    deep = random.choice((70, 2_000, 100_000))
    return _in_place_of_a_value(content, random, random.choice((b"[" * deep + b"]" * deep, b'{"a": ' * deep)))


def numbered(content: bytes, random: Random) -> bytes:
    digits = (b"9" * 5_000, b"-" + b"1" * 700, b"1e999", b"NaN", b"-Infinity", b"0x10", b"1_0", b"01")
    return _in_place_of_a_value(content, random, random.choice(digits))


def doubled(content: bytes, random: Random) -> bytes:
    """One key twice."""
    keys = list(re.finditer(rb'"[A-Za-z_]+":|^[a-z]+ =', content, re.MULTILINE))
    if not keys:
        return content * 2
    key = random.choice(keys)
    value = b" 1,\n" if key[0].endswith(b":") else b" 1\n"
    return content[: key.start()] + key[0] + value + content[key.start() :]


def surrogate(content: bytes, random: Random) -> bytes:
    return _in_place_of_a_value(content, random, rb'"\ud800"')


RAW: tuple[Damage, ...] = (
    flipped,
    truncated,
    overwritten,
    appended,
    nested,
    numbered,
    doubled,
    surrogate,
)
"""Damages of bytes."""


def spliced(data: Any, random: Random, values: list[Any] = VALUES) -> Any:
    """JSON-like data in which one value, at any place, is another one, is gone, or stands elsewhere too."""
    changed = copy.deepcopy(data)
    places = list(_places(changed))
    holder, key = random.choice(places)
    way = random.randrange(8)
    if way == 0:
        del holder[key]
    elif way == 1:
        other, name = random.choice(places)
        holder[key] = copy.deepcopy(other[name])
    elif way == 2 and isinstance(holder, dict):
        holder[random.choice(("extra", "", "a.b", "\x1b[1m", "é" * 100))] = random.choice(values)
    elif way == 3 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        holder[key] = random.choice((-holder[key] - 1, holder[key] * 2 + 1, str(holder[key]), [holder[key]]))
    else:
        holder[key] = copy.deepcopy(random.choice(values))
    return changed


def _places(data: Any) -> Any:
    """Every container with every key of it."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in list(items):
        yield data, key
        yield from _places(value)


def header_of(content: bytes) -> dict[str, Any]:
    """The header of safetensors."""
    length = int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8 : 8 + length])
    return header


def with_header(content: bytes, header: Any) -> bytes:
    """The same numbers under another header."""
    length = int.from_bytes(content[:8], "little")
    told = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(told).to_bytes(8, "little") + told + content[8 + length :]


def tensors_damaged(content: bytes, random: Random) -> bytes:
    """Safetensors whose header says something else: lengths, types, shapes, offsets, names."""
    header = header_of(content)
    way = random.randrange(6)
    if way == 0:
        length = random.choice((0, 1, 2**31, 2**63, 2**64 - 1, len(content)))
        return length.to_bytes(8, "little") + content[8:]
    if way == 1:
        return with_header(content, random.choice((b"[" * 100_000, b"{}", b"[]", b"1", b'{"a": 1}', b'{"\\ud800": 1}')))
    if way == 2:
        names = [name for name in header if name != "__metadata__"]
        one = random.choice(names)
        header[random.choice(("x", "part.0.x", f"{one}.{one}", ""))] = header.pop(one)
        return with_header(content, header)
    if way == 3:
        return flipped(content, random)
    facts: Mapping[str, Any] = spliced({k: v for k, v in header.items() if k != "__metadata__"}, random)
    kept = {"__metadata__": header["__metadata__"]} if "__metadata__" in header else {}
    return with_header(content, {**kept, **facts})
