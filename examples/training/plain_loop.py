"""A loop of your own, watched: the learning rate is a million times too small, and the loop says so while it runs."""

import torch
from torch import nn

from gradcheck_health import watch

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=1e-8)

with watch(model, optimizer, on_sick=lambda finding: print(finding.rule)) as health:
    for _ in range(30):
        x = torch.randn(32, 8)
        loss = nn.functional.mse_loss(model(x), x[:, :1])
        health.loss(loss).backward()
        optimizer.step()
        optimizer.zero_grad()

print(health.report)
