"""Image files: every kind of pixel is read for what it is, or refused."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from signxai_core.cli.inputs import Reading, read
from signxai_core.errors import FileError

GREY16 = np.array([[0, 1000, 30000], [40000, 65534, 65535]], dtype=np.uint16)


def _save(tmp_path, array, name, **options):
    Image.fromarray(array).save(tmp_path / name, **options)
    return tmp_path / name


def _refused(path, **how):
    with pytest.raises(FileError) as raised:
        read([path], Reading(**how))
    return str(raised.value)


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
@pytest.mark.parametrize("grey", [True, False])
def test_sixteen_bits_are_scaled_by_their_range(tmp_path, name, grey):
    path = _save(tmp_path, GREY16, name)
    x = read([path], Reading(scale=(-1, 1), grey=grey)).array
    assert x.shape == (1, 1 if grey else 3, 2, 3)
    for channel in x[0]:
        np.testing.assert_allclose(channel, GREY16 / 65535 * 2 - 1, rtol=0, atol=1e-6)


def test_sixteen_bits_are_resized_by_value(tmp_path):
    path = _save(tmp_path, np.full((4, 4), 40000, dtype=np.uint16), "x.png")
    np.testing.assert_allclose(read([path], Reading(scale=(0, 1), size=(2, 2))).array, 40000 / 65535, rtol=1e-6)


@pytest.mark.parametrize("name", ["x.png", "x.tif"])
def test_sixteen_bits_without_a_scale_are_refused(tmp_path, name):
    path = _save(tmp_path, GREY16, name)
    assert _refused(path) == (
        f"{path} has 16 bits per pixel: say with --scale LOW,HIGH what its values 0 and 65535 become, or save what the "
        "model expects as .npy (of 12-bit data in 16 bits, white is 4095, not 65535)"
    )


@pytest.mark.parametrize("dtype", ["float32", "int32"])
@pytest.mark.parametrize("scale", [None, (0, 1)])
def test_pixels_without_a_range_are_refused(tmp_path, dtype, scale):
    path = _save(tmp_path, np.array([[0, 300.5], [1, -2]]).astype(dtype), "x.tif")
    kind = {"float32": "fractions", "int32": "32-bit whole numbers"}[dtype]
    assert _refused(path, scale=scale) == (
        f"{path} holds {kind}, which have no range that --scale could start from; save what the model expects as .npy"
    )


def test_orientation_is_applied(tmp_path):
    """A camera that was turned stores the picture lying and says so in a tag."""
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    for orientation, upright in (
        (1, pixels),
        (3, pixels[::-1, ::-1]),
        (6, np.rot90(pixels, -1)),
        (8, np.rot90(pixels)),
        (2, pixels[:, ::-1]),
    ):
        tags = Image.Exif()
        tags[0x0112] = orientation
        path = _save(tmp_path, pixels, f"{orientation}.png", exif=tags)
        x = read([path], Reading(grey=True, scale=(0, 255))).array
        np.testing.assert_allclose(x[0, 0], upright, atol=1e-4)


@pytest.mark.parametrize("name", ["x.tif", "x.gif", "x.png", "x.webp"])
def test_several_frames_are_refused(tmp_path, name):
    frames = [Image.new("L", (4, 4), 50 * index) for index in range(3)]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    assert _refused(tmp_path / name) == (
        f"{tmp_path / name} holds 3 frames, and a sample is one image: save each as a file of its own"
    )


def test_one_frame_of_a_format_that_can_hold_more(tmp_path):
    path = _save(tmp_path, np.zeros((4, 4), dtype=np.uint8), "x.tif")
    assert read([path], Reading()).array.shape == (1, 3, 4, 4)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK"])
def test_eight_bits_and_fewer_have_the_range_of_their_kind(tmp_path, mode):
    name = "x.tif" if mode == "CMYK" else "x.png"
    Image.new("RGB", (2, 2), (255, 255, 255)).convert(mode).save(tmp_path / name)
    for grey in (True, False):
        np.testing.assert_array_equal(read([tmp_path / name], Reading(grey=grey)).array, 1)


def test_sixteen_bits_per_colour_keep_their_upper_eight(tmp_path):
    """Pillow reads them so; nothing is clipped."""
    path = tmp_path / "x.png"
    path.write_bytes(_png16([[(0, 30000, 65535)]]))
    expected = np.array([0, 30000, 65535]) / 65535
    np.testing.assert_allclose(read([path], Reading()).array[0, :, 0, 0], expected, atol=1 / 255)


def _png16(rows, width=None, height=None):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    data = b"".join(b"\0" + b"".join(struct.pack(">3H", *pixel) for pixel in row) for row in rows)
    head = struct.pack(">IIBBBBB", width or len(rows[0]), height or len(rows), 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


# Hostile files


def test_an_image_too_large_to_be_one(tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(_png16([[(0, 0, 0)]], width=60000, height=60000))
    assert _refused(path).startswith(f"cannot read the image {path}: ")


def test_an_array_larger_than_memory(tmp_path):
    path = tmp_path / "huge.npy"
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (999999999999, 2), }".ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + b"\0" * 32)
    assert _refused(path).startswith(f"cannot read {path} as a NumPy file: ")


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("{'descr': '<f8', 'fortran_order': False, 'shape': (1, 2), ", "unclosed"),
        ("{'descr': '<f8', 'fortran_order': 3, 'shape': (1,)}", "order"),
        ("((((((", "brackets"),
        ("{'descr': 'O', 'fortran_order': False, 'shape': (1,), }", "objects"),
    ],
)
def test_broken_headers(tmp_path, header, name):
    path = tmp_path / f"{name}.npy"
    text = header.encode().ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + b"\0" * 32)
    assert _refused(path).startswith(f"cannot read {path} as a NumPy file: ")


def test_fields_of_a_table_without_end(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text('1,"' + "9" * 200_000 + "\n")
    assert _refused(path).startswith(f"cannot read {path} as a table: ")


@pytest.mark.parametrize("cell", ["1_000", "nan", "inf", "1e400", "1e50", "٣"])
def test_cells_that_are_no_plain_number(tmp_path, cell):
    path = tmp_path / "x.csv"
    path.write_text(f"1,2\n3,{cell}\n")
    message = f"{path}, row 2, column 2: {cell!r} is not a number"
    if cell == "1e50":
        message = f"{path}, row 2, column 2: {cell!r} is too large for float32"
    elif cell in ("nan", "inf", "1e400"):
        message = f"{path}, row 2, column 2: {cell!r} is not a finite number"
    with pytest.raises(FileError) as raised:
        read([path], Reading())
    assert str(raised.value) == message
