"""Draw a search as one SVG, the README's picture: draw_search.py IMAGES OUT.svg [--checkpoint NAME]."""

import argparse
import base64
import html
import io
import re
from pathlib import Path

from PIL import Image

from metad2a import ImageSet, MetaD2A
from metad2a.reporting.cells import cell_from_text, draw_cell
from metad2a.runtime import write_text

IMAGE, GAP = 36, 4  # pixels of a thumbnail, and between two
SHOWN, CELL = 3, 250  # cells, and the pixels of one


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images")
    parser.add_argument("out", type=Path)
    parser.add_argument("--checkpoint", default="nasbench201")
    arguments = parser.parse_args()
    images = ImageSet.open(arguments.images)
    result = MetaD2A.open(arguments.checkpoint).search(images)
    parts, x = [_thumbnails(images)], 6 * (IMAGE + GAP) + 20
    parts.append(_arrow(x, f"{result.timing['total_s']:.0f} s"))
    x += 90
    for candidate in result.candidates[:SHOWN]:
        drawing = draw_cell(cell_from_text(candidate.arch))
        width, height = map(int, re.findall(r'(?:width|height)="(\d+)"', drawing)[:2])
        shown = height * CELL // width
        place = f'x="{x}" y="{(200 - shown) // 2}" width="{CELL}" height="{shown}"'
        parts.append(drawing.replace(f'width="{width}" height="{height}"', place, 1))
        caption = (
            f"{candidate.rank}: predicted {candidate.predicted:.1f} %, {candidate.params / 1e6:.2f} M parameters"
        )
        parts.append(f'<text x="{x + CELL // 2}" y="225" text-anchor="middle">{html.escape(caption)}</text>')
        x += CELL + 10
    write_text(
        arguments.out,
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {x} 240" font-family="sans-serif" font-size="11">'
        f'<rect width="100%" height="100%" fill="white"/>{"".join(parts)}</svg>\n',
    )


def _thumbnails(images: ImageSet) -> str:
    tags = []
    for place in range(30):
        row, column = divmod(place, 6)
        picture = io.BytesIO()
        Image.fromarray(images.load([place * 7 % len(images)], IMAGE)[0]).save(picture, "PNG")
        data = base64.b64encode(picture.getvalue()).decode()
        x, y = column * (IMAGE + GAP) + 8, row * (IMAGE + GAP) + 8
        tags.append(
            f'<image x="{x}" y="{y}" width="{IMAGE}" height="{IMAGE}" href="data:image/png;base64,{data}"/>'
        )
    caption = f"{images.name}: {images.num_classes} classes, {len(images):,} images"
    return (
        "".join(tags) + f'<text x="{3 * (IMAGE + GAP)}" y="225" text-anchor="middle">{html.escape(caption)}</text>'
    )


def _arrow(x: int, text: str) -> str:
    return (
        f'<path d="M{x} 104h60m-9 -7l9 7l-9 7" fill="none" stroke="#333" stroke-width="2"/>'
        f'<text x="{x + 30}" y="92" text-anchor="middle">metad2a search</text>'
        f'<text x="{x + 30}" y="126" text-anchor="middle">{text}, no training</text>'
    )


if __name__ == "__main__":
    main()
