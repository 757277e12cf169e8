"""The API against `mlflow models serve` and a plain FastAPI application over one release of credit.

python benchmarks/serving.py [--seconds 5] [--rounds 3]: one process each; answers are compared."""

import argparse
import asyncio
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import count, cycle
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import uvloop

from ml_workflow.model.registry import promote, register
from ml_workflow.model.release import contents, digest_of
from ml_workflow.serve.rows import as_json
from ml_workflow.store.run import reports

HOME, BATCH = Path(__file__).parents[1], 10_000
PLAIN = """
import pandas as pd
from fastapi import FastAPI
from pathlib import Path
from ml_workflow.model.release import load_release

release, app = load_release(Path({folder!r}), {digest!r}), FastAPI()


@app.post("/predict")
def predict(rows: list[dict]) -> list[dict]:
    frame = pd.DataFrame(rows)
    scores = release.score(frame)
    answers = pd.DataFrame({{"score": scores, "decision": release.decide(frame, scores)}})
    return answers.to_dict("records")
"""
MODEL = """
import mlflow
import pandas as pd
from pathlib import Path
from ml_workflow.model.release import load_release


class Model(mlflow.pyfunc.PythonModel):
    def load_context(self, context):
        self.release = load_release(Path({folder!r}), {digest!r})

    def predict(self, context, model_input: pd.DataFrame, params=None):
        scores = self.release.score(model_input)
        decisions = self.release.decide(model_input, scores)
        return pd.DataFrame({{"score": scores, "decision": decisions}})


mlflow.models.set_model(Model())
"""
Rows = list[dict[str, Any]]


class Server(NamedTuple):
    """An address that answers, and how rows are written for it."""

    name: str
    port: int
    path: str
    body: Callable[[Rows], Any]

    def request(self, rows: Rows) -> bytes:
        """A whole HTTP request for these rows."""
        body = json.dumps(self.body(rows)).encode()
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


class Rate(NamedTuple):
    """Answers a second, and the 99th percentile of the milliseconds to an answer."""

    rate: float
    p99: float


async def load(server: Server, requests: list[bytes], connections: int, seconds: float) -> Rate:
    """Connections that each send the next request once the last is answered."""
    taken: list[float] = []
    waiting, began = cycle(requests), time.perf_counter()

    async def client() -> None:
        streams = await asyncio.open_connection("127.0.0.1", server.port)
        while (sent := time.perf_counter()) < began + seconds:
            await answered(server, *streams, next(waiting))
            taken.append(time.perf_counter() - sent)
        streams[1].close()

    await asyncio.gather(*(client() for _ in range(connections)))
    return Rate(len(taken) / (time.perf_counter() - began), float(np.percentile(taken, 99)) * 1000)


async def answered(
    server: Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes
) -> bytes:
    """The body of the answer; anything but 200 ends the benchmark."""
    writer.write(request)
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    body = await reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]))
    if not head.startswith(b"http/1.1 200"):
        sys.exit(f"{server.name} answered {head.splitlines()[0].decode()}: {body[:300]!r}")
    return body


async def once(server: Server, request: bytes) -> tuple[Any, float]:
    """One answer, and its seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    began = time.perf_counter()
    body = await answered(server, reader, writer, request)
    seconds = time.perf_counter() - began
    writer.close()
    return json.loads(body), seconds


@contextmanager
def running(words: list[str], port: int) -> Iterator[None]:
    """A server as a process group of its own, once its port answers."""
    path = Path(f"{port}.log")
    with path.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", *words], stdout=log, stderr=log, start_new_session=True
        )
    try:
        while not answers(port):
            if process.poll() is not None:
                sys.exit(f"{words[0]} ended:\n{path.read_text()[-2000:]}")
            time.sleep(0.3)
        yield
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def answers(port: int) -> bool:
    """Whether something listens."""
    with closing(socket.socket()) as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """A port on which nobody listens."""
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def finished() -> Path:
    """The newest run of credit that made a release; where there is none, one is made."""
    if not (
        found := [
            path.parents[2] for path in reports().resolve().glob("credit-*/files/release/card.json")
        ]
    ):
        subprocess.run(
            [
                sys.executable,
                "-m",
                "ml_workflow.cli",
                "run",
                "credit",
                "--until",
                "04_scale",
                "--force",
            ],
            cwd=HOME,
            check=True,
        )
        return finished()
    return max(found, key=lambda run: run.stat().st_mtime)


def settle_in(folder: Path, release: Path) -> None:
    """Make the folder a project whose champion is the release, with both peers over the same."""
    shutil.copy(HOME / "settings.ini", folder)
    shutil.copy(HOME / "var" / "mlflow.db", folder)
    os.environ |= {
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "ML_WORKFLOW_DATABASE": f"sqlite:///{folder}/decisions.db",
        "PYTHONPATH": str(HOME),
    }
    os.environ["PATH"] = (
        f"{Path(sys.executable).parent}:{os.environ['PATH']}"  # where MLflow looks for uvicorn
    )
    os.chdir(folder)
    digest = digest_of(contents(release))
    promote("credit", register("credit", release, digest, {}, {}, {}))
    for name, text in (("plain.py", PLAIN), ("model.py", MODEL)):
        Path(name).write_text(text.format(folder=str(release), digest=digest), encoding="utf-8")
    import mlflow

    mlflow.pyfunc.save_model("model", python_model="model.py", pip_requirements=[])


def holdout(run: Path) -> Rows:
    """The holdout's rows as JSON has them, with the columns of the contract."""
    names = list(json.loads((run / "files" / "contract.json").read_text(encoding="utf-8")))
    return [
        {name: as_json(value) for name, value in row.items()}
        for row in pd.read_parquet(run / "files" / "holdout.parquet")[names].to_dict("records")
    ]


def compare(servers: list[Server], rows: Rows) -> None:
    """End the benchmark unless all servers give the same scores and decisions."""
    found = []
    for server in servers:
        answer, _ = uvloop.run(once(server, server.request(rows)))
        found.append(pd.DataFrame(answer["predictions"] if isinstance(answer, dict) else answer))
    for server, other in zip(servers[1:], found[1:], strict=True):
        if not np.allclose(found[0]["score"], other["score"], atol=1e-6) or list(
            found[0]["decision"]
        ) != list(other["decision"]):
            sys.exit(f"{server.name} gives other answers than {servers[0].name}.")


def measure(
    servers: list[Server], rows: Rows, seconds: float, rounds: int
) -> dict[tuple[str, int], Rate]:
    """The medians of several rounds, by server and connections; the servers take turns."""
    requests = {server.name: [server.request([row]) for row in rows] for server in servers}
    for server in servers:
        uvloop.run(load(server, requests[server.name], 8, 1))
    found: dict[tuple[str, int], list[Rate]] = {}
    for _ in range(rounds):
        for connections in (1, 8):
            for server in servers:
                found.setdefault((server.name, connections), []).append(
                    uvloop.run(load(server, requests[server.name], connections, seconds))
                )
    return {
        key: Rate(*map(statistics.median, zip(*several, strict=True)))
        for key, several in found.items()
    }


def measure_once(servers: list[Server], rows: Rows, rounds: int) -> dict[str, float]:
    """The median of the seconds to one answer to all rows, by server.

    The servers take turns, and a first turn does not count.
    """
    requests = {server: server.request(rows) for server in servers}
    turns = [
        {server.name: uvloop.run(once(server, request))[1] for server, request in requests.items()}
        for _ in range(rounds + 1)
    ][1:]
    return {
        server.name: statistics.median(turn[server.name] for turn in turns) for server in servers
    }


def line(what: str, ratio: float, bar: float) -> None:
    """Print a ratio with its bar."""
    print(f"  {what:<62} {ratio:6.2f}   bar {bar:<4} {'yes' if ratio >= bar else 'NO'}")


def main() -> None:
    """Measure, and print the figures with their bars."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--seconds",
        type=float,
        default=5,
        help="of load for each server, number of connections and round",
    )
    parser.add_argument("--rounds", type=int, default=3)
    given, run, here = parser.parse_args(), finished(), Path.cwd()
    rows, units = holdout(run), count()
    ours = Server(
        "this API", free_port(), "/predict", lambda rows: rows if len(rows) > 1 else rows[0]
    )
    decide = ours._replace(
        name="this API, /decide",
        path="/decide",
        body=lambda rows: {"unit": f"unit {next(units)}", "row": rows[0]},
    )
    mlflow = Server(
        "mlflow models serve", free_port(), "/invocations", lambda rows: {"dataframe_records": rows}
    )
    plain = Server("FastAPI with a DataFrame", free_port(), "/predict", lambda rows: rows)
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        settle_in(Path(name), run / "files" / "release")
        stack.callback(os.chdir, here)
        stack.enter_context(
            running(["ml_workflow.cli", "serve", "credit", "--port", str(ours.port)], ours.port)
        )
        stack.enter_context(
            running(
                [
                    "mlflow",
                    "models",
                    "serve",
                    "-m",
                    "model",
                    "--env-manager",
                    "local",
                    "--workers",
                    "1",
                    "--port",
                    str(mlflow.port),
                ],
                mlflow.port,
            )
        )
        stack.enter_context(
            running(
                ["uvicorn", "plain:app", "--port", str(plain.port), "--log-level", "warning"],
                plain.port,
            )
        )
        compare([ours, mlflow, plain], rows[:1000])
        rates = measure([ours, mlflow, plain, decide], rows, given.seconds, given.rounds)
        many = (rows * (BATCH // len(rows) + 1))[:BATCH]
        batches = measure_once([ours, mlflow, plain], many, 3 * given.rounds)
    print(f"{given.rounds} rounds of {given.seconds:g} s; one process each, {os.cpu_count()} cores")
    for (server, connections), rate in rates.items():
        name = f"{server:<26} {connections} connections"
        print(f"  {name} {rate.rate:>8.0f} rows/s   p99 {rate.p99:>7.1f} ms")
    for server, seconds in batches.items():
        print(f"  {server:<26} {BATCH:,} rows in {seconds:.2f} s")
    for connections, quicker in ((1, 1.3), (8, 2)):
        mine, by = rates[ours.name, connections], f"{connections} connections"
        for peer, bar in ((mlflow, 5), (plain, quicker)):
            theirs = rates[peer.name, connections]
            line(f"rows a second to {peer.name}, {by}", mine.rate / theirs.rate, bar)
            line(f"p99 of {peer.name} to ours, {by}", theirs.p99 / mine.p99, 1)
        line(
            f"/decide, rows a second to {mlflow.name}, {by}",
            rates[decide.name, connections].rate / rates[mlflow.name, connections].rate,
            2,
        )
    line(
        f"{BATCH:,} rows, seconds of {mlflow.name} to ours",
        batches[mlflow.name] / batches[ours.name],
        2,
    )


if __name__ == "__main__":
    main()
