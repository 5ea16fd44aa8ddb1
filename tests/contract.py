"""The contract of every backend: one class, run for every scheme.

A backend is held to it by a subclass whose `place` fixture says where to store. What a server cannot do is named
there, one entry or one method each, and nowhere else.
"""

from tests.promises.awaited import Awaited
from tests.promises.batches import Batches
from tests.promises.buckets import ObjectStore
from tests.promises.facts import Facts
from tests.promises.failures import Failures
from tests.promises.keys import Keys
from tests.promises.listings import Listings
from tests.promises.objects import Objects
from tests.promises.ranges import Ranges
from tests.promises.several import Several
from tests.promises.trees import Trees


class Contract(Objects, Ranges, Batches, Listings, Facts, Trees, Several, Keys, Failures, Awaited):
    """What holds wherever an object can be stored."""


class ObjectStoreContract(ObjectStore, Contract):
    """What holds wherever there are containers: all of the contract, and more."""
