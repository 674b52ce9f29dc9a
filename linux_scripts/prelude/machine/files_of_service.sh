# ---- prelude: files_of_service ---------------------------------------------------------------------
# Keep the user of the service at undo as long as files belong to it.

# If the user were removed, a new user could get the same number, and with it these files.

USER_IS_KEPT_FOR=()                                # folders that have files of the service, or could not be searched

keep_user_for() { # PATH
    USER_IS_KEPT_FOR+=("$1")
}

# The folder of the last keep_user_for has no such files.
release_user() {
    unset 'USER_IS_KEPT_FOR[-1]'
}

# Searching can take long. If it fails, there may be files: even root may lack access (NFS, FUSE).
has_files_of_service() { # FOLDER
    local found
    if ! has_user "$SERVICE_USER"; then return 1; fi
    report_start searching-files 'Searching {path} for files that belong to the service' path "$1"
    found=$(find "$1" -user "$SERVICE_USER" -print -quit) || return 0
    [[ $found ]]
}

# Kind files: a folder that existed before this script, in which files of the service stay.
restore_files() { # FOLDER
    if [[ ! -e $1 ]] || ! has_files_of_service "$1"; then return 0; fi
    keep_user_for "$1"
    LINE_STAYS=1
}

# Find a file whose user does not exist, such as an earlier undo may have left: the service could not read it, or
# another user has that number by now. REPLY: the owner and the path, or ''. Called after read_access.
read_lost_files() { # FOLDER
    local user=${ACCESS[$1]%%:*}
    REPLY=''
    if [[ ! -d $1 ]]; then return 0; fi
    case $user,$1/ in
        UNKNOWN,*) REPLY="$(exec stat --format=%u -- "$1") $1" ;;
        root,* | "$SERVICE_USER",*) ;;
        *,"$DATA_FOLDER"/*) REPLY="$user $1" ;;
        *)
            if can_service_write "$1" || is_open_by_list "$1"; then return 0; fi
            IFS= read -r REPLY < <(find "$1" -xdev -nouser -printf '%U %p' -quit) || true
            ;;
    esac
}

assert_no_lost_files() { # FOLDER
    read_lost_files "$1"
    if [[ ! $REPLY ]]; then return 0; fi
    fail files-without-user '{path} belongs to {owner}, so the service cannot use it. If an earlier nbserver '\
'installation created it, run chown --recursive --no-dereference --from={owner} {service} {folder}; otherwise, '\
'change its owner with chown. Then run nbserver apply again' \
        path "${REPLY#* }" owner "${REPLY%% *}" service "$SERVICE" folder "$1"
}
