"""Independent parts of one run, such as the tasks of a job array."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from cryopick.errors import SettingError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Shard:
    """Part `number` of `count`, counted from 1."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise SettingError(
                f"--shard must be from 1/{self.count} to {self.count}/{self.count}, got {self.number}/{self.count}"
            )

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """Parse a text such as `"2/10"`. Raises `SettingError` for any other text."""
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if match is None:
            raise SettingError(f"--shard must be a number and a count such as 2/10, got {text!r}")
        return cls(int(match[1]), int(match[2]))

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Return every `count`-th item, so that each item belongs to one shard and neighbours to different ones."""
        return items[self.number - 1 :: self.count]
