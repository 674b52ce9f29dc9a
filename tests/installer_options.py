"""Options of pip and uv that users set for other purposes. Each would install packages elsewhere, other ones, or none."""

from __future__ import annotations

PIP = "user = true\nrequire-virtualenv = true\ntarget = /srv/elsewhere\nno-binary = :all:\nconstraint = /etc/none.txt\nquiet = 2\n"
UV = 'exclude-newer = "2020-01-01T00:00:00Z"\noffline = true\nno-binary = true\n'
