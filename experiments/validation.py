"""All that can be wrong with options, told at once and before any work; an option without effect is wrong, too."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from experiments.options import Approach, Completion, Damage, FaceChoice, InvertOptions, Machines, Output, Seeds


def validate(options: InvertOptions, *, photograph_count: int = 1, device_count: int = 1) -> list[str]:
    """Everything that is wrong with the options of `experiments.invert`, a sentence each.

    Args:
      options: what was asked for.
      photograph_count: how many photographs there are.
      device_count: how many devices share a batch.
    """
    return [
        *_of_damage(options.damage),
        *_of_completion(options.completion, options.damage),
        *of_faces(options.faces, photograph_count=photograph_count),
        *_of_photographs(options),
        *_of_approach(options.approach),
        *_of_loop(options),
        *_of_seeds(options.seeds, photograph_count),
        *_of_uncertainty(options.seeds, options.damage),
        *_of_output(options.output),
        *_of_machines(options.machines, device_count),
    ]


def _of_damage(damage: Damage) -> list[str]:
    problems = []
    if found := _idle(damage):
        idle, also = [f"{_flag(name)} belongs to {task}" for name, task in found], f"--also {found[0][1]}"
        problems.append(f"{'; '.join(idle)}, but the task is {damage.task}. Leave it out, or add {also}.")
        return problems
    if again := [
        task for place, task in enumerate(damage.also) if task in ("invert", damage.task, *damage.also[:place])
    ]:
        problems.append(f"--also {again[0]} adds nothing; leave it out.")
    for name in ("invert_mask", "trust_mask"):
        if getattr(damage, name) and damage.mask is None:
            problems.append(f"--{name.replace('_', '-')} belongs to --mask FILE; add that, or leave it out.")
    if damage.mask is not None and damage.mask_kind != "strokes":
        problems.append("--mask and --mask-kind exclude each other; leave one out.")
    if _is_set(damage, "mask_box") and damage.mask_kind != "box":
        problems.append("--mask-box belongs to --mask-kind box; add that, or leave it out.")
    if _is_set(damage, "mask_seed") and (damage.mask is not None or damage.mask_kind != "strokes"):
        problems.append("--mask-seed belongs to the random strokes; leave it out.")
    if damage.mask_seed < 0:
        problems.append(f"--mask-seed is {damage.mask_seed}; expected 0 or more.")
    if damage.already_degraded and "inpaint" in damage.tasks and damage.mask is None and damage.mask_kind == "strokes":
        problems.append(
            "--already-degraded with inpaint needs --mask FILE: where the photograph is damaged cannot be guessed."
        )
    for name in ("kernel_size", "assume_kernel_size"):
        size = getattr(damage, name)
        if size is not None and (size < 1 or size % 2 == 0):
            problems.append(f"{_flag(name)} is {size}; expected an odd number of pixels.")
    for name in ("sigma", "assume_sigma"):
        sigma = getattr(damage, name)
        if sigma is not None and not 0 < sigma < math.inf:
            problems.append(f"{_flag(name)} is {sigma}; expected a positive number of pixels.")
    return [*problems, *_of_motion(damage), *_of_camera(damage), *_of_blind(damage)]


def _of_motion(damage: Damage) -> list[str]:
    if damage.motion is None:
        return []
    length, angle = damage.motion
    problems = [
        f"--motion and {_flag(name)} exclude each other; leave one out."
        for name in ("kernel_size", "sigma", "assume_kernel_size", "assume_sigma")
        if getattr(damage, name) is not None
    ]
    is_unknown = length == 0 and damage.already_degraded and "length" in damage.blind
    if not ((0 < length < math.inf or is_unknown) and math.isfinite(angle)):
        problems.append(
            f"--motion is {length:g} {angle:g}; expected a positive length in pixels and an angle in degrees."
        )
    return problems


def _of_camera(damage: Damage) -> list[str]:
    problems = [
        f"{_flag(name)} says how to damage a photograph, and this one is --already-degraded; leave it out."
        for name in ("factor", "drop", "quality")
        if damage.already_degraded and getattr(damage, name) is not None
    ]
    if "own" in damage.tasks and damage.degradation is None:
        problems.append("the task own needs --degradation FILE.py:Class.")
    factor, photons, drop, quality = damage.factor, damage.photons, damage.drop, damage.quality
    if factor is not None and (factor < 2 or factor & (factor - 1)):
        problems.append(f"--factor is {factor}; expected a power of two: 2, 4, 8, ...")
    if photons is not None and not 0 < photons < math.inf:
        problems.append(f"--photons is {photons:g}; expected a positive number.")
    if drop is not None and not 0 <= drop < 1:
        problems.append(f"--drop is {drop:g}; expected a share from 0 to 1, and not 1 itself.")
    if quality is not None and not 1 <= quality <= 100:
        problems.append(f"--quality is {quality}; expected a whole number from 1 to 100.")
    return problems


def _of_blind(damage: Damage) -> list[str]:
    tasks = {"sigma": "deblur", "length": "deblur", "photons": "denoise", "drop": "denoise"}
    tasks |= {"quality": "dejpeg", "factor": "upsample"}
    problems = [
        f"--blind {name} belongs to {tasks[name]}, but the task is {damage.task}. Leave it out, or add --also "
        f"{tasks[name]}."
        for name in damage.blind
        if tasks[name] not in damage.tasks
    ]
    if problems:
        return problems
    if len(set(damage.blind)) < len(damage.blind):
        problems.append("--blind: a parameter is named twice.")
    if "sigma" in damage.blind:
        if damage.motion is not None:
            problems.append("--blind sigma belongs to a Gaussian blur, and --motion is another; take --blind length.")
        problems += [
            f"{_flag(name)} says what the optimiser assumes, and --blind sigma has it estimated; leave one out."
            for name in ("assume_sigma", "assume_kernel_size")
            if getattr(damage, name) is not None
        ]
    if "length" in damage.blind:
        if damage.motion is None:
            problems.append("--blind length needs --motion LENGTH ANGLE; the angle stays known.")
        elif damage.already_degraded and damage.motion[0] != 0:
            problems.append(
                f"--motion is {damage.motion[0]:g} {damage.motion[1]:g}, but --blind length says that the length is "
                "unknown; with --already-degraded write 0 for it."
            )
    stated = {"sigma": ("sigma", "kernel_size"), "photons": ("photons",)}
    problems += [
        f"{_flag(option)} is stated, but --blind {name} says that it is unknown; with --already-degraded leave one out."
        for name, options in stated.items()
        for option in options
        if damage.already_degraded and name in damage.blind and getattr(damage, option) is not None
    ]
    if "dejpeg" in damage.tasks and (lost := [name for name in ("photons", "drop") if name in damage.blind]):
        problems.append(f"--blind {' '.join(lost)}: a JPEG file no longer shows which noise there was; leave it out.")
    if "inpaint" in damage.tasks and "factor" in damage.blind:
        problems.append("--blind factor and inpaint exclude each other: which pixels are missing depends on it.")
    return problems


def _of_completion(completion: Completion, damage: Damage) -> list[str]:
    fidelity, noise, problems = completion.fidelity, completion.noise, []
    if not 0 <= fidelity <= 1:
        problems.append(f"--fidelity is {fidelity}; expected a number from 0 to 1.")
    elif fidelity > 0 and not damage.tasks & {"inpaint", "deblur", "upsample", "denoise", "own"}:
        problems.append(
            "--fidelity belongs to inpaint, deblur, upsample, denoise and own, but the task is "
            f"{damage.task}. Leave it out."
        )
    if noise is not None:
        if not 0 <= noise < math.inf:
            problems.append(f"--noise is {noise}; expected 0 or more levels of 8 bits.")
        if not damage.tasks & {"deblur", "upsample", "own"} and not ("inpaint" in damage.tasks and fidelity > 0):
            problems.append(
                "--noise belongs to deblur, upsample and own, and to inpaint with --fidelity above 0; leave it out."
            )
    return problems


def _idle(damage: Damage) -> list[tuple[str, str]]:
    """The options that have no effect, each with the task that it belongs to."""
    belongs = {
        "inpaint": ("mask", "invert_mask", "trust_mask", "mask_kind", "mask_seed", "mask_box"),
        "deblur": ("kernel_size", "sigma", "motion", "assume_kernel_size", "assume_sigma"),
        "upsample": ("factor",),
        "denoise": ("photons", "drop"),
        "dejpeg": ("quality",),
        "own": ("degradation",),
    }
    return [
        (name, task)
        for task, names in belongs.items()
        for name in names
        if task not in damage.tasks and _is_set(damage, name)
    ]


def of_faces(faces: FaceChoice, *, photograph_count: int, default_face: str = "largest") -> list[str]:
    """Everything that is wrong with a choice of faces.

    Args:
      faces: the choice.
      photograph_count: how many photographs it is for.
      default_face: `FaceChoice.face` where the user did not set it.
    """
    problems = []
    if faces.landmarks and faces.eyes:
        problems.append("--landmarks and --eyes exclude each other; leave one out.")
    elif faces.are_given:
        name = "landmarks" if faces.landmarks else "eyes"
        if faces.face != default_face:
            problems.append(f"--face chooses among the faces that are found; --{name} names them: leave one out.")
        if faces.landmarks_model is not None:
            problems.append(f"--landmarks-model has no effect with --{name}; leave one out.")
        if photograph_count > 1:
            problems.append(f"--{name} belongs to one photograph, not to {photograph_count}; run them one by one.")
    if any(number < 0 for number in faces.numbers):
        problems.append(f"--face {' '.join(map(str, faces.numbers))}: faces are numbered from 0 (largest first).")
    if faces.face == () or len(set(faces.numbers)) < len(faces.numbers):
        problems.append("--face: expected one number or more, and none of them twice.")
    for text in faces.eyes:
        try:
            eye_centres(text)
        except ValueError as error:
            problems.append(f"--eyes {text}: {error}")
    return problems


def eye_centres(text: str) -> tuple[tuple[float, float], tuple[float, float]]:
    """Both eyes of `x1,y1,x2,y2`, the one on the left of the picture first.

    Raises:
      ValueError: the text is something else.
    """
    try:
        values = [float(value) for value in text.split(",")]
    except ValueError:
        values = []
    if len(values) != 4 or not all(map(math.isfinite, values)):
        raise ValueError("expected x1,y1,x2,y2, the centres of both eyes in pixels, e.g. 120,84,180,90.")
    first, second = (values[0], values[1]), (values[2], values[3])
    if first == second:
        raise ValueError("both eyes are at the same place; expected two centres, in pixels.")
    return (first, second) if first[0] <= second[0] else (second, first)


def _of_photographs(options: InvertOptions) -> list[str]:
    from jaxgan.photos import alignment  # loads jax

    photographs, problems = options.photographs, []
    if photographs.jobs is not None and photographs.image:
        problems.append("--image and --jobs exclude each other; leave one out.")
    if photographs.crop is not None:
        try:
            alignment.quad_from_box(*crop_box(photographs.crop))
        except ValueError as error:
            problems.append(f"--crop {photographs.crop}: {error}")
        if photographs.already_aligned:
            problems.append("--crop and --already-aligned exclude each other; leave one out.")
    if photographs.already_aligned or photographs.crop is not None:
        instead = "--crop" if photographs.crop is not None else "--already-aligned"
        problems += [
            f"{_flag(name)} has no effect with {instead}; leave one out."
            for name in ("face", "landmarks", "eyes", "landmarks_model")
            if _is_set(options.faces, name)
        ]
    if photographs.shard is not None:
        try:
            shard(photographs.shard)
        except ValueError as error:
            problems.append(str(error))
    return problems


def crop_box(text: str) -> tuple[float, ...]:
    """Left, top, right and bottom of `x0,y0,x1,y1`.

    Raises:
      ValueError: the text is something else.
    """
    try:
        edges = tuple(map(float, text.split(",")))
    except ValueError:
        edges = ()
    if len(edges) != 4:
        raise ValueError("expected x0,y0,x1,y1, the edges of a square in pixels, e.g. 40,20,240,220.")
    return edges


def shard(text: str) -> tuple[int, int]:
    """I and N of "I/N", with I from 1 to N.

    Raises:
      ValueError: the text is something else.
    """
    try:
        index, count = map(int, text.split("/"))
    except ValueError:
        index = count = 0
    if not 1 <= index <= count:
        raise ValueError(f"--shard is {text!r}; expected I/N with I from 1 to N, like 2/8.")
    return index, count


def _of_approach(approach: Approach) -> list[str]:
    if approach.tune_steps is None:
        return []
    if not approach.tune:
        return ["--tune-steps belongs to --tune; add that, or leave it out."]
    return [f"--tune-steps is {approach.tune_steps}; expected 1 or more."] if approach.tune_steps < 1 else []


def _of_loop(options: InvertOptions) -> list[str]:
    try:
        options.loop.method(options.approach.method, options.damage.task, *options.damage.also)
    except ValueError as error:
        return [str(error)]
    return []


def _of_seeds(seeds: Seeds, photograph_count: int) -> list[str]:
    problems = []
    if seeds.init is not None and photograph_count > 1:
        problems.append(f"--init belongs to one photograph, not to {photograph_count}; run them one by one.")
    if seeds.seeds and seeds.restarts != 1:
        problems.append("--seeds and --restarts exclude each other; leave one out.")
    if seeds.restarts < 1:
        problems.append(f"--restarts is {seeds.restarts}; expected 1 or more.")
    if wrong := [seed for seed in (seeds.seed, *seeds.seeds) if not 0 <= seed < 2**32]:
        problems.append(f"a seed is {wrong[0]}; expected 0 to {2**32 - 1}.")
    if len(set(seeds.seeds)) < len(seeds.seeds):
        problems.append("--seeds: a seed is given twice.")
    starts = seeds.starts
    if seeds.keep is not None and (len(starts) < 2 or seeds.keep not in {start.folder for start in starts}):
        problems.append(
            f"--keep is {seeds.keep}; expected the folder of one of several --seeds, --restarts or samples of "
            "--uncertainty, as seed-2 or sample-03."
        )
    if seeds.seeds and seeds.seed != 0:
        problems.append("--seed has no effect with --seeds; leave one out.")
    return problems


def _of_uncertainty(seeds: Seeds, damage: Damage) -> list[str]:
    count = seeds.uncertainty
    if count is None:
        return []
    problems = [] if count >= 2 else [f"--uncertainty is {count}; expected 2 starts or more, 16 for a good map."]
    if not damage.tasks:
        problems.append("--uncertainty belongs to a damage; with invert nothing is missing. Leave it out.")
    problems += [
        f"--uncertainty and {_flag(name)} exclude each other; leave one out."
        for name in ("seeds", "restarts")
        if _is_set(seeds, name)
    ]
    return problems


def _of_output(output: Output) -> list[str]:
    problems = []
    if _is_set(output, "paste_format") and not output.paste_back:
        problems.append("--paste-format belongs to --paste-back; add that, or leave it out.")
    if output.resume and output.overwrite:
        problems.append("--resume and --overwrite exclude each other; leave one out.")
    if output.snapshot_every < 1:
        problems.append(f"--snapshot-every is {output.snapshot_every}; expected 1 step or more.")
    if not output.checkpoint_seconds >= 0:
        problems.append(f"--checkpoint-seconds is {output.checkpoint_seconds}; expected 0 or more.")
    return problems


def _of_machines(machines: Machines, device_count: int) -> list[str]:
    size = machines.batch_size
    if size == "auto" or (size >= 1 and size % device_count == 0):
        return []
    some = "1 or more" if device_count == 1 else f"a multiple of the {device_count} devices"
    return [f"--batch-size is {size}; expected {some}, or auto."]


def _is_set(group: Any, name: str) -> bool:
    """Whether an option is not at its default."""
    return getattr(group, name) != next(field.default for field in dataclasses.fields(group) if field.name == name)


def _flag(name: str) -> str:
    """The option as it is typed."""
    return f"--{name.replace('_', '-')}"
