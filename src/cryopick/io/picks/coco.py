"""COCO JSON, used to train detection networks: one box per particle, as corner and size in pixels."""

import json
import logging
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from cryopick.columns import RESERVED_COLUMNS, array_of
from cryopick.coordinates import Frame
from cryopick.errors import FileError
from cryopick.io.picks.base import Peek, Writing, placed, spool, text_file
from cryopick.io.picks.reading import Reading
from cryopick.io.tables.delimited import parse_numbers, read_text
from cryopick.types import Picks

logger = logging.getLogger(__name__)

FRAME = Frame(anchor="corner", box_centre="middle")

_DECIMALS = 3
_OTHERS = re.compile(
    r"\b(non|not|no|false|bad|ice|carbon|contamina\w*|junk|background|aggregat\w*|crystals?|ethane|dirt|edges?|holes?|gold|noise"
    r"|artefacts?|artifacts?|other|negatives?|ignore)(?![a-z])",
    re.IGNORECASE,
)
"""Names of categories other than particles."""
_KEYS = {"id", "image_id", "category_id", "bbox", "area", "iscrowd", "score", "segmentation", "keypoints", "num_keypoints"}


class Coco:
    """One category, with a box around each particle, whose sides are read as diameters. Images without boxes are kept.

    Further keys that all annotations of an image have become `Picks.data`.
    """

    frame: ClassVar[Frame] = FRAME
    suffix: ClassVar[str] = ".json"
    single: ClassVar[bool] = True

    def recognises(self, peek: Peek) -> bool:
        """See `PickFormat.recognises`."""
        return peek.path.suffix.lower() == ".json" and peek.head.lstrip("\ufeff \r\n\t").startswith("{")

    def read(self, path: Path, reading: Reading) -> list[Picks]:
        """See `PickFormat.read`."""
        try:
            content = json.loads(read_text(path))
            boxes: dict[Any, list[Any]] = defaultdict(list)
            for annotation in _particles(path, content):
                boxes[annotation["image_id"]].append(annotation)
            images = [(image, boxes.pop(image["id"], [])) for image in content["images"]]
            if boxes:
                found = f"has annotations of image {next(iter(boxes))!r}, which is not among its images"
                raise FileError(path, found, "Add the image, or remove its annotations")
            return [_read_image(path, image, annotations, reading) for image, annotations in images]
        except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError) as error:
            found = f"is not COCO JSON with images and annotations ({type(error).__name__}: {error})"
            raise FileError(path, found, "Give a file of annotations, or name another format") from None

    def write(self, picks: Iterable[Picks], path: Path, writing: Writing) -> None:
        """See `PickFormat.write`."""
        images, count = [], 0
        with text_file(path) as file, spool(path.parent) as annotations:
            for image_id, each in enumerate(picks, 1):
                images.append(_image(each, image_id))
                for annotation in _annotations(each, image_id, count, writing):
                    annotations.write((",\n" if count else "") + json.dumps(annotation))
                    count += 1
            file.write('{"categories": [{"id": 1, "name": "particle"}],\n"images": [\n')
            file.write(",\n".join(map(json.dumps, images)))
            file.write('\n],\n"annotations": [\n')
            annotations.seek(0)
            shutil.copyfileobj(annotations, file)
            file.write("\n]}\n")


def _particles(path: Path, content: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the annotations of particles.

    These are the annotations of categories named after particles, or else of the only category without another meaning (ice,
    carbon, …).
    """
    annotations: list[dict[str, Any]] = content["annotations"]
    names = {category["id"]: str(category.get("name", "")) for category in content.get("categories") or []}
    used = {annotation["category_id"] for annotation in annotations if "category_id" in annotation}
    if used - names.keys() and (names or len(used) > 1):
        found = f"has annotations of the category {min(map(str, used - names.keys()))}, which is not among its categories"
        raise FileError(path, found, "Add it to the categories")
    candidates = {number for number, name in names.items() if not _OTHERS.search(name)}
    particles = {number for number in candidates if "particle" in names[number].lower()} or candidates
    listed = ", ".join(names.values())
    if names and not particles:
        raise FileError(path, f"has no category of particles (only {listed})", "Call their category particle")
    if len(particles) > 1 and not all("particle" in names[number].lower() for number in particles):
        remedy = "Call the particles' category particle, or remove the annotations of the others"
        raise FileError(path, f"has several categories ({listed}), none of which is called particle", remedy)
    chosen = [annotation for annotation in annotations if not names or annotation.get("category_id", min(particles)) in particles]
    if len(chosen) < len(annotations):
        kept = ", ".join(names[number] for number in sorted(particles))
        logger.warning("%s: %d annotations of other categories than %s are skipped", path, len(annotations) - len(chosen), kept)
    return chosen


def _read_image(path: Path, image: dict[str, Any], annotations: list[dict[str, Any]], reading: Reading) -> Picks:
    name = str(image["file_name"])
    if any(len(annotation["bbox"]) != 4 for annotation in annotations):
        raise FileError(path, f"{name} has a bbox that is not [x, y, width, height]", "Correct or remove that annotation")
    values = [
        parse_numbers(path, f"bbox of {name}", [json.dumps(annotation["bbox"][part]).strip('"') for annotation in annotations])
        for part in range(4)
    ]
    scored = bool(annotations) and all("score" in annotation for annotation in annotations)
    shape_hw = (int(image["height"]), int(image["width"])) if image.get("height") and image.get("width") else None
    sizes = np.stack(values[2:], axis=1)
    return reading.picks(
        path,
        name,
        np.stack(values[:2], axis=1),
        FRAME,
        scores=[annotation["score"] for annotation in annotations] if scored else None,
        diameter_px=float(np.median(sizes)) if len(sizes) else None,
        diameters_px=sizes.mean(axis=1),
        data=_data(annotations),
        box=sizes,
        shape_hw=shape_hw,
    )


def _data(annotations: list[dict[str, Any]]) -> dict[str, NDArray[Any]]:
    """Return the keys beyond COCO's that every annotation has, if their values are all numbers, all bools or all strings."""
    found = {}
    names = [name for name in annotations[0] if name not in _KEYS | RESERVED_COLUMNS] if annotations else []
    for name in names:
        values = [annotation.get(name) for annotation in annotations]
        kinds = {type(value) for value in values}
        if kinds in ({bool}, {str}) or kinds <= {int, float}:
            found[name] = array_of(values)
    return found


def _image(picks: Picks, image_id: int) -> dict[str, Any]:
    shape = {} if picks.shape_hw is None else {"height": picks.shape_hw[0], "width": picks.shape_hw[1]}
    return {"id": image_id, "file_name": picks.micrograph, **shape}


def _annotations(picks: Picks, image_id: int, before: int, writing: Writing) -> Iterable[dict[str, Any]]:
    if not len(picks):
        return
    sides = writing.sides(picks)
    corners = placed(picks, FRAME, box=sides[:, None]).tolist()
    data = {name: values.tolist() for name, values in picks.data.items() if name not in _KEYS}
    for number, ((x, y), exact) in enumerate(zip(corners, sides.tolist(), strict=True)):
        side = int(exact) if exact == int(exact) else round(exact, _DECIMALS)
        annotation = {
            "id": before + number + 1,
            "image_id": image_id,
            "category_id": 1,
            "bbox": [round(x, _DECIMALS), round(y, _DECIMALS), side, side],
            "area": side * side if isinstance(side, int) else round(side * side, _DECIMALS),
            "iscrowd": 0,
        }
        score = {} if picks.scores is None else {"score": round(float(picks.scores[number]), 6)}
        yield annotation | score | {name: values[number] for name, values in data.items()}
