"""The machine a run uses: device, precision, threads, compiler; and what a bug report needs to know of it."""

import os
import platform
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import torch
from msgspec import Struct
from torch import Tensor, nn

from ..datasets.errors import InputError

# Pixels per network call that a processor's caches (measured: `bench speed`) or a GPU's memory like.
CPU_PIXELS = 4 * 128 * 128
CUDA_PIXELS = 128 * 128 * 128
CUDA_THREADS = 4  # of torch on the host: more fight each other for the little that is done there
PACKAGES = ("torch", "numpy", "scikit-image", "pillow", "bm3d", "deepinv", "careamics")  # that numbers depend on
# Compiling takes about 25 s on an H200 and saves 1 ms of a captured step of N2C, 2 ms of Blind2Unblind's, so it pays
# from about here; on CPUs it was 1.4x slower than oneDNN's kernels.
COMPILE_STEPS = 20_000
VARIANTS = 64  # of networks, shapes and modes that one process compiles; after torch's 8, others would run uncompiled


class Machine(Struct, frozen=True):
    """Decisions taken at the start of a run; recorded, but not part of a result's identity."""

    device: str = "cpu"
    precision: Literal["bf16", "float32"] = "float32"
    threads: int = 1
    compile: bool | None = None  # None: when it pays
    deterministic: bool = False  # on CUDA no sums in an order that differs from run to run; CPUs have none

    @property
    def kind(self) -> str:
        """The device without its number: cpu or cuda."""
        return self.device.partition(":")[0]

    def setting(self, steps: int) -> dict[str, Any]:
        """The properties of this machine on which the last digits of a training of `steps` depend."""
        cpu = self.kind == "cpu"
        return {
            "device": _processor() if cpu else torch.cuda.get_device_name(self.device),
            "threads": self.threads if cpu else None,
            "precision": self.precision,
            "deterministic": self.deterministic,
            "compiled": self.compiles(steps),
            "torch": str(torch.__version__),
        }

    def chunk(self, height: int, width: int) -> int:
        """Images of this size per network call."""
        pixels = CUDA_PIXELS if self.kind == "cuda" else CPU_PIXELS
        return max(1, pixels // (height * width))

    def compiles(self, steps: int) -> bool:
        """Whether a training of `steps` compiles its network; inference (0 steps, many shapes) does not."""
        if steps == 0:
            return False
        if self.compile is None:
            return self.kind == "cuda" and steps >= COMPILE_STEPS and can_compile()
        return self.compile

    def place(self, net: nn.Module, steps: int = 0, precision: str | None = None) -> "Placed":
        """The network on this device, called as a training of `steps` or (0) inference calls it."""
        net = net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        return Placed(net, (precision or self.precision) == "bf16", self.compiles(steps))

    def apply(self) -> None:
        """Sets torch's global switches for this machine; called once, where a command starts to compute."""
        if self.threads != torch.get_num_threads():
            torch.set_num_threads(self.threads)
        torch.backends.cudnn.allow_tf32 = False  # float32 means float32
        if self.deterministic:
            os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # read when CUDA starts
        if self.deterministic != torch.are_deterministic_algorithms_enabled():  # the call imports for a second
            torch.use_deterministic_algorithms(self.deterministic)
        torch.backends.cudnn.deterministic = self.deterministic
        torch.backends.cudnn.benchmark = False


class Placed(nn.Module):
    """A network and how it is called: channels_last, in autocast bf16 if asked, and with a float32 result.

    `network` is the network itself, unchanged: its state_dict is what is stored.
    """

    def __init__(self, network: nn.Module, bf16: bool, compiled: bool) -> None:
        super().__init__()
        self.network, self.bf16, self.compiled = network, bf16, compiled

    def forward(self, x: Tensor, *others: Any) -> Tensor:
        """The network's output for [B, C, H, W]; `others` are passed on as they are."""
        call = _graph() if self.compiled else _apply
        # No cache of weights in bf16 on CUDA: a captured step would keep those of its capture.
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.bf16, cache_enabled=not x.is_cuda):
            output = call(self.network, x.contiguous(memory_format=torch.channels_last), *others)
        return output.float() if self.bf16 else output

    def __getattr__(self, name: str) -> Any:
        """A method may use what its own network has besides `forward`."""
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("network"), name)


def _apply(net: nn.Module, x: Tensor, *others: Any) -> Tensor:
    output: Tensor = net(x, *others)
    return output


@cache
def _graph() -> Callable[..., Tensor]:
    """`_apply` compiled: one graph serves all networks of a class and shape."""
    torch._dynamo.config.recompile_limit = VARIANTS
    return torch.compile(_apply)


def choose(
    device: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    compile: bool | None = None,
    deterministic: bool = False,
) -> tuple[Machine, list[str]]:
    """The machine for these options, and a line for each thing that it cannot do; it changes no setting of torch.

    InputError: an unknown or missing device, an unknown precision, a negative number of threads.
    """
    notes: list[str] = []
    cuda = torch.cuda.is_available()
    device = ("cuda" if cuda else "cpu") if device == "auto" else device
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise InputError(f"--device {device!r}; allowed: auto, cpu, cuda, cuda:N")
    if device != "cpu" and int(device.partition(":")[2] or 0) >= torch.cuda.device_count():
        raise InputError(f"--device {device}: no such CUDA device here; allowed: cpu" + ", cuda" * cuda)
    if threads < 0:
        raise InputError(f"--threads {threads}: must be positive")
    if precision not in ("auto", "bf16", "float32"):
        raise InputError(f"--precision {precision!r}; allowed: auto, bf16, float32")
    if precision == "auto":
        precision = "bf16" if has_bf16(device) else "float32"
        if precision == "float32":
            notes.append(f"no bf16 instructions on this {device}: training in float32")
    if compile and not can_compile():
        compile = False
        notes.append("no C compiler (cc), or no Python.h, on this machine: training without torch.compile")
    most = CUDA_THREADS if device.startswith("cuda") else torch.get_num_threads()
    threads = threads or min(most, torch.get_num_threads())
    return Machine(device, precision, threads, compile, deterministic), notes  # type: ignore[arg-type]


def can_compile() -> bool:
    """Whether this machine has what torch.compile calls: a C compiler, and the headers of this Python."""
    return shutil.which("cc") is not None and Path(sysconfig.get_path("include"), "Python.h").is_file()


def has_bf16(device: str) -> bool:
    """Whether the device multiplies bfloat16 in hardware."""
    if device.startswith("cuda"):
        return bool(torch.cuda.get_device_capability(device) >= (8, 0))
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    if any(getattr(torch.cpu, probe, lambda: False)() for probe in probes):
        return True
    return platform.machine() in ("arm64", "aarch64") and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def environment(machine: Machine | None = None) -> dict[str, Any]:
    """Versions, processor and commit, for records and bug reports."""
    facts: dict[str, Any] = {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "versions": {name: _version(name) for name in PACKAGES},
        "commit": commit(),
    }
    if machine is not None:
        facts |= {
            "device": torch.cuda.get_device_name(machine.device) if machine.kind == "cuda" else "cpu",
            "precision": machine.precision,
            "threads": machine.threads,
        }
        facts |= {"deterministic": True} if machine.deterministic else {}
    return facts


@cache
def commit() -> str:
    """The checkout's commit, marked if the tree has changes; `release` outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists() or shutil.which("git") is None:
        return "release"
    git = ["git", "-C", str(root)]
    head = subprocess.run([*git, "rev-parse", "--short=12", "HEAD"], capture_output=True, text=True, check=False)
    code = ["--", "bench", "methods", "datasets"]
    dirty = subprocess.run([*git, "status", "--porcelain", *code], capture_output=True, text=True, check=False)
    return (head.stdout.strip() or "unborn") + ("+changes" if dirty.stdout.strip() else "")


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
