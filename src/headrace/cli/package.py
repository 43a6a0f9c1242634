"""`headrace package`: a version as something that runs elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Final, Literal

from cyclopts import Parameter

from headrace.cli.options import AsJson, Flag, ProjectPath, Several, Workers
from headrace.cli.output import near, print_json, print_line, things

if TYPE_CHECKING:
    from headrace.packaging.packing import Packed

NAMESPACE: Final = "default"
PODS: Final = 2
MOST_PODS: Final = 10
Target = Literal["container", "folder", "kubernetes"]


def package(
    reference: str,
    *,
    out: Annotated[Path, Parameter(name=["--out", "-o"])],
    to: Target | None = None,
    container: Annotated[Flag, Parameter(name="--container")] = False,
    deployment: str | None = None,
    embed: Annotated[bool, Parameter(name="--embed", negative="--no-embed")] = True,
    base: str | None = None,
    host: Annotated[tuple[str, ...], Several] = (),
    workers: Workers = None,
    image: str | None = None,
    namespace: str = NAMESPACE,
    pods: int = PODS,
    most_pods: int = MOST_PODS,
    log_claim: str | None = None,
    project: ProjectPath = None,
    as_json: AsJson = False,
) -> int:
    """Write what serves a version elsewhere: a container's build context, a folder, or manifests for Kubernetes.

    Parameters
    ----------
    reference
        MODEL@ALIAS, MODEL@NUMBER, or MODEL for its champion.
    out
        The folder to write; made if it is not there, must be empty.
    to
        container: a context that any builder of OCI images builds. folder: the same without containers. kubernetes:
        manifests for the image that was built of the first.
    container
        The same as --to container, which is also what is written when neither is said.
    deployment
        The name to answer under; the model's when left out.
    embed
        Pack the version along. --no-embed: deployments, keys and versions come from the store that HEADRACE_OBJECTS
        names.
    base
        The base image, NAME:TAG@sha256:DIGEST; without a digest who builds gives it: --build-arg BASE_DIGEST=sha256:….
    host
        A name that requests may ask by; may be given again.
    workers
        Processes that answer; else [serving] workers.
    image
        For Kubernetes: the image that was built and pushed, NAME@sha256:DIGEST.
    namespace
        For Kubernetes: where it runs.
    pods
        For Kubernetes: the fewest pods.
    most_pods
        For Kubernetes: the most, when processors are busy.
    log_claim
        For Kubernetes: a claim on a volume that many pods may write, which keeps the logs of predictions.
    """
    from headrace.app import Project
    from headrace.packaging.containerfile import parse_image
    from headrace.packaging.context import RUN, container_files, folder_files
    from headrace.packaging.errors import PodsUnclear
    from headrace.packaging.kubernetes import Cluster, kubernetes_files
    from headrace.registry.export import write_folder

    of_kubernetes = {
        "--namespace": namespace != NAMESPACE,
        "--pods": pods != PODS,
        "--most-pods": most_pods != MOST_PODS,
        "--log-claim": log_claim is not None,
    }
    _check_options(to, container=container, base=base, image=image, of_kubernetes=of_kubernetes)
    if not 1 <= pods <= most_pods:
        raise PodsUnclear(pods, most_pods)
    built = parse_image(image or base or _usual_base())
    with Project.open(project) as opened:
        contents, packed = opened.service.packing().contents(
            reference,
            deployment=deployment,
            hosts=host,
            workers=workers,
            embed=embed,
            everywhere=to != "folder",
        )
    if to == "folder":
        files = folder_files(contents)
    elif to == "kubernetes":
        files = kubernetes_files(contents, packed.needs, Cluster(built, namespace, pods, most_pods, log_claim))
    else:
        files = container_files(contents, built)
    folder = write_folder(out, files, executable={RUN})
    if embed and not packed.keys:
        sys.stderr.write(f"no API key may ask {packed.deployment}: headrace keys create, then pack again\n")
    if as_json:
        print_json({"folder": str(folder), "files": sorted(files), "packed": packed})
        return 0
    what = f"{packed.model}@{packed.version}" if embed else "a server of what its store says"
    print_line(f"{what} is in {near(folder)}: {things(len(files), 'file')}, answers under {packed.deployment}")
    for name in packed.needs:
        print_line(f"  its environment has to have {name}")
    for line in _next(to, packed, folder, has_digest=built.digest is not None, has_claim=log_claim is not None):
        print_line(f"  {line}")
    return 0


def _check_options(
    to: Target | None, *, container: bool, base: str | None, image: str | None, of_kubernetes: Mapping[str, bool]
) -> None:
    """Raise `PackingUnclear` unless they go together.

    Parameters
    ----------
    of_kubernetes : options that say something of manifests alone → whether they were given
    """
    from headrace.packaging.errors import PackingUnclear

    if container and to not in (None, "container"):
        raise PackingUnclear(f"--container and --to {to} are two things", "say one of them")
    if base is not None and to not in (None, "container"):
        raise PackingUnclear(f"--base is for a container, not for --to {to}", "leave --base out")
    if (image is None) is (to == "kubernetes"):
        raise PackingUnclear(
            "--image names the image that Kubernetes runs", "say it with --to kubernetes, and with nothing else"
        )
    for option, is_given in of_kubernetes.items():
        if is_given and to != "kubernetes":
            raise PackingUnclear(f"{option} is for --to kubernetes, and would change nothing", f"leave {option} out")


def _next(to: Target | None, packed: Packed, folder: Path, *, has_digest: bool, has_claim: bool) -> Iterator[str]:
    """What is typed next, and what should be known by then."""
    from headrace.packaging.context import RUN
    from headrace.packaging.kubernetes import STATE_GIB, kubernetes_name

    if to == "folder":
        yield quote(near(folder / RUN))
    elif to == "kubernetes":
        called = kubernetes_name(packed.deployment)
        if called != packed.deployment:
            yield f"Kubernetes takes no such name: everything is called {called} there"
        yield f"kubectl apply -f {quote(near(folder))}"
        if not has_claim:
            yield f"the log of predictions ends with its pod, and a pod with {STATE_GIB} GiB of it: see --log-claim"
    else:
        digest = "" if has_digest else " --build-arg BASE_DIGEST=sha256:…"
        yield f"buildah build{digest} -t {packed.deployment}:{packed.version} {quote(near(folder))}"


def _usual_base() -> str:
    """The official image of the Python that this runs with."""
    return f"docker.io/library/python:{sys.version_info.major}.{sys.version_info.minor}-slim-bookworm"
