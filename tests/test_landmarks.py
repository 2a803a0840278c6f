"""Files of landmarks, as programs that find faces write them."""

import json

import numpy as np
import pytest

from jaxgan.errors import UserError
from jaxgan.photos import alignment, landmarks

POINTS = np.random.default_rng(0).uniform(100, 300, (68, 2))
FIVE = np.array([[30.0, 40], [70, 40], [50, 60], [40, 90], [60, 90]])


@pytest.mark.parametrize(
    "array",
    [POINTS, POINTS[None], np.column_stack([POINTS, np.ones(68)]), np.column_stack([POINTS, np.ones(68)])[None]],
    ids=["[68, 2]", "[1, 68, 2]", "[68, 3]", "[1, 68, 3]"],
)
@pytest.mark.parametrize("kind", ["json", "txt", "npy", "align"])
def test_68_points_in_all_their_shapes(tmp_path, array, kind):
    path = tmp_path / f"face.{'npy' if kind == 'npy' else 'json' if kind == 'align' else kind}"
    if kind == "npy":
        np.save(path, array)
    elif kind == "txt":
        np.savetxt(path, array.reshape(68, -1), delimiter=", ")
    else:
        path.write_text(json.dumps(array.tolist() if kind == "json" else {"landmarks": array.tolist()}))
    read = landmarks.read(path)
    np.testing.assert_allclose(read.all_points, POINTS, rtol=1e-15)
    np.testing.assert_allclose(read.points.mouth, (POINTS[48] + POINTS[54]) / 2)


@pytest.mark.parametrize("array", [FIVE, FIVE[None], np.column_stack([FIVE, np.ones(5)])])
def test_5_points_give_the_quad_of_eyes_and_mouth(tmp_path, array):
    (tmp_path / "face.json").write_text(json.dumps(array.tolist()))
    read = landmarks.read(tmp_path / "face.json")
    assert read.all_points is None
    # By hand in test_alignment.test_quad_by_hand: the same eyes and mouth corners.
    np.testing.assert_allclose(
        alignment.quad_from_points(read.points).quad, [[-40, -45], [-40, 135], [140, 135], [140, -45]]
    )


def test_the_record_of_a_face_without_landmarks(tmp_path):
    points = {"eye_left": [30, 40], "eye_right": [70, 40], "mouth": [50, 90]}
    (tmp_path / "face.json").write_text("\ufeff" + json.dumps({"landmarks": None, "points": points}))
    read = landmarks.read(tmp_path / "face.json")
    assert read.all_points is None and read.points.mouth.tolist() == [50, 90]


@pytest.mark.parametrize(
    "name, content, match",
    [
        ("a.txt", "1 2\n3 4\n", r"it holds \[2, 2\] numbers; expected .* dlib's 68 points, or of 5"),
        ("a.txt", "words\n", "a.txt: expected"),
        ("a.json", "{}", "a.json: expected"),
        ("a.json", "[[1, 2", "a.json: expected"),
        ("a.json", json.dumps([POINTS.tolist()] * 2), r"it holds \[2, 68, 2\] numbers"),
        ("a.json", json.dumps([[float("nan"), 1]] * 5), "not finite"),
        ("a.npy", "no array", "a.npy: expected"),
    ],
)
def test_other_files_are_refused(tmp_path, name, content, match):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=match):
        landmarks.read(tmp_path / name)
    with pytest.raises(UserError, match="absent.txt: cannot be read"):
        landmarks.read(tmp_path / "absent.txt")
