"""Manifests of a packed server for Kubernetes: as data, written by a YAML serializer.

They ask for the `restricted` Pod Security Standard's rights and no more: an unprivileged user, a root that may not be
written to, no capabilities, the runtime's own seccomp profile, no token of a service account, no way out of the pod but
to the stores that it needs.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec

from headrace.errors import MissingDependency
from headrace.packaging.containerfile import Image
from headrace.packaging.context import HOME, PORT, STATE, UID, Contents
from headrace.packaging.errors import KubernetesNameInvalid
from headrace.packaging.serving_toml import serving_toml
from headrace.serving.batch.process import MEMORY_BYTES, MOST
from headrace.serving.probing import PROBE_BYTES

LONGEST_ANSWERS_S: Final = 30
"""What a server that has stopped taking connections may take for what was asked."""
RESERVE_S: Final = 5
STATE_GIB: Final = 4
"""What a pod may keep of its log and of versions; with more of it Kubernetes takes the pod away."""
_LONGEST: Final = 53
"""Of a name, so that there is room for what is added to it: with more than 63 it would be none."""
_NAME: Final = re.compile(rf"[a-z0-9](?:[a-z0-9-]{{0,{_LONGEST - 2}}}[a-z0-9])?")
_DIGITS: Final = 8
_MADE: Final = re.compile(rf"-x[0-9a-f]{{{_DIGITS}}}\Z")
"""How a name ends that was made of one that Kubernetes would not take."""
_METADATA: Final = "kubernetes.io/metadata.name"
_DEFINITION: Final = "headrace.toml"


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where and how many."""

    image: Image
    namespace: str = "default"
    least: int = 2
    """Pods, at any time that nothing is wrong."""
    most: int = 10
    log_claim: str | None = None
    """A volume that many pods may write, for the logs of predictions; None: a log ends with its pod."""


def kubernetes_name(deployment: str) -> str:
    """What Kubernetes calls a deployment: its own name, where that is one there; else what of it can be, and a digest
    of it. A name that ends like one that was made so gets a digest too: no two are called the same.

    Raises
    ------
    KubernetesNameInvalid : it begins with a digit, and services do not (RFC 1035).

    Examples
    --------
    >>> kubernetes_name("flight-delays"), kubernetes_name("flight_delays")
    ('flight-delays', 'flight-delays-xdfa56b23')
    """
    name = deployment
    if not _NAME.fullmatch(name) or _MADE.search(name):
        digest = hashlib.sha256(deployment.encode()).hexdigest()[:_DIGITS]
        fits = deployment.replace("_", "-")[: _LONGEST - len("-x") - _DIGITS].rstrip("-")
        name = f"{fits}-x{digest}"
    if not name[0].isalpha():
        raise KubernetesNameInvalid(deployment)
    return name


def check_kubernetes_name(name: str) -> str:
    """As Kubernetes names things, short enough for what is added to it; raises `KubernetesNameInvalid`."""
    if not _NAME.fullmatch(name):
        raise KubernetesNameInvalid(name)
    return name


def kubernetes_files(contents: Contents, needs: Sequence[str], cluster: Cluster) -> dict[str, bytes]:
    """File → bytes of a folder for `kubectl apply -f`.

    Parameters
    ----------
    needs : variables that the environment has to have: keys of the secret `NAME-stores`

    Raises
    ------
    KubernetesNameInvalid
    MissingDependency : no YAML library
    """
    try:
        import yaml
    except ImportError as error:
        raise MissingDependency("pyyaml", extra="build", needed_for="writing Kubernetes manifests") from error

    made = manifests(contents, needs, cluster)
    return {
        f"{name}.yaml": yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True).encode()
        for name, manifest in made.items()
    }


def manifests(contents: Contents, needs: Sequence[str], cluster: Cluster) -> dict[str, dict[str, Any]]:
    """Each as data, by the name of its file; see `kubernetes_files`."""
    name = kubernetes_name(contents.deployment)
    check_kubernetes_name(cluster.namespace)
    if cluster.log_claim is not None:
        check_kubernetes_name(cluster.log_claim)
    of = _Of(name, cluster.namespace, contents.version.number if contents.objects is not None else None)
    pods, definition = {"matchLabels": of.selected}, _definition(contents, of)
    deployed = _deployment(contents, needs, cluster, of, definition)
    return {
        "configuration": of.made("v1", "ConfigMap", {"data": {_DEFINITION: definition}}, f"{name}-serving"),
        "deployment": of.made("apps/v1", "Deployment", {"spec": deployed}),
        "service": of.made(
            "v1",
            "Service",
            {
                "spec": {
                    "type": "ClusterIP",
                    "selector": of.selected,
                    "ports": [{"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}],
                }
            },
        ),
        "autoscaler": of.made("autoscaling/v2", "HorizontalPodAutoscaler", {"spec": _autoscaler(cluster, of)}),
        "disruption": of.made("policy/v1", "PodDisruptionBudget", {"spec": {"maxUnavailable": 1, "selector": pods}}),
        "network": of.made("networking.k8s.io/v1", "NetworkPolicy", {"spec": _network(needs, of)}),
    }


@dataclass(frozen=True, slots=True)
class _Of:
    """What all of them share."""

    name: str
    namespace: str
    version: int | None

    @property
    def selected(self) -> dict[str, str]:
        """Labels that never change."""
        return {"app.kubernetes.io/name": "headrace", "app.kubernetes.io/instance": self.name}

    def made(self, api: str, kind: str, rest: Mapping[str, Any], name: str | None = None) -> dict[str, Any]:
        version = {} if self.version is None else {"app.kubernetes.io/version": str(self.version)}
        metadata = {
            "name": name or self.name,
            "namespace": self.namespace,
            "labels": {**self.selected, **version, "app.kubernetes.io/managed-by": "headrace"},
        }
        return {"apiVersion": api, "kind": kind, "metadata": metadata, **rest}


def _definition(contents: Contents, of: _Of) -> str:
    """That of the image, which also answers by the names that the service has."""
    definition = contents.definition
    names = [of.name, f"{of.name}.{of.namespace}", f"{of.name}.{of.namespace}.svc"]
    names.append(f"{names[-1]}.cluster.local")
    hosts = tuple(dict.fromkeys((*definition.serving.hosts, *names)))
    serving = msgspec.structs.replace(definition.serving, hosts=hosts)
    return serving_toml(replace(definition, serving=serving))


def _deployment(contents: Contents, needs: Sequence[str], cluster: Cluster, of: _Of, definition: str) -> dict[str, Any]:
    """How many pods is the autoscaler's to say: a number here would take pods away whenever it is applied anew."""
    drain_s = -(-contents.definition.serving.drain_us // 1_000_000)
    version = {} if of.version is None else {"app.kubernetes.io/version": str(of.version)}
    spread = [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": of.selected},
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]
    return {
        "revisionHistoryLimit": 5,
        "selector": {"matchLabels": of.selected},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}},
        "template": {
            "metadata": {
                "labels": {**of.selected, **version},
                # a file that is mounted by subPath never changes in a pod: another definition is another pod
                "annotations": {"headrace/definition": hashlib.sha256(definition.encode()).hexdigest()},
            },
            "spec": {
                "automountServiceAccountToken": False,
                "enableServiceLinks": False,
                "terminationGracePeriodSeconds": drain_s + LONGEST_ANSWERS_S + RESERVE_S,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": UID,
                    "runAsGroup": UID,
                    "fsGroup": UID,
                    "fsGroupChangePolicy": "OnRootMismatch",
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "topologySpreadConstraints": spread,
                "containers": [_container(contents, needs, cluster, of)],
                "volumes": _volumes(cluster, of),
            },
        },
    }


def _container(contents: Contents, needs: Sequence[str], cluster: Cluster, of: _Of) -> dict[str, Any]:
    serving, image = contents.definition.serving, cluster.image
    most_workers = serving.most_workers or serving.workers
    mounts: list[dict[str, Any]] = [
        {"name": "state", "mountPath": STATE},
        {"name": "serving", "mountPath": f"{HOME}/{_DEFINITION}", "subPath": _DEFINITION, "readOnly": True},
    ]
    environment: list[dict[str, Any]] = [
        {"name": need, "valueFrom": {"secretKeyRef": {"name": f"{of.name}-stores", "key": need}}} for need in needs
    ]
    if cluster.log_claim is not None:  # every pod in a folder of its own
        environment.append({"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}})
        mounts.append({"name": "log", "mountPath": f"{STATE}/log", "subPathExpr": "$(POD_NAME)"})
    batches = MOST * MEMORY_BYTES if serving.batch else 0
    return {
        "name": "serve",
        "image": image.tagged if image.digest is None else f"{image.name}@{image.digest}",
        "ports": [{"name": "http", "containerPort": PORT, "protocol": "TCP"}],
        **({"env": environment} if environment else {}),
        **({"envFrom": [{"secretRef": {"name": f"{of.name}-stores"}}]} if needs else {}),
        # copying a version may take minutes, then it is tried (20 s) and loaded (20 s); a pod that is ended before that
        # begins anew, later each time
        "startupProbe": {**_asks("/readyz"), "periodSeconds": 2, "failureThreshold": 150, "timeoutSeconds": 2},
        "readinessProbe": {**_asks("/readyz"), "periodSeconds": 2, "failureThreshold": 2, "timeoutSeconds": 2},
        "livenessProbe": {**_asks("/healthz"), "periodSeconds": 10, "failureThreshold": 6, "timeoutSeconds": 5},
        "resources": {
            "requests": {"cpu": str(serving.workers), "memory": f"{256 + 128 * serving.workers}Mi"},
            # a version that is tried may take so much until it is refused, and so may each batch that is read: a pod
            # that ran out would be ended whole; of processors none: a limit only makes answers late
            "limits": {"memory": f"{(PROBE_BYTES + batches) // 2**20 + 1024 + 512 * most_workers}Mi"},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": mounts,
    }


def _asks(path: str) -> dict[str, Any]:
    """A probe names a host that every server answers to; the pod's own address is none."""
    return {"httpGet": {"path": path, "port": "http", "httpHeaders": [{"name": "Host", "value": "localhost"}]}}


def _volumes(cluster: Cluster, of: _Of) -> list[dict[str, Any]]:
    volumes: list[dict[str, Any]] = [
        {"name": "state", "emptyDir": {"sizeLimit": f"{STATE_GIB}Gi"}},
        {"name": "serving", "configMap": {"name": f"{of.name}-serving"}},
    ]
    if cluster.log_claim is not None:
        volumes.append({"name": "log", "persistentVolumeClaim": {"claimName": cluster.log_claim}})
    return volumes


def _autoscaler(cluster: Cluster, of: _Of) -> dict[str, Any]:
    busy = {"type": "Utilization", "averageUtilization": 60}
    return {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": of.name},
        "minReplicas": cluster.least,
        "maxReplicas": cluster.most,
        "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": busy}}],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 300}},
    }


def _network(needs: Sequence[str], of: _Of) -> dict[str, Any]:
    """In: what is in the same namespace. Out: nothing, or names and the usual ports of the stores that it needs."""
    egress: list[dict[str, Any]] = []
    if needs:
        egress.append(
            {
                "to": [{"namespaceSelector": {"matchLabels": {_METADATA: "kube-system"}}}],
                "ports": [{"protocol": "UDP", "port": 53}, {"protocol": "TCP", "port": 53}],
            }
        )
        egress.append({"ports": [{"protocol": "TCP", "port": port} for port in (443, 6379)]})
    return {
        "podSelector": {"matchLabels": of.selected},
        "policyTypes": ["Ingress", "Egress"],
        "ingress": [{"from": [{"podSelector": {}}], "ports": [{"protocol": "TCP", "port": PORT}]}],
        "egress": egress,
    }
