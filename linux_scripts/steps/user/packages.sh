# ---- step: packages --------------------------------------------------------------------------------
# Install the packages of the notebook server: a virtual environment as the lock says.

# They are NumPy, Matplotlib, Tornado, pyzmq, IPython, ipykernel, and notebook with all their dependencies, in a virtual
# environment (prelude/environment), whose folder is named after the lock: another lock gets another environment, next
# to the one in use.

step packages 'The notebook server packages are installed'

packages_test() {
    compare_environment
}

packages_apply() {
    keep_environment
    if [[ $ENVIRONMENT_KEPT ]]; then return; fi
    read_package_environment
    start_environment
    read_own_package_environment
    fill_environment
}
