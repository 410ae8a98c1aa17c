"""`cryopick convert`."""


def convert() -> None:
    """To be written."""
