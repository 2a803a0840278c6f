"""The restoration of a face: all that was observed, completed by the image that an inversion found."""

from __future__ import annotations

import jax
import jax.numpy as jnp

import jaxgan
from experiments.restore import degrade
from experiments.restore.face_run import Work
from experiments.runs.report import Restoration
from jaxgan import restoration
from jaxgan.degradations import Identity


def complete(work: Work, reconstruction: jax.Array) -> Restoration | None:
    """Completes what was observed of a face.

    Args:
      work: the face.
      reconstruction: what its inversion found, `[H, W, 3]`.
    Returns:
      None where nothing was missing.
    """
    if isinstance(work.assumed, Identity):
        return None
    noise = restoration.ROUNDING if work.noise is None else work.noise / 255
    image = jnp.asarray(
        jaxgan.restore(work.observed, work.assumed, reconstruction, noise=noise, fidelity=work.fidelity)
    )
    inverse = restoration.inverse_name(work.assumed, image.shape, fidelity=work.fidelity)
    return Restoration(image, degrade.apply(work.assumed, image), inverse, 255 * noise)
