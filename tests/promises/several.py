"""Several processes and several threads at one place."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import s3dlio
from s3dlio.errors import InvalidUriError
from tests.promises.place import Place, content, digest

WRITTEN = [bytes([number]) * (1000 + number) for number in range(16)]
"""What many writers store under one key: each its own byte, and its own length."""


class Several(Place):
    """mp_get, and every verb from many threads."""

    def test_mp_get_reads_with_real_processes_and_tells_how_it_went(self) -> None:
        s3dlio.put_many((self.uri(f"object_{number}.dat"), content(1000)) for number in range(9))
        result = s3dlio.mp_get(self.base, procs=2, jobs=3, num=10)
        assert (result["attempted"], result["succeeded"], result["failed"]) == (10, 9, 1)
        assert result["total_bytes"] == 9000
        assert result["throughput_mb_s"] == pytest.approx(9000 / 1e6 / result["duration_seconds"])
        assert result["ops_per_sec"] == pytest.approx(9 / result["duration_seconds"])
        assert [worker["objects"] + worker["failed"] for worker in result["workers"]] == [5, 5]
        assert "object_9.dat" in next(worker["error"] for worker in result["workers"] if worker["failed"])

    @pytest.mark.parametrize(
        ("options", "kind"),
        [
            ({"procs": 0}, ValueError),
            ({"jobs": 0}, ValueError),
            ({"num": -1}, ValueError),
            ({"procs": "2"}, TypeError),
            ({"template": "same_for_all.dat"}, ValueError),
        ],
    )
    def test_mp_get_refuses_what_it_cannot_do_before_it_starts(self, options: Any, kind: type[Exception]) -> None:
        with pytest.raises(kind, match=next(iter(options))):
            s3dlio.mp_get(self.base, **options)

    def test_mp_get_refuses_what_is_no_uri_before_it_starts(self) -> None:
        with pytest.raises(InvalidUriError):
            s3dlio.mp_get("no-scheme/")

    def test_every_verb_may_be_called_from_any_number_of_threads(self) -> None:
        def work(number: int) -> None:
            uri, data = self.uri(f"t{number}/object"), content(100 + number)
            s3dlio.put(uri, data)
            assert bytes(s3dlio.get(uri)) == data
            assert bytes(s3dlio.get_range(uri, 7, 20)) == data[7:27]
            assert s3dlio.stat(uri)["size"] == len(data)
            assert s3dlio.list(self.uri(f"t{number}/")) == [uri]
            assert s3dlio.get_many([uri, uri]) == [data, data]
            s3dlio.delete(uri)
            assert not s3dlio.exists(uri)

        with ThreadPoolExecutor(16) as pool:
            for outcome in [pool.submit(work, number) for number in range(32)]:
                outcome.result()

    def test_of_many_writers_of_one_object_one_wins_as_a_whole(self) -> None:
        self.race()
        assert s3dlio.get(self.uri("object")) in WRITTEN

    def test_a_read_among_writers_gives_what_one_of_them_wrote(self) -> None:
        assert all(seen in WRITTEN for seen in self.race() if seen is not None)

    def race(self) -> list[bytes | None]:
        """Have many threads write one object and read it; return what they read, None if it was replaced twice."""

        def work(number: int) -> bytes | None:
            s3dlio.put(self.uri("object"), WRITTEN[number])
            try:
                return bytes(s3dlio.get(self.uri("object")))
            except s3dlio.ObjectChangedError:
                return None

        with ThreadPoolExecutor(len(WRITTEN)) as pool:
            return list(pool.map(work, range(len(WRITTEN))))

    def test_of_two_writers_of_a_large_object_one_wins_as_a_whole(self) -> None:
        uri = self.uri("large")
        contents = [content(self.large), content(self.large - 1)]
        with ThreadPoolExecutor(2) as pool:
            for outcome in [pool.submit(s3dlio.put, uri, each) for each in contents]:
                outcome.result()
        assert digest(s3dlio.get(uri)) in [digest(each) for each in contents]
