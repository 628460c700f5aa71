"""Weights on disk: safetensors, with the description of what they are in its header.

Weights are data, never code: loading reads numbers and one JSON object, checks all of it, and executes nothing.

The header's entry ``gopolicy`` is a JSON object:

    ============  ==================================================================================
    format        1, the version of this layout
    network       the fields of ``network.PolicyConfig``
    plane_set     name, version and number of planes of the plane set the network reads
    saved         date and time of writing, UTC
    (any other)   what the writer tells: training data, steps, measured accuracy …
    ============  ==================================================================================

The tensors are those of ``PolicyNetwork.state_dict()``, as float32 or float16. They are stored as trained or folded
(``PolicyNetwork.folded``); the configuration says which.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from gopolicy import atomic
from gopolicy.errors import WeightsError
from gopolicy.features import PLANE_SETS
from gopolicy.network import PolicyConfig, PolicyNetwork

FORMAT = 1
PACKAGED = ("default", "fast", "playouts")  # names that stand for files of the package
NETWORKS = Path(__file__).resolve().parent / "networks"  # where those files are
RESERVED = frozenset({"format", "network", "plane_set", "saved"})  # of a description: what the layout says, and no writer
_KEY = "gopolicy"


def packaged() -> list[str]:
    """The names of the networks that came with this installation."""
    return sorted(path.stem for path in NETWORKS.glob("*.safetensors"))


def resolve(weights: str | os.PathLike[str]) -> Path:
    """The file that ``weights`` names: ``default``, ``fast`` and ``playouts`` are those of the package, anything else is a path.

    Raises WeightsError if there is no such file.
    """
    try:
        name = os.fsdecode(weights)
    except TypeError:
        raise WeightsError(f"weights are named by a path, or by one of {', '.join(PACKAGED)}, not by {weights!r}") from None
    if name in PACKAGED:
        path = NETWORKS / f"{name}.safetensors"
        if not path.is_file():
            there = ", ".join(packaged()) or "none"
            raise WeightsError(f"no weights named {name!r} come with this installation (there: {there}); name a .safetensors file instead")
        return path
    path = Path(name)
    if not path.is_file():
        what = "is a folder" if name and path.is_dir() else "does not exist"
        raise WeightsError(f"weights file {name!r} {what}; expected a .safetensors file, or one of {', '.join(PACKAGED)}")
    return path


def save(path: str | os.PathLike[str], network: PolicyNetwork, description: dict[str, Any], *, half: bool = False) -> dict[str, Any]:
    """Writes weights and their description in one go (``atomic.write``); returns the whole description as it was written.

    ``half`` stores float16, half the size; what does not fit into it is refused. Raises WeightsError for weights that are not
    finite, for an unknown plane set, and for a description that takes one of the names the layout uses.
    """
    target = Path(path)
    if reserved := RESERVED & set(description):
        raise WeightsError(f"{target}: the description may not set {', '.join(sorted(reserved))}: the layout does")
    config = network.config
    whole = {
        "format": FORMAT,
        "network": asdict(config),
        "plane_set": _plane_set(target, config),
        "saved": datetime.now(UTC).isoformat(timespec="seconds"),
        **description,
    }
    tensors: dict[str, Tensor] = {}
    for name, tensor in network.state_dict().items():
        value = tensor.detach().to("cpu")
        if value.is_floating_point():
            value = value.to(torch.float16 if half else torch.float32)
            if not torch.isfinite(value).all():
                raise WeightsError(f"{target}: {name} holds values that are no finite numbers{' as float16' if half else ''}; not saved")
        tensors[name] = value.contiguous()
    atomic.write(target, safetensors.torch.save(tensors, metadata={_KEY: json.dumps(whole)}))
    return whole


def load(weights: str | os.PathLike[str]) -> tuple[PolicyNetwork, dict[str, Any]]:
    """The network (eval mode, float32, on the CPU) and its description; ``weights`` as in ``resolve``.

    Raises WeightsError for a file that is damaged or no gopolicy weights, of another layout version, of a plane set this
    version does not have, and where names, shapes or values of the tensors are not those of the described network.
    """
    path = resolve(weights)
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {}).get(_KEY)
            if text is None:
                raise WeightsError(f"{path}: holds no description of a gopolicy network; was it written by another program?")
            description, config = _read_description(path, text)
            # Copies: tensors of the file's own memory would change with it, and keep Windows from replacing it.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: cannot be read as weights; it is cut off, or no .safetensors file ({error})") from error
    with torch.device("meta"):  # shapes only: a damaged description must not take all memory
        network = PolicyNetwork(config)
    expected = network.state_dict()
    if set(expected) != set(tensors):
        wrong = sorted(set(expected) ^ set(tensors))
        raise WeightsError(f"{path}: tensors differ from those of the described network, first {wrong[0]!r}")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise WeightsError(f"{path}: {name} has shape {tuple(tensor.shape)}, the description says {tuple(expected[name].shape)}")
        if tensor.is_floating_point() != expected[name].is_floating_point():
            raise WeightsError(f"{path}: {name} has type {tensor.dtype}, expected {expected[name].dtype}")
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise WeightsError(f"{path}: {name} holds values that are no finite numbers")
    network.load_state_dict({name: tensor.to(expected[name].dtype) for name, tensor in tensors.items()}, assign=True)
    return network.eval(), description


def _plane_set(path: Path, config: PolicyConfig) -> dict[str, Any]:
    """How this version knows the plane set of a network. Raises WeightsError if it does not, or with another number of planes."""
    planes = PLANE_SETS.get(config.planes)
    if planes is None:
        raise WeightsError(f"{path}: plane set {config.planes!r} is unknown, this version has {', '.join(PLANE_SETS)}")
    if planes.planes != config.in_planes:
        raise WeightsError(f"{path}: the network reads {config.in_planes} planes, plane set {planes.name} has {planes.planes}")
    return {"name": planes.name, "version": planes.version, "planes": planes.planes}


def _read_description(path: Path, text: str) -> tuple[dict[str, Any], PolicyConfig]:
    try:
        description = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{path}: its description is not JSON: {error}") from error
    if not isinstance(description, dict) or not isinstance(description.get("network"), dict):
        raise WeightsError(f"{path}: its description does not tell the network")
    if description.get("format") != FORMAT:
        raise WeightsError(f"{path}: layout version {description.get('format')!r}, this version of gopolicy reads {FORMAT}")
    try:
        config = PolicyConfig.from_dict(description["network"])
    except ValueError as error:
        raise WeightsError(f"{path}: {error}") from error
    known, told = _plane_set(path, config), description.get("plane_set")
    if told != known:
        raise WeightsError(f"{path}: was trained on plane set {told!r}, this version encodes {known!r}")
    return description, config
