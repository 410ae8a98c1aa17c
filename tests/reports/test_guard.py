"""Settings and presets that were reported to end in tracebacks or never to end."""

import pytest

from cryopick.config import load_preset
from cryopick.pickers import picker


# pyyaml#235: aliases that multiply ("billion laughs")
def test_a_preset_of_few_bytes_that_stands_for_billions_of_values_is_refused(tmp_path, refused):
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]" for old, new in zip("abcdefghi", "bcdefghij", strict=True)]
    path = tmp_path / "mine.yaml"
    path.write_text("\n".join(lines))
    assert path.stat().st_size < 500
    refused(lambda: load_preset("log", str(path)), "mine.yaml", "more than 200,000 values")


# pyyaml#173: 1e-3 is text in YAML 1.1
@pytest.mark.parametrize("text", ["3e-1", "0.3", "+3E-1"])
def test_numbers_with_an_exponent_are_numbers_in_presets(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(f"threshold: {text}\n")
    assert picker("log", preset=str(path)).settings.threshold == 0.3
