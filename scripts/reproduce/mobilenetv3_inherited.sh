#!/usr/bin/env bash
# Make the shipped supernet, database and checkpoint of the MobileNetV3 space: about four hours of one core.
# Usage: METAD2A_IMAGES=FOLDER scripts/reproduce/mobilenetv3_inherited.sh WNIDS.json
#   FOLDER      with tiny_imagenet_16px.npz (500 images of each class) and tiny_imagenet_32px.npz (50 of each)
#   WNIDS.json  ImageNet's 1,000 WordNet ids, for words in place of them
# Whatever is interrupted goes on with the same command, but for a running supernet: `metad2a resume` it first.
set -euo pipefail
wnids=$1
small=$METAD2A_IMAGES/tiny_imagenet_16px.npz
out=runs/mobilenetv3_inherited
supernet=$out/train-supernet/supernet/checkpoints/supernet.safetensors

[ -f "$supernet" ] || METAD2A_RUN_ID=supernet metad2a train supernet dataset="$small" runs="$out"
python scripts/measure_supernet.py "$supernet" "$small" --networks 15 --kept "$out/ranks"
python scripts/reproduce/mobilenetv3_tasks.py "$small" "$out/tasks" \
  --test 16="$small" 32="$METAD2A_IMAGES/tiny_imagenet_32px.npz"
metad2a build-database space=mobilenetv3-compact name=inherited out="$out/inherited" runs="$out" archs_per_task=15 \
  sizes_per_task=6 \
  recipe=inherited recipe.supernet="$supernet" \
  label_source=images label_source.mine.source=tiny-imagenet label_source.mine.images="$small" \
  label_source.mine.licence="ImageNet's terms of access" label_source.mine.task_list="$out/tasks.json" \
  label_source.mine.images_per_class=400 label_source.mine.valid_fraction=0.9

METAD2A_RUN_ID=surrogate metad2a train surrogate experiment=inherited database="$out/inherited" runs="$out"
METAD2A_RUN_ID=generator metad2a train generator experiment=inherited database="$out/inherited" runs="$out" \
  teacher="$out/train/surrogate/checkpoints/best.safetensors" teacher_archs=30 schedule.epochs=4
python scripts/merge_checkpoints.py \
  "$out"/train/generator/checkpoints/best.safetensors \
  "$out"/train/surrogate/checkpoints/best.safetensors \
  "$out/merged.safetensors"
python scripts/reproduce/name_classes.py "$out/merged.safetensors" data/pretrained/mobilenetv3.safetensors --wnids "$wnids"
