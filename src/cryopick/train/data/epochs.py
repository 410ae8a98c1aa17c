"""Order of examples: each once in every epoch, shuffled by the random seed and the epoch."""

from cryopick.randomness import generator


def shuffled_index(position: int, count: int, *, seed: int) -> int:
    """Return the index at a position of the endless sequence of epochs, each a permutation of all `count` examples."""
    epoch, place = divmod(position, count)
    return int(generator(seed, "epoch", epoch).permutation(count)[place])
