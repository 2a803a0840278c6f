"""The pyramid against a slow form in NumPy, whose only part of ours is LPIPS itself."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan.degradations import Compose, Grayscale, Identity, Mask, pytree
from jaxgan.objectives import OBJECTIVES, compared_side, halvings


@pytest.fixture(scope="module")
def lpips(narrow):
    """A narrow random one: these tests ask for what surrounds it."""
    return narrow


SIDE = 64
KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def features(lpips):
    return jax.jit(lpips.features)


@pytest.fixture(scope="module")
def pair():
    rng = np.random.default_rng(0)
    return rng.uniform(-1, 1, (2, SIDE, SIDE, 3)).astype(np.float32)


def slow_pool(image: np.ndarray) -> np.ndarray:
    half = np.zeros((len(image) // 2, len(image) // 2, *image.shape[2:]))
    for y, x in np.ndindex(*half.shape[:2]):
        half[y, x] = image[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].astype(np.float64).mean((0, 1))
    return half


def slow_lpips(features, a: np.ndarray, b: np.ndarray) -> float:
    pairs = zip(features(jnp.asarray(a, jnp.float32)), features(jnp.asarray(b, jnp.float32)), strict=True)
    return sum(float(((np.asarray(x, np.float64) - np.asarray(y, np.float64)) ** 2).sum()) for x, y in pairs)


def slow_pyramid(features, x: np.ndarray, y: np.ndarray, mask: np.ndarray, noise) -> float:
    """SPEC 7: LPIPS at 64 and 32, and a tenth of the mean absolute error at 16; `noise` has a map for each size."""
    total = 0.0
    for level in range(2):
        m = mask[:, :, None]
        n = 2 * (np.asarray(noise[level]) + 0.5) / 2 - 1  # (N(0, 1) + .5) / 2 of [0, 1], in [-1, 1]
        total += slow_lpips(features, m * x + (1 - m) * n, m * y + (1 - m) * n)
        x, y, mask = slow_pool(x), slow_pool(y), slow_pool(mask)
    return total + 0.1 * np.abs(x - y).mean()


def ours(features, degradation, image, observed, *, name="pyramid", size=SIDE, key=KEY):
    objective, size = OBJECTIVES[name], compared_side(name, SIDE, size)
    target = objective.target(features, degradation, jnp.asarray(observed), size)
    return objective.distance(features, degradation, target, jnp.asarray(image), size, key)


def test_the_pyramid_of_a_complete_observation(features, pair):
    expected = slow_pyramid(features, *pair, np.ones((SIDE, SIDE)), np.zeros((2, 1, 1, 3)))
    np.testing.assert_allclose(ours(features, Identity(), *pair), expected, rtol=1e-5)
    grey = np.repeat(pair[0].mean(-1, keepdims=True), 3, -1)
    expected = slow_pyramid(features, grey, pair[1], np.ones((SIDE, SIDE)), np.zeros((2, 1, 1, 3)))
    np.testing.assert_allclose(ours(features, Grayscale(), *pair), expected, rtol=1e-5)
    assert float(ours(features, Identity(), pair[0], pair[0])) == 0


def test_larger_images_are_reduced_first(features, pair):
    """To 32 pixels here, of which LPIPS sees one size."""
    x, y = map(slow_pool, pair)
    expected = slow_lpips(features, x, y) + 0.1 * np.abs(slow_pool(x) - slow_pool(y)).mean()
    np.testing.assert_allclose(ours(features, Identity(), *pair, size=32), expected, rtol=1e-5)
    np.testing.assert_allclose(ours(features, Identity(), *pair, name="half_pyramid"), expected, rtol=1e-5)


def test_half_a_pyramid_leaves_the_largest_size_out(features, pair):
    """Not of 16 pixels, whose half has no features."""
    for name, side, size, first in (
        ("lpips", 1024, 256, 256),
        ("pyramid", 1024, 4096, 1024),
        ("half_pyramid", 1024, 4096, 512),
        ("half_pyramid", 1024, 256, 256),
        ("half_pyramid", 128, 256, 64),
        ("half_pyramid", 16, 256, 16),
    ):
        assert compared_side(name, side, size) == first
    checks = (-1) ** np.add.outer(*2 * [np.arange(SIDE)])[:, :, None] * np.ones(3, np.float32)
    assert abs(float(ours(features, Identity(), pair[0] + checks, pair[0], name="half_pyramid"))) < 1e-6
    assert float(ours(features, Identity(), pair[0] + checks, pair[0])) > 1e-3


def test_holes_hold_the_same_noise_in_both_images(features, pair):
    mask = np.ones((SIDE, SIDE), np.float32)
    mask[5:30, 10:41] = 0
    _, of_noise = jax.random.split(KEY)
    noise = [jax.random.normal(jax.random.fold_in(of_noise, i), (s, s, 3)) for i, s in enumerate((64, 32))]
    shift = np.array([-0.030, -0.088, -0.188])  # both images have this colour in the hole, at whose edge it is averaged
    x, y = (np.where(mask[:, :, None] > 0, one, shift) for one in pair)
    expected = slow_pyramid(features, x, y, mask, noise)
    hole = Mask(jnp.asarray(mask))
    for degradation in (hole, Compose((Identity(), hole))):
        np.testing.assert_allclose(ours(features, degradation, *pair), expected, rtol=1e-5)
    assert float(ours(features, hole, *pair, key=jax.random.key(4))) != pytest.approx(expected, rel=1e-4)
    blotted = np.where(mask[:, :, None] > 0, pair[1], 7.0).astype(np.float32)  # whatever stands in a hole
    assert float(ours(features, hole, pair[0], blotted)) == float(ours(features, hole, *pair))


def test_the_sizes_of_a_pyramid():
    for side, sizes in (
        (1024, [1024, 512, 256, 128, 64, 32, 16]),
        (2048, [2048, 1024, 512, 256, 128, 64, 32]),
        (128, [128, 64, 32, 16]),
        (16, [16, 8]),
        (96, [96, 48, 24, 12]),
    ):
        shapes = jax.eval_shape(halvings, jax.ShapeDtypeStruct((side, side), np.float32))
        assert [one.shape for one in shapes] == [(size, size) for size in sizes]


@pytree
@dataclasses.dataclass(frozen=True)
class Dust:
    """Adds to all pixels a number that is drawn; on the mean 0."""

    amount: jax.Array

    def __call__(self, image):
        return image + self.amount

    def hide_missing(self, observed):
        return observed

    def sample(self, key):
        return Dust(jax.random.normal(key))


def test_a_degradation_of_chance_is_drawn_by_the_pyramid_alone(features, pair):
    of_degradation, _ = jax.random.split(KEY)
    expected = ours(features, Identity(), pair[0] + np.asarray(jax.random.normal(of_degradation)), pair[1])
    dust = Dust(jnp.zeros(()))
    np.testing.assert_allclose(ours(features, dust, *pair), expected, rtol=1e-6)
    lpips_ = OBJECTIVES["lpips"]
    target = lpips_.target(features, dust, jnp.asarray(pair[1]), SIDE)
    plain = lpips_.distance(features, dust, target, jnp.asarray(pair[0]), SIDE, KEY)
    np.testing.assert_allclose(plain, slow_lpips(features, *pair), rtol=1e-5)
