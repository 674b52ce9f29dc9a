# ---- prelude: zypper. Its exit codes: 102 a reboot is needed, 103 it was itself updated and wants to run again,
# ---- 104 no repository has the package, 106 a repository was skipped, 107 a package's script failed, the package
# ---- is installed. Source: man zypper.

run_zypper() { # [OPTION of run_program...] -- ARGUMENT...
    local -i try
    local -a options=(--accept '0 102 103 106 107')
    while [[ $1 != -- ]]; do options+=("$1"); shift; done
    shift
    read_proxy
    for try in 1 2; do
        run_program --to-its-end "${options[@]}" --todo 'What its exit codes mean is in: man zypper' \
            "${PROXY[@]}" ZYPP_LOCK_TIMEOUT=300 zypper --non-interactive "$@" || return
        case $EXIT_CODE in
            102) RUN_REBOOT=true ;;
            103) continue ;;
            106) write_event warning text 'zypper skipped a repository that could not be refreshed' ;;
            107) write_event warning text 'the script of a package failed; the package itself is installed' ;;
        esac
        return 0
    done
}

# 4: some or all repositories could not be refreshed; 6: there is none. The installation tells whether that matters.
refresh_with_zypper() {
    run_zypper --accept '0 4 6 106' -- refresh
    if ((EXIT_CODE == 4 || EXIT_CODE == 6)); then write_event warning text "zypper refresh ended with code $EXIT_CODE; going on with the lists of packages that are there"; fi
}

# The plan as XML, one <solvable> a line; those to be installed stand between <to-install> and </to-install>.
read_new_packages_zypper() { # NAME...
    read_plan_of_zypper to-install < <(ZYPP_LOCK_TIMEOUT=300 zypper --non-interactive --xmlout --no-refresh install --dry-run --no-recommends -- "$@" 2>/dev/null)
}

read_plan_of_zypper() { # to-install|to-remove, and the XML on standard input
    local line plan='' inside=''
    while IFS= read -r line; do
        case $line in
            *"<$1>"*) inside=1 ;;
            *"</$1>"*) inside='' ;;
        esac
        if [[ $inside && $line =~ \<solvable\ type=\"package\"\ name=\"([^\"]+)\" ]]; then plan+=" ${BASH_REMATCH[1]}"; fi
    done
    REPLY=$plan
}

install_with_zypper() { # NAME...
    local todo='Add a repository that has it (zypper repos lists those that are there)'
    run_zypper --accept '0 102 103 104 106 107' -- install --no-recommends --no-confirm -- "$@"
    if ((EXIT_CODE == 104)); then
        if [[ $SYSTEM_ID == sles* && $SYSTEM_VERSION == 15* ]]; then todo="python311 is in the Python 3 Module, from Service Pack 4 on: SUSEConnect -p sle-module-python3/$SYSTEM_VERSION/$HOSTTYPE"; fi
        fail "no repository of this host has $*, or not all of them. $todo, then run this again"
    fi
    # 102: a package that is now installed wants a reboot; 2: this zypper is too old to be asked.
    run_program --accept '0 2 102' env ZYPP_LOCK_TIMEOUT=300 zypper --non-interactive needs-rebooting
    if ((EXIT_CODE == 102)); then RUN_REBOOT=true; fi
}

read_removed_by_zypper() { # NAME...
    local -i code=0
    read_plan_of_zypper to-remove < <(ZYPP_LOCK_TIMEOUT=300 zypper --non-interactive --xmlout --no-refresh remove --dry-run --no-clean-deps -- "$@" 2>/dev/null)
    wait "$!" || code=$?
    ((code == 0 || code == 106)) || problem 'zypper could not tell what would go along with these packages'
}

# zypper has no command that marks a package as one that only others need.
keep_with_zypper() {
    :
}

remove_with_zypper() { # '' NAME...
    shift
    run_zypper -- remove --no-clean-deps -- "$@"
}
