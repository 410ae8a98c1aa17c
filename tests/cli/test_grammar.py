"""Every command has the same grammar; mistakes are one line on stderr and exit code 2; old spellings work with a warning."""

import re

import pytest
import typer
from typer.testing import CliRunner, Result

from cryopick.cli import COMMANDS, app, extras
from cryopick.cli.grammar import DEPRECATED
from cryopick.errors import MissingExtraError
from cryopick.pickers import DEFAULT


def run(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def all_commands() -> dict[str, typer.core.TyperCommand]:
    found = {}
    for name, command in typer.main.get_command(app).commands.items():
        inner = getattr(command, "commands", None)
        found |= {name: command} if inner is None else {f"{name} {other}": one for other, one in inner.items()}
    return found


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["picc", "x"], "there is no command `cryopick picc`; did you mean pick?"),
        (["dataset", "coc"], "there is no command `cryopick dataset coc`; did you mean coco?"),
        (["zzz"], "there is no command `cryopick zzz`"),
        (["--versio"], "no option --versio; did you mean --version?"),
        (["pick", "x", "--out", "y", "--diametr", "3"], "no option --diametr; did you mean --diameter?"),
        (["pick", "x", "--zzz"], "no option --zzz"),
        (["pick", "x"], "--out is missing; see `cryopick pick -h`"),
        (["pick", "--out", "y"], "INPUT... is missing; see `cryopick pick -h`"),
        (["pick", "x", "--out"], "--out needs a value"),
        (["pick", "x", "--out", "y", "--diameter", "wide"], "--diameter must be a number, got wide"),
        (["pick", "x", "--out", "y", "--workers=0.5"], "--workers must be an integer, got 0.5"),
        (["pick", "x", "--out", "y", "--workers", "0"], "--workers must be at least 1, got 0"),
        (["pick", "x", "--out", "y", "--threshold", "nan"], "--threshold must be a number, got nan"),
        (["pick", "x", "--out", "y", "--device", "cud"], "--device must be auto, cpu or cuda, got cud; did you mean cuda?"),
        (["simulate", "--out", "y", "5"], "unexpected argument: 5"),
        (["train", "segnet", "--out", "y"], "give either DATA or --simulate"),
        (["train", "segnet", "x", "--simulate", "--out", "y"], "give either DATA or --simulate, not both"),
        (["ablate", "segnet", "--out", "y"], "give either DATA or --simulate"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_option_and_exit_code_2(words, message):
    result = run(*words)
    assert result.exit_code == 2
    assert result.stderr == f"cryopick: {message}\n"


@pytest.mark.parametrize("words", [["--version"], ["-V"], ["version"]])
def test_the_version_is_printed(words):
    result = run(*words)
    assert result.exit_code == 0
    assert re.fullmatch(r"cryopick \d+\.\d+\.\d+\S*\n", result.stdout)


@pytest.mark.parametrize(
    ("words", "old", "new"),
    [
        (["pick", "x", "--out", "y", "--format", "box", "--format=cs"], "--format box --format=cs", "--to box --to=cs"),
        (["denoise", "x", "--out", "y", "--mode", "robust"], "--mode robust", "--preset robust"),
        (["evaluate", "x", "z", "--format-truth", "csv"], "--format-truth csv", "--truth-from csv"),
        (["finetune", "x", "loop.steps=3", "--out", "y"], "loop.steps=3", "--set loop.steps=3"),
        (["train", "segnet", "simulate", "width=x", "--out", "y"], "simulate width=x", "--simulate --set width=x"),
        (["ablate", "segnet", "simulate", "levels=x", "--out", "y"], "simulate levels=x", "--simulate --set levels=x"),
    ],
)
def test_old_spellings_work_with_one_line_that_says_what_to_write(tmp_path, monkeypatch, words, old, new):
    monkeypatch.chdir(tmp_path)
    result = run(*words)
    assert result.stderr.splitlines()[:1] == [
        f"cryopick: `{old}` is deprecated and will be removed in the next version; write `{new}`"
    ]
    assert not isinstance(result.exception, SystemExit)  # the words were understood; what fails is that there is no file x


@pytest.mark.parametrize(
    "words", [["train", "unet", "--simulate"], ["finetune", "x"], ["ablate", "segnet", "--simulate"]], ids=lambda words: words[0]
)
def test_a_missing_extra_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch, words):
    monkeypatch.setattr(extras, "find_spec", lambda library: None)
    result = run(*words, "--out", str(tmp_path / "y"))
    assert isinstance(result.exception, MissingExtraError)
    assert str(result.exception) == (
        f"cryopick {words[0]} needs libraries that are not installed; "
        "in the clone of cryopick run: pip install -c constraints.txt '.[train]'"
    )
    assert not (tmp_path / "y").exists()


def test_a_file_whose_name_has_an_equals_sign_is_no_setting(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b.star").touch()
    assert "will not work" not in run("finetune", "a=b.star", "--out", "y").stderr


def test_deprecated_spellings_are_of_commands_that_exist_and_lead_to_options_that_exist():
    commands = all_commands()
    for name, old in DEPRECATED.items():
        names = {option for one in commands[name].params for option in one.opts}
        assert set(old.options.values()) <= names
        assert not set(old.options) & names
        assert "--set" in names or not old.bare_settings
        assert "--simulate" in names or not old.simulate
    assert len(DEPRECATED) > 5


def test_settings_and_formats_have_the_same_options_in_every_command():
    options = {name: {option for one in command.params for option in one.opts} for name, command in all_commands().items()}
    assert len(options) >= len(COMMANDS)
    for names in options.values():
        assert not {"--format", "--mode", "--export"} & names
    for name in ("pick", "watch", "relion", "denoise", "simulate", "train", "finetune", "ablate"):
        assert "--set" in options[name]


def test_every_option_has_a_long_name_and_a_help_of_one_sentence_without_a_python_type():
    for name, command in all_commands().items():
        for one in command.params:
            if one.param_type_name == "option":
                assert any(option.startswith("--") for option in one.opts), f"{name}: {one.opts}"
                assert one.is_flag or one.metavar or "Literal" in repr(one.type_descriptor.annotation), f"{name}: {one.opts}"
            assert re.match(r"[A-Z].*[.\])]$", one.help or ""), f"{name}: {one.help}"
            assert ". " not in (one.help or "").partition("  [")[0], f"{name}: {one.help}"


def test_the_help_names_the_default_picker():
    assert f"[default: {DEFAULT}]" in " ".join(run("pick", "--help").stdout.split())


@pytest.mark.parametrize("name", [*all_commands(), ""])
def test_the_help_of_every_command_is_complete_at_80_columns(name):
    result = CliRunner().invoke(app, [*name.split(), "-h"], env={"COLUMNS": "80"})
    assert result.exit_code == 0
    assert max(map(len, result.stdout.splitlines())) <= 80
    assert "..." not in result.stdout.partition("Commands:")[2]  # first lines are short enough for the list
    assert not re.search(r"<str>|<path>|<float>|x>=", result.stdout)
