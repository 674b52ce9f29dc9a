# ---- prelude: packages -----------------------------------------------------------------------------
# Install and remove packages of the distribution, with apt or zypper.

# apt is for Debian and Ubuntu, zypper for openSUSE and SLES. A function NAME_with_apt has a counterpart for zypper.

SYSTEM_ID='' SYSTEM_LIKE='' SYSTEM_VERSION='' SYSTEM_NAME=''   # of os-release
PACKAGE_MANAGER=''                                 # apt, zypper, or '' if this script supports neither
PACKAGES_ARE_FRESH=''                              # the lists of packages were refreshed in this run
UNFINISHED_IS_REPORTED=''                          # of warn_of_unfinished_packages
INSTALLED=()                                       # of keep_installed
UPGRADED=()                                        # of read_new_packages: NAME (OLD-VERSION to NEW-VERSION)
declare -A PACKAGES=()                             # name -> installed version, or ''
declare -A PACKAGE_TRACES=()                       # name -> 1 if any part of it is installed

# os-release(5): a file in /etc comes first, and need not exist.
read_system() {
    local name value file=/etc/os-release
    if [[ ! -r $file ]]; then file=/usr/lib/os-release; fi
    if [[ ! -r $file ]]; then return 0; fi
    while IFS='=' read -r name value || [[ $name ]]; do
        value=${value%$'\r'}
        value=${value#[\"\']}
        value=${value%[\"\']}
        case $name in
            ID) SYSTEM_ID=$value ;;
            ID_LIKE) SYSTEM_LIKE=$value ;;
            VERSION_ID) SYSTEM_VERSION=$value ;;
            PRETTY_NAME) SYSTEM_NAME=$value ;;
        esac
    done <"$file"
    case " $SYSTEM_ID $SYSTEM_LIKE " in
        *' debian '* | *' ubuntu '*) PACKAGE_MANAGER=apt ;;
        *' suse '* | *' opensuse '* | *' sles '*) PACKAGE_MANAGER=zypper ;;
    esac
}

# PACKAGES and PACKAGE_TRACES: what is installed of these packages.
# A state has up to three letters (dpkg-query(1)): the wanted state, the actual state, and an error. "ii" is installed,
# and so is "hi", a package on hold; "un" and "pn" are not installed; "rc" was removed, except for its configuration
# files. A message about an unknown name begins with a longer word, and makes the exit code 1.
read_packages() { # NAME...
    local state name version
    for name in "$@"; do
        PACKAGES[$name]='' PACKAGE_TRACES[$name]=''
    done
    while read -r state name version; do
        if [[ $state == ?i ]]; then PACKAGES[$name]=$version; fi
        if [[ ${#state} -le 3 && $state != ?n ]]; then PACKAGE_TRACES[$name]=1; fi
    done < <("query_with_$PACKAGE_MANAGER" "$@" 2>/dev/null)
}

compare_system_packages() { # NAME...
    local name
    read_packages "$@"
    for name in "$@"; do
        if [[ ${PACKAGES[$name]} ]]; then continue; fi
        warn_of_unfinished_packages
        differs package-missing 'package {name}' '' 'installed' name "$name"
    done
}

# Once per run, before packages are installed or removed.
warn_of_unfinished_packages() {
    if [[ $UNFINISHED_IS_REPORTED ]]; then return 0; fi
    UNFINISHED_IS_REPORTED=1
    "read_unfinished_by_$PACKAGE_MANAGER"
    if [[ $REPLY ]]; then
        warn packages-unfinished 'these packages from an earlier installation are unpacked, but not configured: '\
'{packages}. The package manager configures them the next time it installs or removes a package, and undo does not '\
'reverse this. To configure them first, run dpkg --configure -a' packages "${REPLY# }"
    fi
}

# Kind packages: everything that one installation adds, with dependencies. Undo removes these packages and no others.
# `before` names those of them whose configuration files were already there.
install_packages() { # NAME...
    local name
    local -a missing=() new=()
    read_packages "$@"
    for name in "$@"; do
        if [[ ! ${PACKAGES[$name]} ]]; then missing+=("$name"); fi
    done
    if ((${#missing[@]} == 0)); then return 0; fi
    warn_of_unfinished_packages
    refresh_packages
    "read_new_packages_$PACKAGE_MANAGER" "${missing[@]}"
    assert_plan_is_known "$REPLY" "${missing[@]}"
    warn_of_upgrades "$REPLY"
    if [[ $REPLY ]]; then
        for name in $REPLY; do new+=("$name"); done
        keep_installed "${new[@]}"
        save_before packages "$PACKAGE_MANAGER ${new[*]}" "${INSTALLED[*]}"
    fi
    report_start installing-packages 'Installing {packages}' packages "${missing[*]}"
    "install_with_$PACKAGE_MANAGER" "${missing[@]}"
}

# A new package may need a newer version of another one. REPLY: PLAN.
warn_of_upgrades() { # PLAN
    local all
    if ((${#UPGRADED[@]})); then
        printf -v all '%s, ' "${UPGRADED[@]}"
        warn packages-upgraded \
            'the installation also upgrades these packages, which undo does not reverse: {packages}' \
            packages "${all%, }"
    fi
    REPLY=$1
}

# What is not recorded, undo would leave. Only packages of which a part is installed can be missing from a plan.
assert_plan_is_known() { # PLAN NAME...
    local name
    if [[ $1 ]]; then return 0; fi
    for name in "${@:2}"; do
        if [[ ! ${PACKAGE_TRACES[$name]} ]]; then
            fail package-plan-empty '{program} does not report what it would install for {packages}, so undo could '\
'not remove these packages. Install {packages} yourself, then try again' \
                program "$PACKAGE_MANAGER" packages "${*:2}"
        fi
    done
}

# A package that another one needs by now stays, and so do its dependencies.
restore_packages() { # KEY BEFORE
    local name others
    local -a names removed=() kept=()
    PACKAGE_MANAGER=${1%% *}
    split_words "${1#* }"
    names=("${SPLIT[@]}")
    keep_installed "${names[@]}"
    if ((${#INSTALLED[@]} == 0)); then
        read_packages bash                         # it runs this script; a database that is damaged has nothing
        if [[ ${PACKAGES[bash]} ]]; then return 0; fi
        problem packages-unreadable 'could not read the list of installed packages. Repair the package database of '\
'this host, then run nbserver undo again' || return "$?"
    fi
    names=("${INSTALLED[@]}")
    read_others "${names[@]}" || return "$?"
    others=$REPLY
    if [[ ! $others ]]; then
        remove_packages "$2" "${names[@]}"
        return "$?"
    fi
    for name in "${names[@]}"; do
        read_others "$name" || return "$?"
        if [[ $REPLY ]]; then kept+=("$name"); else removed+=("$name"); fi
    done
    if ((${#removed[@]})); then read_others "${removed[@]}" || return "$?"; fi
    if [[ $REPLY ]]; then kept=("${names[@]}") removed=(); fi   # each of them could be removed, but not all
    "keep_with_$PACKAGE_MANAGER" "${kept[@]}" || return "$?"
    warn packages-stay 'undo kept the packages {packages}, because other packages that were installed later require '\
'some of them: {others}' \
        packages "${kept[*]}" others "${others# }"
    if ((${#removed[@]})); then remove_packages "$2" "${removed[@]}"; fi
}

# BEFORE: the packages whose configuration files stay.
remove_packages() { # BEFORE NAME...
    warn_of_unfinished_packages
    report_start removing-packages 'Removing {packages}' packages "${*:2}"
    "remove_with_$PACKAGE_MANAGER" "$@"
}

# REPLY: the packages that would be removed with these, except those of the same installation (INSTALLED).
read_others() { # NAME...
    local name others=''
    "read_removed_by_$PACKAGE_MANAGER" "$@" || return "$?"
    for name in $REPLY; do
        if [[ " ${INSTALLED[*]} " != *" $name "* ]]; then others+=" $name"; fi
    done
    REPLY=$others
}

# Once per run.
refresh_packages() {
    if [[ $PACKAGES_ARE_FRESH ]]; then return 0; fi
    report_start refreshing-packages 'Refreshing the package lists'
    "refresh_with_$PACKAGE_MANAGER"
    PACKAGES_ARE_FRESH=1
}

# INSTALLED: those of these packages of which any part is installed. Others may have been removed in the meantime.
keep_installed() { # NAME...
    local name
    INSTALLED=()
    read_packages "$@"
    for name in "$@"; do
        if [[ ${PACKAGE_TRACES[$name]} ]]; then INSTALLED+=("$name"); fi
    done
}
