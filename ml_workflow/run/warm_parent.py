"""The warm parent: a process that has imported libraries and forks a Jupyter kernel on demand.

Run as a script, never imported, so that no module of the package is stale in its kernels."""

import atexit
import contextlib
import ctypes
import gc
import importlib
import io
import json
import os
import random
import select
import shutil
import signal
import socket
import sys
import threading
import traceback
import warnings
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import ipykernel_launcher
import psutil
from ipykernel.kernelapp import IPKernelApp

LIBRARIES = [
    "ipykernel.debugger",
    "IPython.core.completer",
    "numpy",
    "numpy.random",
    "pandas",
    "duckdb",
    "pydantic",
    "yaml",
    "matplotlib.pyplot",
    "matplotlib.backends.backend_agg",
    "scipy.stats",
    "scipy.optimize",
    "seaborn",
    "sklearn.calibration",
    "sklearn.compose",
    "sklearn.dummy",
    "sklearn.ensemble",
    "sklearn.inspection",
    "sklearn.linear_model",
    "sklearn.model_selection",
    "sklearn.pipeline",
    "skrub",
    "pandera.pandas",
    "lightgbm",
    "pyarrow.parquet",
    "skops.io",
    "optuna",
    "tqdm",
    "sqlalchemy",
    "dask.dataframe",
    "distributed",
    "xgboost",
    "catboost",
    "mlflow",
]
"""In the order in which notebooks want them. Importing them starts no Python thread (tested)."""
SET_PARENT_DEATH_SIGNAL, SET_CHILD_SUBREAPER = 1, 36
RUNNER_DIED = signal.SIGHUP
GIVEN = set(os.environ)


def process_control(option: int, value: int) -> None:
    """Linux's prctl."""
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value}) was refused")


class Kernel(NamedTuple):
    """A forked kernel and its lease, the connection on which it was asked for."""

    pid: int
    lease: Connection
    connection_file: Path


class Parent:
    """Forks one kernel for each connection, and ends it when the connection closes."""

    def __init__(self, listener: socket.socket, directory: Path, runner: int) -> None:
        self.listener, self.directory, self.runner = listener, directory, runner
        self.leased: dict[int, Kernel] = {}  # by the handle of the lease
        self.kernels: dict[int, Kernel] = {}  # by the handle that tells the kernel's end
        self.poller = select.epoll()
        self.poller.register(listener.fileno(), select.EPOLLIN)

    def serve(self, timeout: float | None) -> None:
        """Answer what has happened; without a time-out, for ever."""
        # One event at a time: the next may be about a handle that this one closes.
        while events := self.poller.poll(timeout, 1):
            handle = events[0][0]
            if handle == self.listener.fileno():
                self.accept()
            elif handle in self.leased:
                os.kill(self.leased[handle].pid, signal.SIGKILL)
            else:
                self.bury(handle)

    def accept(self) -> None:
        """Fork a kernel for the client that has connected, unless it has gone."""
        lease = Connection(self.listener.accept()[0].detach())
        with contextlib.suppress(OSError, EOFError):
            if lease.poll(10):
                lease.send_bytes(str(self.fork(lease, json.loads(lease.recv_bytes()))).encode())

    def fork(self, lease: Connection, arguments: list[str]) -> int:
        """Fork a kernel and watch it and its lease."""
        with warnings.catch_warnings():
            # The libraries' own threads idle until a first computation, which is never made here.
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if not pid:
            self.become_kernel(lease, arguments)
        handle = os.pidfd_open(pid)
        self.leased[lease.fileno()] = self.kernels[handle] = Kernel(pid, lease, Path(arguments[1]))
        self.poller.register(lease.fileno(), select.EPOLLRDHUP | select.EPOLLONESHOT)
        self.poller.register(handle, select.EPOLLIN)
        return pid

    def bury(self, handle: int) -> None:
        """End and remove what a kernel that has ended left behind."""
        self.poller.unregister(handle)
        os.close(handle)
        kernel = self.kernels.pop(handle)
        del self.leased[kernel.lease.fileno()]
        self.poller.unregister(kernel.lease.fileno())
        os.waitpid(kernel.pid, 0)
        self.end_children()
        for file in self.directory.glob(f"{kernel.connection_file.stem}*"):
            file.unlink(missing_ok=True)
        kernel.lease.close()

    def end_children(self) -> None:
        """Kill all that descends from this process, but for the kernels that are leased."""
        leased = {kernel.pid for kernel in self.kernels.values()}
        # A killed process leaves its own children to this one, so look again until there are none.
        while strays := [child for child in psutil.Process().children() if child.pid not in leased]:
            for stray in strays:
                stray.kill()
                os.waitpid(stray.pid, 0)

    def stop(self, number: int, _: Any = None) -> NoReturn:
        """End every kernel and this process; the runtime files too, when the runner has died."""
        self.kernels.clear()
        self.end_children()
        if number == RUNNER_DIED:
            shutil.rmtree(self.directory, ignore_errors=True)
        os._exit(0)

    def become_kernel(self, lease: Connection, arguments: list[str]) -> NoReturn:
        """Be a Jupyter kernel, as `python -m ipykernel_launcher` is, until it is told to end."""
        status = 1
        try:
            self.leave_parent()
            app = initialised(arguments)
            settle(app, **json.loads(lease.recv_bytes()))
            lease.close()
            app.start()
            # ipykernel 7 can lock up when it closes while this thread still tells that it is idle.
            app.control_thread.join(timeout=1)
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
            status = 0
        except (EOFError, ConnectionResetError):
            pass  # the client has given the kernel up
        except BaseException:
            traceback.print_exc(file=sys.__stderr__)
        finally:
            os._exit(status)

    def leave_parent(self) -> None:
        """Close the parent's handles, restore the signals, and die when the parent does."""
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(RUNNER_DIED, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        process_control(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        process_control(SET_CHILD_SUBREAPER, 1)
        self.poller.close()
        self.listener.close()
        for handle, other in self.kernels.items():
            os.close(handle)
            other.lease.close()


def initialised(arguments: list[str]) -> IPKernelApp:
    """A kernel that is bound to its sockets and has a random state of its own."""
    random.seed()
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()
    sys.argv = [ipykernel_launcher.__file__, *arguments]
    # 1 stands for a parent that needs no polling: the death signal is quicker.
    app = IPKernelApp.instance(parent_handle=1)
    app.initialize(arguments)
    return app


def settle(app: IPKernelApp, cwd: str, env: dict[str, str]) -> None:
    """Take over the caller's working directory and environment."""
    os.chdir(cwd)
    # What ipykernel and libraries have added stays, as in a stock kernel.
    added = {name: value for name, value in os.environ.items() if name not in GIVEN}
    os.environ.clear()
    os.environ.update(added | env)
    assert app.shell is not None
    app.shell.init_environment()
    if "matplotlib" in sys.modules:
        # Matplotlib has read the variable in the parent.
        sys.modules["matplotlib"].rcParams["backend"] = os.environ["MPLBACKEND"]
    importlib.invalidate_caches()


class Stream:
    """What libraries take for their console: silent here, the notebook's stream in a kernel."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, method: str) -> Any:
        stream = getattr(sys, self.name)
        return getattr(io.StringIO() if stream is self else stream, method)


def import_quietly(library: str) -> None:
    """Import a library. One that is missing or broken is told by the notebook that imports it."""
    output: Any = Stream("stdout")
    errors: Any = Stream("stderr")
    with (
        contextlib.suppress(Exception),
        contextlib.redirect_stdout(output),
        contextlib.redirect_stderr(errors),
    ):
        importlib.import_module(library)


def main(listener: int, directory: Path, runner: int) -> None:
    """Import the libraries, forking for those who cannot wait; then fork on demand."""
    parent = Parent(socket.socket(fileno=listener), directory, runner)
    signal.signal(signal.SIGTERM, parent.stop)
    signal.signal(RUNNER_DIED, parent.stop)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process_control(SET_PARENT_DEATH_SIGNAL, RUNNER_DIED)
    process_control(SET_CHILD_SUBREAPER, 1)
    if os.getppid() != runner:
        parent.stop(RUNNER_DIED)
    for library in LIBRARIES:
        import_quietly(library)
        parent.serve(timeout=0)
    gc.collect()
    gc.freeze()
    parent.serve(timeout=None)


if __name__ == "__main__":
    main(int(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
