#!/usr/bin/env bash
# How the weights of this folder were trained: bash weights/dsen2/train.sh ROLE IMAGES MODEL_DIR
# ROLE is 2x or 6x, IMAGES the folder of the scenes that README.md names, MODEL_DIR what is to be made.
# The same command goes on with a training that was interrupted.
set -euo pipefail
cd "$(dirname "$0")/../.."
role=$1 images=$2 model_dir=$3

scene() { printf -- '--%s %s_10m.tif %s_20m.tif %s_60m.tif ' "$1" "$images/$2" "$images/$2" "$images/$2"; }
patch() { printf -- '--%s %s ' "$1" "$(echo "$images/s2_l2a_bigearthnet_native/$2"/*_B*.tif)"; }

scenes=$(
  scene input s2_l2a_majortom_48QUE_native/T48QUE_20200223
  scene input s2_l1c_dsen2_native/S2A_MSIL1C_20170527_T33UUB
  scene input s2_l1c_coastal_iceland_native/coastalA
  if [ "$role" = 2x ]; then # their 60 m bands lie half a pixel of 10 m or more beside the others
    scene input s2_l1c_ssl4eo_brazil_native/l1c_T24KVE_20180710
    scene input s2_l2a_bigearthnet_configilm_native/S2A_MSIL2A_20171101T094131_21_59
  fi
  scene input s2_l2a_bigearthnet_v2_native/S2A_MSIL2A_20180526T100031_N9999_R122_T34WFU_14_23
  patch input S2B_MSIL2A_20170914T093029_32_39
  patch input S2B_MSIL2A_20170924T093019_43_47
  patch input S2B_MSIL2A_20170927T094019_66_56
  patch input S2B_MSIL2A_20180421T114349_47_56
  scene test s2_l1c_ssl4eo_brazil_native/l1c_T24KUF_20180302
  scene test s2_ssl4eo_T43RCP_native/l1c_T43RCP_20200604
  scene test s2_ssl4eo_T43RCP_native/l2a_T43RCP_20200604
  scene test s2_ssl4eo_T43RCP_native/l2a_T43RCP_20200813
  scene test s2_l2a_bigearthnet_configilm_native/S2A_MSIL2A_20170613T101031_26_57
  scene test s2_l2a_bigearthnet_v2_native/S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_75_43
  scene test s2_l2a_bigearthnet_v2_native/S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_89_18
  patch test S2A_MSIL2A_20170617T113321_36_85
  patch test S2A_MSIL2A_20170617T113321_4_55
)
train() { # MODEL_DIR, more options; words of $scenes are options
  # shellcheck disable=SC2086
  .venv/bin/python -m train.dsen2 --role "$role" $scenes --offset 0 --levels L1C,L2A --size narrow --batch-size 8 \
    --optimizer adam --augmentation --any-phase --radiometry --start-at-interpolation --mixed-precision \
    --model-dir "$@"
}
case $role in
  2x)
    first="$model_dir.first"
    [ -d "$first" ] || train "$first" --patch-size 56 --samples 4000 --epochs 44 --learning-rate 3e-3
    train "$model_dir" --patch-size 56 --samples 4000 --epochs 24 --learning-rate 2e-3 --seed 1 \
      --init "$first" --back-projection
    ;;
  6x) train "$model_dir" --patch-size 48 --samples 1600 --epochs 30 --learning-rate 2e-3 --back-projection ;;
  *)
    echo "ROLE: 2x or 6x is wanted. Received: $role" >&2
    exit 2
    ;;
esac
