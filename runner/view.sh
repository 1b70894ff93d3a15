#!/usr/bin/env bash
# Is the GPU of this slot to be seen from in here? 0: yes, or the slot has none. 1: no, and stdout says why.
# After `systemctl daemon-reload` it can be gone from a container while all is well outside (nvidia-container-toolkit#48).
set -euo pipefail

device=${BACKBURN_DEVICE:-}
if [[ -z $device ]]; then
  exit 0
fi

# A driver that hangs does not hear SIGTERM; one in a system call that never returns is left behind by our caller.
within() {
  timeout --kill-after=1 10 "$@"
}

if type -P nvidia-smi >/dev/null; then
  code=0
  said=$(within nvidia-smi -L 2>&1) || code=$?
  if [[ $said == *"(UUID: $device)"* ]]; then
    exit 0
  fi
  said=${said//[^[:print:]]/ }
  echo "nvidia-smi -L ended with $code and does not list $device: ${said:0:200}"
  exit 1
fi

nodes=(/dev/nvidia[0-9]*)
if [[ ! -e ${nodes[0]} ]]; then
  echo "there is no device node of a GPU, and no nvidia-smi"
  exit 1
fi
for node in "${nodes[@]}"; do
  # shellcheck disable=SC2016 # $1 is for the inner one
  if ! within bash -c ': <>"$1"' open "$node" >/dev/null 2>&1; then
    echo "$node cannot be opened"
    exit 1
  fi
done
