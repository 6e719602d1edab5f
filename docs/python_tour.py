# SPDX-License-Identifier: Apache-2.0
# %% [markdown]
# # Twelve bands at 10 m, in Python
#
# An area and some days become a STAC item, the item an `xarray.Dataset`, the dataset twelve bands of 10 m, and those a
# picture: the moisture index (NDMI, from B8A and B11) at its native 20 m beside the same at 10 m. Open this file as a
# notebook with jupytext, or run it:
#
#     python docs/python_tour.py WEST,SOUTH,EAST,NORTH 2022-06-01/2022-07-31 ndmi.png

# %%
import sys

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot

from chain.raster.footprint import Footprint
from chain.sentinel2 import cloud_cover, stac_search
from inference.dsen2 import read_scene, super_resolve_arrays

area, days, picture = sys.argv[1:4]
api = sys.argv[4] if len(sys.argv) > 4 else stac_search.PLANETARY_COMPUTER
bbox = tuple(float(number) for number in area.split(","))

# %% [markdown]
# The clearest item over the area: by the scene classification there, not by the clouds of its whole tile.

# %%
ground = Footprint.of_box(bbox)
found = cloud_cover.choose(stac_search.search(ground, days, api), ground, max_cloud_cover=20)
print(f"{found.item.id}: {found.cloudy:.1%} clouds over the area")

# %% [markdown]
# `read_scene` takes what `python -m inference.dsen2 --input` takes: an item (object, file or URL), a SAFE folder,
# rasters. Bands stay at their native resolutions: those of 20 m and 60 m have dimensions of their own. With `chunks`,
# nothing is read yet, and areas may be larger than the memory; without, all is read at once.

# %%
scene = read_scene(found.item, bbox=bbox, chunks=600)
print(scene)

# %% [markdown]
# The weights come with the project and are chosen by the level that the dataset states. What is made has chunks too:
# each is computed when it is needed, and has the very pixels that the file of `python -m inference.dsen2` has.

# %%
fine = super_resolve_arrays(scene)
print(fine)

# %% [markdown]
# Only B8A and B11 are asked for here. `fine.to_zarr(...)` would compute all bands, chunk by chunk.

# %%
fine = fine[["B8A", "B11"]].compute()


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
