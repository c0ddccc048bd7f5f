"""The meaning of PostgreSQL's error codes for this backend."""

from __future__ import annotations

import re
from typing import Final

import psycopg

# Classes and codes: https://www.postgresql.org/docs/current/errcodes-appendix.html
UNAVAILABLE: Final = re.compile("08|57P|40001|40P01|25006|26000|53300|53400|55P03|57014")
# After one of these the server has kept nothing of a statement, so it can be retried.
RETRYABLE: Final = ("40001", "40P01", "26000")
LACKS_RIGHT: Final = "42501"
NO_DATABASE: Final = "3D000"
MISSING_SCHEMA: Final = (NO_DATABASE, "3F000", "42P01")
SETUP_FAULTS: Final = {
    "28P01": "the password is wrong",
    "28000": "the server does not let this user in",
    NO_DATABASE: "the database does not exist",
    "42501": "the user lacks a right",
    "3F000": "there is no schema to create tables in",
}
# libpq reports no code for a refused connection. These errors are recognized by their words, if the server's messages
# are in English.
CONNECT_FAULTS: Final = {
    "password authentication failed": "28P01",
    "no pg_hba.conf entry": "28000",
    'role ".*" does not exist': "28000",
    'database ".*" does not exist': NO_DATABASE,
    "no password supplied": "28P01",
}


def code_of(error: BaseException) -> str:
    """Return the server's code, also for a refused connection; empty if there is none."""
    if not isinstance(error, psycopg.Error):
        return ""
    if error.sqlstate is not None:
        return error.sqlstate
    return next((code for words, code in CONNECT_FAULTS.items() if re.search(words, str(error))), "")
