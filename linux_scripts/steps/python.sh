# ---- step: python ----------------------------------------------------------------------------------
# Install Python from the distribution, or, in user scope, use one that is installed.

# It must be 3.10 or newer, with venv:
#   Debian, Ubuntu                  python3, python3-venv (Debian 12: 3.11; Ubuntu 22.04: 3.10)
#   openSUSE Leap 15, SLES 15       python311, because their python3 is 3.6
#   Leap 16, SLES 16, Tumbleweed    python313
# With python.version = "3.12" in the inventory: python3.12 and python3.12-venv, or python312.
# In user scope, only root could install packages. The distribution's Python is preferred, because it gets security
# updates; otherwise the one that runs nbserver is used, whose path is in the settings.

PYTHON=''                                          # the path of the program
PYTHON_PACKAGES=()                                 # its packages; the first one has the version of Python
PYTHON_IS_GOOD='
import ensurepip, sys, venv
sys.exit(sys.version_info < (3, 10) or sys.argv[1] not in ("", "%d.%d" % sys.version_info[:2]))
'

step python 'Python is installed, with venv'

python_test() {
    local name
    if [[ $NB_SCOPE == user ]]; then
        choose_own_python
        return
    fi
    choose_python
    read_packages "${PYTHON_PACKAGES[@]}"
    for name in "${PYTHON_PACKAGES[@]}"; do
        if [[ ! ${PACKAGES[$name]} ]]; then differs package-missing 'package {name}' '' installed name "$name"; fi
    done
    assert_python_version
}

python_apply() {
    install_packages "${PYTHON_PACKAGES[@]}"
}

# If Python is not installed yet, this is checked after the installation.
assert_python_version() {
    local package=${PYTHON_PACKAGES[0]} version
    version=${PACKAGES[$package]%%[!0-9.]*}
    if [[ ! $version ]]; then return; fi
    if [[ $version == [0-2].* || $version == 3.[0-9] || $version == 3.[0-9].* ]]; then
        fail python-too-old '{package} of {system} has version {version}, but Python 3.10 or newer is needed. '\
'Set python.version in the inventory to a newer one that this distribution has' \
            package "$package" system "$SYSTEM_NAME" version "$version"
    fi
    if [[ $NB_PYTHON_VERSION && "$version." != "$NB_PYTHON_VERSION."* ]]; then
        fail python-version-differs '{package} has version {version}, but the inventory has python.version = '\
'"{expected}". Correct python.version in the inventory' \
            package "$package" version "$version" expected "$NB_PYTHON_VERSION"
    fi
}

choose_python() {
    local minor=''
    if [[ $NB_PYTHON_VERSION =~ ^3\.([0-9]+) ]]; then minor=${BASH_REMATCH[1]}; fi
    case $PACKAGE_MANAGER in
        apt)
            PYTHON=/usr/bin/python3${minor:+.$minor}
            PYTHON_PACKAGES=("${PYTHON##*/}" "${PYTHON##*/}-venv")
            ;;
        zypper)
            if [[ ! $minor && $SYSTEM_VERSION == 15* ]]; then minor=11; fi
            minor=${minor:-13}
            PYTHON=/usr/bin/python3.$minor
            PYTHON_PACKAGES=("python3$minor")
            ;;
    esac
}

choose_own_python() {
    local name wanted=''
    local -a candidates=() names=(python3 python3.14 python3.13 python3.12 python3.11 python3.10)
    if [[ $NB_PYTHON_VERSION =~ ^3\.[0-9]+ ]]; then
        wanted=${BASH_REMATCH[0]}
        names=("python$wanted")
    fi
    for name in "${names[@]}"; do
        candidates+=("/usr/bin/$name" "/usr/local/bin/$name" "$HOME_FOLDER/.local/bin/$name")
    done
    for PYTHON in "${candidates[@]}" "$NB_PYTHON_PROGRAM"; do
        if [[ ! -f $PYTHON || ! -x $PYTHON ]]; then continue; fi
        if "$PYTHON" -I -c "$PYTHON_IS_GOOD" "$wanted" 2>/dev/null; then return; fi
    done
    refuse_own_python "${names[0]}"
}

refuse_own_python() { # NAME
    if [[ $NB_PYTHON_PROGRAM ]]; then
        fail no-suitable-python-here 'no {name} (3.10 or newer, with the modules venv and ensurepip) is in /usr/bin, '\
'/usr/local/bin, or ~/.local/bin, and {own}, which runs nbserver, is not suitable either. Run nbserver with a '\
'suitable Python (pyenv, conda, and uv install one without root), or install one: sudo apt install python3-venv '\
'(Debian, Ubuntu), sudo zypper install python313 (openSUSE, SLES)' \
            name "$1" own "$NB_PYTHON_PROGRAM"
    fi
    fail no-suitable-python 'no {name} (3.10 or newer, with the modules venv and ensurepip) is in /usr/bin, '\
'/usr/local/bin, or ~/.local/bin. Run nbserver with a suitable Python (pyenv, conda, and uv install one without '\
'root), or install one: sudo apt install python3-venv (Debian, Ubuntu), sudo zypper install python313 (openSUSE, '\
'SLES)' \
        name "$1"
}
