"""Which photographs files, folders and patterns name."""

import shutil
from pathlib import Path

import pytest

from jaxgan.errors import UserError
from jaxgan.photos.finding import find_photos

CASES = Path(__file__).parent / "cases"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with brackets in its name, with three photographs, a side file, a text and another folder."""
    monkeypatch.chdir(tmp_path)
    inside = Path("family [1952]")
    inside.mkdir()
    for name in ("saved_by_a_browser.jfif", "dpi_and_xmp.jpg", "._IMG_0001.jpg", "two_pages.tif"):
        shutil.copyfile(CASES / name, inside / name)
    (inside / "notes.jpg").write_text("no picture")
    (inside / "more.png").mkdir()
    return inside


def test_a_folder_gives_all_photographs_and_counts_the_rest(folder):
    found = find_photos([folder])
    assert [path.name for path in found.photos] == ["dpi_and_xmp.jpg", "saved_by_a_browser.jfif", "two_pages.tif"]
    assert found.note == "2 files are left out, being no photograph: ._IMG_0001.jpg, notes.jpg"


def test_a_folder_that_exists_is_no_pattern(folder):
    assert find_photos([folder / "*.jpg"]).photos == (folder / "dpi_and_xmp.jpg",)
    assert find_photos([folder.absolute() / "*.jpg"]).photos == (folder.absolute() / "dpi_and_xmp.jpg",)
    assert find_photos([Path("*/two*")]).photos == (folder / "two_pages.tif",)
    assert find_photos([Path("family*/*.tif")]).photos == (folder / "two_pages.tif",)


def test_named_files_are_taken_as_they_are_and_once(folder):
    named = [folder / "notes.jpg", folder / "two_pages.tif", folder, Path("absent.png")]
    found = find_photos(named)
    assert [path.name for path in found.photos[:2]] == ["notes.jpg", "two_pages.tif"]
    assert len(found.photos) == 5 and found.photos[-1] == Path("absent.png")
    assert find_photos(named[:2]).note is None


def test_nothing_found_is_told(folder):
    with pytest.raises(UserError, match="no photograph fits .*png"):
        find_photos([folder / "*.png"])
    with pytest.raises(UserError, match="no photograph fits absent/"):
        find_photos([Path("absent/*.png")])
    for path in folder.glob("*.*"):
        if path.is_file() and path.name not in ("notes.jpg", "._IMG_0001.jpg"):
            path.unlink()
    with pytest.raises(UserError, match="holds no photograph"):
        find_photos([folder])
