"""Draw the beginning of a search's report, the README's picture, by chromium: draw_report.py REPORT.html OUT.png.

The report is that of `metad2a search embedded:digits --html report.html`; its tables are left out.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageOps

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTH, HEIGHT, MARGIN = 1400, 1200, 20
STYLE = f"""<style>
html, body {{ font-size: 13px; }}
body {{ max-width: none; padding: {MARGIN}px; columns: 2; column-gap: 50px; }}
p {{ max-width: none; }}
main > section:nth-child(2) {{ break-before: column; }}
main > section:nth-child(n + 4), .wide, details, footer, .charts > :nth-child(n + 3) {{ display: none; }}
.grid, .charts {{ grid-template-columns: 1fr 1fr; }}
.classes {{ grid-template-columns: 1fr 1fr 1fr; }}
</style></head>"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    if BROWSER is None:
        sys.exit("error: no chromium is installed, which draws the report. Install one.")
    if not arguments.report.is_file():
        sys.exit(
            f"error: there is no {arguments.report}. `metad2a search IMAGES --html {arguments.report}` writes it."
        )
    with tempfile.TemporaryDirectory() as folder:
        page, picture = Path(folder, "page.html"), Path(folder, "page.png")
        text = arguments.report.read_text(encoding="utf-8")
        page.write_text(text.replace("</head>", STYLE, 1), encoding="utf-8")
        options = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}")
        size = (f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={picture}")
        subprocess.run([BROWSER, *options, *size, page.as_uri()], check=True, capture_output=True, timeout=120)  # noqa: S603
        drawn = Image.open(picture).convert("RGB")
    box = ImageOps.invert(drawn).getbbox() or (0, 0, WIDTH, HEIGHT)
    shown = drawn.crop((0, 0, WIDTH, min(box[3] + MARGIN, HEIGHT)))
    shown.quantize(method=Image.Quantize.FASTOCTREE).save(arguments.out, optimize=True)


if __name__ == "__main__":
    main()
