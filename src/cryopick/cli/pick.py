"""`cryopick pick`: find the particles of many micrographs."""

from pathlib import Path
from typing import Annotated

import typer

from cryopick.cli.arguments import ClusterOptions, Inputs, Overwrite, PickOptions, with_groups


@with_groups
def pick(
    inputs: Inputs,
    out: Annotated[Path, typer.Option(help="Folder for the results; one with an unfinished run is gone on with.")],
    how: PickOptions,
    where: ClusterOptions,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Processes, of one thread each.  [default: as cores, memory and GPUs allow]")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Pick the I-th of N parts; give the N runs the same command and folder.")
    ] = None,
    assemble: Annotated[
        bool, typer.Option("--assemble", help="Pick nothing; write the files about all micrographs from what shards have picked.")
    ] = False,
    overwrite: Overwrite = False,
    report: Annotated[bool, typer.Option(help="Write report.html, a page about the run, at its end.")] = True,
) -> None:
    """Find the particles of micrographs, for RELION and others.

    Run the same command again to go on where a run was stopped.
    """
    from cryopick.parallel.process import one_thread_for_children

    one_thread_for_children()  # before numpy is imported, so that its BLAS obeys
    from cryopick.cli.progress import exit_code, run_with_progress, tell, write_page
    from cryopick.io.micrographs.sources import find_micrographs
    from cryopick.parallel.dask_cluster import job_script, open_cluster
    from cryopick.runs.local import suggest_workers
    from cryopick.runs.pick import assemble_run
    from cryopick.runs.shards import Shard

    if where.print_job:
        typer.echo(job_script(where.cluster or "", where.asked(out)))
        return
    if sum([shard is not None, assemble, overwrite]) > 1:
        raise typer.BadParameter("give one of --shard, --assemble and --overwrite; to start shards afresh, remove the folder")
    part = None if shard is None else Shard.parse(shard)
    sources = find_micrographs(inputs, pixel_size=how.pixel_size)  # a wrong path is told before the picker's libraries load
    settings = how.run_settings(thumbnails=report, elsewhere=where.cluster is not None)
    if assemble:
        result = assemble_run(sources, out, settings)
    elif where.cluster is not None:
        with open_cluster(where.cluster, where.asked(out)) as crew:
            result = run_with_progress(sources, out, settings, crew=crew, overwrite=overwrite, shard=part)
    else:
        processes, limit = (min(workers, len(sources)), "") if workers else suggest_workers(settings, sources)
        result = run_with_progress(sources, out, settings, workers=processes, limit=limit, overwrite=overwrite, shard=part)
    tell(result, out)
    if report and result.assembled:
        write_page(out)
    raise typer.Exit(exit_code(result))
