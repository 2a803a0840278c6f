"""What the starts of a face leave to look at: where their results differ, which differ most, and by how much."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from experiments.restore.crops import Crop
from experiments.runs import pictures, report, spread_picture
from jaxgan import files, images, uncertainty
from jaxgan.photos import paste, photo_files

SIDE = 384
"""Smallest side of a face in uncertainty.png; smaller ones are enlarged."""
SHOWN = 5
"""Samples in the strip, the best among them."""


def write(
    folder: Path, distances: dict[str, float], *, mask: np.ndarray | None, say: Callable[[str], None]
) -> dict[str, Any]:
    """Compares the results of all starts of a face.

    Writes uncertainty.png for people, uncertainty.npz for programs (`spread` and `mean`, in levels of 8 bits), and
    samples.png.

    Args:
      folder: of the face; those of the starts are inside.
      distances: of each start, by the name of its folder: LPIPS of its degraded reconstruction to the observation.
      mask: 1 where the face is observed as it is; None where no pixel is.
      say: called with a line for the user.
    Returns:
      Numbers for config.json.
    """
    names, losses = list(distances), list(distances.values())
    chosen, near = uncertainty.choose_samples(losses), uncertainty.count_near(losses)
    samples = np.stack([_result(folder / names[index]) for index in chosen])
    found = uncertainty.measure_spread(samples.astype(np.float64))
    mean = np.rint(found.mean).astype(np.uint8)
    _write_npz(folder / "uncertainty.npz", spread=found.spread.astype(np.float32), mean=mean)
    best, spread = pictures.enlarged(samples[0], SIDE), pictures.enlarged(found.spread, SIDE)
    tiles = [("the best result", best), ("where the results differ", spread_picture.coloured(best, spread))]
    images.write_png(folder / "uncertainty.png", _above_legend(pictures.sheet(tiles, columns=2, bar=22), spread))
    different = uncertainty.most_different(samples.astype(np.float64), count=SHOWN)
    strip = [("observed", photo_files.read_photo(folder / names[chosen[0]] / "observed.png"))]
    for place, index in enumerate(different):
        strip.append((f"{'' if place else 'best: '}{names[chosen[index]].replace('-', ' ')}", samples[index]))
    images.write_png(folder / "samples.png", report.panel([*strip, (f"mean of {len(chosen)}", mean)]))
    unobserved = np.ones(found.spread.shape, bool) if mask is None else mask <= 0.5
    mean_spread = float(found.spread[unobserved].mean())
    compared = "they are compared" if near == len(chosen) else f"as these are few, the best {len(chosen)} are compared"
    where = "on average" if mask is None else "where nothing was observed"
    say(
        f"{folder}/uncertainty.png: {near} of {len(names)} starts explain the observation within 10 % of the best one; "
        f"{compared}. They differ by {mean_spread:.1f} of 255 levels {where}; samples.png shows the most different."
    )
    return {
        "starts": len(names),
        "samples": [names[index] for index in chosen],
        "share_within_10_percent": near / len(names),
        "mean_spread": mean_spread,
        "largest_spread": float(found.spread.max()),
        "unobserved_share": float(unobserved.mean()),
        "most_different": [names[chosen[index]] for index in different],
        "distances": distances,
    }


def write_photograph(
    path: Path,
    restored: np.ndarray,
    faces: Sequence[tuple[Crop, Path]],
    hole: np.ndarray | None,
    *,
    only_hole: bool,
) -> None:
    """Lays the maps of all faces into the photograph: a picture, and an .npz beside it with `spread`.

    Args:
      path: of the picture.
      restored: the photograph with the faces in it, uint8 `[H, W, 3]`.
      faces: crops and folders; each folder holds uncertainty.npz.
      hole: what was filled; None where whole faces were replaced. Beside the faces there are no samples of it: NaN.
      only_hole: everything else is observed.
    """
    maps = []
    for _, folder in faces:
        with np.load(folder / "uncertainty.npz") as file:
            maps.append(file["spread"])
    spread, share = paste.lay_maps(maps, [crop.placement for crop, _ in faces], restored.shape)
    if hole is not None:
        inside = np.divide(spread, share, out=np.full_like(spread, np.nan), where=share > 0)
        spread = np.where(hole, inside, 0 if only_hole else spread)
    _write_npz(path.with_suffix(".npz"), spread=spread)
    images.write_png(path, _above_legend(spread_picture.coloured(restored, spread), spread))


def _result(run: Path) -> np.ndarray:
    """The picture that a run was made for."""
    files_ = [run / f"{name}.png" for name in report.RESULTS]
    return photo_files.read_photo(next(file for file in files_ if file.exists()))


def _above_legend(picture: np.ndarray, spread: np.ndarray) -> np.ndarray:
    legend = spread_picture.legend(picture.shape[1], has_unknown=bool(np.isnan(spread).any()))
    return np.concatenate([picture, legend])


def _write_npz(path: Path, **arrays: np.ndarray) -> None:
    with files.replacing(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, **arrays)
