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
# where another was faster it ends up inside that, unseen.
cc_begin() {
  [ ! -e "$cc_run/$1.made" ] && [ ! -d "$cc_run/$1" ] && mkdir -p "$cc_run/$1.part.$$/files" && cd "$cc_run/$1.part.$$"
}
cc_made() {
  { true > room; } 2> /dev/null && mv "$cc_run/$1.part.$$" "$cc_run/$1" && true > "$cc_run/$1.made"
}

# cc_keep HASH [TEXT]: have the text of an input below its hash, which is compared where that can be; tell if it is there
cc_keep() {
  cc_f=$cc_run/inputs/$1
  if [ $# -gt 1 ] && [ ! -f "$cc_f" ] && mkdir -p "$cc_run/inputs" && printf %s "$2" > "$cc_f.part.$$"; then
    case $(cc_hash < "$cc_f.part.$$") in "$1"* | none) mv -f "$cc_f.part.$$" "$cc_f" ;; esac
  fi
  [ -f "$cc_f" ] && echo "cc-kept $1" || rm -f "$cc_f.part.$$"
}

# cc_put WAY SOURCE TARGET: an input where its job finds it; what a job may change is not linked to what others get
cc_put() {
  [ -d "${3%/*}" ] || mkdir -p "${3%/*}" || return
  { $1 "$cc_run/$2" "$3.part" || cp "$cc_run/$2" "$3.part"; } && mv -f "$3.part" "$3"
}

# cc_machine CPUS GPUS MEGABYTES: tell what the machine has; what is empty is looked for
cc_machine() {
  cc_has="${1:-$(getconf _NPROCESSORS_ONLN)} ${2:-$(nvidia-smi -L 2> /dev/null | grep -c '^GPU ')}"
  cc_has="$cc_has ${3:-$(awk '/^MemTotal/ { print int($2 / 1024) }' /proc/meminfo 2> /dev/null)}"
  echo "cc-has $cc_has"
}

# cc_take TOKEN CPUS GPUS MEGABYTES: is there so much that nobody has? Who has what stands in the environment of everything
# that lives of a job. The lock is held until that of the new wrapper can be read: it lets go of 9 itself.
cc_take() {
  command -v flock > /dev/null && exec 9> "$cc_run/../.slots" && flock -w 10 9
  cc_got=$(cat /proc/[0-9]*/environ 2> /dev/null | tr '\000' '\n' | grep -a '^CC_SLOTS=' | sort -u |
    awk -F '[= ]' -v me="$1" -v cpus="$2" -v gpus="$3" -v mb="$4" -v has="$cc_has" '
      $2 != me { c += $3; m += $5; n = split($4, g, ","); for (i = 1; i <= n; i++) used[g[i]] = 1 }
      END {
        split(has, h, " ")
        if ((cpus > 1 && c + cpus > h[1]) || (mb > 0 && h[3] != "" && m + mb > h[3])) exit 1
        for (i = 0; i < h[2] && gpus > 0; i++) if (!(i in used)) { list = list comma i; comma = ","; gpus-- }
        print list
        exit gpus > 0
      }') || return
  export CC_SLOTS="$1 $2 $cc_got $4"
  [ "$3" -eq 0 ] || export CUDA_VISIBLE_DEVICES="$cc_got"
}

# cc_refuse FOLDER: it is not to run, if nobody runs it already
cc_refuse() {
  cd "$cc_run/$1" 2> /dev/null && (set -C; echo engine > claim) 2> /dev/null
}

# cc_wait FOLDER...: until one of them has a record, is gone or has a longer log, or `wake` is there, or ten seconds
cc_wait() {
  cc_n=0 cc_pause=0.1 # what has just changed is likely to change again soon
  while [ $((cc_n += 1)) -le 60 ] && [ ! -e "$cc_run/wake" ]; do
    [ "$cc_n" -ne 20 ] || cc_pause=0.2
    for cc_f; do
      cd "$cc_run/$cc_f" 2> /dev/null || break 2
      [ $((cc_n % 5)) -ne 0 ] || [ ! log -nt "$cc_run/mark" ] || break 2
      for cc_g in state.*; do [ -e "$cc_g" ] && break 3; done
    done
    sleep "$cc_pause" 2> /dev/null || { sleep 1 && cc_n=$((cc_n + 6)); }
  done
  rm -f "$cc_run/wake"
  [ $# -lt 5 ] || sleep 0.1 2> /dev/null # others may end at the same time
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
  cc_pid=- cc_rest= cc_old= cc_boot=- cc_host=
  [ ! -s claim ] || read -r cc_pid cc_rest < claim
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

# cc_alive PID TOKEN BORN: the wrapper itself lives, which is all that has to be known of most attempts. When it was BORN
# tells it from others; the token is looked for only once.
cc_alive() {
  cc_stat= cc_born=
  { read -r cc_stat < "/proc/$1/stat"; } 2> /dev/null
  case ${cc_stat##*"$cc_name_end"} in
    '' | Z*) return 1 ;;
  esac
  cc_nth_20 ${cc_stat##*"$cc_name_end"}
  [ "$cc_born" = "$3" ] || grep -qsF "CC_ATTEMPT=$2" "/proc/$1/environ"
}
cc_nth_20() { shift 19 && cc_born=$1; }

# cc_look FOLDER TOKEN OFFSET BORN: print what is to know of an attempt, its times only while nobody knows when its wrapper
# was BORN; each line of a file with a bar or a plus before it
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
    if [ ! -e cancel ] && [ ! -e state.timeout ] && cc_alive "$cc_pid" "$2" "$4"; then
      cc_left=$cc_pid
      echo "cc-born $cc_born"
    else
      cc_left=$(cc_members "$cc_pid" "$2")
    fi
    [ -e state.timeout ] && [ -n "$cc_left" ] && kill -KILL $cc_left 2> /dev/null
    echo "cc-left" $cc_left
  fi
  echo "cc-names" * # after the look for processes: a record that came meanwhile is seen
  cc_record
  if [ -e claim ]; then
    cc_claim # again: it may have been empty a moment ago
    echo "cc-claim ${cc_old:-$cc_pid} $cc_rest"
    [ "${cc_old:--}" = - ] || echo cc-restarted yes # since it was claimed
    [ "$4" ] && [ -z "$cc_done" ] || echo "cc-times" $(stat -c %Z claim $cc_done 2> /dev/null || stat -f %c claim $cc_done)
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
    cc_size=0
    [ ! -s log ] || cc_size=$(wc -c < log)
    echo "cc-log" $cc_size
    if [ "$cc_size" -gt "$3" ]; then
      tail -c "+$(($3 + 1))" log | head -c 8388608 | cut -b 1-4096 |
        LC_ALL=C grep -a '^# cloudmesh ' | tail -n 200 | sed 's/^/|/'
    fi
  fi
}
