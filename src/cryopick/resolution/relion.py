"""Map resolution from picks with RELION 3.1: extraction, 2D classification, initial model, refinement, postprocessing.

A stage is one RELION program, run in a project folder for each set of picks. A finished stage is skipped unless its command or
the picks have changed; an interrupted one is run again.
"""

import os
import shlex
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cryopick.coordinates import length_from_px, length_to_px
from cryopick.errors import CryopickError, SettingError
from cryopick.evaluate.pairing import pair_micrographs
from cryopick.files import write_text
from cryopick.io.picks.relion import SUFFIX, write_coordinates
from cryopick.io.tables.star import Column, StarTable, read_star, star_text
from cryopick.provenance import fingerprint
from cryopick.resolution.half_maps import OrientedMicrograph, box_side
from cryopick.types import Picks

PROGRAMS = ("relion_preprocess", "relion_refine", "relion_refine_mpi", "relion_mask_create", "relion_postprocess", "mpirun")
BOX = 1.6
"""Side of a box in diameters."""
MASK = 1.1
"""Diameter, in particle diameters, of the circular mask of particles and of the spherical mask of the final resolution."""
WORST_CLASS = 1.5
"""Classes are selected if their resolution is within this factor of the best, unless they are nearly empty."""
EMPTY_CLASS = 0.25
"""Share of the mean number of particles below which a class counts as nearly empty."""
CLASS_RESOLUTION = "15"
"""Resolution limit of 2D classification in Å. With a single pass of 12° and 2 pixels, it is sufficient to separate false picks
and many times as fast as the defaults of RELION's GUI."""
REFINEMENT_RANKS = 3
"""MPI ranks of the refinement: a leader and one for each half."""
EXTRACTED, SELECTED, FINAL = "Extract/particles.star", "Select/particles.star", "PostProcess/postprocess.star"
HALF_MAP, MASK_FILE = "Refine3D/run_half1_class001_unfil.mrc", "mask.mrc"


@dataclass(frozen=True)
class RelionSettings:
    """Settings that decide how long RELION runs; the defaults suit a few thousand particles on two cores.

    Attributes
    ----------
    classes : number of 2D classes.
    class_iterations : iterations of 2D classification.
    model_iterations : iterations of the initial model at low, rising and full resolution.
    threads : threads of each program.
    """

    classes: int = 5
    class_iterations: int = 12
    model_iterations: tuple[int, int, int] = (15, 25, 10)
    threads: int = 2


@dataclass(frozen=True)
class Stage:
    """One program to run.

    Attributes
    ----------
    name : of the stage and of its folder in the project.
    words : the command.
    after : called with the project folder once the command has finished.
    """

    name: str
    words: tuple[str, ...]
    after: Callable[[Path], None] = lambda project: None

    @property
    def command(self) -> str:
        """The command as a shell line, to be run in the project folder."""
        return shlex.join(self.words)


def missing_programs() -> list[str]:
    """List the programs needed by the stages that are not installed."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


def write_project(project: Path, picks: Sequence[Picks], micrographs: Sequence[OrientedMicrograph]) -> None:
    """Write a project folder for RELION's extraction: micrographs with their defocus, and coordinates of the picks."""
    project.mkdir(parents=True, exist_ok=True)
    link = project / "micrographs"
    link.unlink(missing_ok=True)  # the micrographs may have moved
    link.symlink_to(micrographs[0].source.path.resolve().parent, target_is_directory=True)
    couples, _ = pair_micrographs(picks, [one.truth for one in micrographs])
    names = [f"micrographs/{one.source.path.name}" for one in micrographs]
    for couple, name in zip(couples, names, strict=True):
        write_coordinates(replace(couple.found, micrograph=name), project / "picks")
    write_text(project / "micrographs.star", _micrograph_star(names, micrographs))


def stages(micrographs: Sequence[OrientedMicrograph], *, symmetry: str, settings: RelionSettings) -> list[Stage]:
    """Return the stages in their order. Raises `SettingError` if the ground truth has no pixel size or diameter."""
    truth = micrographs[0].truth
    if truth.pixel_size is None or truth.diameter is None:
        raise SettingError("the ground truth has no pixel size or no diameter; simulate the micrographs again")
    diameter_px = length_to_px(truth.diameter, truth.pixel_size)
    side = box_side(diameter_px, times=BOX)
    width = ["--particle_diameter", f"{MASK * truth.diameter:.0f}"]
    shared = [*width, "--ctf", "--flatten_solvent", "--zero_mask", "--pool", "30", "--dont_combine_weights_via_disc"]
    threads = ["--j", str(settings.threads)]
    model = sum(settings.model_iterations)
    return [
        Stage("Extract", _extract(side)),
        Stage("Class2D", _classify(settings, shared, threads), lambda project: _select(project, settings.class_iterations)),
        Stage("InitialModel", _initial_model(settings, symmetry, shared, threads)),
        Stage("Refine3D", _refine(f"InitialModel/run_it{model:03d}_class001.mrc", symmetry, shared)),
        Stage("Mask", _mask(side, diameter_px, truth.pixel_size)),
        Stage("PostProcess", _postprocess(truth.pixel_size)),
    ]


def run_stages(project: Path, todo: Sequence[Stage], *, on_stage: Callable[[Stage, bool], None]) -> float:
    """Run the stages that have not finished and return the gold-standard resolution in Å.

    `on_stage` is called before each stage, with whether it is skipped. Commands are logged to ``commands.log``, the output of a
    stage to ``STAGE.log``. Raises `CryopickError` with the end of the output if a program fails.
    """
    fresh, given = False, _digest_of_picks(project)
    for stage in todo:
        stamp, now = project / f"{stage.name}.done", f"{stage.command}\n{given}\n"
        skip = not fresh and stamp.is_file() and stamp.read_text() == now
        on_stage(stage, skip)
        if skip:
            continue
        fresh = True  # later stages used older results
        stamp.unlink(missing_ok=True)
        shutil.rmtree(project / stage.name, ignore_errors=True)
        (project / stage.name).mkdir()
        _run(project, stage)
        stage.after(project)
        write_text(stamp, now)
    return final_resolution(project)


def final_resolution(project: Path) -> float:
    """Return the resolution in Å at which the phase-randomisation corrected FSC of the independent halves crosses 0.143."""
    return float(read_star(project / FINAL)["general"].numbers("rlnFinalResolution")[0])


def _digest_of_picks(project: Path) -> str:
    """Return a digest of what `write_project` has written."""
    files = [project / "micrographs.star", *sorted((project / "picks").rglob(f"*{SUFFIX}"))]
    contents = [f"{file.name}\n{file.read_text()}" for file in files if file.is_file()]
    return fingerprint(*contents)


def _run(project: Path, stage: Stage) -> None:
    with (project / "commands.log").open("a") as commands:
        commands.write(f"{stage.command}\n")
    environment = {**os.environ, "OMPI_MCA_rmaps_base_oversubscribe": "1"}  # three ranks also on two cores
    log = project / f"{stage.name}.log"
    with log.open("w") as output:
        ended = subprocess.run(stage.words, cwd=project, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False)
    if ended.returncode:
        words = " ".join(log.read_text(errors="replace").split()[-60:])
        raise CryopickError(f"{project}: {stage.words[0]} failed in {stage.name} ({words}); see {log}")


def _extract(side: int) -> tuple[str, ...]:
    words = ["relion_preprocess", "--i", "micrographs.star", "--coord_dir", "picks/", "--coord_suffix", SUFFIX]
    words += ["--part_dir", "Extract/", "--part_star", EXTRACTED, "--extract", "--extract_size", str(side)]
    return (*words, "--norm", "--bg_radius", str(int(0.375 * side)), "--invert_contrast")


def _classify(settings: RelionSettings, shared: Sequence[str], threads: Sequence[str]) -> tuple[str, ...]:
    words = ["relion_refine", "--i", EXTRACTED, "--o", "Class2D/run", "--iter", str(settings.class_iterations)]
    words += ["--K", str(settings.classes), "--tau2_fudge", "2", "--oversampling", "0", "--psi_step", "12", "--pad", "1"]
    words += ["--offset_range", "4", "--offset_step", "2", "--norm", "--scale", "--random_seed", "1"]
    return (*words, "--strict_highres_exp", CLASS_RESOLUTION, *shared, *threads)


def _initial_model(settings: RelionSettings, symmetry: str, shared: Sequence[str], threads: Sequence[str]) -> tuple[str, ...]:
    first, between, last = map(str, settings.model_iterations)
    words = ["relion_refine", "--i", SELECTED, "--o", "InitialModel/run", "--sgd", "--denovo_3dref", "--K", "1"]
    words += ["--sgd_ini_iter", first, "--sgd_inbetween_iter", between, "--sgd_fin_iter", last, "--sgd_write_iter", "10"]
    words += ["--sgd_ini_resol", "35", "--sgd_fin_resol", "20", "--sgd_ini_subset", "100", "--sgd_fin_subset", "300"]
    words += ["--sym", symmetry, "--oversampling", "1", "--healpix_order", "1", "--offset_range", "6", "--offset_step", "2"]
    return (*words, "--pad", "1", "--random_seed", "1", *shared, *threads)


def _refine(reference: str, symmetry: str, shared: Sequence[str]) -> tuple[str, ...]:
    words = ["mpirun", "-n", str(REFINEMENT_RANKS), "relion_refine_mpi", "--i", SELECTED, "--o", "Refine3D/run"]
    words += ["--auto_refine", "--split_random_halves", "--ref", reference, "--ini_high", "40", "--ctf_corrected_ref"]
    words += ["--low_resol_join_halves", "40", "--sym", symmetry, "--oversampling", "1", "--healpix_order", "2"]
    words += ["--auto_local_healpix_order", "3", "--offset_range", "5", "--offset_step", "2", "--norm", "--scale", "--pad", "1"]
    return (*words, "--random_seed", "1", *shared, "--j", "1")  # run until convergence, because RELION writes no half-maps before


def _mask(side: int, diameter_px: float, pixel_size: float) -> tuple[str, ...]:
    words = ["relion_mask_create", "--denovo", "--box_size", str(side), "--angpix", f"{pixel_size:g}", "--o", MASK_FILE]
    return (*words, "--outer_radius", f"{MASK * diameter_px / 2:.0f}", "--width_soft_edge", "5")


def _postprocess(pixel_size: float) -> tuple[str, ...]:
    words = ["relion_postprocess", "--i", HALF_MAP, "--o", FINAL.removesuffix(".star"), "--mask", MASK_FILE]
    return (*words, "--angpix", f"{pixel_size:g}")


def _select(project: Path, iteration: int) -> None:
    """Select the particles of good classes by resolution and size, as a user would, with the same rule for all picks."""
    model = read_star(project / f"Class2D/run_it{iteration:03d}_model.star")["model_classes"]
    tables = read_star(project / f"Class2D/run_it{iteration:03d}_data.star")
    resolution, share = model.numbers("rlnEstimatedResolution"), model.numbers("rlnClassDistribution")
    filled = share >= EMPTY_CLASS / len(share)
    good = np.flatnonzero(filled & (resolution <= WORST_CLASS * resolution[filled].min())) + 1
    keep = np.isin(tables["particles"].numbers("rlnClassNumber"), good)
    optics, particles = _columns(tables["optics"]), _columns(tables["particles"])
    particles = {label: np.array(values)[keep].tolist() for label, values in particles.items()}
    write_text(project / SELECTED, star_text({"optics": optics, "particles": particles}))


def _columns(table: StarTable) -> dict[str, list[str]]:
    return {label: table.text(label) for label in table.labels}


def _micrograph_star(names: Sequence[str], micrographs: Sequence[OrientedMicrograph]) -> str:
    """Return a table of all micrographs with their true defocus, grouped by microscope settings."""
    value = {key: np.array([float(getattr(one.optics, key)[0]) for one in micrographs]) for key in vars(micrographs[0].optics)}
    settings = np.stack([value["voltage"] / 1e3, value["cs"] / 1e7, value["amplitude_contrast"]], 1).round(4)
    groups, group = np.unique(settings, axis=0, return_inverse=True)
    size = [length_from_px(1.0, micrographs[0].truth.pixel_size)] * len(groups)
    optics: dict[str, Column] = {
        "rlnOpticsGroupName": [f"opticsGroup{number + 1}" for number in range(len(groups))],
        "rlnOpticsGroup": np.arange(len(groups)) + 1,
        "rlnMicrographOriginalPixelSize": size,
        "rlnMicrographPixelSize": size,
        "rlnVoltage": groups[:, 0],
        "rlnSphericalAberration": groups[:, 1],
        "rlnAmplitudeContrast": groups[:, 2],
    }
    table: dict[str, Column] = {
        "rlnMicrographName": list(names),
        "rlnOpticsGroup": group.ravel() + 1,
        "rlnDefocusU": value["defocus"] + value["astigmatism"],
        "rlnDefocusV": value["defocus"] - value["astigmatism"],
        "rlnDefocusAngle": np.rad2deg(value["azimuth"]),
        "rlnPhaseShift": np.rad2deg(value["phase_shift"]),
    }
    return star_text({"optics": optics, "micrographs": table})
