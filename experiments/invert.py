"""Invert or restore a face photograph with a StyleGAN2 generator.

Finds the face, aligns it as the network's training images were, degrades it for the task, and searches the latent
and the noise maps whose image, degraded in the same way, is perceptually nearest. Without --image it takes the
portrait that ships with the project, without --model the embedded face network.

  python -m experiments.invert --task inpaint
  python -m experiments.invert --task deblur --image me.jpg --output restored
  python -m experiments.invert --task inpaint --image jaxgan/data/two_portraits.jpg \\
      --mask jaxgan/data/two_portraits_mask.png --already-degraded --face all --paste-back

The first takes about a minute and a half on two cores. It prints where it writes: restoration.png, which keeps all
that was observed, reconstruction.png, the generator's own image, truth.png, observed.png, panel.png, progress.gif,
loss.png, losses.csv, latents/ (Orbax, to resume), latents.npz, config.json. The last restores all faces of a scratched
photograph, each in a folder face-N, and writes the whole photograph with the repaired faces in it, restored.png.
"""

from __future__ import annotations

import contextlib
import dataclasses
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from experiments import cli
from experiments.options import InvertOptions

if TYPE_CHECKING:
    from experiments.restore.jobs import Job
    from experiments.restore.pipeline import Engine
    from experiments.runs.manifest import Manifest


def run(options: InvertOptions) -> list[Path]:
    """Runs the command; prints progress, writes the output folders and returns them.

    Raises:
      cli.Mistakes: the options are wrong.
      cli.Incomplete: some of several photographs failed, the others are done.
    """
    import jax

    from experiments import networks
    from experiments.restore import own
    from experiments.restore.jobs import collect
    from experiments.restore.pipeline import Engine
    from jaxgan.photos import photo_files

    devices = tuple(jax.local_devices())
    jobs, root, is_single = collect(options, default=photo_files.sample_photo_path(), device_count=len(devices))
    tasks = {task for job in jobs for task in job.damage.tasks}
    for text in {job.damage.degradation for job in jobs if job.damage.degradation is not None}:
        own.load(text)  # a mistake in it is told before anything is loaded
    label = options.networks.label
    generator, lpips = networks.load(options.networks.model, options.networks.lpips, tasks=tasks, label=label)
    if label is None and (classes := generator.config.c_dim):
        cli.say(f"{options.networks.model} knows {classes} classes and begins at their mean; --label N chooses one.")
    engine = Engine(generator, lpips, devices, options.machines.batch_size, label)
    if is_single:
        _restore_one(options, engine, jobs[0])
    else:
        _restore_many(options, engine, jobs, root)
    return [job.folder for job in jobs]


def _restore_one(options: InvertOptions, engine: Engine, job: Job) -> None:
    """Restores a photograph, which is read before a folder is made: mistakes show at once and leave nothing."""
    from experiments.restore import crops
    from experiments.restore.pipeline import restore_one

    faces = crops.load(job, engine.generator.config, say=cli.say)
    if len(faces) * len(job.starts) == 1:
        engine = engine._replace(devices=engine.devices[:1])
    with _explain_how_to_go_on(job.folder):
        restore_one(engine, job, faces, resume=options.output.resume, overwrite=options.output.overwrite)


def _restore_many(options: InvertOptions, engine: Engine, jobs: list[Job], root: Path) -> None:
    """Restores several photographs, and keeps a manifest and a contact sheet of them."""
    from experiments.restore.photograph import is_complete, make_room
    from experiments.runs import contact_sheet, manifest

    if not jobs:
        cli.say(f"shard {options.photographs.shard} has no photograph; there is nothing to do.")
        return
    make_room(jobs, resume=options.output.resume, overwrite=options.output.overwrite)
    name = manifest.name(options.photographs.shard)
    with manifest.opened(root / f"{name}.jsonl", _settings(options), resume=options.output.resume) as record:
        left = [job for job in jobs if not (record.is_finished(job.name) and is_complete(job))]
        if not left:
            cli.say(f"{root}: all {len(jobs)} photographs are finished already; there is nothing left to do.")
        elif len(left) < len(jobs):
            cli.say(f"{root}: {len(jobs) - len(left)} of {len(jobs)} photographs are finished already.")
        with _explain_how_to_go_on(root):
            failures = _on_machines(options, engine, left, record)
        sheet = root / f"{name.replace('manifest', 'contact_sheet')}.png"
        contact_sheet.write(sheet, [job.folder for job in jobs])
    if left:
        cli.say(f"{root}: {len(jobs)} photographs; {record.path.name} lists them, {sheet.name} shows them.")
    if failures:
        reasons = "".join(f"\n  {name}: {reason}" for name, reason in failures.items())
        raise cli.Incomplete(f"{len(failures)} of {len(jobs)} photographs failed:{reasons}")


def _on_machines(options: InvertOptions, engine: Engine, jobs: list[Job], record: Manifest) -> dict[str, str]:
    """Restores photographs on this machine or on a cluster; why some failed, by their names."""
    from experiments.restore import cluster
    from experiments.restore.pipeline import restore_many

    if options.machines.cluster is None:
        return restore_many(engine, jobs, record)
    return cluster.restore(options.machines.cluster, engine, jobs, record)


def _settings(options: InvertOptions) -> dict[str, object]:
    """The options that a manifest is for: the same command may go on with it, and no other."""
    return {
        "already_aligned": options.photographs.already_aligned,
        "crop": options.photographs.crop,
        "faces": dataclasses.asdict(options.faces),
        "damage": dataclasses.asdict(options.damage),
        "completion": dataclasses.asdict(options.completion),
        "approach": dataclasses.asdict(options.approach),
        "loop": dataclasses.asdict(options.loop),
        "seeds": options.seeds.all,
        "uncertainty": options.seeds.uncertainty,
        "init": options.seeds.init,
        "snapshot_every": options.output.snapshot_every,
        "networks": dataclasses.asdict(options.networks),
        "batch_size": options.machines.batch_size,
    }


@contextlib.contextmanager
def _explain_how_to_go_on(folder: Path) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"To go on with {folder}, repeat the command with --resume.") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    return cli.run_command(InvertOptions, run, argv, prog="python -m experiments.invert", manual=__doc__)


if __name__ == "__main__":
    sys.exit(main())
