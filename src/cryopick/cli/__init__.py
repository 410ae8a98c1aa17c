"""The `cryopick` command. One module a command; heavy libraries are imported inside the command, not here."""

from importlib import import_module

import typer

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
    "denoise",
    "simulate",
    "train",
    "finetune",
    "ablate",
    "review",
]
GROUPS = ["dataset", "weights"]

app = typer.Typer(
    help="Pick protein particles in cryo-EM micrographs.",
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich costs the help a tenth of a second, and takes "[default: log]" for markup
)


@app.callback()
def _options(
    version: bool = typer.Option(False, "--version", is_eager=True, help="Print the version and stop."),
) -> None:
    if version:
        from cryopick import __version__

        typer.echo(__version__)
        raise typer.Exit


for _name in COMMANDS:
    app.command(_name, no_args_is_help=_name != "demo")(getattr(import_module(f"cryopick.cli.{_name}"), _name))
for _name in GROUPS:
    app.add_typer(import_module(f"cryopick.cli.{_name}").app, name=_name)


def main() -> None:
    """Run the command line; an error that the user can mend, the disk's included, is one line on stderr and exit code 2."""
    import sys

    from cryopick.errors import CryopickError

    try:
        app()
    except CryopickError as error:
        typer.echo(f"cryopick: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        typer.echo(
            f"cryopick: {place}{error.strerror or error}. Check the path, its permissions and the room on its disk", err=True
        )
        sys.exit(2)
