"""Linux machines in a box: what the tests of the Linux path set up a notebook server on.

    lab.py              a network of its own: one namespace, a web proxy as the only way out; hosts are cloned into it
    base.py             root folders that hosts are cloned from, made once (mmdebstrap) and kept in the tests' cache
    host.py             a clone: boot, ssh, reboot, stop, cut the power, snapshot, drop
    snapshot.py         what an installation may change, to be compared before and after; what does not count, and why
    suse.py             turns Debian's files into the openSUSE-like base
    suse_packages.py    what stands in there: every package of ours, by repository
    suse_repository.py  builds and signs those repositories
    carry.py            TCP lines into a namespace, which a test can cut
    control_groups.py   one control group a host, ended as a whole
    folders.py          removing folders with mounts below; locks

What is real: Debian 12 with systemd, sshd, sudo, apt and dpkg, nft and ufw; zypper, libzypp and rpm; Python, venv, pip; the
kernel is the one of the machine that runs the tests. What stands in: the openSUSE-like host's packages. What systemd
accepts but is not known to enforce in such a box: MemoryMax, TasksMax, CPUQuota, InaccessiblePaths, RestrictFileSystems,
RestrictNetworkInterfaces, DevicePolicy, NoExecPaths. What is missing: name servers (only what uses the proxy, `lab.PROXY`,
gets out), writes that wait for a disk (--suppress-sync), SELinux, AppArmor.

Tests stay outside the namespace: `host.ssh_port` and `host.forward(PORT).port` are ports of 127.0.0.1 that lead to a host;
`Forward.cut` resets what is open. A program that must see the host's own address is started with `lab.command(...)`.
Hosts belong to their process: `with debian_host() as host:` drops one, the end of the session drops the rest, and the next
session removes what a session that was killed has left. Everything is named after the lab, so two runs do not meet.

Needed: root with CAP_SYS_ADMIN, overlayfs, and the Debian packages that lab.PROGRAMS and suse_repository.PROGRAMS name.
"""
