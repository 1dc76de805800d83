"""The examples of deploy/: the commands exist, every job has its limits, and one of them runs as written."""

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import COMMAND
from test_docs import commands_in, must_exist
from test_roles import created_login
from weekclose.postgres import Server
from weekclose.settings import project_dir

DEPLOY = project_dir() / "deploy"
CRONTAB = DEPLOY / "cron" / "weekclose"
UNITS = DEPLOY / "systemd"
MANIFESTS = DEPLOY / "kubernetes"

# A job, its login, its minutes and hours, and the longest that it may take, in seconds. What is not here is
# a person's act.
JOBS = {
    "reconcile": ("reconciling", "50 * * * *", 600),
    "sunday": ("closing", "0 23 * * 0", 3600),
    "review": ("closing", "5 * * * *", 600),
    "schedules": ("scheduling", "*/10 * * * *", 600),
    "outbox": ("telling", "* * * * *", 600),
    "notify": ("telling", "* * * * *", 600),
    "doctor": ("watching", "30 6 * * *", 600),
}
COMMANDS = {
    "reconcile": ["reconcile"],
    "sunday": ["load /srv/feed/today", "sunday"],
    "review": ["review"],
    "schedules": ["schedules run"],
    "outbox": ["outbox publish"],
    "notify": ["notify run"],
    "doctor": ["doctor"],
}
SERVICE = "webhooks serve --port 8098"
# The same instants as systemd writes them.
CALENDAR = {
    "50 * * * *": "*-*-* *:50:00",
    "0 23 * * 0": "Sun *-*-* 23:00:00",
    "5 * * * *": "*-*-* *:05:00",
    "*/10 * * * *": "*-*-* *:00/10:00",
    "* * * * *": "*-*-* *:*:00",
    "30 6 * * *": "*-*-* 06:30:00",
}
SECRET = re.compile(r"postgres(ql)?://|whsec_|PASSWORD|_KEY|_SECRET|DATABASE_URL")


def cron_lines() -> dict[str, tuple[str, str]]:
    """The crontab's jobs by the name of their log: when, and the command line."""
    jobs = {}
    for line in CRONTAB.read_text().splitlines():
        if line and not line.startswith("#") and not re.match(r"\w+=", line):
            *when, command = line.split(maxsplit=5)
            [log] = set(re.findall(r"\$LOGS/(\w+)\.log", command))
            jobs[log] = (" ".join(when), command)
    return jobs


def unit(name: str) -> list[tuple[str, str]]:
    """A unit's settings, in their order: some are there more than once."""
    lines = (UNITS / f"weekclose-{name}").read_text().splitlines()
    return [
        (key, value) for key, sign, value in (line.partition("=") for line in lines) if sign and key.isalpha()
    ]


def settings(name: str, key: str) -> list[str]:
    return [value for each, value in unit(name) if each == key]


def manifests() -> Iterator[dict[str, Any]]:
    for path in sorted(MANIFESTS.glob("*.yaml")):
        yield from yaml.safe_load_all(path.read_text())


CRON = cron_lines()
CRON_JOBS = {
    each["metadata"]["name"].removeprefix("weekclose-"): each
    for each in manifests()
    if each["kind"] == "CronJob"
}
[DEPLOYMENT] = [each for each in manifests() if each["kind"] == "Deployment"]


def words(commands: Sequence[str]) -> list[tuple[str, ...]]:
    return [tuple(each.split()) for each in commands]


def test_all_three_run_the_same_jobs_at_the_same_times() -> None:
    """And nothing else: whoever hands over money or approves it is a person."""
    assert set(CRON) == set(CRON_JOBS) == set(JOBS)
    assert {path.stem.removeprefix("weekclose-") for path in UNITS.glob("*.timer")} == set(JOBS)
    for job, (_, when, _) in JOBS.items():
        assert CRON[job][0] == when
        assert CRON_JOBS[job]["spec"]["schedule"] == when
        assert settings(f"{job}.timer", "OnCalendar") == [f"{CALENDAR[when]} UTC"]
        wanted = words(COMMANDS[job])
        assert list(commands_in(CRON[job][1])) == wanted
        assert [
            each for line in settings(f"{job}.service", "ExecStart") for each in commands_in(line)
        ] == wanted
        [line] = container(CRON_JOBS[job])["args"]
        assert list(commands_in(line)) == wanted


def test_the_commands_exist() -> None:
    for job, commands in COMMANDS.items():
        for each in words(commands):
            must_exist(f"deploy: {job}", each)
    must_exist("deploy: webhooks", tuple(SERVICE.split()))
    assert list(commands_in(settings("webhooks.service", "ExecStart")[0])) == words([SERVICE])
    assert pod(DEPLOYMENT)["containers"][0]["command"] == ["weekclose", *SERVICE.split()]


def test_no_secret_stands_in_an_example() -> None:
    for path in (CRONTAB, *UNITS.iterdir(), *MANIFESTS.iterdir()):
        assert not SECRET.search(path.read_text()), path


# -- cron ----------------------------------------------------------------------------------------------------


def test_the_crontab_is_one() -> None:
    for when, command in CRON.values():
        limits = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
        for field, (least, most) in zip(when.split(), limits, strict=True):
            assert re.fullmatch(r"\*(/\d+)?|\d+", field)
            assert all(least <= int(number) <= most for number in re.findall(r"\d+", field))
        assert "%" not in command  # cron would make a new line of it
    heads = dict(re.findall(r"^(\w+)=(.*)$", CRONTAB.read_text(), re.MULTILINE))
    assert heads["CRON_TZ"] == "UTC"
    assert "@" in heads["MAILTO"]


@pytest.mark.parametrize("job", JOBS)
def test_a_line_of_the_crontab_has_its_limit_and_its_login(job: str) -> None:
    login, _, longest = JOBS[job]
    _, command = CRON[job]
    assert f". /etc/weekclose/{login}.env; " in command
    limits = [int(each) for each in re.findall(r"timeout --verbose (\d+) weekclose", command)]
    assert len(limits) == len(COMMANDS[job])
    assert limits[-1] == longest
    assert set(limits[:-1]) <= {600}
    assert job == "doctor" or "|| [ $? -eq 5 ] || tail" in command


def test_a_line_of_the_crontab_runs_as_written(database: Server, tmp_path: Path) -> None:
    """Quiet when there is nothing to do; what went wrong, or took too long, is mailed."""
    example = (DEPLOY / "job.env.example").read_text()
    places = {"/etc/weekclose": tmp_path, "$LOGS": tmp_path}
    line = CRON["reconcile"][1]
    for name, place in places.items():
        line = line.replace(name, str(place))

    def run(url: str, command: str = line) -> subprocess.CompletedProcess[str]:
        answered = re.sub("^DATABASE_URL=.*$", f"DATABASE_URL='{url}'", example, flags=re.MULTILINE)
        (tmp_path / "reconciling.env").write_text(answered)
        path = f"{COMMAND.parent}:/usr/bin:/bin"
        return subprocess.run(
            ["/bin/sh", "-c", command], capture_output=True, text=True, env={"PATH": path}, check=False
        )

    with created_login(database, ["operator"]) as reconciling:
        idle = run(reconciling.url)
        assert (idle.returncode, idle.stdout, idle.stderr) == (0, "", "")
        assert "weekclose: nothing is open at the rail" in (tmp_path / "reconcile.log").read_text()
        slow = run(reconciling.url, line.replace(" 600 ", " 0.001 "))
        assert "sending signal TERM" in slow.stdout
    down = run("postgresql://nobody@127.0.0.1:1/weekclose")
    assert "weekclose: database: " in down.stdout
    assert down.stderr == ""


# -- systemd -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("job", JOBS)
def test_a_unit_has_its_limits(job: str) -> None:
    login, _, longest = JOBS[job]
    wanted = {
        "Type": "oneshot",
        "User": "weekclose",
        "EnvironmentFile": f"/etc/weekclose/{login}.env",
        "TimeoutStartSec": str(longest),
        "Restart": "no",
        "SuccessExitStatus": "5",
        "OnFailure": "weekclose-alarm@%n.service",
        "ProtectSystem": "strict",
        "NoNewPrivileges": "yes",
    }
    assert wanted.items() <= dict(unit(f"{job}.service")).items()


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("no systemd-analyze: apt-get install systemd to have the units verified")
    for path in UNITS.iterdir():
        text = path.read_text().replace("/srv/weekclose/.venv/bin", str(COMMAND.parent))
        (tmp_path / path.name).write_text(text)
    names = sorted(str(path) for path in tmp_path.iterdir())
    done = subprocess.run(["systemd-analyze", "verify", *names], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


# -- Kubernetes ----------------------------------------------------------------------------------------------


def pod(manifest: dict[str, Any]) -> Any:
    spec = manifest["spec"]
    return (spec["jobTemplate"]["spec"] if "jobTemplate" in spec else spec)["template"]["spec"]


def container(manifest: dict[str, Any]) -> Any:
    [only] = pod(manifest)["containers"]
    return only


@pytest.mark.parametrize("job", JOBS)
def test_a_cron_job_has_its_limits(job: str) -> None:
    login, _, longest = JOBS[job]
    spec = CRON_JOBS[job]["spec"]
    work = spec["jobTemplate"]["spec"]
    assert (spec["timeZone"], spec["concurrencyPolicy"]) == ("Etc/UTC", "Forbid")
    assert (work["activeDeadlineSeconds"], work["backoffLimit"]) == (longest, 0)
    assert pod(CRON_JOBS[job])["restartPolicy"] == "Never"
    only = container(CRON_JOBS[job])
    assert only["envFrom"][0] == {"secretRef": {"name": f"weekclose-{login}"}}
    assert job == "doctor" or only["args"][0].endswith(" || [ $? -eq 5 ]")


@pytest.mark.parametrize(
    "manifest", [*CRON_JOBS.values(), DEPLOYMENT], ids=lambda each: each["metadata"]["name"]
)
def test_a_pod_may_do_little(manifest: dict[str, Any]) -> None:
    spec = pod(manifest)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["automountServiceAccountToken"] is False
    for each in spec["containers"]:
        assert each["resources"]["limits"]["memory"]
        assert each["resources"]["requests"]["cpu"]
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not each.get("env")


def test_the_image_is_made_of_what_is_there() -> None:
    text = (MANIFESTS / "Dockerfile").read_text()
    copied = [name for line in re.findall(r"^COPY (.*) \S+$", text, re.MULTILINE) for name in line.split()]
    assert {"scripts", "models", "migrations"} < set(copied)
    assert all((project_dir() / name).exists() for name in copied)
    [pinned] = re.findall(r"setuptools==\S+", text)
    assert pinned in (project_dir() / "Makefile").read_text()
