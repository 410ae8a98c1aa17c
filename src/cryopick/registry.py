"""Tables of names whose objects are imported only when requested."""

from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Generic, TypeVar, cast

from cryopick.errors import SettingError, nearest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

T = TypeVar("T")


class Registry(Generic[T]):
    """Map of names to `module:attribute`; listing the names imports nothing.

    Parameters
    ----------
    kind : noun for an entry, in messages.
    entries : the package's own entries: `module:attribute` by name.
    group : entry points of this group, declared by other packages, are added; the package's own names take precedence.
    """

    def __init__(self, kind: str, entries: dict[str, str], *, group: str | None = None) -> None:
        self.kind = kind
        self.group = group
        self._entries = entries

    @property
    def own(self) -> list[str]:
        """The names of the package's own entries."""
        return list(self._entries)

    @property
    def names(self) -> list[str]:
        """All names: the package's own, then those of other packages, in alphabetical order."""
        return [*self._entries, *sorted(self._plugins.keys() - self._entries.keys())]

    def __contains__(self, name: str) -> bool:
        return name in self._entries or name in self._plugins

    def get(self, name: str) -> T:
        """Import an entry. Raises `SettingError` for an unknown name, and for an entry of another package that fails to load."""
        if name in self._entries:
            module, attribute = self._entries[name].split(":")
            return cast(T, getattr(import_module(module), attribute))
        if name not in self._plugins:
            offered = ", ".join(self.names)
            raise SettingError(f"no {self.kind} {name!r}{nearest(name, self.names)} Available: {offered}")
        plugin = self._plugins[name]
        try:
            return cast(T, plugin.load())
        except Exception as error:
            package = plugin.dist.name if plugin.dist else plugin.value
            raise SettingError(
                f"the {self.kind} {name!r} of the package {package} cannot be loaded ({type(error).__name__}: {error}). "
                "Update or remove that package"
            ) from error

    @cached_property
    def _plugins(self) -> "dict[str, EntryPoint]":
        if self.group is None:
            return {}
        from importlib.metadata import entry_points

        return {point.name: point for point in entry_points(group=self.group)}
