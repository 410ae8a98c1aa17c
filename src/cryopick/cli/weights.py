"""`cryopick weights`: list, show, convert and verify weights."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryopick.cli.console import say
from cryopick.cli.grammar import Command, Commands

if TYPE_CHECKING:
    from cryopick.models.weights import Card

Name = Annotated[str, typer.Argument(metavar="NAME", help="File of weights, or a name of `cryopick weights list`.")]
Sha256 = Annotated[str | None, typer.Option(metavar="HASH", help="SHA-256 that the file must have.")]

app = typer.Typer(cls=Commands, help="List, show, convert and verify weights of networks.", no_args_is_help=True)


@app.command("list", cls=Command)
def list_weights() -> None:
    """List the weights and where to find published ones."""
    from cryopick.errors import FileError
    from cryopick.models.architectures import ARCHITECTURES
    from cryopick.models.sam import REMEDY as SAM_REMEDY
    from cryopick.models.weights import FOLDER_VARIABLE, available, read_card

    for name, path in available().items():
        try:
            card = read_card(path)
        except FileError as error:  # a damaged file must not hide the others
            say(f"{name}  unusable: {error}")
            continue
        kind = f"{card.architecture} {_in_words(card.settings)}" if card else "without a card"
        say(f"{name}  {kind}  {path.stat().st_size / 1e6:.1f} MB  {path}")
    say(f"${FOLDER_VARIABLE} names a folder of further weights. Published weights, for conversion:")
    for name in ARCHITECTURES.names:
        say(f"  {name}: {ARCHITECTURES.get(name).published}")
    say(f"Segment Anything needs no conversion. {SAM_REMEDY}")


@app.command(cls=Command, no_args_is_help=True)
def show(name: Name) -> None:
    """Show the card of weights as YAML."""
    from cryopick.models.weights import find, read

    path = find(name)
    state, card = read(path)
    count = sum(tensor.numel() for tensor in state.values() if tensor.is_floating_point())
    _print_card(path, card, tensors=len(state), values=count)


@app.command(cls=Command, no_args_is_help=True)
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Published checkpoint (.pth, .pt, .ckpt) or other weights.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="File to write (.safetensors).")],
    half: Annotated[bool, typer.Option("--half", help="Store 16-bit values, which halves the size.")] = False,
    licence: Annotated[
        str | None, typer.Option(metavar="NAME", help="Licence of the weights.  [default: that of the published weights]")
    ] = None,
    notes: Annotated[str, typer.Option(metavar="TEXT", help="Notes for users of the weights.")] = "",
    sha256: Sha256 = None,
) -> None:
    """Convert a published checkpoint to a safetensors file.

    The checkpoint is loaded strictly and no pickled code is run.
    """
    from dataclasses import replace

    from cryopick.errors import SettingError
    from cryopick.files import atomic_path
    from cryopick.models.checkpoints import file_sha256
    from cryopick.models.weights import find, read, save, verify

    if target.suffix != ".safetensors":
        raise SettingError(f"OUT must end in .safetensors, got {target}")
    path = find(source)
    verify(path, sha256=sha256)
    state, card = read(path)
    card = replace(
        card,
        source=card.source or path.name,
        source_sha256=card.source_sha256 or file_sha256(path),
        licence=licence or card.licence,
        notes=notes or card.notes,
    )
    with atomic_path(target) as temporary:
        save(temporary, state, card, half=half)
    say(f"{target}: {card.architecture} {_in_words(card.settings)}, {target.stat().st_size / 1e6:.1f} MB")


@app.command(cls=Command, no_args_is_help=True)
def verify(name: Name, sha256: Sha256 = None) -> None:
    """Verify that weights fit their network and are unchanged.

    The values are compared with the hash on the card, if there is one.
    """
    from cryopick.models import weights
    from cryopick.models.checkpoints import file_sha256

    path = weights.find(name)
    card = weights.verify(path, sha256=sha256)
    checked = "their hash matches the card" if card.tensors_sha256 else "there is no card with their hash"
    say(f"{path}: {card.architecture} {_in_words(card.settings)}; the weights fit the network, and {checked}")
    say(f"SHA-256 {file_sha256(path)}")


def _print_card(path: Path, card: "Card", **extra: Any) -> None:
    import yaml

    known = {key: value for key, value in asdict(card).items() if value}
    say(yaml.safe_dump({"file": str(path), **known, **extra}, sort_keys=False, allow_unicode=True).rstrip("\n"))


def _in_words(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())
