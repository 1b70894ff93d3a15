#!/bin/sh
# What only root may do with the files of jobs, in a container of its own: chores.sh CHORE WORD... (see porter.py).
# Names in here are hostile: they come from jobs, and reach no command but as an argument behind a path.
set -eu
export LC_ALL=C # names are bytes
newline='
'

# take UPPER BUILT MOUNT STAMP: link what a lease wrote into a layer: files, folders, and links that stay inside.
# The folders are made anew, without overlayfs' marks: one that is opaque would hide what another job put beside it.
take() {
  cd "$1"
  find . -mindepth 1 -depth -name "*$newline*" -exec rm -rf {} +
  find . -mindepth 1 ! -type f ! -type d ! -type l -exec rm -f {} + # pipes, sockets, marks of what was deleted
  find . -type l -exec sh -euc "$stays"'
    mount=$1 && shift
    for link; do stays "$link" "$(readlink "$link")" || rm -f "$link"; done' - "$3" {} +
  find . -mindepth 1 ! -type l \( -perm -4000 -o -perm -2000 \) -exec chmod u-s,g-s {} +
  find . -type f -exec touch -a -d "@$4" {} + # by this, what came together goes together: see prune
  cp -al ./. "$2/"
}

# stays LINK TARGET: .. only in front, and no more of it than LINK is deep: then each link ends inside, by whatever way.
# shellcheck disable=SC2016
stays='
  stays() {
    rest=$2 up=0 depth=$(printf %s "${1%/*}" | tr -cd / | wc -c)
    case $rest in
      "$mount"/*) rest=${rest#"$mount"/} depth=0 ;;
      /* | "") return 1 ;;
    esac
    while :; do
      case $rest in
        ../*) up=$((up + 1)) ;;
        ./*) ;;
        ..) rest=../ && continue ;;
        *) break ;;
      esac
      rest=${rest#*/}
    done
    case /$rest/ in */../*) return 1 ;; esac
    [ "$up" -le "$depth" ]
  }'

# merge BUILT LAYER...: the layers, the oldest first, as one. Where one has a folder and a newer one has none, or the
# other way round, the newer one counts, as it does in an overlay.
merge() {
  built=$1 && shift
  for layer; do
    cd "$layer"
    find . -mindepth 1 -type d -exec sh -euc '
      built=$1 && shift
      for one; do if [ -L "$built/$one" ] || [ -f "$built/$one" ]; then rm -f "$built/$one"; fi; done' - "$built" {} +
    find . ! -type d -exec sh -euc '
      built=$1 && shift
      for one; do if [ -d "$built/$one" ] && [ ! -L "$built/$one" ]; then rm -rf "$built/$one"; fi; done' - "$built" {} +
    cp -alf ./. "$built/"
  done
}

# prune KIB FOLDER...: what came first goes first, until no more is left than that; what came together goes together.
prune() {
  most=$1 && shift
  find "$@" -type f -exec stat -c '%X %b %n' {} + >/tmp/files # %b: blocks of 512 bytes
  kib=$(measure "$@" | awk '{ all += $1 } END { printf "%d", all }')
  last=$(sort -n /tmp/files | awk -v over="$((kib - most))" '
    over <= 0 { exit }
    { over -= $2 / 2; last = $1 }
    END { print last }')
  [ -n "$last" ] || return 0
  awk -v last="$last" '$1 + 0 <= last + 0 { sub(/^[^ ]* [^ ]* /, ""); print }' /tmp/files | tr '\n' '\0' | xargs -0 rm -f
  find "$@" -type l -exec sh -euc '
    for link; do case $(readlink "$link") in /*) ;; *) [ -e "$link" ] || rm -f "$link" ;; esac; done' - {} +
  find "$@" -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null || true # those that are empty now
}

# measure FOLDER...: KiB of each.
measure() {
  for one; do du -sk "$one"; done
}

# clear FOLDER: all that is in it.
clear() {
  find "$1" -mindepth 1 -maxdepth 1 -exec rm -rf {} +
}

"$@"
