"""Generators are named, not numbered by the order of calls."""

from cryopick.randomness import generator


def draws(*path, seed=7):
    return generator(seed, *path).random(3).tolist()


def test_the_same_path_gives_the_same_numbers_and_any_other_path_others():
    paths = [("scene", 0), ("scene", 1), ("noise", 0), ("scene",)]
    assert all(draws(*path) == draws(*path) for path in paths)
    assert len({tuple(draws(*path)) for path in paths}) == len(paths)
    assert draws("scene", 0) != draws("scene", 0, seed=8)
