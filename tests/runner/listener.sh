#!/bin/bash
# bin/Runner.Listener for tests: takes its configuration as the real one does, then does as tests/pool/listener.sh.
[ "$*" = --version ] && echo 0.0.0 && exit
[ "$*" = run ] || exit 1
umask 077
printf %s "$ACTIONS_RUNNER_INPUT_JITCONFIG" >/run/backburn/jit
unset ACTIONS_RUNNER_INPUT_JITCONFIG
exec /listener
