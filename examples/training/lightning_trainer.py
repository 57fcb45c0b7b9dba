"""Lightning's Trainer, watched by a callback."""

import lightning.pytorch as pl
import torch
from torch import nn

from gradcheck_health.lightning import GradientHealth


class Net(pl.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, index):
        return nn.functional.mse_loss(self(batch), batch[:, :1])

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=1e-8)


health = GradientHealth(every_n_steps=10, on_sick=lambda finding: print(finding.rule))
trainer = pl.Trainer(
    max_epochs=1,
    accelerator="cpu",
    callbacks=[health],
    logger=False,
    enable_checkpointing=False,
    enable_progress_bar=False,
    enable_model_summary=False,
)
trainer.fit(Net(), torch.utils.data.DataLoader(torch.randn(30 * 32, 8), batch_size=32))
print(health.report)
