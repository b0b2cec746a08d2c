#!/usr/bin/env bash
# Meta-train the checkpoint data/pretrained/nasbench201-metad2a.safetensors and evaluate it.
# Usage: scripts/reproduce/nasbench201_metad2a.sh OFFICIAL_FOLDER IMAGE_FOLDER ORACLE.csv ORACLE_COLUMN
#   OFFICIAL_FOLDER  MetaD2A's meta-training files (meta_train_tasks_predictor.pt and what belongs to it)
#   IMAGE_FOLDER     .npz files of ImageNet classes named by WordNet id (see data/pretrained/nasbench201-metad2a.md)
#   ORACLE.csv       accuracies of all 15,625 cells (columns arch and ORACLE_COLUMN)
set -euo pipefail
official=$1 images=$2 oracle=$3 column=$4
out=runs/nasbench201_metad2a
list="$images/imagenet_samples_64px.npz,$images/nips17_imagenet_64px.npz,$images/tiny_imagenet_32px.npz"

metad2a import metad2a-database "$official" "$out/database"
for kind in generator predictor; do
  METAD2A_RUN_ID=$kind metad2a train "$kind" experiment=metad2a_nasbench201 \
    database="$out/database" "images=[$list]" runs="$out"
done
python scripts/merge_checkpoints.py \
  "$out"/train/generator/checkpoints/best.safetensors \
  "$out"/train/predictor/checkpoints/best.safetensors \
  "$out/merged.safetensors"
# Its tasks are others' to publish; the names of the classes become words.
python scripts/reproduce/add_reference.py "$out/merged.safetensors" "$out/database" "$out/noted.safetensors" \
  --no-tasks --images ${list//,/ }
python scripts/reproduce/name_classes.py "$out/noted.safetensors" data/pretrained/nasbench201-metad2a.safetensors \
  --wnids "$official/imagenet32_label_to_wnid.json"
metad2a evaluate checkpoint=nasbench201-metad2a dataset="$images/cifar10_train_500each.npz" oracle="$oracle" oracle_column="$column" \
  seeds=10 json="$out/cifar10.json" html="$out/cifar10.html"
