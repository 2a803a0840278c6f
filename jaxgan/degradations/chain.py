"""Several degradations, one after the other."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from jaxgan.degradations.noise import ShotNoise
from jaxgan.degradations.protocol import Degradation, pytree, sample
from jaxgan.lpips import IMAGE_SHIFT


@pytree
@dataclasses.dataclass(frozen=True)
class Compose:
    """Applies several degradations, first to last.

    A hole stays missing whatever comes after it: where a later part carries a hole's content (a blur does, over its
    border), that is hidden, too. A hole in a photograph stays sharp if the `Mask` comes last.

    Attributes:
      parts: the degradations.
    """

    parts: tuple[Degradation, ...]

    def __call__(self, image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        for part in self.parts:
            image = part(image)
        return image

    def sample(self, key: PRNGKeyArray) -> Compose:
        """Another draw of the parts that draw."""
        keys = jax.random.split(key, max(1, len(self.parts)))
        return Compose(tuple(sample(part, key) for part, key in zip(self.parts, keys[: len(self.parts)], strict=True)))

    def hide_missing(self, observed: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        blank = jnp.zeros_like(observed)
        holes = None  # not zero where a hole's content has come to
        for part in self.parts:
            if holes is not None:
                holes = jnp.abs(part(holes) - part(blank))
            if (hidden := part.hide_missing(blank)) is not blank:
                holes = jnp.abs(hidden) + (0.0 if holes is None else holes)
        if holes is None:
            return observed
        return jnp.where(jnp.any(holes > 0, -1, keepdims=True), IMAGE_SHIFT[None, None, :], observed)


def parts_of(degradation: Degradation) -> tuple[Degradation, ...]:
    """The parts of a `Compose`, first to last; of anything else that itself."""
    if isinstance(degradation, Compose):
        return tuple(inner for part in degradation.parts for inner in parts_of(part))
    return (degradation,)


def without_draws(degradation: Degradation) -> Degradation:
    """What is assumed where nothing is drawn: the mean of each part that draws."""
    match degradation:
        case Compose():
            return Compose(tuple(without_draws(part) for part in degradation.parts))
        case ShotNoise():
            return degradation.mean
    return degradation
