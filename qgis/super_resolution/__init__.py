# SPDX-License-Identifier: Apache-2.0
"""Plugin of QGIS: the project's programs as Processing algorithms.

The plugin lies in the project's folder `qgis`, to which a link in QGIS's profile leads (`make qgis`). Nothing of the
project is imported here: each algorithm starts the project's own Python.
"""


def classFactory(iface):  # noqa: N802 (QGIS calls it by this name)
    """Return the plugin, as QGIS asks for it."""
    from .provider import Plugin

    return Plugin()
