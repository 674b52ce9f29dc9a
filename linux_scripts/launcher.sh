#!/usr/bin/env bash
# nbserver launcher: runs the script that it carries in gzip and Base64, for a tool that runs a file as root.
# It compares the SHA-256 before it runs the script, and passes mode, run ID, and password hash on standard input.
# Exit codes: 0 success, 1 something differs (mode test), 3 failed. The last event says whether a restart is needed.
set -euo pipefail
LC_ALL=C secret=${NBSERVER_PASSWORD_HASH-}
unset NBSERVER_PASSWORD_HASH BASH_ENV

die() { # TEXT
    printf 'nbserver launcher: %s\n' "$1" >&2
    exit 3
}

envelope() { # MODE
    printf 'mode %s\n' "$1"
    if [[ ${NBSERVER_RUN-} ]]; then printf 'run %s\n' "$NBSERVER_RUN"; fi
    if [[ $secret ]]; then printf 'secret notebook.password_hash %s\n' "$(printf '%s' "$secret" | base64 -w 0)"; fi
}

launch() { # MODE SHA256 [COMMAND]
    local parent script sum code=0 folder='' mode=${NBSERVER_MODE:-$1}
    trap 'rm -rf -- "$folder"' EXIT
    script=$(base64 -d | gzip -d && printf .) || die 'the script could not be unpacked'
    for parent in /dev/shm /var/tmp; do                # one of them may be full
        folder=$(mktemp -d -p "$parent" 2>/dev/null) && cd -- "$folder" &&
            { printf '%s' "${script%.}" >nbserver.sh; } 2>/dev/null && break
        rm -rf -- "$folder"
    done
    sum=$(sha256sum nbserver.sh 2>/dev/null) || die 'neither /dev/shm nor /var/tmp has free space for the script'
    [[ ${sum%% *} == "$2" ]] || die "the SHA-256 of the script is ${sum%% *}, expected $2"
    if [[ $mode == apply && ! $secret && ${3-} ]]; then
        secret=$(bash -p -c "$3" </dev/null) || die 'the command that prints the password hash failed'
    fi
    secret=${secret%"${secret##*[![:space:]]}"}         # a line end is easily added
    bash -p ./nbserver.sh envelope < <(envelope "$mode") || code=$?
    case $code in
        0 | 102) exit 0 ;;
        2) exit 1 ;;
        *) exit 3 ;;
    esac
}
