"""Tables import what they name only when asked."""

import sys
from dataclasses import is_dataclass

import pytest

from cryopick.errors import SettingError
from cryopick.pickers import PICKERS
from cryopick.registry import Registry


def test_getting_an_entry_imports_its_module_and_listing_does_not():
    sys.modules.pop("wave", None)
    table = Registry("reader", {"wav": "wave:open"})
    assert table.names == ["wav"]
    assert "wave" not in sys.modules
    assert table.get("wav") is __import__("wave").open


def test_an_unknown_name_lists_the_known_ones():
    table: Registry[object] = Registry("picker", {"log": "a:B", "template": "a:C"})
    with pytest.raises(SettingError, match=r"no picker 'yolo'\. Available: log, template"):
        table.get("yolo")


def test_a_typo_offers_the_nearest_name():
    table: Registry[object] = Registry("picker", {"log": "a:B", "template": "a:C"})
    with pytest.raises(SettingError, match=r"no picker 'templat'; did you mean 'template'\? Available: log, template"):
        table.get("templat")


def test_every_picker_in_the_table_declares_settings_a_summary_and_stages():
    assert "log" in PICKERS
    for name in PICKERS.own:
        declared = PICKERS.get(name)
        assert is_dataclass(declared.Settings)
        assert declared.SUMMARY
        assert set(declared.STAGES) <= {"prepare", "network"}


@pytest.mark.parametrize("value", [None, 3, ["log"], {"log": 1}])
def test_what_is_not_a_name_is_in_no_registry(value):
    assert value not in Registry("picker", {"log": "a:B"})
