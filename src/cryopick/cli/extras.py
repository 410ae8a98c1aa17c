"""Check for optional libraries before a command begins."""

from importlib.util import find_spec

from cryopick.errors import MissingExtraError

LIBRARIES = {"train": ("lightning",), "sam": ("transformers",), "cluster": ("distributed", "dask_jobqueue")}


def require(extra: str, purpose: str) -> None:
    """Raise `MissingExtraError` if a library of the extra is not installed."""
    if any(find_spec(library) is None for library in LIBRARIES[extra]):
        raise MissingExtraError(extra, purpose)
