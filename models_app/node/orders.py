"""From a container spec to an order for Docker: what only the node itself can settle."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from models_app.engines.spec import SECRETS_TARGET, ContainerSpec, MountSpec, secret_variable
from models_app.node.identity import container_labels
from sparkweb.adapters.docker_errors import DockerTrouble, MountMissing
from sparkweb.adapters.docker_types import BindMount, ContainerOrder, PublishedPort


class SecretMissing(DockerTrouble):
    """A secret that the spec names is no file in this node's secrets folder."""

    code = "secret_missing"


def container_order(spec: ContainerSpec, secrets_dir: Path) -> ContainerOrder:
    """The order for a spec, with its secrets as read-only files and its folders made.

    A secret's content stays in its file: `docker inspect`, the arguments and the
    environment show its path alone. Raises SecretMissing and MountMissing.
    """
    files = {*spec.secret_env.values(), *spec.secret_exports.values()}
    secrets = [_secret_mount(name, secrets_dir) for name in sorted(files)]
    pointers = dict(secret_variable(name, file_name) for name, file_name in spec.secret_env.items())
    return ContainerOrder(
        name=spec.name,
        image=spec.image,
        command=spec.command,
        entrypoint=spec.entrypoint,
        user=str(os.getuid()) if spec.user == "agent" else None,
        env={**spec.env, **pointers},
        ports=[PublishedPort(port.container, port.host, port.address) for port in spec.ports],
        mounts=[*map(_bind_mount, spec.mounts), *secrets],
        gpus=spec.gpus,
        ipc=spec.ipc,
        shm_bytes=spec.shm_bytes,
        ulimits=spec.ulimits,
        labels=container_labels(spec),
        network=spec.network,
        devices=spec.devices,
    )


def with_exports(
    order: ContainerOrder, spec: ContainerSpec, image_words: tuple[list[str], list[str]]
) -> ContainerOrder:
    """The order with a shell before its program that reads secret files into variables.

    `image_words` are the image's own entrypoint and arguments: naming an entrypoint
    makes Docker forget both. An image without /bin/sh cannot be started so.
    """
    image_entrypoint, image_arguments = image_words
    if order.entrypoint:
        program = [*order.entrypoint, *order.command]
    else:
        program = [*image_entrypoint, *(order.command or image_arguments)]
    reads = "".join(
        f'{name}="$(cat {SECRETS_TARGET}/{file_name})" || exit 1; export {name}; '
        for name, file_name in sorted(spec.secret_exports.items())
    )
    return replace(order, entrypoint=["/bin/sh", "-c", f'{reads}exec "$@"', "sh"], command=program)


def _secret_mount(file_name: str, secrets_dir: Path) -> BindMount:
    source = secrets_dir / file_name
    if not source.is_file():
        raise SecretMissing(
            f"The secret {file_name} is not in {secrets_dir} on this node. Put it there as a file "
            f"(mode 0600), or take it out of the definition."
        )
    return BindMount(str(source.resolve()), f"{SECRETS_TARGET}/{file_name}", read_only=True)


def _bind_mount(mount: MountSpec) -> BindMount:
    """A mount whose source exists.

    A folder to be written to is made when it lies below the home folder, as
    `docker run -v` would, but owned by the user instead of root. Elsewhere a
    missing folder is more likely a slip or a disk that is not mounted.
    """
    source = Path(mount.source)
    if not source.exists() and not mount.read_only and source.is_relative_to(Path.home()):
        try:
            source.mkdir(parents=True)
        except OSError as error:
            raise MountMissing(
                f"The folder {source} cannot be made on this node: {error.strerror}."
            ) from error
    if not source.exists():
        raise MountMissing(
            f"There is no {source} on this node, which should appear as {mount.target} in the container. "
            "Create it, or correct the mount."
        )
    return BindMount(mount.source, mount.target, mount.read_only)
