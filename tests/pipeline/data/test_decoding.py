"""Images of all kinds have the pixels computed without Pillow; other files are refused."""

import io
import random
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from pipeline.data.decoding import decode, read
from pipeline.errors import UserError

NOISE = np.random.default_rng(0).integers(0, 256, (13, 17, 3)).astype(np.uint8)


def written(image: Image.Image, form: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def pixels(content: bytes) -> np.ndarray:
    image = decode("x", content)
    assert image.mode == "RGB"
    return np.asarray(image)


def png(pixels: bytes, width: int, height: int, depth: int, kind: int, *extra: bytes) -> bytes:
    """A PNG file without a library: rows of bytes, each after a zero byte."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = zlib.crc32(name + content)
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", check)

    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)
    chunks = [chunk(b"IHDR", header), *(chunk(e[:4], e[4:]) for e in extra)]
    chunks += [chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


@pytest.mark.parametrize("form", ["PNG", "BMP", "PPM", "TIFF"])
def test_colours_come_through_as_they_are(form):
    assert np.array_equal(pixels(written(Image.fromarray(NOISE), form)), NOISE)


def test_photographs_decode_as_torchvision_decodes_them(tmp_path):
    from torchvision.datasets.folder import default_loader

    smooth = Image.fromarray(NOISE).resize((64, 48))
    translucent = smooth.copy()
    translucent.putalpha(Image.linear_gradient("L").resize((64, 48)))
    for form, image in (("JPEG", smooth), ("WEBP", smooth), ("PNG", translucent), ("GIF", smooth)):
        file = tmp_path / f"x.{form.lower()}"
        file.write_bytes(written(image, form))
        assert np.array_equal(np.asarray(read(file)), np.asarray(default_loader(str(file))))


GREYS = np.array([[0, 1, 128, 129, 257], [385, 386, 32768, 65534, 65535]], dtype=np.uint16)


@pytest.mark.parametrize(
    "content",
    [
        png(b"".join(b"\0" + row.astype(">u2").tobytes() for row in GREYS), 5, 2, 16, 0),
        written(Image.fromarray(GREYS), "TIFF"),
        b"P5 5 2 65535\n" + GREYS.astype(">u2").tobytes(),
    ],
    ids=["PNG", "TIFF", "PGM"],
)
def test_sixteen_bits_are_scaled_and_rounded(content):
    """They are neither clipped at 255 nor truncated to eight bits."""
    expected = [[(int(grey) * 255 + 32767) // 65535 for grey in row] for row in GREYS]
    assert expected == [[0, 0, 0, 1, 1], [1, 2, 128, 255, 255]]
    assert pixels(content).tolist() == [[[grey] * 3 for grey in row] for row in expected]


def test_ten_bits_are_scaled_too():
    content = b"P5 2 1 1023\n" + np.array([512, 1023], dtype=">u2").tobytes()
    assert pixels(content)[0, :, 0].tolist() == [128, 255]


def test_sixteen_bits_a_colour_are_scaled():
    colours = np.random.default_rng(1).integers(0, 65536, (4, 5, 3)).astype(np.uint16)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in colours)
    difference = pixels(png(rows, 5, 4, 16, 2)).astype(int) - colours / 257
    assert abs(difference).max() <= 1


def test_one_bit_is_black_or_white():
    content = png(b"\0\xa0\0\x40", 3, 2, 1, 0)
    expected = [[255, 0, 255], [0, 255, 0]]
    assert pixels(content).tolist() == [[[grey] * 3 for grey in row] for row in expected]


def test_a_palette_with_transparency_keeps_its_colours():
    """Keeps the colour without alpha, and without a warning (warnings are errors in tests)."""
    palette = b"PLTE" + bytes([255, 0, 0, 0, 255, 0, 9, 8, 7])
    content = png(b"\0\0\1\2", 3, 1, 8, 3, palette, b"tRNS" + bytes([0, 128, 255]))
    assert pixels(content).tolist() == [[[255, 0, 0], [0, 255, 0], [9, 8, 7]]]


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_shows_the_colour_beneath(mode):
    channels = np.random.default_rng(2).integers(0, 256, (3, 4, len(mode))).astype(np.uint8)
    content = written(Image.fromarray(channels, mode), "PNG")
    beneath = channels[..., :3] if mode == "RGBA" else channels[..., :1].repeat(3, axis=2)
    assert np.array_equal(pixels(content), beneath)


@pytest.mark.parametrize(("form", "tolerance"), [("TIFF", 1), ("JPEG", 6)])
def test_inks_become_the_light_that_they_leave(form, tolerance):
    """Inks are subtractive: the light is (255 - ink) * (255 - black) / 255."""
    inks = np.array([[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 0], [40, 80, 120, 60]], np.uint8)
    blocks = inks.repeat(16, axis=0)[None].repeat(16, axis=0)
    options = {"quality": 100, "subsampling": 0} if form == "JPEG" else {}
    found = pixels(written(Image.fromarray(blocks, "CMYK"), form, **options))
    left = 255 - inks.astype(float)
    expected = left[:, :3] * left[:, 3:] / 255
    assert abs(found[8, 8::16] - expected).max() <= tolerance


def test_an_animation_is_its_first_frame():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "lime", "blue")]
    for form in ("GIF", "PNG", "TIFF", "WEBP"):
        options = {"lossless": True} if form == "WEBP" else {}
        content = written(frames[0], form, save_all=True, append_images=frames[1:], **options)
        assert (pixels(content) == (255, 0, 0)).all(), form


def test_a_photograph_with_two_pictures_inside_is_decoded():
    """The file has the name and the first bytes of a JPEG."""
    image = Image.fromarray(NOISE).resize((64, 48))
    content = written(image, "MPO", save_all=True, append_images=[image.rotate(90)])
    assert pixels(content).shape == (48, 64, 3)


UPRIGHT = {  # by EXIF Orientation: makes the stored pixels upright
    1: lambda stored: stored,
    2: lambda stored: stored[:, ::-1],
    3: lambda stored: stored[::-1, ::-1],
    4: lambda stored: stored[::-1],
    5: lambda stored: stored.swapaxes(0, 1),
    6: lambda stored: np.rot90(stored, -1),
    7: lambda stored: stored[::-1, ::-1].swapaxes(0, 1),
    8: lambda stored: np.rot90(stored),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_a_photograph_of_a_camera_held_sideways_is_turned_upright(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    content = written(Image.fromarray(NOISE), "PNG", exif=exif)
    assert np.array_equal(pixels(content), UPRIGHT[orientation](NOISE))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"no image", "expected JPEG, PNG"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "expected JPEG, PNG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "expected JPEG, PNG"),
        (written(Image.fromarray(NOISE[..., 0].astype(np.int32)), "TIFF"), "32 bits or floats"),
        (written(Image.fromarray(NOISE[..., 0].astype(np.float32)), "TIFF"), "32 bits or floats"),
    ],
)
def test_a_file_that_is_not_an_image_is_refused_by_name(content, message):
    with pytest.raises(UserError, match=rf"^own/x.jpg: .*(?:{message})") as caught:
        decode("own/x.jpg", content)
    assert "BytesIO" not in str(caught.value)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "BMP", "GIF", "WEBP", "PPM", "TIFF"])
def test_an_image_cut_off_is_refused_by_name(form):
    content = written(Image.fromarray(NOISE).resize((90, 60)), form)
    for length in (3, 40, len(content) // 2, len(content) * 9 // 10):
        with pytest.raises(UserError, match=r"^own/x.jpg: not a readable image: "):
            decode("own/x.jpg", content[:length])


def test_damaged_files_are_decoded_or_refused():
    rng = random.Random(0)
    image = Image.fromarray(NOISE)
    exif = Image.Exif()
    exif[274] = 6
    sound = [written(image, form) for form in ("JPEG", "PNG", "BMP", "GIF", "WEBP", "PPM", "TIFF")]
    sound += [written(image.convert("P"), "PNG"), written(image, "JPEG", exif=exif)]
    sound += [written(Image.fromarray(GREYS), "PNG"), written(image.convert("CMYK"), "JPEG")]
    refused = 0
    for content in sound:
        for _ in range(60):
            damaged = bytearray(content)
            for _ in range(rng.choice([1, 2, 5, 20])):
                start = rng.randrange(min(len(damaged), rng.choice([64, len(damaged)])))
                end = start + rng.choice([0, 1, 1, 9])
                damaged[start:end] = rng.randbytes(rng.choice([1, 1, 4]))
            try:
                pixels(bytes(damaged))
            except UserError as error:
                refused += 1
                assert str(error).startswith("x: ")
    print(f"{60 * len(sound)} damaged files: {refused} refused, the others decoded")
    assert refused > 200


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "link.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "folder.jpg").mkdir()
    for name in ("link.jpg", "folder.jpg", "none.jpg"):
        with pytest.raises(UserError, match=rf"{name}: cannot be read: "):
            read(tmp_path / name)
