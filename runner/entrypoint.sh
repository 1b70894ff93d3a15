#!/usr/bin/env bash
# Becomes the one runner of this container, or ends with a code that `backburn pool` knows (exits.py) and says why.
# Process 1 is Docker's own init (--init); SIGTERM reaches the listener, since this script becomes it.
set -euo pipefail

readonly jit=/run/backburn/jit
readonly blind=69 unconfigured=78 # EX_UNAVAILABLE, EX_CONFIG; the listener's own are 0 to 7 and 100 to 105

end() {
  echo "backburn: $2" >&2
  exit "$1"
}

configuration=$(cat "$jit" 2>/dev/null) || configuration=
if [[ -z $configuration ]]; then
  end $unconfigured "no configuration in $jit. \`backburn pool run\` puts one there, for one start and no second one."
fi
rm "$jit" || end $unconfigured "$jit cannot be removed, and would be good for a second start."

# Its own limits add up to 22 s for two nodes that hang; the third one does not matter.
if ! said=$(timeout --kill-after=1 25 /opt/backburn/view.sh); then
  end $blind "this container does not see its GPU: ${said:-no answer in time}."
fi

# Never an argument: `ps` shows those. The listener takes this variable out of what its children get and masks its
# value in logs; /proc shows it to the job's own user, who can read the same key in /home/runner/.credentials* anyway.
cd /home/runner
export ACTIONS_RUNNER_INPUT_JITCONFIG=$configuration
exec bin/Runner.Listener run
