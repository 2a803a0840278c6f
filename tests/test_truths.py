"""Damages as they really happen: what they do to pixels, that a seed repeats them, and what is assumed after them."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgan import images, truths
from jaxgan.degradations import (
    JPEG,
    Compose,
    Denoising,
    Dimming,
    Grayscale,
    Identity,
    Mask,
    Pooling,
    ShotNoise,
    sample,
    without_draws,
)
from jaxgan.truths import FILTERS, Compression, Exactly, Hole, PoissonNoise, Reduction

pytestmark = pytest.mark.usefixtures("unchecked_shapes")
PIXELS = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)


def observed(pixels: np.ndarray) -> jax.Array:
    return jnp.asarray(images.to_float(pixels))


def test_poisson_noise_has_its_mean_and_variance():
    """At level 102 / 255 = .4 and 96 photons: mean .4, variance .4 / 96, and no value is clipped (nine deviations)."""
    grey = np.full((256, 256, 3), 102, np.uint8)
    levels = PoissonNoise(96.0, 0.0)(grey, np.random.default_rng(1)) / 255
    assert abs(levels.mean() - 0.4) < 6e-4  # 4 standard errors: 4 * .0645 / sqrt(196,608)
    assert abs(levels.var() / (0.4 / 96) - 1) < 0.013  # 4 * sqrt(2 / 196,608)
    white = PoissonNoise(6.0, 0.0)(np.full_like(grey, 255), np.random.default_rng(1)) / 255
    assert white.max() == 1  # half of all counts are above white, and clipped


def test_dropped_pixels_are_black_in_all_channels():
    dropped = PoissonNoise(1e6, 0.25)(np.full((128, 128, 3), 200, np.uint8), np.random.default_rng(2))
    black = (dropped == 0).all(-1)
    assert abs(black.mean() - 0.25) < 4 * (0.25 * 0.75 / 128**2) ** 0.5
    assert (dropped[~black] > 190).all()


def test_reductions_are_pillows_and_their_filter_is_drawn():
    small = {Reduction(4)(PIXELS, np.random.default_rng(seed)).tobytes() for seed in range(20)}
    by_pillow = {np.array(Image.fromarray(PIXELS).resize((8, 8), chosen)).tobytes() for chosen in FILTERS}
    assert small == by_pillow and len(small) == 3


def test_a_compression_is_pillows():
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, "JPEG", quality=12)  # Pillow's default is 4:2:0
    np.testing.assert_array_equal(Compression(12)(PIXELS, np.random.default_rng(0)), np.asarray(Image.open(file)))


CHAIN = [Exactly(Grayscale()), Reduction(4), PoissonNoise(24.0, 0.16), Hole(np.ones((32, 32), np.float32))]


def test_a_damage_is_repeated_by_its_seed_and_keeps_the_size():
    first, again, other = (truths.damage(CHAIN, PIXELS, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert first.shape == PIXELS.shape and not np.array_equal(first, other)
    tiles = first.reshape(8, 4, 8, 4, 3)
    assert (tiles == tiles[:, :1, :, :1]).all()  # enlarged by repetition
    np.testing.assert_array_equal(truths.damage([], PIXELS, 0), PIXELS)


def test_what_is_assumed():
    """A dropped pixel is missing; what follows a reduction keeps to its tiles."""
    mask = np.ones((32, 32), np.float32)
    mask[5, 9] = 0
    chain = [*CHAIN[:3], Hole(mask)]
    seen = observed(truths.damage(chain, PIXELS, 3))
    grey, pooling, noise, hole = truths.assumed(chain, seen).parts
    assert [type(part) for part in (grey, pooling, noise, hole)] == [Grayscale, Pooling, Denoising, Mask]
    assert int(pooling.factor) == 4 and float(noise.photons) == 24
    expected = np.ones((8, 8))
    expected[1, 2] = 0
    np.testing.assert_array_equal(hole.mask, expected.repeat(4, 0).repeat(4, 1))
    hidden = (np.asarray(seen) == -1).all(-1)
    assert 0 < hidden.sum() < hidden.size / 3
    np.testing.assert_array_equal(noise.mask, ~hidden)
    assert truths.assumed([], seen) == Identity()
    with pytest.raises(TypeError, match="no degradation is known for function"):
        truths.assumed([lambda pixels, generator: pixels], seen)


def test_a_compression_hides_what_was_dropped_so_noise_is_drawn_at_the_small_size():
    chain = [Reduction(2), PoissonNoise(24.0, 0.16), Compression(12)]
    assumed = truths.assumed(chain, observed(truths.damage(chain, PIXELS, 0)))
    assert [type(part) for part in assumed.parts] == [Pooling, ShotNoise, JPEG]
    assert int(assumed.parts[2].factor) == 2
    assert isinstance(without_draws(assumed), Compose) and isinstance(without_draws(assumed).parts[1], Dimming)
    draws = [sample(assumed, jax.random.key(seed))(observed(PIXELS)) for seed in (0, 1)]
    assert not np.array_equal(*draws)


def test_noise_is_drawn_where_it_is_asked_for():
    seen = observed(PIXELS)
    assert isinstance(truths.assumed([PoissonNoise(24.0, 0.16)], seen), Denoising)
    drawn = truths.assumed([PoissonNoise(24.0, 0.16)], seen, draws=True)
    assert isinstance(drawn, ShotNoise) and isinstance(drawn.mean, Denoising)


@pytest.mark.parametrize("truth", [Reduction(4), Compression(30), PoissonNoise(1e7, 0.2)])
def test_the_assumed_is_near_the_truth(truth, crops):
    """On a face: nearer to the observation than half of what the damage changed."""
    seen = observed(truths.damage([truth], crops[1], 0))
    degradation = truths.assumed([truth], seen)
    again = degradation.hide_missing(degradation(observed(crops[1])))
    lost = np.abs(np.asarray(seen) - observed(crops[1])).mean()
    assert np.abs(again - degradation.hide_missing(seen)).mean() < 0.5 * lost
