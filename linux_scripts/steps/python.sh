# ---- step: python --------------------------------------------------------------------------------------
# The distribution's own Python, 3.10 or newer, with venv:
#   Debian, Ubuntu                  python3, python3-venv (Debian 12: 3.11; Ubuntu 22.04: 3.10)
#   openSUSE Leap 15, SLES 15       python311: python3 is 3.6 there
#   Leap 16, SLES 16, Tumbleweed    python313
# With python.version = "3.12" in the inventory: python3.12 and python3.12-venv, or python312.
# In user scope: one that is there, because only root installs packages. The distribution's first, which gets its
# repairs; else the one that runs nbserver, which is in the settings.

PYTHON=''                                          # the program
PYTHON_PACKAGES=()                                 # that have it; the first one has its version

step python 'Python is there, with venv'

python_test() {
    local name version
    if [[ $NB_SCOPE == user ]]; then choose_own_python; return; fi
    choose_python
    read_packages "${PYTHON_PACKAGES[@]}"
    for name in "${PYTHON_PACKAGES[@]}"; do
        if [[ ! ${PACKAGES[$name]} ]]; then difference "package $name" '' installed; fi
    done
    version=${PACKAGES[${PYTHON_PACKAGES[0]}]%%[!0-9.]*}
    if [[ ! $version ]]; then return; fi           # not installed yet: looked at again behind the installation
    if [[ $version == [0-2].* || $version == 3.[0-9] || $version == 3.[0-9].* ]]; then
        fail "${PYTHON_PACKAGES[0]} of $SYSTEM_NAME is $version, and 3.10 is needed. Choose a newer python.version that this distribution has"
    fi
    if [[ $NB_PYTHON_VERSION && "$version." != "$NB_PYTHON_VERSION."* ]]; then
        fail "${PYTHON_PACKAGES[0]} is $version, and the inventory says python.version = \"$NB_PYTHON_VERSION\". Correct the inventory"
    fi
}

python_apply() {
    install_packages "${PYTHON_PACKAGES[@]}"
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

PYTHON_IS_GOOD='
import ensurepip, sys, venv
sys.exit(sys.version_info < (3, 10) or sys.argv[1] not in ("", "%d.%d" % sys.version_info[:2]))
'

choose_own_python() {
    local name wanted=''
    local -a candidates=() names=(python3 python3.14 python3.13 python3.12 python3.11 python3.10)
    if [[ $NB_PYTHON_VERSION =~ ^3\.[0-9]+ ]]; then wanted=${BASH_REMATCH[0]} names=("python${BASH_REMATCH[0]}"); fi
    for name in "${names[@]}"; do candidates+=("/usr/bin/$name" "/usr/local/bin/$name" "$HOME_FOLDER/.local/bin/$name"); done
    for PYTHON in "${candidates[@]}" "$NB_PYTHON_PROGRAM"; do
        if [[ -f $PYTHON && -x $PYTHON ]] && "$PYTHON" -I -c "$PYTHON_IS_GOOD" "$wanted" 2>/dev/null; then return; fi
    done
    fail "there is no ${names[0]} from 3.10 on with its modules venv and ensurepip in /usr/bin, /usr/local/bin or ~/.local/bin, and ${NB_PYTHON_PROGRAM:-the Python that runs nbserver} is none either. Run nbserver by one that is (of pyenv, conda or uv, without root), or have one installed: sudo apt install python3-venv (Debian, Ubuntu), sudo zypper install python313 (openSUSE, SLES)"
}
