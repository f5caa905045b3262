# Runs one attempt of a job: claim, payload, exit record. Sourced by the attempt's job.sh, whose positional parameters are
# the payload's command. POSIX sh; beside the payload it starts no program, but grep and awk if there is output to read,
# and sleep if there is a time limit.
#
#   claim     made here, "PID BOOT HOST", only if it is not there: who comes second runs nothing
#   state.exit.N | state.signal.N | state.timeout | state.cancelled     the record of the end, an empty file
#   room      becomes the record where a disk has no room for a new file: a rename works there
#
# Its standard input is the lock of a place on its machine (hosts/slots.py), held while the wrapper lives. With CC_HOLD it
# has gpus too, which are held while anything of the payload lives. 9 is a lock that only its start needed (resource.sh).
# Its environment holds the attempt's token, by which it is told from another process that has its pid later.

exec 9>&-
[ -z "$CC_HOLD" ] || exec 8<&0
cc_dir=$PWD
export CC_JOB_DIR="$cc_dir" CC_RUN_DIR="${cc_dir%/*/*}"
: "${CC_WORKFLOW_DIR:=$CC_RUN_DIR/files}"
export CC_WORKFLOW_DIR PYTHONPATH="$CC_RUN_DIR/stub${PYTHONPATH:+:$PYTHONPATH}"

cc_boot=- cc_host=${HOSTNAME:-localhost}
if [ -r /proc/sys/kernel/random/boot_id ]; then
  read -r cc_boot < /proc/sys/kernel/random/boot_id
  read -r cc_host < /proc/sys/kernel/hostname
fi
set -C # no file that exists is written, and of two that make one at the same time only one does
if ! { true > claim; } 2> /dev/null; then
  [ -e claim ] && exit 0
  exit 75 # the disk is full
fi
set +C
{ echo "$$ $cc_boot $cc_host" >> claim; } 2> /dev/null

cc_why= cc_child= cc_timer=
cc_on_term() {
  [ -e "$cc_dir/cancel" ] && cc_why=cancelled
  [ -n "$cc_child" ] && kill -TERM "$cc_child" 2> /dev/null
}
cc_on_limit() { # the whole group gets TERM; the timer sends KILL to the payload five seconds later
  cc_why=timeout
  trap : TERM
  kill -TERM 0
}
trap cc_on_term TERM
trap cc_on_limit ALRM
trap '' HUP # no terminal, no ssh session and no shell that ends takes the job with it

cc_record() {
  { true > "$cc_dir/state.$1"; } 2> /dev/null || mv "$cc_dir/room" "$cc_dir/state.$1"
  exit 0
}
cc_payload() {
  trap - TERM ALRM
  [ -z "$CC_MEMORY" ] || ulimit -v "$CC_MEMORY"
  cd "${cc_work:-$CC_WORKFLOW_DIR}" || exit 126
  [ -z "$CC_UMASK" ] || umask "$CC_UMASK"
  cc_env # the job's own variables, from job.sh
  exec "$@" < /dev/null
}
[ -z "$cc_why" ] || cc_record cancelled # before anything was started
cc_payload "$@" &
cc_child=$!

if [ -n "$CC_TIMEOUT" ]; then
  (
    trap 'kill -KILL $! 2> /dev/null; exit' TERM
    sleep "$CC_TIMEOUT" &
    wait $!
    trap '' TERM
    kill -ALRM $$
    sleep 5
    kill -KILL "$cc_child"
  ) 2> /dev/null &
  cc_timer=$!
fi

wait "$cc_child"
cc_code=$?
while [ "$cc_code" -gt 128 ] && kill -0 "$cc_child" 2> /dev/null; do # a trap ended the wait, not the payload
  wait "$cc_child"
  cc_code=$?
done
[ "$cc_code" -lt 257 ] || cc_code=$((cc_code - 128)) # ksh says 256 + signal, the others 128 + signal
[ -z "$cc_timer" ] || kill -TERM "$cc_timer" 2> /dev/null

# The last value of every key that the log reports. grep is fast but holds a whole line in memory, so it gets a limit; cut
# needs none. The last line tells a reader that the file is whole.
cc_lines() {
  (ulimit -v 500000; grep -a '^# cloudmesh ' log)
  [ $? -lt 2 ] || tr -d '\000' < log | cut -b 1-4096 | grep -a '^# cloudmesh '
}
cd "$cc_dir" || exit 126
if [ -s log ]; then
  (
    export LC_ALL=C
    cc_lines | awk '{
        last_word = length($0) >= 4096 ? NF - 1 : NF # the last word of a line that was cut is no whole word
        for (i = 3; i <= last_word; i++) {
          e = index($i, "=")
          if (e < 2) continue
          k = substr($i, 1, e - 1)
          if (k in last || ++n <= 1000) last[k] = $i
        }
      }
      END { for (k in last) print last[k]; print "# end" }' > outputs
  ) 2> /dev/null
fi

if [ -n "$cc_why" ]; then
  cc_record "$cc_why"
elif [ "$cc_code" -gt 128 ] && [ "$cc_code" -lt 193 ]; then
  cc_record "signal.$((cc_code - 128))"
fi
cc_record "exit.$cc_code"
