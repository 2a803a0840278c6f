"""Forward operators: how an observed photograph came out of the true image. Each maps one image to one image.

They are small pytrees whose parameters (mask, sigma) are leaves, so one batch may hold different ones:
`jax.vmap(lambda degradation, image: degradation(image))(degradations, images)`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import Any, Protocol, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from jaxgan.lpips import IMAGE_SHIFT

T = TypeVar("T")


@runtime_checkable
class Degradation(Protocol):
    """A differentiable map from an image `[H, W, 3]` in [-1, 1] to what is observed of it; make yours a `pytree`."""

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


def observe(degradation: Degradation, image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
    """Degrades an image and hides what is missing of it: what LPIPS compares and what people are shown."""
    return degradation.hide_missing(degradation(image))


def parts_of(degradation: Degradation) -> tuple[Degradation, ...]:
    """The parts of a `Compose`, first to last; of anything else that itself."""
    if isinstance(degradation, Compose):
        return tuple(inner for part in degradation.parts for inner in parts_of(part))
    return (degradation,)


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


class _CompleteObservation:
    """What is shared by degradations that leave something to be seen of every pixel."""

    def hide_missing(self, observed: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        return observed


@pytree
@dataclasses.dataclass(frozen=True)
class Identity(_CompleteObservation):
    """Observes the image as it is (task `invert`)."""

    def __call__(self, image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        return image


@pytree
@dataclasses.dataclass(frozen=True)
class Mask:
    """Observes the pixels where the mask is 1, and zero (mid-grey) elsewhere (task `inpaint`).

    Attributes:
      mask: `[H, W]`, 1 where the pixel is observed, 0 where it is missing.
    """

    mask: Any  # as a leaf of a pytree it may be batched or abstract

    def __call__(self, image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        return jnp.where(self.mask[:, :, None] > 0.5, image, 0.0)

    def hide_missing(self, observed: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        return jnp.where(self.mask[:, :, None] > 0.5, observed, IMAGE_SHIFT[None, None, :])


@pytree
@dataclasses.dataclass(frozen=True)
class Grayscale(_CompleteObservation):
    """Observes the mean of R, G and B, repeated on three channels (task `colorize`)."""

    def __call__(self, image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        return jnp.broadcast_to(jnp.mean(image, -1, keepdims=True), image.shape)


@pytree
@dataclasses.dataclass(frozen=True)
class GaussianBlur(_CompleteObservation):
    """Convolves with a sampled, normalised Gaussian; the border is mirrored without repeating its pixels.

    Attributes:
      sigma: standard deviation in pixels, positive, `[]`.
      kernel_size: taps along each axis, odd; beyond it the Gaussian is cut off.
    """

    sigma: Any
    kernel_size: int = dataclasses.field(metadata={"static": True})

    def __call__(self, image: Float[Array, "h w 3"]) -> Float[Array, "h w 3"]:
        rows, columns = (self._matrix(size) for size in image.shape[:2])
        return jnp.einsum("yh,xw,hwc->yxc", rows, columns, image, precision="highest")

    @classmethod
    def for_resolution(cls, resolution: int) -> GaussianBlur:
        """51 taps of sigma 10 at 1024 pixels, in proportion at other sizes (3 taps of sigma 0.625 at 64)."""
        kernel_size = max(3, 2 * round(51 * resolution / 1024 / 2 - 0.5) + 1)
        return cls(jnp.float32(10 * resolution / 1024), kernel_size)

    def _matrix(self, size: int) -> Float[Array, "size size"]:
        """The blur along one axis, mirrored borders included, as a banded matrix: cheap, and the same under vmap."""
        radius = self.kernel_size // 2
        if self.kernel_size % 2 == 0 or radius >= size:
            raise ValueError(
                f"kernel_size is {self.kernel_size}; expected an odd number below {2 * size} for {size} pixels."
            )

        def tap(offset: Int[Array, "*shape"]) -> Float[Array, "*shape"]:
            inside = jnp.abs(offset) <= radius
            return jnp.where(inside, jnp.exp(-0.5 * (jnp.where(inside, offset, 0) / self.sigma) ** 2), 0.0)

        to, from_ = jnp.arange(size)[:, None], jnp.arange(size)[None, :]
        mirrored = jnp.where(from_ > 0, tap(-from_ - to), 0.0)  # seen again beyond the first pixel,
        mirrored += jnp.where(from_ < size - 1, tap(2 * (size - 1) - from_ - to), 0.0)  # and beyond the last one
        return (tap(from_ - to) + mirrored) / jnp.sum(tap(jnp.arange(-radius, radius + 1)))


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
