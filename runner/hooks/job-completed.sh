#!/usr/bin/env bash
# After a job's last step, by the runner: leaves no process of it, nor its files. It never fails a job: the container
# goes anyway, and all of this only spares the GPU and the disk the seconds until then. Skipped where a job is killed.
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

readonly here=/run/backburn
readonly limit=60 # seconds, of all of it
readonly longest=65536 # bytes of a summary; GitHub shows none over 1 MiB, and older runners none over 128 KiB

# What the supervisor saw of the GPU in the meantime.
tell_of_the_machine() {
  if [[ -f $here/machine.md && -f ${GITHUB_STEP_SUMMARY:-} ]]; then
    head --bytes=$longest "$here/machine.md" >>"$GITHUB_STEP_SUMMARY"
    echo "backburn: the machine had trouble with its GPU during this job; the summary says what."
  fi
}

# PPid and State of a process, in those variables; false where it is gone.
look_at() {
  local key value
  PPid=0 State=
  while read -r key value; do
    case $key in
      State:) State=${value:0:1} ;;
      PPid:) PPid=$value ;;
    esac
  done 2>/dev/null <"/proc/$1/status" && [[ $State ]]
}

# What is neither the runner (we are its child) nor we, in `left`. No process is started here: it would be among them.
look_for_leftovers() {
  local path pid=$$ keep=' '
  left=()
  while ((pid > 0)) && look_at "$pid"; do
    keep+="$pid "
    pid=$PPid
  done
  for path in /proc/[0-9]*; do
    pid=${path#/proc/}
    if [[ $keep != *" $pid "* ]] && look_at "$pid" && [[ $State != [ZX] ]]; then
      left+=("$pid")
    fi
  done
}

end_leftovers() {
  local name=TERM found round
  look_for_leftovers
  found=${#left[@]}
  for round in {1..30}; do # 3 s; from the second one on without mercy
    if ((${#left[@]} == 0)); then
      break
    fi
    kill -"$name" "${left[@]}" 2>/dev/null || true
    sleep 0.1
    if ((round > 10)); then
      name=KILL
    fi
    look_for_leftovers
  done
  if ((found > 0)); then
    echo "backburn: the job left $found processes, ${#left[@]} of them could not be ended"
  fi
}

empty_the_workspace() {
  local folder=${RUNNER_WORKSPACE:-} left
  if [[ $folder != /*/_work/?* || ! -d $folder || -L $folder ]]; then
    return
  fi
  chmod -R u+rwX "$folder" 2>/dev/null || true
  # The checkout's own folder stays: the runner is in it.
  local -a what=("$folder" -xdev -mindepth 1 ! -path "${GITHUB_WORKSPACE:-}")
  find "${what[@]}" -delete 2>/dev/null || true
  left=$(find "${what[@]}" -printf . 2>/dev/null | wc -c)
  if ((left > 0)); then
    echo "backburn: $left files of the job could not be removed; they go with the container"
  fi
}

if [[ ${1:-} == limited ]]; then
  tell_of_the_machine
  if [[ $(</proc/1/comm) == docker-init ]]; then # nowhere but in a container of ours
    end_leftovers
  fi
  empty_the_workspace
  exit
fi
timeout --kill-after=5 $limit bash "$0" limited || echo "backburn: cleaning up ended with $?; the container goes anyway"
{
  echo '{"ended": true}' >"$here/.done.json" && mv "$here/.done.json" "$here/done.json"
} 2>/dev/null || true
