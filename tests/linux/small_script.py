"""A script of two small steps in the real prelude and main, whose runs can be held before and behind every event.

All that it uses is below one folder, `place`: `data` (instead of /var/lib/nbserver), `site` (instead of /etc/nbserver, what the steps change), `hold` (`N`
holds the run that has written N events or more), `at` (the N at which one is held) and `applied` (a line for each apply that began).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from nbserver.render.bash import settings_block
from nbserver.render.script import Script
from tests.linux.parts import FILES, SETTINGS, prelude

STEPS = ("text", "place")
LONG = 40_000  # characters of one event: more than a packet of ssh holds
_GATES = r"""
# ---- the tests' own: gates around every event
eval "plain_$(declare -f write_event)"
write_event() {
    wait_gate
    plain_write_event "$@"
    wait_gate
}
wait_gate() {
    local number=''
    [[ $RUN_LOCKED ]] || return 0                  # one that is refused is not held
    while { IFS= read -r number <PLACE/hold; } 2>/dev/null && ((RUN_EVENTS >= number)); do
        printf '%s\n' "$RUN_EVENTS" >PLACE/at.new
        mv PLACE/at.new PLACE/at
        sleep 0.02
    done
}
write_applied() {
    printf '%s %s\n' "$RUN_ID" "$RUN_STEP" >>PLACE/applied
}
"""
_STEPS = r"""
step text 'the text files say what they should'
text_test() {
    if ! has_text PLACE/site/new.txt ours || ! has_text PLACE/site/old.txt ours; then differs texts 'the texts' other ours; fi
}
text_apply() {
    write_applied
    set_text_file PLACE/site/new.txt root:root 640 ours
    set_text_file PLACE/site/old.txt root:daemon 644 ours
}

step place 'a program said much, and the folders are there'
place_test() {
    read_access PLACE/site/folder PLACE/site/theirs
    compare_folder PLACE/site/folder root:root 750
    if [[ ${ACCESS[PLACE/site/theirs]} != 'daemon:daemon 711' ]]; then differs access 'access to theirs' other ours; fi
}
place_apply() {
    local text
    write_applied
    run_program bash -c 'echo short'
    printf -v text '%LONGs' ''
    write_event log program long text "${text// /x}"
    add_folder PLACE/site/folder root:root 750
    : >PLACE/site/folder/inside
    set_access PLACE/site/theirs daemon:daemon 711
}
"""


def small_script(host: str, place: Path) -> Script:
    """The script of `host`."""
    places = prelude()
    for name, folder, own in (("DATA_FOLDER", "/var/lib/nbserver", "data"), ("CONFIGURATION_FOLDER", "/etc/nbserver", "site")):
        assert f"{name}={folder} " in places
        places = places.replace(f"{name}={folder} ", f"{name}={place}/{own} ")
    steps = (_GATES + _STEPS).replace("PLACE", str(place)).replace("LONG", str(LONG))
    text = "\n".join([settings_block({**SETTINGS, "host": host}), places, steps, (FILES / "main.sh").read_text("ascii")])
    digest = hashlib.sha256(text.encode("ascii")).hexdigest()
    return Script(host=host, parts=(text,), settings={}, steps=STEPS, sha256=digest, body_sha256=digest, extension="sh")
