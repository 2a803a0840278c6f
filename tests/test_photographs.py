"""Photographs in, photographs out: the commands `align` and `invert --paste-back`, through `main`."""

import dataclasses
import json
import re
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import ExifTags, Image, ImageDraw
from scipy import ndimage

from experiments import align, invert
from experiments.options import Completion, Damage, FaceChoice
from experiments.restore import crops, degrade, paste_back
from experiments.restore import faces as face_choice
from experiments.restore.jobs import Job
from jaxgan import InversionConfig, images, tension
from jaxgan.errors import UserError
from jaxgan.methods import Method
from jaxgan.photos import alignment, deep_png, faces, paste, photo_files

pytestmark = pytest.mark.usefixtures("narrow_lpips")

needs_dlib = pytest.mark.skipif(
    find_spec("dlib") is None or find_spec("face_recognition_models") is None,
    reason="needs the packages dlib-bin and face_recognition_models",
)
EYES = "203,101,246,103"  # pupils of the sample portrait, read off by eye


def sample():
    return photo_files.read_photo(photo_files.sample_photo_path())


def two_faces():
    """The sample portrait twice, the right one smaller; faces of 88 and 62 pixels."""
    photo = np.full((512, 900, 3), 120, np.uint8)
    photo[:, :512] = sample()
    photo[100:460, 530:890] = images.resize(sample(), 360)
    return photo


def scratches(shape):
    """White with black scratches, two through the faces and one beside them."""
    picture = Image.new("L", shape[1::-1], 255)
    pen = ImageDraw.Draw(picture)
    for line in ((190, 0, 260, 511), (0, 130, 899, 190), (20, 511, 60, 300)):
        pen.line(line, fill=0, width=5)
    return np.asarray(picture)


def refused(capsys, main, *arguments):
    """The one-line message of a command that is refused."""
    assert main([str(argument) for argument in arguments]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    return lines[-1]


@needs_dlib
def test_align_writes_the_face_its_transform_and_the_picture(tmp_path):
    path, out = photo_files.sample_photo_path(), tmp_path / "out"
    assert align.main([str(path), "--output", str(out), "--size", "128"]) == 0
    assert sorted(file.name for file in out.iterdir()) == ["before_after.png", "face-0.json", "face-0.png"]
    face = faces.find_faces(sample())[0]
    expected = alignment.align(sample(), face.landmarks, 128)
    np.testing.assert_array_equal(photo_files.read_photo(out / "face-0.png"), expected)
    record = json.loads((out / "face-0.json").read_text())
    np.testing.assert_array_equal(record["landmarks"], face.landmarks)
    np.testing.assert_allclose(record["quad"], alignment.alignment_quad(face.landmarks).quad)
    # The middle of the crop comes from the middle of the square, whose pixel centres the quad counts.
    middle = np.array(record["to_photo"]) @ [64, 64, 1]
    np.testing.assert_allclose(middle, np.mean(record["quad"], axis=0) + 0.5)
    assert photo_files.read_photo(out / "before_after.png").shape[0] >= 512


@needs_dlib
def test_align_takes_all_faces_one_or_the_largest(tmp_path):
    Image.fromarray(two_faces()).save(tmp_path / "two.png")
    for option, expected in (("all", [0, 1]), ("largest", [0]), ("1", [1])):
        out = tmp_path / option
        arguments = [str(tmp_path / "two.png"), "--output", str(out), "--size", "64", "--face", option]
        assert align.main(arguments) == 0
        records = [json.loads((out / f"face-{i}.json").read_text()) for i in expected]
        assert len(list(out.glob("face-*.png"))) == len(expected)
        assert [record["box"][0] > 512 for record in records] == [i == 1 for i in expected]


def test_align_with_eyes_needs_no_detector(tmp_path, monkeypatch):
    monkeypatch.setattr(faces, "find_faces", None)
    path = str(photo_files.sample_photo_path())
    assert align.main([path, "--output", str(tmp_path / "a"), "--size", "64", "--eyes", EYES]) == 0
    record = json.loads((tmp_path / "a" / "face-0.json").read_text())
    assert record["landmarks"] is None and record["points"]["eye_left"] == [203, 101]
    # In the average face the mouth is 1.09 eye distances below: (224.5, 102) + 1.09 * (-2, 43).
    np.testing.assert_allclose(record["points"]["mouth"], [222.32, 148.87])
    # The other order of the eyes means the same, and so does the JSON file.
    for name, option in (("b", ("--eyes", "246,103,203,101")), ("c", ("--landmarks", tmp_path / "a" / "face-0.json"))):
        assert align.main([path, "--output", str(tmp_path / name), "--size", "64", *map(str, option)]) == 0
        np.testing.assert_array_equal(
            photo_files.read_photo(tmp_path / name / "face-0.png"),
            photo_files.read_photo(tmp_path / "a" / "face-0.png"),
        )


@pytest.mark.parametrize("kind", ["text", "commas", "json list"])
def test_landmark_files(tmp_path, kind):
    landmarks = np.load(Path(__file__).parent / "reference" / "align_reference.npz")["image0_landmarks"]
    file = tmp_path / "landmarks"
    if kind == "json list":
        file.write_text(json.dumps(landmarks.tolist()))
    else:
        separator = ", " if kind == "commas" else " "
        file.write_text("\n".join(separator.join(map(repr, map(float, point))) for point in landmarks) + "\n")
    face = face_choice.read_landmarks(file, 3)
    assert face.index == 3
    np.testing.assert_array_equal(face.landmarks, landmarks)


@pytest.mark.parametrize(
    "arguments, match",
    [
        (("--eyes", "1,2,3"), "--eyes 1,2,3: expected x1,y1,x2,y2"),
        (("--eyes", "1,2,3,nan"), "expected x1,y1,x2,y2"),
        (("--eyes", "5,6,5,6"), "both eyes are at the same place"),
        (("--eyes", "9000,10,9040,12"), "face 0: the face at x, y = .* lies outside the photo of 512x512"),
        (("--eyes", EYES, "--landmarks", "x.json"), "exclude each other"),
        (("--eyes", EYES, "--face", "1"), "--eyes names them: leave one out"),
        (("--eyes", EYES, "--landmarks-model", "x.dat"), "no effect with --eyes"),
        (("--landmarks", "BAD"), "expected the JSON file of a face .* dlib's 68 points"),
        (("--landmarks", "EQUAL"), "landmarks span no face"),
        (("--landmarks", "FEW"), r"it holds \[67, 2\] numbers"),
        (("--landmarks", "ABSENT"), r"ABSENT: cannot be read \(No such file"),
        (("--face", "-1"), "numbered from 0"),
        (("--size", "0"), "expected positive numbers"),
        (("--scale", "nan"), "expected positive numbers"),
    ],
)
def test_what_align_refuses(tmp_path, capsys, arguments, match):
    (tmp_path / "BAD").write_text("{not json")
    (tmp_path / "EQUAL").write_text("[" + ",".join(["[100, 100]"] * 68) + "]")
    (tmp_path / "FEW").write_text("1 2\n" * 67)
    arguments = [str(tmp_path / a) if a.isupper() else a for a in arguments]
    message = refused(capsys, align.main, photo_files.sample_photo_path(), "--output", tmp_path / "out", *arguments)
    assert re.search(match, message), message
    assert not (tmp_path / "out").exists()


@needs_dlib
def test_align_refuses_what_it_would_overwrite_and_photos_without_faces(tmp_path, capsys):
    Image.new("RGB", (100, 80), "gray").save(tmp_path / "gray.png")
    message = refused(capsys, align.main, tmp_path / "gray.png", "--output", tmp_path / "out")
    assert "looked at 100x80, 200x160, 400x320, and turned" in message and "--eyes x1,y1,x2,y2" in message
    assert not (tmp_path / "out").exists()
    arguments = [str(photo_files.sample_photo_path()), "--output", str(tmp_path / "out"), "--size", "64"]
    assert align.main(arguments) == 0
    assert "holds faces already; add --overwrite" in refused(capsys, align.main, *arguments)
    assert align.main([*arguments, "--overwrite"]) == 0
    twice = (tmp_path / "gray.png", tmp_path / "out" / "gray.png")
    assert "several photos have one name" in refused(capsys, align.main, *twice, "--output", tmp_path / "two")
    assert "no face 5; found 1" in refused(capsys, align.main, *arguments[:3], "--face", "5", "--overwrite")


@needs_dlib
def test_faces_of_equal_size_and_faces_cut_by_the_frame_are_told(tmp_path, capsys):
    photo = np.concatenate([sample(), sample()[:, ::-1]], axis=1)
    Image.fromarray(photo).save(tmp_path / "twins.png")
    Image.fromarray(sample()[95:, 150:]).save(tmp_path / "cut.png")
    base = ["--output", str(tmp_path / "out"), "--size", "64", "--overwrite"]
    assert align.main([str(tmp_path / "twins.png"), *base, "--face", "all"]) == 0
    lines = []
    assert len(face_choice.choose(photo, tmp_path / "twins.png", FaceChoice(), lines.append)) == 1
    assert "2 faces found, taking the surest of those of equal size, around x, y" in lines[0]
    assert align.main([str(tmp_path / "cut.png"), *base]) == 0
    assert "47% of its square is outside of the photo" in capsys.readouterr().err


@needs_dlib
def test_a_scratched_photo_with_two_faces_is_repaired_by_one_command(tmp_path, capsys, tiny_network):
    whole, mask = two_faces(), scratches((512, 900))
    damaged = np.where(mask[..., None] > 127, whole, np.uint8(250))
    exif = Image.Exif()
    exif[ExifTags.Base.Make] = "Maker"
    Image.fromarray(damaged).save(tmp_path / "us.png", exif=exif)
    Image.fromarray(mask).save(tmp_path / "mask.png")
    out = tmp_path / "out"
    command = [
        *("--task", "inpaint", "--image", tmp_path / "us.png", "--mask", tmp_path / "mask.png", "--already-degraded"),
        *("--face", "all", "--paste-back", "--steps", "6", "--output", out, "--model", tiny_network),
    ]
    command = [str(part) for part in command]
    assert invert.main(command) == 0
    assert sorted(file.name for file in out.iterdir()) == ["face-0", "face-1", "restored.png"]
    restored = photo_files.read_photo(out / "restored.png")
    hole = mask < 128
    np.testing.assert_array_equal(restored[~hole], damaged[~hole])
    # Mean error in the scratches: measured 12 of 255 levels, 111 before.
    assert np.abs(restored[hole].astype(int) - whole[hole]).mean() < 25
    with Image.open(out / "restored.png") as picture:
        assert picture.getexif()[ExifTags.Base.Make] == "Maker"
    assert "2 faces put back; " in capsys.readouterr().err
    # What is finished is pasted again without another step, in another format.
    assert invert.main([*command, "--resume", "--paste-format", "tiff"]) == 0
    np.testing.assert_array_equal(photo_files.read_photo(out / "restored.tif"), restored)
    assert "holds another run" in refused(capsys, invert.main, *command)


@needs_dlib
def test_a_gray_photo_gets_colours_and_keeps_its_luminance(tmp_path, tiny_network):
    gray = np.asarray(Image.fromarray(sample()).convert("L"))
    Image.fromarray(gray).save(tmp_path / "gray.png")
    arguments = ["--task", "colorize", "--image", str(tmp_path / "gray.png"), "--already-degraded", "--paste-back"]
    arguments += ["--steps", "6", "--model", tiny_network]
    assert invert.main([*arguments, "--output", str(tmp_path / "out")]) == 0
    with Image.open(tmp_path / "out" / "restored.png") as picture:
        assert picture.mode == "RGB"
        pixels = np.asarray(picture).astype(int)
    assert np.abs(pixels.mean(axis=2) - gray).max() <= 0.5  # the luminance is the mean of R, G and B
    colours = np.ptp(pixels, axis=2)
    assert colours[130, 224] > 5 and colours[400:].max() == 0  # the face, and below it
    assert (tmp_path / "out" / "config.json").exists()  # one face: its files are beside the photo's


NETWORK = type("Network", (), {"resolution": 64, "alignment_scale": 0.74})


def job_of(path: Path, damage: Damage, *, already_aligned: bool = False, paste_format: str = "png") -> Job:
    """What the pipeline hands on for a photograph with one face."""
    faces = FaceChoice() if already_aligned else FaceChoice(eyes=(EYES,))
    inversion = Method.of(InversionConfig.for_task(damage.task, *damage.also))
    asked = (damage, Completion(), faces, already_aligned, None, "default", inversion, None)
    return Job(path, path.parent, *asked, (0,), None, paste_format, 25, 30.0, {})


def finished(job: Job):
    """Crops of a photograph with the runs that would have restored them: each gives its crop back, but redder."""
    runs = []
    for crop in crops.load(job, NETWORK, say=print):
        run = job.folder / f"run-{crop.index}"
        run.mkdir()
        redder = np.clip(crop.pixels + np.array([30, 0, 0]), 0, 255).astype(np.uint8)
        images.write_png(run / "reconstruction.png", redder)
        images.write_png(run / "restoration.png", redder)
        runs.append((crop, run))
    return runs


@pytest.mark.parametrize("task", ["invert", "inpaint", "deblur", "colorize"])
@pytest.mark.parametrize("kind", ["8 bits", "16 bits"])
def test_every_task_leaves_the_other_pixels_alone(tmp_path, task, kind):
    path = tmp_path / "photo.png"
    photo = sample()
    if kind == "16 bits":
        pytest.importorskip("imagecodecs")
        photo = photo.astype(np.uint16) * 256 + 77
        deep_png.write(path, photo, [])
    else:
        Image.fromarray(photo).save(path)
    job = job_of(path, Damage(task))
    runs = finished(job)
    lines = []
    written = paste_back.write(job, runs, 64, say=lines.append)
    pixels = photo_files.read(written).pixels
    assert pixels.dtype == photo.dtype
    y, x = np.mgrid[:512, :512]
    to_aligned = runs[0][0].placement.to_aligned
    u = np.stack([x + 0.5, y + 0.5, np.ones_like(x)], axis=-1) @ to_aligned.T / 64
    outside = ((u < 0) | (u > 1)).any(axis=-1)
    np.testing.assert_array_equal(pixels[outside], photo[outside])
    assert (pixels[~outside] != photo[~outside]).any()
    assert "the others are the photograph's own" in lines[0]
    if task == "inpaint":  # only the strokes, which are a part of the square
        assert 0.02 < (pixels != photo).any(axis=-1)[~outside].mean() < 0.5


def test_a_mask_of_the_whole_photo_reaches_the_crop(tmp_path):
    Image.fromarray(sample()).save(tmp_path / "photo.png")
    mask = np.full((512, 512), 255, np.uint8)
    mask[120:150, 200:250] = 0  # over the mouth
    Image.fromarray(mask).save(tmp_path / "mask.png")
    job = job_of(tmp_path / "photo.png", Damage("inpaint", mask=tmp_path / "mask.png"))
    (crop,) = crops.load(job, NETWORK, say=print)
    assert crop.mask.shape == (64, 64) and 0.02 < (crop.mask == 0).mean() < 0.3
    back = paste.hole_of_mask(crop.mask, crop.placement, (512, 512))
    # The hole of the crop covers that of the photo, and little more: a pixel of the crop is 1.9 of the photo.
    hole = mask < 128
    assert back[hole].all() or back[hole].mean() > 0.97
    assert back[~hole].sum() < 0.25 * hole.sum()


def test_a_mask_that_hides_all_or_nothing_of_the_face_is_refused(tmp_path, capsys, tiny_network):
    Image.fromarray(sample()).save(tmp_path / "photo.png")
    beside, over = np.full((512, 512), 255, np.uint8), np.full((512, 512), 255, np.uint8)
    beside[400:450], over[:300] = 0, 0
    Image.fromarray(beside).save(tmp_path / "beside.png")
    Image.fromarray(over).save(tmp_path / "over.png")
    Image.fromarray(beside[:100, :90]).save(tmp_path / "other.png")
    base = ["--task", "inpaint", "--image", tmp_path / "photo.png", "--eyes", EYES, "--output", tmp_path / "out"]
    base += ["--model", tiny_network, "--steps", "6"]
    assert "hides nothing of the face" in refused(capsys, invert.main, *base, "--mask", tmp_path / "beside.png")
    assert "hides all of face 0" in refused(capsys, invert.main, *base, "--mask", tmp_path / "over.png")
    message = refused(capsys, invert.main, *base, "--mask", tmp_path / "other.png")
    assert "is 90x100; expected 16x16, the size of the aligned image" in message and "or 512x512" in message
    assert not (tmp_path / "out").exists()
    # Pasted together, the photo is repaired beside the face, too.
    assert invert.main([str(part) for part in [*base, "--mask", tmp_path / "beside.png", "--paste-back"]]) == 0
    assert "a hidden face, too damaged to be found, needs --eyes" in capsys.readouterr().err
    restored = photo_files.read_photo(tmp_path / "out" / "restored.png")
    np.testing.assert_array_equal(restored[beside > 0], sample()[beside > 0])
    assert (restored[beside == 0] != sample()[beside == 0]).any()


def test_faces_do_not_get_folders_inside_the_run_of_one_face(tmp_path, capsys, tiny_network):
    base = ["--task", "invert", "--output", tmp_path / "out", "--model", tiny_network]
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("{}")
    message = refused(capsys, invert.main, *base, "--eyes", EYES, "300,300,340,300")
    assert "holds the run of one face" in message


def test_a_toned_photo_is_observed_gray(tmp_path):
    Image.fromarray((sample() * [1.0, 0.9, 0.7]).astype(np.uint8)).save(tmp_path / "toned.png")
    job = job_of(tmp_path / "toned.png", Damage("colorize", already_degraded=True))
    (crop,) = crops.load(job, NETWORK, say=print)
    assert (crop.pixels[..., :1] == crop.pixels).all()
    observed, assumed = degrade.observe(job.damage, crop.pixels, crop.mask)
    np.testing.assert_array_equal(observed, images.to_float(crop.pixels))
    np.testing.assert_allclose(assumed(observed), observed, atol=1e-6)


def test_several_faces_are_chosen_by_their_numbers(monkeypatch):
    found = [
        SimpleNamespace(landmarks=np.random.default_rng(i).uniform(0, 99, (68, 2)), box=(0, 0, 9, 9), score=1.0)
        for i in range(3)
    ]
    monkeypatch.setattr(faces, "find_faces", lambda photo, model, *, thorough: found if thorough else found[:1])
    choice = FaceChoice(face=(0, 2))
    chosen = face_choice.choose(sample(), Path("us.jpg"), choice, print)
    assert [face.index for face in chosen] == [0, 2] and choice.may_be_several
    with pytest.raises(UserError, match="us.jpg: there is no face 3, 7; found 3, numbered from 0"):
        face_choice.choose(sample(), Path("us.jpg"), FaceChoice(face=(3, 1, 7)), print)
    assert not FaceChoice(face=1).may_be_several


def test_a_square_of_the_photo_is_taken_instead_of_a_face(tmp_path, capsys, tiny_network):
    Image.fromarray(sample()).save(tmp_path / "photo.png")
    base = ["--task", "inpaint", "--mask-kind", "half", "--image", tmp_path / "photo.png", "--model", tiny_network]
    base += ["--output", tmp_path / "out", "--steps", "6", "--snapshot-every", "3"]
    assert "lies outside the photo" in refused(capsys, invert.main, *base, "--crop", "600,0,700,100")
    assert not (tmp_path / "out").exists()
    command = [*base, "--crop", "210,110,242,142", "--paste-back"]
    assert invert.main([str(part) for part in command]) == 0
    # Each pixel stands for 2x2 of the photo, which the recipe weights by Lanczos. Measured: 1.4 levels; one crop pixel
    # beside it, 10.
    truth = photo_files.read_photo(tmp_path / "out" / "truth.png").astype(int)
    assert np.abs(truth - images.resize(np.ascontiguousarray(sample()[110:142, 210:242]), 16)).mean() < 4
    changed = (photo_files.read_photo(tmp_path / "out" / "restored.png") != sample()).any(axis=-1)
    rows, columns = np.nonzero(changed)  # in the right half of the square
    assert rows.min() >= 110 and rows.max() < 142 and columns.min() >= 226 - 1 and columns.max() < 242
    assert json.loads((tmp_path / "out" / "config.json").read_text())["settings"]["crop"] == "210,110,242,142"


def test_a_mask_of_the_other_convention_is_noticed_and_inverted(tmp_path):
    Image.fromarray(sample()).save(tmp_path / "photo.png")
    mask = np.zeros((512, 512), np.uint8)
    mask[120:150, 200:250] = 255
    Image.fromarray(mask).save(tmp_path / "white_is_hole.png")
    damage = Damage("inpaint", mask=tmp_path / "white_is_hole.png")
    with pytest.raises(UserError, match=r"hides 99% of the picture; .* \(--invert-mask\); .* \(--trust-mask\)"):
        crops.load(job_of(tmp_path / "photo.png", damage), NETWORK, say=print)
    damage = dataclasses.replace(damage, invert_mask=True)
    np.testing.assert_array_equal(crops.photograph_hole(damage, (512, 512, 3), 64), mask > 0)
    (crop,) = crops.load(job_of(tmp_path / "photo.png", damage), NETWORK, say=print)
    assert 0.02 < (crop.mask == 0).mean() < 0.3


def test_the_noise_of_a_blurred_photo_is_estimated_and_told(tmp_path):
    noise = np.random.default_rng(0).normal(0, 6, (512, 512, 3))
    blurred = ndimage.gaussian_filter(sample().astype(float), (4, 4, 0))
    Image.fromarray(np.clip(np.rint(blurred + noise), 0, 255).astype(np.uint8)).save(tmp_path / "photo.png")
    lines = []
    job = job_of(tmp_path / "photo.png", Damage("deblur", already_degraded=True))
    (crop,) = crops.load(job, NETWORK, say=lines.append)
    # 1.2 pixels of the photo become one of the crop: less noise than its 6 levels. Measured: 4.0.
    assert 2 < crop.noise < 6 and f"face 0: its noise is estimated at {crop.noise:.2f} levels of 255" in lines[-1]
    stated = dataclasses.replace(job, completion=Completion(noise=3.0))
    assert crops.load(stated, NETWORK, say=print)[0].noise is None


def test_it_is_told_where_a_face_stays_as_soft_as_the_network(tmp_path):
    Image.fromarray(sample()).save(tmp_path / "photo.png")
    for task, told in (("deblur", True), ("inpaint", False)):
        job, lines = job_of(tmp_path / "photo.png", Damage(task)), []
        runs = finished(job)
        paste_back.write(job, runs, 64, say=lines.append)
        assert any("it stays as soft as the network" in line for line in lines) == told
        (tmp_path / "run-0").rename(tmp_path / task)


def test_it_is_told_where_holes_are_too_large_for_the_spline(tmp_path, monkeypatch):
    Image.fromarray(sample()).save(tmp_path / "photo.png")
    mask = np.full((512, 512), 255, np.uint8)
    mask[120:150, 200:250] = mask[400:410, 20:400] = 0
    Image.fromarray(mask).save(tmp_path / "mask.png")
    job = job_of(tmp_path / "photo.png", Damage("inpaint", mask=tmp_path / "mask.png"))
    runs, lines = finished(job), {}
    for limit in (220_000, 2_000):  # pixels
        monkeypatch.setattr(tension, "LARGEST_SOLVE", limit)
        lines[limit] = []
        paste_back.write(job, runs, 64, say=lines[limit].append)
    assert [any("by a membrane" in line for line in said) for said in lines.values()] == [False, True]


def test_an_aligned_crop_is_pasted_over_all_of_itself(tmp_path):
    Image.fromarray(images.resize(sample(), 200)).save(tmp_path / "crop.png")
    job = job_of(tmp_path / "crop.png", Damage("inpaint", mask_kind="half"), already_aligned=True)
    written = paste_back.write(job, finished(job), 64, say=print)
    pixels, photo = photo_files.read_photo(written), photo_files.read_photo(tmp_path / "crop.png")
    np.testing.assert_array_equal(pixels[:, :100], photo[:, :100])
    assert (pixels[:, 110:] != photo[:, 110:]).any(axis=2).mean() > 0.5
