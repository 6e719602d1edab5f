# SPDX-License-Identifier: Apache-2.0
"""Run by the tests in QGIS's Python: what its command line cannot do. Prints JSON on its last line.

in_qgis.py options                          all algorithms, their programs and options
in_qgis.py cancel ALGORITHM PARAMETERS FILE run one, given JSON, and cancel it when files match a pattern
in_qgis.py load ALGORITHM PARAMETERS FILE   run one into a file as the toolbox does; tell the layers that it opens
in_qgis.py render RASTER PNG [STYLE]        draw a layer as QGIS shows it by itself, or with a style
"""

import glob
import json
import os
import sys
import threading
import time
from pathlib import Path

from qgis.core import (
    QgsApplication,
    QgsMapRendererSequentialJob,
    QgsMapSettings,
    QgsProcessingContext,
    QgsProcessingException,
    QgsProcessingFeedback,
    QgsProcessingOutputLayerDefinition,
    QgsProject,
    QgsRasterLayer,
)
from qgis.PyQt.QtCore import QSize, Qt

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "qgis"), "/usr/share/qgis/python/plugins"]


def start():
    from processing.core.Processing import Processing
    from super_resolution.provider import Provider

    Processing.initialize()
    provider = Provider()
    QgsApplication.processingRegistry().addProvider(provider)
    return provider


def options():
    found = {}
    for algorithm in start().algorithms():
        found[algorithm.name()] = {
            "module": algorithm.MODULE,
            "fixed": [*algorithm.FIXED, algorithm.OUTPUT_FLAG],
            "options": [
                {
                    "flag": option.flag,
                    "name": option.parameter.name(),
                    "default": option.parameter.defaultValue(),
                    "choices": getattr(option.parameter, "options", list)(),
                }
                for option in algorithm._options
            ],
        }
    return found


def cancel(name, parameters, pattern):
    import processing
    from processing.core.ProcessingConfig import ProcessingConfig

    provider, feedback = start(), QgsProcessingFeedback()
    ProcessingConfig.setSettingValue("SR_PYTHON", os.environ["SR_PYTHON"])
    ended = threading.Event()

    def watch():
        while not ended.is_set():
            if glob.glob(pattern):
                feedback.cancel()
                return
            time.sleep(0.02)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = processing.run(f"{provider.id()}:{name}", json.loads(parameters), feedback=feedback)
    except QgsProcessingException as error:
        result = str(error)
    finally:
        ended.set()
        watcher.join()
    return {"result": result, "cancelled": feedback.isCanceled(), "log": feedback.textLog()}


def load(name, parameters, path):
    import processing
    from processing.core.ProcessingConfig import ProcessingConfig

    provider, context = start(), QgsProcessingContext()
    context.setProject(QgsProject.instance())
    ProcessingConfig.setSettingValue("SR_PYTHON", os.environ["SR_PYTHON"])
    output = QgsProcessingOutputLayerDefinition(path, QgsProject.instance())
    processing.run(f"{provider.id()}:{name}", {**json.loads(parameters), "OUTPUT": output}, context=context)
    return {source: details.name for source, details in context.layersToLoadOnCompletion().items()}


def render(path, picture, style=None):
    layer = QgsRasterLayer(path, "product")
    if style:
        layer.loadNamedStyle(style)
    settings = QgsMapSettings()
    settings.setLayers([layer])
    settings.setExtent(layer.extent())
    settings.setDestinationCrs(layer.crs())
    settings.setBackgroundColor(Qt.transparent)
    settings.setOutputSize(QSize(layer.width(), layer.height()))
    job = QgsMapRendererSequentialJob(settings)
    job.start()
    job.waitForFinished()
    job.renderedImage().save(picture)
    provider = layer.dataProvider()
    bands = layer.renderer().usesBands()
    return {
        "valid": layer.isValid(),
        "renderer": layer.renderer().type(),
        "bands": [layer.bandName(band).split(": ")[-1] for band in bands],
        "value": provider.block(1, layer.extent(), layer.width(), layer.height()).value(0, layer.width() // 2),
    }


if __name__ == "__main__":
    application = QgsApplication([], False)
    application.initQgis()
    print(
        json.dumps({"options": options, "cancel": cancel, "load": load, "render": render}[sys.argv[1]](*sys.argv[2:]))
    )
