"""Check that a PNG shows something: decode it with Pillow, and check its size, its colors, and how much is not background."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Sequence
from typing import cast

from nbserver.base.message import DescribedError

LEAST_SIZE = (300, 200)
MOST_PIXELS = 4_000_000
MOST_COLOURS = 65_536
LEAST_COLOURS = 16
LEAST_DRAWN = 0.005
LEAST_OF_A_COLOUR = 0.0005

_END = b"\0\0\0\0IEND\xae\x42\x60\x82"  # the last chunk: empty, with its CRC (PNG specification, 11.2.5)

# The exceptions of Pillow's decoder for damaged files.
_DAMAGED = (
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
)

Colour = tuple[int, int, int]


def check(png: bytes, *, colours: Sequence[Colour] = ()) -> tuple[int, int]:
    """Return the width and height in pixels of a PNG that shows something and contains each of `colours` (red, green, blue; 0 to 255).

    Raises ValueError with a readable message if the picture is damaged, too small, blank, or lacks a color.
    """
    (width, height), counted = _decode(png)
    if width < LEAST_SIZE[0] or height < LEAST_SIZE[1]:
        least = f"{LEAST_SIZE[0]} x {LEAST_SIZE[1]}"
        raise DescribedError(
            "picture-too-small",
            "the picture is too small: expected at least {least} pixels, got {width} x {height}",
            least=least,
            width=width,
            height=height,
        )
    pixels = width * height
    drawn = pixels - max(counted.values())
    if len(counted) < LEAST_COLOURS or drawn < LEAST_DRAWN * pixels:
        if len(counted) == 1:
            raise DescribedError("picture-one-color", "the picture is blank: all of its pixels have the same color")
        raise DescribedError(
            "picture-blank",
            "the picture is blank: it has {count} colors, and only {share}% of its pixels differ from the background",
            count=len(counted),
            share=f"{100 * drawn / pixels:.1f}",
        )
    for colour in colours:
        if counted.get(colour, 0) < LEAST_OF_A_COLOUR * pixels:
            raise DescribedError(
                "picture-without-curve", "the picture does not contain the curve in the color #{color}", color=bytes(colour).hex()
            )
    return width, height


def _decode(png: bytes) -> tuple[tuple[int, int], dict[Colour, int]]:
    """Return the size, and the number of pixels of each color, on a white background."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
                pixels = image.width * image.height
                if pixels <= MOST_PIXELS:
                    image.verify()  # checks the CRC of every chunk; load() alone accepts damaged files
            if pixels <= MOST_PIXELS and not png.endswith(_END):
                raise EOFError
            if pixels <= MOST_PIXELS:
                with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
                    page = Image.new("RGBA", image.size, "white")
                    page.alpha_composite(image.convert("RGBA"))
                counted = page.convert("RGB").getcolors(MOST_COLOURS)
                if counted is not None:
                    return page.size, {cast(Colour, colour): count for count, colour in counted}
    except (UnidentifiedImageError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise DescribedError("picture-not-png", "the picture is not a valid PNG file") from None
    except _DAMAGED:
        raise DescribedError("picture-damaged", "the PNG file is damaged or truncated") from None
    if pixels > MOST_PIXELS:
        raise DescribedError("picture-too-large", "the picture is too large to check ({pixels} pixels)", pixels=pixels)
    raise DescribedError(
        "picture-too-many-colors", "the picture has more than {limit} colors, so it is not the requested picture", limit=MOST_COLOURS
    )
