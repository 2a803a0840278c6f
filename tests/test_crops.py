"""Photographs that are small, noisy or shaken already: what is cut out of them, and what comes back into them."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.options import Completion, Damage, FaceChoice
from experiments.restore import crops, degrade, paste_back
from experiments.restore.jobs import Job
from jaxgan import GeneratorConfig, InversionConfig, Method, images, truths
from jaxgan.errors import UserError
from jaxgan.photos import photo_files

NETWORK = GeneratorConfig(64)
BOX = "20,30,40,50"
"""A square of 20 pixels."""


def job(path: Path, damage: Damage, *, crop: str | None = BOX) -> Job:
    faces = (FaceChoice(), crop is None, crop)
    inversion = ("default", Method.of(InversionConfig.for_task(damage.task)), None)
    return Job(path, path.parent, damage, Completion(), *faces, *inversion, (0,), None, "png", 25, 30.0, {})


@pytest.fixture
def small(tmp_path) -> Path:
    """The sample portrait at 96 pixels."""
    photo = photo_files.read_photo(photo_files.sample_photo_path())
    images.write_png(tmp_path / "small.png", images.resize(photo, 96))
    return tmp_path / "small.png"


@pytest.mark.parametrize(
    ("side", "expected"), [(63.0, 2), (32.0, 2), (31.9, 4), (20.0, 4), (16.0, 4), (15.9, 8), (8.0, 8)]
)
def test_the_factor_is_the_next_power_of_two(side, expected):
    assert crops.factor_of("face 0", side, 64) == expected


def test_faces_that_are_large_or_tiny_are_told():
    with pytest.raises(UserError, match="face 0 is 64 pixels wide, and the network makes 64: there is nothing to enl"):
        crops.factor_of("face 0", 64.0, 64)
    with pytest.raises(UserError, match=r"face 0 is 7.9 pixels wide; expected 8 or more"):
        crops.factor_of("face 0", 7.9, 64)


def test_a_small_face_repeats_the_pixels_that_the_photograph_has(small):
    """20 pixels for 64: the factor is 4, the crop has 16 pixels."""
    lines: list[str] = []
    (crop,) = crops.load(job(small, Damage("upsample", already_degraded=True)), NETWORK, say=lines.append)
    assert crop.factor == 4 and crop.pixels.shape == (64, 64, 3)
    tiles = crop.pixels.reshape(16, 4, 16, 4, 3)
    assert (tiles == tiles[:, :1, :, :1]).all()
    np.testing.assert_allclose(crop.placement.corners, [[20, 30], [20, 50], [40, 50], [40, 30]], atol=0.1)
    assert lines[-1].endswith("20 pixels wide; it is enlarged 4 times.")
    assumed = degrade.observe(
        degrade.in_crop(Damage("upsample", already_degraded=True), 20 / 64, factor=crop.factor), crop.pixels
    ).assumed
    assert int(assumed.factor) == 4


def test_the_photograph_is_enlarged_with_the_face_in_it(small):
    """Beside the square the photograph is enlarged by Lanczos; in its middle stands the restoration."""
    of = job(small, Damage("upsample", already_degraded=True))
    (crop,) = crops.load(of, NETWORK, say=lambda line: None)
    (run := small.parent / "run").mkdir()
    flat = np.full((64, 64, 3), (200, 40, 90), np.uint8)
    images.write_png(run / "restoration.png", flat)
    lines: list[str] = []
    restored = photo_files.read_photo(paste_back.write(of, [(crop, run)], 64, say=lines.append))
    assert "1 face put back into the photograph, 4 times as large; " in lines[0] and "own" not in lines[0]
    photo = photo_files.read_photo(small)
    expected = np.array(Image.fromarray(photo).resize((384, 384), Image.Resampling.LANCZOS))
    assert restored.shape == (384, 384, 3)
    outside = np.ones((384, 384), bool)
    outside[4 * 30 - 1 : 4 * 50 + 1, 4 * 20 - 1 : 4 * 40 + 1] = False
    np.testing.assert_array_equal(restored[outside], expected[outside])
    middle = restored[4 * 38 : 4 * 42, 4 * 28 : 4 * 32].astype(int)
    assert np.abs(middle - flat[0, 0]).max() <= 1


def test_a_photograph_does_not_get_too_large():
    assert paste_back._enlargement([2, 8], (100, 100, 3)) == 8
    assert paste_back._enlargement([8], (4000, 3000, 3)) == 2  # 12 million pixels: by 2, 48 million
    assert paste_back._enlargement([8], (8000, 8000, 3)) == paste_back._enlargement([], (9, 9, 3)) == 1


def test_lengths_are_those_of_the_photograph():
    damage = Damage("deblur", sigma=6.0, assume_sigma=3.0, motion=(30.0, 20.0), photons=5.0, already_degraded=True)
    seen = degrade.in_crop(damage, 3.0)
    assert (seen.sigma, seen.assume_sigma, seen.motion, seen.photons) == (2, 1, (10, 20), 45)
    assert degrade.in_crop(damage, 0.5).photons == 5  # no pixel of the crop gathers more than one of the photograph
    made = Damage("deblur", sigma=6.0)
    assert degrade.in_crop(made, 3.0) is made


def test_motions_of_any_length_share_a_program_in_photographs():
    face = np.zeros((32, 32, 3), np.uint8)
    kinds = [degrade.observe(Damage("deblur", motion=(x, 0.0), already_degraded=True), face)[1] for x in (2.0, 30.0)]
    assert kinds[0].kernel_size == kinds[1].kernel_size


def test_dropped_pixels_of_a_photograph_are_missing_and_its_photons_estimated(small):
    """At a scale of 1, where the crop has the photograph's own pixels."""
    photo = np.full((96, 96, 3), 160, np.uint8)
    noisy = truths.damage([truths.PoissonNoise(40.0, 0.1)], photo, 0)
    images.write_png(small, noisy)
    lines: list[str] = []
    of = job(small, Damage("denoise", already_degraded=True), crop="16,16,80,80")
    (crop,) = crops.load(of, NETWORK, say=lines.append)
    missing = (noisy[16:80, 16:80] == 0).all(-1)
    np.testing.assert_array_equal((crop.pixels == 0).all(-1), missing)
    assert 60 < crop.photons < 150  # 40 in a pixel of the photograph; resampling leaves 0.6 of the noise: 40 / 0.6^2
    assert "--photons states another number" in lines[-1]
    stated = job(small, Damage("denoise", photons=40.0, already_degraded=True), crop="16,16,80,80")
    assert crops.load(stated, NETWORK, say=lines.append)[0].photons is None
