"""From a photograph on disk to the square face crops a generator expects."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments import validation
from experiments.options import Damage, FaceChoice
from experiments.restore import degrade
from experiments.restore.faces import choose, quad_of, warn_if_cut
from experiments.restore.jobs import Job
from jaxgan import images
from jaxgan.degradations import JPEG
from jaxgan.errors import UserError
from jaxgan.generator_config import GeneratorConfig
from jaxgan.photos import alignment, jpeg_files, noise, paste, photo_files
from jaxgan.photos.alignment import AlignmentQuad, Placement
from jaxgan.photos.mask_files import read_mask

MISSING_FROM = 0.1
"""Share of a crop's pixel that a hole in the photograph covers for the pixel to count as missing."""


class Crop(NamedTuple):
    """A face of a photograph, as the generator sees it."""

    index: int
    pixels: np.ndarray  # uint8 [resolution, resolution, 3]
    mask: np.ndarray | None  # float32 [resolution, resolution], 1 where observed; None unless inpainting
    placement: Placement
    noise: float | None = None  # estimated standard deviation in 8-bit levels; None where it is not needed
    factor: int = 1  # how many times fewer pixels the photograph has of the face, which repeats them
    compression: JPEG | None = None  # of the file, where the crop has the file's own pixels
    photons: float | None = None  # estimated, of white in a pixel of the crop; None where it is not needed


def load(job: Job, generator: GeneratorConfig, *, say: Callable[[str], None]) -> list[Crop]:
    """Reads a photograph and cuts out the faces asked for.

    Where a mask is for the whole photograph, it hides what may be anything, so the hole is filled smoothly before faces
    are looked for: scratches disturb the detector, and would bleed into the pixels beside them as the crop is reduced.

    Args:
      job: the photograph.
      generator: its resolution and alignment scale are used.
      say: called with a line for the user.
    Returns:
      One or more faces; none only if the mask leaves all of them whole and the photograph is to be pasted together.
    Raises:
      UserError: no such face, or a picture or a mask that cannot be used.
    """
    file = photo_files.read(job.path)
    for hint in file.hints:
        say(f"{job.path}: {hint}.")
    photo = photo_files.to_8_bits(file)
    del file  # a photograph of 16 bits takes twice the memory
    hole = photograph_hole(job.damage, photo.shape, generator.resolution)
    if hole is not None:
        photo = paste.fill_holes(photo, hole, [], tone=None)
    is_noisy = "denoise" in job.damage.tasks and job.damage.already_degraded
    dropped = (photo == 0).all(axis=-1) if is_noisy else np.zeros(photo.shape[:2], bool)
    if dropped.any() and not dropped.all():
        photo = paste.fill_holes(photo, dropped, [], tone=None)
    crops = cut(
        photo,
        job.path,
        job.faces,
        generator,
        already_aligned=job.already_aligned,
        crop=job.crop,
        is_small="upsample" in job.damage.tasks and job.damage.already_degraded and "factor" not in job.damage.blind,
        say=say,
    )
    if "dejpeg" in job.damage.tasks and job.damage.already_degraded:
        compression = jpeg_files.read_compression(job.path)
        own_pixels = [np.array_equal(crop.placement.to_photo, np.eye(2, 3)) for crop in crops]
        if "quality" in job.damage.blind:
            if not all(own_pixels):
                raise UserError(
                    f"{job.path}: --blind quality needs the pixels that were compressed, and a face that is cut "
                    f"out has others; expected --already-aligned and {generator.resolution} by as many pixels."
                )
            compression = JPEG.of_quality(50)  # to be estimated: a file may hold what another one had lost before
        crops = [
            crop._replace(compression=compression) if has else crop for crop, has in zip(crops, own_pixels, strict=True)
        ]
    if is_noisy:
        crops = [_with_photons(photo, dropped, crop, job, say) for crop in crops]
    if "colorize" in job.damage.tasks and job.damage.already_degraded:
        crops = [crop._replace(pixels=_gray(crop.pixels)) for crop in crops]  # a gray photo may be toned
    if "deblur" in job.damage.tasks and job.damage.already_degraded and job.completion.noise is None:
        crops = [_with_noise(photo, crop, job.path, say) for crop in crops]
    if "inpaint" not in job.damage.tasks:
        return crops
    if hole is None:
        return [crop._replace(mask=degrade.crop_mask(job.damage, generator.resolution)) for crop in crops]
    crops = [crop._replace(mask=_crop_mask(job.path, hole, crop)) for crop in crops]
    return _damaged_ones(job, crops, say) if job.damage.tasks == {"inpaint"} else crops


def cut(
    photo: np.ndarray,
    path: Path,
    faces: FaceChoice,
    generator: GeneratorConfig,
    *,
    already_aligned: bool,
    crop: str | None = None,
    is_small: bool = False,
    say: Callable[[str], None],
) -> list[Crop]:
    """Cuts faces out of a photograph.

    Args:
      photo: uint8 `[H, W, 3]`.
      path: its file, for messages.
      faces: which ones.
      generator: its resolution and alignment scale are used.
      already_aligned: the photograph is a square face crop as a whole.
      crop: a square instead of faces, see `validation.crop_box`.
      is_small: the photograph has fewer pixels of a face than the generator makes: the crop has as few, and repeats
        them.
      say: called with a line for the user.
    Raises:
      UserError: no such face, the crop is not square, or a face is not small.
    """
    resolution = generator.resolution
    if already_aligned:
        return [_whole_photo(path, photo, resolution, is_small)]
    if crop is not None:
        quad = alignment.quad_from_box(*validation.crop_box(crop))
        return [_crop(f"{path}: crop {crop}", photo, 0, quad, resolution, is_small, say)]
    chosen = [(face.index, quad_of(face, path, generator.alignment_scale)) for face in choose(photo, path, faces, say)]
    return [_crop(f"{path}: face {index}", photo, index, quad, resolution, is_small, say) for index, quad in chosen]


def factor_of(label: str, side: float, resolution: int) -> int:
    """How many times fewer pixels a photograph has of a face, as the next power of two.

    Args:
      label: names the face.
      side: of the face's square, in pixels of the photograph.
      resolution: of the generator.
    Raises:
      UserError: it has as many, or too few.
    """
    if side >= resolution:
        raise UserError(
            f"{label} is {side:.0f} pixels wide, and the network makes {resolution}: there is nothing to enlarge. "
            "If it is blurred, --task deblur is for it."
        )
    factor = 2 ** math.ceil(math.log2(resolution / side))
    if factor > resolution // 8:
        raise UserError(f"{label} is {side:.1f} pixels wide; expected 8 or more.")
    return factor


def _damaged_ones(job: Job, crops: list[Crop], say: Callable[[str], None]) -> list[Crop]:
    """The faces of which a mask hides something."""
    whole = [crop for crop in crops if crop.mask.all()]
    for crop in whole:
        say(f"{job.path}: face {crop.index}: the mask hides nothing of it, so there is nothing to restore.")
    if len(whole) == len(crops):
        if job.paste_format is None:
            raise UserError(
                f"{job.path}: the mask {job.damage.mask} hides nothing of the face; expected black pixels where it is "
                "to be filled in. --paste-back fills what is hidden elsewhere; a hidden face needs --eyes or "
                "--landmarks."
            )
        say(f"{job.path}: only what lies beside is filled; a hidden face, too damaged to be found, needs --eyes.")
    return [crop for crop in crops if not crop.mask.all()]


def photograph_hole(damage: Damage, photo_shape: tuple[int, ...], resolution: int) -> np.ndarray | None:
    """What a mask hides of the whole photograph: bool `[H, W]`; None if there is no mask, or it is one of the crop.

    Raises:
      UserError: the mask is of neither size.
    """
    if damage.mask is None:
        return None
    mask = read_mask(damage.mask, invert=damage.mask_inversion)
    height, width = photo_shape[:2]
    if mask.shape == (height, width):
        return mask < 0.5
    if mask.shape == (resolution, resolution):
        return None
    raise UserError(
        f"{damage.mask} is {mask.shape[1]}x{mask.shape[0]}; expected {resolution}x{resolution}, the size of the "
        f"aligned image (truth.png of a run shows what the mask is laid over), or {width}x{height}, that of the photo."
    )


def _whole_photo(path: Path, photo: np.ndarray, resolution: int, is_small: bool) -> Crop:
    height, width = photo.shape[:2]
    if height != width:
        raise UserError(
            f"{path} is {width}x{height}; --already-aligned expects a square face crop. "
            "Crop it, or leave the flag out to have the face found and aligned."
        )
    to_photo = np.array([[width / resolution, 0, 0], [0, height / resolution, 0]])
    factor = factor_of(str(path), width, resolution) if is_small else 1
    pixels = _repeated(images.resize(photo, resolution // factor), factor)
    return Crop(0, pixels, None, Placement(to_photo, resolution), factor=factor)


def _repeated(pixels: np.ndarray, factor: int) -> np.ndarray:
    return pixels.repeat(factor, 0).repeat(factor, 1)


def _crop(
    label: str,
    photo: np.ndarray,
    index: int,
    quad: AlignmentQuad,
    resolution: int,
    is_small: bool,
    say: Callable[[str], None],
) -> Crop:
    size = (photo.shape[1], photo.shape[0])
    warn_if_cut(quad, photo, label, say)
    try:
        plan = alignment.plan_alignment(quad, size, resolution)
    except ValueError as error:
        raise UserError(f"{label}: {error}") from None
    placement = alignment.placement(plan, size, resolution)
    if not is_small:
        return Crop(index, alignment.cut(photo, quad, resolution), None, placement)
    factor = factor_of(label, resolution * placement.pixels_per_pixel, resolution)
    small = resolution // factor
    say(f"{label}: {resolution * placement.pixels_per_pixel:.0f} pixels wide; it is enlarged {factor} times.")
    plan = alignment.plan_alignment(quad, size, small)
    to_photo = alignment.placement(plan, size, small).to_photo / [factor, factor, 1]
    pixels = _repeated(alignment.cut(photo, quad, small), factor)
    return Crop(index, pixels, None, Placement(to_photo, resolution), factor=factor)


def _with_photons(photo: np.ndarray, dropped: np.ndarray, crop: Crop, job: Job, say: Callable[[str], None]) -> Crop:
    """Blackens the pixels that were dropped, and estimates the photons of the others from their noise."""
    missing = alignment.missing_share(dropped, crop.placement) > 0.5
    photons = None
    if job.damage.photons is None and "photons" not in job.damage.blind:
        try:
            photons = noise.estimate_photons(photo, dropped, crop.placement)
        except ValueError as error:
            raise UserError(f"{job.path}: face {crop.index}: {error}.") from None
        say(
            f"{job.path}: face {crop.index}: its noise is that of {photons:.0f} photons in a white pixel of the crop; "
            "--photons states another number, of a pixel of the photograph."
        )
    return crop._replace(pixels=np.where(missing[..., None], np.uint8(0), crop.pixels), photons=photons)


def _with_noise(photo: np.ndarray, crop: Crop, path: Path, say: Callable[[str], None]) -> Crop:
    estimate = noise.estimate_noise(photo, crop.placement)
    say(
        f"{path}: face {crop.index}: its noise is estimated at {estimate:.2f} levels of 255 at the size of "
        f"{len(crop.pixels)} pixels; --noise states another."
    )
    return crop._replace(noise=estimate)


def _crop_mask(path: Path, hole: np.ndarray, crop: Crop) -> np.ndarray:
    mask = (alignment.missing_share(hole, crop.placement) < MISSING_FROM).astype(np.float32)
    if not mask.any():
        raise UserError(f"{path}: the mask hides all of face {crop.index}; leave something of it to be observed.")
    return mask


def _gray(image: np.ndarray) -> np.ndarray:
    return np.repeat(np.rint(image.mean(axis=-1, keepdims=True)).astype(np.uint8), 3, axis=-1)
