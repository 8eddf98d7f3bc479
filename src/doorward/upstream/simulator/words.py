"""Made-up answers: the same seed and question give the same words, numbers and picture.

A token is one word with the space before it. That is not how real tokenisers count, but it is countable by hand.
"""

import hashlib
import math
import re
import struct
import zlib
from collections.abc import Iterator
from typing import Final

_VOCABULARY: Final = re.findall(
    r"\w+",
    "the door stands open while a quiet street fills with people who came to ask one small question and every answer "
    "takes its turn so nobody waits longer than the light needs to cross the hall where keys hang in good order each "
    "known by its owner rain falls on slate roofs as lamps are lit and letters find their way home before morning",
)


def _digest(*parts: object) -> bytes:
    """64 bytes that depend on the parts and on where one ends and the next begins."""
    state = hashlib.blake2b(digest_size=64)
    for part in parts:
        data = str(part).encode("utf-8", "surrogatepass")
        state.update(len(data).to_bytes(8, "big") + data)
    return state.digest()


def token_count(text: str) -> int:
    """Words in a text; at least 1 for a text that is not empty."""
    return len(text.split()) or int(bool(text))


def answer_tokens(seed: int, question: tuple[str, ...], bounds: tuple[int, int], limit: int) -> list[str]:
    """The tokens of an answer: between the bounds (shortest, longest), but at most `limit`."""
    start = _digest(seed, "answer", *question)
    shortest, longest = bounds
    length = min(shortest + int.from_bytes(start[:4], "big") % (longest - shortest + 1), limit)
    tokens: list[str] = []
    for block in range(length // 64 + 1):
        for byte in _digest(start.hex(), block)[: length - len(tokens)]:
            word = _VOCABULARY[byte % len(_VOCABULARY)]
            tokens.append(f" {word}" if tokens else word.capitalize())
    return tokens


def embedding(seed: int, text: str, dimensions: int) -> list[float]:
    """A vector of length 1."""
    raw = [value / 2**31 - 1 for value in _numbers(_digest(seed, "embedding", text), dimensions)]
    length = math.sqrt(sum(value * value for value in raw)) or 1.0
    return [value / length for value in raw]


def _numbers(start: bytes, amount: int) -> Iterator[int]:
    """`amount` unsigned 32-bit numbers."""
    data = hashlib.shake_256(start).digest(4 * amount)
    return iter(struct.unpack(f">{amount}I", data))


def picture(seed: int, prompt: str, number: int, size: tuple[int, int]) -> bytes:
    """A PNG (RFC 2083) of `size` (width, height): a square pattern of the prompt's own colours."""
    width, height = size
    digest = _digest(seed, "picture", prompt, number)
    palette = [digest[at : at + 3] for at in range(0, 24, 3)]
    rows = []
    for line in range(8):
        cells = b"".join(
            palette[digest[24 + (line * 8 + min(column, 7 - column)) % 40] % 8] * (width // 8 or 1)
            for column in range(8)
        )
        rows.append(b"\0" + cells[: width * 3].ljust(width * 3, b"\0"))
    body = b"".join(rows[min(line * 8 // height, 7)] for line in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(body, 6)), _chunk(b"IEND", b""))
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
