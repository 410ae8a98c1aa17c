"""Take the screenshots in ``docs/``: report, review, and the comparison of the tutorial ``docs/improve.md``.

    python tools/draw_pages.py FOLDER

FOLDER is where the whole tutorial has been run; it is not changed. Needs Playwright and Chromium.
"""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Browser, Page, sync_playwright

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
TRUTH = "session/ground_truth/particle_coordinates"
QUALITY = 82
SETTLE = 2500
"""Milliseconds to wait for tiles and images."""


def main(tutorial: Path) -> None:
    """Take all screenshots from a copy of the first picks without their review."""
    with TemporaryDirectory() as place, sync_playwright() as playwright:
        folder = Path(place)
        shutil.copytree(tutorial / "picks", folder / "picks", ignore=shutil.ignore_patterns("journal.jsonl", ".lock"))
        for name in ("session", "picks-finetuned"):
            (folder / name).symlink_to(tutorial / name)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"])
        take_report(browser, folder)
        take_review(browser, folder)
        take_comparison(browser, folder)
        browser.close()


def take_report(browser: Browser, folder: Path) -> None:
    """Take the top of the report, and its micrographs."""
    cryopick(folder, "report", "picks", "--truth", "session/ground_truth/particles.star")
    with opened(browser, (folder / "picks" / "report.html").as_uri(), (1280, 1080)) as page:
        take(page, "report-top.jpg")
    with opened(browser, (folder / "picks" / "report.html").as_uri(), (960, 810)) as page:
        page.evaluate("document.getElementById('micrographs').scrollIntoView()")
        take(page, "report-micrographs.jpg")


def take_review(browser: Browser, folder: Path) -> None:
    """Take the second micrograph, after reviewing the first, with a bad area along its left edge."""
    with served(folder) as address, opened(browser, address, (1440, 860)) as page:
        page.wait_for_selector("#rows li[aria-current=true]")
        page.keyboard.press("Enter")
        page.wait_for_timeout(SETTLE)
        page.keyboard.press("b")
        box = page.locator("#overlay").bounding_box() or {"x": 0, "y": 0, "width": 0, "height": 0}
        left = box["x"] + (box["width"] - 0.97 * box["height"]) / 2 + 40
        page.mouse.move(left, box["y"] + 0.55 * box["height"])
        page.mouse.down()
        page.mouse.move(left + 30, box["y"] + 0.8 * box["height"], steps=6)
        page.mouse.up()
        page.keyboard.press("e")
        take(page, "review.jpg")


def take_comparison(browser: Browser, folder: Path) -> None:
    """Take the comparison on a held-out micrograph, with all micrographs corrected by the ground truth."""
    cryopick(folder, "review", "picks", "--corrected", TRUTH)
    with served(folder, "--compare", "picks-finetuned") as address, opened(browser, address, (1600, 760)) as page:
        page.wait_for_selector("#pairs tr[aria-current=true]")
        take(page, "compare.jpg")


def take(page: Page, name: str) -> None:
    page.wait_for_timeout(SETTLE)
    page.screenshot(path=IMAGES / name, type="jpeg", quality=QUALITY)


@contextmanager
def opened(browser: Browser, address: str, size: tuple[int, int]) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": size[0], "height": size[1]})
    page = context.new_page()
    page.goto(address)
    yield page
    context.close()


@contextmanager
def served(folder: Path, *words: str) -> Iterator[str]:
    """Serve a review and yield its address."""
    command = [sys.executable, "-m", "cryopick", "review", "picks", *words]
    program = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    found = re.search(r"http\S+", program.stdout.readline() if program.stdout else "")
    if found is None:
        raise SystemExit("the review does not start")
    yield found[0]
    program.terminate()
    program.wait()


def cryopick(folder: Path, *words: str) -> None:
    subprocess.run([sys.executable, "-m", "cryopick", *words], cwd=folder, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
