"""`cryopick version`: the version of cryopick."""

import typer

from cryopick.cli.console import say


def version() -> None:
    """Print the version of cryopick."""
    from cryopick import __version__

    say(f"cryopick {__version__}")


def print_version(wanted: bool) -> None:
    """Print the version and exit if the option `--version` is given."""
    if wanted:
        version()
        raise typer.Exit
