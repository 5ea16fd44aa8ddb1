"""Datasets in other processes, and abandoned in this one: they come along whole, and leave nothing behind."""

import gc
import multiprocessing
import pickle
import threading
from typing import Any

import pytest
from torch.utils.data import DataLoader

import s3dlio
from s3dlio_torch import ObjectStoreIterableDataset, ObjectStoreMapDataset
from tests.torch.storage import COUNT, Storage, doubled, numbers, refused

STARTS = ["fork", "spawn", "forkserver"]
KINDS: dict[str, Any] = {"map": ObjectStoreMapDataset, "iterable": ObjectStoreIterableDataset}


def made(kind: str, storage: Storage, **options: Any) -> Any:
    return KINDS[kind](storage.root, pattern="*.bin", **options)


def read_there(dataset: Any) -> tuple[list[int], Any]:
    """Be called in the other process: read all samples, and send the dataset back."""
    samples = dataset if isinstance(dataset, ObjectStoreIterableDataset) else [dataset[i] for i in range(len(dataset))]
    return numbers(samples), dataset


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
@pytest.mark.parametrize("kind", KINDS)
def test_P3_a_dataset_goes_to_another_process_and_back(folder: Storage, kind: str, start: str) -> None:
    with multiprocessing.get_context(start).Pool(1) as pool:
        found, back = pool.apply(read_there, [made(kind, folder, transform=doubled)])
    assert found == [2 * number for number in range(COUNT)]
    assert read_there(back)[0] == found


@pytest.mark.parametrize("kind", KINDS)
def test_P3_a_dataset_takes_no_secret_along(folder: Storage, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id-canary")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    assert b"canary" not in pickle.dumps(made(kind, folder))


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("kind", KINDS)
def test_P14_a_failure_in_a_worker_is_raised_in_the_loop_and_names_the_object(
    folder: Storage, kind: str, start: str
) -> None:
    dataset = made(kind, folder)
    s3dlio.delete(folder.uris[7])
    with pytest.raises((s3dlio.NotFoundError, RuntimeError), match=r"007\.bin"):
        list(DataLoader(dataset, batch_size=4, num_workers=2, multiprocessing_context=start))


@pytest.mark.parametrize("kind", KINDS)
def test_P14_a_failing_transform_is_raised_in_the_loop_and_names_the_object(folder: Storage, kind: str) -> None:
    with pytest.raises(LookupError, match="cannot decode 8 bytes") as caught:
        list(DataLoader(made(kind, folder, transform=refused), batch_size=None))
    assert any("000.bin" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("end", ["closed", "forgotten"])
def test_P11_an_abandoned_epoch_leaves_no_thread(folder: Storage, end: str) -> None:
    dataset = made("iterable", folder)
    list(dataset)
    before = {each for each in threading.enumerate() if not each.name.startswith("s3dlio-")}
    for _ in range(5):
        epoch = iter(dataset)
        next(epoch)
        if end == "closed":
            epoch.close()
        del epoch
    gc.collect()
    assert {each for each in threading.enumerate() if not each.name.startswith("s3dlio-")} <= before
    assert numbers(dataset) == list(range(COUNT))
