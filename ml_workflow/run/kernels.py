"""Jupyter kernels for batch runs: forked from a warm parent where fork is sound, else stock kernels."""

import asyncio
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache, cached_property
from pathlib import Path
from typing import Any, ClassVar, Literal
from uuid import uuid4

import zmq
from jupyter_client.connect import KernelConnectionInfo, write_connection_file
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

from ..errors import Refusal

WARM = Path(__file__).with_name("warm.py")
START = "import runpy, sys; sys.path = [p for p in sys.path if p]; runpy.run_path(sys.argv[1], run_name='__main__')"
"""Runs that file, without the caller's folder or the file's own on the path, and leaves no other trace."""
NOTEBOOK_ARGUMENTS = ["--HistoryManager.hist_file=:memory:"]
"""What papermill adds to the command of a Python kernel: a kernel prepared with it can be used."""
STARTED_WITHIN = 120
"""Seconds that the warm parent may take to fork: it may still be importing the first libraries."""
STARTS = 5
"""How often in a run the warm parent is started before it is given up."""
STATUS = struct.Struct("i")


def is_readable(handle: int) -> bool:
    """Whether there is something to read from a handle."""
    poller = select.poll()
    poller.register(handle, select.POLLIN)
    return bool(poller.poll(0))


class Child:
    """A kernel forked by the warm parent, with as much of `subprocess.Popen` as jupyter_client uses."""

    stdin = stdout = stderr = None

    def __init__(self, directory: Path, arguments: list[str]) -> None:
        self.arguments = arguments
        self.connection_file = directory / f"{uuid4().hex[:12]}.json"
        self.pid = 0
        self.handle: int | None = None  # tells its end, and no other process's
        self.returncode: int | None = None
        self.lease = socket.socket(socket.AF_UNIX)
        self.lease.settimeout(STARTED_WITHIN)
        address = str(self.connection_file.with_suffix(""))
        write_connection_file(
            str(self.connection_file), ip=address, key=uuid4().hex.encode(), transport="ipc"
        )
        try:
            self.lease.connect(str(directory / "parent"))
            request = ["-f", str(self.connection_file), *arguments]
            self.lease.sendall(json.dumps(request).encode() + b"\n")
        except OSError:
            self.drop()

    def is_forked(self) -> bool:
        """Wait until the warm parent has forked it; False when it has ended, or the parent has."""
        if not self.pid and self.returncode is None:
            with suppress(OSError):
                (pid,) = STATUS.unpack(self.lease.recv(STATUS.size).ljust(STATUS.size, b"\0"))
                self.handle = os.pidfd_open(pid) if pid else None
                self.pid = pid
        if not self.pid or self.poll() is not None:
            self.drop()
        return self.returncode is None

    def start(self, cwd: str, env: dict[str, str]) -> None:
        """Let it run cells, in this working directory and environment."""
        with suppress(OSError):  # a kernel that has just died is told by poll
            self.lease.sendall(json.dumps({"cwd": cwd, "env": env}).encode() + b"\n")

    def drop(self) -> None:
        """Give it up: the warm parent kills it when the lease closes."""
        self.end(-signal.SIGKILL)

    def end(self, status: int) -> None:
        """Note that it has ended."""
        self.returncode = status
        self.lease.close()
        if self.handle is not None:
            os.close(self.handle)
            self.handle = None

    def poll(self) -> int | None:
        """Its exit status, None while it lives."""
        if self.handle is not None and is_readable(self.handle):
            self.lease.setblocking(False)
            try:
                message = self.lease.recv(STATUS.size)
            except BlockingIOError:
                message = STATUS.pack(0)  # the warm parent is busy and will tell nobody
            except OSError:
                message = b""
            if not message:
                # The warm parent has died, and its kernels with it: end what this one had started.
                with suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
            self.end(STATUS.unpack(message)[0] if message else -signal.SIGKILL)
        return self.returncode

    def wait(self) -> int | None:
        """Its exit status; jupyter_client asks when it has ended."""
        return self.poll()

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it, if it lives."""
        self.send_signal(signal.SIGKILL)


class Kernels:
    """The kernels of a run. A copy sent to another process by pickle uses the same warm parent."""

    def __init__(self, directory: Path, kind: Literal["warm", "stock"]) -> None:
        self.directory, self.kind = directory, kind
        self._spare: deque[Child] = deque(maxlen=1)

    def __reduce__(self) -> tuple[Any, ...]:
        return attached, (self.directory, self.kind)

    @cached_property
    def manager_class(self) -> type[AsyncKernelManager]:
        """What papermill takes as `kernel_manager_class`."""
        if not zmq.has("ipc"):
            return AsyncKernelManager
        manager = WarmManager if self.kind == "warm" else IpcManager
        return type(manager.__name__, (manager,), {"kernels": self})

    def prepare(self) -> None:
        """Fork the next notebook's kernel ahead of time; at most one waits."""
        if self.kind == "warm" and not self._spare:
            self._spare.append(Child(self.directory, NOTEBOOK_ARGUMENTS))

    def take(self, arguments: list[str]) -> Child:
        """The prepared kernel or else a new one, from a new parent if the warm parent has just died."""
        with suppress(IndexError):
            spare = self._spare.pop()
            if spare.arguments == arguments and spare.is_forked():
                return spare
            spare.drop()
        for _ in range(2):
            child = Child(self.directory, arguments)
            if child.is_forked():
                return child
        raise RuntimeError(
            "The warm parent of the kernels ended and could not be started anew: what it last wrote to the console "
            "says why. Stock kernels do without it: --kernels stock."
        )

    def close(self) -> None:
        """Give up the kernel that waits."""
        with suppress(IndexError):
            self._spare.pop().drop()


@cache
def attached(directory: Path, kind: Literal["warm", "stock"]) -> Kernels:
    """The copy of a run's kernels that all code in this process shares."""
    return Kernels(directory, kind)


class IpcManager(AsyncKernelManager):
    """A stock kernel over ipc: other than TCP ports, its addresses cannot be taken by another process."""

    kernels: ClassVar[Kernels]

    def __init__(self, **traits: Any) -> None:
        file = self.kernels.directory / f"{uuid4().hex[:12]}.json"
        super().__init__(**{"transport": "ipc", "connection_file": str(file), **traits})


class WarmManager(IpcManager):
    """A kernel forked from the warm parent, if the notebook asks for a kernel of this very Python."""

    async def _async_pre_start_kernel(self, **options: Any) -> tuple[list[str], dict[str, Any]]:  # type: ignore[override]
        self.kernel_id = self.kernel_id or str(uuid4())
        if self.provisioner is None and self.is_ours():
            child = self.kernels.take(options.get("extra_arguments", []))
            self.connection_file = str(child.connection_file)
            self.load_connection_file()
            self._connection_file_written = True
            self.provisioner = WarmProvisioner(
                kernel_id=self.kernel_id, kernel_spec=self.kernel_spec, parent=self
            )
            self.provisioner.process = child
        return await super()._async_pre_start_kernel(**options)

    def is_ours(self) -> bool:
        """Whether the kernel's command is ipykernel on the interpreter that runs now."""
        command = self.kernel_spec.argv if self.kernel_spec else []
        if "ipykernel_launcher" not in command:
            return False
        program, ours = Path(shutil.which(command[0]) or command[0]), Path(sys.executable)
        named = {"python", "python3", f"python3.{sys.version_info[1]}"}
        return command[0] in named or (program.parent == ours.parent and program.samefile(ours))

    async def _async_interrupt_kernel(self) -> None:
        """An interrupt that comes with the order to shut down waits: it can make an idle kernel miss the order."""
        if not self.shutting_down:
            await super()._async_interrupt_kernel()

    async def _async_finish_shutdown(self, *args: Any, **options: Any) -> None:
        """Interrupt the kernel if it does not end at once, that is if a cell is running."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._async_wait(pollinterval=0.02), timeout=0.5)
        if self.has_kernel and await self._async_is_alive():
            await super()._async_interrupt_kernel()
        await super()._async_finish_shutdown(*args, **options)


class WarmProvisioner(LocalProvisioner):
    """Starts the kernel that the manager has taken from the warm parent."""

    process: Any

    async def launch_kernel(self, cmd: list[str], **options: Any) -> KernelConnectionInfo:
        """Let the kernel run, where and with the environment that a stock kernel would have."""
        env = {name: value for name, value in options["env"].items() if name != "JPY_PARENT_PID"}
        self.cwd = options.get("cwd") or str(Path.cwd())
        self.pid = self.pgid = self.process.pid
        self.process.start(self.cwd, env)
        return self.connection_info


class Parent:
    """Keeps a warm parent running; its socket stays open meanwhile, so that who connects has only to wait."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.process: subprocess.Popen[bytes] | None = None
        self.closing = False
        self.lock = threading.Lock()
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(directory / "parent"))
        self.listener.listen(128)
        # Linux tells a process of the death of the thread that started it: this one lives as long as the runner.
        self.thread = threading.Thread(target=self.keep, name="warm parent", daemon=True)
        self.thread.start()

    def keep(self) -> None:
        """Start the warm parent anew when it dies; one that dies again and again is given up."""
        for _ in range(STARTS):
            process = self.start()
            if process:
                process.wait()
        self.listener.close()

    def start(self) -> subprocess.Popen[bytes] | None:
        """A new warm parent, isolated from terminal, notebook and working directory of this process."""
        environment = {
            n: v for n, v in os.environ.items() if n not in ("JPY_PARENT_PID", "MPLBACKEND")
        }
        handle = self.listener.fileno()
        arguments = [str(WARM), str(handle), str(self.directory), str(os.getpid())]
        command = [sys.executable, "-Xfrozen_modules=off", "-c", START, *arguments]
        with self.lock:
            if not self.closing:
                self.process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    pass_fds=[handle],
                    env=environment,
                    start_new_session=True,
                )
                return self.process
        return None

    def close(self) -> None:
        """End the warm parent and, with it, every kernel."""
        with self.lock:
            self.closing = True
            if self.process:
                self.process.terminate()
        self.thread.join(timeout=10)
        if self.thread.is_alive() and self.process:
            self.process.kill()
            self.thread.join()


def runtime_directory() -> Path:
    """A new folder for sockets, private and short: their paths may have no more than some 100 characters."""
    base = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="kernels-", dir=base if len(base) < 50 else "/tmp"))


@contextmanager
def kernels(kind: Literal["auto", "warm", "stock"] = "auto") -> Iterator[Kernels]:
    """Kernels for a run, none of which outlives it; "auto" is warm where fork is sound, that is on Linux."""
    warm = kind == "warm" or (kind == "auto" and sys.platform == "linux")
    if warm and sys.platform != "linux":
        raise Refusal(
            f"Warm kernels need Linux, and this is {sys.platform}: use --kernels stock, or auto."
        )
    directory = runtime_directory()
    given = Kernels(directory, "warm" if warm else "stock")
    parent = Parent(directory) if warm else None
    try:
        yield given
    finally:
        given.close()
        if parent:
            parent.close()
        shutil.rmtree(directory, ignore_errors=True)
