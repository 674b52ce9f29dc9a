# ---- step: python ----------------------------------------------------------------------------------
# Install Python from the distribution.

# It must be 3.10 or newer, with venv:
#   Debian, Ubuntu                  python3, python3-venv (Debian 12: 3.11; Ubuntu 22.04: 3.10)
#   openSUSE Leap 15, SLES 15       python311, because their python3 is 3.6
#   Leap 16, SLES 16, Tumbleweed    python313
# With python.version = "3.12" in the inventory: python3.12 and python3.12-venv, or python312.

PYTHON=''                                          # the path of the program
PYTHON_PACKAGES=()                                 # its packages; the first one has the version of Python

step python 'Python with venv is installed'

python_test() {
    choose_python
    compare_system_packages "${PYTHON_PACKAGES[@]}"
    assert_python_version
}

python_apply() {
    install_packages "${PYTHON_PACKAGES[@]}"
}

# If Python is not installed yet, this is checked after the installation.
assert_python_version() {
    local package=${PYTHON_PACKAGES[0]} version
    version=${PACKAGES[$package]%%[!0-9.]*}
    if [[ ! $version ]]; then return 0; fi
    if [[ $version == [0-2].* || $version == 3.[0-9] || $version == 3.[0-9].* ]]; then
        fail python-too-old '{system} provides version {version} of {package}, but Python 3.10 or newer is required. '\
'Set python.version in the inventory to a newer version that this distribution provides' \
            package "$package" system "$SYSTEM_NAME" version "$version"
    fi
    if [[ $NB_PYTHON_VERSION && "$version." != "$NB_PYTHON_VERSION."* ]]; then
        fail python-version-differs '{package} has version {version}, but python.version in the inventory is '\
'"{expected}". Set python.version to a version that this distribution provides' \
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
