# ==== body: from this line to the end the script is the same for every Linux host of a release ==========
# Order: prelude (what every step may use), steps (each a test and an apply), main (walks the steps).

if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 404)); then
    printf '%s\n' 'this script needs bash 4.4 or newer' >&2
    exit 3
fi
set -Eeuo pipefail
shopt -s inherit_errexit
umask 077
IFS=$' \t\n'
PATH=/usr/sbin:/usr/bin:/sbin:/bin                 # the system's own programs, whatever the caller's PATH is
export PATH LC_ALL=C                               # programs' words, and the order of letters, are the same everywhere
TZ=UTC0

# ---- prelude: places, and the state of this run --------------------------------------------------------
# Builtins do the checking: a fork costs a host more than most checks. A function that has an answer leaves
# it in REPLY. A function whose name begins with has_, is_ or can_ only asks; it may stand behind "if".

PROGRAMS=/opt/nbserver                             # programs: only root writes here
CONFIGURATION_FOLDER=/etc/nbserver                 # configuration, certificate and key: the service reads
DATA_FOLDER=/var/lib/nbserver                      # holds the next two, and people's notebooks
STATE_FOLDER=$DATA_FOLDER/state                    # record, events, lock: only root reads or writes here
WORK_FOLDER=$DATA_FOLDER/work                      # the service's own: it reads and writes
RECORD_FILE=$STATE_FOLDER/record.jsonl             # what was there before, for undo
LOCK_FILE=$STATE_FOLDER/lock                       # held while a run changes this host
SERVICE_USER=nbserver                              # the service's user and group
SERVICE_UNIT=nbserver.service
PROGRAM_OWNER=root:root                            # of programs and units
OWNER_FORMAT=%U:%G                                 # how `stat` writes an owner of these
SERVICE=$SERVICE_USER:$SERVICE_USER                # owner of what the service writes
READERS=root:$SERVICE_USER                         # owner of what the service only reads, with these modes:
FOLDER_MODE=750 FILE_MODE=640 PARENT_MODE=755

STEPS=()
declare -A STEP_TITLES=()
DIFFERENCES=()                                     # three entries each: what, is, should
RUN_ID='' RUN_MODE='' RUN_OPERATOR='' RUN_AFTER=0 RUN_TIME='' RUN_STEP='' RUN_EVENTS=0 RUN_FOLDER=''
RUN_CHANGED=0 RUN_DIFFERS=false RUN_OUTCOME='' RUN_REBOOT=false RUN_FINGERPRINT='' RUN_STOPPING='' RUN_LOCKED=''
RUN_FORMER_SALT='' RUN_NEW_SALT=''                 # what password hashes a new one may replace; see the step notebook
RUN_UNKEPT=''                                      # why this run's events are no longer kept on the host
PROBLEM=''                                         # why the function that just returned 1 could not do its work
ERRORS_READ=0                                      # lines of standard error

# A step NAME has two functions: NAME_test tells what differs and changes nothing, NAME_apply changes it.
step() { # NAME TITLE
    STEPS+=("$1")
    STEP_TITLES[$1]=$2
}

# A step's test calls this for each thing that is not as it should be; main tells. '' stands for: not there.
difference() { # WHAT IS SHOULD
    DIFFERENCES+=("$1" "$2" "$3")
}

# The run goes no further.
fail() { # TEXT
    RUN_OUTCOME=failed
    line_of_step
    write_event failed text "$1" at "line $REPLY"
    exit 3
}

# The line of the step's test or apply that is being executed; outside of a step, the line of the caller's call.
line_of_step() {
    local -i i
    REPLY=${BASH_LINENO[1]}
    for ((i = 1; i < ${#FUNCNAME[@]}; i++)); do
        if [[ ${FUNCNAME[i]} == "${RUN_STEP}_test" || ${FUNCNAME[i]} == "${RUN_STEP}_apply" ]]; then REPLY=${BASH_LINENO[i - 1]}; fi
    done
}

# For what undo may call: undo goes on with the next thing, everything else ends here.
problem() { # TEXT
    read_last_error
    PROBLEM=$1${REPLY:+: $REPLY}
    return 1
}

# The last line that bash or a program has written to standard error since this was called before. The bootstrap
# makes it a file; by hand it is a terminal, where the words already are, and there is nothing to read.
# In a trap a plain `return` would return the code of what failed.
read_last_error() {
    local -a lines=()
    REPLY=''
    if [[ ! -f /dev/stderr || ! -r /dev/stderr ]]; then return 0; fi
    mapfile -t -s "$ERRORS_READ" lines </dev/stderr
    if ((${#lines[@]} == 0)); then return 0; fi
    ERRORS_READ=$((ERRORS_READ + ${#lines[@]}))
    REPLY=${lines[-1]:0:1000}
    if [[ $HELD ]]; then REPLY=${REPLY//"$HELD"/"$HELD_PATH"}; fi   # the name that a person knows
}
