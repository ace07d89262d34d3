"""Settings of the test run: the product's own, in a data folder that goes away afterwards.

Each xdist worker has its own folder, so its own database, key and Redis socket.
`SPARKWEB_TEST_DATABASE_URL` (or `DATABASE_URL`) runs the same tests on PostgreSQL.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

_folder = tempfile.mkdtemp(prefix=f"sparkweb-{os.environ.get('PYTEST_XDIST_WORKER', 'test')}-", dir="/tmp")
_owner = os.getpid()


@atexit.register
def _remove() -> None:
    if os.getpid() == _owner:  # a forked child must not take the folder with it
        shutil.rmtree(_folder, ignore_errors=True)


for _name in [name for name in os.environ if name.startswith("SPARKWEB_") and "_TEST_" not in name]:
    del os.environ[_name]
os.environ["SPARKWEB_DATA_DIR"] = _folder
os.environ["SPARKWEB_NODE"] = "spark-1"
os.environ["SPARKWEB_LOG_LEVEL"] = "warning"
os.environ["SPARKWEB_DISK_RESERVE_GB"] = "0"  # no test depends on how full this disk is
os.environ["SPARKWEB_TRANSCRIPTS"] = "none"
os.environ.pop("REDIS_URL", None)
if os.environ.get("SPARKWEB_TEST_DATABASE_URL"):
    os.environ["DATABASE_URL"] = os.environ["SPARKWEB_TEST_DATABASE_URL"]

from sparkweb.settings import *  # noqa: E402, F403
from sparkweb.settings import ALLOWED_HOSTS, DATA_DIR, DATABASES, STORAGES  # noqa: E402

ALLOWED_HOSTS = [*ALLOWED_HOSTS, "testserver"]
STATIC_ROOT = DATA_DIR / "static"  # empty: each test client would read a collected folder anew
STATIC_ROOT.mkdir(exist_ok=True)
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {
    **STORAGES,
    # Templates render without collectstatic; tests of the manifest storage build their own.
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # A file, as in production: threads and child processes see one database.
    DATABASES["default"]["TEST"] = {"NAME": str(DATA_DIR / "test.sqlite3")}
    DATABASES["default"]["OPTIONS"] = {
        **DATABASES["default"]["OPTIONS"],
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF;",
    }
DATABASES["archive"]["ENGINE"] = "tests.support.archive_backend"
