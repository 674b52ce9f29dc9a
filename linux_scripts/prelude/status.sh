# ---- prelude: status -------------------------------------------------------------------------------
# Report the server, its versions, its certificate, and the last run: mode status.

# Nothing is changed, and nothing is left on this host. What differs from the settings is reported as in a test.

# Which programs the server uses; OpenSSL is the one in its Python.
VERSIONS_WITH_PYTHON='
import importlib.metadata, platform, ssl

print("python=" + platform.python_version())
print("openssl=" + ssl.OPENSSL_VERSION.split()[1])
for name in "notebook", "jupyter_server", "numpy", "matplotlib", "tornado", "pyzmq":
    try:
        print(name + "=" + importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        pass
'
DESCRIBE_WITH_PYTHON='
import sys
from cryptography import x509
from cryptography.hazmat.primitives import hashes

certificate = x509.load_pem_x509_certificate(open(sys.argv[1], "rb").read())
print("Fingerprint=" + certificate.fingerprint(hashes.SHA256()).hex())
print("subject=" + certificate.subject.rfc4514_string())
print("notAfter=" + certificate.not_valid_after_utc.isoformat())
'

report_status() {
    local service limits versions certificate previous=null last=null count=null
    read_service_status
    service=$REPLY
    read_limits_status
    limits=$REPLY
    read_versions
    versions=$REPLY
    read_certificate_status
    certificate=$REPLY
    if can_read_state; then
        count=${#RECORD[@]}
        read_last_run
        last=$REPLY
        read_previous_status
        previous=$REPLY
    fi
    write_event status certificate: "$certificate" last: "$last" limits: "$limits" \
        previous: "$previous" record: "$count" service: "$service" versions: "$versions"
}

# REPLY: how the server runs, as JSON.
read_service_status() {
    local state=stopped by=systemd start=manual since='' process
    if is_unit; then
        read_unit "$SERVICE_UNIT" SubState
        process=${UNIT[MainPID]:-0}
        case ${UNIT[ActiveState]:-}/${UNIT[SubState]:-} in
            active/*) state=running ;;
            failed/* | */auto-restart) state=failed ;;
            activating/*) state=starting ;;
        esac
        case ${UNIT[UnitFileState]:-} in
            enabled) start=automatic ;;
            masked) start=disabled ;;
        esac
    else
        read_server_process
        process=$REPLY
        by=background
        if ((process)); then state=running; fi
    fi
    if ! is_set_up; then state=absent by=none start=none; fi
    if [[ $state == running ]]; then
        start_of_process "$process"
        since=$REPLY
    fi
    REPLY="{\"state\":\"$state\",\"by\":\"$by\",\"start\":\"$start\",\"since\":\"$since\"}"
}

# REPLY: when a process was started, in UTC; '' if it does not run. /proc/stat has when the kernel was started, and
# /proc/PID/stat when the process was, in hundredths of a second since then: the twentieth field after the name.
start_of_process() { # PID
    local line='' name value
    local -i boot=0
    REPLY=''
    { IFS= read -r line <"/proc/$1/stat"; } 2>/dev/null || return 0
    while read -r name value; do
        if [[ $name == btime ]]; then boot=$value; fi
    done </proc/stat
    if [[ ! ${line##*) } =~ ^([^ ]+\ ){19}([0-9]+)\  ]]; then return 0; fi
    printf -v REPLY '%(%Y-%m-%dT%H:%M:%SZ)T' $((boot + 10#${BASH_REMATCH[2]} / 100))
}

# REPLY: the Python that the server runs with, as its unit says; else the one that these settings choose.
read_server_python() {
    local line
    REPLY=$NOTEBOOK_PYTHON
    if [[ ! -r $UNIT_FOLDER/$SERVICE_UNIT ]]; then return 0; fi
    while IFS= read -r line; do
        if [[ $line != ExecStart=* ]]; then continue; fi
        line=${line#*=}
        line=${line%% *}
        if [[ $line == "$PROGRAMS"/env-+([0-9a-f])/bin/python || $line == /usr/bin/python3*([0-9.]) ]]; then
            REPLY=$line
        fi
    done <"$UNIT_FOLDER/$SERVICE_UNIT"
}

# REPLY: the versions by name, as JSON.
read_versions() {
    local line all=''
    read_server_python
    if [[ -x $REPLY ]]; then
        while IFS= read -r line; do
            if [[ $line =~ ^([a-z_]{1,20})=([0-9A-Za-z.+!-]{1,64})$ ]]; then
                all+=",\"${BASH_REMATCH[1]}\":\"${BASH_REMATCH[2]}\""
            fi
        done < <(timeout 30 "$REPLY" -I -c "$VERSIONS_WITH_PYTHON" 2>/dev/null)
    fi
    REPLY="{${all#,}}"
}

# REPLY: whose certificate it is, and until when, as JSON; null if there is none, or if it cannot be read.
read_certificate_status() {
    local line fingerprint='' subject='' expires=''
    REPLY=null
    if [[ ! -r $CERTIFICATE_FILE ]]; then return 0; fi
    while IFS= read -r line; do
        case $line in
            *Fingerprint=*)
                fingerprint_of "$line"
                fingerprint=$REPLY
                ;;
            subject=*)
                json_string "${line#*=}"
                subject=$REPLY
                ;;
            notAfter=*) expires=$(date --utc --date="${line#*=}" +%Y-%m-%dT%H:%M:%SZ) || expires='' ;;
        esac
    done < <(describe_certificate "$CERTIFICATE_FILE")
    REPLY=null
    if [[ $fingerprint && $subject && $expires ]]; then
        REPLY="{\"fingerprint\":\"$fingerprint\",\"subject\":$subject,\"expires\":\"$expires\"}"
    fi
}

describe_certificate() { # FILE
    if has_openssl; then
        openssl x509 -in "$1" -noout -fingerprint -sha256 -subject -enddate -nameopt RFC2253 2>/dev/null
    else
        "$NOTEBOOK_PYTHON" -I -c "$DESCRIBE_WITH_PYTHON" "$1" 2>/dev/null
    fi
}

# REPLY: the run whose events were written last, as JSON; null if there is none.
read_last_run() {
    find_last_run
    if [[ $REPLY ]]; then read_run "$REPLY"; else REPLY=null; fi
}

# REPLY: the events of the last run that changed this host, other than this one; '' if there are none.
find_last_run() {
    local file last=''
    for file in "$STATE_FOLDER"/runs/*/events.jsonl; do
        if [[ -f $file && $file != "$RUN_FOLDER/events.jsonl" && ! $last -nt $file ]]; then last=$file; fi
    done
    REPLY=$last
}

# REPLY: the run that left these events, as JSON; null if the first event is not that of a run. A run that has no last
# event was interrupted, unless it still has the lock.
read_run() { # FILE
    local first end run mode operator release script started outcome finished=''
    local -a events=()
    REPLY=null
    mapfile -t events <"$1"
    if ((${#events[@]} == 0)); then return 0; fi     # it was interrupted before its first event
    first=${events[0]} end=${events[-1]}
    read_field run "$first"; run=$REPLY
    read_field mode "$first"; mode=$REPLY
    read_field operator "$first"; operator=$REPLY
    read_field release "$first"; release=$REPLY
    read_field script_sha256 "$first"; script=$REPLY
    read_field time "$first"; started=$REPLY
    if [[ $end == *'"event":"finished"'* ]]; then
        read_field outcome "$end"; outcome=$REPLY
        read_field time "$end"; finished=$REPLY
    else
        lock_owner
        outcome=interrupted
        if [[ $REPLY == "run $run,"* ]]; then outcome=running; fi
    fi
    REPLY=null
    if [[ ! $run || ! $script ]]; then return 0; fi
    REPLY="{\"run\":\"$run\",\"mode\":\"$mode\",\"outcome\":\"$outcome\",\"operator\":\"$operator\","
    REPLY+="\"release\":\"$release\",\"script_sha256\":\"$script\",\"started\":\"$started\",\"finished\":\"$finished\"}"
}

# REPLY: a text of an event, as its line has it; '' if there is none. In a text, a quotation mark follows a backslash.
read_field() { # NAME LINE
    local pattern="\"$1\":\"(($RECORD_TEXT)?)\""
    REPLY=''
    if [[ $2 =~ $pattern && $2 != *[!\ -~]* ]]; then REPLY=${BASH_REMATCH[1]}; fi
}
