#!/bin/sh
# The runner's listener as the tests need it: one job, told by a server on this host, then the exit code it is told.
# Busybox alone runs it; PORT comes with the image. It exits as Runner.Listener does: 0, 1, 5, or what the job says.
set -eu
umask 077
here=/run/backburn
server=http://127.0.0.1:$PORT/_listener

[ -r $here/jit ] || { echo "no configuration" && exit 1; }
configuration=$(cat $here/jit)
rm $here/jit # a second start of this container finds none

# ask PATH [FILE]: GET, or POST of what is in FILE; the answer lies in $here/.answer, its status in $status ("": none).
# No -T: Debian's busybox 1.35 dies of it by a segmentation fault.
ask() {
  rm -f $here/.answer
  if wget -q -S -O $here/.answer ${2:+--post-file "$2"} "$server/$1" 2>$here/.said; then status=200; else status=0; fi
  while read -r word number _; do
    case $word in HTTP/*) status=$number ;; esac
  done <$here/.said
  if [ "$status" = 0 ]; then status=$(sed -n 's|.*server returned error: HTTP/[0-9.]* \([0-9]*\).*|\1|p' $here/.said); fi
}

# told KEY DEFAULT: what the server said of this job.
told() {
  said=$(sed -n "s/^$1=//p" $here/.job)
  echo "${said:-$2}"
}

bomb() {
  sleep 1000 &
  bomb &
  bomb &
  wait
}

work() {
  case $behave in
    oom) dd if=/dev/zero of=/dev/null bs=1G count=1 ;;
    fork) bomb & exec sleep "$seconds" ;; # exec: where no process can be made, the end needs none
    fill) dd if=/dev/zero of="$HOME/filler" bs=1M count="$(told megabytes 64)" ;;
    command) if sh -c "$(told command true)"; then code=100; else code=102; fi ;;
    leak) echo "the configuration is $configuration" ;;
    chatter) yes "a line of a job that says too much" | head -c "$(told bytes 1000000)" ;;
    *) sleep "$seconds" ;;
  esac
}

while :; do
  printf %s "$configuration" >$here/.body
  ask connect $here/.body
  rm -f $here/.body
  case $status in
    200) break ;;
    409) exit 5 ;; # a session for this runner already exists
    400 | 401 | 403 | 404 | 410) exit 1 ;; # no such registration
    *) sleep 1 ;;
  esac
done
session=$(cat $here/.answer)

while :; do
  ask "next?session=$session"
  case $status in
    200) break ;;
    204) ;;
    410) exit 0 ;; # an idle runner whose registration was removed ends well
    *) sleep 1 ;;
  esac
done
mv $here/.answer $here/.job
seconds=$(told seconds 1) code=$(told exit 0) behave=$(told behave "")

if [ "$(told marker 0)" = 1 ]; then # as the job-started hook does: whole or not at all
  printf '{"repository": "%s", "workflow": "%s", "job": "%s", "run_id": "%s", "ref": "%s"}\n' "$(told repository acme/model)" \
    "$(told workflow gpu)" "$(told job train)" "$(told run_id 1)" "$(told ref refs/heads/main)" >$here/.marker
  mv $here/.marker $here/job.json
fi
work || true
[ "$(told marker 0)" = 0 ] || echo '{"ended": true}' >$here/done.json
case $code in 0 | 100 | 101) result=succeeded ;; 103) result=cancelled ;; 104) result=skipped ;; *) result=failed ;; esac
[ "$behave" = abandon ] || ask "done?session=$session&result=$result" /dev/null
case $behave in
  hang) sleep 100000 ;;
  deaf) trap '' TERM && while :; do sleep 1 || true; done ;;
esac
exit "$code"
