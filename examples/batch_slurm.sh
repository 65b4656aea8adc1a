#!/bin/bash
# A batch on a Slurm cluster: every task of the array does its part of the jobs and shares the store.
# Submit it again to go on: what is done is skipped.
#
#     sbatch examples/batch_slurm.sh jobs.csv /shared/store
#
#SBATCH --job-name=chromatrack
#SBATCH --array=1-100
#SBATCH --cpus-per-task=16
#SBATCH --mem=32G
#SBATCH --time=12:00:00
#SBATCH --signal=TERM@60
#SBATCH --requeue
set -euo pipefail
manifest=${1:?usage: sbatch batch_slurm.sh MANIFEST STORE}
store=${2:?usage: sbatch batch_slurm.sh MANIFEST STORE}
first=${SLURM_ARRAY_TASK_MIN:-1}
part=$(( ${SLURM_ARRAY_TASK_ID:-1} - first + 1 ))/${SLURM_ARRAY_TASK_COUNT:-1}

# exec: so that Slurm's SIGTERM reaches it, and what is done by then is told in index and report
exec chromatrack batch "$manifest" --output "$store" --shard "$part" --jobs "${SLURM_CPUS_PER_TASK:-1}"
