# What one round trip does on a machine that runs attempts, in POSIX sh. `cc_run` is the run's folder there. The host puts
# its calls below these functions, all inside one pair of braces: a script that arrives in part is not run in part.

cc_name_end=') ' # in /proc/PID/stat; a program's name may hold blanks and brackets, so it is cut there

# cc_members PID TOKEN: the living processes of the attempt's session, and those that carry its token
cc_members() {
  cc_valid=yes cc_stat=
  { read -r cc_stat < "/proc/$1/stat"; } 2> /dev/null
  case ${cc_stat##*"$cc_name_end"} in
    '' | Z*) ;;
    *) grep -qsF "CC_ATTEMPT=$2" "/proc/$1/environ" || cc_valid= ;; # another process has the wrapper's pid now
  esac
  for cc_p in /proc/[0-9]*; do
    cc_stat=
    { read -r cc_stat < "$cc_p/stat"; } 2> /dev/null
    [ -n "$cc_stat" ] && cc_in_session "$1" "${cc_p#/proc/}" ${cc_stat##*"$cc_name_end"}
  done
  for cc_p in $(grep -lF "CC_ATTEMPT=$2" /proc/[0-9]*/environ 2> /dev/null); do
    cc_p=${cc_p%/environ}
    echo "${cc_p#/proc/}"
  done
}
cc_in_session() {
  [ "$cc_valid" ] && [ "$1" = "$6" ] && [ "$3" != Z ] && echo "$2"
}

# cc_begin FOLDER: enter a new folder that will be the attempt's; fails if that was made before (FOLDER.made, which stays
# when a job removes its own folder): made twice it could lose the claim of a wrapper. cc_made FOLDER: give it its name;
# where another was faster it ends up inside that, unseen. cc_undo FOLDER: the disk was full, nothing of it counts.
cc_begin() {
  [ ! -e "$cc_run/$1.made" ] && [ ! -d "$cc_run/$1" ] && mkdir -p "$cc_run/$1.part.$$/files" && cd "$cc_run/$1.part.$$"
}
cc_made() {
  { true > room; } 2> /dev/null && mv "$cc_run/$1.part.$$" "$cc_run/$1" && true > "$cc_run/$1.made"
}

cc_undo() {
  cd "$cc_run" && rm -rf "$cc_run/$1.part.$$"
}

# cc_end FOLDER TOKEN SIGNAL: take the claim, signal what is left, record the end when nothing is
cc_end() {
  cd "$cc_run/$1" 2> /dev/null || return
  { true > cancel; } 2> /dev/null
  (set -C; echo engine > claim) 2> /dev/null
  cc_claim
  cc_record
  cc_left=$(cc_members "$cc_pid" "$2")
  if [ -n "$cc_left" ]; then
    kill -"$3" $cc_left 2> /dev/null
  elif [ -z "$cc_done$cc_elsewhere" ]; then
    { true > state.cancelled; } 2> /dev/null || mv room state.cancelled
  fi
}
cc_claim() {
  cc_pid=- cc_rest= cc_old=
  [ ! -s claim ] || read -r cc_pid cc_rest < claim
  cc_boot=- cc_host=
  if [ -r /proc/sys/kernel/random/boot_id ]; then
    read -r cc_boot < /proc/sys/kernel/random/boot_id
    read -r cc_host < /proc/sys/kernel/hostname
  fi
  cc_elsewhere= # another machine of this home folder took it: nothing here says that it lives or not
  case $cc_rest in
    '' | "$cc_boot $cc_host" | *" ${cc_host:-*}") ;;
    *) cc_elsewhere=yes ;;
  esac
  [ "${cc_rest%% *}" = "$cc_boot" ] || cc_old=$cc_pid cc_pid=- # of an earlier boot: the pid is somebody else's now
}

cc_record() {
  cc_done=
  for cc_f in state.*.* state.timeout state.cancelled; do [ -e "$cc_f" ] && cc_done=$cc_f; done
}

# cc_look FOLDER TOKEN OFFSET: print what is known of an attempt; each line of a file with a bar or a plus before it
cc_look() {
  echo "cc-at $1"
  if ! cd "$cc_run/$1" 2> /dev/null; then # never made, or removed: what is left then must not go on unseen
    [ -e "$cc_run/$1.made" ] && kill -KILL $(cc_members - "$2") 2> /dev/null
    [ -e "$cc_run/$1.made" ] && echo cc-lost || echo cc-gone
    return
  fi
  cc_claim
  cc_record
  if [ -e claim ] && [ -z "$cc_elsewhere" ] && { [ -z "$cc_done" ] || [ -e cancel ] || [ -e state.timeout ]; }; then
    cc_left=$(cc_members "$cc_pid" "$2")
    [ -e state.timeout ] && [ -n "$cc_left" ] && kill -KILL $cc_left 2> /dev/null
    echo "cc-left" $cc_left
  fi
  echo "cc-names" * # after the look for processes: a record that came meanwhile is seen
  cc_record
  if [ -e claim ]; then
    cc_claim # again: it may have been empty a moment ago
    echo "cc-claim ${cc_old:-$cc_pid} $cc_rest"
    echo "cc-times" $(stat -c %Z claim $cc_done 2> /dev/null || stat -f %c claim $cc_done)
  fi
  if [ -n "$cc_done" ] && [ -e error.json ]; then
    printf "cc-error %s\n" "$(head -c 262144 error.json | tr '\n' ' ')"
  fi
  if [ -n "$cc_done" ] && [ -f add.yaml ]; then
    head -c 262144 add.yaml | sed 's/^/+/'
    echo
  fi
  if [ -n "$cc_done" ] && [ -e outputs ]; then
    head -c 65536 outputs | sed 's/^/|/'
  elif [ -e log ]; then
    cc_size=$(wc -c < log)
    echo "cc-log" $cc_size
    if [ "$cc_size" -gt "$3" ]; then
      tail -c "+$(($3 + 1))" log | head -c 8388608 | cut -b 1-4096 | LC_ALL=C grep -a '^# cloudmesh ' | tail -n 200 | sed 's/^/|/'
    fi
  fi
}
