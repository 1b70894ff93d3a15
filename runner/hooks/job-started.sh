#!/usr/bin/env bash
# Before a job's first step, by the runner: says whose job it is, and lets in only what may run here.
# GitHub gives a hook no time limit, so it has its own. What it prints is in the job's log.
set -euo pipefail
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

readonly here=/run/backburn
readonly blind=5 refused=6
readonly limit=60 # seconds, of all of it

# A failed hook alone stops nobody: steps with `if: always()` still run (actions/runner, StepsRunner.cs), and in a pull
# request it is the fork that writes the steps. Without its worker, the listener reports the job as failed and ends.
stop_the_job() {
  sleep 3 # the worker sends what was printed twice a second
  local pid=$PPID name key parent
  while ((pid > 1)); do
    name='' parent=1
    while read -r key value; do
      case $key in
        Name:) name=$value ;;
        PPid:) parent=$value ;;
      esac
    done <"/proc/$pid/status"
    if [[ $name == Runner.Worker ]]; then
      kill -KILL "$pid"
    fi
    pid=$parent
  done
}

fail() { # CODE TITLE SENTENCE...
  echo "::error title=$2::backburn: ${*:3}"
  exit "$1"
}

# What GitHub calls things comes from whoever pushed; engine.read takes 64 KiB, and watching.py keeps 200 characters.
write_the_marker() {
  jq --null-input '
    {repository: env.GITHUB_REPOSITORY, workflow: env.GITHUB_WORKFLOW, job: env.GITHUB_JOB,
     run_id: env.GITHUB_RUN_ID, ref: env.GITHUB_REF} | map_values((. // "")[:200])' >"$here/.job.json"
  mv "$here/.job.json" "$here/job.json" # whole or not at all
}

# One repository by its number on both sides: names change, and the repository of a deleted fork is null.
is_own() {
  case ${GITHUB_EVENT_NAME:-} in
    '') false ;;
    pull_request*) same '.pull_request | [.head.repo.id, .base.repo.id]' ;;
    workflow_run) same '.workflow_run | [.head_repository.id, .repository.id]' ;;
  esac
}

same() { # by what it prints, too: jq 1.6 is content with an empty file
  local said
  said=$(jq "$1 | .[0] != null and .[0] == .[1]" "${GITHUB_EVENT_PATH:-}" 2>/dev/null) && [[ $said == true ]]
}

if [[ ${1:-} != limited ]]; then
  code=0
  timeout --kill-after=5 $limit bash "$0" limited || code=$?
  if ((code != 0 && code != blind && code != refused)); then
    echo "::error title=This machine failed::backburn: the hook before the job ended with $code, which is not the job's" \
      "fault. Run it again."
  fi
  if ((code != 0 && code != blind)); then
    stop_the_job
  fi
  exit "$((code != 0))"
fi

write_the_marker
if [[ ${BACKBURN_ALLOW_FORKS:-} != 1 ]] && ! is_own; then
  fail $refused "No forks here" "this runner takes no code of a fork, and cannot tell that this is none. The" \
    "machine's owner decides: [github] allow-public in its pool.toml."
fi
if ! said=$(timeout --kill-after=1 25 /opt/backburn/view.sh); then
  echo "${said:-no answer in time}" >"$here/blind" # the supervisor blames the machine, and not the code
  fail $blind "This machine failed" "the machine lost sight of its GPU, which is not the job's fault. Run it" \
    "again, another runner takes it. (${said:-no answer in time})"
fi
if [[ ${BACKBURN_DEVICE:-} ]]; then
  echo "backburn: this job has $BACKBURN_DEVICE"
fi
