"""Manifests for Kubernetes, held against its published schemas, and against each other."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.packaging.made import DEFINITION, config_of, make_project

from headrace.cli import main
from headrace.definition.reader import read_serving
from headrace.packaging.kubernetes import check_kubernetes_name, kubernetes_name
from headrace.serving.deployments import NAME
from headrace.serving.probing import PROBE_BYTES, PROBE_S
from headrace.serving.workforce import START_TURNS, TURN_S

IMAGE = "registry.example/delays@sha256:" + "b" * 64
SCHEMAS = "1.37"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "project"
    make_project(root, definition=f'{DEFINITION}\n[serving]\nworkers = 2\ndrain = "8s"\nhosts = ["predict.example"]\n')
    monkeypatch.setenv("HEADRACE_CONFIG", str(config_of(root)))
    monkeypatch.delenv("HEADRACE_PROJECT", raising=False)
    monkeypatch.chdir(root)
    return root


def written(*words: str) -> dict[str, Any]:
    """File → what is in it."""
    assert main(["package", "delays", "--to", "kubernetes", "--image", IMAGE, "-o", "out", *words]) == 0
    return {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(Path("out").iterdir())}


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--no-embed", "--namespace", "scoring", "--log-claim", "prediction-logs"),
        ("--deployment", "late_1", "--pods", "1", "--most-pods", "1"),
    ],
)
def test_they_are_what_kubernetes_takes(root: Path, words: tuple[str, ...]) -> None:
    for manifest in written(*words).values():
        kubernetes_validate.validate(manifest, SCHEMAS, strict=True)


def test_a_schema_would_have_told(root: Path) -> None:
    deployment = written()["deployment"]
    deployment["spec"]["template"]["spec"]["containers"][0]["readOnlyRootFilesystem"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, SCHEMAS, strict=True)


def test_pods_have_no_more_rights_than_the_restricted_standard_gives(root: Path) -> None:
    pod = written()["deployment"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
    assert {kind for volume in pod["volumes"] for kind in volume.keys() - {"name"}} == {"emptyDir", "configMap"}


def test_the_parts_speak_of_each_other(root: Path) -> None:
    made = written()
    spec = made["deployment"]["spec"]
    pod, labels = spec["template"]["spec"], spec["template"]["metadata"]["labels"]
    [container] = pod["containers"]
    assert container["image"] == IMAGE
    for selector in (
        spec["selector"]["matchLabels"],
        made["service"]["spec"]["selector"],
        made["disruption"]["spec"]["selector"]["matchLabels"],
        made["network"]["spec"]["podSelector"]["matchLabels"],
        *(each["labelSelector"]["matchLabels"] for each in pod["topologySpreadConstraints"]),
    ):
        assert selector.items() <= labels.items()
    assert made["service"]["spec"]["ports"][0]["targetPort"] == container["ports"][0]["name"]
    assert made["autoscaler"]["spec"]["scaleTargetRef"]["name"] == made["deployment"]["metadata"]["name"]
    mounted = {mount["name"] for mount in container["volumeMounts"]}
    assert mounted == {volume["name"] for volume in pod["volumes"]}
    [configuration] = [volume["configMap"]["name"] for volume in pod["volumes"] if "configMap" in volume]
    assert configuration == made["configuration"]["metadata"]["name"]
    assert pod["terminationGracePeriodSeconds"] > 8 + 30  # longer than it drains and answers
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["httpHeaders"] == [{"name": "Host", "value": "localhost"}]
    start = container["startupProbe"]
    trying_s, loading_s = PROBE_S, 2 * START_TURNS * TURN_S  # two minutes are left to copy in
    assert start["periodSeconds"] * start["failureThreshold"] >= 120 + trying_s + loading_s
    assert made["network"]["spec"]["egress"] == []


def test_the_server_answers_by_the_names_of_its_service(root: Path) -> None:
    text = written("--namespace", "scoring")["configuration"]["data"]["headrace.toml"]
    (root / "read.toml").write_text(text, encoding="utf-8")
    serving = read_serving(root / "read.toml").serving
    names = ("delays", "delays.scoring", "delays.scoring.svc", "delays.scoring.svc.cluster.local")
    assert serving.hosts == ("predict.example", *names)
    assert (serving.host, serving.workers, serving.drain_us) == ("0.0.0.0", 2, 8_000_000)


def test_the_autoscaler_alone_says_how_many_pods_there_are(root: Path) -> None:
    made = written("--pods", "3", "--most-pods", "9")
    assert "replicas" not in made["deployment"]["spec"]  # it would undo what busy processors had called for
    assert (made["autoscaler"]["spec"]["minReplicas"], made["autoscaler"]["spec"]["maxReplicas"]) == (3, 9)


def test_another_definition_makes_other_pods(root: Path) -> None:
    def annotated(folder: str, *words: str) -> dict[str, str]:
        assert main(["package", "delays", "--to", "kubernetes", "--image", IMAGE, "-o", folder, *words]) == 0
        deployment = yaml.safe_load(Path(folder, "deployment.yaml").read_text(encoding="utf-8"))
        found: dict[str, str] = deployment["spec"]["template"]["metadata"]["annotations"]
        return found

    assert annotated("one") == annotated("same") != annotated("other", "--host", "more.example")


def test_memory_is_enough_for_the_most_workers_that_a_pod_may_have(root: Path) -> None:
    def limit() -> int:
        [container] = written()["deployment"]["spec"]["template"]["spec"]["containers"]
        return int(container["resources"]["limits"]["memory"].removesuffix("Mi"))

    two = limit()
    assert two * 2**20 >= PROBE_BYTES + 2 * 2**29  # a hostile version is refused, and does not end the pod
    shutil.rmtree("out")
    definition = root / "headrace.toml"
    text = definition.read_text(encoding="utf-8").replace("workers = 2", "workers = { min = 2, max = 6 }")
    definition.write_text(text, encoding="utf-8")
    assert limit() - two == 4 * 512


def test_stores_and_logs_elsewhere_are_reached(root: Path) -> None:
    made = written("--no-embed", "--log-claim", "logs")
    pod = made["deployment"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert [each["name"] for each in container["env"]] == ["HEADRACE_OBJECTS", "HEADRACE_ONLINE", "POD_NAME"]
    assert {each["valueFrom"]["secretKeyRef"]["name"] for each in container["env"][:2]} == {"delays-stores"}
    [log] = [mount for mount in container["volumeMounts"] if mount["name"] == "log"]
    assert log["subPathExpr"] == "$(POD_NAME)"
    ports = [port["port"] for rule in made["network"]["spec"]["egress"] for port in rule["ports"]]
    assert sorted(ports) == [53, 53, 443, 6379]


NAMES = (
    *("a-b", "a_b", "a-b-", "a_b_", "a--b", "a-_b", "a__b", "a" * 53, "a" * 54, "a" * 64, "a" * 63 + "b"),
    *(
        "a" * 52 + "_",
        "a" * 52 + "-",
        "model-20261127",
        kubernetes_name("a_b"),
        kubernetes_name(kubernetes_name("a_b")),
    ),
)


def test_no_two_deployments_are_called_the_same() -> None:
    called = {name: kubernetes_name(name) for name in NAMES}
    assert len(set(called.values())) == len(NAMES)
    assert {name for name in NAMES if called[name] == name} == {"a-b", "a--b", "a" * 53, "model-20261127"}
    assert called["a_b"] == "a-b-x648fa9b3"  # of all releases: it is what kubectl finds again
    for name in called.values():
        assert re.fullmatch(r"[a-z]([a-z0-9-]{0,51}[a-z0-9])?", name)  # RFC 1035, with room for what is added


@given(st.lists(st.from_regex(NAME, fullmatch=True).filter(lambda name: name[0].isalpha()), unique=True))
def test_whatever_they_are(names: list[str]) -> None:
    called = {kubernetes_name(name) for name in names}
    assert len(called) == len(names)
    assert {check_kubernetes_name(name) for name in called} == called


def test_a_name_that_kubernetes_does_not_take_is_told(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = written("--deployment", "late_1", "--no-embed")
    called = kubernetes_name("late_1")
    assert f"everything is called {called} there" in capsys.readouterr().out
    assert {manifest["metadata"]["name"] for manifest in made.values()} == {called, f"{called}-serving"}
    [container] = made["deployment"]["spec"]["template"]["spec"]["containers"]
    assert container["env"][0]["valueFrom"]["secretKeyRef"]["name"] == f"{called}-stores"
    assert called in made["configuration"]["data"]["headrace.toml"]


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("--to", "kubernetes"), "package-options-unclear"),
        (("--image", IMAGE), "package-options-unclear"),
        (("--to", "kubernetes", "--image", "A B"), "image-name-invalid"),
        (("--to", "kubernetes", "--image", IMAGE, "--namespace", "a: b"), "kubernetes-name-invalid"),
        (("--to", "kubernetes", "--image", IMAGE, "--log-claim", "A"), "kubernetes-name-invalid"),
        (("--to", "kubernetes", "--image", IMAGE, "--deployment", "3d"), "kubernetes-name-invalid"),
        (("--to", "kubernetes", "--image", IMAGE, "--pods", "3", "--most-pods", "2"), "pods-unclear"),
        (("--to", "kubernetes", "--image", IMAGE, "--base", "python"), "package-options-unclear"),
    ],
)
def test_what_cannot_be_is_refused(
    root: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: str
) -> None:
    assert main(["package", "delays", "-o", "out", *words, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == code
    assert not (root / "out").exists()
