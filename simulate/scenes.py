# SPDX-License-Identifier: Apache-2.0
"""Scenes of a simulated landscape: a Spot-7 image, Sentinel-2 L2A items over it, and the truth.

    python -m simulate.scenes --output scenes

writes into `scenes/`

    spot7/xs.tif, pan.tif     the training area: 6 m R, G, B, NIR and 1.5 m panchromatic, uint16
    truth.tif                 the same area: R, G, B, NIR at 1.5 m without noise, uint16
    sentinel2/<item>/*.tif    Sentinel-2 L2A items over both areas, one Cloud-Optimized GeoTIFF per band, and SCL
    items.json                their STAC items, as Planetary Computer writes them
    held_out/                 ground that the training area does not touch: sentinel2.tif (B04, B03, B02, B08 at
                              10 m, from the clearest item), truth.tif
    scene.json                seed, sizes, geometry

Digital numbers are surface reflectance x 10 000 in all of them, so that images and truth compare directly;
Sentinel-2's from baseline 04.00 on have 1000 added. 0 is no data. The landscape does not change from one date to
another, except for its clouds and a gain of a few percent.
"""

import argparse
import datetime
import json
import sys
from dataclasses import dataclass
from pathlib import Path

EPSG, TILE, TILE_ORIGIN = 32631, "31UDQ", (399960.0, 5500020.0)
"""The Sentinel-2 tile of Paris, and its upper left corner."""

MARGIN = 120.0
"""Ground around and between the two areas, in metres."""


@dataclass(frozen=True)
class Acquisition:
    """A Sentinel-2 image to simulate."""

    when: str
    """Date and time, UTC, `20220618T105631`."""
    baseline: str
    """Processing baseline."""
    tile_cover: float
    """Cloud cover stated for the whole tile, in percent."""
    cover: float
    """Cloud cover over the scene, 0-1."""
    gain: float = 1.0
    """Factor of the reflectances: season and atmospheric residue."""
    partial: bool = False
    """Whether the orbit's edge crosses the scene."""

    @property
    def identity(self) -> str:
        """The item's id."""
        return f"S2B_MSIL2A_{self.when}_R008_T{TILE}_{self.when[:8]}T235959"

    @property
    def offset(self) -> int:
        """What is added to the digital numbers."""
        return 1000 if self.baseline >= "04.00" else 0


ACQUISITIONS = (
    Acquisition("20220618T105629", "04.00", 6.4, 0.0),
    Acquisition("20220713T105629", "04.00", 0.9, 0.34, 0.99),
    Acquisition("20220718T105631", "04.00", 0.2, 0.0, 1.01, partial=True),
    Acquisition("20220728T105631", "03.01", 3.1, 0.07, 1.02),
    Acquisition("20220807T105631", "04.00", 71.5, 0.75, 0.98),
    Acquisition("20220322T105651", "04.00", 0.1, 0.0, 0.80),
    Acquisition("20210713T105621", "03.01", 0.3, 0.0, 1.03),
)
"""The default dates: the clearest over the scene is the first, though others state less cloud for the tile; then a
partial one, one of before the offset, a clouded one, and two out of the season."""

SPOT_DATE = "2022:06:20 10:43:11"


@dataclass(frozen=True)
class Layout:
    """Where the areas lie on the landscape, in metres from its upper left corner."""

    rows: int
    """Of the landscape, 1.5 m."""
    columns: int
    """Of the landscape, 1.5 m."""
    training: tuple[float, float, int]
    """Left, top, and side in pixels of 1.5 m, of the Spot-7 image."""
    held_out: tuple[float, float, int]
    """Left, top, and side in pixels of 1.5 m, of the held-out area."""
    origin: tuple[float, float] = (TILE_ORIGIN[0] + 60.0 * 860, TILE_ORIGIN[1] - 60.0 * 860)
    """Easting and northing of the landscape's corner, on the 60 m grid of the tile."""

    def corner(self, left: float, top: float) -> tuple[float, float]:
        """Easting and northing of a point of the landscape."""
        return self.origin[0] + left, self.origin[1] - top


def layout(size: int, held_out: int) -> Layout:
    """Places both areas on the smallest landscape of whole 60 m pixels.

    Args:
        size: side of the training area, in pixels of 1.5 m.
        held_out: side of the held-out area, likewise; rounded down to whole 30 m, which both 10 m and 6 m pixels
            divide.

    Raises:
        ValueError: an area is too small, or `size` is not a multiple of 4.
    """
    if size < 32 or size % 4:
        raise ValueError(f"--size: wanted a multiple of 4, at least 32. Received: {size}")
    if held_out < 40:
        raise ValueError(f"--held-out: wanted at least 40. Received: {held_out}")
    side, held = size * 1.5, held_out // 20 * 30.0
    left, top = MARGIN + 4.5, MARGIN + 7.5
    held_left = (left + side + MARGIN) // 30.0 * 30.0 + 30.0
    height, width = max(side, held) + 2.0 * MARGIN + 30.0, held_left + held + MARGIN
    rows, columns = (int(-(-length // 60.0)) * 40 for length in (height, width))
    held_top = (rows * 1.5 - held) / 2.0 // 30.0 * 30.0
    return Layout(rows, columns, (left, top, size), (held_left, held_top, int(held / 1.5)))


def write_scenes(
    folder: Path,
    size: int,
    held_out: int,
    seed: int,
    acquisitions: tuple[Acquisition, ...] = ACQUISITIONS,
) -> dict:
    """Simulates and writes everything the module's description lists.

    Args:
        folder: where to write; made if need be.
        size: side of the training area, in pixels of 1.5 m.
        held_out: side of the held-out area, in pixels of 1.5 m.
        seed: of the landscape, the clouds and the noise.
        acquisitions: Sentinel-2 images to simulate.

    Returns:
        What `scene.json` holds.
    """
    import numpy as np

    from simulate import sensors
    from simulate.landscape import generate
    from simulate.rasters import write_cog

    plan = layout(size, held_out)
    landscape = generate((plan.rows, plan.columns), seed)
    rng = np.random.default_rng([seed, 7])
    left, top, side = plan.training
    spot = sensors.spot7(landscape, sensors.Grid(left, top, side, side, 1.5), rng)
    names, radiometry = list(sensors.SPOT7), {"TIFFTAG_DATETIME": SPOT_DATE, "REFLECTANCE_SCALE": "0.0001",
                                              "REFLECTANCE_OFFSET": "0"}
    corner = plan.corner(left, top)
    for name, image, gsd, bands in (("spot7/xs.tif", spot[0], 6.0, names), ("spot7/pan.tif", spot[1], 1.5, ["PAN"]),
                                    ("truth.tif", spot[2], 1.5, names)):
        write_cog(folder / name, sensors.digital_numbers(image), corner, gsd, EPSG, bands, radiometry)
    del spot
    held = sensors.Grid(*plan.held_out[:2], plan.held_out[2], plan.held_out[2], 1.5)
    write_cog(folder / "held_out/truth.tif", sensors.digital_numbers(sensors.truth(landscape, held)),
              plan.corner(held.left, held.top), 1.5, EPSG, names, radiometry)
    clear = sensors.sentinel2(landscape, sensors.Grid(0.0, 0.0, plan.rows * 3 // 20, plan.columns * 3 // 20, 10.0))
    items = [_write_item(folder / "sentinel2", acquisition, clear, plan, landscape.sun, rng)
             for acquisition in acquisitions]
    _write_held_out_stack(folder, acquisitions[0], plan)
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}, indent=1))
    scene = {"seed": seed, "size": size, "held_out": plan.held_out[2], "epsg": EPSG,
             "origin": plan.origin, "rows": plan.rows, "columns": plan.columns,
             "training_corner": corner, "held_out_corner": plan.corner(held.left, held.top),
             "sun": landscape.sun._asdict(), "items": [item["id"] for item in items]}
    (folder / "scene.json").write_text(json.dumps(scene, indent=1))
    return scene


def _write_item(folder: Path, acquisition: Acquisition, clear: dict, plan: Layout, sun, rng) -> dict:
    """Writes one Sentinel-2 image and returns its STAC item."""
    import numpy as np

    from simulate import clouds, sensors
    from simulate.items import footprint, make_item
    from simulate.rasters import write_cog

    height, width = plan.rows * 1.5, plan.columns * 1.5
    sky = clouds.clouds((round(height / 20.0), round(width / 20.0)), acquisition.cover, sun, rng)
    seen_to = 0.62 * width, 0.38 * width
    metadata = {"PROCESSING_BASELINE": acquisition.baseline, "BOA_ADD_OFFSET": str(-acquisition.offset),
                "BOA_QUANTIFICATION_VALUE": "10000"}
    classes = clouds.scene_classes(clear, sky)
    images = {"SCL": (classes, 20.0)}
    for name, ground in clear.items():
        band = sensors.SENTINEL2[name]
        seen = clouds.veil(acquisition.gain * ground, sky, sum(band.interval) / 2.0, band.gsd)
        noisy = sensors.add_noise(seen, band, rng)
        images[name] = sensors.digital_numbers(noisy, acquisition.offset), band.gsd
    for name, (image, gsd) in images.items():
        if acquisition.partial:
            rows, columns = np.indices(image.shape)
            edge = seen_to[0] + (seen_to[1] - seen_to[0]) * (rows + 0.5) * gsd / height
            image[(columns + 0.5) * gsd > edge] = 0
        write_cog(folder / acquisition.identity / f"{name}.tif", image, plan.origin, gsd, EPSG, [name], metadata,
                  "NEAREST" if name == "SCL" else "AVERAGE")
    right_top, right_bottom = seen_to if acquisition.partial else (width, width)
    ring = [(0.0, 0.0), (right_top, 0.0), (right_bottom, height), (0.0, height)]
    geometry, bbox = footprint([plan.corner(*point) for point in ring], EPSG)
    when = datetime.datetime.strptime(acquisition.when, "%Y%m%dT%H%M%S").replace(tzinfo=datetime.timezone.utc)
    properties = {
        "platform": "Sentinel-2B", "constellation": "Sentinel 2", "instruments": ["msi"], "proj:epsg": EPSG,
        "s2:mgrs_tile": TILE, "s2:processing_baseline": acquisition.baseline, "s2:product_type": "S2MSI2A",
        "eo:cloud_cover": acquisition.tile_cover, "sat:relative_orbit": 8, "sat:orbit_state": "descending",
        "s2:nodata_pixel_percentage": round(100.0 * float((images["SCL"][0] == 0).mean()), 6),
        "s2:mean_solar_zenith": 90.0 - sun.elevation, "s2:mean_solar_azimuth": sun.azimuth,
    }
    return make_item(acquisition.identity, folder / acquisition.identity, when, geometry, bbox, properties)


def _write_held_out_stack(folder: Path, acquisition: Acquisition, plan: Layout) -> None:
    """Stacks the held-out area of an item's 10 m bands, in Spot-7's order."""
    import numpy as np
    from osgeo import gdal

    from simulate.rasters import write_cog

    names = ["B04", "B03", "B02", "B08"]
    left, top, side = plan.held_out
    images = [gdal.Open(str(folder / "sentinel2" / acquisition.identity / f"{name}.tif")) for name in names]
    pixels = [image.ReadAsArray(round(left / 10), round(top / 10), side * 3 // 20, side * 3 // 20) for image in images]
    write_cog(folder / "held_out/sentinel2.tif", np.stack(pixels), plan.corner(left, top), 10.0, EPSG, names,
              images[0].GetMetadata())


def main(argv: list[str] | None = None) -> int:
    """Writes scenes from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m simulate.scenes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write into")
    parser.add_argument("--size", type=int, default=2048,
                        help="side of the training area, in 1.5 m pixels (default: %(default)s)")
    parser.add_argument("--held-out", type=int, default=760,
                        help="side of the held-out area, in 1.5 m pixels, cut to whole 30 m (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="seed of everything random (default: %(default)s)")
    arguments = parser.parse_args(argv)
    if (arguments.output / "scene.json").exists():
        print(f"--output: wanted a folder without a scene. Received: {arguments.output}", file=sys.stderr)
        return 1
    try:
        scene = write_scenes(arguments.output, arguments.size, arguments.held_out, arguments.seed)
    except (ValueError, OSError, RuntimeError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{arguments.output}: Spot-7 {scene['size']} x {scene['size']} pixels of 1.5 m, "
          f"{len(scene['items'])} Sentinel-2 items, held-out {scene['held_out']} x {scene['held_out']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
