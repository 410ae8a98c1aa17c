"""Tables import what they name only when asked."""

import sys

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
    with pytest.raises(SettingError, match="no picker is called 'yolo'; there are: log, template"):
        table.get("yolo")


def test_every_picker_in_the_table_can_be_imported_and_has_settings():
    assert "log" in PICKERS
    assert all(hasattr(PICKERS.get(name), "Settings") for name in PICKERS.names)
