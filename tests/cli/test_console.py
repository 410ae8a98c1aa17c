"""Counts and lists in words, and progress on a terminal and in a file, with a clock that the tests move."""

import io
from datetime import datetime, timedelta

import pytest

from cryopick.cli.console import Progress
from cryopick.messages import counted, listed

START = datetime(2026, 11, 28, 14, 3, 20)


class Clock:
    """Seconds and the time of day, moved by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds

    def now(self) -> datetime:
        return START + timedelta(seconds=self.seconds)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


def progress(clock: Clock, stream: io.StringIO, total: int = 0, **options: bool) -> Progress:
    return Progress("picking", total, stream=stream, clock=clock, now=clock.now, **options)


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 micrographs"), (1, "1 micrograph"), (2, "2 micrographs"), (1234, "1,234 micrographs")]
)
def test_nouns_agree_with_their_number(number, words):
    assert counted(number, "micrograph") == words


def test_irregular_plurals_are_given():
    assert [counted(number, "ray of light", "rays of light") for number in (1, 2)] == ["1 ray of light", "2 rays of light"]


@pytest.mark.parametrize(
    ("names", "words"), [([], ""), (["a"], "a"), (["a", "b", "c"], "a, b, c"), (["a", "b", "c", "d", "e"], "a, b, c and 2 more")]
)
def test_long_lists_end_with_how_many_more_there_are(names, words):
    assert listed(names) == words


def test_a_file_gets_a_dated_line_at_the_start_every_half_minute_and_at_the_end(clock):
    stream = io.StringIO()
    with progress(clock, stream) as shown:
        shown.start(total=100)
        for _ in range(100):
            clock.seconds += 0.5
            shown.advance("108 picks each")
    assert stream.getvalue().splitlines() == [
        "2026-11-28 14:03:20  picking  0/100",
        "2026-11-28 14:03:50  picking  60/100  2.0/s  108 picks each  0:00:20 left",
        "2026-11-28 14:04:10  picking  100/100  2.0/s  108 picks each  took 0:00:50",
    ]


def test_items_of_an_earlier_run_are_counted_but_not_in_the_rate(clock):
    stream = io.StringIO()
    with progress(clock, stream) as shown:
        shown.start(total=20_000, done=1_199)
        clock.seconds += 50
        shown.advance()
    assert stream.getvalue().splitlines()[-1] == "2026-11-28 14:04:10  picking  1,200/20,000  1.2/min  261:06:40 left"


def test_an_error_before_the_first_progress_stands_alone(clock):
    for stream in (io.StringIO(), Terminal()):
        with pytest.raises(ZeroDivisionError), progress(clock, stream, 5):
            raise ZeroDivisionError
        assert stream.getvalue() == ""


def test_what_was_done_before_an_interruption_is_in_the_last_line(clock):
    stream = io.StringIO()
    shown = progress(clock, stream, 9)
    for _ in range(4):
        clock.seconds += 1
        shown.advance()
    with pytest.raises(KeyboardInterrupt), shown:
        raise KeyboardInterrupt
    assert stream.getvalue().splitlines()[-1].startswith("2026-11-28 14:03:24  picking  4/9  1.0/s")


def test_a_terminal_gets_a_bar_with_counts_rate_extra_and_time_left(clock):
    stream = Terminal()
    with progress(clock, stream) as shown:
        shown.start(total=30, done=10)
        assert stream.getvalue() == ""
        clock.seconds += 5
        shown.update(20, "108 picks each")
        shown.say("a line above the bar")
    text = stream.getvalue()
    assert "picking" in text
    assert "20/30  2.0/s  108 picks each  0:00:05 left" in text
    assert "a line above the bar" in text


def test_all_but_the_first_process_are_quiet(clock):
    for stream in (io.StringIO(), Terminal()):
        with progress(clock, stream, 2, quiet=True) as shown:
            assert list(shown.track("ab")) == ["a", "b"]
        assert stream.getvalue() == ""
        assert shown.done == 2


@pytest.mark.parametrize(("items", "seconds", "rate"), [(19, 10, "1.9/s"), (1, 20, "3.0/min"), (1, 7200, "0.5/h"), (0, 5, "")])
def test_rates_are_in_units_that_keep_them_readable(clock, items, seconds, rate):
    with progress(clock, io.StringIO(), 50) as shown:
        clock.seconds += seconds
        shown.update(items)
        assert shown.rate() == rate
