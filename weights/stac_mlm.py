# SPDX-License-Identifier: Apache-2.0
"""A model as an item of STAC, by the extension for machine learning models (MLM, version 1.4).

The item has no geometry: what ground a model suits is not known.
"""

import datetime
from pathlib import Path

import pystac
from pystac.extensions.mlm import (
    AssetGeneralMLMExtension,
    Hyperparameters,
    InputStructure,
    MLMExtension,
    ModelBand,
    ModelInput,
    ModelOutput,
    ResultStructure,
    TaskType,
)
from pystac.extensions.raster import DataType

from models.description import ModelDescription

DIMENSIONS = ["batch", "height", "width", "bands"]
ANY = -1
"""A size that is free."""
MEDIA_TYPES = {".md": "text/markdown", ".json": "application/json", ".h5": "application/x-hdf5", ".sh": "text/x-sh"}
BINARY = "application/octet-stream"


def item(
    name: str, description: ModelDescription, licence: str, parameters: int, folder: Path, time: datetime.datetime
) -> pystac.Item:
    """Return the item of a model.

    Args:
        name: what it is called.
        description: what it is.
        licence: SPDX identifier; empty when unknown.
        parameters: number of its weights.
        folder: its files, which become assets.
        time: when it was published.
    """
    properties = {"license": licence or "other", "gsd": description.gsd}
    result = pystac.Item(id=name, geometry=None, bbox=None, datetime=time, properties=properties)
    crop = f", without {description.crop} pixels on each side" if description.crop else ""
    tasks = [TaskType.SUPER_RESOLUTION]
    MLMExtension.ext(result, add_if_missing=True).apply(
        name=name,
        architecture=description.model or description.system,
        tasks=tasks,
        framework="TensorFlow",
        framework_version=description.software.get("tensorflow"),
        total_parameters=parameters,
        pretrained=True,
        accelerator_constrained=False,
        hyperparameters=Hyperparameters(dict(description.arguments)),
        input=[
            ModelInput.create(
                name=source.name,
                bands=[ModelBand.create(name=band) for band in source.bands],
                input=InputStructure.create([ANY, ANY, ANY, len(source.bands)], DIMENSIONS, DataType.FLOAT32),
                description=f"Pixels of {source.gsd:g} m, not normalised: the model does so itself.",
            )
            for source in description.sources
        ],
        output=[
            ModelOutput.create(
                name=output,
                tasks=tasks,
                result=ResultStructure.create([ANY, ANY, ANY, len(description.bands)], DIMENSIONS, DataType.FLOAT32),
                description=f"{', '.join(description.bands)} at {description.gsd:g} m, {unit}{crop}",
            )
            for output, unit in (
                (description.outputs["integer"], "digital numbers"),
                (description.outputs["float"], "reflectance, or the model's own unit"),
            )
        ],
    )
    for path in sorted(folder.iterdir()):
        if path.is_file():
            _add(result, path)
    return result


def _add(item: pystac.Item, path: Path) -> None:
    """Add a file as an asset; the SavedModel is the model itself."""
    is_model = path.name == "saved_model.pb"
    roles = ["mlm:model"] if is_model else ["mlm:weights"] if path.suffix == ".h5" else ["metadata"]
    asset = pystac.Asset(href=f"./{path.name}", media_type=MEDIA_TYPES.get(path.suffix, BINARY), roles=roles)
    item.add_asset("model" if is_model else path.name, asset)
    if is_model:
        asset.title = "SavedModel, with the files in variables/"
        AssetGeneralMLMExtension.ext(asset).apply(artifact_type="tf.keras.Model.export")
