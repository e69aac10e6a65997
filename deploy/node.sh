#!/bin/sh
# Trains a model on this host together with others; run it on each of them at the same time. The
# first host then writes the outputs.
#
#   NODES=2 NODE=0 FIRST=host-0 PER_NODE=8 deploy/node.sh gpt
#
# NODES: number of hosts. NODE: 0 on the first. FIRST: its name. PER_NODE: processes, one for each GPU.
# NODES * PER_NODE must divide `train.accumulate`: see docs/processes.md.
set -eu
cd "$(dirname "$0")/.."
./run torchrun --nnodes "$NODES" --node-rank "$NODE" --master-addr "$FIRST" \
    --master-port "${PORT:-29500}" --nproc-per-node "$PER_NODE" \
    -m pipeline train --model "$1" --ahead
[ "$NODE" != 0 ] || ./run dvc repro "train@$1-0"
