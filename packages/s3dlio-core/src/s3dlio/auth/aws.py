"""Who we are on AWS and where S3 is, as botocore finds out: environment, profiles, processes, roles.

Nothing here signs or opens a connection. The chain belongs to botocore and is imported on first use. A request never
waits for a renewal: a thread of its own renews (`auth.renewal`), and requests go on with the keys they have until the
service refuses those. What may take long is asked for by `find` alone, which is no work for a driver's thread.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from importlib import import_module
from typing import Protocol, TypeVar, cast

from s3dlio import redaction
from s3dlio.auth import renewal
from s3dlio.auth.sigv4 import Credentials
from s3dlio.errors import CredentialsError
from s3dlio.http.client import Unready

_log = logging.getLogger("s3dlio")

_REGION = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?").fullmatch

_T = TypeVar("_T")


class _Frozen(Protocol):
    access_key: str | None
    secret_key: str | None
    token: str | None


class _Source(Protocol):
    """botocore's credentials; those that expire are renewed by asking, from 15 minutes before their end on."""

    def get_frozen_credentials(self) -> _Frozen: ...


class _Provider(Protocol):
    METHOD: str | None


class _Resolver(Protocol):
    providers: list[_Provider]


class _Session(Protocol):
    profile: str | None

    def get_credentials(self) -> _Source | None: ...
    def get_component(self, name: str, /) -> _Resolver: ...
    def get_config_variable(self, name: str, /) -> str | bool | None: ...
    def get_scoped_config(self) -> Mapping[str, object]: ...
    def get_data(self, path: str, /) -> object: ...

    @property
    def full_config(self) -> Mapping[str, object]: ...


class _MakeSession(Protocol):
    def __call__(self, *, profile: str | None) -> _Session: ...


class _Endpoints(Protocol):
    def construct_endpoint(
        self, service: str, region: str, /, *, use_dualstack_endpoint: bool, use_fips_endpoint: bool
    ) -> Mapping[str, str] | None: ...


class Chain:
    """botocore's credential chain, region and endpoint for one profile, in one session made on first use.

    `profile` None is AWS_PROFILE or the default profile. `region` and `endpoint`, where given, win over what
    botocore would find; AWS_REGION, which botocore does not read, comes in as `region`. Any thread may use
    it. Whatever goes wrong in the chain is a `CredentialsError`; a region that is none is a `ValueError`.
    """

    def __init__(self, profile: str | None = None, region: str | None = None, endpoint: str | None = None) -> None:
        self._profile = profile
        self._region = region
        self._endpoint = endpoint
        self._lock = threading.RLock()
        self._session: _Session | None = None
        self._source: _Source | None = None
        self._found: Credentials | None = None
        self._end: float | None = None
        self._refused: Credentials | None = None
        self._turn = 0
        self._failure = ""
        self._failures = 0

    def credentials(self) -> Credentials:
        """Return the credentials of now, at once: one object until they change.

        Raises:
            Unready: there are none yet, or no longer; `find` gets them.
        """
        if self._found is None:
            raise Unready(self.find)
        return self._found

    def find(self) -> bool:
        """Find credentials if there are none; return whether they are others than those refused last.

        This may run a process or ask a service, for seconds. Of many threads one does it for all of them, also when
        it fails.
        """
        turn = self._turn
        with self._lock:
            if self._found is None:
                if self._turn != turn and self._failure:
                    raise CredentialsError(self._failure)
                self._resolve()
            return self._found != self._refused

    def discard(self, credentials: Credentials) -> None:
        """Forget credentials that the service refuses as expired or unknown: the next `find` reads all anew.

        Others than the current ones have been replaced already, so many threads may report the same. Waits for nobody.
        """
        if self._found is credentials:
            self._refused = credentials
            self._found = None

    def inherit(self, parent: Chain) -> None:
        """Start with what the chain of a parent process had found, unless that has ended.

        The locks of the parent's chain are not touched: a thread that is not in this process may hold them.
        """
        found, end = parent._found, parent._end
        if found is None or (end is not None and end <= time.time()):
            return
        self._found, self._end = found, end
        if end is not None:
            renewal.watch(self, renewal.due(end, inherited=True))

    def renew(self) -> float | None:
        """Ask for newer credentials, in the thread that does this; return when to come again.

        While that fails the present ones stay in use, whatever their age: the service decides when they have ended.
        """
        with self._lock:
            found, end = self._found, self._end
            if found is None:
                return None
            try:
                fresh = self._guard(self._fetch)
            except CredentialsError as error:
                _log.warning("credentials could not be renewed, the present ones stay in use: %s", error.message)
                self._failures += 1
                return renewal.after_failures(self._failures)
            if fresh != found:
                self._found = fresh
            if self._end is None:
                return None
            self._failures = 0 if end is None or self._end > end else self._failures + 1
            return renewal.after_failures(self._failures) if self._failures else renewal.due(self._end)

    def _resolve(self) -> None:
        """Ask botocore from the start, under the lock."""
        if self._refused is not None:
            self._session = self._source = None
        try:
            self._found = self._guard(self._fetch)
        except CredentialsError as error:
            self._failure = error.message
            raise
        else:
            self._failure = ""
        finally:
            self._turn += 1
        self._failures = 0
        if self._end is not None:
            renewal.watch(self, renewal.due(self._end))

    def region(self) -> str:
        """Return the region: the one given, else of AWS_DEFAULT_REGION or the profile, else us-east-1."""
        region = self._region or self._guard(lambda: self._open().get_config_variable("region"))
        return _checked(str(region or "us-east-1"))

    def endpoint(self) -> str | None:
        """Return the endpoint's URL: the one given, else as botocore finds it, None for AWS itself.

        That is AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, then the profile's `services` section and
        `endpoint_url`, or nothing where AWS_IGNORE_CONFIGURED_ENDPOINT_URLS is true.
        """
        return self._endpoint or self._guard(self._configured_endpoint)

    def hostname(self, region: str) -> str:
        """Return S3's host in a region, in the region's partition; FIPS and dual stack as configured."""
        _checked(region)
        host = self._guard(lambda: self._regional_host(region))
        if host is None:
            raise ValueError(f"no S3 endpoint is known in region {region!r}: check it, or set an endpoint URL")
        return host

    def _open(self) -> _Session:
        with self._lock:
            if self._session is None:
                make = cast(_MakeSession, import_module("botocore.session").Session)
                self._session = make(profile=self._profile)
            return self._session

    def _configured_endpoint(self) -> str | None:
        session = self._open()
        if session.get_config_variable("ignore_configured_endpoint_urls"):
            return None
        provider = import_module("botocore.configprovider").ConfiguredEndpointProvider(
            full_config=session.full_config, scoped_config=session.get_scoped_config(), client_name="s3"
        )
        return cast("str | None", provider.provide())

    def _regional_host(self, region: str) -> str | None:
        session = self._open()
        resolver = cast(_Endpoints, import_module("botocore.regions").EndpointResolver(session.get_data("endpoints")))
        found = resolver.construct_endpoint(
            "s3",
            region,
            use_dualstack_endpoint=bool(session.get_config_variable("use_dualstack_endpoint")),
            use_fips_endpoint=bool(session.get_config_variable("use_fips_endpoint")),
        )
        return found["hostname"] if found else None

    def _fetch(self) -> Credentials:
        session = self._open()
        if self._source is None:
            self._source = session.get_credentials()
        if self._source is None:
            raise CredentialsError(_nothing_found(session))
        frozen = self._source.get_frozen_credentials()
        redaction.remember(frozen.secret_key, frozen.token)
        self._end = _end_of(self._source)
        return Credentials(frozen.access_key or "", frozen.secret_key or "", frozen.token or None)

    def _guard(self, ask: Callable[[], _T]) -> _T:
        """Run botocore's code, and make whatever goes wrong in it one clear error."""
        failure = None
        try:
            return ask()
        except CredentialsError:
            raise
        except Exception as error:  # noqa: BLE001 - the chain runs processes, HTTP clients and plugins
            failure = error
        # Raised out here so that a cause which may hold a secret is not its context either.
        try:
            raise _translated(failure, self._profile)
        finally:
            del failure  # it knows this frame: the cycle would keep the chain until a garbage collection


def _checked(region: str) -> str:
    # It becomes a part of a host name: nothing but a DNS label may stand there.
    if not _REGION(region):
        raise ValueError(f"{region!r} is not a region's name: set one such as 'us-east-1'")
    return region


def _end_of(source: _Source) -> float | None:
    """Return when credentials end, in seconds since the epoch; None for those that do not."""
    end = getattr(source, "_expiry_time", None)  # botocore tells it nowhere else
    return end.timestamp() if isinstance(end, datetime) else None


def _translated(error: Exception, profile: str | None) -> CredentialsError:
    named = f"of profile {profile!r}" if profile else "of AWS"
    translated = CredentialsError(
        f"the configuration or credentials {named} could not be read: {type(error).__name__}: {error}. "
        "Check AWS_PROFILE and the files ~/.aws/config and ~/.aws/credentials"
    )
    # A ValueError of a decoder keeps what it was decoding, and what a process prints is the credentials.
    if not isinstance(error, ValueError) and redaction.redact(str(error)) == str(error):
        translated.__cause__ = error
    return translated


def _nothing_found(session: _Session) -> str:
    providers = session.get_component("credential_provider").providers
    tried = ", ".join(provider.METHOD or type(provider).__name__ for provider in providers)
    profile = session.profile or "default"
    return (
        f"no AWS credentials found for profile {profile!r}; looked at: {tried}. Set AWS_ACCESS_KEY_ID and "
        "AWS_SECRET_ACCESS_KEY, name a profile of ~/.aws/credentials or ~/.aws/config, "
        "or give this machine a role"
    )
