"""Lightning's Trainer with both packages: a run that stops goes on where its checkpoint was."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from tests.compat.conftest import Connector

pytestmark = pytest.mark.filterwarnings("ignore")  # Lightning and its logger warn of much that is none of ours


@pytest.fixture
def plugin(connector: Connector) -> Any:
    made: Any = connector.module("lightning").S3LightningCheckpoint
    return made("us-east-1", s3client_config=connector.config, endpoint=connector.options["endpoint"])


def trained(plugin: Any, folder: Path, epochs: int, resume: str | None = None) -> Any:
    import lightning

    class Line(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(3)
            self.layer = nn.Linear(4, 1)

        def training_step(self, batch: Any, index: int) -> torch.Tensor:
            return (self.layer(batch[0]) - batch[1]).square().mean()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=0.1)

    torch.manual_seed(4)
    data = DataLoader(TensorDataset(torch.randn(16, 4), torch.randn(16, 1)), batch_size=8)
    trainer = lightning.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        default_root_dir=folder,
        plugins=[plugin],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Line(), data, ckpt_path=resume)
    return trainer


def test_a_run_goes_on_from_its_checkpoint(connector: Connector, plugin: Any, tmp_path: Path) -> None:
    uri = connector.uri("run/half.ckpt")
    trained(plugin, tmp_path, 2).save_checkpoint(uri)
    resumed = trained(plugin, tmp_path, 4, uri)
    whole = trained(plugin, tmp_path, 4)
    assert torch.equal(resumed.model.layer.weight, whole.model.layer.weight)
    assert resumed.current_epoch == 4


def test_a_checkpoint_is_saved_loaded_and_removed(connector: Connector, plugin: Any) -> None:
    uri = connector.uri("one.ckpt")
    plugin.save_checkpoint({"weight": torch.arange(3)}, uri)
    assert plugin.load_checkpoint(uri)["weight"].tolist() == [0, 1, 2]
    plugin.remove_checkpoint(uri)
    plugin.remove_checkpoint(uri)
    with pytest.raises(connector.package.S3Exception):
        plugin.load_checkpoint(uri)
    plugin.teardown()


@pytest.mark.parametrize("call", ["save", "load", "remove"])
def test_a_path_of_a_file_system_is_refused(plugin: Any, call: str, tmp_path: Path) -> None:
    arguments = [{}, tmp_path] if call == "save" else [tmp_path]
    with pytest.raises(TypeError, match=r"'PosixPath' is not a supported type for 'path'\. Must be a string"):
        getattr(plugin, f"{call}_checkpoint")(*arguments)
