"""Is this PNG a picture of something? Decoded with Pillow, then looked at: size, colours, how much is not background."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Sequence
from typing import cast

LEAST_SIZE = (300, 200)
MOST_PIXELS = 4_000_000
MOST_COLOURS = 65_536
LEAST_COLOURS = 16
LEAST_DRAWN = 0.005
LEAST_OF_A_COLOUR = 0.0005

_END = b"\0\0\0\0IEND\xae\x42\x60\x82"  # the last chunk: empty, with its CRC (PNG specification, 11.2.5)

# What Pillow's decoder raises for damaged files, by its kind of damage.
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
    """Width and height in pixels of a PNG that shows something, in it each of `colours` (red, green, blue; 0 to 255).

    Raises ValueError, with words for a person, where it is damaged, too small, blank, or lacks a colour.
    """
    (width, height), counted = _decode(png)
    if width < LEAST_SIZE[0] or height < LEAST_SIZE[1]:
        least = f"{LEAST_SIZE[0]} x {LEAST_SIZE[1]}"
        raise ValueError(f"the picture has {width} x {height} pixels, expected at least {least}")
    pixels = width * height
    drawn = pixels - max(counted.values())
    if len(counted) < LEAST_COLOURS or drawn < LEAST_DRAWN * pixels:
        share = 100 * drawn / pixels
        raise ValueError(f"the picture is blank: {len(counted)} colours, {share:.1f} % is not background")
    for colour in colours:
        if counted.get(colour, 0) < LEAST_OF_A_COLOUR * pixels:
            raise ValueError(f"the picture lacks what was drawn in the colour #{bytes(colour).hex()}")
    return width, height


def _decode(png: bytes) -> tuple[tuple[int, int], dict[Colour, int]]:
    """The size, and how many pixels have which colour, over a white page."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(png), formats=["PNG"]) as image:
                pixels = image.width * image.height
                if pixels <= MOST_PIXELS:
                    image.verify()  # every chunk's CRC; load() alone takes what it can get
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
        raise ValueError("this is no PNG picture that can be looked at") from None
    except _DAMAGED:
        raise ValueError("the PNG is damaged or cut off") from None
    if pixels > MOST_PIXELS:
        raise ValueError(f"the picture is too large to be looked at ({pixels} pixels)")
    raise ValueError(f"the picture has more than {MOST_COLOURS} colours, which nothing drew that was asked for")
