#!/bin/bash
# As Runner.Worker does: the hook before, the steps, the hook after; a failed hook ends no step under `if: always()`.
# Alone, or as what tests/pool/listener.sh is told to run as a job. BEFORE, STEP and AFTER say what.
result=100
cd "${GITHUB_WORKSPACE:-/}" || exit 104
bash -e "${BEFORE:-$ACTIONS_RUNNER_HOOK_JOB_STARTED}" || result=102
echo "always: a step that runs whatever came before"
if [ "$result" = 100 ]; then
  bash -c "${STEP:-true}" || result=102
fi
bash -e "${AFTER:-$ACTIONS_RUNNER_HOOK_JOB_COMPLETED}" || result=102
exit "$result"
