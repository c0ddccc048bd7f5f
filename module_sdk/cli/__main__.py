"""`python -m module_sdk.cli`, for when the command `module-sdk` is not on the path."""

from __future__ import annotations

from module_sdk.cli.main import main

if __name__ == "__main__":
    main()
