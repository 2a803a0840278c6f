"""The size of a batch that fits into memory, found with few compilations, whatever memory depends on."""

import numpy as np
import pytest

from experiments.restore import batch_size


class Device:
    """A GPU with some bytes free."""

    platform = "gpu"

    def __init__(self, free):
        self.free = free

    def memory_stats(self):
        return {"bytes_limit": self.free, "bytes_in_use": 0}


class Engine:
    """Networks of 100 bytes; `needed` gives the bytes of a device from its places."""

    generator, lpips = np.zeros(50, np.int8), np.zeros(50, np.int8)

    def __init__(self, needed, free, devices=1):
        self.devices = tuple(Device(free / batch_size.SHARE_OF_MEMORY + 1) for _ in range(devices))
        self.needed = needed
        self.asked = []

    def bytes_needed(self, work, size):
        assert len(self.asked) < 20, f"asked for {self.asked}"
        self.asked.append(size)
        return self.needed(size // len(self.devices))


def size_of(needed, free, at_most, devices=1):
    engine, said = Engine(needed, free, devices), []
    size = batch_size.fitting_size(engine, None, at_most, said.append)
    assert said == [f"--batch-size auto: {size} faces at a time fit into memory."]
    return size, len(engine.asked)


def linear(places):
    return 100 + 10 * places


@pytest.mark.parametrize(
    ("free", "at_most", "devices", "expected"),
    [
        (1000, 5, 1, (5, 1)),
        (1000, 1000, 1, (90, 2)),
        (1e6, 1000, 1, (256, 2)),
        (150, 1000, 1, (5, 3)),
        (50, 1000, 1, (1, 4)),  # nothing fits; who tries it is told by the compiler
        (1000, 1000, 4, (360, 2)),
        (1000, 5, 4, (8, 1)),  # padded
    ],
)
def test_linear_memory_takes_two_or_three_looks(free, at_most, devices, expected):
    assert size_of(linear, free, at_most, devices) == expected


@pytest.mark.parametrize(
    ("needed", "fits"),
    [
        (lambda places: 100 + 10 * places + (400 if places > 20 else 0), 50),  # another algorithm for large batches
        (lambda places: 100 + 10 * places + (900 if places > 20 else 0), 20),
        (lambda places: 100 + places**2, 30),
        (lambda places: 700 + places, 256),  # most of it is the same for all sizes
        (lambda places: 100 + 10 * 2 ** int(np.ceil(np.log2(places))), 64),  # rounded up to powers of two
        (
            lambda places: 100 + 10 * places + 300 * (places % 2),
            88,
        ),  # odd ones take more
    ],
)
def test_other_memory_ends_near_the_largest_that_fits(needed, fits):
    size, looks = size_of(needed, 1000, 1000)
    assert needed(size) <= 1000 and 0.65 * fits <= size and looks <= 9, (size, looks)


def test_one_face_is_no_choice():
    assert batch_size.fitting_size(Engine(linear, 1000), None, 1, pytest.fail) == 1
