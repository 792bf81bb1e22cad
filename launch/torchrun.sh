#!/usr/bin/env bash
# One run over all GPUs of this machine, or of several:
#
#   launch/torchrun.sh gpt_pretrain --arm random_ltd --record
#   NNODES=8 NODE_RANK=0 MASTER_ADDR=first-machine launch/torchrun.sh ...   # on each machine
#
# PROCESSES counts the processes of a machine (else one per GPU), PYTHON names the environment's.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
python="${PYTHON:-.venv/bin/python}"

if [ "${NNODES:-1}" = 1 ]; then
    where=(--standalone)
else
    where=(--nnodes "$NNODES" --node-rank "$NODE_RANK"
        --master-addr "$MASTER_ADDR" --master-port "${MASTER_PORT:-29500}")
fi
# A stop waits for the checkpoint of the running step.
exec "$python" -m torch.distributed.run "${where[@]}" --nproc-per-node "${PROCESSES:-gpu}" \
    --shutdown-timeout 300 -m eval.launched "$@"
