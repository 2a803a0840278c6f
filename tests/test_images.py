import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from jaxgan import images
from jaxgan.errors import UserError
from jaxgan.photos import photo_files

RED, GREEN, BLUE, WHITE = [255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]


@pytest.fixture
def unchecked():
    """Turns jaxtyping's checks, which only tests have, off: what a user meets with a wrong array is our own message."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def quarters():
    """16x24 (height x width): red, green over blue, white."""
    picture = np.zeros((16, 24, 3), np.uint8)
    picture[:8, :12], picture[:8, 12:], picture[8:, :12], picture[8:, 12:] = RED, GREEN, BLUE, WHITE
    return picture


def test_to_float_and_back_is_the_identity():
    values = np.arange(256, dtype=np.uint8).reshape(4, 64)
    assert images.to_float(values).dtype == np.float32
    assert images.to_float(values)[0, 0] == -1 and images.to_float(values)[-1, -1] == 1
    np.testing.assert_array_equal(images.to_uint8(images.to_float(values)), values)


@given(st.floats(-3, 3, width=32))
def test_to_uint8_is_the_nearest_level(value):
    level = int(images.to_uint8(np.array([value], np.float32))[0])
    # Half a level is the largest distance; float32 adds less than 3e-5 levels.
    assert abs(min(max((value + 1) * 127.5, 0), 255) - level) <= 0.5 + 3e-5


def test_to_uint8_clips_and_rounds_half_to_even():
    # (x + 1) * 127.5 for x = 0 is 127.5, the tie between 127 and 128.
    assert images.to_uint8(np.array([-np.inf, -7, 0.0, 7, np.inf])).tolist() == [0, 0, 128, 255, 255]


def test_conversions_refuse_the_wrong_kind(unchecked):
    with pytest.raises(TypeError, match="takes uint8 .* not float32"):
        images.to_float(np.zeros((2, 2), np.float32))
    with pytest.raises(TypeError, match="takes floating-point .* not uint8"):
        images.to_uint8(np.zeros((2, 2), np.uint8))
    with pytest.raises(ValueError, match="1 NaN values of 4"):
        images.to_uint8(np.array([0, 1, np.nan, 0]))


def test_resize_by_whole_blocks_is_their_mean():
    image = np.arange(4 * 8 * 3, dtype=np.uint8).reshape(4, 8, 3)
    # Blocks of 2 rows and 4 columns: mean of 24 y + 3 x + channel over y in {0, 1}, x in {0, 1, 2, 3} is 12 + 4.5.
    blocks = image.reshape(2, 2, 2, 4, 3).mean(axis=(1, 3))
    np.testing.assert_array_equal(blocks[0, 0], [16.5, 17.5, 18.5])
    np.testing.assert_allclose(images.resize(image, 2), blocks, atol=0.5)


@pytest.mark.parametrize("size", [7, 16, 40])
def test_resize_keeps_a_constant_and_gives_a_square(size):
    image = np.full((16, 20, 3), 77, np.uint8)
    np.testing.assert_array_equal(images.resize(image, size), np.full((size, size, 3), 77))


def test_resize_antialiases():
    # One-pixel stripes reduced 2.5 times: their mean is 127.5; sampling without a filter would give 0 or 255.
    stripes = np.tile(np.array([0, 255], np.uint8)[None, :, None], (40, 20, 3))
    inner = images.resize(stripes, 16)[:, 2:-2]
    assert np.abs(inner - 127.5).max() < 5  # measured: 0.5


def test_resize_refuses_other_arrays(unchecked):
    with pytest.raises(ValueError, match=r"\[H, W, 3\] of uint8, got float32 \[4, 4, 3\]"):
        images.resize(np.zeros((4, 4, 3), np.float32), 2)
    with pytest.raises(ValueError, match="size is 0"):
        images.resize(np.zeros((4, 4, 3), np.uint8), 0)


@pytest.mark.parametrize("kind", ["uint8", "float"])
def test_png_keeps_every_pixel(tmp_path, kind):
    path = tmp_path / "out.png"
    path.write_bytes(b"old")
    images.write_png(path, quarters() if kind == "uint8" else images.to_float(quarters()))
    np.testing.assert_array_equal(photo_files.read_photo(path), quarters())
    assert os.listdir(tmp_path) == ["out.png"]


@pytest.mark.parametrize("name", ["out.png", "out.gif"])
def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, name):
    def disk_full(self, file, *args, **kwargs):
        file.write_bytes(b"half a pict")
        raise OSError(28, "No space left on device")

    (tmp_path / name).write_bytes(b"old")
    monkeypatch.setattr(Image.Image, "save", disk_full)
    with pytest.raises(OSError, match="No space left"):
        if name == "out.png":
            images.write_png(tmp_path / name, quarters())
        else:
            images.write_gif(tmp_path / name, [images.to_float(quarters())])
    assert (tmp_path / name).read_bytes() == b"old"
    assert os.listdir(tmp_path) == [name]


def test_png_is_not_written_to_a_bad_path_or_from_a_bad_array(tmp_path, unchecked):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(UserError, match=r"ends in \.png: write to out\.png"):
        images.write_png(tmp_path / "out.jpg", quarters())
    with pytest.raises(UserError, match="there is no folder .*absent; create it"):
        images.write_png(tmp_path / "absent" / "out.png", quarters())
    with pytest.raises(UserError, match="a folder of that name"):
        images.write_png(tmp_path / "folder.png", quarters())
    with pytest.raises(ValueError, match=r"\[H, W, 3\] of uint8, got uint8 \[16, 24\]"):
        images.write_png(tmp_path / "out.png", quarters()[..., 0])
    with pytest.raises(ValueError, match="NaN"):
        images.write_png(tmp_path / "out.png", np.full((16, 16, 3), np.nan))
    assert os.listdir(tmp_path) == ["folder.png"]


def test_gif_holds_every_frame_and_rests_on_the_last(tmp_path):
    sample = images.resize(photo_files.read_photo(photo_files.sample_photo_path()), 64)
    frames = [sample, sample[:, ::-1], sample[::-1]]
    images.write_gif(tmp_path / "out.gif", [images.to_float(frame) for frame in frames], milliseconds=80)
    with Image.open(tmp_path / "out.gif") as animation:
        assert animation.n_frames == 3 and animation.info["loop"] == 0
        for index, (frame, milliseconds) in enumerate(zip(frames, [80, 80, 1500], strict=True)):
            animation.seek(index)
            shown = np.asarray(animation.convert("RGB")).astype(float)
            assert animation.info["duration"] == milliseconds
            # Each frame has 256 colours of its own: root mean square 3.3 of 255 measured.
            assert np.sqrt(np.mean((shown - frame) ** 2)) < 6
    assert os.listdir(tmp_path) == ["out.gif"]


def test_gif_refuses_what_it_cannot_show(tmp_path):
    frame = images.to_float(quarters())
    with pytest.raises(ValueError, match="one or more frames of one size; got 0"):
        images.write_gif(tmp_path / "out.gif", [])
    with pytest.raises(ValueError, match="got 2 of sizes"):
        images.write_gif(tmp_path / "out.gif", [frame, frame[:8]])
    with pytest.raises(ValueError, match="milliseconds=10"):
        images.write_gif(tmp_path / "out.gif", [frame], milliseconds=10)


def test_import_needs_no_heavy_package():
    code = "import sys; import jaxgan.images; print(sorted({'dlib', 'skimage', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("convert", [np.asarray, jnp.asarray])
def test_images_of_another_kind_are_refused(convert):
    levels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    images.check_image(convert(images.to_float(levels)), "truth")
    images.check_image(convert(np.full((2, 2, 3), 3.0, np.float16)), "truth")  # an unclipped image of a generator
    with pytest.raises(TypeError, match=r"truth is an array of uint8; expected .* \[-1, 1\]: jaxgan.images.to_float"):
        images.check_image(convert(levels), "truth")
    with pytest.raises(TypeError, match="an array of bool"):
        images.check_image(convert(levels > 3), "truth")
    with pytest.raises(ValueError, match=r"truth has values from 0 to 47; expected .* use image / 127.5 - 1"):
        images.check_image(convert(levels.astype(np.float32)), "truth")
    with pytest.raises(ValueError, match="values from nan"):
        images.check_image(convert(np.full((2, 2), np.nan, np.float32)), "truth")


def test_what_is_no_array_is_refused():
    for image, name in (([[0.5]], "list"), (None, "NoneType"), (Image.new("RGB", (2, 2)), "Image")):
        with pytest.raises(TypeError, match=f"observed is {name}; expected an array"):
            images.check_image(image, "observed")


def test_inside_of_a_transformation_only_the_type_is_looked_at():
    def checked(image):
        images.check_image(image, "image")
        return image.sum()

    large = jnp.full((2, 2), 200.0)
    assert jax.jit(checked)(large) == 800 and jax.grad(checked)(large).shape == (2, 2)
    assert jax.vmap(checked)(large).shape == (2,)
    with pytest.raises(TypeError, match="an array of uint8"):
        jax.jit(checked)(large.astype(jnp.uint8))


def test_lpips_refuses_images_of_files(lpips, unchecked):
    levels = np.zeros((16, 16, 3), np.uint8)
    with pytest.raises(TypeError, match="image_a is an array of uint8"):
        lpips(levels, levels)
    with pytest.raises(ValueError, match="image_b has values from 0 to 255"):
        lpips(jnp.zeros((16, 16, 3)), jnp.zeros((16, 16, 3)).at[0, 0].set(255))
