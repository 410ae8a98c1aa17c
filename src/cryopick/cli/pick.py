"""`cryopick pick`."""


def pick() -> None:
    """To be written."""
