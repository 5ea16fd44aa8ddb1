"""Certificates with any flaw that a test asks for, made as it asks."""

import ssl
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

_RSA_SHA256 = bytes.fromhex("06092a864886f70d01010b")  # object identifiers in DER
_RSA_SHA1 = bytes.fromhex("06092a864886f70d010105")
SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its key, and those that a server sends behind it."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def pem(self) -> bytes:
        """The certificate alone, as a bundle of trusted ones holds it."""
        return self.certificate.public_bytes(Encoding.PEM)

    def context(self, folder: Path) -> ssl.SSLContext:
        """Return what a server needs to show this certificate."""
        path = folder / f"{self.certificate.serial_number}.pem"
        secret = self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(b"".join([secret, self.pem, *(each.public_bytes(Encoding.PEM) for each in self.chain)]))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_ciphers("ALL:@SECLEVEL=0")  # a server that would send what a client must refuse
        context.load_cert_chain(path)
        return context


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a certificate is to say. `names` are host names and addresses; days count from now."""

    names: tuple[str, ...] = ("127.0.0.1",)
    common_name: str = "test"
    begins: int = -1
    ends: int = 30
    usage: x509.ObjectIdentifier | None = SERVER
    is_authority: bool = False
    rsa: bool = False
    sends_chain: bool = True


def issue(wish: Wish, issuer: Certificate | None = None) -> Certificate:
    """Make a certificate; without an issuer it signs itself."""
    key = rsa.generate_private_key(65537, 2048) if wish.rsa else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, wish.common_name)])
    signer = key if issuer is None else issuer.key
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.certificate.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=wish.begins))
        .not_valid_after(now + timedelta(days=wish.ends))
        .add_extension(x509.BasicConstraints(ca=wish.is_authority, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if wish.names:
        builder = builder.add_extension(x509.SubjectAlternativeName([_name(each) for each in wish.names]), False)
    if wish.usage is not None and not wish.is_authority:
        builder = builder.add_extension(x509.ExtendedKeyUsage([wish.usage]), False)
    if wish.is_authority:
        builder = builder.add_extension(_SIGNS, True)
    certificate = builder.sign(signer, SHA256())
    above = () if issuer is None or not wish.sends_chain else (issuer.certificate, *issuer.chain)
    return Certificate(certificate, key, above)


def authority(common_name: str = "authority", issuer: Certificate | None = None, *, rsa: bool = False) -> Certificate:
    """Make a certificate that may sign others."""
    return issue(Wish(names=(), common_name=common_name, is_authority=True, rsa=rsa), issuer)


def signed_with_sha1(sound: Certificate, issuer: Certificate) -> Certificate:
    """Return a certificate with the signature that an authority of 2010 would have given it, which no library makes.

    `issuer` has an RSA key: the names of its two signatures differ in one byte.
    """
    assert isinstance(issuer.key, rsa.RSAPrivateKey)
    der = sound.certificate.public_bytes(Encoding.DER)
    content = sound.certificate.tbs_certificate_bytes
    weak = content.replace(_RSA_SHA256, _RSA_SHA1)
    signature = issuer.key.sign(weak, padding.PKCS1v15(), SHA1())
    whole = der.replace(content, weak).replace(_RSA_SHA256, _RSA_SHA1)[: -len(signature)] + signature
    return Certificate(x509.load_der_x509_certificate(whole), sound.key, sound.chain)


def _name(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(text))
    except ValueError:
        return x509.DNSName(text)


_SIGNS = x509.KeyUsage(
    digital_signature=True,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
