#!/bin/sh
# Trains a model on this host together with others; run it on each of them at the same time. The
# first host then writes the outputs.
#
#   NODES=2 NODE=0 FIRST=host-0 PER_NODE=8 deploy/node.sh gpt
#
# NODES: number of hosts. NODE: 0 on the first. FIRST: its name. PER_NODE: processes, one for each GPU.
# `train.accumulate` in params.yaml must suit NODES * PER_NODE, such as 16: see docs/processes.md.
# SEED: one of `seeds` in params.yaml, by default 0.
set -eu
cd "$(dirname "$0")/.."
./run torchrun --nnodes "$NODES" --node-rank "$NODE" --master-addr "$FIRST" \
    --master-port "${PORT:-29500}" --nproc-per-node "$PER_NODE" \
    -m pipeline train --model "$1" --seed "${SEED:-0}" --ahead
[ "$NODE" != 0 ] || ./run dvc repro "train@$1-${SEED:-0}"
