# ---- prelude: messages -----------------------------------------------------------------------------
# Format messages: each has a sentence with named values, and a code that never changes.

MESSAGE='' MESSAGE_CODE='' MESSAGE_VALUES=''       # of format_message: the text, the code, and the values as JSON
PROBLEM='' PROBLEM_CODE='' PROBLEM_VALUES=''       # of the function that returned 1: why it failed

LONGEST_VALUE=4000                                 # bytes

# Replace each {name} in TEXT by the value of that name. Braces in a value are left as they are.
# {cause} stands for the message of the last problem. A value may end with a period; if the sentence ends there, one
# period is enough. A value that is too long is cut: it may be what a server sent.
format_message() { # CODE TEXT [NAME VALUE]...
    local rest=$2 name text values=''
    local -A value=([cause]=$PROBLEM)
    MESSAGE='' MESSAGE_CODE=$1
    shift 2
    while (($#)); do
        text=$2
        if ((${#text} > LONGEST_VALUE)); then text=${text:0:LONGEST_VALUE-3}...; fi
        value[$1]=$text
        json_string "$text"
        values+=",\"$1\":$REPLY"
        shift 2
    done
    if [[ $rest == *'{cause}'* ]]; then
        json_string "$PROBLEM"
        values+=",\"cause\":$REPLY"
    fi
    while [[ $rest =~ ^([^{]*)\{([a-z0-9_]+)\}(.*)$ ]]; do
        name=${BASH_REMATCH[2]}
        rest=${BASH_REMATCH[3]}
        MESSAGE+=${BASH_REMATCH[1]}${value[$name]}
        if [[ $rest == '. '* ]]; then MESSAGE=${MESSAGE%.}; fi
    done
    MESSAGE+=$rest
    MESSAGE_VALUES="{${values#,}}"
}

# Report an event with a message; {cause} also adds the code and the values of the problem.
write_message() { # EVENT FIELD CODE TEXT [NAME VALUE]... -- [KEY VALUE]...
    local event=$1 field=$2
    local -a message=("$3" "$4") cause=()
    shift 4
    while (($#)) && [[ $1 != -- ]]; do
        message+=("$1" "$2")
        shift 2
    done
    if (($#)); then shift; fi
    format_message "${message[@]}"
    if [[ ${message[1]} == *'{cause}'* && $PROBLEM_CODE ]]; then
        cause=(cause: "{\"code\":\"$PROBLEM_CODE\",\"values\":$PROBLEM_VALUES}")
    fi
    write_event "$event" "${cause[@]}" code "$MESSAGE_CODE" values: "$MESSAGE_VALUES" "$field" "$MESSAGE" "$@"
}

# Report a warning, which a person should read.
warn() { # CODE TEXT [NAME VALUE]...
    if [[ $FINDING ]]; then
        write_finding warning "$@"
        return "$?"
    fi
    write_message warning text "$@"
}

# Report something in the log.
note() { # CODE TEXT [NAME VALUE]...
    write_message log text "$@"
}

# Report that a long action continues. UNIT is bytes, packages, or seconds.
report_progress() { # CODE TEXT DONE TOTAL UNIT [NAME VALUE]...
    write_message progress what "$1" "$2" "${@:6}" -- done: "$3" total: "$4" unit "$5"
}

# Report the start of an action that takes more than a few seconds.
report_start() { # CODE TEXT [NAME VALUE]...
    write_message progress what "$@"
}

# Stop the run, or what is being checked.
fail() { # CODE TEXT [NAME VALUE]...
    if [[ $FINDING ]]; then
        write_finding failed "$@"
        exit 3
    fi
    RUN_OUTCOME=failed
    line_of_step
    write_message failed text "$@" -- at "line $REPLY"
    FAILURE=("$MESSAGE_CODE" "$MESSAGE_VALUES" "$MESSAGE")
    exit 3
}

# Return 1, and keep the reason for the caller: undo continues with the next line of the record. If bash or a program
# has written an error since, it is added.
problem() { # CODE TEXT [NAME VALUE]...
    local error
    read_last_error
    error=$REPLY
    format_message "$@"
    PROBLEM=$MESSAGE${error:+ ($error)} PROBLEM_CODE=$MESSAGE_CODE PROBLEM_VALUES=$MESSAGE_VALUES
    return 1
}

# The line of the step's test or apply that is running; outside of a step, the line of the call of fail.
line_of_step() {
    local -i i
    REPLY=${BASH_LINENO[1]}
    for ((i = 1; i < ${#FUNCNAME[@]}; i++)); do
        if [[ ${FUNCNAME[i]} == "${RUN_STEP}_test" || ${FUNCNAME[i]} == "${RUN_STEP}_apply" ]]; then
            REPLY=${BASH_LINENO[i - 1]}
        fi
    done
}

# REPLY: the last line that bash or a program has written to standard error since the last call. The bootstrap makes
# standard error a file; run by hand it is a terminal, which already shows the line.
read_last_error() {
    local -a lines=()
    REPLY=''
    if [[ ! -f /dev/stderr || ! -r /dev/stderr ]]; then return 0; fi
    mapfile -t -s "$ERRORS_READ" lines </dev/stderr
    if ((${#lines[@]} == 0)); then return 0; fi
    ERRORS_READ=$((ERRORS_READ + ${#lines[@]}))
    REPLY=${lines[-1]:0:1000}
    # The path that a person knows, without the line of this script that bash names.
    if [[ $HELD ]]; then REPLY=${REPLY//"$HELD"/"$HELD_PATH"}; fi
    if [[ $REPLY =~ ^"$0: line "[0-9]+": "(.*)$ ]]; then REPLY=${BASH_REMATCH[1]}; fi
}
