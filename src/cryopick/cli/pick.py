"""`cryopick pick`: find the particles of many micrographs."""

from pathlib import Path
from typing import Annotated

import typer

from cryopick.cli.arguments import Inputs, Overwrite, PickOptions, with_groups


@with_groups
def pick(
    inputs: Inputs,
    out: Annotated[Path, typer.Option(help="Folder for the results; one with an unfinished run is gone on with.")],
    how: PickOptions,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes, of one thread each.  [default: the cores; 1 on a GPU]")
    ] = None,
    overwrite: Overwrite = False,
) -> None:
    """Find the particles of micrographs and write them for RELION and other programs.

    Run the same command again to go on where a run was stopped.
    """
    from cryopick.distributed.threads import available_cores, one_thread_for_children

    one_thread_for_children()  # before numpy is imported, so that its BLAS obeys
    from cryopick.cli.running import exit_code, run_with_progress, tell
    from cryopick.io.sources import find_micrographs

    settings = how.run_settings()
    sources = find_micrographs(inputs, pixel_size=how.pixel_size)
    crew = workers or (1 if settings.device == "cuda" else available_cores())
    result = run_with_progress(sources, out, settings, workers=min(crew, len(sources)), overwrite=overwrite)
    tell(result, out)
    raise typer.Exit(exit_code(result))
