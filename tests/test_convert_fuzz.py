"""Damaged copies of the golden checkpoints: one clear error or a network of finite size, never anything else."""

import random

import pytest
from golden_errors import FILES
from parity import REFERENCE

from convert import stylegan2
from jaxgan.errors import UserError
from jaxgan.safe_pickle import UnsafePickleError


def damaged(content: bytes, rng: random.Random) -> bytes:
    """Cut short, bits turned, a stretch removed, doubled, moved or overwritten."""
    data, kind = bytearray(content), rng.randrange(6)
    a, b = sorted(rng.randrange(len(data)) for _ in range(2))
    b = min(b, a + 2 ** rng.randrange(12))
    if kind == 0:
        del data[a:]
    elif kind == 1:
        for _ in range(rng.choice((1, 8, 64))):
            # Half of the turned bits lie in the first and the last kilobytes, where the structure is.
            place = rng.choice((rng.randrange(len(data)), rng.randrange(4096), -1 - rng.randrange(4096)))
            data[place] ^= 1 << rng.randrange(8)
    elif kind == 2:
        del data[a:b]
    elif kind == 3:
        data[a:a] = data[a:b]
    elif kind == 4:
        data[a:b] = rng.choice((b"\x00", b"\xff")) * (b - a)
    else:
        piece = bytes(data[a:b])
        del data[a:b]
        place = rng.randrange(len(data))
        data[place:place] = piece
    return bytes(data)


def fuzz(file, tmp_path, count: int) -> dict[str, int]:
    content, path, outcomes = (REFERENCE / file).read_bytes(), tmp_path / "damaged", {"read": 0, "refused": 0}
    for seed in range(count):
        path.write_bytes(damaged(content, random.Random(f"{file} {seed}")))
        try:
            stylegan2.read(path)
            outcomes["read"] += 1  # a bit of a weight, or of what is not used
        except (UserError, UnsafePickleError) as error:
            assert str(path) in str(error) and len(str(error)) < 2000, (seed, error)
            outcomes["refused"] += 1
        except Exception as error:
            raise AssertionError(f"{file}, seed {seed}") from error
    return outcomes


@pytest.mark.parametrize("file", FILES)
def test_damaged_files_are_refused_or_read(file, tmp_path):
    assert fuzz(file, tmp_path, 24)["refused"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("file", FILES)
def test_many_damaged_files(file, tmp_path):
    assert fuzz(file, tmp_path, 300)["refused"] > 0
