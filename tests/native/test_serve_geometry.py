# SPDX-License-Identifier: Apache-2.0
"""Grid arithmetic of TensorflowModelServe, against places and sizes seen with OTBTF 4.3.1."""

import math
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from otbtf_applications import serve_geometry as geometry

from tests.examples import examples


def axis(size, field, **place):
    return geometry.SourceAxis(size, field, **place)


@pytest.mark.parametrize(
    "fields, scale, convolutional, width, height, corner",
    [
        ((16, 16), 1.0, True, 112, 96, 0.0),
        ((7, 1), 1.0, True, 114, 94, 3.0),
        ((8, 1), 1.0, False, 113, 93, 4.0),
        ((2, 1), 1.0, True, 119, 99, 1.0),
        ((64, 32), 1.0, True, 64, 64, 16.0),
        ((12, 16), 0.5, True, 224, 192, 2.0 + 0.25),
        ((20, 64), 0.25, True, 448, 384, 2.0 + 0.375),
        ((4, 1), 4.0, True, 29, 24, 2.0 - 1.5),
    ],
)
def test_output_of_a_120_by_100_image(fields, scale, convolutional, width, height, corner):
    for size, expected in ((120, width), (100, height)):
        output = geometry.output_axis([axis(size, fields[0])], fields[1], scale, convolutional)
        assert output.size == expected
        assert output.corner == corner


@pytest.mark.parametrize("expression, shift", [(8, 0.375), (16, 0.375), (128, 0.375), (4, -0.125), (12, -0.125)])
def test_stated_place_of_a_times_4_product_is_off_as_in_otbtf(expression, shift):
    crop = 8
    source = axis(100, (expression + 2 * crop) // 4)
    output = geometry.output_axis([source], expression, 0.25, True)
    first, _ = geometry.convolution_window(source, output, 0, expression)
    assert first == 0
    assert output.corner - crop / 4 == shift


def test_first_tile_of_a_downsampling_network_is_cropped_and_the_others_are_shifted():
    source = axis(120, 4)
    output = geometry.output_axis([source], 1, 4.0, True)
    assert geometry.convolution_window(source, output, 0, 16) == (0, 66)
    assert geometry.convolution_window(source, output, 16, 29)[0] == 63
    assert geometry.convolution_window(source, output, 0, 29)[0] == 0
    large = axis(120, 32)
    output = geometry.output_axis([large], 8, 4.0, True)
    assert geometry.convolution_window(large, output, 16, 24)[0] == 61


@pytest.mark.parametrize(
    "second, corners",
    [
        (dict(size=64), (0, 0)),
        (dict(size=50), (0, 0)),
        (dict(size=64, corner=1.0), (1, 0)),
        (dict(size=64, corner=-1.0), (1, 1)),
    ],
)
def test_a_coarser_second_source_stays_aligned(second, corners):
    sources = [axis(120, 16), axis(field=8, spacing=2.0, **second)]
    output = geometry.output_axis(sources, 16, 1.0, True)
    windows = [geometry.convolution_window(source, output, 0, 16) for source in sources]
    assert windows == [(corners[0], corners[0] + 16), (corners[1], corners[1] + 8)]


def test_a_finer_second_source_is_one_pixel_off_as_in_otbtf():
    sources = [axis(60, 8), axis(120, 16, spacing=0.5)]
    output = geometry.output_axis(sources, 16, 0.5, True)
    assert [geometry.convolution_window(source, output, 0, 16)[0] for source in sources] == [0, 1]


@pytest.mark.parametrize(
    "ratios, crop, expression, given",
    [((1, 2), 12, 8, 88), ((1, 2), 18, 8, 88), ((1, 2, 6), 12, 24, 72), ((1, 6), 18, 24, 72)],
)
def test_sources_of_several_spacings_cost_a_whole_expression_field_as_in_otbtf(ratios, crop, expression, given):
    def size(further):
        sources = [
            axis((96 + 2 * crop + further) // ratio, (expression + 2 * crop) // ratio, spacing=float(ratio))
            for ratio in ratios
        ]
        return geometry.output_axis(sources, expression, 1.0, True).size

    assert size(0) == given == 96 - expression
    assert size(math.lcm(*ratios)) == 96


@settings(max_examples=max(100, examples(300)))
@given(st.data())
def test_output_ends_on_the_grids_of_all_sources(data):
    """Rows 1 to 4 of what OTBTF does, told pixel edge by pixel edge rather than computed."""
    scale = Fraction(1, data.draw(st.integers(1, 4), label="output pixels in one of the first source"))
    field = data.draw(st.integers(1, 24), label="expression field")
    sources, extents = [], []
    for number in range(data.draw(st.integers(1, 3), label="sources")):
        spacing = Fraction(data.draw(st.sampled_from([1, 1, 2, 3, 6])) if number else 1)
        size = data.draw(st.integers(1, 60), label="size")
        receptive = data.draw(st.integers(1, size), label="receptive field")
        corner = Fraction(data.draw(st.integers(-6, 6)) if number else 0)
        edges = [corner + spacing * k for k in range(-70, 470)]
        sources.append(axis(size, receptive, corner=float(corner), spacing=float(spacing)))
        first = corner + spacing * (receptive // 2)
        extents.append((first, first + spacing * (size - (receptive - 1)), edges))
    low, high = max(first for first, _, _ in extents), min(last for _, last, _ in extents)
    start = max(min(edge for edge in edges if edge >= low) for _, _, edges in extents)
    stop = min(max(edge for edge in edges if edge <= high) for _, _, edges in extents)
    pixels = sum(1 for k in range(1000) if start + scale * (k + 1) <= stop) if stop > start else 0
    size = max(k for k in range(0, pixels + field) if k % field == 0) if pixels else 0
    if size < field:
        with pytest.raises(ValueError, match="no complete expression field fits"):
            geometry.output_axis(sources, field, float(scale), True)
        return
    output = geometry.output_axis(sources, field, float(scale), True)
    centre = start + Fraction(1, 2) - scale * (field // 2)
    assert output.size == size
    assert output.corner == pytest.approx(float(centre - scale / 2), abs=1e-9)


def test_small_fields_of_two_spacings_do_not_align_as_in_otbtf():
    sources = [axis(120, 2), axis(60, 1, spacing=2.0)]
    output = geometry.output_axis(sources, 2, 1.0, True)
    assert [geometry.convolution_window(source, output, 0, 2)[0] for source in sources] == [1, 1]


def test_patches_of_two_sources():
    sources = [axis(120, 8), axis(60, 4, spacing=2.0)]
    output = geometry.output_axis(sources, 1, 1.0, False)
    assert output.corner == 4.0
    assert [geometry.patch_start(sources[0], output, position) for position in (0, 1, 2)] == [0, 1, 2]
    assert [geometry.patch_start(sources[1], output, position) for position in (0, 1, 2)] == [0, 0, 1]


@pytest.mark.parametrize(
    "asked, field, length", [(20, 16, 32), (16, 32, 32), (16, 50, 50), (16, 100, 100), (64, 16, 64)]
)
def test_tile_length_is_whole_expression_fields(asked, field, length):
    assert geometry.tile_length(asked, field) == length


def test_receptive_field_smaller_than_the_expression_field_is_refused():
    output = geometry.OutputAxis(64, 0.0, 1.0, 16)
    with pytest.raises(ValueError, match="smaller than the expression field"):
        geometry.padding(axis(120, 15), output)


def test_field_larger_than_the_image_is_refused():
    with pytest.raises(ValueError, match="no complete expression field fits.*got sizes \\[20\\]"):
        geometry.output_axis([axis(20, 32)], 8, 1.0, True)


@given(start=st.integers(0, 300), length=st.integers(1, 300), tile=st.integers(1, 90))
def test_tiles_cover_the_request_on_a_grid_counted_from_zero(start, length, tile):
    parts = geometry.tiles(start, start + length, tile)
    assert [x for first, end in parts for x in range(first, end)] == list(range(start, start + length))
    assert all(first % tile == 0 for first, _ in parts[1:])


@settings(max_examples=200)
@given(st.data())
def test_whole_windows_of_an_upsampling_network_lie_inside_the_image(data):
    factor = data.draw(st.sampled_from([1, 2, 3, 4, 6]), label="factor")
    crop = factor * data.draw(st.integers(0, 8), label="crop in source pixels")
    field = factor * data.draw(st.integers(1, 8), label="expression field in source pixels")
    receptive = (field + 2 * crop) // factor
    source = axis(data.draw(st.integers(receptive, 150), label="size"), receptive)
    output = geometry.output_axis([source], field, 1.0 / factor, True)
    start = field * data.draw(st.integers(0, output.size // field - 1), label="first field")
    stop = field * data.draw(st.integers(start // field + 1, output.size // field), label="last field")
    first, last = geometry.convolution_window(source, output, start, stop)
    assert (first * factor, (last - first) * factor) == (start, stop - start + 2 * crop)
