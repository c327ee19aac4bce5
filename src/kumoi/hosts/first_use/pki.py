"""The cloud's own certificate authority and its certificates: made at first start, renewed by `up`.

    ca.crt ca.key          the authority; the certificate is for everybody to read. Where hosts join,
                           the key is that of the unit `authority` (hosts/cluster/authority.py)
    api.crt api.key        of the APIs, for clients and for hosts
    pipeline.crt …         of the pipeline's API and its git server
    ovnsb-db.crt …         of OVN's southbound database, where there are other hosts; a member's is in engines_pki.py
    <host>.crt <host>.key  of a host, which authenticates to the host API by its URI and its key; see
                           docs/design/0010

The keys are of elliptic curves, which make short handshakes and are generated in a moment.
"""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kumoi import members
from kumoi.base import files
from kumoi.base.errors import Bug, Conflict
from kumoi.base.files import Promise
from kumoi.config import CloudSettings, HostSettings

AUTHORITY_DAYS = 3_650
CERTIFICATE_DAYS = 800
RENEW_BEFORE_DAYS = 60
CLOCK_SKEW = timedelta(hours=1)


SERVER = frozenset({ExtendedKeyUsageOID.SERVER_AUTH})
CLIENT = frozenset({ExtendedKeyUsageOID.CLIENT_AUTH})


@dataclass(frozen=True, slots=True)
class Subject:
    """The names, addresses and purpose of a certificate."""

    common_name: str
    addresses: frozenset[str] = frozenset()
    dns_names: frozenset[str] = frozenset()
    uris: frozenset[str] = frozenset()
    usages: frozenset[x509.ObjectIdentifier] = SERVER


@dataclass(frozen=True, slots=True)
class Pair:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey


class Authority:
    """Signs the certificates of one cloud. `up`, and the unit that answers hosts, have its key; nobody
    else knows where that is. Today it is a file.
    """

    def __init__(self, pair: Pair) -> None:
        self.certificate = pair.certificate
        self._key = pair.key

    @classmethod
    def of(cls, directory: Path, file: str = "ca") -> Authority | None:
        """The authority whose files are in the directory."""
        pair = _load(directory, file)
        return None if pair is None else cls(pair)

    @classmethod
    def make(
        cls, directory: Path, cloud: CloudSettings, now: datetime, file: str = "ca"
    ) -> Authority:
        """A new authority, whose files are written to the directory."""
        key = ec.generate_private_key(ec.SECP256R1())
        of_what = "" if file == "ca" else f" {file}"
        name = _name(f"Kumoi {cloud.name}{of_what} authority")
        public_key = key.public_key()
        builder = (
            _builder(name, name, public_key, now, AUTHORITY_DAYS)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_key_usage(authority=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        )
        pair = Pair(builder.sign(key, hashes.SHA256()), key)
        _write(directory, file, pair)
        return cls(pair)

    def issue(self, subject: Subject, now: datetime, before: Pair | None) -> Pair:
        """A certificate and its key. A client's key is that of the certificate `before`, since it
        is enrolled by its key; a server's is new.
        """
        keeps = before is not None and subject.usages == CLIENT
        key = before.key if before and keeps else ec.generate_private_key(ec.SECP256R1())
        return Pair(self.sign(subject, key.public_key(), now), key)

    def sign(
        self, subject: Subject, public_key: ec.EllipticCurvePublicKey, now: datetime
    ) -> x509.Certificate:
        """A certificate for a key that somebody else may have."""
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in sorted(subject.dns_names)]
        names += [x509.IPAddress(ipaddress.ip_address(each)) for each in sorted(subject.addresses)]
        names += [x509.UniformResourceIdentifier(uri) for uri in sorted(subject.uris)]
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        issuer = self.certificate.subject
        builder = (
            _builder(_name(subject.common_name), issuer, public_key, now, CERTIFICATE_DAYS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(authority=False), critical=True)
            .add_extension(
                x509.ExtendedKeyUsage(
                    sorted(subject.usages, key=lambda usage: usage.dotted_string)
                ),
                critical=False,
            )
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(signer, critical=False)
        )
        return builder.sign(self._key, hashes.SHA256())

    def derive(self, derive: Callable[[ec.EllipticCurvePrivateKey], bytes]) -> bytes:
        """A key of another purpose, made of the authority's."""
        return derive(self._key)

    def has_issued(self, certificate: x509.Certificate) -> bool:
        """Whether the certificate has this authority's signature."""
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (InvalidSignature, ValueError, TypeError):
            return False
        return True

    def covers(self, certificate: x509.Certificate, subject: Subject, now: datetime) -> bool:
        """Whether the certificate is of this authority, for exactly this subject, and not about to
        expire.
        """
        if not self.has_issued(certificate) or _ends_soon(certificate, now):
            return False
        try:
            found = subject_of(certificate)
        except (ValueError, x509.ExtensionNotFound):
            return False
        return replace(found, common_name=subject.common_name) == subject


def subject_of(certificate: x509.Certificate) -> Subject:
    """Raises ValueError or ExtensionNotFound for a certificate that no authority of ours made."""
    extensions = certificate.extensions
    names = extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    usages = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    (common_name,) = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return Subject(
        str(common_name.value),
        frozenset(str(address) for address in names.get_values_for_type(x509.IPAddress)),
        frozenset(names.get_values_for_type(x509.DNSName)),
        frozenset(names.get_values_for_type(x509.UniformResourceIdentifier)),
        frozenset(usages),
    )


def subjects(cloud: CloudSettings, host: HostSettings) -> list[Subject]:
    """The certificates that the host with the authority needs."""
    here = cloud.own_addresses
    local = frozenset({"localhost"})
    is_alone = cloud.is_cluster and not members.has_ovn_member(cloud, host)
    far = [Subject("ovnsb-db", here, local)] if is_alone else []
    return [
        *_of_roles(cloud),
        *far,
        host_subject(cloud.name, host.name, host.underlay_address),
    ]


def _of_roles(cloud: CloudSettings) -> list[Subject]:
    """Good for every control host, each of which has keys of its own."""
    return [Subject("api", cloud.own_addresses, frozenset({"localhost"})), _pipeline(cloud)]


def _pipeline(cloud: CloudSettings) -> Subject:
    """By every name that it may be reached by."""
    names = {cloud.pipeline_listens_at, urlsplit(cloud.pipeline_url).hostname or ""}
    addresses = {name for name in names if _is_address(name)}
    return Subject(
        "pipeline", cloud.own_addresses | addresses, frozenset({"localhost", *names - addresses})
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def host_subject(cloud_name: str, host_name: str, underlay_address: str) -> Subject:
    """Of a host, which is a client only."""
    return Subject(
        host_name,
        frozenset({underlay_address}),
        frozenset({host_name}),
        frozenset({host_uri(cloud_name, host_name)}),
        CLIENT,
    )


def host_uri(cloud_name: str, host_name: str) -> str:
    """The URI in a host's certificate, by which the host API tells the host's name and its cloud."""
    return f"{host_uri_prefix(cloud_name)}{host_name}"


def host_uri_prefix(cloud_name: str) -> str:
    return f"spiffe://{cloud_name}/host/"


def public_key_sha256(certificate: x509.Certificate) -> str:
    """The hash by which a host is enrolled: a renewed certificate has the same."""
    key = certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return hashlib.sha256(key).hexdigest()


def read_certificate(host: HostSettings) -> x509.Certificate:
    """The certificate of the host itself."""
    return x509.load_pem_x509_certificate((host.pki_dir / f"{host.name}.crt").read_bytes())


def host_of(certificate: x509.Certificate, cloud_name: str) -> str | None:
    """The host of that cloud whose certificate it is; None when it is no host's."""
    try:
        found = subject_of(certificate)
    except (ValueError, x509.ExtensionNotFound):
        return None
    prefix = host_uri_prefix(cloud_name)
    names = [uri.removeprefix(prefix) for uri in found.uris if uri.startswith(prefix)]
    is_client = found.usages == CLIENT
    return names[0] if is_client and len(names) == 1 and names[0] else None


def elliptic_key(certificate: x509.Certificate) -> ec.EllipticCurvePublicKey:
    """Of a certificate of ours. Raises Bug for another kind of key."""
    key = certificate.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise Bug("an authority of ours signed a key that is of no elliptic curve")
    return key


def fingerprint(certificate: x509.Certificate) -> str:
    """The SHA-256 of the certificate, in hexadecimal digits."""
    return certificate.fingerprint(hashes.SHA256()).hex()


# A host without the authority.


def request(host: HostSettings) -> str:
    """A certificate request in PEM, for the key of this host, which is made when there is none."""
    make_directory(host.pki_dir)
    path = host.pki_dir / f"{host.name}.key"
    if not path.exists():
        files.replace(path, _key_text(ec.generate_private_key(ec.SECP256R1())), promise=Promise.NEW)
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise Conflict(f"{path} is no key of ours: remove it")
    asked = x509.CertificateSigningRequestBuilder().subject_name(_name(host.name))
    return asked.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def accept(host: HostSettings, *, certificate: str, authority: str) -> None:
    """Keep what the authority answered to `request`. Raises Conflict when it is not for this host's
    key.
    """
    key = serialization.load_pem_private_key(
        (host.pki_dir / f"{host.name}.key").read_bytes(), password=None
    )
    if x509.load_pem_x509_certificate(certificate.encode()).public_key() != key.public_key():
        raise Conflict("the certificate that came is not for this host's key: join again")
    for name, text in (("ca.crt", authority), (f"{host.name}.crt", certificate)):
        files.replace(host.pki_dir / name, text, promise=Promise.NEW, mode=files.OPEN)


def is_due(certificate: x509.Certificate, now: datetime) -> bool:
    """Whether it is time to renew it."""
    return _ends_soon(certificate, now)


def has_certificate(host: HostSettings) -> bool:
    return _load(host.pki_dir, host.name) is not None and (host.pki_dir / "ca.crt").exists()


def require(host: HostSettings) -> None:
    """Called on a host without the authority. Raises Conflict when its certificate is missing."""
    if not has_certificate(host):
        raise Conflict(
            f"{host.pki_dir} has no certificate of the host {host.name}: join the cloud, "
            "sudo ./kumoi cluster join TOKEN"
        )


def ensure(cloud: CloudSettings, host: HostSettings, now: datetime) -> list[str]:
    """Make certificates that are missing, are for other addresses, or expire soon; their names."""
    directory = host.pki_dir
    make_directory(directory)
    authority = Authority.of(directory)
    made = []
    if authority is None or _ends_soon(authority.certificate, now):
        authority = Authority.make(directory, cloud, now)
        made.append("ca")
    return made + ensure_each(directory, authority, subjects(cloud, host), now)


def ensure_for(
    cloud: CloudSettings, first: HostSettings, other: HostSettings, now: datetime
) -> list[str]:
    """Likewise of another control host, by the authority of the first: what its roles are known by. Raises
    Conflict where that has none.
    """
    authority = Authority.of(first.pki_dir)
    if authority is None:
        raise Conflict(f"{first.pki_dir} has no authority, or its key cannot be read")
    make_directory(other.pki_dir)
    return ensure_each(other.pki_dir, authority, _of_roles(cloud), now)


def ensure_each(
    directory: Path, authority: Authority, wanted: Iterable[Subject], now: datetime
) -> list[str]:
    """The names of those that had to be made, in the directory."""
    made = []
    for subject in wanted:
        pair = _load(directory, subject.common_name)
        if pair is None or not authority.covers(pair.certificate, subject, now):
            _write(directory, subject.common_name, authority.issue(subject, now, pair))
            made.append(subject.common_name)
    return made


def make_directory(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(0o755)  # So that everybody finds ca.crt; keys have modes of their own.


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + timedelta(days=days))
    )


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _ends_soon(certificate: x509.Certificate, now: datetime) -> bool:
    remaining = certificate.not_valid_after_utc - now.astimezone(UTC)
    return remaining < timedelta(days=RENEW_BEFORE_DAYS)


def _load(directory: Path, name: str) -> Pair | None:
    """None when a file is missing or unreadable: then both are made again."""
    try:
        certificate = x509.load_pem_x509_certificate((directory / f"{name}.crt").read_bytes())
        key_text = (directory / f"{name}.key").read_bytes()
        key = serialization.load_pem_private_key(key_text, password=None)
    except (OSError, ValueError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return None
    if key.public_key() != certificate.public_key():
        return None  # A killed process had written one of the two files.
    return Pair(certificate, key)


def _write(directory: Path, name: str, pair: Pair) -> None:
    files.replace(directory / f"{name}.key", _key_text(pair.key), promise=Promise.NEW)
    certificate_text = pair.certificate.public_bytes(serialization.Encoding.PEM)
    files.replace(directory / f"{name}.crt", certificate_text, promise=Promise.NEW, mode=files.OPEN)


def _key_text(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
