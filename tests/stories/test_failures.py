"""What goes wrong on the way to a host and on it: one message that says what to do, the right exit code, nothing left open."""

from __future__ import annotations

import hashlib
import http.server
import signal
import socket
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.boxes.mirror import Mirror
from tests.boxes.server_settings import ACTIVE_SETUP, IE_ESC
from tests.boxes.windows import WindowsBox
from tests.boxes.wine import windows_path
from tests.boxes.winrm.endpoint import Endpoint
from tests.faults.small_packages import put_uv, write_page
from tests.ports import free_port
from tests.served import served
from tests.site import Site, steps


@pytest.fixture(scope="module")
def https(windows_host: WindowsBox) -> Iterator[Endpoint]:
    with windows_host.endpoint(auth=["basic", "negotiate"], https=True, password="Tr0ub4dor") as endpoint:
        yield endpoint


@pytest.fixture
def site(https: Endpoint, mirror: Mirror, tmp_path: Path) -> Site:
    return make_site(https, mirror, tmp_path)


@pytest.fixture(autouse=True)
def repaired(https: Endpoint, windows_host: WindowsBox, mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A test that failed may have left a run, and what it changed: that is not the next one's failure."""
    lock = windows_host.path(r"C:\ProgramData\nbserver\lock")
    if (
        (lock.exists() and lock.read_text("utf-8"))
        or windows_host.path(r"C:\Program Files\nbserver").exists()
        or not ie_esc_is_on(windows_host)
    ):
        https.kill_engines()
        done = make_site(https, mirror, tmp_path_factory.mktemp("repaired")).run("undo", "win1")
        assert done.returncode == 0, done.stdout + done.stderr
        assert ie_esc_is_on(windows_host)


def make_site(endpoint: Endpoint, mirror: Mirror, folder: Path) -> Site:
    mirror.behave()
    return Site(folder, endpoint, mirror, port=free_port(), windows_password="Tr0ub4dor", notebook_password="correct horse")


def refused(site: Site, *arguments: str, code: int) -> str:
    """The one message of a run that must fail with `code`; no traceback, no secret in it."""
    done = site.run(*arguments)
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert "Traceback" not in said
    for secret in site.secrets.values():
        assert secret not in said
    return said


def ie_esc_is_on(host: WindowsBox) -> bool:
    return host.registry(ACTIVE_SETUP)[IE_ESC["administrators"]]["IsInstalled"] == "dword:00000001"


# -- on the way


def test_unknown_host(site: Site) -> None:
    site.write(address="no-such-host.invalid")
    assert "could not resolve the name no-such-host.invalid" in refused(site, "plan", "win1", code=3)


def test_closed_port(site: Site) -> None:
    port = free_port()
    site.write(port=port)
    assert f"127.0.0.1:{port} refused the connection. Check that PowerShell remoting is enabled" in refused(site, "apply", "win1", code=3)


@pytest.mark.parametrize("auth", ["basic", "ntlm", "negotiate"])
def test_wrong_password(site: Site, auth: str) -> None:
    site.write(auth=auth)
    site.secrets["WINDOWS_PASSWORD"] = "not-the-password"
    said = refused(site, "plan", "win1", code=3)
    assert f"rejected the user {site.endpoint.user} (auth: {auth}). Check user, password, and auth" in said


def test_pinned_certificate_that_does_not_match(site: Site) -> None:
    site.write(fingerprint="SHA256:" + "ab" * 32)
    said = refused(site, "apply", "win1", code=3)
    assert "a different certificate" in said and "ab" * 32 in said and site.settings["fingerprint"] in said


def test_certificate_that_nobody_vouches_for(site: Site) -> None:
    site.write(fingerprint=None)
    assert "is not trusted: self" in refused(site, "plan", "win1", code=3)


def test_a_ca_file_is_enough(site: Site) -> None:
    assert site.endpoint.certificate
    site.write(fingerprint=None, ca_file=str(site.endpoint.certificate.certificate))
    assert site.run("plan", "win1").returncode == 4


def test_an_environment_proxy_is_not_used(site: Site) -> None:
    done = site.run("plan", "win1", environment={"HTTPS_PROXY": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"})
    assert done.returncode == 4, done.stdout + done.stderr


def test_proxy_that_is_not_there(site: Site) -> None:
    proxy = f"http://127.0.0.1:{free_port()}"
    site.write(proxy=proxy)
    assert f"the proxy {proxy} could not connect to" in refused(site, "plan", "win1", code=3)


def test_http_with_ntlm_is_encrypted_and_works(windows_host: WindowsBox, mirror: Mirror, tmp_path: Path) -> None:
    with windows_host.endpoint(auth=["negotiate"], require_encryption=True, password="Tr0ub4dor") as endpoint:
        site = make_site(endpoint, mirror, tmp_path)
        done = site.run("plan", "win1", "--json")
        assert done.returncode == 4, done.stdout + done.stderr
        assert endpoint.stats["refused plain"] == 0


def test_no_such_endpoint(site: Site) -> None:
    with tls_server_that_answers(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", site) as port:
        site.write(port=port)
        assert "answered, but is not a WinRM listener. Check address and port" in refused(site, "plan", "win1", code=3)


@contextmanager
def tls_server_that_answers(answer: bytes, site: Site) -> Iterator[int]:
    """Shows the certificate of the site's endpoint and gives everybody the same answer."""
    import ssl

    assert site.endpoint.certificate
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(site.endpoint.certificate.certificate, site.endpoint.certificate.key)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.wfile.write(answer)
            self.close_connection = True

        def log_message(self, *arguments: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


# -- before a host is contacted


def test_catalog_entry_without_a_hash(site: Site) -> None:
    site.mirror.write_catalog(site.folder / "site-catalog.toml")
    text = (site.folder / "site-catalog.toml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("sha256")]
    (site.folder / "site-catalog.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    said = refused(site, "apply", "win1", code=2)
    assert "unverified" in said and "3.11" in said
    assert not site.runs(), "refused before a run began"


def test_script_that_was_not_approved(site: Site) -> None:
    assert site.run("render", "win1", "-o", "approved").returncode == 0
    site.write(notebook__directory="C:\\notebooks")
    said = refused(site, "apply", "win1", "--approved", "approved/manifest.json", code=5)
    assert "the script for win1 " in said and "have the script approved again" in said
    assert not site.runs()


def test_rendered_folder_that_was_changed(site: Site) -> None:
    assert site.run("render", "win1", "-o", "rendered").returncode == 0
    script = site.folder / "rendered" / "win1.ps1"
    script.write_bytes(script.read_bytes() + b"# one more line\n")
    assert "win1.ps1 differs" in refused(site, "render", "win1", "-o", "rendered", "--check", code=5)


# -- on the host, before anything is changed


def test_port_taken_by_another_program(site: Site) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", site.port))
        other.listen()
        said = refused(site, "apply", "win1", code=3)
    assert f"TCP port {site.port} is used by another program" in said and "choose another notebook.port" in said
    assert steps(site.last_events(), "failed") == ["takeover"]


def test_too_little_memory_for_remote_shells(site: Site, windows_host: WindowsBox) -> None:
    quota = windows_host.path(r"C:\nbserver-test\MaxMemoryPerShellMB.txt")
    quota.parent.mkdir(exist_ok=True)
    quota.write_text("512")
    try:
        assert "a memory quota of 512 MB, but at least 1024 MB are required. Run on the host: Set-Item WSMan:" in refused(
            site, "plan", "win1", code=3
        )
    finally:
        quota.unlink()


def test_processor_that_the_inventory_does_not_mean(site: Site) -> None:
    catalog = site.folder / "site-catalog.toml"
    catalog.write_text(catalog.read_text(encoding="utf-8").replace('"x64"', '"arm64"'), encoding="utf-8")
    site.write(architecture="arm64")
    assert 'this host has the processor architecture AMD64, but the inventory has architecture = "arm64"' in refused(
        site, "plan", "win1", code=3
    )


def test_state_folder_that_others_can_read(site: Site, windows_host: WindowsBox) -> None:
    """As any user can make one before the first apply: its access list is the inherited one."""
    folder = windows_host.path(r"C:\ProgramData\nbserver")
    lists = [path for path in windows_host.path(r"C:\nbserver-test\acl").glob("*.json") if r'ProgramData\\nbserver"' in path.read_text()]
    kept = {path: path.read_text() for path in lists}
    existed = folder.exists()
    folder.mkdir(exist_ok=True)
    for path in lists:
        path.unlink()
    try:
        said = refused(site, "apply", "win1", code=3)
    finally:
        if not existed:
            folder.rmdir()
        for path, text in kept.items():
            path.write_text(text)
    assert "undo cannot trust C:" in said and "has access to C:" in said


def test_pending_reboot_is_told(site: Site, windows_host: WindowsBox) -> None:
    from tests.boxes.wine import run

    key = r"HKLM\SOFTWARE\Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending"
    run(windows_host.prefix, "reg", "add", key, "/f")
    try:
        done = site.run("plan", "win1")
    finally:
        run(windows_host.prefix, "reg", "delete", key, "/f")
    assert done.returncode == 4, done.stdout
    assert "Windows must restart before nbserver can change this host" in done.stdout and "reboot pending" in done.stdout


# -- on the host, in the middle: the brackets are closed, undo restores


@pytest.fixture
def undone(windows_host: WindowsBox, site: Site) -> Iterator[None]:
    """Compares the host before the test with the host after undo."""
    before = windows_host.snapshot(except_=("ProgramData/nbserver*",))
    yield
    assert ie_esc_is_on(windows_host), "the bracket was closed when the run failed"
    site.write()
    done = site.run("undo", "win1")
    assert done.returncode == 0, done.stdout + done.stderr
    after = windows_host.snapshot(except_=("ProgramData/nbserver*",))
    assert {part: after[part] for part in ("registry", "tasks", "firewall", "running")} == {
        part: before[part] for part in ("registry", "tasks", "firewall", "running")
    }
    assert after["files"] == before["files"]


@pytest.mark.usefixtures("undone")
def test_download_through_the_hosts_proxy_is_resumed_and_a_wrong_hash_is_refused(site: Site, windows_host: WindowsBox) -> None:
    site.mirror.write_catalog(
        site.folder / "site-catalog.toml", base="http://downloads.example.com", changes={"openssl": {"sha256": "00" * 32}}
    )
    site.mirror.misbehave("cut", "*/python-*.zip", after=5_000_000)
    site.write(downloads__proxy=site.mirror.url)
    said = refused(site, "apply", "win1", code=3)
    assert "does not match the catalog: expected SHA-256" in said and "00" * 32 in said and "The downloaded file was deleted" in said
    asked = site.mirror.asked("python-")
    assert [bool(request.range) for request in asked] == [False, True] and all(request.through_proxy for request in asked)
    events = site.last_events()
    assert "python" in steps(events, "changed") and steps(events, "failed") == ["openssl"]
    assert "ie_esc" in steps(events, "restored")
    cache = windows_host.path(r"C:\ProgramData\nbserver\cache")
    assert not [path.name for path in cache.iterdir() if "openssl" in path.name.lower()]


@pytest.mark.parametrize(("kind", "words"), [("missing", "404"), ("html", "does not match the catalog"), ("proxy_authentication", "407")])
def test_download_that_cannot_work(site: Site, kind: Any, words: str) -> None:
    site.mirror.misbehave(kind, "*/python-*.zip", times=None)
    said = refused(site, "apply", "win1", code=3)
    assert words in said
    assert steps(site.last_events(), "failed") == ["python"]
    assert site.run("undo", "win1").returncode == 0


def test_two_runs_at_once(site: Site) -> None:
    first = site.start("apply", "win1")
    try:
        wait_until(lambda: bool(site.runs()) and "python" in steps(site.last_events(), "started"))
        run = site.runs()[-1].name
        said = refused(site, "apply", "win1", code=3)
    finally:
        first.send_signal(signal.SIGINT)
        out, err = first.communicate(timeout=600)
    assert f"another run is changing this host: run {run}, mode apply, by '" in said
    assert f"To follow that run, run nbserver events {run} win1" in said
    assert first.returncode == 3 and "run the command again to continue" in out, "the first one was not disturbed: " + out + err
    assert site.run("undo", "win1").returncode == 0, "and the lock is free again"


def wait_until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 300
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.1)


def test_host_without_ie_esc_gets_none(site: Site, windows_host: WindowsBox) -> None:
    from tests.boxes.wine import run

    kept = windows_host.folder / "ie_esc.reg"
    run(windows_host.prefix, "reg", "export", IE_ESC["administrators"], windows_path(kept), "/y")
    run(windows_host.prefix, "reg", "delete", IE_ESC["administrators"], "/f")
    site.mirror.misbehave("missing", "*/python-*.zip", times=None)
    try:
        refused(site, "apply", "win1", code=3)
        assert IE_ESC["administrators"] not in windows_host.registry(ACTIVE_SETUP)
        assert "ie_esc" not in steps(site.last_events(), "changed")
        assert site.run("undo", "win1").returncode == 0
        assert IE_ESC["administrators"] not in windows_host.registry(ACTIVE_SETUP)
    finally:
        run(windows_host.prefix, "reg", "import", windows_path(kept))


@pytest.mark.usefixtures("undone")
def test_bracket_left_open_by_a_killed_run_is_closed_at_startup(site: Site, windows_host: WindowsBox) -> None:
    killed = []

    def kill_once() -> None:
        runs = site.runs()
        if not killed and runs and "python" in steps(site.events(runs[-1]), "started"):
            site.endpoint.kill_engines()
            killed.append(True)

    done = site.watch("apply", "win1", look=kill_once)
    assert killed and done.returncode == 3, done.stdout + done.stderr
    assert not ie_esc_is_on(windows_host), "nobody was left to close it"
    windows_host.scheduler.boot()
    assert windows_host.scheduler.wait("nbserver-close-ie_esc")
    assert ie_esc_is_on(windows_host)


@pytest.mark.usefixtures("undone")
def test_locked_wheel_without_a_build_for_this_python(site: Site) -> None:
    """With uv, and OpenSSL as a zip."""
    index = site.folder / "index"
    wheel = index / "only-new" / "only_new-1.0-cp312-cp312-win_amd64.whl"
    wheel.parent.mkdir(parents=True)
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("only_new.py", "")
        archive.writestr("only_new-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: only-new\nVersion: 1.0\n")
        archive.writestr(
            "only_new-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: false\nTag: cp312-cp312-win_amd64\n"
        )
        archive.writestr("only_new-1.0.dist-info/RECORD", "")
    write_page(wheel.parent)
    uv_line = put_uv(index, site.mirror)
    use_lock(site, [f"only-new==1.0 --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}", uv_line])
    with served(index) as url:
        site.write(packages__index_url=url, packages__installer="uv")
        said = refused(site, "apply", "win1", code=3)
    assert "uv.exe exited with code 1" in said and "only-new" in said and "set another python.version" in said
    events = site.last_events()
    assert steps(events, "failed") == ["packages"] and "openssl" in steps(events, "changed")


@pytest.mark.usefixtures("undone")
def test_server_that_does_not_start(site: Site) -> None:
    """With pip, and a lock that lacks the notebook: everything is installed, nothing answers, its log says why."""
    use_lock(site, [line for line in site.mirror.lock_file.read_text().splitlines() if line.startswith("six==")])
    site.write(packages__installer="pip")
    said = refused(site, "apply", "win1", code=3)
    assert f"the notebook server is not responding on TCP port {site.port}" in said and "No module named 'jupyter_core'" in said
    events = site.last_events()
    assert steps(events, "failed") == ["check"] and "firewall" in steps(events, "changed")
    assert steps(events, "restored") == ["ie_esc", "ie_esc"]


def use_lock(site: Site, lines: list[str]) -> None:
    """Puts a lock of these lines into the site catalog."""
    lock = site.folder / "site.lock.txt"
    lock.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    catalog = site.folder / "site-catalog.toml"
    text = catalog.read_text(encoding="utf-8")
    catalog.write_text(
        text[: text.index("[[lock]]")] + '[[lock]]\npython = "3.11"\narchitecture = "x64"\nfile = "site.lock.txt"\n', encoding="utf-8"
    )
