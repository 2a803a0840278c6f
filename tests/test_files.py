import os

import pytest

from jaxgan.errors import UserError
from jaxgan.files import replacing, replacing_folder


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "record.json"
    path.write_text("old")
    with replacing(path, ".json") as temporary:
        temporary.write_text("new")
        assert temporary.suffix == ".json" and path.read_text() == "old"
    assert path.read_text() == "new" and os.listdir(tmp_path) == ["record.json"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "record.json"
    path.write_text("old")
    with pytest.raises(OSError, match="disk full"), replacing(path, ".json") as temporary:
        temporary.write_text("ne")
        raise OSError("disk full")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["record.json"]


def test_paths_that_cannot_be_written_to_are_told(tmp_path):
    (tmp_path / "folder.png").mkdir()
    for name, match in {
        "out.jpg": r"ends in \.png: write to out\.png",
        "absent/out.png": "there is no folder .*absent; create it",
        "folder.png": "a folder of that name",
    }.items():
        with pytest.raises(UserError, match=match), replacing(tmp_path / name, ".png"):
            pass
    assert os.listdir(tmp_path) == ["folder.png"]


def test_a_folder_appears_only_when_it_is_complete(tmp_path):
    path = tmp_path / "network"
    for content in ("old", "new"):
        with replacing_folder(path) as temporary:
            temporary.mkdir()
            (temporary / "weights").write_text(content)
            assert path.exists() == (content == "new")
        assert (path / "weights").read_text() == content and os.listdir(tmp_path) == ["network"]


def test_a_folder_that_another_process_made_meanwhile_stays(tmp_path):
    path = tmp_path / "network"
    with pytest.raises(OSError), replacing_folder(path) as temporary:
        temporary.mkdir()
        path.mkdir()
        (path / "weights").write_text("theirs")
    assert (path / "weights").read_text() == "theirs" and os.listdir(tmp_path) == ["network"]
