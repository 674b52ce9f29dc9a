# ---- step: packages --------------------------------------------------------------------------------
# Install the packages of the lock, or with packages.source those of the distribution.

# They are NumPy, Matplotlib, Tornado, pyzmq, IPython, ipykernel, and notebook with all their dependencies.
# The packages of the lock are installed from wheels in a virtual environment (prelude/environment). Its folder is named
# after the lock, so another lock gets another environment next to the one in use.
# With packages.source = "distribution", they are packages of the distribution, in its versions.

NOTEBOOK_PACKAGES=()                               # of the distribution; empty if wheels are used

step packages 'The notebook server packages are installed'

packages_test() {
    choose_packages
    if ((${#NOTEBOOK_PACKAGES[@]} == 0)); then
        compare_environment
        return "$?"
    fi
    warn_of_repair
    compare_system_packages "${NOTEBOOK_PACKAGES[@]}"
}

packages_apply() {
    if ((${#NOTEBOOK_PACKAGES[@]})); then
        install_packages "${NOTEBOOK_PACKAGES[@]}"
    else
        install_environment
    fi
}

choose_packages() {
    if [[ $NB_PACKAGES_SOURCE != distribution ]]; then return 0; fi
    if [[ $NB_PYTHON_VERSION ]]; then
        fail python-version-of-distribution 'packages.source = "distribution" cannot be combined with python.version, '\
'because distribution packages require the default Python version. Remove python.version from the inventory'
    fi
    NOTEBOOK_PYTHON=$PYTHON                        # of the step python
    case "$PACKAGE_MANAGER $SYSTEM_ID" in
        apt\ *)
            NOTEBOOK_PACKAGES=(jupyter-notebook python3-ipykernel python3-matplotlib python3-numpy)
            ;;
        *\ opensuse-tumbleweed)
            NOTEBOOK_PACKAGES=(python313-notebook python313-ipykernel python313-matplotlib python313-numpy)
            ;;
        *)
            fail no-distribution-packages '{system} does not provide the notebook server packages. Set '\
'packages.source = "wheels" in the inventory' \
                system "$SYSTEM_NAME"
            ;;
    esac
}

# Once per run.
warn_of_repair() {
    if [[ $RUN_REPAIR || $RUN_THOROUGH ]]; then
        warn distribution-not-checked 'nbserver did not check the files of distribution packages. To check and repair '\
'{packages}, run dpkg --verify and apt-get install --reinstall (Debian, Ubuntu), or rpm --verify and zypper install '\
'--force (openSUSE, SLES)' \
            packages "${NOTEBOOK_PACKAGES[*]}"
        RUN_REPAIR='' RUN_THOROUGH=''
    fi
}

install_environment() {
    keep_environment
    if [[ $ENVIRONMENT_KEPT ]]; then return 0; fi
    read_package_environment
    start_environment
    fill_environment
}
