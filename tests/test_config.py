"""Settings from presets and key=value words."""

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from cryopick.config import load_preset, parse_words, resolve
from cryopick.errors import SettingError


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
    with pytest.raises(SettingError, match="Inner has no setting 'widht'; it has: width, depth"):
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
    [({"raduis": 1}, "no setting 'raduis'; it has: radius, name, inner"), ({"radius": "wide"}, "Expected `float`, got `str`")],
)
def test_a_wrong_setting_is_named(layer, message):
    with pytest.raises(SettingError, match=message):
        resolve(Outer, layer)


def test_the_words_that_a_setting_can_be_are_told():
    with pytest.raises(SettingError, match=r"inner\.mode`; it can be fast, slow$"):
        resolve(Choosing, {"inner": {"mode": "quick"}})


@pytest.mark.parametrize("word", ["radius", "=3", "radius=[1"])
def test_a_word_that_is_no_setting_is_refused(word):
    with pytest.raises(SettingError):
        parse_words([word])


def test_an_unknown_preset_is_refused():
    with pytest.raises(SettingError, match="has no preset 'none-such'"):
        load_preset("log", "none-such")
