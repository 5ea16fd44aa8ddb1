"""Many objects: the order of the request, a bound on what is under way, and failures that name their object."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import s3dlio
from s3dlio.errors import InvalidUriError, NotFoundError
from tests.promises.place import MIB, Place, content

COUNT = 40


class Batches(Place):
    """get_many, iter_many, put_many."""

    def numbered(self) -> list[str]:
        """Store objects of different lengths that tell their number."""
        uris = [self.uri(f"{number:03}") for number in range(COUNT)]
        s3dlio.put_many([(uri, b"%d" % number * (number + 1)) for number, uri in enumerate(uris)])
        return uris

    def test_put_many_stores_every_item(self) -> None:
        for number, uri in enumerate(self.numbered()):
            assert s3dlio.get(uri) == b"%d" % number * (number + 1)

    def test_put_many_takes_any_iterable_and_any_buffers(self) -> None:
        items: Iterator[tuple[str, Any]] = iter(
            [(self.uri("a"), bytearray(b"one")), (self.uri("b"), memoryview(b"two"))]
        )
        result: object = s3dlio.put_many(items, workers=2)  # type: ignore[func-returns-value]  # that it returns none is the point
        assert result is None
        assert s3dlio.get_many([self.uri("a"), self.uri("b")]) == [b"one", b"two"]

    def test_put_many_of_nothing_does_nothing(self) -> None:
        s3dlio.put_many([])
        assert s3dlio.list(self.base) == []

    @pytest.mark.parametrize("bad", [("no scheme", b"x"), ("s3://", b"x")])
    def test_put_many_checks_every_item_before_it_stores_the_first(self, bad: tuple[str, bytes]) -> None:
        with pytest.raises(InvalidUriError):
            s3dlio.put_many([(self.uri("good"), b"x"), bad])
        assert s3dlio.list(self.base) == []

    def test_put_many_refuses_data_that_is_no_buffer_before_it_stores_the_first(self) -> None:
        items: list[Any] = [(self.uri("good"), b"x"), (self.uri("bad"), "text")]
        with pytest.raises(TypeError, match="buffer"):
            s3dlio.put_many(items)
        assert s3dlio.list(self.base) == []

    def test_get_many_keeps_the_order_of_the_request(self) -> None:
        uris = self.numbered()
        backwards = uris[::-1]
        results = s3dlio.get_many(backwards, workers=8)
        assert all(isinstance(result, s3dlio.BytesView) for result in results)
        assert results == [b"%d" % number * (number + 1) for number in range(COUNT)][::-1]

    def test_get_many_keeps_duplicates(self) -> None:
        one, two = self.store("one", "two")
        results = s3dlio.get_many([one, two, one, one])
        assert results == [b"one", b"two", b"one", b"one"]
        results[0][0] = 0
        assert results[2] == b"one"

    def test_get_many_of_nothing_is_nothing(self) -> None:
        assert s3dlio.get_many([]) == []

    def test_get_many_mixes_backends(self) -> None:
        (here,) = self.store("here")
        s3dlio.put(f"{self.elsewhere}there", b"there")
        there = f"{self.elsewhere}there"
        assert s3dlio.get_many([there, here, there]) == [b"there", b"here", b"there"]

    @pytest.mark.parametrize("options", [{"workers": 1}, {"workers": 200}, {"max_in_flight": 3}])
    def test_get_many_takes_a_limit_by_both_its_names(self, options: dict[str, int]) -> None:
        uris = self.numbered()
        assert len(s3dlio.get_many(iter(uris), **options)) == COUNT  # type: ignore[arg-type]  # not on_error

    @pytest.mark.parametrize("size", [0, 5, MIB + 3])
    def test_get_many_reads_objects_of_any_size(self, size: int) -> None:
        uris = [self.uri(str(number)) for number in range(3)]
        s3dlio.put_many((uri, content(size)) for uri in uris)
        assert [bytes(view) == content(size) for view in s3dlio.get_many(uris)] == [True] * 3

    def test_get_many_raises_the_failure_and_names_its_object(self) -> None:
        uris = self.numbered()
        uris[COUNT // 2] = self.uri("missing")
        with pytest.raises(NotFoundError, match="missing") as caught:
            s3dlio.get_many(uris)
        assert caught.value.uri == self.uri("missing")

    def test_get_many_returns_failures_in_their_place_when_asked(self) -> None:
        one, two = self.store("one", "two")
        results = s3dlio.get_many([one, self.uri("missing"), two], on_error="return")
        assert (results[0], results[2]) == (b"one", b"two")
        assert isinstance(results[1], NotFoundError)
        assert results[1].uri == self.uri("missing")

    def test_get_many_knows_no_third_way_with_failures(self) -> None:
        sometimes: Any = "sometimes"
        with pytest.raises(ValueError, match="sometimes"):
            s3dlio.get_many([self.uri("missing")], on_error=sometimes)

    @pytest.mark.parametrize(
        ("workers", "kind"), [(0, ValueError), (-1, ValueError), ("4", TypeError), (None, TypeError)]
    )
    def test_a_limit_is_a_positive_number(self, workers: Any, kind: type[Exception]) -> None:
        for call in (s3dlio.get_many, s3dlio.iter_many, s3dlio.stat_many):
            with pytest.raises(kind, match="workers"):
                call([self.uri("missing")], workers=workers)
        with pytest.raises(kind, match="workers"):
            s3dlio.put_many([(self.uri("missing"), b"")], workers=workers)

    def test_one_uri_is_no_list_of_uris(self) -> None:
        for call in (s3dlio.get_many, s3dlio.iter_many, s3dlio.stat_many, s3dlio.get_many_stats):
            with pytest.raises(TypeError, match="list of URIs"):
                call(self.uri("object"))

    @pytest.mark.parametrize("call", [s3dlio.get_many, s3dlio.stat_many])
    def test_every_uri_of_a_batch_is_checked(self, call: Any) -> None:
        with pytest.raises(InvalidUriError):
            call([self.uri("missing"), "s3://bucket-without-key/"])

    def test_iter_many_yields_every_object_in_order(self) -> None:
        uris = self.numbered()
        pairs = list(s3dlio.iter_many(uris, workers=5))
        assert [index for index, _ in pairs] == list(range(COUNT))
        assert [bytes(view) for _, view in pairs] == [b"%d" % number * (number + 1) for number in range(COUNT)]

    def test_iter_many_yields_every_object_once_as_they_come(self) -> None:
        uris = self.numbered()
        pairs = dict(s3dlio.iter_many(uris, workers=5, ordered=False))
        assert sorted(pairs) == list(range(COUNT))
        assert all(bytes(pairs[number]) == b"%d" % number * (number + 1) for number in pairs)

    @pytest.mark.parametrize("ordered", [True, False])
    def test_iter_many_does_not_run_ahead_of_its_consumer(self, ordered: bool) -> None:
        uris, taken = self.numbered(), list[str]()
        watched = (taken.append(uri) or uri for uri in uris)  # type: ignore[func-returns-value]  # append is the watch
        for claimed, _ in enumerate(s3dlio.iter_many(watched, workers=4, ordered=ordered), 1):
            assert len(taken) <= claimed + 4
        assert taken == uris

    def test_iter_many_holds_only_so_many_bytes(self) -> None:
        uris, taken = [self.uri(str(number)) for number in range(8)], list[str]()
        s3dlio.put_many((uri, content(1000)) for uri in uris)
        watched = (taken.append(uri) or uri for uri in uris)  # type: ignore[func-returns-value]  # append is the watch
        reading = s3dlio.iter_many(watched, workers=1, max_bytes=1)
        next(reading)
        assert len(taken) == 1
        assert [index for index, _ in reading] == list(range(1, 8))

    def test_iter_many_ends_when_it_is_closed(self) -> None:
        uris, taken = self.numbered(), list[str]()
        watched = (taken.append(uri) or uri for uri in uris)  # type: ignore[func-returns-value]  # append is the watch
        reading: Any = s3dlio.iter_many(watched, workers=2)
        next(reading)
        reading.close()
        before = len(taken)
        with pytest.raises(StopIteration):
            next(reading)
        assert len(taken) == before < COUNT

    @pytest.mark.parametrize("ordered", [True, False])
    def test_iter_many_raises_the_failure_and_names_its_object(self, ordered: bool) -> None:
        uris = self.numbered()
        uris[7] = self.uri("missing")
        with pytest.raises(NotFoundError, match="missing") as caught:
            list(s3dlio.iter_many(uris, ordered=ordered))
        assert caught.value.uri == self.uri("missing")

    def test_iter_many_delivers_what_comes_before_a_failure(self) -> None:
        uris = self.numbered()
        uris[7] = self.uri("missing")
        reading = s3dlio.iter_many(uris)
        assert [next(reading)[0] for _ in range(7)] == list(range(7))
        with pytest.raises(NotFoundError):
            next(reading)

    def test_iter_many_of_nothing_is_nothing(self) -> None:
        assert list(s3dlio.iter_many([])) == []
