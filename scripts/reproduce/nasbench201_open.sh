#!/usr/bin/env bash
# Make the shipped checkpoint data/pretrained/nasbench201.safetensors of our own database: about ten minutes on 2 cores.
# Usage: METAD2A_IMAGES=FOLDER scripts/reproduce/nasbench201_open.sh WNIDS.json
#   FOLDER      the image sets that conf/experiment/open/*.yaml name
#   WNIDS.json  ImageNet's 1,000 WordNet ids, for words in place of them
set -euo pipefail
wnids=$1
out=runs/nasbench201_open

METAD2A_RUN_ID=surrogate metad2a train surrogate experiment=open runs="$out"
METAD2A_RUN_ID=generator metad2a train generator experiment=open runs="$out" \
  teacher="$out/train/surrogate/checkpoints/best.safetensors" batch_size=128 optimizer.lr=3e-3 schedule.epochs=8
python scripts/merge_checkpoints.py \
  "$out"/train/generator/checkpoints/best.safetensors \
  "$out"/train/surrogate/checkpoints/best.safetensors \
  "$out/merged.safetensors"
python scripts/reproduce/name_classes.py "$out/merged.safetensors" data/pretrained/nasbench201.safetensors --wnids "$wnids"
