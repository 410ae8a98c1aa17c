"""The benchmark page is generated from results; the text around the tables stays."""

import runpy
from pathlib import Path

import msgspec

from cryopick.benchmark.results import Origin
from cryopick.benchmark.timing.cases import Timing, TimingKey
from cryopick.benchmark.timing.profile import Sample

SCRIPT = Path(__file__).resolve().parents[2] / "tools" / "benchmark_page.py"


def test_tables_are_written_between_the_marks_with_their_command(tmp_path):
    origin = Origin(version="1", commit="abc", command="cryopick benchmark --time", processor="quick", workers=1)
    samples = [Sample(wall=9.0, cpu=2.0)]
    timing = Timing(key=TimingKey(kind="training", subject="unet"), samples=samples, peak_mib=50, signature="s", origin=origin)
    (tmp_path / "timings").mkdir()
    (tmp_path / "timings" / "one.json").write_bytes(msgspec.json.encode(timing))
    tool = runpy.run_path(str(SCRIPT))
    text = tool["page"](f"before\n{tool['START']}\nold\n{tool['END']}\nafter\n", [tmp_path])
    assert text.startswith(f"before\n{tool['START']}\n\n## Training")
    assert text.endswith(f"{tool['END']}\nafter\n")
    assert "| unet | cpu | 2.00 | 9.00 | 50 | 1 |" in text
    assert "On quick:\n\n- `cryopick benchmark --time (cryopick 1, commit abc)`" in text
    assert "old" not in text
