#!/usr/bin/env bash
# Scores of the weights on scenes never trained on: bash weights/dsen2/score.sh IMAGES OUTPUT [MODEL_DIR]
# IMAGES is the folder of the scenes that README.md names, OUTPUT a folder to be made, MODEL_DIR the networks, by default
# these weights. Prints the tables of README.md; what lies in OUTPUT is not scored again.
set -euo pipefail
cd "$(dirname "$0")/../.."
images=$1 output=$2 models=${3:-weights/dsen2}
python=${PYTHON:-.venv/bin/python}
mkdir -p "$output"

scene() { # NAME, its files
  [ -e "$output/$1.json" ] || "$python" -m inference.dsen2 --input "${@:2}" --offset 0 --model-dir "$models" \
    --evaluate wald --metrics "$output/$1.json" >/dev/null
}
triple() { scene "$1" "$images/$2"_{10,20,60}m.tif; }

triple L1C_T24KUF s2_l1c_ssl4eo_brazil_native/l1c_T24KUF_20180302
triple L1C_T43RCP s2_ssl4eo_T43RCP_native/l1c_T43RCP_20200604
triple L2A_T43RCP_0604 s2_ssl4eo_T43RCP_native/l2a_T43RCP_20200604
triple L2A_T43RCP_0813 s2_ssl4eo_T43RCP_native/l2a_T43RCP_20200813
triple L1C_282D_lagoon s2_terramesh_native/TM_L1C_282D
triple L2A_282D_lagoon s2_terramesh_native/TM_L2A_282D
triple L1C_609U_snow s2_terramesh_native/TM_L1C_609U
triple L2A_609U_snow s2_terramesh_native/TM_L2A_609U
triple L2A_T33UUP_26_57 s2_l2a_bigearthnet_configilm_native/S2A_MSIL2A_20170613T101031_26_57
triple L2A_T33UUP_75_43 s2_l2a_bigearthnet_v2_native/S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_75_43
triple L2A_T33UUP_89_18 s2_l2a_bigearthnet_v2_native/S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_89_18
for patch in 36_85 4_55; do
  scene "L2A_20170617_$patch" "$images"/s2_l2a_bigearthnet_native/S2A_MSIL2A_20170617T113321_"$patch"/*_B*.tif
done

for group in 20m 60m; do
  printf '### %s bands\n\n' "${group/m/ m}"
  "$python" -m evaluation.scene_table --group $group --metrics "$output"/*.json --beside weights/dsen2/others.json
  echo
done
