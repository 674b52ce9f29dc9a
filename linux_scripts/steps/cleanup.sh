# ---- step: cleanup ---------------------------------------------------------------------------------
# Remove or restore what earlier runs installed or changed and is no longer needed.

# This is the last step, after the new server has answered: if an upgrade fails, everything is kept. Only what is in the
# record is removed or restored, in the same way as undo does it. Packages of the distribution stay until undo.

KEPT_FOLDERS_ARE_REPORTED=''
KEPT_PYTHON=''                                     # of the environment that a rollback would restore

step cleanup 'Files and changes that are no longer needed are removed'

cleanup_test() {
    local line
    read_kept_python
    KEPT_PYTHON=$REPLY
    for line in "${RECORD[@]}"; do
        if is_unused_environment "$line"; then differs installed-path '{path}' 'installed' '' path "$LINE_KEY"; fi
        if is_dropped "$line"; then
            differs dropped-setting 'earlier change that the inventory no longer requires ({kind} {key})' \
                'in effect' 'undone' kind "$LINE_KIND" key "$LINE_KEY"
        elif [[ $LINE_KIND == data_folder && ! $KEPT_FOLDERS_ARE_REPORTED ]] && is_earlier_notebook_folder; then
            warn_of_kept_folder "$LINE_KEY"
        fi
    done
    KEPT_FOLDERS_ARE_REPORTED=1
}

# The newest line first, as in undo: a folder in another one is removed before it.
cleanup_apply() {
    local line
    local -i i
    local -a lines=("${RECORD[@]}")
    for ((i = ${#lines[@]} - 1; i >= 0; i--)); do
        line=${lines[i]}
        if is_unused_environment "$line"; then
            remove_unused "$line" ||
                fail environment-not-removed 'could not remove {path}, which is no longer used: {cause}. The notebook '\
'server is running. Fix this error, then run nbserver apply again' \
                    path "$LINE_KEY"
        elif is_dropped "$line"; then
            undo_line "$line" ||
                fail dropped-not-restored 'could not undo an earlier change that the inventory no longer requires '\
'({kind} {key}): {cause}. The notebook server is running. Fix this error, then run nbserver apply again' \
                    kind "$LINE_KIND" key "$LINE_KEY"
        fi
    done
}

# After is_unused_environment.
remove_unused() { # LINE
    if is_aside_line; then remove_aside "$1"; else undo_line "$1"; fi
}

# Whether a line of the record is an environment that the server does not run from, and not the previous one.
is_unused_environment() { # LINE
    split_line "$1"
    if is_aside_line; then
        if is_set_aside "${LINE_KEY%.replaced}"; then return 1; fi   # the next apply needs it
        return 0
    fi
    [[ $LINE_KIND == folder && $LINE_KEY =~ ^"$PROGRAMS"/env-[0-9a-f]{8}$ && $NOTEBOOK_PYTHON != "$LINE_KEY"/* ]] &&
        [[ $KEPT_PYTHON != "$LINE_KEY"/* ]]
}

# Whether a line of the record is about what only earlier settings needed. A folder that has files stays until undo.
is_dropped() { # LINE
    split_line "$1"
    case $LINE_KIND in
        firewall_port) is_skipped firewall ;;
        access) is_earlier_notebook_folder ;;
        data_folder) is_earlier_notebook_folder && ! has_entries "$LINE_KEY" ;;
        *) return 1 ;;
    esac
}

# After split_line: whether it is about an earlier notebook.directory, or a folder above it. If one of the folders is in
# the other, it is still needed.
is_earlier_notebook_folder() {
    local path
    if [[ $LINE_STEP != notebook ]]; then return 1; fi
    for path in "$PROGRAMS" "$CONFIGURATION_FOLDER" "$STATE_FOLDER" "$WORK_FOLDER" "$UNIT_FOLDER" \
        "$NB_NOTEBOOK_DIRECTORY"; do
        if [[ $path/ == "$LINE_KEY"/* || $LINE_KEY/ == "$path"/* ]]; then return 1; fi
    done
    return 0
}

has_entries() { # FOLDER
    [[ $(find "$1" -mindepth 1 -print -quit 2>/dev/null) ]]
}
