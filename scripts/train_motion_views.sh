#!/bin/sh
# Makes the shipped weights recognizer/weights/motion_views.safetensors, from nothing but synthetic stand-ins: parametric
# heads of Anny act SMIC's three classes. About half an hour on two cores that do nothing else.
#
#     scripts/train_motion_views.sh FOLDER
set -eu
folder=${1:?give a folder for the stand-in, the dataset and the run}
run="uv run --no-sync"
export OMP_NUM_THREADS=1
$run mvgen synth --layout smic --out "$folder/standin" --subjects 24 --clips 8 --frames 14 --size 320x240 --seed 20
# The first 12 subjects.
$run mvgen build --dataset smic --root "$folder/standin" --limit 96 --angles=-30,30 --size 128 --no-report \
  --out "$folder/store" --workers 2
$run recognizer train --system motion-views --data "$folder/store" --views all --split all --calibrate 4 --seed 0 \
  --device cpu --out "$folder/run"
cp "$folder/run/weights.safetensors" "$(dirname "$0")/../recognizer/weights/motion_views.safetensors"
