"""LPIPS-VGG16 against the official implementation, and its properties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parity import call, nhwc, relative_error

from jaxgan import lpips as lpips_lib

TOLERANCE = 1e-5  # relative L2, the contract


@pytest.fixture(scope="module")
def reference(golden):
    return golden("lpips_reference")


def unit_range(image: np.ndarray) -> jnp.ndarray:
    return jnp.asarray(image, jnp.float32) / 127.5 - 1


@pytest.mark.parametrize("pair", range(6))
def test_distances_equal_the_official_ones(lpips, reference, pair):
    distance = call(lpips, unit_range(reference[f"pair{pair}_a"]), unit_range(reference[f"pair{pair}_b"]))
    assert relative_error(distance, reference["distance"][pair]) < TOLERANCE  # largest seen: 2e-7
    assert relative_error(distance, reference["distance_f64"][pair]) < TOLERANCE  # largest seen: 3e-7


def test_each_stage_contributes_its_share(lpips, reference):
    a, b = (call(lpips, unit_range(reference[f"pair1_{side}"]), method="features") for side in "ab")
    shares = np.array([float(lpips_lib.distance((x,), (y,))) for x, y in zip(a, b, strict=True)])
    assert relative_error(shares, reference["per_layer"][1]) < TOLERANCE  # seen: 2e-7


def test_features_equal_the_official_ones(lpips, reference):
    features = call(lpips.vgg, lpips_lib.normalize_image(unit_range(reference["feat_image"])))
    for name, feature in features.items():
        assert relative_error(feature, nhwc(reference[f"feat_{name}"])) < TOLERANCE, name  # largest seen: 5e-7


def test_gradient_equals_the_official_one(lpips, reference):
    a, b = unit_range(reference["pair0_a"]), unit_range(reference["pair0_b"])
    gradient = jax.jit(lambda lpips, a, b: jax.grad(lambda a: lpips(a, b))(a))(lpips, a, b)
    # Seen: 3.6e-6; the official float32 and float64 gradients differ by 5e-6.
    assert relative_error(gradient, nhwc(reference["grad_pair0_a"])) < TOLERANCE


def test_equal_images_have_distance_zero_and_a_finite_gradient(lpips):
    with_gradient = jax.jit(lambda lpips, image: jax.value_and_grad(lpips)(image, image))
    for image in (jnp.zeros((16, 16, 3)), jax.random.uniform(jax.random.key(0), (16, 16, 3))):
        value, gradient = with_gradient(lpips, image)
        assert value == 0
        np.testing.assert_array_equal(gradient, np.zeros(image.shape, np.float32))


def test_gradient_is_finite_where_all_channels_are_zero():
    """Dead pixels (no channel is active) occur: sqrt has no derivative at 0."""
    x = jnp.zeros((2, 2, 3)).at[0, 0].set(jnp.array([3.0, 0.0, 4.0]))
    np.testing.assert_allclose(lpips_lib._unit_length(x)[0, 0], np.array([0.6, 0.0, 0.8]), rtol=1e-6)
    assert jnp.isfinite(jax.grad(lambda x: jnp.sum(lpips_lib._unit_length(x)))(x)).all()


def test_vmap_equals_a_loop(lpips):
    a, b = jax.random.uniform(jax.random.key(0), (2, 3, 32, 32, 3), minval=-1)
    batched = jax.jit(lambda lpips, a, b: jax.vmap(lpips)(a, b))(lpips, a, b)
    for index in range(3):
        np.testing.assert_allclose(call(lpips, a[index], b[index]), batched[index], rtol=2e-6)  # seen: 2e-7


@pytest.mark.usefixtures("unchecked_shapes")
def test_wrong_shapes_are_told(lpips):
    with pytest.raises(ValueError, match=r"shapes \(32, 32, 3\) and \(16, 16, 3\); LPIPS compares equal shapes"):
        lpips(jnp.zeros((32, 32, 3)), jnp.zeros((16, 16, 3)))
    with pytest.raises(ValueError, match="at least 16x16"):
        lpips(jnp.zeros((8, 8, 3)), jnp.zeros((8, 8, 3)))
