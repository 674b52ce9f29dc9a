# ---- step: cleanup ---------------------------------------------------------------------------------
# Remove the environments of earlier runs, which the server does not use any more.

# This is the last step, after the new server has answered: if an upgrade fails, everything is kept. Only what is in the
# record is removed, in the same way as undo would remove it. Packages of the distribution stay until undo.

step cleanup 'Unused programs and packages of earlier runs are removed'

cleanup_test() {
    local line
    for line in "${RECORD[@]}"; do
        if is_unused_environment "$line"; then differs installed-path '{path}' installed '' path "$LINE_KEY"; fi
    done
}

cleanup_apply() {
    local line
    local -a lines=("${RECORD[@]}")
    for line in "${lines[@]}"; do
        if ! is_unused_environment "$line"; then continue; fi
        undo_line "$line" ||
            fail environment-not-removed 'could not remove {path}: {cause}. The new server is already running. Fix '\
'this error, then run nbserver apply again' \
                path "$LINE_KEY"
    done
}

# Whether a line of the record is an environment that the server does not run from.
is_unused_environment() { # LINE
    split_line "$1"
    [[ $LINE_KIND == folder && $LINE_KEY =~ ^"$PROGRAMS"/env-[0-9a-f]{8}$ && $NOTEBOOK_PYTHON != "$LINE_KEY"/* ]]
}
