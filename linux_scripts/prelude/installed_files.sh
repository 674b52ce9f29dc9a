# ---- prelude: installed_files ----------------------------------------------------------------------
# Compare the files of the environment with those that were installed.

# Two lists are in the state folder, where only root can write: NAME.files has the access, size, and time of each file,
# NAME.sha256 its hash. They are written right after an installation. Each test compares the first list. Only a thorough
# test compares the second one, because that reads all files. Programs of the system do both: an altered Python could
# hide its own changes.

FILE_LISTS=$STATE_FOLDER/installed
CHANGED_FILES=() MISSING_FILES=() ADDED_FILES=()   # of compare_list
ADDED_REPORTED=''                                  # the warning was written in this run

# A line per file or folder: what must stay as it is, two spaces, the path. A folder gets another time with each change
# in it, so only its access counts. Times are in whole seconds, because not every backup keeps fractions. In a pipe, the
# program replaces the subshell of the caller.
print_files() {
    exec find "$ENVIRONMENT" \( -type f -printf '%m %U:%G %s %Ts  %p\n' \) -o \( -type l -printf '%U:%G %l  %p\n' \) \
        -o -printf '%y %m %U:%G  %p\n'
}

print_hashes() {
    exec find "$ENVIRONMENT" -type f -exec sha256sum -- {} +
}

# The hashes that the packages themselves have in their files RECORD, as print_hashes prints them. RECORD has lines
# PATH,sha256=HASH,SIZE, whose hash is in the alphabet of URLs and without padding (PEP 376, PEP 427).
print_recorded_hashes() {
    local folder hash=',sha256=([A-Za-z0-9_-]{43}),[0-9]*\r?$'
    local -a records=("$ENVIRONMENT"/lib/python3.*/site-packages/*.dist-info/RECORD)
    if [[ ! -e ${records[0]} ]]; then return 0; fi
    folder=${records[0]%/*/*}
    paste -d ' ' <(print_recorded_digests) <(print_recorded_paths) | sort
}

print_recorded_digests() {
    sed -nE "s/^.*$hash/\\1=/p" "${records[@]}" | tr -- -_ +/ | base64 --decode | od -An -v -tx1 -w32 | tr -d ' '
}

# A path with a comma is in quotation marks. One outside of the folder with the packages begins with ../../../
print_recorded_paths() {
    sed -nE "/$hash/!d; s/$hash//; s/^\"(.*)\"\$/\\1/; s|^|$folder/|; s|/lib/[^/]*/[^/]*/(\\.\\./){3}|/|; s/^/ /p" \
        "${records[@]}"
}

list_files() {
    local list=$FILE_LISTS/${ENVIRONMENT##*/}
    report_start listing-files 'Listing the installed files'
    mkdir -p -- "$FILE_LISTS"
    print_hashes | sort >"$list.sha256"
    print_files | sort >"$list.files.new"
    mv -T -- "$list.files.new" "$list.files"
}

# Without lists, an environment is not compared. Undo calls this, too.
forget_files() { # ENVIRONMENT
    rm -f -- "$FILE_LISTS/${1##*/}".{files,files.new,sha256} || return "$?"
    if [[ -d $FILE_LISTS ]]; then rmdir --ignore-fail-on-non-empty -- "$FILE_LISTS" || return "$?"; fi
}

has_lists() {
    [[ -s $FILE_LISTS/${ENVIRONMENT##*/}.files ]]
}

# CHANGED_FILES, MISSING_FILES, and ADDED_FILES: where the lines of a list differ from those that a function prints now.
compare_list() { # LIST FUNCTION
    local line path
    local -a lines=() before=()
    local -A now=() listed=()
    CHANGED_FILES=() MISSING_FILES=() ADDED_FILES=()
    mapfile -t lines < <("$2" | sort | comm -3 -- "$1" - && printf 'complete\n')
    assert_complete "$1" "${lines[@]: -1}"
    for line in "${lines[@]::${#lines[@]}-1}"; do
        path=${line#*  }
        if [[ $line == $'\t'* ]]; then now[$path]=1; else before+=("$path"); fi   # a tab begins the lines of now
    done
    for path in "${before[@]}"; do
        listed[$path]=1
        if [[ -e $path || -L $path ]]; then CHANGED_FILES+=("$path"); else MISSING_FILES+=("$path"); fi
    done
    for path in "${!now[@]}"; do
        if [[ ! ${listed[$path]:-} ]]; then ADDED_FILES+=("$path"); fi
    done
}

compare_installed_files() {
    local list=$FILE_LISTS/${ENVIRONMENT##*/}
    if ! has_lists; then
        differs files-not-listed 'list of the installed files in {path}' '' 'a complete list' path "$ENVIRONMENT"
        if [[ $RUN_THOROUGH ]]; then compare_recorded_hashes; fi
        return "$?"
    fi
    compare_list "$list.files" print_files
    report_changed_files
    report_added_files
    if [[ $RUN_THOROUGH ]]; then
        report_start reading-files 'Comparing the hashes of the installed files'
        compare_list "$list.sha256" print_hashes
        report_other_content
    fi
}

# For an environment without lists, which an earlier release has installed.
compare_recorded_hashes() {
    local -a lines=()
    report_start reading-files 'Comparing the hashes of the installed files'
    mapfile -t lines < <(comm -23 -- <(print_recorded_hashes) <(print_hashes | sort) && printf 'complete\n')
    assert_complete RECORD "${lines[@]: -1}"
    CHANGED_FILES=("${lines[@]::${#lines[@]}-1}")
    CHANGED_FILES=("${CHANGED_FILES[@]#*  }")
    report_other_content
}

# A comparison that failed would find no difference.
assert_complete() { # LIST [LAST-LINE]
    if [[ ${2:-} != complete ]]; then
        fail files-not-compared 'could not compare the installed files with {list}: the comparison stopped early. '\
'Make sure that this host has free memory and disk space, then try again' list "$1"
    fi
}

report_changed_files() {
    if ((${#CHANGED_FILES[@]})); then
        differs files-changed 'installed files ({count}), such as {path}' 'changed' 'as installed' \
            count "${#CHANGED_FILES[@]}" path "${CHANGED_FILES[0]}"
    fi
    if ((${#MISSING_FILES[@]})); then
        differs files-missing 'installed files ({count}), such as {path}' '' 'as installed' \
            count "${#MISSING_FILES[@]}" path "${MISSING_FILES[0]}"
    fi
}

report_other_content() {
    if ((${#CHANGED_FILES[@]})); then
        differs files-other-content 'content of installed files ({count}), such as {path}' 'changed' 'as installed' \
            count "${#CHANGED_FILES[@]}" path "${CHANGED_FILES[0]}"
    fi
}

# Only a warning: kernels and extensions of the site may have been installed into the environment. In user scope, so may
# anything that a notebook has installed.
report_added_files() {
    if ((${#ADDED_FILES[@]} == 0)) || [[ $ADDED_REPORTED ]] || can_notebooks_install; then return 0; fi
    ADDED_REPORTED=1
    warn files-added '{folder} contains files that nbserver did not install ({count}), such as {path}. Check where '\
'they came from. To remove them, run nbserver apply --repair' \
        folder "$ENVIRONMENT" count "${#ADDED_FILES[@]}" path "${ADDED_FILES[0]}"
}
