"""The pages in a real browser, used as people use them."""

import re

import numpy as np
import pytest

from cryopick.io.micrographs.files import write_micrograph
from cryopick.io.micrographs.sources import MicrographSource
from cryopick.review.compare import Comparison
from cryopick.review.load import load_micrographs, review_folder
from cryopick.review.server import Server
from cryopick.review.session import Review, ReviewMicrograph
from cryopick.types import Picks

pytestmark = pytest.mark.timeout(120)


class Page:
    """An open review page. Every wait is for a state of the page, never for a time."""

    def __init__(self, context, address):
        self.raw = context.new_page()
        self.errors = []
        self.raw.on("pageerror", lambda error: self.errors.append(str(error)))
        self.raw.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.raw.goto(address)
        self.raw.wait_for_selector("#rows li[aria-current=true]")
        self.wait_for_image()

    def on_screen(self, x, y):
        """Return where a point of the micrograph is on the screen while the whole micrograph is shown, at 97 % of the stage."""
        box = self.raw.locator("#overlay").bounding_box()
        width, height = self.raw.evaluate("""async () => (await (await fetch(
            `/api/micrographs/${location.hash.slice(1) - 1}`)).json()).shape.reverse()""")
        scale = 0.97 * min(box["width"] / width, box["height"] / height)
        left = box["x"] + (box["width"] - width * scale) / 2
        top = box["y"] + (box["height"] - height * scale) / 2
        return left + (x + 0.5) * scale, top + (y + 0.5) * scale

    def click(self, x, y, **options):
        self.raw.mouse.click(*self.on_screen(x, y), **options)

    def drag(self, *points):
        self.raw.mouse.move(*self.on_screen(*points[0]))
        self.raw.mouse.down()
        for point in points[1:]:
            self.raw.mouse.move(*self.on_screen(*point), steps=4)
        self.raw.mouse.up()

    def press(self, *keys):
        for key in keys:
            self.raw.keyboard.press(key)

    def wait_for(self, selector, text):
        self.raw.wait_for_function("([s, t]) => document.querySelector(s)?.textContent.includes(t)", arg=[selector, text])

    def wait_for_picks(self, count):
        """Wait until the page counts so many picks and all edits are saved."""
        self.raw.wait_for_function(
            "text => document.getElementById('count').textContent.startsWith(text) "
            "&& document.getElementById('saved').textContent === 'Saved'",
            arg="1 pick" if count == 1 else f"{count} picks",
        )

    def wait_for_image(self):
        """Wait until every tile of the view is drawn."""
        self.raw.wait_for_selector("#stage[aria-busy=false]")


@pytest.fixture
def context(browser):
    with_size = browser.new_context(viewport={"width": 1200, "height": 760})
    yield with_size
    with_size.close()


@pytest.fixture
def page(context, review, folder, serve):
    opened = Page(context, serve(Server(review, folder)))
    yield opened
    assert opened.errors == []


def positions(review, index=0):
    return sorted(map(tuple, np.round(review.result(index).xy).tolist()))


def test_picks_are_added_removed_and_moved_and_every_edit_can_be_undone_after_a_reload(page, review):
    page.wait_for_picks(5)
    page.click(400, 200)
    page.wait_for_picks(6)
    assert np.abs(review.result(0).xy[-1] - (400, 200)).max() < 1
    assert page.raw.text_content("#count") == "6 picks, originally 5 · 1 of 3"
    page.click(100, 80)
    page.wait_for_picks(5)
    assert (100, 80) not in positions(review)
    before = review.entry_count
    page.drag((500, 300), (450, 250))
    page.wait_for_picks(5)
    assert review.entry_count == before + 1
    assert (500, 300) not in positions(review)
    page.raw.reload()
    page.wait_for_picks(5)
    for count in (5, 6, 5):
        page.press("z")
        page.wait_for_picks(count)
    assert positions(review) == [(100, 80), (100, 300), (200, 80), (300, 80), (500, 300)]
    page.press("Shift+Z", "Shift+Z")
    page.wait_for_picks(5)
    assert (100, 80) not in positions(review)


def test_a_lasso_removes_the_picks_inside_and_the_brush_those_it_touches(page, review):
    page.press("l")
    page.drag((60, 40), (240, 40), (240, 120), (60, 120), (60, 50))
    page.wait_for_picks(3)
    assert positions(review) == [(100, 300), (300, 80), (500, 300)]
    page.press("b")
    page.drag((450, 300), (560, 300))
    page.wait_for_picks(2)
    assert positions(review) == [(100, 300), (300, 80)]
    assert len(review.edited_picks(0).state.areas) == 1
    page.click(480, 300, button="right")
    page.wait_for_picks(3)
    assert review.edited_picks(0).state.areas == {}


def test_the_threshold_is_shared_until_a_micrograph_is_reviewed(page, review):
    page.raw.locator("#threshold").evaluate("s => { s.value = 0.4; s.dispatchEvent(new Event('input')) }")
    page.wait_for("#count", "3 picks, originally 5")
    assert review.threshold is None  # it is set when the slider is released
    page.raw.locator("#threshold").evaluate("s => s.dispatchEvent(new Event('change'))")
    page.wait_for_picks(3)
    assert [len(review.result(index)) for index in range(3)] == [3, 3, 3]
    page.press("Enter")
    page.wait_for("#name", "b.mrc")
    page.raw.locator("#threshold").evaluate("s => { s.value = 0.8; s.dispatchEvent(new Event('change')) }")
    page.wait_for_picks(1)
    assert [len(review.result(index)) for index in range(3)] == [3, 1, 1]


def test_keys_step_through_micrographs_and_mark_them(page, review):
    page.press("n")
    page.wait_for("#name", "b.mrc")
    page.press("m")
    page.wait_for("#state", "bad")
    page.press("p")
    page.wait_for("#name", "a.mrc")
    page.press("Enter")
    page.wait_for("#name", "c.mrc")
    page.wait_for("#progress", "2 of 3 reviewed")
    assert (review.edited_picks(0).state.reviewed, review.edited_picks(1).state.bad) == (True, True)
    page.press("?")
    page.raw.wait_for_selector("#help[open]")
    assert page.raw.locator("#help-keys kbd").count() > 20


def test_keys_that_are_pressed_before_a_micrograph_is_loaded_are_not_lost(page):
    page.press("n", "n", "p")
    page.wait_for("#name", "b.mrc")
    page.raw.wait_for_selector("#rows li:nth-child(2)[aria-current=true]")


def test_picks_are_written_beside_the_originals_and_training_commands_are_shown(page, review, folder):
    before = (folder / "picks.star").read_bytes()
    page.click(100, 80)
    page.wait_for_picks(4)
    page.press("r")
    page.wait_for("#state", "reviewed")
    page.raw.select_option("#format", "box")
    page.raw.click("#export")
    page.wait_for("#exported", "review/box")
    assert len((folder / "review" / "box" / "a.box").read_text().splitlines()) == 4
    page.raw.click("#train")
    page.wait_for("#training-steps", "cryopick finetune")
    assert page.raw.text_content("#training-summary") == "Wrote labels for 1 reviewed micrograph with 4 particles."
    assert (folder / "review" / "labels" / "micrographs" / "a.mrc").resolve() == (folder / "a.mrc").resolve()
    assert (folder / "picks.star").read_bytes() == before


def test_two_pages_show_each_others_edits(page, context, review):
    other = Page(context, page.raw.url)
    page.click(100, 80)
    page.wait_for_picks(4)
    other.wait_for_picks(4)
    other.click(400, 200)
    page.wait_for_picks(5)
    other.wait_for_picks(5)
    assert positions(review) == [(100, 300), (200, 80), (300, 80), (400, 200), (500, 300)]
    page.press("z")  # undoes the newest edit, which the other page made
    page.wait_for_picks(4)
    other.wait_for_picks(4)
    assert (400, 200) not in positions(review)
    assert other.errors == []


def test_edits_wait_while_the_server_does_not_answer(page, review):
    page.raw.route("**/edits", lambda route: route.abort())
    page.click(400, 200)
    page.wait_for("#saved", "1 edit waiting")
    page.raw.unroute("**/edits")
    page.wait_for_picks(6)
    assert len(review.result(0)) == 6
    page.errors.clear()  # the browser logs the request that failed


def test_filters_and_inversion_change_the_image(page):
    def roughness():
        page.wait_for_image()
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


def test_an_8k_micrograph_is_loaded_in_tiles(context, serve, tmp_path):
    path = tmp_path / "large.mrc"
    rows = np.linspace(-100, 100, 8192).astype(np.int8)[:, None]
    write_micrograph(path, np.broadcast_to(rows, (8192, 7168)).copy(), pixel_size=1.0)
    picks = Picks("large.mrc", [(7000.0, 8000.0)], [0.5], 200.0, (8192, 7168), 1.0)
    with Review([ReviewMicrograph(MicrographSource(path, "large.mrc"), picks)], review_folder(tmp_path)) as review:
        page = Page(context, serve(Server(review, tmp_path)))
        page.wait_for_picks(1)
        page.press("1")
        page.wait_for_image()
        asked = []
        page.raw.on("request", lambda request: asked.append(request.url))
        page.raw.mouse.move(*page.on_screen(7000, 8000))
        with page.raw.expect_response(re.compile(r"/plain/0/13/15\.jpg")):
            for _ in range(8):
                page.raw.mouse.wheel(0, -240)
        page.wait_for_image()
        tiles = [url for url in asked if "/plain/0/" in url]
        assert 0 < len(tiles) < 40  # of 16 x 14 tiles of the finest level, only those on the screen are requested
        assert page.errors == []


def test_two_thousand_micrographs_are_listed_searched_and_stepped_through(context, serve, folder):
    one = load_micrographs(folder, picks=folder / "picks.star").micrographs[0]
    names = [f"m{index:04}.mrc" for index in range(2000)]
    micrographs = [
        ReviewMicrograph(MicrographSource(one.source.path, name), Picks(name, one.picks.xy, one.picks.scores)) for name in names
    ]
    with Review(micrographs, review_folder(folder)) as review:
        page = Page(context, serve(Server(review, folder)))
        page.wait_for("#progress", "0 of 2,000 reviewed")
        page.raw.fill("#search", "m1999")
        page.raw.locator("#rows li:visible").click()
        page.wait_for("#name", "m1999.mrc")
        page.raw.fill("#search", "")
        page.press("Escape", "p")
        page.wait_for("#name", "m1998.mrc")


def test_two_sets_are_shown_side_by_side_with_their_scores_on_reviewed_micrographs(context, review, folder, serve):
    after = [Picks(name, [(100, 80), (200, 80), (300, 200)], [0.9, 0.9, 0.9]) for name in ("a.mrc", "b.mrc", "c.mrc")]
    server = Server(review, folder, Comparison.of(review, after, title="after"))
    page = Page(context, serve(server))
    page.press("r")
    page.wait_for("#state", "reviewed")
    page.raw.click("#compare")
    page.wait_for("#totals tbody", "not used for training")
    page.press("n")  # perhaps before the first micrograph is loaded
    cells = page.raw.locator("#totals tbody tr").nth(1).locator("td").all_text_contents()
    assert cells[2:] == ["0.667", "0.400", "0.500"]  # 2 of 3 picks correct, 2 of 5 particles found, 4 / 8
    assert page.raw.locator("#pairs tbody tr").count() == 3
    page.wait_for("#name", "b.mrc")
    page.wait_for("#legend", "in both sets")
    assert page.errors == []


def test_each_set_has_its_own_threshold_and_all_numbers_follow(context, review, folder, serve):
    after = [Picks("a.mrc", [(100, 80), (200, 80), (300, 200)], [0.9, 0.8, 0.7])]
    page = Page(context, serve(Server(review, folder, Comparison.of(review, after, title="after"))))
    page.press("r")
    page.wait_for("#state", "reviewed")
    page.raw.click("#compare")
    page.wait_for("#title-after", "after: 3 picks")
    move_slider(page, "after", 0.75)
    page.wait_for("#title-after", "after: 2 picks")
    page.wait_for("#title-before", "before: 5 picks")
    cells = page.raw.locator("#totals tbody tr").nth(1).locator("td").all_text_contents()
    assert cells[2:] == ["1.000", "0.400", "0.571"]  # 2 of 2, 2 of 5, 4 / 7
    move_slider(page, "before", 0.6)
    page.wait_for("#title-before", "before: 2 picks")
    assert page.raw.locator("#pairs tbody tr").first.locator("td").all_text_contents()[1:4] == ["2", "2", "0"]
    page.press("n")
    page.wait_for("#name", "b.mrc")
    page.press("p")
    page.wait_for("#name", "a.mrc")
    page.wait_for("#title-before", "before: 2 picks")
    assert page.errors == []


def move_slider(page, name, value):
    page.raw.locator(f"#slider-{name}").evaluate(
        "(slider, value) => { slider.value = value; slider.dispatchEvent(new Event('input')); }", value
    )


def test_an_expired_address_says_how_to_get_a_new_one(context, review, folder, serve):
    address = serve(Server(review, folder))
    raw = context.new_page()
    assert raw.goto(address.replace("token=", "token=old")).status == 403
    assert "prints a new address" in raw.text_content("body")
