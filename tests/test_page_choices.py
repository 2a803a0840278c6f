"""The choices of a visitor become options of the command, and these a command line that gives the same options."""

import dataclasses
import shlex
from pathlib import Path

import pytest
import tyro

from experiments import command_line, validation
from experiments.options import Damage, FaceChoice, InvertOptions, Photographs
from experiments.page import choices
from experiments.page.choices import DAMAGES, Choices

FACES = FaceChoice(landmarks=(Path("face-1.json"), Path("face-3.json")))


def options(chosen: Choices, **changes) -> InvertOptions:
    mask = Path("mask.png") if "inpaint" in chosen.damages else None
    given = {"mask": mask, "faces": FACES, "output": Path("repeated")} | changes
    return choices.options_of(chosen, Path("photograph/my 'old' photo.jpg"), **given)


def parsed(line: str) -> InvertOptions:
    """What the command makes of a line, as `cli.run_command` parses it."""
    program, *words = shlex.split(line)[:3], *shlex.split(line)[3:]
    assert program == ["python", "-m", "experiments.invert"]
    config = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitArgPrefixes, tyro.conf.DisallowNone)
    return tyro.cli(InvertOptions, args=words, config=config)


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_damage_makes_valid_options_and_a_line_that_gives_them_back(damage):
    for chosen in (Choices((damage,)), Choices((damage,), is_unknown=False, blur=2.5, attempts=3)):
        made = options(chosen)
        assert validation.validate(made) == []
        assert made.damage.task == damage and made.damage.already_degraded and made.output.paste_back
        assert parsed(command_line.invert(made)) == made


def test_all_damages_together_do_too():
    made = options(Choices(tuple(reversed(DAMAGES)), attempts=2), batch_size=4, stop_after=35, keep="seed-1", steps=40)
    assert made.damage.tasks == set(DAMAGES)
    assert validation.validate(made) == []
    assert parsed(command_line.invert(made)) == made


def test_a_known_blur_is_handed_on_and_an_unknown_one_is_not():
    assert options(Choices(("deblur",), is_unknown=False, blur=4.5)).damage.sigma == 4.5
    assert options(Choices(("deblur",))).damage.sigma is None
    assert options(Choices(("inpaint",), is_unknown=False)).damage.sigma is None


def test_what_the_visitor_does_not_choose_is_as_the_command_has_it():
    made, plain = options(Choices()), InvertOptions(damage=Damage("inpaint"))
    assert (made.completion, made.approach, made.loop, made.networks, made.seeds) == (
        plain.completion,
        plain.approach,
        plain.loop,
        plain.networks,
        plain.seeds,
    )


def test_the_line_of_defaults_is_short():
    plain = InvertOptions(damage=Damage("inpaint"))
    assert command_line.invert(plain) == "python -m experiments.invert --task inpaint"
    several = dataclasses.replace(plain, photographs=Photographs(image=(Path("a b.jpg"), Path("c.jpg"))))
    assert command_line.invert(several) == "python -m experiments.invert --task inpaint --image 'a b.jpg' c.jpg"


def test_nothing_and_nonsense_are_refused():
    with pytest.raises(ValueError, match="choose one damage or more"):
        options(Choices(()))
    with pytest.raises(ValueError, match="unknown damage torn; expected some of inpaint"):
        Choices(("torn",))
