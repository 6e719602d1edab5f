#!/usr/bin/env bash
# How the weights of this folder were trained: bash weights/dsen2/train.sh ROLE IMAGES MODEL_DIR
# ROLE is 2x or 6x, IMAGES the folder of the scenes that README.md names, MODEL_DIR what is to be made.
# The same command goes on with a training that was interrupted.
set -euo pipefail
cd "$(dirname "$0")/../.."
role=$1 images=$2 model_dir=$3

scene() { printf -- '--%s %s_10m.tif %s_20m.tif %s_60m.tif ' "$1" "$images/$2" "$images/$2" "$images/$2"; }
patch() { printf -- '--%s %s ' "$1" "$(echo "$images/s2_l2a_bigearthnet_native/$2"/*_B*.tif)"; }

scenes_narrow() {
  scene input s2_l2a_majortom_48QUE_native/T48QUE_20200223
  scene input s2_l1c_dsen2_native/S2A_MSIL1C_20170527_T33UUB
  scene input s2_l1c_coastal_iceland_native/coastalA
  scene input s2_l1c_ssl4eo_brazil_native/l1c_T24KVE_20180710
  scene input s2_l2a_bigearthnet_configilm_native/S2A_MSIL2A_20171101T094131_21_59
  scene input s2_l2a_bigearthnet_v2_native/S2A_MSIL2A_20180526T100031_N9999_R122_T34WFU_14_23
  patch input S2B_MSIL2A_20170914T093029_32_39
  patch input S2B_MSIL2A_20170924T093019_43_47
  patch input S2B_MSIL2A_20170927T094019_66_56
  patch input S2B_MSIL2A_20180421T114349_47_56
}
scenes_6x() {
  scene input s2_l2a_majortom_48QUE_native/T48QUE_20200223
  scene input s2_l1c_dsen2_native/S2A_MSIL1C_20170527_T33UUB
  scene input s2_l1c_coastal_iceland_native/coastalA
  scene input s2_terramesh_native/TM_L1C_433D
  scene input s2_terramesh_native/TM_L2A_433D
  scene input s2_l2a_bigearthnet_native2/BEN_57_38
  scene input s2_l2a_bigearthnet_native2/BEN_87_48
  scene input s2_l2a_bigearthnet_v2_native/S2A_MSIL2A_20180526T100031_N9999_R122_T34WFU_14_23
  patch input S2B_MSIL2A_20170914T093029_32_39
  patch input S2B_MSIL2A_20170924T093019_43_47
  patch input S2B_MSIL2A_20170927T094019_66_56
  patch valid S2B_MSIL2A_20180421T114349_47_56
}
scenes_2x() {
  scenes_6x
  scene input s2_l1c_ssl4eo_brazil_native/l1c_T24KVE_20180710
  scene input s2_l2a_bigearthnet_configilm_native/S2A_MSIL2A_20171101T094131_21_59
}
train() { # SCENES, MODEL_DIR, more options; words of the scenes are options
  local scenes=$1
  shift
  [ -d "$1" ] && return
  # shellcheck disable=SC2046
  .venv/bin/python -m train.dsen2 --role "$role" $("scenes_$scenes") --offset 0 --levels L1C,L2A --batch-size 8 \
    --optimizer adam --augmentation --any-phase --mixed-precision --model-dir "$@"
}
patches=(--balance --patch-size 48 --samples 4000 --patience 1000)
case $role in
  2x)
    # Two networks first, of the paper's class and of the project's own; both teach the latter, then with itself.
    first="$model_dir.first" narrow="$model_dir.narrow" fast="$model_dir.fast" taught="$model_dir.taught"
    options=(--size narrow --radiometry --start-at-interpolation --patch-size 56 --samples 4000)
    train narrow "$first" "${options[@]}" --epochs 44 --learning-rate 3e-3
    cp "$first/weights.h5" "$first.h5" # a file alone does not say that it had no back-projection
    train narrow "$narrow" "${options[@]}" --epochs 24 --learning-rate 2e-3 --seed 1 --init "$first.h5" \
      --back-projection --consistent
    train 2x "$fast" --size fast --depth 64 --blocks 6 "${patches[@]}" --epochs 80
    train 2x "$taught" "${patches[@]}" --init "$fast" --teacher "$narrow" "$fast" --epochs 40 --learning-rate 1e-3
    train 2x "$model_dir" "${patches[@]}" --init "$taught" --teacher "$narrow" "$fast" "$taught" \
      --grid-penalty 0.004 --epochs 10 --learning-rate 3e-4
    ;;
  6x)
    # It teaches itself, then, scenes as they are.
    first="$model_dir.first"
    train 6x "$first" --size fast --depth 64 "${patches[@]}" --epochs 9
    train 6x "$model_dir" "${patches[@]}" --init "$first" --teacher "$first" --grid-penalty 0.004 --epochs 5 \
      --learning-rate 2e-4
    ;;
  *)
    echo "ROLE: expected 2x or 6x, got $role" >&2
    exit 2
    ;;
esac
