"""Whether a degradation of one's own can be optimised through, told before a long run, with what to do about it."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgan.degradations.protocol import Degradation

PICTURES = {"black": -1.0, "mid-grey": 0.0, "white": 1.0}
"""Plain pictures, at which roots, logarithms and quotients fail first."""


def check_degradation(degradation: Any, size: int = 16) -> None:
    """Refuses what is no degradation: a pytree that JAX can differentiate, and whose result is a finite image.

    Args:
      degradation: of one's own.
      size: side of the square images that it is tried on.
    Raises:
      TypeError: it is no pytree of numbers, lacks a method, or JAX cannot trace it.
      ValueError: its result has another shape, or a value or a derivative is not finite, or no derivative differs
        from zero.
    """
    name = type(degradation).__name__
    _check_methods(degradation, name)
    _check_leaves(degradation, name)
    random = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (size, size, 3)), jnp.float32)
    try:
        shaped = jax.eval_shape(_seen, degradation, random)
    except Exception as error:  # whatever the code of a user raises
        raise TypeError(
            f"{name} cannot be traced by JAX ({type(error).__name__}: {' '.join(str(error).split())[:200]}); compute "
            "with jax.numpy alone, and choose by jnp.where, not by `if` on values of the image."
        ) from error
    if (shaped.shape, shaped.dtype) != (random.shape, random.dtype):
        raise ValueError(
            f"{name} makes {shaped.dtype}{list(shaped.shape)} of an image float32{list(random.shape)}; expected the "
            "same. A smaller result is enlarged again, by jnp.repeat."
        )
    flat = {what: jnp.full_like(random, level) for what, level in PICTURES.items()}
    for what, image in {"random": random, **flat}.items():
        value, slope = _value_and_slope(degradation, image)
        for part, array in (("values", value), ("derivatives", slope)):
            if not np.isfinite(array).all():
                raise ValueError(
                    f"{name} of a {what} image has {part} that are not finite; keep roots, logarithms and quotients "
                    "away from 0, also in the branch of jnp.where that is not taken."
                )
        if what == "random" and not np.any(slope):
            raise ValueError(
                f"{name} has the derivative 0 everywhere, so that nothing can be learned from it; instead of "
                "jnp.round(x) return x + jax.lax.stop_gradient(jnp.round(x) - x)."
            )


def _check_methods(degradation: Any, name: str) -> None:
    if isinstance(degradation, type):
        raise TypeError(f"{degradation.__name__} is a class; expected an instance of it, {degradation.__name__}(...).")
    if not isinstance(degradation, Degradation):
        raise TypeError(
            f"{name} is no degradation; expected methods __call__(self, image) and hide_missing(self, observed), the "
            "latter being inherited from jaxgan.CompleteObservation where something is seen of every pixel."
        )


def _check_leaves(degradation: Any, name: str) -> None:
    leaves = jax.tree.leaves(degradation)
    if any(leaf is degradation for leaf in leaves):
        raise TypeError(
            f"{name} is no pytree; write @jaxgan.pytree and, below it, @dataclasses.dataclass(frozen=True) above it."
        )
    for leaf in leaves:
        try:
            jnp.asarray(leaf)
        except TypeError:
            raise TypeError(
                f"{name} holds {leaf!r}, which is no number or array; give that field "
                'dataclasses.field(metadata={"static": True}).'
            ) from None


def _seen(degradation: Degradation, image: jax.Array) -> jax.Array:
    return degradation.hide_missing(degradation(image))


@jax.jit
def _value_and_slope(degradation: Degradation, image: jax.Array) -> tuple[jax.Array, jax.Array]:
    value, transpose = jax.vjp(lambda x: _seen(degradation, x), image)
    return value, transpose(jnp.linspace(0.5, 1.5, value.size).reshape(value.shape))[0]
