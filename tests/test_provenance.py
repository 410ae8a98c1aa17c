"""What made a result, and whether two runs are the same run."""

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pytest
import yaml

from cryopick import __version__
from cryopick.errors import FileError, SettingError
from cryopick.provenance import (
    RUN,
    RunRecord,
    differences,
    earlier_result,
    file_identity,
    fingerprint,
    plain,
    record_run,
    versions,
)


@dataclass(frozen=True)
class Settings:
    """Settings of some kind."""

    folder: Path
    scales: tuple[float, ...] = (1.0, 2.0)


class Result(msgspec.Struct):
    """A result with the fingerprint of what it was made from."""

    value: int
    signature: str


def test_versions_of_libraries_that_are_not_installed_are_left_out():
    found = versions("numpy", "no-such-library")
    assert set(found) == {"python", "numpy"}
    assert all(found.values())


def test_a_training_is_recorded_where_its_libraries_are_missing(tmp_path, monkeypatch):
    monkeypatch.setattr("cryopick.provenance.TRAINING_LIBRARIES", ("numpy", "no-such-library"))
    record_run(tmp_path, {"steps": 3}, command="finetune", resumed=False)
    text = (tmp_path / RUN).read_text()
    assert text.startswith("# Written by cryopick finetune. A later run must have the same settings to resume this one.\n")
    assert set(yaml.safe_load(text)["versions"]) == {"python", "numpy"}


def test_equal_content_has_equal_fingerprints_and_other_content_others():
    one = Settings(Path("a"))
    assert fingerprint(one, b"xy", {"a": 1, "b": 2}) == fingerprint(Settings(Path("a")), b"xy", {"b": 2, "a": 1})
    others = [(one,), (one, b"xz"), (Settings(Path("b")), b"xy"), (Settings(Path("a"), (1.0,)), b"xy"), ()]
    assert len({fingerprint(*content) for content in others}) == len(others)


def test_fingerprints_are_those_of_earlier_versions_so_that_benchmarks_are_not_repeated():
    assert fingerprint() == "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"  # printf '[]' | sha256sum
    assert (
        fingerprint("a", 1) == "135f17a475a61afdeeaf3759ad2e45ad1c7abb192395abe47e41fc8e395dc1a9"
    )  # printf '["a",1]' | sha256sum


def test_a_file_is_another_when_its_size_or_time_changes(tmp_path):
    path = tmp_path / "a"
    identities = []
    for content, time in ((b"12", 0), (b"123", 0), (b"123", 1)):
        path.write_bytes(content)
        os.utime(path, ns=(time, time))
        identities.append(file_identity(path))
    assert identities == [(str(path), 2, 0), (str(path), 3, 0), (str(path), 3, 1)]


def test_settings_become_values_that_yaml_holds():
    assert plain(Settings(Path("a"))) == {"folder": "a", "scales": [1.0, 2.0]}


def test_differences_name_settings_at_any_depth_and_what_is_not_set():
    old = {"loop": {"steps": 3, "seed": 0}, "data": None, "mix": True, "same": 1, "gone": None}
    new = {"loop": {"steps": 4, "seed": 0}, "data": {"path": "x"}, "mix": False, "same": 1}
    assert differences(old, new) == ["loop.steps was 3, now 4", "mix was true, now false", "data.path was not set, now x"]


def test_a_record_comes_back_from_its_file(tmp_path):
    record = RunRecord("pick", {"seed": 3}, ("numpy",))
    record.write(tmp_path / RUN)
    assert RunRecord.read(tmp_path / RUN, "pick") == record
    assert RunRecord.is_at(tmp_path / RUN, "pick")
    assert not RunRecord.is_at(tmp_path / RUN, "train")
    assert not RunRecord.is_at(tmp_path / "absent", "pick")
    with pytest.raises(FileError, match="not the record of a run of cryopick train"):
        RunRecord.read(tmp_path / RUN, "train")


@pytest.mark.parametrize("text", ["", "picks: 3\n", "- 1\n", "cryopick: 1\ntrain: [\n", "\x00"])
def test_a_file_that_is_no_record_is_an_error(tmp_path, text):
    (tmp_path / RUN).write_text(text)
    with pytest.raises(FileError, match="not the record of a run"):
        RunRecord.read(tmp_path / RUN, "train")


@pytest.mark.parametrize("settings", [{"steps": 3}, {"steps": 3, "optional": None}])
def test_a_training_of_the_first_version_is_resumed_with_the_same_settings(tmp_path, settings):
    content = yaml.safe_dump({"cryopick": __version__, "train": {"steps": 3}, "versions": {"python": "3.12"}})
    (tmp_path / RUN).write_text(
        f"# Made by cryopick train: the settings that a later run must have to go on with this one.\n{content}"
    )
    record_run(tmp_path, settings, resumed=True)
    with pytest.raises(SettingError, match=r"holds a run with other settings \(steps was 3, now 4\)\. Use the settings"):
        record_run(tmp_path, {"steps": 4}, resumed=True)


@pytest.mark.parametrize(
    ("earlier", "said"),
    [
        (
            RunRecord("train", {"steps": 4}, version="0.0.7"),
            f"a run made by cryopick 0.0.7, which cryopick {__version__} cannot resume",
        ),
        (
            RunRecord("train", {"steps": 4, "teacher": 1}),
            "a run made by an earlier version of cryopick, with settings that no longer exist (teacher)",
        ),
    ],
)
def test_a_run_of_another_version_is_refused_in_one_sentence(tmp_path, earlier, said):
    earlier.write(tmp_path / RUN)
    with pytest.raises(SettingError) as error:
        record_run(tmp_path, {"steps": 3}, resumed=True)
    assert f"{tmp_path} holds {said}. Use the settings and the version" in str(error.value)


def test_an_earlier_result_is_used_only_where_it_was_made_from_the_same(tmp_path, caplog):
    path = tmp_path / "result.json"
    assert earlier_result(path, Result, "x") is None
    path.write_bytes(msgspec.json.encode(Result(3, "x")))
    assert earlier_result(path, Result, "x") == Result(3, "x")
    assert earlier_result(path, Result, "y") is None
    assert caplog.messages == []
    path.write_text("{")
    assert earlier_result(path, Result, "x") is None
    assert "is damaged or of an earlier version" in caplog.text


def test_a_record_whose_aliases_expand_to_too_much_is_refused(tmp_path):
    lines = ["a0: &a0 lol", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30))]
    (tmp_path / RUN).write_text("\n".join(lines) + "\ncryopick: 1\npick: {x: *a29}\n")
    with pytest.raises(FileError, match="is not the record of a run of cryopick pick"):
        RunRecord.read(tmp_path / RUN, "pick")


@pytest.mark.parametrize("text", ["mine: 1\n", ""])
def test_a_training_does_not_replace_the_record_of_another_program_or_command(tmp_path, text):
    (tmp_path / RUN).write_text(text)
    with pytest.raises(SettingError, match=r"run\.yaml was not written by cryopick train; give another --out"):
        record_run(tmp_path, {"steps": 3}, resumed=False)
    RunRecord("pick", {"seed": 3}).write(tmp_path / RUN)
    with pytest.raises(SettingError, match="give another --out"):
        record_run(tmp_path, {"steps": 3}, resumed=False)
    assert RunRecord.read(tmp_path / RUN, "pick").settings == {"seed": 3}
