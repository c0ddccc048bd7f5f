"""Facts and warnings about the server, for `module-sdk doctor`."""

from __future__ import annotations

import time
from typing import Any

import pymongo
from pymongo.errors import OperationFailure

from module_sdk.backends import Diagnosis, clock_difference
from module_sdk_mongo.connection import CODEC, WRITE_CONCERN, Connection
from module_sdk_mongo.schema import SCHEMA_VERSION, read_version


def diagnose(connection: Connection) -> Diagnosis:
    database = connection.database
    before = time.time()
    hello = database.command("hello", codec_options=CODEC)
    difference = clock_difference(int(hello["localTime"]) / 1_000, before, time.time())
    diagnosis = Diagnosis(
        facts={
            "server": f"MongoDB {database.command('buildInfo')['version']}",
            "driver": f"pymongo {pymongo.version}",
            "database": database.name,
            "topology": topology(hello),
            "storage engine": "unknown: the user may not run serverStatus",
            "write concern": ", ".join(f"{name}={value}" for name, value in WRITE_CONCERN.document.items()),
            "schema version": f"{read_version(connection)} (this module-sdk: {SCHEMA_VERSION})",
        },
        clock_difference_seconds=difference,
    )
    try:
        status = database.command("serverStatus", repl=0, metrics=0, locks=0)
    except OperationFailure:
        return diagnosis
    engine = status["storageEngine"]
    diagnosis.facts["storage engine"] = engine["name"]
    if not engine.get("persistent", True):
        diagnosis.warnings.append(f"the storage engine {engine['name']} loses all tasks at a restart")
    return diagnosis


def topology(hello: dict[str, Any]) -> str:
    if hello.get("msg") == "isdbgrid":
        return "sharded cluster"
    if "setName" not in hello:
        return "standalone server: no failover"
    arbiters = f" and {len(hello['arbiters'])} arbiters" if hello.get("arbiters") else ""
    return f"replica set {hello['setName']} of {len(hello.get('hosts', ()))} members{arbiters}"
