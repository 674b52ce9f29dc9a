# ---- prelude: notebook_removal ---------------------------------------------------------------------
# Remove the notebooks before an undo, if all of them are in an archive.

# The envelope has a hash of the paths and contents in the archive, which the workstation has read again. It is compared
# while the server still runs, and again when it has stopped. Nothing is removed if there is any other file, or anything
# that an archive cannot have, such as a link. Only Jupyter's own copies (.ipynb_checkpoints) need not be in it. As for
# copies, the program runs as the user of the server and follows no link.

REMOVE_WITH_PYTHON='
files, own, folders = [], [], []


def refuse(path):
    sys.exit("nbserver: %s" % json.dumps(path[:500].encode(errors="replace").decode()))


def has_valid_name(path):
    try:
        return len(path.encode()) <= 1000 and path.count("/") < 32
    except UnicodeEncodeError:
        return False


def state(about):
    return about.st_ino, about.st_size, about.st_mtime_ns


def walk(names, is_own):
    folder = open_folder(names)
    for name in os.listdir(folder):
        path = [*names, name]
        about = os.stat(name, dir_fd=folder, follow_symlinks=False)
        is_mine = is_own or name.startswith(PREFIX) or (name == ".ipynb_checkpoints" and stat.S_ISDIR(about.st_mode))
        if name.startswith(".") and not is_mine or not (stat.S_ISDIR(about.st_mode) or stat.S_ISREG(about.st_mode)):
            refuse("/".join(path))
        if stat.S_ISDIR(about.st_mode):
            folders.append(path)
            walk(path, is_mine)
        elif is_mine:
            own.append((path, state(about)))
        else:
            if not has_valid_name("/".join(path)):
                refuse("/".join(path))
            file = open_file(name, folder)
            opened = os.fstat(file)
            files.append((path, state(opened), opened.st_size, digest(file, opened.st_size)))
            os.close(file)
    os.close(folder)


walk([], False)
found = hashlib.sha256()
for path, size, sha256 in sorted((os.fsencode("/".join(one[0])), one[2], one[3]) for one in files):
    found.update(b"%s %d %s\0" % (sha256.encode(), size, path))
if found.hexdigest() != sys.argv[2]:
    sys.exit(5)
if sys.argv[3] == "remove":
    for path, known, *_ in files + own:
        folder = open_folder(path[:-1])
        if state(os.stat(path[-1], dir_fd=folder, follow_symlinks=False)) != known:
            sys.exit("nbserver changed: %s" % json.dumps("/".join(path)))
        os.unlink(path[-1], dir_fd=folder)
        os.close(folder)
    for path in sorted(folders, key=len, reverse=True):
        folder = open_folder(path[:-1])
        os.rmdir(path[-1], dir_fd=folder)
        os.close(folder)
'

compare_with_archive() {
    if [[ ! $RUN_ARCHIVED ]]; then return 0; fi
    RUN_STEP=notebook
    assert_notebooks
    report_notebooks "$REMOVE_WITH_PYTHON" "$RUN_ARCHIVED" compare
}

remove_notebooks() {
    if [[ ! $RUN_ARCHIVED ]]; then return 0; fi
    RUN_STEP=notebook
    report_start removing-notebooks 'Removing the notebooks in {path}' path "$NB_NOTEBOOK_DIRECTORY"
    report_notebooks "$REMOVE_WITH_PYTHON" "$RUN_ARCHIVED" remove
    note notebooks-removed 'the notebooks in {path} were removed; all of them are in the archive' \
        path "$NB_NOTEBOOK_DIRECTORY"
}

# Between both, the server stops.
BEFORE_UNDO=(compare_with_archive "${BEFORE_UNDO[@]}" remove_notebooks)

# After report_notebooks has ended with an error of this part.
refuse_removal() {
    read_last_error
    if [[ $REPLY == 'nbserver: '* ]]; then
        fail notebook-not-archived 'the notebook folder {folder} contains {path}, which cannot be archived: it '\
'is a link, is hidden, has an invalid name, or is neither a file nor a folder. Move or remove it, then try again' \
            folder "$NB_NOTEBOOK_DIRECTORY" path "${REPLY#nbserver: }"
    fi
    if [[ $REPLY == 'nbserver changed: '* ]]; then
        fail notebook-changed-meanwhile '{path} was changed while the notebooks in {folder} were being removed, so it '\
'was kept. Keep the archive that nbserver has written: it contains the files that were already removed. Stop the '\
'program that changes {path}, then run the command again' \
            path "${REPLY#nbserver changed: }" folder "$NB_NOTEBOOK_DIRECTORY"
    fi
    if ((EXIT_CODE == 5)); then
        fail notebooks-not-as-archived 'the files in {folder} do not match the archive, so none of them was removed. '\
'Run the command again to create a new archive' folder "$NB_NOTEBOOK_DIRECTORY"
    fi
}
