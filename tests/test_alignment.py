from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from jaxgan import images
from jaxgan.photos import alignment, photo_files

# Geometry and pictures of the published FFHQ recipe (NVlabs/ffhq-dataset 4826aa6, Pillow 13), computed by its own code
# on made-up landmarks and synthetic pictures. case0..9: output 1024, geometry only; image0..2: output 64, pictures.
REFERENCE = np.load(Path(__file__).parent / "reference" / "align_reference.npz")
CASES = [(f"case{i}", 1024) for i in range(10)] + [(f"image{i}", 64) for i in range(3)]


@pytest.fixture
def unchecked():
    """Turns jaxtyping's checks, which only tests have, off: what a user meets with a wrong array is our own message."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def hand_made_landmarks():
    """Eyes at (30, 40) and (70, 40), mouth corners at (40, 90) and (60, 90); the other points are not used."""
    landmarks = np.full((68, 2), 1000.0)
    landmarks[36:42], landmarks[42:48] = [30, 40], [70, 40]
    landmarks[48], landmarks[54] = [40, 90], [60, 90]
    return landmarks


def sample():
    return photo_files.read_photo(photo_files.sample_photo_path())


# Every stored number is met: largest difference measured 0 px in quads, integers equal.
@pytest.mark.parametrize("case, size", CASES)
def test_geometry_equals_the_published_recipe(case, size):
    expected = {key.removeprefix(f"{case}_"): REFERENCE[key] for key in REFERENCE.files if key.startswith(f"{case}_")}
    quad = alignment.alignment_quad(expected["landmarks"])
    photo_size = expected["image_size"] if "image_size" in expected else expected["source"].shape[1::-1]
    plan = alignment.plan_alignment(quad, (int(photo_size[0]), int(photo_size[1])), size)
    for name in ("c", "x", "y", "quad", "qsize"):
        np.testing.assert_allclose(getattr(quad, name), expected[name], rtol=0, atol=1e-6, err_msg=name)
    for name in ("quad_after_shrink", "qsize_after_shrink", "quad_after_crop", "quad_final"):
        np.testing.assert_allclose(getattr(plan, name), expected[name], rtol=0, atol=1e-6, err_msg=name)
    for name in ("shrink", "shrunk_size", "border", "crop", "pad_initial", "pad"):
        np.testing.assert_array_equal(getattr(plan, name), expected[name], err_msg=name)
    left, top, right, bottom = plan.crop
    np.testing.assert_array_equal([right - left, bottom - top], expected["cropped_size"])
    assert any(plan.pad) == expected["pad_applied"]
    np.testing.assert_allclose((plan.quad_final + 0.5).ravel(), expected["transform_quad"], rtol=0, atol=1e-6)


# Measured: equal in every pixel (Pillow 13). One level is allowed for other versions of Pillow and SciPy.
@pytest.mark.parametrize("case", ["image0", "image1", "image2"])
def test_pictures_equal_the_published_recipe(case):
    aligned = alignment.align(REFERENCE[f"{case}_source"], REFERENCE[f"{case}_landmarks"], 64)
    np.testing.assert_allclose(aligned.astype(int), REFERENCE[f"{case}_aligned"], rtol=0, atol=1)


def test_quad_by_hand():
    # eye_to_eye = (40, 0), eye_to_mouth = (0, 50), so x = (40 + 50, 0), normalised (1, 0), times max(2 * 40, 1.8 * 50).
    quad = alignment.alignment_quad(hand_made_landmarks())
    np.testing.assert_allclose(quad.x, [90, 0])
    np.testing.assert_allclose(quad.y, [0, 90])
    np.testing.assert_allclose(quad.c, [50, 45])  # between the eyes, and a tenth of the way to the mouth
    np.testing.assert_allclose(quad.quad, [[-40, -45], [-40, 135], [140, 135], [140, -45]])
    assert quad.qsize == pytest.approx(180)


def test_wide_eyes_set_the_size():
    landmarks = hand_made_landmarks()
    landmarks[42:48] = [90, 40]  # 2.0 * 60 is more than 1.8 * |(-10, 50)| = 91.8
    assert alignment.alignment_quad(landmarks).qsize == pytest.approx(240)


def test_scale_enlarges_about_the_centre():
    full, tight = (alignment.alignment_quad(hand_made_landmarks(), scale=scale) for scale in (1.0, 0.74))
    np.testing.assert_allclose(tight.c, full.c)
    np.testing.assert_allclose(tight.quad - full.c, 0.74 * (full.quad - full.c))
    assert tight.qsize == pytest.approx(0.74 * full.qsize)


# Up to 7e4 px in float64: differences measured up to 3e-11 px.
@settings(deadline=None)
@given(
    angle=st.floats(0, 6.3),
    factor=st.floats(0.1, 10),
    shift=st.tuples(*[st.floats(-1e3, 1e3)] * 2),
    i=st.integers(0, 9),
)
def test_quad_follows_the_face(angle, factor, shift, i):
    landmarks = REFERENCE[f"case{i}_landmarks"]
    turn = factor * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    before, after = alignment.alignment_quad(landmarks), alignment.alignment_quad(landmarks @ turn + shift)
    np.testing.assert_allclose(after.quad, before.quad @ turn + shift, rtol=0, atol=1e-9)
    np.testing.assert_allclose(after.qsize, before.qsize * factor, rtol=1e-12)


@settings(deadline=None)
@given(i=st.integers(0, 9), scale=st.floats(0.3, 3))
def test_quad_is_a_square_with_upright_corner_order(i, scale):
    quad = alignment.alignment_quad(REFERENCE[f"case{i}_landmarks"], scale=scale)
    sides = np.roll(quad.quad, -1, axis=0) - quad.quad
    np.testing.assert_allclose(np.hypot(*sides.T), quad.qsize)
    np.testing.assert_allclose((sides * np.roll(sides, -1, axis=0)).sum(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(quad.quad.mean(axis=0), quad.c)
    assert quad.x[0] * quad.y[1] - quad.x[1] * quad.y[0] > 0  # y is x turned clockwise on the screen, no mirror image


def test_mirrored_photo_gives_the_mirrored_picture():
    photo, landmarks = REFERENCE["image0_source"], REFERENCE["image0_landmarks"]
    mirrored = landmarks * [-1, 1] + [photo.shape[1] - 1, 0]
    # A mirror image swaps left and right: eyes 36-41 and 42-47, mouth corners 48 and 54.
    mirrored[36:48] = mirrored[[*range(42, 48), *range(36, 42)]]
    mirrored[[48, 54]] = mirrored[[54, 48]]
    aligned = alignment.align(photo, landmarks, 64).astype(int)
    again = alignment.align(np.ascontiguousarray(photo[:, ::-1]), mirrored, 64)[:, ::-1]
    # Measured: equal. One level, because positions are rounded differently.
    np.testing.assert_allclose(aligned, again, rtol=0, atol=1)


def test_align_cuts_out_whole_pixels_where_the_quad_is_upright():
    # Quad [-40 .. 140] x [-45 .. 135] moved by (60.5, 59.5) and scaled by 64 / 180 is the square 64 wide around
    # c = (110.5, 104.5): the pixels 79..142 and 73..136, taken one to one.
    photo = np.random.default_rng(0).integers(0, 256, (240, 240, 3), dtype=np.uint8)
    aligned = alignment.align(photo, np.add(hand_made_landmarks(), [60.5, 59.5]), 64, scale=64 / 180, supersampling=1)
    np.testing.assert_array_equal(aligned, photo[73:137, 79:143])


def test_demo_sampling_is_block_means_of_twice_the_size():
    photo = sample()
    landmarks = hand_made_landmarks() * 1.5 + [140.3, 70.6]
    plan = alignment.plan_alignment(alignment.alignment_quad(landmarks, scale=0.74), (512, 512), 128)
    left, top, right, bottom = plan.crop
    assert plan.shrink < 2 and not any(plan.pad)
    corners = (plan.quad_final + 0.5).ravel().tolist()
    cropped = Image.fromarray(photo[top:bottom, left:right])
    sampled = np.asarray(cropped.transform((128, 128), Image.Transform.QUAD, corners, Image.Resampling.BILINEAR))
    means = sampled.reshape(64, 2, 64, 2, 3).mean(axis=(1, 3))
    aligned = images.resize(alignment.align(photo, landmarks, 128, scale=0.74, supersampling=1), 64)
    np.testing.assert_allclose(aligned, means, atol=0.5)


def test_padding_fades_to_the_median_and_keeps_the_inside():
    photo = np.zeros((100, 120, 3), np.uint8) + np.array([10, 120, 240], np.uint8)
    photo[40:60, 50:70] = 200
    padded = alignment._pad(photo, (60, 45, 30, 30), qsize=100.0)
    assert padded.shape == (175, 210, 3)
    # The outermost pixels are the median, here the background; the middle is further inside than the blur reaches.
    for edge in (padded[0], padded[-1], padded[:, 0], padded[:, -1]):
        np.testing.assert_array_equal(edge, np.broadcast_to([10, 120, 240], edge.shape))
    np.testing.assert_array_equal(padded[80:110, 105:135], photo[35:65, 45:75])


def test_wide_blur_on_a_reduced_copy_changes_nothing_visible(monkeypatch):
    photo = np.asarray(Image.fromarray(sample()).resize((640, 560)))
    landmarks = hand_made_landmarks() * 5.2 + [60, -100]  # qsize 936: sigma 18.7, on a copy of half the size
    aligned = alignment.align(photo, landmarks, 256).astype(int)
    monkeypatch.setattr(alignment, "_blur", ndimage.gaussian_filter)
    error = np.abs(aligned - alignment.align(photo, landmarks, 256))
    assert 0 < error.max() <= 2 and error.mean() < 0.3  # measured: 1 and 0.03 of 255


@pytest.mark.parametrize(
    "change, match",
    [
        (lambda p: p[:67], r"shape \(67, 2\); expected \(68, 2\)"),
        (lambda p: p.T, r"shape \(2, 68\)"),
        (lambda p: np.where(np.arange(68)[:, None] == 5, np.nan, p), r"landmarks \[5\] are not finite"),
        (lambda p: np.where(np.arange(68)[:, None] == 60, np.inf, p), r"landmarks \[60\] are not finite"),
        (lambda p: p * 0 + 7, "landmarks span no face"),
        # Both eyes 50 apart and swapped, the mouth 50 below: x = (-50 + 50, 0).
        (lambda p: np.where(p == 30, 75, np.where(p == 70, 25, p)), "landmarks span no face"),
    ],
)
def test_bad_landmarks_are_refused(change, match, unchecked):
    with pytest.raises(ValueError, match=match):
        alignment.align(np.zeros((200, 200, 3), np.uint8), change(hand_made_landmarks()), 64)


def test_bad_options_are_refused(unchecked):
    photo, landmarks = np.zeros((200, 200, 3), np.uint8), hand_made_landmarks()
    for scale in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=f"scale is {scale}; expected a positive number"):
            alignment.align(photo, landmarks, 64, scale=scale)
    with pytest.raises(ValueError, match="size is 0"):
        alignment.align(photo, landmarks, 0)
    with pytest.raises(ValueError, match="supersampling is 0"):
        alignment.align(photo, landmarks, 64, supersampling=0)
    with pytest.raises(ValueError, match=r"photo \[H, W, 3\] of uint8, got float64 \[9, 9, 3\]"):
        alignment.align(np.zeros((9, 9, 3)), landmarks, 64)
    with pytest.raises(ValueError, match="face is 1.8 pixels wide; expected at least 4"):
        alignment.align(photo, landmarks / 100, 64)


# Without this check the padding would take as much memory as the distance asks for.
@pytest.mark.parametrize("shift", [(1e9, 0), (-1e9, 0), (0, 400), (0, -500)])
def test_face_outside_the_photo_is_refused(shift):
    with pytest.raises(ValueError, match="lies outside the photo of 200x200 pixels"):
        alignment.align(np.zeros((200, 200, 3), np.uint8), hand_made_landmarks() + shift, 64)


def test_huge_face_in_a_small_photo_takes_little_memory():
    aligned = alignment.align(np.full((20, 30, 3), 9, np.uint8), hand_made_landmarks() * 1e6, 16)
    np.testing.assert_array_equal(aligned, np.full((16, 16, 3), 9))


def test_a_chosen_box_is_cut_out_pixel_by_pixel():
    photo = np.random.default_rng(0).integers(0, 256, (240, 260, 3), dtype=np.uint8)
    quad = alignment.quad_from_box(30.0, 50.0, 94.0, 114.0)
    np.testing.assert_array_equal(alignment.cut(photo, quad, 64, supersampling=1), photo[50:114, 30:94])
    place = alignment.placement(alignment.plan_alignment(quad, (260, 240), 64), (260, 240), 64)
    np.testing.assert_allclose(place.corners, [[30, 50], [30, 114], [94, 114], [94, 50]], atol=1e-9)


@pytest.mark.parametrize(
    "box, match",
    [
        ((10, 20, 110, 100), r"10,20,110,100 is 100x80 pixels; expected a square, for example 10,10,110,110"),
        ((10, 20, 10, 20), "10,20,10,20 is no box"),
        ((10, 20, 5, 15), "expected x0,y0,x1,y1 with x0 < x1"),
        ((0, 0, float("nan"), 1), "is no box"),
    ],
)
def test_boxes_that_are_no_squares_are_refused(box, match):
    with pytest.raises(ValueError, match=match):
        alignment.quad_from_box(*map(float, box))
