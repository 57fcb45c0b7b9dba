"""Size of an HTML report and the time to write it: `python -m benchmarks.report_size` prints the table of docs/report.md.

Real networks of the sizes that the limits are set for, checked here, then rendered five times; CPU seconds of the fastest.
"""

from __future__ import annotations

import time

import torch
from torch import nn

from gradcheck_health import Report, check_gradients
from gradcheck_health.formats import html


class Block(nn.Module):
    """Six parameters."""

    def __init__(self, width: int, sick: bool) -> None:
        super().__init__()
        self.norm = nn.Identity() if sick else nn.LayerNorm(width)
        self.first, self.second = nn.Linear(width, width), nn.Linear(width, width)
        self.third = nn.Linear(width, width) if sick else nn.Identity()
        self.sick = sick

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.sick:
            return torch.sigmoid(self.third(torch.sigmoid(self.second(torch.sigmoid(self.first(x))))))
        return x + 0.1 * self.second(torch.relu(self.first(self.norm(x))))


def network(parameters: int, sick: bool) -> nn.Module:
    return nn.Sequential(*(Block(8, sick) for _ in range(parameters // 6)), nn.Linear(8, 2))


def measured(report: Report) -> tuple[int, float]:
    """Bytes, and CPU seconds."""
    times = []
    for _ in range(5):
        start = time.process_time()
        page = html.render(report)
        times.append(time.process_time() - start)
    return len(page.encode()), min(times)


def main() -> None:
    torch.set_num_threads(1)
    print("| model | looks | page | time to write it |\n|---|---|---|---|")
    for parameters, sick in ((60, False), (60, True), (600, False), (600, True), (10_000, False)):
        report = check_gradients(network(parameters, sick), torch.randn(16, 8))
        looks = 1 + sum(map(len, report.trace.facts.values()))
        size, seconds = measured(report)
        verdict = "sick" if not report.ok else "sound"
        print(
            f"| {len(report.trace.parameters)} parameters, {verdict} | {looks} | {size / 1024:.0f} KiB | {seconds:.2f} s |",
            flush=True,
        )


if __name__ == "__main__":
    main()
