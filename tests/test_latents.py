"""Latents and noise maps, against NumPy on a tiny random network."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from parity import relative_error

from jaxgan import latents, start
from jaxgan.generator import Generator
from jaxgan.generator_config import GeneratorConfig


def network(c_dim: int) -> Generator:
    config = GeneratorConfig(
        8, z_dim=6, c_dim=c_dim, w_dim=5, mapping_layers=2, channel_base=32, channel_max=4, mapping_lr_multiplier=0.5
    )
    return Generator(config, rngs=nnx.Rngs(0))


def unit_mean_square(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-8)


def slow_mapping(generator: Generator, z: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
    """StyleGAN2's mapping network in float64; equalised learning rate: weights times multiplier / sqrt(fan-in)."""

    def dense(layer, x, multiplier):
        kernel = np.asarray(layer.kernel[...], np.float64)
        return x @ kernel * multiplier / np.sqrt(kernel.shape[0]) + np.asarray(layer.bias[...]) * multiplier

    mapping = generator.mapping
    x = unit_mean_square(z)
    if labels is not None:
        x = np.concatenate([x, unit_mean_square(dense(mapping.embed, labels, 1.0))], -1)
    for layer in (mapping.fc0, mapping.fc1):
        x = dense(layer, x, 0.5)
        x = np.where(x > 0, x, 0.2 * x) * np.sqrt(2)
    return x


@pytest.mark.parametrize("c_dim", [0, 3])
def test_w_statistics_equal_numpy(c_dim):
    generator = network(c_dim)
    z = np.random.RandomState(7).randn(50, 6)
    labels = np.eye(3)[np.arange(50) % 3] if c_dim else None  # labels in turn
    w = slow_mapping(generator, z, labels)
    statistics = latents.w_statistics(generator, samples=50, seed=7)
    assert relative_error(statistics.w_avg, w.mean(0)) < 1e-6  # largest seen: 7e-8
    spread = np.sqrt(((w - w.mean(0)) ** 2).sum() / 50)
    np.testing.assert_allclose(statistics.w_std, spread, rtol=1e-6)  # largest seen: 7e-8


def test_a_label_is_the_only_class_that_is_drawn():
    generator = network(3)
    z = np.random.RandomState(7).randn(50, 6)
    for label in (0, 2):
        w = slow_mapping(generator, z, np.eye(3)[np.full(50, label)])
        statistics = latents.w_statistics(generator, samples=50, seed=7, label=label)
        assert relative_error(statistics.w_avg, w.mean(0)) < 1e-6
        drawn = start.draw_samples(generator, samples=50, seed=7, label=label).ws
        np.testing.assert_array_equal(drawn, latents.mapped_samples(generator, samples=50, seed=7, label=label))


def test_labels_that_a_network_does_not_have_are_told():
    with pytest.raises(ValueError, match=r"label is 3; this generator has the labels 0 to 2"):
        latents.w_statistics(network(3), samples=5, label=3)
    with pytest.raises(ValueError, match=r"label is 0; this generator is not class-conditional"):
        start.draw_samples(network(0), samples=5, label=0)


def test_w_statistics_depend_on_the_seed_and_nothing_else():
    generator = network(0)
    first, again, other = (latents.w_statistics(generator, samples=20, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.w_avg, again.w_avg)
    assert not np.array_equal(first.w_avg, other.w_avg)


def test_one_w_is_repeated_and_a_w_plus_kept():
    w = jnp.asarray([1.0, 2.0])
    np.testing.assert_array_equal(latents.broadcast(w, num_ws=3), [[1, 2]] * 3)
    w_plus = jnp.arange(6.0).reshape(3, 2)
    np.testing.assert_array_equal(latents.broadcast(w_plus, num_ws=3), w_plus)


def test_noise_is_normalised_by_hand():
    # mean 2.5, deviations -1.5, -0.5, 0.5, 1.5 of mean square 1.25
    (result,) = latents.normalize_noise((jnp.asarray([[1.0, 2.0], [3.0, 4.0]]),))
    np.testing.assert_allclose(result, np.array([[-1.5, -0.5], [0.5, 1.5]]) / np.sqrt(1.25), rtol=1e-6)


def test_every_map_is_normalised_on_its_own():
    noise = latents.sample_noise(jax.random.key(0), ((4, 4), (8, 8), (32, 32)))
    shifted = tuple(map_ * scale + scale for scale, map_ in enumerate(noise, start=2))
    for result, map_ in zip(latents.normalize_noise(shifted), noise, strict=True):
        map_ = np.asarray(map_, np.float64)
        # largest seen: 2e-6; the scale and shift are gone
        np.testing.assert_allclose(result, (map_ - map_.mean()) / map_.std(), atol=2e-5)


def test_sampled_noise_is_standard_normal_and_differs_between_maps():
    shapes = ((64, 64), (64, 64), (4, 4))
    noise = latents.sample_noise(jax.random.key(1), shapes)
    assert tuple(map_.shape for map_ in noise) == shapes
    for map_ in noise[:2]:  # 4096 numbers: standard errors 0.016 and 0.022
        assert abs(float(map_.mean())) < 0.08 and abs(float((map_**2).mean()) - 1) < 0.11
    assert abs(float(jnp.mean(noise[0] * noise[1]))) < 0.08
    jax.tree.map(np.testing.assert_array_equal, latents.sample_noise(jax.random.key(1), shapes), noise)
    assert not np.array_equal(latents.sample_noise(jax.random.key(2), shapes)[0], noise[0])


def test_latents_are_repeated_into_larger_spaces():
    config = network(0).config  # resolution 8: 4 rows of ws; w_dim 5, no layer has more than 4 channels
    shapes = [latents.space_shape(space, config) for space in ("w", "w_plus", "w_plus_plus")]
    assert shapes == [(5,), (4, 5), (4, 5, 5)]
    w_plus = jnp.arange(20.0).reshape(4, 5)
    larger = latents.extend(w_plus, shapes[2])
    for layer, channel in np.ndindex(4, 5):
        np.testing.assert_array_equal(larger[layer, channel], w_plus[layer])
    np.testing.assert_array_equal(latents.extend(w_plus[0], shapes[2]), np.broadcast_to(w_plus[0], shapes[2]))
    np.testing.assert_array_equal(latents.extend(w_plus, shapes[1]), w_plus)
    ffhq = GeneratorConfig.config_f(1024)
    assert math.prod(latents.space_shape("w_plus_plus", ffhq)) == 4_718_592  # SPEC 7: 4.7 million
