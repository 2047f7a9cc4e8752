"""Settings that must stand before torch and ray are imported, and the fixtures that all tests share."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
SETTINGS = {
    "HF_HUB_OFFLINE": "1",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
    "DS_ACCELERATOR": "cpu",
    "COLUMNS": "120",
}
os.environ.update(SETTINGS)
os.environ.pop("RAY_ADDRESS", None)
# Ray's workers import the toy steps too.
os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])
sys.path.insert(0, str(TESTS))
# Also where the tests run under nohup or in the background, whose ignored signals children would inherit.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import pytest  # noqa: E402


@pytest.fixture
def notes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where toy steps note their starts."""
    folder = tmp_path / "notes"
    folder.mkdir()
    monkeypatch.setenv("W2S_TEST_NOTES", str(folder))
    return folder


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("W2S_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    return str(tmp_path / "store")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real S3 server in a process of its own (moto), on loopback."""
    port_file = tmp_path_factory.mktemp("s3") / "port"
    code = (
        "import sys, time; from moto.server import ThreadedMotoServer; s = ThreadedMotoServer(port=0); s.start();"
        " open(sys.argv[1] + '.part', 'w').write(str(s.get_host_and_port()[1])); import os; os.rename(sys.argv[1] +"
        " '.part', sys.argv[1]); time.sleep(600)"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", code, str(port_file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(300):
            if port_file.exists():
                break
            time.sleep(0.1)
        url = f"http://127.0.0.1:{port_file.read_text()}"
        os.environ |= {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "x",
            "AWS_SECRET_ACCESS_KEY": "x",
            "AWS_DEFAULT_REGION": "us-east-1",
        }
        import s3fs

        s3fs.S3FileSystem().mkdir("bucket")
        yield "s3://bucket"
    finally:
        server.kill()
        server.wait()
