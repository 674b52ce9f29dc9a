# ---- prelude: zypper -------------------------------------------------------------------------------
# Run zypper, without questions.

# Its exit codes (man zypper): 4 an error of the package system, 6 no repositories, 102 a reboot is needed, 103 zypper
# was updated and must run again, 104 a package was not found, 106 a repository was skipped, 107 the script of a package
# failed, but the package is installed.

query_with_zypper() { # NAME...
    exec rpm --query --queryformat 'ii %{NAME} %{VERSION}-%{RELEASE}\n' -- "$@"
}

# REPLY: nothing. rpm does not configure packages.
read_unfinished_by_zypper() {
    REPLY=''
}

run_zypper() { # [OPTION of run_program...] -- ARGUMENT...
    local -i try
    local -a options=(--accept '0 102 103 106 107')
    while [[ $1 != -- ]]; do
        options+=("$1")
        shift
    done
    shift
    read_proxy
    for try in 1 2; do
        run_program --to-its-end --failure zypper-failed \
            '{program} exited with code {exit_code}: {output}. Look up this exit code under EXIT CODES in man zypper, '\
'fix the error, then try again' \
            "${options[@]}" "${PROXY[@]}" ZYPP_LOCK_TIMEOUT=300 zypper --non-interactive "$@" || return "$?"
        case $EXIT_CODE in
            102) RUN_REBOOT=true ;;
            103) continue ;;
            106) warn repository-skipped 'zypper could not refresh a repository and skipped it. Run zypper refresh to '\
'see which repository failed' ;;
            107) warn package-script-failed 'zypper finished, but a package script failed. Check the zypper output in '\
'the events of this run (nbserver events shows them)' ;;
        esac
        return 0
    done
}

# Whether old or missing lists are a problem shows when packages are installed.
refresh_with_zypper() {
    run_zypper --accept '0 4 6 106' -- refresh
    if ((EXIT_CODE == 4 || EXIT_CODE == 6)); then
        warn zypper-refresh-failed \
            'zypper refresh exited with code {exit_code}, so nbserver uses the existing package lists. If a package '\
'cannot be installed, check the repositories with zypper repos' \
            exit_code "$EXIT_CODE"
    fi
}

# REPLY: the packages that would be new. UPGRADED: those that would be upgraded.
read_new_packages_zypper() { # NAME...
    local -i code=0
    read_plan_of_zypper to-install < <(
        ZYPP_LOCK_TIMEOUT=300 zypper --non-interactive --xmlout --no-refresh \
            install --dry-run --no-recommends -- "$@" 2>&1
    )
    wait "$!" || code=$?
    case $code in
        0 | 102 | 103 | 106) ;;
        104) refuse_missing_packages "$@" ;;
        *)
            fail zypper-plan-for-install-failed 'zypper cannot determine what to install for {packages} (exit code '\
'{exit_code}; see man zypper). Run zypper install --dry-run {packages}, fix the error that it shows, then try again' \
                packages "$*" exit_code "$code"
            ;;
    esac
}

# Read zypper's plan in XML from standard input: one <solvable> per line, within <to-install>, <to-upgrade>, or
# <to-remove>. UPGRADED: the packages in <to-upgrade>.
read_plan_of_zypper() { # to-install|to-remove
    local line plan='' inside='' name old
    UPGRADED=()
    while IFS= read -r line; do
        if [[ $line =~ \<(/?)(to-[a-z-]+)\> ]]; then
            inside=''
            if [[ ! ${BASH_REMATCH[1]} ]]; then inside=${BASH_REMATCH[2]}; fi
        fi
        if [[ ! $line =~ \<solvable\ type=\"package\"\ name=\"([^\"]+)\" ]]; then continue; fi
        name=${BASH_REMATCH[1]}
        if [[ $inside == "$1" ]]; then
            plan+=" $name"
        elif [[ $inside == to-upgrade ]]; then
            old=unknown
            if [[ $line =~ \ edition-old=\"([^\"]+)\" ]]; then old=${BASH_REMATCH[1]}; fi
            if [[ $line =~ \ edition=\"([^\"]+)\" ]]; then UPGRADED+=("$name ($old to ${BASH_REMATCH[1]})"); fi
        fi
    done
    REPLY=$plan
}

install_with_zypper() { # NAME...
    run_zypper --accept '0 102 103 104 106 107' -- install --no-recommends --no-confirm -- "$@"
    if ((EXIT_CODE == 104)); then refuse_missing_packages "$@"; fi
    # 102: an installed package asks for a reboot. 2: this zypper is too old for the question.
    run_program --accept '0 2 102' env ZYPP_LOCK_TIMEOUT=300 zypper --non-interactive needs-rebooting
    if ((EXIT_CODE == 102)); then RUN_REBOOT=true; fi
}

refuse_missing_packages() { # NAME...
    if [[ $SYSTEM_ID == sles* && $SYSTEM_VERSION == 15* ]]; then
        fail sles-module-missing 'the repositories on this host lack some of these packages: {packages}. On Service '\
'Pack 4 or newer, the Python 3 Module provides python311: run SUSEConnect -p '\
'sle-module-python3/{version}/{architecture}, then run nbserver apply again' \
            packages "$*" version "$SYSTEM_VERSION" architecture "$HOSTTYPE"
    fi
    fail packages-missing 'the repositories on this host lack some of these packages: {packages}. Add a repository '\
'that provides them (zypper repos lists the current repositories), then run nbserver apply again' \
        packages "$*"
}

# REPLY: the packages that would be removed, these and others.
read_removed_by_zypper() { # NAME...
    local -i code=0
    read_plan_of_zypper to-remove < <(
        ZYPP_LOCK_TIMEOUT=300 zypper --non-interactive --xmlout --no-refresh \
            remove --dry-run --no-clean-deps -- "$@" 2>/dev/null
    )
    wait "$!" || code=$?
    ((code == 0 || code == 106)) ||
        problem zypper-plan-failed 'zypper could not simulate the removal of {packages}. Run zypper remove --dry-run '\
'{packages}, fix the error that it shows, then try again' packages "$*"
}

# zypper has no command that marks a package as one that only other packages need.
keep_with_zypper() {
    :
}

# zypper has no configuration files that stay.
remove_with_zypper() { # BEFORE NAME...
    shift
    run_zypper -- remove --no-clean-deps -- "$@"
}
