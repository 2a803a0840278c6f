"""What the command makes of a face, and assumes of it, for every task."""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.options import Damage
from experiments.restore import degrade
from experiments.restore.pipeline import _groups
from experiments.runs import settings
from jaxgan import images
from jaxgan.degradations import JPEG, Compose, Denoising, GaussianBlur, MotionBlur, Pooling
from jaxgan.errors import UserError

CAMERA = ("upsample", "denoise", "dejpeg")


@pytest.fixture(scope="module")
def face(crops) -> np.ndarray:
    """32 pixels."""
    return images.resize(crops[1], 32)


@pytest.mark.parametrize("task", CAMERA)
def test_a_damage_is_visible_in_8_bits_and_repeated_by_its_seed(face, task):
    first, again, other = (np.asarray(degrade.observe(Damage(task), face, seed=seed)[0]) for seed in (1, 1, 4))
    np.testing.assert_array_equal(first, again)
    assert np.array_equal(first, other) == (task == "dejpeg")  # the only one that draws nothing
    assert 2 < np.abs(images.to_uint8(first).astype(int) - face).mean() < 60
    np.testing.assert_allclose((first + 1) * 127.5, np.rint((first + 1) * 127.5), atol=1e-4)


def test_options_reach_the_damage(face):
    kinds = [
        (Damage("upsample", factor=2), Pooling, {"factor": 2}),
        (Damage("denoise", photons=9.0, drop=0.0), Denoising, {"photons": 9}),
        (Damage("deblur", motion=(7.0, 30.0)), MotionBlur, {"length": 7, "angle": 30}),
        (Damage("dejpeg", quality=100), JPEG, {"luminance": 1}),
    ]
    for damage, kind, values in kinds:
        assumed = degrade.observe(damage, face).assumed
        assert type(assumed) is kind
        for name, value in values.items():
            assert np.all(np.asarray(getattr(assumed, name)) == value)
    assert np.mean(degrade.observe(kinds[1][0], face).assumed.mask) > 0.95  # a dark pixel may be without a photon


def test_dropped_pixels_are_hidden(face):
    observed, assumed = degrade.observe(Damage("denoise", drop=0.5), face)
    missing = np.asarray(assumed.mask) == 0
    assert 0.4 < missing.mean() < 0.6
    assert len(np.unique(np.asarray(observed)[missing], axis=0)) == 1


def test_tasks_are_chained_in_the_order_of_a_camera(face):
    damage = Damage("inpaint", also=("dejpeg", "upsample", "deblur"), factor=2, mask_kind="box")
    observed, assumed = degrade.observe(damage, face)
    assert [type(part).__name__ for part in assumed.parts] == ["GaussianBlur", "Pooling", "JPEG", "Mask"]
    tiles = np.asarray(observed).reshape(16, 2, 16, 2, 3)
    assert (tiles == tiles[:, :1, :, :1]).all()


def test_a_stated_sigma_is_not_cut_off(face):
    """The default's few taps once cut every wide blur."""
    side = len(face)
    impulse = jnp.zeros((side, side, 3)).at[side // 2, side // 2].set(1.0)
    places = np.arange(side) - side // 2
    for damage, sigma in ((Damage("deblur", sigma=3.0), 3.0), (Damage("deblur", sigma=1.0, assume_sigma=3.0), 3.0)):
        row = np.asarray(degrade.observe(damage, face).assumed(impulse)[:, :, 0]).sum(0)
        assert abs((row * places**2).sum() / row.sum() / sigma**2 - 1) < 0.01
    assert degrade.observe(Damage("deblur", sigma=3.0, kernel_size=5), face).assumed.kernel_size == 5
    assert degrade.observe(Damage("deblur"), face).assumed == GaussianBlur.for_resolution(side)


def test_parameters_differ_within_a_program(face):
    """Assumptions of the same kind have one structure and one shape, so a batch holds them."""
    pairs = [
        (Damage("upsample", factor=2), Damage("upsample", factor=4)),
        (Damage("denoise", photons=9.0), Damage("denoise", photons=90.0)),
        (Damage("dejpeg", quality=5), Damage("dejpeg", quality=50)),
        (Damage("deblur", sigma=1.0), Damage("deblur", sigma=3.0)),
        (Damage("deblur", motion=(5.0, 0.0)), Damage("deblur", motion=(8.0, 45.0))),
        (Damage("dejpeg", also=("upsample",), factor=2), Damage("dejpeg", also=("upsample",), factor=4, quality=30)),
    ]
    for pair in pairs:
        assumed = [jax.tree.map(jnp.asarray, degrade.observe(damage, face).assumed) for damage in pair]
        kinds = [jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), one) for one in assumed]
        assert kinds[0] == kinds[1]
    assert degrade.octave(Damage("deblur", motion=(5.0, 0.0))) == degrade.octave(Damage("deblur", motion=(8.0, 45.0)))
    assert degrade.octave(Damage("deblur", motion=(9.0, 0.0))) == 16 and degrade.octave(Damage("deblur")) is None
    assert _groups([]) == {}


def test_what_does_not_fit_a_face_is_told(face):
    with pytest.raises(UserError, match="--factor is 8; expected at most 4, which leaves 8 of 32 pixels"):
        degrade.observe(Damage("upsample", factor=8), face)
    with pytest.raises(UserError, match="the motion is 40 pixels long; expected at most 32"):
        degrade.observe(Damage("deblur", motion=(40.0, 0.0)), face)
    assert degrade.observe(Damage("deblur", motion=(32.0, 0.0)), face).observed.shape == (32, 32, 3)


def test_a_seed_belongs_to_a_face():
    seeds = {settings.seed_of(Path(name), face) for name in ("a.png", "b.png") for face in (0, 1)}
    assert len(seeds) == 4 and settings.seed_of(Path("x/a.png")) == settings.seed_of(Path("y/a.png"))


def test_a_single_part_is_no_chain(face):
    assert not isinstance(degrade.observe(Damage("denoise"), face).assumed, Compose)
