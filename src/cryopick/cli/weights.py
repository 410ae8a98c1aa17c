"""`cryopick weights`: what weights there are, what they are, and published ones made into safe files."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from cryopick.models.weights import Card

Name = Annotated[str, typer.Argument(help="A file of weights, or a name that `cryopick weights list` prints.")]
Sha256 = Annotated[str | None, typer.Option(help="Hash that the file must have, as sha256sum prints it.")]

app = typer.Typer(help="List, show, convert and verify the weights of networks.", no_args_is_help=True)


@app.command("list")
def list_weights() -> None:
    """Print the weights that can be given by name, and where published ones are found."""
    from cryopick.errors import FileError
    from cryopick.models.architectures import ARCHITECTURES
    from cryopick.models.sam import REMEDY as SAM_REMEDY
    from cryopick.models.weights import FOLDER_VARIABLE, available, read_card

    for name, path in available().items():
        try:
            card = read_card(path)
        except FileError as error:  # one damaged file must not hide the others
            typer.echo(f"{name}  unusable: {error}")
            continue
        kind = f"{card.architecture} {_in_words(card.settings)}" if card else "without a card"
        typer.echo(f"{name}  {kind}  {path.stat().st_size / 1e6:.1f} MB  {path}")
    typer.echo(f"Further weights are looked for in the folder that {FOLDER_VARIABLE} names. Published ones, to be converted:")
    for name in ARCHITECTURES.names:
        typer.echo(f"  {name}: {ARCHITECTURES.get(name).published}")
    typer.echo(f"Segment Anything needs no converting. {SAM_REMEDY}")


@app.command()
def show(name: Name) -> None:
    """Print the card of weights, number of values and tensors included, as YAML."""
    from cryopick.models.weights import find, read

    path = find(name)
    state, card = read(path)
    count = sum(tensor.numel() for tensor in state.values() if tensor.is_floating_point())
    _print_card(path, card, tensors=len(state), values=count)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A published checkpoint (.pth, .pt, .ckpt) or other weights.")],
    target: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    half: Annotated[bool, typer.Option("--half", help="Keep 16 bits a value: half the size.")] = False,
    licence: Annotated[str | None, typer.Option(help="Licence of the weights; that of the published ones by default.")] = None,
    notes: Annotated[str, typer.Option(help="Whatever users of the weights should know.")] = "",
    sha256: Sha256 = None,
) -> None:
    """Make a safetensors file with a card out of a published checkpoint, after loading it strictly; no pickle is run."""
    from dataclasses import replace

    from cryopick.errors import SettingError
    from cryopick.files import atomic_path
    from cryopick.models.checkpoints import file_sha256
    from cryopick.models.weights import find, read, save, verify

    if target.suffix != ".safetensors":
        raise SettingError(f"{target}: weights are written as .safetensors; name the file so")
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
    typer.echo(f"{target}: {card.architecture} {_in_words(card.settings)}, {target.stat().st_size / 1e6:.1f} MB")


@app.command()
def verify(name: Name, sha256: Sha256 = None) -> None:
    """Check that weights fit their network and, where they have a card, that no value was changed since it was written."""
    from cryopick.models import weights
    from cryopick.models.checkpoints import file_sha256

    path = weights.find(name)
    card = weights.verify(path, sha256=sha256)
    checked = "fit the network" + (
        ", and their hash is the card's" if card.tensors_sha256 else "; there is no card with their hash"
    )
    typer.echo(f"{path}: {card.architecture} {_in_words(card.settings)}; the tensors {checked}\nSHA-256 {file_sha256(path)}")


def _print_card(path: Path, card: "Card", **extra: Any) -> None:
    import yaml

    known = {key: value for key, value in asdict(card).items() if value}
    typer.echo(yaml.safe_dump({"file": str(path), **known, **extra}, sort_keys=False, allow_unicode=True), nl=False)


def _in_words(settings: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in settings.items())
