#!/usr/bin/env bash
# The grid of pixels of 20 m in products: bash weights/dsen2/grid.sh IMAGES [MODEL_DIR]
# IMAGES is the folder of the scenes that README.md names, MODEL_DIR the networks, by default these weights. Prints the
# table of README.md: the gradient across pixels of 20 m beside that inside them, which is that of the ground without one.
set -euo pipefail
cd "$(dirname "$0")/../.."
images=$1 models=${2:-weights/dsen2}
python=${PYTHON:-.venv/bin/python}
folder=$(mktemp -d)
trap 'rm -r "$folder"' EXIT

scene() { # NAME, its files
  "$python" -m inference.dsen2 --input "${@:2}" --offset 0 --model-dir "$models" --output "$folder/$1.tif" --quiet >/dev/null
  "$python" -m evaluation.pixel_grid --image "$folder/$1.tif" --ratio 2 | "$python" -c '
import json, sys
found = {band: across / inside for band, (inside, across) in json.load(sys.stdin).items()}
fine = [found[band] for band in ("B02", "B03", "B04", "B08")]
made = [found[band] for band in ("B05", "B06", "B07", "B8A", "B11", "B12")]
print("|", sys.argv[1], "|", " | ".join(f"{each:.3f}" for each in made), f"| {min(fine):.3f} to {max(fine):.3f} |")' "$1"
}
triple() { scene "$1" "$images/$2"_{10,20,60}m.tif; }

echo '| scene | B05 | B06 | B07 | B8A | B11 | B12 | bands of 10 m |'
echo '|---|---|---|---|---|---|---|---|'
triple L1C_T24KUF s2_l1c_ssl4eo_brazil_native/l1c_T24KUF_20180302
triple L1C_T43RCP s2_ssl4eo_T43RCP_native/l1c_T43RCP_20200604
triple L2A_T43RCP_0813 s2_ssl4eo_T43RCP_native/l2a_T43RCP_20200813
triple L1C_282D_lagoon s2_terramesh_native/TM_L1C_282D
triple L1C_609U_snow s2_terramesh_native/TM_L1C_609U
triple L2A_609U_snow s2_terramesh_native/TM_L2A_609U
