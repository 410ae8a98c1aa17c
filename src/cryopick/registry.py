"""Tables of names to things that are imported only when asked for."""

from importlib import import_module
from typing import Generic, TypeVar, cast

from cryopick.errors import SettingError

T = TypeVar("T")


class Registry(Generic[T]):
    """Maps a name to `module:attribute`; a new entry is one line in the table that its package keeps.

    Listing the names imports nothing. `get` raises `SettingError` with the known names for one it does not have.
    """

    def __init__(self, kind: str, entries: dict[str, str]) -> None:
        self.kind = kind
        self._entries = entries

    @property
    def names(self) -> list[str]:
        return list(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def get(self, name: str) -> T:
        if name not in self._entries:
            raise SettingError(f"no {self.kind} is called {name!r}; there are: {', '.join(self._entries)}")
        module, attribute = self._entries[name].split(":")
        return cast(T, getattr(import_module(module), attribute))
