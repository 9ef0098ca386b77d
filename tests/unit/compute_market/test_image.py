"""Checkpoint images keep every bit, and a crafted one does no harm."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compute_market.runners.wasm.image import PAGE, DamagedImage, Image, decode_image, encode_image


@given(
    filling=st.binary(min_size=1, max_size=300),
    whole=st.integers(-(2**63), 2**63 - 1),
    real=st.floats(allow_nan=False),
)
def test_what_goes_in_comes_out(filling: bytes, whole: int, real: float) -> None:
    memory = (filling * (PAGE // len(filling) + 1))[:PAGE]
    image = Image("a" * 64, memory, {"counter": ("i64", whole), "mean": ("f64", real)})
    assert decode_image(encode_image(image), program_sha256="a" * 64, most_pages=1) == image


def test_an_image_larger_than_the_job_s_memory_is_refused() -> None:
    content = encode_image(Image("a" * 64, bytes(3 * PAGE), {}))
    with pytest.raises(DamagedImage, match="larger"):
        decode_image(content, program_sha256="a" * 64, most_pages=2)


def test_an_image_that_unpacks_to_more_than_it_says_is_refused() -> None:
    honest = encode_image(Image("a" * 64, bytes(PAGE), {}))
    start = len(honest) - len(zlib.compress(bytes(PAGE), 1))
    bomb = honest[:start] + zlib.compress(bytes(1000 * PAGE), 1)
    with pytest.raises(DamagedImage, match="too long"):
        decode_image(bomb, program_sha256="a" * 64, most_pages=1)


@given(content=st.binary(max_size=200))
def test_noise_is_refused(content: bytes) -> None:
    for candidate in (content, b"VGCKPT1\n" + content, b"VGCKPT1\n" + struct.pack(">I", len(content)) + content):
        with pytest.raises(DamagedImage):
            decode_image(candidate, program_sha256="a" * 64, most_pages=1)
