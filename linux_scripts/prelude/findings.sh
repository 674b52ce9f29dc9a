# ---- prelude: findings -----------------------------------------------------------------------------
# Report in mode check which requirements this host meets, one finding for each.

FINDING=''                                         # in mode check: the requirement that is being checked
FINDING_STATE='' FOUND=()                          # what was reported about it; the message if it is met

# Make sure that a requirement is met: FUNCTION calls fail or warn if it is not. In mode check, each requirement is a
# finding; in other modes, the first one that is not met stops the run.
require() { # NAME FUNCTION [ARGUMENT...]
    if [[ $RUN_MODE != check ]]; then
        "${@:2}"
        return "$?"
    fi
    REPLY=$(report_finding "$@")
    RUN_EVENTS=${REPLY% *}
    if [[ $REPLY == *' failed' ]]; then RUN_OUTCOME=failed; fi
}

# Check a requirement in a subshell, which the first failure ends. Its output is the number of events and the state.
report_finding() { # NAME FUNCTION [ARGUMENT...]
    FINDING=$1
    exec 5>&1 1>&2
    trap 'end_finding "$?"' EXIT
    "${@:2}"
}

# shellcheck disable=SC2317 # a trap calls it
end_finding() { # EXIT-CODE
    trap - EXIT ERR
    if [[ ! $FINDING_STATE && $1 -eq 0 ]]; then
        if ((${#FOUND[@]} == 0)); then met requirement-met 'this host meets the requirement'; fi
        write_finding ok "${FOUND[@]}"
    elif [[ ! $FINDING_STATE ]]; then
        read_last_error
        write_finding unknown not-checked 'the check stopped with exit code {exit_code}: {error}' \
            exit_code "$1" error "${REPLY:-no error output}"
    fi
    printf '%d %s\n' "$RUN_EVENTS" "$FINDING_STATE" >&5
    exit 0
}

# What to report about a requirement that is met.
met() { # CODE TEXT [NAME VALUE]...
    FOUND=("$@")
}

# The first sentence of a message is what was found; the others are what to do.
write_finding() { # STATE CODE TEXT [NAME VALUE]...
    local text todo=''
    local -a cause=()
    FINDING_STATE=$1
    if [[ $3 == *'{cause}'* && $PROBLEM_CODE ]]; then
        cause=(cause: "{\"code\":\"$PROBLEM_CODE\",\"values\":$PROBLEM_VALUES}")
    fi
    if [[ $3 == *'. '* ]]; then
        format_message "$2" "${3#*. }" "${@:4}"
        todo=$MESSAGE
    fi
    format_message "$2" "${3%%. *}" "${@:4}"
    text=$MESSAGE
    format_message "${@:2}"
    write_event finding "${cause[@]}" code "$2" name "$FINDING" state "$1" text "$text" todo "$todo" \
        values: "$MESSAGE_VALUES"
}
