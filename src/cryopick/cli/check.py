"""`cryopick check`."""


def check() -> None:
    """To be written."""
