"""What is painted lies where it was painted, at every size of the photograph."""

import numpy as np
import pytest

from experiments.page import drafts, strokes
from experiments.page.drafts import Draft
from experiments.page.strokes import Stroke


def centre(hole: np.ndarray) -> tuple[float, float]:
    """The centre of what is missing, in shares of the sides."""
    rows, columns = np.nonzero(hole)
    return (columns.mean() + 0.5) / hole.shape[1], (rows.mean() + 0.5) / hole.shape[0]


@pytest.mark.parametrize("size", [(40, 30), (400, 300), (3000, 4000)])
def test_a_dab_has_its_place_and_width_at_every_size(size):
    hole = strokes.draw([Stroke(((0.25, 0.75),), width=0.1)], size)
    assert hole.shape == size[::-1]
    assert centre(hole) == pytest.approx((0.25, 0.75), abs=1 / min(size))  # Pillow rounds to a pixel
    across = hole.any(axis=0).sum()
    assert across == pytest.approx(0.1 * max(size), abs=2)


def test_a_line_joins_its_points():
    hole = strokes.draw([Stroke(((0.1, 0.5), (0.9, 0.5)), width=0.04)], (200, 100))
    assert hole[50, 20:180].all() and not hole[:40].any() and not hole[60:].any()


def test_later_strokes_erase_and_clear_what_was_before():
    dab, wipe = Stroke(((0.5, 0.5),), 0.5), Stroke(((0.5, 0.5),), 0.2, erases=True)
    hole = strokes.draw([dab, wipe], (100, 100))
    assert not hole[50, 50] and hole[50, 35]
    below = np.ones((100, 100), bool)
    assert not strokes.draw([wipe], (100, 100), below)[50, 50] and strokes.draw([wipe], (100, 100), below)[0, 0]
    cleared = strokes.draw([dab, Stroke(())], (100, 100), below)
    assert not cleared.any()
    assert strokes.draw([Stroke(()), dab], (100, 100), below)[50, 50]


def test_what_a_browser_sent_is_checked():
    sent = [
        {"points": [[0.5, 0.25], [0.6, 0.3]], "width": 0.05, "erases": False},
        {"points": [], "width": 0, "erases": 1},
    ]
    assert strokes.read(sent) == (Stroke(((0.5, 0.25), (0.6, 0.3)), 0.05), Stroke((), 0.0, True))
    for wrong in (5, [5], [{"points": [[0.5]], "width": 1, "erases": False}], [{"points": []}]):
        with pytest.raises(ValueError, match="the painting cannot be read"):
            strokes.read(wrong)
    for wrong in (float("nan"), 1e9):
        with pytest.raises(ValueError, match="leaves the photograph"):
            strokes.read([{"points": [[wrong, 0]], "width": 0.1, "erases": False}])
    many = [[0.5, 0.5]] * (strokes.MOST_POINTS + 1)
    with pytest.raises(ValueError, match="more than 200000 points"):
        strokes.read([{"points": many, "width": 0.1, "erases": False}])


def test_a_mask_of_a_file_lies_below_what_is_painted(tmp_path):
    mask = np.ones((30, 40), np.float32)
    mask[:10] = 0
    drafts.keep_hole(tmp_path, mask)
    painted = ({"points": [[0.5, 0.9]], "width": 0.1, "erases": False},)
    hole = drafts.hole(tmp_path, Draft("a.png", (40, 30), painted=painted))
    assert hole[:10].all() and hole[27, 20] and not hole[15].any()


def test_a_draft_is_read_as_it_was_saved(tmp_path):
    painted = ({"points": [[0.5, 0.9]], "width": 0.1, "erases": False},)
    draft = Draft("a.png", (40, 30), painted, faces=(((1.0, 2.0),) * 68,), chosen=(0,), eyes=((1.0, 2.0), (3.0, 2.0)))
    drafts.save(tmp_path, draft)
    assert drafts.load(tmp_path) == draft
