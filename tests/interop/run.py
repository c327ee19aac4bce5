"""`python -m tests.interop.run`: Tempest, unchanged, against a cloud that is up.

Makes accounts without admin rights and a workspace with `tempest.conf` and `accounts.yaml`, runs
the tests that a file names, one a line, or that fit a pattern, and looks for what they left over. With
`--admin` the tests have the administrator, and make accounts of their own; `--plugin neutron` (or
`octavia`) runs a service's own tests, so, too. Only `--without-shares` changes a line of them. Needs the optional packages: `pip install -e '.[interop]'`.
"""

from __future__ import annotations

import argparse
import configparser
import os
import sys
import tempfile
from pathlib import Path

import openstack
import yaml
from openstack.connection import Connection

from kumoi.base import process
from kumoi.base.errors import Invalid
from tests.interop import accounts, keystone, listed, neutron, octavia, octavia_traffic

PLUGINS = {
    "keystone": keystone,
    "neutron": neutron,
    "octavia": octavia,
    "octavia-traffic": octavia_traffic,
}
TEMPEST = Path(sys.executable).parent / "tempest"


def main() -> int:
    args = _arguments()
    if args.plugin:
        args.admin = True
        args.regex = args.regex or (None if args.tests else PLUGINS[args.plugin].REGEX)
    workspace = Path(args.workspace).absolute()
    with openstack.connect(cloud=f"{args.name}-admin") as admin:
        _trust(admin)
        users = accounts.ensure(admin, args.concurrency)
        _write_workspace(workspace, admin, users, args)
        if args.without_shares:
            os.environ["PYTHONPATH"] = str(octavia_traffic.without_shares(workspace))
        status = 0
        if args.regex:
            status = _run_matching(args, workspace)
            if status:
                status = _judge(args.tempest, workspace)
        if args.tests:
            status = status or _run(args.tempest, workspace, args.tests, args.concurrency)
        if args.regex or args.tests:
            users = accounts.ensure(admin, args.concurrency)
        left = [item for user in users for item in _left_over(admin, user)]
    for item in left:
        sys.stdout.write(f"left over: {item}\n")
    return status or bool(left)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tests.interop.run", description=__doc__)
    parser.add_argument("--name", default="kumoi", help="the cloud, as in clouds.yaml")
    parser.add_argument("--tests", help="a file of test names; without it, only the workspace")
    parser.add_argument("--regex", help="run the tests whose names fit, such as tempest.api.image")
    parser.add_argument(
        "--admin",
        action="store_true",
        help="give the tests the administrator, who makes an account for each class of them",
    )
    parser.add_argument("--plugin", choices=sorted(PLUGINS), help="run a service's own tests")
    parser.add_argument(
        "--without-shares",
        action="store_true",
        help="Octavia's tests do not compare how often each member answered: OVN chooses by a hash",
    )
    parser.add_argument("--concurrency", type=int, default=2)
    parser.add_argument("--workspace", default=str(Path(tempfile.gettempdir()) / "kumoi-interop"))
    parser.add_argument("--tempest", default=str(TEMPEST), help="the program")
    return parser.parse_args()


def _trust(admin: Connection) -> None:
    """Have the tests trust the cloud's certificate: some of a plugin's clients are not told of tempest.conf's."""
    cacert = admin.config.config.get("cacert")
    if cacert:
        os.environ["SSL_CERT_FILE"] = str(cacert)


def _write_workspace(
    workspace: Path, admin: Connection, users: list[accounts.Account], args: argparse.Namespace
) -> None:
    if not (workspace / ".stestr.conf").exists():
        workspace.mkdir(parents=True, exist_ok=True)
        registry = workspace / "workspaces.yaml"
        process.run(
            [args.tempest, "init", "--workspace-path", registry, "--name", "kumoi", workspace],
            timeout_s=120,
        )
    listed = workspace / "etc" / "accounts.yaml"
    listed.touch(mode=0o600)
    listed.write_text(yaml.safe_dump([user.as_tempest_has_it() for user in users]))
    config = configparser.ConfigParser(interpolation=None)
    settings = _settings(workspace, admin)
    if args.admin:
        settings |= _admin_settings(settings, admin)
    if args.plugin:
        for name, said in PLUGINS[args.plugin].settings(admin).items():
            settings[name] = settings.get(name, {}) | said
    config.read_dict(settings)
    with (workspace / "etc" / "tempest.conf").open("w") as file:
        config.write(file)


def _settings(workspace: Path, admin: Connection) -> dict[str, dict[str, str]]:
    """What the cloud says of itself, in Tempest's words."""
    auth_url = admin.config.auth["auth_url"].rstrip("/")
    return {
        "DEFAULT": {"log_dir": str(workspace / "logs"), "log_file": "tempest.log"},
        "oslo_concurrency": {"lock_path": str(workspace / "tempest_lock")},
        "auth": {
            "use_dynamic_credentials": "false",
            "test_accounts_file": str(workspace / "etc" / "accounts.yaml"),
            "tempest_roles": accounts.MEMBER,
        },
        "identity": {
            "uri_v3": f"{auth_url}/v3",
            "auth_version": "v3",
            "region": admin.config.region_name,
            "ca_certificates_file": admin.config.config.get("cacert") or "",
            "user_unique_last_password_count": "0",
        },
        "identity-feature-enabled": {"security_compliance": "true", "api_v2": "false"},
        "service_available": {
            "glance": "true",
            "nova": "true",
            "neutron": "true",
            "cinder": "false",
            "swift": "false",
            "horizon": "false",
        },
        **_compute_settings(admin),
        **_network_settings(admin),
    }


def _admin_settings(
    settings: dict[str, dict[str, str]], admin: Connection
) -> dict[str, dict[str, str]]:
    """With the administrator Tempest makes its own accounts, and looks at what only they may do."""
    auth = admin.config.auth
    return {
        "auth": {
            "use_dynamic_credentials": "true",
            "create_isolated_networks": "true",
            "tempest_roles": accounts.MEMBER,
            "admin_username": auth["username"],
            "admin_password": auth["password"],
            "admin_project_name": auth["project_name"],
            "admin_domain_name": "Default",
        },
        # A user is not locked out after so many wrong passwords: each source has to wait.
        "identity": {**settings["identity"], "user_lockout_failure_attempts": "0"},
        "identity-feature-enabled": {
            **settings["identity-feature-enabled"],
            "application_credentials": "true",
            "access_rules": "true",
            "project_tags": "true",
            "domain_specific_drivers": "true",
            "trust": "true",
        },
    }


def _compute_settings(admin: Connection) -> dict[str, dict[str, str]]:
    image = admin.image.find_image("debian-12", ignore_missing=False)
    other = admin.image.find_image("debian-12-runner", ignore_missing=False)
    flavor = admin.compute.find_flavor("tiny", ignore_missing=False)
    larger = admin.compute.find_flavor("small", ignore_missing=False)
    newest = admin.compute.get_endpoint_data().max_microversion
    return {
        "compute": {
            "image_ref": image.id,
            "image_ref_alt": other.id,
            "flavor_ref": flavor.id,
            "flavor_ref_alt": larger.id,
            "fixed_network_name": accounts.NETWORK,
            "max_microversion": f"{newest[0]}.{newest[1]}",
            "build_timeout": "60",
        },
        "compute-feature-enabled": {
            "console_output": "true",
            "resize": "true",
            "pause": "true",
            "suspend": "true",
            "shelve": "true",
            "rescue": "true",
            # What it would tell is in a server's files.
            "metadata_service": "false",
            "personality": "true",
            # Of these a server is refused in words; docs/guide/interop.md lists them.
            "cold_migration": "false",
            "live_migration": "false",
            "snapshot": "true",
            "interface_attach": "true",
        },
        # Tests of listing upload random bytes as every format named here, and skip where content is
        # looked at. Random bytes are a raw image, so they need not skip.
        "image": {"container_formats": "bare", "disk_formats": "raw"},
        "image-feature-enabled": {"image_format_enforcement": "false"},
        "validation": {
            "run_validation": "true",
            "connect_method": "floating",
            "auth_method": "keypair",
            "image_ssh_user": "debian",
            "image_alt_ssh_user": "debian",
            "network_for_ssh": accounts.NETWORK,
        },
    }


def _network_settings(admin: Connection) -> dict[str, dict[str, str]]:
    public = admin.network.find_network("public", ignore_missing=False)
    extensions = sorted(extension.alias for extension in admin.network.extensions())
    return {
        "network": {
            "public_network_id": public.id,
            "floating_network_name": public.name,
            "project_networks_reachable": "false",
        },
        "network-feature-enabled": {
            "api_extensions": ",".join(extensions),
            "ipv6": "true",
            "ipv6_subnet_attributes": "true",
            "port_security": "true",
            "floating_ips": "true",
        },
    }


def _left_over(admin: Connection, user: accounts.Account) -> list[str]:
    """By the user, since keypairs are its own."""
    with accounts.login(admin, user) as cloud:
        return [f"{user.name}: {item}" for item in accounts.leftovers(cloud)]


def _run_matching(args: argparse.Namespace, workspace: Path) -> int:
    words = [args.tempest, "run", "--regex", args.regex, "--concurrency", str(args.concurrency)]
    not_offered = getattr(PLUGINS.get(args.plugin), "NOT_OFFERED", {})
    for pattern, reason in not_offered.items():
        sys.stdout.write(f"not run, {pattern}: {reason}\n")
    if not_offered:
        words += ["--exclude-regex", "|".join(not_offered)]
    return process.show(words, cwd=workspace)


def _judge(tempest: str, workspace: Path) -> int:
    """Not 0 where a test failed that is not listed."""
    stestr = Path(tempest).parent / "stestr"
    failed = process.run([stestr, "failing", "--list"], cwd=workspace, check=False).out.split("\n")
    failed = [line for line in failed if line.strip()]
    unlisted = listed.unlisted(failed)
    for name in unlisted:
        sys.stdout.write(f"failed and not listed: {name}\n")
    sys.stdout.write(
        f"{len(failed)} failed, {len(failed) - len(unlisted)} of them listed with a reason\n"
    )
    return int(bool(unlisted) or not failed)


def _run(tempest: str, workspace: Path, tests: str, concurrency: int) -> int:
    chosen = workspace / "chosen.txt"
    chosen.write_text("\n".join(_full_names(tempest, workspace, tests)) + "\n")
    return process.show(
        [tempest, "run", "--load-list", chosen, "--concurrency", str(concurrency)], cwd=workspace
    )


def _full_names(tempest: str, workspace: Path, tests: str) -> list[str]:
    """The names as Tempest itself lists them, with their attributes: it loads no others."""
    known = process.run([tempest, "run", "--list-tests"], cwd=workspace, timeout_s=120).out
    by_name = {line.partition("[")[0]: line for line in known.splitlines()}
    wanted = [line.partition("[")[0] for line in Path(tests).read_text().split()]
    unknown = [name for name in wanted if name not in by_name]
    if unknown:
        raise Invalid(f"Tempest has no test {', '.join(unknown)}")
    return [by_name[name] for name in wanted]


if __name__ == "__main__":
    sys.exit(main())
