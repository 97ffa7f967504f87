#!/bin/bash
# A search on nodes that Slurm gives: a Ray head on the first, workers on the others, all ended with it.
#
#   sbatch --nodes=4 --gpus-per-node=4 launch/cluster/slurm.sh \
#     --data /shared/data --out /shared/runs/mine --minutes 600
#
# All that follows the script's name goes to `sparrow search`. Submitted again with `--resume
# /shared/runs/mine`, it goes on. `sparrow` and `ray` must be on the PATH of all nodes, and the paths on
# a file system that all of them see.
#SBATCH --job-name=sparrow
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=12:00:00
#SBATCH --signal=B:TERM@60
set -euo pipefail

if [ $# -eq 0 ]; then
  echo "usage: sbatch [options of sbatch] $0 [options of sparrow search]" >&2
  exit 2
fi

# Before anything is made: whatever fails then leaves neither Ray nor the token.
started=()
finish() {
  local status=$?
  trap - EXIT
  [ -z "${search:-}" ] || kill -TERM "$search" 2> /dev/null || true
  [ -z "${search:-}" ] || wait "$search" || true
  kill "${started[@]}" 2> /dev/null || true
  wait || true
  [ -z "${folder:-}" ] || rm -rf "$folder"
  exit "$status"
}
trap finish EXIT
trap 'exit 143' TERM  # Slurm's notice before the time is up: the search writes its report

# Only this user may read the token, without which Ray refuses every connection.
folder=$(mktemp -d "${SPARROW_SHARED:-$HOME}/.sparrow-slurm-${SLURM_JOB_ID}-XXXXXX")
(umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "$folder/token")
export RAY_AUTH_MODE=token RAY_AUTH_TOKEN_PATH="$folder/token"

# Another job may run on the same nodes: each has ports and folders of its own.
port=$((20000 + SLURM_JOB_ID % 20000))
temp="/tmp/ray-${SLURM_JOB_ID}"
cpus=${SLURM_CPUS_PER_TASK:-1}
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
ip=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname -I | awk '{print $1}')
address="$ip:$port"

start() {  # NODE, and options of `ray start`; it ends with the job step
  local node=$1
  shift
  srun --nodes=1 --ntasks=1 --exact --nodelist="$node" --cpus-per-task="$cpus" \
    ray start "$@" --num-cpus="$cpus" --temp-dir="$temp" --block &
  started+=("$!")
}

start "$head" --head --node-ip-address="$ip" --port="$port" --include-dashboard=false
for attempt in $(seq 60); do
  srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
    ray health-check --address "$address" > /dev/null 2>&1 && break
  if [ "$attempt" -eq 60 ]; then
    echo "error: Ray's head did not start on $head at $address" >&2
    exit 1
  fi
  sleep "${SPARROW_PAUSE:-2}"
done
for node in "${nodes[@]:1}"; do
  start "$node" --address="$address"
done

srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" \
  sparrow search --address "$address" "$@" &
search=$!
wait "$search"
