# ---- prelude: envelope -----------------------------------------------------------------------------
# Read the envelope: the mode, the run ID, and the secrets that arrive on standard input.

# Lines of `name value`: mode NAME, run ID, operator BASE64, time UTC, after N, former-salt SALT, new-salt yes,
# thorough yes, repair yes, archived SHA256, evidence SHA256, secret NAME BASE64,
# part BASE64 SIZE SHA256 OFFSET LENGTH BEFORE, log LINES SINCE SECONDS CURSOR.
# Only builtins handle secrets, which stay in SECRETS: other users can see the arguments of programs, and older versions
# of bash keep a here-document in a file.

declare -A SECRETS=()

read_envelope() {
    local line name base64='([A-Za-z0-9+/]*={0,2})' number=0
    local part='([A-Za-z0-9+/]+={0,2} [0-9]{1,15} [0-9a-f]{64} [0-9]{1,15} [0-9]{1,9} (-|[0-9a-f]{64}))'
    local time='([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)'
    local log='([0-9]{1,5}) (-|[0-9TZ:-]{20}) ([0-9]|[1-5][0-9]|60) (-|[A-Za-z0-9:;=]{1,500})'
    while IFS= read -r line || [[ $line ]]; do
        number=$((number + 1))
        if [[ $line =~ ^mode\ ([a-z-]{1,20})$ && ${MODES[${BASH_REMATCH[1]}]-} ]]; then
            RUN_MODE=${BASH_REMATCH[1]}
        elif [[ $line =~ ^run\ ([0-9A-Za-z-]{1,64})$ ]]; then
            RUN_ID=${BASH_REMATCH[1]}
        elif [[ $line =~ ^after\ ([0-9]{1,9})$ ]]; then
            RUN_AFTER=$((10#${BASH_REMATCH[1]}))
        elif [[ $line =~ ^time\ $time$ ]]; then
            RUN_TIME=${BASH_REMATCH[1]}
        elif [[ $line =~ ^former-salt\ ([A-Za-z0-9+/]{22})$ ]]; then
            RUN_FORMER_SALT=${BASH_REMATCH[1]}
        elif [[ $line == *' yes' ]] && is_flag "${line% yes}"; then
            continue
        elif [[ $line =~ ^archived\ ([0-9a-f]{64})$ ]]; then
            RUN_ARCHIVED=${BASH_REMATCH[1]}
        elif [[ $line =~ ^evidence\ ([0-9a-f]{64})$ ]]; then
            RUN_EVIDENCE=${BASH_REMATCH[1]}
        elif [[ $line =~ ^part\ $part$ ]]; then
            PARTS+=("${BASH_REMATCH[1]}")
        elif [[ $line =~ ^log\ $log$ ]]; then
            read_log_line "${BASH_REMATCH[@]:1}"
        elif [[ $line =~ ^operator\ $base64$ ]] && is_base64 "${BASH_REMATCH[1]}"; then
            RUN_OPERATOR=$REPLY
        elif [[ $line =~ ^secret\ ([a-z][a-z0-9_.]*)\ $base64$ ]] && is_base64 "${BASH_REMATCH[2]}"; then
            name=${BASH_REMATCH[1]}
            SECRETS[$name]=$REPLY
        else
            # The line is not repeated, because it may contain a secret.
            fail envelope-line-unknown 'line {number} on standard input (the envelope) is not valid. Correct it as '\
'described in docs/formats.md' \
                number "$number"
        fi
    done
}

is_flag() { # NAME
    case $1 in
        new-salt) RUN_NEW_SALT=1 ;;
        thorough) RUN_THOROUGH=1 ;;
        repair) RUN_REPAIR=1 ;;
        *) return 1 ;;
    esac
}

read_log_line() { # LINES SINCE SECONDS CURSOR
    LOG_LINES=$((10#$1)) LOG_SINCE=${2#-} LOG_SECONDS=$3 LOG_CURSOR=${4#-}
}

# Whether TEXT is valid Base64 (RFC 4648) of a text. REPLY: that text.
# Each character stands for six bits. As soon as eight bits are there, they are a byte of the text, which is added to
# $octal as \NNN, because printf writes any byte that is given in this form. A bash variable cannot have a byte 0.
is_base64() { # TEXT
    local digits=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/ text=$1 before octal='' code
    local -i i byte count=0 bits=0
    REPLY=''
    ((${#text} % 4 == 0)) || return 1
    while [[ $text == *= ]]; do text=${text%=}; done
    for ((i = 0; i < ${#text}; i++)); do
        before=${digits%%"${text:i:1}"*}           # its length is the value of the character
        bits=$((bits << 6 | ${#before}))
        count+=6
        if ((count >= 8)); then
            count+=-8
            byte=$((bits >> count & 255))
            if ((byte == 0)); then return 1; fi
            printf -v code '\\%03o' "$byte"
            octal+=$code
            bits=$((bits & (1 << count) - 1))      # the bits that are not used yet
        fi
    done
    # shellcheck disable=SC2059 # the octal digits are the format
    printf -v REPLY "$octal"
}

# The mode of a run by hand. Fetching events needs the ID of a run, which only the envelope has.
read_mode() { # MODE
    local name names=''
    if [[ $1 != events && ${MODES[$1]-} ]]; then
        RUN_MODE=$1
        return "$?"
    fi
    while IFS= read -r name; do
        if [[ $name != events ]]; then names+=", $name"; fi
    done < <(printf '%s\n' "${!MODES[@]}" | sort)
    fail unknown-mode 'this script has no mode "{mode}". Use one of these: {modes}' mode "$1" modes "${names#, }"
}

# The options of a run by hand: the envelope has lines for them.
read_options() { # [OPTION...]
    local option
    for option in "$@"; do
        case $option in
            --thorough) RUN_THOROUGH=1 ;;
            --repair) RUN_REPAIR=1 ;;
            *)
                fail unknown-argument '"{argument}" is not an option: expected --thorough or --repair' \
                    argument "$option"
                ;;
        esac
    done
}

# A run by hand gets a run ID, too.
name_run() {
    if [[ ! $RUN_ID ]]; then printf -v RUN_ID '%(%Y%m%dT%H%M%SZ)T-by-hand' -1; fi
}

# A run by hand has no envelope, and asks for the secret.
request_secret() { # NAME PROMPT
    local typed
    if [[ ${SECRETS[$1]+known} || $RUN_MODE != @(apply|rotate|set-password) ]]; then return 0; fi
    if ! : 2>/dev/null >/dev/tty; then
        fail no-terminal 'cannot ask for {name} without a terminal. Run this script in a terminal, or use nbserver '\
'apply' \
            name "$1"
    fi
    read -r -s -p "$2: " typed </dev/tty 2>/dev/tty
    printf '\n' >/dev/tty
    SECRETS[$1]=$typed
}
