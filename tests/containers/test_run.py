"""Generated projects as containers on a real engine: built, started, used, killed and stopped."""

import os
import shutil
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import httpx2
import pytest
from copier import run_copy

from tests.containers import network, stand_ins
from tests.containers.engine import Engine
from tests.containers.stack import TOKEN, Stack, override
from tests.kit.answers import EVERY_ENGINE, Answers, name_of
from tests.kit.waiting import until

pytestmark = pytest.mark.slow

MB = 1_000_000
# Enough for an import of them to be seen in its middle.
ROWS = 150_000
CONDITIONS = {"service_healthy": "healthy", "service_completed_successfully": "die"}
ENV = f"""
DOMAIN=localhost
SMTP_URL=smtp://mail:1025
API_KEYS=tests:enqueue,read,operate:{sha256(TOKEN.encode()).hexdigest()}
REDIS_PASSWORD=a-password-of-the-tests
RABBITMQ_PASSWORD=a-password-of-the-tests
POSTGRES_PASSWORD=a-password-of-the-tests
FLOWER_BASIC_AUTH=user:a-password-of-the-tests
"""

WITHOUT_WORKER: Answers = {"task_runner": "none"}
WITH_WORKER = [answers for answers in EVERY_ENGINE if answers != WITHOUT_WORKER]


@contextmanager
def built(engine: Engine, template: Path, folder: Path, answers: Answers) -> Iterator[Stack]:
    """Generate a project and build its image; in the end, leave nothing of both."""
    named = {"project_slug": f"lich-{name_of(answers)}", "python_version": stand_ins.PYTHON_VERSION}
    project = folder / "project"
    run_copy(str(template), project, {**answers, **named}, defaults=True, quiet=True)
    (project / ".env").write_text(ENV)
    stack = Stack(project, engine, folder / "override.yaml")
    stack.override.write_text(override(stack.services, engine.is_private))
    if engine.is_private:
        images = {service["image"] for service in stack.services.values()} - {stack.name}
        stand_ins.make(engine, [image.removeprefix("${IMAGE_PREFIX:-}") for image in images])
    try:
        lock(stack)
        stack.compose("build")
        yield stack
    finally:
        stack.compose("kill")
        stack.compose("down", "--volumes")
        engine.client.images.remove(stack.name, force=True)


def lock(stack: Stack) -> None:
    """Make the lock file, in a container that reaches the package index as the build does."""
    base = f"{os.environ.get('IMAGE_PREFIX', '')}library/{stand_ins.BASE}"
    stack.engine.run(
        "docker", "run", "--rm", "--network=host", "--workdir=/project",
        "--volume", f"{stack.project}:/project", base,
        "sh", "-c", "pip install --quiet uv && uv lock --quiet",
    )  # fmt: skip


@pytest.fixture(scope="module", params=WITH_WORKER, ids=name_of)
def stack(
    request: pytest.FixtureRequest,
    engine: Engine,
    template: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """A project with a worker, built but not yet started."""
    folder = tmp_path_factory.mktemp("stack")
    with built(engine, template, folder, request.param) as stack:
        yield stack


@pytest.fixture(scope="module")
def events(stack: Stack) -> list[str]:
    """The engine's events while everything started: `SERVICE` and `start`, `healthy` or `die`."""
    seen: list[str] = []
    stream = stack.engine.client.events(
        decode=True,
        filters={
            "event": ["start", "health_status", "die"],
            "label": f"com.docker.compose.project={stack.name}",
        },
    )

    def listen() -> None:
        for event in stream:
            service = event["Actor"]["Attributes"]["com.docker.compose.service"]
            seen.append(f"{service} {event['Action'].removeprefix('health_status: ')}")

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    stack.compose("up", "--detach")
    stack.wait_until_healthy()
    stream.close()
    return seen


@pytest.fixture
def up(stack: Stack, events: list[str]) -> Stack:
    """The project with every container healthy."""
    return stack


def scale(stack: Stack, workers: int) -> None:
    """Have so many workers, and every container healthy."""
    stack.compose("up", "--detach", "--scale", f"worker={workers}")
    stack.wait_until_healthy()


def email(number: int) -> dict[str, str]:
    return {"to": f"{number}@example.com", "subject": f"Message {number}", "body": "Hello."}


def test_what_a_service_depends_on_is_healthy_or_done_before_it_starts(
    stack: Stack, events: list[str]
) -> None:
    pairs = [
        (f"{dependency} {CONDITIONS[how['condition']]}", f"{name} start")
        for name, service in stack.services.items()
        for dependency, how in (service.get("depends_on") or {}).items()
    ]
    assert pairs
    for fulfilled, start in pairs:
        assert events.index(fulfilled) < events.index(start), events


def test_the_image_is_small_and_its_processes_are_confined(up: Stack) -> None:
    images = up.engine.client.images
    base = f"{os.environ.get('IMAGE_PREFIX', '')}library/{stand_ins.BASE}"
    if not up.engine.is_private:
        up.engine.run("docker", "pull", base)
    added = images.get(up.name).attrs["Size"] - images.get(base).attrs["Size"]
    assert added < 200 * MB, f"{added / MB:.0f} MB"
    for service in ("api", "worker"):
        [container] = up.containers(service)
        assert container.exec_run(["id", "-u"]).output == b"10001\n"
        assert container.exec_run(["touch", "/app/file"]).exit_code != 0
        assert container.exec_run(["touch", "/data/file"]).exit_code == 0


def test_a_changed_line_of_code_is_rebuilt_in_seconds_on_the_cached_dependencies(
    stack: Stack, tmp_path: Path
) -> None:
    shutil.copytree(stack.project, tmp_path / "project")
    with (tmp_path / "project/api/main.py").open("a") as code:
        code.write("# A comment more.\n")
    changed = f"{stack.name}-changed"
    images = stack.engine.client.images

    start = time.monotonic()
    stack.engine.run(
        "docker", "build", "--network=host", "--tag", changed,
        "--build-arg", f"IMAGE_PREFIX={os.environ.get('IMAGE_PREFIX', '')}", tmp_path / "project",
    )  # fmt: skip
    duration = time.monotonic() - start

    layers = [images.get(name).attrs["RootFS"]["Layers"] for name in (stack.name, changed)]
    images.remove(changed)
    different = [one for one, other in zip(*layers, strict=True) if one != other]
    assert 1 <= len(different) <= 2
    assert duration < 20


def test_a_job_posted_to_the_api_is_done_in_the_worker(up: Stack) -> None:
    job_id = up.post("email", email(1))
    assert up.ended(job_id)["state"] == "succeeded"
    assert len(up.workers_of(job_id)) == 1
    messages = httpx2.get(f"{up.url('mail', 8025)}/api/v1/messages").json()["messages"]
    assert [message["Subject"] for message in messages].count("Message 1") == 1


def another_machine_reaches(stack: Stack) -> set[str]:
    """Return which of the ports that lead to a service, by `SERVICE:PORT`, others reach."""
    if not network.another_machine_can_be_had():
        pytest.skip("no network namespace can be made here")
    published = stack.published()
    # All of them listen: it is their address that keeps the others to this machine.
    on_this_machine = [("127.0.0.1", port) for port in published.values()]
    assert "api:8000" in published
    assert network.connected(on_this_machine) == on_this_machine
    with network.another_machine() as (here, there):
        return network.reached(there, {name: (here, port) for name, port in published.items()})


def caddy_reaches(stack: Stack) -> set[str]:
    """Return what is reached from Caddy's network: in a network, or by a port of this machine."""
    # To the containers of its network, this machine has what it has to everyone.
    gateway = stack.gateway("edge")
    machine = {f"{name} here": (gateway, port) for name, port in stack.published().items()}
    return network.reached(stack.runner_in("edge"), stack.addresses() | machine)


OPEN = {"caddy:80", "caddy:443"}
OPEN_TO_CADDY = {"api:8000 in edge"} | {
    f"{port} {where}" for port in OPEN for where in ("in edge", "here")
}


def test_another_machine_reaches_caddy_alone(up: Stack) -> None:
    assert another_machine_reaches(up) == OPEN


def test_caddy_reaches_the_api_and_nothing_else(up: Stack) -> None:
    assert caddy_reaches(up) == OPEN_TO_CADDY


def test_an_engine_is_in_one_network_and_asks_for_its_password(up: Stack) -> None:
    engines = {
        name: address
        for name, address in up.addresses().items()
        if name.startswith(("redis:", "rabbitmq:", "postgres:"))
    }
    if not engines:
        pytest.skip("Temporal's server knows no passwords")
    assert network.reached(up.runner_in("default"), engines) == set()
    for service, code, error in STRANGERS:
        if service in up.services:
            with pytest.raises(AssertionError, match=error):
                up.compose("exec", "-T", "worker", "python", "-c", code)


STRANGERS = [
    ("redis", "import redis; redis.Redis('redis', retry=None).ping()", "Authentication"),
    ("rabbitmq", "import amqp; amqp.Connection('rabbitmq').connect()", "AccessRefused"),
    *(
        (
            "postgres",
            f"import asyncio, asyncpg as a; asyncio.run(a.connect('postgresql://{who}@postgres'))",
            "InvalidPassword",
        )
        for who in ("app", "app:another-password")
    ),
]
"""Who does not know the password of a service, and the error that they get."""


def test_more_workers_share_the_load(up: Stack) -> None:
    scale(up, 3)
    busy: set[str] = set()

    def work() -> bool:
        job_ids = [up.post("email", email(number)) for number in range(20)]
        assert {up.ended(job_id)["state"] for job_id in job_ids} == {"succeeded"}
        for job_id in job_ids:
            busy.update(up.workers_of(job_id))
        return len(busy) == 3

    until(work, 120, describe=lambda: f"three workers have done jobs, only {busy} did")


def test_a_worker_that_is_killed_loses_no_job(up: Stack) -> None:
    scale(up, 3)
    up.write_contacts("killed.csv", ROWS)
    jobs = [up.post("import", {"file": "killed.csv"}) for _ in range(2)]

    def killed() -> bool:
        for worker in up.containers("worker"):
            log = worker.logs()
            for job_id in jobs:
                progress = up.job(job_id)["progress"]
                if job_id.encode() in log and progress and 0 < progress["done"] < ROWS:
                    worker.kill()
                    return True
        return False

    until(killed, 120, describe=lambda: "a worker is in the middle of an import")
    for job_id in jobs:
        job = up.ended(job_id, timeout=180)
        assert (job["state"], job["progress"]) == ("succeeded", {"done": ROWS, "total": ROWS})


def test_a_graceful_shutdown_finishes_or_resumes_jobs_and_keeps_results(up: Stack) -> None:
    done = up.post("email", email(2))
    assert up.ended(done)["state"] == "succeeded"
    up.write_contacts("stopped.csv", ROWS)
    running = up.post("import", {"file": "stopped.csv"})
    until(lambda: (up.job(running)["progress"] or {}).get("done"), 120)

    own = [one for one in up.containers() if one.attrs["Config"]["Image"] == up.name]
    up.compose("stop")
    for container in own:
        container.reload()
    codes = {container.name: container.attrs["State"]["ExitCode"] for container in own}
    # A process that outlives its grace period is killed, and ends with 137.
    assert set(codes.values()) == {0}, codes

    up.compose("down")
    up.compose("up", "--detach")
    up.wait_until_healthy()
    assert up.job(done)["state"] == "succeeded"
    job = up.ended(running)
    assert (job["state"], job["progress"]) == ("succeeded", {"done": ROWS, "total": ROWS})


def test_the_web_interface_answers(up: Stack) -> None:
    if "temporal-ui" in up.services:
        url = up.url("temporal-ui", 8080)
        page = httpx2.get(url, follow_redirects=True).text
        assert page.lower().startswith("<!doctype html>")
        namespaces = httpx2.get(f"{url}/api/v1/namespaces").json()["namespaces"]
        assert "default" in [namespace["namespaceInfo"]["name"] for namespace in namespaces]
    else:
        url = f"{up.url('flower', 5555)}/workers"
        assert httpx2.get(url).status_code == 401
        assert httpx2.get(url, auth=("user", "a-password-of-the-tests")).status_code == 200


@pytest.fixture
def locked(engine: Engine, template: Path, tmp_path: Path) -> Iterator[Stack]:
    """A project without a worker, not started."""
    with built(engine, template, tmp_path, WITHOUT_WORKER) as stack:
        yield stack


def test_an_image_is_not_made_without_a_lock_file(locked: Stack) -> None:
    (locked.project / "uv.lock").unlink()
    with pytest.raises(AssertionError, match="run `uv lock`"):
        locked.compose("build")


def test_the_versions_of_the_lock_file_are_in_the_image(locked: Stack) -> None:
    lock = tomllib.loads((locked.project / "uv.lock").read_text())
    versions = {package["name"]: package.get("version") for package in lock["package"]}
    locked.compose("build")
    code = "import importlib.metadata as m; print(m.version('fastapi'), end='')"
    version = locked.compose("run", "--rm", "-T", "--no-deps", "api", "python", "-c", code)
    assert versions["fastapi"] in version


def test_a_lock_file_that_does_not_fit_is_not_ignored(locked: Stack) -> None:
    settings = locked.project / "pyproject.toml"
    settings.write_text(settings.read_text().replace('"uvicorn>=', '"tomli",\n    "uvicorn>='))
    with pytest.raises(AssertionError, match="needs to be updated"):
        locked.compose("build")


@pytest.fixture(scope="module")
def alone(
    engine: Engine, template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """The containers of a project without a worker, started and healthy."""
    folder = tmp_path_factory.mktemp("alone")
    with built(engine, template, folder, WITHOUT_WORKER) as stack:
        stack.compose("up", "--detach")
        stack.wait_until_healthy()
        yield stack


def test_without_a_worker_another_machine_reaches_caddy_alone(alone: Stack) -> None:
    assert another_machine_reaches(alone) == OPEN


def test_without_a_worker_caddy_reaches_the_api_and_nothing_else(alone: Stack) -> None:
    assert caddy_reaches(alone) == OPEN_TO_CADDY


def test_without_a_worker_the_api_does_the_jobs_and_ends_by_itself(alone: Stack) -> None:
    assert alone.ended(alone.post("email", email(1)))["state"] == "succeeded"
    [api] = alone.containers("api")
    alone.compose("stop")
    api.reload()
    assert api.attrs["State"]["ExitCode"] == 0
