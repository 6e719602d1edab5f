# SPDX-License-Identifier: Apache-2.0
"""Points and labels read from vector files of several kinds."""

import json

import pytest
from otbtf_applications.point_layer import read_points


@pytest.fixture
def write_points(tmp_path):
    def write(*features):
        path = tmp_path / "points.geojson"
        path.write_text(
            json.dumps(
                {
                    "type": "FeatureCollection",
                    "features": [
                        {"type": "Feature", "properties": properties, "geometry": geometry}
                        for geometry, properties in features
                    ],
                }
            )
        )
        return str(path)

    return write


def point(x, y):
    return {"type": "Point", "coordinates": [x, y]}


def test_order_and_values(write_points):
    path = write_points((point(3, 4), {"class": 7}), (point(1, 2), {"class": 5}))
    points, labels = read_points(path, "class")
    assert points.tolist() == [[3, 4], [1, 2]]
    assert labels.tolist() == [7, 5]


@pytest.mark.parametrize(("value", "label"), [(1.7, 1), (-1.7, -1), ("12 oaks", 12), ("oak", 0), (2**40, 2**40)])
def test_other_types_become_integers(write_points, value, label):
    assert read_points(write_points((point(0, 0), {"class": value})), "class")[1].tolist() == [label]


def test_only_points_that_have_the_field(write_points):
    line = {"type": "LineString", "coordinates": [[0, 0], [1, 1]]}
    several = {"type": "MultiPoint", "coordinates": [[5, 6], [7, 8]]}
    path = write_points(
        (line, {"class": 1}), (None, {"class": 2}), (point(1, 2), {"class": None}), (several, {"class": 3})
    )
    points, labels = read_points(path, "class")
    assert points.tolist() == [[5, 6], [7, 8]]
    assert labels.tolist() == [3, 3]
    assert read_points(path, "Class")[0].shape == (0, 2)


def test_not_a_vector_file(tmp_path):
    with pytest.raises(RuntimeError, match="^vec: expected a readable vector file, got .*none"):
        read_points(str(tmp_path / "none.geojson"), "class")
