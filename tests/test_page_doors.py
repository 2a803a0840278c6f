"""The doors of the page: uploads are measured and looked at, pictures are shown to their owner alone."""

import io

import numpy as np
import pytest
from PIL import Image

from experiments.page import storage
from experiments.page.limits import Limits
from experiments.page.storage import RECORD, Storage

TestClient = pytest.importorskip("starlette.testclient", reason="needs the extra jaxgan[app]").TestClient
from experiments.page import serving  # noqa: E402  (which needs the same packages)


@pytest.fixture
def store(tmp_path) -> Storage:
    return Storage(tmp_path / "app", 24)


def visitor(store: Storage, **limits) -> TestClient:
    """A browser that has opened the page, and sends its cookie."""
    client = TestClient(serving.Guard(serving.doors(store, Limits(**limits))))
    response = client.get("/")
    assert storage.is_visitor(response.cookies[serving.COOKIE])
    assert "HttpOnly" in response.headers["set-cookie"] and "SameSite=Strict" in response.headers["set-cookie"]
    return client


def png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.zeros((height, width, 3), np.uint8)).save(file, format="PNG")
    return file.getvalue()


def upload(client: TestClient, content: bytes, name: str = "a.png", door: str = "photograph") -> dict:
    return client.post(f"/upload/{door}", params={"name": name}, content=content).json()


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Großmutter & Opa (1952).png", "Großmutter & Opa (1952).png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\me.png", "me.png"),
        ("a\nb.png", "ab.png"),
        ("..", "photograph"),
        ("x" * 300 + ".png", "x" * 196 + ".png"),
    ],
)
def test_a_photograph_keeps_its_name_and_its_bytes(store, name, kept):
    client = visitor(store)
    answer = upload(client, png(20, 30), name)
    folder = store.find(client.cookies[serving.COOKIE], answer["name"])
    assert answer["file"] == kept and (folder / "photograph" / kept).read_bytes() == png(20, 30)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"Dear Sir or Madam", "a.png: not an image in a known format; expected PNG, JPEG"),
        (b"", "a.png: the file is empty"),
        (png(1, 1), "a.png: the image is 1x1 pixels; expected 16x16 or more"),
        (png(2000, 1001), "a.png: the image has 2000x1001 = 2.0 million pixels; expected at most 2 million"),
        (b"x" * 100_001, "a.png: the file has more than 0.1 million bytes, which is the most that this page takes"),
    ],
)
def test_what_is_no_photograph_is_told_and_leaves_nothing(store, content, message):
    client = visitor(store, megapixels=2, megabytes=0.1)
    assert upload(client, content)["error"].startswith(message)
    assert list(store.root.rglob("*/*")) == []


def test_a_bad_mask_leaves_the_draft(store):
    client = visitor(store)
    folder = store.find(client.cookies[serving.COOKIE], upload(client, png(20, 30))["name"])
    assert "not an image" in upload(client, b"text", "m.png", f"mask/{folder.name}")["error"]
    assert [path.name for path in folder.iterdir()] == ["photograph"]
    assert upload(client, png(20, 30), "m.png", f"mask/{folder.name}") == {"name": folder.name, "file": "m.png"}


def test_pictures_are_shown_to_their_owner_alone(store):
    client, other = visitor(store), visitor(store)
    folder = store.make(client.cookies[serving.COOKIE], "result")
    (folder / "views").mkdir()
    (folder / "views" / "after.jpg").write_bytes(b"picture")
    (folder / RECORD).write_text("{}")
    assert client.get(f"/mine/{folder.name}/after.jpg").content == b"picture"
    for name in (RECORD, "..%2Frecord.json", "before.jpg"):
        assert client.get(f"/mine/{folder.name}/{name}").status_code == 404
    for way in ("after.jpg", "download.zip"):
        assert other.get(f"/mine/{folder.name}/{way}").status_code == 404
    assert upload(other, png(20, 30), "m.png", f"mask/{folder.name}") == {"detail": "Not Found"}


def test_who_sends_no_cookie_is_told_so(store):
    client = TestClient(serving.Guard(serving.doors(store, Limits())))
    assert "allow cookies" in upload(client, png(20, 30))["error"]


def test_gradios_own_doors_for_files_are_closed_and_other_machines_forbidden(store):
    client = visitor(store)
    for way in ("upload", "file=/etc/passwd", "proxy=https://example.org/", "stream/x"):
        assert client.get(f"/gradio_api/{way}").json() == {"error": "closed"}
    policy = client.get("/").headers["content-security-policy"]
    assert "default-src 'self'" in policy and "http" not in policy
