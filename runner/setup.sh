#!/usr/bin/env bash
# Makes this machine a pool of single-use runners: `sudo ./runner/setup.sh --url https://github.com/acme …`.
# It gives backburn an environment of its own under /opt/backburn-pool; all else is `backburn pool setup`.
#   --url URL                 whose jobs: https://github.com/acme or https://github.com/acme/repository
#   --app-id N --key FILE     by a GitHub App and its private key; or --token-file FILE: by a token
#   --gpus UUID,… --cpu N     slots: GPUs [auto: each that the driver has] or `none`; so many without a GPU
#   --group NAME, --name NAME the runner group [Default]; the pool's name [pool]
#   --base IMAGE:TAG          with GitHub's runner [its newest]; or --image NAME@DIGEST: one that is built already
#   --dry-run, --no-service, --yes    only say what would change; all but the systemd unit; do not ask
#   --uninstall               take it all back, also with --dry-run, --timeout SPAN, --purge (ledger and black boxes), --yes
# The guide is docs/runner.md. Once it is set up: `backburn pool --help`.
set -euo pipefail

kit=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
home=/opt/backburn-pool
journal=/etc/backburn/installed.json # what `backburn pool setup` made; without it, nothing

stop() { # WHAT IS WRONG, WHERE, WHAT TO DO
  printf 'error: %s: %s\n  %s\n' "$2" "$1" "$3" >&2
  exit "${4:-3}"
}

said() { # OPTION, among the others?
  local one
  for one in "${words[@]}"; do [[ $one == "$1" ]] && return; done
  return 1
}

# The toolkit's own files, without its .git: git refuses a checkout that is not root's.
copy() { # TO
  local name
  for name in actions runner src templates LICENSE README.md constraints.txt hatch_build.py pyproject.toml; do
    [[ -e $kit/$name ]] || stop "not there: the toolkit is not whole" "$kit/$name" 'Take it anew, as a clone or a release.'
    cp -R "$kit/$name" "$1/"
  done
  find "$1" -name __pycache__ -prune -exec rm -rf {} +
}

# Into an environment; pip's own cache stays as it is.
install_into() { # FOLDER SOURCE
  python3 -m venv "$1"
  "$1/bin/python" -m pip install --quiet --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
    --constraint "$2/constraints.txt" "$2[pool]" ||
    stop 'pip could not install backburn' "$1" 'Does this machine reach a package index? pip said why, above.'
}

# Named by what is in it, and complete where it says so: an interrupted one is made anew.
provide() {
  local hash place
  hash=$(cd "$scratch/toolkit" && find . -type f -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16)
  place=$home/$hash
  if [[ ! -e $place/complete ]]; then
    rm -rf "$place"
    mkdir -p "$home"
    install_into "$place" "$scratch/toolkit"
    touch "$place/complete"
  fi
  ln -sfn "$hash" "$home/new"
  mv -T "$home/new" "$home/current" # whole: from now on it is this one
}

words=("$@")
if said -h || said --help; then
  sed -n '2,11s/^# \?//p' "${BASH_SOURCE[0]}"
  exit
fi
[[ $(id -u) == 0 ]] || stop 'only root may set a machine up' "$0" "sudo $0 ${words[*]}" 2

if said --uninstall; then
  [[ -x $home/current/bin/backburn ]] || { rm -rf "$home" && echo 'Setup has made nothing here.' && exit; }
  rest=()
  for word in "${words[@]}"; do [[ $word == --uninstall ]] || rest+=("$word"); done
  "$home/current/bin/backburn" pool uninstall "${rest[@]}"
  said --dry-run || [[ -e $journal ]] || rm -rf "$home"
  exit
fi

type python3 >/dev/null 2>&1 || stop 'not installed' python3 'apt-get install python3 python3-venv'
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
  stop "$(python3 --version) is too old" "$(command -v python3)" 'backburn takes Python 3.11 or later.'
python3 -c 'import ensurepip' 2>/dev/null || stop 'it cannot make an environment' python3 'apt-get install python3-venv'
type docker dockerd >/dev/null 2>&1 || [[ -S /var/run/docker.sock ]] ||
  stop 'Docker Engine is not installed' docker 'apt-get install docker.io, or see docs.docker.com/engine/install.'

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/toolkit"
copy "$scratch/toolkit"
if said --dry-run; then
  install_into "$scratch/venv" "$scratch/toolkit"
  BACKBURN_POOL_TOOLKIT=$home "$scratch/venv/bin/backburn" pool setup "$@"
  exit
fi
provide
"$home/current/bin/backburn" pool setup "$@" || code=$?
[[ -e $journal ]] || rm -rf "$home" # it was refused, and nothing was begun
exit "${code:-0}"
