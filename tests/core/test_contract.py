"""The contract itself: its promises come from many classes, and each of them is kept."""

from collections import Counter

from tests.contract import ObjectStoreContract


def test_no_promise_hides_another_of_the_same_name() -> None:
    names = Counter(name for owner in ObjectStoreContract.__mro__ for name in vars(owner) if name.startswith("test_"))
    assert [name for name, count in names.items() if count > 1] == []
