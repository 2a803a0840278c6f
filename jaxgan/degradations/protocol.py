"""What makes a degradation: a protocol, and the decorator that registers one with JAX."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

T = TypeVar("T")


@runtime_checkable
class Degradation(Protocol):
    """A differentiable map from an image `[H, W, 3]` in [-1, 1] to what is observed of it; make yours a `pytree`.

    A degradation of one's own, of which something is seen of every pixel, takes ten lines:

        @jaxgan.pytree
        @dataclasses.dataclass(frozen=True)
        class Vignette(jaxgan.CompleteObservation):
            strength: float = 0.8

            def __call__(self, image):
                y, x = (jnp.linspace(-1, 1, size) for size in image.shape[:2])
                light = 1 - self.strength * (y[:, None] ** 2 + x[None, :] ** 2) / 2
                return (image + 1) * light[:, :, None] - 1

    Its fields may differ within a batch. One that is linear, but for a constant, is inverted, too (see
    `restoration.restore`); another may bring its inverse along (see `restoration.HasInverse`). `check_degradation`
    tells what is wrong with it.
    """

    def __call__(self, image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        """Degrades an image."""

    def hide_missing(self, observed: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        """Replaces, in an observed image, whatever stands where nothing was observed by `IMAGE_SHIFT`.

        LPIPS maps that colour (ImageNet's mean) to zero. The loss hides what is missing in the observed and in the
        synthesised image alike, right before the features. In a hole the two are therefore equal whatever is
        synthesised there, so no filling is favoured: a black (or any other) filling of the photograph never reaches
        the loss. And since VGG16 pads its input with that same zero, a hole looks to it like the border of the
        picture; a black hole would be a strong object with edges, whose features drown those of the pixels beside it.
        Where nothing is missing the argument itself is returned.
        """


@jax.jit
def degrade(degradation: Degradation, image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
    """Degrades an image, compiled for the kind of the degradation."""
    return degradation(image)


def observed_pixels(degradation: Degradation, shape: tuple[int, ...]) -> Bool[Array, "h w"] | None:
    """Tells which pixels of an image are observed, those that hiding leaves alone; None if all of them always are."""
    blank = jnp.zeros(shape)
    hidden = degradation.hide_missing(blank)
    return None if hidden is blank else ~jnp.any(hidden != 0, -1)


def observe(degradation: Degradation, image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
    """Degrades an image and hides what is missing of it: what LPIPS compares and what people are shown."""
    return degradation.hide_missing(degradation(image))


@runtime_checkable
class Draws(Protocol):
    """A degradation that draws random numbers."""

    def sample(self, key: PRNGKeyArray) -> Degradation:
        """The degradation with other random numbers, those of a key."""


def sample(degradation: Degradation, key: PRNGKeyArray) -> Degradation:
    """The degradation of a step: with fresh random numbers where it has a method `sample` for them, else itself."""
    return degradation.sample(key) if isinstance(degradation, Draws) else degradation


def pytree(cls: type[T]) -> type[T]:
    """Registers a frozen dataclass, whose fields are leaves but for those with `metadata={"static": True}`.

    Why not `jax.tree_util.register_dataclass`: to JAX 0.10.2 the structures of such classes are equal if they have as
    many leaves, so that a nested `jax.jit` runs the program of `Identity` for a `Grayscale`.
    """
    names: dict[bool, list[str]] = {True: [], False: []}
    for field in dataclasses.fields(cls):  # type: ignore[arg-type]  # typing has no name for a dataclass
        names[field.metadata.get("static", False)].append(field.name)

    def flatten(instance: T) -> tuple[list[Any], tuple[type[T], tuple[Any, ...]]]:
        leaves, static = ([getattr(instance, name) for name in names[is_static]] for is_static in (False, True))
        return leaves, (cls, tuple(static))

    def unflatten(structure: tuple[type[T], tuple[Any, ...]], leaves: Iterable[Any]) -> T:
        instance = object.__new__(cls)
        vars(instance).update(zip((*names[False], *names[True]), (*leaves, *structure[1]), strict=True))
        return instance

    jax.tree_util.register_pytree_node(cls, flatten, unflatten)
    return cls


class CompleteObservation:
    """Base of degradations that leave something to be seen of every pixel."""

    def hide_missing(self, observed: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        return observed
