"""`cryopick pick`: particles of micrographs."""

from pathlib import Path
from typing import Annotated

import typer

from cryopick.cli.arguments import ClusterOptions, Inputs, Overwrite, PickOptions, with_groups


@with_groups
def pick(
    inputs: Inputs,
    out: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the results; an unfinished run there is resumed.")],
    how: PickOptions,
    where: ClusterOptions,
    workers: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="Number of processes.  [default: as cores, memory and GPUs allow]")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Pick part I of N; run the N parts with the same command and folder.")
    ] = None,
    assemble: Annotated[
        bool, typer.Option("--assemble", help="Write the joint files from the results of all shards; pick nothing.")
    ] = False,
    overwrite: Overwrite = False,
    report: Annotated[bool, typer.Option(help="Write report.html, a page about the run.")] = True,
) -> None:
    """Pick the particles of micrographs.

    The results are particles.star, coordinate files for RELION and a report. Run the same command again to resume a run.
    """
    from cryopick.parallel.process import one_thread_for_children

    one_thread_for_children()  # before numpy is imported, for its BLAS
    from cryopick.cli.console import say
    from cryopick.cli.picking import exit_code, report_result, run_with_progress, write_page
    from cryopick.io.micrographs.sources import find_micrographs
    from cryopick.parallel.dask_cluster import job_script, open_cluster
    from cryopick.runs.local import suggest_workers
    from cryopick.runs.pick import assemble_run
    from cryopick.runs.shards import Shard

    if where.print_job:
        say(job_script(where.cluster or "", where.resources(out)))
        return
    if sum([shard is not None, assemble, overwrite]) > 1:
        raise typer.BadParameter(
            "--shard, --assemble and --overwrite exclude each other; to start shards again, remove the folder"
        )
    part = None if shard is None else Shard.parse(shard)
    sources = find_micrographs(
        inputs, pixel_size=how.pixel_size
    )  # wrong paths are reported before the picker's libraries are loaded
    settings = how.run_settings(thumbnails=report, elsewhere=where.cluster is not None)
    if assemble:
        result = assemble_run(sources, out, settings)
    elif where.cluster is not None:
        with open_cluster(where.cluster, where.resources(out)) as pool:
            result = run_with_progress(sources, out, settings, pool=pool, overwrite=overwrite, shard=part)
    else:
        processes, limit = (min(workers, len(sources)), "") if workers else suggest_workers(settings, sources)
        result = run_with_progress(sources, out, settings, workers=processes, limit=limit, overwrite=overwrite, shard=part)
    report_result(result, out)
    if report and result.assembled:
        write_page(out)
    raise typer.Exit(exit_code(result))
