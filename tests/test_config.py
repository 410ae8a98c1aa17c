"""Settings from presets and KEY=VALUE words."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from cryopick.config import load_preset, parse_words, preset_names, resolve
from cryopick.errors import FileError, SettingError
from cryopick.pickers import PICKERS


@dataclass(frozen=True)
class Inner:
    width: int = 8
    depth: int = 3


@dataclass(frozen=True)
class Outer:
    radius: float = 0.2
    name: str | None = None
    inner: Inner = Inner()


@dataclass(frozen=True)
class Wide:
    """Has a nested setting whose default is not that of its own class, and one that is absent by default."""

    inner: Inner = field(default_factory=lambda: Inner(width=100, depth=50))
    other: Inner | None = None


@dataclass(frozen=True)
class Outermost:
    wide: Wide = field(default_factory=lambda: Wide(inner=Inner(width=7, depth=7)))


@dataclass(frozen=True)
class Several:
    """Has settings that are not nested ones, though they hold some."""

    by_name: dict[str, Inner] = field(default_factory=dict)
    anything: Any = None
    listed: list[Inner] | None = None


@dataclass(frozen=True)
class Chosen:
    mode: Literal["fast", "slow"] = "fast"


@dataclass(frozen=True)
class Choosing:
    inner: Chosen = Chosen()


def test_later_layers_win_over_earlier_ones_and_over_defaults():
    assert resolve(Outer, {"radius": 0.3, "name": "a"}, {"radius": 1}) == Outer(radius=1.0, name="a")


def test_nested_settings_take_nested_mappings():
    assert resolve(Outer, {"inner": {"width": 16}}).inner == Inner(16)


def test_nested_settings_are_merged_key_by_key():
    assert resolve(Outer, {"inner": {"width": 4}}, {"inner": {"depth": 2}}) == Outer(inner=Inner(4, 2))


def test_a_nested_setting_leaves_the_others_as_the_fields_default_has_them():
    assert resolve(Wide, {"inner": {"depth": 2}}).inner == Inner(width=100, depth=2)
    assert resolve(Outermost, {"wide": {"inner": {"depth": 2}}}).wide.inner == Inner(width=7, depth=2)
    assert resolve(Wide, {"inner": {"depth": 2}}, {"other": {"width": 5}}) == Wide(Inner(100, 2), Inner(5, 3))


def test_settings_by_name_are_filled_one_by_one():
    found = resolve(Several, {"by_name": {"a": {"width": 4}}}, {"by_name": {"b": {"depth": 2}}, "listed": [{"width": 1}]})
    assert found == Several(by_name={"a": Inner(width=4), "b": Inner(depth=2)}, listed=[Inner(width=1)])


@pytest.mark.parametrize("layer", [{"inner": {"widht": 4}}, {"other": {"widht": 4}}])
def test_an_unknown_nested_setting_is_named(layer):
    message = (
        r"unknown setting '(inner|other)\.widht'; did you mean 'width'\? Settings: (inner|other)\.width, (inner|other)\.depth"
    )
    with pytest.raises(SettingError, match=message):
        resolve(Wide, layer)


def test_points_in_words_lead_into_nested_settings():
    assert parse_words(["inner.width=4", "inner.depth=2", "radius=1"]) == {"inner": {"width": 4, "depth": 2}, "radius": 1}


def test_words_are_read_as_yaml():
    assert parse_words(["radius=0.25", "name=null", "inner={width: 4}"]) == {"radius": 0.25, "name": None, "inner": {"width": 4}}


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 0.001), ("-2.5E+2", -250.0), ("3e2", 300.0), ("4.e1", 40.0), ("1e-3x", "1e-3x"), ("e3", "e3")]
)
def test_numbers_with_an_exponent_are_numbers(text, value):
    assert parse_words([f"radius={text}"]) == {"radius": value}
    assert parse_words([f"radius=[{text}]"]) == {"radius": [value]}


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ({"raduis": 1}, r"sphere has no setting 'raduis'; did you mean 'radius'\? Settings: radius, name, inner$"),
        ({"radius": "wide"}, "sphere: radius must be a number, got 'wide'$"),
        ({"radius": None}, "sphere: radius must be a number, got null$"),
        ({"name": 3}, "sphere: name must be text or null, got 3$"),
        ({"inner": {"width": 2.5}}, "sphere: inner.width must be a whole number, got 2.5$"),
        ({"inner": 4}, "sphere: inner must be a mapping, got 4$"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_given_and_no_word_of_python(layer, message):
    with pytest.raises(SettingError, match=message):
        resolve(Outer, layer, subject="sphere")


def test_the_choices_of_a_setting_are_listed():
    with pytest.raises(SettingError, match=r"^inner\.mode must be one of fast, slow, got 'fats'; did you mean 'fast'\?$"):
        resolve(Choosing, {"inner": {"mode": "fats"}})


def test_an_element_of_a_list_is_named():
    with pytest.raises(SettingError, match=r"^listed\[1\]\.width must be a whole number, got 'x'$"):
        resolve(Several, {"listed": [{"width": 1}, {"width": "x"}]})


@pytest.mark.parametrize("word", ["radius", "=3", "radius=[1"])
def test_a_word_that_is_not_a_setting_is_refused(word):
    with pytest.raises(SettingError):
        parse_words([word])


@pytest.mark.parametrize(
    ("namespace", "name", "message"),
    [
        ("log", "none-such", "log has no preset 'none-such'. There are none; give a YAML file"),
        ("simulate", "esay", r"simulate has no preset 'esay'; did you mean 'easy'\? Presets: carbon, easy"),
    ],
)
def test_an_unknown_preset_is_refused_with_those_there_are(namespace, name, message):
    with pytest.raises(SettingError, match=message):
        load_preset(namespace, name)


def test_a_preset_can_be_a_file_of_the_user(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("spacing: 0.7\ninner: {width: 1e-3}\n")
    assert load_preset("log", str(path)) == {"spacing": 0.7, "inner": {"width": 0.001}}


@pytest.mark.parametrize(("text", "message"), [("- 1\n", "contains no settings"), ("a: [1\n", "is not a YAML file")])
def test_a_file_without_settings_is_no_preset(tmp_path, text, message):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(FileError, match=message):
        load_preset("log", str(path))
    with pytest.raises(FileError, match="does not exist"):
        load_preset("log", str(tmp_path / "other.yml"))


def test_every_preset_of_a_picker_is_accepted_by_it():
    tried = 0
    for name in PICKERS.own:
        for preset in preset_names(name):
            resolve(PICKERS.get(name).Settings, load_preset(name, preset), subject=name)
            tried += 1
    assert tried >= 4
