"""The output folder of a run: where everything lies, whether this run may write there, and what a fresh start removes."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cryopick.files import LockedError, locked
from cryopick.runs.records import Outcome, read_outcome
from cryopick.runs.settings import HEADER, RunSettings, as_yaml, differences
from cryopick.errors import FileError, SettingError
from cryopick.files import leftovers, write_text


@dataclass(frozen=True)
class RunFolder:
    """Paths below the output folder, all of them.

    `relion_job` makes it the folder of a RELION job: RELION has put files of its own there, and expects coordinates beside them.
    """

    path: Path
    relion_job: bool = False

    @property
    def settings(self) -> Path:
        return self.path / "run.yaml"

    @property
    def particles(self) -> Path:
        return self.path / "particles.star"

    @property
    def table(self) -> Path:
        return self.path / "micrographs.csv"

    @property
    def relion(self) -> Path:
        return self.path if self.relion_job else self.path / "relion"

    @property
    def manifest(self) -> Path:
        """The list of the files about all micrographs, one name a line."""
        return self.records / "assembled.txt"

    @property
    def records(self) -> Path:
        return self.path / "records"

    def record(self, stem: str) -> Path:
        return self.records / f"{stem}.json"

    def preview(self, stem: str) -> Path:
        return self.path / "previews" / f"{stem}.png"

    def glimpse(self, stem: str) -> Path:
        return self.path / "glimpses" / f"{stem}.npz"

    def holds(self, stem: str, outcome: Outcome, *, previews: bool) -> bool:
        """Whether all files of a finished micrograph are there."""
        files = [self.path / name for name in outcome.files] + ([self.preview(stem)] if previews else [])
        return all(file.is_file() for file in files)

    def relative(self, path: Path) -> str:
        return path.relative_to(self.path).as_posix()

    @contextmanager
    def in_use(self, *, shared: bool = False) -> Iterator[None]:
        """Make the folder and keep other runs out of it; with `shared`, all that do not share it.

        Raises `SettingError` for a folder that holds something else, which is not touched, and when another run is at work.
        """
        with self.writing():
            self.path.mkdir(parents=True, exist_ok=True)
            visible = any(not entry.name.startswith(".") for entry in self.path.iterdir())
            if visible and not (
                self.relion_job or self._is_run()
            ):  # in this order: a shard that starts now writes its settings first
                raise SettingError(
                    f"{self.path} holds files but no run of cryopick; nothing there is touched, give another --out"
                )
        with self._locked(".run.lock", shared=shared):
            yield

    def one_at_a_time(self) -> AbstractContextManager[None]:
        """Wait until no other of the runs that share the folder does what only one may do."""
        return self._locked(".files.lock", wait=True)

    def prepare(self, settings: RunSettings, *, overwrite: bool = False, shared: bool = False) -> None:
        """Check that what is picked in the folder had the same settings; afterwards it holds this ``run.yaml``.

        Call it with the folder `in_use`. Raises `SettingError` for other settings unless `overwrite`, which removes what
        cryopick wrote there and nothing else.
        """
        with self.writing():
            if self._is_run():
                self._join(settings, overwrite=overwrite, shared=shared)
            write_text(self.settings, as_yaml(settings))

    def assembled(self) -> set[Path]:
        """The files about all micrographs that this run or one before it wrote."""
        names = self.manifest.read_text(encoding="utf-8").splitlines() if self.manifest.is_file() else []
        return {self.path / name for name in names}

    def note_assembled(self, *paths: Path) -> None:
        """Remember that these files are the run's own."""
        names = {self.relative(path) for path in self.assembled().union(paths)}
        write_text(self.manifest, "".join(f"{name}\n" for name in sorted(names)))

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Turn an `OSError` of writing (disk full, no permission) into a `FileError` that says how to go on."""
        try:
            yield
        except OSError as error:
            found = f"cannot be written: {error.strerror or error}"
            remedy = "Make room or give another --out; what is finished is kept, and the same command goes on from there"
            raise FileError(error.filename or self.path, found, remedy) from error

    def _is_run(self) -> bool:
        return self.settings.is_file() and self.settings.read_text(encoding="utf-8", errors="replace").startswith(HEADER)

    @contextmanager
    def _locked(self, name: str, *, shared: bool = False, wait: bool = False) -> Iterator[None]:
        with ExitStack() as held:
            try:
                with self.writing():
                    held.enter_context(locked(self.path / name, shared=shared, wait=wait))
            except LockedError:
                raise SettingError(
                    f"{self.path} is in use by another run; wait for its end, give another --out, or make all runs shards"
                ) from None
            yield

    def _join(self, settings: RunSettings, *, overwrite: bool, shared: bool) -> None:
        changed = differences(self.settings.read_text(encoding="utf-8"), settings)
        if changed and not overwrite and (shared or any(self.records.glob("*.json"))):
            raise SettingError(
                f"{self.path} holds a run with other settings ({'; '.join(changed)}); "
                "give the same, another --out, or --overwrite to start afresh"
            )
        if not shared:  # half-written files of a run that was killed
            for path in leftovers(self.path):
                path.unlink(missing_ok=True)
        if overwrite:
            self._clear()

    def _clear(self) -> None:
        """Remove all that was written, the settings last, so that a clearing that was interrupted can be repeated."""
        written = list(self.assembled())
        for record in self.records.glob("*.json"):
            outcome = read_outcome(record)
            written += [self.path / name for name in outcome.files] if outcome else []
            written.append(record)
        for path in [*written, self.manifest, self.settings]:
            path.unlink(missing_ok=True)
        folders = {folder for path in written for folder in path.parents if self.path in folder.parents}
        for folder in sorted(folders, key=lambda folder: len(folder.parts), reverse=True):
            with suppress(OSError):  # not empty: it holds something that is not ours
                folder.rmdir()
