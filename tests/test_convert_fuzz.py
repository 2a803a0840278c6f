"""Damaged copies of the golden checkpoints, through the command line: one clear line or a network, nothing else."""

import math
import os
import pickletools
import random
import shutil

import pytest
from golden_errors import FILES, place

from convert import __main__ as command

CONTAINERS = ["bare_generator.pkl", "pti_tuned_generator.pt", "projected_gan_progress.pkl", "tf_gs_alone.pkl"]
CONTAINERS += ["tf_config_b_to_d.pkl", "half_precision.pkl", "hyperstyle.pt", "rosinality_without_noise_maps.pt"]
"""Of tests/cases: other ways to wrap a network."""
NEW = ["basicsr_names.pth", "genforce_names.pth", *CONTAINERS]

MEMORY_KB = 400_000
"""Growth of the process over a run after a warm-up; the files are about 1 MB, Orbax and XLA keep some of their own."""


def opcode_places(content: bytes) -> list[int]:
    """Where the opcodes of the first pickle lie, in a zip or not: most of a file is numbers, where nothing breaks."""
    start = content.index(b"\x80\x02") if content[:2] == b"PK" else 0
    places = []
    try:
        for _, _, place in pickletools.genops(content[start:]):
            places.append(start + place)
    except ValueError:
        pass  # a legacy stream goes on after its first pickle
    return places


def damaged(content: bytes, places: list[int], draw: random.Random) -> bytes:
    """Cut short, bits turned, a stretch removed, doubled, moved, overwritten, or two stretches swapped."""
    data, kind = bytearray(content), draw.randrange(7)
    near = lambda: min(len(data) - 1, draw.choice(places) + draw.randrange(12))  # noqa: E731
    a = near() if draw.random() < 0.7 else draw.randrange(len(data))
    b = min(len(data), a + 2 ** draw.randrange(12))
    if kind == 0:
        del data[a:]
    elif kind == 1:
        for _ in range(draw.choice((1, 1, 8, 64))):
            data[draw.choice((near(), draw.randrange(len(data)), -1 - draw.randrange(4096)))] ^= 1 << draw.randrange(8)
    elif kind == 2:
        del data[a:b]
    elif kind == 3:
        data[a:a] = data[a:b]
    elif kind == 4:
        data[a:b] = draw.choice((b"\x00", b"\xff", b"\x7f")) * (b - a)
    elif kind == 5:
        piece = bytes(data[a:b])
        del data[a:b]
        place = draw.randrange(len(data))
        data[place:place] = piece
    else:
        c = max(b, min(near(), len(data) - (b - a)))
        data[a:b], data[c : c + b - a] = data[c : c + b - a], data[a:b]
    return bytes(data)


def fuzz(file: str, folder, capsys, seeds: range) -> dict[str, int]:
    """Converts damaged copies; returns how many were read and refused."""
    content, path, output = place(file).read_bytes(), folder / "damaged", folder / "out"
    places, outcomes = opcode_places(content), {"read": 0, "refused": 0}
    before = math.inf
    for seed in seeds:
        path.write_bytes(damaged(content, places, random.Random(f"{file} {seed}")))
        try:
            code = command._run(command.Stylegan2(path, output).run)  # `main` without the reading of arguments
        except BaseException as error:
            raise AssertionError(f"{file}, seed {seed}") from error
        captured = capsys.readouterr()
        if code == 0:  # a bit of a weight, or of what is not used
            outcomes["read"] += 1
            assert (output / "config.json").is_file(), (file, seed)
            shutil.rmtree(output)
        else:
            outcomes["refused"] += 1
            one_line = captured.err.count("\n") == 1 and len(captured.err) < 2100 and str(path) in captured.err
            assert code == 2 and one_line and not captured.out, (file, seed, captured)
        assert os.listdir(folder) == ["damaged"], (file, seed)
        before = min(before, peak_kb()) if seed < seeds.start + 5 else before
    assert not peak_kb() - before > MEMORY_KB, (file, before, peak_kb())
    return outcomes


def peak_kb() -> float:
    """Largest size of this process so far; unknown outside Linux."""
    if not os.path.exists("/proc/self/status"):
        return math.nan
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


@pytest.mark.parametrize("file", [*FILES, *CONTAINERS])
def test_damaged_files_are_refused_or_read(file, tmp_path, capsys):
    assert fuzz(file, tmp_path, capsys, range(8))["refused"] > 2


@pytest.mark.slow
@pytest.mark.parametrize("file", [*FILES, *CONTAINERS])
def test_many_damaged_files(file, tmp_path, capsys):
    outcomes = fuzz(file, tmp_path, capsys, range(1000, 1500 if file in NEW else 1250))
    with capsys.disabled():
        print(f"{file}: {outcomes}")
    assert outcomes["refused"] > 100
