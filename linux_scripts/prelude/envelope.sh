# ---- prelude: the envelope, the only input of a run beside this script ---------------------------------
# Lines of `name value`: mode test|apply|undo|events, run ID, operator BASE64, time UTC, after N,
# former-salt SALT, new-salt yes, secret NAME BASE64.
# Secrets stay in SECRETS and touch builtins only: what is an argument of a program can be seen by others,
# and a here-document is a file in older versions of bash.

declare -A SECRETS=()

read_envelope() {
    local line number=0 name base64='([A-Za-z0-9+/]*={0,2})'
    while IFS= read -r line || [[ $line ]]; do
        number=$((number + 1))
        if [[ $line =~ ^mode\ (test|apply|undo|events)$ ]]; then RUN_MODE=${BASH_REMATCH[1]}
        elif [[ $line =~ ^run\ ([0-9A-Za-z-]{1,64})$ ]]; then RUN_ID=${BASH_REMATCH[1]}
        elif [[ $line =~ ^after\ ([0-9]{1,9})$ ]]; then RUN_AFTER=$((10#${BASH_REMATCH[1]}))
        elif [[ $line =~ ^time\ ([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z)$ ]]; then RUN_TIME=${BASH_REMATCH[1]}
        elif [[ $line =~ ^former-salt\ ([A-Za-z0-9+/]{22})$ ]]; then RUN_FORMER_SALT=${BASH_REMATCH[1]}
        elif [[ $line == 'new-salt yes' ]]; then RUN_NEW_SALT=1
        elif [[ $line =~ ^operator\ $base64$ ]] && is_base64 "${BASH_REMATCH[1]}"; then RUN_OPERATOR=$REPLY
        elif [[ $line =~ ^secret\ ([a-z][a-z0-9_.]*)\ $base64$ ]]; then
            name=${BASH_REMATCH[1]}
            if ! is_base64 "${BASH_REMATCH[2]}"; then fail "line $number of the envelope is none that this script knows"; fi
            SECRETS[$name]=$REPLY
        else
            fail "line $number of the envelope is none that this script knows"   # not quoted: it may be a secret
        fi
    done
}

# Whether TEXT is whole Base64; what it stands for is in REPLY.
is_base64() { # TEXT
    local digits=ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/ text=$1 head octal='' code
    local -i i value bits=0 rest=0
    REPLY=''
    ((${#text} % 4 == 0)) || return 1
    while [[ $text == *= ]]; do text=${text%=}; done
    for ((i = 0; i < ${#text}; i++)); do
        head=${digits%%"${text:i:1}"*}
        value=${#head}
        rest=$((rest << 6 | value)) bits+=6
        if ((bits >= 8)); then
            bits+=-8
            if ((rest >> bits & 255)); then printf -v code '\\%03o' $((rest >> bits & 255)); else return 1; fi   # no text has a byte 0
            octal+=$code
            rest=$((rest & (1 << bits) - 1))
        fi
    done
    # shellcheck disable=SC2059 # the octal digits are the format
    printf -v REPLY "$octal"
}

# A run by hand has a name too.
name_run() {
    if [[ ! $RUN_ID ]]; then printf -v RUN_ID '%(%Y%m%dT%H%M%SZ)T-by-hand' -1; fi
}

# Run by hand, an apply asks for what the envelope would have brought.
request_secret() { # NAME PROMPT
    local typed
    if [[ ${SECRETS[$1]+known} || $RUN_MODE != apply ]]; then return; fi
    if : 2>/dev/null >/dev/tty; then
        read -r -s -p "$2: " typed </dev/tty 2>/dev/tty
        printf '\n' >/dev/tty
    else
        fail "there is no terminal to ask for the $1 on"
    fi
    SECRETS[$1]=$typed
}
