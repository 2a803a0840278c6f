"""The page in a real browser: every way from a damaged photograph to a result, and the ways to go wrong.

All tests share a server in this process, with a random network of 16x16 pixels, and one headless Chromium; each visitor
is a browser context of its own.
"""

import io
import json
import shlex
import shutil
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from experiments.invert import main
from experiments.page.limits import Limits
from jaxgan.batch import Batch
from jaxgan.photos import photo_files

sync_api = pytest.importorskip("playwright.sync_api", reason="drives a browser with the package playwright")
pytest.importorskip("gradio", reason="needs the extra jaxgan[app]")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("needs Chromium, as Debian's package of that name", allow_module_level=True)

STEPS = 20
LONG = 180_000  # milliseconds that a step of the page may take on a busy machine
DESKTOP, PHONE = {"width": 1100, "height": 900}, {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def server(narrow_lpips, tiny_network, tmp_path_factory):
    from experiments.page.server import serving

    folder, limits = tmp_path_factory.mktemp("app"), Limits(megabytes=2, searches=4)
    with serving("127.0.0.1", 0, folder, limits, models=[Path(tiny_network)], steps=STEPS) as running:
        running.folder = folder
        yield running


@pytest.fixture(scope="module")
def requested() -> set[str]:
    """The addresses that any page asked for."""
    return set()


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        yield playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])


@pytest.fixture
def visitor(browser, server, requested):
    """`visitor()` opens the page as somebody who was never there before; `visitor.log` keeps what went wrong."""
    contexts, wrong = [], []

    def arrive(viewport=DESKTOP, **settings):
        context = browser.new_context(viewport=viewport, **settings)
        context.set_default_timeout(LONG)
        contexts.append(context)
        return come_back(context)

    def come_back(context):
        page = context.new_page()
        page.on("request", lambda request: requested.add(request.url))
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
        page.goto(server.address)
        page.wait_for_selector("#drop .drop")
        return page

    arrive.again = come_back
    yield arrive
    for context in contexts:
        context.close()
    assert wrong == []


@pytest.fixture
def gate(monkeypatch):
    """Lets as many chunks of steps pass as it was released for."""
    semaphore, advance = threading.Semaphore(0), Batch.advance

    def wait(self, steps):
        assert semaphore.acquire(timeout=LONG / 1000)
        return advance(self, steps)

    monkeypatch.setattr(Batch, "advance", wait)
    yield semaphore
    semaphore.release(1000)


@pytest.fixture(scope="module")
def turned_photograph(tmp_path_factory):
    """A portrait that is larger than it is shown, and whose file is stored on its side."""
    upright = Image.open(photo_files.sample_photo_path()).convert("RGB").crop((0, 0, 512, 400)).resize((1280, 1000))
    stored, path = upright.transpose(Image.Transpose.ROTATE_90), tmp_path_factory.mktemp("photos") / "Grandma's day.jpg"
    stored.getexif()[ExifTags.Base.Orientation] = 6
    stored.save(path, quality=90, exif=stored.getexif())
    return path


def until(page, selector: str, text: str):
    """Waits for a text on the page."""
    page.locator(selector).filter(has_text=text).wait_for(state="attached")


def sample(page):
    page.click("#sample")
    page.wait_for_selector("#faces .marks button")


def upload(page, path):
    page.set_input_files("#drop input", path)


def choose_tiny_network(page):
    page.get_by_role("button", name="More choices").click()
    page.locator("#network input").click()
    page.get_by_role("option", name="tiny").click()


def stroke(page, *places):
    """Paints through places in shares of the picture's sides."""
    canvas = page.locator("#painter canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    points = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in places]
    page.mouse.move(*points[0])
    page.mouse.down()
    for point in points[1:]:
        page.mouse.move(*point, steps=3)
    page.mouse.up()


def is_painted(page, x: float, y: float) -> bool:
    script = (
        "([x, y]) => { const c = document.querySelector('#painter canvas'); return c.getContext('2d').getImageData("
    )
    script += "Math.floor(x * c.width), Math.floor(y * c.height), 1, 1).data[3] > 0; }"
    page.wait_for_function("() => document.querySelector('#painter img').naturalWidth > 0")
    return page.evaluate(script, [x, y])


def repair(page):
    page.click("#repair")
    page.wait_for_selector("#done .compare")
    page.wait_for_selector("#repair:not([disabled])")


def download(page, folder):
    """Downloads the zip, and unpacks it."""
    with page.expect_download() as event:
        page.click("#facts a.button-link")
    with zipfile.ZipFile(io.BytesIO(event.value.path().read_bytes())) as archive:
        archive.extractall(folder)
    (inside,) = folder.iterdir()
    assert event.value.suggested_filename == f"{inside.name}.zip"
    return inside


def assert_repeats(folder, monkeypatch) -> str:
    """Runs the command of a download inside of its folder, which gives the same files to the last bit."""
    command = (folder / "command.txt").read_text()
    monkeypatch.chdir(folder)
    assert main(shlex.split(command)[3:]) == 0
    assert (folder / "repeated" / "restored.png").read_bytes() == (folder / "restored.png").read_bytes()
    latents = sorted(path.relative_to(folder / "repaired") for path in (folder / "repaired").rglob("latents.npz"))
    assert latents
    for path in latents:
        assert (folder / "repeated" / path).read_bytes() == (folder / "repaired" / path).read_bytes()
    return command


def test_from_a_scratched_photograph_to_a_repaired_one(visitor, turned_photograph, tmp_path, monkeypatch):
    """The file is stored on its side, is larger than it is shown, and is painted on while it is enlarged."""
    page = visitor()
    upload(page, turned_photograph)
    page.wait_for_selector("#faces .marks button")
    assert "One face was found" in page.inner_text("#faces-note")
    choose_tiny_network(page)
    page.click("#painter .in")
    stroke(page, (0.30, 0.20), (0.38, 0.20))
    page.click("#preview")
    page.wait_for_selector("#known img")
    repair(page)
    assert page.locator("#attempt-strip button").count() == 0
    folder = download(page, tmp_path)
    assert (folder / "photograph" / turned_photograph.name).read_bytes() == turned_photograph.read_bytes()
    missing = np.asarray(Image.open(folder / "mask.png")) == 0
    assert missing.shape == (1000, 1280)
    rows, columns = np.nonzero(missing)
    assert (columns.mean() / 1280, rows.mean() / 1000) == pytest.approx((0.34, 0.20), abs=0.005)
    assert columns.max() - columns.min() == pytest.approx((0.08 + 0.03) * 1280, abs=10)
    before = photo_files.read_photo(turned_photograph)
    changed = (photo_files.read_photo(folder / "restored.png") != before).any(axis=-1)
    assert changed.any() and not changed[~missing].any()
    assert json.loads((folder / "settings.json").read_text())["attempts"] == 1
    command = assert_repeats(folder, monkeypatch)
    assert "--batch-size 1" in command and f"--steps {STEPS}" in command


def test_the_mask_survives_a_run_other_tasks_and_a_reload(visitor):
    page = visitor()
    sample(page)
    choose_tiny_network(page)
    stroke(page, (0.40, 0.25), (0.45, 0.25))
    stroke(page, (0.7, 0.7))
    assert is_painted(page, 0.42, 0.25) and is_painted(page, 0.7, 0.7)
    page.click("#painter .undo")
    assert is_painted(page, 0.42, 0.25) and not is_painted(page, 0.7, 0.7)
    page.click("#painter [data-tool=eraser]")
    stroke(page, (0.45, 0.25))
    assert is_painted(page, 0.40, 0.25) and not is_painted(page, 0.45, 0.25)
    for _ in range(2):  # another task and back
        page.get_by_label("Scratches").click()
        page.get_by_label("The colours are gone").click()
    page.wait_for_selector("#painter canvas:visible")
    repair(page)
    assert is_painted(page, 0.40, 0.25) and not is_painted(page, 0.45, 0.25)
    again = visitor.again(page.context)  # a second tab
    again.wait_for_selector("#done .compare")
    again.wait_for_selector("#faces .marks button")
    assert is_painted(again, 0.40, 0.25) and not is_painted(again, 0.45, 0.25)
    assert again.locator("#earlier button").count() == 1
    again.click("#more")  # paint on with the result as the photograph
    until(again, "#drop", "astronaut-repaired.png")
    assert again.locator("#faces .marks button").count() == 1
    again.wait_for_function(
        "() => { const c = document.querySelector('#painter canvas');"
        " return !c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v > 0); }"
    )
    again.on("dialog", lambda dialog: dialog.accept())
    again.click("#clear")
    again.wait_for_selector("#desk", state="hidden")
    assert again.locator("#earlier button").count() == 0


def test_cancel_keeps_the_best_so_far(visitor, gate, tmp_path, monkeypatch):
    page = visitor()
    sample(page)
    choose_tiny_network(page)
    stroke(page, (0.35, 0.2), (0.45, 0.25))
    page.click("#repair")
    page.wait_for_selector("#cancel")
    gate.release()
    page.wait_for_selector("#live img")
    until(page, "#progress", "Step 5 of 20")
    first = page.get_attribute("#live img", "src")
    gate.release()
    until(page, "#progress", "Step 10 of 20")
    assert "left" in page.inner_text("#progress")
    page.wait_for_function("(first) => document.querySelector('#live img').src !== first", arg=first)
    page.click("#cancel")
    until(page, "#progress", "keeping the best")
    gate.release(1000)
    page.wait_for_selector("#done .compare")
    assert "You cancelled after step 15" in page.text_content("#facts")
    folder = download(page, tmp_path)
    command = assert_repeats(folder, monkeypatch)
    assert "--stop-after 15" in command
    assert len((folder / "repaired" / "losses.csv").read_text().splitlines()) == 1 + 15


def test_one_of_several_faces_and_of_several_attempts(visitor, tmp_path, monkeypatch):
    page = visitor()
    upload(page, photo_files.sample_photo_path().parent / "two_portraits.jpg")
    page.wait_for_selector("#faces .marks button:nth-of-type(2)")
    assert page.locator("#faces .marks button").all_inner_texts() == ["✓ 1", "✓ 2"]
    page.get_by_label("Face 1").click()
    until(page, "#faces-note", "1 of them")
    page.get_by_label("Scratches").click()
    page.get_by_label("The colours are gone").click()
    choose_tiny_network(page)
    page.locator("#attempts input[type=number]").fill("2")
    page.locator("#attempts input[type=number]").press("Tab")
    repair(page)
    strip = page.locator("#attempt-strip button")
    assert strip.count() == 2
    taken = [button.get_attribute("aria-pressed") for button in strip.all()]
    other = taken.index("false")
    strip.nth(other).click()
    until(page, "#facts", f"--keep seed-{other}")
    command = assert_repeats(download(page, tmp_path), monkeypatch)
    assert "--landmarks face-2.json" in command and "--restarts 2" in command and "--batch-size 2" in command


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad")
    (folder / "letter.jpg").write_text("Dear Sir or Madam")
    Image.new("RGB", (1, 1)).save(folder / "dot.png")
    Image.new("1", (20_000, 10_000)).save(folder / "huge.png")
    (folder / "long.bmp").write_bytes(bytes(2_100_000))
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    Image.fromarray(noise).save(folder / "noise.png")
    return folder


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_bad_uploads_are_told_and_a_face_that_is_not_found_is_pointed_at(visitor, bad_files, viewport):
    page = visitor(viewport, has_touch=viewport is PHONE)
    for name, message in (
        {
            "letter.jpg": "letter.jpg: not an image in a known format",
            "dot.png": "dot.png: the image is 1x1 pixels; expected 16x16 or more",
            "huge.png": "huge.png: the image has more than 179 million pixels; expected at most 100 million",
            "long.bmp": "long.bmp: the file has more than 2 million bytes",
        }.items()
        if viewport is DESKTOP
        else ()
    ):
        upload(page, bad_files / name)
        page.wait_for_function(
            "(text) => document.querySelector('#drop .problem').innerText.includes(text)", arg=message
        )
    upload(page, bad_files / "noise.png")
    page.wait_for_selector("#faces .stage.pointing img")
    assert "Click the centre of one eye" in page.inner_text("#faces-note")
    page.click("#repair")
    until(page, "#run-problem", "No face was found")
    stage = page.locator("#faces .stage")
    box = stage.bounding_box()
    stage.click(position={"x": 0.4 * box["width"], "y": 0.45 * box["height"]})
    until(page, "#faces-note", "other eye")
    stage.focus()  # the other one by keyboard: the cursor begins in the middle
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    page.wait_for_selector("#faces polygon")
    page.focus("#painter canvas")
    for key in (" ", "ArrowRight", "ArrowDown", " "):
        page.keyboard.press(key)
    assert is_painted(page, 0.5, 0.5)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= viewport["width"]
    if viewport is PHONE:
        choose_tiny_network(page)
        repair(page)
        slider = page.locator("#compare input")
        slider.focus()
        page.keyboard.press("End")
        assert page.locator("#compare .before").evaluate("image => image.style.clipPath") == "inset(0px 0% 0px 0px)"
        assert page.evaluate("document.scrollingElement.scrollWidth") <= viewport["width"]


def test_two_people_queue_and_do_not_mix(visitor, gate, server):
    anna, bert = visitor(), visitor()
    for page, place in ((anna, 0.3), (bert, 0.5)):
        sample(page)
        choose_tiny_network(page)
        stroke(page, (place, 0.25), (place + 0.1, 0.25))
    anna.click("#repair")
    anna.wait_for_selector("#cancel")
    bert.click("#repair")
    until(bert, "#progress", "One repair is before yours")
    bert.close()  # what waits or runs is found again
    bert = visitor.again(bert.context)
    until(bert, "#progress", "One repair is before yours")
    gate.release(1000)
    for page in (anna, bert):
        page.wait_for_selector("#done .compare")
    address = anna.get_attribute("#compare .after", "src")
    assert anna.request.get(server.address + address).status == 200
    assert bert.request.get(server.address + address).status == 404
    for page, inside, outside in ((anna, 0.31, 0.59), (bert, 0.59, 0.31)):
        assert page.locator("#earlier button").count() == 1
        assert is_painted(page, inside, 0.25) and not is_painted(page, outside, 0.25)


def test_no_page_asked_any_other_machine(server, requested):
    """It comes last, and looks at what all pages of this file asked for."""
    assert len(requested) > 20
    assert {url for url in requested if not url.startswith((server.address, "data:", "blob:"))} == set()
