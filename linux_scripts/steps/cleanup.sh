# ---- step: cleanup --------------------------------------------------------------------------------------
# The environments that an earlier run of nbserver made and the settings no longer want. They go last, when the
# new server has answered: an upgrade that fails leaves what was there. Only what stands in the record goes, by
# the same way as undo would take it. The distribution's packages stay until undo.

step cleanup 'what an earlier release or setting installed is gone'

cleanup_test() {
    local line
    for line in "${RECORD[@]}"; do
        if is_former_environment "$line"; then difference "$LINE_KEY" installed ''; fi
    done
}

cleanup_apply() {
    local line
    local -a lines=("${RECORD[@]}")
    for line in "${lines[@]}"; do
        if is_former_environment "$line"; then undo_line "$line" || fail "$LINE_KEY could not be removed: $PROBLEM. The new server runs already; mend what stands in the way, then run this again"; fi
    done
}

# Whether a line of the record is an environment that the server does not run from.
is_former_environment() { # LINE
    split_line "$1"
    [[ $LINE_KIND == folder && $LINE_KEY =~ ^"$PROGRAMS"/env-[0-9a-f]{8}$ && $NOTEBOOK_PYTHON != "$LINE_KEY"/* ]]
}
