"""The restoration of a face: all that was observed, completed by the image that an inversion found."""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

import jaxgan
from experiments.restore import degrade
from experiments.restore.face_run import Work
from experiments.runs.report import Restoration
from jaxgan import linear_inverse, restoration
from jaxgan.degradations import Compose, Degradation, GaussianBlur, Identity, Mask, MotionBlur, parts_of


def complete(work: Work, reconstruction: jax.Array, network: str) -> Restoration | None:
    """Completes what was observed of a face.

    Args:
      work: the face.
      reconstruction: what its inversion found, `[H, W, 3]`.
      network: digest of the generator's source, by which the spectrum of its errors is found, if it has one.
    Returns:
      None where nothing was missing.
    """
    if isinstance(work.assumed, Identity):
        return None
    noise = restoration.default_noise(work.assumed, work.fidelity) if work.noise is None else work.noise / 255
    assumed = work.assumed if work.truth is not None else _without_border(work.assumed, work.observed.shape[0])
    spectrum = linear_inverse.default_spectrum(assumed, reconstruction.shape, network=network, method=work.method)
    made = jnp.clip(reconstruction, -1, 1)  # one that diverged is no mistake of the caller
    if work.blur_doubt:
        noise = math.hypot(noise, _noise_of_doubt(work.assumed, made, work.blur_doubt))
    restored = jaxgan.restore(work.observed, assumed, made, spectrum=spectrum, noise=noise, fidelity=work.fidelity)
    image = jnp.asarray(restored)
    inverse = restoration.inverse_name(work.assumed, image.shape, fidelity=work.fidelity)
    return Restoration(image, degrade.apply(work.assumed, image), inverse, 255 * noise)


def _noise_of_doubt(degradation: Degradation, image: jax.Array, doubt: float) -> float:
    """The standard deviation, in units of the range [0, 1], of what another width of the blur would change.

    Trusted to the last digit, a blur that is a little wrong makes rings around every edge.
    """
    changes = []
    for part in parts_of(degradation):
        match part:
            case GaussianBlur():
                other = dataclasses.replace(part, sigma=(1 + doubt) * part.sigma)
            case MotionBlur():
                other = dataclasses.replace(part, length=(1 + doubt) * part.length)
            case _:
                continue
        change = degrade.apply(other, image) - degrade.apply(part, image)
        changes.append(float(jnp.mean(change**2)))
    return math.sqrt(sum(changes)) / 2


def _without_border(degradation: Degradation, size: int) -> Degradation:
    """Counts the border of a blurred crop as missing, as far as a blur reaches, up to a quarter of the crop.

    What happened to a photograph itself mixed the border with what lies beyond the crop, where the degradation assumes
    a mirror: taken at its word, the border would be explained by stripes.
    """
    reach = min(max(map(_radius, parts_of(degradation)), default=0), size // 4)
    if reach == 0:
        return degradation
    inside = np.zeros((size, size), np.float32)
    inside[reach:-reach, reach:-reach] = 1
    return Compose((*parts_of(degradation), Mask(inside)))


def _radius(degradation: Degradation) -> int:
    match degradation:
        case GaussianBlur():
            return min(degradation.kernel_size // 2, math.ceil(3 * float(degradation.sigma)))
        case MotionBlur():
            return math.ceil(float(degradation.length) / 2 + 1.5)
    return 0
