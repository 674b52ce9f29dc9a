# ---- prelude: environment --------------------------------------------------------------------------
# Create the virtual environment, and install the packages of the lock in it.

# Each package is installed in exactly the version of the lock, if its hash is that of the lock. uv installs them, or
# pip if packages.installer = "pip". uv itself is in the lock too.

ENVIRONMENT=$PROGRAMS/env-${NB_PACKAGES_LOCK_SHA256:0:8}
SET_ASIDE=$ENVIRONMENT.replaced                    # what it replaces, until it is complete
LOCK_MARK=$ENVIRONMENT/nbserver.lock               # written last: the lock's hash, then what was installed
NOTEBOOK_PYTHON=$ENVIRONMENT/bin/python            # the program that runs the server
INSTALLER_SETTINGS='packages.index_url, downloads.proxy'   # what decides from where packages are downloaded
MIRROR_PAGE=$NB_DOWNLOADS_MIRROR/wheels.html       # has a link to each wheel
DOWNLOADS=$STATE_FOLDER/downloads                  # what the workstation sent, with source = "push"
case $NB_DOWNLOADS_SOURCE in
    mirror) INSTALLER_SETTINGS='downloads.mirror, downloads.proxy' ;;
    push) INSTALLER_SETTINGS='downloads.bundle' ;;
esac
ENVIRONMENT_KEPT=''                                # of keep_environment
ENVIRONMENT_STARTED=''                             # this run has begun to install it
ENVIRONMENT_RETURNED=''                            # it could not, and the previous one is in use again
COMPARED+=("$PROGRAMS" "$LOCK_MARK")

# The environment is complete if its mark has the hash of the lock. Its Python is a link to the distribution's Python,
# which may have been removed since.
compare_environment() {
    local -a lines=()
    compare_programs_folder
    if [[ $RUN_REPAIR ]]; then
        differs repair-requested 'packages' 'not checked' 'reinstalled because of --repair'
        return "$?"
    fi
    if [[ -r $LOCK_MARK ]]; then mapfile -t lines <"$LOCK_MARK"; fi
    if [[ ${lines[0]:-} != "$NB_PACKAGES_LOCK_SHA256" || ! -x $NOTEBOOK_PYTHON ]]; then
        differs packages 'packages' '' "$ENVIRONMENT"
        return "$?"
    fi
    compare_python_of_environment
    compare_packages "${lines[@]:1}"
    compare_installed_files
}

# The environment is named after the lock, which can be the same for several versions of Python. After an upgrade of the
# distribution, the earlier Python may still be there, but it gets no more fixes.
compare_python_of_environment() {
    local is should program
    local -a folders=("$ENVIRONMENT"/lib/python3.*)
    is=${folders[0]##*/python}
    if [[ $NB_PYTHON_VERSION =~ ^3\.[0-9]+ ]]; then
        should=${BASH_REMATCH[0]}
    elif can_notebooks_install || [[ ! -e ${PYTHON-} ]]; then
        return 0                                   # a new environment would lose what notebooks have installed
    else
        program=$(exec readlink -e -- "$PYTHON")
        should=${program##*/python}
        if [[ ! $should =~ ^3\.[0-9]+$ ]]; then return 0; fi
    fi
    if [[ $is == "$should" ]]; then return 0; fi
    differs environment-python 'Python of {path}' "$is" "$should" path "$ENVIRONMENT"
}

# Anybody who could write in this folder could have changed each file in it, and restored its time.
compare_programs_folder() {
    local -i differing=${#DIFFERENCES[@]}
    if [[ ! -e $PROGRAMS ]]; then return 0; fi
    read_access "$PROGRAMS"
    compare_access "$PROGRAMS" "$PROGRAM_OWNER" 755
    if ((${#DIFFERENCES[@]} > differing)); then RUN_THOROUGH=1; fi
}

# ENVIRONMENT_KEPT: whether the environment is as it was installed. One of an earlier release has no lists of its files:
# they are written if the files are those that the packages name.
keep_environment() {
    local RUN_THOROUGH=1
    ENVIRONMENT_KEPT=''
    add_missing_parents "$PROGRAMS"
    add_folder "$PROGRAMS" "$PROGRAM_OWNER" 755
    DIFFERENCES=()
    compare_environment
    if [[ ${#DIFFERENCES[@]} -eq 5 && ${DIFFERENCES[0]} == files-not-listed ]]; then
        list_files
        DIFFERENCES=()
    fi
    if ((${#DIFFERENCES[@]} == 0)); then ENVIRONMENT_KEPT=1; fi
}

start_environment() {
    ENVIRONMENT_STARTED=1
    set_environment_aside
    save_before folder "$ENVIRONMENT" ''
    if [[ -e $ENVIRONMENT ]]; then report_start removing-folder 'Removing {path}' path "$ENVIRONMENT"; fi
    rm -rf --one-file-system -- "$ENVIRONMENT"
    create_environment
}

# A complete environment that is installed again may be the only one that works, also if something in it has changed. So
# it only gets another name, and it is in use again if the new one cannot be completed.
set_environment_aside() {
    if [[ ! -e $LOCK_MARK ]]; then return 0; fi
    save_before folder "$SET_ASIDE" ''
    rm -rf --one-file-system -- "$SET_ASIDE"
    mv -T -- "$ENVIRONMENT" "$SET_ASIDE"
}

# Whether an environment was set aside, and the new one is not complete.
is_set_aside() { # ENVIRONMENT
    [[ -e $1.replaced/nbserver.lock && ! -e $1/nbserver.lock ]]
}

return_environment() { # ENVIRONMENT
    local line
    { rm -rf --one-file-system -- "$1" && mv -T -- "$1.replaced" "$1"; } ||
        problem folder-not-returned 'could not replace {path} with {folder}' path "$1" folder "$1.replaced" ||
        return "$?"
    for line in "${RECORD[@]}"; do
        split_line "$line"
        if [[ $LINE_KIND == folder && $LINE_KEY == "$1.replaced" ]]; then remove_line "$line" || return "$?"; fi
    done
    write_event restored kind folder what "$1"
}

# Called before an apply: if a run was killed meanwhile, the environment is in use again, too.
return_environments() {
    local line
    for line in "${RECORD[@]}"; do
        split_line "$line"
        if is_aside_line && is_set_aside "${LINE_KEY%.replaced}"; then
            RUN_STEP=$LINE_STEP
            return_environment "${LINE_KEY%.replaced}"
        fi
    done
}

# After split_line.
is_aside_line() {
    [[ $LINE_KIND == folder && $LINE_KEY =~ ^"$PROGRAMS"/env-[0-9a-f]{8}\.replaced$ ]]
}

# Remove what was set aside. Its name would say that it was restored.
remove_aside() { # LINE
    split_line "$1"
    PROBLEM=''
    restore_folder "$LINE_KEY" || return "$?"
    remove_line "$1"
}

fill_environment() {
    if [[ $NB_PACKAGES_INSTALLER == pip ]]; then
        install_with_pip
    else
        install_with_uv
    fi
    label_environment
    check_imports
    forget_files "$ENVIRONMENT"
    mark_environment
    list_files
    remove_replaced
    RUN_REPAIR=''
}

remove_replaced() {
    local line
    for line in "${RECORD[@]}"; do
        split_line "$line"
        if [[ $LINE_KIND == folder && $LINE_KEY == "$SET_ASIDE" ]]; then remove_aside "$line"; fi
    done
}

LOCK_OPTIONS=(--require-hashes --no-deps --only-binary :all:)
if [[ $NB_DOWNLOADS_SOURCE != direct ]]; then LOCK_OPTIONS+=(--no-index); fi
if [[ $NB_DOWNLOADS_SOURCE == push ]]; then LOCK_OPTIONS+=(--find-links "$DOWNLOADS"); fi

create_environment() {
    local program
    program=$(exec readlink -e -- "$PYTHON")            # after an upgrade, python3 may be a link to another program
    report_start creating-environment 'Creating the virtual environment'
    run_program --failure environment-not-created \
        'could not create the virtual environment ({program} exited with code {exit_code}): {output}. Fix this error '\
'(for example, free some disk space), then try again' \
        "${PROXY[@]}" "$program" -I -m venv "$ENVIRONMENT"
    printf '%s\n' "${LOCK[@]}" >"$ENVIRONMENT/lock.txt"
    if [[ $NB_DOWNLOADS_SOURCE == mirror ]]; then
        PROXY+=("PIP_FIND_LINKS=$MIRROR_PAGE" "UV_FIND_LINKS=$MIRROR_PAGE")
    elif [[ $NB_PACKAGES_INDEX_URL ]]; then
        read_login_url "$NB_PACKAGES_INDEX_URL" packages.index_login
        PROXY+=("PIP_INDEX_URL=$REPLY" "UV_DEFAULT_INDEX=$REPLY")
    fi
}

install_with_pip() {
    report_start installing-with-pip 'Installing packages with pip'
    run_installer "$NOTEBOOK_PYTHON" -I -m pip install --no-cache-dir "${LOCK_OPTIONS[@]}" \
        --requirement "$ENVIRONMENT/lock.txt"
}

install_with_uv() {
    local line
    for line in "${LOCK[@]}"; do
        if [[ $line == uv==* ]]; then printf '%s\n' "$line"; fi
    done >"$ENVIRONMENT/uv-lock.txt"
    report_start installing-uv 'Installing uv'
    run_program --failure uv-not-installed \
        'could not install uv ({program} exited with code {exit_code}): {output}. Check the free disk space and these '\
'settings: {settings}. Then try again' --value settings "$INSTALLER_SETTINGS" \
        "${PROXY[@]}" "$NOTEBOOK_PYTHON" -I -m pip install --no-cache-dir "${LOCK_OPTIONS[@]}" \
        --requirement "$ENVIRONMENT/uv-lock.txt"
    report_start installing-with-uv 'Installing packages with uv'
    run_installer "$ENVIRONMENT/bin/uv" pip install --python "$NOTEBOOK_PYTHON" --cache-dir "$ENVIRONMENT/cache" \
        --link-mode hardlink --compile-bytecode "${LOCK_OPTIONS[@]}" --requirement "$ENVIRONMENT/lock.txt"
    rm -rf -- "$ENVIRONMENT/cache"
}

run_installer() { # PROGRAM [ARGUMENT...]
    run_program --failure packages-not-installed \
        'could not install the packages ({program} exited with code {exit_code}): {output}. Check the free disk space '\
'and these settings: {settings}. If a package has no build for this Python version, set a different python.version. '\
'Then try again' \
        --value settings "$INSTALLER_SETTINGS" "${PROXY[@]}" "$@"
}

# With SELinux, files need the labels of their folder.
label_environment() {
    if [[ -e /sys/fs/selinux/enforce ]] && type -P restorecon >/dev/null; then
        run_program restorecon -R "$ENVIRONMENT"
    fi
}

# From now on, the environment is complete.
mark_environment() {
    local -a installed=("$ENVIRONMENT"/lib/python3.*/site-packages/*.dist-info)
    printf '%s\n' "$NB_PACKAGES_LOCK_SHA256" "${installed[@]##*/}" >"$LOCK_MARK.new"
    mv -T -- "$LOCK_MARK.new" "$LOCK_MARK"
}
