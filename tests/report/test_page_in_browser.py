"""The page in a real browser, from disk."""

import numpy as np
import pytest

from cryopick.report.page import write_report
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


class Watched:
    """A page, what it asked for beyond itself, and what went wrong in it."""

    def __init__(self, browser, path):
        self.page = browser.new_page(viewport={"width": 1366, "height": 768})
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        self.page.goto(f"file://{path}")
        self.page.wait_for_selector(".card, .gallery:empty", state="attached")

    def beyond_itself(self, path):
        return [url for url in self.requests if not url.startswith("data:") and url != f"file://{path}"]

    def text(self, selector):
        return self.page.locator(selector).inner_text()

    def names(self):
        return self.page.locator(".card .name").all_text_contents()

    def cut(self, threshold):
        self.page.locator("#threshold-number").fill(str(threshold))

    def circles(self, name):
        canvas = self.page.locator(".card").filter(has=self.page.get_by_text(name, exact=True)).locator("canvas")
        return int(canvas.get_attribute("data-circles"))


@pytest.fixture(scope="module")
def report(make_run, tmp_path_factory):
    return write_report(make_run(tmp_path_factory.mktemp("small") / "run", SCORES, seconds=SECONDS))


@pytest.fixture
def opened(browser, report):
    watched = Watched(browser, report)
    yield watched
    assert watched.errors == []
    assert watched.beyond_itself(report) == []
    watched.page.close()


def test_counts_are_those_of_the_run(opened):
    assert opened.text("#tile-particles") == "7"
    assert opened.text("#tile-picked") == "4"
    assert opened.text("#tile-failed") == "1"
    assert opened.text("#tile-median") == "1.5"  # of 4, 2, 1 and 0
    assert opened.text("#tile-diameter") == "20 px"


def test_the_threshold_keeps_the_picks_that_score_as_much_or_more(opened):
    opened.page.locator("#gallery").scroll_into_view_if_needed()
    opened.page.locator(".card canvas").nth(4).wait_for()
    assert (opened.circles("b10.mrc"), opened.circles("b2.mrc")) == (4, 2)
    opened.cut(0.5)
    assert opened.text("#kept").startswith("5 of 7 picks kept")
    assert opened.text("#tile-particles") == "5"
    assert (opened.circles("b10.mrc"), opened.circles("b2.mrc")) == (4, 1)
    opened.cut(0.65)
    assert (opened.circles("b10.mrc"), opened.circles("b2.mrc")) == (3, 0)
    assert "--threshold 0.65" in opened.text("#threshold-command")
    opened.page.get_by_role("button", name="Keep all picks").click()
    assert opened.text("#tile-particles") == "7"


def test_the_slider_moves_with_the_keyboard_to_its_ends(opened):
    slider = opened.page.get_by_label("Threshold: least score of a pick")
    slider.focus()
    opened.page.keyboard.press("End")
    assert opened.text("#tile-particles") == "1"
    opened.page.keyboard.press("Home")
    assert opened.text("#tile-particles") == "7"


def test_failures_come_first_then_what_is_unlike_the_others(opened):
    assert opened.names()[:2] == ["gone.mrc", "a.mrc"]
    assert opened.page.locator(".card").first.locator(".reason").inner_text() == "Failed: is cut <b>short</b>"
    assert "1 micrograph failed" in opened.text("#alert")


def test_micrographs_are_sorted_by_what_is_asked_for(opened):
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
    assert names.index("b2.mrc") < names.index("b10.mrc")  # numbers in names count as numbers
    opened.page.locator("#direction").click()
    assert opened.names() == names[::-1]


def test_micrographs_are_found_by_a_part_of_their_name(opened):
    opened.page.get_by_label("Name", exact=True).fill("B1")
    assert opened.names() == ["b10.mrc"]
    assert opened.text("#shown") == "1 of 5"


def test_a_name_that_is_markup_stays_a_name(opened):
    assert opened.page.title() == "run · cryopick report"
    assert opened.page.locator(".gallery [src=x]").count() == 0
    assert HOSTILE in opened.names()


def test_a_micrograph_is_looked_at_closely_and_left_by_keyboard(opened):
    opened.page.get_by_label("Sort by").select_option("count")
    opened.page.get_by_role("button", name="b10.mrc: look closer").focus()
    opened.page.keyboard.press("Enter")
    assert opened.text("#detail-name") == "b10.mrc"
    opened.page.keyboard.press("ArrowRight")
    assert opened.text("#detail-name") == "b2.mrc"
    assert opened.page.locator("#detail-frame canvas").get_attribute("data-circles") == "2"
    opened.page.keyboard.press("Escape")
    assert not opened.page.locator("#detail").is_visible()


def test_picks_without_scores_have_no_threshold(browser, make_run, tmp_path):
    page = write_report(make_run(tmp_path / "run", {"empty.mrc": []}))
    watched = Watched(browser, page)
    assert watched.page.locator("#no-scores").is_visible()
    assert not watched.page.locator("#threshold").is_visible()
    assert watched.errors == []
    watched.page.close()


@pytest.mark.parametrize(("count", "outside"), [(2000, False), (150, True)])
def test_thousands_of_micrographs_are_usable(browser, make_run, tmp_path, count, outside, monkeypatch):
    monkeypatch.setattr("os.fsync", lambda handle: None)
    rng = np.random.default_rng(5)
    names = [f"m{number:04d}.mrc" for number in range(count)]
    scores = {name: rng.uniform(0, 1, 10).astype(np.float32).tolist() for name in names}
    path = write_report(make_run(tmp_path / "run", scores), budget=1000 if outside else 28_000_000)
    assert path.stat().st_size < 30_000_000
    assert (path.parent / "report").is_dir() == outside
    watched = Watched(browser, path)
    watched.page.locator("#gallery .card").first.scroll_into_view_if_needed()
    watched.page.locator(".card canvas").first.wait_for()
    assert watched.page.locator(".card").count() == count
    assert watched.page.locator(".card canvas").count() < 100  # the others are drawn when they come near
    watched.cut(0.5)
    kept = sum(score >= 0.5 for values in scores.values() for score in values)
    assert watched.text("#tile-particles") == f"{kept:,}"
    watched.page.locator(".card").last.scroll_into_view_if_needed()
    watched.page.locator(".card").last.locator("canvas").wait_for()
    assert watched.errors == []
    beside = f"file://{path.parent}/report/"
    assert all(url.startswith(beside) for url in watched.beyond_itself(path))
    assert bool(watched.beyond_itself(path)) == outside
    watched.page.close()


def test_the_curve_follows_the_threshold(browser, make_run, tmp_path):
    from cryopick.io.picks.formats import write_picks
    from cryopick.report.truth import compare

    run = make_run(tmp_path / "run", {"m.mrc": [0.9, 0.8, 0.3]})
    # picks lie at x = 10, 13 and 16; true ones at 10 and far away, so only one of the three picks is right
    write_picks([Picks("m.mrc", [[10.0, 20.0], [100.0, 80.0]], None, 4.0)], tmp_path / "truth.csv")
    watched = Watched(browser, write_report(run, compared=compare(run, tmp_path / "truth.csv", diameter=4.0)))
    assert watched.text("#truth-note").startswith("precision 0.333, recall 0.500, F1 0.400")
    watched.cut(0.8)
    assert watched.text("#truth-note").startswith("precision 0.500, recall 0.500, F1 0.500")
    watched.cut(0.9)
    assert watched.text("#truth-note").startswith("precision 1.000, recall 0.500, F1 0.667")
    watched.page.get_by_label("True particles").check()
    assert watched.errors == []
    watched.page.close()
