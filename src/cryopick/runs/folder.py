"""The output folder of a run: paths, locks, checks that a run may write there, and removal by `--overwrite`."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cryopick.errors import FileError, SettingError
from cryopick.files import LockedError, leftovers, locked, write_text
from cryopick.provenance import RUN, RunRecord
from cryopick.runs.records import Outcome, read_outcome
from cryopick.runs.settings import COMMAND, RunSettings, mismatch, run_record


@dataclass(frozen=True)
class RunFolder:
    """Paths in the output folder.

    With `relion_job`, it is the folder of a RELION job, which also has RELION's own files and the coordinates.
    """

    path: Path
    relion_job: bool = False

    @property
    def settings(self) -> Path:
        """``run.yaml`` with the settings of the run."""
        return self.path / RUN

    @property
    def particles(self) -> Path:
        """The picks of all micrographs."""
        return self.path / "particles.star"

    @property
    def table(self) -> Path:
        """A row for each micrograph: picks, time, status, notes."""
        return self.path / "micrographs.csv"

    @property
    def relion(self) -> Path:
        """The folder of RELION's coordinate files."""
        return self.path if self.relion_job else self.path / "relion"

    @property
    def manifest(self) -> Path:
        """List of the run's joint files, which cover all micrographs, one name per line."""
        return self.records / "assembled.txt"

    @property
    def records(self) -> Path:
        """The folder of the records, one JSON file for each micrograph."""
        return self.path / "records"

    def record(self, stem: str) -> Path:
        """Return the path of a micrograph's record."""
        return self.records / f"{stem}.json"

    def preview(self, stem: str) -> Path:
        """Return the path of a micrograph's preview with its picks."""
        return self.path / "previews" / f"{stem}.png"

    def thumbnail(self, stem: str) -> Path:
        """Return the path of a micrograph's thumbnail; in the folder of earlier versions if it exists there."""
        path, earlier = (self.path / folder / f"{stem}.npz" for folder in ("thumbnails", "glimpses"))
        return earlier if earlier.is_file() and not path.is_file() else path

    def holds(self, stem: str, outcome: Outcome, *, previews: bool) -> bool:
        """Return whether all files of a finished micrograph exist."""
        files = [self.path / name for name in outcome.files] + ([self.preview(stem)] if previews else [])
        return all(file.is_file() for file in files)

    def relative(self, path: Path) -> str:
        """Return a path relative to the output folder, with forward slashes."""
        return path.relative_to(self.path).as_posix()

    @contextmanager
    def in_use(self, *, shared: bool = False) -> Iterator[None]:
        """Make the folder and lock it against other runs; with `shared`, against those that do not share it.

        Raises `SettingError` for a folder with other files, which are not changed, and if another run uses it.
        """
        with self.writing():
            self.path.mkdir(parents=True, exist_ok=True)
            visible = any(not entry.name.startswith(".") for entry in self.path.iterdir())
            if visible and not (
                self.relion_job or self._is_run()
            ):  # in this order, because a shard that starts now writes its settings first
                raise SettingError(
                    f"{self.path} holds other files and no run of cryopick pick; they were not changed. Give another --out"
                )
        with self._locked(".run.lock", shared=shared):
            yield

    def one_at_a_time(self) -> AbstractContextManager[None]:
        """Hold, after waiting for it, the lock for steps that only one of the runs that share the folder may take at a time."""
        return self._locked(".files.lock", wait=True)

    def prepare(self, settings: RunSettings, *, overwrite: bool = False, shared: bool = False) -> None:
        """Check that the micrographs finished in the folder were picked with the same settings, and write its ``run.yaml``.

        Call it with the folder `in_use`. Raises `SettingError` for other settings unless `overwrite` is set, which removes
        only files that cryopick wrote.
        """
        with self.writing():
            if self._is_run():
                self._join(settings, overwrite=overwrite, shared=shared)
            run_record(settings).write(self.settings)

    def assembled(self) -> set[Path]:
        """List the joint files that this run or an earlier one wrote."""
        names = self.manifest.read_text(encoding="utf-8").splitlines() if self.manifest.is_file() else []
        return {self.path / name for name in names}

    def note_assembled(self, *paths: Path) -> None:
        """Add files to the list of the run's joint files."""
        names = {self.relative(path) for path in self.assembled().union(paths)}
        write_text(self.manifest, "".join(f"{name}\n" for name in sorted(names)))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn an `OSError` (disk full, no permission) into a `FileError` that says how to resume."""
        try:
            yield
        except OSError as error:
            found = f"cannot be written: {error.strerror or error}"
            remedy = "Make room or give another --out. Finished micrographs are kept; run the same command again to resume"
            raise FileError(error.filename or self.path, found, remedy) from error

    def _is_run(self) -> bool:
        return RunRecord.is_at(self.settings, COMMAND)

    @contextmanager
    def _locked(self, name: str, *, shared: bool = False, wait: bool = False) -> Iterator[None]:
        with ExitStack() as held:
            try:
                with self.writing():
                    held.enter_context(locked(self.path / name, shared=shared, wait=wait))
            except LockedError:
                raise SettingError(
                    f"{self.path} is in use by another run. Wait until it ends, give another --out, or use --shard for both"
                ) from None
            yield

    def _join(self, settings: RunSettings, *, overwrite: bool, shared: bool) -> None:
        if not overwrite and (shared or any(self.records.glob("*.json"))):
            problem = mismatch(RunRecord.read(self.settings, COMMAND), settings)
            if problem:
                remedy = "Use the settings and the version it was made with, give another --out, or start again with --overwrite"
                raise SettingError(f"{self.path} {problem}. {remedy}")
        if not shared:  # incomplete files of a run that was killed
            for path in leftovers(self.path):
                path.unlink(missing_ok=True)
        if overwrite:
            self._clear()

    def _clear(self) -> None:
        """Remove all results; the settings last, so that an interrupted removal can be repeated."""
        written = list(self.assembled())
        for record in self.records.glob("*.json"):
            outcome = read_outcome(record)
            written += [self.path / name for name in outcome.files] if outcome else []
            written.append(record)
        for path in [*written, self.manifest, self.settings]:
            path.unlink(missing_ok=True)
        folders = {folder for path in written for folder in path.parents if self.path in folder.parents}
        for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
            with suppress(OSError):  # not empty: it holds other files
                folder.rmdir()
