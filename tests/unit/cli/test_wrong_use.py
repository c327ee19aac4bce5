"""Wrong use is told in one line, before anything is changed."""

from __future__ import annotations

import argparse
import ipaddress
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kumoi import config, main
from kumoi.base import process
from kumoi.base.errors import Conflict, Invalid, NotFound, Permanent
from kumoi.cli import choice, up
from kumoi.cli.progress import Progress
from kumoi.config import CloudSettings, HostSettings
from kumoi.hosts.first_use import clouds_yaml
from kumoi.hosts.install import image, machine
from kumoi.hosts.units import running
from kumoi.hosts.wires import ranges, sockets
from kumoi.hosts.wires.ranges import UsedRange
from kumoi.hosts.wires.sockets import Bound, ListeningSocket

ROOT = Path(__file__).parents[3]
NOBODY = 65_534
UNREACHABLE = "http://127.0.0.1:9"
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture
def short() -> Iterator[Path]:
    """A directory near the root: how deep pytest's own lie is not ours to say."""
    with tempfile.TemporaryDirectory(prefix="kcli-", dir="/tmp") as name:
        yield Path(name)


def arguments(**given: str | None) -> argparse.Namespace:
    usual: dict[str, Any] = {"name": "kcli", "state_dir": None, "without": [], "within": []}
    return argparse.Namespace(**{**usual, **given})


def said(words: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit status and the one line."""
    try:
        status = main.main(words)
    except SystemExit as ended:
        status = int(ended.code or 0)
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    return status, err.strip()


def test_an_unknown_command_is_told_with_those_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    status, line = said(["upp"], capsys)
    assert status == 2
    assert line.startswith("kumoi: there is no command upp: up, status, ")


def test_an_unknown_option_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    status, line = said(["status", "--colour"], capsys)
    assert status == 2
    assert line == "kumoi: unrecognized arguments: --colour (see kumoi --help)"


@as_root
def test_the_status_of_a_cloud_that_is_not_there_is_one_line(
    capsys: pytest.CaptureFixture[str], short: Path
) -> None:
    words = ["status", "--name", "kcli", "--state-dir", str(short / "none")]
    assert said(words, capsys) == (
        1,
        f"kumoi: the cloud kcli is not here: sudo ./kumoi up {' '.join(words[1:])}",
    )


@as_root
def test_down_of_what_is_not_there_is_no_failure(
    capsys: pytest.CaptureFixture[str], short: Path
) -> None:
    assert main.main(["down", "--name", "kcli", "--state-dir", str(short / "none")]) == 0
    assert capsys.readouterr().out == "The cloud kcli is not here: nothing to do\n"


@pytest.fixture
def no_further(monkeypatch: pytest.MonkeyPatch) -> None:
    """An `up` that was not refused by now would be a cloud."""

    def refuse(state_dir: Path) -> None:
        raise Invalid(f"{state_dir} was to be used")

    monkeypatch.setattr(machine, "check_size", refuse)


@pytest.fixture
def elsewhere(short: Path) -> Iterator[Path]:
    """Where a cloud kcli has a process running."""
    home = short / "home"
    cloud = CloudSettings(name="kcli")
    home.mkdir()
    config.write(cloud, home)
    config.write(config.first_host(cloud, str(home)), home)
    env = running.mark(str(home), "agent", "d1")
    child = process.start(["sleep", "60"], log=home / "log", env=env)
    while str(home) not in running.state_dirs():
        assert child.poll() is None
    yield home
    child.kill()
    child.wait()


@as_root
@pytest.mark.usefixtures("no_further")
@pytest.mark.parametrize("words", [["down"], ["down", "--purge"], ["up"]])
@pytest.mark.parametrize("there", [False, True])
def test_a_cloud_that_runs_from_elsewhere_is_left_alone(
    capsys: pytest.CaptureFixture[str],
    short: Path,
    elsewhere: Path,
    words: list[str],
    *,
    there: bool,
) -> None:
    wrong = short / "wrong"
    if there:  # As the first host of another cloud of that name.
        wrong.mkdir()
        config.write(CloudSettings(name="kcli"), wrong)
    status, line = said([*words, "--name", "kcli", "--state-dir", str(wrong)], capsys)
    assert status == 1
    assert line == (
        f"kumoi: the cloud kcli runs from {elsewhere}, not {wrong}: --state-dir {elsewhere}"
    )
    assert [unit.name for unit in running.found(str(elsewhere))] == ["agent"]


def test_another_host_of_a_cloud_that_runs_here_is_taken_down_alone(
    short: Path, elsewhere: Path
) -> None:
    cloud = CloudSettings(name="kcli")
    second = HostSettings(name="kcli-host2", state_dir=str(short / "second"))
    second.state.mkdir()
    config.write(cloud, second.state)
    assert str(elsewhere) in running.state_dirs()
    choice.require_ours(cloud, second)
    choice.require_ours(CloudSettings(name="kother"), HostSettings(state_dir=str(short / "new")))


@as_root
@pytest.mark.usefixtures("no_further")
@pytest.mark.parametrize("words", [["down"], ["down", "--purge"], ["up"]])
def test_a_directory_of_something_else_is_left_alone(
    capsys: pytest.CaptureFixture[str], short: Path, words: list[str]
) -> None:
    (short / "thesis.txt").write_text("years of work")
    status, line = said([*words, "--name", "kcli", "--state-dir", str(short)], capsys)
    assert (status, line) == (
        1,
        f"kumoi: {short} is not empty, and no directory of a cloud",
    )
    assert [path.name for path in short.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("name", ["", "Kumoi", "much-too-long", "a b", "9lives", "x/../y"])
def test_a_name_that_could_not_name_links_is_refused(name: str) -> None:
    with pytest.raises(Invalid, match="is not 1 to 8 of a-z and 0-9"):
        choice.chosen(arguments(name=name))


def test_a_directory_too_deep_for_sockets_is_refused() -> None:
    with pytest.raises(Invalid, match="--state-dir is too long"):
        choice.chosen(arguments(state_dir=f"/var/tmp/{'d' * 70}"))


def test_a_cloud_is_changed_by_one_command_at_a_time(tmp_path: Path) -> None:
    cloud, host = CloudSettings(name="kcli"), HostSettings(state_dir=str(tmp_path))
    with (
        choice.alone(cloud, host),
        pytest.raises(Conflict, match="another command is changing the cloud kcli"),
        choice.alone(cloud, host),
    ):
        pass


@pytest.mark.parametrize("text", ["clouds: [", "- a list", "clouds: words", b"\xff\xfe\x00"])
def test_a_clouds_yaml_that_is_none_is_refused_and_kept(tmp_path: Path, text: str | bytes) -> None:
    person = clouds_yaml.Person(tmp_path, os.geteuid(), os.getegid())
    person.file.parent.mkdir(parents=True)
    raw = text if isinstance(text, bytes) else text.encode()
    person.file.write_bytes(raw)
    with pytest.raises(Invalid, match=r"clouds\.yaml"):
        clouds_yaml.check(person)
    assert person.file.read_bytes() == raw


def test_too_little_memory_is_told_with_what_there_is(tmp_path: Path) -> None:
    small = tmp_path / "meminfo"
    small.write_text("MemTotal:  1000000 kB\n")
    with pytest.raises(Invalid, match="this machine has 976 MiB of memory: 2 GiB"):
        machine.check_size(tmp_path, meminfo=small)


def test_too_little_disk_is_told_with_the_place(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=f"{tmp_path} has .* GiB free, and 1000000 GiB"):
        machine.check_size(tmp_path / "new", disk_min_gib=1_000_000)
    assert not (tmp_path / "new").exists()


def test_a_place_that_servers_cannot_get_to_is_told_with_what_to_do(short: Path) -> None:
    state = short / "mine" / "state"
    state.parent.mkdir()
    short.chmod(0o755)
    machine.check_passable(state)
    short.chmod(0o700)
    with pytest.raises(Invalid, match=f"through {short}: chmod o\\+x {short}"):
        machine.check_passable(state)


@as_root
def test_a_tree_in_which_the_kernel_makes_no_user_namespaces_is_told_with_what_to_do(
    tmp_path: Path,
) -> None:
    machine.check_user_namespaces()
    asked = f"{sys.executable} -c 'from kumoi.hosts.install import machine; machine.check_user_namespaces()'"
    inside = f"mount --rbind / {tmp_path} && PYTHONPATH={ROOT / 'src'} chroot {tmp_path} {asked}"
    done = process.run(["unshare", "--mount", "sh", "-c", inside], check=False)
    assert done.status == 1
    assert "this machine makes no user namespaces" in done.err
    assert "In a chroot the kernel never makes them: boot that tree" in done.err


def test_a_file_where_the_cloud_should_be_is_named(short: Path) -> None:
    file = short / "file"
    file.touch()
    for state in (file, file / "state"):
        with pytest.raises(Invalid, match=f"{file} is no directory"):
            machine.check_passable(state)


def test_a_command_on_a_cloud_that_is_not_there_says_how_to_get_it(short: Path) -> None:
    with pytest.raises(NotFound, match="the cloud kcli is not here"):
        choice.existing(arguments(state_dir=str(short)))


def test_another_cloud_at_the_usual_addresses_is_no_hindrance(
    short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its ports are its own, at addresses that the new cloud does not get."""
    short.chmod(0o755)
    usual = CloudSettings()
    theirs = [
        UsedRange(ipaddress.IPv4Network(cidr), "another cloud")
        for cidr in (usual.public_cidr, usual.underlay_cidr)
    ]
    ports = {
        usual.public_address: usual.api_port,
        usual.control_address: usual.host_api_port,
    }
    listeners = [
        ListeningSocket(Bound("tcp", address, port, 1), "python", os.getpid(), None)
        for address, port in ports.items()
    ]
    monkeypatch.setattr(ranges, "used", lambda _links: theirs)
    monkeypatch.setattr(sockets, "of_machine", lambda _host: listeners)
    args = arguments(state_dir=str(short / "state"), public_cidr=None, underlay_cidr=None)
    cloud, _host = up._decide(args)
    assert not {cloud.public_address, cloud.control_address} & ports.keys()
    with pytest.raises(Conflict, match=f"listens on port {usual.api_port}"):
        sockets.require_free(usual, HostSettings(state_dir=str(short)))


def test_a_mistyped_setting_stops_up_and_nothing_else(short: Path) -> None:
    config.write(CloudSettings(name="kcli"), short)
    file = short / config.CLOUD_FILE
    file.write_text(f'regoin = "here"\n{file.read_text()}')
    args = arguments(state_dir=str(short), public_cidr=None, underlay_cidr=None)
    with pytest.raises(Invalid, match="there is no setting regoin: did you mean region"):
        up.bring_up(args, Progress())
    cloud, host = choice.existing(args)
    assert (cloud.name, host.name) == ("kcli", "kcli-host1")


def test_advice_is_about_the_cloud_that_was_named() -> None:
    assert choice.words(CloudSettings(), HostSettings()) == ""
    other = CloudSettings(name="kcli")
    assert (
        choice.words(other, HostSettings(state_dir="/srv/kcli"))
        == " --name kcli --state-dir /srv/kcli"
    )
    assert choice.words(other, HostSettings(state_dir="/var/lib/kcli")) == " --name kcli"


@as_root
def test_an_image_without_a_network_says_so_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    apt = tmp_path / "apt.conf"
    apt.write_text(
        "".join(f'Acquire::{how}::Proxy "{UNREACHABLE}";\n' for how in ("http", "https"))
        + 'Acquire::Retries "0";\n'
    )
    monkeypatch.setenv("APT_CONFIG", str(apt))
    cache = tmp_path / "cache"
    with pytest.raises(Permanent, match="is there a network"):
        image.ensure(image.DEBIAN, cache)
    assert [path.suffix for path in cache.iterdir()] == [".lock"]


def launch(checkout: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The launcher of a checkout that nothing was made in yet."""
    for path in ("kumoi", "pyproject.toml"):
        (checkout / path).write_bytes((ROOT / path).read_bytes())
    (checkout / "src").symlink_to(ROOT / "src")
    return subprocess.run(
        ["/usr/bin/python3", str(checkout / "kumoi"), *words],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "HOME": str(checkout), **env},
    )


@pytest.mark.skipif(sys.version_info < (3, 11), reason="as the launcher")
def test_help_and_unknown_commands_install_nothing(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    assert launch(checkout, "upp").returncode == 2
    assert not (checkout / ".venv").exists()


def test_python_packages_without_a_network_are_told_and_tried_again_the_next_time(
    tmp_path: Path,
) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    done = launch(checkout, "run", "list", PIP_INDEX_URL=UNREACHABLE, PIP_RETRIES="0")
    assert done.returncode == 1
    assert "kumoi: Python packages could not be installed; is there a network?" in done.stderr
    assert not list((checkout / ".venv").glob("*.stamp"))


def test_output_that_nobody_reads_to_its_end_is_no_fault() -> None:
    """As of `kumoi run report --json | head`."""
    much = "run.run = lambda _args: print('x' * 1_000_000) or 0"
    script = f"from kumoi import main; from kumoi.cli import run; {much}; exit(main.main(['run', 'list']))"
    with subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PYTHONPATH": str(ROOT / "src")},
    ) as ended:
        assert ended.stdout is not None
        assert ended.stderr is not None
        ended.stdout.close()
        assert ended.stderr.read() == b""
    assert ended.returncode == main.EXIT_CUT_OFF
