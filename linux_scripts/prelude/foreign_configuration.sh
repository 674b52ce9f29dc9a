# ---- prelude: foreign_configuration ----------------------------------------------------------------
# Warn about configuration from other installations, which the server does not use.

# It is configuration of Jupyter and IPython, kernels outside the environment, and, in machine scope, configuration of
# pip and uv. The starter and the step packages make sure that none of it is used.

FOREIGN_PATHS=()
FOREIGN_IS_REPORTED=''

# One warning per run.
warn_of_foreign_configuration() {
    local path names
    local -a found=()
    if [[ $FOREIGN_IS_REPORTED ]]; then return 0; fi
    FOREIGN_IS_REPORTED=1
    read_foreign_paths
    met no-foreign-configuration 'no configuration from other installations was found'
    for path in "${FOREIGN_PATHS[@]}"; do
        if [[ -e $path && $path != */kernels/python3 ]]; then found+=("$path"); fi
    done
    if ((${#found[@]} == 0)); then return 0; fi
    printf -v names ', %s' "${found[@]:0:10}"
    names=${names#, }
    if ((${#found[@]} <= 10)); then
        warn foreign-configuration 'nbserver ignores configuration that it did not install: {names}' \
            names "$names"
    else
        warn much-foreign-configuration \
            'nbserver ignores configuration that it did not install: {names}, and {more} more' \
            names "$names" more $((${#found[@]} - 10))
    fi
}

# FOREIGN_PATHS: where such configuration can be. A pattern that matches nothing stays in the list as it is.
read_foreign_paths() {
    FOREIGN_PATHS=({/usr/local/etc,/etc}/jupyter/jupyter*_config.{py,json}
        {/usr/local/etc,/etc}/ipython/{*_config.{py,json},startup/*.{py,ipy}} /usr/local/share/jupyter/kernels/*)
    # The distribution's packages have files in these folders.
    if [[ $NB_PACKAGES_SOURCE != distribution ]]; then
        FOREIGN_PATHS+=({/usr/local/etc,/etc}/jupyter/jupyter*_config.d/*.json /usr/share/jupyter/kernels/*)
    fi
    read_foreign_paths_of_scope
}
