"""The report in a real browser, at the width of a phone and of a desktop."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from metad2a.data.features import FeatureSet
from metad2a.data.image_set import ImageSet
from metad2a.reporting.reports import search_report
from metad2a.runtime import torch_rng
from metad2a.search.explanation import explain
from metad2a.search.metad2a import MetaD2A

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WIDTHS = (390, 1280)
MEASURE = """
<script>
const frame = document.querySelector("iframe"), found = {};
frame.onload = () => {
  const page = frame.contentDocument, root = page.documentElement;
  found.width = root.clientWidth;
  found.needed = root.scrollWidth;
  found.height = root.scrollHeight;
  page.querySelectorAll("details").forEach((one) => { one.open = true; });
  const wide = [...page.querySelectorAll(".wide")].filter((one) => one.scrollWidth > one.clientWidth + 1);
  found.scrolling = wide.map((one) => one.innerText.slice(0, 60));
  found.smallest = Math.min(...[...page.querySelectorAll("p, li, td, dd, dt, th, figcaption")].map(
    (one) => parseFloat(page.defaultView.getComputedStyle(one).fontSize)));
  found.broken = [...page.images].filter((one) => !one.naturalWidth).length;
  found.unnamed = [...page.images].filter((one) => !one.alt).length;
  const seen = () => [...page.querySelectorAll(".words")].filter(
    (one) => page.defaultView.getComputedStyle(one).visibility === "visible").map((one) => one.textContent);
  found.before = seen();
  const point = page.querySelector(".point[tabindex]");
  point.focus();
  found.label = point.getAttribute("aria-label");
  found.after = seen();
  document.title = JSON.stringify(found);
};
frame.srcdoc = document.querySelector("textarea").value;
</script>
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the report of a search by the shipped checkpoint for the digits, with features from nowhere."""
    model, images = MetaD2A.from_pretrained(device="cpu"), ImageSet.embedded("digits")
    rows = torch.rand(50, 1280, generator=torch_rng("browser"))
    fingerprint = model.checkpoint.embedder["fingerprint"]
    features = FeatureSet(rows, np.repeat(np.arange(10), 5), images.classes, embedder=fingerprint, name="digits")
    result = model.search(features, n_candidates=60)
    explanation = explain(model, features, result, images="embedded:digits")
    path = tmp_path_factory.mktemp("browser") / "report.html"
    command = "metad2a search embedded:digits --html report.html"
    search_report(path, result, top=10, command=command, images=images, explanation=explanation)
    return path


def browse(page: Path, *options: str) -> subprocess.CompletedProcess[str]:
    if BROWSER is None:
        pytest.skip("there is no chromium")
    profile = page.parent / "profile"
    fixed = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={profile}")
    command = [BROWSER, *fixed, "--enable-logging=stderr", *options, page.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)


@pytest.mark.parametrize("width", WIDTHS)
def test_it_fits_the_screen(report: Path, width: int) -> None:
    wrapper = report.with_name(f"measure{width}.html")
    # In a frame: a browser's window cannot be as narrow as a phone.
    wrapper.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><title></title>'
        f'<iframe style="border:0;width:{width}px;height:900px"></iframe>'
        f"<textarea hidden>{html.escape(report.read_text(encoding='utf-8'))}</textarea>{MEASURE}",
        encoding="utf-8",
    )
    done = browse(wrapper, "--dump-dom", "--virtual-time-budget=5000", "--window-size=1400,1000")
    title = re.search(r"<title>(.*?)</title>", done.stdout, re.DOTALL)
    assert title is not None
    found = json.loads(html.unescape(title[1]))
    assert found["needed"] == found["width"] == width
    assert found["scrolling"] == []
    assert found["smallest"] >= 12
    assert (found["broken"], found["unnamed"]) == (0, 0)
    assert found["before"] == []
    assert len(found["after"]) == 1
    assert found["after"][0].startswith(found["label"])


@pytest.mark.parametrize("width", WIDTHS)
def test_it_looks_like_a_report(report: Path, width: int) -> None:
    picture = report.with_name(f"report{width}.png")
    done = browse(report, f"--screenshot={picture}", f"--window-size={width},1400")
    errors = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    assert errors == []
    pixels = np.asarray(Image.open(picture).convert("L"))
    assert pixels.shape == (1400, width)
    dark = (pixels < 128).mean()
    assert 0.005 < dark < 0.3  # dark text on white
    assert (pixels > 240).mean() > 0.6
    assert all((band < 200).any() for band in np.array_split(pixels, 10))  # from top to bottom
