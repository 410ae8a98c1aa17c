"""Parts of a run that know nothing of each other, as the tasks of a job array."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from cryopick.errors import SettingError

Item = TypeVar("Item")


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `count` parts, counted from 1."""

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise SettingError(f"there is no shard {self.number}/{self.count}; the first is 1/{self.count}")

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """From `"2/10"`. Raises `SettingError` for what is no shard."""
        match = re.fullmatch(r"(\d+)/(\d+)", text)
        if match is None:
            raise SettingError(f"{text!r} is no shard; write the number and how many there are, as 2/10")
        return cls(int(match[1]), int(match[2]))

    def share(self, items: Sequence[Item]) -> Sequence[Item]:
        """Every `count`-th item: all shards together take each once, and neighbours go to different ones."""
        return items[self.number - 1 :: self.count]
