#!/usr/bin/env bash
# Which ground the weights of 2x were trained on, and how much of other scenes is unlike it:
#     bash weights/dsen2/ground.sh IMAGES
# IMAGES is the folder of the scenes that README.md names. Writes 2x/spectra.json, and prints README.md's table. (No
# ratio of bands misleads the network of 6x.)
set -euo pipefail
cd "$(dirname "$0")/../.."
images=$1
python=${PYTHON:-.venv/bin/python}
words=()

triple() { words+=("--$1" "$images/$2"_{10,20,60}m.tif); }
patch() { words+=("--$1" "$images/s2_l2a_bigearthnet_native/$2"/*_B*.tif); }

triple scene s2_l2a_majortom_48QUE_native/T48QUE_20200223
triple scene s2_l1c_dsen2_native/S2A_MSIL1C_20170527_T33UUB
triple scene s2_l1c_coastal_iceland_native/coastalA
triple scene s2_l1c_ssl4eo_brazil_native/l1c_T24KVE_20180710
triple scene s2_l2a_bigearthnet_configilm_native/S2A_MSIL2A_20171101T094131_21_59
triple scene s2_l2a_bigearthnet_v2_native/S2A_MSIL2A_20180526T100031_N9999_R122_T34WFU_14_23
patch scene S2B_MSIL2A_20170914T093029_32_39
patch scene S2B_MSIL2A_20170924T093019_43_47
patch scene S2B_MSIL2A_20170927T094019_66_56
patch scene S2B_MSIL2A_20180421T114349_47_56

triple test s2_l1c_ssl4eo_brazil_native/l1c_T24KUF_20180302
triple test s2_ssl4eo_T43RCP_native/l1c_T43RCP_20200604
triple test s2_ssl4eo_T43RCP_native/l2a_T43RCP_20200604
triple test s2_ssl4eo_T43RCP_native/l2a_T43RCP_20200813
for level in L1C L2A; do
  for place in 282D 609U 433D; do triple test "s2_terramesh_native/TM_${level}_$place"; done
done
triple test s2_l2a_bigearthnet_configilm_native/S2A_MSIL2A_20170613T101031_26_57
triple test s2_l2a_bigearthnet_v2_native/S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_75_43
triple test s2_l2a_bigearthnet_v2_native/S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_89_18
triple test s2_l2a_bigearthnet_native2/BEN_57_38
triple test s2_l2a_bigearthnet_native2/BEN_87_48
patch test S2A_MSIL2A_20170617T113321_36_85
patch test S2A_MSIL2A_20170617T113321_4_55

"$python" -m evaluation.trained_ground --offset 0 --model-dir weights/dsen2/2x "${words[@]}"
