"""What a new server finds."""

from __future__ import annotations

import base64

from tests.unit.cloud.drivers.instance.instance_samples import SERVER, agrees, but

from kumoi.cloud.drivers.instance import seed
from kumoi.cloud.drivers.instance.seed import SeedFile


def shown(files: tuple[SeedFile, ...]) -> str:
    return "".join(f"{file}\n{file.content.decode()}\n" for file in files)


def test_the_files_of_a_new_server() -> None:
    agrees("files", shown(seed.files(SERVER)))


def test_the_files_with_user_data() -> None:
    user_data = base64.b64encode(b"#cloud-config\n").decode()
    agrees("files_user_data", shown(seed.files(but(user_data=user_data, hostname="web1"))))


def test_without_keys_and_name_servers_there_are_no_files_for_them() -> None:
    paths = [file.path for file in seed.files(but(ssh_keys=[], ports=[]))]
    assert paths == ["/etc/hostname", "/etc/hosts", "/etc/machine-id"]


def test_a_server_without_a_host_name_gets_one() -> None:
    assert seed.hostname(but(hostname="")) == "server-6f04a590"


def test_a_name_too_long_for_a_kernel_is_cut_to_its_first_label() -> None:
    first = "x" * 63
    server = but(hostname=f"{first}.example.org")
    wanted = {file.path: file.content.decode() for file in seed.files(server)}
    assert wanted["/etc/hostname"] == f"{first}\n"
    assert f"127.0.1.1 {first}.example.org {first}\n" in wanted["/etc/hosts"]
    assert seed.kernel_name(but(hostname="web1.example.org")) == "web1.example.org"
