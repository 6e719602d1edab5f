# SPDX-License-Identifier: Apache-2.0
"""Scenes of a simulated landscape: a Spot-7 image, Sentinel-2 L2A items over it, and the truth.

    python -m simulate.scenes --output scenes

writes into `scenes/`

    spot7/xs.tif, pan.tif     the training area: 6 m R, G, B, NIR and 1.5 m panchromatic, uint16
    truth.tif                 the same area: R, G, B, NIR at 1.5 m without noise, uint16
    sentinel2/<item>/*.tif    Sentinel-2 L2A items over both areas, one Cloud-Optimized GeoTIFF per band and SCL
    items.json                their STAC items, as Planetary Computer writes them
    held_out/                 a separate area: sentinel2.tif (B04, B03, B02, B08 at 10 m, from the clearest item),
                              truth.tif
    scene.json                seed, sizes, geometry

Digital numbers are surface reflectance x 10 000 in all of them, so that images and truth can be compared directly;
from baseline 04.00 on, Sentinel-2's have 1000 added. 0 is nodata. Between dates, the landscape changes only in its
clouds and by a gain of a few percent.
"""

import argparse
import datetime
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simulate.command_line import FAILURES, failed
from simulate.scene_plan import ACQUISITIONS, EPSG, SPOT_DATE, TILE, Acquisition, Layout, layout


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder whose content moves to `folder` if the block succeeds; `scene.json` moves last."""
    created = not folder.exists()
    partial = folder / ".partial"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        yield partial
        for path in sorted(partial.iterdir(), key=lambda path: path.name == "scene.json"):
            target = folder / path.name
            if target.is_dir():
                shutil.rmtree(target)
            path.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if created and not any(folder.iterdir()):
            folder.rmdir()


def write_scenes(
    folder: Path, size: int, held_out: int, seed: int, acquisitions: tuple[Acquisition, ...] = ACQUISITIONS
) -> dict:
    """Simulates and writes the files listed in the module's description.

    Args:
        folder: folder to write into, created if necessary.
        size: side of the training area, in pixels of 1.5 m.
        held_out: side of the held-out area, in pixels of 1.5 m.
        seed: seed of the landscape, the clouds and the noise.
        acquisitions: Sentinel-2 images to simulate; the held-out stack is cut from the first.

    Returns:
        The content of `scene.json`.
    """
    import numpy as np

    from simulate import sensors
    from simulate.landscape import generate

    plan = layout(size, held_out)
    landscape = generate((plan.rows, plan.columns), seed)
    rng = np.random.default_rng([seed, 7])
    held = sensors.ImageGrid(*plan.held_out[:2], plan.held_out[2], plan.held_out[2], 1.5)
    training = sensors.ImageGrid(*plan.training[:2], plan.training[2], plan.training[2], 1.5)
    multispectral, pan = sensors.spot7(landscape, training, rng)
    ideal, held_ideal = sensors.truth(landscape, [training, held])
    corner, held_corner = (plan.corner(grid.left, grid.top) for grid in (training, held))
    _write_spot7(folder / "spot7/xs.tif", multispectral, corner, 6.0)
    _write_spot7(folder / "spot7/pan.tif", pan, corner, 1.5)
    _write_spot7(folder / "truth.tif", ideal, corner, 1.5)
    _write_spot7(folder / "held_out/truth.tif", held_ideal, held_corner, 1.5)
    grid = sensors.ImageGrid(0.0, 0.0, plan.rows * 3 // 20, plan.columns * 3 // 20, 10.0)
    clear = sensors.sentinel2(landscape, grid)
    items = [
        _write_item(folder / "sentinel2", acquisition, clear, plan, landscape.sun, rng) for acquisition in acquisitions
    ]
    _write_held_out_stack(folder, acquisitions[0], plan)
    (folder / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}, indent=1))
    scene = {
        **{"seed": seed, "epsg": EPSG, "size": size, "held_out": held.rows},
        **{"training_corner": corner, "held_out_corner": held_corner, "landscape_corner": plan.origin},
        **{"landscape_shape": landscape.shape, "sun": landscape.sun._asdict()},
        "items": [item["id"] for item in items],
    }
    (folder / "scene.json").write_text(json.dumps(scene, indent=1))
    return scene


def _write_spot7(path: Path, reflectance, corner: tuple[float, float], gsd: float) -> None:
    """Writes multispectral or panchromatic reflectances as Spot-7's digital numbers."""
    from simulate import sensors
    from simulate.rasters import write_cog

    names = list(sensors.SPOT7) if reflectance.ndim == 3 else [sensors.SPOT7_PAN.name]
    metadata = {"TIFFTAG_DATETIME": SPOT_DATE, "REFLECTANCE_SCALE": "0.0001", "REFLECTANCE_OFFSET": "0"}
    write_cog(path, sensors.digital_numbers(reflectance), corner, gsd, EPSG, names, metadata)


def _write_item(folder: Path, acquisition: Acquisition, clear: dict, plan: Layout, sun, rng) -> dict:
    """Writes one Sentinel-2 image and returns its STAC item."""
    import numpy as np

    from simulate import clouds, sensors
    from simulate.rasters import write_cog

    height, width = plan.rows * 1.5, plan.columns * 1.5
    left, top, side = plan.training[0], plan.training[1], plan.training[2] * 1.5
    right = (left + 0.9 * side, left + 0.4 * side) if acquisition.partial else (width, width)
    over = np.s_[round(top / 20.0) : round((top + side) / 20.0), round(left / 20.0) : round((left + side) / 20.0)]
    sky = clouds.clouds((round(height / 20.0), round(width / 20.0)), acquisition.cover, over, sun, rng)
    images = {"SCL": (clouds.scene_classes(clear, sky), 20.0)}
    for name, ground in clear.items():
        band = sensors.SENTINEL2[name]
        seen = clouds.veil(acquisition.gain * ground, sky, sum(band.interval) / 2.0, band.gsd)
        noisy = sensors.add_noise(seen, band, rng)
        images[name] = sensors.digital_numbers(noisy, acquisition.offset), band.gsd
    metadata = {
        "PROCESSING_BASELINE": acquisition.baseline,
        "BOA_ADD_OFFSET": str(-acquisition.offset),
        "BOA_QUANTIFICATION_VALUE": "10000",
    }
    for name, (image, gsd) in images.items():
        rows, columns = np.indices(image.shape)
        edge = right[0] + (right[1] - right[0]) * (rows + 0.5) * gsd / height
        image[(columns + 0.5) * gsd > edge] = 0
        path = folder / acquisition.identity / f"{name}.tif"
        resampling = "NEAREST" if name == "SCL" else "AVERAGE"
        write_cog(path, image, plan.origin, gsd, EPSG, [name], metadata, resampling)
    missing = 100.0 * float((images["SCL"][0] == 0).mean())
    ring = [plan.corner(*point) for point in ((0.0, 0.0), (right[0], 0.0), (right[1], height), (0.0, height))]
    return _item(folder, acquisition, ring, missing, sun)


def _item(folder: Path, acquisition: Acquisition, ring: list, missing: float, sun) -> dict:
    """The STAC item of a written image, with a given outline and percentage of nodata."""
    from simulate.items import footprint, make_item

    geometry, bbox = footprint(ring, EPSG)
    when = datetime.datetime.strptime(acquisition.when, "%Y%m%dT%H%M%S").replace(tzinfo=datetime.timezone.utc)
    properties = {
        "platform": "Sentinel-2B",
        "constellation": "Sentinel 2",
        "instruments": ["msi"],
        "proj:epsg": EPSG,
        "sat:relative_orbit": 8,
        "sat:orbit_state": "descending",
        "s2:mgrs_tile": TILE,
        "s2:product_type": "S2MSI2A",
        "s2:processing_baseline": acquisition.baseline,
        "s2:nodata_pixel_percentage": round(missing, 6),
        "s2:mean_solar_zenith": 90.0 - sun.elevation,
        "s2:mean_solar_azimuth": sun.azimuth,
        "eo:cloud_cover": acquisition.tile_cover,
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
    write_cog(
        folder / "held_out/sentinel2.tif",
        np.stack(pixels),
        plan.corner(left, top),
        10.0,
        EPSG,
        names,
        images[0].GetMetadata(),
    )


def main(argv: list[str] | None = None) -> int:
    """Writes scenes from the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m simulate.scenes",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder to write into")
    parser.add_argument(
        "--size",
        type=int,
        default=2048,
        help="side of the training area, in 1.5 m pixels (default: %(default)s)",
    )
    parser.add_argument(
        "--held-out",
        type=int,
        default=760,
        help="side of the held-out area, in 1.5 m pixels, cut to whole 30 m (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of everything random (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace the scenes of the folder")
    arguments = parser.parse_args(argv)
    if (arguments.output / "scene.json").exists() and not arguments.overwrite:
        print(f"--output: expected a folder without scenes, or --overwrite, got {arguments.output}", file=sys.stderr)
        return 1
    try:
        with _whole(arguments.output) as folder:
            scene = write_scenes(folder, arguments.size, arguments.held_out, arguments.seed)
    except FAILURES as error:
        return failed(error, "--output", arguments.output, "scenes")
    print(
        f"{arguments.output}: Spot-7 {scene['size']} x {scene['size']} pixels of 1.5 m, "
        f"{len(scene['items'])} Sentinel-2 items, held-out {scene['held_out']} x {scene['held_out']}"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
