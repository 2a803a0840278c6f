"""The tasks' default damages, and the levels of the paper."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxgan import InversionConfig, tasks
from jaxgan.degradations import JPEG, Denoising, GaussianBlur, Grayscale, Identity, Mask, Pooling
from jaxgan.degradations.jpeg import tables


def test_default_degradations():
    kinds = {"invert": Identity, "inpaint": Mask, "deblur": GaussianBlur, "colorize": Grayscale}
    for task, kind in kinds.items():
        assert type(tasks.default_degradation(task, 64)) is kind
    blur = tasks.default_degradation("deblur", 1024)
    assert (float(blur.sigma), blur.kernel_size) == (10, 51)
    masks = [tasks.default_degradation("inpaint", 64, seed=seed).mask for seed in (0, 0, 1)]
    assert jnp.array_equal(masks[0], masks[1]) and not jnp.array_equal(masks[0], masks[2])


def test_defaults_of_the_other_tasks_are_level_m():
    pooling = tasks.default_degradation("upsample", 128)
    assert isinstance(pooling, Pooling) and int(pooling.factor) == 8
    jpeg = tasks.default_degradation("dejpeg", 128)
    assert isinstance(jpeg, JPEG)
    np.testing.assert_array_equal(jpeg.luminance, tables(12)[0])
    noisy = tasks.default_degradation("denoise", 16, observed=jnp.full((16, 16, 3), -1.0))
    assert isinstance(noisy, Denoising) and float(noisy.photons) == 24 and not noisy.mask.any()
    with pytest.raises(ValueError, match="needs `observed`"):
        tasks.default_degradation("denoise", 16)


def test_a_factor_leaves_eight_pixels():
    assert [tasks.factor_at(128, level.factor) for level in tasks.LEVELS.values()] == [2, 4, 8, 16, 16]
    assert [tasks.factor_at(size) for size in (1024, 64, 32, 8, 4)] == [8, 8, 4, 1, 1]


def test_every_task_has_its_settings():
    for task in ("invert", *tasks.ORDER):
        assert InversionConfig.for_task(task).steps == 150
    assert InversionConfig.for_task() == InversionConfig.for_task("invert")
