"""The restoration of a face by the command."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from experiments.restore import completion
from jaxgan import GaussianBlur, Identity, images


def test_where_nothing_was_missing_there_is_no_restoration():
    assert completion.complete(SimpleNamespace(assumed=Identity()), jnp.zeros((16, 16, 3)), "") is None


def test_the_border_of_a_blurred_photograph_is_not_taken_for_a_mirror():
    """A crop of a blurred picture, which was blurred with what lies beside it, too."""
    noise = np.random.default_rng(0).uniform(-1, 1, (64, 64, 3))
    whole = ndimage.gaussian_filter(noise, (2, 2, 0))
    whole = np.clip(0.9 * whole / np.abs(whole).max(), -1, 1)
    blurred = ndimage.gaussian_filter(whole, 1.5, radius=5, axes=(0, 1))
    crop = np.s_[16:48, 16:48]
    truth, observed = (np.float32(picture[crop]) for picture in (whole, blurred))
    observed = jnp.asarray(images.to_float(images.to_uint8(observed)))
    work = {
        "observed": observed,
        "assumed": GaussianBlur(jnp.float32(1.5), 11),
        "noise": None,
        "blur_doubt": 0.0,
        "fidelity": 0.0,
        "method": "default",
    }
    errors = {}
    for name, known in (("photograph", None), ("made", truth)):
        result = completion.complete(SimpleNamespace(**work, truth=known), observed, "")
        assert result.inverse == "conditional mean" and abs(result.noise - (1 / 12 + 0.75**2) ** 0.5) < 1e-6
        errors[name] = float(np.sqrt(np.mean((np.asarray(result.image) - truth) ** 2)))
    assert errors["photograph"] < 0.6 * errors["made"], errors


def test_a_blur_that_is_known_roughly_makes_no_rings():
    """The true sigma is a tenth smaller than the one that is assumed: the restoration overshoots at every edge."""
    blocks = np.kron(np.random.default_rng(0).uniform(-0.8, 0.8, (8, 8, 3)), np.ones((8, 8, 1)))
    truth = jnp.asarray(blocks, jnp.float32)
    observed = jnp.asarray(images.to_float(images.to_uint8(np.asarray(GaussianBlur(jnp.float32(1.8), 21)(truth)))))
    work = {"observed": observed, "assumed": GaussianBlur(jnp.float32(2.0), 21), "noise": 12**-0.5, "truth": truth}
    errors, noises = {}, {}
    for doubt in (0.0, 0.05):
        face = SimpleNamespace(**work, blur_doubt=doubt, fidelity=0.0, method="default")
        result = completion.complete(face, GaussianBlur(jnp.float32(1.0), 9)(truth), "")
        errors[doubt], noises[doubt] = (float(jnp.sqrt(jnp.mean((result.image - truth) ** 2))), result.noise)
    assert noises[0.05] > 2 * noises[0.0]
    assert errors[0.05] < 0.9 * errors[0.0], errors
