"""Jupyter kernels for batch runs: forked from a warm parent where fork is sound, else stock."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import cached_property
from multiprocessing.connection import Client, Connection
from multiprocessing.connection import wait as ready
from pathlib import Path
from typing import Any, ClassVar, Literal
from uuid import uuid4

from jupyter_client.connect import KernelConnectionInfo, write_connection_file
from jupyter_client.manager import AsyncKernelManager
from jupyter_client.provisioning import LocalProvisioner

from ..errors import Refusal

WARM = Path(__file__).with_name("warm_parent.py")
START = (
    "import runpy, sys; sys.path = [p for p in sys.path if p]; "
    "runpy.run_path(sys.argv[1], run_name='__main__')"
)
"""Runs that file, without the caller's folder or the file's own on the path."""
NOTEBOOK_ARGUMENTS = ["--HistoryManager.hist_file=:memory:"]
"""What papermill adds to the command of a Python kernel."""
STARTED_WITHIN = 120
"""Seconds that the warm parent may take to fork: it may still be importing the first libraries."""


class Child:
    """A kernel forked by the warm parent, with what jupyter_client uses of `subprocess.Popen`.

    Its lease is a connection to the parent, which ends the kernel when it closes. OSError where no
    parent listens in the directory.
    """

    stdin = stdout = stderr = None

    def __init__(self, directory: Path) -> None:
        self.connection_file = directory / f"{uuid4().hex[:12]}.json"
        self.pid = 0
        self.handle: int | None = None  # tells its end, and no other process's
        self.returncode: int | None = None
        file, key = str(self.connection_file), uuid4().hex.encode()
        write_connection_file(file, ip=file.removesuffix(".json"), key=key, transport="ipc")
        self.lease: Connection = Client(str(directory / "parent"), family="AF_UNIX")
        self.lease.send_bytes(json.dumps(["-f", file, *NOTEBOOK_ARGUMENTS]).encode())

    def is_forked(self) -> bool:
        """Wait until the warm parent has forked it; False when it has ended, or the parent has."""
        with suppress(OSError, EOFError):
            if not self.pid and self.lease.poll(STARTED_WITHIN):
                pid = int(self.lease.recv_bytes())
                self.handle, self.pid = os.pidfd_open(pid), pid
        return self.poll() is None

    def start(self, cwd: str, env: dict[str, str]) -> None:
        """Let it run cells, in this working directory and environment."""
        with suppress(OSError):  # a kernel that has just died is told by poll
            self.lease.send_bytes(json.dumps({"cwd": cwd, "env": env}).encode())

    def poll(self) -> int | None:
        """None while it lives; when it has ended, what it had started ends with it."""
        if self.returncode is None and (self.handle is None or ready([self.handle], timeout=0)):
            self.returncode = -signal.SIGKILL
            self.lease.close()
            if self.handle is not None:
                os.close(self.handle)
                with suppress(ProcessLookupError):  # a warm parent that has died ends nothing
                    os.killpg(self.pid, signal.SIGKILL)
        return self.returncode

    wait = poll  # jupyter_client waits when it has ended

    def send_signal(self, number: int) -> None:
        """Send it a signal, if it lives."""
        if self.poll() is None:
            os.kill(self.pid, number)


class Kernels:
    """The kernels of a run: stock, or forked from the warm parent that listens in the directory."""

    def __init__(self, directory: Path, warm: bool) -> None:
        self.directory, self.warm = directory, warm
        self.spare: Child | None = None

    @cached_property
    def manager_class(self) -> type[AsyncKernelManager]:
        """What papermill takes as `kernel_manager_class`."""
        manager = WarmManager if self.warm else IpcManager
        return type(manager.__name__, (manager,), {"kernels": self})

    def prepare(self) -> None:
        """Fork the next notebook's kernel ahead of time; at most one waits."""
        if self.warm and self.spare is None:
            with suppress(OSError):
                self.spare = Child(self.directory)

    def take(self) -> Child | None:
        """The prepared kernel or else a new one; None where the warm parent has died."""
        for _ in range(2):
            self.prepare()
            child, self.spare = self.spare, None
            if child and child.is_forked():
                return child
        return None


class IpcManager(AsyncKernelManager):
    """A stock kernel over ipc: its addresses, unlike TCP ports, are taken by no other process."""

    kernels: ClassVar[Kernels]

    def __init__(self, **traits: Any) -> None:
        file = self.kernels.directory / f"{uuid4().hex[:12]}.json"
        super().__init__(**{"transport": "ipc", "connection_file": str(file), **traits})


class WarmManager(IpcManager):
    """A kernel forked from the warm parent, if the notebook asks for one of this very Python."""

    async def _async_pre_start_kernel(  # type: ignore[override]
        self, **options: Any
    ) -> tuple[list[str], dict[str, Any]]:
        """Take a forked kernel; a stock one starts where the warm parent has died."""
        if self.is_ours() and (child := self.kernels.take()):
            self.connection_file = str(child.connection_file)
            self.load_connection_file()
            self._connection_file_written = True
            self.provisioner = WarmProvisioner(kernel_spec=self.kernel_spec, parent=self)
            self.provisioner.process = child
        return await super()._async_pre_start_kernel(**options)

    def is_ours(self) -> bool:
        """Whether the kernel's command is ipykernel on the interpreter that runs now."""
        command = self.format_kernel_cmd()
        ours = Path(command[0]).parent == Path(sys.executable).parent
        return ours and "ipykernel_launcher" in command

    async def _async_interrupt_kernel(self) -> None:
        """With the order to shut down an interrupt waits, or an idle kernel may miss the order."""
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


def runtime_directory() -> Path:
    """A new folder for sockets, private and short: their paths have at most some 100 characters."""
    base = tempfile.gettempdir()
    return Path(tempfile.mkdtemp(prefix="kernels-", dir=base if len(base) < 50 else "/tmp"))


@contextmanager
def warm_parent(directory: Path) -> Iterator[None]:
    """The warm parent, isolated from terminal and notebook; its kernels end with it.

    Linux ends it with the thread that starts it, which should therefore live as long as the run.
    """
    inherited = {n: v for n, v in os.environ.items() if n not in ("JPY_PARENT_PID", "MPLBACKEND")}
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(directory / "parent"))
        listener.listen(128)
        arguments = [str(WARM), str(listener.fileno()), str(directory), str(os.getpid())]
        process = subprocess.Popen(
            [sys.executable, "-Xfrozen_modules=off", "-c", START, *arguments],
            stdin=subprocess.DEVNULL,
            pass_fds=[listener.fileno()],
            env=inherited,
            start_new_session=True,
        )
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()


@contextmanager
def kernels(kind: Literal["auto", "warm", "stock"] = "auto") -> Iterator[Kernels]:
    """Kernels for a run, none of which outlives it; "auto" is warm on Linux."""
    on_linux = sys.platform == "linux"
    if kind == "warm" and not on_linux:
        raise Refusal(
            f"Warm kernels need Linux, and this is {sys.platform}: use --kernels stock, or auto."
        )
    pool = Kernels(runtime_directory(), on_linux and kind != "stock")
    try:
        with warm_parent(pool.directory) if pool.warm else nullcontext():
            yield pool
    finally:
        shutil.rmtree(pool.directory, ignore_errors=True)
