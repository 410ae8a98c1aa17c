"""The page as people use it, in a real browser."""

import re

import numpy as np
import pytest

from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.review.compare import Comparison
from cryopick.review.load import open_subjects, review_folder
from cryopick.review.server import Server
from cryopick.review.session import Review, Subject
from cryopick.types import Picks

pytestmark = pytest.mark.timeout(120)


class Page:
    """A page of the review with the words of its user."""

    def __init__(self, context, address):
        self.raw = context.new_page()
        self.faults = []
        self.raw.on("pageerror", lambda error: self.faults.append(str(error)))
        self.raw.on("console", lambda message: message.type == "error" and self.faults.append(message.text))
        self.raw.goto(address)
        self.raw.wait_for_selector("#rows li[aria-current=true]")

    def at(self, x, y):
        """Where a point of the micrograph lies on the screen: it is shown whole, at 0.97 of the stage's smaller ratio."""
        box = self.raw.locator("#overlay").bounding_box()
        width, height = self.raw.evaluate("""async () => (await (await fetch(
            `/api/micrographs/${location.hash.slice(1) - 1}`)).json()).shape.reverse()""")
        scale = 0.97 * min(box["width"] / width, box["height"] / height)
        left = box["x"] + (box["width"] - width * scale) / 2
        top = box["y"] + (box["height"] - height * scale) / 2
        return left + (x + 0.5) * scale, top + (y + 0.5) * scale

    def click(self, x, y, **options):
        self.raw.mouse.click(*self.at(x, y), **options)

    def drag(self, *points):
        self.raw.mouse.move(*self.at(*points[0]))
        self.raw.mouse.down()
        for point in points[1:]:
            self.raw.mouse.move(*self.at(*point), steps=4)
        self.raw.mouse.up()

    def press(self, *keys):
        for key in keys:
            self.raw.keyboard.press(key)

    def sees(self, count, *, of=5):
        """Wait until so many picks are counted above the picture, and everything is saved."""
        self.raw.wait_for_function(
            "text => document.getElementById('count').textContent.startsWith(text) "
            "&& document.getElementById('saved').textContent === 'Saved'",
            arg=f"{count} of {of} found",
        )

    def shows(self, selector, text):
        self.raw.wait_for_function("([s, t]) => document.querySelector(s)?.textContent.includes(t)", arg=[selector, text])


@pytest.fixture
def context(browser):
    with_size = browser.new_context(viewport={"width": 1200, "height": 760})
    yield with_size
    with_size.close()


@pytest.fixture
def page(context, review, folder, serve):
    opened = Page(context, serve(Server(review, folder)))
    yield opened
    assert opened.faults == []


def left_on(review, index=0):
    return sorted(map(tuple, np.round(review.result(index).xy).tolist()))


def test_clicks_add_and_remove_picks_a_drag_moves_one_and_all_can_be_undone_after_a_reload(page, review):
    page.sees(5)
    page.click(400, 200)
    page.sees(6)
    assert np.abs(review.result(0).xy[-1] - (400, 200)).max() < 1
    page.click(100, 80)
    page.sees(5)
    assert (100, 80) not in left_on(review)
    page.drag((500, 300), (450, 250))
    page.raw.wait_for_function("() => !document.getElementById('undo').disabled")
    page.sees(5)
    assert (500, 300) not in left_on(review)
    page.raw.reload()
    page.sees(5)
    for count in (5, 6, 5):
        page.press("z")
        page.sees(count)
    assert left_on(review) == [(100, 80), (100, 300), (200, 80), (300, 80), (500, 300)]
    page.press("Shift+Z", "Shift+Z")
    page.sees(5)
    assert (100, 80) not in left_on(review)


def test_a_lasso_removes_what_it_holds_and_the_brush_what_it_touches(page, review):
    page.press("l")
    page.drag((60, 40), (240, 40), (240, 120), (60, 120), (60, 50))
    page.sees(3)
    assert left_on(review) == [(100, 300), (300, 80), (500, 300)]
    page.press("b")
    page.drag((450, 300), (560, 300))
    page.sees(2)
    assert left_on(review) == [(100, 300), (300, 80)]
    assert len(review.sheet(0).state.areas) == 1
    page.click(480, 300, button="right")
    page.sees(3)
    assert review.sheet(0).state.areas == {}


def test_the_threshold_is_for_all_until_a_micrograph_is_reviewed(page, review):
    page.raw.locator("#threshold").evaluate("s => { s.value = 0.4; s.dispatchEvent(new Event('input')) }")
    page.shows("#count", "3 of 5 found")
    assert review.threshold is None  # nothing is decided while the slider moves
    page.raw.locator("#threshold").evaluate("s => s.dispatchEvent(new Event('change'))")
    page.sees(3)
    assert [len(review.result(index)) for index in range(3)] == [3, 3, 3]
    page.press("Enter")
    page.shows("#name", "b.mrc")
    page.raw.locator("#threshold").evaluate("s => { s.value = 0.8; s.dispatchEvent(new Event('change')) }")
    page.sees(1)
    assert [len(review.result(index)) for index in range(3)] == [3, 1, 1]


def test_keys_go_through_the_micrographs_and_mark_them(page, review):
    page.press("n")
    page.shows("#name", "b.mrc")
    page.press("m")
    page.shows("#state", "bad")
    page.press("p")
    page.shows("#name", "a.mrc")
    page.press("Enter")
    page.shows("#name", "c.mrc")
    page.shows("#progress", "2 of 3 reviewed")
    assert (review.sheet(0).state.reviewed, review.sheet(1).state.bad) == (True, True)
    page.press("?")
    page.raw.wait_for_selector("#help[open]")
    assert page.raw.locator("#help-keys kbd").count() > 20


def test_picks_are_written_beside_the_originals_and_the_commands_that_learn_are_shown(page, review, folder):
    before = (folder / "picks.star").read_bytes()
    page.click(100, 80)
    page.sees(4)
    page.press("r")
    page.shows("#state", "reviewed")
    page.raw.select_option("#format", "box")
    page.raw.click("#export")
    page.shows("#exported", "review/box")
    assert len((folder / "review" / "box" / "a.box").read_text().splitlines()) == 4
    page.raw.click("#train")
    page.shows("#training-steps", "cryopick finetune")
    assert (folder / "review" / "labels" / "micrographs" / "a.mrc").resolve() == (folder / "a.mrc").resolve()
    assert (folder / "picks.star").read_bytes() == before


def test_two_pages_see_each_others_edits_and_lose_none(page, context, review):
    other = Page(context, page.raw.url)
    page.click(100, 80)
    other.click(400, 200)
    page.sees(5)
    other.sees(5)
    assert left_on(review) == [(100, 300), (200, 80), (300, 80), (400, 200), (500, 300)]
    page.press("z")  # what the other page did last, since that is what this page shows as last
    page.sees(4)
    other.sees(4)
    assert other.faults == []


def test_edits_wait_for_a_server_that_does_not_answer(page, review):
    page.raw.route("**/edits", lambda route: route.abort())
    page.click(400, 200)
    page.shows("#saved", "1 edit wait")
    page.raw.unroute("**/edits")
    page.sees(6)
    assert len(review.result(0)) == 6
    page.faults.clear()  # the browser tells of the request that failed


def test_views_change_the_picture(page):
    def roughness():
        page.raw.wait_for_load_state("networkidle")
        page.raw.wait_for_timeout(60)
        return page.raw.evaluate("""() => { const c = document.getElementById('image');
            const d = c.getContext('2d').getImageData(0, c.height / 2, c.width, 1).data;
            let sum = 0; for (let i = 4; i < d.length; i += 4) sum += Math.abs(d[i] - d[i - 4]); return sum; }""")

    page.press("1")
    plain = roughness()
    page.press("2")
    page.raw.locator("#cutoff").evaluate("s => { s.value = 0.8; s.dispatchEvent(new Event('input')) }")
    smooth = roughness()
    assert 0 < smooth < plain / 2
    page.press("i")
    assert "invert(1)" in page.raw.locator("#image").evaluate("e => e.style.filter")


def test_an_8k_micrograph_is_shown_from_tiles(context, serve, tmp_path):
    path = tmp_path / "large.mrc"
    rows = np.linspace(-100, 100, 8192).astype(np.int8)[:, None]
    write_micrograph(path, np.broadcast_to(rows, (8192, 7168)).copy(), pixel_size=1.0)
    picks = Picks("large.mrc", [(7000.0, 8000.0)], [0.5], 200.0, (8192, 7168), 1.0)
    with Review([Subject(MicrographSource(path, "large.mrc"), picks)], review_folder(tmp_path)) as review:
        page = Page(context, serve(Server(review, tmp_path)))
        page.sees(1, of=1)
        page.press("1")
        asked = []
        page.raw.on("request", lambda request: asked.append(request.url))
        page.raw.mouse.move(*page.at(7000, 8000))
        for _ in range(8):
            page.raw.mouse.wheel(0, -240)
        page.raw.wait_for_load_state("networkidle")
        tiles = [url for url in asked if "/plain/0/" in url]
        assert 0 < len(tiles) < 40  # the finest level has 16 x 14 tiles; those on the screen are asked for, no others
        assert any(re.search(r"/0/13/15\.jpg", url) for url in tiles)
        assert page.faults == []


def test_two_thousand_micrographs_are_listed_found_and_stepped_through(context, serve, folder):
    one = open_subjects(folder, picks=folder / "picks.star").subjects[0]
    names = [f"m{index:04}.mrc" for index in range(2000)]
    subjects = [Subject(MicrographSource(one.source.path, name), Picks(name, one.picks.xy, one.picks.scores)) for name in names]
    with Review(subjects, review_folder(folder)) as review:
        page = Page(context, serve(Server(review, folder)))
        page.shows("#progress", "0 of 2,000 reviewed")
        page.raw.fill("#search", "m1999")
        page.raw.locator("#rows li:visible").click()
        page.shows("#name", "m1999.mrc")
        page.raw.fill("#search", "")
        page.raw.keyboard.press("Escape")
        page.press("p")
        page.shows("#name", "m1998.mrc")


def test_before_and_after_are_shown_side_by_side_with_numbers_of_reviewed_micrographs(context, review, folder, serve):
    after = [Picks(name, [(100, 80), (200, 80), (300, 200)], [0.9, 0.9, 0.9]) for name in ("a.mrc", "b.mrc", "c.mrc")]
    server = Server(review, folder, Comparison.of(review, after, title="after"))
    page = Page(context, serve(server))
    page.press("r")
    page.shows("#state", "reviewed")
    page.raw.click("#compare")
    page.shows("#totals tbody", "not used")
    cells = page.raw.locator("#totals tbody tr").nth(1).locator("td").all_text_contents()
    assert cells[2:] == ["0.667", "0.400", "0.500"]  # 2 of 3 picks right, 2 of 5 particles found, 4 / 8
    assert page.raw.locator("#pairs tbody tr").count() == 3
    page.press("n")
    page.shows("#name", "b.mrc")
    page.shows("#legend", "in both")
    assert page.faults == []


def test_the_thresholds_of_both_sets_move_apart_and_all_numbers_follow(context, review, folder, serve):
    after = [Picks("a.mrc", [(100, 80), (200, 80), (300, 200)], [0.9, 0.8, 0.7])]
    page = Page(context, serve(Server(review, folder, Comparison.of(review, after, title="after"))))
    page.press("r")
    page.shows("#state", "reviewed")
    page.raw.click("#compare")
    page.shows("#title-after", "after: 3 picks")
    set_slider(page, "after", 0.75)
    page.shows("#title-after", "after: 2 picks")
    page.shows("#title-before", "before: 5 picks")
    cells = page.raw.locator("#totals tbody tr").nth(1).locator("td").all_text_contents()
    assert cells[2:] == ["1.000", "0.400", "0.571"]  # 2 of 2, 2 of 5, 4 / 7
    set_slider(page, "before", 0.6)
    page.shows("#title-before", "before: 2 picks")
    assert page.raw.locator("#pairs tbody tr").first.locator("td").all_text_contents()[1:4] == ["2", "2", "0"]
    page.press("n", "p")
    page.shows("#title-before", "before: 2 picks")
    assert page.faults == []


def set_slider(page, name, value):
    page.raw.locator(f"#slider-{name}").evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }", value
    )


def test_a_stale_token_tells_what_to_do(context, review, folder, serve):
    address = serve(Server(review, folder))
    raw = context.new_page()
    assert raw.goto(address.replace("token=", "token=old")).status == 403
    assert "prints a new one" in raw.text_content("body")
