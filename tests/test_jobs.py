"""The photographs of a command: files, folders, patterns, shares and lists of jobs."""

import json
from pathlib import Path

import pytest
from commands import call, refused
from PIL import Image

from experiments.cli import Mistakes
from experiments.options import Damage, InvertOptions, Output, Photographs, Seeds
from experiments.restore.jobs import collect, find
from jaxgan.errors import UserError


@pytest.fixture
def photos(tmp_path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("b.png", "a.JPG", "c.webp"):
        Image.new("RGB", (16, 16)).save(folder / name)
    (folder / "notes.txt").write_text("no photograph")
    return folder


def paths(options: InvertOptions) -> list[Path]:
    return [job.path for job in collect(options, default=Path("default.png"), device_count=1).jobs]


def of(*image: Path, **options) -> InvertOptions:
    return InvertOptions(Damage("inpaint"), photographs=Photographs(image=image, **options))


def test_folders_and_patterns_are_taken_in_the_order_of_names_and_each_file_once(photos, capsys):
    assert find([photos]) == [photos / "a.JPG", photos / "b.png", photos / "c.webp"]
    assert capsys.readouterr().err == "1 file is left out, being no photograph: notes.txt.\n"
    assert find([photos / "c.webp", photos / "[bc]*"]) == [photos / "c.webp", photos / "b.png"]


@pytest.mark.parametrize(
    ("name", "said"), [("empty", "empty holds no photograph"), ("*.gif", "no photograph fits .*gif")]
)
def test_nothing_found_is_a_mistake(name, said, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=said):
        find([tmp_path / name])


def test_one_photograph_has_the_output_folder_for_itself(photos, tmp_path):
    options = InvertOptions(
        Damage("deblur"), photographs=Photographs(image=(photos / "b.png",)), output=Output(output=tmp_path / "out")
    )
    found = collect(options, default=photos, device_count=1)
    assert found.is_single and found.jobs[0].folder == found.root == tmp_path / "out"
    assert paths(of()) == [Path("default.png")]
    assert collect(of(photos / "b.png"), default=photos, device_count=1).root == Path("outputs/inpaint-b")


def test_several_photographs_have_a_folder_each(photos):
    found = collect(of(photos), default=photos, device_count=1)
    assert not found.is_single and [job.folder for job in found.jobs] == [found.root / name for name in "abc"]
    Image.new("RGB", (16, 16)).save(photos / "a.png")  # of the same name as a.JPG
    with pytest.raises(Mistakes, match="several photographs are called 'a' and would write to the same folder"):
        collect(of(photos), default=photos, device_count=1)


def test_shares_take_every_photograph_once(photos):
    shares = [paths(of(photos, shard=f"{index}/2")) for index in (1, 2)]
    assert shares == [[photos / "a.JPG", photos / "c.webp"], [photos / "b.png"]]
    assert paths(of(photos, shard="4/4")) == []


def test_an_empty_share_has_nothing_to_do(photos, tiny_network, tmp_path):
    """A job array may have more tasks than there are photographs."""
    options = ("--task", "invert", "--image", photos, "--model", tiny_network, "--output", tmp_path / "out")
    code, stderr = call(*options, "--shard", "4/4")
    assert code == 0 and stderr.endswith("shard 4/4 has no photograph; there is nothing to do.\n")
    assert not (tmp_path / "out").exists()


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
    return path


def test_a_line_sets_any_option_of_its_photograph(tmp_path):
    lines = write(
        tmp_path / "jobs.jsonl",
        {"image": "a.png", "task": "deblur", "sigma": 2, "also": ["colorize"], "steps": 7, "seed": 4},
        "",
        {"image": "/b.png", "mask": "m.png", "face": 1, "latent_space": "w"},
        {"image": "c.png", "crop": "0,0,64,64", "fidelity": 1, "noise": 2},
        {"image": "d.png", "face": [0, 2], "method": "robust", "steps": 8},
    )
    options = InvertOptions(Damage("inpaint"), photographs=Photographs(jobs=lines), seeds=Seeds(seed=9))
    a, b, c, d = collect(options, default=Path(), device_count=1).jobs
    assert (a.method, d.method) == ("default", "robust")
    assert [phase.steps for phase in d.inversion.phases] == [3, 3, 2]
    assert (c.crop, c.completion.fidelity, c.completion.noise, d.faces.face) == ("0,0,64,64", 1.0, 2.0, (0, 2))
    assert (a.path, a.damage.tasks, a.damage.sigma) == (tmp_path / "a.png", {"deblur", "colorize"}, 2.0)
    assert (a.inversion.steps, a.inversion.last.latent_dist_reg_weight, a.seeds) == (7, 3.0, (4,))
    assert (b.path, b.damage.mask, b.faces.face) == (Path("/b.png"), tmp_path / "m.png", 1)
    assert (b.damage.task, b.inversion.last.latent_space, b.seeds) == ("inpaint", "w", (9,))


def test_a_list_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "jobs.jsonl").write_text('\ufeff{"image": "a.png"}\n', encoding="utf-8")
    assert paths(InvertOptions(Damage("invert"), photographs=Photographs(jobs=tmp_path / "jobs.jsonl"))) == [
        tmp_path / "a.png"
    ]


def test_all_wrong_lines_are_listed_with_their_numbers_before_any_work(tmp_path):
    lines = write(
        tmp_path / "jobs.jsonl",
        {"image": "a.png", "also": "colorize"},
        {"image": "b.png", "mask_kind": "bx", "steps": 2.5},
        {"image": "c.png"},
        {"task": "invert"},
        {"image": "d.png", "task": "paint", "colour": 1},
        "{image}",
        {"image": "e.png", "task": "deblur", "kernel_size": 4},
        {"image": "f.png", "seed": True, "mask_box": [0, 0, 1]},
        {"image": "g.png", "steps": 0},
        {"image": "h.png", "steps": 0},
        '{"image": "i.png", "seed": 1, "seed": 2}',
        200_000 * "[",
    )
    code, stderr = call("--task", "inpaint", "--jobs", lines, "--output", tmp_path / "out")
    assert code == 2 and not (tmp_path / "out").exists()
    told = [line.split("jobs.jsonl, line ")[1] for line in stderr.splitlines()]
    names = ("invert", "inpaint", "deblur", "colorize", "upsample", "denoise", "dejpeg", "own")
    tasks = " or ".join(f'"{name}"' for name in names)
    expected = [
        f"1: also is 'colorize'; expected a list of any number of {tasks}.",
        '2: mask_kind is \'bx\'; expected "strokes" or "box" or "half".',
        "2: steps is 2.5; expected a whole number or null.",
        '4: expected an object with "image", the name of a file.',
        f"5: task is 'paint'; expected {tasks}.",
        "5: colour: no option of a job; known are image, task, also, mask,",
        "6: it is no JSON: ",
        "7: --kernel-size is 4; expected an odd number of pixels.",
        "8: mask_box is [0, 0, 1]; expected a list of 4 of a number.",
        "8: seed is True; expected a whole number.",
        "9, 10: InversionConfig: steps must be a whole number, at least 1, got 0",
        "11: it cannot be read: seed given twice.",
        "12: it cannot be read: maximum recursion depth exceeded",
    ]
    assert len(told) == len(expected)
    for line, start in zip(told, expected, strict=True):
        assert line.startswith(start), line


def test_a_list_without_jobs_is_a_mistake(tmp_path):
    assert "blank lists no job" in refused("--task", "invert", "--jobs", write(tmp_path / "blank", ""))
    assert "missing: No such file or directory" in refused("--task", "invert", "--jobs", tmp_path / "missing")


def test_a_list_in_another_encoding_is_told(tmp_path):
    """As some editors of Windows write it."""
    (tmp_path / "jobs.jsonl").write_bytes('{"image": "a.png"}'.encode("utf-16"))
    code, stderr = call("--task", "inpaint", "--jobs", tmp_path / "jobs.jsonl", "--output", tmp_path / "out")
    assert code == 2 and stderr.endswith("jobs.jsonl is no text in UTF-8.\n") and stderr.count("\n") == 1
