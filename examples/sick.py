"""A model with two faults: eight sigmoid layers in a row, and a layer that forward() never calls."""

from torch import Tensor, nn

from gradcheck_health import assert_gradients_healthy


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*(nn.Sequential(nn.Linear(32, 32), nn.Sigmoid()) for _ in range(8)))
        self.head = nn.Linear(32, 10)
        self.aux = nn.Linear(32, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(x))


if __name__ == "__main__":
    assert_gradients_healthy(Net())
