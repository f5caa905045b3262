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

# cc_begin FOLDER: enter a new folder that will be the attempt's; fails if that was made before: a folder made twice could
# lose the claim of a wrapper. cc_made FOLDER: give it its name; where another was faster it ends up inside that, unseen.
cc_begin() {
  [ ! -d "$cc_run/$1" ] && mkdir -p "$cc_run/$1.part.$$/files" && cd "$cc_run/$1.part.$$"
}
cc_made() {
  : > room && mv "$cc_run/$1.part.$$" "$cc_run/$1"
}

# cc_end FOLDER TOKEN SIGNAL: take the claim, signal what is left, record the end when nothing is
cc_end() {
  cd "$cc_run/$1" 2> /dev/null || return
  : > cancel
  (set -C; echo engine > claim) 2> /dev/null
  cc_claim
  cc_record
  cc_left=$(cc_members "$cc_pid" "$2")
  if [ -n "$cc_left" ]; then
    kill -"$3" $cc_left 2> /dev/null
  elif [ -z "$cc_done" ]; then
    { true > state.cancelled; } 2> /dev/null || mv room state.cancelled
  fi
}
cc_claim() {
  cc_pid=- cc_rest=
  [ ! -s claim ] || read -r cc_pid cc_rest < claim
}

cc_record() {
  cc_done=
  for cc_f in state.*.* state.timeout state.cancelled; do [ -e "$cc_f" ] && cc_done=$cc_f; done
}

# cc_look FOLDER TOKEN OFFSET: print what is known of an attempt; each line of a file with a bar before it
cc_look() {
  echo "cc-at $1"
  cd "$cc_run/$1" 2> /dev/null || { echo cc-gone; return; }
  cc_claim
  cc_record
  if [ -e claim ] && { [ -z "$cc_done" ] || [ -e cancel ] || [ -e state.timeout ]; }; then
    cc_left=$(cc_members "$cc_pid" "$2")
    [ -e state.timeout ] && [ -n "$cc_left" ] && kill -KILL $cc_left 2> /dev/null
    echo "cc-left" $cc_left
  fi
  [ ! -e claim ] || echo "cc-claim $cc_pid $cc_rest"
  echo "cc-names" * # after the look for processes: a record that came meanwhile is seen
  cc_record
  if [ -e claim ]; then
    echo "cc-times" $(stat -c %Z claim $cc_done 2> /dev/null || stat -f %c claim $cc_done)
  fi
  if [ -n "$cc_done" ] && [ -e error.json ]; then
    printf "cc-error %s\n" "$(head -c 262144 error.json)"
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
