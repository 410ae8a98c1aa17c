"""The output folder of a run: paths, locks, checks that a run may write there, and removal by `--overwrite`."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from cryopick.errors import FileError, SettingError
from cryopick.files import FOLDER_LOCK, LockedError, lock_file, locked, remove_leftovers, take_lock, write_text
from cryopick.io.picks.formats import FORMATS
from cryopick.io.picks.relion import INDEX, INDEX_3_1, SUFFIX
from cryopick.provenance import RUN, RunRecord
from cryopick.runs.records import Outcome, is_below, read_outcome, record_paths
from cryopick.runs.settings import COMMAND, RunSettings, mismatch, read_run_record, run_record

JOINT_FILES = {"particles.star", "micrographs.csv", "report.html", INDEX, INDEX_3_1}
JOINT_FOLDERS = {"relion", "report"}
"""Files and folders of joint files, beside a folder for each format."""
FILES_LOCK = ".files.lock"


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

    def record_paths(self) -> list[Path]:
        """List all records, sorted by name."""
        return record_paths(self.records)

    def preview(self, stem: str) -> Path:
        """Return the path of a micrograph's preview with its picks."""
        return self.path / "previews" / f"{stem}.png"

    def thumbnail(self, stem: str) -> Path:
        """Return the path of a micrograph's thumbnail; in the folder of earlier versions if it exists there."""
        path, earlier = self._thumbnails(stem)
        return earlier if earlier.is_file() and not path.is_file() else path

    def _thumbnails(self, stem: str) -> tuple[Path, Path]:
        return self.path / "thumbnails" / f"{stem}.npz", self.path / "glimpses" / f"{stem}.npz"

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
        with self._locked(self._shared_lock() if shared else self._own_lock()):
            yield

    @contextmanager
    def _own_lock(self) -> Iterator[None]:
        """Hold the lock alone, and remove what killed runs left."""
        with locked(self.path / FOLDER_LOCK):
            remove_leftovers(self.path, owned=True)
            yield

    @contextmanager
    def _shared_lock(self) -> Iterator[None]:
        """Hold the lock together with other runs that share it; the first of them removes what killed runs left."""
        with lock_file(self.path / FOLDER_LOCK) as handle:
            with locked(self.path / FILES_LOCK, wait=True):  # one at a time, so that the first is not taken for another run
                try:
                    take_lock(handle, self.path / FOLDER_LOCK)
                    remove_leftovers(self.path, owned=True)
                except LockedError:
                    remove_leftovers(self.path)
                take_lock(handle, self.path / FOLDER_LOCK, shared=True)
            yield

    def one_at_a_time(self) -> AbstractContextManager[None]:
        """Hold, after waiting for it, the lock for steps that only one of the runs that share the folder may take at a time."""
        return self._locked(locked(self.path / FILES_LOCK, wait=True))

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
        if not self.manifest.is_file():
            return set()
        names = self.manifest.read_text(encoding="utf-8", errors="replace").split("\n")
        return {self.path / name for name in names if self._may_be_joint(name)}

    def _may_be_joint(self, name: str) -> bool:
        """Return whether a joint file can have this name: no other may be removed because a damaged list names it."""
        if not is_below(name):
            return False
        first, *others = PurePosixPath(name).parts
        return first in {*JOINT_FOLDERS, *FORMATS.names} if others else first in JOINT_FILES

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
        """Return whether there are settings of a run, or damaged ones beside records."""
        if RunRecord.is_at(self.settings, COMMAND):
            return True
        return self.settings.is_file() and any(read_outcome(record) for record in self.record_paths())

    @contextmanager
    def _locked(self, lock: AbstractContextManager[None]) -> Iterator[None]:
        with ExitStack() as held:
            try:
                with self.writing():
                    held.enter_context(lock)
            except LockedError:
                raise SettingError(
                    f"{self.path} is in use by another run. Wait until it ends, give another --out, or use --shard for both"
                ) from None
            yield

    def _join(self, settings: RunSettings, *, overwrite: bool, shared: bool) -> None:
        if not overwrite and (shared or self.record_paths()):
            problem = mismatch(read_run_record(self.settings), settings)
            if problem:
                remedy = "Use the settings and the version it was made with, give another --out, or start again with --overwrite"
                raise SettingError(f"{self.path} {problem}. {remedy}")
        if overwrite:
            self._clear()

    def _clear(self) -> None:
        """Remove all results; the settings last, so that an interrupted removal can be repeated.

        Files outside the folder that a record or a list names, directly or through a link, stay.
        """
        written = list(self.assembled())
        for record in self.record_paths():
            outcome = read_outcome(record)
            named = [self.path / name for name in outcome.files if name.endswith(SUFFIX)] if outcome else []
            written += [*named, self.preview(record.stem), *self._thumbnails(record.stem), record]
        inside = [path for path in written if self._is_inside(path)]
        for path in [*inside, self.manifest, self.settings]:
            with suppress(IsADirectoryError, NotADirectoryError):
                path.unlink(missing_ok=True)
        folders = {folder for path in inside for folder in path.parents if self.path in folder.parents}
        for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
            with suppress(OSError):  # not empty: it holds other files
                folder.rmdir()

    def _is_inside(self, path: Path) -> bool:
        return path.parent.resolve().is_relative_to(self.path.resolve())
