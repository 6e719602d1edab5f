import hashlib
import shutil

import numpy as np
import pytest
from osgeo import gdal

from chain.raster.jpeg2000 import Damaged, check_whole
from chain.raster.opening import open_raster
from chain.sentinel2.image import open_product
from tests.chain.sentinel2.scenes import native, reason_of, write

LOSSLESS = ("REVERSIBLE=YES", "QUALITY=100")
TILED = (*LOSSLESS, "BLOCKXSIZE=64", "BLOCKYSIZE=64")
PIXELS = native(240, seed=3)["B04"].astype(np.uint16)
TRUNCATIONS = [(number + 0.5) / 17 for number in range(17)]


def image(path, options=TILED):
    return write(path, [PIXELS], driver="JP2OpenJPEG", options=options)


def pixels_of(name):
    """Return the pixels of a raster, or None where somebody says that there are none to be had."""
    try:
        return open_raster(name).ReadAsArray()
    except (RuntimeError, ValueError):
        return None


@pytest.fixture
def safe(tmp_path):
    """A SAFE product of one image, whose manifest tells size and checksum of its files."""

    def make(algorithm="SHA3-256", hashed=hashlib.sha3_256):
        folder = tmp_path / "S2A_MSIL1C_20210908T042701_N0301_R133_T46RER_20210908T070248.SAFE"
        images = folder / "GRANULE" / "tile" / "IMG_DATA"
        for band in ("B03", "B04"):
            image(images / f"T46RER_20210908T042701_{band}.jp2", TILED if band == "B04" else LOSSLESS)
        metadata = folder / "MTD_MSIL1C.xml"
        metadata.write_text("<a><PROCESSING_BASELINE>03.01</PROCESSING_BASELINE></a>")
        objects = "".join(
            f'<dataObject><byteStream size="{file.stat().st_size}"><fileLocation href="./{file.relative_to(folder)}"/>'
            f'<checksum checksumName="{algorithm}">{hashed(file.read_bytes()).hexdigest()}</checksum>'
            "</byteStream></dataObject>"
            for file in (metadata, *images.iterdir())
        )
        (folder / "manifest.safe").write_text(f"<XFDU>{objects}</XFDU>")
        return folder, images / "T46RER_20210908T042701_B04.jp2"

    return make


@pytest.mark.parametrize(
    "options",
    [LOSSLESS, TILED, (*TILED, "CODEC=J2K"), (*TILED, "TILEPARTS=RESOLUTIONS"), (*TILED, "PLT=YES", "TLM=YES")],
    ids=["one tile", "tiles", "codestream", "tile parts", "lengths"],
)
def test_a_jpeg_2000_file_is_whole_and_no_truncation_of_it_passes(tmp_path, options):
    name = image(tmp_path / "B04.jp2", options)
    check_whole(name)
    content = (tmp_path / "B04.jp2").read_bytes()
    (tmp_path / "B04.jp2").write_bytes(content + bytes(100))  # as files are that fill whole blocks
    padded = pixels_of(name)
    assert padded is None or np.array_equal(padded, PIXELS)
    for part in TRUNCATIONS:
        (tmp_path / "B04.jp2").write_bytes(content[: int(part * len(content))])
        assert pixels_of(name) is None, part
    (tmp_path / "B04.jp2").write_bytes(content[:-1])
    with pytest.raises(Damaged, match="expected a whole JPEG 2000 file"):
        check_whole(name)


def test_zeros_in_place_of_the_rest_and_a_tile_that_is_left_out_are_noticed(tmp_path):
    name = image(tmp_path / "B04.jp2")
    content = (tmp_path / "B04.jp2").read_bytes()
    for part in TRUNCATIONS:
        kept = int(part * len(content))
        (tmp_path / "B04.jp2").write_bytes(content[:kept].ljust(len(content), b"\0"))
        assert pixels_of(name) is None, part
    first, second = (content.index(b"\xff\x90\x00\x0a" + bytes((0, tile))) for tile in (3, 4))
    shorter = content[:first] + content[second:]
    box = shorter.index(b"jp2c") - 4
    length = int.from_bytes(shorter[box : box + 4], "big")
    if length:
        shorter = shorter[:box] + (length - second + first).to_bytes(4, "big") + shorter[box + 4 :]
    (tmp_path / "B04.jp2").write_bytes(shorter)
    with pytest.raises(Damaged, match="1 of its 16 tiles are not whole, the first of them tile 3"):
        check_whole(name)


@pytest.mark.parametrize("algorithm, hashed", [("SHA3-256", hashlib.sha3_256), ("MD5", hashlib.md5)])
@pytest.mark.parametrize("zipped", [False, True])
def test_bits_that_flipped_in_a_safe_product_are_noticed_by_its_manifest(safe, tmp_path, algorithm, hashed, zipped):
    folder, file = safe(algorithm, hashed)
    content = file.read_bytes()
    rng = np.random.default_rng(1)

    def opened():
        if not zipped:
            return open_product(folder)
        return open_product(shutil.make_archive(str(tmp_path / "S"), "zip", tmp_path, folder.name))

    whole = opened()
    assert reason_of(whole, "integrity") == f"integrity: B03, B04 (verified by the {algorithm} in manifest.safe)"
    assert np.array_equal(gdal.Open(whole.bands["B04"]).ReadAsArray(), PIXELS)
    for place in rng.integers(len(content), size=17):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1 << rng.integers(8)]) + content[place + 1 :])
        with pytest.raises(Damaged, match=rf"_B04.jp2: expected the file that manifest.safe lists, .*{algorithm}"):
            opened()
    for part in TRUNCATIONS:
        file.write_bytes(content[: int(part * len(content))])
        with pytest.raises(Damaged, match="expected the file that manifest.safe lists"):
            opened()


def test_a_flipped_bit_of_the_metadata_is_noticed_by_the_manifest(safe):
    folder, _ = safe()
    file = folder / "MTD_MSIL1C.xml"
    file.write_text(file.read_text().replace("03.01", "03.11"))
    with pytest.raises(Damaged, match="MTD_MSIL1C.xml: expected the file that manifest.safe lists"):
        open_product(folder)


def test_members_of_a_zip_are_held_against_its_checksums(safe, tmp_path):
    folder, file = safe()
    (folder / "manifest.safe").unlink()
    path = tmp_path / "S.zip"
    shutil.make_archive(str(path.with_suffix("")), "zip", tmp_path, folder.name)
    assert "verified by the checksums of the zip" in reason_of(open_product(path), "integrity")
    content = path.read_bytes()
    place = content.index(file.read_bytes()[3000:3020]) if file.read_bytes()[3000:3020] in content else None
    place = place or content.index(b"_B04.jp2") + 2000
    path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
    with pytest.raises((Damaged, ValueError), match="S.zip"):
        open_product(path)


def test_what_cannot_be_verified_is_said(safe):
    folder, _ = safe()
    (folder / "manifest.safe").unlink()
    said = "integrity: B03, B04 (whole by its structure, not verified: no checksum)"
    assert reason_of(open_product(folder), "integrity") == said


def test_manifests_of_planetary_computer_say_nothing(safe, shared_data):
    folder, _ = safe()
    real = next(shared_data("s2_safe_metadata").glob("S2B_*")) / "manifest.safe"
    (folder / "manifest.safe").write_bytes(real.read_bytes())
    assert "not verified" in reason_of(open_product(folder), "integrity")


def test_a_mosaic_of_damaged_images_is_noticed(tmp_path):
    name = image(tmp_path / "B04.jp2")
    mosaic = str(tmp_path / "mosaic_B04.vrt")
    gdal.BuildVRT(mosaic, [name]).FlushCache()
    assert np.array_equal(open_raster(mosaic).ReadAsArray(), PIXELS)
    content = (tmp_path / "B04.jp2").read_bytes()
    (tmp_path / "B04.jp2").write_bytes(content[: len(content) // 2])
    with pytest.raises(Damaged, match="B04.jp2: expected a whole JPEG 2000 file"):
        open_raster(mosaic)
