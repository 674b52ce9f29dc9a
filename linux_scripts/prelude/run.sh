# ==== body: to the end, the script is the same for every Linux host of a release with the same scope ===
# Order: prelude (what the steps may use), steps (each has a test and an apply), main (runs the steps).

# ---- prelude: run ----------------------------------------------------------------------------------
# Set the options of the shell, the folders, and the state of this run.

if ((BASH_VERSINFO[0] * 100 + BASH_VERSINFO[1] < 404)); then
    printf '%s\n' 'this script requires bash 4.4 or newer. Update bash, then try again' >&2
    exit 3
fi
set -Eeuo pipefail
shopt -s inherit_errexit
umask 077
IFS=$' \t\n'
PATH=/usr/sbin:/usr/bin:/sbin:/bin                 # the programs of the system, regardless of the caller's PATH
export PATH LC_ALL=C                               # messages of programs and sorting are the same everywhere
export TZ=UTC0                                     # bash ignores it unless it is exported
unset BASH_ENV TMOUT                               # bash programs would read the file; reads would end after TMOUT

# Builtins do most checks, because starting a process costs more. A function that returns a value sets REPLY. A function
# whose name begins with has_, is_, or can_ only checks, and may be used in a condition.

STEPS=()
declare -A STEP_TITLES=()
# Functions that parts of the prelude add: main calls them before a run, before it changes something, before an undo.
BEFORE_RUN=() BEFORE_CHANGE=() BEFORE_UNDO=()
DIFFERENCES=()                                     # five entries each: code, values, what, is, should
RUN_ID='' RUN_MODE='' RUN_OPERATOR='' RUN_AFTER=0 RUN_TIME='' RUN_STEP='' RUN_EVENTS=0 RUN_FOLDER=''
RUN_CHANGED=0 RUN_DIFFERS=false RUN_OUTCOME='' RUN_REBOOT=false RUN_FINGERPRINT='' RUN_STOPPING='' RUN_LOCKED=''
RUN_SCRIPT='' RUN_EVIDENCE=''                      # hashes: of this script, and of what the sender keeps about this run
RUN_THOROUGH='' RUN_REPAIR=''                      # whether to read all installed files, or to install them again
RUN_FORMER_SALT='' RUN_NEW_SALT=''                 # which password hashes may be replaced: see step notebook
RUN_ENDING=''                                      # it has failed, and restores the previous server
RUN_ARCHIVED=''                                    # hash of the archived notebooks that an undo removes
SPLIT=()                                           # of split_words
RUN_NOT_KEPT=''                                    # why the events of this run cannot be written to the host
ERRORS_READ=0                                      # lines of standard error that were read

# What each mode of a run does: a function. Parts of the prelude add modes, and those that may change the host.
declare -A MODES=([test]=test_host [check]=check_host [status]=show_host [apply]=apply [undo]=undo)
MODES['events']=send_events_after
CHANGING_MODES=(apply undo)

# Whether this run may change the host. Other runs leave nothing on it.
is_change() {
    [[ " ${CHANGING_MODES[*]} " == *" $RUN_MODE "* ]]
}

# REPLY: hundredths of a second since the kernel was started. A new time of the clock does not change them.
read_uptime() {
    read -r REPLY _ </proc/uptime
    REPLY=$((10#${REPLY/./}))
}

# REPLY: the whole seconds since BEGIN, an earlier answer of read_uptime.
read_seconds_since() { # BEGIN
    read_uptime
    REPLY=$(((REPLY - $1) / 100))
}

# SPLIT: the words of TEXT, with one space between them. Before bash 5.1, a here-string is a file, and undo must
# also work on a full disk.
split_words() { # TEXT
    local rest=$1
    SPLIT=()
    while [[ $rest == *' '* ]]; do
        SPLIT+=("${rest%% *}")
        rest=${rest#* }
    done
    if [[ $rest ]]; then SPLIT+=("$rest"); fi
}

# A step NAME has two functions: NAME_test reports what differs and changes nothing, NAME_apply makes the changes.
step() { # NAME TITLE
    STEPS+=("$1")
    STEP_TITLES[$1]=$2
}

# A step's test calls this for each difference. IS and SHOULD are words or values; '' means absent.
differs() { # CODE WHAT IS SHOULD [NAME VALUE]...
    format_message "$1" "$2" "${@:5}"
    DIFFERENCES+=("$1" "$MESSAGE_VALUES" "$MESSAGE" "$3" "$4")
}
