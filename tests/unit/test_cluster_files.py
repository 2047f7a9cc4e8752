"""`cluster/` is what it says: manifests fit KubeRay's schemas, `ray up` takes its files, place files load, versions are
those of `constraints.txt`, commands in the pages exist, and the Slurm script takes the right path in each trap."""

from __future__ import annotations

import copy
import gzip
import re
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from typer.main import get_command

from w2s_ray.cli.app import app
from w2s_ray.config.place import load_place
from w2s_ray.config.schema import Placements

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
SCHEMAS = ROOT.parent / "shared" / "crd"
PAGES = sorted(CLUSTER.rglob("*.md"))
MANIFESTS = {"raycluster.yaml": "ray.io_rayclusters.yaml.gz", "rayjob.yaml": "ray.io_rayjobs.yaml.gz"}
PRESETS = sorted((CLUSTER / "deepspeed").glob("*.yaml"))
PLACES = [*sorted(CLUSTER.rglob("*place*.yaml")), *PRESETS]
SCRIPTS = [*sorted(CLUSTER.rglob("*.sh")), *sorted(CLUSTER.rglob("*.sbatch"))]
UP = ("aws.yaml", "gcp.yaml")
(RAY,) = re.findall(r"^ray==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)

needs_schemas = pytest.mark.skipif(not SCHEMAS.is_dir(), reason=f"KubeRay's schemas are not at {SCHEMAS}")


def short(path: Path) -> str:
    return path.relative_to(CLUSTER).as_posix()


def loaded(name: str) -> Any:
    return yaml.safe_load((CLUSTER / name).read_text(encoding="utf-8"))


# Kubernetes


def closed(schema: Any) -> Any:
    """Without this, a key that does not exist passes."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    own = {name: closed(part) for name, part in schema.items()}
    return own | {"additionalProperties": False} if isinstance(own.get("properties"), dict) else own


def validator(name: str) -> jsonschema.Draft202012Validator:
    text = gzip.decompress((SCHEMAS / MANIFESTS[name]).read_bytes())
    definition = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    (version,) = [one for one in definition["spec"]["versions"] if one["name"] == "v1"]
    return jsonschema.Draft202012Validator(closed(version["schema"]["openAPIV3Schema"]))


@needs_schemas
@pytest.mark.parametrize("name", MANIFESTS)
def test_manifests_fit_the_schema_and_misspelt_keys_do_not(name: str) -> None:
    check, manifest = validator(name), loaded(f"kuberay/{name}")
    assert [error.message for error in check.iter_errors(manifest)] == []
    renamed = {
        "authOptions": "authOption",
        "rayStartParams": "rayStartParam",
        "idleTimeoutSeconds": "idleTimeoutS",
        "maxReplicas": "maxReplica",
        "readinessProbe": "readinesProbe",
        "emptyDir": "emptydir",
        "containerPort": "port",
    }
    if name == "rayjob.yaml":
        renamed |= {"backoffLimit": "backOffLimit", "ttlSecondsAfterFinished": "ttlSecondsAfterFinish"}
    for right, wrong in renamed.items():
        assert not check.is_valid(with_key_renamed(manifest, right, wrong)), wrong


def with_key_renamed(value: Any, right: str, wrong: str) -> Any:
    if isinstance(value, list):
        return [with_key_renamed(part, right, wrong) for part in value]
    if not isinstance(value, dict):
        return value
    return {wrong if name == right else name: with_key_renamed(part, right, wrong) for name, part in value.items()}


def cluster_spec(name: str) -> dict[str, Any]:
    spec = loaded(f"kuberay/{name}")["spec"]
    return spec["rayClusterSpec"] if name == "rayjob.yaml" else spec


@pytest.mark.parametrize(("name", "kind"), [("raycluster.yaml", "RayCluster"), ("rayjob.yaml", "RayJob")])
def test_what_a_cluster_on_kubernetes_must_have(name: str, kind: str) -> None:
    manifest, spec = loaded(f"kuberay/{name}"), cluster_spec(name)
    assert (manifest["apiVersion"], manifest["kind"]) == ("ray.io/v1", kind)
    assert spec["rayVersion"] == RAY
    assert spec["authOptions"] == {"mode": "token"}
    assert spec["enableInTreeAutoscaling"] is True
    assert spec["autoscalerOptions"]["version"] == "v2"
    head, workers = spec["headGroupSpec"], spec["workerGroupSpecs"]
    assert head["rayStartParams"] == {"num-cpus": "0"}, "text, and no work on the head"
    assert head["template"]["spec"]["containers"][0]["readinessProbe"]["exec"]["command"] == ["ray", "health-check"]
    for group in (head, *workers):
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        assert pod["restartPolicy"] == "Never", "autoscaler v2 asks for it"
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]
        (shm,) = [volume for volume in pod["volumes"] if volume["name"] == "shm"]
        assert shm["emptyDir"]["medium"] == "Memory"
        assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]
        assert container["image"] == "IMAGE"
        assert "token" not in str(container.get("env", "")).lower(), "no secret in a file"
    for group in workers:
        assert group["replicas"] == group["minReplicas"] == 0 < group["maxReplicas"]
        asks = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert ("nvidia.com/gpu" in asks) == ("labels" in group) == ("gpus" in group["groupName"])


def test_the_job_is_retried_ended_and_cleaned_up() -> None:
    spec = loaded("kuberay/rayjob.yaml")["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    assert spec["ttlSecondsAfterFinished"] > 0
    assert (spec["backoffLimit"], spec["entrypointNumCpus"]) == (2, 0)
    assert "activeDeadlineSeconds" not in spec
    assert "  # activeDeadlineSeconds: " in (CLUSTER / "kuberay/rayjob.yaml").read_text()
    assert spec["submissionMode"] == "K8sJobMode"
    for issue in ("4760", "4285", "4824", "4914"):
        assert f"#{issue}" in (CLUSTER / "kuberay/rayjob.yaml").read_text(), "the reasons for the mode"


def test_both_manifests_describe_the_same_cluster() -> None:
    """But for the study, which the job's head mounts."""
    job = copy.deepcopy(cluster_spec("rayjob.yaml"))
    pod = job["headGroupSpec"]["template"]["spec"]
    assert pod["volumes"].pop(0) == {"name": "study", "configMap": {"name": "w2s-study"}}
    mount = pod["containers"][0]["volumeMounts"].pop()
    assert (mount["name"], mount["readOnly"]) == ("study", True)
    assert job == cluster_spec("raycluster.yaml")
    entrypoint = loaded("kuberay/rayjob.yaml")["spec"]["entrypoint"]
    assert set(re.findall(r"/\w+(?=/)", entrypoint)) == {mount["mountPath"]}


def test_roles_find_the_groups_that_are_meant_for_them() -> None:
    labels = [group["labels"] for group in cluster_spec("raycluster.yaml")["workerGroupSpecs"] if "labels" in group]
    on_kubernetes = load_place(CLUSTER / "kuberay/place.yaml").resources
    assert [on_kubernetes["weak"]["labels"], on_kubernetes["strong"]["labels"]] == labels
    for cloud in ("aws", "gcp"):
        types = loaded(f"{cloud}.yaml")["available_node_types"]
        place = load_place(CLUSTER / f"{cloud}-place.yaml").resources
        for role, kind in (("weak", "small-gpu"), ("strong", "large-gpu")):
            assert place[role]["custom"].keys() <= types[kind]["resources"].keys()
    sizes = Placements.model_validate(on_kubernetes)
    for role, group in (("weak", "small-gpus"), ("strong", "large-gpus")):
        (pod,) = [one for one in cluster_spec("raycluster.yaml")["workerGroupSpecs"] if one["groupName"] == group]
        limits = pod["template"]["spec"]["containers"][0]["resources"]["limits"]
        assert getattr(sizes, role).cpus <= float(limits["cpu"])


# `ray up`


@pytest.mark.parametrize("name", UP)
def test_ray_up_takes_the_file(name: str) -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = prepare_config(loaded(name))
    validate_config(config)
    with pytest.raises(jsonschema.ValidationError):
        validate_config({**config, "idle_timeout_minute": 5})
    head = config["available_node_types"][config["head_node_type"]]
    assert (head["resources"], head["max_workers"]) == ({"CPU": 0}, 0)
    workers = [one for kind, one in config["available_node_types"].items() if kind != config["head_node_type"]]
    assert all(one["min_workers"] == 0 < one["max_workers"] for one in workers)
    assert all("spot" in str(one["node_config"]) or "preemptible" in str(one["node_config"]) for one in workers)
    assert "spot" not in str(head["node_config"])
    assert "preemptible" not in str(head["node_config"])
    starts = [line for key in ("head", "worker") for line in config[f"{key}_start_ray_commands"] if "ray start" in line]
    assert len(starts) == 2
    for line in starts:
        assert "RAY_AUTH_MODE=token" in line
        assert_ray_knows("start", shlex.split(line.rpartition("ray start ")[2]))
    assert "--dashboard-host=127.0.0.1" in starts[0]
    assert "~/.ray/auth_token" in config["file_mounts"]
    for source in config["file_mounts"].values():
        assert source.startswith("~") or (ROOT / source).exists(), source


def test_a_machine_on_aws_is_ended_and_closed_to_the_world() -> None:
    provider = loaded("aws.yaml")["provider"]
    assert provider["cache_stopped_nodes"] is False
    (rule,) = provider["security_group"]["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"], rule["IpRanges"]) == (22, 22, [{"CidrIp": "MY_ADDRESS/32"}])


# SkyPilot


def test_skypilot_leaves_its_own_ray_alone() -> None:
    task = loaded("skypilot.yaml")
    assert task.keys() == {"name", "workdir", "num_nodes", "resources", "envs", "secrets", "setup", "run"}
    assert not {task["envs"]["RAY_HEAD_PORT"], task["envs"]["RAY_DASHBOARD_PORT"]} & {"6380", "8266"}
    assert task["envs"]["RAY_DASHBOARD_HOST"] == "127.0.0.1"
    assert "ray stop" not in task["run"]
    assert "--address auto" not in task["run"]
    assert task["secrets"] == {"RAY_AUTH_TOKEN": None}
    assert task["resources"]["autostop"]["down"] is True
    for script in (task["setup"], task["run"]):
        subprocess.run(["bash", "-n"], input=script, text=True, check=True)


# Place files


@pytest.mark.parametrize("path", PLACES, ids=short)
def test_place_files_load(path: Path) -> None:
    place = load_place(path)
    assert None not in place.env.values(), "a variable that this machine must have"
    if path in PRESETS:
        assert (place.address, place.store, set(place.resources)) == (None, "", {"strong"})
        assert Placements.model_validate(place.resources).strong.sharded
        assert path.name in (path.parent / "README.md").read_text()
    else:
        assert place.store.startswith(("s3://BUCKET/", "gs://BUCKET/"))
        assert place.runs.startswith(("s3://BUCKET/", "gs://BUCKET/")), "what is on a job's own disk is gone with it"


# Versions


def test_versions_are_those_of_the_constraints() -> None:
    files = [path for path in CLUSTER.rglob("*") if path.is_file()]
    texts = {short(path): path.read_text(encoding="utf-8") for path in files}
    tags = {tag for text in texts.values() for tag in re.findall(r"w2s-ray:([\d.]+)", text)}
    assert tags == {RAY}
    pythons = {version for text in texts.values() for version in re.findall(r"--python (3[\d.]+)", text)}
    assert pythons == set(re.findall(r"^FROM python:(3\.\d+\.\d+)-slim", texts["Dockerfile"], re.MULTILINE))
    installs = [line for name in (*UP, "skypilot.yaml", "Dockerfile") for line in texts[name].splitlines()]
    ours = [line for line in installs if re.search(r"pip install .*\[(s3|gcs)", line)]
    assert len(ours) == 4
    assert all("constraints.txt" in line for line in ours)


def test_the_image_copies_what_is_there_and_is_not_roots() -> None:
    text = (CLUSTER / "Dockerfile").read_text()
    copies = [line.split() for line in re.findall(r"^COPY (.*)", text, re.MULTILINE)]
    sources = [word for words in copies if not words[0].startswith("--from") for word in words[:-1]]
    sent = (ROOT / ".dockerignore").read_text().splitlines()
    for source in sources:
        assert (ROOT / source).exists()
        assert f"!{source}" in sent
    assert "*" in sent
    assert re.findall(r"^USER (\w+)", text, re.MULTILINE) == ["1000"], "a number, which Kubernetes can tell from root"
    assert not re.search(r"^\s*(ENV )?\s*HF_HUB_OFFLINE=", text, re.MULTILINE)
    assert {"g++", "ninja-build"} <= set(text.split()), "DeepSpeed on CPUs"


def test_the_image_is_of_the_wheel_and_begins_with_w2s() -> None:
    """Two stages: what builds the wheel is not in the image."""
    text = (CLUSTER / "Dockerfile").read_text()
    stages = re.findall(r"^FROM (\S+)(?: AS (\w+))?$", text, re.MULTILINE)
    assert [name for _, name in stages] == ["wheel", ""]
    assert all(re.fullmatch(r"\S+:\d+\.\d+\.\d+-\w+", image) for image, _ in stages), "pinned, and never `latest`"
    _, build, image = text.split("\nFROM ")
    assert "pip wheel" in build
    assert "COPY --from=wheel" in image
    assert "COPY w2s_ray" not in image
    assert re.findall(r"^(?:ENTRYPOINT|CMD) (.*)$", image, re.MULTILINE) == ['["w2s"]', '["--help"]']
    assert re.findall(r"^ARG (\w+)=", image, re.MULTILINE) == ["TORCH_INDEX"]


# Pages


def blocks(path: Path) -> list[str]:
    return re.findall(r"^ *```\w*\n(.*?)^ *```", path.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands(program: str) -> Iterator[tuple[str, list[str]]]:
    """Every call of it in blocks, in code spans, and in the files that call it."""
    texts = [(path, block) for path in PAGES for block in blocks(path)]
    spans = [
        (path, span.replace("\n", " "))
        for path in PAGES
        for span in re.findall(
            r"`([^`]+)`", re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        )
    ]
    files = [CLUSTER / "skypilot.yaml", CLUSTER / "kuberay/rayjob.yaml"]
    for path, text in [*texts, *spans, *((path, path.read_text(encoding="utf-8")) for path in files)]:
        for line in re.sub(r"\\\n\s*", " ", text).splitlines():
            call = re.match(
                rf"\s*(?:entrypoint: |ExecStart=)?(?:\w*[$#] )?(?:\S*/)?{program} ([a-z][a-z-]*(?: .*)?)$", line
            )
            if call:
                words = shlex.split(call[1], comments=True)
                ends = [n for n, word in enumerate(words) if word in ("&&", "|", "&", ">/dev/null") or word[0] == "…"]
                yield short(path), words[: min(ends, default=len(words))]


def test_commands_of_w2s_exist_with_their_options() -> None:
    known = get_command(app).commands
    found = list(commands("w2s"))
    for where, (name, *words) in found:
        assert name in known, f"{where}: w2s {name}"
        options = {one for parameter in known[name].params for one in (*parameter.opts, *parameter.secondary_opts)}
        assert [word for word in words if word.startswith("-") and word not in options] == [], f"{where}: w2s {name}"
        for word in words:
            if re.match(r"(experiments|cluster)/.*\.yaml$", word):
                assert (ROOT / word).exists(), f"{where}: {word}"
    assert {"submit", "run", "report", "status", "logs", "stop"} <= {words[0] for _, words in found}
    assert {short(path) for path in PAGES} <= {where for where, _ in found}, "each page ends in a result"


def assert_ray_knows(name: str, words: list[str]) -> None:
    from ray.scripts.scripts import cli

    options = {one for parameter in cli.commands[name].params for one in parameter.opts}
    asked = {word.partition("=")[0] for word in words if word.startswith("--")}
    assert asked <= options, name


def test_commands_of_ray_exist_with_their_options() -> None:
    found = list(commands("ray"))
    for _, (name, *words) in found:
        assert_ray_knows(name, words)
    assert {"start", "up", "down", "dashboard", "get-auth-token"} <= {words[0] for _, words in found}


@pytest.mark.parametrize("path", PAGES, ids=short)
def test_links_and_files_that_are_named_exist(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    links = [one for one in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in one]
    assert [one for one in links if not (path.parent / one.partition("#")[0]).exists()] == []
    headings = {
        re.sub(r"[^\w -]", "", line).strip().lower().replace(" ", "-") for line in re.findall(r"^#+ (.*)", text, re.M)
    }
    assert [one for one in links if one.startswith("#") and one[1:] not in headings] == []
    named = re.findall(r"cluster/[\w./-]+\.(?:yaml|sbatch|sh|md)\b|cluster/Dockerfile", text)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_the_table_names_everything_and_says_what_was_run() -> None:
    text = (CLUSTER / "README.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    assert all("only validated" in row or " run" in row or "never built" in row for row in rows)
    there = {path.name for path in CLUSTER.iterdir()} - {"README.md"}
    assert {name for name in there if name not in text} == set()
    for path in PAGES:
        assert re.search(r"^#+ .*[Ss]top|\*\*Stop paying|nodes.sh down|Presets", path.read_text(), re.MULTILINE), path


@pytest.mark.parametrize("path", [path for path in CLUSTER.rglob("*") if path.is_file()], ids=short)
def test_lines_are_120_columns(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if len(line) > 120 and not line.startswith("|")] == []


# Scripts


@pytest.mark.parametrize("path", SCRIPTS, ids=short)
def test_scripts_are_well_formed(path: Path) -> None:
    subprocess.run(["bash", "-n", path], check=True)
    if (tool := shutil.which("shellcheck")) is not None:
        subprocess.run([tool, "--severity=warning", path], check=True)


def test_the_ports_of_the_slurm_script_are_options_of_ray_start() -> None:
    text = (CLUSTER / "slurm/w2s.sbatch").read_text()
    (ports,) = re.findall(r"^ports=\((.*?)^\)", text, re.DOTALL | re.MULTILINE)
    asked = re.findall(r"--[a-z-]+(?==)", ports)
    assert len(asked) == 10
    assert_ray_knows("start", [*asked, "--temp-dir", "--disable-usage-stats"])
    assert_ray_knows("symmetric-run", ["--address", "--min-nodes"])


# What is not on this machine: Slurm, which runs each command once, and a `ray symmetric-run` that only runs what it is
# given, or fails as the real one does.
STAND_INS = {
    "srun": 'while [[ ${1:-} == --* ]]; do shift; done\nexec "$@"',
    "scontrol": 'if [[ $1 == show ]]; then echo node1; else echo "scontrol $*" >>calls; fi',
    "hostname": 'if [[ ${1:-} == -I ]]; then echo "127.0.1.1 fe80::1 10.1.2.3 192.168.0.5"; else echo node1; fi',
    "ray": '[[ -z ${RAY_FAILS:-} ]] || { echo "Failed to start Ray" >&2; exit 0; }\n'
    'mode=$(stat -c %a "$RAY_AUTH_TOKEN_PATH") wait=$RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT\n'
    'echo "$RAY_AUTH_MODE $mode $wait ray $*" >>calls\n'
    'while [[ $1 != -- ]]; do shift; done; shift\n"$@"',
    "w2s": "trap 'exit 130' TERM\necho \"w2s $*\" >>calls\n"
    'for ((n = 0; n < ${STUDY_TENTHS:-0}; n++)); do sleep .1; done\nexit "${STUDY_CODE:-0}"',
}


class Job:
    """The script as Slurm runs it, on one machine."""

    def __init__(self, folder: Path, store: str = "/shared/store", **variables: str) -> None:
        self.folder = folder
        programs = folder / "bin"
        programs.mkdir()
        for name, body in STAND_INS.items():
            (programs / name).write_text(f"#!/usr/bin/env bash\n{body}\n")
            (programs / name).chmod(0o755)
        (folder / "study.yaml").touch()
        self.process = subprocess.Popen(
            ["bash", CLUSTER / "slurm/w2s.sbatch", "study.yaml", store, "--runs", "/shared/runs"],
            env={
                "PATH": f"{programs}:/usr/bin:/bin",
                "W2S_BIN": str(programs),
                "SLURM_SUBMIT_DIR": str(folder),
                "SLURM_JOB_ID": "7",
                "SLURM_JOB_NODELIST": "node1",
                **variables,
            },
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def calls(self) -> str:
        path = self.folder / "calls"
        return path.read_text() if path.exists() else ""

    def ended(self) -> tuple[int, str]:
        said = self.process.communicate(timeout=60)[1]
        return self.process.returncode, said


def test_slurm_runs_the_study_on_a_private_cluster(tmp_path: Path) -> None:
    job = Job(tmp_path)
    assert job.ended() == (0, "")
    ray, study = re.search(r"^(.*?) -- ", job.calls)[1], job.calls.splitlines()[-1]
    assert ray.startswith("token 600 600 ray symmetric-run --address 10.1.2.3:20001 --min-nodes 1 ")
    assert study == "w2s run study.yaml --address 10.1.2.3:20001 --store /shared/store --runs /shared/runs"
    assert not (tmp_path / ".w2s-slurm/7/token").exists()


def test_slurm_takes_the_address_that_is_asked_for(tmp_path: Path) -> None:
    job = Job(tmp_path, W2S_SUBNET="192.", W2S_PORT="23001", W2S_WAIT_S="90")
    assert job.ended()[0] == 0
    assert "token 600 90 ray symmetric-run --address 192.168.0.5:23001" in job.calls
    assert "--max-worker-port=24000" in job.calls


def test_slurm_fails_where_ray_did_not_start_though_it_says_0(tmp_path: Path) -> None:
    code, said = Job(tmp_path, RAY_FAILS="1").ended()
    assert code == 1
    assert "did not end well" in said


def test_slurm_fails_with_the_study_and_does_not_queue_again(tmp_path: Path) -> None:
    """Even where an earlier run under the same number had ended well."""
    (tmp_path / ".w2s-slurm/7").mkdir(parents=True)
    (tmp_path / ".w2s-slurm/7/done").touch()
    job = Job(tmp_path, STUDY_CODE="2")
    assert job.ended()[0] == 2
    assert "scontrol" not in job.calls


def test_slurm_stops_the_study_at_a_notice_and_queues_again(tmp_path: Path) -> None:
    job = Job(tmp_path, STUDY_TENTHS="300")
    deadline = time.monotonic() + 30
    while "w2s run" not in job.calls and time.monotonic() < deadline:
        time.sleep(0.05)
    job.process.send_signal(signal.SIGTERM)
    started = time.monotonic()
    code, said = job.ended()
    assert code == 0
    assert "queueing again" in said
    assert time.monotonic() - started < 10
    assert job.calls.splitlines()[-1] == "scontrol requeue 7"


def test_slurm_refuses_a_folder_that_is_not_shared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other machine is a `srun` that looks for the canary elsewhere, and once."""
    elsewhere = (
        "while [[ ${1:-} == --* ]]; do shift; done\nwords=()\n"
        """for word in "$@"; do
            words+=("$(sed -e 's,.*/7/canary$,/nowhere/canary,' -e 's/{1..30}/1/' <<<"$word")")
        done
        """
        'exec "${words[@]}"'
    )
    monkeypatch.setitem(STAND_INS, "srun", elsewhere)
    job = Job(tmp_path)
    code, said = job.ended()
    assert code == 1
    assert "node1 does not see /nowhere/canary" in said
    assert "not on a disk that all machines share" in said
    assert job.calls == ""


def test_slurm_refuses_a_store_on_one_machine(tmp_path: Path) -> None:
    job = Job(tmp_path, store="store")
    assert job.ended() == (
        1,
        "w2s.sbatch: STORE is store; give an absolute path on a shared disk, or s3://…\n",
    )
    assert job.calls == ""
