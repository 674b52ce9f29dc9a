# ---- prelude: installed_packages -------------------------------------------------------------------
# Compare the packages in the environment with those that were installed from the lock.

# A package has a folder NAME-VERSION.dist-info. What a person has added, removed, or changed is named, because it is
# more than a damaged file: the server no longer runs what the lock says.

MOST_PACKAGES_NAMED=10
PACKAGE_VERSION=''                                 # of read_package

compare_packages() { # FOLDER...
    local folder key
    local -a found=()
    local -A present_versions=() locked_versions=()   # by name
    for folder in "$ENVIRONMENT"/lib/python3.*/site-packages/*.dist-info; do
        read_package "${folder##*/}"
        if [[ -d $folder ]]; then present_versions[$REPLY]=$PACKAGE_VERSION; fi
    done
    for folder; do
        read_package "$folder"
        locked_versions[$REPLY]=$PACKAGE_VERSION
    done
    for key in "${!locked_versions[@]}"; do
        if [[ ${present_versions[$key]:-} != "${locked_versions[$key]}" ]]; then found+=("$key"); fi
    done
    for key in "${!present_versions[@]}"; do
        if [[ ! ${locked_versions[$key]:-} ]] && ! can_notebooks_install; then
            found+=("$key")
            ADDED_REPORTED=1                       # its files are not reported as well
        fi
    done
    if ((${#found[@]})); then report_packages "${found[@]}"; fi
}

# REPLY: the name of the package, as an index spells it (PEP 503).
read_package() { # FOLDER
    local name=${1%.dist-info}
    PACKAGE_VERSION=${name##*-}
    REPLY=${name%-*}
    REPLY=${REPLY,,}
    REPLY=${REPLY//[-_.]/-}
}

# $present_versions and $locked_versions are those of compare_packages.
report_packages() { # NAME...
    local key
    local -a sorted=()
    mapfile -t sorted < <(printf '%s\n' "$@" | sort)
    for key in "${sorted[@]::MOST_PACKAGES_NAMED}"; do
        if [[ ! ${present_versions[$key]:-} ]]; then
            differs package 'package {name}' '' "${locked_versions[$key]}" name "$key"
        elif [[ ! ${locked_versions[$key]:-} ]]; then
            differs package-added 'package {name}, which is not in the lock' "${present_versions[$key]}" '' name "$key"
        else
            differs package-changed 'package {name}' "${present_versions[$key]}" "${locked_versions[$key]}" name "$key"
        fi
    done
    if ((${#sorted[@]} > MOST_PACKAGES_NAMED)); then
        differs packages-changed 'other packages ({count})' 'different from the lock' 'as in the lock' \
            count "$((${#sorted[@]} - MOST_PACKAGES_NAMED))"
    fi
}
