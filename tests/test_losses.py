"""Loss terms against slow NumPy loops and hand computations."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import losses


def maps(*sizes: int) -> tuple[jax.Array, ...]:
    generator = np.random.default_rng(0)
    return tuple(jnp.asarray(generator.standard_normal((size, size)), jnp.float32) for size in sizes)


def slow_noise_regularizer(noise) -> float:
    """StyleGAN2, Appendix D, Eq. of L_ij: pixel by pixel, in float64."""
    total = 0.0
    for map_ in noise:
        map_ = np.asarray(map_, np.float64)
        while True:
            size = len(map_)
            along_x = sum(map_[y, x] * map_[y, (x - 1) % size] for y in range(size) for x in range(size)) / size**2
            along_y = sum(map_[y, x] * map_[(y - 1) % size, x] for y in range(size) for x in range(size)) / size**2
            total += along_x**2 + along_y**2
            if size <= 8:
                break
            half = np.zeros((size // 2, size // 2))
            for y, x in np.ndindex(*half.shape):
                half[y, x] = map_[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean()
            map_ = half
    return total


@pytest.mark.parametrize("sizes", [(4,), (8,), (16,), (32,), (4, 8, 8, 16, 16, 32, 32)])
def test_noise_regularizer_equals_a_slow_loop(sizes):
    noise = maps(*sizes)
    np.testing.assert_allclose(
        losses.noise_regularizer(noise), slow_noise_regularizer(noise), rtol=5e-6
    )  # largest seen: 4e-7


def test_noise_regularizer_by_hand():
    # Columns of +1 and -1 in turn: each pixel times its left neighbour is -1, times its upper one +1; squares 1 + 1.
    columns = jnp.tile(jnp.asarray([1.0, -1.0]), (8, 4))
    assert float(losses.noise_regularizer((columns,))) == 2
    # At 16x16 the average of 2x2 pixels is zero, which adds nothing.
    assert float(losses.noise_regularizer((jnp.tile(jnp.asarray([1.0, -1.0]), (16, 8)),))) == 2
    # A constant map of 32x32 counts at 32, 16 and 8.
    assert float(losses.noise_regularizer((jnp.ones((32, 32)),))) == 6


def test_the_gradient_of_noise_regularizer_is_that_of_finite_differences():
    (map_,) = maps(16)
    gradient = np.asarray(jax.grad(lambda m: losses.noise_regularizer((m,)))(map_))
    for y, x in [(0, 0), (3, 7), (15, 15)]:
        bump = np.zeros((16, 16))
        bump[y, x] = 1e-5
        up, down = (slow_noise_regularizer((np.asarray(map_, np.float64) + sign * bump,)) for sign in (1, -1))
        np.testing.assert_allclose(gradient[y, x], (up - down) / 2e-5, rtol=5e-6)  # largest seen: 4e-7
    assert not np.asarray(jax.grad(lambda m: losses.noise_regularizer((m,)))(jnp.zeros((16, 16)))).any()


def test_latent_distance_by_hand():
    w_avg = jnp.asarray([1.0, 2.0])
    assert float(losses.latent_distance(jnp.asarray([2.0, 4.0]), w_avg)) == 2.5  # (1 + 4) / 2
    # W+: the mean over all rows and dimensions, (0 + 0 + 9 + 1) / 4
    assert float(losses.latent_distance(jnp.asarray([[1.0, 2.0], [4.0, 3.0]]), w_avg)) == 2.5
    assert float(losses.latent_distance(w_avg, w_avg)) == 0


def test_average_pool_by_hand():
    x = jnp.arange(16.0).reshape(4, 4)
    np.testing.assert_array_equal(losses.average_pool(x, 2), [[2.5, 4.5], [10.5, 12.5]])
    np.testing.assert_array_equal(losses.average_pool(x, 4), [[7.5]])
    channels = jnp.stack([x, -x], -1)
    np.testing.assert_array_equal(losses.average_pool(channels, 2)[..., 1], [[-2.5, -4.5], [-10.5, -12.5]])
    np.testing.assert_array_equal(losses.average_pool(channels, 1), channels)


def slow_area_resize(image: np.ndarray, size: int) -> np.ndarray:
    """Row by row, then column by column: each takes of the old ones what it covers of them, in float64."""
    image = np.asarray(image, np.float64)
    for _ in range(2):
        rows = []
        for i in range(size):
            top, bottom = i * len(image) / size, (i + 1) * len(image) / size
            covered = range(math.floor(top), min(math.ceil(bottom), len(image)))
            rows.append(sum((min(j + 1, bottom) - max(j, top)) * image[j] for j in covered) / (bottom - top))
        image = np.stack(rows).swapaxes(0, 1)
    return image


@pytest.mark.parametrize(("before", "size"), [(8, 6), (12, 5), (7, 1), (16, 8), (6, 6)])
def test_area_resize_equals_a_slow_mean(before, size):
    image = jnp.asarray(np.random.default_rng(0).normal(size=(before, before, 3)), jnp.float32)
    np.testing.assert_allclose(losses.area_resize(image, size), slow_area_resize(image, size), atol=1e-6)


def test_area_resize_by_hand():
    row = jnp.asarray([3.0, 6.0, 9.0])  # the middle one is shared
    expected = [[(3 + 6 / 2) / 1.5, (6 / 2 + 9) / 1.5]] * 2
    np.testing.assert_allclose(losses.area_resize(jnp.tile(row, (3, 1))[:, :, None], 2)[:, :, 0], expected, rtol=1e-6)


def test_the_gradient_of_area_resize_is_its_adjoint():
    """<A x, y> = <x, A' y>, and every pixel weighs alike; seen: 2e-7."""
    x, y = (jax.random.normal(jax.random.key(n), (n, n, 3)) for n in (16, 12))
    resized, pullback = jax.vjp(lambda x: losses.area_resize(x, 12), x)
    np.testing.assert_allclose(jnp.vdot(resized, y), jnp.vdot(x, pullback(y)[0]), rtol=1e-5)
    np.testing.assert_allclose(pullback(jnp.ones_like(y))[0], np.full(x.shape, (12 / 16) ** 2), rtol=1e-6)


@pytest.mark.usefixtures("unchecked_shapes")
def test_area_resize_does_not_enlarge():
    with pytest.raises(ValueError, match="size is 9; expected 1 to 8, the size of the image"):
        losses.area_resize(jnp.zeros((8, 8, 3)), 9)
