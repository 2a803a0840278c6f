from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from jaxgan import tension
from jaxgan.photos import alignment, paste, tone

CASES = Path(__file__).parent / "cases"


def pattern(height=500, width=600, sigma=3, seed=0):
    """Smooth noise of full contrast: nothing finer than a few pixels."""
    values = np.random.default_rng(seed).uniform(0, 1, (height, width, 3))
    values = ndimage.gaussian_filter(values, (sigma, sigma, 0))
    return np.rint(255 * (values - values.min()) / np.ptp(values)).astype(np.uint8)


def cut(photo, size=128, degrees=0.0, side=240.0, centre=(300, 250)):
    """An aligned square of that side and turn around a place, and its placement."""
    angle = np.radians(degrees)
    x = side / 2 * np.array([np.cos(angle), np.sin(angle)])
    y, c = x[::-1] * [-1, 1], np.array(centre, dtype=np.float64)
    quad = alignment.AlignmentQuad(c, x, y, np.stack([c - x - y, c - x + y, c + x + y, c + x - y]), side)
    plan = alignment.plan_alignment(quad, (photo.shape[1], photo.shape[0]), size)
    return alignment.cut(photo, quad, size), alignment.placement(plan, (photo.shape[1], photo.shape[0]), size)


def inside(placement, photo, margin=0.0):
    """Pixels whose centres are in the square, further from its border than that share of its side."""
    y, x = np.mgrid[: photo.shape[0], : photo.shape[1]] + 0.5
    to_aligned = placement.to_aligned / placement.size
    u = np.stack([x, y, np.ones_like(x)], axis=-1) @ to_aligned.T
    return ((u > margin) & (u < 1 - margin)).all(axis=-1)


def psnr(a, b):
    return 10 * np.log10(255**2 / np.mean((a.astype(float) - b) ** 2))


# Measured: 47.9 to 50.6 dB, 45.3 where the square has been reduced to less than half. The issue asks for 35.
@pytest.mark.parametrize(
    "size, side, degrees",
    [(256, 240, 0), (256, 240, 17), (512, 240, -40), (200, 240, 90), (160, 240, 200), (128, 300, 10)],
)
def test_aligning_and_putting_back_gives_the_photo(size, side, degrees):
    photo = pattern()
    aligned, placement = cut(photo, size, degrees, side)
    pasted = paste.replace_faces(np.zeros_like(photo), [paste.RestoredFace(aligned, placement)], tone=None)
    full = inside(placement, photo, margin=paste.FADE + 0.01)
    assert psnr(pasted[full], photo[full]) > 35


@pytest.mark.parametrize("size", [64, 100, 300])
def test_the_way_back_is_exact_where_the_photo_is_reduced_first(size):
    # 900 pixels to 64: the recipe reduces by 7 and samples 3 pixels beside the quad. Waves of 300 pixels show it:
    # the difference to the photo is then -shift times the slope. Measured: up to 0.05 pixels.
    x = 2 * np.pi / 300 * np.arange(1000)
    photo = np.rint(128 + 100 * np.cos(x)[None, :, None] * np.ones((1000, 1, 3))).astype(np.uint8)
    aligned, placement = cut(photo, size, 0, 900, (500, 500))
    pasted = paste.replace_faces(np.zeros_like(photo), [paste.RestoredFace(aligned, placement)], tone=None)
    full = inside(placement, photo, margin=0.2)
    slope = -100 * 2 * np.pi / 300 * np.sin(x)[None, :, None] * np.ones_like(photo)
    difference = pasted.astype(float) - photo
    shift = -(difference[full] * slope[full]).sum() / (slope[full] ** 2).sum()
    assert abs(shift) < 0.3


@settings(deadline=None, max_examples=30)
@given(
    degrees=st.floats(-180, 180),
    side=st.floats(40, 400),
    x=st.floats(0, 300),
    y=st.floats(0, 200),
    task=st.sampled_from(["fill", "replace", "colour"]),
    dtype=st.sampled_from([np.uint8, np.uint16]),
)
def test_untouched_pixels_are_equal_bit_for_bit(degrees, side, x, y, task, dtype):
    generator = np.random.default_rng(0)
    photo = generator.integers(0, np.iinfo(dtype).max + 1, (200, 300, 3), dtype=dtype)
    before = photo.copy()
    _, placement = cut(pattern(200, 300), 32, degrees, side, (x, y))
    face = paste.RestoredFace(generator.integers(0, 256, (32, 32, 3), dtype=np.uint8), placement)
    touched = inside(placement, photo)
    if task == "fill":
        touched = generator.uniform(size=(200, 300)) < 0.1
        pasted = paste.fill_holes(photo, touched, [face], tone=None)
    else:
        pasted = (
            paste.colour_faces(photo, [face]) if task == "colour" else paste.replace_faces(photo, [face], tone=None)
        )
    np.testing.assert_array_equal(pasted[~touched], photo[~touched])
    np.testing.assert_array_equal(photo, before)
    assert pasted.dtype == dtype


def test_a_hole_is_filled_with_the_face_without_a_seam():
    photo = pattern(sigma=6)
    aligned, placement = cut(photo, 256)
    hole = np.zeros(photo.shape[:2], bool)
    hole[200:300, 250:340] = True
    damaged = np.where(hole[..., None], np.uint8(255), photo)
    smooth = paste.fill_holes(damaged, hole, [], tone=None)
    # The face, 40 levels too dark and too red: what the hole's border says about that is believed.
    tinted = np.clip(aligned.astype(int) - [20, 40, 40], 0, 255).astype(np.uint8)
    filled = paste.fill_holes(damaged, hole, [paste.RestoredFace(tinted, placement)], tone=None)
    # Measured: 54 dB, and 21 dB for the membrane alone.
    assert psnr(filled[hole], photo[hole]) > 35 > 25 > psnr(smooth[hole], photo[hole])
    np.testing.assert_array_equal(filled[~hole], photo[~hole])


def test_holes_beside_the_faces_are_filled_smoothly():
    photo = np.full((300, 400, 3), 90, np.uint8)
    _, placement = cut(photo, 64, side=100, centre=(100, 100))
    hole = np.zeros((300, 400), bool)
    hole[:, 300:305] = True
    damaged = np.where(hole[..., None], np.uint8(255), photo)
    face = paste.RestoredFace(np.zeros((64, 64, 3), np.uint8), placement)
    np.testing.assert_array_equal(paste.fill_holes(damaged, hole, [face], tone=None), photo)


def test_replaced_faces_have_no_seam():
    photo = np.full((500, 600, 3), 100, np.uint8)
    _, placement = cut(photo, 64, 20)
    pasted = paste.replace_faces(photo, [paste.RestoredFace(np.full((64, 64, 3), 200, np.uint8), placement)], tone=None)
    # The fade has its steepest slope, 1.5 / (0.15 * 240) of 100 levels, in the middle: 4.2 levels per pixel.
    steps = [np.abs(np.diff(pasted.astype(int), axis=axis)).max() for axis in (0, 1)]
    assert max(steps) <= 5 and pasted.max() == 200


def test_faces_that_overlap_share_their_pixels():
    photo = np.full((500, 600, 3), 100, np.uint8)
    faces = [
        paste.RestoredFace(np.full((64, 64, 3), value, np.uint8), cut(photo, 64, 0, 200, (x, 250))[1])
        for value, x in ((220, 220), (20, 340))
    ]
    pasted = paste.replace_faces(photo, faces, tone=None)
    assert (pasted[250, 190] == 220).all() and (pasted[250, 370] == 20).all()  # near the centres, alone
    assert np.abs(np.diff(pasted[250, :, 0].astype(int))).max() <= 12  # and no edge between
    np.testing.assert_array_equal(pasted[250, 280], [120] * 3)  # half way: equal parts of both, of weight 1 together
    np.testing.assert_allclose(paste.replace_faces(photo, faces[::-1], tone=None), pasted, atol=1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_colouring_keeps_the_luminance(dtype):
    levels = np.iinfo(dtype).max
    gray = np.random.default_rng(0).integers(0, levels + 1, (200, 240, 1), dtype=dtype)
    photo = np.repeat(gray, 3, axis=2)
    _, placement = cut(pattern(200, 240), 64, 10, 150, (120, 100))
    face = paste.RestoredFace(np.random.default_rng(1).integers(0, 256, (64, 64, 3), dtype=np.uint8), placement)
    pasted = paste.colour_faces(photo, [face])
    # Three roundings of half a level at most.
    assert np.abs(pasted.mean(axis=-1) - gray[..., 0]).max() <= 0.5001 + 1e-3 * levels / 255
    assert np.ptp(pasted.astype(int), axis=2).mean() > 0.02 * levels


def test_a_gray_photo_gets_no_colour():
    photo = np.repeat(pattern()[..., :1], 3, axis=2)
    _, placement = cut(photo, 64)
    face = paste.RestoredFace(pattern(64, 64, seed=1), placement)
    hole = inside(placement, photo, margin=0.3)
    gray = tone.find_tone(photo)
    for pasted in (paste.fill_holes(photo, hole, [face], tone=gray), paste.replace_faces(photo, [face], tone=gray)):
        assert (pasted[..., :1] == pasted).all() and (pasted != photo).any()


def test_low_frequencies_are_the_observed_ones():
    fine = np.random.default_rng(0).integers(-30, 31, (64, 64, 1))
    observed = np.full((64, 64, 3), [120, 100, 90], np.uint8)
    restored = (np.full((64, 64, 3), [80, 90, 130]) + fine).astype(np.uint8)
    matched = paste.with_low_frequencies_of(observed, restored)
    np.testing.assert_allclose(matched.mean(axis=(0, 1)), [120, 100, 90], atol=1)
    assert np.std(matched[..., 0]) == pytest.approx(np.std(restored[..., 0]), rel=0.05)  # the detail stays


def test_holes_with_and_without_a_face_are_splines_of_the_residual():
    """In the hole X + the spline of photo - X; here of a face that is one colour, so that X is its fade alone."""
    photo = pattern(200, 240, sigma=5)
    _, placement = cut(photo, 64, side=120, centre=(80, 100))
    face = paste.RestoredFace(np.full((64, 64, 3), 204, np.uint8), placement)
    hole = np.zeros((200, 240), bool)
    for part in (np.s_[90:110, 70:100], np.s_[60:66, 25:60], np.s_[150:160, 180:230]):  # inside, at the border, beyond
        hole[part] = True
    y, x = np.mgrid[:200, :240] + 0.5
    u = np.stack([x, y, np.ones_like(x)], axis=-1) @ (placement.to_aligned / 64).T
    t = np.clip(np.minimum(u, 1 - u) / paste.FADE, 0, 1)
    fade = 0.8 * np.prod(t * t * (3 - 2 * t), axis=-1)[..., None]
    expected = fade + tension.fill(photo / 255 - fade, hole, 0.029 * 120)  # the only face's side
    filled = paste.fill_holes(photo, hole, [face], tone=None)
    np.testing.assert_allclose(filled, np.clip(255 * expected, 0, 255), atol=0.51)  # rounding, and float32
    alone = paste.fill_holes(photo, hole, [], tone=None)
    expected = tension.fill(photo / 255, hole, 0.029 * 100)  # half the shorter side
    np.testing.assert_allclose(alone, np.clip(255 * expected, 0, 255), atol=0.51)


@pytest.mark.parametrize("toned", [False, True])
def test_large_holes_take_the_membrane_of_the_residual_instead(monkeypatch, toned):
    photo = pattern(sigma=20)
    photo = np.repeat(photo[..., :1], 3, axis=2) if toned else photo
    aligned, placement = cut(photo, 256)
    hole = np.zeros(photo.shape[:2], bool)
    hole[200:300, 250:340] = hole[20:25, 30:90] = True
    found = tone.find_tone(photo, hole)
    assert (found is not None) == toned
    damaged, face = np.where(hole[..., None], np.uint8(255), photo), paste.RestoredFace(aligned, placement)
    solved = paste.fill_holes(damaged, hole, [face], tone=found)
    monkeypatch.setattr(tension, "LARGEST_SOLVE", 1000)  # the small hole beside the face is still solved
    filled = paste.fill_holes(damaged, hole, [face], tone=found)
    small = np.zeros_like(hole)
    small[20:25, 30:90] = True
    np.testing.assert_array_equal(filled[small], solved[small])
    assert (filled[hole & ~small] != solved[hole & ~small]).any()
    assert psnr(filled[hole], photo[hole]) > 35  # measured: 55.3 and 55.5 dB
    np.testing.assert_array_equal(filled[~hole], photo[~hole])


def test_a_mask_of_the_crop_goes_to_the_photo():
    photo = pattern()
    mask = np.ones((64, 64), np.float32)
    mask[16:32, 8:24] = 0
    _, placement = cut(photo, 64, 0, 256, (300.5 - 1, 250.5 - 1))
    hole = paste.hole_of_mask(mask, placement, photo.shape)
    # One pixel of the crop is 4 of the photo: the square begins at (299.5 + 0.5 - 128) = 172, 122.
    rows, columns = np.nonzero(hole)
    np.testing.assert_allclose(
        [rows.min(), rows.max() + 1, columns.min(), columns.max() + 1], [186, 250, 204, 268], atol=1
    )
    # And back: which crop pixels does that hole cover?
    share = alignment.missing_share(hole, placement)
    np.testing.assert_allclose(share, 1 - mask, atol=0.3)
    np.testing.assert_array_equal(share > 0.5, mask == 0)


def test_thin_scratches_count_by_their_share():
    photo = pattern()
    _, placement = cut(photo, 64, 0, 128, (299.5, 249.5))
    hole = np.zeros(photo.shape[:2], bool)
    hole[:, 300] = True  # in the aligned image column (300 - 236) / 2 = 32, of which it covers half
    share = alignment.missing_share(hole, placement)
    np.testing.assert_allclose(share[:, 32], 0.5, atol=0.01)
    np.testing.assert_allclose(np.delete(share, 32, axis=1), 0, atol=0.01)
