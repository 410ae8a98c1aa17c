"""`cryopick review`: picks inspected and corrected in the browser."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryopick.cli.arguments import Diameter, PixelSize, finite
from cryopick.cli.console import say, warn
from cryopick.messages import counted, listed

if TYPE_CHECKING:
    from cryopick.review.compare import Comparison
    from cryopick.review.session import Review


def review(
    folder: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER", help="Folder of a run (--out of `cryopick pick`) or of micrographs.", show_default=False
        ),
    ],
    picks: Annotated[
        Path | None, typer.Option(metavar="PATH", help="Picks to review, or a run; those of FOLDER if omitted.")
    ] = None,
    micrographs: Annotated[
        list[str] | None,
        typer.Option(metavar="INPUT", help="Micrographs, if FOLDER neither contains nor lists them; repeatable."),
    ] = None,
    compare: Annotated[Path | None, typer.Option(metavar="PATH", help="Picks or run to compare with those under review.")] = None,
    corrected: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Corrected picks to apply, instead of opening the page."),
    ] = None,
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="Port of the page; 0 for any free one.")] = 0,
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to", metavar="FORMAT", help="Format in which to write the reviewed picks instead of opening the page; repeatable."
        ),
    ] = None,
    labels: Annotated[
        bool, typer.Option("--labels", help="Write the reviewed micrographs as training data instead of opening the page.")
    ] = False,
    pixel_size: PixelSize = None,
    diameter: Diameter = None,
    downsample: Annotated[
        float,
        typer.Option(
            metavar="FACTOR",
            min=1,
            callback=finite,
            help="Factor by which the images of the coordinates in files of picks are reduced; does not apply to runs.",
        ),
    ] = 1.0,
) -> None:
    """Review and correct picks in the browser.

    Corrections are written to FOLDER/review; the original picks stay as they are. Every edit is saved at once. Stop with Ctrl-C
    and resume at any time.
    """
    from cryopick.review.load import load_micrographs, review_folder
    from cryopick.review.session import Review

    _check_factor(downsample, [picks or folder, *filter(None, (compare, corrected))])
    opened = load_micrographs(
        folder, picks=picks, micrographs=micrographs, pixel_size=pixel_size, diameter=diameter, downsample=downsample
    )
    if opened.unknown:
        warn(f"excluded picks of {counted(len(opened.unknown), 'other micrograph')}: {listed(opened.unknown)}")
    with Review(opened.micrographs, review_folder(folder)) as session:
        if session.missing_micrographs:
            warn(f"edits of {counted(len(session.missing_micrographs), 'missing micrograph')} are kept but not shown")
        if corrected:
            _correct(session, corrected, downsample)
        if to or labels:
            _write(session, folder, to or [], labels=labels)
        elif corrected is None:
            _serve(session, folder, _comparison(session, compare, downsample), port)


def _check_factor(downsample: float, places: list[Path]) -> None:
    from cryopick.errors import SettingError
    from cryopick.runs.results import is_run

    if downsample != 1 and all(map(is_run, places)):
        raise SettingError("--downsample is for files of picks, but only runs are given; omit it")


def _comparison(session: "Review", path: Path | None, downsample: float) -> "Comparison | None":
    if path is None:
        return None
    from cryopick.review.compare import Comparison
    from cryopick.review.load import read_known_picks
    from cryopick.review.training_set import training_names

    found, _ = read_known_picks(path, [each.source for each in session.micrographs], None, downsample)
    return Comparison.of(session, found, title=str(path), trained_on=training_names(path))


def _correct(session: "Review", path: Path, downsample: float) -> None:
    from cryopick.review.corrections import apply_corrections
    from cryopick.review.load import read_known_picks

    found, _ = read_known_picks(path, [each.source for each in session.micrographs], None, downsample)
    reviewed = apply_corrections(session, found)
    particles = sum(len(session.result(index)) for index in reviewed)
    say(f"reviewed: {counted(len(reviewed), 'micrograph')} with {counted(particles, 'particle')}")


def _write(session: "Review", folder: Path, formats: list[str], *, labels: bool) -> None:
    from cryopick.review.export import training_commands, write_labels, write_result

    for name in formats:
        say(f"wrote {write_result(session, name)}")
    if labels:
        written = write_labels(session)
        counts = f"{counted(written.particles, 'particle')} on {counted(written.micrographs, 'reviewed micrograph')}"
        say(f"wrote {written.folder}: {counts}")
        say("\n".join(["to train on them, pick again and compare, run:", *training_commands(session, folder)]))


def _serve(session: "Review", folder: Path, comparison: "Comparison | None", port: int) -> None:
    import secrets
    from contextlib import suppress

    from cryopick.review.export import write_result
    from cryopick.review.server import Server, listen, serve, undisturbed

    token = secrets.token_urlsafe(32)
    listener = listen(port)
    _print_address(listener.getsockname()[1], token, "compare" if comparison else "")
    with suppress(KeyboardInterrupt):
        serve(Server(session, folder, comparison).app(token), listener)
    if session.entry_count:
        with undisturbed():
            place = write_result(session)
        with suppress(OSError):  # the terminal may be closed
            say(f"\nwrote {place} (the journal beside it keeps every edit)")


def _print_address(port: int, token: str, page: str) -> None:
    import getpass
    import socket

    say(f"open   http://127.0.0.1:{port}/{page}?token={token}")
    say("from a laptop, first run there, and keep it running:")
    say(f"       ssh -N -L {port}:127.0.0.1:{port} {getpass.getuser()}@{socket.gethostname()}")
    say("stop with Ctrl-C; every edit is saved at once")
