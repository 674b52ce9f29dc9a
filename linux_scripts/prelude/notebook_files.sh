# ---- prelude: notebook_files -----------------------------------------------------------------------
# List, receive, and send the files of the notebooks: modes list, push, and pull.

# The programs below run as the user of the server, never as root: whatever is in the folder, they can do no more than a
# notebook can. They follow no link. Names that begin with a period are left out. Each line that they print is checked
# before it becomes an event. Code in a notebook can make the files huge, or stop these programs, so what they read is
# limited, and so is their time: 15 minutes.

PARTS=()                                           # lines of the envelope: path, size, SHA-256, offset, length, before

MODES['list']=list_notebooks
MODES['push']=push_notebooks
MODES['pull']=pull_notebooks
CHANGING_MODES+=(push)

# What all three share. A file is opened from folder to folder, each without following a link.
OPEN_WITH_PYTHON='
import base64, contextlib, errno, hashlib, json, os, stat, sys

ROOT = os.open(sys.argv[1], os.O_RDONLY | os.O_DIRECTORY)
PREFIX = ".nbserver-push-"


def show(state, size, sha256, path, data="-"):
    print(state, size, sha256 or "-", json.dumps(path).replace(" ", "\\u0020"), data)


def digest(file, left):
    found = hashlib.sha256()
    while left and (block := os.read(file, min(left, 1 << 20))):
        found.update(block)
        left -= len(block)
    return found.hexdigest()


def open_folder(names, create=False):
    folder = os.dup(ROOT)
    for name in names:
        above = folder
        try:
            if create:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(name, 0o777, dir_fd=above)
            folder = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
        finally:
            os.close(above)
    return folder


def open_file(name, folder):
    file = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise OSError(errno.EINVAL, "not a file")
    return file


def parts():
    for line in os.fdopen(7, encoding="ascii"):
        path, size, sha256, offset, length, before = line.split()
        names = base64.b64decode(path).decode().split("/")
        if any(name in ("", ".", "..") or name.startswith(".") for name in names):
            sys.exit("a path of the envelope is not valid")
        yield names, int(size), sha256, int(offset), int(length), before
'
LIST_WITH_PYTHON='
left, most = int(sys.argv[2]), int(sys.argv[3])
pending, count = [[]], 0
while pending:
    names = pending.pop()
    try:
        folder = open_folder(names)
        found = sorted(os.listdir(folder))
    except OSError:
        show("unreadable", 0, "", "/".join(names) or ".")
        continue
    for name in found:
        path = "/".join([*names, name])
        if name.startswith("."):
            continue
        count += 1
        if count > most:
            sys.exit(4)
        if len(os.fsencode(path)) > 1000 or len(names) > 31:
            show("name", 0, "", path[:100].encode(errors="replace").decode() + "...")
            continue
        try:
            path.encode()
        except UnicodeEncodeError:
            show("name", 0, "", path.encode(errors="replace").decode())
            continue
        try:
            about = os.stat(name, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISDIR(about.st_mode):
                pending.append([*names, name])
            elif not stat.S_ISREG(about.st_mode):
                show("link", 0, "", path)
            elif about.st_size > left:
                show("large", about.st_size, "", path)
            else:
                left -= about.st_size
                file = open_file(name, folder)
                show("present", about.st_size, digest(file, about.st_size), path)
                os.close(file)
        except FileNotFoundError:
            pass
        except OSError:
            show("unreadable", 0, "", path)
    os.close(folder)
'
PULL_WITH_PYTHON='
for names, size, sha256, offset, length, before in parts():
    try:
        folder = open_folder(names[:-1])
        try:
            file = open_file(names[-1], folder)
        finally:
            os.close(folder)
    except OSError:
        show("unreadable", 0, "", "/".join(names))
        continue
    end = offset + length
    while True:
        data = os.pread(file, min(131072, end - offset), offset)
        show("content", offset, "", "/".join(names), base64.b64encode(data).decode() or "-")
        offset += len(data)
        if not data or offset >= end:
            break
    os.close(file)
'
# A file is written next to the one that it replaces, and takes its place once it is complete and has the right hash. It
# replaces only the file that the sender knows (before), and what it does not know is kept: a conflict. Unfinished files
# of earlier runs are removed. What cannot be written to one place does not stop the others; a full disk does.
PUSH_WITH_PYTHON='
left = 8000000000                                  # bytes of files that are here already


def current(name, folder):
    global left
    try:
        file = open_file(name, folder)
    except FileNotFoundError:
        return "-"
    except OSError:
        return "link"
    try:
        size = os.fstat(file).st_size
        if size > left:
            return "large"
        left -= size
        found = digest(file, size)
        return found if os.fstat(file).st_size == size else "changed"
    finally:
        os.close(file)


def place(new, name, folder, before):
    if current(name, folder) != before:
        os.unlink(new, dir_fd=folder)
        return "conflict"
    if before == "-":
        try:
            os.link(new, name, src_dir_fd=folder, dst_dir_fd=folder)
            os.unlink(new, dir_fd=folder)
            return "stored"
        except FileExistsError:
            os.unlink(new, dir_fd=folder)
            return "conflict"
        except OSError:
            pass  # a file system without hard links
    os.replace(new, name, src_dir_fd=folder, dst_dir_fd=folder)
    return "stored"


def remove_others(folder):
    for name in os.listdir(folder):
        if name.startswith(PREFIX):
            with contextlib.suppress(OSError):
                os.unlink(name, dir_fd=folder)


def receive(names, size, sha256, offset, length, before, opened):
    new = PREFIX + sha256[:32]
    folder = open_folder(names[:-1], create=True)
    opened.callback(os.close, folder)
    if offset == 0:
        if tuple(names[:-1]) not in cleaned:
            cleaned.add(tuple(names[:-1]))
            remove_others(folder)
        if current(names[-1], folder) != before:
            return "conflict"
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_CREAT | os.O_EXCL if offset == 0 else 0)
    try:
        file = os.open(new, flags, 0o666, dir_fd=folder)
    except FileNotFoundError:
        return "incomplete"
    opened.callback(os.close, file)
    os.lseek(file, offset, os.SEEK_SET)
    os.ftruncate(file, offset)
    while length:
        block = os.read(0, min(length, 1 << 20))
        if not block:
            sys.exit("the data of the envelope is too short")
        length -= len(block)
        while block:
            block = block[os.write(file, block):]
    if os.lseek(file, 0, os.SEEK_END) != size:
        return ""
    os.fsync(file)
    os.lseek(file, 0, os.SEEK_SET)
    if digest(file, size) == sha256:
        return place(new, names[-1], folder, before)
    os.unlink(new, dir_fd=folder)
    return "damaged"


os.umask(0o022)
cleaned, start = set(), 0
for names, size, sha256, offset, length, before in parts():
    os.lseek(0, start, os.SEEK_SET)
    start += length
    try:
        with contextlib.ExitStack() as opened:
            state = receive(names, size, sha256, offset, length, before, opened)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO):
            raise
        # A file, a folder, or a link is where another thing should be.
        taken = error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ESPIPE)
        state = "conflict" if taken else "unreadable"
    if state:
        show(state, size, sha256 if state == "stored" else "", "/".join(names))
'

list_notebooks() {
    assert_notebooks
    report_notebooks "$LIST_WITH_PYTHON" 4000000000 10000
}

pull_notebooks() {
    assert_notebooks
    report_notebooks "$PULL_WITH_PYTHON"
}

# The data of all parts, one after the other, is in a file next to this script.
push_notebooks() {
    assert_notebooks
    read_script_folder
    report_notebooks "$PUSH_WITH_PYTHON" <"$REPLY/data"
}

assert_notebooks() {
    if [[ $EUID -ne 0 ]] && ! can_read_state; then
        fail notebooks-need-root 'copying notebooks requires root privileges, because the script accesses notebooks '\
'as the user of the server. Run nbserver as root or with sudo'
    fi
    if [[ ! -d $NB_NOTEBOOK_DIRECTORY || -L $NB_NOTEBOOK_DIRECTORY ]] || ! is_set_up; then
        fail notebooks-not-set-up 'no notebook server that nbserver manages on this host uses the folder {path}. Run '\
'nbserver apply, then try again' path "$NB_NOTEBOOK_DIRECTORY"
    fi
}

# REPLY: the folder of this script. By hand, its path may have no folder.
read_script_folder() {
    REPLY=.
    if [[ ${BASH_SOURCE[0]} == */* ]]; then REPLY=${BASH_SOURCE[0]%/*}; fi
}

# Run a program as the user of the server in the folder for notebooks, and report what it prints. A stop ends the
# program. That user may not be able to reach the folder by its path: home folders are often closed.
report_notebooks() { # PROGRAM ARGUMENT...
    local program=$OPEN_WITH_PYTHON$1 output
    shift
    read_script_folder
    output=$(exec mktemp -p "$REPLY")
    exec 5>"$output"
    exec 7<"$output"
    rm -f -- "$output"
    read_service_user
    read_server_python
    take_hold "$NB_NOTEBOOK_DIRECTORY" "$NB_NOTEBOOK_DIRECTORY"
    CHILD=starting CHILD_TO_ITS_END=''
    { cd -- "$HELD" && exec timeout --kill-after=10 900 "${AS_SERVICE[@]}" \
        env -i PATH=/usr/bin:/bin "$REPLY" -I -X utf8 -c "$program" . "$@"; } \
        7< <(if ((${#PARTS[@]})); then printf '%s\n' "${PARTS[@]}"; fi) 3>&- 4>&- 6>&- 8>&- 9>&- \
        <&0 >&5 5>&- &
    await_background $!
    exec 5>&-
    if ((EXIT_CODE == 4)); then
        fail notebooks-too-many '{path} contains more than 10,000 files and folders, the most that nbserver can copy. '\
'Copy them with another program, or move some of them to another folder' path "$NB_NOTEBOOK_DIRECTORY"
    fi
    report_lines <&7
    exec 7<&-
    if ((EXIT_CODE == 124 || EXIT_CODE == 137)); then
        fail notebooks-slow 'the program that copies notebooks was stopped, because it was still running after 15 '\
'minutes. Check the load of this host and of the disk that contains {path}, then try again' \
            path "$NB_NOTEBOOK_DIRECTORY"
    fi
    if ((EXIT_CODE)); then
        if [[ $RUN_ARCHIVED ]]; then refuse_removal; fi
        read_last_error
        fail notebooks-program 'the program that copies notebooks exited with code {exit_code}: {error}. Fix this '\
'error (for example, free some disk space), then try again' \
            exit_code "$EXIT_CODE" error "${REPLY:-no error output}"
    fi
}

# Lines STATE SIZE SHA256 "PATH" DATA, in which a hyphen stands for nothing.
report_lines() {
    local state number sha256 path data
    while IFS=' ' read -r state number sha256 path data; do
        if ! is_report "$state" "$number" "$sha256" "$path" "$data"; then
            fail notebooks-output 'the program that copies notebooks printed an unexpected line. Run the command '\
'again. If this error occurs again, report it as a bug in nbserver'
        fi
        if [[ $state == content ]]; then
            write_event content data: "\"${data#-}\"" offset: "$((10#$number))" path: "$path"
            continue
        fi
        if [[ $state == stored ]]; then RUN_CHANGED=$((RUN_CHANGED + 1)); fi
        write_event file path: "$path" sha256 "${sha256#-}" size: "$((10#$number))" state "$state"
    done
}

is_report() { # STATE SIZE SHA256 PATH DATA
    local text="^\"$RECORD_TEXT\"\$"
    case $1 in
        content) if [[ $5 == *[!A-Za-z0-9+/=-]* ]]; then return 1; fi ;;
        present | stored | conflict | link | unreadable | name | large | incomplete | damaged) ;;
        *) return 1 ;;
    esac
    [[ $2 =~ ^[0-9]{1,15}$ && $3 =~ ^(-|[0-9a-f]{64})$ && $4 =~ $text && $4 != *[!\ -~]* ]]
}
