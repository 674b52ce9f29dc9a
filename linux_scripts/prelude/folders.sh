# ---- prelude: folders ------------------------------------------------------------------------------
# Create folders, and set who may use them.

# OWNER is USER:GROUP. MODE is in octal digits as `stat` prints them: 750, not 0750.

declare -A ACCESS=()                               # path -> 'USER:GROUP MODE', or '' if it does not exist
declare -A MODIFIED=()                             # path -> when it was last changed, as seconds with three decimals
COMPARED=()                                        # paths that steps compare, of which a plan reads the access at once

# One `stat` for all paths. Another `stat` after an upgrade of the system must print the same time: that of Ubuntu 26.04
# rounds at the seventh decimal.
read_access() { # PATH...
    local path
    local -a paths=("$@") existing=() lines=()
    local -i i
    if [[ $RUN_MODE == @(test|status) ]]; then     # nothing changes between two steps
        if [[ ${ACCESS[$1]+known} ]]; then return 0; fi
        paths+=("${COMPARED[@]}")
    fi
    for path in "${paths[@]}"; do
        ACCESS[$path]=''
        if [[ -e $path ]]; then existing+=("$path"); fi
    done
    if ((${#existing[@]} == 0)); then return 0; fi
    mapfile -t lines < <(exec stat --dereference --format="$OWNER_FORMAT %a/%.3Y" -- "${existing[@]}")
    for ((i = 0; i < ${#existing[@]}; i++)); do
        ACCESS[${existing[i]}]=${lines[i]%/*}
        MODIFIED[${existing[i]}]=${lines[i]##*/}
    done
}

# After read_access: report a folder that does not exist, or has another owner or mode.
compare_folder() { # PATH OWNER MODE
    if [[ ! -d $1 ]]; then
        differs folder-missing '{path}' '' 'a folder' path "$1"
    else
        compare_access "$@"
    fi
}

# After read_access: report a file or folder that has another owner or mode.
compare_access() { # PATH OWNER MODE
    if [[ ${ACCESS[$1]} != "$2 $3" ]]; then
        differs access-differs 'owner and mode of {path}' "${ACCESS[$1]}" "$2 $3" path "$1"
    fi
}

# Kind folder: a folder that this script creates. Undo removes it with everything in it.
add_folder() { # PATH OWNER MODE
    if [[ ! -e $1 ]]; then
        hold_parent "$1"
        save_before folder "$1" ''
        mkdir -m 700 -- "$HELD/${1##*/}"
    fi
    set_access "$1" "$2" "$3"
}

# The mark of an environment is removed first: after an interruption, the rest is not mistaken for a complete one.
restore_folder() { # PATH
    forget_files "$1" || return "$?"
    if [[ ! -e $1 && ! -L $1 ]]; then return 0; fi
    hold_folder "$1" || return "$?"
    rm -f -- "$HELD/nbserver.lock" || return "$?"
    hold_parent "$1" || return "$?"
    report_start removing-folder 'Removing {path}' path "$1"
    rm -rf --one-file-system -- "${HELD:?}/${1##*/}" ||
        problem folder-not-removed 'could not remove some files in {path}' path "$1"
}

# Kind access: owner and mode of a folder that existed before this script.
set_access() { # PATH OWNER MODE
    hold_folder "$1"
    if [[ $(exec stat --dereference --format="$OWNER_FORMAT %a" -- "$HELD") == "$2 $3" ]]; then return 0; fi
    save_access "$1"
    chown -- "$2" "$HELD"
    chmod -- "00$3" "$HELD"                        # 00 also removes setuid, setgid, and the sticky bit
}

# After hold_folder. A folder that this script created needs no such record.
save_access() { # PATH
    if has_record folder "$1" || has_record data_folder "$1"; then return 0; fi
    save_before access "$1" "$(exec stat --dereference --format='%u:%g %a' -- "$HELD")"
}
