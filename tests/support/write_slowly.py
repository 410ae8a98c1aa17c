"""A microscope: `write_slowly.py SOURCE TARGET` copies micrographs piece by piece, renames some and takes one away again."""

import sys
import time
from pathlib import Path

PIECES = 4


def copy(source: Path, target: Path) -> None:
    content = source.read_bytes()
    with target.open("wb") as file:
        for piece in range(PIECES):
            file.write(content[piece * len(content) // PIECES : (piece + 1) * len(content) // PIECES])
            file.flush()
            time.sleep(0.1)


if __name__ == "__main__":
    target = Path(sys.argv[2])
    for index, path in enumerate(sorted(Path(sys.argv[1]).glob("*.mrc"))):
        if index % 3 == 0:
            copy(path, target / path.name)
        elif index % 3 == 1:  # under another name until it is whole
            copy(path, target / f".{path.name}.part")
            (target / f".{path.name}.part").rename(target / path.name)
        else:  # as a micrograph of another name, which vanishes while it settles
            copy(path, target / f"moved-{path.name}")
            (target / f"moved-{path.name}").rename(target / path.name)
            copy(path, target / "gone.mrc")
            (target / "gone.mrc").unlink()
