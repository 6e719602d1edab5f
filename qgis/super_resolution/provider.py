# SPDX-License-Identifier: Apache-2.0
"""The plugin and its Processing provider."""

from processing.core.ProcessingConfig import ProcessingConfig, Setting
from qgis.core import QgsApplication, QgsProcessingProvider

from .algorithm import PROVIDER, PYTHON_SETTING, default_python
from .programs import ALGORITHMS


class Provider(QgsProcessingProvider):
    """Holds the algorithms."""

    def id(self):
        """Return the first part of the algorithms' names."""
        return PROVIDER

    def name(self):
        """Return the title in the toolbox."""
        return "Super-resolution"

    def load(self):
        """Add the provider's setting, and the algorithms."""
        ProcessingConfig.settingIcons[self.name()] = self.icon()
        ProcessingConfig.addSetting(
            Setting(self.name(), PYTHON_SETTING, "Python of the project (its .venv/bin/python)", default_python())
        )
        ProcessingConfig.readSettings()
        self.refreshAlgorithms()
        return True

    def unload(self):
        """Remove the provider's setting."""
        ProcessingConfig.removeSetting(PYTHON_SETTING)

    def loadAlgorithms(self):  # noqa: N802 (QGIS calls it by this name)
        """Add the algorithms."""
        for algorithm in ALGORITHMS:
            self.addAlgorithm(algorithm())


class Plugin:
    """The plugin."""

    def __init__(self):
        self._provider = None

    def initProcessing(self):  # noqa: N802 (QGIS calls it by this name)
        """Add the provider to Processing; `qgis_process` calls this alone."""
        self._provider = Provider()
        QgsApplication.processingRegistry().addProvider(self._provider)

    def initGui(self):  # noqa: N802 (QGIS calls it by this name)
        """Add the provider to Processing."""
        self.initProcessing()

    def unload(self):
        """Remove the provider from Processing."""
        QgsApplication.processingRegistry().removeProvider(self._provider)
