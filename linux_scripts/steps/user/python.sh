# ---- step: python ----------------------------------------------------------------------------------
# Find a Python that is installed.

# It must be 3.10 or newer, with venv. Only root could install packages of the distribution. The distribution's Python
# is preferred, because it gets security updates; otherwise the one that runs nbserver is used, whose path is in the
# settings.

PYTHON=''                                          # the path of the program
PYTHON_IS_GOOD='
import ensurepip, sys, venv
sys.exit(sys.version_info < (3, 10) or sys.argv[1] not in ("", "%d.%d" % sys.version_info[:2]))
'

step python 'Python with venv is installed'

python_test() {
    choose_own_python
}

python_apply() {
    fail nothing-to-apply 'internal error (a bug in nbserver): the step {step} has nothing to change. Report this '\
'bug, and include this message' step python
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
        if "$PYTHON" -I -c "$PYTHON_IS_GOOD" "$wanted" 2>/dev/null; then return 0; fi
    done
    refuse_own_python "${names[0]}"
}

refuse_own_python() { # NAME
    if [[ $NB_PYTHON_PROGRAM ]]; then
        fail no-suitable-python-here 'neither {own}, which runs nbserver, nor any {name} in /usr/bin, '\
'/usr/local/bin, or ~/.local/bin is Python 3.10 or newer with venv and ensurepip. Run sudo apt install python3-venv '\
'(Debian, Ubuntu) or sudo zypper install python313 (openSUSE, SLES), or run nbserver with a suitable Python from uv '\
'or conda' \
            name "$1" own "$NB_PYTHON_PROGRAM"
    fi
    fail no-suitable-python 'no {name} in /usr/bin, /usr/local/bin, or ~/.local/bin is Python 3.10 or newer with the '\
'venv and ensurepip modules. Run sudo apt install python3-venv (Debian, Ubuntu) or sudo zypper install python313 '\
'(openSUSE, SLES), then try again' \
        name "$1"
}
