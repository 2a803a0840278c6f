"""The compression of JPEG files, and faces that come back into them within what the file leaves open."""

import numpy as np
import pytest
from PIL import Image

from jaxgan import images, jpeg_intervals
from jaxgan.degradations.jpeg import tables
from jaxgan.errors import UserError
from jaxgan.photos import jpeg_files, paste, photo_files
from jaxgan.photos.alignment import Placement

pytestmark = pytest.mark.usefixtures("unchecked_shapes")


@pytest.fixture
def photo() -> np.ndarray:
    return images.resize(photo_files.read_photo(photo_files.sample_photo_path()), 160)


@pytest.mark.parametrize(("subsampling", "expected"), [("4:4:4", (1, 1)), ("4:2:2", (1, 2)), ("4:2:0", (2, 2))])
def test_tables_and_subsampling_are_those_of_the_file(photo, tmp_path, subsampling, expected):
    Image.fromarray(photo).save(tmp_path / "a.jpg", quality=35, subsampling=subsampling)
    found = jpeg_files.read_compression(tmp_path / "a.jpg")
    np.testing.assert_array_equal(found.luminance, tables(35)[0])
    np.testing.assert_array_equal(found.chrominance, tables(35)[1])
    assert found.subsampling == expected and found.factor == 1


def test_files_that_do_not_tell_are_refused(photo, tmp_path):
    Image.fromarray(photo).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="a PNG file; expected a JPEG file, whose tables tell"):
        jpeg_files.read_compression(tmp_path / "a.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo).save(tmp_path / "b.jpg", exif=exif)
    with pytest.raises(UserError, match="it is stored rotated"):
        jpeg_files.read_compression(tmp_path / "b.jpg")
    Image.fromarray(photo[..., 0]).save(tmp_path / "c.jpg")
    with pytest.raises(UserError, match="expected YCbCr"):
        jpeg_files.read_compression(tmp_path / "c.jpg")


def test_a_face_comes_back_within_the_intervals_of_the_file(photo, tmp_path):
    """The generator's image is the truth, brighter; the square is turned and off the grid of blocks."""
    Image.fromarray(photo).save(tmp_path / "a.jpg", quality=10, subsampling="4:4:4")
    decoded = photo_files.read_photo(tmp_path / "a.jpg")
    compression = jpeg_files.read_compression(tmp_path / "a.jpg")
    placement = Placement(np.array([[1.0, 0.1, 21.3], [-0.1, 1.0, 40.7]]), 96)
    v, u = np.mgrid[:96, :96].reshape(2, -1)
    columns, rows = np.rint(placement.to_photo @ np.stack([u, v, np.ones(96 * 96)])).astype(int)
    face = np.clip(photo[rows, columns].reshape(96, 96, 3).astype(int) + 40, 0, 255).astype(np.uint8)
    restored = paste.replace_coded_faces(decoded, [paste.RestoredFace(face, placement)], compression)
    np.testing.assert_array_equal(restored[:32], decoded[:32])
    assert (restored != decoded).any(-1)[70:110, 50:100].mean() > 0.5
    block = np.s_[72:104, 56:88]  # whole blocks in the middle, where nothing fades
    step = np.asarray(compression.luminance, float)[None, :, None, :]
    after, before = (
        jpeg_intervals.coefficients(images.to_float(picture[block]), (1, 1))[0] for picture in (restored, decoded)
    )
    beyond = np.abs(after - step * np.rint(before / step)) - step / 2
    assert (beyond > 1).mean() < 0.02 and beyond.max() < 15  # rounded to 8 bits, and clipped at white; seen: 6.4
    brighter = restored[block].astype(int).mean() - decoded[block].mean()
    assert 2 < brighter < 25  # of 40: no more than half a step of the mean, 10 levels, and of the rest
