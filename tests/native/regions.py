# SPDX-License-Identifier: Apache-2.0
"""ITK's values as the official wrapper makes them: without arguments, then element by element."""

import otbApplication as otb


def pair(kind, first, second):
    """Return an itkSize, itkIndex, itkPoint or itkVector."""
    value = kind()
    value.SetElement(0, first)
    value.SetElement(1, second)
    return value


def region_of(x, y, columns, rows):
    """Return an itkRegion."""
    region = otb.itkRegion()
    region.SetIndex(pair(otb.itkIndex, x, y))
    region.SetSize(pair(otb.itkSize, columns, rows))
    return region
