"""`cryopick review`: look at picks in the browser and correct them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from cryopick.review.compare import Comparison
    from cryopick.review.session import Review


def review(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="What `cryopick pick` wrote, or a folder of micrographs.", show_default=False)
    ],
    picks: Annotated[
        Path | None, typer.Option(help="Picks of any format, or a run; else the run's own or those in DIR, or none at all.")
    ] = None,
    micrographs: Annotated[
        list[str] | None,
        typer.Option(metavar="INPUT", help="The micrographs, where DIR does not have or name them; repeat."),
    ] = None,
    compare: Annotated[
        Path | None, typer.Option(help="Picks or a run to hold against those under review, as before and after.")
    ] = None,
    corrected: Annotated[
        Path | None,
        typer.Option(help="Open no page; take these picks for the corrected ones, and their micrographs for reviewed."),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="To listen on; 0 takes a free one.")] = 0,
    export: Annotated[
        list[str] | None,
        typer.Option(metavar="FORMAT", help="Open no page; write the reviewed picks in this format into DIR/review; repeat."),
    ] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="Open no page; write the reviewed micrographs into DIR/review/labels to learn from.")
    ] = False,
    pixel_size: Annotated[float | None, typer.Option(help="Å per pixel; wins over what the files say.")] = None,
    diameter: Annotated[
        float | None, typer.Option(help="Particle diameter in Å (pixels without a pixel size); wins over the picks' own.")
    ] = None,
) -> None:
    """Look at picks in the browser and correct them.

    What is corrected goes to DIR/review; the originals stay.

    Every edit is saved when it is made. Stop with Ctrl-C and start again at any time.
    """
    from cryopick.review.load import load_micrographs, review_folder
    from cryopick.review.session import Review

    opened = load_micrographs(folder, picks=picks, micrographs=micrographs, pixel_size=pixel_size, diameter=diameter)
    if opened.unknown:
        typer.echo(f"cryopick: picks of {len(opened.unknown)} other micrographs are left out: {opened.unknown[0]}, …", err=True)
    with Review(opened.micrographs, review_folder(folder)) as session:
        if session.missing_micrographs:
            count = len(session.missing_micrographs)
            typer.echo(f"cryopick: edits of {count} micrographs that are not here are kept aside", err=True)
        if corrected:
            _correct(session, corrected)
        if export or labels:
            _write(session, folder, export or [], labels=labels)
        elif corrected is None:
            _serve(session, folder, _comparison(session, compare), port)


def _comparison(session: "Review", path: Path | None) -> "Comparison | None":
    if path is None:
        return None
    from cryopick.review.compare import Comparison
    from cryopick.review.load import read_known_picks
    from cryopick.review.training_set import training_names

    found, _ = read_known_picks(path, [each.source for each in session.micrographs], None)
    return Comparison.of(session, found, title=str(path), trained_on=training_names(path))


def _correct(session: "Review", path: Path) -> None:
    from cryopick.cli.progress import counted
    from cryopick.review.corrections import apply_corrections
    from cryopick.review.load import read_known_picks

    found, _ = read_known_picks(path, [each.source for each in session.micrographs], None)
    reviewed = apply_corrections(session, found)
    particles = sum(len(session.result(index)) for index in reviewed)
    typer.echo(f"reviewed: {counted(len(reviewed), 'micrograph')} with {counted(particles, 'particle')}")


def _write(session: "Review", folder: Path, formats: list[str], *, labels: bool) -> None:
    from cryopick.review.export import training_commands, write_labels, write_result

    for name in formats:
        typer.echo(f"wrote {write_result(session, name)}")
    if labels:
        written = write_labels(session)
        typer.echo(f"wrote {written.folder}: {written.particles:,} particles on {written.micrographs:,} reviewed micrographs")
        typer.echo("\n".join(["learn from them, pick again, compare:", *training_commands(session, folder)]))


def _serve(session: "Review", folder: Path, comparison: "Comparison | None", port: int) -> None:
    import secrets
    from contextlib import suppress

    from cryopick.review.export import write_result
    from cryopick.review.server import Server, listen, serve

    token = secrets.token_urlsafe(32)
    listener = listen(port)
    _tell_address(listener.getsockname()[1], token, "compare" if comparison else "")
    with suppress(KeyboardInterrupt):
        serve(Server(session, folder, comparison).app(token), listener)
    if session.entry_count:
        typer.echo(f"\nwrote {write_result(session)} (the journal beside it keeps every edit)")


def _tell_address(port: int, token: str, page: str) -> None:
    import getpass
    import socket

    typer.echo(f"open   http://127.0.0.1:{port}/{page}?token={token}")
    typer.echo("from a laptop, first run there and leave open:")
    typer.echo(f"       ssh -N -L {port}:127.0.0.1:{port} {getpass.getuser()}@{socket.gethostname()}")
    typer.echo("stop with Ctrl-C; every edit is saved when it is made")
