"""Means with intervals, classical methods, sets of faces and what is observed of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.measure import classical, face_sets, observation
from experiments.measure.statistics import bootstrap
from jaxgan import images, latents, tasks
from jaxgan.degradations import Compose, GaussianBlur, Grayscale, Identity, Mask
from jaxgan.errors import UserError


@pytest.fixture(scope="module")
def faces(crops):
    return images.to_float(crops[1:3])


def test_the_interval_of_a_mean_is_that_of_a_normal_distribution():
    values = np.random.default_rng(1).normal(5, 2, 400)
    mean = bootstrap(values)
    half_width = 1.96 * values.std() / 20  # central limit theorem
    assert mean.mean == pytest.approx(values.mean())
    assert [mean.mean - mean.low, mean.high - mean.mean] == pytest.approx([half_width, half_width], rel=0.1)
    assert bootstrap(np.array([3.0])).text(1) == "3.0 [3.0, 3.0]"
    assert np.isnan(bootstrap(np.array([])).mean)


def test_classical_methods_come_nearer_to_the_truth(faces):
    hole = np.ones((64, 64), np.float32)
    hole[30:34, 10:50] = 0
    # Measured on this picture: 0.13 and 0.45 of the error.
    for degradation, left in ((Mask(jnp.asarray(hole)), 0.2), (GaussianBlur(jnp.float32(1.1), 5), 0.5)):
        observed = np.asarray(degradation(jnp.asarray(faces[0])))
        restored = classical.restore(degradation, observed)
        assert restored.shape == (64, 64, 3) and restored.dtype == np.float32
        assert np.mean((restored - faces[0]) ** 2) < left * np.mean((observed - faces[0]) ** 2)
    mask = classical.restore(Mask(jnp.asarray(hole)), faces[0])
    np.testing.assert_allclose(mask[hole > 0.5], faces[0][hole > 0.5], atol=1e-6)


@pytest.mark.parametrize("task", ["upsample", "denoise"])
def test_classical_methods_of_the_camera_come_nearer_to_the_truth(faces, task):
    observed, (assumed,) = observation.damage([[tasks.default_truth(task, 32)]], faces[:1], [0])
    restored = classical.restore(assumed, np.asarray(observed[0]))
    # Bicubic pixels and total variation are both far nearer than tiles and noise.
    assert np.mean((restored - faces[0]) ** 2) < 0.7 * np.mean((np.asarray(observed[0]) - faces[0]) ** 2)


def test_classical_methods_leave_the_rest_and_refuse_what_they_do_not_know(faces):
    np.testing.assert_allclose(classical.restore(Identity(), faces[0]), faces[0], atol=1e-6)
    np.testing.assert_allclose(classical.restore(Grayscale(), faces[0]), faces[0], atol=1e-6)
    with pytest.raises(TypeError, match="Compose"):
        classical.restore(Compose((Identity(),)), faces[0])


def test_a_deconvolution_leaves_no_seam_at_the_border():
    blur = GaussianBlur(jnp.float32(1.5), 9)
    flat = np.full((32, 32, 3), 0.25, np.float32)
    np.testing.assert_allclose(classical.restore(blur, flat), flat, atol=0.01)


def test_what_is_observed_is_stored_in_eight_bits(faces):
    degradations = jax.tree.map(lambda *x: jnp.stack(x), *[GaussianBlur.for_resolution(64)] * 2)
    levels = (np.asarray(observation.observe(degradations, jnp.asarray(faces[:2]))) + 1) * 127.5
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)


def test_sets_of_faces(tiny, crops, tmp_path):
    np.savez(tmp_path / "some.npz", images=np.repeat(crops[:3, :16, :16], 2, axis=1).repeat(2, axis=2))
    chosen = face_sets.load(str(tmp_path / "some.npz"), tiny, count=None)
    assert chosen.names == ("some-0", "some-1", "some-2")
    np.testing.assert_array_equal(images.to_uint8(chosen.faces), crops[:3, :16, :16])  # means of equal pixels
    with pytest.raises(UserError, match=r"--count is 9; .*some.npz holds 3 images"):
        face_sets.load(str(tmp_path / "some.npz"), tiny, count=9)
    images.write_png(tmp_path / "one.png", np.zeros((128, 128, 3), np.uint8))
    assert face_sets.load(str(tmp_path), tiny, count=1, already_aligned=True).names == ("one",)
    (tmp_path / "bad.npz").write_text("no archive")
    with pytest.raises(UserError, match=r"bad.npz is no .npz with an array"):
        face_sets.load(str(tmp_path / "bad.npz"), tiny, count=None)


def test_samples_are_pictures_of_the_network_in_eight_bits(tiny):
    samples = face_sets.load("samples:3", tiny, count=None)
    assert samples.names == ("sample-0", "sample-1", "sample-2")
    first = face_sets.load("samples:3", tiny, count=1).faces
    np.testing.assert_array_equal(samples.faces[:1], first)
    w = latents.mapped_samples(tiny, samples=1, seed=face_sets.SEED)[0]
    w_avg = tiny.mapping.w_avg[...]
    ws = latents.broadcast(w_avg + face_sets.PSI * (w - w_avg), num_ws=tiny.config.num_ws)
    rendered = images.to_uint8(np.asarray(tiny.synthesis(ws)))
    np.testing.assert_allclose(images.to_uint8(first[0]).astype(int), rendered, atol=1)  # rounded on either side
    for wrong in ("samples:0", "samples:many"):
        with pytest.raises(UserError, match="expected samples:N"):
            face_sets.load(wrong, tiny, count=None)
