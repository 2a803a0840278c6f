"""Sheets of labelled pictures."""

import numpy as np
import pytest

from experiments.runs import contact_sheet, pictures, report
from jaxgan import images
from jaxgan.photos import photo_files


def picture(height: int, width: int, level: int) -> np.ndarray:
    return np.full((height, width, 3), level, np.uint8)


def test_a_sheet_places_its_pictures_in_rows_below_their_labels():
    tiles = [("one", picture(10, 40, 10)), ("", picture(6, 50, 20)), ("three", picture(8, 30, 30))]
    sheet = pictures.sheet(tiles, columns=2, gap=3, bar=12, font_size=8)
    assert sheet.shape == (12 + 10 + 3 + 12 + 8, 40 + 3 + 50, 3)
    np.testing.assert_array_equal(sheet[12:22, :40], tiles[0][1])
    np.testing.assert_array_equal(sheet[12:18, 43:], tiles[1][1])
    np.testing.assert_array_equal(sheet[37:, :30], tiles[2][1])
    assert sheet[:12, :43].min() < 128 and (sheet[:12, 43:] == 255).all()  # a label, and none
    assert (sheet[22:25] == 255).all() and (sheet[18:, 43:] == 255).all()


def test_small_pictures_grow_by_whole_factors_and_large_ones_stay():
    small = np.arange(4 * 4 * 3, dtype=np.uint8).reshape(4, 4, 3)
    np.testing.assert_array_equal(pictures.enlarged(small, 10), small.repeat(3, 0).repeat(3, 1))
    assert pictures.enlarged(small, 4) is not None and pictures.enlarged(small, 4).shape == (4, 4, 3)
    np.testing.assert_array_equal(pictures.thumbnail(small, 8), small.repeat(2, 0).repeat(2, 1))
    assert pictures.thumbnail(picture(64, 64, 9), 8).shape == (8, 8, 3)


@pytest.mark.parametrize("size", [64, 1024])
def test_labels_of_a_panel_stay_over_their_pictures_and_name_the_size_of_lpips(size):
    """The gaps between the tiles are white from top to bottom: no label reaches into its neighbour."""
    text = report.numbers({"psnr": -10.25, "lpips": 0.1234, "lpips_size": size})
    assert text == f"-10.2 dB, LPIPS at {size} px 0.123"
    side = max(size, 256)
    panel = report.panel([(f"reconstruction degraded\n{text}", picture(size, size, 0))] * 3)
    assert panel.shape == (side + 44, 3 * side + 2 * 4, 3)
    for gap in (side, 2 * side + 4):
        assert (panel[:, gap : gap + 4] == 255).all() and not (panel[:44, gap - side : gap] == 255).all()


def test_a_contact_sheet_shows_the_best_of_every_face_and_counts_the_others(tmp_path, monkeypatch):
    for index, name in enumerate(("a", "b/face-0", "b/face-10", "b/face-2", "c")):
        (tmp_path / name).mkdir(parents=True)
        if name != "c":  # not finished
            images.write_png(tmp_path / name / "reconstruction.png", picture(16, 16, 50 * index))
            images.write_png(tmp_path / name / "observed.png", picture(16, 16, 0))
    monkeypatch.setattr(contact_sheet, "MOST", 3)
    contact_sheet.write(tmp_path / "sheet.png", [tmp_path / name for name in "abc"])
    sheet = photo_files.read_photo(tmp_path / "sheet.png")
    assert sheet.shape == (2 * (96 + 16) + 8, 3 * (4 * 96) + 2 * 8, 3)  # two of b; below, "and 1 more"
    levels = [sheet[60, 392 * column + 2 * 96 + 48, 0] for column in range(3)]
    assert levels == [0, 50, 150] and (sheet[136:] == 255).all()
    assert (sheet[16:, :96] == 255).all()  # there is no truth.png


@pytest.mark.parametrize("psnr", [None, float("inf")])
def test_equal_pictures_are_called_so(psnr):
    assert report.numbers({"psnr": psnr, "lpips": 0.0, "lpips_size": 128}) == "equal"
