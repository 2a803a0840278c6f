"""Comparisons of images by hand-computed numbers, identity, and the distance of latents."""

import math
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxgan
from jaxgan import metrics
from jaxgan.photos import identity, photo_files


@pytest.fixture(scope="module")
def pair():
    """A picture, and the picture 2 levels brighter."""
    levels = np.random.default_rng(0).integers(0, 250, (32, 32, 3))
    return levels / 127.5 - 1, (levels + 2) / 127.5 - 1


def test_two_levels_are_42_decibels(lpips, pair):
    values = metrics.compare(lpips, *pair)
    assert values["psnr"] == pytest.approx(10 * math.log10(255**2 / 2**2))  # 42.1
    # With equal variances SSIM is its luminance term, (2 m n + c) / (m^2 + n^2 + c), near 1 - 2^2 / (2 m^2), m = 127.
    assert 0.9990 < values["ssim"] < 0.99999
    assert 0 < values["lpips"] < 0.05 and values["lpips_size"] == 32


def test_equal_pictures_and_what_rounds_to_them(lpips, pair):
    values = metrics.compare(lpips, pair[0], pair[0] + 0.4 / 127.5)
    assert values == {"psnr": math.inf, "ssim": 1.0, "lpips": 0.0, "lpips_size": 32}


@pytest.mark.usefixtures("unchecked_shapes")
def test_images_of_files_are_refused(lpips, pair):
    levels = np.full((32, 32, 3), 200, np.uint8)
    with pytest.raises(TypeError, match="reference is an array of uint8"):
        metrics.compare(lpips, pair[0], levels)
    with pytest.raises(ValueError, match=r"image has values from 200 to 200; expected values in \[-1, 1\]"):
        metrics.compare(lpips, levels.astype(np.float32), pair[0])


@pytest.mark.usefixtures("unchecked_shapes")
def test_only_pictures_of_a_size_are_compared(lpips, pair):
    with pytest.raises(ValueError, match=r"the image has shape \(32, 32, 3\), the reference \(16, 16, 3\)"):
        metrics.compare(lpips, pair[0], pair[0][:16, :16])


def test_lpips_is_not_that_of_a_smaller_picture(lpips, pair):
    """Why its size is said: the loss compares what was averaged to `feature_size`."""
    small = [np.asarray(image).reshape(16, 2, 16, 2, 3).mean((1, 3)) for image in pair]
    noisy = [pair[0], pair[0][::-1]], [small[0], small[0][::-1]]
    full, half = (metrics.compare(lpips, *images) for images in noisy)
    assert (full["lpips_size"], half["lpips_size"]) == (32, 16) and full["lpips"] > 1.1 * half["lpips"]
    assert metrics.lpips_name(half["lpips_size"]) == "LPIPS at 16 px"


def test_accuracy_and_fidelity(lpips, pair):
    truth, other = pair
    known = metrics.measure(lpips, truth=truth, observed=other, reconstruction=truth, degraded_again=truth)
    assert known["against_truth"]["psnr"] == math.inf and 42 < known["against_observed"]["psnr"] < 43
    row = metrics.columns(known)
    names = [f"{name}_{which}" for which in ("observed", "truth") for name in ("psnr", "ssim", "lpips")]
    assert list(row) == [*names, "lpips_size"] and row["psnr_truth"] == math.inf
    unknown = metrics.measure(lpips, truth=None, observed=other, reconstruction=truth, degraded_again=truth)
    assert unknown == {"against_observed": known["against_observed"]}


def test_identity_is_the_distance_of_what_is_handed_in():
    def describe(picture):
        return None if picture.max() == 0 else picture.reshape(-1).astype(float)

    images = np.stack([np.full((1, 1, 3), value / 127.5 - 1) for value in (0, 3, 7)])
    assert metrics.identity_distances(describe, images[1:], images[:0:-1]) == pytest.approx([4 * 3**0.5] * 2)
    assert math.isnan(metrics.identity_distances(describe, images[:1], images[1:2])[0])


def test_the_same_face_is_nearer_than_another():
    pytest.importorskip("dlib")
    photo = photo_files.read_photo(Path(jaxgan.__file__).parent / "data" / "two_portraits.jpg") / 127.5 - 1
    a, b = photo[0:250, 120:370], photo[90:340, 690:940]
    brighter = 0.8 * a + 0.15
    same, lighter, other, none = metrics.identity_distances(
        identity.descriptor, [a, a, a, a], [a, brighter, b, np.zeros_like(a)]
    )
    assert same == 0 and lighter < 0.3 < 0.6 < other and math.isnan(none)


def test_mapped_latents_are_at_distance_one(demo):
    whitening = metrics.whitening(demo, samples=4000)
    ws = jax.vmap(demo.mapping)(jax.random.normal(jax.random.key(0), (16, demo.config.z_dim)))[:, 0]
    distances = [metrics.latent_distance(whitening, w[None]) for w in ws]
    assert 0.9 < np.mean(distances) < 1.2
    assert metrics.latent_distance(whitening, whitening.w_avg[None]) == 0
