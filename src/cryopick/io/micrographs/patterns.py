"""Patterns of paths, in which `**` matches folders at any depth, through links, but each folder once."""

import glob
import os
from collections.abc import Iterator
from pathlib import Path

ANY_DEPTH = "**"


def matching_paths(pattern: str) -> set[str]:
    """Return the existing paths that a pattern matches, like `glob.glob` with `recursive=True`, even if links form circles.

    A folder that can be reached through several links is searched once for each `**`, by its own path if that is below the
    start.
    """
    parts = pattern.split("/")
    if ANY_DEPTH not in parts:
        return set(glob.glob(pattern))  # noqa: PTH207 - takes absolute patterns
    place = parts.index(ANY_DEPTH)
    rest = [part for index, part in enumerate(parts[place:]) if part != ANY_DEPTH or parts[place:][index - 1] != ANY_DEPTH][1:]
    start = "/".join(parts[:place])
    starts = sorted(glob.glob(start + "/")) if start else ["/" if pattern.startswith("/") else ""]  # noqa: PTH207
    found: set[str] = set()
    for folder in (folder for begin in starts for folder in _folders_below(begin)):
        found |= matching_paths(glob.escape(folder) + "/".join(rest or ["*"]))
    return found


def _folders_below(start: str) -> Iterator[str]:
    """Yield a folder and all visible ones below it, each with a slash at its end; those behind links after all others."""
    seen: set[tuple[int, int]] = set()
    waiting: list[str] = [start]
    links: list[str] = []
    while waiting or links:
        folder = waiting.pop() if waiting else links.pop(0)
        try:
            status = Path(folder).stat()
            key = status.st_dev, status.st_ino
            if key in seen:
                continue
            seen.add(key)
            with os.scandir(folder or ".") as entries:
                inner = sorted((entry.name, entry.is_symlink()) for entry in entries if _is_folder(entry))
        except OSError:
            continue
        yield folder
        waiting += [f"{folder}{name}/" for name, is_link in reversed(inner) if not is_link]
        links += [f"{folder}{name}/" for name, is_link in inner if is_link]


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return not entry.name.startswith(".") and entry.is_dir()
    except OSError:
        return False
