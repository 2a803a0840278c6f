"""The folder of a repair holds all that goes into it, and its download all that came out, with the command between."""

import dataclasses
import json
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.page import drafts, found_faces, network_list, results, shown
from experiments.page.choices import Choices
from experiments.page.drafts import Draft
from experiments.page.results import Result
from jaxgan.errors import UserError
from jaxgan.photos import landmarks, mask_files

FACE = tuple((float(20 + index % 17), float(30 + index // 4)) for index in range(68))
PAINTED = ({"points": [[0.25, 0.5]], "width": 0.1, "erases": False},)


@pytest.fixture
def draft(tmp_path) -> tuple[Path, Draft]:
    folder = tmp_path / "draft"
    (folder / "photograph").mkdir(parents=True)
    Image.new("RGB", (80, 60), "grey").save(folder / "photograph" / "Opa 1952.jpg")
    made = Draft("Opa 1952.jpg", (80, 60), PAINTED, faces=(FACE, FACE[::-1]), chosen=(1,))
    drafts.save(folder, made)
    return folder, made


def prepared(draft, tmp_path, **changes) -> tuple[Path, Draft]:
    (source, made), folder = draft, tmp_path / "result"
    folder.mkdir()
    made = dataclasses.replace(made, **changes)
    results.prepare(source, made, folder)
    return folder, made


def test_everything_is_copied_before_the_draft_changes(draft, tmp_path):
    folder, made = prepared(draft, tmp_path)
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*.*")) == [
        "face-2.json",
        "mask.png",
        "photograph/Opa 1952.jpg",
    ]
    observed = mask_files.read_mask(folder / "mask.png")
    assert observed.shape == (60, 80) and observed[30, 19] == 0 and observed[30, 40] == 1
    np.testing.assert_array_equal(landmarks.read(folder / "face-2.json").all_points, FACE[::-1])
    (draft[0] / "photograph" / made.name).unlink()
    assert results.options(Result(made), folder, folder / "out").photographs.image[0].exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"painted": ()}, "Paint over the scratches"),
        ({"chosen": ()}, "Choose one face or more"),
        ({"faces": (), "chosen": ()}, "No face was found"),
        ({"eyes": ((3.0, 4.0),)}, "Click the second eye"),
    ],
)
def test_what_is_missing_is_told(draft, tmp_path, changes, message):
    with pytest.raises(ValueError, match=message):
        prepared(draft, tmp_path, **changes)


def test_eyes_count_instead_of_faces(draft, tmp_path):
    eyes = ((30.5, 20.0), (50.0, 20.0))
    folder, made = prepared(draft, tmp_path, eyes=eyes)
    assert not list(folder.glob("face-*.json"))
    assert found_faces.choice(made, folder).eyes == ("30.5,20,50,20",)
    ((*corners,),) = found_faces.squares(made)
    assert np.mean(corners, axis=0)[0] == pytest.approx((40.25 + 0.5) / 80, abs=0.01)  # midway between the eyes


def test_a_download_holds_the_result_and_the_command_in_one_folder(draft, tmp_path):
    folder, made = prepared(draft, tmp_path)
    for name in (
        "restored.png",
        "latents.npz",
        "latents/5/state",
        "snapshots/step_000005.png",
        "config.json",
        ".run.lock",
    ):
        (folder / "repaired" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "repaired" / name).write_text("{}")
    results.save(folder, Result(made, batch_size=3, stop_after=15))
    with zipfile.ZipFile(results.download(folder)) as archive:
        inside = "Opa 1952-repaired/"
        assert sorted(name.removeprefix(inside) for name in archive.namelist()) == [
            "README.txt",
            "command.txt",
            "face-2.json",
            "mask.png",
            "photograph/Opa 1952.jpg",
            "repaired/config.json",
            "repaired/latents.npz",
            "restored.png",
            "settings.json",
        ]
        command = archive.read(f"{inside}command.txt").decode().strip()
        assert command == (
            "python -m experiments.invert --task inpaint --already-degraded --mask mask.png --trust-mask --image "
            "'photograph/Opa 1952.jpg' --landmarks face-2.json --stop-after 15 --batch-size 3 --output repeated "
            "--paste-back --snapshot-every 5"
        )
        assert command in archive.read(f"{inside}README.txt").decode()
        assert json.loads(archive.read(f"{inside}settings.json"))["network"] == "demo"
    assert results.load(folder) == Result(made, batch_size=3, stop_after=15)


def test_errors_advise_what_the_page_has():
    text = shown.problem("a.png <1>: there is nothing to enlarge. If it is blurred, --task deblur is for it.")
    assert "choose &quot;It is blurred&quot;" in text and "&lt;1&gt;" in text and "--" not in text


def test_networks_are_found_in_folders_of_them(tiny_network, tmp_path):
    os.symlink(tiny_network, tmp_path / "mine")
    for models in ([Path(tiny_network)], [tmp_path]):
        demo, (label, value) = network_list.choices(models)
        assert demo[1] == "demo" and "128x128" in demo[0]
        assert "16x16" in label and Path(value).samefile(tiny_network)
    with pytest.raises(UserError, match="holds no network; expected a folder"):
        network_list.choices([tmp_path / "nothing"])
    assert Choices().network == "demo"
