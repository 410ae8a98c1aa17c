"""The report page: a single HTML file, or for large runs a page with a folder of data beside it."""

import base64
import hashlib
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cryopick.display.thumbnails import BANDS, Thumbnail, encode_jpeg, read_thumbnail
from cryopick.errors import FileError
from cryopick.files import atomic_path, write_bytes, write_text
from cryopick.report.averages import MONTAGE_COLUMNS, PickAverages, draw_averages
from cryopick.report.entries import Entry, data_url, micrograph_entry, shrink_jpeg
from cryopick.report.outliers import find_warnings
from cryopick.report.summary import MicrographSummary, load_record, read_settings, read_summaries
from cryopick.report.truth import TruthComparison
from cryopick.runs.folder import RunFolder

logger = logging.getLogger(__name__)
PAGE = "report.html"
ASSETS = "report"
"""Folder beside the page that holds the data of a large run."""
BUDGET = 28_000_000
"""Largest size in bytes of a page that contains everything."""
FIXED_BYTES = 600_000
"""Bytes of the page apart from picks and thumbnails."""
BYTES_PER_PICK = 11
BYTES_PER_MICROGRAPH = 700
SMALLEST_IMAGE = 4_500
"""Smallest useful size of a thumbnail in bytes of JPEG."""
PART_SIZE = 100
"""Number of micrographs in one part of the data."""
SCRIPTS = ("data.js", "charts.js", "gallery.js", "detail.js", "panels.js", "threshold.js", "report.js")
"""Files in ``static`` that make up the script of the page, in this order; ``report.js`` is its entry."""


def write_report(run: Path, *, comparison: TruthComparison | None = None, budget: int = BUDGET) -> Path:
    """Write ``report.html`` into the folder of a run, from its records and thumbnails, and return its path.

    Only one micrograph's picks and image are in memory at a time. Up to `budget` bytes, the page contains everything; larger
    pages load images and picks from the folder ``report`` beside them.

    Raises `FileError` for a folder without results and for damaged records or thumbnails.
    """
    folder = RunFolder(run)
    micrographs = read_summaries(folder)
    builder = _PageBuilder(folder, micrographs, find_warnings(micrographs), comparison, _image_budget(micrographs, budget))
    page = run / PAGE
    with folder.writing():
        with folder.one_at_a_time():
            folder.note_assembled(page, *builder.assets())
        with atomic_path(page) as temporary:
            builder.template.stream(report=builder).dump(str(temporary), encoding="utf-8")
    return page


def _image_budget(micrographs: Sequence[MicrographSummary], budget: int) -> int | None:
    """Return the bytes of JPEG for each micrograph; None if not everything fits into the page."""
    fixed = FIXED_BYTES + sum(BYTES_PER_MICROGRAPH + BYTES_PER_PICK * micrograph.count for micrograph in micrographs)
    available = (budget - fixed) * 3 // 4 // len(micrographs)  # base64 takes four bytes for three
    return available if available >= SMALLEST_IMAGE else None


@dataclass
class _PageBuilder:
    """Values for the template, in the order in which it requests them: the summary is complete only after the parts."""

    folder: RunFolder
    micrographs: Sequence[MicrographSummary]
    warnings: Sequence[Sequence[str]]
    comparison: TruthComparison | None
    image_budget: int | None
    averages: PickAverages = field(init=False)

    def __post_init__(self) -> None:
        self.averages = PickAverages(sum(micrograph.outcome.status == "done" for micrograph in self.micrographs))

    @cached_property
    def template(self) -> Any:
        environment = Environment(
            loader=PackageLoader("cryopick.report"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        return environment.get_template("report.html.j2")

    @property
    def name(self) -> str:
        return self.folder.path.resolve().name

    @cached_property
    def script(self) -> Markup:
        static = files("cryopick.report") / "static"
        return Markup("".join((static / name).read_text(encoding="utf-8") for name in SCRIPTS))

    @cached_property
    def style(self) -> Markup:
        return Markup((files("cryopick.report") / "static" / "report.css").read_text(encoding="utf-8"))

    @property
    def policy(self) -> str:
        """Content security policy: no network, and no script except that of the page."""
        own = base64.b64encode(hashlib.sha256(f"\n{self.script}".encode()).digest()).decode("ascii")
        beside = " 'self' file:" if self.image_budget is None else ""
        return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:{beside}; script-src 'sha256-{own}'{beside}"

    def assets(self) -> list[Path]:
        """Return the files to write beside the page."""
        if self.image_budget is not None:
            return []
        place = self.folder.path / ASSETS
        done = (micrograph.stem for micrograph in self.micrographs if micrograph.outcome.status == "done")
        images = [place / f"{stem}.jpg" for stem in done]
        return [*images, *(place / f"part-{number:04d}.js" for number in range(-(-len(self.micrographs) // PART_SIZE)))]

    def parts(self) -> Iterator[dict[str, str]]:
        """Yield the micrographs, `PART_SIZE` at a time: as JSON, or as the name of a script that contains them."""
        rows = list(zip(self.micrographs, self.warnings, strict=True))
        for number, start in enumerate(range(0, len(rows), PART_SIZE)):
            content = as_json([self._entry(micrograph, found) for micrograph, found in rows[start : start + PART_SIZE]])
            if self.image_budget is not None:
                yield {"json": content}
                continue
            path = self.folder.path / ASSETS / f"part-{number:04d}.js"
            write_text(path, f"addPart({content});\n")
            yield {"file": f"{ASSETS}/{path.name}"}

    @property
    def summary(self) -> Markup:
        """Data that do not belong to a single micrograph; complete after the last part."""
        montage, scores = self.averages.montage()
        content = {
            "path": str(self.folder.path),
            "written": time.strftime("%Y-%m-%d %H:%M"),
            "settings": read_settings(self.folder),
            "averages": {
                "image": data_url(encode_jpeg(draw_averages(self.averages.means), quality=92)),
                "bands": BANDS,
                "counts": self.averages.counts.tolist(),
            },
            "crops": {"image": data_url(encode_jpeg(montage)), "columns": MONTAGE_COLUMNS, "scores": scores},
            "truth": None if self.comparison is None else self._truth(self.comparison),
        }
        return as_json(content)

    @staticmethod
    def _truth(comparison: TruthComparison) -> dict[str, object]:
        return {
            "curve": comparison.curve,
            "averagePrecision": comparison.average_precision,
            "overall": comparison.overall,
        }

    def _entry(self, micrograph: MicrographSummary, warnings: Sequence[str]) -> Entry:
        record = load_record(self.folder.record(micrograph.stem))
        truth = None if self.comparison is None else self.comparison.particles.get(micrograph.outcome.name)
        entry = micrograph_entry(record, reasons=warnings, median_score=micrograph.median_score, truth=truth)
        path = self.folder.thumbnail(micrograph.stem)
        if micrograph.outcome.status != "done" or not path.is_file():
            return {**entry, "image": None}
        try:
            seen = read_thumbnail(path)
        except FileError as error:
            logger.warning("%s", error)
            return {**entry, "image": None}
        self.averages.add(seen, record.scores)
        return {**entry, "image": self._image(seen, micrograph.stem)}

    def _image(self, seen: Thumbnail, stem: str) -> str:
        if self.image_budget is not None:
            return data_url(shrink_jpeg(seen.image, self.image_budget))
        path = self.folder.path / ASSETS / f"{stem}.jpg"
        if not _is_newer(path, self.folder.thumbnail(stem)):
            write_bytes(path, seen.image)
        return f"{ASSETS}/{quote(path.name)}"


def _is_newer(path: Path, source: Path) -> bool:
    """Return whether a file was made from the current state of another; in a running watch, most images of the page were."""
    return path.is_file() and path.stat().st_mtime_ns > source.stat().st_mtime_ns


def as_json(value: object) -> Markup:
    """Return JSON that is safe inside a `script` element, whatever its strings contain."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
