"""A machine of our own that can be rebooted: Debian 12 with systemd as its first process, in an LXC
container with root's rights, and this checkout in its place.

What it is made of is built once from Debian's packages, the same that `up` installs, and kept; each run
lays a fresh disk over it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.system.live import eventually

from kumoi.base import trees
from kumoi.base.process import Completed, run
from kumoi.hosts.install import image, packages

ROOT = Path(__file__).parents[2]
CACHE = Path("/var/tmp/kumoi-test-cache")
INCLUDED = (
    *packages.NEEDED,
    *packages.FOR_CONTROL_HOSTS,
    "ca-certificates",
    "dbus",
    "iputils-ping",
    "python3",
    "systemd-sysv",
)
# Nothing of Debian's starts, as `up` has it on a machine where it installs the packages itself.
PRESET = """set -eu
mkdir -p "$1/etc/systemd/system-preset"
echo "disable *" > "$1/etc/systemd/system-preset/00-none.preset"
systemctl --root="$1" --quiet preset-all
systemctl --root="$1" --quiet mask systemd-udevd.service systemd-udev-trigger.service \
    console-getty.service proc-sys-fs-binfmt_misc.automount"""
BANNER = """
import contextlib, json, socket, sys
said = b""
with contextlib.suppress(OSError), socket.create_connection((sys.argv[1], 22), timeout=1) as peer:
    said = peer.recv(4)
print(json.dumps(said == b"SSH-"))
"""
LOOP_DEVICES = 64
LOOP_MAJOR = 7
BOOT_S = 60.0
STOP_S = 60.0
COMMAND_S = 900.0  # On a machine that has other work to do.
CONFIG = """
lxc.uts.name = {name}
lxc.rootfs.path = dir:{root}
lxc.apparmor.profile = unconfined
lxc.cap.drop =
lxc.tty.max = 0
lxc.pty.max = 64
lxc.autodev = 1
lxc.mount.auto = proc:rw sys:rw cgroup:rw:force
lxc.mount.entry = proc dev/.lxc/proc proc create=dir 0 0
lxc.mount.entry = sys dev/.lxc/sys sysfs create=dir 0 0
lxc.cgroup.devices.allow = a
lxc.cgroup2.devices.allow = a
lxc.signal.halt = SIGRTMIN+3
lxc.console.logfile = {console}
"""
UNPLUGGED = "lxc.net.0.type = empty"
PLUGGED = """
lxc.net.0.type = veth
lxc.net.0.link = {switch}
lxc.net.0.name = {link}
"""


@dataclass(frozen=True)
class Machine:
    """`shared` is a directory that it sees under the same name."""

    name: str
    home: Path

    @property
    def shared(self) -> Path:
        return self.home / "shared"

    @property
    def pid(self) -> int:
        """Of its first process; 0 when it is off."""
        pid = run(["lxc-info", "-P", self.home, "-n", self.name, "-p", "-H"], check=False).out
        return int(pid or 0)

    def inside(
        self, *words: str | Path, check: bool = True, timeout_s: float = COMMAND_S
    ) -> Completed:
        return run([*self._attach(), *words], check=check, timeout_s=timeout_s)

    def kumoi(
        self,
        *words: str,
        check: bool = True,
        timeout_s: float = COMMAND_S,
        source: Path | None = None,
    ) -> Completed:
        """Our own command; `source` is where another release's code is."""
        env = ["env", f"PYTHONPATH={source}"] if source else []
        command = [*env, sys.executable, "-m", "kumoi.main", *words]
        return self.inside(*command, check=check, timeout_s=timeout_s)

    @contextlib.contextmanager
    def running(self, program: str) -> Iterator[subprocess.Popen[str]]:
        """A Python program of the test's, with pipes to and from it."""
        with subprocess.Popen(
            [*self._attach(), sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as child:
            try:
                yield child
            finally:
                child.kill()

    def python(self, program: str, *words: str) -> object:
        """What such a program prints as JSON."""
        return json.loads(self.inside(sys.executable, "-c", program, *words).out)

    def answers(self, address: str) -> bool:
        """Whether an SSH server answers whoever asks from this machine."""
        return bool(self.python(BANNER, address))

    def start(self) -> None:
        words: list[str | Path] = ["-P", self.home, "-n", self.name, "-f", self.home / "config"]
        run(["lxc-start", *words, "-o", self.home / "lxc.log"])

    def await_booted(self) -> None:
        """Until it starts nothing more, whatever came of it."""

        def settled() -> bool:
            state = self.inside("systemctl", "is-system-running", check=False).out.strip()
            return state in {"running", "degraded"}

        eventually(settled, within_s=BOOT_S, what=f"{self.name} has booted")

    def reboot(self) -> None:
        """As from the keyboard; until its first process is another one."""
        before = self.pid
        self.inside("systemctl", "reboot", check=False)
        eventually(
            lambda: self.pid not in (0, before), within_s=STOP_S, what=f"{self.name} is off and on"
        )

    def power_off(self) -> None:
        """As by its plug: nothing on it ends first."""
        run(["lxc-stop", "-k", "-P", self.home, "-n", self.name])

    def _attach(self) -> list[str | Path]:
        env = [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/root")]
        variables: list[str | Path] = []
        for name, value in env:
            variables += ["-v", f"{name}={value}"]
        here = ["-P", str(self.home), "-n", self.name, "--clear-env"]
        return ["lxc-attach", *here, *variables, "--"]


@contextlib.contextmanager
def machine(name: str) -> Iterator[Machine]:
    """On, and gone at the end, as is what a killed run left."""
    with machines([name]) as (box,):
        yield box


@contextlib.contextmanager
def machines(names: Sequence[str], *, switch: str = "", link: str = "") -> Iterator[list[Machine]]:
    """Several, which boot side by side. With a `switch` each is plugged into it from its first moment, at each boot, by a
    `link` of that name, which has no address.
    """
    base = _ensure_base()
    boxes = [Machine(name, Path("/var/tmp") / name) for name in names]
    net = PLUGGED.format(switch=switch, link=link) if switch else UNPLUGGED
    try:
        for box in boxes:
            _remove(box)
            _make(box, base, net)
            box.start()
        for box in boxes:
            box.await_booted()
        yield boxes
    finally:
        for box in boxes:
            _remove(box)


def _make(box: Machine, base: Path, net: str) -> None:
    for part in ("upper", "work", "root", "state", "shared", "devices", box.name):
        (box.home / part).mkdir(parents=True)
    layers = f"lowerdir={base},upperdir={box.home / 'upper'},workdir={box.home / 'work'}"
    run(["mount", "-t", "overlay", "overlay", "-o", layers, box.home / "root"])
    (box.home / "config").write_text(f"{_config(box)}{net}\n")


@contextlib.contextmanager
def network_switch(name: str) -> Iterator[str]:
    """What machines are plugged into: a bridge of this machine, gone at the end. It answers for no address of this
    machine's, which may be those of another cloud.
    """
    run(["ip", "link", "delete", name], check=False)  # Of a run that was killed.
    run(["ip", "link", "add", name, "up", "arp", "off", "type", "bridge"])
    try:
        yield name
    finally:
        run(["ip", "link", "delete", name])


def _config(box: Machine) -> str:
    text = CONFIG.format(name=box.name, root=box.home / "root", console=box.home / "console.log")
    images = image.cache_dir()
    for recipe in image.RECIPES:
        image.ensure(recipe, images)
    shown = {
        ROOT: (ROOT, "bind,ro"),
        images: (images, "bind"),
        box.shared: (box.shared, "bind"),
        # A real file system, as servers' disks cannot lie on layers.
        box.home / "state": (Path("/var/lib/kumoi"), "bind"),
    }
    # Twice: a release that is no checkout looks elsewhere.
    bound = [*shown.items(), (images, (Path("/var/cache/kumoi/images"), "bind"))]
    if not Path(sys.base_prefix).is_relative_to("/usr"):
        bound.append((Path(sys.base_prefix), (Path(sys.base_prefix), "bind,ro")))
    lines = [
        f"lxc.mount.entry = {path} {str(there).lstrip('/')} none {how},create=dir 0 0"
        for path, (there, how) in bound
    ]
    devices = {name: Path("/dev", name) for name in ("net/tun", "loop-control")}
    for number in range(LOOP_DEVICES):  # The kernel gives out the next one that nobody has.
        device = devices[f"loop{number}"] = box.home / "devices" / f"loop{number}"
        os.mknod(device, stat.S_IFBLK | 0o660, os.makedev(LOOP_MAJOR, number))
    lines += [
        f"lxc.mount.entry = {path} dev/{name} none bind,create=file 0 0"
        for name, path in devices.items()
    ]
    return "\n".join([text, *lines, ""])


def _remove(box: Machine) -> None:
    if box.home.exists():
        run(["lxc-stop", "-k", "-P", box.home, "-n", box.name], check=False)
    for line in reversed(Path("/proc/self/mountinfo").read_text().splitlines()):
        point = Path(line.split(" ")[4])
        if point.is_relative_to(box.home):
            run(["umount", "--lazy", point])
    trees.remove(box.home)


def _ensure_base() -> Path:
    parts = (INCLUDED, PRESET, image.SUITE)
    base = CACHE / f"machine-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}"
    if base.is_dir():
        return base
    CACHE.mkdir(exist_ok=True)
    draft = base.with_suffix(".part")
    trees.remove(draft)  # Of a build that was killed.
    run(
        [
            "mmdebstrap",
            "--mode=root",
            "--variant=minbase",
            "--format=directory",
            f"--include={','.join(INCLUDED)}",
            *(f"--aptopt={option}" for option in image.apt_options()),
            f"--setup-hook={image.BEGIN}",
            f"--customize-hook={PRESET}",
            image.SUITE,
            draft,
            *image.sources(),
        ],
        timeout_s=600,
    )
    draft.rename(base)
    return base
