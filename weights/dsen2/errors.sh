#!/usr/bin/env bash
# What error the pixels of these weights have, from scenes never trained on: bash weights/dsen2/errors.sh IMAGES
# IMAGES is the folder of the scenes that README.md names. Prints README.md's tables, and writes errors.json.
set -euo pipefail
cd "$(dirname "$0")/../.."
images=$1
python=${PYTHON:-.venv/bin/python}
words=()

triple() { words+=(--scene "$1" "$images/$2"_{10,20,60}m.tif); }
patch() { words+=(--scene "$1" "$images/s2_l2a_bigearthnet_native/$2"/*_B*.tif); }

triple T24KUF s2_l1c_ssl4eo_brazil_native/l1c_T24KUF_20180302
triple T43RCP s2_ssl4eo_T43RCP_native/l1c_T43RCP_20200604
triple T43RCP s2_ssl4eo_T43RCP_native/l2a_T43RCP_20200604
triple T43RCP s2_ssl4eo_T43RCP_native/l2a_T43RCP_20200813
triple 282D s2_terramesh_native/TM_L1C_282D
triple 282D s2_terramesh_native/TM_L2A_282D
triple 609U s2_terramesh_native/TM_L1C_609U
triple 609U s2_terramesh_native/TM_L2A_609U
triple T33UUP s2_l2a_bigearthnet_configilm_native/S2A_MSIL2A_20170613T101031_26_57
triple T33UUP s2_l2a_bigearthnet_v2_native/S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_75_43
triple T33UUP s2_l2a_bigearthnet_v2_native/S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_89_18
patch T29 S2A_MSIL2A_20170617T113321_36_85
patch T29 S2A_MSIL2A_20170617T113321_4_55

for network in 6x 2x; do
  "$python" -m evaluation.expected_error --offset 0 --model-dir weights/dsen2/$network "${words[@]}" \
    --output weights/dsen2/errors.json
  echo
done
