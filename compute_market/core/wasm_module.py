"""Reading a WebAssembly module's outside: what it imports and exports, without compiling it.

Format: WebAssembly Core Specification 2.0, chapter 5 (binary format), https://www.w3.org/TR/wasm-core-2/.
The required exports are those of docs/compute-abi.md.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from common.errors import InvalidInput

MAGIC = b"\0asm\1\0\0\0"
IMPORT_SECTION, EXPORT_SECTION = 2, 7
KINDS = {0: "function", 1: "table", 2: "memory", 3: "global", 4: "tag"}
REQUIRED_EXPORTS = {
    "memory": "memory",
    "alloc": "function",
    "init": "function",
    "step": "function",
    "output": "function",
}


@dataclass(frozen=True, slots=True)
class ModuleSurface:
    """What a module imports ("module.name") and exports (name to kind)."""

    imports: tuple[str, ...]
    exports: dict[str, str]


class InvalidProgram(InvalidInput):
    """The bytes are no module that a runner can run."""

    code = "invalid_program"


def require_runnable(content: bytes) -> ModuleSurface:
    """Check that a module keeps our contract as far as its outside shows.

    Raises:
        InvalidProgram: it is no module, wants imports, or lacks an export.
    """
    surface = read_surface(content)
    if surface.imports:
        raise _invalid(
            f"imports {', '.join(surface.imports[:5])}, and a job gets none",
            "Build for wasm32-unknown-unknown, without WASI and without imports.",
        )
    for name, kind in REQUIRED_EXPORTS.items():
        if surface.exports.get(name) != kind:
            found = surface.exports.get(name)
            raise _invalid(
                f"exports no {kind} {name!r}" + (f" but a {found} of that name" if found else ""),
                "Export memory, alloc, init, step and output as docs/compute-abi.md describes.",
            )
    return surface


def read_surface(content: bytes) -> ModuleSurface:
    """Imports and exports of a module.

    Raises:
        InvalidProgram: the bytes do not follow the binary format.
    """
    if not content.startswith(MAGIC):
        raise _invalid("is no WebAssembly module of version 1", "Send the bytes of a .wasm file.")
    try:
        imports: list[str] = []
        exports: dict[str, str] = {}
        for section, start, end in _sections(content):
            if section == IMPORT_SECTION:
                imports = list(_imports(_Reader(content, start, end)))
            elif section == EXPORT_SECTION:
                exports = dict(_exports(_Reader(content, start, end)))
    except (IndexError, ValueError, KeyError) as error:
        raise _invalid("breaks off or is damaged", "Send the whole .wasm file.") from error
    return ModuleSurface(tuple(imports), exports)


class _Reader:
    def __init__(self, content: bytes, at: int, end: int) -> None:
        self.content, self.at, self.end = content, at, end

    def byte(self) -> int:
        if self.at >= self.end:
            raise IndexError("read past the end")
        self.at += 1
        return self.content[self.at - 1]

    def unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if not byte & 0x80:
                return value
            shift += 7
            if shift > 63:
                raise ValueError("number too long")

    def name(self) -> str:
        length = self.unsigned()
        if self.at + length > self.end:
            raise IndexError("name past the end")
        self.at += length
        return self.content[self.at - length : self.at].decode()


def _sections(content: bytes) -> Iterator[tuple[int, int, int]]:
    reader = _Reader(content, len(MAGIC), len(content))
    while reader.at < reader.end:
        section, size = reader.byte(), reader.unsigned()
        if reader.at + size > reader.end:
            raise IndexError("section past the end")
        yield section, reader.at, reader.at + size
        reader.at += size


def _imports(reader: _Reader) -> Iterator[str]:
    # any import is refused, so the first is enough: its descriptor needs no reading
    if reader.unsigned():
        yield f"{reader.name()}.{reader.name()}"


def _exports(reader: _Reader) -> Iterator[tuple[str, str]]:
    for _ in range(reader.unsigned()):
        name = reader.name()
        kind = KINDS[reader.byte()]
        reader.unsigned()
        yield name, kind


def _invalid(message: str, remedy: str) -> InvalidProgram:
    return InvalidProgram(message, field="program", remedy=remedy)
