# SPDX-License-Identifier: Apache-2.0
"""Which band each band of a raster is: by the whole set of descriptions, by the user, by its file's name."""

import re

import numpy as np
import pytest
from osgeo import gdal

from chain.sentinel2.band_names import understand
from chain.sentinel2.contents import UnknownBands
from chain.sentinel2.image import open_files, open_product
from chain.sentinel2.reading import Reading
from chain.sentinel2.scene import opened_scene
from tests.chain.sentinel2.scenes import (
    ORDER,
    check_native,
    check_stack,
    fine,
    native,
    reason_of,
    write,
    write_stack,
)
from tests.examples import slow

FORCE = ("BLUE", "GREEN", "RED", "REDEDGE1", "REDEDGE2", "REDEDGE3", "BROADNIR", "NIR", "SWIR1", "SWIR2")
TEN = ("B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B11", "B12")
WORDS = (
    "Coastal aerosol",
    "Blue",
    "Green",
    "Red",
    "Red edge 1",
    "Red edge 2",
    "Red edge 3",
    "NIR",
    "Narrow NIR",
    "Water vapour",
    "SWIR 1",
    "SWIR 2",
)
OF_A = (560, 665, 704, 740, 783, 833, 865, 945, 1614, 2202)
OF_B = (559, 665, 704, 739, 780, 833, 864, 943, 1610, 2186)
NOMINAL = (560, 665, 705, 740, 783, 842, 865, 945, 1610, 2190)
"""Central wavelengths from B03 on, but for that of B10."""
SETS = {
    "Earth Engine": ([band.replace("B0", "B") for band in ORDER], ORDER),
    "FORCE": (FORCE, TEN),
    "ESA's words": (WORDS, ORDER),
    "Earth Search": (
        ("blue", "green", "red", "rededge1", "nir", "nir08", "nir09", "swir16", "swir22", "coastal"),
        None,
    ),
    "four": (("blue", "green", "red", "nir"), ("B02", "B03", "B04", "B08")),
    "Australia": (("nbart_blue", "nbart_nir_1", "nbart_nir_2", "nbart_swir_2", "nbart_swir_3"), None),
    "Australia, bare": (("nir_1", "nir_2", "swir_2", "swir_3"), ("B08", "B8A", "B11", "B12")),
    "Africa": (("coastal_aerosol", "red_edge_1", "nir_1", "nir_narrow", "swir_1", "swir_2"), None),
    "driver": (
        [f"{band}, central wavelength {length} nm" for band, length in (("B1", 443), ("B8", 842), ("B8A", 865))],
        ("B01", "B08", "B8A"),
    ),
    "Acolite, Sentinel-2A": ([f"rhos_{length}" for length in (443, 492, *OF_A)], ORDER),
    "Acolite, Sentinel-2B": ([f"rhot_{length}" for length in (442, 492, *OF_B)], ORDER),
    "nominal": ([f"Reflectance_{length}" for length in (443, 490, *NOMINAL)], ORDER),
    "ENVI": ([f"Band 1 ({length}.1 Nanometers)" for length in (442, 496, *OF_A)], ORDER),
    "micrometres": ([f"{length / 1000:g} Micrometers" for length in (443, 490, *NOMINAL)], ORDER),
    "words and wavelengths": (("blue 490 nm", "nir 842nm", "narrow nir, 865 nm"), ("B02", "B08", "B8A")),
    "numbers and wavelengths": (("B2 (490 nm)", "B8 (785-900 nm)", "B8A 865 nm (20 nm)"), ("B02", "B08", "B8A")),
    "sr_": ([f"sr_{band}" for band in ORDER], ORDER),
    "sr_ without zeros": ([f"SR_{band.replace('B0', 'B')}" for band in ORDER], ORDER),
    "some sr_ without zeros": (("sr_B2", "sr_B3", "sr_B4", "sr_B8"), ("B02", "B03", "B04", "B08")),
    "sr_ of 20 m": (("sr_B5", "sr_B8A", "sr_B11", "sr_B12"), ("B05", "B8A", "B11", "B12")),
    "B08A": (("B08", "B08A"), ("B08", "B8A")),
    "one date": ([f"20200101_{band}" for band in ("B2", "B8A")], ("B02", "B8A")),
    "medians": (("B2_median", "B8_median"), ("B02", "B08")),
}
MEANT = {
    "Earth Search": ("B02", "B03", "B04", "B05", "B08", "B8A", "B09", "B11", "B12", "B01"),
    "Australia": ("B02", "B08", "B8A", "B11", "B12"),
    "Africa": ("B01", "B05", "B08", "B8A", "B11", "B12"),
}


@pytest.mark.parametrize("name", SETS)
def test_sets_of_names_are_understood(name):
    words, bands = SETS[name]
    named = understand(words)
    assert named.bands == {band: number for number, band in enumerate(bands or MEANT[name], 1)} and not named.problem


@pytest.mark.parametrize(
    "words, problem",
    [
        (("BLUE", "GREEN", "RED", "NIR"), "several conventions, 'NIR' meaning B08 or B8A"),
        (("blue", "green", "red", "nir", "swir1", "swir2"), "several conventions, 'nir' meaning B08 or B8A"),
        (FORCE[:6] + FORCE[7:], "several conventions, 'NIR' meaning B08 or B8A"),
        (("nir_1", "swir_2"), "several conventions, 'swir_2' meaning B11 or B12"),
        (("blue", "green", "slope"), "understood in part, not 'slope'"),
        (("0_B2", "0_B3", "1_B2", "1_B3"), r"several bands of one name .B02 as 0_B2, 1_B2; B03 as 0_B3, 1_B3"),
        (("B2_median", "B2_stdDev"), r"several bands of one name .B02 as B2_median, B2_stdDev"),
        (("B08A", "B8A"), r"several bands of one name .B8A as B08A, B8A"),
        (("B2_stdDev", "B3_stdDev"), "statistics that are no reflectance"),
        (("B2 (482 nm)", "B3 (561 nm)", "B5 (865 nm)"), "not those of Sentinel-2's bands .B2 .482 nm., B5 .865 nm.."),
        (("833 nm", "842 nm"), "several bands of one name .B08 as 833 nm, 842 nm"),
    ],
)
def test_sets_that_do_not_tell_are_not_guessed(words, problem):
    named = understand(words)
    assert not named.bands

    assert re.search(problem, named.problem)


@pytest.mark.parametrize(
    "words",
    [
        ("Band 1", "Band 2"),
        ("", ""),
        ("NDVI", "EVI"),
        ("rhos_443", "rhos_483", "rhos_561", "rhos_655"),
        ("Rrs_443", "Rrs_492"),
        ("490 - 560 nm", "597 - 665 nm"),
        ("2020", "2021"),
    ],
)
def test_other_names_tell_nothing(words):
    named = understand(words)
    assert not named.bands and not named.problem


def test_bands_that_tell_of_others_are_none_of_the_sensor():
    words = ("B1", "B2", "SCL", "QA60", "view_zenith_mean_B2", "MSK_DETFOO_B02", "dataMask", "B_opaque_clouds", "foo")
    named = understand(words)
    assert (named.bands, named.classes, named.validity) == ({"B01": 1, "B02": 2}, 3, (7,))
    assert set(named.left_out) == {"QA60", "view_zenith_mean_B2", "MSK_DETFOO_B02", "B_opaque_clouds", "foo"}


@pytest.fixture(scope="module")
def pixels():
    return native(60)


@pytest.mark.parametrize(
    "name",
    [
        "FORCE",
        "Acolite, Sentinel-2B",
        *(slow(name) for name in ("Earth Engine", "ESA's words", "sr_")),
    ],
)
def test_a_stack_has_the_pixels_of_its_bands_by_name(tmp_path, pixels, name):
    words, bands = SETS[name]
    chosen = {band: pixels[band] for band in bands}
    image = open_product(write_stack(tmp_path / "s.tif", chosen, words), offset=0)
    check_stack(image, chosen)


def two_dates(pixels, names):
    first = list(fine(pixels).values())
    second = [array // 2 for array in first]
    return [*first, *second], [name.format(band) for name in names for band in pixels]


@pytest.mark.parametrize(
    "names",
    [
        ("0_{}", "1_{}"),
        *(slow(each) for each in (("{}_median", "{}_stdDev"), ("{}", "{}_1"))),
    ],
)
def test_bands_of_several_dates_or_statistics_are_chosen_by_their_affix(tmp_path, pixels, names):
    arrays, words = two_dates(pixels, names)
    path = write(tmp_path / "two.tif", arrays, words)
    with pytest.raises(UnknownBands, match="several bands of one name .B01 as .*--band-prefix or --band-suffix"):
        open_product(path, offset=0)
    prefix, suffix = names[0].split("{}")
    if prefix or suffix:
        check_stack(open_product(path, offset=0, reading=Reading(prefix=prefix, suffix=suffix)), pixels)
    naming = {10.0: (*pixels, *("-" for _ in pixels))}
    with opened_scene([path], 0, naming) as scene:
        check_native(scene.product, {"B02": pixels["B02"], "B08": pixels["B08"]})


def test_names_that_the_user_gives_overrule_those_that_are_understood_in_part(tmp_path, pixels):
    words = [*WORDS[:8], "B-eight-a", *WORDS[9:]]
    path = write_stack(tmp_path / "s.tif", pixels, words)
    with pytest.raises(UnknownBands, match="understood in part, not 'B-eight-a': --bands-10m"):
        open_product(path, offset=0)
    image = open_product(path, ORDER, offset=0)
    check_stack(image, pixels)
    assert reason_of(image, "bands").endswith("(named by the user)")
    with opened_scene([path], 0, {10.0: ORDER}) as scene:
        check_native(scene.product, {band: pixels[band] for band in ("B02", "B8A", "B09")})


def test_names_that_contradict_descriptions_are_refused(tmp_path, pixels):
    path = write_stack(tmp_path / "s.tif", pixels)
    wrong = (*ORDER[1:], ORDER[0])
    with pytest.raises(
        ValueError, match=f"expected names as it describes its bands itself, {','.join(ORDER)}, or none"
    ):
        with opened_scene([path], 0, {10.0: wrong}):
            pass


def test_undescribed_stacks_are_named_or_refused(tmp_path, pixels):
    path = write_stack(tmp_path / "s.tif", pixels, [f"Band {number}" for number in range(1, 13)])
    with pytest.raises(UnknownBands, match="its 12 bands are described as Band 1, .* which tell nothing: --bands-10m"):
        open_product(path, offset=0)
    check_stack(open_product(path, ORDER, offset=0), pixels)


@pytest.mark.parametrize("names", [("red.tif", "nir.tif"), ("plot_blue.tif", "plot_nir.tif"), ("B04.tif", "x_B8.tif")])
def test_files_of_one_band_are_told_by_their_names(tmp_path, names):
    array = np.random.default_rng(0).integers(1, 9000, (2, 30, 30)).astype(np.uint16)
    files = [write(tmp_path / name, [one]) for name, one in zip(names, array)]
    image = open_files(files, offset=0)
    first = "B02" if "blue" in names[0] else "B04"
    check_native(image, {first: array[0], "B08": array[1]})


@pytest.mark.parametrize(
    "words",
    [
        ("SR_B2", "SR_B3"),
        ("SR_B2", "SR_B5", "ST_B10"),
        ("sur_refl_b01", "sur_refl_b02"),
        [f"SR_B{number}" for number in range(1, 8)],
        [f"sr_b{number}" for number in range(1, 13)],
    ],
)
def test_bands_of_other_sensors_are_not_taken_for_sentinel_2(tmp_path, words):
    path = write(tmp_path / "x.tif", [np.full((20, 20), 2000, np.uint16)] * len(words), words)
    with pytest.raises(UnknownBands):
        open_product(path, offset=0)
    one = write(tmp_path / "LC08_L1TP_195025_20200101_B4.tif", [np.full((20, 20), 2000, np.uint16)])
    with pytest.raises(UnknownBands):
        open_product(one, offset=0)


@pytest.mark.parametrize("count", [3, 4, 8, 10, 12])
@pytest.mark.parametrize("letter", ["B", "b"])
def test_names_that_count_bands_are_asked_for(tmp_path, count, letter):
    """Planet's eight bands are called so, and stacks whose order their names do not tell."""
    made = [np.full((20, 20), 2000, np.uint16)] * count
    path = write(tmp_path / "x.tif", made, [f"{letter}{number}" for number in range(1, count + 1)])
    said = f"got names that count bands from {letter}1 on, as those of any sensor may: --bands-10m"
    with pytest.raises(UnknownBands, match=said):
        open_product(path, offset=0)
    given = [*ORDER[:3], *["-"] * (count - 3)]
    assert list(open_files([path], offset=0, naming={str(path): given}).bands) == list(ORDER[:3])


@pytest.mark.parametrize(
    "words", [("B1", "B2"), ("B01", "B02", "B03"), ("B2", "B3", "B4"), ("B1", "B2", "B3", "B8A"), ("B3", "B2", "B1")]
)
def test_names_that_may_count_and_do_not_are_bands(words):
    assert len(understand(words).bands) == len(words)


@pytest.mark.parametrize(
    "form",
    [
        "LC08_L2SP_195025_20200101_SR_B{}",
        "LC09_195025_20220101_B{}",
        "SR_B{}",
        "HLS.L30.T31UDQ.2020209T155956.v2.0.B0{}",
    ],
)
@pytest.mark.parametrize("in_folder", [False, True])
def test_files_of_other_sensors_are_not_taken_for_sentinel_2(tmp_path, form, in_folder):
    made = [np.full((20, 20), 2000, np.uint16)]
    files = [write(tmp_path / f"{form.format(number)}.tif", made) for number in (2, 3, 4, 5)]
    with pytest.raises(ValueError, match="are not described|got a product of Landsat by its name"):
        open_product(tmp_path if in_folder else files, offset=0)
    stack = write(tmp_path / f"{form.format('x')}.tif", made * 4, ("B02", "B03", "B04", "B05"))
    if not form.startswith("SR"):
        with pytest.raises(UnknownBands, match="got a product of Landsat by its name, "):
            open_product(stack, offset=0)


@pytest.mark.parametrize("form", ["sr_{}", "HLS.S30.T31UDQ.2020209T155956.v2.0.{}", "LC08_beside_{}"])
def test_files_of_sentinel_2_of_like_names_are_read(tmp_path, form):
    made = native(60, bands=("B02", "B03", "B08", "B8A"))
    names = {"sr_{}": lambda band: band.replace("B0", "B"), "LC08_beside_{}": lambda band: f"S2_{band}"}
    for band, array in made.items():
        name = form.replace("LC08_beside_", "").format(names.get(form, str)(band))
        write(tmp_path / f"{name}.tif", [array], gsd=20 if band == "B8A" else 10)
    if "LC08" in form:
        write(tmp_path / "LC08_L2SP_195025_20200101_SR_B5.tif", [made["B02"]])
    image = open_product(tmp_path, offset=0)
    check_native(image, made)
    assert "named by the user" not in "".join(map(str, image.decisions))


def test_a_scene_classification_in_a_stack_is_found(tmp_path, pixels):
    classes = np.random.default_rng(0).integers(0, 12, (60, 60)).astype(np.uint16)
    path = write(tmp_path / "s.tif", [*fine(pixels).values(), classes], [*ORDER, "SCL"])
    with opened_scene([path], offset=0) as scene:
        np.testing.assert_array_equal(gdal.Open(scene.scl).ReadAsArray(), classes)
        check_native(scene.product, {"B02": pixels["B02"]})


@pytest.mark.parametrize("start", ["Reflectance_", "sr_b"])
def test_descriptions_that_name_no_band_are_shown(tmp_path, pixels, start):
    path = write_stack(tmp_path / "s.tif", pixels, [f"{start}{number}" for number in range(12)])
    said = f"its 12 bands are described as {start}0, {start}1, {start}2, {start}3, …, which tell nothing: --bands-10m"
    with pytest.raises(UnknownBands, match=said):
        open_product(path, offset=0)


def test_wavelengths_of_envi_tell_the_bands(tmp_path, pixels):
    path = write_stack(tmp_path / "s.img", pixels, (), driver="ENVI")
    lengths = ", ".join(str(length) for length in (442.7, 492.7, *OF_A))
    with (tmp_path / "s.hdr").open("a") as header:
        header.write(f"wavelength units = Nanometers\nwavelength = {{{lengths}}}\n")
    image = open_product(path, offset=0)
    check_stack(image, pixels)
    assert "described, by their wavelengths" in reason_of(image, "bands")


@pytest.mark.parametrize("kind", ["rhos", "Rrs"])
def test_files_of_acolite_are_told_by_their_wavelengths(tmp_path, kind):
    made = native(60, bands=("B02", "B04", "B08"))
    lengths = (492, 665, 833)
    files = [write(tmp_path / f"S2A_{kind}_{n}.tif", [array]) for n, array in zip(lengths, made.values())]
    if kind == "rhos":
        check_native(open_product(files, offset=0), made)
    else:
        with pytest.raises(UnknownBands, match="S2A_Rrs_492.tif: its 1 bands are not described"):
            open_product(files, offset=0)


def test_one_wavelength_stated_of_all_bands_tells_nothing():
    words = [f"{band.replace('B0', 'B')}, central wavelength 665 nm" for band in ("B02", "B03", "B04", "B08")]
    assert understand(words).bands == {"B02": 1, "B03": 2, "B04": 3, "B08": 4}
    other = [
        f"B{number}, central wavelength {length} nm" for number, length in ((2, 482), (3, 561), (4, 655), (5, 865))
    ]
    assert "wavelengths that are not those" in understand(other).problem
