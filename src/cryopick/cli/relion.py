"""`cryopick relion`: a picking job in RELION's pipeline.

RELION's requirements of the program of an External job:
https://relion.readthedocs.io/en/latest/Reference/Using-RELION.html (External job-type).
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from cryopick.cli.arguments import PickOptions, with_groups
from cryopick.cli.grammar import INTERRUPTED

SUCCESS, FAILURE, ABORTED = (f"RELION_JOB_EXIT_{end}" for end in ("SUCCESS", "FAILURE", "ABORTED"))
ABORT_NOW = "RELION_JOB_ABORT_NOW"
NODES = "RELION_OUTPUT_NODES.star"
COORDINATES = 2
"""Type of a node for RELION 3.1, which only knows numbers; later versions read the label."""
COORDINATES_LABEL = "MicrographCoordsGroup.star.relion.autopick"


@with_groups
def relion(
    out: Annotated[Path, typer.Option("--o", metavar="FOLDER", help="Folder of the job, such as External/job007/.")],
    in_mics: Annotated[
        Path, typer.Option("--in_mics", metavar="STAR", help="RELION's list of micrographs (micrographs_ctf.star).")
    ],
    how: PickOptions,
    threads: Annotated[int, typer.Option("--j", metavar="N", min=1, help="Number of processes.")] = 1,
    pipeline_control: Annotated[
        str | None,
        typer.Option("--pipeline_control", metavar="FOLDER", hidden=True, help="Folder of RELION's control files; not used."),
    ] = None,
) -> None:
    """Pick particles as an External job of RELION.

    The results are input for RELION's particle extraction. RELION adds --o, --in_mics and --j itself. Continue the job to resume
    it.
    """
    from cryopick.parallel.process import one_thread_for_children

    one_thread_for_children()  # before numpy is imported, for its BLAS
    from cryopick.cli.picking import report_result, run_with_progress
    from cryopick.io.micrographs.sources import find_micrographs

    with _exit_status(out):
        settings = how.run_settings()
        sources = find_micrographs(in_mics, pixel_size=how.pixel_size)
        workers = min(threads, len(sources))
        abort = out / ABORT_NOW
        result = run_with_progress(sources, out, settings, workers=workers, relion_job=True, should_stop=abort.exists)
        report_result(result, out)
        if result.interrupted:
            raise KeyboardInterrupt
        if len(result.failed) == len(result.outcomes):
            raise typer.Exit(1)
        _write_nodes(out, in_mics)


@contextmanager
def _exit_status(job: Path) -> Iterator[None]:
    """Write the empty file in the job's folder by which RELION knows how the job ended."""
    job.mkdir(parents=True, exist_ok=True)
    for name in (SUCCESS, FAILURE, ABORTED):  # left by the job that is continued
        (job / name).unlink(missing_ok=True)
    try:
        yield
    except KeyboardInterrupt:
        (job / ABORT_NOW).unlink(missing_ok=True)
        (job / ABORTED).touch()
        raise typer.Exit(INTERRUPTED) from None
    except BaseException:
        (job / FAILURE).touch()
        raise
    (job / SUCCESS).touch()


def _write_nodes(job: Path, in_mics: Path) -> None:
    """List the output for the next job: coordinate files for RELION 4 and 5, the file with their suffix for 3.1."""
    from cryopick.files import write_text
    from cryopick.io.picks.relion import INDEX, INDEX_3_1
    from cryopick.io.tables.star import Column, star_text

    write_text(job / INDEX_3_1, f"{in_mics.as_posix()}\n")  # 3.1 displays picks on the micrographs named here
    nodes: dict[str, Column] = {
        "rlnPipeLineNodeName": [(job / name).as_posix() for name in (INDEX, INDEX_3_1)],
        "rlnPipeLineNodeType": [COORDINATES, COORDINATES],
        "rlnPipeLineNodeTypeLabel": [COORDINATES_LABEL, COORDINATES_LABEL],
    }
    write_text(job / NODES, star_text({"output_nodes": nodes}))
