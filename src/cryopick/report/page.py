"""Write the report of a run: one page that needs nothing else, or for big runs a page with a folder of its data beside it."""

import base64
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from cryopick import __version__
from cryopick.display.thumbnails import BANDS, CROP_SIDE, Thumbnail, encode_jpeg, read_thumbnail
from cryopick.files import atomic_path, write_bytes, write_text
from cryopick.report.averages import COLUMNS, Averages, side_by_side
from cryopick.report.entries import Entry, data_url, entry, picture_within
from cryopick.report.outliers import reasons
from cryopick.report.summary import Subject, settings_of, survey, whole_record
from cryopick.report.truth import Compared
from cryopick.runs.folder import RunFolder

PAGE = "report.html"
ASSETS = "report"
BUDGET = 28_000_000
"""Bytes that a page with everything inside may have; a run that needs more gets a folder of assets."""
OUTSIDE = 600_000
"""Bytes of the page that are neither picks nor thumbnails."""
BYTES_PER_PICK = 11
BYTES_PER_MICROGRAPH = 700
LEAST_PICTURE = 4_500
"""Bytes of JPEG below which a thumbnail shows too little."""
PART = 100
SCRIPTS = ("data.js", "charts.js", "gallery.js", "main.js")


def write_report(run: Path, *, compared: Compared | None = None, budget: int = BUDGET) -> Path:
    """Write ``report.html`` into the folder of a run, from its records and thumbnails; the path of the page.

    One micrograph's picks and pictures at a time are in memory. The page holds everything while that takes no more than `budget`
    bytes; else pictures and picks lie in the folder ``report`` beside it, and are fetched from there as they are needed.

    Raises `FileError` for a folder without results and for damaged records or thumbnails.
    """
    folder = RunFolder(run)
    subjects = survey(folder)
    room = _room_for_pictures(subjects, budget)
    writer = _Writer(folder, subjects, reasons(subjects), compared, room)
    page = run / PAGE
    with folder.writing():
        with folder.one_at_a_time():
            folder.note_assembled(page, *writer.assets())
        with atomic_path(page) as temporary:
            writer.template.stream(report=writer).dump(str(temporary), encoding="utf-8")
    return page


def _room_for_pictures(subjects: Sequence[Subject], budget: int) -> int | None:
    """Bytes of JPEG for each micrograph; None where not everything fits into the page."""
    fixed = OUTSIDE + sum(BYTES_PER_MICROGRAPH + BYTES_PER_PICK * subject.count for subject in subjects)
    room = (budget - fixed) * 3 // 4 // len(subjects)
    return room if room >= LEAST_PICTURE else None


@dataclass
class _Writer:
    """What the template asks for, in the order in which it asks: parts first, since the head is known after them."""

    folder: RunFolder
    subjects: Sequence[Subject]
    reasons: Sequence[Sequence[str]]
    compared: Compared | None
    room: int | None
    averages: Averages = field(init=False)

    def __post_init__(self) -> None:
        self.averages = Averages(sum(subject.outcome.status == "done" for subject in self.subjects))

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
        """The content security policy: no network at all, and no script but ours."""
        ours = base64.b64encode(hashlib.sha256(f"\n{self.script}".encode()).digest()).decode("ascii")
        beside = " 'self' file:" if self.room is None else ""
        return f"default-src 'none'; style-src 'unsafe-inline'; img-src data:{beside}; script-src 'sha256-{ours}'{beside}"

    def assets(self) -> list[Path]:
        """The files that will lie beside the page."""
        if self.room is not None:
            return []
        place = self.folder.path / ASSETS
        done = (subject.stem for subject in self.subjects if subject.outcome.status == "done")
        pictures = [place / f"{stem}.jpg" for stem in done]
        return [*pictures, *(place / f"part-{number:04d}.js" for number in range(-(-len(self.subjects) // PART)))]

    def parts(self) -> Iterator[dict[str, str]]:
        """The micrographs, `PART` at a time: as JSON, or as the name of a script that holds them."""
        numbered = list(zip(self.subjects, self.reasons, strict=True))
        for number, start in enumerate(range(0, len(numbered), PART)):
            content = as_json([self._entry(subject, why) for subject, why in numbered[start : start + PART]])
            if self.room is not None:
                yield {"json": content}
                continue
            path = self.folder.path / ASSETS / f"part-{number:04d}.js"
            write_text(path, f"addPart({content});\n")
            yield {"file": f"{ASSETS}/{path.name}"}

    @property
    def head(self) -> Markup:
        """Everything that is not about a single micrograph; complete after the last part."""
        sheet, scores = self.averages.montage()
        found = {
            "name": self.name,
            "path": str(self.folder.path),
            "version": __version__,
            "written": time.strftime("%Y-%m-%d %H:%M"),
            "settings": settings_of(self.folder),
            "averages": {
                "sheet": data_url(encode_jpeg(side_by_side(self.averages.means), quality=92)),
                "bands": BANDS,
                "counts": self.averages.counts.tolist(),
            },
            "crops": {"sheet": data_url(encode_jpeg(sheet)), "columns": COLUMNS, "side": CROP_SIDE, "scores": scores},
            "truth": None if self.compared is None else self._truth(self.compared),
        }
        return as_json(found)

    @staticmethod
    def _truth(compared: Compared) -> dict[str, object]:
        count = sum(len(picks) for picks in compared.particles.values())
        return {
            "curve": compared.curve,
            "averagePrecision": compared.average_precision,
            "overall": compared.overall,
            "particles": count,
            "micrographs": len(compared.particles),
        }

    def _entry(self, subject: Subject, why: Sequence[str]) -> Entry:
        record = whole_record(self.folder.record(subject.stem))
        truth = None if self.compared is None else self.compared.particles.get(subject.outcome.name)
        made = entry(record, reasons=why, median_score=subject.median_score, truth=truth)
        path = self.folder.thumbnail(subject.stem)
        if subject.outcome.status != "done" or not path.is_file():
            return {**made, "picture": None}
        seen = read_thumbnail(path)
        self.averages.add(seen, record.scores)
        return {**made, "picture": self._picture(seen, subject.stem)}

    def _picture(self, seen: Thumbnail, stem: str) -> str:
        if self.room is not None:
            return data_url(picture_within(seen.image, self.room))
        path = self.folder.path / ASSETS / f"{stem}.jpg"
        if not _is_newer(path, self.folder.thumbnail(stem)):
            write_bytes(path, seen.image)
        return f"{ASSETS}/{path.name}"


def _is_newer(path: Path, source: Path) -> bool:
    """Whether a file was made from the present state of another, as pages of a run that goes on find most of theirs."""
    return path.is_file() and path.stat().st_mtime_ns > source.stat().st_mtime_ns


def as_json(value: object) -> Markup:
    """JSON that is harmless inside a `script` element, whatever its strings hold."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))
