"""The embedded image set ``glyphs``: characters drawn with the fonts that matplotlib brings along.

Every image has a random stream of its own, named by seed, class and number, so an image does not depend on
which others are asked for, and a larger set begins with the smaller one.
"""

from collections.abc import Sequence
from functools import cache, lru_cache
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import numpy as np
import torch
from jaxtyping import Float, Float32, Int, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch.nn import functional as F

from metad2a.data.image_set import ImageSet
from metad2a.data.sources import ImageFacts, ImageSource, resize
from metad2a.errors import DataError, unknown_name
from metad2a.runtime import numpy_rng

VERSION = 1  # changes when the same stream gives another picture
SIZE = 32  # pixels a side of an image
TILE, INK = 64, 48  # a mask's side; its glyph's longer side
EM = 96  # drawn large and scaled down, so that hinting (which differs between machines) hardly shows
TEXTURE = 4  # cells a side of the background's texture
GEOMETRY, COLOURS = 6, 9  # uniform numbers an image draws for each, after one for its face
CHUNK = 256  # images drawn together

FACES = (
    *(f"DejaVuSans{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSansMono{style}" for style in ("", "-Bold", "-Oblique", "-BoldOblique")),
    *(f"DejaVuSerif{style}" for style in ("", "-Bold", "-Italic", "-BoldItalic")),
    *(f"STIXGeneral{style}" for style in ("", "Bol", "Italic", "BolIta")),
)
MIN_FACES = 4
ALIKE = 0.4  # distance of two glyphs, relative to the ink of the fainter, below which they are one class

BLOCKS = (
    (0x0021, 0x007F),  # ASCII
    (0x00A1, 0x00AD),  # Latin
    (0x00AE, 0x02B0),  # Latin without the soft hyphen, phonetic alphabet
    (0x0370, 0x0483),  # Greek, Cyrillic
    (0x048A, 0x0590),  # Cyrillic without the combining marks, Armenian
    (0x10A0, 0x1100),  # Georgian
    (0x2010, 0x2028),  # punctuation
    (0x2030, 0x205F),  # punctuation, without the marks that have no ink
    (0x20A0, 0x20D0),  # currencies
    (0x2100, 0x2400),  # letter-like symbols, number forms, arrows, mathematics, technical signs
    (0x25A0, 0x27C0),  # geometric shapes, miscellaneous symbols, dingbats
    (0x27F0, 0x2800),  # long arrows
    (0x2980, 0x2B00),  # mathematics
    (0x2C60, 0x2C80),  # Latin
)


def glyphs(classes: Sequence[str] | None = None, *, images_per_class: int = 20, seed: int = 0) -> ImageSet:
    """Return drawn characters: colour images of 32 x 32 pixels, one class a character.

    Each image has its own face, size, place, rotation, shear, colours, texture and noise. Nothing is drawn
    before it is asked for.

    Args:
        classes: characters; ``glyph_classes()`` when not given.
        images_per_class: any number: images are made, not found.
        seed: of all images. Image number ``n`` of a character is the same in every set of this seed.

    Raises:
        DataError: a class is no character that can be drawn, or there are no images.
    """
    chosen = glyph_classes() if classes is None else tuple(classes)
    wrong = [char for char in chosen if char not in _faces_of()]
    if wrong:
        raise DataError(f"glyphs cannot draw the class '{wrong[0]}'. glyph_classes() lists what can be drawn.")
    if images_per_class < 1 or not chosen:
        raise DataError(
            f"glyphs needs at least one class and one image a class, not {len(chosen)} and {images_per_class}."
        )
    options: dict[str, int | str] = {"images_per_class": images_per_class, "seed": seed}
    if classes is not None:
        options["classes"] = "".join(chosen)
    labels = np.repeat(np.arange(len(chosen)), images_per_class)
    images = GlyphImages(chosen, images_per_class=images_per_class, seed=seed)
    return ImageSet(images, labels, chosen, name="glyphs", source=f"embedded:glyphs?{urlencode(options)}")


def glyphs_from_query(query: str) -> ImageSet:
    """Return the glyphs that a text like ``images_per_class=50&seed=1&classes=abc`` asks for.

    Raises:
        UnknownNameError: there is no such option.
        DataError: a number is none, or ``glyphs`` refuses the values.
    """
    options = dict(parse_qsl(query, keep_blank_values=True))
    unknown = options.keys() - {"images_per_class", "seed", "classes"}
    if unknown:
        raise unknown_name("option of embedded:glyphs", min(unknown), ("images_per_class", "seed", "classes"))
    try:
        images_per_class, seed = int(options.get("images_per_class", 20)), int(options.get("seed", 0))
    except ValueError as error:
        raise DataError(f"embedded:glyphs?{query}: {error}. Give whole numbers.") from error
    chars = options.get("classes")
    return glyphs(None if chars is None else list(chars), images_per_class=images_per_class, seed=seed)


@cache
def glyph_classes() -> tuple[str, ...]:
    """Return the characters that ``glyphs`` takes by default: those of many faces, each unlike all before it.

    Capital Greek Alpha looks like Latin A, a lower-case c like a small C, so of such characters only the first
    is a class.
    """
    drawable = list(_faces_of())
    masks = np.stack([_mask(char, FACES[0]) for char in drawable])
    small = masks.reshape(-1, TILE // 2, 2, TILE // 2, 2).mean((2, 4), dtype=np.float32) / 255
    ink = small.reshape(len(drawable), -1)
    energy = np.square(ink).sum(1)
    squared = energy[:, None] + energy - 2 * ink @ ink.T
    alike = squared < ALIKE**2 * np.minimum(energy[:, None], energy)
    kept = np.zeros(len(drawable), bool)
    for position in range(len(drawable)):
        kept[position] = not (alike[position] & kept).any()
    return tuple(char for char, keep in zip(drawable, kept, strict=True) if keep)


class GlyphImages(ImageSource):
    """Images of ``chars``, ``images_per_class`` of each in turn, drawn on request."""

    def __init__(self, chars: Sequence[str], *, images_per_class: int, seed: int) -> None:
        self._chars = tuple(chars)
        self._per_class = images_per_class
        self._seed = seed

    def __len__(self) -> int:
        return len(self._chars) * self._per_class

    def load(self, rows: Int[np.ndarray, " I"], size: int) -> UInt8[np.ndarray, "I {size} {size} 3"]:
        """Return the images at ``rows``, drawn at 32 pixels a side and resized."""
        out = np.empty((len(rows), SIZE, SIZE, 3), np.uint8)
        for start in range(0, len(rows), CHUNK):
            out[start : start + CHUNK] = self._draw(rows[start : start + CHUNK])
        return resize(out, size)

    def content_keys(self, rows: Int[np.ndarray, " I"]) -> list[str]:
        """Return what names each image's stream: nothing is drawn."""
        return [f"glyph-{VERSION}-{self._seed}-{char}-{number}" for char, number in self._named(rows)]

    def facts(self, rows: Int[np.ndarray, " I"]) -> list[ImageFacts]:
        """Return the one size and mode that all have, and their keys: nothing is drawn."""
        return [ImageFacts(SIZE, SIZE, "RGB", key) for key in self.content_keys(rows)]

    def _named(self, rows: Int[np.ndarray, " I"]) -> list[tuple[str, int]]:
        kinds, numbers = np.divmod(rows, self._per_class)
        return [(self._chars[kind], number) for kind, number in zip(kinds.tolist(), numbers.tolist(), strict=True)]

    def _draw(self, rows: Int[np.ndarray, " I"]) -> UInt8[np.ndarray, "I S S 3"]:
        numbers = np.empty((len(rows), 1 + GEOMETRY + COLOURS), np.float32)
        normals = np.empty((len(rows), TEXTURE * TEXTURE * 3 + SIZE * SIZE), np.float32)
        masks = np.empty((len(rows), TILE, TILE), np.uint8)
        for position, (char, number) in enumerate(self._named(rows)):
            rng = numpy_rng("glyphs", self._seed, char, number)
            numbers[position] = rng.random(numbers.shape[1], dtype=np.float32)
            rng.standard_normal(dtype=np.float32, out=normals[position])
            faces = _faces_of()[char]
            masks[position] = _mask(char, faces[int(numbers[position, 0] * len(faces))])
        texture, noise = np.split(normals, [TEXTURE * TEXTURE * 3], axis=1)
        _, geometry, colours = np.split(numbers, [1, 1 + GEOMETRY], axis=1)
        return _paint(_place(masks, geometry), colours, texture=texture, noise=noise)


# --- pictures -------------------------------------------------------------------------------------------------


def _place(masks: UInt8[np.ndarray, "I T T"], u: Float32[np.ndarray, "I 6"]) -> Float[np.ndarray, "I S S 1"]:
    """Return how much ink each pixel has when the masks are scaled, turned, sheared and moved."""
    length = 0.6 + 0.35 * u[:, 0]  # of the glyph's longer side, relative to the frame's
    angle = np.deg2rad(15) * (2 * u[:, 1] - 1)
    shear = 0.2 * (2 * u[:, 2] - 1)
    stretch = np.exp(0.2 * (2 * u[:, 3] - 1))
    move = (1 - length)[:, None] * (2 * u[:, 4:6] - 1)
    cos, sin = np.cos(angle), np.sin(angle)
    zoom = (INK / TILE) / length
    # Every pixel of the frame looks up its place in the mask: the inverse of the change itself. The sampling
    # is twice as fine as the image, then averaged, so edges are smooth. Sums are written out rather than left
    # to a matrix product, whose rounding depends on the batch.
    axis = (np.arange(TILE, dtype=np.float32) + 0.5) * (2 / TILE) - 1
    x = axis[None, None, :] - move[:, 0, None, None]
    y = axis[None, :, None] - move[:, 1, None, None]
    cos, sin, shear, across, down = (v[:, None, None] for v in (cos, sin, shear, zoom / stretch, zoom * stretch))
    turned_x, turned_y = x * cos + y * sin, y * cos - x * sin
    grid = np.stack([(turned_x + shear * turned_y) * across, turned_y * down], axis=-1)
    ink = F.grid_sample(
        torch.from_numpy(masks).float()[:, None] / 255, torch.from_numpy(grid).float(), align_corners=False
    )
    return F.avg_pool2d(ink, TILE // SIZE).permute(0, 2, 3, 1).numpy()


def _paint(
    ink: Float[np.ndarray, "I S S 1"],
    u: Float32[np.ndarray, "I 9"],
    *,
    texture: Float32[np.ndarray, "I _"],
    noise: Float32[np.ndarray, "I _"],
) -> UInt8[np.ndarray, "I S S 3"]:
    """Return coloured images: a textured ground, ink of a contrasting colour, noise."""
    ground = u[:, None, None, 0:3]
    dark = ground.mean(-1, keepdims=True) < 0.5
    far = np.where(dark, 0.7 + 0.3 * u[:, None, None, 3:6], 0.3 * u[:, None, None, 3:6])
    colour = ground + (0.5 + 0.5 * u[:, None, None, 6:7]) * (far - ground)
    cells = torch.from_numpy(texture.reshape(-1, 3, TEXTURE, TEXTURE))
    clouds = F.interpolate(cells, (SIZE, SIZE), mode="bicubic", align_corners=False).permute(0, 2, 3, 1).numpy()
    ground = ground + 0.2 * u[:, None, None, 7:8] * clouds
    grain = 0.1 * u[:, None, None, 8:9] * noise.reshape(-1, SIZE, SIZE, 1)
    picture = ground + ink * (colour - ground) + grain
    return np.rint(picture.clip(0, 1) * 255).astype(np.uint8)


# --- fonts ----------------------------------------------------------------------------------------------------


@cache
def _faces_of() -> dict[str, tuple[str, ...]]:
    """Return the characters that can be drawn, in the order of ``BLOCKS``, and the faces that have them."""
    from matplotlib.ft2font import FT2Font

    tables = {face: FT2Font(str(_font_file(face))).get_charmap() for face in FACES}
    found = {}
    for code in (code for start, stop in BLOCKS for code in range(start, stop)):
        faces = tuple(face for face in FACES if code in tables[face])
        # The first face compares the characters in glyph_classes, so it must have each of them.
        if len(faces) >= MIN_FACES and faces[0] == FACES[0]:
            found[chr(code)] = faces
    return found


def _font_file(face: str) -> Path:
    import matplotlib

    return Path(matplotlib.get_data_path(), "fonts", "ttf", f"{face}.ttf")


@cache
def _font(face: str) -> ImageFont.FreeTypeFont:
    # Layout.RAQM shapes text with libraries that not every machine has.
    return ImageFont.truetype(str(_font_file(face)), EM, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=8192)
def _mask(char: str, face: str) -> UInt8[np.ndarray, "T T"]:
    """Return ``char`` white on black, its longer side ``INK`` pixels, in the middle of a square."""
    left, top, right, bottom = _font(face).getbbox(char)
    canvas = Image.new("L", (int(right - left), int(bottom - top)))
    ImageDraw.Draw(canvas).text((-left, -top), char, fill=255, font=_font(face))
    glyph = canvas.crop(canvas.getbbox())
    scale = INK / max(glyph.size)
    glyph = glyph.resize(
        (max(1, round(glyph.width * scale)), max(1, round(glyph.height * scale))), Image.Resampling.BOX
    )
    tile = Image.new("L", (TILE, TILE))
    tile.paste(glyph, ((TILE - glyph.width) // 2, (TILE - glyph.height) // 2))
    return np.asarray(tile)
