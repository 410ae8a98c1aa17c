"""Parts of messages: numbers with their nouns, and shortened lists of names."""

from collections.abc import Sequence


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Write a number with its noun: `1 micrograph`, `1,234 micrographs`."""
    return f"{number:,} {noun if number == 1 else plural or f'{noun}s'}"


def listed(names: Sequence[str], *, shown: int = 3) -> str:
    """List the first names and the number of others: `a, b, c and 5 more`."""
    rest = len(names) - shown
    return ", ".join(names[:shown]) + (f" and {rest:,} more" if rest > 0 else "")
