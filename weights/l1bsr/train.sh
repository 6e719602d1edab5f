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
[ -f "$boadella" ] ||
  gdal_translate -q -b 2 -b 3 -b 4 -b 8 "$images/s2_l2a_boadella_timeseries/Boadella_2022-06-01.tif" "$boadella"
large=(--reflectance --landscape "$tile" "$field" "$iceland" "$tile" "$boadella" "$tile" "$field" "$tile")
pairs "$dir/made" --pairs 60 --seed 11
pairs "$dir/made2" --pairs 300 --rows 160 --columns 160 --seed 31
pairs "$dir/real" --pairs 56 --rows 160 --columns 120 --seed 21 "${large[@]}"
pairs "$dir/real3" --pairs 400 --rows 160 --columns 120 --seed 32 "${large[@]}"
pairs "$dir/real4" --pairs 200 --rows 160 --columns 120 --seed 41 --mtf 0.55 0.65 "${large[@]}"
pairs "$dir/made3" --pairs 80 --rows 160 --columns 120 --seed 42 --mtf 0.38 0.46
pairs "$dir/real2" --pairs 16 --rows 104 --columns 104 --seed 22 --reflectance \
  --landscape "$brazil"/l1c_T24KUF_20180302_10m.tif "$brazil"/l1c_T24KVE_20180710_10m.tif \
  "$india"/l2a_T43RCP_20200813_10m.tif "$india"/l1c_T43RCP_20200604_10m.tif

weights() { cp "$dir/$1/weights.h5" "$dir/$1.h5" && echo "$dir/$1.h5"; } # alone, they do not say what they were for
train() { [ -d "$dir/$1" ] || .venv/bin/python -m train.l1bsr --model-dir "$dir/$1" --size small "${@:2}"; }
few=("$dir/made" "$dir/real" "$dir/real2")
all=("${few[@]}" "$dir/made2" "$dir/real3")
csr=(--network csr --steps-per-epoch 250 --schedule cosine --augmentation)
wide=("${csr[@]}" --supervised --pairs "${all[@]}" --batch-size 12 --crop 96)
train csr1 "${csr[@]}" --pairs "${few[@]}" --batch-size 16 --crop 80 --epochs 27 --warm-up 5000 --learning-rate 3e-4
train csr2 "${csr[@]}" --pairs "${few[@]}" --batch-size 16 --crop 80 --epochs 14 --supervised --learning-rate 5e-4 \
  --seed 1 --init "$dir/csr1"
train csr3 "${csr[@]}" --pairs "${few[@]}" --batch-size 12 --crop 96 --epochs 24 --supervised --learning-rate 6e-4 \
  --seed 2 --init "$dir/csr2"
train csr4 "${wide[@]}" --epochs 12 --learning-rate 1.5e-4 --seed 4 --init "$dir/csr3" --nir-share 0.45
train csr5 "${wide[@]}" --epochs 5 --learning-rate 2e-4 --seed 5 --init "$dir/csr4" --nir-share 0.45
train csr6 "${wide[@]}" --epochs 45 --learning-rate 8e-5 --seed 7 --init "$dir/csr5"
train csr7 "${wide[@]}" --epochs 21 --learning-rate 8e-5 --seed 8 --init "$dir/csr6" --nir-share 0.1
train CSR "${wide[@]}" --epochs 24 --learning-rate 8e-5 --seed 9 --init "$(weights csr7)" --nir-share 0.4 --refinements 5 \
  --examples "$images"/l1bsr/0*.tif

rec=(--network rec --supervised --registered --batch-size 8 --crop 48 --steps-per-epoch 500 --schedule cosine --augmentation)
first=("${rec[@]}" --pairs "$dir/made2" "$dir/real3")
sharp=("${rec[@]}" --pairs "$dir/made3" "$dir/real4" --csr "$dir/CSR" --sharp --consistency 4)
train rec1 "${first[@]}" --csr "$dir/csr3" --epochs 22 --learning-rate 1e-3 --seed 1
train rec2 "${first[@]}" --csr "$dir/csr6" --epochs 9 --learning-rate 6e-4 --seed 2 --init "$dir/rec1"
train rec3 "${first[@]}" --csr "$dir/CSR" --epochs 12 --learning-rate 5e-4 --seed 3 --init "$dir/rec2"
train rec4 "${sharp[@]}" --epochs 3 --learning-rate 5e-4 --seed 4 --init "$(weights rec3)"
train REC "${sharp[@]}" --epochs 4 --learning-rate 3e-4 --seed 5 --init "$dir/rec4"
