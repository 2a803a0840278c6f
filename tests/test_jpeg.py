"""The differentiable JPEG against Pillow: its tables, its coefficients, its decoder; and its gradients."""

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from jaxgan import images
from jaxgan.degradations import JPEG, Pooling
from jaxgan.degradations.jpeg import BLOCK, TO_YCBCR, cosines, tables, to_planes

pytestmark = pytest.mark.usefixtures("unchecked_shapes")
PILLOW = {(1, 1): "4:4:4", (1, 2): "4:2:2", (2, 2): "4:2:0"}


def by_pillow(picture: np.ndarray, quality: int, subsampling: tuple[int, int]) -> tuple[np.ndarray, dict]:
    """The decoded file, and its tables."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality, subsampling=PILLOW[subsampling])
    with Image.open(file) as decoded:
        return np.asarray(decoded.convert("RGB")), decoded.quantization


@jax.jit
def compress(jpeg: JPEG, image):
    return jpeg(image)


def compressed(picture: np.ndarray, jpeg: JPEG) -> np.ndarray:
    return images.to_uint8(np.asarray(compress(jpeg, jnp.asarray(images.to_float(picture)))))


def coefficients(planes) -> list[np.ndarray]:
    """`[blocks down, 8, blocks across, 8]` in float64."""
    blocks = [np.asarray(plane, np.float64) - 128 for plane in planes]
    shaped = (plane.reshape(plane.shape[0] // BLOCK, BLOCK, plane.shape[1] // BLOCK, BLOCK) for plane in blocks)
    return [np.einsum("ui,vj,aibj->aubv", cosines(), cosines(), plane) for plane in shaped]


@pytest.mark.parametrize("quality", [1, 6, 12, 49, 50, 75, 96, 100])
def test_tables_are_those_of_pillow(quality):
    _, found = by_pillow(np.zeros((16, 16, 3), np.uint8), quality, (2, 2))
    for ours, theirs in zip(tables(quality), found.values(), strict=True):
        np.testing.assert_array_equal(ours.ravel(), theirs)


def test_the_conversion_of_colours_is_an_inverse_pair_and_grey_has_none():
    # By JFIF: white is (255, 128, 128), and pure blue has the largest Cb, 255.5.
    np.testing.assert_allclose(TO_YCBCR.sum(1), [1, 0, 0], atol=1e-8)
    np.testing.assert_allclose(255 * TO_YCBCR[1, 2] + 128, 255.5)


@pytest.mark.parametrize("quality", [6, 12, 18, 50])
def test_it_is_exact_without_subsampling(crops, quality):
    """Blocks are equal to Pillow's, but where a coefficient lies halfway between two steps.

    libjpeg computes coefficients in whole numbers, with errors up to 0.15 levels (seen: 0.1), and may round such a one
    to the other side.
    """
    picture = crops[1]
    planes = to_planes(jnp.asarray(picture, jnp.float32), (1, 1))
    sure = np.ones((8, 8), bool)
    for values, steps in zip(coefficients(planes), [tables(quality)[i] for i in (0, 1, 1)], strict=True):
        fraction = np.abs(values) % steps[None, :, None, :]
        sure &= (np.abs(fraction - steps[None, :, None, :] / 2) > 0.15).all((1, 3))
    assert sure.mean() > 0.3
    difference = np.abs(
        compressed(picture, JPEG.of_quality(quality, subsampling=(1, 1))).astype(int)
        - by_pillow(picture, quality, (1, 1))[0].astype(int)
    )
    blocks = difference.reshape(8, 8, 8, 8, 3).max((1, 3, 4))
    print(
        quality,
        sure.mean(),
        blocks[sure].max(),
        (blocks[sure] > 2).sum(),
        (difference.reshape(8, 8, 8, 8, 3).swapaxes(1, 2)[sure] > 0).mean(),
    )
    assert blocks[sure].max() <= 3  # seen: 3 in one pixel, where roundings of the decoder meet; 1 elsewhere
    assert (difference.reshape(8, 8, 8, 8, 3).swapaxes(1, 2)[sure] > 0).mean() < 0.08  # seen: 0.037


@pytest.mark.parametrize("subsampling", [(2, 2), (1, 2)])
def test_the_error_with_subsampling_is_small(crops, subsampling):
    for quality in (6, 12, 50, 90):
        ours = compressed(crops[1], JPEG.of_quality(quality, subsampling=subsampling)).astype(float)
        theirs = by_pillow(crops[1], quality, subsampling)[0]
        lost = np.sqrt(np.mean((theirs - crops[1].astype(float)) ** 2))
        assert np.sqrt(np.mean((ours - theirs) ** 2)) < min(2.5, 0.35 * lost)  # seen: 0.2 to 1.7 levels


def test_a_size_that_is_no_multiple_of_a_block_is_padded(crops):
    picture = np.ascontiguousarray(crops[1][:45, :37])
    ours = compressed(picture, JPEG.of_quality(12)).astype(float)
    assert np.sqrt(np.mean((ours - by_pillow(picture, 12, (2, 2))[0]) ** 2)) < 2


def test_what_follows_a_reduction_happens_at_the_small_size(crops):
    """Compressing the small picture and enlarging it equals compressing tiles of the large one."""
    small = crops[1][::2, ::2]
    large = small.repeat(2, 0).repeat(2, 1)
    expected = compressed(small, JPEG.of_quality(12)).repeat(2, 0).repeat(2, 1)
    np.testing.assert_array_equal(compressed(large, JPEG.of_quality(12, factor=2)), expected)
    np.testing.assert_allclose(Pooling(2)(jnp.asarray(images.to_float(expected))), images.to_float(expected), atol=1e-6)


def test_vmap_over_tables_and_factors_equals_a_loop(crops):
    kinds = [JPEG.of_quality(quality, factor=factor) for quality, factor in ((6, 1), (18, 2), (90, 4))]
    pictures = jnp.asarray(images.to_float(crops[:3]))
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *kinds)
    together = jax.vmap(compress)(stacked, pictures)
    each = jnp.stack([compress(kind, picture) for kind, picture in zip(kinds, pictures, strict=True)])
    assert (np.abs(together - each) > 1e-5).mean() < 1e-3  # a coefficient on the border may go either way


def test_the_gradient_is_four_fifths_of_the_identity_and_a_fifth_of_a_cubes():
    """Of a picture with one coefficient: by hand, `.8 + .2 * 3 (x - round(x))^2`, times nothing for the other steps."""
    steps = np.full((8, 8), 10.0, np.float32)
    jpeg = JPEG(jnp.asarray(steps), jnp.asarray(steps), subsampling=(1, 1))
    basis = np.outer(cosines()[1], cosines()[2])
    direction = np.repeat(basis[:, :, None], 3, 2) / 127.5  # grey: luminance alone
    for amount, fraction in ((30.0, 0.0), (33.0, 0.3), (28.0, -0.2)):
        image = jnp.asarray(amount * direction, jnp.float32)

        def value(image):
            return jnp.sum(jpeg(image)[..., 0] * basis) * 127.5

        slope = jnp.sum(jax.grad(value)(image) * direction)
        # rounding of values to whole levels moves the coefficient by up to 0.1 steps
        np.testing.assert_allclose(slope, 0.8 + 0.6 * fraction**2, atol=0.05)
    flat = jax.grad(lambda image: jnp.sum(jpeg(image) ** 2))(jnp.zeros((8, 8, 3)))
    assert np.isfinite(flat).all()


def test_wrong_qualities_are_told():
    with pytest.raises(ValueError, match="quality is 0; expected a whole number from 1 to 100"):
        JPEG.of_quality(0)


@pytest.mark.parametrize(("level", "sign"), [(1.5, 1.0), (-1.5, -1.0)])
def test_the_gradient_leads_no_pixel_out_of_the_range(level, sign):
    jpeg = JPEG.of_quality(95)
    image = jnp.full((16, 16, 3), level)
    outwards = jax.grad(lambda image: -sign * jnp.sum(jpeg(image)))(image)
    inwards = jax.grad(lambda image: sign * jnp.sum(jpeg(image)))(image)
    np.testing.assert_array_equal(outwards, 0.0)
    assert np.all(sign * np.asarray(inwards) > 0)
