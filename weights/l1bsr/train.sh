#!/usr/bin/env bash
# How the weights of this folder were trained: bash weights/l1bsr/train.sh IMAGES DIR
# IMAGES is the folder of the scenes that README.md names, DIR where pairs and models are to be made.
# The same command goes on with a training that was interrupted.
set -euo pipefail
cd "$(dirname "$0")/../.."
images=$1 dir=$2
tile=$images/s2_l2a_majortom_48QUE_native/T48QUE_20200223_10m.tif
field=$images/s2_l1c_dsen2_native/S2A_MSIL1C_20170527_T33UUB_10m.tif
iceland=$images/s2_l1c_coastal_iceland_native/coastalA_10m.tif
brazil=$images/s2_l1c_ssl4eo_brazil_native
india=$images/s2_ssl4eo_T43RCP_native
boadella=$dir/boadella.tif

mkdir -p "$dir"
pairs() { [ -d "$1" ] || .venv/bin/python -m simulate.detector_pairs --output "$@"; }
pairs "$dir/made" --pairs 60 --seed 11
[ -f "$boadella" ] ||
  gdal_translate -q -b 2 -b 3 -b 4 -b 8 "$images/s2_l2a_boadella_timeseries/Boadella_2022-06-01.tif" "$boadella"
pairs "$dir/real" --pairs 56 --rows 160 --columns 120 --seed 21 --reflectance \
  --landscape "$tile" "$field" "$iceland" "$tile" "$boadella" "$tile" "$field" "$tile"
pairs "$dir/small" --pairs 16 --rows 104 --columns 104 --seed 22 --reflectance \
  --landscape "$brazil"/l1c_T24KUF_20180302_10m.tif "$brazil"/l1c_T24KVE_20180710_10m.tif \
  "$india"/l2a_T43RCP_20200813_10m.tif "$india"/l1c_T43RCP_20200604_10m.tif

train() { [ -d "$dir/$1" ] || .venv/bin/python -m train.l1bsr --model-dir "$dir/$1" --size small "${@:2}"; }
sets=("$dir/made" "$dir/real" "$dir/small")
csr=(--network csr --pairs "${sets[@]}" --batch-size 16 --crop 80 --steps-per-epoch 250 --schedule cosine)
train csr1 "${csr[@]}" --epochs 50 --warm-up 5000 --learning-rate 3e-4 # the weights of 27 epochs were gone on with
train csr2 "${csr[@]}" --epochs 14 --supervised --learning-rate 5e-4 --seed 1 --init "$dir/csr1"
train CSR "${csr[@]}" --epochs 24 --supervised --learning-rate 6e-4 --seed 2 --init "$dir/csr2" --batch-size 12 --crop 96 \
  --examples "$images"/l1bsr/0*.tif
