"""A real OpenSSH server and a real sudo on this machine, for the transport alone: nothing is set up on it.

It needs root, to make a user of its own, and Debian's openssh-server and sudo. The user, the server's folder and the file in
/etc/sudoers.d are removed at the end.
"""
