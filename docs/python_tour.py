# SPDX-License-Identifier: Apache-2.0
# %% [markdown]
# # Twelve bands at 10 m, in Python
#
# A STAC item becomes an `xarray.Dataset`, the dataset twelve bands of 10 m, and those a picture: the moisture index
# (NDMI, from B8A and B11) at its native 20 m beside the same at 10 m. Open this file as a notebook with jupytext, or
# run it:
#
#     python docs/python_tour.py ITEM WEST,SOUTH,EAST,NORTH ndmi.png

# %%
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from inference.dsen2 import read_scene, super_resolve_arrays

item, area, picture = sys.argv[1:4]
bbox = tuple(float(number) for number in area.split(","))

# %% [markdown]
# `read_scene` takes what `python -m inference.dsen2 --input` takes: an item (file or URL), a SAFE folder, rasters.
# Bands stay at their native resolutions: those of 20 m and 60 m have dimensions of their own.

# %%
scene = read_scene(item, bbox=bbox)
print(scene)

# %% [markdown]
# The weights come with the project and are chosen by the level that the dataset states.

# %%
fine = super_resolve_arrays(scene, progress=lambda fraction, text: print(f"{fraction:.0%} {text}", file=sys.stderr))
print(fine)


# %%
def moisture(dataset):
    """Return the normalised difference moisture index; missing pixels NaN."""
    near, short = (dataset[band].where(dataset[band] > 0).astype("float32").values for band in ("B8A", "B11"))
    return (near - short) / (near + short)


figure, axes = pyplot.subplots(1, 2, figsize=(12, 6), sharey=False)
for axis, dataset, title in zip(axes, (scene, fine), ("NDMI at 20 m, as observed", "NDMI at 10 m, super-resolved")):
    shown = axis.imshow(moisture(dataset), cmap="BrBG", vmin=-0.6, vmax=0.6)
    axis.set_title(title)
    axis.set_axis_off()
figure.colorbar(shown, ax=axes, shrink=0.8)
figure.savefig(picture, dpi=100)
