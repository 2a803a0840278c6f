"""Try several weights of the prior and several rates on one picture, as one batch: the program is compiled once."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp

import jaxgan


def sweep(truth: jax.Array, *, model: str = "demo", steps: int = 150) -> dict[tuple[float, float], float]:
    """The LPIPS distance of the restoration to the truth for each (weight, rate).

    The truth is float32 `[size, size, 3]` in [-1, 1], of the network's size.
    """
    generator, lpips = jaxgan.load_generator(model), jaxgan.load_lpips()
    mask = jaxgan.default_degradation("inpaint", generator.config.resolution)
    observed = mask(truth)

    base = dataclasses.replace(jaxgan.InversionConfig.for_task("inpaint"), steps=steps)
    trials = list(itertools.product((0.3, 3.0), (0.05, 0.1)))
    configs = [dataclasses.replace(base, latent_dist_reg_weight=weight, learning_rate=rate) for weight, rate in trials]

    same, masks = jax.tree.map(lambda leaf: jnp.stack([leaf] * len(trials)), (observed, mask))
    keys = jnp.stack([jax.random.key(0)] * len(trials))  # the trials differ in nothing else
    results = jaxgan.invert_batch(generator, lpips, same, masks, configs, keys)

    restorations = [jaxgan.restore(observed, mask, result.image) for result in results]
    return {
        trial: jaxgan.metrics.compare(lpips, image, truth)["lpips"]
        for trial, image in zip(trials, restorations, strict=True)
    }
