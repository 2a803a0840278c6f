"""A random LPIPS of 8 channels, for tests of what surrounds it.

The trained one, of 512, is most of the time that steps and comparisons of 16x16 pixels take.
"""

import contextlib

import pytest
from flax import nnx

import jaxgan
from jaxgan import lpips, vgg


@contextlib.contextmanager
def narrow_vgg():
    """Every VGG16 that is made or loaded in the block has 8 channels in all layers."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vgg, "STAGES", tuple((8, depth) for _, depth in vgg.STAGES))
        patch.setattr(lpips, "TAPS", dict.fromkeys(lpips.TAPS, 8))
        yield patch


def narrow_lpips() -> jaxgan.LPIPS:
    with narrow_vgg():
        return jaxgan.LPIPS(rngs=nnx.Rngs(0))
