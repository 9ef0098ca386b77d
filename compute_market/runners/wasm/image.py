"""Checkpoint images: a module's linear memory and exported mutable globals between two steps.

Layout: the magic, 4 bytes big-endian length of a JSON header, the header, the memory compressed with zlib. The header
holds `program_sha256`, `pages` (of 64 KiB) and `globals` (name to [type, value]; floats as hexadecimal bits, so that no
bit is lost). Decoding never makes more than `pages` pages, so a crafted image cannot blow up.
"""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any

MAGIC = b"VGCKPT1\n"
PAGE = 65536
LENGTH = struct.Struct(">I")
FLOATS = {"f32": struct.Struct("<f"), "f64": struct.Struct("<d")}


class DamagedImage(ValueError):
    """The bytes are no image of this program."""


@dataclass(frozen=True, slots=True)
class Image:
    """The state of a module between two steps. `global_values` maps a name to its type (i32, i64, f32, f64) and value."""

    program_sha256: str
    memory: Any  # any bytes-like object, a whole number of pages
    global_values: dict[str, tuple[str, int | float]]


def encode_image(image: Image) -> bytes:
    """Write an image. The fastest compression: most of a program's memory is zeros."""
    header = {
        "program_sha256": image.program_sha256,
        "pages": memoryview(image.memory).nbytes // PAGE,
        "globals": {name: [kind, _to_json(kind, value)] for name, (kind, value) in image.global_values.items()},
    }
    head = json.dumps(header, sort_keys=True).encode()
    return MAGIC + LENGTH.pack(len(head)) + head + zlib.compress(image.memory, 1)


def decode_image(content: bytes, *, program_sha256: str, most_pages: int) -> Image:
    """Read an image.

    Raises:
        DamagedImage: it is none, belongs to another program, or wants more memory than the job has.
    """
    try:
        if not content.startswith(MAGIC):
            raise DamagedImage("no checkpoint image")
        start = len(MAGIC) + LENGTH.size
        (length,) = LENGTH.unpack(content[len(MAGIC) : start])
        header = json.loads(content[start : start + length])
        if header["program_sha256"] != program_sha256:
            raise DamagedImage("image of another program")
        if not 0 <= header["pages"] <= most_pages:
            raise DamagedImage("image larger than the job's memory")
        size = header["pages"] * PAGE
        inflater = zlib.decompressobj()
        memory = inflater.decompress(content[start + length :], size + 1)
        if len(memory) != size or not inflater.eof:
            raise DamagedImage("image cut short or too long")
        values = {name: (kind, _from_json(kind, value)) for name, (kind, value) in header["globals"].items()}
    except DamagedImage:
        raise
    except (ValueError, KeyError, TypeError, struct.error, zlib.error) as error:
        raise DamagedImage(f"damaged image: {error}") from error
    return Image(program_sha256, memory, values)


def _to_json(kind: str, value: int | float) -> int | str:
    return FLOATS[kind].pack(value).hex() if kind in FLOATS else int(value)


def _from_json(kind: str, value: Any) -> int | float:
    if kind in FLOATS:
        return float(FLOATS[kind].unpack(bytes.fromhex(value))[0])
    if kind not in ("i32", "i64") or not isinstance(value, int):
        raise DamagedImage(f"a global of type {kind!r}")
    return value
