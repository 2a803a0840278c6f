"""Find the network's image that comes nearest to a picture, which is an array of any size.

`python -m experiments.align me.jpg --output aligned` cuts the face of a photograph out as the network expects it, and
`numpy.asarray(PIL.Image.open("aligned/face-0.png"))` is such an array.
"""

import dataclasses

import jax
import numpy as np

import jaxgan


def invert_an_array(picture: np.ndarray, *, model: str = "demo", steps: int = 150) -> jaxgan.InversionResult:
    """The picture is uint8 `[height, width, 3]`, a face in the alignment that the network was trained on."""
    generator, lpips = jaxgan.load_generator(model), jaxgan.load_lpips()
    observed = jaxgan.images.to_float(jaxgan.images.resize(picture, generator.config.resolution))  # in [-1, 1]
    config = dataclasses.replace(jaxgan.InversionConfig.for_task("invert"), steps=steps)
    result = jaxgan.invert(generator, lpips, observed, jaxgan.Identity(), config, jax.random.key(0))
    jaxgan.images.write_png("nearest.png", result.image)
    np.savez("latents.npz", ws=result.ws, **{f"noise{i}": map_ for i, map_ in enumerate(result.noise)})
    print(jaxgan.metrics.compare(lpips, result.image, observed))
    return result
