"""The command as a whole: its help is quick, and its errors are one line."""

import subprocess
import sys

import pytest

from cryopick.cli import main


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_help_imports_nothing_slow():
    code = "import sys; from cryopick.cli import app; app(['--help'], standalone_mode=False); print(*sys.modules)"
    text, loaded = python(code).rsplit("\n", 2)[:2]
    assert "convert" in text
    assert not {"numpy", "torch", "rich", "yaml"} & set(loaded.split())


@pytest.mark.parametrize("words", [["evaluate", "a.csv", "a.csv", "--plot", "a.csv/x.png"], ["convert", "a.csv", "a.csv/x.star"]])
def test_a_path_that_cannot_be_written_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.csv").write_text("micrograph,x,y,score,diameter\na,1,2,0.5,3\n")
    monkeypatch.setattr(sys, "argv", ["cryopick", *words])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("cryopick: a.csv")
    assert error.count("\n") == 1
