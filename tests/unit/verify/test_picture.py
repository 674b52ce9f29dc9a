"""A picture passes, a blank, small, damaged or other one does not."""

from __future__ import annotations

import io
import struct
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from nbserver.verify import picture

BLUE = (31, 119, 180)
RED = (214, 39, 40)


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format="PNG")
    return buffer.getvalue()


def _drawing(width: int = 400, height: int = 300, mode: str = "RGB") -> Image.Image:
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    draw.text((10, 10), "a title", fill="black")
    image = image.filter(ImageFilter.GaussianBlur(1))
    draw = ImageDraw.Draw(image)
    draw.line([(0, 0), (width, height)], fill=BLUE, width=4)
    draw.line([(0, height), (width, 0)], fill=RED, width=4)
    return image.convert(mode)


DRAWING = _png(_drawing())


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P"])
def test_a_drawing_passes(mode: str) -> None:
    assert picture.check(_png(_drawing(mode=mode))) == (400, 300)


def test_a_drawing_with_its_colours_passes() -> None:
    assert picture.check(DRAWING, colours=[BLUE, RED]) == (400, 300)


def test_a_missing_colour_is_named() -> None:
    with pytest.raises(ValueError, match="#00ff00"):
        picture.check(DRAWING, colours=[BLUE, (0, 255, 0)])


@pytest.mark.parametrize("image", [Image.new("RGB", (400, 300), "white"), Image.new("RGBA", (400, 300), (9, 9, 9, 0))])
def test_a_blank_one_is_refused(image: Image.Image) -> None:
    with pytest.raises(ValueError, match=r"blank: all of its pixels have the same color"):
        picture.check(_png(image))


def test_transparent_drawing_is_blank() -> None:
    image = _drawing(mode="RGBA")
    image.putalpha(0)
    with pytest.raises(ValueError, match="blank"):
        picture.check(_png(image))


def test_many_colours_in_a_corner_are_blank() -> None:
    image = Image.new("RGB", (400, 300), "white")
    for x in range(20):
        image.putpixel((x, 0), (x, 0, 0))
    with pytest.raises(ValueError, match=r"blank: it has 21 colors, and only 0.0%"):
        picture.check(_png(image))


@pytest.mark.parametrize("size", [(299, 200), (300, 199)])
def test_a_small_one_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=f"got {size[0]} x {size[1]}"):
        picture.check(_png(_drawing(*size)))


def test_the_least_size_passes() -> None:
    assert picture.check(_png(_drawing(300, 200))) == (300, 200)


@given(st.integers(min_value=0, max_value=len(DRAWING) - 1))
def test_a_truncated_one_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="PNG"):
        picture.check(DRAWING[:length])


@given(st.integers(min_value=0, max_value=len(DRAWING) - 1), st.integers(min_value=1, max_value=255))
def test_a_flipped_byte_is_a_value_error_or_harmless(place: int, change: int) -> None:
    damaged = bytearray(DRAWING)
    damaged[place] ^= change
    try:
        assert picture.check(bytes(damaged)) == (400, 300)
    except ValueError as refused:
        assert str(refused)


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: DRAWING[:16] + tail))
def test_other_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"PNG|picture"):
        picture.check(content)


def test_other_formats_are_refused() -> None:
    buffer = io.BytesIO()
    _drawing().save(buffer, format="JPEG")
    with pytest.raises(ValueError, match="not a valid PNG"):
        picture.check(buffer.getvalue())


@pytest.mark.parametrize("side", [6000, 60_000])
def test_an_enormous_one_is_not_unpacked(side: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    png = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")
    with pytest.raises(ValueError, match=r"not a valid PNG|too large"):
        picture.check(png)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _hostile_png(width: int, height: int, depth: int, colour: int, data: bytes, *others: bytes) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(others) + _chunk(b"IDAT", zlib.compress(data, 1)) + _chunk(b"IEND", b"")


def _all_colours() -> bytes:
    """400 x 300 pixels, each of another colour."""
    return b"".join(b"\0" + b"".join(struct.pack(">I", y * 400 + x)[1:] for x in range(400)) for y in range(300))


@pytest.mark.filterwarnings("error", "ignore::ResourceWarning")  # one may come from the garbage of another test
@pytest.mark.parametrize(
    ("png", "reason"),
    [
        (_hostile_png(10_000, 10_000, 1, 0, b""), "not a valid PNG|too large"),  # Pillow only warns of this size
        (_hostile_png(2100, 2000, 8, 2, b""), r"too large to check \(4200000 pixels\)"),
        (_hostile_png(400, 300, 8, 2, _all_colours()), "more than 65536 colors"),
        (_hostile_png(400, 300, 8, 2, b"", _chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))), "PNG|picture"),
        (_hostile_png(400, 300, 8, 2, b"", _chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(50_000_000)))), "PNG|picture"),
        (_hostile_png(400, 300, 8, 2, b"", _chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(50_000_000)))), "PNG|picture"),
        (_hostile_png(400, 300, 8, 3, b""), "PNG|picture"),  # a palette is missing
    ],
    ids=["large", "a_bit_large", "colours", "second_header", "text", "profile", "palette"],
)
def test_a_picture_that_means_harm_takes_little_memory(png: bytes, reason: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=reason):
            picture.check(png)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()
