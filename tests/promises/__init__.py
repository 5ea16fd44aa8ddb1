"""The sentences of the contract, one method each, for any place where objects can be stored.

`tests.contract.Contract` is all of them; a backend gets them by naming its place.
"""

import pytest

# pytest explains the asserts of test modules only, unless it is told before the import.
pytest.register_assert_rewrite(
    *(
        f"tests.promises.{name}"
        for name in (
            "awaited",
            "batches",
            "buckets",
            "failures",
            "facts",
            "keys",
            "listings",
            "objects",
            "place",
            "ranges",
            "several",
            "trees",
        )
    )
)
