"""The `cryopick` command: one module per command; heavy libraries are imported inside the commands."""

from importlib import import_module

import typer

from cryopick.cli.console import warn
from cryopick.cli.grammar import BAD_USAGE, Command, Commands
from cryopick.cli.version import print_version

COMMANDS = [
    "pick",
    "watch",
    "relion",
    "demo",
    "convert",
    "check",
    "evaluate",
    "resolution",
    "benchmark",
    "report",
    "review",
    "denoise",
    "simulate",
    "train",
    "finetune",
    "ablate",
    "version",
]
GROUPS = ["dataset", "weights"]
RUN_WITHOUT_ARGUMENTS = {"demo", "version"}

app = typer.Typer(
    cls=Commands,
    help="Pick particles in cryo-EM micrographs.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich delays the help by a tenth of a second, and interprets "[default: log]" as markup
)


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", "-V", is_eager=True, callback=print_version, help="Print the version and exit."
    ),
) -> None:
    """Define the options of the command itself."""


for _name in COMMANDS:
    _command = getattr(import_module(f"cryopick.cli.{_name}"), _name)
    app.command(_name, cls=Command, no_args_is_help=_name not in RUN_WITHOUT_ARGUMENTS)(_command)
for _name in GROUPS:
    app.add_typer(import_module(f"cryopick.cli.{_name}").app, name=_name)


def main() -> None:
    """Run the command line; errors that the user can correct give one line on stderr and exit code 2."""
    import sys

    from cryopick.errors import CryopickError

    try:
        app()
    except CryopickError as error:
        warn(error)
        sys.exit(BAD_USAGE)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        warn(f"{place}{error.strerror or error}. Check the path, its permissions and the free space on its disk")
        sys.exit(BAD_USAGE)
