#!/bin/bash
#SBATCH --job-name=benchmark
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1  # torchrun starts the processes of a node
#SBATCH --gpus-per-node=8
#SBATCH --time=04:00:00
#SBATCH --requeue            # a job that was stopped continues from its checkpoint,
#SBATCH --open-mode=append   # and its output goes on in the same file
# sbatch deploy/slurm.sh gpt, in a clone that all nodes see, after `./run dvc repro prepare@gpt`.
set -euo pipefail
NODES=$SLURM_NNODES
# All lines are read: `head` would end the pipe before scontrol has written, an error by pipefail.
FIRST=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | sed -n 1p)
PER_NODE=${SLURM_GPUS_ON_NODE:-1}
export NODES FIRST PER_NODE
# If one node fails, the others stop.
srun --kill-on-bad-exit=1 sh -c 'NODE=$SLURM_NODEID exec deploy/node.sh "$1"' node "$1"
