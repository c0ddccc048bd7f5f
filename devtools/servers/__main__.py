"""`python -m devtools.servers`: one real server of each kind, until Ctrl-C."""

from __future__ import annotations

from devtools.servers.kinds import main

main()
