"""Messages of errors."""

import pytest

from cryopick.errors import CryopickError, FileError, NameMatchError, SettingError


def test_a_message_has_the_file_what_is_wrong_and_what_to_do():
    assert str(FileError("a.mrc", "is empty", "Copy it again")) == "a.mrc: is empty. Copy it again"


@pytest.mark.parametrize("kind", [CryopickError, SettingError, NameMatchError])
def test_the_middle_of_a_message_that_nobody_reads_is_left_out(kind):
    assert str(kind("as " + "long " * 200)) == "as " + "long " * 200
    message = str(kind("begin " + 100_000 * "x" + " end"))
    assert message.startswith("begin xxx")
    assert message.endswith("xxx end")
    assert len(message) < 2000


def test_a_huge_value_does_not_hide_the_file_and_the_remedy():
    message = str(FileError("picks.star", f"row 3 has {100_000 * '9'!r}", "Correct that row"))
    assert message.startswith("picks.star: row 3 has '999")
    assert message.endswith("999'. Correct that row")
    assert len(message) < 2000
