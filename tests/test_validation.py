"""Options that are wrong or do nothing: told all at once, before a network is loaded or a folder made."""

import dataclasses
from pathlib import Path

import pytest
from commands import refused

import jaxgan
from experiments.options import Damage, FaceChoice, InvertOptions, LoopOptions, Output, Seeds
from experiments.validation import eye_centres, validate

FACE = Path(jaxgan.__file__).parent / "data" / "astronaut.png"

MISTAKES = {
    "--mask-kind box --mask x.png": "--mask and --mask-kind exclude each other; leave one out.",
    "--mask-box 0 0 0.5 0.5": "--mask-box belongs to --mask-kind box; add that, or leave it out.",
    "--mask-kind half --mask-seed 3": "--mask-seed belongs to the random strokes; leave it out.",
    "--mask-seed -1": "--mask-seed is -1; expected 0 or more.",
    "--already-degraded": "--already-degraded with inpaint needs --mask FILE",
    "--sigma 2 --kernel-size 5": "--kernel-size belongs to deblur; --sigma belongs to deblur, but the task is inpaint.",
    "--task deblur --mask-seed 2": "--mask-seed belongs to inpaint, but the task is deblur.",
    "--task deblur --kernel-size 4": "--kernel-size is 4; expected an odd number of pixels.",
    "--task deblur --assume-kernel-size 0": "--assume-kernel-size is 0; expected an odd number of pixels.",
    "--task deblur --assume-sigma 0": "--assume-sigma is 0.0; expected a positive number of pixels.",
    "--face -1": "--face -1: faces are numbered from 0 (largest first).",
    "--face 0 2 0": "--face: expected one number or more, and none of them twice.",
    "--face 0 -2": "--face 0 -2: faces are numbered from 0 (largest first).",
    "--crop 1,2,3": "--crop 1,2,3: expected x0,y0,x1,y1, the edges of a square in pixels",
    "--crop 0,0,20,10": "--crop 0,0,20,10: the crop 0,0,20,10 is 20x10 pixels; expected a square",
    "--crop 0,0,9,9 --already-aligned": "--crop and --already-aligned exclude each other; leave one out.",
    "--crop 0,0,9,9 --face 1": "--face has no effect with --crop; leave one out.",
    "--invert-mask": "--invert-mask belongs to --mask FILE; add that, or leave it out.",
    "--fidelity 1.5": "--fidelity is 1.5; expected a number from 0 to 1.",
    "--task colorize --fidelity 1": "--fidelity belongs to inpaint, deblur, upsample, denoise and own, but the task is "
    "colorize.",
    "--noise 2": "--noise belongs to deblur, upsample and own, and to inpaint with --fidelity above 0; leave it out.",
    "--factor 4": "--factor belongs to upsample, but the task is inpaint.",
    "--task upsample --factor 6": "--factor is 6; expected a power of two: 2, 4, 8, ...",
    "--task denoise --photons 0": "--photons is 0; expected a positive number.",
    "--task denoise --drop 1": "--drop is 1; expected a share from 0 to 1, and not 1 itself.",
    "--task upsample --already-degraded --factor 4": "--factor says how to damage a photograph, and this one is "
    "--already-degraded; leave it out.",
    "--task own": "the task own needs --degradation FILE.py:Class.",
    "--task own --degradation x.py": "--degradation is 'x.py'; expected FILE.py:Class.",
    "--task own --degradation x.py:A": "--degradation x.py:A: there is no file x.py.",
    "--task dejpeg --quality 0": "--quality is 0; expected a whole number from 1 to 100.",
    "--task deblur --motion 9 0 --sigma 1": "--motion and --sigma exclude each other; leave one out.",
    "--task deblur --motion 0 0": "--motion is 0 0; expected a positive length in pixels and an angle in degrees.",
    "--task deblur --noise nan": "--noise is nan; expected 0 or more levels of 8 bits.",
    "--blind sigma": "--blind sigma belongs to deblur, but the task is inpaint. Leave it out, or add --also deblur.",
    "--task denoise --blind drop drop": "--blind: a parameter is named twice.",
    "--task deblur --motion 3 0 --blind sigma": "--motion is another; take --blind length.",
    "--task deblur --blind length": "--blind length needs --motion LENGTH ANGLE; the angle stays known.",
    "--task deblur --blind length --already-degraded --motion 3 0": "with --already-degraded write 0 for it.",
    "--task deblur --blind sigma --assume-sigma 2": "--assume-sigma says what the optimiser assumes, and --blind sigma",
    "--task deblur --blind sigma --sigma 2 --already-degraded": "--sigma is stated, but --blind sigma says that it is "
    "unknown; with --already-degraded leave one out.",
    "--task denoise --also dejpeg --blind photons": "a JPEG file no longer shows which noise there was; leave it out.",
    "--also upsample --blind factor": "--blind factor and inpaint exclude each other",
    "--task deblur --blind sigma --sigma 9": "--sigma is 9; --blind sigma looks for up to 8 pixels of the face.",
    "--label 1": "demo: label is 1; this generator is not class-conditional, leave the label away.",
    "--eyes 1,2,3": "--eyes 1,2,3: expected x1,y1,x2,y2, the centres of both eyes",
    "--eyes 1,2,3,nan": "--eyes 1,2,3,nan: expected x1,y1,x2,y2",
    "--eyes 5,6,5,6": "both eyes are at the same place",
    "--eyes 1,2,3,4 --landmarks x": "--landmarks and --eyes exclude each other; leave one out.",
    "--eyes 1,2,3,4 --face 1": "--face chooses among the faces that are found; --eyes names them: leave one out.",
    "--landmarks x --landmarks-model y": "--landmarks-model has no effect with --landmarks; leave one out.",
    "--already-aligned --face 0": "--face has no effect with --already-aligned; leave one out.",
    "--already-aligned --landmarks-model x": "--landmarks-model has no effect with --already-aligned",
    "--jobs x": "--image and --jobs exclude each other; leave one out.",
    "--shard 3/2": "--shard is '3/2'; expected I/N with I from 1 to N, like 2/8.",
    "--shard x": "--shard is 'x'; expected I/N",
    "--steps 0": "steps must be a whole number, at least 1, got 0",
    "--steps -3 --learning-rate 0": "steps must be a whole number, at least 1, got -3; learning_rate must be positive",
    "--learning-rate nan": "learning_rate must be positive and finite, got nan",
    "--patience 0": "patience must be a whole number, at least 1, got 0",
    "--seeds 1 1": "--seeds: a seed is given twice.",
    "--seeds 1 4294967297": "a seed is 4294967297; expected 0 to 4294967295.",
    "--seed -1": "a seed is -1; expected 0 to 4294967295.",
    "--also colorize colorize": "--also colorize adds nothing; leave it out.",
    "--also inpaint": "--also inpaint adds nothing; leave it out.",
    "--also invert": "--also invert adds nothing; leave it out.",
    "--seeds 1 2 --restarts 2": "--seeds and --restarts exclude each other; leave one out.",
    "--seeds 1 2 --seed 3": "--seed has no effect with --seeds; leave one out.",
    "--keep seed-0": "--keep is seed-0; expected the folder of one of several --seeds, --restarts or samples of",
    "--restarts 2 --keep seed-2": "--keep is seed-2; expected the folder of one of several",
    "--stop-after 0": "stop_after must be a whole number, at least 1, got 0",
    "--restarts 0": "--restarts is 0; expected 1 or more.",
    "--uncertainty 1": "--uncertainty is 1; expected 2 starts or more, 16 for a good map.",
    "--uncertainty 4 --restarts 2": "--uncertainty and --restarts exclude each other; leave one out.",
    "--uncertainty 4 --seeds 1 2": "--uncertainty and --seeds exclude each other; leave one out.",
    "--task invert --uncertainty 4": "--uncertainty belongs to a damage; with invert nothing is missing. Leave it out.",
    "--paste-format webp": "--paste-format belongs to --paste-back; add that, or leave it out.",
    "--resume --overwrite": "--resume and --overwrite exclude each other; leave one out.",
    "--snapshot-every 0": "--snapshot-every is 0; expected 1 step or more.",
    "--checkpoint-seconds nan": "--checkpoint-seconds is nan; expected 0 or more.",
    "--batch-size 0": "--batch-size is 0; expected 1 or more, or auto.",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(line, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refused("--task", "inpaint", "--image", FACE, "--output", "new/out", *line.split())
    assert MISTAKES[line] in message
    assert list(tmp_path.iterdir()) == []


def test_all_problems_of_a_command_are_told_together():
    options = InvertOptions(
        Damage("deblur", kernel_size=4, sigma=-1.0),
        faces=FaceChoice(face=-2),
        output=Output(resume=True, overwrite=True),
        loop=LoopOptions(steps=0),
        seeds=Seeds(restarts=0),
    )
    problems = validate(options)
    named = ("--kernel-size", "--sigma", "--face", "InversionConfig: steps", "--restarts", "--resume")
    assert len(problems) == len(named)
    assert [problem.startswith(name) for problem, name in zip(problems, named, strict=True)] == [True] * len(named)


def test_defaults_are_valid():
    for task in ("invert", "inpaint", "deblur", "colorize", "upsample", "denoise", "dejpeg"):
        assert validate(InvertOptions(Damage(task))) == []


def test_landmarks_belong_to_one_photograph_and_batches_to_all_devices():
    options = InvertOptions(Damage("invert"), faces=FaceChoice(eyes=("1,2,3,4",)))
    assert validate(options, photograph_count=3) == ["--eyes belongs to one photograph, not to 3; run them one by one."]
    machines = dataclasses.replace(options.machines, batch_size=6)
    (problem,) = validate(dataclasses.replace(options, machines=machines), device_count=4)
    assert problem == "--batch-size is 6; expected a multiple of the 4 devices, or auto."


def test_eyes_are_given_in_any_order():
    assert eye_centres("246,103,203,101.5") == eye_centres("203,101.5,246,103") == ((203, 101.5), (246, 103))


def test_the_strongest_prior_holds_for_several_tasks():
    """Colour is what the generator alone knows, so its weight of the mean latent holds (see STUDY.md)."""
    assert Damage("inpaint", also=("colorize",)).tasks == {"inpaint", "colorize"}
    assert LoopOptions().config("inpaint", "colorize") == jaxgan.InversionConfig.for_task("colorize")
    assert LoopOptions().config("inpaint", "dejpeg").objective == "half_pyramid"
    assert LoopOptions().config("inpaint", "deblur").objective == "lpips"
    weights = {
        tasks: LoopOptions().config(*tasks).latent_dist_reg_weight
        for tasks in (("dejpeg",), ("inpaint", "denoise"), ("upsample", "dejpeg"), ("colorize", "denoise", "dejpeg"))
    }
    assert list(weights.values()) == [1, 1, 10, 3]
    assert LoopOptions(steps=3, precision="bfloat16").config("invert").steps == 3
