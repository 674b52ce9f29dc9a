# ---- step: packages --------------------------------------------------------------------------------
# Install the packages of the lock in a virtual environment.

# They are NumPy, Matplotlib, Tornado, pyzmq, IPython, ipykernel, and notebook with all their dependencies, in a virtual
# environment (prelude/environment). Its folder is named after the lock, so another lock gets another environment next
# to the one in use.

step packages 'The notebook server packages are installed'

packages_test() {
    compare_environment
}

packages_apply() {
    keep_environment
    if [[ $ENVIRONMENT_KEPT ]]; then return 0; fi
    read_package_environment
    start_environment
    read_own_package_environment
    fill_environment
}
