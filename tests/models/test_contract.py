# SPDX-License-Identifier: Apache-2.0
"""What every model in `models/` has to be for the rest of the project: these tests find them, whatever they are.

A module holds the class of its system, `SIZES`, arguments by name, and for each argument without a default the values
that it may have, named after it: `ROLES` for `role`. Where a module has several classes, each has its own sizes, such
as `REC_SIZES`.

Models with `whole_image` are tested like the others, but for crops, seams, places and engines, which have to do with
tiles: their pixels depend on the whole image by their definition, so that no crop makes tiles equal, and no pixel
changes alone. That they do depend on it, and that OTBTF serves them in one piece, is tested instead.
"""

import inspect
import json
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import pyotb
import pytest
import tensorflow as tf

from chain.raster.grids import Region
from chain.serving.network import Network, fields
from chain.serving.recipe import Recipe
from chain.serving.tensorflow_model_serve import serve
from models import weights_file
from models.build import build
from models.description import FILE_NAME, SEAL, read_description
from tests.examples import slow
from tests.models.cases import CASES, classes, export_small, sizes
from tests.products import computed

pytestmark = pytest.mark.keras

LEFT, TOP = 300000.0, 5000040.0
TILED = [case for case in CASES if not case[0].whole_image]
WHOLE = [case for case in CASES if case[0].whole_image]


def name_of(case):
    """Name a model in the names of tests."""
    return " ".join(map(str, (case[0].system, case[0].class_name, *case[1].values())))


def everyday(some):
    """Leave all but the first of the models of each system to `make test-all`."""
    first = {case[0].system: case for case in reversed(CASES)}
    return [case if case is first[case[0].system] else slow(case) for case in some]


def only(some):
    """Let a test see some of the models."""
    return pytest.mark.parametrize("exported", everyday(some), ids=name_of, indirect=True)


def test_there_are_models():
    assert {kind.system for kind, _ in classes()} >= {"deepsum", "dsen2", "l1bsr", "spot7"} and len(CASES) >= 6
    assert {kind.class_name or kind.system for kind, _ in WHOLE} >= {"REC", "CSR", "deepsum"} and len(TILED) >= 3


@pytest.mark.parametrize("system", sorted({kind.system for kind, _ in classes()}))
def test_classes_of_a_module_are_told_apart(system):
    names = [kind.class_name for kind, _ in classes() if kind.system == system]
    assert len({*names}) == len(names)


@pytest.mark.parametrize("kind, module", classes(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_class_is_found_by_its_system_and_takes_the_sizes_of_its_module(kind, module):
    assert module.__name__ == f"models.{kind.system}"
    names = inspect.signature(kind).parameters
    for arguments in sizes(kind, module).values():
        assert set(arguments) <= set(names)
    assert {"dataset_element_spec", "inference_cropping"} <= set(names)


@pytest.fixture(scope="module")
def export_once(tmp_path_factory):
    """Return a function that exports the small model of a case, and returns it and its folder."""
    made = {}

    def export(case):
        if name_of(case) not in made:
            folder = tmp_path_factory.mktemp(case[0].system) / "model"
            made[name_of(case)] = export_small(case, folder), str(folder)
        return made[name_of(case)]

    return export


@pytest.fixture(params=everyday(CASES), ids=name_of)
def exported(request, export_once):
    """A small model, its folder, and its description."""
    model, folder = export_once(request.param)
    return model, folder, read_description(folder)


def ratios_of(description):
    """Return how many output pixels there are along one of each source, by name."""
    return {source.name: round(source.gsd / description.gsd) for source in description.sources}


def step_of(description):
    return math.lcm(*ratios_of(description).values())


def side_of(description, more):
    """Return a side that leaves about `more` output pixels between the crops, in whole pixels of all sources."""
    step = step_of(description)
    return -(-(2 * description.crop + more) // step) * step


def ground(description, rows, columns, seed=0):
    """Draw the sources of a piece of ground, whose size is given in output pixels: (rows, columns, bands) by name."""
    rng = np.random.default_rng(seed)
    return {
        source.name: rng.integers(500, 5000, (rows // ratio, columns // ratio, len(source.bands))).astype(np.float32)
        for source, ratio in zip(description.sources, ratios_of(description).values())
    }


@lru_cache
def load(folder):
    """Load an exported model."""
    return tf.saved_model.load(folder).signatures["serving_default"]


def run(folder, arrays):
    """Return the outputs of an exported model, by name."""
    outputs = load(folder)(**{name: tf.constant(array[np.newaxis]) for name, array in arrays.items()})
    return {name: tensor.numpy()[0] for name, tensor in outputs.items()}


def test_its_description_round_trips(exported):
    model, folder, description = exported
    written = json.loads((Path(folder) / FILE_NAME).read_text())
    seal = written.pop(SEAL)
    assert {"weights.h5", "saved_model.pb", "variables/variables.index"} <= seal["files"].keys()
    assert written == description.to_json()
    assert written == model.description(weights_file.weights_digest(folder))
    assert (description.levels, description.origin) == (("L2A",), {"file": "weights.hdf5"})
    built = build(description)
    assert type(built) is type(model)
    assert built.description(description.weights) == written
    weights_file.load_weights(built.model, folder)
    arrays = ground(description, *[side_of(description, 8)] * 2)
    outputs = built.model({name: tf.constant(array[np.newaxis]) for name, array in arrays.items()})
    for name, image in run(folder, arrays).items():
        np.testing.assert_allclose(outputs[name].numpy()[0], image, rtol=1e-5, atol=1.0 if "sr_dn" in name else 1e-5)


def test_its_graph_has_the_sources_and_the_outputs_that_it_says(exported):
    model, folder, description = exported
    network = load(folder)
    specs = network.structured_input_signature[1]
    assert {name: (tuple(spec.shape), spec.dtype) for name, spec in specs.items()} == {
        source.name: ((None, None, None, len(source.bands)), tf.float32) for source in description.sources
    }
    assert set(description.outputs) == {"float", "integer"}
    assert {"sr", "sr_dn", *description.outputs.values()} <= set(network.structured_outputs)
    step, crop = step_of(description), description.crop
    side = side_of(description, model.least_side)
    for rows, columns in ((side, side + 3 * step), (side + step, side)):
        outputs = run(folder, ground(description, rows, columns))
        whole, numbers = outputs["sr"], outputs["sr_dn"]
        assert whole.shape == numbers.shape == (rows, columns, len(description.bands))
        assert whole.dtype == numbers.dtype == np.float32
        np.testing.assert_array_equal(numbers, np.rint(np.clip(whole * np.float32(1 / model.unit), 0, 65535)))
        inner = np.s_[crop : rows - crop, crop : columns - crop]
        np.testing.assert_array_equal(outputs[description.outputs["float"]], whole[inner])
        np.testing.assert_array_equal(outputs[description.outputs["integer"]], numbers[inner])


@only(TILED)
def test_its_crop_is_what_its_network_sees(exported):
    """By TensorFlow's gradients: which pixels of each source have a say in a row of the output."""
    model, _, description = exported
    step, ratios = step_of(description), ratios_of(description)
    side = 2 * side_of(description, 2 * step)
    middle = side // 2 // step * step
    tensors = {name: tf.constant(a[np.newaxis]) for name, a in ground(description, side, side).items()}
    needed = 0
    for row in range(middle, middle + step):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            total = tf.reduce_sum(model.model(tensors)["sr"][:, row])
        for name, gradient in tape.gradient(total, tensors).items():
            rows = np.flatnonzero(np.abs(gradient.numpy()[0]).any(axis=(1, 2)))
            assert rows.size
            # Of a border at whole pixels of all sources, the farthest one with a pixel beyond it that has a say:
            behind, before = rows[-1] * ratios[name] // step * step, -(-(rows[0] + 1) * ratios[name] // step) * step
            needed = max(needed, behind - row, row + 1 - before)
    assert 0 < needed <= model.receptive_field_radius <= description.crop
    assert description.crop == model.crop and description.crop % step == 0


@only(TILED)
def test_no_pixel_depends_on_where_a_tile_ends(exported):
    _, folder, description = exported
    step, ratios, crop = step_of(description), ratios_of(description), description.crop
    side = side_of(description, 12 * step)
    arrays = ground(description, side + 4 * step, side)
    whole = run(folder, arrays)
    seams = 0
    for top, left, rows, columns in (
        (step, 0, side, side),
        (0, 2 * step, side + 3 * step, side - 3 * step),
        (3 * step, 5 * step, side_of(description, 1), side_of(description, step + 1)),
    ):
        part = {
            name: array[top // ratios[name] : (top + rows) // ratios[name]][
                :, left // ratios[name] : (left + columns) // ratios[name]
            ]
            for name, array in arrays.items()
        }
        found = run(folder, part)
        for kind, tolerance in (("float", 1e-5), ("integer", 1)):
            name = description.outputs[kind]
            expected = whole[name][top : top + rows - 2 * crop, left : left + columns - 2 * crop]
            assert found[name].shape == expected.shape
            assert np.abs(found[name] - expected).max() <= tolerance
        seams = max(seams, np.abs(found["sr"] - whole["sr"][top : top + rows, left : left + columns]).max())
    assert seams > 1e-3  # without a crop there are some


def image_of(write_raster, name, array, gsd, corner=(LEFT, TOP)):
    return pyotb.ExtractROI({"in": str(write_raster(f"{name}.tif", array, gsd=gsd, origin=corner))})


@only(TILED)
def test_its_output_lies_where_its_input_does(exported, write_raster):
    """A bright square of a source is in the middle of all that it changes, on the ground.

    It is as large as a pixel of the coarsest source: a network may work on that grid.
    """
    _, folder, description = exported
    ratios, field, step = ratios_of(description), fields(description), step_of(description)
    side = 2 * description.crop + (2 * description.crop // field.expression + 3) * field.expression
    for bright in description.sources:
        arrays = {name: 0 * array for name, array in ground(description, *[side + field.surplus] * 2).items()}
        row, column = (side // 2 // step + more for more in (0, 1))
        length = step // ratios[bright.name]
        arrays[bright.name][row * length :, column * length :][:length, :length] = 30000
        images = {s.name: image_of(write_raster, s.name, arrays[s.name], s.gsd) for s in description.sources}
        served = serve(images, description, folder, "float")
        margin, gsd = description.crop * description.gsd, description.gsd
        assert served.geotransform == (LEFT + margin, gsd, 0, TOP - margin, 0, -gsd)
        assert served.size == (side - 2 * description.crop,) * 2 and "32631" in served.projection
        image = served.app.to_numpy()
        changed = image.any(axis=2)
        for axis, corner, place, sign in ((0, TOP - margin, row, -1), (1, LEFT + margin, column, 1)):
            lines = np.flatnonzero(changed.any(axis=1 - axis))
            assert 0 < lines[0] and lines[-1] < changed.shape[axis] - 1
            centre, tolerance = (lines[0] + lines[-1] + 1) / 2, 1e-6
            if image.min() < 0:  # a network of differences, of which ReLUs take parts away
                weights = np.abs(image).sum(axis=(1 - axis, 2))
                centre, tolerance = np.average(np.arange(len(weights)) + 0.5, weights=weights), 0.5 * gsd * step
            origin = TOP if axis == 0 else LEFT
            wanted = origin + sign * gsd * step * (place + 0.5)
            assert corner + sign * gsd * centre == pytest.approx(wanted, abs=tolerance)


@only(WHOLE)
def test_each_pixel_depends_on_the_whole_image(exported):
    model, folder, description = exported
    assert description.whole_image and description.crop == model.crop == 0
    assert description.outputs == {"float": "sr", "integer": "sr_dn"}
    arrays = ground(description, *[64 * step_of(description)] * 2)
    before = run(folder, arrays)
    for array in arrays.values():
        array[-1, -1] = 60000
    changed = [(run(folder, arrays)[name] != image).any(axis=2) for name, image in before.items() if name != "sr_dn"]
    assert changed and all(image[0].mean() > 0.9 for image in changed)


@only(WHOLE)
def test_a_whole_image_is_served_in_one_piece(exported, write_raster):
    _, folder, description = exported
    rows, columns = 21 * step_of(description), 34 * step_of(description)
    arrays = ground(description, rows, columns)
    parameters = {
        "model.dir": folder,
        "model.fullyconv": True,
        "output.efieldx": columns,
        "output.efieldy": rows,
        "optim.disabletiling": True,
        "output.spcscale": 1 / ratios_of(description)[description.sources[0].name],
    }
    for number, source in enumerate(description.sources, start=1):
        parameters[f"source{number}.il"] = [image_of(write_raster, source.name, arrays[source.name], source.gsd)]
        parameters[f"source{number}.rfieldx"] = arrays[source.name].shape[1]
        parameters[f"source{number}.rfieldy"] = arrays[source.name].shape[0]
        parameters[f"source{number}.placeholder"] = source.name
    for name, wanted in run(folder, arrays).items():
        served = pyotb.TensorflowModelServe({**parameters, "output.names": [name]}).to_numpy()
        assert served.shape == wanted.shape
        np.testing.assert_allclose(served, wanted, rtol=1e-5, atol=1e-3)


@only(TILED)
def test_engines_make_equal_pixels(exported, write_raster):
    _, folder, description = exported
    side = 4 * step_of(description) + 5 * fields(description).expression
    side -= side % step_of(description)
    arrays = ground(description, side, side)
    images = {s.name: image_of(write_raster, s.name, arrays[s.name], s.gsd) for s in description.sources}
    for floating in (False, True):
        found = []
        for engine in ("otbtf", "tensorflow"):
            recipe = Recipe(description.bands, description.gsd, (Network(description, folder, engine),))
            region = Region(3, 1, side - 3, side - 2)
            values, valid = computed(recipe, images, region, (LEFT, TOP), floating=floating, tile_size=32)
            assert valid.all() and values.shape == (side - 2, side - 3, len(description.bands))
            found.append(values)
        np.testing.assert_array_equal(*found)
        assert np.ptp(found[0]) > (1e-3 if floating else 10)
