"""Benchmark tables in Markdown, CSV and LaTeX."""

import csv

import pytest

from cryopick.benchmark.results import BenchmarkResult, Origin
from cryopick.benchmark.scores import MethodScores, PixelwiseScores, Scores
from cryopick.benchmark.tables import WALL, Published, all_tables, commands_of, read_published, write_tables
from cryopick.benchmark.timing.usage import Cost
from cryopick.errors import SettingError


def result(method, dataset, dice, *, cpu=10.0, empiar=None):
    scores = Scores(
        threshold=0.5,
        truth=10,
        found=8,
        precision=0.75,
        recall=0.6,
        f1=0.667,
        precision_interval=None,
        recall_interval=None,
        f1_interval=(0.5, 0.8),
        centring=0.02,
        duplicates=1,
        on_negatives=0,
        per_micrograph={"a": 3, "b": 5},
        missed={"a": [], "b": []},
        pixels_mean=PixelwiseScores(0.5, 0.5, 0.5, dice),
        pixels_maximum=PixelwiseScores(0.5, 0.5, 0.5, dice),
    )
    judged = MethodScores(default=scores, best=None, average_precision=None, average_precision_interval=None, curve=None)
    origin = Origin(version="1", commit="abc", command="cryopick benchmark", processor="p", workers=1)
    cost = Cost(wall=20.0, cpu=cpu, peak_mib=100.0)
    about = {"method": method, "dataset": dataset, "empiar": empiar, "micrographs": 2, "negatives": 0}
    return BenchmarkResult(**about, signature="s", origin=origin, cost=cost, scores=judged)


def cells(table, name):
    row = next(row for row in table.rows if name in row[: table.labels])
    return dict(zip(table.header, row, strict=True))


def test_the_accuracy_table_has_intervals_and_the_spread_of_counts():
    row = cells(all_tables([result("log", "s", 0.5)])["s-matching"], "log")
    assert (row["F1 (95 %)"], row["AP (95 %)"], row["picks per micrograph"]) == ("0.667 (0.500–0.800)", "–", "4 ± 1")
    assert row["on negatives"] == "–"  # none were marked, so 0 would say too much


def test_the_table_by_set_averages_over_the_known_values():
    results = [result("log", "s", 0.4), result("log", "t", 0.8), result("topaz", "t", 0.6)]
    table = all_tables(results)["pixels-by-set"]
    assert (cells(table, "average")["log Dice"], cells(table, "average")["topaz Dice"]) == ("0.600", "0.600")
    assert cells(table, "s")["topaz Dice"] == "–"


def test_published_scores_are_listed_for_sets_with_the_same_empiar_entry():
    figures = [
        Published(method="Theirs", empiar=10017, source="Their paper", dice=0.7),
        Published(method="x", empiar=1, source=""),
    ]
    tables = all_tables([result("log", "s", 0.4, empiar=10017)], figures)
    assert cells(tables["pixels-by-set"], "s")["Theirs Dice"] == "0.700"
    assert not any("x" in head.split() for head in tables["pixels-by-set"].header)
    assert [row[1] for row in tables["matching-by-method"].rows] == ["log", "Theirs (Their paper)"]


def test_cost_is_per_micrograph_and_relative_to_the_first_method():
    row = cells(all_tables([result("log", "s", 0.5), result("topaz", "s", 0.5, cpu=25.0)])["cost"], "topaz")
    assert (row["CPU s per micrograph"], row["CPU ratio"], row["wall s per micrograph"]) == ("12.50", "2.50", "10.00")


def test_columns_can_be_removed_from_a_table():
    table = all_tables([result("log", "s", 0.5)])["cost"].without(WALL, "workers")
    assert [WALL in table.header, "workers" in table.header, len(table.rows[0])] == [False, False, 5]
    assert cells(table, "log")["peak MiB"] == "100"


def test_commands_are_listed_once_with_their_commit_and_without_absolute_paths():
    origin = Origin(
        version="1", commit="abc", command="cryopick benchmark /a/b/c.yaml --run topaz=/x/topaz", processor="p", workers=1
    )
    assert commands_of([origin, origin]) == ["cryopick benchmark c.yaml --run topaz=topaz (cryopick 1, commit abc)"]


def test_markdown_csv_and_latex_have_the_same_cells(tmp_path):
    tables = all_tables([result("my_log", "s", 0.5)])
    write_tables(tables, tmp_path)
    rows = list(csv.reader((tmp_path / "s-matching.csv").read_text().splitlines()))
    assert rows == [list(tables["s-matching"].header), *map(list, tables["s-matching"].rows)]
    assert r"my\_log & 0.750" in (tmp_path / "s-matching.tex").read_text()
    assert (tmp_path / "s-matching.md").read_text().splitlines()[2].startswith("| my_log | 0.750 |")


def test_an_invalid_list_of_published_scores_raises(tmp_path):
    path = tmp_path / "p.yaml"
    path.write_text("- {method: m, empiar: 1, source: s, f1: 0.5}\n")
    assert read_published(path)[0].f1 == 0.5
    path.write_text("- {method: m}\n")
    with pytest.raises(SettingError, match="published scores"):
        read_published(path)
