"""The AWS chain: what botocore finds is found, once for however many ask."""

from __future__ import annotations

import datetime
import json
import os
import pickle
import subprocess
import sys
import threading
import traceback
from dataclasses import dataclass
from pathlib import Path

import pytest

from s3dlio.auth.aws import Chain
from s3dlio.auth.sigv4 import Credentials
from s3dlio.errors import CredentialsError
from s3dlio.http.client import Unready

# Each run is counted, and waits where the test wants it to; it prints what the test put into `answer`.
PROCESS = """
import os, pathlib, sys
here = pathlib.Path(sys.argv[1])
runs = here / "runs"
runs.write_text(runs.read_text() + "x" if runs.exists() else "x")
if (here / "started").exists():
    (here / "started").write_text("now")
    (here / "go").read_text()
answer = here / "answer"
sys.stdout.write(answer.read_text()) if answer.exists() else sys.exit("the vault is closed")
"""


@dataclass
class Process:
    """A profile's credential_process, of which the test says what it answers."""

    folder: Path

    def answers(self, access_key: str, minutes: float | None = None) -> None:
        answer = {
            "Version": 1,
            "AccessKeyId": access_key,
            "SecretAccessKey": "canary",
            "SessionToken": "canary2",
        }
        if minutes is not None:
            expiry = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
            answer["Expiration"] = expiry.isoformat()
        self.prints(json.dumps(answer))

    def prints(self, text: str) -> None:
        (self.folder / "answer").write_text(text)

    def fails(self) -> None:
        (self.folder / "answer").unlink()

    @property
    def runs(self) -> int:
        path = self.folder / "runs"
        return len(path.read_text()) if path.exists() else 0


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    (tmp_path / ".aws").mkdir()
    return tmp_path


@pytest.fixture
def process(home: Path) -> Process:
    script = home / "process.py"
    script.write_text(PROCESS)
    config(home, f"[profile p]\ncredential_process = {sys.executable} {script} {home}\n")
    return Process(home)


def found(chain: Chain) -> Credentials:
    """Return the credentials of now, found if need be."""
    chain.find()
    return chain.credentials()


def config(home: Path, text: str) -> None:
    (home / ".aws" / "config").write_text(text)


def keys_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDENV")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "env-secret")


def test_keys_of_the_environment_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    keys_in_the_environment(monkeypatch)
    assert found(Chain()) == Credentials("AKIDENV", "env-secret")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "env-token")
    assert found(Chain()) == Credentials("AKIDENV", "env-secret", "env-token")


def test_a_named_profile_wins_over_keys_of_the_environment(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys_in_the_environment(monkeypatch)
    (home / ".aws" / "credentials").write_text("[p]\naws_access_key_id = AKIDP\naws_secret_access_key = ps\n")
    assert found(Chain("p")) == Credentials("AKIDP", "ps")
    assert found(Chain()).access_key == "AKIDENV"


def test_the_profile_of_the_environment_is_used(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config(home, "[profile p]\naws_access_key_id = AKIDP\naws_secret_access_key = ps\nregion = eu-north-1\n")
    monkeypatch.setenv("AWS_PROFILE", "p")
    chain = Chain()
    assert (found(chain).access_key, chain.region()) == ("AKIDP", "eu-north-1")


def test_a_credential_process_is_run(process: Process) -> None:
    process.answers("AKIDPROC", minutes=60)
    assert found(Chain("p")) == Credentials("AKIDPROC", "canary", "canary2")


def test_fixed_credentials_are_read_once_and_stay_one_object(process: Process) -> None:
    process.answers("AKIDFIXED")
    chain = Chain("p")
    first = found(chain)
    assert chain.renew() is None
    assert found(chain) is first
    assert process.runs == 1


def test_credentials_that_hold_for_long_stay_one_object_and_are_not_fetched_again(process: Process) -> None:
    process.answers("AKIDLONG", minutes=60)
    chain = Chain("p")
    first = found(chain)
    chain.renew()
    assert found(chain) is first
    assert process.runs == 1


def test_credentials_are_not_looked_for_by_who_asks_for_those_of_now(process: Process) -> None:
    process.answers("AKIDFIXED")
    chain = Chain("p")
    with pytest.raises(Unready) as caught:
        chain.credentials()
    assert process.runs == 0
    assert caught.value.find()
    assert chain.credentials().access_key == "AKIDFIXED"


def test_threads_that_come_first_together_make_one_session(process: Process) -> None:
    process.answers("AKIDONCE", minutes=60)
    chain = Chain("p")
    seen: list[Credentials] = []
    threads = [threading.Thread(target=lambda: seen.append(found(chain))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each is seen[0] for each in seen] == [True] * 8
    assert process.runs == 1


def test_refused_credentials_are_found_anew_once_however_many_report_them(process: Process) -> None:
    process.answers("AKIDREFUSED")
    chain = Chain("p")
    refused = found(chain)
    process.answers("AKIDFRESH")
    for _ in range(4):
        chain.discard(refused)
        assert found(chain).access_key == "AKIDFRESH"
    assert process.runs == 2


def test_no_credentials_is_an_error_that_says_where_it_looked_and_what_to_do() -> None:
    with pytest.raises(CredentialsError) as caught:
        found(Chain())
    told = str(caught.value)
    assert all(word in told for word in ("'default'", "env", "shared-credentials-file", "iam-role"))
    assert "Set AWS_ACCESS_KEY_ID" in told


def test_an_unknown_profile_is_an_error_that_names_it() -> None:
    for ask in (Chain("nobody").find, Chain("nobody").region, Chain("nobody").endpoint):
        with pytest.raises(CredentialsError, match=r"nobody.*AWS_PROFILE"):
            ask()


def test_a_key_without_its_secret_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDHALF")
    with pytest.raises(CredentialsError, match="AWS_SECRET_ACCESS_KEY"):
        found(Chain())


def test_a_stray_line_end_in_a_key_is_an_error_that_does_not_repeat_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keys_in_the_environment(monkeypatch)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary\n")
    with pytest.raises(CredentialsError, match="secret_key") as caught:
        found(Chain())
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("printed", ['{"SecretAccessKey": "canary"', "[1]", '{"Version": 1, "Token": "canary"}'])
def test_what_a_process_prints_never_reaches_an_error(process: Process, printed: str) -> None:
    process.prints(printed)
    with pytest.raises(CredentialsError, match="profile 'p'") as caught:
        found(Chain("p"))
    error = caught.value
    assert error.__context__ is None
    cause = error.__cause__
    held = f"{vars(cause)} {cause.args}" if cause else ""
    assert "canary" not in "".join(traceback.format_exception(error)) + held


def test_a_chain_is_not_pickled_and_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    keys_in_the_environment(monkeypatch)
    chain = Chain()
    found(chain)
    assert "env-secret" not in repr(chain)
    with pytest.raises(TypeError):
        pickle.dumps(chain)


def test_the_region_is_the_given_one_then_the_environments_then_the_profiles_then_us_east_1(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert Chain().region() == "us-east-1"
    config(home, "[default]\nregion = eu-west-3\n")
    assert Chain().region() == "eu-west-3"
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-2")
    assert Chain().region() == "eu-west-2"
    assert Chain(region="eu-west-1").region() == "eu-west-1"


@pytest.mark.parametrize("region", ["evil.example.com/", "a b", "-a", "us-east-1\n", "x" * 64])
def test_a_region_that_is_no_host_label_is_refused(region: str) -> None:
    with pytest.raises(ValueError, match="not a region's name"):
        Chain(region=region).region()
    with pytest.raises(ValueError, match="not a region's name"):
        Chain().hostname(region)


def test_the_endpoint_is_found_in_the_order_of_the_sdks(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Chain().endpoint() is None
    config(
        home,
        "[default]\nendpoint_url = http://global\nservices = local\n"
        "[profile plain]\nendpoint_url = http://plain\n"
        "[services local]\ns3 =\n  endpoint_url = http://section\n",
    )
    assert Chain("plain").endpoint() == "http://plain"
    assert Chain().endpoint() == "http://section"
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://any")
    assert Chain().endpoint() == "http://any"
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://s3")
    assert Chain().endpoint() == "http://s3"
    monkeypatch.setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true")
    assert Chain().endpoint() is None
    assert Chain(endpoint="http://given").endpoint() == "http://given"


def test_a_missing_services_section_is_an_error_that_names_it(home: Path) -> None:
    config(home, "[default]\nservices = nowhere\n")
    with pytest.raises(CredentialsError, match="nowhere"):
        Chain().endpoint()


@pytest.mark.parametrize(
    ("region", "host"),
    [
        ("us-east-1", "s3.us-east-1.amazonaws.com"),
        ("eu-west-1", "s3.eu-west-1.amazonaws.com"),
        ("cn-north-1", "s3.cn-north-1.amazonaws.com.cn"),
        ("us-gov-west-1", "s3.us-gov-west-1.amazonaws.com"),
    ],
)
def test_the_host_of_a_region_lies_in_its_partition(region: str, host: str) -> None:
    assert Chain().hostname(region) == host


def test_the_host_follows_the_fips_and_dual_stack_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_USE_FIPS_ENDPOINT", "true")
    assert Chain().hostname("us-east-1") == "s3-fips.us-east-1.amazonaws.com"
    monkeypatch.setenv("AWS_USE_DUALSTACK_ENDPOINT", "true")
    assert Chain().hostname("us-east-1") == "s3-fips.dualstack.us-east-1.amazonaws.com"


def test_a_region_of_no_partition_has_no_host() -> None:
    with pytest.raises(ValueError, match=r"'mars'.*endpoint URL"):
        Chain().hostname("mars")


def test_botocore_is_not_imported_before_it_is_asked() -> None:
    code = "import sys; from s3dlio.auth.aws import Chain; Chain(); sys.exit('botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
