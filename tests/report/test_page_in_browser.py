"""The report in a real browser, opened from disk."""

import numpy as np
import pytest

from cryopick.io.picks.formats import write_picks
from cryopick.report.page import write_report
from cryopick.report.truth import compare_with_truth
from cryopick.types import Picks

HOSTILE = "<img src=x onerror=document.title=1>.mrc"
SCORES = {
    "b10.mrc": [0.9, 0.8, 0.7, 0.6],
    "b2.mrc": [0.5, 0.4],
    HOSTILE: [0.3],
    "gone.mrc": None,
    "a.mrc": [],
}
SECONDS = {"b10.mrc": 2.0, "b2.mrc": 5.0, HOSTILE: 3.0, "gone.mrc": 9.0, "a.mrc": 1.0}


class ReportPage:
    """An open report, with every request and every error recorded.

    Texts are read with `text_content`: cards outside the window have `content-visibility: auto`, so that the browser may not lay
    them out and `inner_text` is empty.
    """

    def __init__(self, browser, path):
        self.path = path
        self.page = browser.new_page(viewport={"width": 1366, "height": 768})
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.goto(f"file://{path}")  # returns after `load`, when the script has filled the page

    def other_requests(self):
        return [url for url in self.requests if not url.startswith("data:") and url != f"file://{self.path}"]

    def text(self, selector):
        return self.page.locator(selector).text_content()

    def texts(self, selector):
        return self.page.locator(selector).all_text_contents()

    def names(self):
        return self.texts(".card .name")

    def is_shown(self, selector):
        return self.page.locator(selector).is_visible()

    def set_threshold(self, threshold):
        self.page.locator("#threshold-number").fill(str(threshold))

    def circles(self, name):
        """Number of circles on a micrograph, once they are drawn."""
        card = self.page.locator(".card").filter(has=self.page.locator(".name").get_by_text(name, exact=True))
        card.scroll_into_view_if_needed()
        return int(card.locator("canvas").get_attribute("data-circles"))


@pytest.fixture
def open_report(browser):
    """Opens reports and asserts at the end that none had an error."""
    pages = []

    def open_one(path):
        pages.append(ReportPage(browser, path))
        return pages[-1]

    yield open_one
    for each in pages:
        assert each.errors == []
        each.page.close()


@pytest.fixture(scope="module")
def report(make_run, tmp_path_factory):
    return write_report(make_run(tmp_path_factory.mktemp("small") / "run", SCORES, seconds=SECONDS))


@pytest.fixture
def opened(open_report, report):
    page = open_report(report)
    yield page
    assert page.other_requests() == []


def test_totals_are_those_of_the_run(opened):
    assert opened.text("#total-particles") == "7"
    assert opened.text("#total-picked") == "4"
    assert opened.text("#total-failed") == "1"
    assert opened.text("#total-median") == "1.5"  # of 4, 2, 1 and 0
    assert opened.text("#total-diameter") == "20 px"


def test_the_threshold_keeps_picks_with_at_least_that_score(opened):
    assert (opened.circles("b10.mrc"), opened.circles("b2.mrc")) == (4, 2)
    opened.set_threshold(0.5)
    assert opened.text("#kept").startswith("5 of 7 picks kept")
    assert opened.text("#total-particles") == "5"
    assert (opened.circles("b10.mrc"), opened.circles("b2.mrc")) == (4, 1)
    opened.set_threshold(0.65)
    assert (opened.circles("b10.mrc"), opened.circles("b2.mrc")) == (3, 0)
    assert "--threshold 0.65" in opened.text("#threshold-command")
    opened.page.get_by_role("button", name="Keep all picks").click()
    assert opened.text("#total-particles") == "7"


def test_the_slider_moves_to_its_ends_with_the_keyboard(opened):
    opened.page.get_by_label("Score threshold").focus()
    opened.page.keyboard.press("End")
    assert opened.text("#total-particles") == "1"
    opened.page.keyboard.press("Home")
    assert opened.text("#total-particles") == "7"


def test_failures_are_listed_first_and_then_micrographs_with_warnings(opened):
    assert opened.names()[:2] == ["gone.mrc", "a.mrc"]
    assert opened.texts(".card .reason")[0] == "Failed: is cut <b>short</b>"
    assert opened.text("#alert") == "1 micrograph failed, 1 micrograph without particles: listed first below."


def test_micrographs_can_be_sorted(opened):
    orders = {
        "count": ["b10.mrc", "b2.mrc", HOSTILE, "a.mrc", "gone.mrc"],
        "score": ["b10.mrc", "b2.mrc", HOSTILE, "gone.mrc", "a.mrc"],
        "time": ["b2.mrc", HOSTILE, "b10.mrc", "a.mrc", "gone.mrc"],
        "run": list(SCORES),
    }
    for order, names in orders.items():
        opened.page.get_by_label("Sort by").select_option(order)
        assert opened.names() == names, order
    opened.page.get_by_label("Sort by").select_option("name")
    names = opened.names()
    assert names.index("b2.mrc") < names.index("b10.mrc")  # numbers in names are compared as numbers
    opened.page.locator("#direction").click()
    assert opened.names() == names[::-1]


def test_micrographs_can_be_searched_by_part_of_their_name(opened):
    opened.page.get_by_label("Name", exact=True).fill("B1")
    assert opened.names() == ["b10.mrc"]
    assert opened.text("#shown") == "1 of 5"


def test_a_name_that_contains_markup_is_shown_as_text(opened):
    assert opened.page.title() == "run · cryopick report"
    assert opened.page.locator(".gallery [src=x]").count() == 0
    assert HOSTILE in opened.names()


def test_a_micrograph_can_be_enlarged_and_closed_with_the_keyboard(opened):
    opened.page.get_by_label("Sort by").select_option("count")
    opened.page.get_by_role("button", name="Open b10.mrc").focus()
    opened.page.keyboard.press("Enter")
    assert opened.text("#detail-name") == "b10.mrc"
    opened.page.keyboard.press("ArrowRight")
    assert opened.text("#detail-name") == "b2.mrc"
    assert opened.page.locator("#detail-frame canvas").get_attribute("data-circles") == "2"
    opened.page.keyboard.press("Escape")
    assert not opened.is_shown("#detail")


def test_counts_have_whole_numbers_on_their_axes(opened):
    ticks = opened.texts("#counts .tick") + opened.texts("#histogram .tick[text-anchor=end]")
    assert len(ticks) > 4
    assert [tick for tick in ticks if "." in tick] == []


def test_without_picks_the_page_says_so_and_claims_nothing_about_scores_or_usual_micrographs(open_report, make_run, tmp_path):
    page = open_report(write_report(make_run(tmp_path / "run", {"m.mrc": [], "n.mrc": []}, diameter=20.0)))
    assert page.text("#alert") == "No particles were found. Check the diameter, the pixel size and the threshold."
    assert page.text("#no-scores") == "There are no picks, so there are no scores to show."
    assert page.is_shown("#no-scores")
    assert not page.is_shown("#threshold")
    assert page.text("#total-diameter") == "20 px"


def test_picks_without_scores_have_no_threshold_and_no_best_quarter(open_report, make_run, tmp_path):
    page = open_report(write_report(make_run(tmp_path / "run", {"m.mrc": [1.0, 2.0]}, unscored=True)))
    assert page.text("#no-scores") == "These picks have no scores, so there is no threshold to set."
    assert page.text("#averages-title") == "Averages"
    assert page.text("#crops-title") == "Random picks"
    assert not page.is_shown("#crops-note")
    assert not any("quarter" in caption for caption in page.texts("#averages figcaption"))


@pytest.mark.parametrize(("count", "outside"), [(2000, False), (150, True)])
def test_reports_of_thousands_of_micrographs_stay_usable(open_report, make_run, tmp_path, count, outside, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda handle: None)
    rng = np.random.default_rng(5)
    names = [f"m{number:04d}.mrc" for number in range(count)]
    scores = {name: rng.uniform(0, 1, 10).astype(np.float32).tolist() for name in names}
    path = write_report(make_run(tmp_path / "run", scores), budget=1000 if outside else 28_000_000)
    assert path.stat().st_size < 30_000_000
    assert (path.parent / "report").is_dir() == outside
    page = open_report(path)
    cards = page.page.locator(".card")
    assert cards.count() == count
    cards.first.scroll_into_view_if_needed()
    cards.first.locator("canvas").wait_for()
    assert page.page.locator(".card canvas").count() < 100  # the others are drawn when they come near the window
    page.set_threshold(0.5)
    kept = sum(score >= 0.5 for values in scores.values() for score in values)
    assert page.text("#total-particles") == f"{kept:,}"
    cards.last.scroll_into_view_if_needed()
    cards.last.locator("canvas").wait_for()
    beside = f"file://{path.parent}/report/"
    assert all(url.startswith(beside) for url in page.other_requests())
    assert bool(page.other_requests()) == outside


def test_precision_and_recall_follow_the_threshold(open_report, make_run, tmp_path):
    run = make_run(tmp_path / "run", {"m.mrc": [0.9, 0.8, 0.3]})
    # picks lie at x = 10, 13 and 16; particles at 10 and far away, so that one of the three picks is right
    write_picks([Picks("m.mrc", [[10.0, 20.0], [100.0, 80.0]], None, 4.0)], tmp_path / "truth.csv")
    page = open_report(write_report(run, comparison=compare_with_truth(run, tmp_path / "truth.csv", diameter=4.0)))
    assert page.text("#curve-note").startswith("precision 0.333, recall 0.500, F1 0.400")
    page.set_threshold(0.8)
    assert page.text("#curve-note").startswith("precision 0.500, recall 0.500, F1 0.500")
    page.set_threshold(0.9)
    assert page.text("#curve-note").startswith("precision 1.000, recall 0.500, F1 0.667")
    page.page.get_by_label("Show ground truth").check()


def test_charts_are_drawn_at_the_size_they_have(open_report, make_run, tmp_path):
    run = make_run(tmp_path / "run", {"m.mrc": [0.9, 0.8], "n.mrc": [0.3]})
    write_picks([Picks("m.mrc", [[10.0, 20.0]], None, 4.0)], tmp_path / "truth.csv")
    page = open_report(write_report(run, comparison=compare_with_truth(run, tmp_path / "truth.csv", diameter=4.0)))
    for chart in ("histogram", "counts", "curve"):
        drawn, shown = page.page.locator(f"#{chart}").evaluate("e => [e.viewBox.baseVal.width, e.getBoundingClientRect().width]")
        assert drawn == pytest.approx(shown, abs=1), chart
