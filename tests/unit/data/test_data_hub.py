"""`hub:` against a small server that speaks the hub's protocol, with the real `datasets` client in a process of its
own.

A process of its own, because the client reads endpoint, cache and offline mode once, at import.
"""

import io
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

COMMIT, OTHER = "a" * 40, "b" * 40

SCIQ = [
    {
        "question": f"which one is number {i}?",
        "distractor1": f"no {i}",
        "distractor2": f"never {i}",
        "distractor3": f"not {i}",
        "correct_answer": f"yes {i}",
        "support": "",
    }
    for i in range(60)
]


def parquet(rows):
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


REPOS = {
    "allenai/sciq": {
        "data/train-00000-of-00001.parquet": parquet(SCIQ[:40]),
        "data/test-00000-of-00001.parquet": parquet(SCIQ[40:]),
    },
    "org/scripted": {"scripted.py": b"raise SystemExit", "README.md": b"# a script\n"},
    "org/two": {
        "README.md": (
            b"---\nconfigs:\n- config_name: one\n  data_files: one.jsonl\n- config_name: two\n  data_files:"
            b" two.jsonl\n---\n"
        ),
        "one.jsonl": b'{"text": "one", "label": 0}\n',
        "two.jsonl": b'{"text": "two", "label": 0}\n{"text": "three", "label": 1}\n',
    },
}


class Hub(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_POST(self):
        self.body = self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def answer(self, status, body=b"", **headers):
        if not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def do_GET(self):
        parts = self.path.split("?")[0].strip("/").removeprefix("api/").split("/")
        repo, verb, *rest = "/".join(parts[1:3]), *parts[3:]
        if repo == "org/gated":
            return self.answer(403, X_Error_Code="GatedRepo")
        if repo == "org/busy":
            return self.answer(429)
        if repo not in REPOS:
            return self.answer(401, X_Error_Code="RepoNotFound")
        if rest[0] != COMMIT:
            return self.answer(404, X_Error_Code="RevisionNotFound")
        files = REPOS[repo]
        if verb == "resolve":
            return self.resolve(files, "/".join(rest[1:]))
        return self.api(repo, files, verb, "/".join(rest[1:]))

    def resolve(self, files, name):
        if name not in files:
            return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
        return self.answer(200, files[name], X_Repo_Commit=COMMIT, ETag=f'"{name}"', Accept_Ranges="bytes")

    def api(self, repo, files, verb, folder):
        entries = [{"type": "file", "path": name, "size": len(data), "oid": name} for name, data in files.items()]
        folders = sorted({name.rsplit("/", 1)[0] for name in files if "/" in name})
        entries += [{"type": "directory", "path": name, "size": 0, "oid": name} for name in folders]
        if verb == "revision":
            return self.answer(
                200,
                {
                    "id": repo,
                    "sha": COMMIT,
                    "siblings": [{"rfilename": name} for name in files],
                    "private": False,
                    "tags": [],
                },
            )
        if verb == "tree":
            return self.answer(
                200, [entry for entry in entries if not folder or entry["path"].startswith(folder + "/")]
            )
        wanted = json.loads(self.body)["paths"] if verb == "paths-info" else []
        return self.answer(200, [entry for entry in entries if entry["path"] in wanted])


@pytest.fixture(scope="module")
def endpoint():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


ASK = """
import json, sys, time
from pathlib import Path
from w2s_ray.config.task import TaskSpec
from w2s_ray.core.errors import W2SError
from w2s_ray.data.prepare import prepare
time.sleep = lambda seconds: None  # the client's pauses between its attempts
for line in sys.stdin:
    try:
        made = prepare(TaskSpec.model_validate(json.loads(line)), Path("."))
        digests = {name: rows.digest for name, rows in made.splits.items()}
        answer = {"digests": digests, "facts": made.facts, "text": sorted(made.splits["test"].inputs["text"])}
    except W2SError as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    print("ANSWER", json.dumps(answer))
"""


def ask(tasks, cache: Path, endpoint: str, *, offline: bool):
    env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))} | {
        "HF_HOME": str(cache),
        "HF_ENDPOINT": endpoint,
        "HF_HUB_OFFLINE": str(int(offline)),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "no_proxy": "127.0.0.1",
    }
    lines = "".join(json.dumps(task) + "\n" for task in tasks)
    done = subprocess.run(
        [sys.executable, "-c", ASK], input=lines, env=env, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line.removeprefix("ANSWER ")) for line in done.stdout.splitlines() if line.startswith("ANSWER ")]


def test_hub_rows_online_and_then_from_the_cache(endpoint, tmp_path):
    sciq = {"data": f"hub:allenai/sciq@{COMMIT}"}
    tasks = [
        sciq,
        {"data": f"hub:org/two/two@{COMMIT}", "heldout": 0},
        {"data": f"hub:allenai/sciq@{COMMIT}#test", "test_data": f"hub:allenai/sciq@{COMMIT}#train"},
    ]
    online, two, swapped = ask(tasks, tmp_path, endpoint, offline=False)
    # the layout of allenai/sciq found its format, and its own test split
    assert online["facts"]["rows"] == {"train": 40, "test": 20}
    assert online["facts"]["identity"]["data"] == sciq["data"]
    assert all(
        text.startswith("Q: which one is number ") and int(text.split("?")[0].split()[-1]) >= 40
        for text in online["text"]
    )
    assert swapped["facts"]["rows"] == {"train": 20, "test": 40}
    assert "split" in two["error"]  # two rows fill no three splits, but they were found under their configuration

    offline, other, config = ask(
        [sciq, {"data": f"hub:allenai/sciq@{OTHER}"}, {"data": f"hub:org/two/one@{COMMIT}"}],
        tmp_path,
        "http://127.0.0.1:9",
        offline=True,
    )
    assert offline == online
    # `datasets` itself would take the cached copy, whatever revision was asked for
    assert f"the cache holds {COMMIT}" in other["error"] and "HF_HUB_OFFLINE" in other["error"]
    assert "not in the local cache" in config["error"]


def test_hub_faults_each_say_what_to_do(endpoint, tmp_path):
    expected = {
        f"org/gated@{COMMIT}": "is gated; ask for access at https://huggingface.co/datasets/org/gated",
        f"org/none@{COMMIT}": "is not on the hub or is private",
        f"org/busy@{COMMIT}": "check the network",
        f"org/scripted@{COMMIT}": "is a loading script",
        f"org/two@{COMMIT}": "needs one of the dataset's configurations",
        f"org/two/three@{COMMIT}": "needs one of the dataset's configurations",
        f"allenai/sciq@{OTHER}": "has no such commit",
        f"allenai/sciq@{COMMIT}#tset": "no split 'tset' (did you mean 'test'?)",
    }
    answers = ask([{"data": f"hub:{name}"} for name in expected], tmp_path, endpoint, offline=False)
    for (name, words), answer in zip(expected.items(), answers, strict=True):
        assert words in answer["error"] and name.split("#")[0] in answer["error"] and "\n" not in answer["error"], (
            answer
        )


def test_offline_and_not_cached_and_no_network(tmp_path):
    (offline,) = ask([{"data": f"hub:allenai/sciq@{COMMIT}"}], tmp_path, "http://127.0.0.1:9", offline=True)
    assert "is not in the local cache and HF_HUB_OFFLINE is set" in offline["error"]
    (nobody,) = ask([{"data": f"hub:allenai/sciq@{COMMIT}"}], tmp_path, "http://127.0.0.1:9", offline=False)
    assert "check the network" in nobody["error"]
